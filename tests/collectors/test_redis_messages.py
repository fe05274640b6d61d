"""Looking into queues on a real Redis: every message in its order from either end, nothing taken, nothing heavy."""

import json
from itertools import pairwise

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from app.collectors import redis_lists, redis_messages
from app.collectors.errors import BrokerError
from app.collectors.messages import Page
from app.collectors.redis_messages import peek
from app.collectors.redis_survey import RedisSurvey
from app.collectors.transport import redis_address
from tests.collectors.conftest import command
from tests.helpers.servers import RedisServer

SEP = "\x06\x16"


def put(client: Redis, key: str, *uuids: str, size: int = 10) -> None:
    for uuid in uuids:
        client.lpush(key, json.dumps({"headers": {"id": uuid, "task": "t"}, "body": "x" * size}))


def ids(page: Page) -> list[str | None]:
    return [message.id for message in page.messages]


@pytest.fixture
def mail(redis_server: RedisServer, client: Redis) -> str:
    """A queue with messages of three priorities; workers take them in the order of their names."""
    put(client, "mail", "a", "b", "c")
    put(client, f"mail{SEP}3", "d")
    put(client, f"mail{SEP}9", "e", "f")
    return redis_server.url


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 100])
def test_pages_from_either_end_meet_without_a_gap(mail: str, count: int, *, newest: bool) -> None:
    wanted = "fedcba" if newest else "abcdef"
    for start in range(8):
        page = peek(redis_address(mail), "mail", start=start, count=count, newest=newest)
        assert ids(page) == list(wanted[start : start + count])
        assert (page.start, page.total) == (start, 6)


def test_h01_nothing_is_taken_and_nothing_is_written() -> None:
    with RedisServer("--enable-debug-command", "local") as server, Redis.from_url(server.url) as client:
        put(client, "mail", "a", "b", "c")
        before = command(client, "DEBUG", "DIGEST")
        for newest in (False, True):
            assert len(peek(redis_address(server.url), "mail", newest=newest).messages) == 3
        assert command(client, "DEBUG", "DIGEST") == before


def test_a_queue_that_is_not_there_is_empty(redis_server: RedisServer) -> None:
    page = peek(redis_address(redis_server.url), "nowhere")
    assert (page.messages, page.total) == ([], 0)


def test_of_large_messages_fewer_are_looked_at(
    redis_server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, "mail", *map(str, range(10)), size=50_000)
    monkeypatch.setattr(redis_messages, "MAX_BYTES", 200_000)
    sizes = [len(peek(redis_address(redis_server.url), "mail", start=start).messages) for start in (0, 3)]
    assert sizes == [3, 3]
    monkeypatch.setattr(redis_messages, "MAX_BYTES", 10_000)
    with pytest.raises(BrokerError, match="too large to look at"):
        peek(redis_address(redis_server.url), "mail")


def test_a_page_is_bounded_whatever_is_asked_for(redis_server: RedisServer, client: Redis) -> None:
    put(client, "mail", *map(str, range(150)))
    assert len(peek(redis_address(redis_server.url), "mail", count=10_000).messages) == 100


def test_something_else_under_a_queues_name_is_said(redis_server: RedisServer, client: Redis) -> None:
    client.set("mail", "no list")
    with pytest.raises(BrokerError, match="WRONGTYPE"):
        peek(redis_address(redis_server.url), "mail")


def test_ids_of_a_page_stand_in_the_order_of_the_queue(redis_server: RedisServer, client: Redis) -> None:
    put(client, "mail", *(f"{number:03d}" for number in range(90)))
    found = ids(peek(redis_address(redis_server.url), "mail", start=13, count=50))
    assert len(found) == 50
    assert all((one or "") < (other or "") for one, other in pairwise(found))


@pytest.fixture
def long_list(redis_server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch) -> str:
    """A queue of a thousand messages, of which some eighty at either end can be reached."""
    put(client, "mail", *(f"{number:04}" for number in range(1_000)))
    monkeypatch.setattr(redis_lists, "REACH", 2)
    monkeypatch.setattr(redis_lists, "BLOCK", 4_000)
    return redis_server.url


def test_h04_pages_that_are_far_from_both_ends_of_a_long_list_are_not_looked_at(long_list: str) -> None:
    address = redis_address(long_list)
    assert ids(peek(address, "mail", start=60, count=5)) == [f"{number:04}" for number in range(60, 65)]
    assert ids(peek(address, "mail", start=60, count=5, newest=True)) == [f"{n:04}" for n in range(939, 934, -1)]
    for newest in (False, True):
        with pytest.raises(BrokerError, match=r"would hold up the broker\. Look from the other end"):
            peek(address, "mail", start=500, count=5, newest=newest)
        assert len(peek(address, "mail", start=970, count=5, newest=newest).messages) == 5


@pytest.mark.parametrize("version", ["6.2.14", "", None])
def test_a_redis_that_reads_lists_from_one_end_is_asked_for_the_oldest_one_by_one(
    long_list: str, client: Redis, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    told = NoPermissionError() if version is None else {"redis_version": version}
    tells = redis_lists._reads_from_the_nearer_end
    monkeypatch.setattr(redis_lists, "_reads_from_the_nearer_end", lambda _: tells(told))
    address = redis_address(long_list)
    client.config_resetstat()
    assert ids(peek(address, "mail", start=3, count=5)) == [f"{number:04}" for number in range(3, 8)]
    stats = client.info("commandstats")
    assert stats["cmdstat_lindex"]["calls"] == 5
    assert "cmdstat_lrange" not in stats
    assert ids(peek(address, "mail", count=2, newest=True)) == ["0999", "0998"]
    with pytest.raises(BrokerError, match="would hold up"):
        peek(address, "mail", start=60, count=5)
    found = RedisSurvey(address, "mail", "0001")
    while found.survey.state != "over":
        found.look()
    found.rest()
    assert (found.survey.found, found.survey.looked) == ([], found.survey.reached), "only the newest are reached"
