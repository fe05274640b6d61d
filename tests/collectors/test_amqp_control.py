"""Asking workers over RabbitMQ: real answers, one deadline, and nothing left behind."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import amqp
import pytest

from app.collectors.amqp import amqp_address
from app.collectors.amqp_control import AmqpControl
from app.collectors.control import Answer, Forbidden
from app.collectors.errors import BrokerError
from app.collectors.inspector import from_active_queues, from_stats
from app.collectors.orders import EnableEvents, RevokeIds, Shutdown
from app.models.profiles import Mode
from tests.helpers import rabbits
from tests.helpers.acting import telling
from tests.helpers.celery_apps import worker
from tests.helpers.servers import RabbitServer
from tests.helpers.waiting import eventually


@contextmanager
def control(url: str, mode: Mode = "observe") -> Iterator[AmqpControl]:
    made = AmqpControl(amqp_address(url), mode, on_command=lambda _number: None)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def faked(url: str, *hosts: str) -> Iterator[tuple[amqp.Channel, dict[str, list[dict[str, Any]]]]]:
    """Mailboxes of workers that answer only what a test lets them; what each was asked, and its message's headers."""
    asked: dict[str, list[dict[str, Any]]] = {host: [] for host in hosts}
    with rabbits.client(url) as channel:
        channel.exchange_declare("celery.pidbox", "fanout", durable=False, auto_delete=False)
        for host in hosts:
            channel.queue_declare(f"{host}.celery.pidbox", exclusive=True)
            channel.queue_bind(f"{host}.celery.pidbox", "celery.pidbox")

            def take(message: amqp.Message, host: str = host) -> None:
                asked[host].append({**json.loads(message.body), "headers": message.headers})

            channel.basic_consume(f"{host}.celery.pidbox", consumer_tag=host, no_ack=True, callback=take)
        yield channel, asked
        for host in hosts:
            channel.basic_cancel(host)  # else what comes while it closes would be a warning


def answer(channel: amqp.Channel, asked: dict[str, Any], body: str, **properties: Any) -> None:
    headers = {"application_headers": {"ticket": asked["ticket"]}}
    message = amqp.Message(body, **{**headers, **properties})
    channel.basic_publish(message, asked["reply_to"]["exchange"], asked["reply_to"]["routing_key"])


def answering(channel: amqp.Channel, reply: Callable[[dict[str, Any]], None], asked: list[dict[str, Any]]) -> None:
    """Wait for a question and answer it."""
    while not asked:
        channel.connection.drain_events(timeout=20)
    reply(asked.pop())


# --- real workers ----------------------------------------------------------------------------------------------------


def test_none_one_or_two_workers_answer_and_nothing_is_left(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, tmp_path: Path
) -> None:
    with control(rabbitmq_url) as asker, ExitStack() as workers:
        began = time.monotonic()
        assert asker.ask("ping", timeout=20.0) == {}, "there is no exchange yet"
        assert time.monotonic() - began < 15.0, "nobody listens, which is not waited for"
        one = workers.enter_context(worker(rabbitmq_url, "w1", tmp_path / "w1.log", slots=2))
        eventually(lambda: asker.ask("ping", timeout=1.0) == {one.hostname: {"ok": "pong"}}, "a pong", within=60)
        other = workers.enter_context(worker(rabbitmq_url, "w2", tmp_path / "w2.log", pool="solo"))
        both = {one.hostname, other.hostname}
        eventually(lambda: asker.ask("ping", timeout=1.0).keys() == both, "two pongs", within=60)
        assert asker.ask("ping", [other.hostname]).keys() == {other.hostname}
        began = time.monotonic()
        stats = asker.ask("stats", sorted(both), timeout=20.0)
        assert time.monotonic() - began < 15.0, "all who were asked answered, so nobody is waited for"
        assert {host: from_stats(answer)["pool"] for host, answer in stats.items()} == {
            one.hostname: "prefork",
            other.hostname: "solo",
        }
        queues = asker.ask("active_queues", [one.hostname])[one.hostname]
        assert from_active_queues(queues) == {"queues": ["celery"]}
        for command in ("active", "reserved", "scheduled"):
            assert asker.ask(command, [one.hostname])[one.hostname] == []
        assert asker.ask("query_task", [one.hostname], arguments={"ids": ["nobody's"]})[one.hostname] == {}
        left = {name for name in rabbits.queues(rabbitmq_server, rabbitmq_url) if "reply" in name}
        assert left == set()


