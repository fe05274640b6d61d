"""The audit log: what was to be done to a broker, written before it is done, and what came of it; never changed again.

One file of JSON lines for all connections. Each line names the digest of the line before it, and a small file beside it
names the last one: a line that was changed, moved or taken out, wherever it was, is found by `verify`.
"""

import getpass
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from app import __version__
from app.models.acts import Item, Outcome, Plan, Wish
from app.models.history.lock import FileLock

#: What the first line names in the place of the line before.
NOTHING: Final = "0" * 64
#: What a line names in the place of the one before where nobody knows any more which that was.
_NO_HEAD: Final = "f" * 64
#: Bytes that are kept free for the outcome of what was begun when the disk filled up.
RESERVE: Final = 1 << 16
#: Seconds to wait for another collector that writes.
PATIENCE: Final = 5.0
_PAUSE: Final = 0.005
_CHUNK: Final = 1 << 16

Kind = Literal["intent", "items", "outcome", "torn"]


class AuditError(Exception):
    """The audit log can't be written or read; a sentence."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line. ``act`` joins the lines of one act; all but its *intent* and *outcome* are *items* that were done.

    ``who`` is the user of the computer, ``where`` the computer, ``broker`` an address without password. A *torn* line
    says that its ``digest`` is that of the one before it, which was not written to its end.
    """

    number: int
    previous: str
    at: float
    kind: Kind
    act: str = ""
    who: str = ""
    where: str = ""
    version: str = ""
    connection: str = ""
    broker: str = ""
    environment: str = ""
    wish: Wish | None = None
    plan: Plan | None = None
    items: list[Item] = []
    outcome: Outcome | None = None
    digest: str = ""


class _Head(msgspec.Struct, frozen=True):
    number: int
    digest: str


class Subject(msgspec.Struct, frozen=True):
    """What connection the acts of a log are done to."""

    connection: str
    broker: str
    environment: str


class AuditLog:
    """Writes to the log, each line on the disk before it returns. One may be used by several threads and processes."""

    def __init__(self, path: Path, subject: Subject) -> None:
        self.path = path
        self._subject = subject
        #: Of the acts that are under way: the system lets go of them when this process dies.
        self._held: dict[str, FileLock] = {}

    def intend(self, act: str, wish: Wish, plan: Plan) -> None:
        """Write what is about to be done, which is *under way* from now on until it is concluded, or this process ends.

        Raises `AuditError`: then it must not be done.
        """
        self._hold(act)
        made = {
            "who": _user(),
            "where": socket.gethostname(),
            "version": __version__,
            "connection": self._subject.connection,
            "broker": self._subject.broker,
            "environment": self._subject.environment,
        }
        try:
            self._append("intent", act, reserve=True, wish=wish, plan=plan, **made)
        except AuditError:
            self._let_go(act)
            raise

    def note(self, act: str, items: list[Item]) -> None:
        """Write what became of some of the things that an act is about. Raises `AuditError`."""
        self._append("items", act, items=items)

    def conclude(self, act: str, outcome: Outcome) -> None:
        """Write what became of an act. Raises `AuditError`."""
        try:
            self._append("outcome", act, outcome=outcome)
        finally:
            self._let_go(act)

    def unfinished(self, act: str) -> tuple[Wish | None, frozenset[str]]:
        """The wish of an act that did not come to its end, and the ids of what was done of it.

        None where there is no such act. Raises `AuditError`.
        """
        wish, done = None, set[str]()
        for entry, _ in read(self.path):
            if entry.act != act:
                continue
            if entry.outcome is not None and entry.outcome.state == "done":
                return None, frozenset()
            if entry.kind == "intent" and entry.broker == self._subject.broker:
                wish = entry.wish
            done.update(item.id for item in entry.items if item.ok is not False)
        return wish, frozenset(done)

    def _hold(self, act: str) -> None:
        """Let nobody else do what is left of this act meanwhile."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(_act_file(self.path, act))
        except OSError as error:
            raise AuditError(f"The audit log {self.path} can't be written: {error.strerror or error}.") from error
        if not lock.acquire():
            raise AuditError("This act is under way already.")
        self._held[act] = lock

    def _let_go(self, act: str) -> None:
        lock = self._held.pop(act, None)
        if lock is not None:
            with suppress(OSError):  # Windows removes no file that is open; it means nothing by itself
                _act_file(self.path, act).unlink()
            lock.release()

    def _append(self, kind: Kind, act: str, *, reserve: bool = False, **fields: Any) -> None:
        try:
            with _locked(self.path):
                if reserve:
                    _keep_reserve(self.path)
                try:
                    self._write(kind, act, fields)
                except OSError:
                    # What was begun is told, if there is any way to.
                    if reserve or not _free_reserve(self.path):
                        raise
                    self._write(kind, act, fields)
        except OSError as error:
            text = f"The audit log {self.path} can't be written: {error.strerror or error}."
            raise AuditError(text) from error

    def _write(self, kind: Kind, act: str, fields: dict[str, Any]) -> None:
        number, digest, torn = _last(self.path)
        entries = []
        if torn is not None:
            entries.append(Entry(number=number, previous=digest, at=time.time(), kind="torn", digest=torn))
        lines, size = [], _size(self.path)
        for make in (*entries, None):
            entry = make or Entry(number=number, previous=digest, at=time.time(), kind=kind, act=act, **fields)
            line = msgspec.json.encode(entry)
            lines.append(line)
            number, digest = number + 1, _digest(line)
        data = (b"" if torn is None else b"\n") + b"\n".join(lines) + b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            try:
                _write_all(descriptor, data)
                os.fsync(descriptor)
                _write_head(self.path, _Head(number - 1, digest))
            except OSError:
                # All of it or nothing: who tries again writes it once.
                with suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)


def under_way(path: Path, act: str) -> bool:
    """Whether a process that lives is carrying out this act; one that a crash broke off is not under way."""
    place = _act_file(path, act)
    if not place.exists():
        return False
    try:
        lock = FileLock(place)
    except OSError:
        return False
    if lock.acquire():
        lock.release()
        return False
    return True


class Verdict(msgspec.Struct, frozen=True):
    """Whether a log is as it was written: how many lines it has, and what is wrong with it, in sentences."""

    lines: int
    faults: list[str]


def verify(path: Path) -> Verdict:
    """Look for lines that were changed, moved, added or taken out. Raises `AuditError` where it can't be read."""
    faults: list[str] = []
    number, digest, at_head = 1, NOTHING, None
    head = _read_head(path)
    pending: str | None = None
    for place, line in enumerate(raw(path), 1):
        entry = _entry(line.removesuffix(b"\n"))
        if pending is not None and not (entry is not None and entry.kind == "torn" and entry.digest == pending):
            faults.append(f"Line {place - 1} can't be read.")
        if entry is None or not line.endswith(b"\n"):
            # A line that was torn by a crash is acknowledged by the next one.
            pending = _digest(line.removesuffix(b"\n"))
            continue
        pending = None
        if (entry.number, entry.previous) != (number, digest):
            faults.append(f"Line {place} does not follow the one before it: something was changed, moved or taken out.")
        number, digest = entry.number + 1, _digest(line.removesuffix(b"\n"))
        if head is not None and entry.number == head.number:
            at_head = digest
    if head is None and number > 1:
        faults.append(f"The file that names the last line, {_head_file(path).name}, is missing or can't be read.")
    elif head is not None and at_head != head.digest:
        faults.append(f"The log does not end as it was written: line {head.number} is missing or was changed.")
    return Verdict(number - 1, faults)


