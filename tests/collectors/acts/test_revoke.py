"""Tasks that are revoked, and one that is terminated: told truly, and done by real workers as it was said."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from app.collectors.access import Grant
from app.collectors.acts.act import Impossible
from app.models import states
from app.models.acts import Item, Outcome, Plan, Revoke, RevokeStamped, Steer
from app.models.history.reader import Reader
from app.models.records import Task
from tests.helpers.acting import Actor
from tests.helpers.celery_apps import LATER, SETTINGS, WorkerProcess, make_app, soon, worker
from tests.helpers.collecting import collecting
from tests.helpers.events import event, worker_event
from tests.helpers.fake_workers import Manners, fake_workers, named
from tests.helpers.histories import reading, recording
from tests.helpers.listening import overhearing
from tests.helpers.litter import keys, reply_lists, staying
from tests.helpers.servers import RabbitServer, RedisServer
from tests.helpers.waiting import eventually


class Shop:
    """A broker with an application, a worker that consumes ``celery``, and a collector that listens."""

    def __init__(self, held: ExitStack, url: str, folder: Path, *, pool: str = "prefork") -> None:
        self.url, self.folder, self.held = url, folder, held
        self.app: Celery = make_app(url)
        held.callback(self.app.close)
        self.history = folder / "h"
        held.enter_context(collecting(url, self.history, mode="operate"))
        self.reader: Reader = held.enter_context(reading(self.history))
        self.worker = self.start("w1", pool=pool)
        self.actor = Actor(url, folder, self.history)

    def start(self, name: str, *options: str, pool: str = "prefork", **more: Any) -> WorkerProcess:
        """A worker more, once it is online."""
        started = worker(self.url, name, self.folder / f"{name}.log", "-E", *options, pool=pool, **more)
        made = self.held.enter_context(started)
        eventually(lambda: self.is_online(made.hostname), f"{name} online", within=60)
        # It says that it is online before it listens to anybody.
        eventually(lambda: self.app.control.ping([made.hostname], timeout=1), f"an answer of {name}", within=60)
        return made

    def is_online(self, hostname: str) -> bool:
        return any(each.hostname == hostname and each.state == "online" for each in self.reader.workers())

    def send(self, name: str, *args: object, **options: Any) -> str:
        """Send a task; its id, once the history has it."""
        uuid = str(self.app.send_task(f"truth.{name}", args, **options).id)
        eventually(lambda: self.reader.task(uuid), "the task")
        return uuid

    def becomes(self, uuid: str, state: str) -> Task:
        def found() -> Task | None:
            task = self.reader.task(uuid)
            return task if task is not None and task.state == state else None

        task = eventually(found, f"the state {state}", within=60)
        assert task is not None
        return task


@pytest.fixture(params=[RedisServer, RabbitServer], ids=["redis", "rabbitmq"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    with request.param() as server, ExitStack() as held:
        yield Shop(held, server.url, tmp_path)


@pytest.fixture
def redis_shop(redis_server: RedisServer, tmp_path: Path) -> Iterator[Shop]:
    with ExitStack() as held:
        yield Shop(held, redis_server.url, tmp_path)


def texts(plan: Plan) -> str:
    return " ".join(caution.text for caution in plan.cautions)


# --- revoke ----------------------------------------------------------------------------------------------------------


def test_what_waits_is_revoked_and_never_runs_and_that_is_proven_by_its_event(shop: Shop) -> None:
    waiting, other = shop.send("add", 1, 2, queue=LATER), shop.send("add", 3, 4, queue=LATER)
    later = shop.send("add", 5, 6, eta=soon(6))
    outcome = shop.actor.do(Revoke([waiting, later]))
    assert (outcome.state, outcome.done, outcome.failed) == ("done", 2, 0)
    assert [item.text for item in outcome.items] == ["revoke asked, 1 worker told"] * 2
    assert "Revoke asked of 2 tasks; not proven yet by an event of a worker." in outcome.text
    shop.actor.do(Steer("add_consumer", [shop.worker.hostname], queue=LATER))
    assert shop.becomes(other, states.SUCCESS).result == "7"
    for uuid in (waiting, later):
        task = shop.becomes(uuid, states.REVOKED)
        assert (task.started, task.result) == (None, None)


def test_all_that_a_search_finds_is_revoked_but_what_is_over(redis_shop: Shop) -> None:
    shop = redis_shop
    over = shop.send("add", 1, 1)
    shop.becomes(over, states.SUCCESS)
    waiting = [shop.send("add", number, 1, queue=LATER) for number in range(30)]
    spared = shop.send("total", [1], queue=LATER)
    prepared = shop.actor.prepare(Revoke(search="name:truth.add"))
    assert prepared.plan.count == 30
    assert prepared.plan.title == "Revoke 30 tasks"
    outcome = list(prepared.execute(rate=200))[-1]
    assert (outcome.state, outcome.done) == ("done", 30)
    assert {item.id for item in outcome.items} == {*waiting}
    shop.actor.do(Steer("add_consumer", [shop.worker.hostname], queue=LATER))
    shop.becomes(spared, states.SUCCESS)
    for uuid in waiting:
        shop.becomes(uuid, states.REVOKED)
    assert shop.actor.refusal(Revoke(search="name:truth.add")) == "No task was named, and none is found."
    assert "ended already" in shop.actor.refusal(Revoke([over]))


def test_a_thousand_are_told_in_batches_and_each_has_its_line(redis_shop: Shop) -> None:
    shop = redis_shop
    ids = [f"task-{number}" for number in range(1_000)]
    with overhearing(shop.url) as heard:
        outcome = shop.actor.do(Revoke(ids), rate=200)
        batches = [said["task_id"] for said in heard.said("revoke")]
    assert (outcome.state, outcome.done, outcome.failed) == ("done", 1_000, 0)
    assert [uuid for batch in batches for uuid in batch] == ids
    assert max(map(len, batches)) <= 200
    lines = (shop.folder / "audit.jsonl").read_text(encoding="utf-8")
    assert all(f'"{uuid}"' in lines for uuid in ids)
    told = shop.app.control.inspect([shop.worker.hostname], timeout=5).revoked()
    assert {*told[shop.worker.hostname]} >= {*ids}


def test_a08_a_bulk_revoke_stops_at_once_and_its_count_is_right(redis_server: RedisServer, tmp_path: Path) -> None:
    ids = [f"task-{number}" for number in range(10_000)]
    with fake_workers(redis_server.url, Manners(named(2))), overhearing(redis_server.url) as heard:
        prepared = Actor(redis_server.url, tmp_path).prepare(Revoke(ids))
        outcomes: list[Outcome] = []

        def work() -> None:
            outcomes.extend(prepared.execute(prepared.plan.typed, rate=200))

        thread = threading.Thread(target=work)
        thread.start()
        eventually(lambda: heard.said("revoke"), "the first batch")
        began = time.monotonic()
        prepared.stop()
        thread.join(10)
        assert time.monotonic() - began < 0.2
        told = [uuid for said in heard.said("revoke") for uuid in said["task_id"]]
    assert (outcomes[-1].state, outcomes[-1].done) == ("stopped", len(told))
    assert 0 < len(told) < 10_000


def test_who_is_silent_is_told_and_not_waited_for_at_each_batch(redis_server: RedisServer, tmp_path: Path) -> None:
    ids = [f"task-{number}" for number in range(100)]
    heartbeats = [worker_event("online", 0, "w1@fake", freq=2.0, active=1), worker_event("heartbeat", 1, "w1@fake")]
    path = tmp_path / "h"
    with recording(path) as made:
        made.play(heartbeats).commit(1)
    # It answers when it is called, and then runs something.
    manners = Manners(named(2), says={"revoke": [None]})
    with fake_workers(redis_server.url, manners):
        began = time.monotonic()
        outcome = Actor(redis_server.url, tmp_path, path).do(Revoke(ids), rate=200)
        took = time.monotonic() - began
    assert (outcome.state, outcome.failed) == ("done", 0)
    assert {item.ok for item in outcome.items} == {None}, "which is neither done nor refused"
    assert "may still do it" in outcome.items[0].text
    assert took < 9.0, "which is less than the patience for each of five batches"


@pytest.mark.parametrize("word", ["", "x" * 256, "\ud800"])
def test_what_workers_can_t_be_told_is_said_before(redis_server: RedisServer, tmp_path: Path, word: str) -> None:
    wishes = (
        Revoke(["t1", word]),
        Revoke([word], terminate=True),
        RevokeStamped("h", ["v", word]),
        RevokeStamped(word, ["v"]),
    )
    with fake_workers(redis_server.url, Manners(named(1))):
        for wish in wishes:
            assert Actor(redis_server.url, tmp_path).refusal(wish) != ""


def test_nobody_listens_is_said_before_and_after(redis_server: RedisServer, tmp_path: Path) -> None:
    actor = Actor(redis_server.url, tmp_path)
    prepared = actor.prepare(Revoke(["t1"]))
    (grave,) = [caution for caution in prepared.plan.cautions if caution.grave]
    assert grave.text == "No worker answers: nobody will remember it, and the tasks will run."
    assert ("Will be told", "nobody") in prepared.plan.facts
    outcome = list(prepared.execute())[-1]
    assert outcome.items == [Item("t1", False, "nobody listened")]
    assert outcome.failed == 1


def test_whether_a_worker_forgets_is_said_as_far_as_it_tells(redis_server: RedisServer, tmp_path: Path) -> None:
    """``--statedb`` is told nowhere; the setting of the application is."""
    kept = {SETTINGS: json.dumps({"worker_state_db": str(tmp_path / "state")})}
    actor = Actor(redis_server.url, tmp_path)

    def told(workers: int) -> str:
        plan = actor.plan(Revoke(["t"]))
        return texts(plan) if f"{workers} worker" in dict(plan.facts)["Will be told"] else ""

    with worker(redis_server.url, "w1", tmp_path / "w1.log", pool="solo", environment=kept):
        assert "--statedb" not in eventually(lambda: told(1), "w1", within=60)
        with worker(redis_server.url, "w2", tmp_path / "w2.log", "--statedb", str(tmp_path / "other"), pool="solo"):
            forgets = "unless it was started with --statedb, which it does not tell"
            assert forgets in eventually(lambda: told(2), "w2", within=60)


@pytest.mark.parametrize(("version", "warns"), [("5.5.3", False), ("5.6.2", True), ("5.7.0", False)])
def test_celery_5_6_overwrites_results_which_is_said(
    redis_server: RedisServer, tmp_path: Path, version: str, warns: bool
) -> None:
    path = tmp_path / "h"
    with recording(path) as made:
        software = {"sw_ident": "py-celery", "sw_ver": version, "sw_sys": "Linux"}
        made.play([worker_event("online", 0, "w0@fake", freq=2.0, **software)]).commit(1)
    with fake_workers(redis_server.url, Manners(named(1))):
        plan = Actor(redis_server.url, tmp_path, path).plan(Revoke(["t"]))
    assert ("Celery 5.6 store REVOKED as the result" in texts(plan)) is warns


def test_what_ended_meanwhile_is_not_told(redis_server: RedisServer, tmp_path: Path) -> None:
    path, ids = tmp_path / "h", [f"t{number}" for number in range(20)]
    with (
        recording(path) as made,
        fake_workers(redis_server.url, Manners(named(1))),
        overhearing(redis_server.url) as heard,
    ):
        made.play([event("sent", 0, uuid=uuid, name="shop.add", queue="q") for uuid in ids]).commit(1)
        prepared = Actor(redis_server.url, tmp_path, path).prepare(Revoke(ids))
        made.play([event("succeeded", 2, uuid="t3", result="1", runtime=1.0)]).commit(3)
        outcome = list(prepared.execute(prepared.plan.typed, 200))[-1]
        assert (outcome.state, outcome.done) == ("done", 20)
        assert [item.id for item in outcome.items if "ended meanwhile" in item.text] == ["t3"]
        assert [uuid for said in heard.said("revoke") for uuid in said["task_id"]] == [i for i in ids if i != "t3"]


class Moves:
    """A vault that moves what a test says is there, and was asked to."""

    def __init__(self, there: Sequence[str]) -> None:
        self.there = {*there}
        self.moved: list[tuple[str, str, list[str]]] = []
        self.closed = False

    def move(self, source: str, target: str, ids: Sequence[str], grant: Grant) -> Iterator[list[Item]]:
        grant.require()
        self.moved.append((source, target, [*ids]))
        yield [Item(uuid, uuid in self.there, "" if uuid in self.there else "it is not there any more") for uuid in ids]

    def give_up(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def test_messages_that_wait_are_taken_out_besides(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Moves(["t1"])
    monkeypatch.setattr("app.collectors.redis_broker.RedisBroker.vault", lambda _broker, _mode, **_: vault)
    path = tmp_path / "h"
    with recording(path) as made:
        sent = [event("sent", 0, uuid=uuid, name="shop.add", queue="mail") for uuid in ("t1", "t2", "t3")]
        made.play([*sent, event("received", 1, "w0@fake", uuid="t3")]).commit(1)
    with fake_workers(redis_server.url, Manners(named(1))):
        prepared = Actor(redis_server.url, tmp_path, path).prepare(Revoke(["t1", "t2", "t3", "t4"], take_out=True))
        assert ("Messages taken out", "up to 2 of mail") in prepared.plan.facts
        outcome = list(prepared.execute(rate=200))[-1]
    ((source, target, ids),) = vault.moved
    assert (source, ids) == ("mail", ["t1", "t2"])
    assert target.startswith("mail.quarantine.")
    assert [item.id for item in outcome.items if "taken out" in item.text] == ["t1"]
    assert outcome.done == 4, "and all are revoked, taken out or not"
    assert "1 message taken out" in outcome.text
    assert vault.closed


def test_on_rabbitmq_no_message_is_taken_out_which_is_said_before(rabbitmq_url: str, tmp_path: Path) -> None:
    path = tmp_path / "h"
    with recording(path) as made:
        made.play([event("sent", 0, uuid="t1", name="shop.add", queue="mail")]).commit(1)
    prepared = Actor(rabbitmq_url, tmp_path, path).prepare(Revoke(["t1"], take_out=True))
    assert any("No message is taken out" in caution.text for caution in prepared.plan.cautions)
    outcome = list(prepared.execute(rate=200))[-1]
    assert "Revoke asked of 1 task;" in outcome.text


# --- by stamp --------------------------------------------------------------------------------------------------------


def test_tasks_with_a_stamp_are_revoked_and_no_others(redis_shop: Shop) -> None:
    shop = redis_shop
    stamped, spared = (
        shop.app.signature("truth.add", (number, 1), queue=LATER).stamp(customer=value)
        for number, value in ((1, "a&b"), (2, "other"))
    )
    ids = [str(each.apply_async().id) for each in (stamped, spared)]
    outcome = shop.actor.do(RevokeStamped("customer", ["a&b"]))
    assert (outcome.state, outcome.items) == ("done", [Item("a&b", True, "revoke asked, 1 worker told")])
    shop.actor.do(Steer("add_consumer", [shop.worker.hostname], queue=LATER))
    shop.becomes(ids[1], states.SUCCESS)
    shop.becomes(ids[0], states.REVOKED)
    assert "one at a time" in shop.actor.refusal(RevokeStamped("customer", ["x"], terminate=True))
    assert "Name a stamped header" in shop.actor.refusal(RevokeStamped("", ["x"]))


# --- terminate -------------------------------------------------------------------------------------------------------


def test_terminate_ends_a_task_that_runs_and_only_that(shop: Shop) -> None:
    one, other = shop.send("timed", 600), shop.send("timed", 600)
    for uuid in (one, other):
        shop.becomes(uuid, states.STARTED)
    prepared = shop.actor.prepare(Revoke([one], terminate=True, signal="SIGKILL"))
    facts = dict(prepared.plan.facts)
    assert (facts["Worker"], facts["Pool"], facts["Signal"]) == (shop.worker.hostname, "prefork", "SIGKILL")
    assert any(caution.grave and "SIGKILL" in caution.text for caution in prepared.plan.cautions)
    outcome = list(prepared.execute())[-1]
    (item,) = outcome.items
    assert item == Item(one, True, f"{shop.worker.hostname} was told to send SIGKILL; it runs there no longer")
    assert shop.becomes(one, states.REVOKED).started is not None
    active = shop.app.control.inspect([shop.worker.hostname], timeout=5).active()
    assert [task["id"] for task in active[shop.worker.hostname]] == [other]
    shop.actor.do(Revoke([other], terminate=True))
    shop.becomes(other, states.REVOKED)


def test_a07_a_task_that_ended_meanwhile_is_not_terminated(redis_shop: Shop) -> None:
    shop = redis_shop
    uuid = shop.send("timed", 3)
    shop.becomes(uuid, states.STARTED)
    prepared = shop.actor.prepare(Revoke([uuid], terminate=True))
    shop.becomes(uuid, states.SUCCESS)
    with overhearing(shop.url) as heard:
        outcome = list(prepared.execute())[-1]
        assert heard.said("revoke") == [], "and nothing is sent"
        assert heard.said("query_task") != [], "the worker was asked"
    assert outcome.state == "failed"
    assert outcome.text == f"Nothing was done. It does not run on {shop.worker.hostname} any more."
    assert shop.actor.refusal(Revoke([uuid], terminate=True)) == (
        "It ended already: Succeeded. There is nothing to terminate."
    )


RUNS = {"t1": ["active", {"id": "t1", "name": "shop.add", "time_start": 5.0, "worker_pid": 11}]}
ANEW = {"t1": ["active", {"id": "t1", "name": "shop.add", "time_start": 6.0, "worker_pid": 12}]}
PREFORK = {"pool": {"implementation": "celery.concurrency.prefork:TaskPool", "max-concurrency": 2}}


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([RUNS, {}], "does not run on w0@fake any more"),
        ([RUNS, {"t1": ["ready", RUNS["t1"][1]]}], "does not run on w0@fake any more"),
        ([RUNS, ANEW], "begun anew"),
        ([RUNS, {"t1": "active"}], "does not run on w0@fake any more"),
        ([RUNS, {"error": "KeyError()"}], "does not run on w0@fake any more"),
    ],
)
def test_a07_nothing_is_sent_where_the_worker_does_not_say_that_it_runs(
    redis_server: RedisServer, tmp_path: Path, answers: list[Any], why: str
) -> None:
    manners = Manners(named(1), says={"query_task": answers, "stats": [PREFORK]})
    with fake_workers(redis_server.url, manners), overhearing(redis_server.url) as heard:
        outcome = Actor(redis_server.url, tmp_path).do(Revoke(["t1"], terminate=True))
        assert heard.said("revoke") == []
    assert outcome.state == "failed"
    assert why in outcome.text


def test_a07_it_is_asked_for_again_where_it_is_known_for_too_long(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.collectors.acts.terminate.FRESH", 0.0)
    manners = Manners(named(1), says={"query_task": [RUNS, RUNS, {}], "stats": [PREFORK]})
    with fake_workers(redis_server.url, manners), overhearing(redis_server.url) as heard:
        outcome = Actor(redis_server.url, tmp_path).do(Revoke(["t1"], terminate=True))
        assert heard.said("revoke") == []
    assert (outcome.state, outcome.done) == ("failed", 0)


def test_a_task_that_ends_on_the_way_is_told_as_not_terminated(redis_server: RedisServer, tmp_path: Path) -> None:
    unknown = {"ok": "terminate: tasks unknown"}
    manners = Manners(named(1), says={"query_task": [RUNS], "stats": [PREFORK], "revoke": [unknown]})
    with fake_workers(redis_server.url, manners):
        outcome = Actor(redis_server.url, tmp_path).do(Revoke(["t1"], terminate=True))
    assert outcome.items == [Item("t1", False, "it had ended before w0@fake heard of it: no signal was sent")]


def test_it_is_told_where_a_task_does_not_heed_the_signal(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.collectors.acts.terminate.ENDS", 0.3)
    manners = Manners(named(1), says={"query_task": [RUNS], "stats": [PREFORK], "revoke": [{"ok": "terminate: t1"}]})
    with fake_workers(redis_server.url, manners):
        outcome = Actor(redis_server.url, tmp_path).do(Revoke(["t1"], terminate=True))
    (item,) = outcome.items
    assert item.ok is None
    assert "still runs there" in item.text


@pytest.mark.parametrize("found", [{}, {"t1": ["reserved", RUNS["t1"][1]]}])
def test_what_does_not_run_is_not_terminated(redis_server: RedisServer, tmp_path: Path, found: Any) -> None:
    with fake_workers(redis_server.url, Manners(named(1), says={"query_task": [found]})):
        why = Actor(redis_server.url, tmp_path).refusal(Revoke(["t1"], terminate=True))
    assert ("w0@fake has it reserved" if found else "No worker says that it runs this task now") in why


def test_what_runs_on_two_workers_is_not_terminated(redis_server: RedisServer, tmp_path: Path) -> None:
    with fake_workers(redis_server.url, Manners(named(2), says={"query_task": [RUNS], "stats": [PREFORK]})):
        why = Actor(redis_server.url, tmp_path).refusal(Revoke(["t1"], terminate=True))
    assert "w0@fake and w1@fake at once" in why


def test_one_task_is_terminated_at_a_time(redis_server: RedisServer, tmp_path: Path) -> None:
    actor = Actor(redis_server.url, tmp_path)
    for wish in (Revoke(["a", "b"], terminate=True), Revoke(search="state:started", terminate=True)):
        with pytest.raises(Impossible, match="one at a time"):
            actor.prepare(wish)


def test_a_pool_of_threads_can_t_terminate_which_is_said_before(redis_server: RedisServer, tmp_path: Path) -> None:
    with ExitStack() as held:
        shop = Shop(held, redis_server.url, tmp_path, pool="threads")
        uuid = shop.send("timed", 20)
        shop.becomes(uuid, states.STARTED)
        assert "A pool of threads can't end a task while it runs" in shop.actor.refusal(Revoke([uuid], terminate=True))


@pytest.mark.parametrize("pool", ["gevent", "eventlet"])
def test_green_threads_are_ended_where_they_wait(redis_server: RedisServer, tmp_path: Path, pool: str) -> None:
    stats = {"pool": {"implementation": f"celery.concurrency.{pool}:TaskPool", "max-concurrency": 2}}
    with fake_workers(redis_server.url, Manners(named(1), says={"query_task": [RUNS], "stats": [stats]})):
        plan = Actor(redis_server.url, tmp_path).plan(Revoke(["t1"], terminate=True))
    assert "green thread" in texts(plan)
    assert "tell, too, that it succeeded" in texts(plan)


# --- what is left ----------------------------------------------------------------------------------------------------


def test_h03_what_was_told_leaves_no_key_that_stays(redis_server: RedisServer, client: Redis, tmp_path: Path) -> None:
    with fake_workers(redis_server.url, Manners(named(3), silent=["w1@fake"], drip=0.01)):
        actor = Actor(redis_server.url, tmp_path)
        actor.do(Revoke([f"t{number}" for number in range(40)]), rate=200)
        actor.do(Steer("enable_events", ["w0@fake", "w2@fake"]))
    assert keys(client) == reply_lists(client)
    assert staying(client) == set()
