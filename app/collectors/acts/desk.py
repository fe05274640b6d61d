"""Where a window's wishes to act arrive: each is planned and carried out in a thread of its own, so that none waits."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from app.collectors.access import Access
from app.collectors.acts.act import Impossible, Reach
from app.collectors.acts.catalogue import act_of
from app.collectors.acts.engine import Prepared, prepare, resume
from app.collectors.errors import BrokerError
from app.models.acts import Outcome, Standing
from app.models.audit import AuditLog
from app.models.audit_chain import AuditError
from app.models.wire import Acted, Acting, DoAct, DropAct, Lock, PlanAct, Planned, Unlock

#: Plans and acts that may be under way at once, and plans that may wait to be confirmed.
MOST: Final = 8
MOST_PLANS: Final = 32

Put = Callable[[Planned | Acted | Standing], None]


class Desk:
    """Takes wishes from any thread; what becomes of them is ``put``, from threads of its own."""

    def __init__(self, reach: Reach, log: AuditLog, put: Put) -> None:
        self._access: Access = reach.access
        self._make = partial(act_of, reach=reach)
        self._log = log
        self._put = put
        self._lock = threading.Lock()
        self._plans: dict[int, Prepared] = {}
        self._under_way: set[int] = set()
        self._threads: set[threading.Thread] = set()
        self._stopped = False

    def take(self, message: Acting) -> None:
        """Do what the window asks."""
        match message:
            case Unlock():
                self._put(self._access.unlock(message.typed))
            case Lock():
                self.lock()
            case PlanAct():
                self._begin(message.number, partial(self._plan, message))
            case DoAct():
                self._begin(message.number, partial(self._carry_out, message))
            case DropAct():
                self._drop(message.number)

    def lock(self) -> None:
        """Lock acting, and stop what is under way."""
        standing = self._access.lock()
        with self._lock:
            under_way = [self._plans[number] for number in self._under_way & self._plans.keys()]
        for prepared in under_way:
            prepared.stop()
        self._put(standing)

    def stop(self) -> None:
        """Stop all that is under way; nothing is begun any more."""
        with self._lock:
            self._stopped = True
            plans = list(self._plans.values())
        for prepared in plans:
            prepared.stop()

    def join(self, timeout: float) -> None:
        """Wait for what is under way."""
        for thread in tuple(self._threads):
            thread.join(timeout)

    def _begin(self, number: int, work: Callable[[], None]) -> None:
        with self._lock:
            if self._stopped or number in self._under_way:
                return
            if len(self._under_way) >= MOST:
                self._put(Planned(number, error=f"{MOST} acts are under way already. Wait until one of them ends."))
                return
            self._under_way.add(number)
            thread = threading.Thread(target=self._run, args=(number, work), name=f"act {number}", daemon=True)
            self._threads.add(thread)
        thread.start()

    def _run(self, number: int, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._lock:
                self._under_way.discard(number)
                self._threads.discard(threading.current_thread())

    def _plan(self, asked: PlanAct) -> None:
        try:
            if asked.wish is not None:
                prepared = prepare(self._make, asked.wish, self._log)
            else:
                prepared = resume(self._make, asked.resumed, self._log)
        except (AuditError, BrokerError, Impossible) as error:
            self._put(Planned(asked.number, error=str(error)))
            return
        with self._lock:
            forgotten = [self._plans.pop(number) for number in self._forgettable()]
            self._plans[asked.number] = prepared
        for one in forgotten:
            one.drop()
        self._put(Planned(asked.number, prepared.plan))

    def _forgettable(self) -> list[int]:
        """The oldest plans that nobody confirmed, where there are too many."""
        waiting = [number for number in self._plans if number not in self._under_way]
        return waiting[: max(0, len(waiting) - MOST_PLANS + 1)]

    def _carry_out(self, asked: DoAct) -> None:
        with self._lock:
            prepared = self._plans.get(asked.number)
        if prepared is None:
            gone = Outcome(state="failed", text="Nothing was done: this plan is not known any more. Look at it again.")
            self._put(Acted(asked.number, gone))
            return
        for outcome in prepared.execute(asked.typed, asked.rate):
            self._put(Acted(asked.number, outcome))
        with self._lock:
            self._plans.pop(asked.number, None)

    def _drop(self, number: int) -> None:
        with self._lock:
            prepared = self._plans.get(number)
            under_way = number in self._under_way
            if prepared is not None and not under_way:
                del self._plans[number]
        if prepared is not None:
            (prepared.stop if under_way else prepared.drop)()
