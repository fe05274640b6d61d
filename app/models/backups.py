"""Files of messages as they were in a broker: a copy of what was purged, or what somebody exported.

A file is ``CLOCHE MESSAGES 1`` and a line feed, what it is about as JSON, and the messages, in the order in which
workers would take them. The JSON and each message have their length before them, 4 bytes, the most significant first.
At the end are four bytes FF, the number of messages in 8 bytes, and the SHA-256 of all that is before it, so that a
file which was cut off or changed is told from a whole one. It is readable by its owner only.
"""

import hashlib
import os
import secrets
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Self

import msgspec

MAGIC: Final = b"CLOCHE MESSAGES 1\n"
#: Bytes that a message may have; Redis takes none that is larger.
LARGEST: Final = 512 << 20
_LENGTH: Final = struct.Struct(">I")
_COUNT: Final = struct.Struct(">Q")
_END: Final = 0xFFFFFFFF
_DIGEST: Final = hashlib.sha256().digest_size


class BackupError(Exception):
    """A file of messages can't be written, or is not as it was written; a sentence."""


class About(msgspec.Struct, frozen=True):
    """What a file holds: messages of a ``queue`` or quarantine of a ``broker`` (without password), as of ``made``."""

    broker: str
    queue: str
    made: float


class BackupWriter:
    """Writes a file that appears when it is complete, and never in the place of another; used in a ``with``.

    Raises `BackupError`, as `write` and `finish` do.
    """

    def __init__(self, path: Path, about: About) -> None:
        self.count = 0
        self._path = _checked(path)
        self._digest = hashlib.sha256()
        self._part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        if path.exists():
            raise BackupError(f"There is a file {path} already: name another.")
        try:
            # Windows would change line ends otherwise.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            self._file: BinaryIO = os.fdopen(os.open(self._part, flags, 0o600), "wb")
        except OSError as error:
            raise self._failed(error) from error
        self._put(MAGIC)
        self._record(msgspec.json.encode(about))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Forget what was not finished."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)

    def write(self, messages: Iterable[bytes]) -> None:
        """Add messages."""
        for raw in messages:
            self._record(raw)
            self.count += 1

    def finish(self) -> None:
        """Complete the file and have it on the disk, under its name."""
        self._put(_LENGTH.pack(_END) + _COUNT.pack(self.count))
        try:
            self._file.write(self._digest.digest())
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            _name(self._part, self._path)
        except OSError as error:
            raise self._failed(error) from error

    def _record(self, data: bytes) -> None:
        self._put(_LENGTH.pack(len(data)))
        self._put(data)

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> BackupError:
        if isinstance(error, FileExistsError):
            return BackupError(f"There is a file {self._path} already: name another.")
        return BackupError(f"Messages can't be written to {self._path}: {error.strerror or error}.")


class BackupReader:
    """Reads a file of messages. Raises `BackupError`, as `messages` does."""

    def __init__(self, path: Path) -> None:
        self.path = _checked(path)
        if path.exists() and not path.is_file():  # a pipe is read once, and its end may never come
            raise BackupError(f"{path} is no file.")
        #: The SHA-256 of the file, in hexadecimal, once its end was reached.
        self.digest = ""
        #: Which file it was when it was opened first, and when that was changed last.
        self._was: tuple[int, ...] | None = None
        self.about = next(self._read(only=True))[1]

    def messages(self) -> Iterator[bytes]:
        """The messages, one by one. That the file is whole and as it was written is known when they end."""
        for raw, _ in self._read():
            yield raw

    def verify(self) -> int:
        """The number of messages of a file that is as it was written."""
        return sum(1 for _ in self.messages())

    def _read(self, *, only: bool = False) -> Iterator[tuple[bytes, About]]:
        """Messages, each with what all are about; ``only`` that, once, with no message."""
        try:
            with self.path.open("rb") as file:
                self._check_same(file)
                yield from self._records(file, only=only)
        except OSError as error:
            raise BackupError(f"{self.path} can't be read: {error.strerror or error}.") from error

    def _check_same(self, file: BinaryIO) -> None:
        """What is read now is what was read before, and not another file of that name."""
        told = os.fstat(file.fileno())
        now = told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns
        if self._was not in (None, now):
            raise self._changed()
        self._was = now

    def _records(self, file: BinaryIO, *, only: bool) -> Iterator[tuple[bytes, About]]:
        digest = hashlib.sha256()

        def take(number: int) -> bytes:
            data = file.read(number)
            if len(data) < number:
                raise BackupError(f"{self.path} was cut off: its end is missing.")
            digest.update(data)
            return data

        if file.read(len(MAGIC)) != MAGIC:
            raise BackupError(f"{self.path} is not a file of messages that Cloche wrote.")
        digest.update(MAGIC)
        (length,) = _LENGTH.unpack(take(_LENGTH.size))
        try:
            about = msgspec.json.decode(take(self._known(length)), type=About)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._changed() from error
        if only:
            yield b"", about
            return
        count = 0
        while (length := _LENGTH.unpack(take(_LENGTH.size))[0]) != _END:
            yield take(self._known(length)), about
            count += 1
        (told,) = _COUNT.unpack(take(_COUNT.size))
        expected = digest.digest()
        if told != count or take(_DIGEST) != expected or file.read(1):
            raise self._changed()
        self.digest = expected.hex()

    def _known(self, length: int) -> int:
        if length > LARGEST:
            raise self._changed()
        return int(length)

    def _changed(self) -> BackupError:
        return BackupError(f"{self.path} is not as it was written: something in it was changed.")


def _checked(path: Path) -> Path:
    """A path that a file may have. Raises `BackupError` for what the system could not even be asked for."""
    try:
        os.fsencode(path)
    except ValueError:  # half of a surrogate pair
        encodable = False
    else:
        encodable = "\0" not in str(path)
    if not encodable or not path.name:
        raise BackupError(f"{str(path)!r} can't be the name of a file.")
    return path


def _name(part: Path, path: Path) -> None:
    """Give a file its name, unless there is one of that name. Raises ``OSError``."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, where nobody can be kept from being as quick
        if path.exists():
            raise FileExistsError from None
        part.rename(path)
    if hasattr(os, "O_DIRECTORY"):  # that the name is on the disk, too
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
