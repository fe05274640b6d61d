"""All that is known of one worker."""

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from app.models import formats
from app.models.history.reader import TaskRow
from app.models.qt.tasks import TaskTableModel
from app.models.qt.workers import failed_share, heard, state_sentence, uptime
from app.models.records import Worker
from app.ui.pages import task_columns
from app.ui.theme import ThemeManager
from app.ui.widgets.facts import Fact, FactList
from app.ui.widgets.inspector import Inspector
from app.ui.widgets.json_tree import JsonTree
from app.ui.widgets.labels import PlainLabel
from app.ui.widgets.rows import MARGIN
from app.ui.widgets.table import RecordTable

#: Recent tasks of a worker that are listed.
RECENT: Final = 50
_EVENTS: Final = {True: "on", False: "off: it runs without -E, nothing is heard of its tasks", None: ""}


class WorkerInspector(Inspector):
    """Tabs: summary, recent tasks, statistics. ``task_opened`` carries the id of a task to see more of."""

    task_opened = Signal(str)

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__(theme, "Copy the worker's name")
        self._facts = FactList()
        self._tasks = TaskTableModel(RECENT, self)
        self._recent = RecordTable(theme, self._tasks, task_columns.FEW)
        self._recent.setAccessibleName("Recent tasks of the worker")
        self._recent.set_empty("No task of this worker in the time range")
        self._recent.doubleClicked.connect(lambda index: self.task_opened.emit(self._tasks.record(index.row()).uuid))
        self._statistics = JsonTree("Statistics")
        self._not_asked = PlainLabel(role="secondary")
        self._not_asked.setWordWrap(True)
        self._not_asked.setText(
            "This worker has not been asked for its statistics. Workers are asked in the access mode "
            "“observe” and in “operate”, not in “passive”."
        )
        self._about = QStackedWidget()
        self.add_tab("Summary", self._facts)
        self.tabs.addTab(self._recent, "Recent tasks")
        self._about.addWidget(_padded(self._not_asked))
        self._about.addWidget(_framed(self._statistics))
        self.tabs.addTab(self._about, "Statistics")

    def show_recent(self, recent: Sequence[TaskRow], now: float) -> None:
        """Show the tasks that the worker had lately."""
        self._tasks.show(recent, complete=True)
        self._tasks.tick(now)

    def show_worker(self, worker: Worker, now: float) -> None:
        """Show a worker as it is ``now``."""
        sentence = state_sentence(worker, now)
        self.state.show_state(worker.state, sentence[:1].upper() + sentence[1:])
        self.title.setText(worker.hostname)
        self.copy.copied = worker.hostname
        since = "" if worker.since is None else f"{worker.state} since {formats.near_time(worker.since, now)}"
        self.subtitle.setText(since)
        self._facts.show_facts(facts(worker, now))
        self._tasks.tick(now)
        self._about.setCurrentIndex(0 if worker.stats is None else 1)
        if worker.stats is not None:
            self._statistics.show_json(worker.stats)


def facts(worker: Worker, now: float) -> list[Fact]:
    """What is known of a worker, in words; what is not known is left out."""
    busy = "" if worker.active is None else f"{worker.active} of {formats.count(worker.slots)} busy"
    failed, share = formats.count(worker.failed), formats.percent(failed_share(worker))
    found = [
        Fact("Slots", busy if worker.slots is not None else "" if worker.active is None else f"{worker.active} busy"),
        Fact("Pool", worker.pool or ""),
        *(Fact("" if at else "Consumes", queue, literal=True) for at, queue in enumerate(worker.queues or ())),
        Fact("Prefetch", "" if worker.prefetch is None else formats.count(worker.prefetch)),
        Fact("Events", _EVENTS[worker.events], tone="error" if worker.events is False else ""),
        Fact("Processed", "" if worker.processed is None else formats.count(worker.processed), tip="As it counts them"),
        Fact(
            "Missed",
            "" if worker.processed is None else formats.count(worker.missed),
            tip="Tasks it began, by its own count, that we were not told of",
        ),
        Fact("Succeeded", formats.count(worker.succeeded), tip="As we saw them"),
        Fact("Failed", f"{failed} ({share})", tip="As we saw them", tone="error" if worker.failed else ""),
        Fact("Retried", formats.count(worker.retried), tip="As we saw them"),
        Fact("Load", " · ".join(f"{load:.2f}" for load in worker.load or ()), tip="Over 1, 5 and 15 minutes"),
        Fact("Last heard", f"{formats.age(heard(worker, now))} ago"),
        Fact("Heartbeat", "" if worker.freq is None else f"every {formats.duration(worker.freq)}"),
        Fact("Uptime", "" if uptime(worker, now) is None else formats.coarse(uptime(worker, now))),
        Fact("Version", worker.software or ""),
        Fact("System", worker.system or ""),
        Fact("Process", "" if worker.pid is None else str(worker.pid), literal=True),
        Fact(
            "Clock",
            "" if worker.clock_offset is None else formats.clock_offset(worker.clock_offset),
            tip="Its clock against ours",
        ),
        Fact("First seen", formats.date_time(worker.seen), tip=formats.iso_utc(worker.seen)),
        Fact("Asked", "" if worker.inspected is None else f"{formats.age(now - worker.inspected)} ago"),
    ]
    return [fact for fact in found if fact.value]


def _framed(tree: JsonTree) -> QWidget:
    page = QWidget()
    layout = QVBoxLayout(page)
    layout.setContentsMargins(6, 8, 1, 1)
    layout.addWidget(tree)
    return page


def _padded(widget: QWidget) -> QWidget:
    page = QWidget()
    layout = QVBoxLayout(page)
    layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
    layout.addWidget(widget)
    layout.addStretch(1)
    return page
