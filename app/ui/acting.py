"""What a window asks of a collector to do to its broker: plans and their confirmation, and whether that is unlocked."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

from PySide6.QtCore import QObject, Signal

from app.models.acts import Outcome, Standing, Wish
from app.models.wire import Acted, Acting, DoAct, DropAct, Lock, PlanAct, Planned, Unlock

_NO_COLLECTOR = "Nothing can be done: there is no connection to the broker."


class Acts(QObject):
    """The acts of one connection. ``standing_changed``: acting was unlocked or locked, or was refused; see `standing`.

    ``ended`` carries the number and the outcome of each act that came to its end.
    """

    standing_changed = Signal()
    ended = Signal(int, object)

    def __init__(self, say: Callable[[Acting], bool], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.standing = Standing()
        self._say = say
        self._number = 0
        self._plans: dict[int, asyncio.Future[Planned]] = {}
        self._running: dict[int, asyncio.Queue[Outcome]] = {}

    @property
    def unlocked_for(self) -> float:
        """Seconds for which acting is unlocked still; 0 while it is locked."""
        until = self.standing.unlocked
        return 0.0 if until is None else max(0.0, until - time.time())

    def unlock(self, typed: str = "") -> None:
        """Ask for acting to be allowed; what comes of it is the `standing`."""
        if not self._say(Unlock(typed)):
            self._stand(Standing(error=_NO_COLLECTOR))

    def lock(self) -> None:
        """Allow no acting any more, and stop what is under way."""
        self._say(Lock())

    async def plan(self, wish: Wish | None, *, resumed: str = "") -> Planned:
        """What would be done, or a sentence why it can't be; without a wish, what is left of the act ``resumed``."""
        self._number += 1
        number = self._number
        answer: asyncio.Future[Planned] = asyncio.get_running_loop().create_future()
        self._plans[number] = answer
        if not self._say(PlanAct(number, wish, resumed)):
            answer.set_result(Planned(number, error=_NO_COLLECTOR))
        try:
            return await answer
        except asyncio.CancelledError:
            self.drop(number)
            raise
        finally:
            self._plans.pop(number, None)

    async def carry_out(self, number: int, typed: str = "", rate: float | None = None) -> AsyncGenerator[Outcome, None]:
        """Confirm the plan of a number: how far it came, until an outcome that is not *running* any more."""
        outcomes = self._running[number] = asyncio.Queue[Outcome]()
        if not self._say(DoAct(number, typed, rate)):
            outcomes.put_nowait(Outcome(state="failed", text=_NO_COLLECTOR))
        try:
            while True:
                outcome = await outcomes.get()
                yield outcome
                if outcome.state != "running":
                    break
        finally:
            self._running.pop(number, None)

    def drop(self, number: int) -> None:
        """Do no more of a plan, or forget it."""
        self._say(DropAct(number))

    def take(self, message: Planned | Acted | Standing) -> None:
        """Hear what the collector answers."""
        if isinstance(message, Standing):
            self._stand(message)
        elif isinstance(message, Planned):
            answer = self._plans.get(message.number)
            if answer is not None and not answer.done():
                answer.set_result(message)
        else:
            outcomes = self._running.get(message.number)
            if outcomes is not None:
                outcomes.put_nowait(message.outcome)
            if message.outcome.state != "running":
                self.ended.emit(message.number, message.outcome)

    def break_off(self, why: str) -> None:
        """Nobody answers any more: a collector that is started again is locked."""
        for number, answer in self._plans.items():
            if not answer.done():
                answer.set_result(Planned(number, error=why))
        text = f"{why} What was done until then is in the activity; it can be gone on with there."
        for outcomes in self._running.values():
            outcomes.put_nowait(Outcome(state="failed", text=text))
        self._stand(Standing(typed=self.standing.typed, error=why))

    def _stand(self, standing: Standing) -> None:
        self.standing = standing
        self.standing_changed.emit()
