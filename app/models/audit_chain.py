"""What a line of the audit log is, and how lines hang together: read, and verified.

Each line names the digest of the line before it, and a small file beside the log, its *head*, names the last one: a
line that was changed, moved or taken out, wherever it was, is found by `verify`. What a crash left of a line stands in
no chain; the next line that is written, of the kind *torn*, names the digest of that.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal

import msgspec

from app.models.acts import Item, Outcome, Plan, Wish

#: What the first line names in the place of the line before.
NOTHING: Final = "0" * 64
#: What a line names in the place of the one before where nobody knows any more which that was.
_NO_HEAD: Final = "f" * 64
_CHUNK: Final = 1 << 16

Kind = Literal["intent", "items", "outcome", "torn"]


class AuditError(Exception):
    """The audit log can't be written or read; a sentence."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line. ``act`` joins the lines of one act; all but its *intent* and *outcome* are *items* that were done.

    ``who`` is the user of the computer, ``where`` the computer, ``broker`` an address without password. A *torn* line
    says that its ``digest`` is that of all between it and the last line before it that can be read, which was not
    written to its end.
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


class Head(msgspec.Struct, frozen=True):
    """The number and the digest of the last line."""

    number: int
    digest: str


class End(msgspec.Struct, frozen=True):
    """Where a log ends: the ``number`` of the next line, and the digest that it names as that of the one before.

    ``torn`` is the digest of what a crash left behind that, "" where it left nothing; ``open_`` is whether the last
    byte is no end of a line.
    """

    number: int
    previous: str
    torn: str = ""
    open_: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """Whether a log is as it was written: how many lines it has, and what is wrong with it, in sentences."""

    lines: int
    faults: list[str]


def verify(path: Path) -> Verdict:
    """Look for lines that were changed, moved, added or taken out. Raises `AuditError` where it can't be read.

    What can't be read at the end, and lines behind the one that the head names, are what a crash may have left.
    """
    faults: list[str] = []
    number, previous, at_head = 1, NOTHING, None
    head = read_head(path)
    unread: list[bytes] = []
    for place, line in enumerate(raw(path), 1):
        entry = _entry(line)
        if entry is None:
            unread.append(line)
            continue
        told = entry.digest if entry.kind == "torn" else ""
        if told != _torn(unread):
            faults.append(
                f"Line {place - len(unread)} can't be read." if unread
                else f"What a crash left before line {place} was taken out."
            )  # fmt: skip
        unread.clear()
        if (entry.number, entry.previous) != (number, previous):
            faults.append(f"Line {place} does not follow the one before it: something was changed, moved or taken out.")
        number, previous = entry.number + 1, digest(line)
        if head is not None and entry.number == head.number:
            at_head = previous
    lines = number - 1
    # Without a head one line is what a crash leaves that came while the first was written.
    if head is None and lines > 1:
        faults.append(f"The file that names the last line, {head_file(path).name}, is missing or can't be read.")
    elif head is not None and at_head != head.digest:
        faults.append(f"The log does not end as it was written: line {head.number} is missing or was changed.")
    return Verdict(lines, faults)


def read(path: Path, start: int = 0) -> Iterator[tuple[Entry, int]]:
    """Entries from an offset in bytes on, each with the offset behind it; a line that can't be read is passed over.

    Raises `AuditError` where the file can't be read; where there is none, there are no entries.
    """
    at = start
    for line in raw(path, start):
        at += len(line)
        entry = _entry(line)
        if entry is not None:
            yield entry, at


def raw(path: Path, start: int = 0) -> Iterator[bytes]:
    """Lines as they are, from an offset in bytes on. Raises `AuditError` where the file can't be read."""
    try:
        with _opened(path) as file:
            file.seek(start)
            yield from file
    except FileNotFoundError:
        return
    except OSError as error:
        raise AuditError(f"The audit log {path} can't be read: {error.strerror}.") from error


def end_of(path: Path) -> End:
    """Where a log goes on. Raises `AuditError` and ``OSError``.

    What the head names counts, and not the line that is there: so what was changed or taken out stays visible, however
    much is written after it. Only of what was written when a crash came the head does not know yet.
    """
    head = read_head(path)
    number, previous = 0, NOTHING
    unread: list[bytes] = []
    open_: bool | None = None
    for line in _backwards(path):
        open_ = not line.endswith(b"\n") if open_ is None else open_
        entry = _entry(line)
        if entry is not None:
            number, previous = entry.number, digest(line)
            break
        unread.insert(0, line)
    if head is not None and number <= head.number:
        number, previous = head.number, head.digest
    elif head is None and number > 1:
        previous = _NO_HEAD
    return End(number + 1, previous, _torn(unread), bool(open_))


def digest(line: bytes) -> str:
    """The digest by which a line is named, without its end."""
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


def head_file(path: Path) -> Path:
    """The file beside a log that names its last line."""
    return path.with_name(f"{path.name}.head")


def read_head(path: Path) -> Head | None:
    """What the last line is; None where nobody knows. Raises `AuditError` where that can't be read."""
    try:
        with _opened(head_file(path)) as file:
            return msgspec.json.decode(file.read(), type=Head)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise AuditError(f"The audit log {path} can't be read: {error.strerror}.") from error


def _opened(path: Path) -> BinaryIO:
    """A file for reading, and nothing else of that name: who opens a pipe waits for ever. Raises ``OSError``."""
    flags = getattr(os, "O_NONBLOCK", 0)
    file = open(path, "rb", opener=lambda name, how: os.open(name, how | flags))  # noqa: SIM115 - handed on
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no file")
    return file


def _torn(unread: list[bytes]) -> str:
    """The digest of what can't be read, "" where there is nothing of the kind."""
    return digest(b"".join(unread)) if unread else ""


def _entry(line: bytes) -> Entry | None:
    # A line whose end alone is missing is whole: no beginning of one can be read.
    try:
        return msgspec.json.decode(line, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _backwards(path: Path) -> Iterator[bytes]:
    """Lines of a file from its end, each with the newline that it has."""
    try:
        file = _opened(path)
    except FileNotFoundError:
        return
    with file:
        at, rest = file.seek(0, os.SEEK_END), b""
        while at > 0:
            step = min(max(_CHUNK, len(rest)), at)  # twice as much each time, where a line has no end
            at = file.seek(at - step)
            rest = file.read(step) + rest
            while (cut := rest.rfind(b"\n", 0, len(rest) - 1)) >= 0:
                yield rest[cut + 1 :]
                rest = rest[: cut + 1]
        if rest:
            yield rest
