"""Looking through queues on a real Redis: exact where it can be, fair where not, and never far into a long list."""

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest
from celery import Celery
from redis import Redis

from app.collectors import redis_lists, redis_survey
from app.collectors.errors import BrokerError
from app.collectors.redis_survey import RedisSurvey
from app.collectors.transport import redis_address
from app.models.surveys import MOST_FOUND, Survey
from tests.collectors.conftest import command
from tests.helpers.servers import RedisServer

SEP = "\x06\x16"


def put(client: Redis, key: str, numbers: Sequence[int], *, size: int = 10) -> None:
    """Messages of tasks ``job_0`` to ``job_6``; the first of them is the oldest."""
    adding = client.pipeline(transaction=False)
    for number in numbers:
        headers = {"id": f"id-{number:06}", "task": f"job_{number % 7}"}
        adding.lpush(key, json.dumps({"headers": headers, "body": "x" * size}))
    adding.execute()


def surveyed(survey: RedisSurvey, between: Callable[[], object] = lambda: None) -> Survey:
    """What is found in the end, or until it is paused; ``between`` is done between two pieces."""
    survey.look()
    while survey.survey.state == "looking":
        between()
        survey.look()
    survey.rest()
    return survey.survey


def ids(found: Survey) -> list[str | None]:
    return [message.id for message in found.found]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of about ten messages."""
    monkeypatch.setattr(redis_survey, "PIECE", 1_000)


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of which only some eighty messages at either end can be reached."""
    monkeypatch.setattr(redis_lists, "REACH", 2)
    monkeypatch.setattr(redis_lists, "BLOCK", 4_000)


@pytest.mark.usefixtures("small_pieces")
def test_a_queue_of_some_thousands_is_counted_exactly_over_all_priorities(
    redis_server: RedisServer, client: Redis
) -> None:
    put(client, "mail", range(500))
    put(client, f"mail{SEP}6", range(500, 700))
    client.lpush("mail", "no message")
    found = surveyed(RedisSurvey(redis_address(redis_server.url), "mail"))
    assert (found.looked, found.total, found.reached, found.sample) == (701, 701, 701, False)
    assert dict(found.names) == {**Counter(f"job_{number % 7}" for number in range(700)), "": 1}
    assert [number for _, number in found.names] == sorted((number for _, number in found.names), reverse=True)


@pytest.mark.usefixtures("small_pieces")
def test_messages_that_are_all_the_same_are_counted_each(redis_server: RedisServer, client: Redis) -> None:
    client.lpush("mail", *["same"] * 400)
    assert surveyed(RedisSurvey(redis_address(redis_server.url), "mail")).names == [("", 400)]


@pytest.mark.usefixtures("small_pieces")
def test_none_that_waits_all_the_while_is_missed_or_counted_twice_while_the_queue_moves(
    redis_server: RedisServer, client: Redis
) -> None:
    put(client, "mail", range(1_000))
    moved = iter(range(1_000, 9_000, 3))
    taken: list[str] = []

    def move() -> None:
        number = next(moved)
        put(client, "mail", range(number, number + 3))
        gone = client.rpop("mail", 2)
        taken.extend(json.loads(raw)["headers"]["task"] for raw in gone)  # type: ignore[arg-type,union-attr]

    found = surveyed(RedisSurvey(redis_address(redis_server.url), "mail"), move)
    waited = Counter(f"job_{number % 7}" for number in range(1_000)) - Counter(taken)
    counted = Counter(dict(found.names))
    assert waited <= counted, "what waited all the while was counted"
    assert counted <= Counter(f"job_{number % 7}" for number in range(1_000)), "and nothing twice"


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("wanted", ["id-000000", "id-000123", "id-000499", "id-000650"])
def test_a_message_is_found_by_its_id_and_its_place_is_told(
    redis_server: RedisServer, client: Redis, wanted: str
) -> None:
    put(client, "mail", range(500))
    put(client, f"mail{SEP}6", range(500, 700))
    found = surveyed(RedisSurvey(redis_address(redis_server.url), "mail", wanted))
    assert (ids(found), found.state) == ([wanted], "over")
    assert found.found[0].place == int(wanted[3:])
    assert found.found[0].name == f"job_{int(wanted[3:]) % 7}"


@pytest.mark.usefixtures("small_pieces")
def test_one_is_found_that_moves_on_while_it_is_looked_for(redis_server: RedisServer, client: Redis) -> None:
    put(client, "mail", range(800))
    coming = iter(range(1_000, 100_000))
    survey = RedisSurvey(redis_address(redis_server.url), "mail", "id-000300")

    def move() -> None:
        put(client, "mail", [next(coming) for _ in range(5)])
        client.rpop("mail", 3)

    assert ids(surveyed(survey, move)) == ["id-000300"]