def read(path: Path, start: int = 0) -> Iterator[tuple[Entry, int]]:
    """Entries from an offset in bytes on, each with the offset behind it; a line that can't be read is passed over.

    Raises `AuditError` where the file can't be read; where there is none, there are no entries.
    """
    at = start
    for line in raw(path, start):
        at += len(line)
        entry = _entry(line.removesuffix(b"\n"))
        if entry is not None and line.endswith(b"\n"):
            yield entry, at


def raw(path: Path, start: int = 0) -> Iterator[bytes]:
    """Lines as they are, from an offset in bytes on. Raises `AuditError` where the file can't be read."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            yield from file
    except FileNotFoundError:
        return
    except OSError as error:
        raise AuditError(f"The audit log {path} can't be read: {error.strerror}.") from error


def _entry(line: bytes) -> Entry | None:
    try:
        return msgspec.json.decode(line, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _last(path: Path) -> tuple[int, str, str | None]:
    """Number of the next line, the digest that it names, and that of a torn line at the end, if there is one.

    What the head names counts, and not the line that is there: so what was changed or taken out stays visible, however
    much is written after it. Only of what was written when a crash came the head does not know yet.
    """
    head, torn = _read_head(path), None
    number, digest = 0, NOTHING
    for line in _backwards(path):
        entry = _entry(line.removesuffix(b"\n"))
        if entry is not None and line.endswith(b"\n"):
            number, digest = entry.number, _digest(line.removesuffix(b"\n"))
            break
        if not line.endswith(b"\n"):
            torn = _digest(line)
    if head is not None and number <= head.number:
        return head.number + 1, head.digest, torn
    if head is None and number > 1:
        return number + 1, _NO_HEAD, torn
    return number + 1, digest, torn


def _backwards(path: Path) -> Iterator[bytes]:
    """Lines of a file from its end, each with the newline that it has."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        at, rest = file.seek(0, os.SEEK_END), b""
        while at > 0:
            step = min(_CHUNK, at)
            at = file.seek(at - step)
            rest = file.read(step) + rest
            while (cut := rest.rfind(b"\n", 0, len(rest) - 1)) >= 0:
                yield rest[cut + 1 :]
                rest = rest[: cut + 1]
        if rest:
            yield rest


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # nobody has a name for this user
        return str(os.getuid()) if hasattr(os, "getuid") else ""


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


def _head_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.head")


def _read_head(path: Path) -> _Head | None:
    try:
        return msgspec.json.decode(_head_file(path).read_bytes(), type=_Head)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise AuditError(f"The audit log {path} can't be read: {error.strerror}.") from error


def _write_head(path: Path, head: _Head) -> None:
    place = _head_file(path)
    fresh = place.with_name(f"{place.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write_all(descriptor, msgspec.json.encode(head))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(place)


def _act_file(path: Path, act: str) -> Path:
    # A log that somebody tampered with may call an act anything.
    mark = _digest(act.encode(errors="backslashreplace"))[:16]
    return path.with_name(f"{path.name}.{mark}.act")


def _reserve_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.reserve")


def _keep_reserve(path: Path) -> None:
    """Have room for what is written later: what is done must be told even where the disk fills up meanwhile."""
    place = _reserve_file(path)
    if _size(place) >= RESERVE:
        return
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT, 0o600)
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
