"""What workers can be told: the one that is looked at, or all that are selected."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from PySide6.QtCore import QObject, QPoint, Signal

from app.models.acts import Steer, Steering
from app.models.qt.workers import WorkerTableModel
from app.models.signs import ALIVE
from app.ui.live import View
from app.ui.pages import tasks_read
from app.ui.pages.worker_inspector import WorkerInspector
from app.ui.theme import ThemeManager
from app.ui.widgets.act_buttons import ActButton, Entry, Foot, MenuButton, pop_up, why_not
from app.ui.widgets.selection_bar import SelectionBar
from app.ui.widgets.steer_dialog import COMMANDS, Command, SteerDialog
from app.ui.widgets.table import RecordTable

_GONE: Final = "It is gone: nobody would hear it."
_SAYS: Final = "Tell it to change its pool, its queues or its limits"
_END: Final = "Have it finish what it runs, and end"


class WorkerActs(QObject):
    """The line under the inspector, that under the table, and the menu of rows. ``wanted`` carries a wish."""

    wanted = Signal(object)

    def __init__(
        self, page: View, theme: ThemeManager, table: RecordTable, model: WorkerTableModel, inspector: WorkerInspector
    ) -> None:
        super().__init__(page)
        self._page, self._table, self._model = page, table, model
        self._shown: str | None = None
        self.menu = MenuButton(theme, "Actions", _SAYS, lambda: self._entries(self._looked_at()))
        self.end = ActButton("Shut down …", _END, kind="danger")
        self.foot = Foot(self.menu, self.end)
        self.menu_many = MenuButton(theme, "Actions", _SAYS, lambda: self._entries(self._selected()))
        self.end_many = ActButton("Shut down …", _END, kind="danger")
        self.bar = SelectionBar(theme, self.menu_many, self.end_many)
        inspector.stand_on(self.foot)
        self.end.clicked.connect(lambda: self._tell("shutdown", self._looked_at()))
        self.end_many.clicked.connect(lambda: self._tell("shutdown", self._selected()))
        self.bar.dropped.connect(table.select_nothing)
        table.selected.connect(self.refresh)
        table.menu_asked.connect(self._pop_up)
        self.refresh()

    def show_worker(self, hostname: str | None) -> None:
        """The inspector is about this worker."""
        self._shown = hostname
        self.refresh()

    def refresh(self) -> None:
        """What can be done may be something else now."""
        connection = self._page.connection
        refused = why_not(connection)
        live = connection is not None and connection.live
        gone = "" if self._alive(self._looked_at()) else _GONE
        for button in (self.menu, self.end):
            button.allow(refused or gone)
        for button in (self.menu_many, self.end_many):
            button.setVisible(live)
            button.allow(refused or ("" if self._alive(self._selected()) else _GONE))
        self.foot.setVisible(live)
        self.foot.say(f"locked: {connection.profile.mode} only" if live and refused and connection else "", refused)
        number = self._table.selected_number()
        self.bar.show_number(number if live else 0)

    def _looked_at(self) -> list[str]:
        return [] if self._shown is None else [self._shown]

    def _selected(self) -> list[str]:
        return [str(self._table.key_at(row)) for row in self._table.selected_rows()]

    def _alive(self, names: Sequence[str]) -> list[str]:
        """Those of workers that hear what they are told."""
        alive = {worker.hostname for worker in self._model.records() if worker.state in ALIVE}
        return [name for name in names if name in alive]

    def _entries(self, names: Sequence[str], refused: str = "") -> list[Entry]:
        """Menu lines for all commands but to shut down."""
        lines: list[Entry] = []
        group = 0
        for command in COMMANDS:
            if command.group != group:
                lines.append(Entry())
                group = command.group
            lines.append(Entry(f"{command.title} …", partial(self._ask, command, list(names)), refused))
        return lines

    def _pop_up(self, at: QPoint) -> None:
        connection, names = self._page.connection, self._selected()
        if connection is None or not connection.live or not names:
            return
        refused = why_not(connection) or ("" if self._alive(names) else _GONE)
        end = Entry("Shut down …", partial(self._tell, "shutdown", names), refused)
        pop_up(self._table, [*self._entries(names, refused), Entry(), end], at)

    def _ask(self, command: Command, names: list[str]) -> None:
        if command.fields:
            self._page.spawn(self._fill_in(command, self._alive(names)))
        else:
            self._tell(command.name, names)

    def _tell(self, command: Steering, names: Sequence[str]) -> None:
        if alive := self._alive(names):
            self.wanted.emit(Steer(command, alive))

    async def _fill_in(self, command: Command, names: list[str]) -> None:
        connection = self._page.connection
        if connection is None or not names:
            return
        span = self._page.range.bounds(None)
        known = await connection.query(lambda reader: tasks_read.values(reader, span))
        if command.name == "cancel_consumer":
            told = [worker for worker in self._model.records() if worker.hostname in names]
            known["queue"] = sorted({queue for worker in told for queue in worker.queues or ()})
        dialog = SteerDialog(self._page, command, names, known)
        dialog.wished.connect(self.wanted)
        dialog.open()
