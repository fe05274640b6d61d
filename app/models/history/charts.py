"""What charts, tiles and tables of figures show over a span of time: sums over rollups and gauges, never over tasks."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, Engine, and_, false, func, or_, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import Executable

from app.models.history import schema
from app.models.history.errors import HistoryError
from app.models.records import Gap
from app.models.rollups import Percentiles, merge, percentiles

_rollup = schema.rollup.c
_gauge = schema.gauge.c
_COUNTS: Final = ("events", "tasks", "received", "started", "succeeded", "failed", "retried", "revoked", "rejected")

#: A question names this many buckets at most.
MOST_NAMED: Final = 10_000
#: What the outcome chart stacks.
OUTCOMES: Final = ("succeeded", "retried", "failed", "revoked", "rejected")


class Span(msgspec.Struct, frozen=True):
    """An interval of time, in seconds since the epoch; ``end`` is not part of it."""

    start: float
    end: float


class Series(msgspec.Struct):
    """Values at equal steps: ``values[i]`` covers ``start + i * step`` to the next; NaN where nothing is known."""

    start: float
    step: float
    values: list[float]


class Totals(msgspec.Struct):
    """Sums over a span."""

    events: int = 0
    tasks: int = 0
    received: int = 0
    started: int = 0
    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    revoked: int = 0
    rejected: int = 0
    busy: float = 0.0
    wait: Percentiles = Percentiles()
    run: Percentiles = Percentiles()


class NameRow(msgspec.Struct):
    """One task name over a span: tasks first seen, finished, failed and retried, seconds worked, and latencies."""

    name: str
    count: int
    finished: int
    failed: int
    retried: int
    busy: float
    wait: Percentiles
    run: Percentiles


class Charts:
    """The part of the reader that aggregates over time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        try:
            self._connection = engine.connect()
        except DBAPIError as error:
            raise HistoryError(f"The history can't be opened: {error.orig}.") from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
        self._engine.dispose()

    def rows(self, query: Executable) -> Sequence[Any]:
        """Rows of an expression. Raises `HistoryError` when the file can't be read."""
        try:
            return self._connection.execute(query).fetchall()
        except DBAPIError as error:
            raise HistoryError(f"The history can't be read: {error.orig}.") from error

    def scalar(self, query: Executable) -> Any:
        """First cell of an expression's first row, or None."""
        found = self.rows(query)
        return found[0][0] if found else None

    def sql(self, statement: str, parameters: tuple[object, ...] = ()) -> Sequence[Any]:
        """Rows of a statement written out by ourselves."""
        try:
            return self._connection.exec_driver_sql(statement, parameters).fetchall()
        except DBAPIError as error:
            raise HistoryError(f"The history can't be read: {error.orig}.") from error

    def alive(self) -> float | None:
        """The last moment its collector was alive: up to then, nothing seen means nothing happened."""
        value = self.scalar(select(schema.meta.c.value).where(schema.meta.c.key == "alive"))
        return None if value is None else float(value)

    def _facts(self) -> "_Facts":
        """What the file says of itself now."""
        try:
            return _Facts(dict(self.rows(select(schema.meta.c.key, schema.meta.c.value))))
        except ValueError as error:
            raise HistoryError("The history can't be read: it is damaged.") from error

    def gaps(self, span: Span | None = None) -> list[Gap]:
        """When nobody listened, oldest first."""
        query = select(schema.gap.c.start, schema.gap.c.end, schema.gap.c.why).order_by(schema.gap.c.start)
        if span is not None:
            query = query.where(
                schema.gap.c.start < span.end, or_(schema.gap.c.end.is_(None), schema.gap.c.end > span.start)
            )
        return [Gap(*row) for row in self.rows(query)]

    def totals(self, span: Span) -> Totals:
        """Counts and percentiles of all tasks."""
        columns = [_rollup[count] for count in _COUNTS]
        sums = [0] * len(_COUNTS)
        busy = 0.0
        waits: list[bytes | None] = []
        runs: list[bytes | None] = []
        query = select(*columns, _rollup.busy, _rollup.wait, _rollup.run)
        for *counts, worked, wait, run in self.rows(query.where(self._together_within(span))):
            sums = [total + count for total, count in zip(sums, counts, strict=True)]
            busy += worked
            waits.append(wait)
            runs.append(run)
        counted = dict(zip(_COUNTS, sums, strict=True))
        return Totals(**counted, busy=busy, wait=percentiles(merge(waits)), run=percentiles(merge(runs)))

    def names(self, span: Span) -> list[NameRow]:
        """Figures of each task name, those that kept workers busiest first."""
        collected: dict[str, _Sum] = {}
        query = select(
            schema.name.c.name,
            _rollup.tasks,
            _rollup.succeeded,
            _rollup.failed,
            _rollup.retried,
            _rollup.busy,
            _rollup.wait,
            _rollup.run,
        ).join_from(schema.rollup, schema.name, schema.name.c.id == _rollup.name_id)
        for name, tasks, succeeded, failed, retried, busy, wait, run in self.rows(
            query.where(self._within(span, _rollup))
        ):
            known = collected.get(name)
            if known is None:
                known = collected[name] = _Sum()
            known.count += tasks
            known.succeeded += succeeded
            known.failed += failed
            known.retried += retried
            known.busy += busy
            known.waits.append(wait)
            known.runs.append(run)
        named = [known.row(name) for name, known in collected.items()]
        return sorted(named, key=lambda row: (-row.busy, -row.count, row.name))

    def outcomes(self, span: Span, step: float) -> dict[str, Series]:
        """How many tasks ended in each way, per step; a longer one where only coarse figures are kept of that time."""
        grid = self._grid(span, step)
        columns = [_rollup[outcome] for outcome in OUTCOMES]
        made = {outcome: grid.zeros() for outcome in OUTCOMES}
        for bucket, *counts in self._of_grid(grid, _rollup.bucket, *columns):
            at = grid.index(bucket)
            for outcome, count in zip(OUTCOMES, counts, strict=True):
                made[outcome][at] += count
        return {outcome: grid.series(values) for outcome, values in made.items()}

    def latency(self, span: Span, step: float, which: Literal["wait", "run"]) -> dict[str, Series]:
        """Percentiles p50, p95 and p99 per step, in seconds; NaN where nothing was measured."""
        grid = self._grid(span, step)
        packed: dict[int, list[bytes | None]] = {}
        for bucket, data in self._of_grid(grid, _rollup.bucket, _rollup[which]):
            packed.setdefault(grid.index(bucket), []).append(data)
        made = {key: [math.nan] * grid.size for key in ("p50", "p95", "p99")}
        for at, data in packed.items():
            found = percentiles(merge(data))
            for key, values in made.items():
                value = getattr(found, key)
                if value is not None:
                    values[at] = value
        return {key: Series(grid.start, grid.step, values) for key, values in made.items()}

    def gauge(self, kind: str, span: Span, step: float) -> dict[str, Series]:
        """Mean of what was measured per step, by key (a queue's name, a worker's host name); NaN where nothing was.

        ``queue.in`` and ``queue.out`` are counts per step.
        """
        grid = self._grid(span, step)
        counted = kind in ("queue.in", "queue.out")
        sums: dict[str, list[float]] = {}
        times: dict[str, list[int]] = {}
        query = (
            select(schema.series.c.key, _gauge.bucket, _gauge.total, _gauge.n)
            .join_from(schema.gauge, schema.series, schema.series.c.id == _gauge.series_id)
            .where(schema.series.c.kind == kind, self._within(Span(grid.start, grid.end), _gauge, grid.level))
        )
        for key, bucket, total, n in self.rows(query):
            if key not in sums:
                sums[key], times[key] = [0.0] * grid.size, [0] * grid.size
            at = grid.index(bucket)
            sums[key][at] += total
            times[key][at] += n
        return {
            key: Series(
                grid.start,
                grid.step,
                [
                    math.nan if not (n or (counted and known)) else total if counted else total / n
                    for total, n, known in zip(totals, times[key], grid.known, strict=True)
                ],
            )
            for key, totals in sums.items()
        }

    def _of_grid(self, grid: "_Grid", *columns: Any) -> Sequence[Any]:
        return self.rows(select(*columns).where(self._together_within(Span(grid.start, grid.end), grid.level)))

    def _grid(self, span: Span, step: float) -> "_Grid":
        facts = self._facts()
        step = facts.step(span.start, step)
        known = Span(max(facts.created, facts.kept.get(_level(step), 0)), facts.alive)
        return _Grid(span, step, known, self.gaps(span))

    def _within(self, span: Span, table: Any, coarsest: int = schema.LEVELS[-1]) -> ColumnElement[bool]:
        """Condition for the fewest buckets that make up a span: coarse where they are complete, finer at its ends.

        At an end of which only coarse buckets are kept, the one around it is taken whole.
        """
        ranges = ((table.level == level, *_range(table, start, end)) for level, start, end in self._cut(span, coarsest))
        return or_(false(), *(and_(*condition) for condition in ranges))

    def _together_within(self, span: Span, coarsest: int = schema.LEVELS[-1]) -> ColumnElement[bool]:
        """The same for the rollups of all names together: each is looked up, as those of single names lie between."""
        pieces = (
            (_rollup.level == level, _lookup(level, start, end)) for level, start, end in self._cut(span, coarsest)
        )
        return and_(_rollup.name_id == schema.ALL_NAMES, or_(false(), *(and_(*condition) for condition in pieces)))

    def _cut(self, span: Span, coarsest: int) -> Iterator[tuple[int, float, float]]:
        facts = self._facts()
        levels = [level for level in schema.LEVELS if level <= coarsest]
        return _pieces(span.start, span.end, levels, facts.rolled, facts.kept)