def test_the_beginning_of_an_id_or_a_task_find_some_and_more_when_they_are_wanted(
    redis_server: RedisServer, client: Redis
) -> None:
    put(client, "mail", range(140))
    address = redis_address(redis_server.url)
    assert ids(surveyed(RedisSurvey(address, "mail", "id-00013"))) == [f"id-{n:06}" for n in range(139, 129, -1)]
    survey = RedisSurvey(address, "mail", "job_3")
    assert ids(surveyed(survey)) == [f"id-{n:06}" for n in range(136, -1, -7)]
    put(client, "other", range(350))
    survey = RedisSurvey(address, "other", "job_3")
    goes = []
    while survey.survey.state != "over":
        goes += [list(ids(surveyed(survey)))]
    assert [len(go) for go in goes] == [MOST_FOUND, MOST_FOUND, 10]
    assert [one for go in goes for one in go] == [f"id-{n:06}" for n in range(346, -1, -7)]


def test_what_is_not_there_is_said_after_all_were_looked_at(redis_server: RedisServer, client: Redis) -> None:
    put(client, "mail", range(300))
    found = surveyed(RedisSurvey(redis_address(redis_server.url), "mail", "nosuch"))
    assert (found.state, found.looked, found.found) == ("over", 300, [])
    found = surveyed(RedisSurvey(redis_address(redis_server.url), "empty"))
    assert (found.state, found.total, found.names) == ("over", 0, [])


def test_a_message_of_the_first_protocol_is_found_though_its_id_is_in_the_body(
    redis_server: RedisServer, client: Redis
) -> None:
    app = Celery("shop", broker=redis_server.url, set_as_current=False)
    app.conf.task_protocol = 1
    app.send_task("shop.buy", [1], task_id="first", queue="mail")
    app.close()
    address = redis_address(redis_server.url)
    assert ids(surveyed(RedisSurvey(address, "mail", "first"))) == ["first"]
    assert surveyed(RedisSurvey(address, "mail")).names == [("shop.buy", 1)]


@pytest.mark.usefixtures("small_pieces")
def test_a_search_pauses_after_so_many_and_goes_on_without_a_gap(
    redis_server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_survey, "GO", 200)
    put(client, "mail", range(900))
    survey = RedisSurvey(redis_address(redis_server.url), "mail", "id-000010")
    looked = []
    while survey.survey.state != "over":
        looked.append(surveyed(survey).looked)
    assert len(looked) == 5
    assert all(200 <= now - before < 230 for before, now in zip([0, *looked], looked[:4], strict=False))
    assert ids(survey.survey) == ["id-000010"]


@pytest.mark.usefixtures("far", "small_pieces")
def test_of_a_long_list_the_ends_are_looked_at_and_nothing_between(redis_server: RedisServer, client: Redis) -> None:
    put(client, "mail", range(2_000))
    address = redis_address(redis_server.url)
    found = surveyed(RedisSurvey(address, "mail", "nosuch"))
    assert found.looked == found.reached < 400
    half = found.reached // 2
    for number in (0, half - 1, 2_000 - half, 1_999):
        assert ids(surveyed(RedisSurvey(address, "mail", f"id-{number:06}"))) == [f"id-{number:06}"], number
    for number in (half + 10, 1_000, 1_990 - half):
        assert ids(surveyed(RedisSurvey(address, "mail", f"id-{number:06}"))) == [], number


@pytest.mark.usefixtures("small_pieces")
def test_a_sample_is_spread_over_all_and_fair(
    redis_server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_survey, "COUNTED", 100)
    for numbers, name in ((range(6_000), "old"), (range(3_000), "new")):
        for _ in numbers:
            client.lpush("mail", json.dumps({"headers": {"id": "x", "task": name}}))
    for _ in range(1_000):
        client.lpush(f"mail{SEP}9", json.dumps({"headers": {"id": "x", "task": "late"}}))
    found = surveyed(RedisSurvey(redis_address(redis_server.url), "mail"))
    assert (found.sample, found.looked, found.total, found.reached) == (True, 2_000, 10_000, 10_000)
    shares = {name: number / found.looked for name, number in found.names}
    # A row of twenty may lie across the border of two kinds: one in a hundred is what that can cost.
    assert shares == {"old": pytest.approx(0.6, abs=0.011), "new": pytest.approx(0.3, abs=0.021),
                      "late": pytest.approx(0.1, abs=0.011)}  # fmt: skip


@pytest.mark.usefixtures("far")
def test_a_sample_of_a_long_list_says_how_much_it_is_of(redis_server: RedisServer, client: Redis) -> None:
    put(client, "mail", range(3_000))
    pieces: list[None] = []
    found = surveyed(RedisSurvey(redis_address(redis_server.url), "mail"), lambda: pieces.append(None))
    assert found.sample
    assert 0 < found.looked <= found.reached < found.total == 3_000
    # As far as to reach the farthest message is what Redis may have to go for one piece; a place is half as far.
    assert len(pieces) > found.looked / 2 / 2 * 0.8


