"""A jump host for the tests: a real ``sshd`` with keys of its own, and settings for ``ssh`` that know of no other.

    with SshServer() as bastion:
        connect(url, options=bastion.options)

Nobody's own keys, agent, settings or known hosts are read or written.
"""

import getpass
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.helpers.servers import HOST, Server

ALIAS = "bastion"


class SshServer(Server):
    """It listens on 127.0.0.1 and lets in who runs the tests, by a key, and nobody else.

    Args:
        settings: further lines of its configuration, such as ``AllowTcpForwarding no``.
    """

    def __init__(self, *settings: str) -> None:
        super().__init__()
        self._settings = settings
        self._key = 0

    @property
    def options(self) -> dict[str, str]:
        """What leads a connection through it."""
        return {"ssh": ALIAS, "ssh_config": str(self.config)}

    @property
    def config(self) -> Path:
        """The user's settings of ssh, where it is the host `ALIAS`."""
        return self.folder / "config"

    @property
    def sign_ins(self) -> int:
        """How often somebody was let in."""
        return self.log.count("Accepted publickey")

    @property
    def calls(self) -> int:
        """How often somebody connected, let in or not."""
        return self.log.count("Connection from ")

    def host(self, alias: str = ALIAS, *further: str) -> str:
        """What the user's settings say of it, under a name; further lines count before the others."""
        lines = (
            *further, f"HostName {HOST}", f"Port {self.port}", f"User {getpass.getuser()}",
            f"IdentityFile {self.user_key()}", "IdentitiesOnly yes", "IdentityAgent none",
            f"UserKnownHostsFile {self.folder / 'known_hosts'}", f"GlobalKnownHostsFile {os.devnull}",
        )  # fmt: skip
        return f"Host {alias}\n" + "".join(f"  {line}\n" for line in lines)

    def settle(self, *hosts: str) -> None:
        """Write the user's settings: what is said of each host, and by default of this one."""
        self.config.write_text("".join(hosts or [self.host()]), encoding="ascii")

    def user_key(self) -> Path:
        """The key that is let in."""
        return _key(self.folder / "user")

    def know(self) -> None:
        """Let the user know its present key, and no other."""
        line = f"[{HOST}]:{self.port} {self._host_key().with_suffix('.pub').read_text(encoding='ascii')}"
        (self.folder / "known_hosts").write_text(line, encoding="ascii")

    def forget(self) -> None:
        """Let the user know no key of it."""
        (self.folder / "known_hosts").write_text("", encoding="ascii")

    def change_key(self) -> None:
        """Have another key, as another machine in its place would, from the next start on."""
        self._key += 1

    @property
    def children(self) -> list[psutil.Process]:
        """Its processes that serve somebody each."""
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).children(recursive=True)
        return []

    def cut(self) -> None:
        """Break all its connections, as a machine that goes down does."""
        for each in self.children:
            with suppress(psutil.NoSuchProcess):
                each.kill()

    def start(self) -> None:
        if not self.config.exists():
            self.know()
            self.settle()
        super().start()

    def kill(self) -> None:
        """End it and whatever it serves."""
        if self._process is not None:
            self.cut()
        super().kill()

    def freeze(self) -> None:
        """Answer nothing, in its processes that serve somebody too."""
        super().freeze()
        for each in self.children:
            each.suspend()

    def thaw(self) -> None:
        super().thaw()
        for each in self.children:
            each.resume()

    def _host_key(self) -> Path:
        return _key(self.folder / f"host{self._key}")

    def _command(self) -> list[str]:
        return [_program(), "-D", "-e", "-f", str(self._configured())]

    def _configured(self) -> Path:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # the empty folder that it locks itself into
        allowed = self.folder / "authorized_keys"
        allowed.write_text(self.user_key().with_suffix(".pub").read_text(encoding="ascii"), encoding="ascii")
        lines = (
            *self._settings, f"Port {self.port}", f"ListenAddress {HOST}", f"HostKey {self._host_key()}",
            f"AuthorizedKeysFile {allowed}", "StrictModes no", "PidFile none", "UsePAM no", "LogLevel VERBOSE",
            "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin prohibit-password",
        )  # fmt: skip
        settings = self.folder / "sshd_config"
        settings.write_text("\n".join(lines) + "\n", encoding="ascii")
        return settings

    def _answers(self) -> bool:
        return self._exchange(b"").startswith(b"SSH-")


def tunnels(process: psutil.Process | None = None) -> list[psutil.Process]:
    """What runs of ssh for a process, or for this one, and that for others on the way."""
    found = (process or psutil.Process()).children(recursive=True)
    return [each for each in found if is_alive(each) and each.name() == "ssh"]


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _key(path: Path) -> Path:
    if not path.exists():
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def _program() -> str:
    """Its whole path, without which it does not start."""
    found = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip("no sshd: install it from your system's packages (Debian: openssh-server)")
    return found
