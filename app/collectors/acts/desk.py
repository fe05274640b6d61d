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
_TOO_MANY: Final = f"{MOST} acts are under way already. Wait until one of them ends."

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
        #: Numbers of what is looked at, of what of that was dropped since, and of what is carried out.
        self._looking: set[int] = set()
        self._dropped: set[int] = set()
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
                self._plan(message)
            case DoAct():
                self._carry_out(message)
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

    def _plan(self, asked: PlanAct) -> None:
        if not self._begin(self._looking, asked.number, partial(self._look, asked)):
            self._put(Planned(asked.number, error=_TOO_MANY))

    def _carry_out(self, asked: DoAct) -> None:
        if not self._begin(self._under_way, asked.number, partial(self._execute, asked)):
            self._put(Acted(asked.number, Outcome(state="failed", text=f"Nothing was done. {_TOO_MANY}")))
            self._drop(asked.number)

    def _begin(self, numbers: set[int], number: int, work: Callable[[], None]) -> bool:
        """Do something in a thread, unless it is done already; whether there was one to spare."""
        with self._lock:
            if self._stopped or number in numbers:
                return True
            if len(self._looking) + len(self._under_way) >= MOST:
                return False
            numbers.add(number)
            thread = threading.Thread(target=self._run, args=(work,), name=f"act {number}", daemon=True)
            self._threads.add(thread)
        thread.start()
        return True

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _look(self, asked: PlanAct) -> None:
        number = asked.number
        try:
            if asked.wish is not None:
                prepared = prepare(self._make, asked.wish, self._log)
            else:
                prepared = resume(self._make, asked.resumed, self._log)
        except (AuditError, BrokerError, Impossible) as error:
            self._looked(number, None)
            self._put(Planned(number, error=str(error)))
        else:
            self._looked(number, prepared)
            self._put(Planned(number, prepared.plan))

    def _looked(self, number: int, prepared: Prepared | None) -> None:
        """Keep a plan to be confirmed, unless it was dropped meanwhile."""
        forgotten = list[Prepared]()
        with self._lock:
            if prepared is not None and number in self._dropped:
                forgotten = [prepared]
            elif prepared is not None:
                forgotten = [self._plans.pop(each) for each in self._forgettable()]
                self._plans[number] = prepared
            self._looking.discard(number)
            self._dropped.discard(number)
        for one in forgotten:
            one.drop()

    def _forgettable(self) -> list[int]:
        """The oldest plans that nobody confirmed, where there are too many."""
        waiting = [number for number in self._plans if number not in self._under_way]
        return waiting[: max(0, len(waiting) - MOST_PLANS + 1)]

    def _execute(self, asked: DoAct) -> None:
        with self._lock:
            prepared = self._plans.get(asked.number)
        if prepared is None:
            gone = Outcome(state="failed", text="Nothing was done: this plan is not known any more. Look at it again.")
            self._put(Acted(asked.number, gone))
        else:
            for outcome in prepared.execute(asked.typed, asked.rate):
                self._put(Acted(asked.number, outcome))
        with self._lock:
            self._plans.pop(asked.number, None)
            self._under_way.discard(asked.number)

    def _drop(self, number: int) -> None:
        with self._lock:
            if number in self._looking:
                self._dropped.add(number)
            under_way = number in self._under_way
            prepared = self._plans.get(number) if under_way else self._plans.pop(number, None)
        if prepared is not None:
            (prepared.stop if under_way else prepared.drop)()