def test_a_connection_that_was_idle_for_long_is_not_trusted(rabbitmq_server: RabbitServer, rabbitmq_url: str) -> None:
    with faked(rabbitmq_url, "w@a"), control(rabbitmq_url) as asker:
        asker.ask("ping", timeout=0.1)
        rabbits.close_connections(rabbitmq_server, "cloche-control")
        asker._used -= 31.0
        assert asker.ask("ping", timeout=0.1) == {}
        rabbits.close_connections(rabbitmq_server, "cloche-control")
        with pytest.raises(BrokerError, match="closed the connection"):
            asker.ask("ping", timeout=0.1)
        assert asker.ask("ping", timeout=0.1) == {}, "and after an error there is another"


# --- who answers badly, or not ---------------------------------------------------------------------------------------


def test_a_worker_that_never_answers_takes_no_more_than_the_deadline(rabbitmq_url: str) -> None:
    with faked(rabbitmq_url, "w@a"), control(rabbitmq_url) as asker:
        began = time.monotonic()
        assert asker.ask("ping", timeout=0.5) == {}
        assert 0.4 < time.monotonic() - began < 5.0


def test_mailboxes_of_nobody_are_not_waited_for(rabbitmq_url: str) -> None:
    with faked(rabbitmq_url), control(rabbitmq_url) as asker:
        began = time.monotonic()
        assert asker.ask("ping", timeout=20.0) == {}
        assert time.monotonic() - began < 15.0


def test_who_gives_up_waits_no_longer(rabbitmq_url: str) -> None:
    with faked(rabbitmq_url, "w@a"), control(rabbitmq_url) as asker:
        asker.give_up()
        began = time.monotonic()
        assert asker.ask("ping", timeout=20.0) == {}
        assert time.monotonic() - began < 15.0


def test_what_is_asked_is_what_kombu_would_ask(rabbitmq_url: str) -> None:
    with faked(rabbitmq_url, "w@a") as (channel, asked), control(rabbitmq_url) as asker:
        asker.ask("query_task", ["w@a"], arguments={"ids": ["t1"]}, timeout=0.1)
        channel.connection.drain_events(timeout=20)
        (question,) = asked["w@a"]
        ticket, reply_to = question.pop("ticket"), question.pop("reply_to")
        headers = question.pop("headers")
        assert question == {
            "method": "query_task",
            "arguments": {"ids": ["t1"]},
            "destination": ["w@a"],
            "pattern": None,
            "matcher": None,
        }
        assert reply_to["exchange"] == "reply.celery.pidbox"
        assert len(ticket) == len(reply_to["routing_key"]) == 36
        assert headers["clock"] == 1
        assert 0.0 < headers["expires"] - time.time() < 5.0


def test_its_queue_for_answers_is_exclusive_and_bounded_and_expires(
    rabbitmq_server: RabbitServer, rabbitmq_url: str
) -> None:
    with faked(rabbitmq_url, "w@a") as (channel, asked), control(rabbitmq_url) as asker:
        seen: list[dict[str, Any]] = []

        def look(_question: dict[str, Any]) -> None:
            found = rabbits.queues(rabbitmq_server, rabbitmq_url)
            seen.extend(queue for name, queue in found.items() if name.endswith(".reply.celery.pidbox"))

        helper = threading.Thread(target=answering, args=(channel, look, asked["w@a"]))
        helper.start()
        asker.ask("ping", timeout=3.0)
        helper.join()
        (queue,) = seen
        assert (queue["exclusive"], queue["auto_delete"], queue["durable"]) == (True, True, False)
        assert queue["arguments"] == {"x-expires": 10_000, "x-max-length": 20_000, "x-max-length-bytes": 64 << 20}


@pytest.mark.parametrize(
    ("body", "properties"),
    [
        ('{"w@forger": {"ok": "pong"}}', {"application_headers": {"ticket": "another"}}),
        ('{"w@forger": {"ok": "pong"}}', {"application_headers": {}}),
        ('{"w@forger": {"ok": "pong"}}', {"application_headers": None}),
        ("", {}),
        ("[]", {}),
        ('{"w@a": NaN}', {}),
        ("[" * 50_000, {}),
        ("\x80\x04}", {"content_type": "application/x-python-serialize"}),
        ('{"w@a": "' + "x" * (5 << 20) + '"}', {}),
    ],
    ids=["forged", "no ticket", "no headers", "empty", "a list", "NaN", "deep", "pickled", "too long"],
)
def test_what_is_no_answer_is_waited_past(rabbitmq_url: str, body: str, properties: dict[str, Any]) -> None:
    with faked(rabbitmq_url, "w@a") as (channel, asked), control(rabbitmq_url) as asker:

        def reply(question: dict[str, Any]) -> None:
            answer(channel, question, body, **properties)
            answer(channel, question, '{"w@a": {"ok": "late"}}')

        helper = threading.Thread(target=answering, args=(channel, reply, asked["w@a"]))
        helper.start()
        assert asker.ask("ping", ["w@a"], timeout=20.0) == {"w@a": {"ok": "late"}}
        helper.join()


