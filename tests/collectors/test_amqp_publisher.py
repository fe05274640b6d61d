"""Tasks published to RabbitMQ: confirmed, or known not to have been taken, and by nobody without a grant."""

from collections.abc import Iterator

import amqp
import pytest

from app.collectors.access import Access, Grant
from app.collectors.amqp import amqp_address
from app.collectors.amqp_publisher import AmqpPublisher
from app.collectors.envelope import Known, TaskMessage, made
from app.collectors.errors import BrokerError
from app.collectors.guard import NotAllowed
from app.collectors.publisher import Route, Unroutable
from tests.helpers import rabbits


def message(id_: str = "one") -> TaskMessage:
    return made(Known(name="shop.bill", args=[1], kwargs={}, id=id_, priority=6))


@pytest.fixture
def grant() -> Grant:
    access = Access("operate", "development")
    access.unlock()
    return access.grant()


@pytest.fixture
def publisher(rabbitmq_url: str, grant: Grant) -> Iterator[AmqpPublisher]:
    made_ = AmqpPublisher(amqp_address(rabbitmq_url), grant, on_command=lambda _: None)
    yield made_
    made_.close()


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
    with pytest.raises(Unroutable, match="refused a message"):
        publisher.publish(message("two"), Route("", "small"))


def test_nothing_is_published_without_a_grant(publisher: AmqpPublisher, channel: amqp.Channel, grant: Grant) -> None:
    channel.queue_declare("celery", durable=True, auto_delete=False)
    grant.end()
    with pytest.raises(BrokerError, match="locked"):
        publisher.publish(message(), Route("", "celery"))
    assert channel.queue_declare("celery", passive=True).message_count == 0


@pytest.mark.parametrize(
    "route", [Route("celery.pidbox", ""), Route("celeryev", "task.sent"), Route("", "x.celery.pidbox")]
)
def test_neither_workers_nor_events_can_be_reached(publisher: AmqpPublisher, route: Route) -> None:
    with pytest.raises(NotAllowed):
        publisher.publish(message(), route)
