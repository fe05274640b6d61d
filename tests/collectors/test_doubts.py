"""What became of tasks that nobody told the end of: real workers that die, hang, are busy, leave or say nothing."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from celery import Celery
from redis import Redis

from app.collectors import questions
from app.models import doubts
from app.models.acts import Steer
from app.models.history.reader import Reader
from app.models.records import Task, Worker
from tests.helpers.acting import Actor
from tests.helpers.celery_apps import WorkerProcess, make_app, marks, worker
from tests.helpers.collecting import collecting
from tests.helpers.histories import reading
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

#: A heartbeat a second, so that nobody has to wait long; the rest is as always.
QUICK = ("-E", "--heartbeat-interval", "1", "--without-mingle")


@pytest.fixture
def app(redis_server: RedisServer) -> Celery:
    return make_app(redis_server.url)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "h.cloche"


class Seen:
    """What a history says of one task and of the first worker."""

    def __init__(self, reader: Reader, uuid: str = "") -> None:
        self._reader = reader
        self.uuid = uuid

    def task(self) -> Task:
        found = self._reader.task(self.uuid)
        assert found is not None
        return found

    def becomes(self, state: str, within: float = 30.0) -> Task:
        """The task, once it has a state."""
        eventually(lambda: self._state() == state, f"the state {state}", within=within)
        return self.task()

    def _state(self) -> str | None:
        found = self._reader.task(self.uuid)
        return None if found is None else found.state

    def worker(self, name: str = "w1@test") -> Worker | None:
        return next((each for each in self._reader.workers() if each.hostname == name), None)

    def worker_is(self, check: Callable[[Worker], object], what: str, within: float = 30.0) -> Worker:
        """The worker, once something is true of it."""
        eventually(lambda: (found := self.worker()) is not None and check(found), what, within=within)
        found = self.worker()
        assert found is not None
        return found


@pytest.fixture
def logs(tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: tmp_path / f"{name}.log"


def running(redis_server: RedisServer, app: Celery, name: str = "outlast", until: str = "go") -> str:
    """Send a task that runs until there is a mark, and wait until it runs; its id."""
    uuid: str = app.send_task(f"truth.{name}", (until,)).id
    with marks(redis_server.url) as client:
        eventually(lambda: client.exists(f"running.{uuid}"), "the task's start", within=60)
    return uuid


def let_go(redis_server: RedisServer, until: str = "go") -> None:
    with marks(redis_server.url) as client:
        client.set(until, "1")


def pause(process: WorkerProcess, number: int) -> None:
    """Stop or continue a worker and its pool."""
    for each in (psutil.Process(process.process.pid), *psutil.Process(process.process.pid).children(recursive=True)):
        os.kill(each.pid, number)


def test_what_a_killed_worker_ran_is_lost_with_it(
    redis_server: RedisServer, app: Celery, history: Path, logs: Callable[[str], Path]
) -> None:
    with (
        collecting(redis_server.url, history),
        worker(redis_server.url, "w1", logs("w1"), *QUICK) as first,
        reading(history) as reader,
    ):
        seen = Seen(reader, running(redis_server, app))
        seen.becomes("STARTED")
        first.kill()
        task = seen.becomes("LOST")
        lost = seen.worker_is(lambda each: each.state == "lost", "the loss")
        assert (lost.held, lost.active) == (1, None)
        assert task.note == "Its worker was lost while it ran."
        assert task.doubted == lost.heartbeat


def test_a_lost_task_recovers_when_another_worker_gets_it(
    redis_server: RedisServer, app: Celery, history: Path, logs: Callable[[str], Path]
) -> None:
    with collecting(redis_server.url, history), reading(history) as reader:
        with worker(redis_server.url, "w1", logs("w1"), *QUICK) as first:
            seen = Seen(reader, running(redis_server, app, "outlast_late"))
            first.kill()
            seen.becomes("LOST")
        let_go(redis_server)
        redeliver(redis_server)
        with worker(redis_server.url, "w2", logs("w2"), *QUICK):
            task = seen.becomes("SUCCESS", within=60)
            assert (task.worker, task.redelivered, task.doubted, task.note) == ("w2@test", 1, None, None)


def redeliver(redis_server: RedisServer) -> None:
    """Put what a dead worker held back into its queue, as a worker does when the visibility timeout is over."""
    with Redis.from_url(redis_server.url) as client:
        for tag, value in client.hgetall("unacked").items():
            message, _, routing_key = json.loads(value)
            client.rpush(routing_key, json.dumps(message))
            client.hdel("unacked", tag)
            client.zrem("unacked_index", tag)


def test_a_worker_that_hung_takes_its_tasks_back(
    redis_server: RedisServer, app: Celery, history: Path, logs: Callable[[str], Path]
) -> None:
    with (
        collecting(redis_server.url, history),
        worker(redis_server.url, "w1", logs("w1"), *QUICK) as hung,
        reading(history) as reader,
    ):
        seen = Seen(reader, running(redis_server, app))
        seen.becomes("STARTED")
        pause(hung, signal.SIGSTOP)
        seen.becomes("LOST")
        pause(hung, signal.SIGCONT)
        task = seen.becomes("STARTED")
        assert (task.doubted, task.note) == (None, None)
        assert seen.worker_is(lambda each: each.state == "online", "its return").held is None
        let_go(redis_server)
        seen.becomes("SUCCESS")


def test_a_busy_solo_pool_is_not_dead(
    redis_server: RedisServer, app: Celery, history: Path, logs: Callable[[str], Path]
) -> None:
    with (
        collecting(redis_server.url, history),
        reading(history) as reader,
        worker(redis_server.url, "w1", logs("w1"), *QUICK, pool="solo", slots=1) as solo,
    ):
        seen = Seen(reader)
        seen.worker_is(lambda each: each.pool == "solo", "the inspection", within=60)
        seen.uuid = running(redis_server, app)
        busy = seen.worker_is(lambda each: each.state == "busy", "that it is busy")
        assert busy.held is None
        let_go(redis_server)
        seen.worker_is(lambda each: each.state == "online", "that it speaks again")
        assert seen.becomes("SUCCESS").worker == "w1@test"
        seen.uuid = running(redis_server, app, until="never")
        seen.worker_is(lambda each: each.state == "busy", "that it is busy again")
        solo.kill()
        seen.worker_is(lambda each: each.state == "lost", "that it is gone")


def test_what_ends_while_nobody_listens_is_unknown(
    redis_server: RedisServer, app: Celery, history: Path, logs: Callable[[str], Path]
) -> None:
    with worker(redis_server.url, "w1", logs("w1"), *QUICK):
        with collecting(redis_server.url, history), reading(history) as reader:
            ends, goes_on = (Seen(reader, running(redis_server, app, until=until)) for until in ("go", "later"))
            ends.becomes("STARTED")
            goes_on.becomes("STARTED")
        let_go(redis_server, "go")
        eventually(lambda: app.AsyncResult(ends.uuid).state == "SUCCESS", "its end")
        with collecting(redis_server.url, history), reading(history) as reader:
            known = Seen(reader, ends.uuid)
            eventually(lambda: known.task().note == doubts.ENDED_UNHEARD, "that nobody has it", within=60)
            assert known.task().state == "UNKNOWN"
            still = Seen(reader, goes_on.uuid)
            assert still.becomes("STARTED").doubted is None
            let_go(redis_server, "later")
            still.becomes("SUCCESS")


def test_the_result_backend_tells_what_was_not_heard(
    redis_server: RedisServer, app: Celery, history: Path, logs: Callable[[str], Path]
) -> None:
    with worker(redis_server.url, "w1", logs("w1"), *QUICK):
        with collecting(redis_server.url, history), reading(history) as reader:
            ends = Seen(reader, running(redis_server, app))
            ends.becomes("STARTED")
        let_go(redis_server)
        eventually(lambda: app.AsyncResult(ends.uuid).state == "SUCCESS", "its end")
        options = {"result_backend": f"{redis_server.url.rpartition('/')[0]}/1"}
        with collecting(redis_server.url, history, mode="passive", options=options), reading(history) as reader:
            task = Seen(reader, ends.uuid).becomes("SUCCESS")
            assert (task.result, task.worker, task.doubted) == ("'go'", "w1@test", None)


def test_a_task_that_ends_without_a_word_does_not_run_for_ever(
    redis_server: RedisServer, app: Celery, history: Path, logs: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "STALE_PAUSE", 6.0)
    with (
        collecting(redis_server.url, history),
        worker(redis_server.url, "w1", logs("w1"), *QUICK),
        reading(history) as reader,
    ):
        seen = Seen(reader, app.send_task("truth.ignore").id)
        task = seen.becomes("UNKNOWN", within=60)
        assert task.note == doubts.UNTOLD


def test_who_leaves_gives_back_what_it_did_not_begin(
    redis_server: RedisServer, app: Celery, history: Path, logs: Callable[[str], Path]
) -> None:
    with collecting(redis_server.url, history), reading(history) as reader:
        with worker(redis_server.url, "w1", logs("w1"), *QUICK) as leaving:
            seen = Seen(reader, app.send_task("truth.add", (1, 2), countdown=3600).id)
            seen.becomes("RECEIVED", within=60)
            leaving.ask_to_end()
            leaving.wait()
        task = seen.becomes("PENDING")
        assert task.note == doubts.GAVE_BACK
        assert seen.worker_is(lambda each: each.state == "offline", "the goodbye").held is None


def test_workers_without_events_are_found_and_switched_on(
    redis_server: RedisServer, app: Celery, history: Path, logs: Callable[[str], Path], tmp_path: Path
) -> None:
    mute = QUICK[1:]
    with (
        collecting(redis_server.url, history, mode="operate"),
        reading(history) as reader,
        worker(redis_server.url, "w1", logs("w1"), *mute),
    ):
        seen = Seen(reader)
        seen.worker_is(lambda each: each.processed is not None, "a heartbeat", within=60)
        for _ in range(5):
            app.send_task("truth.add", (1, 2))
        found = seen.worker_is(lambda each: each.missed == 5, "what was missed")
        assert found.events is False
        done = Actor(redis_server.url, tmp_path, history).do(Steer("enable_events", [found.hostname]))
        assert [(item.ok, item.text) for item in done.items] == [(True, "task events enabled")]
        seen.uuid = app.send_task("truth.add", (1, 2)).id
        seen.becomes("SUCCESS")
        assert seen.worker_is(lambda each: each.events, "that it tells").missed == 5
