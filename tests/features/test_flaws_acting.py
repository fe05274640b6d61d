"""What Flower gets wrong where it acts (CASES 5), and we do not: flaws 9 and 16.

Flaws 5 to 8 (names, time limits, rate limits, what is done late) are in `tests/collectors/acts/test_steer.py`, flaw 4
(workers that start after us) in `test_flaws`.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
from redis import Redis

from app.collectors.access import Access
from app.collectors.acts.act import Reach
from app.collectors.acts.desk import Desk
from app.collectors.brokers import broker_at
from app.collectors.orders import ORDERS
from app.models.acts import Revoke, RevokeStamped, Standing, Steer, Steering, Wish
from app.models.audit import AuditLog, Subject
from app.models.profiles import Environment, Mode
from app.models.wire import Acted, DoAct, PlanAct, Planned, Unlock
from tests.helpers.acting import telling
from tests.helpers.celery_apps import worker
from tests.helpers.fake_workers import Manners, fake_workers, named
from tests.helpers.listening import overhearing
from tests.helpers.litter import keys, reply_lists, staying
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

W0 = "w0@fake"
RUNS = {"t1": ["active", {"id": "t1", "name": "shop.add", "time_start": 5.0, "worker_pid": 11}]}
STATS = {"pool": {"implementation": "celery.concurrency.prefork:TaskPool", "max-concurrency": 2, "processes": [1, 2]}}
SCALES = STATS | {"autoscaler": {"max": 4, "min": 1}}


class Window:
    """A desk as a window's collector has it, and what it said."""

    def __init__(
        self, url: str, folder: Path, environment: Environment = "development", mode: Mode = "operate"
    ) -> None:
        self.said: list[Planned | Acted | Standing] = []
        access = Access(mode, environment)
        reach = Reach(broker_at(url), access, None, lambda _number: None)
        log = AuditLog(folder / "audit.jsonl", Subject("test", url, environment))
        self.desk = Desk(reach, log, self.said.append)
        self._number = 0

    def plan(self, wish: Wish) -> int:
        """The number of a plan that is there."""
        self._number += 1
        number = self._number
        self.desk.take(PlanAct(number, wish))
        planned = eventually(
            lambda: next((each for each in self.said if isinstance(each, Planned) and each.number == number), None),
            "a plan",
        )
        assert planned is not None
        assert planned.error == "", f"{wish}: {planned.error}"
        return number

    def ended(self, number: int) -> Acted | None:
        ends = (each for each in self.said if isinstance(each, Acted) and each.outcome.state != "running")
        return next((each for each in ends if each.number == number), None)

    def do(self, number: int, typed: str = "") -> str:
        """Carry out a plan: what is said in the end."""
        self.desk.take(DoAct(number, typed))
        ended = eventually(lambda: self.ended(number), "its end")
        assert ended is not None
        return f"{ended.outcome.state}: {ended.outcome.text}"


@contextmanager
def window(url: str, folder: Path, **more: Any) -> Iterator[Window]:
    made = Window(url, folder, **more)
    yield made
    made.desk.stop()
    made.desk.join(10)


def test_flaw_9_a_revoke_does_not_wait_for_five_acts_that_are_slow(redis_server: RedisServer, tmp_path: Path) -> None:
    # None is no answer: whoever is told to send events is silent, and waited for.
    manners = Manners(named(2), says={"enable_events": [None]})
    with fake_workers(redis_server.url, manners), window(redis_server.url, tmp_path) as seen:
        seen.desk.take(Unlock())
        slow = [seen.plan(Steer("enable_events", [W0])) for _ in range(5)]
        revoke = seen.plan(Revoke(["t1"]))
        for number in slow:
            seen.desk.take(DoAct(number))
        began = time.monotonic()
        assert seen.do(revoke).startswith("done: ")
        assert time.monotonic() - began < 2.0, "which is what each of the others waits for an answer"
        assert all(seen.ended(number) is None for number in slow)
        for number in slow:
            eventually(lambda: seen.ended(number), "the end of what was slow")  # noqa: B023


