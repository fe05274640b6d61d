"""Finds which system libraries and programs are missing, and installs them where that takes no question."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.shell import Trouble, run_quietly, say

_PROGRAM_FOLDERS = ("/usr/sbin", "/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/homebrew/sbin")
"""Where servers live that are on the PATH of root only, or on nobody's."""


@dataclass(frozen=True)
class Need:
    """One thing that the system has to bring: a shared library by its soname, a program, or a Python module."""

    name: str
    debian: str
    arch: str = ""
    kind: str = "library"
    python: str = sys.executable

    def is_met(self) -> bool:
        """Whether it is there, found the way it will be used."""
        if self.kind == "program":
            return find_program(self.name) is not None
        if self.kind == "module":
            return run_quietly([self.python, "-c", "import " + self.name]).returncode == 0
        try:
            ctypes.CDLL(self.name)
        except OSError:
            return False
        return True


# What PySide6 does not bring along. Read off the wheels (`readelf -d`) and tried in a bare Debian 12.
QT_LIBRARIES = (
    Need("libEGL.so.1", "libegl1", "libglvnd"),
    Need("libGL.so.1", "libgl1", "libglvnd"),
    Need("libX11.so.6", "libx11-6", "libx11"),
    Need("libbrotlidec.so.1", "libbrotli1", "brotli"),
    Need("libdbus-1.so.3", "libdbus-1-3", "dbus"),
    Need("libfontconfig.so.1", "libfontconfig1", "fontconfig"),
    Need("libfreetype.so.6", "libfreetype6", "freetype2"),
    Need("libglib-2.0.so.0", "libglib2.0-0", "glib2"),
    Need("libgssapi_krb5.so.2", "libgssapi-krb5-2", "krb5"),
    Need("libxkbcommon.so.0", "libxkbcommon0", "libxkbcommon"),
    Need("libzstd.so.1", "libzstd1", "zstd"),
)
X11_LIBRARIES = (
    Need("libX11-xcb.so.1", "libx11-xcb1", "libx11"),
    Need("libxcb-cursor.so.0", "libxcb-cursor0", "xcb-util-cursor"),
    Need("libxcb-icccm.so.4", "libxcb-icccm4", "xcb-util-wm"),
    Need("libxcb-image.so.0", "libxcb-image0", "xcb-util-image"),
    Need("libxcb-keysyms.so.1", "libxcb-keysyms1", "xcb-util-keysyms"),
    Need("libxcb-randr.so.0", "libxcb-randr0", "libxcb"),
    Need("libxcb-render-util.so.0", "libxcb-render-util0", "xcb-util-renderutil"),
    Need("libxcb-shape.so.0", "libxcb-shape0", "libxcb"),
    Need("libxcb-shm.so.0", "libxcb-shm0", "libxcb"),
    Need("libxcb-sync.so.1", "libxcb-sync1", "libxcb"),
    Need("libxcb-util.so.1", "libxcb-util1", "xcb-util"),
    Need("libxcb-xfixes.so.0", "libxcb-xfixes0", "libxcb"),
    Need("libxcb-xkb.so.1", "libxcb-xkb1", "libxcb"),
    Need("libxkbcommon-x11.so.0", "libxkbcommon-x11-0", "libxkbcommon-x11"),
)
WAYLAND_LIBRARIES = (
    Need("libwayland-client.so.0", "libwayland-client0", "wayland"),
    Need("libwayland-cursor.so.0", "libwayland-cursor0", "wayland"),
    Need("libwayland-egl.so.1", "libwayland-egl1", "wayland"),
)
SERVERS = (
    Need("redis-server", "redis-server", "redis", kind="program"),
    Need("rabbitmq-server", "rabbitmq-server", "rabbitmq", kind="program"),
    Need("sshd", "openssh-server", "openssh", kind="program"),
)
PACKAGING_PROGRAMS = (Need("objdump", "binutils", "binutils", kind="program"),)

# `$@` are the packages. A server's package starts the server as a service of this machine, on its public port; Debian's
# own switch against that (a policy-rc.d that says 101) is set for as long as the installation takes.
_APT_SCRIPT = """
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\\nexit 101\\n' > "$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
"""


