"""A password that sings: it is looked for, in every form that it may take, in whatever the program leaves or shows."""

import base64
import json
import os
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote, quote_plus

import psutil
from redis import Redis

from tests.collectors.conftest import command
from tests.helpers.servers import RedisServer

#: What is quoted, escaped and encoded in different ways differs in all of them.
CANARY: Final = 'kanari-7 ü/"€"&x'

#: What the arguments of all processes of this program have in them, and the mark between two of them.
#: Bytes of it that are too many to be found by chance.
_PIECE: Final = 8
APP: Final = b"\0app\0"
NUL: Final = b"\0"
#: Seconds between two looks at processes and files.
_LOOK: Final = 0.05
#: Characters of each saying that are kept.
_KEPT: Final = 100_000


def forms(secret: str) -> dict[str, list[bytes]]:
    """Each form of a password, in the ways that it is written in."""
    raw = secret.encode()
    escaped = json.dumps(secret)[1:-1]
    return {
        "raw": [raw, raw[:_PIECE], raw[-_PIECE:]],
        "url-quoted": _both([quote(secret), quote(secret, safe=""), quote_plus(secret), quote_plus(secret, safe="/")]),
        "base64": [word for at in range(3) for word in _encoded(raw, at)],
        "hex": _both([raw.hex(), raw.hex(" "), raw.hex(":")]),
        "utf-16": [secret.encode("utf-16-le"), secret.encode("utf-16-be")],
        "json-escaped": _both([escaped, json.dumps(secret, ensure_ascii=False)[1:-1], escaped.replace("/", "\\/")]),
    }


def _both(words: Iterable[str]) -> list[bytes]:
    return [form.encode() for word in words for form in (word, word.upper())]


def _encoded(raw: bytes, before: int) -> list[bytes]:
    """What base64 always makes of it behind so many other bytes, whatever these are, and whatever follows."""
    sure = slice((before * 8 + 5) // 6, (before + len(raw)) * 8 // 6)
    padded = bytes(before) + raw
    return [encode(padded)[sure] for encode in (base64.b64encode, base64.urlsafe_b64encode)]


class Aviary:
    """Looks for passwords in bytes, files, and processes. ``hits`` are the forms that were found, and where.

    While it is entered it looks at all files below ``folder``, also those that are there for a moment only, and at the
    arguments and the environment of every process of this program that this one started.
    """

    def __init__(self, folder: Path, *secrets: str) -> None:
        self.hits: set[str] = set()
        self.looked_at: set[str] = set()
        #: All that was said somewhere, for those who want to be sure that it was something.
        self.said: dict[str, str] = {}
        self._folder = folder
        self._forms = [
            (name, form) for secret in secrets for name, written in forms(secret).items() for form in set(written)
        ]
        self._seen: dict[Path, tuple[int, int]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="aviary")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self.look()

    def listen(self, where: str, said: bytes | str) -> None:
        """Look for them in what was said somewhere."""
        data = said.encode("utf-8", "surrogateescape") if isinstance(said, str) else said
        self.looked_at.add(where)
        self.said[where] = self.said.get(where, "") + data.decode("utf-8", "replace")[:_KEPT]
        self.hits |= {f"{name} in {where}" for name, form in self._forms if form in data}

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK):
            self.look()

    def look(self) -> None:
        """Look at what there is now."""
        for path in self._folder.rglob("*"):
            with suppress(OSError):  # it is gone, or no file
                stat = path.stat()
                if path.is_file() and self._seen.get(path) != (stat.st_mtime_ns, stat.st_size):
                    self._seen[path] = (stat.st_mtime_ns, stat.st_size)
                    self.listen(f"file {path.relative_to(self._folder)}", _read_elsewhere(path))
        for process in psutil.Process(os.getpid()).children(recursive=True):
            with suppress(OSError):
                place = Path("/proc") / str(process.pid)
                words = (place / "cmdline").read_bytes()
                if APP in words:
                    self.listen(f"arguments of {words.split(APP)[1].split(NUL)[0].decode()}", words)
                    self.listen("the environment", (place / "environ").read_bytes())


def _read_elsewhere(path: Path) -> bytes:
    """What is in a file, read by another process. Raises ``OSError`` where it is gone.

    A process that closes a file loses all locks that it has on it, by POSIX. So if this one read a history that its own
    window has open, whoever opens that next would take the index of its log for nobody's, and cut it off under it.
    """
    done = subprocess.run(["cat", "--", path], capture_output=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.decode())
    return done.stdout


@contextmanager
def locked(server: RedisServer) -> Iterator[Redis]:
    """A Redis that wants the password now, and a client that has it."""
    with Redis.from_url(server.url) as stranger:
        command(stranger, "CONFIG", "SET", "requirepass", CANARY)
    with Redis.from_url(server.url, password=CANARY) as client:
        yield client


@contextmanager
def watched(server: RedisServer, aviary: Aviary) -> Iterator[Redis]:
    """The same, and what it is told is listened to."""
    with locked(server) as client, client.monitor() as monitor:  # type: ignore[no-untyped-call]
        command(client, "CONFIG", "SET", "slowlog-log-slower-than", "0")
        yield client
        client.echo("end of the watch")
        while "end of the watch" not in (told := str(monitor.next_command())):
            if "requirepass" not in told:  # that was us
                aviary.listen("MONITOR", told)
        for entry in client.slowlog_get(1_000):
            if b"requirepass" not in entry["command"]:
                aviary.listen("SLOWLOG", repr(entry["command"]))


def found_nothing(aviary: Aviary, *looked_at: str) -> None:
    """Nothing was found, and it was looked for there."""
    aviary.look()
    assert aviary.hits == set(), aviary.hits
    missing = [place for place in looked_at if not any(place in seen for seen in aviary.looked_at)]
    assert not missing, f"{missing} of {aviary.looked_at}"
