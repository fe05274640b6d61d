"""The table of workers: what each reported of itself, with the age of what is old."""

from collections.abc import Callable
from enum import IntEnum
from typing import Final

from PySide6.QtCore import QObject

from app.models import formats
from app.models.qt.plain import one_line
from app.models.qt.table import Bar, Cell, Header, RecordTableModel
from app.models.records import Worker
from app.models.signs import ALIVE


class Column(IntEnum):
    """The columns of the table of workers, from the left."""

    STATE = 0
    WORKER = 1
    POOL = 2
    SLOTS = 3
    QUEUES = 4
    EVENTS = 5
    PROCESSED = 6
    MISSED = 7
    FAILED = 8
    LOAD = 9
    CLOCK = 10
    VERSION = 11
    UPTIME = 12
    HEARTBEAT = 13


#: Seconds after its goodbye for which a worker that left is still listed.
LISTED: Final = 600.0
#: In this order the states stand when the table is sorted by state: trouble first.
_ORDER: Final = ("lost", "silent", "busy", "online", "offline")
#: A clock that is so many seconds off is marked.
_FAR_OFF: Final = 1.0
#: A worker that fails this share of its tasks is marked.
_MUCH: Final = 0.05


def state_sentence(worker: Worker, now: float) -> str:
    """State with its age: ``online``, ``busy, silent 14 s``, ``lost 3 m ago with 2 tasks``, ``offline``."""
    since = formats.age(heard(worker, now))
    had = f" with {formats.number_of(worker.held, 'task')}" if worker.held else ""
    match worker.state:
        case "silent":
            return f"silent {since}"
        case "busy":
            return f"busy, silent {since}"
        case "lost":
            return f"lost {since} ago{had}"
    return worker.state


def has_left(worker: Worker, now: float) -> bool:
    """Whether a worker said goodbye so long ago that it need not be listed any more; a lost one always is."""
    if worker.state != "offline":
        return False
    said = worker.since if worker.since is not None else worker.heartbeat if worker.heartbeat is not None else 0.0
    return now - said >= LISTED


def heard(worker: Worker, now: float) -> float:
    """Seconds since we last heard of a worker."""
    return now - (worker.heartbeat if worker.heartbeat is not None else worker.seen)


def uptime(worker: Worker, now: float) -> float | None:
    """Seconds a worker has been running, carried on since it was asked; None if it does not run or was never asked."""
    if worker.uptime is None or worker.inspected is None or worker.state not in ALIVE:
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
    text = state_sentence(worker, now).capitalize()
    short = text.partition(" with ")[0].replace(", silent", "")
    order = _ORDER.index(worker.state) if worker.state in _ORDER else len(_ORDER)
    since = f"since {formats.date_time(worker.since)}" if worker.since is not None else ""
    lines = (f"{worker.state} {since}".strip(), _MEANINGS.get(worker.state, ""))
    tip = "\n".join(line for line in lines if line)
    return Cell(text, order, state=worker.state, tip=tip, short=short)


_MEANINGS: Final = {
    "silent": "A heartbeat is overdue",
    "busy": "Its pool is of one process that works now, and can't speak meanwhile",
    "lost": "Three heartbeats are overdue, and it did not say goodbye",
    "offline": "It said goodbye",
}


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


def _events(worker: Worker) -> Cell:
    if worker.events is None:
        return Cell(
            formats.UNKNOWN, tone="hint", spoken="unknown", tip="It has not begun a task since it was first heard"
        )
    if worker.events:
        return Cell("on", 1, tone="secondary", tip="It tells of its tasks")
    return Cell("off", 0, tone="retrying", tip="It runs without -E: nothing is heard of its tasks")


def _missed(worker: Worker) -> Cell:
    if worker.processed is None:
        return Cell(formats.UNKNOWN, tone="hint", spoken="unknown", tip="It has not told how many tasks it began")
    tip = f"By its own count it began {formats.number_of(worker.missed, 'task')} that we were not told of"
    return Cell(formats.count(worker.missed), worker.missed, tone="retrying" if worker.missed else "hint", tip=tip)


def _clock(worker: Worker) -> Cell:
    offset = worker.clock_offset
    if offset is None:
        return Cell(formats.UNKNOWN, tone="hint", spoken="unknown", tip="Nothing was heard yet to judge its clock by")
    tone = "hint" if abs(offset) < formats.IN_STEP else "retrying" if abs(offset) >= _FAR_OFF else "secondary"
    text, tip = formats.clock_offset(offset), "Its clock against that of this computer"
    short = f"{'+' if offset > 0 else '−'}{formats.duration(abs(offset))}" if abs(offset) >= formats.IN_STEP else ""
    return Cell(text, abs(offset), tone=tone, tip=f"{tip}: {text}", short=short)


def _heard(worker: Worker, now: float) -> Cell:
    since = heard(worker, now)
    at = worker.heartbeat if worker.heartbeat is not None else worker.seen
    tone = {"silent": "retrying", "busy": "running", "lost": "lost"}.get(worker.state, "secondary")
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
    (Header("Events", tip="Whether it tells of its tasks (-E)"), lambda w, _: _events(w)),
    (
        Header("Processed", numeric=True, tip="Tasks accepted since the worker started, as it counts them"),
        lambda w, _: _figure(formats.count(w.processed), w.processed),
    ),
    (
        Header("Missed", numeric=True, tip="Tasks it began, by its own count, that we were not told of"),
        lambda w, _: _missed(w),
    ),
    (Header("Failed", numeric=True, tip="Share of the tasks we saw finish that failed"), lambda w, _: _failed(w)),
    (Header("Load", numeric=True, tip="Load average of the host over 1 minute"), lambda w, _: _load(w)),
    (Header("Clock", numeric=True, tip="How far its clock is ahead of ours, or behind"), lambda w, _: _clock(w)),
    (Header("Version"), lambda w, _: _version(w)),
    (Header("Uptime", numeric=True), _uptime),
    (Header("Heard", numeric=True, tip="Time since we last heard of the worker"), _heard),
)
