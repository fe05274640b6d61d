"""Speaks to the person and runs other programs, for every tool here.

Like all that `tools/dev.py` imports, this must also load on the old Python that it may be started with (3.8): its first
duty there is to look for a newer one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]


class Trouble(Exception):
    """Something that the person has to mend. Its text is the whole message: what happened, and what to do."""


def say(text: str) -> None:
    """Tell the person what goes on, at once, in order with what other programs print."""
    print(text, flush=True)


def run(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> int:
    """Run a program in the project's folder, its output going where ours goes; its exit code comes back."""
    return subprocess.run([str(part) for part in command], cwd=ROOT, env=env, check=False).returncode


def run_quietly(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run a program whose output only matters if it fails; output and errors come back as one text."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        check=False,
        encoding="utf-8",
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def become(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> NoReturn:
    """Hand over to a program for good, so that its signals and its exit code are its own."""
    if sys.platform == "win32":  # exec there starts a second process and lets the first one end
        raise SystemExit(run(command, env))
    os.chdir(ROOT)
    sys.stdout.flush()
    parts = [str(part) for part in command]
    os.execve(parts[0], parts, dict(os.environ if env is None else env))  # noqa: S606 - no shell is what we want
