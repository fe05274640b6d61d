import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.collectors.access import Access, Grant
from app.collectors.acts.act import Act, Impossible, Reach, Step
from app.collectors.acts.desk import Desk
from app.collectors.acts.engine import MOST_TOLD, Prepared, prepare, resume
from app.collectors.brokers import broker_at
from app.collectors.clocks import elapsed
from app.collectors.errors import BrokerError
from app.models import acts, audit_chain
from app.models.acts import Item, Outcome, Plan, Revoke, Standing, Wish
from app.models.audit import AuditLog, Subject, under_way
from app.models.audit_chain import AuditError
from app.models.profiles import Environment
from app.models.wire import Acted, DoAct, DropAct, Lock, PlanAct, Planned, Unlock
from tests.helpers.waiting import eventually

BROKER = "redis://localhost:1/0"


class Counting(Act[Revoke]):
    """Does one thing after the other, to a list; ids that begin with “bad” fail, and “broken” breaks the link."""

    rate = None

    def __init__(self, wish: Revoke, reach: Reach) -> None:
        super().__init__(wish, reach)
        self.did: list[str] = []
        self.grant: Grant | None = None
        self.now = len(wish.ids)
        self.closed = False
        self.looking, self.may_look = threading.Event(), threading.Event()
        self.may_look.set()
        self.at_work = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def look(self) -> Plan:
        self.looking.set()
        self.may_look.wait()
        if not self.wish.ids:
            raise Impossible("There is nothing to do.")
        return Plan(title="Count", verb="Count", count=len(self.wish.ids), things="thing")

    def still(self) -> int:
        return self.now

    def work(self, act: str, grant: Grant, done: frozenset[str]) -> Iterator[Step]:
        del act
        self.grant = grant
        for id_ in self.wish.ids:
            self.at_work.set()
            self.go_on.wait()
            grant.require()
            if id_ == "broken":
                raise BrokerError("network", "The link broke.")
            if id_ not in done:
                self.did.append(id_)
                yield Step([Item(id_, not id_.startswith("bad"))])

    def close(self) -> None:
        self.closed = True


def an_access(*, unlocked: bool = True) -> Access:
    access = Access("operate", "development")
    if unlocked:
        access.unlock()
    return access


class Bench:
    """An act of counting with all that it needs."""

    def __init__(self, folder: Path, access: Access | None = None) -> None:
        self.access = access or an_access()
        self.log = AuditLog(folder / "audit.jsonl", Subject("test", BROKER, "development"))
        self.reach = Reach(broker_at(BROKER), self.access, None, lambda _: None)
        self.act: Counting | None = None

    def make(self, wish: Wish) -> Act[Any]:
        assert isinstance(wish, Revoke)
        self.act = Counting(wish, self.reach)
        return self.act

    def plan(self, *ids: str) -> Prepared:
        return prepare(self.make, Revoke(list(ids)), self.log)

    def kinds(self) -> list[str]:
        return [entry.kind for entry, _ in audit_chain.read(self.log.path)]

    @property
    def did(self) -> list[str]:
        assert self.act is not None
        return self.act.did


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def last(prepared: Prepared, typed: str = "", rate: float | None = None) -> Outcome:
    return list(prepared.execute(typed, rate))[-1]


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_what_is_done_is_written_before_and_after(bench: Bench) -> None:
    outcome = last(bench.plan("a", "bad", "c", *numbers(20)))
    assert (outcome.state, outcome.done, outcome.failed, outcome.total) == ("done", 22, 1, 23)
    assert bench.kinds() == ["intent", "items", "outcome"]
    intent, items, told = (entry for entry, _ in audit_chain.read(bench.log.path))
    assert intent.wish == Revoke(["a", "bad", "c", *numbers(20)])
    assert [item.id for item in items.items] == bench.did
    assert told.outcome == outcome
    assert intent.act == told.act == outcome.act


@pytest.mark.parametrize("mode", ["passive", "observe"])
def test_a01_nothing_is_done_in_another_mode_than_operate(tmp_path: Path, mode: Any) -> None:
    access = Access(mode, "development")
    assert "operate" in access.unlock().error
    bench = Bench(tmp_path, access)
    outcome = last(bench.plan("a"))
    assert outcome.state == "failed"
    assert "operate" in outcome.text
    assert bench.did == []
    assert bench.kinds() == []


def test_nothing_is_done_while_acting_is_locked(tmp_path: Path) -> None:
    bench = Bench(tmp_path, an_access(unlocked=False))
    assert "locked" in last(bench.plan("a")).text
    assert bench.did == []


def test_acting_is_unlocked_for_a_quarter_of_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("app.collectors.access.elapsed", lambda: clock[0])
    access = an_access()
    grant = access.grant()
    clock[0] += 899
    assert access.standing.unlocked is not None
    clock[0] += 2
    assert access.standing == Standing()
    with pytest.raises(BrokerError, match="locked"):
        access.grant()
    grant.require()  # what was begun comes to its end


