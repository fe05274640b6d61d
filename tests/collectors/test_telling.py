"""Who answers what workers are told, who is silent, and who only pretends: one deadline for all (F26)."""

import time
from pathlib import Path

import psutil
import pytest
from redis import Redis

from app.collectors.control import Answer
from app.collectors.orders import EnableEvents, PoolGrow, RevokeIds, Shutdown
from tests.helpers.acting import telling
from tests.helpers.celery_apps import worker
from tests.helpers.fake_workers import Manners, fake_workers, named
from tests.helpers.litter import keys, reply_lists, staying
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

#: By how much a deadline may be overrun, as a share; what a busy machine adds to that, in seconds.
OVERRUN = 0.1
BUSY = 1.0


def test_f26_nobody_is_told_at_once_that_nobody_listens(redis_server: RedisServer) -> None:
    with telling(redis_server.url) as control:
        began = time.monotonic()
        assert list(control.tell(RevokeIds(["t1"]), None, [], timeout=20.0)) == []
        assert control.listening == 0
        (answer,) = control.tell(PoolGrow(1), ["w1@fake"], ["w1@fake"], timeout=20.0)
        assert (answer.done, control.listening) == (None, 0)
        assert time.monotonic() - began < 15.0


def test_f26_five_hundred_workers_answer_each_once(redis_server: RedisServer, client: Redis) -> None:
    names = named(500)
    with fake_workers(redis_server.url, Manners(names)), telling(redis_server.url) as control:
        answers = list(control.tell(EnableEvents(), names, names, timeout=30.0))
    assert [answer.host for answer in answers if answer.done] != []
    assert {answer.host for answer in answers} == {*names}
    assert all(answer == Answer(answer.host, True, "enable_events") for answer in answers)
    assert len(answers) == 500
    assert client.keys() == [], "and all answered, so that nothing is left to wait for"


def test_f26_answers_are_told_as_they_come_and_who_is_silent_in_the_end(redis_server: RedisServer) -> None:
    names = named(4)
    manners = Manners(names, drip=0.3, silent=["w3@fake"])
    with fake_workers(redis_server.url, manners), telling(redis_server.url) as control:
        began = time.monotonic()
        told = control.tell(EnableEvents(), names, names, timeout=3.0)
        came = [(answer.host, answer.done, time.monotonic() - began) for answer in told]
    assert sorted((host, done) for host, done, _ in came) == [
        ("w0@fake", True),
        ("w1@fake", True),
        ("w2@fake", True),
        ("w3@fake", None),
    ]
    assert came[0][2] < came[1][2] < came[2][2] < 3.0 <= came[3][2], "each when it came, and silence at the deadline"


def test_f26_who_drips_does_not_stretch_the_deadline(redis_server: RedisServer) -> None:
    names = named(20)
    with fake_workers(redis_server.url, Manners(names, drip=0.3)), telling(redis_server.url) as control:
        began = time.monotonic()
        answers = list(control.tell(EnableEvents(), names, names, timeout=2.0))
        took = time.monotonic() - began
    told = sum(1 for answer in answers if answer.done)
    assert 0 < told < 20
    assert told + sum(1 for answer in answers if answer.done is None) == 20
    assert 2.0 <= took < 2.0 * (1 + OVERRUN) + BUSY


def test_f26_of_twenty_thousand_forged_answers_none_counts(redis_server: RedisServer) -> None:
    names = named(2)
    manners = Manners(names, forged=10_000, again=5)
    with fake_workers(redis_server.url, manners), telling(redis_server.url) as control:
        control.ask("conf", ["nobody"], timeout=0.05)  # whatever is needed once is there before it is measured
        before = psutil.Process().memory_info().rss
        answers = list(control.tell(EnableEvents(), names, names, timeout=30.0))
        grown = psutil.Process().memory_info().rss - before
    assert sorted(answer.host for answer in answers if answer.known) == names
    assert [answer.text for answer in answers if answer.known] == ["enable_events"] * 2
    strangers = [answer for answer in answers if not answer.known]
    assert 0 < len(strangers) <= 20
    assert all(answer.done is None for answer in strangers)
    assert grown <= 5 << 20


def test_f26_forged_answers_without_end_are_not_waited_for(redis_server: RedisServer) -> None:
    names = named(1)
    manners = Manners([*names, "forger@fake"], silent=names, forged=60_000)
    with fake_workers(redis_server.url, manners), telling(redis_server.url) as control:
        began = time.monotonic()
        answers = list(control.tell(EnableEvents(), ["w0@fake", "forger@fake"], names, timeout=1.0))
        assert time.monotonic() - began < 1.0 * (1 + OVERRUN) + BUSY
    assert [(answer.host, answer.done) for answer in answers if answer.known] == [("w0@fake", None)]


def test_who_wants_no_more_answers_leaves_nothing_that_stays(redis_server: RedisServer, client: Redis) -> None:
    names = named(3)
    manners = Manners(names, drip=0.2)
    with fake_workers(redis_server.url, manners), telling(redis_server.url) as control:
        answers = control.tell(EnableEvents(), names, names, timeout=5.0)
        assert next(answers).done
        answers.close()  # type: ignore[attr-defined]
        eventually(lambda: any(client.llen(key) > 1 for key in reply_lists(client)), "an answer that comes late")
    assert keys(client) == reply_lists(client)
    assert staying(client) == set()


def test_nobody_is_asked_to_answer_to_a_shutdown(redis_server: RedisServer, client: Redis) -> None:
    with fake_workers(redis_server.url, Manners(named(1))), telling(redis_server.url) as control:
        assert list(control.tell(Shutdown(), ["w0@fake"], ["w0@fake"], timeout=20.0)) == []
        assert control.listening == 1
    assert client.keys() == []


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_refusal_is_told_apart_from_what_was_done(redis_server: RedisServer, tmp_path: Path, pool: str) -> None:
    with (
        worker(redis_server.url, "w1", tmp_path / "w1.log", pool=pool) as running,
        telling(redis_server.url) as control,
    ):
        eventually(lambda: control.ask("ping", timeout=1.0), "a worker that answers", within=60)
        (answer,) = control.tell(PoolGrow(1), [running.hostname], [running.hostname])
        if pool == "prefork":
            assert answer == Answer(running.hostname, True, "pool will grow")
        else:
            assert answer.done is False
            assert "has no attribute 'grow'" in answer.text
