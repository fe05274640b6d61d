"""Asking workers over Redis: real answers, one deadline, and nothing left behind."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from app.collectors.control import Control, Forbidden, Request
from app.collectors.inspector import from_active_queues, from_stats, pool_name
from app.collectors.redis_control import RedisControl, envelope, read_reply
from app.collectors.transport import redis_address
from app.models.profiles import Mode
from tests.helpers.celery_apps import worker
from tests.helpers.litter import keys, reply_lists, staying
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually


@contextmanager
def control(url: str, mode: Mode = "observe") -> Iterator[Control]:
    made = RedisControl(redis_address(url), mode, on_command=lambda _number: None)
    try:
        yield made
    finally:
        made.close()


def test_a_worker_answers_and_nothing_is_left_in_the_broker(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    with worker(redis_server.url, "w1", tmp_path / "w1.log", slots=2) as running, control(redis_server.url) as asker:
        eventually(lambda: asker.ask("ping", timeout=1.0) == {running.hostname: {"ok": "pong"}}, "a pong", within=30)
        keys = set(client.keys())
        stats = from_stats(asker.ask("stats", [running.hostname])[running.hostname])
        queues = from_active_queues(asker.ask("active_queues", [running.hostname])[running.hostname])
        assert (stats["pool"], stats["slots"]) == ("prefork", 2)
        assert queues == {"queues": ["celery"]}
        assert set(client.keys()) == keys


def test_one_worker_is_answered_at_once_and_none_in_the_time_given(redis_server: RedisServer) -> None:
    with control(redis_server.url) as asker:
        began = time.monotonic()
        assert asker.ask("ping", timeout=5.0) == {}
        # Nobody listens, which Redis says at once: the deadline is not waited for.
        assert time.monotonic() - began < 4.0


def test_a_worker_that_never_answers_takes_no_more_than_the_deadline(redis_server: RedisServer, client: Redis) -> None:
    silent = client.pubsub()  # type: ignore[no-untyped-call]
    silent.subscribe("/0.celery.pidbox")
    eventually(lambda: client.pubsub_numsub("/0.celery.pidbox")[0][1] == 1, "the silent worker")
    with control(redis_server.url) as asker:
        began = time.monotonic()
        assert asker.ask("ping", timeout=0.5) == {}
        assert 0.4 < time.monotonic() - began < 3.0
    silent.close()
    # Should it answer after all, its answer goes with the list that is there for it.
    assert keys(client) == reply_lists(client)
    assert staying(client) == set()


def test_answers_to_others_and_forged_ones_are_not_taken(redis_server: RedisServer, client: Redis) -> None:
    """A fake worker answers under another ticket first, and then rightly."""
    listening = client.pubsub()  # type: ignore[no-untyped-call]
    listening.subscribe("/0.celery.pidbox")
    eventually(lambda: client.pubsub_numsub("/0.celery.pidbox")[0][1] == 1, "the fake worker")

    def answer() -> None:
        for heard in listening.listen():
            if heard["type"] == "message":
                asked = json.loads(base64.b64decode(json.loads(heard["data"])["body"]))
                for ticket, name in (("another", "forger@host"), (asked["ticket"], "w@host")):
                    reply = {
                        "body": json.dumps({name: {"ok": "pong"}}),
                        "headers": {"ticket": ticket},
                        "properties": {},
                    }
                    client.lpush(asked["reply_to"]["routing_key"], json.dumps(reply))
                return

    faker = threading.Thread(target=answer)
    faker.start()
    with control(redis_server.url) as asker:
        assert asker.ask("ping", timeout=5.0) == {"w@host": {"ok": "pong"}}
    faker.join()
    listening.close()
    assert client.keys() == []


def test_to_name_nobody_is_not_to_ask_everybody(redis_server: RedisServer, client: Redis) -> None:
    """Which it would be for kombu."""
    with control(redis_server.url) as asker:
        assert asker.ask("ping", []) == {}
    assert "cmdstat_publish" not in client.info("commandstats")


@pytest.mark.parametrize("command", ["ping", "stats", "active_queues"])
def test_passive_mode_asks_nothing(redis_server: RedisServer, client: Redis, command: str) -> None:
    with control(redis_server.url, "passive") as asker, pytest.raises(Forbidden):
        asker.ask(command)  # type: ignore[arg-type]
    assert "cmdstat_publish" not in client.info("commandstats")


@pytest.mark.parametrize("command", ["election", "shutdown", "revoke", "pool_grow", "enable_events", ""])
def test_what_is_not_on_the_list_is_never_sent(redis_server: RedisServer, client: Redis, command: str) -> None:
    with control(redis_server.url) as asker, pytest.raises(Forbidden):
        asker.ask(command)  # type: ignore[arg-type]
    assert "cmdstat_publish" not in client.info("commandstats")


def test_a_request_is_what_kombu_would_send() -> None:
    asked = Request.of("query_task", {"ids": ["t1"]}, ["w1@host"], "reply.celery.pidbox", "reply-1")
    made = json.loads(envelope(asked, "celery.pidbox", time.monotonic() + 5))
    assert made["content-type"] == "application/json"
    assert made["properties"]["body_encoding"] == "base64"
    assert 3 < made["headers"]["expires"] - time.time() <= 5
    assert json.loads(base64.b64decode(made["body"], validate=True)) == {
        "method": "query_task",
        "arguments": {"ids": ["t1"]},
        "destination": ["w1@host"],
        "pattern": None,
        "matcher": None,
        "ticket": asked.ticket,
        "reply_to": {"exchange": "reply.celery.pidbox", "routing_key": "reply-1"},
    }


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"junk",
        b"[]",
        b'{"body": 5}',
        b'{"body": "!", "headers": {"ticket": "t"}, "properties": {"body_encoding": "base64"}}',
        b'{"body": "[]", "headers": {"ticket": "t"}}',
        b"x" * (5 << 20),
    ],
)
def test_a_reply_that_is_none_is_ignored(reply: bytes) -> None:
    assert read_reply(reply, "t") == {}


@pytest.mark.parametrize(
    "answer", [None, 5, [], {"error": "KeyError()"}, {"pool": 5}, {"pool": {"max-concurrency": "x"}}]
)
def test_an_odd_answer_to_stats_teaches_nothing_wrong(answer: object) -> None:
    assert from_stats(answer).get("slots") is None
    assert from_active_queues(answer).get("queues") in (None, [])


@pytest.mark.parametrize(
    ("implementation", "name"),
    [("celery.concurrency.prefork:TaskPool", "prefork"), ("celery.concurrency.thread:TaskPool", "threads"), ("", None)],
)
def test_pools_have_the_names_that_people_use(implementation: str, name: str | None) -> None:
    assert pool_name(implementation) == name
