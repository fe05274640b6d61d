"""Tells whether a window can be seen from here: at a display that is named but gone Qt would just abort.

`tools/dev.py` asks too, before anything is installed: this loads on an old Python and needs nothing but it.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path

_SOCKETS = "/tmp/.X11-unix/X"  # noqa: S108 - the place where X servers listen
_PATIENCE = 2.0


def why_none() -> str:
    """Why no window can be seen, as the end of a sentence; empty if one can. Only Linux may have no display."""
    wish = os.environ.get("QT_QPA_PLATFORM", "")
    if wish in ("offscreen", "minimal"):
        return f"QT_QPA_PLATFORM={wish} asks for none"
    x11, wayland = os.environ.get("DISPLAY"), os.environ.get("WAYLAND_DISPLAY")
    if sys.platform != "linux" or (wayland and _wayland_answers(wayland)) or (x11 and _x11_answers(x11)):
        return ""
    if not x11 and not wayland:
        return "DISPLAY and WAYLAND_DISPLAY are not set"
    return f"nothing answers at {f'DISPLAY={x11}' if x11 else f'WAYLAND_DISPLAY={wayland}'}"


def go_offscreen() -> bool:
    """Have Qt draw without a display if there is none, and say whether that is so; to be called before Qt starts."""
    if not why_none():
        return False
    if not os.environ.get("QT_QPA_PLATFORM", "").startswith(("offscreen", "minimal")):
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    return True


def _wayland_answers(name: str) -> bool:
    return (Path(os.environ.get("XDG_RUNTIME_DIR", "/nowhere")) / name).exists()


def _x11_answers(name: str) -> bool:
    """Whether a server listens at `host:number`, or in one of the two ways of this machine at `:number`."""
    parts = re.fullmatch(r"(?:unix)?(?P<host>[^:]*):(?P<number>\d+)(?:\.\d+)?", name)
    if parts is None:
        return True  # written in some way that Qt may know
    number = int(parts["number"])
    if parts["host"]:
        return _listens(socket.AF_INET, (parts["host"], 6000 + number))
    return any(_listens(socket.AF_UNIX, f"{kind}{_SOCKETS}{number}") for kind in ("", "\0"))


def _listens(family: int, address: tuple[str, int] | str) -> bool:
    with socket.socket(family) as probe:
        probe.settimeout(_PATIENCE)
        try:
            probe.connect(address)
        except OSError:
            return False
    return True
