"""Every task, newest first: a search over history that follows what happens, and all about the one selected."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from PySide6.QtCore import QModelIndex, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout

from app.models import states
from app.models.history.errors import HistoryError
from app.models.history.reader import Reader
from app.models.qt.tasks import TaskTableModel
from app.models.records import Task
from app.ui.live import TimeRange, View
from app.ui.pages import task_columns, tasks_read, tasks_words
from app.ui.pages.pace import Pace
from app.ui.pages.task_acts import Shown, TaskActs
from app.ui.pages.task_inspector import TaskInspector
from app.ui.pages.tasks_read import Ask, Found, Hunt, Part
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
#: Milliseconds after which a search says that it goes on, and seconds between two words of it.
_SLOW: Final = 300
_SAY_EVERY: Final = 0.1


class TasksPage(View):
    """A bounded table of tasks under a search, and an inspector.

    While it follows, the newest tasks appear on top; to scroll down or to select a row stops that, and then a button
    tells how many are new. What is in view is read again all the time.
    """

    refresh_ms = 200
    #: Workers should tell of their tasks.
    events_wanted = Signal()

    def __init__(self, theme: ThemeManager, time_range: TimeRange) -> None:
        super().__init__(time_range)
        self.setProperty("role", "page")
        self._filter = FilterBar(theme)
        self._model = TaskTableModel(LIMIT, self)
        self._table = RecordTable(theme, self._model, task_columns.ALL)
        self._table.setAccessibleName("Tasks")
        self._inspector = TaskInspector(theme)
        self._follow = Follow(theme)
        self._now = time.time()
        self._total: int | None = None
        self._acts = TaskActs(self, theme, self._table, self._model, self._inspector, self._shown_search)
        self._fresh = True
        self._token = 0
        #: Whether a search goes on, since when there is another one, and when that was last said.
        self._hunting = False
        self._since = self._said = 0.0
        #: The search whose tasks were counted.
        self._counted = -1
        self._shown_range = (time_range.span, time_range.end)
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

    @property
    def search_text(self) -> str:
        """What is searched for."""
        return self._filter.text

    def search_for(self, text: str) -> None:
        """Show the tasks that a search finds."""
        self._filter.set_text(text)

    def focus_filter(self) -> None:
        """Let the user type a search."""
        self._filter.focus()

    def show_task(self, uuid: str) -> None:
        """Open the inspector on a task, be it in the table or not."""
        self._inspected = uuid
        self._acts.show_task(None)
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

    def watch(self, connections: Sequence[Connection]) -> None:
        self._begin_anew()
        self._close_inspector()
        self._model.show([], complete=True)
        self._table.set_empty("")
        super().watch(connections)

    async def load(self) -> None:
        self._acts.refresh()
        connection = self.connection
        if connection is None or (self._fresh and self._hunting):
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
        if self._acts.takes(event):
            return
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
        follow = self._fresh or (self._follow.on and self._page_pace.due and not self._hunting)
        rows = self._model.records()
        first, last = self._table.visible_rows()
        return Ask(
            search=self._filter.search,
            span=span,
            live=self.range.live,
            top=None if follow else rows[0].id if rows else 0,
            shown=() if follow else tuple(rows[first : last + 1]),
            inspected=self._inspected,
            count=self._fresh or (self._count_pace.due and not self._hunting),
        )

    def _show(self, ask: Ask, found: Found) -> None:
        self._model.set_workers(found.workers)
        self._model.update(found.changed)
        if found.part is not None:
            self._take(ask, found.part)
            if not found.part.hunt.done:
                self._hunting = True
                self.spawn(self._search_on(ask, found.part.hunt, self._token))
        self._stale = not ask.count or (ask.top is not None and self._follow.on)
        self._follow.show_new(tasks_words.new_text(found.new, counted=found.counted))
        self._tick_to(self._now)
        if found.task is not None and found.task.uuid == self._inspected:
            self._show_task(found.task)

    async def _search_on(self, ask: Ask, hunt: Hunt, token: int) -> None:
        """Show step by step what is found, until all is searched or something else is asked."""
        try:
            while not hunt.done and token == self._token and self.connection is not None:
                step = partial(tasks_read.go_on, ask=ask, hunt=hunt)
                part = await self.connection.query(step)
                hunt = part.hunt
                if token == self._token:
                    self._take(ask, part)
        finally:
            if token == self._token:
                self._hunting = False

    def _take(self, ask: Ask, part: Part) -> None:
        """Show what a step of a search brought."""
        hunt = part.hunt
        if ask.top is None and (self._fresh or part.low < part.high):  # else it only counted
            self._show_rows(ask, part)
            if not hunt.paging:
                self._took = hunt.paged
                self._page_pace.answered(hunt.paged)
        if part.nothing is not None and self.connection is not None:
            health, operates = self.connection.health, self.connection.operates
            self._table.set_empty(*tasks_words.why_nothing(part.nothing, self._now, health, operates=operates))
        if hunt.total is not None:
            self._counted, self._total = self._token, hunt.total
            self._acts.refresh()
            self._count_pace.answered(hunt.seconds - hunt.paged)
            limit = LIMIT if self._model.full else None
            self._filter.set_result(tasks_words.found_text(hunt.total, took=self._took, limit=limit))
        elif self._counted != self._token and self._is_slow:
            self._say(hunt)

    def _say(self, hunt: Hunt) -> None:
        """Say how far a search has come; one that goes on again for what is new is not worth a word."""
        if time.monotonic() - self._said > _SAY_EVERY:
            self._said = time.monotonic()
            share = hunt.sweep.share
            self._filter.set_result(tasks_words.so_far_text(hunt.found, share))
            self._table.set_empty("Searching …", tasks_words.back_text(hunt.back, share, self._now))

    @property
    def _is_slow(self) -> bool:
        """Whether it takes longer than one looks at what was there before."""
        return time.monotonic() - self._since > _SLOW / 1000

    def _show_rows(self, ask: Ask, part: Part) -> None:
        """Let the table be what was found among the tasks of a step, and leave its other rows alone."""
        hunt, known = part.hunt, self._model.records()
        first = part.high == hunt.sweep.top
        ended = hunt.wanted > 0 and hunt.sweep.done
        leaps = first and bool(known) and bool(part.rows) and part.rows[-1].id > known[0].id
        if self._fresh or leaps:
            if not part.rows and hunt.paging and not self._is_slow:
                return  # what was there before stays for that long: an empty table in between would only flicker
            self._model.show(part.rows, complete=ended or hunt.paging)
            if self._fresh:
                self._table.scrollToTop()
                self._fresh = False
            return
        below = not known or part.high <= known[-1].id
        if self._follow.on or below:  # else the user chose a row meanwhile: it must not move
            self._model.replace_between(part.low, None if first else part.high - 1, part.rows)
            self._model.trim(ask.span.start)
        if not hunt.paging and (below or ended):
            self._model.append_page([], complete=ended)

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

    def _selected(self) -> None:
        """Rows that somebody is about to do something with stand still."""
        if self._table.selected_number():
            self._follow.turn(on=False)

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

    def _shown_search(self) -> Shown:
        """What is shown is what a whole search means: while the picture is frozen, nothing that came since."""
        span = self.range.bounds(self._now)
        grows = self.range.live and not self.range.paused
        return Shown(self._filter.search.text.strip(), span.start, None if grows else span.end, self._total)

    def _show_task(self, task: Task) -> None:
        self._acts.show_task(task)
        self._inspector.show_task(task, self._now)

    def _close_inspector(self) -> None:
        self._inspected = None
        self._acts.show_task(None)
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
        bottom = before
        try:
            part = await connection.query(lambda reader: tasks_read.older(reader, ask, before))
            # Only what continues the rows that are here now: another search, or a leap to newer tasks, ends it.
            while token == self._token and (known := self._model.records()) and known[-1].id == bottom:
                hunt = part.hunt
                self._model.append_page(part.rows, complete=hunt.sweep.done or hunt.paging)
                if not hunt.paging:
                    return
                bottom = self._model.records()[-1].id
                part = await connection.query(partial(tasks_read.go_on, ask=ask, hunt=hunt))
        except HistoryError:
            self._model.append_page([], complete=False)
            raise
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
        self._hunting = False
        self._total = None
        self._since = time.monotonic()
        self._page_pace.hurry()
        self._count_pace.hurry()
        self._follow.turn(on=True)

    def _connect(self) -> None:
        self._model.wanted.connect(self._want_older)
        self._table.current_changed.connect(self._row_chosen)
        self._table.opened.connect(self._open)
        self._table.empty_asked.connect(self.events_wanted)
        self._table.verticalScrollBar().valueChanged.connect(self._scrolled)
        self._inspector.closed.connect(self._close_inspector)
        self._filter.searched.connect(self._searched)
        self._filter.left.connect(self._table.setFocus)
        self._filter.entered.connect(lambda: self.spawn(self._read_values()))
        self._follow.wanted.connect(self.set_following)
        self._ticker.timeout.connect(self._tick)
        self._table.selected.connect(self._selected)
        self._acts.wanted.connect(self.act_wanted)
        self._acts.refused.connect(self.act_refused)
        self._patience.timeout.connect(lambda: self._filter.set_result("searching …"))

    def _lay_out(self) -> None:
        bar = QHBoxLayout()
        bar.setSpacing(8)
        bar.addWidget(self._filter, 1)
        for widget in (self._follow, self._acts.menu):
            bar.addWidget(widget, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(GAP)
        layout.addLayout(bar)
        layout.addWidget(Panes(self._table, self._inspector, self._acts.bar), 1)
