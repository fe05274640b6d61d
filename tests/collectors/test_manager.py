"""What RabbitMQ's queues are: described by a real node, told apart by what they are for, and asked for politely."""

from contextlib import closing
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import kombu
import pytest
from celery import Celery
from kombu.transport.native_delayed_delivery import (
    bind_queue_to_native_delayed_delivery_exchange,
    declare_native_delayed_delivery_exchanges_and_queues,
)

from app.collectors import amqp_queues, managed, management, manager
from app.collectors.amqp import amqp_address
from app.collectors.amqp_queues import AmqpQueues
from app.collectors.errors import BrokerError
from app.models.records import DeadLetter, Queue
from tests.collectors.test_management import api_of, found, looking
from tests.helpers import rabbits
from tests.helpers.managing import telling
from tests.helpers.servers import RabbitServer
from tests.helpers.waiting import eventually

# --- what queues are --------------------------------------------------------------------------------------------------


def test_a_queue_is_described_and_its_dead_letters_are_traced(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "QUEUES_PAUSE", 0.0)
    policy = {"pattern": "^sms$", "definition": {"dead-letter-exchange": "dlx"}, "apply-to": "queues"}
    rabbits.manage(rabbitmq_server, "PUT", f"policies/{rabbits.host_of(rabbitmq_url)}/giving-up", policy)
    with rabbits.client(rabbitmq_url) as channel:
        channel.exchange_declare("dlx", "direct", durable=True, auto_delete=False)
        rabbits.declare(channel, "mail", x_dead_letter_exchange="dlx", x_dead_letter_routing_key="mail.dead")
        default = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": "mail.dead"}
        rabbits.declare(channel, "push", x_queue_type="quorum", **default)
        rabbits.declare(channel, "log", x_queue_type="stream")
        for name in ("sms", "mail.dead", "sms.dead"):
            rabbits.declare(channel, name)
        for key in ("mail.dead", "sms.dead"):
            channel.queue_bind(key, "dlx", key)
        rabbits.send(channel, "mail", 3)
        eventually(lambda: channel.basic_get("mail"), "a message")
        channel.basic_reject(1, requeue=False)
        with looking(rabbitmq_url, api_of(rabbitmq_server)) as queues:
            eventually(lambda: found(queues).get("mail.dead", Queue("", 0.0)).ready == 1, "the dead letter")
            # RabbitMQ learns of some of it a few seconds later.
            eventually(lambda: len(found(queues)["mail.dead"].dead_letters_of) == 3, "the policy", within=60)
            eventually(lambda: found(queues)["mail"].memory, "the figures")
            seen = found(queues)
    mail, dead = seen["mail"], seen["mail.dead"]
    assert (mail.type, mail.durable, mail.policy, mail.role) == ("classic", True, None, None)
    assert (seen["push"].type, seen["log"].type, seen["sms"].policy) == ("quorum", "stream", "giving-up")
    assert mail.memory is not None
    assert mail.memory > 1_000
    assert mail.dead_letter == DeadLetter("dlx", "mail.dead", ["mail.dead"])
    assert seen["push"].dead_letter == DeadLetter("", "mail.dead", ["mail.dead"])
    sms = seen["sms"].dead_letter
    assert sms is not None
    assert (sms.exchange, sms.routing_key, sorted(sms.queues)) == ("dlx", None, ["mail.dead", "sms.dead"])
    assert (dead.role, sorted(dead.dead_letters_of)) == ("dead letter", ["mail", "push", "sms"])
    assert dead.rate_in is None, "RabbitMQ does not count dead letters as published, so zero would be a lie"


