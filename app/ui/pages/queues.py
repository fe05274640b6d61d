"""Every queue, consumed or not: what waits, where it is going, and all about the one selected."""

import time
from collections.abc import Hashable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

import msgspec

from app.models import formats
from app.models.history.charts import Series, Span
from app.models.history.reader import Reader
from app.models.qt.queues import FLOW_SPAN, FLOW_STEP, Flow, QueueRow, QueueTableModel, flow
from app.models.quarantines import ROLE
from app.models.records import Gap, Queue, Worker
from app.models.wire import Notice
from app.ui import words
from app.ui.live import TimeRange
from app.ui.pages.queue_acts import QueueActs
from app.ui.pages.queue_inspector import QueueInspector
from app.ui.pages.table_page import TablePage
from app.ui.supervisor import Connection
from app.ui.theme import ThemeManager
from app.ui.widgets.crosshair import Crosshair
from app.ui.widgets.export_line import ExportLine, ending
from app.ui.widgets.listed_switch import ListedSwitch
from app.ui.widgets.table import Width
from app.ui.widgets.waiting import PAGE

_EMPTY: Final = (
    "No queue has been seen",
    (
        "A queue is known once a worker consumes it or a task is sent to it. If there should be one, look "
        "whether this user may read the broker's keys, and whether this is the right database or virtual host."
    ),
)
#: What `flow` is told from.
_FLOWS: Final = ("ready", "in", "out", "rate_in", "rate_out")
WIDTHS: Final = (
    Width(116, weight=3),
    Width(58, weight=1),
    Width(100, weight=1, rank=4),
    Width(72, weight=1, rank=5),
    Width(84, weight=1, rank=1),
    Width(64, weight=1, rank=7),
    Width(66, weight=1, rank=6),
    Width(76, weight=1, rank=3),
    Width(88, weight=1, rank=2),
    Width(104, weight=2),
)


class Found(msgspec.Struct, frozen=True):
    """What is read of one broker's queues; series are by queue."""

    queues: list[Queue]
    ready: dict[str, Series]
    unacked: dict[str, Series]
    flows: dict[str, Flow]
    workers: list[Worker]
    gaps: list[Gap]


