"""What workers are told goes over the wire as Celery's own control would send it, and only if it is well-formed."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, get_args

import amqp
import pytest
from celery import Celery
from redis import Redis

from app.collectors.access import Access
from app.collectors.brokers import broker_at
from app.collectors.control import Control
from app.collectors.errors import BrokerError
from app.collectors.orders import (
    MOST_IDS,
    ORDERS,
    QUESTIONS,
    AddConsumer,
    Autoscale,
    CancelConsumer,
    DisableEvents,
    EnableEvents,
    Forbidden,
    Order,
    PoolGrow,
    PoolRestart,
    PoolShrink,
    RateLimit,
    RevokeIds,
    RevokeStamps,
    Shutdown,
    TimeLimit,
    worded,
)
from app.models.acts import Steering
from tests.helpers import rabbits
from tests.helpers.acting import telling
from tests.helpers.servers import RabbitServer, RedisServer
from tests.helpers.waiting import eventually

#: It serves all tests, so it has to be there before the first of them.
pytestmark = pytest.mark.usefixtures("rabbitmq_server")
#: Names that nobody should touch on their way.
NAME = 'a&b <é> "\\/%2F'
TO = [NAME, "w2@host"]

Send = Callable[[Any], None]
#: What we tell, and how Celery's own control is asked to tell the same.
SAME: dict[str, tuple[Order, Send]] = {
    "revoke": (RevokeIds(["t1", "t2"]), lambda c: c.revoke(["t1", "t2"], destination=TO, reply=True)),
    "terminate": (
        RevokeIds(["t1"], terminate=True, signal="SIGUSR1"),
        lambda c: c.revoke(["t1"], terminate=True, signal="SIGUSR1", destination=TO[:1], reply=True),
    ),
    "revoke_by_stamped_headers": (
        RevokeStamps({NAME: ["v1", "v2"]}),
        lambda c: c.revoke_by_stamped_headers({NAME: ["v1", "v2"]}, destination=TO, reply=True),
    ),
    "pool_grow": (PoolGrow(2), lambda c: c.pool_grow(2, destination=TO, reply=True)),
    "pool_shrink": (PoolShrink(1), lambda c: c.pool_shrink(1, destination=TO, reply=True)),
    "pool_restart": (PoolRestart(), lambda c: c.pool_restart(reload=False, destination=TO, reply=True)),
    "autoscale": (Autoscale(most=5, least=2), lambda c: c.autoscale(5, 2, destination=TO, reply=True)),
    "add_consumer": (AddConsumer(NAME), lambda c: c.add_consumer(NAME, destination=TO, reply=True)),
    "cancel_consumer": (CancelConsumer(NAME), lambda c: c.cancel_consumer(NAME, destination=TO, reply=True)),
    "rate_limit": (RateLimit(NAME, "11/m"), lambda c: c.rate_limit(NAME, "11/m", destination=TO, reply=True)),
    "time_limit": (
        TimeLimit(NAME, hard=3.1, soft=1.2),
        lambda c: c.time_limit(NAME, hard=3.1, soft=1.2, destination=TO, reply=True),
    ),
    "enable_events": (EnableEvents(), lambda c: c.enable_events(destination=TO, reply=True)),
    "disable_events": (DisableEvents(), lambda c: c.disable_events(destination=TO, reply=True)),
    "shutdown": (Shutdown(), lambda c: c.shutdown(destination=TO)),
}

Heard = Callable[[], dict[str, Any]]


@contextmanager
def on_redis(url: str) -> Iterator[Heard]:
    """A mailbox: each next request that is published, in parts that can be compared."""
    with Redis.from_url(url) as client:
        listening = client.pubsub(ignore_subscribe_messages=True)
        listening.subscribe("/0.celery.pidbox")
        eventually(lambda: client.pubsub_numsub("/0.celery.pidbox")[0][1] == 1, "a mailbox")

        def heard() -> dict[str, Any]:
            message = eventually(lambda: listening.get_message(timeout=0.1), "a request")
            envelope = json.loads(message["data"])
            properties = envelope["properties"]
            return {
                "body": json.loads(base64.b64decode(envelope["body"], validate=True)),
                "headers": envelope["headers"],
                "form": [envelope["content-type"], envelope["content-encoding"], sorted(envelope), sorted(properties)],
                "delivery": [properties[key] for key in ("delivery_mode", "priority", "body_encoding")],
                "to": properties["delivery_info"],
            }

        yield heard
        listening.close()


@contextmanager
def on_rabbitmq(url: str) -> Iterator[Heard]:
    """The same on RabbitMQ."""
    came: list[amqp.Message] = []
    with rabbits.client(url) as channel:
        channel.exchange_declare("celery.pidbox", "fanout", durable=False, auto_delete=False)
        channel.queue_declare("w@x.celery.pidbox", exclusive=True)
        channel.queue_bind("w@x.celery.pidbox", "celery.pidbox")
        channel.basic_consume("w@x.celery.pidbox", consumer_tag="w", no_ack=True, callback=came.append)

        def heard() -> dict[str, Any]:
            while not came:
                channel.connection.drain_events(timeout=20)
            message = came.pop(0)
            return {
                "body": json.loads(message.body),
                "headers": message.headers,
                "form": [message.content_type, message.content_encoding],
                "to": message.delivery_info["routing_key"],
            }

        yield heard
        channel.basic_cancel("w")


@pytest.fixture(params=["redis", "rabbitmq"])
def mailbox(request: pytest.FixtureRequest) -> Iterator[tuple[str, Heard]]:
    """A broker with one mailbox."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        with on_redis(server.url) as heard:
            yield server.url, heard
    else:
        url: str = request.getfixturevalue("rabbitmq_url")
        with on_rabbitmq(url) as heard:
            yield url, heard


