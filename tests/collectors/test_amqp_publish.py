"""Publishing with confirms on a real RabbitMQ: what is told to have arrived is there, and what is not is said."""

import threading
from collections.abc import Iterator
from contextlib import closing

import amqp
import pytest
from amqp import spec

from app.collectors.amqp import amqp_address
from app.collectors.amqp_guard import Guard
from app.collectors.amqp_publish import ConfirmedPublisher, RawMessage
from app.collectors.errors import BrokerError
from tests.helpers.proxy import FaultProxy
from tests.helpers.rabbits import client, declare
from tests.helpers.servers import RabbitServer
from tests.helpers.waiting import eventually

SENDING = Guard({spec.Confirm.Select: lambda _: True, spec.Basic.Publish: lambda _: True})


@pytest.fixture
def channel(rabbitmq_url: str) -> Iterator[amqp.Channel]:
    with client(rabbitmq_url) as made:
        yield made


@pytest.fixture
def publisher(rabbitmq_url: str) -> Iterator[ConfirmedPublisher]:
    with closing(ConfirmedPublisher(amqp_address(rabbitmq_url), SENDING)) as made:
        yield made


def length(channel: amqp.Channel, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).message_count)


def test_what_returned_is_in_the_queue(channel: amqp.Channel, publisher: ConfirmedPublisher) -> None:
    declare(channel, "mail")
    for number in range(1, 4):
        publisher.publish(amqp.Message("x" * number * 100_000, delivery_mode=2), "", "mail")
        assert length(channel, "mail") == number


def test_nobody_to_take_it_is_said_and_the_next_one_arrives(
    channel: amqp.Channel, publisher: ConfirmedPublisher
) -> None:
    declare(channel, "mail", x_max_length=1, x_overflow="reject-publish")
    with pytest.raises(BrokerError, match="no queue that takes messages to 'nosuch'") as told:
        publisher.publish(amqp.Message("x"), "", "nosuch")
    assert told.value.fault == "absent"
    with pytest.raises(BrokerError, match="has no exchange 'nosuch'") as told:
        publisher.publish(amqp.Message("x"), "nosuch", "mail")
    assert told.value.fault == "absent"
    publisher.publish(amqp.Message("x"), "", "mail")
    with pytest.raises(BrokerError, match="refused a message") as told:
        publisher.publish(amqp.Message("x"), "", "mail")
    assert told.value.fault == "full"
    assert length(channel, "mail") == 1


def test_properties_are_sent_byte_by_byte(channel: amqp.Channel, publisher: ConfirmedPublisher) -> None:
    declare(channel, "mail")
    table = b"\x01nB\xff" + b"\x01mu\xff\xff"  # numbers of one and two bytes, which py-amqp would write with four
    properties = b"\x30\x00" + len(table).to_bytes(4, "big") + table + b"\x02"
    publisher.publish(RawMessage(properties, b"\x00\xff"), "", "mail")
    got = channel.basic_get("mail", no_ack=True)
    assert (got.body, got.headers, got.properties["delivery_mode"]) == (b"\x00\xff", {"n": 255, "m": 65535}, 2)


def test_a_broker_that_falls_silent_is_not_waited_for_when_somebody_gives_up(rabbitmq_server: RabbitServer) -> None:
    with FaultProxy(rabbitmq_server.port) as proxy, client(rabbitmq_server.url) as channel:
        channel.queue_declare("silent", exclusive=True)
        address = amqp_address(f"amqp://127.0.0.1:{proxy.port}/%2F")
        with closing(ConfirmedPublisher(address, SENDING)) as publisher:
            publisher.publish(amqp.Message("x"), "", "silent")
            proxy.freeze("down")
            threading.Timer(0.2, publisher.give_up).start()
            with pytest.raises(BrokerError, match="may have it, or not"):
                publisher.publish(amqp.Message("x"), "", "silent")
            eventually(lambda: length(channel, "silent") == 2, "it did arrive")
