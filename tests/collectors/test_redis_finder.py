"""Messages found by the ids of their tasks on Redis, wherever they lie, with nothing taken and nothing changed."""

import json

import pytest
from celery import Celery
from kombu.serialization import register_pickle
from redis import Redis

from app.collectors import redis_finder
from app.collectors.envelope import Known, for_redis, made
from app.collectors.originals import of_redis
from app.collectors.redis_finder import RedisFinder
from app.collectors.transport import redis_address
from tests.helpers.servers import RedisServer

SEPARATOR = "\x06\x16"


def raw(id_: str, size: int = 1) -> bytes:
    return for_redis(made(Known(name="shop.bill", args=["x" * size], kwargs={}, id=id_)), "", "celery")


def finder(server: RedisServer, *, give_up: bool = False, **options: str) -> RedisFinder:
    return RedisFinder(redis_address(server.url, None, options), lambda: give_up)


def test_a_message_is_found_in_queues_with_workers_and_in_quarantines(redis_server: RedisServer, client: Redis) -> None:
    for number in range(5_000):
        client.lpush("celery", raw(f"c{number}"))
    client.lpush(f"mail{SEPARATOR}6", raw("m"))
    client.hset("unacked", "tag", json.dumps([json.loads(raw("u")), "", "celery"]))
    client.hset("unacked", "odd", "no message")
    client.lpush(f"celery.quarantine.20261120T100000000Z{SEPARATOR}3", raw("q"))
    client.set("other.quarantine.20261120T100000000Z", "no list")
    before = {key: client.dump(key) for key in client.keys("*")}
    found = finder(redis_server).find(["c0", "c2500", "c4999", "m", "u", "q", "none"], ["celery", "mail", "empty"])
    assert {id_: (each.place, each.queue) for id_, each in found.items()} == {
        "c0": ("queue", "celery"), "c2500": ("queue", "celery"), "c4999": ("queue", "celery"), "m": ("queue", "mail"),
        "u": ("unacked", "celery"), "q": ("quarantine", "celery"),
    }  # fmt: skip
    assert found["c2500"].original == of_redis(raw("c2500"))
    assert found["u"].original == of_redis(raw("u"))
    assert {key: client.dump(key) for key in client.keys("*")} == before


def test_an_id_is_read_whatever_else_a_message_holds(redis_server: RedisServer, client: Redis) -> None:
    odd = json.loads(raw("odd"))
    odd["headers"]["argsrepr"] = "\ud800"
    client.lpush("celery", json.dumps(odd), b"\xff", "[]", '{"headers": 7}', "{" * 2_000)
    client.hset("unacked", "tag", json.dumps([json.loads(raw("held")) | {"note": "\udfff"}, "", "celery"]))
    assert finder(redis_server).find(["odd", "held"], ["celery"]).keys() == {"odd", "held"}


def test_a_message_of_protocol_1_has_its_id_elsewhere(redis_server: RedisServer, client: Redis) -> None:
    register_pickle()  # the application's; an earlier test of ours may have taken it away from kombu in this process
    app = Celery(set_as_current=False, broker=redis_server.url)
    app.conf.task_protocol = 1
    app.send_task("shop.bill", [1], task_id="old", queue="celery")
    app.send_task("shop.bill", [1], task_id="pickled", queue="celery", serializer="pickle")
    app.close()
    found = finder(redis_server).find(["old", "pickled"], ["celery"])
    assert found["old"].original is not None
    assert (found["old"].original.protocol, found["old"].original.message.id) == (1, "old")
    assert found["pickled"].original is None
    assert "protocol 1" in found["pickled"].why


def test_names_have_the_prefix_of_the_application(redis_server: RedisServer, client: Redis) -> None:
    client.lpush("shop:celery", raw("a"))
    client.lpush("shop:celery.quarantine.20261120T100000000Z", raw("b"))
    client.lpush("celery", raw("c"))
    found = finder(redis_server, global_keyprefix="shop:").find(["a", "b", "c"], ["celery"])
    assert {id_: each.place for id_, each in found.items()} == {"a": "queue", "b": "quarantine"}


@pytest.mark.parametrize("separator", [".", "Z", ":"])
def test_quarantines_are_found_whatever_separates_priorities(
    redis_server: RedisServer, client: Redis, separator: str
) -> None:
    client.lpush("shop:mail.quarantine.20261120T100000000Z", raw("a"))
    client.lpush(f"shop:mail.quarantine.20261120T100000000Z{separator}3", raw("b"))
    found = finder(redis_server, sep=separator).find(["a", "b"], ["shop:mail"])
    assert {id_: (each.place, each.queue) for id_, each in found.items()} == {
        "a": ("quarantine", "shop:mail"), "b": ("quarantine", "shop:mail"),
    }  # fmt: skip


def test_quarantines_are_found_among_many_other_keys(redis_server: RedisServer, client: Redis) -> None:
    client.mset({f"celery-task-meta-{number}": "" for number in range(40_000)})
    for number in range(20):
        client.lpush(f"mail.quarantine.20261120T1000000{number:02}Z", raw(f"q{number}"))
    looking = finder(redis_server)
    assert len(looking.find([*(f"q{number}" for number in range(20)), "none"], ["mail"])) == 20
    assert looking.complete


def test_that_not_all_was_looked_at_is_told(
    redis_server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.lpush("celery", *(raw(f"c{number}") for number in range(2_100)))
    for looking, complete in ((finder(redis_server), True), (finder(redis_server, give_up=True), False)):
        looking.find(["none"], ["celery"])
        assert looking.complete is complete
    for patched, value in (("MOST", 10), ("MOST_BYTES", 10), ("MAX_SIZE", 10), ("PATIENCE", 0.0)):
        with monkeypatch.context() as patch:
            patch.setattr(redis_finder, patched, value)
            (looking := finder(redis_server)).find(["none"], ["celery"])
            assert not looking.complete, patched
    monkeypatch.setattr(redis_finder, "_stretches", lambda _list: [(0, 10)])
    (looking := finder(redis_server)).find(["none"], ["celery"])
    assert not looking.complete


def test_no_more_is_looked_at_than_was_wanted(
    redis_server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.lpush("celery", *(raw(f"c{number}") for number in range(3_000)))
    looking = finder(redis_server)
    looking.find(["c2999"], ["celery"])
    assert looking._looked <= 2_000
    assert finder(redis_server, give_up=True).find(["c0"], ["celery"]) == {}
    monkeypatch.setattr(redis_finder, "MOST", 2_000)
    looking = finder(redis_server)
    assert looking.find(["c0"], ["celery"]) == {}
    assert 2_000 <= looking._looked < 3_000


def test_messages_of_many_megabytes_are_left_alone(redis_server: RedisServer, client: Redis) -> None:
    client.lpush("celery", raw("large", 6 << 20))
    client.hset("unacked", "tag", json.dumps([json.loads(raw("held", 6 << 20)), "", "celery"]))
    assert finder(redis_server).find(["large", "held"], ["celery"]) == {}
