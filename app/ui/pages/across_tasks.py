"""The tasks of all brokers under one search: where is the task with this id, and what failed anywhere."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from PySide6.QtCore import QModelIndex, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout

from app.models import formats
from app.models.history.charts import Span
from app.models.history.errors import HistoryError
from app.models.history.reader import Reader, TaskRow
from app.models.qt.across import AcrossModel, Side
from app.models.qt.tasks import Column, TaskTableModel
from app.ui.live import TimeRange, View
from app.ui.pages import task_columns, tasks_read
from app.ui.pages.across import BROKER, common_span, tone, unread
from app.ui.pages.pace import Pace
from app.ui.pages.task_acts import acts_by
from app.ui.pages.tasks_read import PAGE, Ask, Part
from app.ui.supervisor import Connection
from app.ui.theme import ThemeManager
from app.ui.widgets.act_buttons import why_not
from app.ui.widgets.filter_bar import FilterBar
from app.ui.widgets.follow import Follow
from app.ui.widgets.labels import PlainLabel
from app.ui.widgets.rows import GAP, MARGIN
from app.ui.widgets.table import RecordTable, on_card

#: Seconds between two counts of what a broker's search finds.
_COUNT_EVERY: Final = 2.0
_CHANGING: Final = (Column.RECEIVED, Column.WAIT, Column.RUN)


class _Hunter:
    """The search on one broker: what it found, how many there are (None while not known), why it failed."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.model = TaskTableModel(PAGE)
        self.total: int | None = None
        self.trouble = ""
        self.busy = False
        self.pace, self.count_pace = Pace(), Pace(_COUNT_EVERY)

    def begin_anew(self) -> None:
        self.total, self.trouble = None, ""
        self.pace.hurry()
        self.count_pace.hurry()


