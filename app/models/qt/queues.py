"""The table of queues: what waits in each, who takes it, and where it is going."""

import math
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from statistics import fmean, linear_regression
from typing import Final

import msgspec
from PySide6.QtCore import QObject

from app.models import formats
from app.models.history.charts import Series
from app.models.qt.plain import one_line
from app.models.qt.table import Bar, Cell, Header, RecordTableModel
from app.models.quarantines import ROLE, origin
from app.models.records import Queue


class Column(IntEnum):
    """The columns of the table of queues, from the left."""

    QUEUE = 0
    READY = 1
    PRIORITY = 2
    UNACKED = 3
    CONSUMERS = 4
    IN = 5
    OUT = 6
    DRAINS = 7
    OLDEST = 8
    TREND = 9


#: Seconds over which the flow through a queue is measured, and the step of the series it is measured from.
FLOW_SPAN: Final = 180.0
FLOW_STEP: Final = 10.0
#: A change is told from at least so many values. It is called steady below this change in a minute, or where the values
#: scatter so much that the change is less than so many standard errors.
_VALUES: Final = 3
_STEADY: Final = 0.5
_ERRORS: Final = 4.0
#: So many times as much must come in as goes out for a rise to be no chance, however young the history is.
_CLEARLY: Final = 1.25


class Flow(msgspec.Struct, frozen=True):
    """Messages per minute that came into a queue, that workers took, and by which it grew; None is unknown.

    ``steady`` says that the growth is too little to be told from chance.
    """

    came: float | None = None
    went: float | None = None
    net: float | None = None
    steady: bool = False


class QueueRow(msgspec.Struct):
    """A queue, its ready messages over the time range, and the flow through it lately."""

    queue: Queue
    trend: Series | None = None
    flow: Flow = Flow()

    @property
    def unattended(self) -> bool:
        """Whether messages wait for a worker and nobody takes them."""
        return self.queue.consumers == 0 and bool(self.queue.ready) and not self.queue.rests

    @property
    def source(self) -> tuple[str, float | None] | None:
        """The queue that a quarantine's messages came from, and when they did (epoch); None for any other queue."""
        name = self.queue.name
        return (origin(name) or (name, None)) if self.queue.role == ROLE else None


def flow(
    ready: Series | None,
    came: Series | None,
    went: Series | None,
    rate_in: Series | None = None,
    rate_out: Series | None = None,
) -> Flow:
    """Flow of the time that these series cover: ready messages, and counts of those sent and started.

    Where the broker tells rates (messages per second that came and went), these are taken: not all who send and work
    may tell of it.
    """
    told = (_mean_per_minute(rate_in), _mean_per_minute(rate_out))
    flows = (
        _per_minute(came) if told[0] is None else told[0],
        _per_minute(went) if told[1] is None else told[1],
    )
    net, error = _growth(ready)
    if _fills(ready, *flows) and (net is None or net > _STEADY):
        return Flow(*flows, net=net if net is not None else (flows[0] or 0.0) - (flows[1] or 0.0))
    return Flow(*flows, net=net, steady=net is not None and abs(net) < max(_STEADY, _ERRORS * error))


def _fills(ready: Series | None, came: float | None, went: float | None) -> bool:
    """Whether clearly more came than went, and more is ready than there was: two counts that agree."""
    known = [value for value in ready.values if math.isfinite(value)] if ready is not None else []
    if came is None or len(known) <= 1 or known[-1] <= known[0]:
        return False
    return came - (went or 0.0) >= _STEADY and came >= _CLEARLY * (went or 0.0)


def _per_minute(counts: Series | None) -> float | None:
    """Mean of the steps that are over."""
    known = [value for value in counts.values[:-1] if math.isfinite(value)] if counts is not None else []
    return sum(known) / (len(known) * counts.step) * 60 if counts is not None and known else None


def _mean_per_minute(rates: Series | None) -> float | None:
    known = [value for value in rates.values if math.isfinite(value)] if rates is not None else []
    return fmean(known) * 60 if known else None


