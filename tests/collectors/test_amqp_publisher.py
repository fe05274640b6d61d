"""Tasks published to RabbitMQ: each once, or known not to have been taken, and by nobody without a grant."""

import shlex
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import amqp
import pytest

from app.collectors.access import Access, Grant
from app.collectors.amqp import amqp_address
from app.collectors.amqp_publisher import AmqpPublisher
from app.collectors.envelope import Known, TaskMessage, for_amqp, made
from app.collectors.errors import BrokerError
from app.collectors.guard import NotAllowed
from app.collectors.publisher import SENT, Route, Unroutable
from tests.helpers import rabbits
from tests.helpers.servers import RabbitServer

DOCUMENTED = Path(__file__).parents[2] / "docs" / "harmless.md"


def message(id_: str = "one") -> TaskMessage:
    return made(Known(name="shop.bill", args=[1], kwargs={}, id=id_, priority=6))


@pytest.fixture
def grant() -> Grant:
    access = Access("operate", "development")
    access.unlock()
    return access.grant()


@contextmanager
def publishing(url: str, grant: Grant) -> Iterator[AmqpPublisher]:
    """What publishes for one act, however often that is taken up."""
    with closing(AmqpPublisher(amqp_address(url), "act", grant, on_command=lambda _: None)) as made_:
        yield made_


@pytest.fixture
def publisher(rabbitmq_url: str, grant: Grant) -> Iterator[AmqpPublisher]:
    with publishing(rabbitmq_url, grant) as made_:
        yield made_


@pytest.fixture
def channel(rabbitmq_url: str) -> Iterator[amqp.Channel]:
    with rabbits.client(rabbitmq_url) as made_:
        yield made_


def test_a_message_is_in_its_queue_when_it_is_said_to_be(publisher: AmqpPublisher, channel: amqp.Channel) -> None:
    channel.queue_declare("celery", durable=True, auto_delete=False)
    channel.exchange_declare("shop", "topic", durable=True, auto_delete=False)
    channel.queue_bind("celery", "shop", "order.#")
    assert publisher.publish(message(), Route("", "celery")) == "sent"
    assert publisher.publish(message("two"), Route("shop", "order.new")) == "sent"
    got = [channel.basic_get("celery", no_ack=True) for _ in range(2)]
    assert [each.headers["id"] for each in got] == ["one", "two"]
    assert got[0].properties["priority"] == 6
    assert got[0].properties["correlation_id"] == "one"


def test_what_leads_nowhere_is_told_and_the_next_is_sent(publisher: AmqpPublisher, channel: amqp.Channel) -> None:
    channel.queue_declare("celery", durable=True, auto_delete=False)
    with pytest.raises(Unroutable, match="There is no queue nobody"):
        publisher.publish(message(), Route("", "nobody"))
    with pytest.raises(Unroutable, match="No queue takes"):
        publisher.publish(message(), Route("no exchange", "key"))
    assert publisher.publish(message(), Route("", "celery")) == "sent"
    assert channel.queue_declare("celery", passive=True).message_count == 1


def test_what_a_full_queue_refuses_is_told(publisher: AmqpPublisher, channel: amqp.Channel) -> None:
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    channel.queue_declare("small", durable=True, auto_delete=False, arguments=arguments)
    publisher.publish(message(), Route("", "small"))
    with pytest.raises(Unroutable, match="refused what was published"):
        publisher.publish(message("two"), Route("", "small"))


def test_nothing_is_published_without_a_grant(publisher: AmqpPublisher, channel: amqp.Channel, grant: Grant) -> None:
    channel.queue_declare("celery", durable=True, auto_delete=False)
    grant.end()
    with pytest.raises(BrokerError, match="locked"):
        publisher.publish(message(), Route("", "celery"))
    assert channel.queue_declare("celery", passive=True).message_count == 0


@pytest.mark.parametrize(
    "route",
    [
        Route("celery.pidbox", ""), Route("celeryev", "task.sent"), Route("", "x.celery.pidbox"),
        Route("", f"{SENT}other"),
    ],
)  # fmt: skip
def test_neither_workers_nor_events_nor_ledgers_can_be_reached(publisher: AmqpPublisher, route: Route) -> None:
    with pytest.raises(Unroutable, match="can be no queue"):
        publisher.publish(message(), route)
    with pytest.raises(NotAllowed):
        publisher._connected().carry_out("one", [(for_amqp(message()), route.exchange, route.routing_key)])


def test_a_name_that_amqp_has_no_room_for_is_that_of_no_queue(publisher: AmqpPublisher) -> None:
    for route in (Route("", "é" * 128), Route("x" * 256, "key")):
        with pytest.raises(Unroutable, match=r"[Nn]o queue"):
            publisher.publish(message(), route)


