"""What conftest.py promises, proved on tests that break it, in a run of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.shell import ROOT

NAUGHTY = """
import logging, os, subprocess, sys, threading, time, warnings
import pytest
from PySide6.QtCore import qWarning
import tests.conftest

tests.conftest._PATIENCE = 0.3
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]

def test_good(): pass
def test_brief_thread(): threading.Timer(0.1, print).start()
def test_thread(): threading.Thread(target=time.sleep, args=(2,), daemon=True).start()
def test_child(): threading.child = subprocess.Popen(SLEEP)
def test_orphan(): subprocess.run([sys.executable, "-c", f"import subprocess; subprocess.Popen({SLEEP!r})"], check=True)
def test_python_warning(): warnings.warn("rain")
def test_qt_warning(): qWarning(b"rain")
def test_log_record(): logging.getLogger("weather").warning("rain %s", "again")
@pytest.mark.expect_warnings("rain")
def test_expected_log_record(): logging.getLogger("weather").error("rain")
def test_skipped(): pytest.skip("rain")
@pytest.mark.xfail(reason="known")
def test_known_failure(): assert False
def test_last(): pass
"""


def outcomes(folder: Path, *, ci: bool) -> dict[str, str]:
    """What became of each test: the worst of its phases."""
    (folder / "test_naughty.py").write_text(NAUGHTY, encoding="utf-8")
    settings = ["-c", str(ROOT / "pyproject.toml"), "-p", "tests.conftest", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", *settings, "--rootdir", str(folder), str(folder)],
        cwd=ROOT,
        env={**os.environ, "CI": "true" if ci else ""},
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    found: dict[str, str] = {}
    for outcome, name in re.findall(r"^(PASSED|FAILED|ERROR|XFAIL) \S*::test_(\w+)", done.stdout, re.MULTILINE):
        found[name] = outcome if found.get(name, "PASSED") == "PASSED" else found[name]
    return found | ({"skipped": "SKIPPED"} if re.search(r"^SKIPPED .*rain", done.stdout, re.MULTILINE) else {})


@pytest.mark.parametrize("ci", [False, True])
def test_each_kind_of_mess_fails_the_test_that_made_it(tmp_path: Path, *, ci: bool) -> None:
    assert outcomes(tmp_path, ci=ci) == {
        "good": "PASSED",
        "brief_thread": "PASSED",
        "thread": "ERROR",
        "child": "ERROR",
        "orphan": "ERROR",
        "python_warning": "FAILED",
        "qt_warning": "FAILED",
        "log_record": "ERROR",
        "expected_log_record": "PASSED",
        "skipped": "FAILED" if ci else "SKIPPED",
        "known_failure": "XFAIL",
        "last": "PASSED",
    }