def test_rates_are_those_of_rabbitmq(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "QUEUES_PAUSE", 0.0)
    with rabbits.client(rabbitmq_url) as channel, looking(rabbitmq_url, api_of(rabbitmq_server)) as queues:
        for name in ("acknowledged", "no_ack", "idle", "redelivered"):
            rabbits.declare(channel, name)
        rabbits.send(channel, "redelivered")

        def rates() -> dict[str, Queue]:
            """Ten in and ten out each time, and one that is given back again and again; once that can be seen.

            RabbitMQ counts what comes and what goes at moments of its own: for a moment it may tell only one of them.
            """
            for name in ("acknowledged", "no_ack"):
                rabbits.send(channel, name, 10)
                for _ in range(10):
                    message = channel.basic_get(name, no_ack=name == "no_ack")
                    if message is not None and name == "acknowledged":
                        channel.basic_ack(message.delivery_tag)
            again = channel.basic_get("redelivered")
            if again is not None:
                channel.basic_reject(again.delivery_tag, requeue=True)
            seen = found(queues)
            both = [seen[name] for name in ("acknowledged", "no_ack") if name in seen]
            agree = all((q.rate_out or 0.0) > 5.0 and q.rate_in == pytest.approx(q.rate_out, rel=0.2) for q in both)
            return seen if len(both) == 2 and agree else {}

        seen = eventually(rates, "rates in and out that agree", within=60)
        assert (seen["idle"].rate_in, seen["idle"].rate_out) == (0.0, 0.0)
        assert seen["redelivered"].rate_out == 0.0, "what is given back did not leave"


def test_celerys_delayed_delivery_is_one_queue_of_its_own_kind_and_its_levels_are_not_asked_for(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "QUEUES_PAUSE", 0.0)
    app = Celery("shop", broker=rabbitmq_url, set_as_current=False)
    jobs = kombu.Queue("jobs", kombu.Exchange("jobs", "topic"), "jobs", queue_arguments={"x-queue-type": "quorum"})
    app.conf.update(
        task_queues=[jobs], task_default_queue="jobs", task_default_exchange_type="topic",
        worker_detect_quorum_queues=True,
    )  # fmt: skip
    asked: list[int] = []
    with app.connection_for_write() as connection:
        # As a worker does that finds a quorum queue among its own.
        declare_native_delayed_delivery_exchanges_and_queues(connection, "quorum")
        declare_native_delayed_delivery_exchanges_and_queues(connection, "classic", "shop")
        jobs(connection.channel()).declare()
        bind_queue_to_native_delayed_delivery_exchange(connection, jobs)
        for countdown in (500, 70_000, 0):
            app.send_task("shop.buy", countdown=countdown)
        made = amqp_address(rabbitmq_url, None, {"management_url": api_of(rabbitmq_server)})
        queues = AmqpQueues(made, on_command=asked.append)
        queues.add(["celery_delayed_3", "celery_delayed_*"])  # as a history may tell of them
        eventually(lambda: found(queues).get("celery_delayed_*", Queue("", 0.0)).ready == 2, "two that wait", within=60)
        seen = found(queues)

        def cost() -> int:
            asked.clear()
            queues.poll()
            return sum(asked)

        eventually(lambda: cost() == 2, "a look at one queue, and one question to the API")
        queues.close()
    app.close()
    assert set(seen) == {"jobs", "celery_delayed_*", "shop_celery_delayed_*"}
    delayed = seen["celery_delayed_*"]
    assert (delayed.role, delayed.type, delayed.consumers, delayed.rests) == ("delayed", "quorum", 0, True)
    assert (seen["jobs"].ready, seen["jobs"].role, seen["jobs"].dead_letters_of) == (1, None, [])
    assert seen["shop_celery_delayed_*"].ready == 0


def test_many_queues_are_not_asked_for_one_by_one_where_the_api_tells_of_all(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "QUEUES_PAUSE", 0.0)
    monkeypatch.setattr(amqp_queues, "MAX_ASKED", 4)
    names = {f"q{number}" for number in range(6)}
    asked: list[int] = []
    made = amqp_address(rabbitmq_url, None, {"management_url": api_of(rabbitmq_server)})
    queues = AmqpQueues(made, on_command=asked.append)
    seen: dict[str, Queue] = {}

    def look() -> int:
        asked.clear()
        seen.update(found(queues))
        return sum(asked)

    with rabbits.client(rabbitmq_url) as channel:
        for name in names:
            rabbits.declare(channel, name)
        rabbits.send(channel, "q3", 2)
        eventually(lambda: look() and len(seen) == 6, "all queues")
        eventually(lambda: look() == 1 and seen["q3"].ready == 2, "one question, to the API", within=60)
        assert [look() for _ in range(3)] == [1, 1, 1]
        channel.queue_delete("q3")
        eventually(lambda: look() and seen["q3"].ready is None, "that one is gone", within=60)
    queues.close()


