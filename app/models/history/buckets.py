"""Which buckets make up a span of time, and from when to when they are known."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from app.models.history import schema
from app.models.records import Gap

#: What is summed up over a span may take in so much of its length more at each end, to need no finer buckets there: an
#: hour of thirty days, two minutes of a day, 5 s of an hour.
LEEWAY: Final = 1 / 700

#: Buckets of a level, from a start up to an end, in seconds since the epoch.
Piece = tuple[int, float, float]


class Facts:
    """From and up to when a file knows what: from its table `meta`.

    Attributes: per level, up to when it is complete (``rolled``), and since when it is kept (``kept``).
    """

    def __init__(self, meta: Mapping[str, str]) -> None:
        self.created = float(meta.get("created", 0))
        self.alive = float(meta.get("alive", 0))
        self.rolled, self.kept = (
            {level: int(meta.get(f"{word}.{level}", 0)) for level in schema.LEVELS} for word in ("rolled", "kept")
        )

    def step(self, start: float, step: float) -> float:
        """The least step, not below the given one, whose figures reach back to ``start``, or as far as any do."""
        wanted = level_of(step)
        levels = [level for level in schema.LEVELS if level >= wanted]
        oldest = min(self.kept[level] for level in levels)
        level = next(level for level in levels if self.kept[level] <= max(start, oldest))
        return step if level == wanted else max(step // level * level, level)

    def pieces(self, start: float, end: float, coarsest: int = schema.LEVELS[-1]) -> list[Piece]:
        """The fewest buckets that make up a span: coarse where they are complete, finer at its ends.

        At an end of which only coarse buckets are kept, the one around it is taken whole.
        """
        levels = [level for level in schema.LEVELS if level <= coarsest]
        return [piece for piece in _pieces(start, end, levels, self.rolled, self.kept) if piece[1] < piece[2]]


class Grid:
    """Equal steps over a span, aligned to multiples of the step, and which of them are known."""

    def __init__(self, start: float, end: float, step: float, facts: Facts, gaps: Sequence[Gap]) -> None:
        self.step = step
        self.level = level_of(step)
        self.start = math.floor(start / step) * step
        self.size = max(1, math.ceil(end / step) - math.floor(start / step))
        self.end = self.start + self.size * step
        since = max(facts.created, facts.kept[self.level])
        self.known = [self._is_known(self.start + at * step, since, facts.alive, gaps) for at in range(self.size)]

    def index(self, bucket: float) -> int:
        """Which step a bucket is in."""
        return int((bucket - self.start) // self.step)

    def _is_known(self, start: float, since: float, until: float, gaps: Sequence[Gap]) -> bool:
        end = start + self.step
        if end <= since or start > until:
            return False
        return not any(gap.start <= start and (gap.end is None or gap.end >= end) for gap in gaps)


def level_of(step: float) -> int:
    """The coarsest level whose buckets fit into a step."""
    return max(level for level in schema.LEVELS if level <= max(step, schema.LEVELS[0]) and step % level == 0)


def widened(start: float, end: float) -> tuple[float, float]:
    """The span with its ends moved outwards to those of the coarsest buckets that are short against it."""
    unit = max((level for level in schema.LEVELS if level <= (end - start) * LEEWAY), default=None)
    return (start, end) if unit is None else (math.floor(start / unit) * unit, math.ceil(end / unit) * unit)


def _pieces(
    start: float, end: float, levels: Sequence[int], rolled: Mapping[int, int], kept: Mapping[int, int]
) -> Iterator[Piece]:
    """Split a span into pieces, of the coarsest level that is complete for each part of it."""
    if start >= end:
        return
    level = levels[-1]
    since = kept.get(level, 0)
    if len(levels) == 1:
        yield level, max(since, math.floor(start / level) * level), end
        return
    finer = levels[:-1]
    # Where the finer one is not kept, the bucket at an end of the span is taken whole.
    gone = kept.get(finer[-1], 0)
    low = (math.ceil if start >= gone else math.floor)(start / level) * level
    high = (math.floor if end >= gone else math.ceil)(end / level) * level
    high = min(high, math.floor(rolled.get(level, 0) / level) * level)
    if low >= high:
        yield from _pieces(start, end, finer, rolled, kept)
        return
    yield from _pieces(start, low, finer, rolled, kept)
    yield level, max(low, since), high
    yield from _pieces(high, end, finer, rolled, kept)
