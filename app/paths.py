"""Where files live and how this program starts itself again, frozen or not."""

import os
import re
import sys
from pathlib import Path

import platformdirs


def self_command(*words: str) -> list[str]:
    """The command line that runs this program's CLI with `words`, from source and from a frozen bundle alike."""
    if getattr(sys, "frozen", False):
        return [sys.executable, *words]
    return [sys.executable, "-m", "app", *words]


def outside_environment() -> dict[str, str]:
    """Our environment for programs that are not ours: a frozen bundle's library path would break the system's."""
    environment = dict(os.environ)
    if getattr(sys, "frozen", False):
        for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"):
            environment.pop(name, None)
            if f"{name}_ORIG" in environment:
                environment[name] = environment[f"{name}_ORIG"]
    return environment


def resource(name: str) -> Path:
    """A file that comes with the program (``fonts/…``, ``icons/…``), be it source, a wheel or a frozen bundle."""
    package = Path(__file__).parent
    inside = package / "resources"
    return (inside if inside.is_dir() else package.parent / "resources") / name


def history_file(label: str) -> Path:
    """Where the history of a connection is kept if the user names no file; ``label`` is made safe for a file name."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.")[:80] or "broker"
    return Path(platformdirs.user_data_dir("cloche", appauthor=False)) / "history" / f"{safe}.cloche"


def profiles_file() -> Path:
    """Where the user's connections are kept, without their passwords."""
    return Path(platformdirs.user_config_dir("cloche", appauthor=False)) / "profiles.json"


def settings_file() -> Path:
    """Where the window keeps its geometry and choices."""
    return Path(platformdirs.user_config_dir("cloche", appauthor=False)) / "window.ini"


def audit_file() -> Path:
    """Where everything is written down that is done to a broker."""
    return Path(platformdirs.user_data_dir("cloche", appauthor=False)) / "audit" / "audit.jsonl"
