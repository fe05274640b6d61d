"""What a collector knows of itself: when it did not listen, and how it does now."""

import time
from collections import deque
from typing import Final

from app.collectors.errors import NAMES, BrokerError
from app.models.history.keeper import Keeper
from app.models.history.rows import gap_row
from app.models.records import Gap
from app.models.wire import Health, HealthState

#: A new history that is listened to within so many seconds begins with that, and not with a gap.
AT_ONCE: Final = 1.0
#: Seconds that rates are taken over: short for events, to be live; long for commands, as workers are asked in bursts.
EVENTS_OVER: Final = 0.9
COMMANDS_OVER: Final = 15.0


class Gaps:
    """Intervals in which we did not listen; the time since the history was last written is one."""

    def __init__(self, writer: Keeper) -> None:
        known = writer.gaps()
        self._next = max(known, default=0) + 1
        self._open: tuple[int, Gap] | None = next(
            ((number, gap) for number, gap in known.items() if gap.end is None), None
        )
        self._rows: list[tuple[object, ...]] = []
        facts = writer.meta()
        alive = facts.get("alive")
        self._new = alive is None and not known
        if self._open is None:
            why = "Cloche was not connected yet." if alive is None else "Cloche was not running."
            self.begin(float(alive or facts["created"]), why)

    @property
    def since(self) -> float | None:
        """When the gap began that lasts; None where there is none, or nothing was before it."""
        return None if self._open is None or self._new else self._open[1].start

    def begin(self, at: float, why: str) -> None:
        if self._open is None:
            self._open = (self._next, Gap(at, None, why))
            self._next += 1
            self._rows.append(gap_row(*self._open))

    def end(self, at: float) -> None:
        if self._open is not None:
            number, gap = self._open
            if self._new and at - gap.start < AT_ONCE:
                self._rows.clear()
            else:
                self._rows.append(gap_row(number, Gap(gap.start, max(gap.start, at), gap.why)))
            self._open = None
            self._new = False

    def take(self) -> list[tuple[object, ...]]:
        if self._new and self._open is not None and time.time() - self._open[1].start < AT_ONCE:
            return []
        self._new = False
        rows, self._rows = self._rows, []
        return rows


class Meter:
    """What a collector says of itself about once a second: its state, since when, and its rates."""

    def __init__(self) -> None:
        self.state: HealthState = "starting"
        self.behind = 0.0
        self.round_trip = 0.0
        self.lost = 0
        self._text = self._fault = ""
        self._since = time.time()
        self._counted: deque[tuple[float, int, int]] = deque([(time.monotonic(), 0, 0)])

    def turn(self, state: HealthState, at: float, error: BrokerError | None = None) -> None:
        """Be in another state from now on, because of an error where there is one."""
        if state != self.state:
            self.state, self._since = state, at
        self._text, self._fault = ("", "") if error is None else (str(error), NAMES[error.fault])

    def message(self, commands: int, events: int) -> Health:
        """The health, with rates from the counts so far."""
        now = time.monotonic()
        counted = self._counted
        counted.append((now, commands, events))
        while now - counted[0][0] > COMMANDS_OVER:
            counted.popleft()
        recent = next((each for each in reversed(counted) if now - each[0] >= EVENTS_OVER), counted[0])
        return Health(
            state=self.state,
            text=self._text,
            events_per_second=_rate(events - recent[2], now - recent[0]),
            behind=self.behind,
            commands_per_second=_rate(commands - counted[0][1], now - counted[0][0]),
            since=self._since,
            fault=self._fault,
            round_trip=self.round_trip,
            lost=self.lost,
        )


def _rate(number: int, seconds: float) -> float:
    """Per second; what came in less than one is not blown up to a rate that never was."""
    return number / max(1.0, seconds)