def test_what_the_broker_is_short_of_is_said(rabbitmq_url: str) -> None:
    pages = {
        "queues": {"items": [], "page_count": 1},
        "health": {"status": "failed", "alarms": [{"node": "n", "resource": "memory"}, {"resource": "disk"}]},
    }
    with telling(pages, {"health": 503}) as (api, _), looking(rabbitmq_url, api) as queues:
        eventually(lambda: queues.poll().complete, "every question")
        said = str(queues.poll().troubles["alarm"])
    assert "blocks publishers: it is short of memory and disk" in said
    assert "vm_memory_high_watermark" in said


def test_a_rabbitmq_that_does_not_know_the_question_for_alarms_is_asked_all_else(rabbitmq_url: str) -> None:
    pages = {"queues": {"items": [{"name": "mail", "messages_unacknowledged": 4, "exclusive": True}]}}
    with telling(pages) as (api, asked), looking(rabbitmq_url, api) as queues:
        eventually(lambda: queues.poll().complete, "every question")
        poll = queues.poll()
        assert poll.troubles == {"management": None, "alarm": None}
        assert poll.queues == [], "what belongs to one connection is not asked for"
        assert [path.split("/")[2] for path in asked] == ["queues", "health"]


# --- roles ------------------------------------------------------------------------------------------------------------


def told(*queues: dict[str, Any], **bindings: list[tuple[str, str]]) -> dict[str, Queue]:
    """What becomes of queues that the API tells of: each with its name, and its settings as policy."""
    pages: dict[str, Any] = {
        "queues": {"items": [{"name": each.pop("name"), "effective_policy_definition": each} for each in queues]},
        "health": {"status": "ok"},
    }
    for exchange, bound in bindings.items():
        pages[exchange] = [{"destination": q, "destination_type": "queue", "routing_key": key} for q, key in bound]
    with telling(pages) as (api, _):
        asked = amqp_address("amqp://h", None, {"management_url": api}).management
        assert asked is not None
        names: list[str] = []
        with closing(manager.Manager(asked, on_command=lambda _number: None)) as made:
            while not made.complete:
                names += [queue.name for queue in made.look()]
        assert made.trouble is None
        found = [Queue(name, 0.0) for name in names]
        for queue in found:
            made.fill(queue)
    return {queue.name: queue for queue in found}


def roles(*queues: dict[str, Any], **bindings: list[tuple[str, str]]) -> dict[str, str | None]:
    return {name: queue.role for name, queue in told(*queues, **bindings).items()}


def dead(name: str, to: str, exchange: str = "", expires: int | None = None) -> dict[str, Any]:
    settings = {"dead-letter-exchange": exchange, "dead-letter-routing-key": to}
    return {"name": name, **settings, **({} if expires is None else {"message-ttl": expires})}


def test_who_takes_dead_letters_of_others_is_a_queue_for_them() -> None:
    assert roles(dead("mail", "dead"), {"name": "dead"}) == {"mail": None, "dead": "dead letter"}


def test_a_queue_that_waits_for_another_attempt_is_a_delayed_one_and_not_its_end() -> None:
    assert roles(dead("mail", "mail.retry"), dead("mail.retry", "mail", expires=30_000)) == {
        "mail": None, "mail.retry": "delayed",
    }  # fmt: skip


def test_messages_that_expire_do_not_make_a_queue_a_delayed_one() -> None:
    # Else nobody would be told when its workers are gone.
    assert roles(dead("mail", "late", expires=30_000), {"name": "late"})["mail"] is None


def test_queues_that_hand_their_dead_letters_to_each_other_are_for_tasks() -> None:
    assert roles(dead("a", "b"), dead("b", "a")) == {"a": None, "b": None}


