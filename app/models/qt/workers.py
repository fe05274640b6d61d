"""The table of workers: what each reported of itself, with the age of what is old."""

from collections.abc import Callable
from enum import IntEnum
from typing import Final

from PySide6.QtCore import QObject

from app.models import formats
from app.models.qt.plain import one_line
from app.models.qt.table import Bar, Cell, Header, RecordTableModel
from app.models.records import Worker


class Column(IntEnum):
    """The columns of the table of workers, from the left."""

    STATE = 0
    WORKER = 1
    POOL = 2
    SLOTS = 3
    QUEUES = 4
    PROCESSED = 5
    FAILED = 6
    LOAD = 7
    VERSION = 8
    UPTIME = 9
    HEARTBEAT = 10


#: In this order the states stand when the table is sorted by state: trouble first.
_ORDER: Final = ("lost", "silent", "online", "offline")
#: A worker that fails this share of its tasks is marked.
_MUCH: Final = 0.05


def state_sentence(worker: Worker, now: float) -> str:
    """State with its age: ``online``, ``silent 14 s``, ``lost 3 m ago``, ``offline``."""
    since = heard(worker, now)
    match worker.state:
        case "silent":
            return f"silent {formats.age(since)}"
        case "lost":
            return f"lost {formats.age(since)} ago"
    return worker.state


def heard(worker: Worker, now: float) -> float:
    """Seconds since we last heard of a worker."""
    return now - (worker.heartbeat if worker.heartbeat is not None else worker.seen)


def uptime(worker: Worker, now: float) -> float | None:
    """Seconds a worker has been running, carried on since it was asked; None if it does not run or was never asked."""
    if worker.uptime is None or worker.inspected is None or worker.state not in ("online", "silent"):
        return None
    return worker.uptime + max(0.0, now - worker.inspected)


def failed_share(worker: Worker) -> float | None:
    """Share of the finished tasks we saw that failed."""
    finished = worker.succeeded + worker.failed
    return worker.failed / finished if finished else None


class WorkerTableModel(RecordTableModel[Worker]):
    """Workers by hostname; ages are told as of the last `tick`."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(len(Column), _hostname, parent)
        self._now = 0.0

    def header(self, column: int) -> Header:
        return _COLUMNS[column][0]

    def cell(self, record: Worker, column: int) -> Cell:
        return _COLUMNS[column][1](record, self._now)

    def tick(self, now: float) -> None:
        """Let it be ``now``: ages read differently."""
        self._now = now
        for column in (Column.STATE, Column.UPTIME, Column.HEARTBEAT):
            self.touch(0, len(self._rows) - 1, column, column)


def _hostname(worker: Worker) -> str:
    return worker.hostname


def _text(text: str | None, tip: str = "") -> Cell:
    if not text:
        return Cell(formats.UNKNOWN, tone="hint", spoken="unknown", tip=tip)
    return Cell(one_line(text), text, tone="secondary", tip=tip or text)


def _figure(text: str, value: float | None, tone: str = "", tip: str = "") -> Cell:
    return Cell(text, value, tone=tone if value is not None else "hint", tip=tip)


def _state(worker: Worker, now: float) -> Cell:
    text = state_sentence(worker, now)
    order = _ORDER.index(worker.state) if worker.state in _ORDER else len(_ORDER)
    since = f"since {formats.date_time(worker.since)}" if worker.since is not None else ""
    return Cell(text[:1].upper() + text[1:], order, state=worker.state, tip=f"{worker.state} {since}".strip())


def _slots(worker: Worker) -> Cell:
    if worker.slots is None:
        busy = formats.count(worker.active)
        tip = "The number of slots is not known: the worker has not been asked"
        return Cell(busy, None, tone="hint" if worker.active is None else "", tip=tip)
    if worker.active is None:
        return Cell(f"{formats.UNKNOWN} / {worker.slots}", None, tone="hint")
    share = worker.active / worker.slots if worker.slots else 0.0
    tip = f"{worker.active} of {worker.slots} slots busy"
    bar = Bar(((float(worker.active), "accent"),), float(worker.slots))
    return Cell(f"{worker.active} / {worker.slots}", share, tip=tip, spoken=tip, detail=bar)


def _failed(worker: Worker) -> Cell:
    share = failed_share(worker)
    tip = f"{formats.count(worker.failed)} of {formats.count(worker.succeeded + worker.failed)} finished tasks failed"
    tone = "failed" if share is not None and share >= _MUCH else ""
    return _figure(formats.percent(share), share, tone, tip if share is not None else "")


def _load(worker: Worker) -> Cell:
    if not worker.load:
        return _figure(formats.UNKNOWN, None)
    tip = "Load average over 1, 5 and 15 minutes: " + " · ".join(f"{load:.2f}" for load in worker.load)
    return _figure(f"{worker.load[0]:.2f}", worker.load[0], "secondary", tip)


def _heard(worker: Worker, now: float) -> Cell:
    since = heard(worker, now)
    at = worker.heartbeat if worker.heartbeat is not None else worker.seen
    tone = {"silent": "retrying", "lost": "lost"}.get(worker.state, "secondary")
    return Cell(f"{formats.age(since)} ago", since, tone=tone, tip=f"{formats.date_time(at)}\n{formats.iso_utc(at)}")


def _queues(worker: Worker) -> Cell:
    return _text(None if worker.queues is None else ", ".join(worker.queues) or "none")


def _version(worker: Worker) -> Cell:
    return _text((worker.software or "").removeprefix("py-celery "), tip=worker.software or "")


def _uptime(worker: Worker, now: float) -> Cell:
    since = uptime(worker, now)
    return _figure(formats.coarse(since), since, "secondary")


_COLUMNS: Final[tuple[tuple[Header, Callable[[Worker, float], Cell]], ...]] = (
    (Header("State"), _state),
    (Header("Worker", literal=True, ends=True), lambda w, _: Cell(one_line(w.hostname), w.hostname, tip=w.hostname)),
    (Header("Pool"), lambda w, _: _text(w.pool)),
    (Header("Slots", tip="Slots busy, of all slots of the pool"), lambda w, _: _slots(w)),
    (Header("Queues"), lambda w, _: _queues(w)),
    (
        Header("Processed", numeric=True, tip="Tasks accepted since the worker started, as it counts them"),
        lambda w, _: _figure(formats.count(w.processed), w.processed),
    ),
    (Header("Failed", numeric=True, tip="Share of the tasks we saw finish that failed"), lambda w, _: _failed(w)),
    (Header("Load", numeric=True, tip="Load average of the host over 1 minute"), lambda w, _: _load(w)),
    (Header("Version"), lambda w, _: _version(w)),
    (Header("Uptime", numeric=True), _uptime),
    (Header("Heard", numeric=True, tip="Time since we last heard of the worker"), _heard),
)
