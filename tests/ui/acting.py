"""A connection whose acts a test plays: it says what the plan is, and how far it is carried out."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any, cast

from PySide6.QtCore import QObject, Signal

from app.models.acts import Caution, Outcome, Plan, Sample, Standing, Wish
from app.models.profiles import Environment, Mode, Profile
from app.models.wire import Planned
from app.ui.supervisor import Connection
from tests.helpers.waiting import PATIENCE

PLAN = Plan(
    title="Purge pagespeed",
    verb="Move 412 to quarantine",
    count=412,
    things="message",
    facts=[("Priority 6", "412"), ("Oldest", "12 m 03 s"), ("Newest", "2 s")],
    samples=[
        Sample("5f0c1a52-7b4e-4f6e-9d0e-1c6a2b8f4d11", "pagespeed.test ('site-411', 'mobile')"),
        Sample("0b7d9f1c-2f35-4a0c-8f51-c1c2f7f0a9d3", "pagespeed.test ('site-412', 'mobile')"),
        Sample("9f2b0c77-55d1-4a7b-b0c5-6b1e1fb3f0aa", "pagespeed.audit (8812,)"),
    ],
    cautions=[
        Caution("Not purged: 0 prefetched, 3 with an ETA, 0 running. The queue grows by 34 per minute.", grave=False),
    ],
    undo="412 waiting messages go into quarantine. They can be restored, in order, until you delete them.",
    typed="412",
)  # fmt: skip


class PlayedActs(QObject):
    """What `Acts` is to a dialog. ``said`` is what was asked of the collector, in words."""

    standing_changed = Signal()
    ended = Signal(int, object)

    def __init__(self, typed: str = "") -> None:
        super().__init__()
        self.standing = Standing(typed=typed)
        self.said: list[str] = []
        self.wishes: list[tuple[Wish | None, str]] = []
        self.plans: asyncio.Queue[Plan | str] = asyncio.Queue()
        self.outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
        self.refusal = ""
        self._typed = typed

    @property
    def unlocked_for(self) -> float:
        return 0.0 if self.standing.unlocked is None else max(0.0, self.standing.unlocked - time.time())

    def unlock(self, typed: str = "") -> None:
        self.said.append(f"unlock {typed}".strip())
        error = self.refusal or ("" if typed.strip() == self._typed else f"To unlock, type {self._typed}.")
        self.stand(Standing(None if error else time.time() + 872, self._typed, error))

    def lock(self) -> None:
        self.said.append("lock")
        self.stand(Standing(None, self._typed))

    def stand(self, standing: Standing) -> None:
        """Let this be how it stands from now on."""
        self.standing = standing
        self.standing_changed.emit()

    async def plan(self, wish: Wish | None, *, resumed: str = "") -> Planned:
        self.wishes.append((wish, resumed))
        number = len(self.wishes)
        try:
            made = await asyncio.wait_for(self.plans.get(), PATIENCE)
        except asyncio.CancelledError:
            self.drop(number)
            raise
        return Planned(number, error=made) if isinstance(made, str) else Planned(number, made)

    async def carry_out(self, number: int, typed: str = "", rate: float | None = None) -> AsyncGenerator[Outcome, None]:
        self.said.append(f"do {number} {typed} {rate}")
        while True:
            # A test that fails has nothing left under way.
            outcome = await asyncio.wait_for(self.outcomes.get(), PATIENCE)
            yield outcome
            if outcome.state != "running":
                self.ended.emit(number, outcome)
                return

    def drop(self, number: int) -> None:
        self.said.append(f"drop {number}")


class PlayedConnection(QObject):
    """A connection with such acts."""

    def __init__(
        self, environment: Environment = "production", mode: Mode = "operate", name: str = "leadlawk",
        url: str = "redis://redis.leadlawk.internal:6379/0",
    ) -> None:  # fmt: skip
        super().__init__()
        self.profile = Profile(name, url, environment, mode)
        self.acts = PlayedActs("production" if environment in ("production", "unknown") else "")
        self.live = True

    def as_connection(self) -> Connection:
        """For whoever takes one."""
        return cast("Connection", cast("Any", self))