class _Facts:
    """From and up to when the file knows what: from the table `meta`.

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
        wanted = _level(step)
        levels = [level for level in schema.LEVELS if level >= wanted]
        oldest = min(self.kept[level] for level in levels)
        level = next(level for level in levels if self.kept[level] <= max(start, oldest))
        return step if level == wanted else max(step // level * level, level)


class _Sum:
    def __init__(self) -> None:
        self.count = self.succeeded = self.failed = self.retried = 0
        self.busy = 0.0
        self.waits: list[bytes | None] = []
        self.runs: list[bytes | None] = []

    def row(self, name: str) -> NameRow:
        wait, run = percentiles(merge(self.waits)), percentiles(merge(self.runs))
        return NameRow(name, self.count, self.succeeded + self.failed, self.failed, self.retried, self.busy, wait, run)


class _Grid:
    """Equal steps over a span, aligned to multiples of the step, and which of them are known."""

    def __init__(self, span: Span, step: float, known: Span, gaps: Sequence[Gap]) -> None:
        self.step = step
        self.level = _level(step)
        self.start = math.floor(span.start / step) * step
        self.size = max(1, math.ceil(span.end / step) - math.floor(span.start / step))
        self.end = self.start + self.size * step
        self.known = [self._is_known(self.start + at * step, known, gaps) for at in range(self.size)]

    def index(self, bucket: float) -> int:
        return int((bucket - self.start) // self.step)

    def zeros(self) -> list[float]:
        return [0.0] * self.size

    def series(self, values: list[float]) -> Series:
        """Counts: zero where we listened and nothing happened, NaN where we did not listen and nothing was counted."""
        shown = [value if known or value else math.nan for value, known in zip(values, self.known, strict=True)]
        return Series(self.start, self.step, shown)

    def _is_known(self, start: float, known: Span, gaps: Sequence[Gap]) -> bool:
        end = start + self.step
        if end <= known.start or start > known.end:
            return False
        return not any(gap.start <= start and (gap.end is None or gap.end >= end) for gap in gaps)


def _range(table: Any, start: float, end: float) -> tuple[ColumnElement[bool], ...]:
    return table.bucket >= start, table.bucket < end


def _lookup(level: int, start: float, end: float) -> ColumnElement[bool]:
    """Rollups of the buckets from ``start`` to ``end``, one by one, unless those are too many to be named."""
    if end - start > MOST_NAMED * level:
        return and_(*_range(_rollup, start, end))
    buckets = range(math.ceil(start / level) * level, math.ceil(end), level)
    listed = func.json_each(msgspec.json.encode(list(buckets)).decode()).table_valued("value")
    return _rollup.bucket.in_(select(listed.c.value))


def _level(step: float) -> int:
    """The coarsest level whose buckets fit into a step."""
    return max(level for level in schema.LEVELS if level <= max(step, schema.LEVELS[0]) and step % level == 0)


def _pieces(
    start: float, end: float, levels: Sequence[int], rolled: Mapping[int, int], kept: Mapping[int, int]
) -> Iterator[tuple[int, float, float]]:
    """Split a span into (level, start, end), the coarsest level that is complete for each part of it."""
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
