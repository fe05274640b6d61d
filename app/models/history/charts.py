"""What charts, tiles and tables of figures show over a span of time: sums over rollups and gauges, never over tasks."""

import math
import sqlite3
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Engine, or_, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import Executable

from app.models.history import schema
from app.models.history.buckets import Facts, Grid, Piece, widened
from app.models.history.errors import HistoryError, sensible
from app.models.quantiles import percentiles_of
from app.models.records import Gap
from app.models.rollups import Percentiles

_COUNTS: Final = ("events", "tasks", "received", "started", "succeeded", "failed", "retried", "revoked", "rejected")

#: A question looks up so many buckets, or names, one by one; where there are more, it reads through them all.
MOST_NAMED: Final = 10_000
#: What the outcome chart stacks.
OUTCOMES: Final = ("succeeded", "retried", "failed", "revoked", "rejected")

#: The rollups of all names together, for which each bucket has to be looked up: those of single names lie between.
_TOGETHER: Final = (schema.ALL_NAMES,)
_KEYS: Final = {"rollup": "name_id", "gauge": "series_id"}


Latency = Literal["wait", "run"]


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


class Names(msgspec.Struct):
    """The task names that kept workers busiest, those first; ``total`` is the number of all names of the span."""

    rows: list[NameRow]
    total: int


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
            # Past the rows of SQLAlchemy: these may be many, and what is made of them is not theirs.
            return self._connection.exec_driver_sql(statement, parameters).cursor.fetchall()
        except DBAPIError as error:
            raise HistoryError(f"The history can't be read: {error.orig}.") from error
        except sqlite3.Error as error:
            raise HistoryError(f"The history can't be read: {error}.") from error

    def alive(self) -> float | None:
        """The last moment its collector was alive: up to then, nothing seen means nothing happened."""
        value = self.scalar(select(schema.meta.c.value).where(schema.meta.c.key == "alive"))
        return None if value is None else float(value)

    def _facts(self) -> Facts:
        """What the file says of itself now."""
        with sensible():
            return Facts(dict(self.rows(select(schema.meta.c.key, schema.meta.c.value))))

    def gaps(self, span: Span | None = None) -> list[Gap]:
        """When nobody listened, oldest first."""
        query = select(schema.gap.c.start, schema.gap.c.end, schema.gap.c.why).order_by(schema.gap.c.start)
        if span is not None:
            query = query.where(
                schema.gap.c.start < span.end, or_(schema.gap.c.end.is_(None), schema.gap.c.end > span.start)
            )
        return [Gap(*row) for row in self.rows(query)]

    def totals(self, span: Span) -> Totals:
        """Counts and percentiles of all tasks, over the span `buckets.widened`."""
        pieces = self._facts().pieces(*widened(span.start, span.end))
        found = self._of("rollup", f"{', '.join(_COUNTS)}, busy, wait, run", pieces, _TOGETHER)
        *counts, busy, waits, runs = zip(*found, strict=True) if found else [()] * (len(_COUNTS) + 3)
        wait, run = self._percentiles([waits, runs])
        sums = {count: sum(values) for count, values in zip(_COUNTS, counts, strict=True)}
        return Totals(**sums, busy=math.fsum(busy), wait=wait, run=run)

    def names(self, span: Span, most: int | None = None, which: Sequence[Latency] = ("wait", "run")) -> Names:
        """Figures of the busiest task names, of all where ``most`` is None, over the span `buckets.widened`.

        Latencies that are not asked for (``which``) are left empty: their histograms are most of what there is to read.
        """
        pieces = self._facts().pieces(*widened(span.start, span.end))
        source, given = _source("rollup", "name_id, tasks, succeeded, failed, retried, busy", pieces, None)
        found = self.sql(
            "SELECT name_id, SUM(tasks) AS tasks, SUM(succeeded), SUM(failed), SUM(retried), "  # noqa: S608 - our own
            f"SUM(busy) AS busy, COUNT(*) OVER () FROM ({source}) WHERE name_id != {schema.ALL_NAMES} "
            "GROUP BY name_id ORDER BY busy DESC, tasks DESC, name_id LIMIT ?",
            (*given, -1 if most is None else most),
        )
        words = self._words("id", [row[0] for row in found])
        wait, run = (
            self._latencies(pieces, list(words), column) if column in which else {} for column in ("wait", "run")
        )
        none = Percentiles()
        rows = [
            NameRow(
                words[number], count, succeeded + failed, failed, retried, busy,
                wait.get(number, none), run.get(number, none),
            )
            for number, count, succeeded, failed, retried, busy, _ in found
            if number in words
        ]  # fmt: skip
        rows.sort(key=lambda row: (-row.busy, -row.count, row.name))
        return Names(rows, found[0][-1] if found else 0)

    def runs(self, span: Span, names: Iterable[str]) -> dict[str, Percentiles]:
        """Percentiles of the run times of some task names, over the span `buckets.widened`."""
        pieces = self._facts().pieces(*widened(span.start, span.end))
        words = self._words("name", names)
        latencies = self._latencies(pieces, list(words), "run")
        return {word: latencies[number] for number, word in words.items()}

    def _words(self, column: str, listed: Iterable[int | str]) -> dict[int, str]:
        """Task names by number, of these numbers (``id``) or names (``name``)."""
        statement = f"SELECT id, name FROM name WHERE {column} IN (SELECT value FROM json_each(?))"  # noqa: S608
        return dict(self.sql(statement, (_listed(listed),)))

    def _latencies(self, pieces: Sequence[Piece], names: list[int], which: Latency) -> dict[int, Percentiles]:
        """Percentiles by the number of a name."""
        packed: dict[int, list[bytes | None]] = {name: [] for name in names}
        listed = names if len(names) <= MOST_NAMED else None
        for name, histogram in self._of("rollup", f"name_id, {which}", pieces, listed):
            if name in packed:
                packed[name].append(histogram)
        return dict(zip(packed, self._percentiles(packed.values()), strict=True))

    def outcomes(self, span: Span, step: float) -> dict[str, Series]:
        """How many tasks ended in each way, per step; a longer one where only coarse figures are kept of that time."""
        grid, pieces = self._grid(span, step)
        made = {outcome: [0] * grid.size for outcome in OUTCOMES}
        for bucket, *counts in self._of("rollup", f"bucket, {', '.join(OUTCOMES)}", pieces, _TOGETHER):
            at = grid.index(bucket)
            for outcome, count in zip(OUTCOMES, counts, strict=True):
                made[outcome][at] += count
        # Zero where we listened and nothing happened, unknown where we did not listen and nothing was counted.
        return {
            outcome: _series(grid, [n if known or n else math.nan for n, known in zip(counts, grid.known, strict=True)])
            for outcome, counts in made.items()
        }

    def latency(self, span: Span, step: float, which: Latency) -> dict[str, Series]:
        """Percentiles p50, p95 and p99 per step, in seconds; NaN where nothing was measured."""
        grid, pieces = self._grid(span, step)
        packed: dict[int, list[bytes | None]] = defaultdict(list)
        for bucket, histogram in self._of("rollup", f"bucket, {which}", pieces, _TOGETHER):
            packed[grid.index(bucket)].append(histogram)
        made = {key: [math.nan] * grid.size for key in ("p50", "p95", "p99")}
        for at, found in zip(packed, self._percentiles(packed.values()), strict=True):
            for key, values in made.items():
                value = getattr(found, key)
                if value is not None:
                    values[at] = value
        return {key: _series(grid, values) for key, values in made.items()}

    def gauge(self, kind: str, span: Span, step: float, only: Container[str] | None = None) -> dict[str, Series]:
        """Mean of what was measured per step, by key (a queue's name, a worker's host name); NaN where nothing was.

        ``queue.in`` and ``queue.out`` are counts per step. ``only`` are the keys that are wanted, all by default.
        """
        grid, pieces = self._grid(span, step)
        counted = kind in ("queue.in", "queue.out")
        known = self.rows(select(schema.series.c.id, schema.series.c.key).where(schema.series.c.kind == kind))
        keys = {number: key for number, key in known if only is None or key in only}
        sums: dict[str, list[float]] = {}
        times: dict[str, list[int]] = {}
        for number, bucket, total, n in self._of("gauge", "series_id, bucket, total, n", pieces, list(keys)):
            key = keys[number]
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

    def _grid(self, span: Span, step: float) -> tuple[Grid, list[Piece]]:
        """The steps of a chart, and the buckets that they are made of."""
        facts = self._facts()
        grid = Grid(span.start, span.end, facts.step(span.start, step), facts, self.gaps(span))
        return grid, facts.pieces(grid.start, grid.end, grid.level)

    def _of(self, table: str, columns: str, pieces: Sequence[Piece], keys: Sequence[int] | None) -> Sequence[Any]:
        """Rows of these buckets, of some names or series or of all."""
        if keys is not None and not keys:
            return []
        return self.sql(*_source(table, columns, pieces, keys))

    def _percentiles(self, packed: Iterable[Iterable[bytes | None]]) -> list[Percentiles]:
        with sensible():
            return percentiles_of([[*filter(None, histograms)] for histograms in packed])