def test_the_places_of_a_sample_are_a_matter_of_chance(
    redis_server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_survey, "COUNTED", 100)
    monkeypatch.setattr(redis_survey, "SAMPLE", 200)
    put(client, "mail", range(1_000))
    asked = Asked(client)
    surveyed(RedisSurvey(redis_address(redis_server.url), "mail", dice=lambda sides: sides - 1))
    assert list(asked.ranges()) == [(start, start + 1) for start in range(8, 1_000, 10)]


def test_of_large_messages_a_sample_is_small(
    redis_server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_survey, "GO_BYTES", 1 << 20)
    monkeypatch.setattr(redis_survey, "SAMPLE_BYTES", 1 << 20)
    put(client, "mail", range(60), size=50_000)
    found = surveyed(RedisSurvey(redis_address(redis_server.url), "mail"))
    assert found.sample
    assert 15 <= found.looked <= 21
    monkeypatch.setattr(redis_survey, "MAX_BYTES", 10_000)
    with pytest.raises(BrokerError, match="too large to look at"):
        surveyed(RedisSurvey(redis_address(redis_server.url), "mail"))


class Asked:
    """What a Redis is asked, by its own log."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        command(client, "CONFIG", "SET", "slowlog-log-slower-than", "0")
        command(client, "CONFIG", "SET", "slowlog-max-len", "10000")
        command(client, "SLOWLOG", "RESET")

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Ranges of lists that were read, in turn."""
        for entry in reversed(self._client.slowlog_get(10_000)):
            words = entry["command"].decode(errors="replace").split()
            if words[0] == "LRANGE":
                yield int(words[-2]), int(words[-1])


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize("wanted", ["", "nosuch"])
def test_h04_nothing_far_from_both_ends_is_ever_asked_for(
    redis_server: RedisServer, client: Redis, wanted: str
) -> None:
    put(client, "mail", range(3_000))
    asked = Asked(client)
    found = surveyed(RedisSurvey(redis_address(redis_server.url), "mail", wanted))
    ranges = list(asked.ranges())
    assert ranges
    reach = found.reached // 2
    assert all(last < reach + 1 or first >= 3_000 - reach - 1 for first, last in ranges)


def test_pieces_are_as_many_messages_as_make_up_a_megabyte(redis_server: RedisServer, client: Redis) -> None:
    put(client, "mail", range(200), size=100_000)
    put(client, "mail", range(200, 400), size=10)
    asked = Asked(client)
    surveyed(RedisSurvey(redis_address(redis_server.url), "mail", "nosuch"))
    read = [last - first + 1 for first, last in asked.ranges()]
    # MEMORY USAGE looks at the newest, which are small: the first look at large ones is the one that can be too much.
    assert sum(read) >= 400
    assert all(number <= 12 for number in read[5:])


def test_h01_nothing_is_taken_and_nothing_is_written() -> None:
    with RedisServer("--enable-debug-command", "local") as server, Redis.from_url(server.url) as client:
        put(client, "mail", range(100))
        before = command(client, "DEBUG", "DIGEST")
        for wanted in ("", "id-000050", "nosuch"):
            surveyed(RedisSurvey(redis_address(server.url), "mail", wanted))
        assert command(client, "DEBUG", "DIGEST") == before


def test_an_evil_message_is_one_without_a_task(redis_server: RedisServer, client: Redis) -> None:
    evil = (
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"headers": 5}',
        b'{"headers": {"id": 5, "task": ["x"]}}',
        json.dumps({"body": base64.b64encode(b"\x80\x04").decode(), "content-type": "application/x-python-serialize",
                    "properties": {"body_encoding": "base64"}}).encode(),
    )  # fmt: skip
    client.lpush("mail", *evil)
    client.lpush("mail", json.dumps({"headers": {"id": "x", "task": "evil\u202e\x00" + "n" * 100_000}}))
    found = surveyed(RedisSurvey(redis_address(redis_server.url), "mail"))
    names = dict(found.names)
    assert names.pop("") == len(evil)
    (name,) = names
    assert name.startswith("evil\\u202e\\x00n")
    assert len(name) < 2_000


def test_no_end_of_names_is_counted_together(
    redis_server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_survey, "MAX_NAMES", 300)
    client.lpush("mail", *(json.dumps({"headers": {"id": "x", "task": f"name-{n}"}}) for n in range(1_000)))
    found = surveyed(RedisSurvey(redis_address(redis_server.url), "mail"))
    assert found.names[0] == ("(other)", 700)
    assert (len(found.names), found.others, found.other) == (200, 101, 101)