class QueuesPage(TablePage):
    """The table of queues with the trend of each, and an inspector."""

    refresh_ms = 500

    def __init__(self, theme: ThemeManager, time_range: TimeRange) -> None:
        self._queues = QueueTableModel()
        self._details = QueueInspector(theme, Crosshair())
        self._purged = ListedSwitch(_purged_words, listed=True)
        self._exporting = ExportLine(theme)
        super().__init__(
            theme, time_range, self._queues, WIDTHS, self._details, above=self._exporting, below=self._purged
        )
        self._acts = QueueActs(self, theme, self._details, self._names)
        self._acts.wanted.connect(self.act_wanted)
        self._acts.export_wanted.connect(lambda row, path: self.spawn(self._export(row, Path(path))))
        self._exporting.stopped.connect(self._stop_export)
        self._purged.toggled.connect(self.reload)
        self._queues.setParent(self)
        self.table.setAccessibleName("Queues")
        self._details.chart.range_selected.connect(time_range.look_back)
        self._details.chart.reset.connect(time_range.go_live)
        self._details.messages_wanted.connect(lambda *wanted: self.spawn(self._look_into(*wanted)))
        self._details.search_wanted.connect(lambda *wanted: self.spawn(self._look_through(*wanted)))
        self._details.search_stopped.connect(self._look_no_further)

    async def load(self) -> None:
        connection = self.connection
        if connection is None:
            return
        alive = None if connection.live else await connection.query(Reader.alive)
        span, step = self.range.bounds(alive), self.range.step()
        found = await connection.query(lambda reader: read(reader, span, step))
        if connection is not self.connection:
            return
        purged = [queue for queue in found.queues if queue.role == ROLE]
        self._purged.show_number(len(purged))
        hidden = [] if self._purged.listed else [queue for queue in purged if queue.name != self.inspected]
        shown = [queue for queue in found.queues if queue not in hidden]
        self._queues.show(shown, found.ready, found.flows)
        if not found.queues:
            unreached = words.not_reached(connection.health)
            self.table.set_empty(*(unreached if unreached[0] else _EMPTY))
        self._show_inspected(found, span, step, time.time() if alive is None else alive)

    async def _look_into(self, queue: str, start: int, newest: bool, agreed: bool) -> None:
        connection = self.connection
        if connection is None:
            return
        found = await connection.peek(queue, start, PAGE, newest=newest, agreed=agreed)
        if connection is self.connection:
            self._details.show_messages(queue, found)

    async def _look_through(self, queue: str, wanted: str, further: bool) -> None:
        connection = self.connection
        if connection is None:
            return
        async with aclosing(connection.search(queue, wanted, further=further)) as answers:
            async for found in answers:
                if connection is not self.connection:
                    break
                self._details.show_survey(queue, wanted, found)

    def _look_no_further(self) -> None:
        if self.connection is not None:
            self.connection.stop_search()

    async def _export(self, row: QueueRow, path: Path) -> None:
        """Have all that waits in a queue written to a file, and say how far that is."""
        connection, queue = self.connection, row.queue.name
        if connection is None:
            return
        self._exporting.begin(queue, row.queue.ready)
        async with aclosing(connection.exports.write(queue, path)) as answers:
            async for told in answers:
                if told.state != "writing":
                    self._tell_exported(connection, ending(queue, told, str(path)), error=told.state == "failed")
                elif connection is self.connection:
                    self._exporting.show_progress(told)

    def _tell_exported(self, connection: Connection, text: str, *, error: bool) -> None:
        """Say what came of an export where it was begun, and wherever the user is by then."""
        if connection is self.connection:
            self._exporting.show_end(text, error=error)
        if connection is not self.connection or not self.isVisible():
            connection.noticed.emit(Notice("export", text, "error" if error else "info"))

    def _stop_export(self) -> None:
        if self.connection is not None:
            self.connection.exports.stop()

    def watch(self, connections: Sequence[Connection]) -> None:
        self._exporting.hide()
        super().watch(connections)
        self._details.forget_messages()

    def close_inspector(self) -> None:
        self._look_no_further()
        super().close_inspector()

    def _names(self) -> list[str]:
        """The queues that there are, but for quarantines."""
        return [row.queue.name for row in self._queues.records() if row.source is None]

    def most_telling(self) -> Hashable | None:
        rows = self._queues.records()
        most = max(rows, key=lambda row: (row.unattended, row.queue.ready or 0), default=None)
        return None if most is None else most.queue.name

    def _show_inspected(self, found: Found, span: Span, step: float, now: float) -> None:
        row = next((row for row in self._queues.records() if row.queue.name == self.inspected), None)
        self._acts.show_queue(row)
        if row is None:
            return
        name = row.queue.name
        self._details.show_queue(row, found.workers, now)
        series = {"ready": found.ready.get(name), "unacked": found.unacked.get(name)}
        self._details.show_trend(span, step, series, found.gaps)


def _purged_words(number: int) -> str:
    return formats.number_of(number, "quarantined purge")


def read(reader: Reader, span: Span, step: float) -> Found:
    """All queues with their trends over a span and their flow lately; raises `HistoryError`."""
    lately = Span(span.end - FLOW_SPAN, span.end)
    queues = reader.queues()
    measured = [reader.gauge(f"queue.{kind}", lately, FLOW_STEP) for kind in _FLOWS]
    return Found(
        queues=queues,
        ready=reader.gauge("queue.ready", span, step),
        unacked=reader.gauge("queue.unacked", span, step),
        flows={queue.name: flow(*(one.get(queue.name) for one in measured)) for queue in queues},
        workers=reader.workers(),
        gaps=reader.gaps(span),
    )
