"""The subscriber on a real RabbitMQ: it hears what is published, notices when it does not, and comes back."""

import gzip
import json
import socket
import ssl
import threading
import time
import urllib.parse
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import amqp
import pytest

from app.collectors.amqp import amqp_address
from app.collectors.amqp_events import AmqpChunk, AmqpEvents
from app.collectors.errors import BrokerError
from app.collectors.normalise import MAX_MESSAGE, Normaliser
from app.collectors.subscriber import Closed, Link, receive
from app.models.records import Event
from tests.helpers import rabbits
from tests.helpers.events import T0, raw
from tests.helpers.servers import RabbitServer
from tests.helpers.waiting import eventually


class Heard:
    """All that a subscriber delivered, in order. Its thread can be held up in the middle of what it does."""

    def __init__(self, url: str, **patience: Any) -> None:
        self.running = threading.Event()
        self.running.set()
        self.stream = AmqpEvents(amqp_address(url), self._wake, **patience)
        self.normaliser = Normaliser()
        self.bodies: list[bytes] = []
        self.events: list[Event] = []
        self.links: list[Link] = []

    def _wake(self) -> None:
        self.running.wait()

    def take(self) -> "Heard":
        for item in self.stream.take():
            if isinstance(item, Link):
                self.links.append(item)
            else:
                assert isinstance(item, AmqpChunk)
                self.bodies += [body for _, body in item.contents]
                item.decode(self.normaliser, self.events)
        return self

    def linked(self, times: int = 1) -> bool:
        return sum(link.error is None for link in self.take().links) >= times

    def errors(self) -> list[BrokerError]:
        return [link.error for link in self.take().links if link.error is not None]


@contextmanager
def listening(url: str, **patience: Any) -> Iterator[Heard]:
    """A subscriber that has begun, and perhaps fails."""
    heard = Heard(url, **patience)
    heard.stream.start()
    try:
        yield heard
    finally:
        heard.running.set()
        heard.stream.stop()
        heard.stream.join()


@contextmanager
def subscribed(url: str, **patience: Any) -> Iterator[Heard]:
    with listening(url, **patience) as heard:
        eventually(heard.linked, "the subscription")
        yield heard


def own_queue(server: RabbitServer, url: str) -> dict[str, Any]:
    """Our queue as the management API describes it, once it does."""
    return eventually(
        lambda: next((each for name, each in rabbits.queues(server, url).items() if ".cloche." in name), {}),
        "our queue",
    )


# --- it hears --------------------------------------------------------------------------------------------------------


def test_it_hears_every_message_in_order_and_nothing_else(rabbitmq_url: str) -> None:
    with subscribed(rabbitmq_url) as heard, rabbits.client(rabbitmq_url) as channel:
        for number in range(500):
            channel.basic_publish(amqp.Message(str(number)), "celeryev", f"task.{number}")
            channel.basic_publish(amqp.Message("not an event"), "", "celery")
        eventually(lambda: len(heard.take().bodies) >= 500, "500 messages")
        assert heard.bodies == [str(number).encode() for number in range(500)]
        assert len(heard.links) == 1


def test_messages_that_come_together_make_one_chunk(rabbitmq_url: str) -> None:
    with subscribed(rabbitmq_url) as heard, rabbits.client(rabbitmq_url) as channel:
        heard.running.clear()
        rabbits.publish(channel, ["0"])  # held up with this one
        rabbits.publish(channel, [str(number) for number in range(1, 1_000)])
        heard.running.set()
        sizes: list[int] = []

        def all_came() -> bool:
            sizes.extend(len(item.contents) for item in heard.stream.take() if isinstance(item, AmqpChunk))
            return sum(sizes) == 1_000

        eventually(all_came, "all messages")
        assert len(sizes) < 100


