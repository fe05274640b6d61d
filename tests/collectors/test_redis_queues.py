"""Queue depths on a real Redis: exact where they can be known, unknown where they can't, and cheap either way."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from app.collectors.queues import MAX_ASKED, Head
from app.collectors.redis_queues import MAX_UNACKED, RedisQueues
from app.collectors.transport import BrokerError, redis_address
from app.models.records import Queue
from tests.collectors.conftest import command
from tests.helpers.servers import RedisServer

SEP = "\x06\x16"


@contextmanager
def poller(url: str, *names: str, options: dict[str, str] | None = None) -> Iterator[RedisQueues]:
    made = RedisQueues(redis_address(url, None, options), names, on_command=lambda _number: None)
    try:
        yield made
    finally:
        made.close()


def poll(url: str, *names: str, options: dict[str, str] | None = None) -> dict[str, Queue]:
    with poller(url, *names, options=options) as queues:
        return {queue.name: queue for queue in queues.poll().queues}


def put(client: Redis, key: str, *uuids: str, size: int = 10) -> None:
    for uuid in uuids:
        client.lpush(key, json.dumps({"headers": {"id": uuid, "task": "t"}, "body": "x" * size}))


def test_depth_is_the_sum_over_all_priorities(redis_server: RedisServer, client: Redis) -> None:
    for step, number in (("", 1), (f"{SEP}3", 2), (f"{SEP}6", 3), (f"{SEP}9", 4)):
        put(client, f"mail{step}", *"abcd"[:number])
    found = poll(redis_server.url, "mail")["mail"]
    assert found.ready == 10
    assert found.by_priority == {"0": 1, "3": 2, "6": 3, "9": 4}


def test_steps_separator_and_prefix_are_as_the_application_sets_them(redis_server: RedisServer, client: Redis) -> None:
    put(client, "foo-bar.5", "a")
    put(client, "foo-bar", "b")
    options = {"global_keyprefix": "foo-", "priority_steps": "0,5", "sep": "."}
    found = poll(redis_server.url, "bar", options=options)["bar"]
    assert (found.ready, found.by_priority) == (2, {"0": 1, "5": 1})


def test_of_many_queues_some_are_asked_for_at_a_time_and_all_in_turn(
    redis_server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.collectors.queues.MAX_ASKED", 3)
    names = [f"q{number}" for number in range(7)]
    for name in names:
        put(client, name, "a")
    with poller(redis_server.url, *names) as looking:
        polls = [looking.poll() for _ in range(6)]
    assert [[queue.name for queue in poll.queues] for poll in polls] == [names[:3], names[3:6], names[6:]] * 2
    assert [poll.complete for poll in polls] == [False, False, True] * 2
    assert all(queue.ready == 1 for poll in polls for queue in poll.queues)


def test_ten_thousand_queues_cost_no_more_at_a_time_than_five_hundred(redis_server: RedisServer, client: Redis) -> None:
    with poller(redis_server.url, *(f"q{number}" for number in range(10_000))) as looking:
        looking.poll()
        before = client.info("commandstats")["cmdstat_llen"]["calls"]
        looking.poll()
        assert client.info("commandstats")["cmdstat_llen"]["calls"] - before == MAX_ASKED * 4


def test_queues_are_found_by_their_bindings(redis_server: RedisServer, client: Redis) -> None:
    client.sadd("_kombu.binding.celery", f"celery{SEP}{SEP}celery")
    client.sadd("_kombu.binding.shop", f"mail.*{SEP}{SEP}mail", f"sms{SEP}{SEP}sms")
    client.sadd("_kombu.binding.celery.pidbox", f"{SEP}{SEP}w1@host.celery.pidbox")
    client.sadd("_kombu.binding.reply.celery.pidbox", f"x{SEP}{SEP}x.reply.celery.pidbox")
    client.sadd("_kombu.binding.celeryev", f"worker.#{SEP}{SEP}celeryev.1")
    client.sadd("_kombu.binding.odd", f"a{SEP}{SEP}evil\u202ename", f"b{SEP}{SEP}{'x' * 5_000}")
    assert set(poll(redis_server.url)) == {"celery", "mail", "sms", "evil\\u202ename"}


def test_an_empty_broker_has_no_queues(redis_server: RedisServer) -> None:
    assert poll(redis_server.url) == {}


def test_an_empty_queue_has_zero_and_something_else_under_its_name_is_unknown(
    redis_server: RedisServer, client: Redis
) -> None:
    client.set("odd", "not a list")
    found = poll(redis_server.url, "empty", "odd")
    assert found["empty"].ready == 0
    assert (found["odd"].ready, found["odd"].by_priority) == (None, None)


def test_unacked_messages_are_split_by_queue(redis_server: RedisServer, client: Redis) -> None:
    for tag, queue in enumerate(("mail", "mail", "sms")):
        client.hset("unacked", str(tag), json.dumps([{"body": "x"}, "", queue]))
    client.hset("unacked", "junk", "not JSON")
    found = poll(redis_server.url, "mail", "sms", "fax")
    assert {name: queue.unacked for name, queue in found.items()} == {"mail": 2, "sms": 1, "fax": 0}


def test_too_many_unacked_are_not_looked_at_and_unknown(redis_server: RedisServer, client: Redis) -> None:
    client.hset("unacked", mapping={str(n): "x" for n in range(MAX_UNACKED + 1)})
    assert poll(redis_server.url, "mail")["mail"].unacked is None


def test_large_unacked_messages_are_not_looked_at(redis_server: RedisServer, client: Redis) -> None:
    client.hset("unacked", "1", "x" * (2 << 20))
    assert poll(redis_server.url, "mail")["mail"].unacked is None
    assert "cmdstat_hvals" not in client.info("commandstats")


def test_the_oldest_message_of_each_priority_is_at_its_tail(redis_server: RedisServer, client: Redis) -> None:
    put(client, "mail", "old", "new")
    put(client, f"mail{SEP}9", "oldest")
    client.lpush("junk", b"\x80\x04")
    with poller(redis_server.url, "mail", "junk", "empty") as queues:
        assert queues.poll().heads == {"mail": [Head("old"), Head("oldest")], "junk": [Head(None)], "empty": []}


def test_the_head_of_a_queue_of_large_messages_is_not_fetched(redis_server: RedisServer, client: Redis) -> None:
    put(client, "mail", "big", size=1 << 20)
    with poller(redis_server.url, "mail") as queues:
        assert queues.poll().heads == {"mail": []}
    assert "cmdstat_lindex" not in client.info("commandstats")


def test_a_hundred_queues_cost_one_pipeline_and_nothing_is_written(redis_server: RedisServer, client: Redis) -> None:
    with poller(redis_server.url, *(f"q{n}" for n in range(100))) as queues:
        queues.poll()
        size = client.dbsize()
        before = {name: stats["calls"] for name, stats in client.info("commandstats").items()}
        queues.poll()
        after = {name: stats["calls"] for name, stats in client.info("commandstats").items()}
    sent = {name: after[name] - before.get(name, 0) for name in after if after[name] > before.get(name, 0)}
    assert sent == {"cmdstat_llen": 400, "cmdstat_hlen": 1, "cmdstat_info": 1}
    assert client.dbsize() == size == 0


def test_each_look_is_one_pipeline_whatever_there_is_to_learn(
    redis_server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.collectors.redis_queues.LOOK_PAUSE", 0.0)
    asked: list[int] = []
    client.hset("unacked", "1", json.dumps([{}, "", "queue-0"]))
    for number in range(2_000):
        client.sadd(f"_kombu.binding.queue-{number}", f"queue-{number}{SEP}{SEP}queue-{number}")
        put(client, f"queue-{number}", f"id-{number}")
    queues = RedisQueues(redis_address(redis_server.url), on_command=asked.append)
    heads: dict[str, list[Head]] = {}
    costs, complete = [], 0
    while complete < 4:
        asked.clear()
        poll = queues.poll()
        costs.append(sum(asked))
        heads |= poll.heads or {}
        complete += poll.complete
    queues.close()
    assert set(costs[1:]) == {1}
    assert heads == {f"queue-{number}": [Head(f"id-{number}")] for number in range(2_000)}


def test_a_read_only_user_sees_depths_and_the_rest_is_unknown(redis_server: RedisServer, client: Redis) -> None:
    put(client, "mail", "a")
    client.hset("unacked", "1", json.dumps([{}, "", "mail"]))
    command(
        client, "ACL", "SETUSER", "mon", "reset", "on", ">secret", "resetchannels", "%R~*", "-@all",
        "+ping", "+auth", "+client|setname", "+llen", "+hlen", "+scan",
    )  # fmt: skip
    found = poll(redis_server.url.replace("redis://", "redis://mon:secret@"), "mail")
    assert (found["mail"].ready, found["mail"].unacked) == (1, None)


def test_a_user_who_may_not_count_is_told_so(redis_server: RedisServer, client: Redis) -> None:
    command(client, "ACL", "SETUSER", "blind", "reset", "on", ">secret", "%R~*", "-@all", "+client|setname", "+scan")
    with poller(redis_server.url.replace("redis://", "redis://blind:secret@"), "mail") as queues:
        poll = queues.poll()
    refused = poll.troubles["rights"]
    assert refused is not None
    assert "how many messages wait (LLEN)" in str(refused)
    assert [(each.name, each.ready) for each in poll.queues] == [("mail", None)]


def test_a_broker_that_is_gone_is_a_network_fault(redis_server: RedisServer) -> None:
    with poller(redis_server.url, "mail") as queues:
        queues.poll()
        redis_server.kill()
        with pytest.raises(BrokerError) as gone:
            queues.poll()
        assert gone.value.fault == "network"
        redis_server.start()
        assert queues.poll().queues[0].ready == 0


def test_a_quarantine_is_found_told_as_one_and_forgotten_when_it_is_empty(
    redis_server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.collectors.redis_queues.QUARANTINE_PAUSE", 0.0)
    name = "mail.quarantine.20261122T020728123Z"
    put(client, name, "a", "b")
    put(client, f"{name}{SEP}6", "c")
    put(client, "mail", "d")
    client.set("other.quarantine.things", "x")
    with poller(redis_server.url, "mail") as queues:
        poll = queues.poll()
        seen = {queue.name: queue for queue in poll.queues}
        assert sorted(seen) == ["mail", name]
        assert poll.complete
        assert (seen[name].role, seen[name].ready, seen[name].rests) == ("quarantine", 3, True)
        assert seen[name].by_priority == {"0": 2, "3": 0, "6": 1, "9": 0}
        assert 100 < (seen[name].memory or 0) < 2_000
        assert (seen["mail"].role, seen["mail"].memory) == (None, None)
        client.delete(name, f"{name}{SEP}6")
        # That it is empty is told once.
        assert [(queue.name, queue.ready) for queue in queues.poll().queues] == [("mail", 1), (name, 0)]
        assert [queue.name for queue in queues.poll().queues] == ["mail"]


def test_a_quarantine_is_found_under_a_prefix_and_by_no_other_name(redis_server: RedisServer, client: Redis) -> None:
    name = "mail.quarantine.20261122T020728123Z"
    put(client, f"shop:{name}", "a")
    put(client, name, "b")
    put(client, "shop:mail.quarantine.monday", "c")
    found = poll(redis_server.url, options={"global_keyprefix": "shop:"})
    assert [(queue.name, queue.ready) for queue in found.values()] == [(name, 1)]
