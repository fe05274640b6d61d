"""Sums of rollups and gauges over longer buckets: each level from the finer one, a little with every commit.

A minute, an hour or a day closes for all names at once, and there may be very many: what one commit leaves undone, the
next ones do. Until a bucket is complete, readers add up the finer ones (`charts`).
"""

import sqlite3
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from app.models.history import schema
from app.models.rollups import merge, pack

#: Seconds of a commit that go into sums; each level makes one step at least.
BUDGET: Final = 0.005
#: Names in a step, adapted to the budget.
FEWEST, FIRST, MOST = 16, 64, 1 << 32

_COLUMNS: Final = tuple(column.name for column in schema.rollup.columns)
_COUNTS: Final = _COLUMNS[3:-2]


def _buckets(coarse: int, fine: int) -> str:
    return ", ".join(f":bucket + {after}" for after in range(0, coarse, fine))


def _histogram(column: str) -> str:
    """All histograms one after the other, which is how they are stored, and then merged in one go."""
    return f"merge_histograms(CAST(group_concat({column}, '') AS BLOB))"


#: The statements of each pair of levels; every bucket is named, so that a range of names is found in each at once.
_ROLLUPS: Final = {
    coarse: f"INSERT OR REPLACE INTO rollup SELECT {coarse}, :bucket, name_id, "  # noqa: S608 - our own names
    f"{', '.join(f'SUM({count})' for count in _COUNTS)}, {_histogram('wait')}, {_histogram('run')} FROM rollup "
    f"WHERE level = {fine} AND bucket IN ({_buckets(coarse, fine)}) AND name_id >= :name AND name_id < :end "
    "GROUP BY name_id"
    for fine, coarse in pairwise(schema.LEVELS)
}
_GAUGES: Final = {
    coarse: f"INSERT OR REPLACE INTO gauge SELECT {coarse}, :bucket, series_id, SUM(total), SUM(n) FROM gauge "  # noqa: S608
    f"WHERE level = {fine} AND bucket IN ({_buckets(coarse, fine)}) GROUP BY series_id"
    for fine, coarse in pairwise(schema.LEVELS)
}
_NEXT: Final = (
    "SELECT MIN(bucket) FROM (SELECT MIN(bucket) AS bucket FROM rollup WHERE level = :level AND bucket >= :start "
    "UNION ALL SELECT MIN(bucket) FROM gauge WHERE level = :level AND bucket >= :start)"
)
_LAST_NAME: Final = "SELECT MAX(id) FROM name"
_NOTE: Final = "INSERT OR REPLACE INTO meta VALUES (?, ?)"


class Sums:
    """Derives the coarser levels of a history that is open for writing, within the transactions of its commits."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.create_function("merge_histograms", 1, lambda packed: pack(merge([packed])), deterministic=True)
        self._width = FIRST
        #: Of the bucket that each level is at: the first name that is not summed up yet.
        self._names: Mapping[int, int] = {}
        self._stepped: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def step(self, closed: int, rolled: Mapping[int, int]) -> None:
        """Sum up some of what is complete: finest buckets before ``closed``, and each level up to ``rolled``.

        Raises `sqlite3.Error`; without `settle`, for a transaction that failed, the next step does the same again.
        """
        deadline = time.perf_counter() + BUDGET
        reached, names = dict(rolled), dict(self._names)
        for fine, coarse in pairwise(schema.LEVELS):
            start, end = reached.get(coarse, 0), closed // coarse * coarse
            at, name = start, names.get(coarse, 0)
            while at < end:
                at = self._following(fine, coarse, at, end)
                if at == end:
                    break
                name = self._sum(coarse, at, name)
                if not name:
                    at += coarse
                if time.perf_counter() > deadline:
                    break
            if at > start:
                self._connection.execute(_NOTE, (f"rolled.{coarse}", str(at)))
                reached[coarse] = at
            names[coarse] = name
            closed = at
        self._stepped = (reached, names)

    def settle(self) -> dict[int, int]:
        """The step was committed: up to when each level is complete now."""
        reached, self._names = self._stepped
        return reached

    def _following(self, fine: int, coarse: int, start: int, end: int) -> int:
        """The first bucket from ``start`` on in which there is anything; ``end`` if there is none before it."""
        found = self._connection.execute(_NEXT, {"level": fine, "start": start}).fetchone()[0]
        return end if found is None else min(end, int(found) // coarse * coarse)

    def _sum(self, coarse: int, bucket: int, name: int) -> int:
        """Sum up a bucket for some names from this one on; returns the one to go on with, 0 if that were all."""
        began = time.perf_counter()
        if not name:
            self._connection.execute(_GAUGES[coarse], {"bucket": bucket})
        end = name + self._width
        self._connection.execute(_ROLLUPS[coarse], {"bucket": bucket, "name": name, "end": end})
        took = time.perf_counter() - began
        if took > BUDGET:
            self._width = max(FEWEST, self._width // 2)
        elif took < BUDGET / 4:
            self._width = min(MOST, self._width * 2)
        last = self._connection.execute(_LAST_NAME).fetchone()[0]
        return end if end <= (last or 0) else 0
