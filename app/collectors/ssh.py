"""A way to a broker through a jump host, by the system's ``ssh``: with the user's agent, keys, settings, known hosts.

Each connection is an ``ssh -W host:port`` of its own that speaks into one end of a socket pair; the other one is ours.
So nothing listens on this machine that others on it could connect to, and no port has to be found. Names are looked up
at the jump host, wherever a sentinel says that the master is now. TLS checks the broker's real name as it does without
a tunnel. And when we end, however that comes, ssh reads the end of its input, and ends too. The price is a sign-in at
the jump host for each of the few connections to a broker; a master connection that the user keeps open
(``ControlMaster``) saves it.

ssh asks nothing here (``BatchMode``) and checks host keys strictly: what would need an answer is refused, and said with
what to do about it. No password is ever given to it.
"""

import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from app.collectors.clean import clean_word
from app.collectors.errors import AUTH_PAUSE, BrokerError
from app.collectors.ssh_errors import ssh_error
from app.collectors.tls import Tls
from app.paths import outside_environment

#: Our own options: the jump host as ``[user@]host[:port]``, and a file with settings of ssh instead of the user's own.
OPTIONS: Final = ("ssh", "ssh_config")
#: Seconds to wait for the jump host to answer, and to be signed in there; there may be others on the way to it.
CONNECT_TIMEOUT: Final = 10
SIGN_IN_TIMEOUT: Final = 20.0
#: Seconds between two signs of life, of which the third that is missed ends a tunnel that nobody uses any more.
ALIVE: Final = 5
#: Seconds for an ssh to end that was told to, or that broke off.
GRACE: Final = 1.0
#: Lines of what it said that are kept, and bytes of one.
LINES: Final = 40
MAX_LINE: Final = 1_000

#: What goes to ssh as a word of its own, or into a command of the user's settings, holds nothing that a shell knows.
_JUMP_HOST: Final = re.compile(r"(?:(\w[\w.+@-]*)@)?(\w[\w.-]*|\[[0-9A-Fa-f:.]+(?:%\w+)?\])(?::(\d{1,5}))?", re.ASCII)
_HOST: Final = re.compile(r"[\w.:%-]{1,255}", re.ASCII)
_SIGNED_IN: Final = "Authenticated to "
_SETTINGS: Final = (
    "BatchMode=yes", "StrictHostKeyChecking=yes", f"ConnectTimeout={CONNECT_TIMEOUT}",
    f"ServerAliveInterval={ALIVE}", "ServerAliveCountMax=3",
    "ControlMaster=no",  # nothing of ours stays behind
    "PermitLocalCommand=no",  # it would write into the tunnel
    "LogLevel=VERBOSE",  # it says when it is signed in
)  # fmt: skip


class TunnelError(ConnectionError):
    """A tunnel ended otherwise than by the broker's will; ``known`` is what that means."""

    def __init__(self, known: BrokerError) -> None:
        super().__init__(str(known))
        self.known = known


