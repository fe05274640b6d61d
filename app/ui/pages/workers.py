"""Every worker ever heard of: how it is, what it does, and all about the one selected."""

import time
from collections.abc import Hashable
from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.models import formats
from app.models.history.charts import Span
from app.models.history.reader import Reader, TaskRow
from app.models.qt.workers import Column, WorkerTableModel, has_left
from app.models.records import Worker
from app.models.search import parse, quote
from app.ui import words
from app.ui.live import TimeRange
from app.ui.pages.pace import Pace
from app.ui.pages.table_page import TablePage
from app.ui.pages.worker_acts import WorkerActs
from app.ui.pages.worker_inspector import RECENT, WorkerInspector
from app.ui.theme import ThemeManager
from app.ui.widgets.events_bar import EventsBar
from app.ui.widgets.listed_switch import ListedSwitch
from app.ui.widgets.table import Width
from app.ui.widgets.ticker import Ticker

#: Seconds after which a worker's recent tasks are read again.
_RECENT_EVERY: Final = 1.0
_EMPTY: Final = (
    "No worker has been heard of",
    (
        "A worker is known by its heartbeat, seconds after its start. Start one on this broker: "
        "celery -A your_app worker -E"
    ),
)
_ALL_LEFT: Final = ("All workers have left", "Each of them said goodbye. Nothing runs until a worker is started.")
WIDTHS: Final = (
    Width(124, full=208),
    Width(118, weight=3),
    Width(72, weight=1, rank=9),
    Width(98, rank=1),
    Width(100, weight=3, rank=4),
    Width(58, rank=6),
    Width(80, weight=1, rank=3),
    Width(62, weight=1, rank=5),
    Width(62, weight=1, rank=2),
    Width(54, weight=1, rank=10),
    Width(72, weight=1, rank=7, full=112),
    Width(58, weight=1, rank=12),
    Width(74, weight=1, rank=11),
    Width(72, weight=1, rank=8),
)


class WorkersPage(TablePage):
    """Those that left cleanly are listed for ten minutes, and then when they are asked for.

    Signals: ``task_opened`` with the id of a task that the user wants to see; ``events_wanted`` where workers should
    tell of their tasks.
    """

    task_opened = Signal(str)
    events_wanted = Signal()

    def __init__(self, theme: ThemeManager, time_range: TimeRange) -> None:
        self._workers = WorkerTableModel()
        self._details = WorkerInspector(theme)
        self._events, self._left = EventsBar(theme), ListedSwitch(_left_words)
        below = QWidget()
        super().__init__(theme, time_range, self._workers, WIDTHS, self._details, above=self._events, below=below)
        self._workers.setParent(self)
        self._acts = WorkerActs(self, theme, self.table, self._workers, self._details)
        self._acts.wanted.connect(self.act_wanted)
        lines = QVBoxLayout(below)
        lines.setContentsMargins(0, 0, 0, 0)
        lines.setSpacing(0)
        lines.addWidget(self._left)
        lines.addWidget(self._acts.bar)
        self.table.setAccessibleName("Workers")
        self.table.sortByColumn(Column.STATE, Qt.SortOrder.AscendingOrder)  # trouble first
        self._details.task_opened.connect(self.task_opened)
        self._events.wanted.connect(self.events_wanted)
        self._left.toggled.connect(self.reload)
        self._recent_of: Hashable | None = None
        self._recent_pace = Pace(_RECENT_EVERY)
        self._ticker = Ticker(self)
        self._ticker.timeout.connect(self._tick)

    async def load(self) -> None:
        connection = self.connection
        if connection is None:
            return
        alive = None if connection.live else await connection.query(Reader.alive)
        span, inspected = self.range.bounds(alive), self.inspected
        due = inspected != self._recent_of or self._recent_pace.due
        workers, recent, took = await connection.query(lambda reader: _read(reader, inspected if due else None, span))
        if connection is not self.connection:
            return
        now = time.time() if alive is None else alive
        left = [worker for worker in workers if has_left(worker, now)]
        self._left.show_number(len(left))
        gone = () if self._left.listed else left
        self._workers.replace([worker for worker in workers if worker not in gone or worker.hostname == inspected])
        self._workers.tick(now)
        self._events.show_workers(workers, operates=connection.operates)
        if not self._workers.rowCount():
            unreached = words.not_reached(connection.health)
            self.table.set_empty(*(unreached if unreached[0] else _ALL_LEFT if left else _EMPTY))
        worker = next((worker for worker in workers if worker.hostname == self.inspected), None)
        self._acts.show_worker(None if worker is None else worker.hostname)
        if worker is not None and inspected == self.inspected:
            self._details.show_worker(worker, now)
            if due:
                self._details.show_recent(recent, now)
                self._recent_of = inspected
                self._recent_pace.answered(took)

    def close_inspector(self) -> None:
        self._recent_of = None
        super().close_inspector()

    def most_telling(self) -> Hashable | None:
        busiest = max(self._workers.records(), key=lambda w: (w.state == "online", w.processed or 0), default=None)
        return None if busiest is None else busiest.hostname

    def _tick(self) -> None:
        if not self.range.paused and self.connection is not None and self.connection.live:
            self._workers.tick(time.time())


def _left_words(number: int) -> str:
    return f"{formats.number_of(number, 'worker')} left more than ten minutes ago"


def _read(reader: Reader, inspected: Hashable | None, span: Span) -> tuple[list[Worker], list[TaskRow], float]:
    """All workers, what the inspected one did lately, and how many seconds it took to find that."""
    if not isinstance(inspected, str):
        return reader.workers(), [], 0.0
    began = time.perf_counter()
    recent = reader.tasks(where=parse(f"worker:{quote(inspected)}"), since=span.start, limit=RECENT)
    return reader.workers(), recent, time.perf_counter() - began
