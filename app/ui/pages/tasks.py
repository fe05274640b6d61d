"""Every task, newest first: a search over history that follows what happens, and all about the one selected."""

import time
from typing import Final

from PySide6.QtCore import QModelIndex, Qt, QTimer
from PySide6.QtGui import QHideEvent, QKeyEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout

from app.models import formats, states
from app.models.history.errors import HistoryError
from app.models.history.reader import Reader, TaskRow
from app.models.qt.tasks import TaskTableModel
from app.models.records import Task
from app.ui.live import TimeRange, View
from app.ui.pages import tasks_read
from app.ui.pages.task_inspector import TaskInspector
from app.ui.pages.tasks_read import Ask, Found
from app.ui.supervisor import Connection
from app.ui.theme import ThemeManager
from app.ui.widgets.filter_bar import FilterBar
from app.ui.widgets.follow import Follow
from app.ui.widgets.inspector import Panes
from app.ui.widgets.table import RecordTable, Width

MARGIN: Final = 14
#: Rows the table holds; older ones are found by a narrower search.
LIMIT: Final = 20_000
#: A question whose answer took longer than this (in seconds) rests for so many times as long before it is asked again:
#: other questions want their turn.
_LONG: Final = 0.02
_REST: Final = 8.0
_COUNT_EVERY: Final = 1.0
_TICK: Final = 1000
_SLOW: Final = 300
_WIDTHS: Final = (
    Width(103),
    Width(136, weight=3),
    Width(80, weight=5, rank=6),
    Width(85, weight=1, rank=4),
    Width(80, weight=2, rank=5),
    Width(98, rank=2),
    Width(85, rank=1),
    Width(80),
    Width(28, rank=3),
    Width(110, weight=2, rank=7),
)


