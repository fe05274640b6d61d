"""Series made ready to draw: at most eight, stacked or not, with what is unknown kept apart from zero."""

import math
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.models.history.charts import Series

#: More lines than this can't be told apart.
MOST_SERIES: Final = 8
OTHER: Final = "other"

Floats = NDArray[np.float64]


class Table(NamedTuple):
    """Series over the same buckets: ``values[n][i]`` of series ``names[n]`` covers ``start + i * step`` to the next."""

    start: float
    step: float
    names: tuple[str, ...]
    values: Floats

    @property
    def middles(self) -> Floats:
        """The time in the middle of each bucket."""
        return self.start + self.step * (np.arange(self.values.shape[1], dtype=np.float64) + 0.5)

    def bucket(self, time: float) -> int | None:
        """The bucket of a moment, if there is one."""
        at = math.floor((time - self.start) / self.step)
        return at if 0 <= at < self.values.shape[1] else None

    def last(self) -> int | None:
        """The last bucket in which anything is known."""
        known = np.flatnonzero(np.isfinite(self.values).any(axis=0))
        return int(known[-1]) if known.size else None

    def filling(self, end: float) -> int | None:
        """The last known bucket, if it still fills at the moment `end`."""
        last = self.last()
        return last if last is not None and self.start + (last + 1) * self.step > end + 1e-6 else None


def table(series: Mapping[str, Series], step: float) -> Table:
    """Series side by side in the given order; where there are too many, the smaller ones are summed up as `OTHER`."""
    if not series:
        return Table(0.0, step, (), np.empty((0, 0)))
    first = next(iter(series.values()))
    values = np.full((len(series), max(len(one.values) for one in series.values())), np.nan)
    for row, one in enumerate(series.values()):
        values[row, : len(one.values)] = one.values
    names = tuple(series)
    if len(names) > MOST_SERIES:
        names, values = _folded(names, values)
    return Table(first.start, first.step, names, values)


def visible(whole: Table, hidden: Collection[str]) -> Table:
    """The table without the series that are switched off."""
    kept = [row for row, name in enumerate(whole.names) if name not in hidden]
    return whole._replace(names=tuple(whole.names[row] for row in kept), values=whole.values[kept])


def stacked(flat: Table) -> Table:
    """Each series on top of those before it; unknown only where nothing at all is known."""
    known = np.isfinite(flat.values)
    sums = np.where(known, flat.values, 0.0).cumsum(axis=0)
    sums[:, ~known.any(axis=0)] = np.nan
    return flat._replace(values=sums)


def highest(shown: Table) -> float:
    """The highest known value, 0 if there is none."""
    known = shown.values[np.isfinite(shown.values)]
    return float(known.max()) if known.size else 0.0


def line(middles: Floats, values: Floats, step: float) -> tuple[Floats, Floats]:
    """Points of a line that breaks where nothing is known; a lone value becomes a dash as wide as its bucket."""
    known = np.isfinite(values)
    before = np.concatenate(([False], known[:-1]))
    after = np.concatenate((known[1:], [False]))
    lone = np.flatnonzero(known & ~before & ~after)
    if not lone.size:
        return middles, values
    half = step * 0.4
    x = np.insert(middles.copy(), lone + 1, middles[lone] + half)
    y = np.insert(values, lone + 1, values[lone])
    x[lone + np.arange(lone.size)] -= half
    return x, y


def own_line(sums: Floats, row: int) -> Floats:
    """The upper edge of a layer of a stack, unknown where the layer has no height: the line below is meant there."""
    if row == 0:
        line: Floats = sums[0]
        return line
    high = sums[row] > sums[row - 1]
    near = high | np.concatenate((high[1:], [False])) | np.concatenate(([False], high[:-1]))
    return np.where(near, sums[row], np.nan)


def runs(values: Floats) -> list[tuple[int, int]]:
    """Stretches of known values, as (first, end) with the end not included."""
    known = np.concatenate(([False], np.isfinite(values), [False]))
    edges = np.flatnonzero(known[1:] != known[:-1])
    return [(int(first), int(end)) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def _folded(names: tuple[str, ...], values: Floats) -> tuple[tuple[str, ...], Floats]:
    known = np.isfinite(values)
    weight = np.where(known, values, 0.0).sum(axis=1)
    heavy = set(np.argsort(-weight, kind="stable")[: MOST_SERIES - 1].tolist())
    kept = [row for row in range(len(names)) if row in heavy]
    rest = [row for row in range(len(names)) if row not in heavy]
    other = np.where(known[rest].any(axis=0), np.where(known[rest], values[rest], 0.0).sum(axis=0), np.nan)
    return (*(names[row] for row in kept), OTHER), np.vstack([values[kept], other])