@pytest.mark.parametrize("name", SAME)
def test_a_command_is_what_celery_s_own_control_would_send(mailbox: tuple[str, Heard], name: str) -> None:
    url, heard = mailbox
    order, send = SAME[name]
    to = TO[:1] if name == "terminate" else TO
    app = Celery("theirs", broker=url, set_as_current=False)
    app.conf.broker_transport_options = {"max_retries": 1}
    send(_Quick(app))
    theirs = heard()
    with telling(url) as control:
        list(control.tell(order, to, to, timeout=0.05))
    ours = heard()
    app.close()
    answered = name != "shutdown"
    for said in (theirs, ours):
        body, headers = said["body"], said["headers"]
        assert (body.pop("ticket", None) is not None) == answered
        assert ("routing_key" in body.pop("reply_to", {})) == answered
        assert set(headers) == {"clock", "expires"}
        del said["headers"]
    assert ours == theirs
    assert ours["body"]["destination"] == to, "and names go as they are"


class _Quick:
    """Celery's control, which does not wait for answers here."""

    def __init__(self, app: Celery) -> None:
        self._control = app.control

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def send(*words: Any, reply: bool = False, **options: Any) -> None:
            getattr(self._control, name)(*words, **options, **({"reply": True, "timeout": 0.05} if reply else {}))

        return send


def test_the_list_is_closed_and_has_no_election() -> None:
    assert {*get_args(Steering), "revoke", "revoke_by_stamped_headers"} == ORDERS
    assert not ORDERS & QUESTIONS
    assert "election" not in ORDERS | QUESTIONS
    assert {worded(order, TO[:1])[0] for order, _ in SAME.values()} == ORDERS