def test_where_an_exchange_leads_to_is_told_by_the_key_where_that_is_known() -> None:
    bound = [("x", "one"), ("y", "two"), ("y", "three")]
    queues = told(
        dead("a", "one", "dlx"),
        dead("b", "unknown", "dlx"),
        {"name": "c", "dead-letter-exchange": "dlx"},
        {"name": "d", "dead-letter-exchange": ""},
        dead("e", "one", "elsewhere"),
        {"name": "x"},
        dlx=bound,
    )
    ends = {name: each.dead_letter.queues for name, each in queues.items() if each.dead_letter is not None}
    assert ends == {"a": ["x"], "b": ["x", "y"], "c": ["x", "y"], "d": [], "e": []}
    assert queues["x"].dead_letters_of == ["a", "b", "c"]


# --- how often -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("queues", "exchanges", "most"), [(3, 0, 24), (3, 2, 26), (1_200, 0, 38), (30_000, 0, 58)])
def test_it_is_asked_once_in_five_seconds_or_a_page_of_many_each_second(
    monkeypatch: pytest.MonkeyPatch, queues: int, exchanges: int, most: int
) -> None:
    """``most`` questions in a minute: 12 rounds and 12 for alarms, or what is possible, and one for each exchange."""
    now = 1_000.0
    monkeypatch.setattr(manager, "time", SimpleNamespace(monotonic=lambda: now, time=lambda: now))
    asked: list[int] = []
    each = {f"q{number}": dead("x", "y", f"dlx{number}") for number in range(exchanges)}
    api = Api([{"name": f"q{number}", **each.get(f"q{number}", {})} for number in range(queues)])
    made = manager.Manager(api, on_command=asked.append)  # type: ignore[arg-type]
    for _ in range(60):
        made.look()
        now += 1.0
    assert sum(asked) == api.asked
    assert most - 4 <= api.asked <= most
    assert max(api.pages) <= 20


def test_who_fails_is_asked_ever_more_rarely_and_who_refuses_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(manager, "time", SimpleNamespace(monotonic=lambda: now, time=lambda: now))
    for fault, pauses in (("network", [10.0, 20.0, 40.0, 60.0, 60.0]), ("permission", [30.0] * 5)):
        api = Api([{"name": "q"}])
        api.error = BrokerError(fault, "no")  # type: ignore[arg-type]
        made = manager.Manager(api, on_command=lambda _number: None)  # type: ignore[arg-type]
        times: list[float] = []
        for _ in range(300):
            before = api.asked
            made.look()
            if api.asked > before:
                times.append(now)
            now += 1.0
        assert [later - sooner for sooner, later in pairwise(times)][:5] == pauses
        api.error = None
        now += 60.0
        made.look()
        assert made.trouble is None


def test_what_is_not_told_any_more_is_not_known() -> None:
    api = Api([{"name": "q"}])
    made = manager.Manager(api, on_command=lambda _number: None)  # type: ignore[arg-type]
    assert [queue.name for queue in made.look()] == ["q"]
    known = Queue("q", 0.0)
    made.fill(known)
    assert known.type == "classic"
    made._queues_at, api.error = 0.0, BrokerError("network", "gone")
    made.look()
    later = Queue("q", 0.0)
    made.fill(later)
    assert later == Queue("q", 0.0)


class Api:
    """A management API that has so many queues, or fails."""

    def __init__(self, queues: list[dict[str, Any]]) -> None:
        self._queues = queues
        self.asked = 0
        self.pages: list[int] = []
        self.error: BrokerError | None = None

    def _ask(self) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error

    def queues(self, page: int) -> tuple[list[managed.Managed], int]:
        self._ask()
        self.pages.append(page)
        these = self._queues[(page - 1) * management.PAGE : page * management.PAGE]
        exchanges = [each.get("dead-letter-exchange") for each in these]
        found = [
            managed.Managed(
                each["name"],
                type="classic",
                dead_letters=None if exchange is None else managed.DeadLetters(exchange),
            )
            for each, exchange in zip(these, exchanges, strict=True)
        ]
        return found, -(-len(self._queues) // management.PAGE)

    def alarms(self) -> list[str]:
        self._ask()
        return []

    def bindings(self, _exchange: str) -> list[managed.Binding]:
        self._ask()
        return []


def _managed(queue: dict[str, Any]) -> managed.Managed:
    exchange = queue.get("dead-letter-exchange")
    sent = None if exchange is None else managed.DeadLetters(exchange)
    return managed.Managed(queue["name"], type="classic", dead_letters=sent)