def test_what_kombu_says_of_a_body_comes_with_it(rabbitmq_url: str) -> None:
    event = json.dumps(raw("task-started", uuid="t1", timestamp=T0))
    many = json.dumps([raw("task-started", uuid=f"m{number}", timestamp=T0) for number in range(24)])
    with subscribed(rabbitmq_url) as heard, rabbits.client(rabbitmq_url) as channel:
        rabbits.publish(channel, [event, many])
        packed = {"application_headers": {"compression": "application/x-gzip"}}
        rabbits.publish(channel, [zlib.compress(event.encode())], content_encoding="binary", **packed)
        rabbits.publish(channel, [gzip.compress(event.encode())], application_headers={"compression": "nonsense"})
        rabbits.publish(channel, [event], content_type="application/x-python-serialize")
        rabbits.publish(channel, ["x" * (MAX_MESSAGE + 300_000)])
        rabbits.publish(channel, [""])
        rabbits.publish(channel, [event])
        eventually(lambda: len(heard.take().bodies) == 8, "all messages")
        assert [event.uuid for event in heard.events] == ["t1", *(f"m{number}" for number in range(24)), "t1", "t1"]
        rejected = {"unknown compression": 1, "not JSON": 2, "too large": 1}
        assert heard.normaliser.rejected == rejected
        assert heard.normaliser.received == len(heard.events) + 4


def test_a_burst_waits_in_memory_while_nobody_decodes(rabbitmq_url: str) -> None:
    message, number = "x" * 6_000, 10_000
    with subscribed(rabbitmq_url) as heard, rabbits.client(rabbitmq_url) as channel:
        rabbits.publish(channel, [message] * number)
        eventually(lambda: len(heard.take().bodies) == number, "all messages")
        assert len(heard.links) == 1


@pytest.mark.parametrize("name", ["a/b", "é %", "with space"])
def test_a_virtual_host_may_have_any_name(rabbitmq_server: RabbitServer, name: str) -> None:
    rabbitmq_server.make_virtual_host(name)
    try:
        url = rabbitmq_server.url_of(name)
        with subscribed(url) as heard, rabbits.client(url) as channel:
            rabbits.publish(channel, ["ours"])
            eventually(lambda: heard.take().bodies == [b"ours"], "the message")
    finally:
        rabbitmq_server.remove_virtual_host(name)


def test_another_event_exchange_is_another_application(rabbitmq_url: str) -> None:
    with subscribed(rabbitmq_url) as one, subscribed(f"{rabbitmq_url}?event_exchange=shop.ev") as other:
        with rabbits.client(rabbitmq_url) as channel:
            rabbits.publish(channel, ["one"])
            channel.basic_publish(amqp.Message("other"), "shop.ev", "task.multi")
        eventually(lambda: (one.take().bodies, other.take().bodies) == ([b"one"], [b"other"]), "both messages")


def test_all_that_waits_in_a_socket_is_taken_at_once() -> None:
    """TLS gives out no more than a record of 16 KB at a time."""
    waiting = [b"a" * 16_384, b"b" * 16_384, b"c"]

    class Socket:
        def recv_into(self, room: memoryview) -> int:
            if not waiting:
                raise ssl.SSLWantReadError
            piece = waiting.pop(0)[: len(room)]
            room[: len(piece)] = piece
            return len(piece)

    buffer = memoryview(bytearray(1 << 20))
    assert receive(cast("socket.socket", Socket()), buffer) == 2 * 16_384 + 1
    assert receive(cast("socket.socket", Socket()), buffer) == 0


def test_what_came_before_the_end_is_taken_before_it_is_said() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        with theirs:
            theirs.sendall(b"last words")
        buffer = memoryview(bytearray(100))
        assert receive(ours, buffer) == len(b"last words")
        with pytest.raises(Closed):
            receive(ours, buffer)


# --- what it leaves at the broker -----------------------------------------------------------------------------------