def test_f26_who_was_not_asked_does_not_count_and_one_answer_of_each_does(rabbitmq_url: str) -> None:
    with faked(rabbitmq_url, "w@a") as (channel, asked), telling(rabbitmq_url) as teller:

        def reply(question: dict[str, Any]) -> None:
            for number in range(200):
                answer(channel, question, json.dumps({f"stranger{number}@b": {"ok": "forged"}}))
            for word in ("first", "second"):
                answer(channel, question, json.dumps({"w@a": {"ok": word}}))

        helper = threading.Thread(target=answering, args=(channel, reply, asked["w@a"]))
        helper.start()
        answers = list(teller.tell(EnableEvents(), ["w@a", "w@c"], ["w@a", "w@c"], timeout=2.0))
        helper.join()
    assert [answer for answer in answers if answer.known] == [
        Answer("w@a", True, "first"),
        Answer("w@c", None, "no answer yet; it may still do it"),
    ]
    assert len([answer for answer in answers if not answer.known]) == 20


def test_f26_who_drips_does_not_stretch_the_deadline(rabbitmq_url: str) -> None:
    names = [f"w@{number}" for number in range(30)]
    with faked(rabbitmq_url, "w@a") as (channel, asked), telling(rabbitmq_url) as teller:

        def reply(question: dict[str, Any]) -> None:
            for name in names:
                answer(channel, question, json.dumps({name: {"ok": "told"}}))
                time.sleep(0.2)

        helper = threading.Thread(target=answering, args=(channel, reply, asked["w@a"]))
        helper.start()
        began = time.monotonic()
        answers = list(teller.tell(EnableEvents(), names, names, timeout=2.0))
        assert 2.0 <= time.monotonic() - began < 2.2 + 1.0, "a tenth more, and what a busy machine adds"
        assert 0 < sum(1 for each in answers if each.done) < 30
        assert len(answers) == 30
        helper.join()


def test_who_stops_is_not_kept_waiting(rabbitmq_url: str) -> None:
    with faked(rabbitmq_url, "w@a") as (channel, asked), telling(rabbitmq_url) as teller:
        ended: list[float] = []

        def tell() -> None:
            list(teller.tell(EnableEvents(), ["w@a"], ["w@a"], timeout=20.0))
            ended.append(time.monotonic())

        helper = threading.Thread(target=tell)
        helper.start()
        while not asked["w@a"]:
            channel.connection.drain_events(timeout=20)
        began = time.monotonic()
        teller.give_up()
        helper.join()
        assert ended[0] - began < 0.2 + 1.0


def test_nobody_listens_to_what_is_told(rabbitmq_url: str) -> None:
    with faked(rabbitmq_url), telling(rabbitmq_url) as teller:
        assert list(teller.tell(RevokeIds(["t1"]), None, [], timeout=20.0)) == []
        assert teller.listening == 0
        assert list(teller.tell(Shutdown(), ["w@a"], ["w@a"], timeout=20.0)) == []
        assert teller.listening == 0


# --- what is not asked -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "command", "arguments"),
    [
        ("passive", "ping", None),
        ("passive", "enable_events", None),
        ("observe", "enable_events", None),
        ("observe", "disable_events", None),
        ("observe", "election", None),
        ("operate", "election", None),
        ("operate", "shutdown", None),
        ("operate", "revoke", {"task_id": "t1"}),
        ("observe", "ping", {"reply": "with this"}),
        ("observe", "active", {"ids": ["t1"]}),
    ],
)
def test_what_is_not_on_the_list_is_never_sent(
    rabbitmq_url: str, mode: Mode, command: str, arguments: dict[str, Any] | None
) -> None:
    with faked(rabbitmq_url, "w@a") as (channel, asked), control(rabbitmq_url, mode) as asker:
        with pytest.raises(Forbidden):
            asker.ask(command, arguments=arguments)  # type: ignore[arg-type]
        with control(rabbitmq_url) as other:
            other.ask("ping", timeout=0.1)
        channel.connection.drain_events(timeout=20)
        assert [question["method"] for question in asked["w@a"]] == ["ping"]
