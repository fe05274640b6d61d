"""Time that went by without us, and clocks that were set: seen by clocks that disagree."""

import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

#: Seconds between two looks at the clocks.
LOOK: Final = 1.0
#: A look that comes so many seconds after the one before means that we did not run: a laptop slept, or we were stopped.
ASLEEP_AFTER: Final = 5.0
#: The time of day is what it should be, give or take this: what a clock is corrected by in passing.
TOLERANCE: Final = 2.0


def elapsed() -> float:
    """Seconds since some moment, also of those that the computer slept; no one can set it.

    ``time.monotonic`` stands still during sleep on Linux and macOS; on Windows it does not.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)  # Linux
    if clock is None:
        clock = getattr(time, "CLOCK_MONOTONIC", None)  # macOS, where it goes on during sleep
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Slept(msgspec.Struct, frozen=True):
    """We did not run from ``since`` on (time of day) for so many ``seconds``."""

    since: float
    seconds: float


class ClockSet(msgspec.Struct, frozen=True):
    """The time of day was set by ``seconds`` (< 0: back); it was ``since`` when last looked at."""

    since: float
    seconds: float


Put = Callable[[Slept | ClockSet], None]


class Steady:
    """Times of day that never go back, whatever the clock is set to: those of a history have an order."""

    def __init__(self) -> None:
        #: By how many seconds the clock was set back, and we did not follow.
        self.ahead = 0.0
        self._last = 0.0

    def at(self, moment: float) -> float:
        """A time of day of just now, as the history knows it."""
        self._last = max(self._last, moment + self.ahead)
        return self._last

    def set_by(self, seconds: float) -> float:
        """The clock was set; returns by how many seconds our times go forward because of it."""
        forward = max(0.0, seconds - self.ahead)
        self.ahead = max(0.0, self.ahead - seconds)
        return forward if forward > TOLERANCE else 0.0


class ClockWatch(threading.Thread):
    """Looks at the clocks once a second; ``put`` is given a `Slept` or `ClockSet`, from this thread, when they jump."""

    def __init__(self, put: Put, *, asleep_after: float = ASLEEP_AFTER) -> None:
        super().__init__(name="clocks", daemon=True)
        self._put = put
        self._asleep_after = asleep_after
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def run(self) -> None:
        """Look until stopped."""
        day, ran = time.time(), elapsed()
        while not self._stopping.wait(LOOK):
            day_now, ran_now = time.time(), elapsed()
            passed = ran_now - ran
            if passed > self._asleep_after:
                self._put(Slept(day, passed))
            if abs(day_now - day - passed) > TOLERANCE:
                self._put(ClockSet(day + passed, day_now - day - passed))
            day, ran = day_now, ran_now