def test_production_is_unlocked_by_typing_its_name() -> None:
    environments: tuple[Environment, ...] = ("production", "unknown")
    for environment in environments:
        access = Access("operate", environment)
        assert "type the environment" in access.unlock("yes").error
        assert not access.unlocked
        assert access.unlock(" production ").error == ""
        assert access.unlocked


def test_to_lock_ends_what_is_under_way(bench: Bench) -> None:
    prepared = bench.plan(*numbers(50))
    steps = prepared.execute(rate=200)
    next(steps)
    bench.access.lock()
    outcome = list(steps)[-1]
    assert outcome.state == "failed"
    assert "locked" in outcome.text
    assert 0 < outcome.done < 50


@pytest.mark.parametrize(("count", "environment", "typed"), [
    (100, "development", ""), (101, "development", "101"), (1, "production", "1"), (1, "unknown", "1"),
])  # fmt: skip
def test_the_number_is_typed_where_there_are_many_and_in_production(
    tmp_path: Path, count: int, environment: Any, typed: str
) -> None:
    access = Access("operate", environment)
    access.unlock("production")
    bench = Bench(tmp_path, access)
    prepared = bench.plan(*numbers(count))
    assert prepared.plan.typed == typed
    if typed:
        assert f"type {typed}" in last(bench.plan(*numbers(count)), "yes").text
        assert bench.did == []
    assert last(prepared, typed).done == count


@pytest.mark.parametrize(
    ("wanted", "typed", "right"),
    [
        ("12345", " 12,345 ", True), ("12345", "12 345", True), ("12345", "1234", False), ("", "", True),
        ("mail.quarantine", "mail.quarantine ", True), ("mail.quarantine", "mail,.quarantine", False),
        ("mail.quarantine", "mail .quarantine", False), ("mail.quarantine", "", False),
    ],
)  # fmt: skip
def test_numbers_may_be_grouped_and_names_are_exact(wanted: str, typed: str, *, right: bool) -> None:
    assert acts.is_typed(wanted, typed) is right


def test_a_plan_is_carried_out_once(bench: Bench) -> None:
    prepared = bench.plan("a")
    assert last(prepared).done == 1
    assert "carried out already" in last(prepared).text
    assert bench.did == ["a"]


