"""Carries out what was planned and confirmed: written down before, at a bounded pace, stoppable, and told item by item.

Whoever acts, be it a window's collector or the command line, does so by way of this.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec

from app.collectors.access import Grant
from app.collectors.acts.act import Act, Impossible, Step
from app.collectors.clocks import elapsed
from app.collectors.errors import BrokerError
from app.models import acts
from app.models.acts import Item, Outcome, Plan, Wish
from app.models.audit import AuditLog
from app.models.audit_chain import AuditError
from app.models.formats import number_of

#: Items that an outcome holds while an act runs.
MOST_TOLD: Final = 200
#: Seconds between two lines of the audit log while an act runs, and between two words about it.
WRITE_EVERY: Final = 0.1

MakeAct = Callable[[Wish], Act[Any]]


class Prepared:
    """A plan that may be confirmed once, within a minute. `stop` may be called from any thread."""

    def __init__(self, act: Act[Any], plan: Plan, log: AuditLog, id_: str, done: frozenset[str] | None = None) -> None:
        self.plan = plan
        self.id = id_
        self._act = act
        self._log = log
        #: What was done of an act that is gone on with; None of a new one.
        self._done = done
        self._made = elapsed()
        self._stopping = threading.Event()
        self._used = False

    def stop(self) -> None:
        """Do no more of it."""
        self._stopping.set()
        self._act.give_up()

    def drop(self) -> None:
        """Forget a plan that is not carried out."""
        self.stop()
        self._act.close()

    def execute(self, typed: str = "", rate: float | None = None) -> Iterator[Outcome]:
        """Carry it out: outcomes as it goes, the last of which is not *running* any more."""
        try:
            grant = self._permitted(typed)
            written = msgspec.structs.replace(self.plan, details={})
            self._log.intend(self.id, self._act.resolved, written, self._done)
        except (AuditError, BrokerError, Impossible) as refused:
            self._act.close()
            yield Outcome(state="failed", total=self.plan.count, text=f"Nothing was done. {refused}")
            return
        running = _Running(self._log, self.id, self.plan.count)
        # In this order, what is no number is not below the fastest.
        pace = _Pace(self._act.rate if rate is None else min(acts.FASTEST, rate), self._stopping)
        try:
            try:
                yield from self._steps(running, pace, grant)
            except (BrokerError, Impossible) as error:
                running.end("failed", str(error))
            except AuditError as error:
                running.end("failed", f"{error} So nothing more is done.")
            outcome = self._concluded(running)
        finally:
            self._act.close()
            grant.end()
            self._log.let_go(self.id)
        yield outcome

    def _permitted(self, typed: str) -> Grant:
        """Raises `BrokerError` or `Impossible` where the plan must not be carried out."""
        if self._used:
            raise Impossible("This plan was carried out already. Make a new one.")
        self._used = True
        grant = self._act.reach.access.grant()
        if not acts.is_typed(self.plan.typed, typed):
            raise Impossible(f"To confirm, type {self.plan.typed}.")
        if elapsed() - self._made > acts.PLAN_LASTS:
            raise Impossible("This plan is older than a minute. Look at it again.")
        now = self._act.still()
        if acts.drifted(self.plan.count, now):
            planned, things = self.plan.count, self.plan.things
            raise Impossible(
                f"Things have moved since the plan was made: it was about {number_of(planned, things)}, and now it "
                f"would be {now:,}. Look at it again."
            )
        return grant

    def _steps(self, running: "_Running", pace: "_Pace", grant: Grant) -> Iterator[Outcome]:
        steps = self._act.work(self.id, grant, self._done or frozenset())
        told = time.monotonic()
        while True:
            if self._stopping.is_set():
                running.end("stopped", "It was stopped.")
                return
            step = next(steps, None)
            if step is None:
                running.end("done", "")
                return
            running.take(step)
            if acts.too_many_failed(running.failed, running.tried, running.total):
                running.end("aborted", f"Too much failed, {running.failed:,} of {running.tried:,}: no more is tried.")
                return
            if time.monotonic() - told >= WRITE_EVERY:
                told = time.monotonic()
                running.write()
                yield running.outcome()
            pace.wait(len(step.items))

    def _concluded(self, running: "_Running") -> Outcome:
        outcome = self._act.told(running.outcome())
        try:
            running.write()
            self._log.conclude(self.id, outcome)
        except AuditError as error:
            return acts.with_text(outcome, f"{outcome.text} {error}".strip())
        if outcome.state == "done":
            with suppress(BrokerError):
                self._act.settle()
        return outcome


def prepare(make: MakeAct, wish: Wish, log: AuditLog) -> Prepared:
    """The plan for a wish. Raises `BrokerError` and `Impossible`."""
    return _prepared(make(wish), log, uuid.uuid4().hex, None)


def resume(make: MakeAct, act: str, log: AuditLog) -> Prepared:
    """The plan for what is left of an act that a crash broke off. Raises `BrokerError` and `Impossible`."""
    wish, done = log.unfinished(act)
    if wish is None:
        raise Impossible("The audit log knows of no such act that is not finished.")
    return _prepared(make(wish), log, act, done)


def _prepared(act: Act[Any], log: AuditLog, id_: str, done: frozenset[str] | None) -> Prepared:
    act.resumed = done is not None
    try:
        _check(act.wish)
        plan = act.look()
    except (BrokerError, Impossible):
        act.close()
        raise
    return Prepared(act, acts.to_be_typed(plan, act.reach.access.environment), log, id_, done)


def _check(wish: Wish) -> None:
    """Raises `Impossible` for what could not be written down, nor said to a broker: half of a surrogate pair."""
    try:
        msgspec.json.encode(wish)
    except UnicodeEncodeError as error:
        shown = error.object[:200].encode("ascii", "backslashreplace").decode()
        raise Impossible(f"“{shown}” is no text that a broker could hold.") from error


class _Running:
    """What became of an act so far."""

    def __init__(self, log: AuditLog, act: str, total: int) -> None:
        self.total = total
        self.done = self.failed = 0
        self._log = log
        self._act = act
        self._state: acts.State = "running"
        self._text = ""
        self._last: list[Item] = []
        self._unwritten: list[Item] = []

    @property
    def tried(self) -> int:
        return self.done + self.failed

    def take(self, step: Step) -> None:
        failed = sum(item.ok is False for item in step.items)
        self.failed += failed
        self.done += len(step.items) - failed + step.others
        self._unwritten += step.items
        self._last = (self._last + step.items)[-MOST_TOLD:]

    def write(self) -> None:
        """Write what is not written yet. Raises `AuditError`."""
        if self._unwritten:
            self._log.note(self._act, self._unwritten)
            self._unwritten = []

    def end(self, state: acts.State, text: str) -> None:
        self._state, self._text = state, text

    def outcome(self) -> Outcome:
        return Outcome(
            state=self._state, done=self.done, failed=self.failed, total=self.total, text=self._text,
            items=list(self._last), act=self._act,
        )  # fmt: skip


class _Pace:
    """Lets through so many things a second; None is as fast as it goes."""

    def __init__(self, rate: float | None, stopping: threading.Event) -> None:
        self._rate = rate
        self._stopping = stopping
        self._next = time.monotonic()

    def wait(self, number: int) -> None:
        """Wait until the next step may be done, or somebody stops it."""
        if self._rate is None or not number:
            return
        self._next = max(self._next, time.monotonic() - 1.0 / self._rate) + number / self._rate
        self._stopping.wait(max(0.0, self._next - time.monotonic()))
