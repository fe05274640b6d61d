"""What tests of features share."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.paths import self_command
from tests.helpers.canary import CANARY, Aviary
from tests.helpers.celery_apps import ROOT
from tests.helpers.keyrings import System, serving

Cloche = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def aviary(tmp_path: Path) -> Iterator[Aviary]:
    """All that is written below the test's folder, and all processes, while the test runs."""
    with Aviary(tmp_path, CANARY) as made:
        yield made


@pytest.fixture
def system() -> System:
    """The system's keyring, which is the only place for it."""
    return System()


@pytest.fixture
def cloche(aviary: Aviary, system: System, tmp_path: Path) -> Iterator[Cloche]:
    """The program as a user runs it, with all its files below the test's folder; what it says is listened to."""
    with ExitStack() as held:
        told = held.enter_context(serving(system, tmp_path / "keyring"))
        homes = {f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("CACHE", "CONFIG", "DATA", "STATE")}
        (tmp_path / "tmp").mkdir()
        environment = {**os.environ, **told, **homes, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(ROOT)}

        def ran(*words: str, typed: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
            done = subprocess.run(
                self_command(*words), input=typed, capture_output=True, text=True, check=False, timeout=90,
                env=environment, cwd=tmp_path, start_new_session=True,
            )  # fmt: skip
            assert done.returncode == code, done.stdout + done.stderr
            aviary.listen(f"what {words[0]} says", done.stdout + done.stderr)
            return done

        yield ran