def _growth(values: Series | None) -> tuple[float | None, float]:
    """Slope of the line that fits the values best, and its standard error, per minute."""
    known = (
        [(at, value) for at, value in enumerate(values.values) if math.isfinite(value)] if values is not None else []
    )
    if values is None or len(known) < _VALUES:
        return None, 0.0
    slope, middle = linear_regression(*zip(*known, strict=True))
    left = sum((value - middle - slope * at) ** 2 for at, value in known)
    spread = sum((at - fmean(at for at, _ in known)) ** 2 for at, _ in known)
    error = math.sqrt(left / (len(known) - 2) / spread)
    per_minute = 60 / values.step
    return slope * per_minute, error * per_minute


def drains(row: QueueRow) -> tuple[str, float | None]:
    """In words, and in seconds where there is an end, when a queue is empty if it goes on like this."""
    net, ready = row.flow.net, row.queue.ready
    if net is None or not ready:
        return (formats.UNKNOWN, None)
    if row.flow.steady:
        return ("steady", None)
    if net > 0:
        return ("growing", math.inf)
    seconds = ready / -net * 60
    return (formats.age(seconds) if seconds < formats.MINUTE else formats.duration(seconds), seconds)


def resting(row: QueueRow) -> str:
    """The role of a queue whose messages wait for no worker, or ""."""
    return (row.queue.role or "") if row.queue.rests else ""


def oldest(queue: Queue) -> str:
    """Age of the oldest ready message, with ``≥`` where it may be older."""
    if queue.oldest is None:
        return formats.UNKNOWN
    return f"{'' if queue.oldest_exact else '≥ '}{formats.coarse(queue.oldest)}"


def priorities(queue: Queue) -> list[tuple[str, int]]:
    """Ready messages by priority, in numerical order of the priority step."""
    return sorted((queue.by_priority or {}).items(), key=lambda item: (len(item[0]), item[0]))