def test_a_plan_expires_after_a_minute(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = bench.plan("a")
    now = elapsed()  # seconds that the computer sleeps count
    monkeypatch.setattr("app.collectors.acts.engine.elapsed", lambda: now + 61)
    assert "older than a minute" in last(prepared).text
    assert bench.did == []


@pytest.mark.parametrize(("now", "does"), [(20, True), (22, True), (18, True), (23, False), (17, False), (0, False)])
def test_a04_a_plan_is_refused_where_reality_moved_by_more_than_a_tenth(bench: Bench, now: int, *, does: bool) -> None:
    prepared = bench.plan(*numbers(20))
    assert bench.act is not None
    bench.act.now = now
    outcome = last(prepared)
    assert (outcome.done == 20) is does
    assert bool(bench.did) is does
    if not does:
        assert outcome.text == (
            f"Nothing was done. Things have moved since the plan was made: it was about 20 things, and now it would be "
            f"{now}. Look at it again."
        )


def test_a06_what_can_t_be_written_down_is_not_done(bench: Bench) -> None:
    bench.log.path.mkdir()
    outcome = last(bench.plan("a"))
    assert outcome.state == "failed"
    assert "can't be written" in outcome.text
    assert bench.did == []


def test_a01_what_was_granted_ends_with_the_act(bench: Bench) -> None:
    assert last(bench.plan("a")).state == "done"
    assert bench.act is not None
    assert bench.act.grant is not None
    with pytest.raises(BrokerError, match="locked"):
        bench.act.grant.require()


def test_an_outcome_holds_so_many_items_however_many_there_are(bench: Bench) -> None:
    many = numbers(MOST_TOLD + 5)
    outcome = last(bench.plan(*many), str(len(many)))
    assert [item.id for item in outcome.items] == many[5:]
    assert bench.log.unfinished(outcome.act) == (None, frozenset())


def test_what_is_no_text_is_not_planned(bench: Bench) -> None:
    with pytest.raises(Impossible, match=r"a.udcff.* is no text"):
        bench.plan("a\udcff")
    assert not bench.log.path.exists()


def test_no_more_is_tried_where_a_twentieth_fails(bench: Bench) -> None:
    outcome = last(bench.plan("bad"))
    assert outcome.state == "aborted"
    outcome = last(bench.plan("a", "bad", "bad", "d", *numbers(30)))
    assert (outcome.state, outcome.done, outcome.failed, bench.did) == ("aborted", 1, 2, ["a", "bad", "bad"])
    outcome = last(bench.plan(*numbers(95), *["bad"] * 5))
    assert (outcome.state, outcome.failed) == ("done", 5)


def test_so_many_are_done_in_a_second(bench: Bench) -> None:
    began = time.monotonic()
    assert last(bench.plan(*numbers(20)), rate=50).done == 20
    assert time.monotonic() - began > 0.37


@pytest.mark.parametrize("rate", [1e9, math.inf, math.nan])
def test_no_rate_is_faster_than_the_fastest(bench: Bench, rate: float) -> None:
    began = time.monotonic()
    assert last(bench.plan(*numbers(50)), rate=rate).done == 50
    assert time.monotonic() - began > 48 / acts.FASTEST


def test_a08_it_stops_at_once_and_counts_what_was_done(bench: Bench) -> None:
    prepared = bench.plan(*numbers(100))
    outcomes: list[Outcome] = []

    def work() -> None:
        outcomes.extend(prepared.execute(rate=1.0))

    thread = threading.Thread(target=work)
    thread.start()
    assert bench.act is not None
    assert bench.act.at_work.wait(5)
    began = time.monotonic()
    prepared.stop()
    thread.join(5)
    assert time.monotonic() - began < 0.2
    assert (outcomes[-1].state, outcomes[-1].done) == ("stopped", len(bench.did))
    assert bench.act.closed


def test_what_a_broken_link_left_is_gone_on_with_and_nothing_is_done_twice(bench: Bench) -> None:
    broken = last(bench.plan("a", "b", "broken", "c"))
    assert (broken.state, broken.done, broken.text) == ("failed", 2, "The link broke.")

    def make(wish: Wish) -> Act[Any]:
        assert isinstance(wish, Revoke)
        bench.act = Counting(Revoke([id_ for id_ in wish.ids if id_ != "broken"]), bench.reach)
        return bench.act

    assert last(resume(make, broken.act, bench.log)).state == "done"
    assert bench.did == ["c"]
    with pytest.raises(Impossible, match="no such act"):
        resume(make, broken.act, bench.log)


def test_what_of_another_broker_was_begun_is_not_gone_on_with_here(bench: Bench) -> None:
    broken = last(bench.plan("a", "broken"))
    other = AuditLog(bench.log.path, Subject("test", "redis://elsewhere/0", "development"))
    with pytest.raises(Impossible, match="no such act"):
        resume(bench.make, broken.act, other)


def test_a06_what_could_not_be_written_down_for_a_moment_is_written_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, calls = bench.log.note, list[list[Item]]()

    def full_at_first(act: str, items: list[Item]) -> None:
        calls.append(items)
        if len(calls) == 1:
            raise AuditError("The audit log can't be written: No space left on device.")
        note(act, items)

    monkeypatch.setattr(bench.log, "note", full_at_first)
    monkeypatch.setattr("app.collectors.acts.engine.WRITE_EVERY", 0.0)
    outcome = last(bench.plan(*numbers(5)))
    assert (outcome.state, outcome.done) == ("failed", 1)
    assert outcome.text.endswith("So nothing more is done.")
    assert bench.kinds() == ["intent", "items", "outcome"]
    assert bench.log.unfinished(outcome.act)[1] == {"0"}


def test_an_act_whose_end_can_t_be_written_down_is_not_under_way_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise AuditError("The audit log can't be written: No space left on device.")

    with monkeypatch.context() as patched:
        patched.setattr(bench.log, "note", full)
        outcome = last(bench.plan("a"))
    assert "No space left" in outcome.text
    assert not under_way(bench.log.path, outcome.act)
    # What was done is not known to the log, so all of it is left.
    assert last(resume(bench.make, outcome.act, bench.log)).state == "done"


def test_nobody_is_kept_waiting_by_who_wants_no_more_outcomes(bench: Bench) -> None:
    prepared = bench.plan(*numbers(50))
    steps = prepared.execute(rate=200)
    next(steps)
    assert under_way(bench.log.path, prepared.id)
    assert isinstance(steps, Generator)
    steps.close()
    assert bench.act is not None
    assert bench.act.closed
    assert not under_way(bench.log.path, prepared.id)


class Counter:
    """A desk whose acts count."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.collectors.acts.desk.act_of", self._make)
        self.made: list[Counting] = []
        self.heard: list[Planned | Acted | Standing] = []
        self.hold = False
        self.hold_look = threading.Event()
        self.hold_look.set()
        self.desk = Desk(bench.reach, bench.log, self.heard.append)

    def _make(self, wish: Wish, reach: Reach) -> Act[Any]:
        assert isinstance(wish, Revoke)
        act = Counting(wish, reach)
        act.may_look = self.hold_look
        if self.hold:
            act.go_on.clear()
        self.made.append(act)
        return act

    def plan(self, number: int, *ids: str) -> Planned:
        self.desk.take(PlanAct(number, Revoke(list(ids))))
        planned: Planned = self._heard(lambda each: isinstance(each, Planned) and each.number == number)
        return planned

    def begin(self, number: int, *ids: str, rate: float | None = None) -> None:
        self.plan(number, *ids)
        self.desk.take(DoAct(number, rate=rate))

    def end(self, number: int) -> Outcome:
        acted: Acted = self._heard(lambda each: self._is_end(each, number))
        return acted.outcome

    def has_ended(self, number: int) -> bool:
        return any(self._is_end(each, number) for each in self.heard)

    @staticmethod
    def _is_end(each: object, number: int) -> bool:
        return isinstance(each, Acted) and each.number == number and each.outcome.state != "running"

    def _heard(self, wanted: Callable[[object], bool]) -> Any:
        return eventually(lambda: next((each for each in self.heard if wanted(each)), None), "an answer")


@pytest.fixture
def counter(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    made = Counter(bench, monkeypatch)
    yield made
    for act in made.made:
        act.go_on.set()
    made.desk.stop()
    made.desk.join(5)


def test_a_wish_is_planned_and_then_carried_out(counter: Counter) -> None:
    assert counter.plan(1, "a").plan is not None
    assert counter.made[0].did == []
    counter.desk.take(DoAct(1))
    assert counter.end(1).done == 1


def test_a_wish_that_can_t_be_fulfilled_is_answered_with_a_sentence(counter: Counter) -> None:
    assert counter.plan(1) == Planned(1, error="There is nothing to do.")
    counter.desk.take(DoAct(7))
    assert "not known any more" in counter.end(7).text


def test_flaw_9_no_act_waits_for_another(counter: Counter) -> None:
    counter.hold = True
    for number in range(1, 6):
        counter.begin(number, "a")
    assert all(act.at_work.wait(5) for act in counter.made)
    counter.hold = False
    counter.begin(9, "a")
    assert counter.end(9).state == "done"
    assert not any(counter.has_ended(number) for number in range(1, 6))


def test_more_acts_than_may_be_under_way_are_refused(counter: Counter) -> None:
    counter.hold = True
    for number in range(1, 9):
        counter.begin(number, "a")
    assert "under way already" in counter.plan(9, "a").error


def test_to_lock_stops_what_is_under_way_and_is_answered(counter: Counter) -> None:
    counter.begin(1, *numbers(100), rate=1.0)
    eventually(lambda: counter.made[0].did, "the first of them")
    counter.desk.take(Lock())
    assert counter.end(1).state == "stopped", "at once, and not when the next one is due"
    assert Standing() in counter.heard
    counter.desk.take(Unlock())
    assert any(isinstance(each, Standing) and each.unlocked for each in counter.heard)


def test_what_is_confirmed_while_too_many_are_under_way_is_refused_and_forgotten(counter: Counter) -> None:
    counter.plan(9, "a")
    counter.hold = True
    for number in range(1, 9):
        counter.begin(number, "a")
    counter.desk.take(DoAct(9))
    assert counter.end(9).text.startswith("Nothing was done. 8 acts are under way already.")
    assert counter.made[0].closed
    assert counter.made[0].did == []


def test_a_plan_that_is_dropped_while_it_is_made_is_forgotten(counter: Counter) -> None:
    counter.hold_look.clear()
    counter.desk.take(PlanAct(1, Revoke(["a"])))
    assert eventually(lambda: counter.made, "a look")[0].looking.wait(5)
    counter.desk.take(DropAct(1))
    counter.hold_look.set()
    eventually(lambda: counter.made[0].closed, "that it is closed")
    counter.desk.take(DoAct(1))
    assert "not known any more" in counter.end(1).text


def test_who_confirms_as_soon_as_he_has_the_plan_is_heard(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.collectors.acts.desk.act_of", Counting)
    ended = threading.Event()

    def put(told: Planned | Acted | Standing) -> None:
        if isinstance(told, Planned):
            desk.take(DoAct(told.number))
        elif isinstance(told, Acted) and told.outcome.state == "done":
            ended.set()

    desk = Desk(bench.reach, bench.log, put)
    desk.take(PlanAct(1, Revoke(["a"])))
    assert ended.wait(5)
    desk.join(5)


def test_plans_that_nobody_confirms_are_forgotten(counter: Counter) -> None:
    counter.plan(1, "a")
    counter.desk.take(DropAct(1))
    assert counter.made[0].closed
    for number in range(2, 40):
        counter.plan(number, "a")
    assert sum(not act.closed for act in counter.made) <= 33  # the last one is told before others are forgotten
