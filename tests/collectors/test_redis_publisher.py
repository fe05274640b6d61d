"""Tasks published to Redis: to the lists that kombu would use, once, and by nobody without a grant."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection, Exchange, Queue
from redis import Redis

from app.collectors.access import Access, Grant
from app.collectors.envelope import Known, TaskMessage, made
from app.collectors.errors import BrokerError
from app.collectors.guard import NotAllowed
from app.collectors.publisher import SENT, Route, Unroutable
from app.collectors.redis_publisher import PUSH, RedisPublisher
from app.collectors.transport import redis_address
from tests.helpers.servers import RedisServer

SEPARATOR = "\x06\x16"


def message(id_: str = "one", priority: int | None = None) -> TaskMessage:
    return made(Known(name="shop.bill", args=[1], kwargs={}, id=id_, priority=priority))


@pytest.fixture
def grant() -> Grant:
    access = Access("operate", "development")
    access.unlock()
    return access.grant()


@pytest.fixture
def publisher(redis_server: RedisServer, grant: Grant) -> Iterator[RedisPublisher]:
    made_ = RedisPublisher(redis_address(redis_server.url), "act", grant, on_command=lambda _: None)
    yield made_
    made_.close()


def ids(client: Redis, key: str) -> list[str]:
    raws: list[Any] = client.lrange(key, 0, -1)
    return [json.loads(raw)["headers"]["id"] for raw in raws]


def test_a_message_is_pushed_once_however_often_it_is_published(publisher: RedisPublisher, client: Redis) -> None:
    route = Route("", "celery")
    assert publisher.publish(message(), route) == "sent"
    assert publisher.publish(message("two"), route) == "sent"
    client.rpop("celery")  # a worker took it
    assert publisher.publish(message(), route) == "before"
    assert ids(client, "celery") == ["two"]
    assert 0 < client.ttl(f"{SENT}act") <= 86_400
    publisher.settle()
    assert not client.exists(f"{SENT}act")


def test_where_the_push_is_refused_nothing_is_written_down(publisher: RedisPublisher, client: Redis) -> None:
    client.set("celery", "no list")
    with pytest.raises(Unroutable, match="is no queue"):
        publisher.publish(message(), Route("", "celery"))
    assert not client.exists(f"{SENT}act")
    client.delete("celery")
    assert publisher.publish(message(), Route("", "celery")) == "sent"


def test_a_priority_goes_to_the_list_of_its_step_as_kombu_has_it(
    publisher: RedisPublisher, client: Redis, redis_server: RedisServer
) -> None:
    with Connection(redis_server.url) as connection:
        theirs = {each: connection.default_channel._q_for_pri("q", each) for each in range(10)}
    for priority in [None, *range(10), 255]:
        publisher.publish(message(f"of {priority}", priority), Route("", "q"))
        expected = theirs[min(priority or 0, 9)]
        assert f"of {priority}" in ids(client, expected), priority


def test_an_exchange_leads_where_kombu_would_put_the_message(
    publisher: RedisPublisher, client: Redis, redis_server: RedisServer
) -> None:
    with Connection(redis_server.url) as connection:
        channel = connection.default_channel
        topic, direct = Exchange("topics", "topic"), Exchange("direct", "direct")
        for number, key in enumerate(("a.*", "a.#", "#", "b.c", "*.c")):
            Queue(f"t{number}", topic, key, channel=channel).declare()
        for name, key in (("d1", "key"), ("d2", "key"), ("d3", "other")):
            Queue(name, direct, key, channel=channel).declare()
        keys = ("a.b", "a.b.c", "b.c", "c", "a", "a.")
        expected = {
            ("topics", key): sorted(channel.typeof("topics").lookup(channel.get_table("topics"), "topics", key, None))
            for key in keys
        }
        expected[("direct", "key")] = ["d1", "d2"]
    for (exchange, key), queues in expected.items():
        id_ = f"{exchange} {key}"
        publisher.publish(message(id_), Route(exchange, key))
        found = [name for name in ("t0", "t1", "t2", "t3", "t4", "d1", "d2", "d3") if id_ in ids(client, name)]
        assert found == queues, id_


def test_what_leads_nowhere_is_not_sent(publisher: RedisPublisher, client: Redis) -> None:
    client.sadd("_kombu.binding.direct", f"key{SEPARATOR}{SEPARATOR}q")
    client.sadd("_kombu.binding.all", f"{SEPARATOR}{SEPARATOR}bcast.1")
    client.sadd("_kombu.binding.slow", f"{'#.' * 20}x{SEPARATOR}^x{SEPARATOR}q")
    for route, why in (
        (Route("direct", "another"), "No queue takes"),
        (Route("nowhere", "key"), "No queue takes"),
        (Route("all", ""), "fanout"),
        (Route("slow", "x"), "wildcards"),
        (Route("", ""), "no queue"),
    ):
        with pytest.raises(Unroutable, match=why):
            publisher.publish(message(), route)
    assert client.keys("q*") == []


@pytest.mark.parametrize(
    "name", ["unacked", "unacked_index", "unacked_mutex", "held", "_kombu.binding.x", "x.celery.pidbox", f"{SENT}x"]
)
def test_what_can_be_no_queue_is_told_and_not_sent_to(
    redis_server: RedisServer, client: Redis, grant: Grant, name: str
) -> None:
    address = redis_address(redis_server.url, None, {"unacked_key": "held", "global_keyprefix": "shop:"})
    publisher = RedisPublisher(address, "act", grant, on_command=lambda _: None)
    client.sadd("shop:_kombu.binding.direct", f"key{SEPARATOR}{SEPARATOR}{name}")
    for route in (Route("", name), Route("direct", "key")):
        with pytest.raises(Unroutable, match="can be no queue"):
            publisher.publish(message(), route)
    assert publisher.publish(message(), Route("", "unacked-mails")) == "sent"
    publisher.close()
    assert {*client.keys("*")} == {b"shop:_kombu.binding.direct", b"shop:unacked-mails", f"shop:{SENT}act".encode()}


def test_what_came_to_one_of_two_queues_before_a_crash_comes_to_the_other(
    publisher: RedisPublisher, client: Redis
) -> None:
    client.sadd("_kombu.binding.both", f"key{SEPARATOR}{SEPARATOR}one", f"key{SEPARATOR}{SEPARATOR}two")
    client.hset(f"{SENT}act", "one one", 1)
    assert publisher.publish(message(), Route("both", "key")) == "sent"
    assert (ids(client, "one"), ids(client, "two")) == ([], ["one"])


def test_nothing_is_published_without_a_grant(publisher: RedisPublisher, client: Redis, grant: Grant) -> None:
    grant.end()
    with pytest.raises(BrokerError, match="locked"):
        publisher.publish(message(), Route("", "celery"))
    with pytest.raises(BrokerError, match="locked"):
        publisher.settle()
    assert client.keys("*") == []


@pytest.mark.parametrize(
    "words",
    [
        ("EVAL", "return redis.call('FLUSHALL')", "2", f"{SENT}act", "celery", "a", "b"),
        ("EVAL", PUSH, "2", f"{SENT}other", "celery", "a", "b"),
        ("EVAL", PUSH, "2", f"{SENT}act", f"{SENT}act", "a", "b"),
        ("EVAL", PUSH, "2", f"{SENT}act", "unacked", "a", "b"),
        ("EVAL", PUSH, "2", f"{SENT}act", "x.reply.celery.pidbox", "a", "b"),
        ("EVAL", PUSH, "2", f"{SENT}act", "_kombu.binding.celery", "a", "b"),
        ("EVAL", PUSH, "2", f"{SENT}act", "celery", "a", "b", "c"),
        ("DEL", "celery"),
        ("LPUSH", "celery", "x"),
        ("SSCAN", "celery", "0", "COUNT", "500"),
        ("PUBLISH", "/0.celery.pidbox", "x"),
    ],
)
def test_nothing_else_can_be_said(publisher: RedisPublisher, words: tuple[str, ...]) -> None:
    with pytest.raises(NotAllowed):
        publisher._client.execute_command(*words)  # type: ignore[no-untyped-call]


def test_keys_have_the_prefix_of_the_application(redis_server: RedisServer, client: Redis, grant: Grant) -> None:
    address = redis_address(redis_server.url, None, {"global_keyprefix": "shop:"})
    publisher = RedisPublisher(address, "act", grant, on_command=lambda _: None)
    publisher.publish(message(), Route("", "celery"))
    publisher.close()
    assert sorted(client.keys("*")) == [b"shop:celery", b"shop:cloche.sent.act"]
