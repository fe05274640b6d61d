"""A line more at the end of the audit log: on the disk as a whole, with what names it last, or not at all."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from app.models.audit_chain import AuditError, Entry, Head, Kind, digest, end_of, head_file
from app.models.history.lock import FileLock

#: Bytes that are kept free for the outcome of what was begun when the disk filled up.
RESERVE: Final = 1 << 16
#: Seconds to wait for another collector that writes.
PATIENCE: Final = 5.0
_PAUSE: Final = 0.005
#: Who opens a pipe that nobody reads is told so, and does not wait for ever.
_AT_ONCE: Final = getattr(os, "O_NONBLOCK", 0)


def append(path: Path, kind: Kind, act: str, *, reserve: bool = False, **fields: Any) -> None:
    """Write a line, which is on the disk when this returns; ``fields`` are those of `Entry`. Raises `AuditError`.

    With ``reserve`` room is kept for what is written later of the same act, and the line is not written at the cost of
    that.
    """
    try:
        with _locked(path):
            if reserve:
                _keep_reserve(path)
            try:
                _write(path, kind, act, fields)
            except OSError:
                # What was begun is told, if there is any way to.
                if reserve or not _free_reserve(path):
                    raise
                _write(path, kind, act, fields)
    except OSError as error:
        raise AuditError(f"The audit log {path} can't be written: {error.strerror or error}.") from error


def _write(path: Path, kind: Kind, act: str, fields: dict[str, Any]) -> None:
    end, size, now = end_of(path), _size(path), time.time()
    number, previous, lines = end.number, end.previous, []
    if end.torn:
        lines.append(msgspec.json.encode(Entry(number=number, previous=previous, at=now, kind="torn", digest=end.torn)))
        number, previous = number + 1, digest(lines[-1])
    lines.append(msgspec.json.encode(Entry(number=number, previous=previous, at=now, kind=kind, act=act, **fields)))
    data = b"\n" * end.open_ + b"".join(line + b"\n" for line in lines)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
            _write_head(path, Head(number, digest(lines[-1])))
        except OSError:
            # All of it or nothing: who tries again writes it once.
            with suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    deadline = time.monotonic() + PATIENCE
    while True:
        lock = FileLock(path.with_name(f"{path.name}.lock"))
        if lock.acquire():
            break
        if time.monotonic() > deadline:
            raise TimeoutError(0, "another Cloche holds it")
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        lock.release()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _write_head(path: Path, head: Head) -> None:
    place = head_file(path)
    fresh = place.with_name(f"{place.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _AT_ONCE, 0o600)
    try:
        _write_all(descriptor, msgspec.json.encode(head))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(place)
    _sync_folder(place.parent)


def _sync_folder(folder: Path) -> None:
    """Have names of files on the disk, too; Windows does it by itself, and opens no folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reserve_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.reserve")


def _keep_reserve(path: Path) -> None:
    """Have room for what is written later: what is done must be told even where the disk fills up meanwhile."""
    place = _reserve_file(path)
    if _size(place) >= RESERVE:
        return
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | _AT_ONCE, 0o600)
    try:
        _write_all(descriptor, b"\0" * RESERVE)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _free_reserve(path: Path) -> bool:
    try:
        _reserve_file(path).unlink()
    except OSError:
        return False
    return True
