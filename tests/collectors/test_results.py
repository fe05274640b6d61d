"""How tasks ended, as the result backend tells it: Celery's own records, and what else may lie under their names."""

import json
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from celery import Celery
from celery.app.task import Context
from celery.backends.base import Backend
from celery.exceptions import Retry, TaskRevokedError
from redis import Redis

from app.collectors.checks import MAX_WORD
from app.collectors.pollers import Trouble
from app.collectors.results import MAX_RESULT, Ends, Results, end_of, results_address
from app.collectors.transport import BrokerError, RedisAddress, redis_address
from app.models.records import Event
from app.models.wire import Examine
from tests.helpers.servers import RedisServer

NOW = 1_795_230_000.0
DONE = "2026-11-21T10:57:10+00:00"
DONE_AT = 1_795_258_630.0


def stored(status: str = "SUCCESS", **fields: object) -> bytes:
    """A record as Celery writes it, with other fields."""
    known = {"status": status, "result": None, "traceback": None, "date_done": DONE, "task_id": "t1"}
    return json.dumps({**known, **fields}).encode()


def raised(kind: str, *message: object) -> dict[str, object]:
    return {"exc_type": kind, "exc_message": list(message), "exc_module": "builtins"}


def shown(end: Event | None) -> str:
    if end is None:
        return "nothing"
    facts = {"result": end.result, "exception": end.exception, "expired": end.expired, "terminated": end.terminated}
    return " ".join([end.type.removeprefix("task-"), *(f"{key} {fact}" for key, fact in facts.items() if fact)])


@contextmanager
def asking(url: str) -> Iterator[Callable[[list[str]], list[Ends | Trouble]]]:
    """Asks a backend about tasks; what came until it was through with them."""
    inbox: queue.SimpleQueue[Ends | Trouble] = queue.SimpleQueue()
    results = Results(redis_address(url), inbox.put, on_command=lambda _number: None)
    results.start()

    def ask(uuids: list[str]) -> list[Ends | Trouble]:
        results.ask(uuids, NOW)
        found: list[Ends | Trouble] = []
        while not (found and isinstance(found[-1], Trouble)):
            found.append(inbox.get(timeout=20))
        return found

    try:
        yield ask
    finally:
        results.stop()
        results.join()


def ends(came: list[Ends | Trouble]) -> dict[str, str]:
    """What was found, by task."""
    return {end.uuid or "": shown(end) for part in came if isinstance(part, Ends) for end in part.events}


@pytest.fixture
def backend(redis_server: RedisServer) -> Iterator[Backend]:
    """Celery's own backend, with its defaults, but that results are kept: redis-py does not like how it says so."""
    app = Celery("plain", broker=redis_server.url, backend=redis_server.url, set_as_current=False)
    app.conf.result_expires = None
    yield app.backend
    app.backend.client.close()
    app.close()


# --- what Celery writes ----------------------------------------------------------------------------------------------


def test_each_end_is_read_as_celery_writes_it_and_what_is_no_end_is_none(
    redis_server: RedisServer, backend: Backend
) -> None:
    backend.store_result("done", {"n": 4}, "SUCCESS")
    backend.store_result("nan", float("nan"), "SUCCESS")
    backend.store_result("raised", ValueError("no such order", 7), "FAILURE", traceback="Traceback …")
    backend.mark_as_revoked("revoked", "revoked")
    backend.mark_as_revoked("expired", "expired")
    backend.mark_as_revoked("terminated", "terminated")
    backend.mark_as_retry("retried", Retry("again", exc=KeyError("x")), traceback="Traceback …")
    backend.mark_as_started("started", pid=1, hostname="w1")
    backend.store_result("progress", {"current": 1}, "PROGRESS")
    backend.store_result("ignored", None, "IGNORED")
    backend.store_result("rejected", "why", "REJECTED")
    with asking(redis_server.url) as ask:
        uuids = ["done", "nan", "raised", "revoked", "expired", "terminated"]
        assert ends(ask([*uuids, "retried", "started", "progress", "ignored", "rejected", "never"])) == {
            "done": "succeeded result {'n': 4}",
            "nan": "succeeded result nan",
            "raised": "failed exception ValueError('no such order', 7)",
            "revoked": "revoked exception TaskRevokedError('revoked')",
            "expired": "revoked exception TaskRevokedError('expired') expired True",
            "terminated": "revoked exception TaskRevokedError('terminated') terminated True",
        }


