"""Thousands of tasks of every kind, run by two real workers while ``record`` listens; what is true of them is kept.

What is true is known three times over: by plan (each task is sent knowing how it has to end), by the workers' logs and
result backend, and by a witness that hears the same events and shares no code with the program.
"""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import msgspec
from celery import chain, chord, group
from redis import Redis

from app.models.history.charts import Span, Totals
from app.models.history.reader import Reader
from app.models.records import Task
from tests.helpers.celery_apps import LATER, ROOT, make_app, marks, soon, worker
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually
from tests.helpers.witness import Heard, Witness

PATIENCE: Final = 120.0
#: The event that ends a task, by its state in the end. An ignored task is never heard of again after its
#: start: when its worker has left, what became of it is unknown.
LAST: Final = {
    "SUCCESS": "task-succeeded", "FAILURE": "task-failed", "REVOKED": "task-revoked", "UNKNOWN": "task-started",
}  # fmt: skip


class Planned(msgspec.Struct, frozen=True):
    """What has to be known of a task in the end."""

    name: str
    state: str
    retries: int = 0
    exception: str | None = None
    note: str | None = None
    redelivered: int = 0


class Run:
    """All that is left when everything has ended."""

    def __init__(self) -> None:
        self.planned: dict[str, Planned] = {}
        self.heard: list[Heard] = []
        self.runtimes: dict[str, float] = {}
        self.stored: dict[str, dict[str, Any]] = {}
        self.history: dict[str, Task] = {}
        self.stats: dict[str, Any] = {}
        self.said: dict[str, Any] = {}
        self.totals = Totals()
        self.seconds = 0.0

    def named(self, name: str) -> list[str]:
        """Ids of the tasks of one name."""
        return [uuid for uuid, planned in self.planned.items() if planned.name == f"truth.{name}"]

    def times(self, uuid: str, kind: str) -> list[float]:
        """When events of a kind happened to a task, by the clock of who sent them."""
        return sorted(event["timestamp"] for event in self.by_task[uuid] if event["type"] == kind)

    @cached_property
    def by_task(self) -> dict[str, list[Heard]]:
        """What the witness heard of each task."""
        found: dict[str, list[Heard]] = defaultdict(list)
        for event in self.heard:
            if "uuid" in event:
                found[event["uuid"]].append(event)
        return found


class Sender:
    """Sends tasks and writes down how each has to end."""

    def __init__(self, url: str) -> None:
        self.planned: dict[str, Planned] = {}
        self.app = make_app(url)
        self._dice = random.Random(20261121)

    def close(self) -> None:
        """Close the connections."""
        self.app.close()

    def send(self, name: str, *args: object, how: dict[str, Any] | None = None, **plan: Any) -> str:
        """Send one task; ``how`` are Celery's options, ``plan`` is what has to be known of it in the end."""
        name = f"truth.{name}"
        uuid = str(self.app.send_task(name, args=args, **(how or {})).id)
        self.planned[uuid] = Planned(name, **({"state": "SUCCESS"} | plan))
        return uuid

    def before_workers(self) -> None:
        """What is past its expiry when the first worker comes, and what is revoked while it waits."""
        for _ in range(100):
            self.send("add", 1, 1, how={"expires": soon(0.3)}, state="REVOKED", note="expired before it started")
        for _ in range(60):
            self.send("add", 1, 1, how={"queue": LATER}, state="REVOKED", note="revoked before it started")
        self.expired_at = time.time() + 0.3

    def most(self, total: int) -> None:
        """All but those that kill pool processes; together ``total`` tasks with those sent before."""
        dice = self._dice
        kinds: list[Callable[[], object]] = [
            *[lambda: self.send("timed", dice.random() * 0.02)] * 300,
            *[lambda: self.send("add", 2, 2, how={"eta": soon(dice.uniform(0.5, 2.0))})] * 150,
            *[lambda: self.send("progress", 3)] * 100,
            *[lambda: self.send("reject", "why", state="FAILURE")] * 60,
            *[lambda: self.send("requeue", redelivered=1)] * 60,
            *[lambda: self.send("ignore", state="UNKNOWN")] * 60,
            *[lambda: self.send("nowhere", state="FAILURE", exception="NotRegistered('truth.nowhere')")] * 80,
            *[lambda: self.send("hopeless", state="FAILURE", retries=2, exception="TimeoutError('nothing')")] * 60,
            *[self._fail] * 500,
            *[self._flaky] * 400,
            *[self._chain] * 80,
            *[self._group] * 40,
            *[self._chord] * 40,
        ]
        dice.shuffle(kinds)
        for send in kinds:
            send()
        while len(self.planned) < total:
            self.send("add", len(self.planned), 1, how={"priority": dice.choice((0, 3, 6, 9))})

    def killers(self) -> list[str]:
        """Such as end their pool process: at a hard time limit, by themselves, and (returned) when terminated."""
        limit = "billiard.exceptions.TimeLimitExceeded: TimeLimitExceeded(1,)"
        for _ in range(4):
            self.send("overdue", state="FAILURE", exception=limit)
        for _ in range(2):
            self.send("die", state="FAILURE")
        return [self.send("wait", state="REVOKED", note="terminated by signal 9") for _ in range(4)]

    def _fail(self) -> None:
        number = len(self.planned)
        self.send("fail", f"no {number}", state="FAILURE", exception=f"ValueError('no {number}')")

    def _flaky(self) -> None:
        times = self._dice.choice((1, 1, 2, 3))
        countdown = self._dice.choice((0, 0, 0, 0.05, 0.3, 1.0))
        self.send("flaky", times, countdown, retries=times)

    def _add(self, *args: int) -> Any:
        return self.app.signature("truth.add", args=args)

    def _chain(self) -> None:
        result = chain(self._add(1, 1), self._add(2), self._add(3)).apply_async()
        while result is not None:
            self.planned[str(result.id)] = Planned("truth.add", "SUCCESS")
            result = result.parent

    def _group(self) -> None:
        for result in group(self._add(number, 1) for number in range(5)).apply_async().results:
            self.planned[str(result.id)] = Planned("truth.add", "SUCCESS")

    def _chord(self) -> None:
        total = self.app.signature("truth.total")
        result = chord([self._add(number, 1) for number in range(4)])(total)
        self.planned[str(result.id)] = Planned("truth.total", "SUCCESS")
        for member in result.parent.results:
            self.planned[str(member.id)] = Planned("truth.add", "SUCCESS")


