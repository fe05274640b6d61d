"""When the demo's producers act and how long its tasks take: random as in life, for charts with something to show."""

import heapq
import itertools
import math
import random
import time
from collections.abc import Callable
from typing import NoReturn

# Asks the system each time, so processes forked from one another do not share one sequence.
CHANCE = random.SystemRandom()
SWELL_SECONDS = 140.0


def happens(probability: float) -> bool:
    """True in this share of calls."""
    return CHANCE.random() < probability


def work(typical_seconds: float, spread: float = 0.45) -> float:
    """Be busy for a lognormal time with this median, but never for more than 8 times as long; the seconds it took."""
    seconds = typical_seconds * min(math.exp(CHANCE.gauss(0.0, spread)), 8.0)
    time.sleep(seconds)
    return seconds


class Rhythm:
    """A producer's timetable: every action is called at its moments, one after the other, for ever."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._phase = CHANCE.uniform(0.0, SWELL_SECONDS)

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Call `action` once, `seconds` from now."""
        heapq.heappush(self._entries, (time.monotonic() + seconds, next(self._order), action))

    def often(self, per_second: float, action: Callable[[], object]) -> None:
        """Call `action` at random moments, `per_second` on average, in a slow swell of a third up and down."""

        def act() -> None:
            action()
            swell = 1.0 + 0.33 * math.sin((time.monotonic() + self._phase) / SWELL_SECONDS * math.tau)
            self.after(CHANCE.expovariate(per_second * swell), act)

        self.after(CHANCE.expovariate(per_second), act)

    def every(self, seconds: float, action: Callable[[], object], *, first: float | None = None) -> None:
        """Call `action` about every `seconds`, the `first` time after so many."""

        def act() -> None:
            action()
            self.after(seconds * CHANCE.uniform(0.85, 1.15), act)

        self.after(seconds if first is None else first, act)

    def run(self) -> NoReturn:
        """Keep the timetable until the process ends."""
        while True:
            due, _, action = heapq.heappop(self._entries)
            time.sleep(max(0.0, due - time.monotonic()))
            action()
