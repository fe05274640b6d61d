"""What holds for every test: no window, nobody's own files, real brokers, and nothing said or left behind unnoticed."""

import gc
import logging
import os
import re
import secrets
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

os.environ["QT_QPA_PLATFORM"] = "offscreen"  # before anything imports Qt

import psutil
import pytest
from hypothesis import settings
from redis import Redis

from tests.helpers.servers import RabbitServer, RedisServer

_IS_CI = os.environ.get("CI") == "true"
_MARK = "CLOCHE_TEST_RUN"
_PATIENCE = 5.0
"""Seconds that a thread or a process has to end after the test that told it to."""

settings.register_profile("cloche", deadline=None, derandomize=_IS_CI)  # a busy machine is no falsifying example
settings.load_profile("cloche")

AnyReport = TypeVar("AnyReport", pytest.TestReport, pytest.CollectReport)

# --- places and servers ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def _a_run_of_its_own() -> Iterator[None]:
    """Nobody's own settings, histories and passwords are in reach, and every process of this run can be told."""
    with tempfile.TemporaryDirectory(prefix="cloche-tests-") as folder, pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
            place = Path(folder) / name.lower()
            place.mkdir(mode=0o700)
            patch.setenv(name, str(place))
        patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
        patch.setenv(_MARK, secrets.token_hex(8))
        yield


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Redis]:
    """A client of it."""
    with Redis.from_url(redis_server.url) as made:
        yield made


@pytest.fixture(scope="session")
def rabbitmq_server(_a_run_of_its_own: None) -> Iterator[RabbitServer]:
    """One RabbitMQ for all, since it takes seconds to start: a test that harms its broker makes a `RabbitServer`."""
    with RabbitServer() as server:
        yield server


@pytest.fixture
def rabbitmq_url(rabbitmq_server: RabbitServer) -> Iterator[str]:
    """The address of a virtual host of the test's own, empty at its start."""
    name = f"test-{secrets.token_hex(4)}"
    rabbitmq_server.make_virtual_host(name)
    yield rabbitmq_server.url_of(name)
    rabbitmq_server.remove_virtual_host(name)


@pytest.fixture(autouse=True)
def _garbage_goes_in_the_thread_of_qt(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test leaves of Qt's is deleted here, and not by a collection in whichever thread one happens."""
    if "qapp" not in request.fixturenames:
        yield
        return
    gc.disable()
    yield
    gc.collect()
    gc.enable()


# --- nothing outlives its test ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _nothing_outlives_its_test(_a_run_of_its_own: None) -> Iterator[None]:
    """A thread or a process that a test leaves behind fails that test, and not another one later."""
    threads, processes = set(threading.enumerate()), set(psutil.pids())
    yield
    deadline = time.monotonic() + _PATIENCE
    while left := _threads_since(threads) + _processes_since(processes):
        if time.monotonic() > deadline:
            for process in _processes_since(processes):
                with suppress(psutil.Error):
                    process.kill()
            pytest.fail("Left behind by this test: " + ", ".join(map(_describe, left)), pytrace=False)
        time.sleep(0.01)


def _threads_since(older: set[threading.Thread]) -> list[threading.Thread | psutil.Process]:
    """Python's own. Of the threads that others made Python does not learn the end."""
    return [each for each in threading.enumerate() if each not in older and not each.name.startswith("Dummy-")]


def _processes_since(older: set[int]) -> list[psutil.Process]:
    """Those that we started, even if the one who did is gone; not those that a server of an earlier test started."""
    new = []
    for pid in set(psutil.pids()) - older:
        with suppress(psutil.Error):  # it ended while we looked, or it is somebody else's
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE and _is_ours(process, older):
                new.append(process)
    return new


def _is_ours(process: psutil.Process, older: set[int]) -> bool:
    if any("multiprocessing.resource_tracker" in word for word in process.cmdline()):
        return False  # Python keeps one for the rest of its own life
    started_by = next((parent for parent in process.parents() if parent.pid in older), None)
    if started_by is not None and started_by.pid == os.getpid():
        return True
    return _is_marked(process) and not (started_by and _is_marked(started_by))


def _is_marked(process: psutil.Process) -> bool:
    try:
        return process.environ().get(_MARK) == os.environ[_MARK]
    except psutil.Error:
        return False


def _describe(left: threading.Thread | psutil.Process) -> str:
    if isinstance(left, threading.Thread):
        return f"thread {left.name}"
    with suppress(psutil.Error):
        return f"process {left.pid} ({' '.join(left.cmdline())[:200]})"
    return f"process {left.pid}"


# --- an unexpected warning fails the test ----------------------------------------------------------------------------


class _UnexpectedRecords(logging.Handler):
    """Keeps the log records at WARNING or above that no pattern announced."""

    def __init__(self, patterns: Sequence[str]) -> None:
        super().__init__(logging.WARNING)
        self._patterns = [re.compile(pattern) for pattern in patterns]
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not any(pattern.search(text) for pattern in self._patterns):
            self.found.append(f"{record.levelname} {record.name}: {text}")


@pytest.fixture(autouse=True)
def _no_unexpected_log_record(request: pytest.FixtureRequest) -> Iterator[None]:
    """Python's and Qt's warnings fail by pytest's and pytest-qt's own settings; this is the same for log records."""
    marks = request.node.iter_markers("expect_warnings")
    handler = _UnexpectedRecords([pattern for mark in marks for pattern in mark.args])
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)
    if handler.found:
        pytest.fail("Unexpected log records:\n" + "\n".join(handler.found), pytrace=False)


# --- in CI a skip is a failure ---------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Everything is installed there, so a skipped test is one that nobody ever runs."""
    return _failed_if_skipped_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that is skipped as a whole."""
    return _failed_if_skipped_in_ci((yield))


def _failed_if_skipped_in_ci(report: AnyReport) -> AnyReport:
    if _IS_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason} (in CI a skipped test is a failed one)"
    return report