def _series(grid: Grid, values: list[float]) -> Series:
    return Series(grid.start, grid.step, values)


def _listed(values: Iterable[int | str]) -> str:
    return msgspec.json.encode(list(values)).decode()


def _source(
    table: str, columns: str, pieces: Sequence[Piece], keys: Sequence[int] | None
) -> tuple[str, tuple[object, ...]]:
    """A statement for rows of these buckets, and its parameters; without ``keys`` for all names or series."""
    given: list[object] = []
    selects = []
    for level, start, end in pieces:
        conditions = ["level = ?"]
        given.append(level)
        buckets = range(math.ceil(start / level) * level, math.ceil(end), level)
        if keys is None or len(buckets) * len(keys) > MOST_NAMED:
            conditions.append("bucket >= ? AND bucket < ?")
            given += (start, end)
        else:
            conditions.append("bucket IN (SELECT value FROM json_each(?))")
            given.append(_listed(buckets))
        if keys is not None:
            conditions.append(f"{_KEYS[table]} IN (SELECT value FROM json_each(?))")  # noqa: S608 - our own names
            given.append(_listed(keys))
        selects.append(f"SELECT {columns} FROM {table} WHERE {' AND '.join(conditions)}")  # noqa: S608 - our own names
    return " UNION ALL ".join(selects) or f"SELECT {columns} FROM {table} WHERE 0", tuple(given)  # noqa: S608
