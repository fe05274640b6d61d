"""The same tasks, run by a real worker over Redis and over RabbitMQ, leave the same history."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.models.records import Task
from tests.helpers.celery_apps import soon, worker
from tests.helpers.collecting import collecting
from tests.helpers.histories import reading
from tests.helpers.servers import RabbitServer, RedisServer
from tests.helpers.truth import Planned, Sender
from tests.helpers.waiting import eventually


@pytest.fixture(params=["redis", "rabbitmq", "rabbitmq a/b"])
def broker_url(
    request: pytest.FixtureRequest, redis_server: RedisServer, rabbitmq_server: RabbitServer, rabbitmq_url: str
) -> Iterator[str]:
    """A broker of the test's own."""
    if request.param == "rabbitmq a/b":
        rabbitmq_server.make_virtual_host("a/b")
        yield rabbitmq_server.url_of("a/b")
        rabbitmq_server.remove_virtual_host("a/b")
    else:
        yield redis_server.url if request.param == "redis" else rabbitmq_url


def send(sender: Sender) -> None:
    """A few of every kind that needs no result backend.

    None that expires: RabbitMQ drops such messages by itself, so that no worker ever tells of them.
    """
    for number in range(5):
        sender.send("add", number, 1)
        sender.send("fail", f"no {number}", state="FAILURE", exception=f"ValueError('no {number}')")
        sender.send("flaky", 2, 0, retries=2)
        sender.send("progress", 3)
        sender.send("reject", "why", state="FAILURE")
        sender.send("add", 2, 2, how={"eta": soon(1.0)})
        sender.send("nowhere", state="FAILURE", exception="NotRegistered('truth.nowhere')")
        sender.send("hopeless", state="FAILURE", retries=2, exception="TimeoutError('nothing')")
        sender.send("timed", 0.01)


def seen_as(task: Task, plan: Planned) -> Planned:
    """A task in the terms of a plan; of texts, those that are planned."""
    exception, note = task.exception if plan.exception else None, task.note if plan.note else None
    return Planned(task.name or "", task.state, task.retries, exception, note, task.redelivered)


def test_a_history_is_the_same_over_any_broker(broker_url: str, tmp_path: Path) -> None:
    sender = Sender(broker_url)
    with (
        collecting(broker_url, tmp_path / "h") as running,
        reading(tmp_path / "h") as reader,
    ):
        with worker(broker_url, "w1", tmp_path / "w1.log", "-E", slots=2) as process:
            control = sender.app.control
            eventually(lambda: control.ping(timeout=2, limit=1), "the worker", within=60)
            send(sender)
            revoked = sender.send(
                "add", 9, 9, how={"eta": soon(3.0)}, state="REVOKED", note="revoked before it started"
            )
            control.revoke(revoked)

            def all_ended() -> bool:
                wrong.clear()
                found = {task.uuid: task for task in reader.records()}
                for uuid, plan in sender.planned.items():
                    task = found.get(uuid)
                    if task is None or seen_as(task, plan) != plan:
                        wrong[uuid] = (plan, task)
                return not wrong and len(found) == len(sender.planned)

            wrong: dict[str, tuple[Planned, Task | None]] = {}
            try:
                eventually(all_ended, within=60)
            except AssertionError:
                raise AssertionError(f"not as planned: {list(wrong.values())[:3]}") from None
            eventually(lambda: {each.hostname: (each.pool, each.slots) for each in reader.workers()} == {
                process.hostname: ("prefork", 2),
            }, "the worker's own words", within=60)  # fmt: skip
            eventually(
                lambda: {each.name: each.ready for each in reader.queues()} == {"celery": 0}, "the queue's depth"
            )
            process.ask_to_end()
            process.wait()
            eventually(lambda: [each.state for each in reader.workers()] == ["offline"], "its goodbye")
        records = {task.uuid: task for task in reader.records()}
        for uuid, planned in sender.planned.items():
            task = records[uuid]
            assert (task.queue, task.routing_key, task.parent) == ("celery", "celery", None)
            assert task.worker == process.hostname
            assert task.producer is not None
            assert task.sent is not None
            assert len(task.attempts or ()) == planned.retries
            if planned.state == "SUCCESS":
                assert task.runtime is not None
                assert task.wait is not None
                assert task.result is not None
            if planned.name == "truth.progress":
                assert task.progress == '{"current":3,"total":3}'
            if planned.name == "truth.fail":
                assert "ValueError: no" in (task.traceback or "")
        counted = reader.accounting()
        assert counted.balanced
        assert (counted.rejected, counted.shed, reader.gaps()) == ({}, {}, [])
        assert running.state == "live"
    sender.close()
