"""What may be said to a Redis: what is on the list of a purpose, and not a byte of anything else."""

import ast
from pathlib import Path

import pytest
from redis import Redis

from app.collectors.access import Grant
from app.collectors.control import Request
from app.collectors.errors import BrokerError
from app.collectors.guard import (
    FINDING,
    GREETING,
    LISTENING,
    LOOKING,
    MOST_AT_ONCE,
    PEEKING,
    RESULTS,
    RIGHTS,
    SORTING,
    SURVEYING,
    Guard,
    NotAllowed,
    asking,
    moving,
)
from app.collectors.orders import ORDERS
from app.collectors.redis_client import redis_client
from app.collectors.redis_control import envelope
from app.collectors.redis_scripts import LOCK_AWAY, PICK, SCRIPTS
from app.collectors.transport import redis_address
from tests.collectors.conftest import command
from tests.helpers.servers import RedisServer

ASKING = asking("/0.celery.pidbox", ".reply.celery.pidbox")
MOVING = moving(SCRIPTS, ("mail", "mail.quarantine.x"), Grant())


def asked(command: str) -> str:
    """A request as it is published, without the spaces that would make several words of it."""
    request = Request.of(command, {}, None, "", "id.reply.celery.pidbox")
    return envelope(request, "celery.pidbox", 0.0).decode()


APP = Path(__file__).parents[2] / "app"
#: Each would harm a broker that is in use, or could.
HARMFUL = tuple(
    tuple(line.split())
    for line in """
    KEYS *
    ACL SETUSER x on
    ACL GETUSER x
    ACL LIST
    SMEMBERS _kombu.binding.celery
    LRANGE celery 0 -1
    LRANGE celery 0 100
    LRANGE celery -101 -1
    LRANGE celery 0
    MONITOR
    FLUSHALL
    FLUSHDB
    CONFIG SET maxmemory 1
    CLIENT KILL TYPE normal
    client no-evict on
    MEMORY PURGE
    EVAL return 0
    LPOP celery
    RPOP celery
    BRPOP celery 1
    BRPOP x.reply.celery.pidbox 1
    LPOP x.reply.celery.pidbox 1000
    LPUSH x.reply.celery.pidbox x y
    LPUSH celery x
    DEL celery
    del celery
    DEL x.reply.celery.pidbox celery
    RENAME celery x
    HDEL unacked x
    ZREM unacked_index x
    EXPIRE celery 1
    PUBLISH /0.celeryev/task.multi x
    PUBLISH /1.celery.pidbox x
    PUBLISH
    SADD _kombu.binding.celery x
    SREM _kombu.binding.celery x
    SADD _kombu.binding.reply.celery.pidbox x
    SET x y
    SHUTDOWN
    REPLICAOF NO ONE
    DEBUG SLEEP 1
    SUBSCRIBE x
    MULTI
    SORT celery
    GETDEL x
    UNLINK celery
    """.strip().splitlines()
)


@pytest.mark.parametrize("guard", [LISTENING, GREETING, LOOKING, PEEKING, RESULTS, RIGHTS, ASKING, MOVING])
@pytest.mark.parametrize("words", HARMFUL)
def test_h05_what_could_do_harm_is_never_put_into_bytes(guard: Guard, words: tuple[str, ...]) -> None:
    with pytest.raises(NotAllowed, match="does not send"):
        guard.pack(*words)
    with pytest.raises(NotAllowed, match="does not send"):
        guard.pack(" ".join(words[:2]).encode(), *words[2:])


@pytest.mark.parametrize("words", [
    *HARMFUL, ("LRANGE", "celery", "0", f"{MOST_AT_ONCE}"), ("HSCAN", "unacked", "0", "COUNT", f"{MOST_AT_ONCE + 1}"),
    ("HSCAN", "unacked", "0", "MATCH", "1"), ("HSCAN", "unacked", "0"),
])  # fmt: skip
def test_h05_looking_through_a_queue_may_read_longer_ranges_and_say_nothing_else(words: tuple[str, ...]) -> None:
    for guard in (SURVEYING, SORTING, FINDING):
        if words[0] == "LRANGE" and words[2:] in (("0", "100"), ("-101", "-1")):
            assert guard.pack(*words)
            continue
        with pytest.raises(NotAllowed, match="does not send"):
            guard.pack(*words)