def test_its_queue_is_exclusive_and_bounded_and_expires(rabbitmq_server: RabbitServer, rabbitmq_url: str) -> None:
    with subscribed(rabbitmq_url):
        queue = own_queue(rabbitmq_server, rabbitmq_url)
        assert queue["arguments"] == {
            "x-expires": 60_000,
            "x-max-length": 50_000,
            "x-max-length-bytes": 64 << 20,
            "x-message-ttl": 300_000,
            "x-overflow": "drop-head",
        }
        assert (queue["exclusive"], queue["auto_delete"], queue["durable"]) == (True, True, False)
        assert queue["name"].startswith("celeryev.cloche.")
        exchange = rabbits.manage(rabbitmq_server, "GET", f"exchanges/{rabbits.host_of(rabbitmq_url)}/celeryev")
        assert (exchange["type"], exchange["durable"], exchange["auto_delete"]) == ("topic", True, False)
    eventually(lambda: rabbits.queues(rabbitmq_server, rabbitmq_url) == {}, "the end of the queue")


@pytest.mark.parametrize("flags", [{"durable": False, "auto_delete": True}, {"arguments": {"alternate-exchange": "x"}}])
def test_an_exchange_that_somebody_made_otherwise_is_left_alone(rabbitmq_url: str, flags: dict[str, Any]) -> None:
    with rabbits.client(rabbitmq_url) as channel:
        channel.exchange_declare("celeryev", "topic", **{"durable": True, "auto_delete": False, **flags})
        with subscribed(rabbitmq_url) as heard:
            rabbits.publish(channel, ["heard"])
            eventually(lambda: heard.take().bodies == [b"heard"], "the message")


def test_it_says_goodbye(rabbitmq_server: RabbitServer, rabbitmq_url: str) -> None:
    before = len(rabbitmq_server.log)
    with subscribed(rabbitmq_url), rabbits.client(rabbitmq_url) as channel:
        rabbits.publish(channel, ["x" * 1_000] * 2_000)  # it ends in the middle of these
    eventually(lambda: rabbits.queues(rabbitmq_server, rabbitmq_url) == {}, "the end of the queue")
    assert "unexpectedly" not in rabbitmq_server.log[before:]


# --- it notices ------------------------------------------------------------------------------------------------------


def test_a_closed_connection_is_said_and_made_again(rabbitmq_server: RabbitServer, rabbitmq_url: str) -> None:
    with subscribed(rabbitmq_url) as heard:
        began = time.time()
        rabbits.close_connections(rabbitmq_server, "cloche-events")
        eventually(lambda: heard.linked(2), "the second subscription")
        (error,) = heard.errors()
        assert error.fault == "network"
        assert "closed the connection: CONNECTION_FORCED" in str(error)
        assert heard.links[1].at >= began, "all that was sent before was received"
        with rabbits.client(rabbitmq_url) as channel:
            rabbits.publish(channel, ["after"])
        eventually(lambda: heard.take().bodies == [b"after"], "what came after")


def test_a_queue_that_is_deleted_under_it_is_made_again(rabbitmq_server: RabbitServer, rabbitmq_url: str) -> None:
    with subscribed(rabbitmq_url) as heard:
        name = own_queue(rabbitmq_server, rabbitmq_url)["name"]
        host = urllib.parse.unquote(rabbits.host_of(rabbitmq_url))
        rabbitmq_server.control("delete_queue", name, "--vhost", host)
        eventually(lambda: heard.linked(2), "the second subscription")
        (error,) = heard.errors()
        assert "deleted the queue" in str(error)
        with rabbits.client(rabbitmq_url) as channel:
            rabbits.publish(channel, ["after"])
        eventually(lambda: heard.take().bodies == [b"after"], "what came after")


def test_an_idle_broker_is_not_taken_for_a_dead_one(rabbitmq_url: str) -> None:
    with subscribed(rabbitmq_url, ping_after=0.1, dead_after=1.0) as heard:
        began = heard.stream.heard
        assert began is not None
        eventually(lambda: (heard.stream.heard or 0.0) > began + 2.0, "two seconds of answers")
        assert len(heard.take().links) == 1
