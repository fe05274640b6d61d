"""What the overview reads of a history, in one go and in the query thread."""

import math
from typing import Final

import msgspec

from app.models.history.charts import Names, Series, Span, Totals
from app.models.history.reader import Reader
from app.models.records import Gap, Queue, Worker
from app.models.rollups import Percentiles

#: Points of a tile's sparkline.
SPARK_POINTS: Final = 30
#: Task names that the table shows, the busiest.
NAMES: Final = 100
#: Share of a bucket that a gap may cover before its sums say nothing.
_MUCH: Final = 0.1


class Before(msgspec.Struct, frozen=True):
    """Figures of the equal period before; ``seconds`` is how much of it is known."""

    span: Span
    totals: Totals
    seconds: float


class Ask(msgspec.Struct, frozen=True):
    """What to read. ``before`` is what is known of the period before, ``names`` whether the table is wanted too."""

    span: Span
    step: float
    before: Before | None
    names: bool


class Overview(msgspec.Struct, frozen=True):
    """All that the page shows; ``heard`` is whether any task was ever seen.

    ``names`` is None where it was not asked for; ``runs`` are run times of the same names in the period before.
    """

    span: Span
    step: float
    totals: Totals
    seconds: float
    before: Before
    outcomes: dict[str, Series]
    wait: dict[str, Series]
    run: dict[str, Series]
    ready: dict[str, Series]
    oldest: dict[str, Series]
    active: dict[str, Series]
    slots: dict[str, Series]
    queues: list[Queue]
    workers: list[Worker]
    gaps: list[Gap]
    names: Names | None
    runs: dict[str, Percentiles]
    heard: bool


def read(reader: Reader, ask: Ask) -> Overview:
    """Answer `ask`; raises `HistoryError`."""
    span, step = ask.span, ask.step
    outcomes = reader.outcomes(span, step)
    totals = reader.totals(span)
    before = _before(reader, ask)
    names = reader.names(span, NAMES, ("run",)) if ask.names else None
    queues = reader.queues()
    # What waits for no worker is no backlog.
    resting = {queue.name for queue in queues if queue.rests}
    return Overview(
        span=span,
        step=step,
        totals=totals,
        seconds=known_seconds(outcomes["succeeded"], span),
        before=before,
        outcomes=outcomes,
        wait=reader.latency(span, step, "wait"),
        run=reader.latency(span, step, "run"),
        ready={name: one for name, one in reader.gauge("queue.ready", span, step).items() if name not in resting},
        oldest={name: one for name, one in reader.gauge("queue.oldest", span, step).items() if name not in resting},
        active=reader.gauge("worker.active", span, step),
        slots=reader.gauge("worker.slots", span, step),
        queues=[queue for queue in queues if not queue.rests],
        workers=reader.workers(),
        gaps=reader.gaps(span),
        names=names,
        runs={} if names is None else reader.runs(before.span, [row.name for row in names.rows]),
        heard=totals.tasks > 0 or bool(reader.tasks(limit=1)),
    )


def _before(reader: Reader, ask: Ask) -> Before:
    # A live span moves on all the time. What lies before it changes little: it is read again once per bucket.
    start = math.floor(ask.span.start / ask.step) * ask.step
    span = Span(start - (ask.span.end - ask.span.start), start)
    if ask.before is not None and ask.before.span == span:
        return ask.before
    seconds = known_seconds(reader.outcomes(span, ask.step)["succeeded"], span)
    return Before(span, reader.totals(span), seconds)


def known_seconds(series: Series, span: Span) -> float:
    """How much of a span a series knows about."""
    known = 0.0
    for at, value in enumerate(series.values):
        if math.isfinite(value):
            start = series.start + at * series.step
            known += max(0.0, min(start + series.step, span.end) - max(start, span.start))
    return known


def total(series: dict[str, Series], gaps: list[Gap]) -> Series | None:
    """The sum of series; unknown where all are, and in the buckets at the edges of gaps."""
    columns = list(zip(*(one.values for one in series.values()), strict=True))
    if not columns:
        return None
    first = next(iter(series.values()))
    return whole(Series(first.start, first.step, [_sum(column) for column in columns]), gaps)


def whole(series: Series, gaps: list[Gap]) -> Series:
    """The series without the buckets that a gap covers in part: what is summed up there would look like a slump."""
    values = list(series.values)
    for gap in gaps:
        first = (gap.start - series.start) / series.step
        end = math.inf if gap.end is None else (gap.end - series.start) / series.step
        for at in range(max(0, math.floor(first)), min(len(values), math.ceil(min(end, len(values))))):
            if min(end, at + 1) - max(first, at) > _MUCH:
                values[at] = math.nan
    return Series(series.start, series.step, values)


def number_known(series: dict[str, Series], gaps: list[Gap]) -> Series | None:
    """How many of the series know a value, per bucket; unknown where none does."""
    columns = list(zip(*(one.values for one in series.values()), strict=True))
    if not columns:
        return None
    first = next(iter(series.values()))
    counts = [float(sum(map(math.isfinite, column))) or math.nan for column in columns]
    return whole(Series(first.start, first.step, counts), gaps)


def share(part: Series, parts: list[Series]) -> Series:
    """One series over the sum of several, per bucket; unknown where that sum is 0."""
    sums = [_sum(column) for column in zip(*(one.values for one in parts), strict=True)]
    return Series(part.start, part.step, [a / b if b else math.nan for a, b in zip(part.values, sums, strict=True)])


def coarse(series: Series | None, end: float = math.inf, points: int = SPARK_POINTS) -> Series | None:
    """A series in about so many points, for a sparkline; a bucket that still fills at `end` is left out."""
    if series is None:
        return None
    values = series.values
    if values and series.start + len(values) * series.step > end:
        values = values[:-1]
    every = max(1, math.ceil(len(values) / points))
    means = [_mean(values[at : at + every]) for at in range(0, len(values), every)]
    return Series(series.start, series.step * every, means)


def last(series: Series | None) -> float | None:
    """The latest known value."""
    known = (value for value in reversed(series.values) if math.isfinite(value)) if series else iter(())
    return next(known, None)


def _sum(values: tuple[float, ...]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) if known else math.nan


def _mean(values: list[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan
