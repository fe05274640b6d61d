"""Workers are told something by their names: what they had is shown and read back, and no two of them are confused."""

import json
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.collectors.errors import BrokerError
from app.models.acts import Item, Plan, Steer
from tests.helpers.acting import Actor
from tests.helpers.celery_apps import SETTINGS, WorkerProcess, make_app, marks, worker
from tests.helpers.collecting import collecting
from tests.helpers.events import worker_event
from tests.helpers.fake_workers import Manners, fake_workers, named
from tests.helpers.histories import reading, recording
from tests.helpers.listening import overhearing
from tests.helpers.servers import RabbitServer, RedisServer
from tests.helpers.waiting import eventually

TASK = "truth.add"
W1 = "w1@test"


class Yard:
    """A broker, and workers that are there once they answer."""

    def __init__(self, held: ExitStack, url: str, folder: Path) -> None:
        self.url, self.folder, self._held = url, folder, held
        self.app = make_app(url)
        held.callback(self.app.close)
        self.actor = Actor(url, folder)

    def start(self, name: str = "w1", *options: str, **more: Any) -> WorkerProcess:
        made = self._held.enter_context(worker(self.url, name, self.folder / f"{name}.log", *options, **more))
        eventually(lambda: self.app.control.ping([made.hostname], timeout=1), f"an answer of {name}", within=60)
        return made

    def inspect(self, hostname: str = W1) -> Any:
        return self.app.control.inspect([hostname], timeout=5)

    def limits(self, hostname: str = W1) -> str:
        """What a worker says of the limits of a task."""
        told = self.inspect(hostname).registered("rate_limit", "soft_time_limit", "time_limit")[hostname]
        return str(next(line for line in told if line.split(" ")[0] == TASK))

    def queues(self, hostname: str = W1) -> set[str]:
        return {queue["name"] for queue in self.inspect(hostname).active_queues()[hostname]}


@pytest.fixture(params=[RedisServer, RabbitServer], ids=["redis", "rabbitmq"])
def yard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Yard]:
    with request.param() as server, ExitStack() as held:
        yield Yard(held, server.url, tmp_path)


@pytest.fixture
def redis_yard(redis_server: RedisServer, tmp_path: Path) -> Iterator[Yard]:
    with ExitStack() as held:
        yield Yard(held, redis_server.url, tmp_path)


def cautions(plan: Plan) -> str:
    return " ".join(caution.text for caution in plan.cautions)


# --- pools -----------------------------------------------------------------------------------------------------------


def test_a_pool_grows_and_shrinks_as_it_is_read_back(redis_yard: Yard) -> None:
    redis_yard.start(slots=2)
    actor = redis_yard.actor
    prepared = actor.prepare(Steer("pool_grow", [W1], number=2))
    assert prepared.plan.title == f"Grow the pool of {W1} by 2"
    assert prepared.plan.facts == [(W1, "2 processes → 4 processes"), ("Lasts", "until the worker restarts")]
    outcome = list(prepared.execute())[-1]
    assert outcome.items == [Item(W1, True, "pool will grow")]
    assert outcome.text == f"{W1}: 2 processes → 4 processes."
    assert len(redis_yard.inspect().stats()[W1]["pool"]["processes"]) == 4
    assert outcome.undo == Steer("pool_shrink", [W1], number=2)
    assert actor.do(outcome.undo).text == f"{W1}: 4 processes → 2 processes."
    assert len(redis_yard.inspect().stats()[W1]["pool"]["processes"]) == 2
    assert actor.refusal(Steer("pool_shrink", [W1], number=2)) == (
        f"{W1}: it has 2 processes, so that none would be left."
    )


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_pool_that_can_t_grow_is_not_told_to(redis_yard: Yard, pool: str) -> None:
    redis_yard.start(pool=pool)
    redis_yard.start("w2")
    both = [W1, "w2@test"]
    assert redis_yard.actor.refusal(Steer("pool_grow", both)) == (
        f"{W1}: a pool of kind {pool} can't be made larger or smaller while it runs. Leave it out."
    )


def test_a_range_is_changed_at_one_end_and_the_other_stays(redis_yard: Yard) -> None:
    redis_yard.start("w1", "--autoscale", "4,2")
    redis_yard.start("w2")
    outcome = redis_yard.actor.do(Steer("autoscale", [W1], most=6))
    assert outcome.text == f"{W1}: 2 to 4 processes → 2 to 6 processes."
    scale = redis_yard.inspect().stats()[W1]["autoscaler"]
    assert (scale["max"], scale["min"]) == (6, 2)
    assert outcome.undo == Steer("autoscale", [W1], most=4, least=2)
    refusal = redis_yard.actor.refusal
    assert "scales by itself" in refusal(Steer("pool_grow", [W1]))
    assert "start it with --autoscale" in refusal(Steer("autoscale", ["w2@test"], most=6, least=1))
    assert refusal(Steer("autoscale", [W1], most=1)) == f"{W1}: at least 2 and at most 1 is no range."


def test_a_pool_is_restarted_where_its_application_allows_it(redis_yard: Yard) -> None:
    redis_yard.start("w1", environment={SETTINGS: json.dumps({"worker_pool_restarts": True})})
    redis_yard.start("w2")
    assert "worker_pool_restarts" in redis_yard.actor.refusal(Steer("pool_restart", ["w2@test"]))
    before = redis_yard.inspect().stats()[W1]["pool"]["processes"]
    outcome = redis_yard.actor.do(Steer("pool_restart", [W1]))
    assert outcome.items == [Item(W1, True, "reload started")]

    def anew() -> bool:
        redis_yard.app.send_task(TASK, (1, 2))  # each process ends after a task
        now = redis_yard.inspect().stats()
        return bool(now) and not {*now[W1]["pool"]["processes"]} & {*before}

    eventually(anew, "other processes", within=30)


def test_what_other_pools_only_pretend_to_do_is_said_before(redis_yard: Yard) -> None:
    redis_yard.start("w1", pool="threads", environment={SETTINGS: json.dumps({"worker_pool_restarts": True})})
    assert redis_yard.actor.refusal(Steer("pool_restart", [W1])) == (
        f"{W1}: a pool of kind threads can't be restarted, though its worker would say that it was."
    )
    history = redis_yard.folder / "h"
    actor = Actor(redis_yard.url, redis_yard.folder, history)
    with collecting(redis_yard.url, history):
        wish = Steer("time_limit", [W1], task=TASK, hard=1.0)
        eventually(lambda: "eventlet, threads and solo heed none" in cautions(actor.plan(wish)), "its pool")


# --- queues ----------------------------------------------------------------------------------------------------------


def test_flaw_5_names_go_out_as_they_are_typed(yard: Yard) -> None:
    yard.start()
    name = 'a&b <é> "%2F'
    outcome = yard.actor.do(Steer("add_consumer", [W1], queue=name))
    assert outcome.text == f"{W1}: celery → {name}, celery."
    assert yard.queues() == {"celery", name}
    assert yard.actor.do(Steer("cancel_consumer", [W1], queue=name)).done == 1
    assert yard.queues() == {"celery"}


def test_it_is_said_what_is_left_alone(redis_yard: Yard) -> None:
    redis_yard.start()
    plan = redis_yard.actor.plan(Steer("cancel_consumer", [W1], queue="celery"))
    assert f"No queue is left for {W1}." in cautions(plan)
    assert "No other worker that answers consumes celery: what is sent there will wait." in cautions(plan)
    assert plan.facts[0] == (W1, "celery → no queue")
    redis_yard.start("w2")
    plan = redis_yard.actor.plan(Steer("cancel_consumer", [W1], queue="celery"))
    assert "No other worker" not in cautions(plan)


# --- limits ----------------------------------------------------------------------------------------------------------


def test_flaw_6_setting_one_time_limit_leaves_the_other(yard: Yard) -> None:
    yard.start()
    yard.actor.do(Steer("time_limit", [W1], task=TASK, hard=100.0))
    assert yard.limits() == f"{TASK} [time_limit=100.0]"
    prepared = yard.actor.prepare(Steer("time_limit", [W1], task=TASK, soft=10.0))
    assert prepared.plan.facts[0] == (W1, "soft none, hard 100 s → soft 10 s, hard 100 s")
    outcome = list(prepared.execute())[-1]
    assert outcome.text == f"{W1}: soft none, hard 100 s → soft 10 s, hard 100 s."
    assert yard.limits() == f"{TASK} [soft_time_limit=10.0 time_limit=100.0]"
    assert outcome.undo == Steer("time_limit", [W1], task=TASK, soft=0.0, hard=100.0)
    yard.actor.do(outcome.undo)
    assert yard.limits() == f"{TASK} [time_limit=100.0]", "0 is no limit"


def test_each_worker_keeps_its_own_other_limit(redis_yard: Yard) -> None:
    for name in ("w1", "w2"):
        redis_yard.start(name)
    both = [W1, "w2@test"]
    for name, hard in zip(both, (100.0, 200.0), strict=True):
        redis_yard.actor.do(Steer("time_limit", [name], task=TASK, hard=hard))
    outcome = redis_yard.actor.do(Steer("time_limit", both, task=TASK, soft=10.0))
    assert outcome.done == 2
    assert redis_yard.limits(W1) == f"{TASK} [soft_time_limit=10.0 time_limit=100.0]"
    assert redis_yard.limits("w2@test") == f"{TASK} [soft_time_limit=10.0 time_limit=200.0]"
    assert redis_yard.actor.refusal(Steer("time_limit", both, task=TASK, soft=150.0)) == (
        f"{W1}: a soft limit of 150 s has to be below the hard one of 100 s. Leave it out."
    )