@pytest.mark.parametrize(
    "order",
    [
        PoolGrow("3"),  # type: ignore[arg-type]
        PoolGrow(True),
        PoolGrow(1.5),  # type: ignore[arg-type]
        PoolShrink(-1),
        PoolGrow(10**9),
        Autoscale(most=None, least=1),  # type: ignore[arg-type]
        AddConsumer(""),
        AddConsumer("x" * 256),
        AddConsumer("\ud800"),
        AddConsumer(b"x"),  # type: ignore[arg-type]
        AddConsumer("x", exchange_type="fanout"),  # type: ignore[arg-type]
        CancelConsumer(None),  # type: ignore[arg-type]
        RateLimit("t", "NaN"),
        RateLimit("t", ""),
        RateLimit("t", "10/d"),
        RateLimit("t", "10/m\n"),
        RateLimit("t", 10),  # type: ignore[arg-type]
        TimeLimit("t", hard=float("nan"), soft=None),
        TimeLimit("t", hard=float("inf"), soft=None),
        TimeLimit("t", hard=0.0, soft=None),
        TimeLimit("t", hard=True, soft=None),
        RevokeIds([]),
        RevokeIds("t1"),  # type: ignore[arg-type]
        RevokeIds(["t"] * (MOST_IDS + 1)),
        RevokeIds(["t1"], signal="KILL"),  # type: ignore[arg-type]
        RevokeIds(["t1", "t2"], terminate=True),
        RevokeStamps({}, terminate=True),  # type: ignore[arg-type]
        RevokeStamps({"h": "v"}),  # type: ignore[dict-item]
    ],
    ids=repr,
)
def test_what_is_not_well_formed_is_not_sent(redis_server: RedisServer, client: Redis, order: Order) -> None:
    with telling(redis_server.url) as control, pytest.raises(Forbidden):
        list(control.tell(order, ["w"], ["w"], timeout=0.05))
    assert "cmdstat_publish" not in client.info("commandstats")


@pytest.mark.parametrize("order", [order for order, _ in SAME.values()], ids=list(SAME))
@pytest.mark.parametrize("to", [None, []], ids=["all", "none"])
def test_who_is_meant_is_always_said(
    redis_server: RedisServer, client: Redis, order: Order, to: list[str] | None
) -> None:
    revokes = isinstance(order, RevokeIds | RevokeStamps) and not order.terminate
    with telling(redis_server.url) as control:
        if revokes and to is None:
            assert list(control.tell(order, to, [], timeout=0.05)) == []
            return
        with pytest.raises(Forbidden):
            list(control.tell(order, to, [], timeout=0.05))
    assert "cmdstat_publish" not in client.info("commandstats")


def test_a_task_is_ended_by_one_worker_only(redis_server: RedisServer) -> None:
    with telling(redis_server.url) as control, pytest.raises(Forbidden):
        list(control.tell(RevokeIds(["t1"], terminate=True), ["w1", "w2"], ["w1", "w2"], timeout=0.05))


@pytest.fixture(params=[RedisServer, RabbitServer], ids=["redis", "rabbitmq"])
def address(request: pytest.FixtureRequest) -> str:
    """A broker that nobody is connected to."""
    return "redis://localhost:1/0" if request.param is RedisServer else "amqp://localhost:1//"


@pytest.mark.parametrize("mode", ["passive", "observe"])
def test_a01_in_another_mode_than_operate_nothing_tells_workers_anything(address: str, mode: Any) -> None:
    access = Access("operate", "development")
    access.unlock()
    grant = access.grant()
    with pytest.raises(Forbidden):
        broker_at(address).control(mode, on_command=lambda _number: None, grant=grant)
    for each in (mode, "operate"):
        control = broker_at(address).control(each, on_command=lambda _number: None)
        assert control is not None
        for order, _ in SAME.values():
            with pytest.raises(Forbidden):
                list(control.tell(order, ["w"], ["w"]))


def test_a01_a_grant_that_ended_tells_nobody_anything(mailbox: tuple[str, Heard]) -> None:
    url, heard = mailbox
    access = Access("operate", "development")
    access.unlock()
    control = broker_at(url).control("operate", on_command=lambda _number: None, grant=access.grant())
    assert isinstance(control, Control)
    access.lock()
    with pytest.raises(BrokerError, match="locked"):
        list(control.tell(PoolGrow(1), ["w"], ["w"], timeout=0.05))
    control.ask("ping", timeout=0.05)
    assert heard()["body"]["method"] == "ping", "and nothing was said before it"
    control.close()