class JumpHost:
    """Where ssh signs in, and connects from; may be used from any thread.

    Sign-ins are made one at a time, and what one was told counts for those who waited for it; a refusal counts for half
    a minute. ``reached`` is whether the last one succeeded.
    """

    def __init__(self, host: str, user: str = "", port: str = "", config: str = "") -> None:
        self.shown = f"{user}{'@' if user else ''}{host}{':' if port else ''}{port}"
        self.reached = False
        self._words = [*(["-F", config] if config else []), *(["-p", port] if port else [])]
        self._to = f"{user}{'@' if user else ''}{host.strip('[]')}"
        self._signing = threading.Lock()
        self._refused: tuple[float, BrokerError] | None = None

    @property
    def by_hand(self) -> str:
        """What to type into a terminal to get there."""
        return shlex.join(["ssh", *self._words, self._to])

    def connect(self, host: str, port: int) -> "Tunnel":
        """A tunnel to a port, of a host whose name is looked up at the jump host.

        The jump host is signed in at; whether it reaches that port shows when the tunnel is used. Raises `BrokerError`,
        and ``OSError`` for what is not a host's name.
        """
        try:
            name = host.encode("idna").decode("ascii")
        except UnicodeError:
            name = ""
        if not _HOST.fullmatch(name):
            raise socket.gaierror(socket.EAI_NONAME, "it is not a host name")
        came = time.monotonic()
        with self._signing:
            if self._refused is not None and came < self._refused[0]:
                known = self._refused[1]
                raise BrokerError(known.fault, str(known)) from known.__cause__
            try:
                made = self._tunnel(name, port)
            except BrokerError as error:
                self.reached = False
                self._refused = (time.monotonic() + (AUTH_PAUSE if error.refused else 0.0), error)
                raise
            self.reached, self._refused = True, None
            return made

    def _tunnel(self, name: str, port: int) -> "Tunnel":
        program = shutil.which("ssh")
        if program is None:
            raise BrokerError("tunnel", "There is no program ssh on this machine: install OpenSSH's client.")
        settings = [word for setting in _SETTINGS for word in ("-o", setting)]
        command = [program, *self._words, *settings]
        shared = self._is_shared(command)
        ours, theirs = socket.socketpair()
        made = Tunnel(fileno=ours.detach())
        try:
            with theirs:
                made.ssh = Ssh([*command, "-W", f"[{name}]:{port}", "--", self._to], theirs, self, f"{name}:{port}")
            made.ssh.sign_in(signed_in=shared)
        except BaseException:
            made.close()
            raise
        return made

    def _is_shared(self, command: Sequence[str]) -> bool:
        """Whether there is a master connection, over which nobody has to sign in, and nothing is said of it."""
        asked = [*command, "-O", "check", "--", self._to]
        try:
            done = subprocess.run(
                asked,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=CONNECT_TIMEOUT,
                env=_outside(),
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0


class Ssh:
    """One process from its beginning to its end, and what it said."""

    def __init__(self, command: Sequence[str], speaks_into: socket.socket, jump_host: JumpHost, to: str) -> None:
        self._jump_host, self._to = jump_host, to
        self._said: deque[str] = deque(maxlen=LINES)
        self._signed_in = False
        self._news = threading.Event()
        ends = speaks_into.fileno()
        try:
            self._process = subprocess.Popen(
                command, stdin=ends, stdout=ends, stderr=subprocess.PIPE, env=_outside(),
                start_new_session=True,  # with no terminal to ask in, nor for others on the way
            )  # fmt: skip
        except OSError as error:
            raise BrokerError("tunnel", f"The program ssh can't be started: {error.strerror}.") from error
        #: Ends it; called too when we end, while somebody waits for it.
        self.end = weakref.finalize(self, _end, self._process)
        self._listener = threading.Thread(target=self._listen, name="ssh", daemon=True)
        self._listener.start()

    def sign_in(self, *, signed_in: bool) -> None:
        """Wait until it is signed in, if it is not yet. Raises `BrokerError`."""
        if signed_in:
            self._signed_in = True
            return
        if not self._news.wait(SIGN_IN_TIMEOUT):
            text = f"The jump host {self._jump_host.shown} did not let us in within {SIGN_IN_TIMEOUT:.0f} s."
            raise BrokerError("network", f"{text} Try it in a terminal: {self._jump_host.by_hand}") from TimeoutError()
        if not self._signed_in:
            raise self.failure() or self._error()

    def failure(self) -> BrokerError | None:
        """Why it ended by itself; None where it did not, or ended because the broker did."""
        try:
            code = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            return None
        if not self.end.alive or code == 0:
            return None
        self._listener.join(GRACE)
        return self._error()

    def _error(self) -> BrokerError:
        jump_host = self._jump_host
        return ssh_error(list(self._said), jump_host.shown, jump_host.by_hand, self._to, signed_in=self._signed_in)

    def _listen(self) -> None:
        stderr = self._process.stderr
        if stderr is not None:
            with stderr:
                while line := stderr.readline(MAX_LINE):
                    self._hear(clean_word(line.decode("utf-8", "replace").strip()))
        self._process.wait()
        self._news.set()

    def _hear(self, line: str) -> None:
        if line.startswith(_SIGNED_IN):
            self._signed_in = True
            self._said.clear()  # such as what everybody is greeted with
            self._news.set()
        elif line:
            self._said.append(line)


class Tunnel(socket.socket):
    """Our end of a tunnel. Closing it ends its ssh; where that failed, reading and writing raise a `TunnelError`."""

    ssh: Ssh | None = None

    def secured(self, tls: Tls, host: str) -> ssl.SSLSocket:
        """The same with TLS to ``host``, the tunnel's own end. Raises ``OSError``, and then both are closed."""
        try:
            with self._explained():
                made = cast("_SecureTunnel", tls.secure(self, host, _SecureTunnel))
        except BaseException:
            if self.ssh is not None:
                self.ssh.end()
            raise
        made.ssh = self.ssh
        return made

    def recv(self, *args: Any) -> bytes:
        with self._explained():
            data = super().recv(*args)
        if not data:
            self._explain()
        return data

    def recv_into(self, *args: Any) -> int:
        with self._explained():
            size = super().recv_into(*args)
        if not size:
            self._explain()
        return size

    def send(self, *args: Any) -> int:
        with self._explained():
            return super().send(*args)

    def sendall(self, *args: Any) -> None:
        with self._explained():
            super().sendall(*args)

    def shutdown(self, how: int) -> None:
        super().shutdown(how)
        if self.ssh is not None:
            self.ssh.end()

    def close(self) -> None:
        was_open = self.fileno() >= 0  # and is not the other's now, which speaks TLS over it
        super().close()
        if was_open and self.fileno() < 0 and self.ssh is not None:
            self.ssh.end()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (ConnectionError, ssl.SSLEOFError):
            self._explain()
            raise

    def _explain(self) -> None:
        """Raises `TunnelError` where it was ssh that ended this connection."""
        known = None if self.ssh is None else self.ssh.failure()
        if known is not None:
            raise TunnelError(known)


class _SecureTunnel(Tunnel, ssl.SSLSocket):
    """A tunnel with TLS inside."""


def jump_host_of(options: Mapping[str, str], parameters: Collection[str] = ()) -> JumpHost | None:
    """The jump host that options name, if they do; ``parameters`` of an address may not.

    An address comes from anywhere, and settings of ssh may name programs to be run. Raises `BrokerError` (fault
    ``address``).
    """
    if any(option in parameters for option in OPTIONS):
        raise BrokerError("address", "A jump host is no part of an address: give it as an option, such as ssh=bastion.")
    given, config = options.get("ssh", ""), options.get("ssh_config", "")
    if not given:
        if config:
            raise BrokerError("address", "ssh_config is of no use without the jump host (ssh).")
        return None
    if sys.platform == "win32":
        text = "SSH tunnels are not made on Windows in this version. Open one yourself: ssh -N -L 6379:broker:6379"
        raise BrokerError("address", f"{text} bastion, and connect to localhost:6379.")
    parts = _JUMP_HOST.fullmatch(given)
    if parts is None:
        text = "ssh is a jump host like user@bastion.example:22, or a Host of your SSH settings"
        raise BrokerError("address", f"{text} in letters, digits, '-', '_' and '.', not {clean_word(given)!r}.")
    if config and not Path(config).is_file():
        raise BrokerError("address", f"There is no file {config!r} (ssh_config).")
    return JumpHost(parts[2], parts[1] or "", parts[3] or "", config)


def _outside() -> dict[str, str]:
    return {**outside_environment(), "SSH_ASKPASS_REQUIRE": "never"}


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