def test_a_limit_that_was_changed_meanwhile_is_looked_at_again(redis_yard: Yard) -> None:
    redis_yard.start()
    prepared = redis_yard.actor.prepare(Steer("time_limit", [W1], task=TASK, soft=10.0))
    redis_yard.app.control.time_limit(TASK, hard=50, destination=[W1], reply=True, timeout=5)
    outcome = list(prepared.execute())[-1]
    assert outcome.state == "failed"
    assert "changed since the plan was made" in outcome.text
    assert redis_yard.limits() == f"{TASK} [time_limit=50]"


def test_flaw_7_rate_limits_are_text(yard: Yard) -> None:
    yard.start()
    outcome = yard.actor.do(Steer("rate_limit", [W1], task=TASK, rate="10/m"))
    assert outcome.text == f"{W1}: no limit → 10/m."
    assert yard.limits() == f"{TASK} [rate_limit=10/m]"
    assert outcome.undo == Steer("rate_limit", [W1], task=TASK, rate="0")
    assert yard.actor.do(outcome.undo).text == f"{W1}: 10/m → no limit."
    for wrong in ("NaN", "10/d", "-1", "1e3", " 10/m", "ten"):
        assert "is not a rate limit" in yard.actor.refusal(Steer("rate_limit", [W1], task=TASK, rate=wrong))
    assert "Say how many" in yard.actor.refusal(Steer("rate_limit", [W1], task=TASK))


def test_a_task_that_a_worker_does_not_have_is_not_sent_to_it(redis_yard: Yard) -> None:
    redis_yard.start()
    with overhearing(redis_yard.url) as heard:
        why = redis_yard.actor.refusal(Steer("rate_limit", [W1], task="truth.ad", rate="1/s"))
        assert heard.said("rate_limit") == []
    assert why.startswith(f"{W1}: it has no task 'truth.ad'. Did you mean 'truth.add'")


# --- events ----------------------------------------------------------------------------------------------------------


def test_events_are_switched_as_workers_really_allow(redis_yard: Yard) -> None:
    redis_yard.start()
    redis_yard.start("w2", "-E")
    both = [W1, "w2@test"]
    told = {item.id: item.text for item in redis_yard.actor.do(Steer("enable_events", both)).items}
    assert told == {W1: "task events enabled", "w2@test": "task events already enabled"}
    prepared = redis_yard.actor.prepare(Steer("disable_events", both))
    assert "started with -E go on" in cautions(prepared.plan)
    told = {item.id: item.text for item in list(prepared.execute())[-1].items}
    assert told[W1] == "task events disabled"
    assert told["w2@test"] == ("task events already disabled; where it was started with -E, it goes on sending them")


# --- shutdown --------------------------------------------------------------------------------------------------------


def test_a_shutdown_is_confirmed_by_who_is_gone(yard: Yard) -> None:
    first = yard.start()
    yard.start("w2")
    prepared = yard.actor.prepare(Steer("shutdown", [W1]))
    assert prepared.plan.facts == [(W1, "0 running, 0 fetched, 0 waiting for their time")]
    assert "No worker that answers is left" not in cautions(prepared.plan)
    outcome = list(prepared.execute())[-1]
    assert outcome.items == [Item(W1, True, "it listens no longer")]
    first.wait()
    assert yard.app.control.ping(["w2@test"], timeout=5)
    assert "No worker that answers is left then." in cautions(yard.actor.plan(Steer("shutdown", ["w2@test"])))


def test_a_goodbye_in_the_history_is_the_proof(redis_yard: Yard, tmp_path: Path) -> None:
    path = tmp_path / "h"
    with collecting(redis_yard.url, path), reading(path) as reader:
        redis_yard.start("w1", "--heartbeat-interval", "60")
        eventually(lambda: [each.state for each in reader.workers()] == ["online"], "w1")
        outcome = Actor(redis_yard.url, tmp_path, path).do(Steer("shutdown", [W1]))
        assert outcome.items[0].ok
        eventually(lambda: [each.state for each in reader.workers()] == ["offline"], "its goodbye")


