"""Pages over all brokers: what each of them answers to the same question, side by side."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QVBoxLayout

from app.models.history.charts import Span
from app.models.history.errors import HistoryError
from app.models.history.reader import Reader
from app.models.profiles import Profile
from app.models.qt.across import AcrossModel, Side
from app.models.qt.queues import QueueRow, QueueTableModel
from app.models.qt.table import RecordTableModel, SortedTable
from app.models.qt.workers import Column, WorkerTableModel, has_left
from app.models.records import Worker
from app.ui import words
from app.ui.live import TimeRange, View
from app.ui.pages import queues, workers
from app.ui.supervisor import Connection
from app.ui.theme import ThemeManager
from app.ui.widgets.labels import PlainLabel
from app.ui.widgets.rows import GAP, MARGIN
from app.ui.widgets.table import RecordTable, Width

A = TypeVar("A")
R = TypeVar("R")

#: The column that names the broker.
BROKER: Final = Width(108, weight=1)


def tone(profile: Profile) -> str:
    """Token of the theme that a broker's name is written in."""
    return "" if profile.environment == "unknown" else words.ENVIRONMENTS[profile.environment][0]


class AcrossPage(View, Generic[A]):
    """Asks all connections the same, and shows the answers; one that can't be read costs the others nothing.

    Subclasses implement `question` and `show_answers`. Signals: ``opened`` with a connection, and the name of what the
    user wants to see of it (a queue, a hostname, the id of a task; "" for all).
    """

    refresh_ms = 1000
    opened = Signal(object, str)

    def question(self, connection: Connection, span: Span) -> Callable[[Reader], A]:
        """What to ask a connection's history, in the query thread."""
        raise NotImplementedError

    async def show_answers(self, answers: Sequence[A | str], span: Span) -> None:
        """Show the answer of each connection, or the sentence why there is none."""
        raise NotImplementedError

    async def load(self) -> None:
        asked = self.connections
        span = await common_span(asked, self.range)
        answers = await asyncio.gather(*(self._answer(one, span) for one in asked))
        if asked == self.connections:
            await self.show_answers(answers, span)

    async def _answer(self, connection: Connection, span: Span) -> A | str:
        try:
            return await connection.query(self.question(connection, span))
        except HistoryError as error:
            return unread(connection, error)


async def common_span(connections: Sequence[Connection], time_range: TimeRange) -> Span:
    """The span that is shown of all of them: up to now, or to where the last of the recordings ends."""
    if any(one.live for one in connections):
        return time_range.bounds(None)
    ends = await asyncio.gather(*(_end(one) for one in connections))
    return time_range.bounds(max(ends, default=time.time()))


async def _end(connection: Connection) -> float:
    try:
        return await connection.query(Reader.alive) or 0.0
    except HistoryError:
        return 0.0


def unread(connection: Connection, error: HistoryError) -> str:
    """Why nothing is known of a connection: its broker was never reached, or else what is wrong with its history."""
    title, text = words.not_reached(connection.health)
    return f"{title}. {text}" if title and not connection.history.exists() else str(error)


def on_card(table: RecordTable) -> QFrame:
    """A table in the frame that it has on a broker's own page, too."""
    card = QFrame()
    card.setProperty("role", "card")
    inside = QVBoxLayout(card)
    inside.setContentsMargins(1, 1, 1, 1)
    inside.addWidget(table)
    return card


class AcrossTable(AcrossPage[A], Generic[A, R]):
    """The same table of several brokers as one. Subclasses implement `question` and `fill`."""

    def __init__(
        self,
        theme: ThemeManager,
        time_range: TimeRange,
        make: Callable[[], RecordTableModel[R]],
        widths: Sequence[Width],
        empty: tuple[str, str],
    ) -> None:
        super().__init__(time_range)
        self.setProperty("role", "page")
        self._make = make
        self._empty = empty
        self._models: list[RecordTableModel[R]] = []
        self._across = AcrossModel(make(), self)
        self.table = RecordTable(theme, SortedTable(self._across, self), (BROKER, *widths))
        self._missing = PlainLabel(role="small")
        self._missing.setWordWrap(True)
        self._missing.hide()
        self.table.opened.connect(self._open)
        self.setFocusProxy(self.table)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(GAP)
        layout.addWidget(on_card(self.table), 1)
        layout.addWidget(self._missing)

    #: Columns that read differently as time goes by.
    changing: tuple[int, ...] = ()

    def fill(self, model: RecordTableModel[R], answer: A, now: float) -> None:
        """Let a connection's own model hold what it answered."""
        raise NotImplementedError

    def watch(self, connections: Sequence[Connection]) -> None:
        self._models = [self._make() for _ in connections]
        self._across.set_sides(
            [
                Side(one.profile.name, tone(one.profile), model)
                for one, model in zip(connections, self._models, strict=True)
            ]
        )
        self.table.set_empty("")
        super().watch(connections)

    async def show_answers(self, answers: Sequence[A | str], span: Span) -> None:
        missing = []
        for connection, model, answer in zip(self.connections, self._models, answers, strict=True):
            if isinstance(answer, str):
                model.replace([])
                missing.append(f"Nothing is known of {connection.profile.name}. {answer}")
            else:
                self.fill(model, answer, span.end)
        self._across.show(changing=self.changing)
        self._missing.setText("\n".join(missing))
        self._missing.setVisible(bool(missing))
        self.table.set_empty(*self._empty)

    def _open(self, key: tuple[int, str]) -> None:
        place, name = key
        self.opened.emit(self.connections[place], name)


class AcrossQueues(AcrossTable[queues.Found, QueueRow]):
    """Every queue of every broker."""

    def __init__(self, theme: ThemeManager, time_range: TimeRange) -> None:
        empty = ("No queue has been seen on any of these brokers", "Choose one of them to see what to look at.")
        super().__init__(theme, time_range, QueueTableModel, queues.WIDTHS, empty)
        self.table.setAccessibleName("Queues of all brokers")

    def question(self, connection: Connection, span: Span) -> Callable[[Reader], queues.Found]:
        del connection
        return partial(queues.read, span=span, step=self.range.step())

    def fill(self, model: RecordTableModel[QueueRow], answer: queues.Found, now: float) -> None:
        del now
        if isinstance(model, QueueTableModel):
            model.show(answer.queues, answer.ready, answer.flows)


class AcrossWorkers(AcrossTable[list[Worker], Worker]):
    """Every worker of every broker, without those that left."""

    changing = (Column.STATE, Column.UPTIME, Column.HEARTBEAT)

    def __init__(self, theme: ThemeManager, time_range: TimeRange) -> None:
        empty = ("No worker is heard on any of these brokers", "Choose one of them to see what to look at.")
        # Who it is matters more here than its state at length.
        state = Width(100)
        super().__init__(theme, time_range, WorkerTableModel, (state, *workers.WIDTHS[1:]), empty)
        self.table.setAccessibleName("Workers of all brokers")
        self.table.sortByColumn(Column.STATE + 1, Qt.SortOrder.AscendingOrder)  # trouble first

    def question(self, connection: Connection, span: Span) -> Callable[[Reader], list[Worker]]:
        del connection, span
        return Reader.workers

    def fill(self, model: RecordTableModel[Worker], answer: list[Worker], now: float) -> None:
        model.replace([worker for worker in answer if not has_left(worker, now)])
        if isinstance(model, WorkerTableModel):
            model.tick(now)