WISHES: dict[str, Wish] = {
    "revoke": Revoke(["t1"]),
    "terminate": Revoke(["t1"], terminate=True),
    "stamped": RevokeStamped("h", ["v"]),
    "pool_grow": Steer("pool_grow", [W0]),
    "pool_shrink": Steer("pool_shrink", [W0]),
    "pool_restart": Steer("pool_restart", [W0]),
    "autoscale": Steer("autoscale", [W0], most=9, least=1),
    "add_consumer": Steer("add_consumer", [W0], queue="mail"),
    "cancel_consumer": Steer("cancel_consumer", [W0], queue="mail"),
    "rate_limit": Steer("rate_limit", [W0], task="shop.add", rate="1/s"),
    "time_limit": Steer("time_limit", [W0], task="shop.add", soft=1.0, hard=2.0),
    "enable_events": Steer("enable_events", [W0]),
    "disable_events": Steer("disable_events", [W0]),
    "shutdown": Steer("shutdown", [W0]),
}


@pytest.mark.parametrize("name", WISHES)
def test_flaw_16_nothing_is_done_without_being_asked_for_twice(
    redis_server: RedisServer, tmp_path: Path, name: str
) -> None:
    """A plan tells workers nothing, nor does a plan that nobody confirmed rightly, nor one while acting is locked."""
    assert {*get_args(Steering)} <= WISHES.keys()
    says: dict[str, list[Any]] = {
        "query_task": [RUNS], "registered": [["shop.add"]], "conf": [{"worker_pool_restarts": True}],
        "active_queues": [[{"name": "mail"}]], "stats": [SCALES if name == "autoscale" else STATS],
    }  # fmt: skip
    with (
        fake_workers(redis_server.url, Manners(named(1), says=says)),
        overhearing(redis_server.url) as heard,
        window(redis_server.url, tmp_path, environment="production") as seen,
    ):
        number = seen.plan(WISHES[name])
        assert "locked" in seen.do(number, "1")
        seen.desk.take(Unlock("yes"))
        assert "locked" in seen.do(seen.plan(WISHES[name]), "1")
        seen.desk.take(Unlock("production"))
        assert "To confirm, type 1." in seen.do(seen.plan(WISHES[name]), "yes")
        told = {method: heard.said(method) for method in ORDERS}
        assert not any(told.values()), told


@pytest.mark.parametrize("mode", ["passive", "observe"])
def test_a01_in_another_mode_nothing_is_done_whoever_confirms_it(
    redis_server: RedisServer, tmp_path: Path, mode: Mode
) -> None:
    with (
        fake_workers(redis_server.url, Manners(named(1))),
        overhearing(redis_server.url) as heard,
        window(redis_server.url, tmp_path, mode=mode) as seen,
    ):
        seen.desk.take(Unlock())
        if mode == "observe":
            assert "operate" in seen.do(seen.plan(WISHES["enable_events"]))
        else:
            seen.desk.take(PlanAct(1, WISHES["enable_events"]))
            planned = eventually(lambda: next((each for each in seen.said if isinstance(each, Planned)), None))
            assert planned is not None
            assert "not even asked" in planned.error
            assert heard.said("ping") == []
        assert not any(heard.said(method) for method in ORDERS)


def test_h03_a_worker_that_answers_late_to_what_it_was_told_leaves_no_key_that_stays(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    with (
        worker(redis_server.url, "w1", tmp_path / "w1.log", slots=1) as running,
        window(redis_server.url, tmp_path) as seen,
    ):
        seen.desk.take(Unlock())
        with telling(redis_server.url) as control:
            eventually(lambda: control.ask("ping", timeout=1.0), "a worker that answers", within=60)
        revoke = seen.plan(Revoke(["t1"]))
        known = keys(client) - reply_lists(client)
        running.process.send_signal(signal.SIGSTOP)
        try:
            seen.do(revoke)
        finally:
            running.process.send_signal(signal.SIGCONT)
        eventually(lambda: any(client.llen(each) > 1 for each in reply_lists(client)), "its answer")
        assert keys(client) - reply_lists(client) == known
        assert not reply_lists(client) & staying(client)