def test_what_was_sent_before_a_crash_is_not_sent_again(
    rabbitmq_url: str, channel: amqp.Channel, publisher: AmqpPublisher, grant: Grant
) -> None:
    rabbits.declare(channel, "celery")
    for id_ in ("one", "two"):
        publisher.publish(message(id_), Route("", "celery"))
    with pytest.raises(Unroutable):
        publisher.publish(message("three"), Route("", "nobody"))
    publisher.close()
    with publishing(rabbitmq_url, grant) as later:
        told = [later.publish(message(id_), Route("", "celery")) for id_ in ("one", "two", "three", "four")]
        # What was given back was written down as sent, and then as not taken, with how the one before it went.
        assert told == ["before", "before", "sent", "sent"]
        assert channel.queue_declare("celery", passive=True).message_count == 4
        later.settle()
    with pytest.raises(amqp.NotFound):
        channel.queue_declare(f"{SENT}act", passive=True)


def test_what_nobody_knows_to_have_been_taken_is_not_taken_for_sent_where_its_queue_is_gone(
    rabbitmq_url: str, channel: amqp.Channel, publisher: AmqpPublisher, grant: Grant
) -> None:
    rabbits.declare(channel, "celery")
    publisher.publish(message(), Route("", "celery"))
    publisher.close()
    channel.queue_delete("celery")
    with publishing(rabbitmq_url, grant) as later, pytest.raises(Unroutable, match="no queue celery"):
        later.publish(message(), Route("", "celery"))


def test_who_comes_next_waits_for_who_is_still_at_it(
    rabbitmq_url: str, channel: amqp.Channel, publisher: AmqpPublisher, grant: Grant
) -> None:
    rabbits.declare(channel, "celery")
    publisher.publish(message(), Route("", "celery"))
    with publishing(rabbitmq_url, grant) as other, pytest.raises(BrokerError, match="carried out by somebody else"):
        other.publish(message(), Route("", "celery"))


def test_a_ledger_that_somebody_wrote_into_is_not_believed(
    rabbitmq_url: str, channel: amqp.Channel, publisher: AmqpPublisher, grant: Grant
) -> None:
    rabbits.declare(channel, "celery")
    publisher.publish(message(), Route("", "celery"))
    publisher.close()
    for body in ('{"number": 3, "about": "two"}', "x"):
        channel.basic_publish(amqp.Message(body), "", f"{SENT}act")
        with publishing(rabbitmq_url, grant) as later, pytest.raises(BrokerError, match="can't be read"):
            later.publish(message("two"), Route("", "celery"))
    assert channel.queue_declare("celery", passive=True).message_count == 1


def test_a_ledger_that_is_gone_ends_the_act(channel: amqp.Channel, publisher: AmqpPublisher) -> None:
    rabbits.declare(channel, "celery")
    publisher.publish(message(), Route("", "celery"))
    channel.queue_delete(f"{SENT}act")
    with pytest.raises(BrokerError, match="can't be read") as told:
        publisher.publish(message("two"), Route("", "celery"))
    assert told.value.fault == "protocol"


def test_it_takes_the_rights_that_are_published(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, channel: amqp.Channel, grant: Grant
) -> None:
    rabbits.declare(channel, "celery")
    told = next(line for line in DOCUMENTED.read_text(encoding="utf-8").splitlines() if r"'…|^cloche\.sent" in line)
    rights = [each.removeprefix("…|") for each in shlex.split(told)[-3:]]
    url = rabbits.make_user(rabbitmq_server, rabbitmq_url, "sender", *rights)
    for _ in range(2):
        with publishing(url, grant) as one:
            one.publish(message(), Route("", "celery"))
    with publishing(url, grant) as one:
        one.settle()
    assert channel.queue_declare("celery", passive=True).message_count == 1


def test_where_rabbitmq_ended_meanwhile_the_next_one_may_be_sent_twice_and_that_is_told(grant: Grant) -> None:
    with RabbitServer() as server:
        with rabbits.client(server.url) as channel:
            rabbits.declare(channel, "celery")
        with publishing(server.url, grant) as first:
            first.publish(message("one"), Route("", "celery"))
            server.kill()
        server.start()
        with publishing(server.url, grant) as later:
            told = [later.publish(message(id_), Route("", "celery")) for id_ in ("one", "two", "three")]
        assert told == ["unheard", "again", "sent"]
        with publishing(server.url, grant) as last, rabbits.client(server.url) as channel:
            assert [last.publish(message(id_), Route("", "celery")) for id_ in ("two", "three", "four")] == [
                "before", "unheard", "sent",
            ]  # fmt: skip
            assert channel.queue_declare("celery", passive=True).message_count == 4