@pytest.mark.parametrize(
    ("guard", "words"),
    [
        (SURVEYING, ("LRANGE", "celery", 5, 5 + MOST_AT_ONCE - 1)),
        (SURVEYING, ("INFO", "server")),
        (PEEKING, ("LINDEX", "celery", -1)),
        (LISTENING, ("PSUBSCRIBE", "/0.celeryev/*")),
        (LISTENING, ("AUTH", "user", "secret")),
        (GREETING, ("INFO", "server")),
        (LOOKING, ("LLEN", "celery")),
        (LOOKING, ("MEMORY USAGE", "celery", "SAMPLES", 5)),
        (LOOKING, ("memory", "usage", "celery")),
        (PEEKING, ("LRANGE", "celery", -100, -1)),
        (PEEKING, ("LRANGE", "celery", 500, 599)),
        (RESULTS, ("MGET", "celery-task-meta-1")),
        (ASKING, ("PUBLISH", "/0.celery.pidbox", asked("ping"))),
        (ASKING, ("PUBLISH", "/0.celery.pidbox", asked("conf"))),
        (ASKING, ("LPUSH", "some-id.reply.celery.pidbox", "x")),
        (ASKING, ("EXPIRE", "some-id.reply.celery.pidbox", 60)),
        (ASKING, ("LLEN", "some-id.reply.celery.pidbox")),
        (ASKING, ("LPOP", "some-id.reply.celery.pidbox")),
        (ASKING, ("DEL", "some-id.reply.celery.pidbox")),
        (FINDING, ("HSCAN", "unacked", 0, "COUNT", MOST_AT_ONCE)),
        (SORTING, ("SCAN", 0, "MATCH", "*.quarantine.*")),
    ],
)
def test_what_is_on_the_list_is_sent_as_it_is(guard: Guard, words: tuple[object, ...]) -> None:
    (packed,) = guard.pack(*words)
    assert packed.count(b"\r\n$") == len(" ".join(map(str, words)).split())


@pytest.mark.parametrize("words", [
    ("EVAL", LOCK_AWAY + " ", 2, "mail", "mail.quarantine.x"),
    ("EVAL", "return redis.call('FLUSHALL')", 1, "mail"),
    ("EVAL", LOCK_AWAY, 2, "mail", "other"),
    ("EVAL", LOCK_AWAY, 0, "mail"),
    ("EVAL", LOCK_AWAY, -1, "mail"),
    ("EVAL", PICK, 2, "unacked", "mail", "x"),
    ("EVALSHA", "abc", 1, "mail"),
    ("SCRIPT", "LOAD", LOCK_AWAY),
    ("LLEN", "mail"),
])  # fmt: skip
def test_messages_are_moved_by_closed_scripts_between_the_lists_that_they_are_about(words: tuple[object, ...]) -> None:
    with pytest.raises(NotAllowed, match="does not send"):
        MOVING.pack(*words)


def test_messages_are_moved_only_while_the_grant_holds() -> None:
    grant = Grant()
    guard = moving(SCRIPTS, ("mail", "mail.quarantine.x"), grant)
    words = ("EVAL", LOCK_AWAY, 2, "mail", "mail.quarantine.x")
    assert guard.pack(*words)
    grant.end()
    with pytest.raises(BrokerError, match="locked"):
        guard.pack(*words)


def test_asking_is_not_looking_and_looking_is_not_asking() -> None:
    for guard, words in ((ASKING, ("LINDEX", "celery", 0)), (LOOKING, ("PUBLISH", "/0.celery.pidbox", "x"))):
        with pytest.raises(NotAllowed):
            guard.pack(*words)


@pytest.mark.parametrize("command", [*sorted(ORDERS), "election", "clock", ""])
def test_a01_who_only_asks_tells_workers_nothing(command: str) -> None:
    with pytest.raises(NotAllowed):
        ASKING.pack("PUBLISH", "/0.celery.pidbox", asked(command))


@pytest.mark.parametrize(
    "message", ["", "x", "{}", '{"body":"!!!","properties":{"body_encoding":"base64"}}', "[" * 90_000]
)
def test_what_could_kill_a_worker_is_not_published(message: str) -> None:
    for grant in (None, Grant()):
        guard = asking("/0.celery.pidbox", ".reply.celery.pidbox", grant)
        with pytest.raises(NotAllowed):
            guard.pack("PUBLISH", "/0.celery.pidbox", message)


