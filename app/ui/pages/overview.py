"""How the broker does as a whole: seven figures, five charts on one time axis, and what each task name costs."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from app.models import formats
from app.models.diagnosis import Finding
from app.models.history.charts import Series
from app.models.history.reader import Reader
from app.models.qt.names import Column, NameTableModel
from app.models.qt.table import SortedTable
from app.models.signs import ALIVE
from app.ui import words
from app.ui.live import TimeRange, View
from app.ui.pages.overview_figures import LABELS, figures
from app.ui.pages.overview_read import Ask, Before, Overview, read, total, whole
from app.ui.pages.pace import Pace
from app.ui.pages.tasks_words import START
from app.ui.supervisor import Connection
from app.ui.theme import ThemeManager
from app.ui.widgets import scale
from app.ui.widgets.charts import TimeChart
from app.ui.widgets.crosshair import Crosshair
from app.ui.widgets.findings import Findings
from app.ui.widgets.labels import PlainLabel
from app.ui.widgets.rows import GAP, MARGIN, Rows
from app.ui.widgets.table import ROW_HEIGHT, RecordTable, Width
from app.ui.widgets.tile import HEIGHT, Tile

_WIDE: Final = 1000
_CHART: Final = 216
#: The table of names is read again at most so often: it sums over all names, and nobody reads faster. Where there are
#: very many names, it rests for longer.
_NAMES_EVERY: Final = 2.0

#: Series of the charts by name, with the theme's token for each.
OUTCOMES: Final = {
    "succeeded": "succeeded",
    "retried": "retrying",
    "failed": "failed",
    "revoked": "revoked",
    "rejected": "rejected",
}
PERCENTILES: Final = {"p50": "accent", "p95": "retrying", "p99": "failed"}
_STEPS: Final = {60.0: "min", 600.0: "10 min", 3600.0: "hour"}
_WIDTHS: Final = (
    Width(200, weight=3),
    Width(88, weight=1),
    Width(112, weight=1, rank=3),
    Width(80, weight=1),
    Width(88, weight=1, rank=2),
    Width(88, weight=1),
    Width(88, weight=1, rank=1),
    Width(152, weight=1),
)


class OverviewPage(View):
    """The first page.

    Signals: ``name_opened`` with a task name that the user wants to see the tasks of, ``acted`` with a finding
    whose button was pressed.
    """

    refresh_ms = 500
    name_opened = Signal(str)
    acted = Signal(object)

    def __init__(self, theme: ThemeManager, time_range: TimeRange) -> None:
        super().__init__(time_range)
        self.setProperty("role", "page")
        self._before: Before | None = None
        self._names_pace = Pace(_NAMES_EVERY)
        self._crosshair = Crosshair(self)
        self._tiles = [Tile(theme, label) for label in LABELS]
        self._findings = Findings(theme)
        self._findings.acted.connect(self.acted)
        self._outcomes = self._chart(theme, "Outcomes", "No finished tasks in this range.", stacked=True)
        self._ready = self._chart(theme, "Waiting by queue", "No queue was measured in this range.")
        self._wait = self._chart(theme, "Queue wait", "No task was started in this range.", unit=scale.DURATION)
        self._run = self._chart(theme, "Run time", "No task finished in this range.", unit=scale.DURATION)
        self._slots = self._chart(theme, "Slots busy", "No worker reported in this range.")
        self._charts = (self._outcomes, self._ready, self._wait, self._run, self._slots)
        self._names = NameTableModel(self)
        self._among = PlainLabel(role="small")
        self._table = RecordTable(theme, SortedTable(self._names, self), _WIDTHS)
        self._lay_out()
        self._fit_table()
        self._label()

    def watch(self, connections: Sequence[Connection]) -> None:
        self._before = None
        self._names_pace.hurry()
        self._findings.show_findings((), 0.0, operates=False)
        super().watch(connections)

    def show_findings(self, findings: Sequence[Finding], now: float, *, operates: bool) -> None:
        """Show what needs attention; ``operates`` if workers may be told something."""
        self._findings.show_findings(findings, now, operates=operates)

    async def load(self) -> None:
        connection = self.connection
        if connection is None:
            return
        alive = None if connection.live else await connection.query(Reader.alive)
        began = time.monotonic()
        ask = Ask(
            span=self.range.bounds(alive),
            step=self.range.step(),
            before=self._before,
            names=self._names_pace.due,
        )
        data = await connection.query(lambda reader: read(reader, ask))
        if connection is not self.connection:
            return
        self._before = data.before
        if data.names is not None:
            self._names_pace.answered(time.monotonic() - began)
        await self._show(data)

    async def _show(self, data: Overview) -> None:
        """Show it chart by chart, so that keys and the mouse never wait for all of them."""
        self._nothing.setVisible(not data.heard)
        title, text = words.not_reached(self.connection.health) if self.connection is not None else ("", "")
        self._nothing_title.setText(title or "No task events yet")
        self._nothing_text.setText(text or _why_nothing(data))
        present = self.range.end is None
        for tile, figure in zip(self._tiles, figures(data, present=present), strict=True):
            tile.show_figure(figure)
        self._show_names(data)
        for chart, series, colours in self._series(data):
            await asyncio.sleep(0)
            chart.set_data(data.span, data.step, series, data.gaps, colours)

    def _series(self, data: Overview) -> tuple[tuple[TimeChart, dict[str, Series], dict[str, str]], ...]:
        slots = {"busy": total(data.active, data.gaps), "slots": total(data.slots, data.gaps)}
        known = {name: one for name, one in slots.items() if one is not None}
        return (
            (self._outcomes, outcomes_of(data), OUTCOMES),
            (self._ready, waiting_of(data), {}),
            (self._wait, data.wait, PERCENTILES),
            (self._run, data.run, PERCENTILES),
            (self._slots, known, {"busy": "accent", "slots": "hint"}),
        )

    def _show_names(self, data: Overview) -> None:
        if data.names is None:
            return
        self._names.show(data.names.rows, data.runs, data.totals.busy)
        shown, total = self._names.rowCount(), data.names.total
        self._among.setText(f"{formats.count(shown)} busiest of {formats.count(total)} names")
        self._among.setVisible(shown < total)
        self._fit_table()

    def _fit_table(self) -> None:
        """The page scrolls, not the table in it."""
        header = self._table.horizontalHeader().height()
        self._table.setMinimumHeight(header + max(3, self._names.rowCount()) * ROW_HEIGHT + 1)

    def _label(self) -> None:
        step = self.range.step()
        text = _STEPS.get(step, f"{step:.0f} s" if step < 60 else f"{step / 60:.0f} min")
        self._outcomes.set_hint(f"tasks per {text}")
        self._ready.set_hint("messages")
        self._wait.set_hint("sent to started")
        self._run.set_hint("measured by workers")
        self._slots.set_hint("tasks running")

    def _go_live(self) -> None:
        self.range.go_live()

    def _range_changed(self) -> None:
        self._names_pace.hurry()
        self._label()
        super()._range_changed()

    def _chart(
        self, theme: ThemeManager, title: str, empty: str, *, unit: scale.Unit = scale.COUNT, stacked: bool = False
    ) -> TimeChart:
        chart = TimeChart(theme, self._crosshair, title, unit=unit, stacked=stacked, empty=empty)
        chart.range_selected.connect(self.range.look_back)
        chart.reset.connect(self._go_live)
        return chart

    def _lay_out(self) -> None:
        self._tile_rows = Rows(self._tiles, HEIGHT, lambda width: (7,) if width >= _WIDE else (4, 3))
        self._chart_rows = Rows(self._charts, _CHART, lambda width: (2, 3) if width >= _WIDE else (2, 2, 1))
        self._nothing, self._nothing_title, self._nothing_text = _notice()
        self._card = QFrame()
        self._card.setProperty("role", "card")
        inside = QVBoxLayout(self._card)
        inside.setContentsMargins(1, 1, 1, 1)
        inside.setSpacing(0)
        inside.addWidget(self._table)
        inside.addWidget(self._among)
        self._among.setContentsMargins(8, 6, 8, 7)
        self._among.hide()
        self._table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._table.setAccessibleName("Task names")
        self._table.set_empty("No task ran in this range.")
        self._table.sortByColumn(Column.SHARE, Qt.SortOrder.DescendingOrder)
        self._table.doubleClicked.connect(lambda index: self.name_opened.emit(str(self._table.key_at(index.row()))))
        page = QWidget()
        page.setProperty("role", "page")
        column = QVBoxLayout(page)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        for part in (self._nothing, self._tile_rows, self._findings, self._chart_rows):
            column.addWidget(part)
        column.addWidget(self._card, 1)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(page)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self._scroll)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        # A taller window gives its height to the charts first, as long as ten rows of the table stay in view.
        room = self.height() - HEIGHT - 2 * GAP - 2 * MARGIN - 11 * ROW_HEIGHT
        self._chart_rows.set_row_height(min(320, max(_CHART, (room - GAP) // 2)))


def outcomes_of(data: Overview) -> dict[str, Series]:
    """Tasks that ended, by outcome: the usual ones, and others where there are any."""
    often = ("succeeded", "retried", "failed")
    shown = {name: one for name, one in data.outcomes.items() if name in often or _highest(one)}
    return {name: whole(one, data.gaps) for name, one in shown.items()}


def waiting_of(data: Overview) -> dict[str, Series]:
    """Messages ready by queue, the longest first; queues that were empty all the time are left out."""
    queues = sorted(data.ready.items(), key=lambda item: -_highest(item[1]))
    return {name: one for name, one in queues if _highest(one)} or dict(queues[:1])


def _highest(series: Series) -> float:
    return max((value for value in series.values if value > 0), default=0.0)


def _notice() -> tuple[QFrame, PlainLabel, PlainLabel]:
    card = QFrame()
    card.setProperty("role", "card")
    card.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    title, text = PlainLabel(role="strong"), PlainLabel(role="secondary")
    text.setWordWrap(True)
    text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    layout = QVBoxLayout(card)
    layout.setContentsMargins(12, 10, 12, 10)
    layout.setSpacing(2)
    layout.addWidget(title)
    layout.addWidget(text)
    card.hide()
    return card, title, text


def _why_nothing(data: Overview) -> str:
    online = sum(1 for worker in data.workers if worker.state in ALIVE)
    mute = sum(1 for worker in data.workers if worker.state in ALIVE and worker.events is False)
    if mute:
        runs = "1 worker runs" if mute == 1 else f"{mute} workers run"
        return f"{runs} without -E: nothing is heard of what they do. {START}"
    if online:
        workers = "1 worker is" if online == 1 else f"{online} workers are"
        return f"{workers} online. If tasks run now, they run without events: start the workers with -E."
    return "No worker was heard either. Start workers with -E (celery -A your_app worker -E), and run a task."
