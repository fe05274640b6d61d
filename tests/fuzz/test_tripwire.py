"""The tripwire trips: without this, the fuzzer's 0 hits would prove nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.deeds import DEEDS
from tests.helpers.celery_apps import ROOT


def hits(deed: str, folder: Path) -> list[str]:
    """What the tripwire noted in a process that did this."""
    command = [sys.executable, "-m", "tests.fuzz.deeds", deed, str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True
    )
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("deed", [deed for deed in DEEDS if deed != "innocent"])
def test_the_tripwire_notes_what_must_not_happen(deed: str, tmp_path: Path) -> None:
    assert any(hit.startswith(deed) for hit in hits(deed, tmp_path))


def test_the_tripwire_is_silent_about_what_may_happen(tmp_path: Path) -> None:
    assert hits("innocent", tmp_path) == []