def test_when_and_where_it_ended_is_known_if_it_is_told(redis_server: RedisServer, backend: Backend) -> None:
    before = time.time()
    backend.app.conf.result_extended = True
    backend.store_result("t1", 1, "SUCCESS", request=Context(hostname="w1@far"))
    with asking(redis_server.url) as ask:
        found = ask(["t1"])
    assert isinstance(found[0], Ends)
    (end,) = found[0].events
    assert (end.hostname, end.seen) == ("w1@far", NOW)
    assert before <= end.timestamp <= time.time()


@pytest.mark.parametrize(
    ("told", "at"),
    [(DONE, DONE_AT), ("2026-11-21T10:57:10", DONE_AT), (None, NOW), ("soon", NOW), ("9" * 5000, NOW), ("", NOW)],
)
def test_an_end_without_a_time_that_makes_sense_is_one_of_now(told: str | None, at: float) -> None:
    end = end_of("t1", stored(date_done=told), NOW)
    assert end is not None
    assert (end.timestamp, end.hostname) == (at, "")


# --- what else may be there ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"null",
        b"[]",
        b"5",
        b'"SUCCESS"',
        b"{}",
        b"{",
        b"\xff\xfe",
        b"\x00\x01\x00\x02",
        b"\x80\x04}\x94(\x8c\x06status\x94\x8c\x07SUCCESS\x94u.",  # as Celery does by choice
        b"cposix\nsystem\n(S'false'\ntR.",
        stored(status=5),  # type: ignore[arg-type]
        stored(status="success"),
        stored(status="SUCCESS\x00"),
        stored(traceback=5),
        stored(worker=["w1"]),
        stored(date_done={}),
        b'{"status": "SUCCESS", "result": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"status": "SUCCESS", "result": ' + b"9" * 10_000 + b"}",
        b'{"status": "SUCCESS", "result": "' + b"\xff" + b'"}',
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_makes_no_sense_is_no_end(value: bytes | None) -> None:
    assert end_of("t1", value, NOW) is None


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("number", [b"1", b"NaN"])
def test_however_deep_a_result_is_it_is_read_or_left(opening: bytes, number: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    for depth in (*range(10, 980, 97), *range(980, 1001)):
        core = opening * depth + number + closing * depth
        for text in (
            b'"SUCCESS", "result": ' + core,
            b'"FAILURE", "result": {"exc_type": "X", "exc_message": ' + core + b"}",
        ):
            end = end_of("t1", b'{"status": ' + text + b"}", NOW)
            assert end is None or end.uuid == "t1"


@pytest.mark.parametrize(
    ("result", "exception"),
    [
        (raised("KeyError", "x"), "KeyError('x')"),
        (raised("X"), "X()"),
        ({"exc_type": "X", "exc_message": "as text"}, "X('as text')"),
        ({}, "None(None)"),
        ({"exc_type": {"a": 1}, "exc_message": {"b": [1]}}, "{'a': 1}({'b': [1]})"),
        ("just text", "'just text'"),
        (None, "None"),
        (raised("X\u202e", "\x1b[31m"), "X\\u202e('\\x1b[31m')"),
    ],
)
def test_an_exception_is_shown_as_events_show_it(result: object, exception: str) -> None:
    assert shown(end_of("t1", stored("FAILURE", result=result), NOW)) == f"failed exception {exception}"


def test_names_and_texts_are_made_safe_and_cut() -> None:
    end = end_of("t1", stored("FAILURE", worker="w\u202e" + "x" * 10_000, traceback="\x1b" + "t" * 1_000_000), NOW)
    assert end is not None
    assert end.hostname.startswith("w\\u202ex")
    assert len(end.hostname) < MAX_WORD + 10
    assert end.traceback is not None
    assert len(end.traceback) < 200_000
    assert "\x1b" not in end.traceback


def test_what_is_large_is_left_where_it_is(redis_server: RedisServer, client: Redis) -> None:
    small, large = stored(result="x" * 1_000), stored(result="x" * MAX_RESULT)
    client.mset({"celery-task-meta-small": small, "celery-task-meta-large": large})
    with asking(redis_server.url) as ask:
        assert list(ends(ask(["small", "large"]))) == ["small"]
    assert client.info("commandstats")["cmdstat_mget"]["calls"] == 1
    assert client.info("stats")["total_net_output_bytes"] < MAX_RESULT


def test_a_key_of_another_kind_hides_no_other_result(redis_server: RedisServer, client: Redis) -> None:
    client.lpush("celery-task-meta-list", "1")
    client.set("celery-task-meta-good", stored())
    with asking(redis_server.url) as ask:
        came = ask(["list", "good"])
    assert ends(came) == {"good": "succeeded result None"}
    assert came[-1] == Trouble("results", None)


# --- how it is asked -------------------------------------------------------------------------------------------------


def test_many_results_are_asked_for_in_batches_and_never_searched(redis_server: RedisServer, client: Redis) -> None:
    client.mset({f"celery-task-meta-{n}": stored(result=n) for n in range(1_200)})
    with asking(redis_server.url) as ask:
        assert len(ends(ask([str(n) for n in range(1_200)]))) == 1_200
    used = client.info("commandstats")
    assert used["cmdstat_mget"]["calls"] == 3
    assert not {"cmdstat_scan", "cmdstat_keys", "cmdstat_set", "cmdstat_del"} & used.keys()


def test_who_may_not_read_results_is_told_so_and_may_later(redis_server: RedisServer, client: Redis) -> None:
    client.set("celery-task-meta-t1", stored())
    client.acl_setuser("default", commands=["-strlen"], categories=["+@all"], enabled=True, nopass=True, keys=["*"])
    with asking(redis_server.url) as ask:
        (said,) = ask(["t1"])
        assert isinstance(said, Trouble)
        assert said.error is not None
        assert "how tasks ended" in str(said.error)
        client.acl_setuser("default", commands=["+strlen"], categories=["+@all"], enabled=True, nopass=True, keys=["*"])
        came = ask(["t1"])
        assert (ends(came), came[-1]) == ({"t1": "succeeded result None"}, Trouble("results", None))


def test_a_backend_that_was_gone_is_asked_again(redis_server: RedisServer) -> None:
    with asking(redis_server.url) as ask:
        redis_server.kill()
        (said,) = ask(["t1"])
        assert isinstance(said, Trouble)
        assert said.error is not None
        assert said.error.fault == "network"
        redis_server.start()
        with Redis.from_url(redis_server.url) as client:
            client.set("celery-task-meta-t1", stored())
        assert ends(ask(["t1"])) == {"t1": "succeeded result None"}


def test_an_exception_of_celery_is_known_by_its_name() -> None:
    # The reason of a revocation is read from what Celery's exception is shown as.
    assert repr(TaskRevokedError("expired")) == "TaskRevokedError('expired')"


@pytest.mark.parametrize("url", ["amqp://h", "file:///tmp", "nothing"])
def test_a_backend_that_can_not_be_asked_is_named_as_that(url: str) -> None:
    with pytest.raises(BrokerError, match="result backend can be a Redis only") as refused:
        results_address(at(url))
    assert (refused.value.fault, refused.value.option) == ("address", "result_backend")


def test_a_backend_is_asked_at_its_address_with_its_own_password() -> None:
    assert results_address(Examine("redis://h")) is None
    address = results_address(at("rediss://h/2", "secret"))
    assert address is not None
    assert (address.database, address.tls is None, password_of(address)) == (2, False, "secret")
    assert password_of(results_address(at("redis://:own@h:1/1"))) == "own"


@pytest.mark.parametrize(
    ("backend", "password"),
    [
        ("redis://broker/1", "the broker's"),
        ("redis://broker:6379/1", "the broker's"),
        ("redis://BROKER/1", "the broker's"),
        ("redis://:own@broker/1", "own"),
        ("redis://other@broker/1", None),
        ("redis://broker:6380/1", None),
        ("redis://results/1", None),
        ("rediss://broker/1", None),
    ],
)
def test_a_password_of_the_broker_is_used_for_results_at_the_very_same_server_only(
    backend: str, password: str | None
) -> None:
    asked = Examine("redis://broker/0", "the broker's", {"result_backend": backend})
    assert password_of(results_address(asked)) == password


def test_an_address_of_a_backend_that_can_not_be_read_is_told_of_its_option() -> None:
    with pytest.raises(BrokerError, match="result backend can't be used") as refused:
        results_address(at("redis://:canary@h:port/1"))
    assert refused.value.option == "result_backend"
    assert "canary" not in str(refused.value)


def at(backend: str, password: str | None = None) -> Examine:
    return Examine("amqp://h", options={"result_backend": backend}, backend_password=password)


def password_of(address: RedisAddress | None) -> str | None:
    assert address is not None
    return None if address.password is None else address.password.reveal()
