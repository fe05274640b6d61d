"""Queue depths on a real RabbitMQ, and what is made of queues that are not there."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import amqp
import pytest

from app.collectors import amqp_queues
from app.collectors.amqp import amqp_address
from app.collectors.amqp_guard import LEDGER
from app.collectors.amqp_queues import AmqpQueues
from app.collectors.errors import BrokerError
from app.models.acts import Purge, Restore
from app.models.records import Queue
from app.models.wire import DoAct, PlanAct, Planned, Unlock
from tests.helpers import rabbits
from tests.helpers.acting import Actor
from tests.helpers.collecting import collecting
from tests.helpers.histories import reading
from tests.helpers.servers import RabbitServer
from tests.helpers.waiting import eventually


@contextmanager
def looking(url: str, *names: str) -> Iterator[AmqpQueues]:
    made = AmqpQueues(amqp_address(url), names, on_command=lambda _number: None)
    try:
        yield made
    finally:
        made.close()


def seen(queues: AmqpQueues) -> dict[str, Queue]:
    return {queue.name: queue for queue in queues.poll().queues}


def fill(channel: amqp.Channel, name: str, messages: int, **options: object) -> None:
    channel.queue_declare(name, **{"durable": True, "auto_delete": False, **options})
    for _ in range(messages):
        channel.basic_publish(amqp.Message("x"), "", name)


def test_depths_and_consumers_are_those_of_the_broker(rabbitmq_url: str) -> None:
    with rabbits.client(rabbitmq_url) as channel, looking(rabbitmq_url, "mail", "sms") as queues:
        fill(channel, "mail", 3)
        fill(channel, "sms", 0)
        channel.basic_qos(0, 1, False)
        tag = channel.basic_consume("sms")
        eventually(lambda: {name: (each.ready, each.consumers) for name, each in seen(queues).items()} == {
            "mail": (3, 0), "sms": (0, 1),
        }, "the figures")  # fmt: skip
        poll = queues.poll()
        assert poll.heads is None, "ages are unknown, not zero"
        assert {queue.unacked for queue in poll.queues} == {None}
        assert 0.0 < poll.took < 5.0
        channel.basic_cancel(tag)


@pytest.mark.parametrize("options", [{"arguments": {"x-max-priority": 9}}, {"arguments": {"x-queue-type": "quorum"}}])
def test_a_queue_may_be_of_any_type(rabbitmq_url: str, options: dict[str, object]) -> None:
    with rabbits.client(rabbitmq_url) as channel, looking(rabbitmq_url, "q") as queues:
        fill(channel, "q", 2, **options)
        eventually(lambda: seen(queues)["q"].ready == 2, "the depth")


def test_looking_makes_no_queue_and_takes_no_message(rabbitmq_server: RabbitServer, rabbitmq_url: str) -> None:
    with rabbits.client(rabbitmq_url) as channel, looking(rabbitmq_url, "missing") as queues:
        fill(channel, "there", 2)
        queues.add(["there", "told"])
        for _ in range(3):
            queues.poll()
        assert channel.queue_declare("there", passive=True).message_count == 2
        assert rabbits.queues(rabbitmq_server, rabbitmq_url).keys() == {"there"}


def test_a_queue_that_is_not_there_is_unknown_if_somebody_named_it(rabbitmq_url: str) -> None:
    with looking(rabbitmq_url, "named") as queues:
        queues.add(["told"])
        found = seen(queues)
        assert found.keys() == {"named"}
        assert (found["named"].ready, found["named"].consumers) == (None, None)


def test_a_queue_that_comes_is_found_and_one_that_goes_is_unknown(
    rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp_queues, "ABSENT_PAUSE", (0.0, 0.0))
    with rabbits.client(rabbitmq_url) as channel, looking(rabbitmq_url) as queues:
        queues.add(["a", "b", "c"])
        assert seen(queues) == {}
        for name in ("a", "b", "c"):
            fill(channel, name, 1)
        eventually(lambda: {name: each.ready for name, each in seen(queues).items()} == dict.fromkeys("abc", 1))
        channel.queue_delete("b")
        ready = {name: each.ready for name, each in seen(queues).items()}
        assert ready == {"a": 1, "b": None, "c": 1}, "who comes behind one that is gone is still asked for"
        fill(channel, "b", 2)
        eventually(lambda: seen(queues)["b"].ready == 2, "the queue that came back")


def test_an_exclusive_queue_of_others_does_no_harm(rabbitmq_url: str) -> None:
    with rabbits.client(rabbitmq_url) as channel, looking(rabbitmq_url, "theirs", "ours") as queues:
        channel.queue_declare("theirs", exclusive=True)
        fill(channel, "ours", 1)
        eventually(lambda: {name: each.ready for name, each in seen(queues).items()}.get("ours") == 1, "the other")
        assert seen(queues).get("theirs", Queue("theirs", 0.0)).ready is None


def test_a_queue_that_is_not_there_is_asked_for_ever_more_rarely(
    rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr(amqp_queues, "time", SimpleNamespace(monotonic=lambda: now, time=lambda: now))
    asked: list[int] = []
    queues = AmqpQueues(amqp_address(rabbitmq_url), ["missing"], on_command=asked.append)
    times = []
    for _ in range(5_000):
        queues.poll()
        if asked:
            times.append(now)
            asked.clear()
        now += 1.0
    queues.close()
    pauses = [later - sooner for sooner, later in pairwise(times)]
    assert pauses == [15.0, 30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0, 600.0, 600.0, 600.0, 600.0]


def test_many_queues_take_turns(rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amqp_queues, "MAX_ASKED", 4)
    asked: list[int] = []
    names = {f"q{number}" for number in range(10)}
    queues = AmqpQueues(amqp_address(rabbitmq_url), names, on_command=asked.append)
    with rabbits.client(rabbitmq_url) as channel:
        for name in names:
            fill(channel, name, 0)
        assert seen(queues).keys() == names, "new ones are looked for at once"
        asked.clear()
        turns = [set(seen(queues)) for _ in range(3)]
        assert set().union(*turns) == names
        assert len(asked) == sum(asked) == 3, "all of a turn are one question"
    queues.close()


def test_names_that_no_queue_can_have_are_not_asked_for(rabbitmq_url: str) -> None:
    with rabbits.client(rabbitmq_url) as channel, looking(rabbitmq_url) as queues:
        fill(channel, "good", 1)
        queues.add(["", "x" * 256, "é" * 128, "good"])
        eventually(lambda: {name: each.ready for name, each in seen(queues).items()} == {"good": 1}, "the good one")


def test_a_connection_that_was_closed_is_made_again(rabbitmq_server: RabbitServer, rabbitmq_url: str) -> None:
    with rabbits.client(rabbitmq_url) as channel, looking(rabbitmq_url, "mail") as queues:
        fill(channel, "mail", 1)
        eventually(lambda: seen(queues)["mail"].ready == 1, "the depth")
        rabbits.close_connections(rabbitmq_server, "cloche-queues")
        with pytest.raises(BrokerError, match="closed the connection"):
            queues.poll()
        assert seen(queues)["mail"].ready == 1


def test_a_collector_shows_queues_that_events_name(rabbitmq_url: str, tmp_path: Path) -> None:
    with (
        rabbits.client(rabbitmq_url) as channel,
        collecting(rabbitmq_url, tmp_path / "h") as running,
        reading(tmp_path / "h") as reader,
    ):
        fill(channel, "shop", 2)
        event = '{"type":"task-sent","hostname":"p","uuid":"t1","timestamp":1795230000,"name":"a","queue":"shop"}'
        rabbits.publish(channel, [event])
        eventually(lambda: {each.name: each.ready for each in reader.queues()}.get("shop") == 2, "the depth")
        assert running.notices("queues") == []


def test_a_quarantine_is_known_for_what_it_is_and_its_ledger_is_no_queue(rabbitmq_url: str, tmp_path: Path) -> None:
    with rabbits.client(rabbitmq_url) as channel, looking(rabbitmq_url, "mail") as queues:
        fill(channel, "mail", 3)
        outcome = Actor(rabbitmq_url, tmp_path).do(Purge("mail"))
        assert isinstance(outcome.undo, Restore)
        quarantine = outcome.undo.quarantine
        queues.add([quarantine, f"{quarantine}{LEDGER}"])
        found = {name: (each.ready, each.role) for name, each in seen(queues).items()}
        assert found == {"mail": (0, None), quarantine: (3, "quarantine")}


def test_what_a_collector_purged_is_seen_at_once_where_nobody_else_tells(rabbitmq_url: str, tmp_path: Path) -> None:
    with (
        rabbits.client(rabbitmq_url) as channel,
        collecting(rabbitmq_url, tmp_path / "h", queues=["mail"], mode="operate", environment="development") as running,
        reading(tmp_path / "h") as reader,
    ):
        fill(channel, "mail", 3)
        for said in (Unlock(), PlanAct(1, Purge("mail"))):
            running.collector.take(said)
        eventually(lambda: any(isinstance(each, Planned) for each in running.said), "the plan")
        running.collector.take(DoAct(1))
        eventually(
            lambda: [(each.role, each.ready) for each in reader.queues() if each.role] == [("quarantine", 3)],
            "the quarantine",
        )