def test_nothing_is_published_but_to_the_workers_that_are_meant() -> None:
    for grant in (None, Grant()):
        guard = asking("/0.celery.pidbox", ".reply.celery.pidbox", grant)
        for channel in ("/1.celery.pidbox", "/0.celeryev/task.multi", "/0.celery.pidbox.x"):
            with pytest.raises(NotAllowed):
                guard.pack("PUBLISH", channel, asked("ping"))


@pytest.mark.parametrize("command", sorted(ORDERS))
def test_a01_workers_are_told_something_as_long_as_a_grant_holds(command: str) -> None:
    grant = Grant()
    guard = asking("/0.celery.pidbox", ".reply.celery.pidbox", grant)
    assert guard.pack("PUBLISH", "/0.celery.pidbox", asked(command))
    with pytest.raises(NotAllowed):
        guard.pack("PUBLISH", "/0.celery.pidbox", asked("election"))
    grant.end()
    with pytest.raises(BrokerError, match="locked"):
        guard.pack("PUBLISH", "/0.celery.pidbox", asked(command))
    assert guard.pack("PUBLISH", "/0.celery.pidbox", asked("ping"))


def test_nothing_reaches_the_broker_of_a_pipeline_with_one_wrong_word(redis_server: RedisServer, client: Redis) -> None:
    looking = redis_client(redis_address(redis_server.url), "test", LOOKING)
    looking.ping()
    before = command(client, "INFO", "commandstats")
    pipeline = looking.pipeline(transaction=False)
    pipeline.llen("celery")
    pipeline.lpush("celery", "x")
    with pytest.raises(NotAllowed):
        pipeline.execute()
    after = command(client, "INFO", "commandstats")
    assert set(after) - set(before) <= {"cmdstat_info"}
    looking.close()


# --- there is no other way -------------------------------------------------------------------------------------------

#: What makes bytes for a Redis, or a client of one, and in which files it is used: each behind a list.
WAYS = {
    "pack_command": {"collectors/guard.py", "collectors/sentinel.py"},
    "ConnectionPool": {"collectors/redis_client.py"},
    "from_pool": {"collectors/redis_client.py"},
    "from_url": set(),
    "StrictRedis": set(),
    "BlockingConnectionPool": set(),
    "Sentinel": set(),
    "RedisCluster": set(),
}


def test_h05_nothing_speaks_to_a_redis_but_behind_a_list() -> None:
    found: dict[str, set[str]] = {way: set() for way in WAYS}
    for path in sorted(APP.rglob("*.py")):
        name = path.relative_to(APP).as_posix()
        if name.startswith("demo/"):
            continue  # it is an application with brokers of its own
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            way = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if way in found:
                found[way].add(name)
            made = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "Redis"
            assert not made, f"{name}:{getattr(node, 'lineno', 0)} makes a client without a list"
    assert found == WAYS


def test_h05_a_sentinel_is_asked_for_a_masters_address_and_nothing_else() -> None:
    tree = ast.parse((APP / "collectors" / "sentinel.py").read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    (packed,) = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "pack_command"]
    words = [each.value for each in ast.walk(packed) if isinstance(each, ast.Constant)]
    assert words == ["SENTINEL", "GET-MASTER-ADDR-BY-NAME"]


def test_h05_what_all_lists_together_allow_is_known_to_whoever_publishes_it() -> None:
    guards = (LISTENING, GREETING, LOOKING, PEEKING, RESULTS, SORTING, SURVEYING, FINDING, RIGHTS)
    free = set().union(*(guard._free for guard in guards))
    assert free | {name for guard in guards for name in guard._bounded} == {
        "AUTH", "HELLO", "SELECT", "CLIENT SETNAME", "CLIENT SETINFO", "PING",
        "PSUBSCRIBE", "INFO", "ROLE", "LLEN", "HLEN", "LINDEX", "HVALS", "MEMORY USAGE", "SCAN", "SSCAN", "LRANGE",
        "STRLEN", "MGET", "HSCAN", "ACL WHOAMI", "ACL DRYRUN",
    }  # fmt: skip
    assert set(ASKING._bounded) == {"PUBLISH", "LPUSH", "EXPIRE", "LLEN", "LPOP", "DEL"}
    assert ASKING._free == MOVING._free == LISTENING._free - {"PSUBSCRIBE"}
    assert set(MOVING._bounded) == {"EVAL"}
