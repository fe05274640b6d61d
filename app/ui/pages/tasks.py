"""Every task, newest first: a search over history that follows what happens, and all about the one selected."""

import time
from typing import Final

from PySide6.QtCore import QModelIndex, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout

from app.models import states
from app.models.history.errors import HistoryError
from app.models.history.reader import Reader, TaskRow
from app.models.qt.tasks import TaskTableModel
from app.models.records import Task
from app.ui.live import TimeRange, View
from app.ui.pages import task_columns, tasks_read, tasks_words
from app.ui.pages.pace import Pace
from app.ui.pages.task_inspector import TaskInspector
from app.ui.pages.tasks_read import Ask, Found
from app.ui.supervisor import Connection
from app.ui.theme import ThemeManager
from app.ui.widgets.filter_bar import FilterBar
from app.ui.widgets.follow import Follow
from app.ui.widgets.inspector import Panes
from app.ui.widgets.rows import GAP, MARGIN
from app.ui.widgets.table import RecordTable
from app.ui.widgets.ticker import Ticker

#: Rows the table holds; older ones are found by a narrower search.
LIMIT: Final = 20_000
#: Seconds between two counts: the number of a thousand tasks need not be exact to the second.
_COUNT_EVERY: Final = 1.0
_SLOW: Final = 300


