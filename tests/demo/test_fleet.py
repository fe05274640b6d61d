import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from app.demo.__main__ import command
from app.demo.fleet import Fleet
from tests.demo.observing import MARK, Event, events, eventually, family, listens

WORKERS = {
    "browser@crawler-1",
    "browser@crawler-2",
    "database@db-1",
    "default@api-1",
    "edr@sentinel",
    "lessons@study",
    "pagespeed@audit-1",
    "redline-1@garage",
    "redline-2@garage",
    "tutorial@classroom",
}
SYSTEMS = {"edr", "leads", "lessons", "redline", "tutorial"}
KINDS = {f"task-{kind}" for kind in ["sent", "received", "started", "succeeded", "failed", "retried", "progress"]}


@dataclass
class Heard:
    """What the brokers told while we listened, until all was heard that must be."""

    kinds: set[str] = field(default_factory=set)
    workers: set[str] = field(default_factory=set)
    started: set[str] = field(default_factory=set)
    queues: dict[str, str] = field(default_factory=dict)
    failures: list[Event] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        self.kinds.add(event["type"])
        task = event.get("uuid", "")
        if "name" in event:
            self.names[task] = event["name"]
        match event["type"]:
            case "worker-heartbeat":
                self.workers.add(event["hostname"])
            case "task-sent":
                self.queues[event["name"]] = event["queue"]
            case "task-started" if task in self.names:
                self.started.add(self.names[task].partition(".")[0])
            case "task-failed":
                self.failures.append(event)

    @property
    def raised(self) -> list[Event]:
        """Failures out of a task's own code; where a pool ends a task at its hard limit, no line of that is told."""
        return [event for event in self.failures if "app/demo/systems/" in event["traceback"]]

    @property
    def complete(self) -> bool:
        return self.kinds >= KINDS and self.workers >= WORKERS and self.started >= SYSTEMS and bool(self.raised)


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, "shared")
        with Fleet(command=command) as started:
            yield started


@pytest.fixture(scope="module")
def heard(fleet: Fleet) -> Heard:
    heard = Heard()
    for event in events([broker.url for broker in fleet.brokers], 60.0):
        heard.take(event)
        if heard.complete:
            break
    return heard


@dataclass
class Owner:
    """A process of its own that owns a fleet, and all that must vanish with it."""

    process: "subprocess.Popen[str]"
    mark: str
    folder: Path
    urls: list[str]

    def is_gone(self) -> bool:
        ports = [int(url.rpartition(":")[2].partition("/")[0]) for url in self.urls]
        return not (family(self.mark) or any(map(listens, ports)) or any(self.folder.iterdir()))


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    environment = {**os.environ, MARK: tmp_path.name, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-m", "app.demo"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        urls = [process.stdout.readline().split()[-1] for _ in range(2)]
        yield Owner(process, tmp_path.name, tmp_path, urls)
        process.kill()


def all_at_work(urls: list[str]) -> bool:
    silent = set(WORKERS)
    for event in events(urls, 30.0):
        silent.discard(event["hostname"])
        if not silent:
            return True
    return False


def test_the_brokers_are_known_at_once_by_name_and_environment(fleet: Fleet) -> None:
    assert [(broker.name, broker.environment) for broker in fleet.brokers] == [
        ("leadlawk", "production"),
        ("workshop", "development"),
    ]
    assert all(re.fullmatch(r"redis://127\.0\.0\.1:\d+/0", broker.url) for broker in fleet.brokers)
    assert fleet.running


def test_every_system_is_at_work(heard: Heard) -> None:
    assert heard.started >= SYSTEMS


def test_every_worker_shows_that_it_lives(heard: Heard) -> None:
    assert heard.workers >= WORKERS


def test_every_kind_of_task_event_is_heard(heard: Heard) -> None:
    assert heard.kinds >= KINDS


def test_tasks_go_to_the_queues_of_their_systems(heard: Heard) -> None:
    assert heard.queues["edr.telemetry_ingest"] == "celery"
    assert heard.queues["leads.scrape_page"] in ("browser", "dead_letter")
    assert heard.queues["redline.process_data_conversion"] == "redline_tasks"


def test_a_failure_has_a_real_traceback(heard: Heard) -> None:
    assert heard.raised
    for failure in heard.failures:
        assert failure["traceback"].startswith("Traceback (most recent call last):")


def test_a_worker_that_was_killed_comes_back(fleet: Fleet, heard: Heard) -> None:
    assert heard.complete
    urls = [broker.url for broker in fleet.brokers]
    worker = next(event["pid"] for event in events(urls, 10.0) if event["hostname"] == "tutorial@classroom")
    children = psutil.Process(worker).children()
    os.kill(worker, signal.SIGKILL)
    back = next(
        (
            event["pid"]
            for event in events(urls, 20.0)
            if event["hostname"] == "tutorial@classroom" and event["pid"] != worker
        ),
        None,
    )
    assert back
    assert not any(child.is_running() for child in children)


def test_a_suspended_worker_ends_with_the_fleet_and_nothing_is_left(fleet: Fleet, heard: Heard) -> None:
    assert heard.complete
    urls = [broker.url for broker in fleet.brokers]
    os.kill(
        next(event["pid"] for event in events(urls, 10.0) if event["hostname"] == "redline-1@garage"), signal.SIGSTOP
    )
    fleet.stop()
    assert not family("shared")
    assert not fleet.running


def test_nothing_is_left_when_the_owner_is_killed(owner: Owner) -> None:
    assert all_at_work(owner.urls)
    owner.process.kill()
    assert eventually(owner.is_gone)


def test_nothing_is_left_when_the_owner_is_killed_at_once(owner: Owner) -> None:
    owner.process.kill()
    assert eventually(owner.is_gone)


def test_nothing_is_left_after_ctrl_c(owner: Owner) -> None:
    owner.process.send_signal(signal.SIGINT)
    assert owner.process.wait(10) == 0
    assert owner.is_gone()


def test_nothing_is_left_when_the_processes_that_could_clean_up_are_killed_first(owner: Owner) -> None:
    assert all_at_work(owner.urls)
    (keeper,) = [child for child in psutil.Process(owner.process.pid).children() if "demo-fleet" in child.cmdline()]
    keeper.kill()
    # The owner notices that the fleet has ended, and ends too.
    assert owner.process.wait(10) == 1
    assert owner.is_gone()