def find_program(name: str) -> str | None:
    """The program's path, also where only root has its folder on the PATH."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_PROGRAM_FOLDERS))


def display_libraries() -> tuple[Need, ...]:
    """The libraries that Qt needs for the display this process was started on; none without one."""
    x11 = X11_LIBRARIES if os.environ.get("DISPLAY") else ()
    return x11 + (WAYLAND_LIBRARIES if os.environ.get("WAYLAND_DISPLAY") else ())


def missing(needs: Sequence[Need]) -> list[Need]:
    """Those that are not there. Only Linux has any: elsewhere Qt's wheels are complete."""
    asked = [need for need in needs if sys.platform == "linux" or need.kind != "library"]
    return [need for need in asked if not need.is_met()]


def provide(needs: Sequence[Need], command: str) -> None:
    """Have the system bring everything that is missing; costs a few milliseconds when nothing is.

    Raises:
        Trouble: it can't be installed from here. The text names what is missing and the one command that installs it.
    """
    absent = missing(needs)
    if not absent:
        return
    names = ", ".join(need.name for need in absent)
    as_root = _root_prefix()
    if shutil.which("apt-get") is None or as_root is None:
        raise Trouble(advice(absent, command))
    packages = _debian_packages(absent)
    say("Installing from Debian's packages: " + " ".join(packages))
    result = run_quietly([*as_root, "sh", "-c", _APT_SCRIPT, "sh", *packages])
    if result.returncode != 0:
        say(result.stdout)
        raise Trouble(
            "apt-get could not install {} (its words are above). Mend that and run `{}` again.".format(
                " ".join(packages), command
            )
        )
    absent = missing(needs)
    if absent:
        raise Trouble(
            "{} were installed, yet this system still lacks {}. Install what provides them and run `{}` again.".format(
                names, ", ".join(need.name for need in absent), command
            )
        )


def advice(absent: Sequence[Need], command: str) -> str:
    """One sentence for a machine where we may not install: what is missing, and the one command that brings it."""
    names = ", ".join(need.name for need in absent)
    return "This machine lacks {}. Install {} with\n\n    {}\n\nand run `{}` again.".format(
        names, "it" if len(absent) == 1 else "them", installing_command(absent), command
    )


def installing_command(absent: Sequence[Need]) -> str:
    """The one command, for this machine's package manager, that brings all that is missing."""
    if shutil.which("apt-get"):
        packages = " ".join(_debian_packages(absent))
        return _as_root("apt-get update && apt-get install -y --no-install-recommends " + packages)
    for manager in ("dnf", "zypper", "yum"):
        if shutil.which(manager):
            return _as_root(manager + " install " + " ".join(_rpm_name(need) for need in absent))
    if shutil.which("pacman"):
        return _as_root("pacman -S --needed " + " ".join(sorted({need.arch for need in absent if need.arch})))
    if shutil.which("brew"):
        return "brew install " + " ".join(sorted({need.arch for need in absent if need.arch}))
    return "your system's package manager: " + " ".join(need.name for need in absent)


def _rpm_name(need: Need) -> str:
    """RPM's package managers install a library by what it provides, so no table of names is needed."""
    return f"'{need.name}()(64bit)'" if need.kind == "library" else need.name


def _as_root(command: str) -> str:
    if shutil.which("sudo"):
        return f"sudo sh -c '{command}'" if "&&" in command else "sudo " + command
    return "su -c '{}'".format(command.replace("'", "'\\''"))


def _root_prefix() -> list[str] | None:
    """What to put before a command so that it runs as root without a question, or None where that can't be."""
    if sys.platform == "win32":
        return None
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], check=False, capture_output=True).returncode == 0:
        return [sudo, "-n"]
    return None


def _debian_packages(needs: Sequence[Need]) -> list[str]:
    """Package names, sorted. Since 2024 Debian and Ubuntu add t64 to some libraries, and the old name is gone."""
    return sorted({_name_in_this_release(need.debian) for need in needs})


def _name_in_this_release(package: str) -> str:
    renamed = package + "t64"
    known = run_quietly(["apt-cache", "pkgnames", package]).stdout.split()
    if known:
        return renamed if renamed in known else package
    # A bare machine has no package lists yet: trust what is known of the renaming.
    return renamed if package == "libglib2.0-0" and _is_after_the_renaming() else package


def _is_after_the_renaming() -> bool:
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    facts = dict(line.split("=", 1) for line in lines if "=" in line)
    version = facts.get("VERSION_ID", "").strip('"').split(".")[0]
    first = {"debian": 13, "ubuntu": 24}.get(facts.get("ID", "").strip('"'))
    return first is not None and version.isdigit() and int(version) >= first