class TasksPage(View):
    """A bounded table of tasks under a search, and an inspector.

    While it follows, the newest tasks appear on top; to scroll down or to select a row stops that, and then a button
    tells how many are new. What is in view is read again all the time.
    """

    refresh_ms = 200

    def __init__(self, theme: ThemeManager, time_range: TimeRange) -> None:
        super().__init__(time_range)
        self.setProperty("role", "page")
        self._filter = FilterBar(theme)
        self._model = TaskTableModel(LIMIT, self)
        self._table = RecordTable(theme, self._model, _WIDTHS)
        self._table.setAccessibleName("Tasks")
        self._inspector = TaskInspector(theme)
        self._follow = Follow(theme)
        self._following = True
        self._fresh = True
        self._token = 0
        self._shown_range = (time_range.span, time_range.end)
        self._now = time.time()
        self._total: int | None = None
        self._took = 0.0
        self._stale = False
        self._page_due = self._count_due = 0.0
        self._inspected: str | None = None
        self._clock = QTimer(self)
        self._clock.setInterval(_TICK)
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._lay_out()
        self._connect()
        self.setFocusProxy(self._table)

    @property
    def following(self) -> bool:
        """Whether the newest tasks appear by themselves."""
        return self._following

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
        if following and not self._following:
            self._table.clearSelection()
            self._table.setCurrentIndex(QModelIndex())
            self._table.scrollToTop()
            self._fresh = True
        self._following = following
        self._follow.show_following(following=self._following)
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
        found = await connection.query(lambda reader: tasks_read.read(reader, ask))
        self._patience.stop()
        # An answer to an older search, or of another broker, is of no use.
        if token == self._token and connection is self.connection:
            self._show(ask, found)

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
        plain = not event.modifiers()
        if event.key() == Qt.Key.Key_F and plain:
            self.set_following(not self._following)
        elif event.key() == Qt.Key.Key_Slash:
            self.focus_filter()
        elif event.key() == Qt.Key.Key_Escape and self._inspector.isVisible():
            self._close_inspector()
        else:
            super().keyPressEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._clock.start()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._clock.stop()

    def _ask(self, alive: float | None) -> Ask:
        span = self.range.bounds(alive)
        self._now = span.end if self.range.end is None else time.time() if alive is None else alive
        clock = time.monotonic()
        follow = self._fresh or (self._following and clock >= self._page_due)
        rows = self._model.records()
        first, last = self._table.visible_rows()
        return Ask(
            search=self._filter.search,
            span=span,
            live=self.range.live,
            top=None if follow else rows[0].id if rows else 0,
            shown=() if follow else tuple(rows[first : last + 1]),
            inspected=self._inspected,
            count=self._fresh or clock >= self._count_due,
        )

    def _show(self, ask: Ask, found: Found) -> None:
        clock = time.monotonic()
        self._model.set_lost(found.lost)
        if found.page is not None:
            self._page_due = clock + (found.took * _REST if found.took > _LONG else 0.0)
            self._show_page(found.page, ask)
            if found.nothing is not None:
                self._table.set_empty(*tasks_read.why_nothing(found.nothing, self._now))
        else:
            self._model.update(found.changed)
        if found.total is not None:
            self._count_due = clock + max(_COUNT_EVERY, found.counting * _REST)
            self._total = found.total
        self._stale = found.total is None or (found.page is None and self._following)
        self._show_count(found)
        self._show_new(found.new)
        self._tick_to(self._now)
        if found.task is not None and found.task.uuid == self._inspected:
            self._inspector.show_task(found.task, self._now, lost=self._is_lost(found.task))

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

    def _show_count(self, found: Found) -> None:
        if self._total is None:
            return
        noun = "task" if self._total == 1 else "tasks"
        more = f", the newest {formats.count(LIMIT)} shown" if self._model.full else ""
        self._took = found.took if found.page is not None else self._took
        self._filter.set_result(f"{formats.count(self._total)} {noun}{more} · {self._took * 1000:.0f} ms")

    def _show_new(self, new: int) -> None:
        most = tasks_read.MOST_NEW
        text = f"{formats.count(most)}+" if new > most and not self._filter.search.matches_all else formats.count(new)
        self._follow.show_new(f"{text} new" if new and not self._following else "")

    def _tick(self) -> None:
        if self._stale:  # what rested when history grew is read now, even if it grows no more
            self.touch()
        if not self.range.paused and self.connection is not None and self.connection.live:
            self._now = time.time()
            self._tick_to(self._now)

    def _tick_to(self, now: float) -> None:
        self._model.tick(now, *self._table.visible_rows())

    def _row_chosen(self, key: int) -> None:
        self._stop_following()
        if self._inspector.isVisible():
            self._open(key)

    def _open(self, key: int) -> None:
        self._stop_following()
        row = self._model.find(key)
        if row is not None:
            self.show_task(self._model.record(row).uuid)
            QTimer.singleShot(0, self._table, self._keep_in_view)

    def _keep_in_view(self) -> None:
        if self._table.currentIndex().isValid():
            self._table.scrollTo(self._table.currentIndex())

    async def _read_task(self, uuid: str) -> None:
        if self.connection is None:
            return
        task = await self.connection.query(lambda reader: reader.task(uuid))
        if task is not None and uuid == self._inspected:
            self._inspector.show_task(task, self._now, lost=self._is_lost(task))

    def _is_lost(self, task: Task) -> bool:
        return self._model.is_lost(tasks_read.row_of(task))

    def _close_inspector(self) -> None:
        self._inspected = None
        self._inspector.put_away(self._table)

    def _stop_following(self) -> None:
        if self._following:
            self._following = False
            self._follow.show_following(following=self._following)

    def _scrolled(self, value: int) -> None:
        if value > 0 and not self._fresh:
            self._stop_following()

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
        self._total = None
        self._page_due = self._count_due = 0.0
        self._following = True
        self._follow.show_following(following=self._following)

    def _connect(self) -> None:
        self._model.wanted.connect(self._want_older)
        self._table.current_changed.connect(self._row_chosen)
        self._table.opened.connect(self._open)
        self._table.verticalScrollBar().valueChanged.connect(self._scrolled)
        self._inspector.closed.connect(self._close_inspector)
        self._filter.searched.connect(self._searched)
        self._filter.left.connect(self._table.setFocus)
        self._filter.entered.connect(lambda: self.spawn(self._read_values()))
        self._follow.wanted.connect(self.set_following)
        self._clock.timeout.connect(self._tick)
        self._patience.timeout.connect(lambda: self._filter.set_result("searching …"))

    def _lay_out(self) -> None:
        bar = QHBoxLayout()
        bar.setSpacing(8)
        bar.addWidget(self._filter, 1)
        bar.addWidget(self._follow, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(10)
        layout.addLayout(bar)
        layout.addWidget(Panes(self._table, self._inspector), 1)
