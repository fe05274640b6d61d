"""Makes `.venv`: finds a Python, installs the locked packages with their hashes, and the project itself.

Flower, which is only measured beside us, gets an environment of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools import system
from tools.shell import ROOT, Trouble, run, run_quietly, say

SUPPORTED = ((3, 13), (3, 12), (3, 11))
VENV = ROOT / ".venv"
FLOWER_VENV = ROOT / ".venv-flower"
RUNTIME_LOCK = "requirements.lock"
DEVELOPER_LOCK = "requirements-dev.lock"
"""The runtime lock and the developers' tools: whoever installed this one has both."""
BENCH_LOCK = "requirements-bench.lock"
"""Flower and what it needs, in the versions of the runtime lock where both need it; nothing of ours."""

_STAMP = VENV / ".installed.json"


def program(name: str, venv: Path | None = None) -> Path:
    """Where a program of the environment is (ours, if none is named), whether installed already or not."""
    folder = VENV if venv is None else venv
    return folder / "Scripts" / (name + ".exe") if sys.platform == "win32" else folder / "bin" / name


def prepare(lock: str, command: str, needs: Sequence[system.Need] = ()) -> None:
    """Bring the machine from any state to one where `command` can run; returns at once when it is there already.

    Args:
        lock: the lock file that names the packages.
        command: what the person typed, for messages.
        needs: what the system itself has to bring.

    Raises:
        Trouble: something is missing that can't be installed from here.
    """
    wanted = _fingerprint(lock)
    if _is_installed(wanted):
        system.provide(needs, command)
        return
    python = [] if _is_usable() else find_python(command)
    system.provide([*needs, *_venv_needs(python)], command)
    with _alone():  # the other one may have done it all by now
        if python and not _is_usable():
            _make(VENV, python, command)
        if not _is_installed(wanted):
            _install(lock, command)
            _STAMP.write_text(json.dumps({**_read_stamp(), **wanted}, indent=1), encoding="utf-8")


def prepare_flower(command: str) -> None:
    """Have Flower in an environment of its own, made by the Python of ours: call `prepare` first.

    Raises:
        Trouble: it can't be made or installed.
    """
    lock = (ROOT / BENCH_LOCK).read_text(encoding="utf-8")
    wanted = {BENCH_LOCK: hashlib.sha256(lock.encode()).hexdigest(), "place": str(ROOT)}
    stamp = FLOWER_VENV / _STAMP.name
    with _alone():
        if _read_stamp(stamp) != wanted:
            _make(FLOWER_VENV, [str(program("python"))], command)
            _install_lock(FLOWER_VENV, BENCH_LOCK, command)
            stamp.write_text(json.dumps(wanted, indent=1), encoding="utf-8")


def find_python(command: str) -> list[str]:
    """The command line of a Python to build on: the one that runs us if it will do, else the newest on the PATH.

    Raises:
        Trouble: there is none.
    """
    if sys.version_info[:2] in SUPPORTED:
        return [getattr(sys, "_base_executable", "") or sys.executable]
    for major, minor in SUPPORTED:
        found = shutil.which(f"python{major}.{minor}")
        candidate = ["py", f"-{major}.{minor}"] if sys.platform == "win32" else [found or ""]
        if candidate[0] and _version(candidate) == (major, minor):
            return candidate
    raise Trouble(
        f"Cloche runs on Python 3.11, 3.12 and 3.13, and this machine has only {platform.python_version()}. "
        f"Install one of them (it may live beside the others) and run `{command}` again."
    )


def _is_usable() -> bool:
    """Whether there is an environment that works: its folder may have been moved, or the Python it was made with."""
    place = _read_stamp().get("place", str(ROOT))
    return place == str(ROOT) and _version([str(program("python"))]) in SUPPORTED


def _version(python: Sequence[str]) -> tuple[int, ...] | None:
    """What it says when it runs; None if it doesn't, like a link to a Python that was removed or a shim without one."""
    try:
        answer = run_quietly([*python, "-c", "import sys; print(*sys.version_info[:2])"])
    except OSError:
        return None
    return tuple(int(part) for part in answer.stdout.split()) if answer.returncode == 0 else None


def _venv_needs(python: Sequence[str]) -> list[system.Need]:
    """Debian keeps the half of `venv` that brings pip in a package of its own."""
    if not python or sys.platform != "linux":
        return []
    if python == [sys.executable] and importlib.util.find_spec("ensurepip"):
        return []
    version = _version(python) or SUPPORTED[0]
    package = "python{}.{}-venv".format(*version)
    return [system.Need("ensurepip", package, "python", kind="module", python=python[0])]


def shared_python() -> list[system.Need]:
    """The library that a packaged program carries its Python in. Debian's own Python does without it."""
    answer = run_quietly([program("python"), "-c", "import sys; print(sys.base_prefix, *sys.version_info[:2])"])
    prefix, major, minor = answer.stdout.rsplit(maxsplit=2)
    name = f"libpython{major}.{minor}"
    return [system.Need(name + ".so.1.0", name, "python")] if prefix == "/usr" else []


def _make(venv: Path, python: Sequence[str], command: str) -> None:
    say("Making {} with {}".format(venv.name, " ".join(python)))
    if venv.is_symlink():
        venv.unlink()  # what it leads to is somebody else's, and would be cleared
    result = run_quietly([*python, "-m", "venv", "--clear", venv])
    if result.returncode != 0:
        say(result.stdout)
        raise Trouble(
            f"Python could not make {venv.name} (its words are above). Remove the folder, mend that, and run "
            f"`{command}` again."
        )


def _install(lock: str, command: str) -> None:
    _install_lock(VENV, lock, command)
    _pip(VENV, ["--no-deps", "--no-build-isolation", "--editable", "."], command)


def _install_lock(venv: Path, lock: str, command: str) -> None:
    """Everything comes as a ready-made wheel whose hash is in the lock: no compiler, and no code that runs to build."""
    say(f"Installing the packages of {lock} into {venv.name}")
    _pip(venv, ["--require-hashes", "--only-binary=:all:", "--requirement", lock], command)


def _pip(venv: Path, words: Sequence[str], command: str) -> None:
    pip: list[str | Path] = [program("python", venv), "-m", "pip", "--no-input", "--disable-pip-version-check"]
    if run([*pip, "install", *([] if sys.stdout.isatty() else ["-qq"]), *words]) != 0:
        raise Trouble(
            "pip could not install the packages (its words are above). Mend that, most often the network, and run "
            f"`{command}` again."
        )


def _fingerprint(lock: str) -> dict[str, str]:
    """What the stamp must say for everything of this lock to be there."""
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in {lock, RUNTIME_LOCK}}
    texts["project"] = _installed_part((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    return {**digests, "place": str(ROOT)}


def _installed_part(pyproject: str) -> str:
    """The tables that decide what is installed; a new setting of a linter is no reason to install anything."""
    tables = re.split(r"^(?=\[)", pyproject, flags=re.MULTILINE)
    return "".join(table for table in tables if table.startswith(("[build-system", "[project", "[tool.hatch")))


def _is_installed(wanted: dict[str, str]) -> bool:
    stamp = _read_stamp()
    return program("python").exists() and all(stamp.get(name) == value for name, value in wanted.items())


def _read_stamp(path: Path | None = None) -> dict[str, str]:
    try:
        stamp = json.loads((_STAMP if path is None else path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two commands started at once must not install into one environment: the second waits for the first."""
    if sys.platform == "win32":
        yield
        return
    import fcntl  # noqa: PLC0415 - exists on POSIX only

    with (ROOT / ".venv.lock").open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