class QueueTableModel(RecordTableModel[QueueRow]):
    """Queues by name, each with its trend; quarantines are below all others."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(len(Column), _name, parent)

    def show(self, queues: Sequence[Queue], trends: Mapping[str, Series], flows: Mapping[str, Flow]) -> None:
        """Become these queues, with their ready messages over time and their flow by queue name."""
        ordered = sorted(queues, key=lambda queue: queue.role == ROLE)
        self.replace([QueueRow(queue, trends.get(queue.name), flows.get(queue.name, Flow())) for queue in ordered])

    def header(self, column: int) -> Header:
        return _COLUMNS[column][0]

    def cell(self, record: QueueRow, column: int) -> Cell:
        return _COLUMNS[column][1](record)


def _name(row: QueueRow) -> str:
    return row.queue.name


def _title(row: QueueRow) -> Cell:
    name, source = row.queue.name, row.source
    if source is None:
        return Cell(one_line(name), name, tip=name)
    queue, when = source
    at = "" if when is None else f" · {formats.date_time(when, milliseconds=False)}"
    tip = f"{name}\n{RESTING[ROLE]}"
    return Cell(f"{one_line(queue)}{at}", name, state=f"queue:{ROLE}", tip=tip, spoken=name)


def _figure(value: int | None) -> Cell:
    return Cell(formats.count(value), value, tone="hint" if value is None else "")


def _consumers(row: QueueRow) -> Cell:
    if row.queue.consumers is None:
        return Cell(formats.UNKNOWN, tone="hint", tip="No worker has told us what it consumes")
    tone, tip = ("failed", "Nobody takes these messages") if row.unattended else ("", RESTING.get(resting(row), ""))
    return Cell(formats.count(row.queue.consumers), row.queue.consumers, tone=tone, tip=tip)


def _flow(per_minute: float | None) -> Cell:
    if per_minute is None:
        return Cell(formats.UNKNOWN, tone="hint", tip="No event told of it")
    text = formats.rate(per_minute) if per_minute < 10 else formats.count(per_minute)  # noqa: PLR2004 - where digits end
    return Cell(text.removesuffix(".00"), per_minute, tone="secondary")


def _drains(row: QueueRow) -> Cell:
    text, seconds = drains(row)
    alarm = "failed" if row.unattended else "retrying"
    tone = {formats.UNKNOWN: "hint", "steady": "secondary", "growing": alarm}.get(text, "")
    net = row.flow.net
    tip = "" if net is None else f"Ready messages change by {net:+,.1f} per minute"
    role = resting(row)
    if role in ("delayed", "quarantine") or (role and text != "growing"):
        return Cell(role, None, tone="secondary", tip=RESTING[role])
    return Cell(text, seconds, tone=tone, tip=tip)


def _ready(row: QueueRow) -> Cell:
    ready = row.queue.ready
    tone = "failed" if row.unattended else "hint" if ready is None else ""
    return Cell(formats.count(ready), ready, tone=tone, strong=True)


def _oldest(row: QueueRow) -> Cell:
    queue, text = row.queue, oldest(row.queue)
    bound = queue.oldest is not None and not queue.oldest_exact
    tip = "It may be older: nobody told us when it was sent" if bound else ""
    tone = "hint" if queue.oldest is None else ""
    return Cell(text, queue.oldest, tone=tone, tip=tip, spoken=text.replace("≥", "at least"))


def _priority(row: QueueRow) -> Cell:
    queue = row.queue
    steps = priorities(queue)
    ready = sum(n for _, n in steps)
    if not steps and queue.ready is None:
        return Cell("", None)
    if not steps:
        steps, ready = [("0", queue.ready or 0)], queue.ready or 0
    lines = [f"Priority {step}: {formats.count(n)} ready" for step, n in steps]
    bar = Bar(tuple((float(n), "") for _, n in steps), float(ready))
    return Cell("", ready, tip="\n".join(lines), spoken=", ".join(lines), detail=bar)


def _trend(row: QueueRow) -> Cell:
    tone = "failed" if row.unattended else "retrying" if drains(row)[0] == "growing" else "accent"
    return Cell("", row.flow.net, tone=tone, detail=row.trend)


#: What it means that messages wait for no worker, by the role of their queue.
RESTING: Final = {
    "delayed": "Its messages wait until they are due, and then go on by themselves: nobody has to consume it",
    "dead letter": "Its messages were given up by other queues: nobody has to consume it",
    "quarantine": "Its messages were purged, and wait to be restored or discarded",
}

_COLUMNS: Final[tuple[tuple[Header, Callable[[QueueRow], Cell]], ...]] = (
    (
        Header("Queue", literal=True, ends=True),
        _title,
    ),
    (Header("Ready", numeric=True, tip="Messages that wait for a worker"), _ready),
    (Header("By priority", tip="Ready messages by priority step; on Redis 0 is served first"), _priority),
    (
        Header("Unacked", numeric=True, tip="Messages that workers hold and have not acknowledged"),
        lambda row: _figure(row.queue.unacked),
    ),
    (Header("Consumers", numeric=True, tip="Workers that consume this queue"), _consumers),
    (
        Header(
            "In/min",
            numeric=True,
            tip="Messages sent into the queue, over the last 3 minutes: as RabbitMQ's management API counts them, else "
            "as task-sent events tell",
        ),
        lambda row: _flow(row.flow.came),
    ),
    (
        Header(
            "Out/min",
            numeric=True,
            tip="Messages of the queue that workers took for good, over the last 3 minutes: as RabbitMQ's management "
            "API counts them, else tasks that were started",
        ),
        lambda row: _flow(row.flow.went),
    ),
    (Header("Drains in", numeric=True, tip="When the queue is empty if it goes on like this"), _drains),
    (Header("Oldest", numeric=True, tip="Age of the oldest ready message; ≥ where it may be older"), _oldest),
    (Header("Trend", tip="Ready messages over the time range"), _trend),
)