def live_through(folder: Path, tasks: int) -> Run:
    """Send so many tasks to two workers while our program records; returns when all is over and nothing runs."""
    run = Run()
    with ExitStack() as at_end:
        server = at_end.enter_context(RedisServer())
        record = at_end.enter_context(Recording(server.url, folder / "truth.cloche"))
        witness = at_end.enter_context(Witness(server.url))
        sender = Sender(server.url)
        at_end.callback(sender.close)
        began = time.monotonic()
        sender.before_workers()
        eventually(lambda: time.time() > sender.expired_at)
        workers = [
            at_end.enter_context(worker(server.url, name, folder / f"{name}.log", "-E", slots=4))
            for name in ("w1", "w2")
        ]
        control = sender.app.control
        eventually(lambda: len(control.ping(timeout=2, limit=2)) == len(workers), "both workers", within=60)
        late = [uuid for uuid, planned in sender.planned.items() if planned.note == "revoked before it started"]
        assert len(control.revoke(late, reply=True, timeout=10, limit=2)) == len(workers)
        assert len(control.add_consumer(LATER, reply=True, timeout=10, limit=2)) == len(workers)
        sender.most(tasks - 10)
        _until_ended(witness, sender.planned)
        waiting = sender.killers()
        with marks(server.url) as marked:
            eventually(lambda: all(marked.exists(f"running.{uuid}") for uuid in waiting), within=PATIENCE)
        control.revoke(waiting, terminate=True, signal="SIGKILL")
        _until_ended(witness, sender.planned)
        run.seconds = time.monotonic() - began
        _until_inspected(record.history, len(workers))
        for each in workers:
            each.ask_to_end()
        for each in workers:
            each.wait(60)
        eventually(lambda: witness.count("worker-offline") == len(workers))
        _until_taken(record.history, len(witness.events))
        run.said = record.end()
        run.planned, run.heard = sender.planned, witness.events
        run.runtimes = {uuid: seconds for each in workers for uuid, seconds in each.runtimes().items()}
        with marks(server.url) as results:
            run.stored = _results(results, list(run.planned))
    run.stats = _stats(record.history)
    reader = Reader(record.history)
    run.history = {task.uuid: task for task in reader.records()}
    run.totals = reader.totals(Span(0.0, time.time() + 60))
    reader.close()
    return run


class Recording:
    """``python -m app record`` as a person would run it in a script."""

    def __init__(self, url: str, history: Path) -> None:
        self.history = history
        command = [sys.executable, "-m", "app", "record", url, "--history", str(history), "--json"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines: list[dict[str, Any]] = []
        self.errors = ""
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._read_errors)]

    def __enter__(self) -> Self:
        for thread in self._readers:
            thread.start()
        eventually(lambda: any(line.get("state") == "live" for line in list(self.lines)), "live")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for thread in self._readers:
            thread.join()

    def end(self) -> dict[str, Any]:
        """Ctrl+C; returns what it says at last."""
        self._process.send_signal(signal.SIGINT)
        assert self._process.wait(30) == 0, self.errors
        for thread in self._readers:
            thread.join()
        return self.lines[-1]

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self.lines.append(json.loads(line))

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                self.errors += line


def _until_ended(witness: Witness, planned: dict[str, Planned]) -> None:
    """The witness has heard the last event of each task."""
    missing = {uuid: LAST[plan.state] for uuid, plan in planned.items()}
    at = 0

    def all_heard() -> bool:
        nonlocal at
        events = witness.events
        while at < len(events):
            event = events[at]
            if missing.get(event.get("uuid", "")) == event["type"]:
                del missing[event["uuid"]]
            at += 1
        return not missing

    try:
        eventually(all_heard, within=PATIENCE)
    except AssertionError:
        heard = witness.by_task()
        told = [(planned[uuid].name, uuid, [event["type"] for event in heard[uuid]]) for uuid in list(missing)[:5]]
        raise AssertionError(f"{len(missing)} of {len(planned)} tasks did not end: {told}") from None


def _until_inspected(history: Path, workers: int) -> None:
    reader = Reader(history)
    eventually(lambda: sum(worker.pool is not None for worker in reader.workers()) == workers, "pools", within=90)
    reader.close()


def _until_taken(history: Path, events: int) -> None:
    reader = Reader(history)
    eventually(lambda: reader.accounting().received >= events, f"{events} events in the history")
    reader.close()


def _results(client: "Redis", uuids: list[str]) -> dict[str, dict[str, Any]]:
    """What the result backend knows, by task id."""
    found = client.mget([f"celery-task-meta-{uuid}" for uuid in uuids])
    return {uuid: json.loads(meta) for uuid, meta in zip(uuids, found, strict=True) if meta}


def _stats(history: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "app", "stats", str(history), "--json"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    figures: dict[str, Any] = json.loads(told.stdout)
    return figures
