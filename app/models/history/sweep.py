"""A search in short steps, from the newest task back: however rare what is searched for, no step takes long.

There is no index of words, which would cost more to keep than all else that a collector writes. What no index answers
is looked for in the tasks themselves, so many at a time as can be looked through in a moment. Between two steps others
are answered, what was found is shown, and the search may be given up.
"""

import time
from typing import Final

import msgspec

from app.models.history.reader import Reader, TaskRow
from app.models.search import Search

#: Seconds that a step is to take at most.
BUDGET: Final = 0.02
#: Numbers of tasks that are looked through at once: at first, at least, and by how many times more each time.
FIRST: Final = 4_000
FEWEST: Final = 500
GROWTH: Final = 8


class Sweep(msgspec.Struct, frozen=True):
    """What is left of a search: tasks with ids from ``low`` up to, and without, ``high``.

    ``top`` is where it began; ``stride`` is how many ids will be looked through at once.
    """

    where: Search | None
    low: int
    high: int
    top: int
    stride: int

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self.low >= self.high

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        return 1.0 if self.done else (self.top - self.high) / (self.top - self.low)


class Step(msgspec.Struct, frozen=True):
    """What a step found in the tasks from ``rest.high`` on: rows, newest first, and how many; it took so many seconds.

    ``back`` is when the oldest task was first seen that was looked at, None where there was none.
    """

    rows: list[TaskRow]
    count: int
    rest: Sweep
    back: float | None
    took: float


def begin(
    reader: Reader,
    where: Search | None,
    *,
    since: float | None = None,
    until: float | None = None,
    before: int | None = None,
    after: int | None = None,
) -> Sweep:
    """A search through the tasks that were first seen in a time, or that come before one of them, or after it."""
    ids = reader.ids()
    low = ids.start if since is None else reader.first_since(since)
    low = low if after is None else max(low, after + 1)
    high = ids.stop if until is None else reader.first_since(until)
    high = high if before is None else min(high, before)
    return Sweep(where, low, high, high, FIRST)


def step(reader: Reader, sweep: Sweep, limit: int | None) -> Step:
    """Search on for a moment, or until ``limit`` tasks are found; without a limit they are only counted."""
    start = time.perf_counter()
    rows: list[TaskRow] = []
    count = 0
    while not sweep.done and (limit is None or count < limit):
        began = time.perf_counter()
        low = max(sweep.low, sweep.high - sweep.stride)
        if limit is None:
            count += reader.task_count(where=sweep.where, before=sweep.high, after=low - 1)
        else:
            rows += reader.tasks(where=sweep.where, before=sweep.high, after=low - 1, limit=limit - count)
            count = len(rows)
            if count == limit:
                low = rows[-1].id
        now = time.perf_counter()
        sweep = msgspec.structs.replace(sweep, high=low, stride=_stride(sweep.stride, now - began))
        if now - start > BUDGET / 2:
            break
    return Step(rows, count, sweep, reader.seen(sweep.high), time.perf_counter() - start)


def _stride(stride: int, took: float) -> int:
    """How many ids to look through next, so that it takes half of the budget."""
    fitting = int(stride * BUDGET / 2 / took) if took > 0 else stride * GROWTH
    return max(FEWEST, min(stride * GROWTH, fitting))
