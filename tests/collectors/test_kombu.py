"""What Celery and kombu really leave in Redis, and what we make of it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Exchange
from kombu import Queue as KombuQueue
from redis import Redis

from app.collectors.queues import Head
from app.collectors.redis_control import RedisControl
from app.collectors.redis_queues import RedisQueues
from app.collectors.transport import redis_address
from app.models.records import Queue
from tests.helpers.celery_apps import make_app
from tests.helpers.collecting import collecting
from tests.helpers.histories import reading
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

SEP = "\x06\x16"


@contextmanager
def poller(url: str, *names: str, **options: str) -> Iterator[RedisQueues]:
    queues = RedisQueues(redis_address(url, None, options), names, on_command=lambda _number: None)
    try:
        yield queues
    finally:
        queues.close()


def poll(url: str, *names: str, **options: str) -> dict[str, Queue]:
    with poller(url, *names, **options) as queues:
        return {queue.name: queue for queue in queues.poll().queues}


@contextmanager
def kombu(url: str, **options: Any) -> Iterator[Connection]:
    with Connection(url, transport_options=options) as connection:
        yield connection


def test_tasks_that_celery_sends_are_counted_by_priority(redis_server: RedisServer) -> None:
    app = make_app(redis_server.url)
    for priority in (0, 1, 2, 3, 5, 6, 9, 255):
        app.send_task("truth.add", (1, 2), queue="mail", priority=priority)
    app.close()
    found = poll(redis_server.url)["mail"]
    assert (found.ready, found.by_priority) == (8, {"0": 3, "3": 2, "6": 1, "9": 2})


def test_the_head_of_a_queue_is_the_task_that_celery_sent_first(redis_server: RedisServer) -> None:
    app = make_app(redis_server.url)
    first, *_ = [app.send_task("truth.add", (number, 2), queue="mail").id for number in range(3)]
    app.close()
    with poller(redis_server.url, "mail") as queues:
        assert queues.poll().heads == {"mail": [Head(first)]}


@pytest.mark.parametrize("database", [0, 5])
def test_prefix_steps_and_database_are_those_of_the_application(redis_server: RedisServer, database: int) -> None:
    url = f"{redis_server.url.rpartition('/')[0]}/{database}"
    with kombu(url, global_keyprefix="shop:", priority_steps=[0, 5], queue_order_strategy="priority") as connection:
        queue = connection.SimpleQueue("mail")
        for priority in (0, 4, 5, 9):
            queue.put({"a": 1}, priority=priority)
        queue.close()
    found = poll(url, global_keyprefix="shop:", priority_steps="0,5")
    assert {name: each.by_priority for name, each in found.items()} == {"mail": {"0": 2, "5": 2}}
    assert poll(url) == {}
    assert poll(redis_server.url if database else url.replace("/0", "/1"), global_keyprefix="shop:") == {}


def test_what_a_worker_holds_is_counted_for_its_queue_by_whatever_routing_key_it_came(
    redis_server: RedisServer,
) -> None:
    video = KombuQueue("video", Exchange("media"), routing_key="media.video")
    plain = KombuQueue("plain", Exchange(""), routing_key="plain")
    with kombu(redis_server.url) as connection, connection.channel() as channel:
        producer = connection.Producer(channel)
        for queue, number in ((video, 3), (plain, 2)):
            bound = queue(channel)
            bound.declare()
            for _ in range(number):
                producer.publish({}, exchange=queue.exchange, routing_key=queue.routing_key)
            assert bound.get() is not None  # and never acknowledged
        found = poll(redis_server.url, "plain")
        assert {name: (each.ready, each.unacked) for name, each in found.items()} == {"video": (2, 1), "plain": (1, 1)}
        for message in list(channel.qos._delivered.values()):
            message.reject()


def test_queues_bound_under_another_separator_are_found(redis_server: RedisServer) -> None:
    with kombu(redis_server.url, sep=":") as connection:
        queue = connection.SimpleQueue("mail")
        queue.put({"a": 1}, priority=9)
        queue.close()
    found = poll(redis_server.url, sep=":")
    assert {name: each.by_priority for name, each in found.items()} == {"mail": {"0": 0, "3": 0, "6": 0, "9": 1}}


def test_a_stock_monitors_own_queue_is_not_one_of_tasks(redis_server: RedisServer) -> None:
    with kombu(redis_server.url) as connection, connection.channel() as channel:
        for exchange, name in (
            ("celeryev", "celeryev.1234"),
            ("shopev", "shopev.99"),
            ("celery.pidbox", "w.celery.pidbox"),
        ):
            KombuQueue(name, Exchange(exchange, type="topic"), routing_key="#", auto_delete=True)(channel).declare()
        assert set(poll(redis_server.url)) == {"shopev.99"}
        assert set(poll(redis_server.url, event_exchange="shopev")) == {"celeryev.1234"}


def test_a_binding_that_is_none_does_not_hide_the_others(redis_server: RedisServer, client: Redis) -> None:
    client.set("_kombu.binding.broken", "not a set")
    client.sadd("_kombu.binding.odd", "no separator at all", b"\xff\xfe\x00", f"{SEP}{SEP}")
    client.sadd("_kombu.binding.good", f"mail{SEP}{SEP}mail")
    assert set(poll(redis_server.url)) == {"mail"}


@pytest.mark.parametrize(
    "text",
    [
        '{"headers": ' + "[" * 20_000,
        '{"body": ' + "[" * 20_000 + "]" * 20_000 + "}",
        '{"headers": {"id": 5}}',
        '{"headers": null}',
        '{"headers": {"id": "\\ud800"}}',
        "\xff",
        "",
        "9" * 20_000,
    ],
)
def test_a_message_that_can_not_be_read_has_no_id_and_harms_nothing(
    redis_server: RedisServer, client: Redis, text: str
) -> None:
    client.lpush("mail", text.encode("latin-1"))
    client.hset("unacked", "1", f'[{text}, "", "mail"]'.encode("latin-1"))
    client.hset("unacked", "2", text.encode("latin-1"))
    client.hset("unacked", "3", '[{}, "", "mail"]')
    with poller(redis_server.url, "mail") as queues:
        found = queues.poll()
    assert found.heads == {"mail": [Head(None)]}
    assert [(each.ready, each.unacked) for each in found.queues] in ([(1, 1)], [(1, 2)])


def test_unacked_of_another_kind_is_unknown(redis_server: RedisServer, client: Redis) -> None:
    client.set("unacked", "not a hash")
    assert poll(redis_server.url, "mail")["mail"].unacked is None


def test_an_application_with_a_prefix_and_a_database_of_its_own_is_heard_and_counted(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    url, options = f"{redis_server.url.rpartition('/')[0]}/3", {"global_keyprefix": "shop:", "event_exchange": "shopev"}
    apps = [make_app(url), make_app(url), make_app(redis_server.url)]
    apps[0].conf.broker_transport_options = {"global_keyprefix": "shop:"}
    apps[0].conf.event_exchange = "shopev"
    with collecting(url, tmp_path / "h", options=options) as running, reading(tmp_path / "h") as reader:
        sent = [app.send_task("truth.add", (1, 2), queue="mail").id for app in apps]
        for app in apps:
            app.close()
        eventually(lambda: reader.task(sent[0]), "the task")
        eventually(lambda: {each.name: each.ready for each in reader.queues()} == {"mail": 1}, "the queue")
        assert [reader.task(uuid) for uuid in sent[1:]] == [None, None], "another application's task"
        assert running.notices("queues") == []


def test_control_leaves_no_key_that_stays_when_it_gives_up_or_fails(redis_server: RedisServer, client: Redis) -> None:
    listening = client.pubsub()  # type: ignore[no-untyped-call]
    listening.subscribe("/0.celery.pidbox")
    listening.get_message(timeout=5)
    asker = RedisControl(redis_address(redis_server.url), "observe", on_command=lambda _number: None)
    asker.give_up()
    began = time.monotonic()
    assert asker.ask("ping", timeout=100.0) == {}
    assert time.monotonic() - began < 50
    asker.close()
    request = next(iter(json.loads(each["data"]) for each in listening.listen() if each["type"] == "message"))
    listening.close()
    assert request["headers"]["expires"] > 0, "a worker that is late drops the request"
    assert all(client.ttl(key) > 0 for key in client.scan_iter()), "what stays for late answers goes by itself"