class AcrossTasks(View):
    """The newest tasks of each broker that a search finds, newest first. While it follows, it is read all the time.

    Signals: ``opened`` with a connection and the id of one of its tasks.
    """

    refresh_ms = 500
    opened = Signal(object, str)

    def __init__(self, theme: ThemeManager, time_range: TimeRange) -> None:
        super().__init__(time_range)
        self.setProperty("role", "page")
        self._hunters: list[_Hunter] = []
        self._token = 0
        self._filter = FilterBar(theme)
        self._follow = Follow(theme)
        self._across = AcrossModel(TaskTableModel(0), self)
        self.table = RecordTable(theme, self._across, (BROKER, *task_columns.ALL))
        self.table.setAccessibleName("Tasks of all brokers")
        self._missing = PlainLabel(role="small")
        self._missing.setWordWrap(True)
        self._missing.hide()
        self._lay_out()
        self.table.opened.connect(self._open)
        self.table.current_changed.connect(lambda _: self._follow.turn(on=False))
        self.table.verticalScrollBar().valueChanged.connect(self._scrolled)
        self._follow.wanted.connect(self.set_following)
        self._filter.searched.connect(self._begin_anew)
        self._filter.left.connect(self.table.setFocus)
        self.setFocusProxy(self.table)

    @property
    def search_text(self) -> str:
        """What is searched for."""
        return self._filter.text

    def search_for(self, text: str) -> None:
        """Show the tasks that a search finds."""
        self._filter.set_text(text)

    def set_following(self, following: bool) -> None:
        """Follow what happens, from the top, or stand still."""
        self._follow.turn(on=following)
        if following:
            self.table.clearSelection()
            self.table.setCurrentIndex(QModelIndex())
            self.table.scrollToTop()
            self.reload()

    def watch(self, connections: Sequence[Connection]) -> None:
        self._hunters = [_Hunter(one) for one in connections]
        self._across.set_sides(
            [Side(one.connection.profile.name, tone(one.connection.profile), one.model) for one in self._hunters]
        )
        self._token += 1
        self._follow.turn(on=True)
        super().watch(connections)

    async def load(self) -> None:
        if not self._follow.on:
            return
        span = await common_span(self.connections, self.range)
        for hunter in self._hunters:
            # Each for itself: a search that takes long on one broker does not keep back what another has found.
            if not hunter.busy and hunter.pace.due:
                self.spawn(self._search(hunter, span, self._token))
            else:
                self.touch()  # it has its turn later, though its history may grow no more

    async def _search(self, hunter: _Hunter, span: Span, token: int) -> None:
        """Search one broker from the newest task back, until its page is full and all is counted that is to be."""
        hunter.busy, first, query = True, hunter.total is None, hunter.connection.query
        ask = Ask(self._filter.search, span, self.range.live, count=first or hunter.count_pace.due)
        began, rows = time.monotonic(), list[TaskRow]()
        try:
            workers, part = await query(lambda reader: _begin(reader, ask))
            hunter.model.set_workers(workers)
            hunter.trouble = ""
            while token == self._token:
                rows += part.rows
                if part.hunt.done or first:
                    self._take(hunter, ask, rows, part, span)
                if part.hunt.done:
                    break
                part = await query(partial(tasks_read.go_on, ask=ask, hunt=part.hunt))
        except HistoryError as error:
            hunter.model.show([], complete=True)
            hunter.total, hunter.trouble = 0, unread(hunter.connection, error)
        finally:
            hunter.busy = False
            hunter.pace.answered(time.monotonic() - began)
        if token == self._token:
            self._show(span)
        else:
            self.reload()

    def _take(self, hunter: _Hunter, ask: Ask, rows: list[TaskRow], part: Part, span: Span) -> None:
        if not self._follow.on:  # the user has chosen a row meanwhile: it must not move
            return
        hunter.model.show(rows, complete=True)
        if ask.count and part.hunt.done:
            hunter.total = part.hunt.total if part.hunt.total is not None else len(rows)
            hunter.count_pace.answered(part.hunt.seconds)
        self._show(span)

    def _show(self, span: Span) -> None:
        for hunter in self._hunters:
            hunter.model.tick(span.end)
        self._across.show(order=lambda row: -row.seen, changing=_CHANGING)
        searching = [hunter for hunter in self._hunters if hunter.total is None]
        totals = [hunter.total for hunter in self._hunters if hunter.total is not None]
        found = sum(totals)
        if searching:
            self._filter.set_result(f"searching {len(searching)} of {len(self._hunters)} brokers …")
            self.table.set_empty("Searching …")
        else:
            more = f", the newest {PAGE} of each shown" if max(totals, default=0) > PAGE else ""
            searched = sum(1 for hunter in self._hunters if not hunter.trouble)
            on = formats.number_of(searched, "broker")
            self._filter.set_result(f"{formats.number_of(found, 'task')} on {on}{more}")
            text = "Choose a longer range" + ("." if self._filter.search.matches_all else ", or change the search.")
            self.table.set_empty("No task was found on any of these brokers", text)
        missing = [f"{one.connection.profile.name}: {one.trouble}" for one in self._hunters if one.trouble]
        self._missing.setText("\n".join(missing))
        self._missing.setVisible(bool(missing))

    def _open(self, key: tuple[int, str]) -> None:
        place, uuid = key
        self.opened.emit(self.connections[place], uuid)

    def _scrolled(self, value: int) -> None:
        if value > 0:
            self._follow.turn(on=False)

    def _begin_anew(self) -> None:
        """What was asked before no longer matters."""
        self._token += 1
        for hunter in self._hunters:
            hunter.begin_anew()
        self._follow.turn(on=True)
        self.table.scrollToTop()
        self.reload()

    def _range_changed(self) -> None:
        if not self.range.paused:
            self._begin_anew()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_F and not event.modifiers():
            self.set_following(not self._follow.on)
        elif event.key() == Qt.Key.Key_Slash:
            self._filter.focus()
        elif acts_by(event):
            self.act_refused.emit(why_not(self.connection))
        else:
            super().keyPressEvent(event)

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self._filter, 1)
        line.addWidget(self._follow, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(GAP)
        layout.addLayout(line)
        layout.addWidget(on_card(self.table), 1)
        layout.addWidget(self._missing)


def _begin(reader: Reader, ask: Ask) -> tuple[frozenset[str], Part]:
    workers = frozenset(worker.hostname for worker in reader.workers())
    return workers, tasks_read.go_on(reader, ask, tasks_read.begin(reader, ask))