class TasksPage(View):
    """A bounded table of tasks under a search, and an inspector.

    While it follows, the newest tasks appear on top; to scroll down or to select a row stops that, and then a button
    tells how many are new. What is in view is read again all the time.
    """

    refresh_ms = 200
    #: Workers should tell of their tasks.
    events_wanted = Signal(bool)

    def __init__(self, theme: ThemeManager, time_range: TimeRange) -> None:
        super().__init__(time_range)
        self.setProperty("role", "page")
        self._filter = FilterBar(theme)
        self._model = TaskTableModel(LIMIT, self)
        self._table = RecordTable(theme, self._model, task_columns.ALL)
        self._table.setAccessibleName("Tasks")
        self._inspector = TaskInspector(theme)
        self._follow = Follow(theme)
        self._fresh = True
        self._token = 0
        self._shown_range = (time_range.span, time_range.end)
        self._now = time.time()
        self._took = 0.0
        self._stale = False
        self._page_pace, self._count_pace = Pace(), Pace(_COUNT_EVERY)
        self._inspected: str | None = None
        self._ticker = Ticker(self)
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._lay_out()
        self._connect()
        self.setFocusProxy(self._table)

    @property
    def following(self) -> bool:
        """Whether the newest tasks appear by themselves."""
        return self._follow.on

    def search_for(self, text: str) -> None:
        """Show the tasks that a search finds."""
        self._filter.set_text(text)

    def focus_filter(self) -> None:
        """Let the user type a search."""
        self._filter.focus()

    def show_task(self, uuid: str) -> None:
        """Open the inspector on a task, be it in the table or not."""
        self._inspected = uuid
        self._inspector.show()
        self.spawn(self._read_task(uuid))

    def set_following(self, following: bool) -> None:
        """Follow what happens, from the top, or stand still."""
        if following and not self._follow.on:
            self._table.clearSelection()
            self._table.setCurrentIndex(QModelIndex())
            self._table.scrollToTop()
            self._fresh = True
        self._follow.turn(on=following)
        if following:
            self.reload()

    def set_connection(self, connection: Connection | None) -> None:
        self._begin_anew()
        self._close_inspector()
        self._model.show([], complete=True)
        self._table.set_empty("")
        super().set_connection(connection)

    async def load(self) -> None:
        connection = self.connection
        if connection is None:
            return
        alive = None if connection.live else await connection.query(Reader.alive)
        token, ask = self._token, self._ask(alive)
        if self._fresh:
            self._patience.start(_SLOW)
        try:
            found = await connection.query(lambda reader: tasks_read.read(reader, ask))
        finally:
            self._patience.stop()
        # An answer to an older search, or of another broker, is of no use.
        if token == self._token and connection is self.connection:
            self._show(ask, found, connection)

    async def prepare_shot(self) -> None:
        """Select a task worth looking at: a failed one with its traceback, if there is one."""
        await self.settled()
        rows = self._model.records()
        failed = [row for row in rows if row.state == states.FAILURE]
        chosen = next(iter(failed or rows), None)
        if chosen is not None:
            self._table.go_to(chosen.id, centre=True)
            self._open(chosen.id)
            await self.settled()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_F and not event.modifiers():
            self.set_following(not self._follow.on)
        elif event.key() == Qt.Key.Key_Slash:
            self.focus_filter()
        elif event.key() == Qt.Key.Key_Escape and self._inspector.isVisible():
            self._close_inspector()
        else:
            super().keyPressEvent(event)

    def _ask(self, alive: float | None) -> Ask:
        span = self.range.bounds(alive)
        self._now = span.end if self.range.end is None else time.time() if alive is None else alive
        follow = self._fresh or (self._follow.on and self._page_pace.due)
        rows = self._model.records()
        first, last = self._table.visible_rows()
        return Ask(
            search=self._filter.search,
            span=span,
            live=self.range.live,
            top=None if follow else rows[0].id if rows else 0,
            shown=() if follow else tuple(rows[first : last + 1]),
            inspected=self._inspected,
            count=self._fresh or self._count_pace.due,
        )

    def _show(self, ask: Ask, found: Found, connection: Connection) -> None:
        self._model.set_workers(found.workers)
        self._model.update(found.changed)
        if found.page is not None:
            self._took = found.took
            self._page_pace.answered(found.took)
            if self._follow.on or self._fresh:  # else the user chose a row meanwhile: it must not move
                self._show_page(found.page, ask)
        if found.nothing is not None:
            why = tasks_words.why_nothing(found.nothing, self._now, connection.health, operates=connection.operates)
            self._table.set_empty(*why)
        if found.total is not None:
            self._count_pace.answered(found.counting)
            limit = LIMIT if self._model.full else None
            self._filter.set_result(tasks_words.found_text(found.total, took=self._took, limit=limit))
        self._stale = found.total is None or (found.page is None and self._follow.on)
        self._follow.show_new(tasks_words.new_text(found.new, counted=ask.search.matches_all))
        self._tick_to(self._now)
        if found.task is not None and found.task.uuid == self._inspected:
            self._show_task(found.task)

    def _show_page(self, page: list[TaskRow], ask: Ask) -> None:
        known = self._model.records()
        complete = len(page) < tasks_read.PAGE
        if complete or self._fresh or not known or page[-1].id > known[0].id:
            self._model.show(page, complete=complete)
        else:
            self._model.replace_between(page[-1].id, None, page)
            self._model.trim(ask.span.start)
        if self._fresh:
            self._table.scrollToTop()
            self._fresh = False

    def _tick(self) -> None:
        if self._stale:  # what rested when history grew is read now, even if it grows no more
            self.touch()
        if not self.range.paused and self.connection is not None and self.connection.live:
            self._now = time.time()
            self._tick_to(self._now)

    def _tick_to(self, now: float) -> None:
        self._model.tick(now, *self._table.visible_rows())

    def _row_chosen(self, key: int) -> None:
        self._follow.turn(on=False)
        if self._inspector.isVisible():
            self._open(key)

    def _open(self, key: int) -> None:
        self._follow.turn(on=False)
        row = self._model.find(key)
        if row is not None:
            self.show_task(self._model.record(row).uuid)
            QTimer.singleShot(0, self._table, self._table.show_current)

    async def _read_task(self, uuid: str) -> None:
        if self.connection is None:
            return
        task = await self.connection.query(lambda reader: reader.task(uuid))
        if task is not None and uuid == self._inspected:
            self._show_task(task)

    def _show_task(self, task: Task) -> None:
        self._inspector.show_task(task, self._now)

    def _close_inspector(self) -> None:
        self._inspected = None
        self._inspector.put_away(self._table)

    def _scrolled(self, value: int) -> None:
        if value > 0 and not self._fresh:
            self._follow.turn(on=False)

    def _want_older(self, before: int) -> None:
        self.spawn(self._read_older(before, self._token))

    async def _read_older(self, before: int, token: int) -> None:
        connection = self.connection
        if connection is None:
            return
        ask = Ask(self._filter.search, self.range.bounds(self._now), live=self.range.live)
        try:
            rows = await connection.query(lambda reader: tasks_read.older(reader, ask, before))
        except HistoryError:
            self._model.page_failed()
            raise
        known = self._model.records()
        # Only what continues the rows that are here now; another search, or a leap to newer tasks, has ended the rest.
        if token == self._token and known and known[-1].id == before:
            self._model.append_page(rows, complete=len(rows) < tasks_read.PAGE)
        else:
            self._model.page_failed()

    async def _read_values(self) -> None:
        if self.connection is not None:
            span = self.range.bounds(self._now)
            self._filter.set_values(await self.connection.query(lambda reader: tasks_read.values(reader, span)))

    def _searched(self) -> None:
        self._begin_anew()
        self.reload()

    def _range_changed(self) -> None:
        shown = (self.range.span, self.range.end)
        if shown != self._shown_range:  # to go on after a pause is no reason to lose one's place
            self._shown_range = shown
            self._begin_anew()
        super()._range_changed()

    def _begin_anew(self) -> None:
        """What was asked before no longer matters."""
        self._token += 1
        self._fresh = True
        self._page_pace.hurry()
        self._count_pace.hurry()
        self._follow.turn(on=True)

    def _connect(self) -> None:
        self._model.wanted.connect(self._want_older)
        self._table.current_changed.connect(self._row_chosen)
        self._table.opened.connect(self._open)
        self._table.empty_asked.connect(lambda: self.events_wanted.emit(True))
        self._table.verticalScrollBar().valueChanged.connect(self._scrolled)
        self._inspector.closed.connect(self._close_inspector)
        self._filter.searched.connect(self._searched)
        self._filter.left.connect(self._table.setFocus)
        self._filter.entered.connect(lambda: self.spawn(self._read_values()))
        self._follow.wanted.connect(self.set_following)
        self._ticker.timeout.connect(self._tick)
        self._patience.timeout.connect(lambda: self._filter.set_result("searching …"))

    def _lay_out(self) -> None:
        bar = QHBoxLayout()
        bar.setSpacing(8)
        bar.addWidget(self._filter, 1)
        bar.addWidget(self._follow, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(GAP)
        layout.addLayout(bar)
        layout.addWidget(Panes(self._table, self._inspector), 1)
