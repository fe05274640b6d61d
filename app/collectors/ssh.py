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
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from app.collectors.clean import clean_word
from app.collectors.errors import AUTH_PAUSE, BrokerError
from app.collectors.ssh_errors import ssh_error
from app.collectors.tunnel import Ssh, Tunnel
from app.models.options import SSH
from app.paths import outside_environment

#: Seconds to wait for the jump host to answer, and to be signed in there; there may be others on the way to it.
CONNECT_TIMEOUT: Final = 10
SIGN_IN_TIMEOUT: Final = 20.0
#: Seconds between two signs of life, of which the third that is missed ends a tunnel that nobody uses any more.
ALIVE: Final = 5

#: What goes to ssh as a word of its own, or into a command of the user's settings, holds nothing that a shell knows.
_JUMP_HOST: Final = re.compile(r"(?:(\w[\w.+@-]*)@)?(\w[\w.-]*|\[[0-9A-Fa-f:.]+(?:%\w+)?\])(?::(\d{1,5}))?", re.ASCII)
_HOST: Final = re.compile(r"[\w.:%-]{1,255}", re.ASCII)
_NO_PART: Final = "A jump host is no part of an address: give it as an option, such as ssh=bastion."
_SETTINGS: Final = (
    "BatchMode=yes", "StrictHostKeyChecking=yes", f"ConnectTimeout={CONNECT_TIMEOUT}",
    f"ServerAliveInterval={ALIVE}", "ServerAliveCountMax=3",
    "ControlMaster=no",  # nothing of ours stays behind
    "PermitLocalCommand=no",  # it would write into the tunnel
    "LogLevel=VERBOSE",  # it says when it is signed in
)  # fmt: skip


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

    def connect(self, host: str, port: int) -> Tunnel:
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

    def _tunnel(self, name: str, port: int) -> Tunnel:
        program = shutil.which("ssh")
        if program is None:
            raise BrokerError("tunnel", "There is no program ssh on this machine: install OpenSSH's client.")
        settings = [word for setting in _SETTINGS for word in ("-o", setting)]
        command = [program, *self._words, *settings]
        environment = {**outside_environment(), "SSH_ASKPASS_REQUIRE": "never"}
        shared = self._is_shared(command, environment)

        def explain(said: Sequence[str], signed_in: bool) -> BrokerError:
            return ssh_error(said, self.shown, self.by_hand, f"{name}:{port}", signed_in=signed_in)

        ours, theirs = socket.socketpair()
        made = Tunnel(fileno=ours.detach())
        try:
            with theirs:
                made.ssh = Ssh([*command, "-W", f"[{name}]:{port}", "--", self._to], environment, theirs, explain)
            if not shared:
                made.ssh.sign_in(SIGN_IN_TIMEOUT)
        except TimeoutError as error:
            made.close()
            text = f"The jump host {self.shown} did not let us in within {SIGN_IN_TIMEOUT:.0f} s. In a terminal it is:"
            raise BrokerError("network", f"{text} {self.by_hand}") from error
        except BaseException:
            made.close()
            raise
        return made

    def _is_shared(self, command: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Whether there is a master connection, over which nobody has to sign in, and nothing is said of it."""
        asked = [*command, "-O", "check", "--", self._to]
        try:
            done = subprocess.run(
                asked,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=CONNECT_TIMEOUT,
                env=environment,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0


def jump_host_of(options: Mapping[str, str], parameters: Collection[str] = ()) -> JumpHost | None:
    """The jump host that options name, if they do; ``parameters`` of an address may not.

    An address comes from anywhere, and settings of ssh may name programs to be run. Raises `BrokerError` (fault
    ``address``).
    """
    if any(option in parameters for option in SSH):
        raise BrokerError("address", _NO_PART)
    given, config = options.get("ssh", ""), options.get("ssh_config", "")
    if not given:
        if config:
            raise BrokerError("address", "ssh_config is of no use without the jump host (ssh).", option="ssh_config")
        return None
    if sys.platform == "win32":
        text = "SSH tunnels are not made on Windows in this version. Open one yourself: ssh -N -L 6379:broker:6379"
        raise BrokerError("address", f"{text} bastion, and connect to localhost:6379.", option="ssh")
    parts = _JUMP_HOST.fullmatch(given)
    if parts is None:
        text = "ssh is a jump host like user@bastion.example:22, or a Host of your SSH settings"
        raise BrokerError(
            "address", f"{text} in letters, digits, '-', '_' and '.', not {clean_word(given)!r}.", option="ssh"
        )
    if config and not Path(config).is_file():
        raise BrokerError("address", f"There is no file {config!r} (ssh_config).", option="ssh_config")
    return JumpHost(parts[2], parts[1] or "", parts[3] or "", config)