def test_who_still_works_is_asked_and_not_gone_yet(redis_yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.collectors.acts.steer.LEAVES", 0.5)
    manners = Manners(named(1), says={"active": [[{"id": "t1"}]], "reserved": [[]], "scheduled": [[]]})
    with fake_workers(redis_yard.url, manners):
        outcome = redis_yard.actor.do(Steer("shutdown", named(1)))
    (item,) = outcome.items
    assert (item.ok, outcome.failed) == (None, 0)
    assert item.text == "asked, not gone yet; it had 1 running, 0 fetched, 0 waiting for their time"


# --- who is meant, and who is silent ---------------------------------------------------------------------------------


def test_who_is_meant_has_to_be_said_and_to_be_there(redis_yard: Yard) -> None:
    redis_yard.start()
    refusal = redis_yard.actor.refusal
    assert refusal(Steer("pool_grow", [])) == f"Name the workers that are meant. These answer: {W1}."
    assert refusal(Steer("pool_grow", ["w1@tset"])) == f"No worker 'w1@tset' answers. Did you mean {W1!r}?"


def test_who_left_is_not_told(redis_server: RedisServer, tmp_path: Path) -> None:
    path = tmp_path / "h"
    with recording(path) as made:
        made.play([worker_event("online", 0, "gone@fake", freq=2.0), worker_event("offline", 1, "gone@fake")]).commit(1)
    with fake_workers(redis_server.url, Manners(named(1))):
        assert Actor(redis_server.url, tmp_path, path).refusal(Steer("enable_events", ["gone@fake"])) == (
            "gone@fake is offline, and does not answer."
        )


def test_flaw_8_no_answer_is_not_a_refusal_and_what_is_done_late_is_not_lost(redis_yard: Yard, tmp_path: Path) -> None:
    path = tmp_path / "h"
    with collecting(redis_yard.url, path), reading(path) as reader:
        paused, _ = redis_yard.start(slots=2), redis_yard.start("w2", slots=2)
        eventually(lambda: len(reader.workers()) == 2, "both")
        prepared = Actor(redis_yard.url, tmp_path, path).prepare(Steer("pool_grow", [W1, "w2@test"]))
        paused.process.send_signal(signal.SIGSTOP)
        try:
            outcome = list(prepared.execute())[-1]
        finally:
            paused.process.send_signal(signal.SIGCONT)
    items = {item.id: item for item in outcome.items}
    assert items["w2@test"] == Item("w2@test", True, "pool will grow")
    assert items[W1].ok is None
    assert items[W1].text.startswith("no answer yet; it may still do it")
    assert (outcome.state, outcome.done, outcome.failed) == ("done", 2, 0)
    assert f"No answer yet of {W1}: it may still be done." in outcome.text

    def processes() -> int:
        told = redis_yard.inspect().stats()
        return len(told[W1]["pool"]["processes"]) if told else 0

    eventually(lambda: processes() == 3, "what was said", within=30)


def test_a_busy_solo_worker_is_explained(redis_yard: Yard, tmp_path: Path) -> None:
    path = tmp_path / "h"
    with collecting(redis_yard.url, path), reading(path) as reader, marks(redis_yard.url) as results:
        redis_yard.start("w1", "-E", pool="solo")
        eventually(lambda: [each.pool for each in reader.workers()] == ["solo"], "its pool", within=60)
        uuid = redis_yard.app.send_task("truth.outlast", ("enough",)).id
        eventually(lambda: results.exists(f"running.{uuid}"), "its task")
        eventually(lambda: [each.state for each in reader.workers()] == ["busy"], "that it is busy", within=60)
        prepared = Actor(redis_yard.url, tmp_path, path).prepare(Steer("enable_events", [W1]))
        explained = "runs a task in its solo pool; it hears of it when that ends"
        assert f"{W1} {explained}." in cautions(prepared.plan)
        (item,) = list(prepared.execute())[-1].items
        assert item.ok is None
        assert explained in item.text
        results.set("enough", "1")
        log = redis_yard.folder / "w1.log"
        eventually(lambda: re.search(f"Task truth.outlast.*{uuid}.*succeeded", log.read_text()), "its end")


def test_who_was_not_asked_is_not_counted(redis_server: RedisServer, tmp_path: Path) -> None:
    with fake_workers(redis_server.url, Manners(named(2), forged=10)):
        outcome = Actor(redis_server.url, tmp_path).do(Steer("enable_events", ["w1@fake"]))
    assert (outcome.done, outcome.failed, outcome.total) == (1, 0, 1)
    assert "Not counted: answers in the name of stranger0@nowhere" in outcome.text


def test_a_refusal_is_shown_in_the_worker_s_words(redis_server: RedisServer, tmp_path: Path) -> None:
    manners = Manners(named(1), says={"enable_events": [{"error": "event dispatcher unavailable"}]})
    with fake_workers(redis_server.url, manners):
        outcome = Actor(redis_server.url, tmp_path).do(Steer("enable_events", named(1)))
    assert outcome.items == [Item("w0@fake", False, "event dispatcher unavailable")]
    assert outcome.failed == 1


def test_a_broker_that_is_away_is_said(tmp_path: Path) -> None:
    for url in ("redis://localhost:1/0", "amqp://localhost:1//"):
        with pytest.raises(BrokerError, match="Is it running"):
            Actor(url, tmp_path).prepare(Steer("enable_events", [W1]))
