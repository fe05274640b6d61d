"""The table of tasks: a bounded page of history, newest first, that grows at both ends."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntEnum
from typing import Final

from PySide6.QtCore import QObject, Signal

from app.models import formats, states
from app.models.history.reader import TaskRow
from app.models.qt.plain import one_line
from app.models.qt.table import Cell, Header, Index, RecordTableModel

_WAITING: Final = frozenset({states.PENDING, states.RECEIVED})
_UNKNOWN: Final = Cell(formats.UNKNOWN, tone="hint", spoken="unknown")
_DOUBTED: Final = frozenset({states.LOST, states.UNKNOWN})
_IDLE: Final = frozenset({*_WAITING, states.RETRY, *states.FINAL})


class Column(IntEnum):
    """The columns of the table of tasks, from the left."""

    STATE = 0
    NAME = 1
    ARGUMENTS = 2
    QUEUE = 3
    WORKER = 4
    RECEIVED = 5
    WAIT = 6
    RUN = 7
    RETRIES = 8
    ID = 9


def is_open(row: TaskRow) -> bool:
    """Whether a duration of this task still grows while we look."""
    return row.state not in states.FINAL and row.state not in _DOUBTED


class TaskTableModel(RecordTableModel[TaskRow]):
    """At most ``limit`` tasks, by id, newest first. Durations of unfinished tasks are told as of the last `tick`.

    Attributes:
        wanted: emitted with the id of the oldest row when a view needs older ones; answered by `append_page`.
    """

    wanted = Signal(object)

    def __init__(self, limit: int, parent: QObject | None = None) -> None:
        super().__init__(len(Column), _id, parent)
        self._limit = limit
        self._now = 0.0
        self._workers: frozenset[str] = frozenset()
        self._short: dict[str, str] = {}
        self._complete = True
        self._asked = False

    @property
    def full(self) -> bool:
        """Whether the limit keeps older rows out."""
        return len(self._rows) >= self._limit

    def header(self, column: int) -> Header:
        return _COLUMNS[column][0]

    def cell(self, record: TaskRow, column: int) -> Cell:
        if column == Column.WORKER:
            return _worker(record, self._short)
        return _COLUMNS[column][1](record, self._now)

    def name(self, record: TaskRow) -> str:
        return record.uuid

    def set_workers(self, workers: frozenset[str]) -> None:
        """Know which workers there are, so that each is called by what tells it apart."""
        if workers != self._workers:
            self._workers, self._short = workers, short_names(workers)
            self.touch(0, len(self._rows) - 1, Column.WORKER, Column.WORKER)

    def show(self, rows: Sequence[TaskRow], *, complete: bool) -> None:
        """Become another selection of tasks; ``complete`` if no older one belongs to it."""
        self._complete = complete
        self._asked = False
        self.replace(rows[: self._limit])

    def prepend(self, rows: Sequence[TaskRow]) -> None:
        """Put newer tasks on top; the oldest make room."""
        top = self._rows[0].id if self._rows else -1
        newer = [row for row in rows if row.id > top]
        if not newer:
            return
        self._make_room(len(newer))
        self._insert(0, newer[: self._limit])

    def append_page(self, rows: Sequence[TaskRow], *, complete: bool) -> None:
        """Answer `wanted` with the next older tasks; those for which there is no room are left out."""
        self._asked = False
        self._complete = complete
        older = [row for row in rows if not self._rows or row.id < self._rows[-1].id]
        older = older[: max(0, self._limit - len(self._rows))]
        if older:
            self._insert(len(self._rows), older)

    def page_failed(self) -> None:
        """Let `wanted` be emitted again: the last one got no answer."""
        self._asked = False

    def replace_between(self, low: int, high: int | None, rows: Sequence[TaskRow]) -> None:
        """Make these all the rows with ids ``low`` to ``high`` (inclusive; None: to the newest)."""
        first = 0 if high is None else bisect_left(self._rows, -high, key=_order)
        last = bisect_left(self._rows, 1 - low, key=_order)
        self._replace_span(first, last, rows)
        self._make_room(0)

    def trim(self, since: float) -> None:
        """Forget the oldest rows as long as they were first seen before ``since``."""
        end = len(self._rows)
        while end and self._rows[end - 1].seen < since:
            end -= 1
        if end < len(self._rows):
            self._remove(end, len(self._rows))
            self._complete = True

    def tick(self, now: float, first: int = 0, last: int | None = None) -> None:
        """Let it be ``now``: unfinished tasks among the rows ``first`` to ``last`` (those in view) read differently."""
        self._now = now
        end = len(self._rows) if last is None else min(last + 1, len(self._rows))
        growing = [row for row in range(first, end) if is_open(self._rows[row])]
        if growing:
            self.touch(growing[0], growing[-1], Column.WAIT, Column.RUN)

    def canFetchMore(self, parent: Index) -> bool:
        return not (parent.isValid() or self._complete or self._asked or self.full) and bool(self._rows)

    def fetchMore(self, parent: Index) -> None:
        if self.canFetchMore(parent):
            self._asked = True
            self.wanted.emit(self._rows[-1].id)

    def find(self, key: object) -> int | None:
        if not isinstance(key, int):
            return None
        row = bisect_left(self._rows, -key, key=_order)
        return row if row < len(self._rows) and self._rows[row].id == key else None

    def _make_room(self, n: int) -> None:
        """Drop the oldest rows until ``n`` more fit."""
        keep = max(0, self._limit - n)
        if keep < len(self._rows):
            self._remove(keep, len(self._rows))
            self._complete = False


def _id(row: TaskRow) -> int:
    return row.id


def _order(row: TaskRow) -> int:
    return -row.id


def _text(text: str | None, tone: str = "") -> Cell:
    if not text:
        return _UNKNOWN
    return Cell(one_line(text), text, tone=tone, tip=text)


def _state(row: TaskRow, now: float) -> Cell:
    word = states.WORDS.get(row.state, row.state)
    since = "" if row.doubted is None else since_words(row.doubted, now)
    tip = "\n".join(line for line in (row.note, f"Since {since}" if since else "") if line)
    return Cell(one_line(word, 40), row.state, state=row.state, tip=tip)


def since_words(moment: float, now: float) -> str:
    """Since when, with the age: ``03:02:11.000, 3 m ago``."""
    return f"{formats.near_time(moment, now)}, {formats.age(now - moment)} ago"


def short_names(workers: Collection[str]) -> dict[str, str]:
    """The part that tells a worker apart, of ``name@host``: the name where no two are alike, else the host, else both.

    ``celery`` is what a worker is called that nobody named, which tells nothing.
    """
    parts = {worker: worker.rpartition("@") for worker in workers}
    names, hosts = {name for name, _, _ in parts.values()}, {host for _, _, host in parts.values()}
    if len(names) == len(parts) and not names & {"", "celery"}:
        return {worker: name for worker, (name, _, _) in parts.items()}
    if len(hosts) == len(parts):
        return {worker: host for worker, (_, _, host) in parts.items()}
    return {}


def _worker(row: TaskRow, short: Mapping[str, str]) -> Cell:
    if not row.worker:
        return _UNKNOWN
    text = one_line(row.worker)
    return Cell(text, row.worker, tone="secondary", tip=row.worker, short=one_line(short.get(row.worker)))


def _received(row: TaskRow, now: float) -> Cell:
    at = row.received
    if at is None:
        sent = f"Sent {formats.date_time(row.sent)}, not received yet" if row.sent is not None else ""
        return Cell(formats.UNKNOWN, None, tone="hint", tip=sent)
    tip = f"{formats.date_time(at)}\n{formats.iso_utc(at)}\n{formats.age(now - at)} ago"
    text = formats.near_time(at, now, brief=True)
    return Cell(text, at, tone="secondary", tip=tip, short=text.partition(".")[0])


def _wait(row: TaskRow, now: float) -> Cell:
    if row.wait is not None:
        return Cell(formats.duration(row.wait), row.wait)
    since = row.sent if row.sent is not None else row.received
    if row.state not in _WAITING or since is None:
        return _UNKNOWN
    if row.eta is not None and row.eta > now:
        left = row.eta - now
        return Cell(f"in {formats.coarse(left)}", -left, tone="secondary", tip=f"Due {formats.date_time(row.eta)}")
    waited = now - max(since, row.eta or since)
    return Cell(f"≥ {formats.coarse(waited)}", waited, tip="Still waiting", spoken=f"at least {formats.coarse(waited)}")


def _run(row: TaskRow, now: float) -> Cell:
    if row.runtime is not None:
        return Cell(formats.duration(row.runtime), row.runtime)
    if row.started is None:
        return _UNKNOWN
    if row.finished is not None and row.state in states.FINAL:
        taken = row.finished - row.started
        return Cell(formats.duration(taken), taken, tip="From started to finished, by the worker's clock")
    if row.state in _IDLE:
        return _UNKNOWN
    if row.state in _DOUBTED:
        return _at_least((row.doubted or row.started) - row.started)
    taken = now - row.started
    return Cell(formats.running(taken), taken, tone="running", spoken=f"running for {formats.coarse(taken)}")


def _at_least(taken: float) -> Cell:
    """A run of which nothing was heard any more."""
    if taken <= 0:
        return _UNKNOWN
    least = formats.coarse(taken)
    tip = "It ran at least so long: nothing was heard of it since"
    return Cell(f"≥ {least}", taken, tone="secondary", tip=tip, spoken=f"at least {least}")


def _retries(row: TaskRow) -> Cell:
    return Cell(str(row.retries), row.retries, tone="retrying" if row.retries else "hint")


_COLUMNS: Final[tuple[tuple[Header, Callable[[TaskRow, float], Cell]], ...]] = (
    (Header("State"), _state),
    (Header("Name", literal=True, ends=True), lambda row, _: _text(row.name)),
    (Header("Arguments", literal=True), lambda row, _: _text(row.args, "secondary")),
    (Header("Queue", ends=True), lambda row, _: _text(row.queue)),
    (Header("Worker", ends=True), lambda row, _: _worker(row, {})),
    (Header("Received", numeric=True, tip="When a worker received the task, by that worker's clock"), _received),
    (Header("Wait", numeric=True, tip="From sent (or received, where the sending was not seen) to started"), _wait),
    (Header("Run", numeric=True, tip="Run time as the worker measured it"), _run),
    (Header("↻", numeric=True, tip="Retries"), lambda row, _: _retries(row)),
    (Header("Id", literal=True), lambda row, _: _text(row.uuid, "secondary")),
)
