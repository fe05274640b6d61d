"""What can be done with a queue and its messages: purged and moved, and put back from a quarantine."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QLineEdit, QPushButton, QWidget

from app.models import formats
from app.models.acts import Delete, Discard, Move, Purge, Restore, Wish
from app.models.qt.queues import QueueRow
from app.ui.live import View
from app.ui.pages.queue_inspector import QueueInspector
from app.ui.theme import ThemeManager
from app.ui.widgets.act_buttons import ActButton, Foot, why_not
from app.ui.widgets.form_dialog import FormDialog, WrongError
from app.ui.widgets.offers import completing
from app.ui.widgets.selection_bar import SelectionBar

_EMPTY: Final = "Nothing waits in it now."
_ORDER: Final = "They go behind what waits there. On Redis, a queue that does not exist is made."


class QueueActs(QObject):
    """The line under the inspector of a queue, and that over it for selected messages. ``wanted`` carries a wish.

    ``others`` gives the names of the queues that messages may be moved to. ``export_wanted`` carries the row of a queue
    whose messages are to be written to a file, and its name.
    """

    wanted = Signal(object)
    export_wanted = Signal(object, str)

    def __init__(
        self, page: View, theme: ThemeManager, inspector: QueueInspector, others: Callable[[], Sequence[str]]
    ) -> None:
        super().__init__(page)
        self._page, self._others = page, others
        self._inspector, self._messages = inspector, inspector.messages
        self._row: QueueRow | None = None
        self.purge = ActButton(
            "Purge …", "Move all that waits into a quarantine, from which it can be restored", kind="danger"
        )
        self.move = ActButton("Move all …", "Move all that waits to another queue")
        self.restore = ActButton("Restore all …", "Put all of it back where it was", kind="primary")
        self.discard = ActButton("Delete for good …", "Really delete it: there is no way back", kind="danger")
        self.export = ActButton("Export …", "Write all that waits to a file; it stays in the queue")
        self.foot = Foot(self.purge, self.restore, self.move, self.export, self.discard)
        self.delete_some = ActButton("Delete …", "Move the selected messages into a quarantine")
        self.restore_some = ActButton("Restore …", "Put the selected messages back where they were")
        self.move_some = ActButton("Move to …", "Move the selected messages to another queue")
        self.copy = QPushButton("Copy")
        self.copy.setToolTip("Copy the selected messages as JSON lines")
        self.copy.setAutoDefault(False)
        self.bar = SelectionBar(theme, self.restore_some, self.delete_some, self.move_some, self.copy, least=1)
        inspector.stand_on(self.bar)
        inspector.stand_on(self.foot)
        self._connect()
        self.refresh()

    def show_queue(self, row: QueueRow | None) -> None:
        """The inspector is about this queue."""
        if row is None or row.queue.name != self._inspector.looked:
            self._messages.select_nothing()
        self._row = row
        self.refresh()

    def refresh(self) -> None:
        """What can be done may be something else now."""
        connection, row = self._page.connection, self._row
        refused = why_not(connection)
        live = connection is not None and connection.live
        locked_away = row is not None and row.source is not None
        empty = _EMPTY if row is not None and row.queue.ready == 0 else ""
        for button in (self.purge, self.delete_some):
            button.setVisible(live and not locked_away)
        for button in (self.restore, self.restore_some, self.discard):
            button.setVisible(live and locked_away)
        for button in (self.purge, self.move, self.restore):
            button.allow(refused or empty)
        for button in (self.discard, self.delete_some, self.restore_some, self.move_some):
            button.allow(refused)
        self.move.setVisible(live and not locked_away)
        self.move_some.setVisible(live)
        self.export.allow(empty)
        self.foot.setVisible(live)
        self._messages.let_select(on=live)
        self.bar.show_number(len(self._messages.selected()) if self._inspector.looks else 0)
        self.foot.say(f"locked: {connection.profile.mode} only" if live and refused and connection else "", refused)

    def _connect(self) -> None:
        self.purge.clicked.connect(lambda: self._wish(Purge))
        self.restore.clicked.connect(lambda: self._wish(Restore))
        self.discard.clicked.connect(lambda: self._wish(Discard))
        self.move.clicked.connect(self._move_all)
        self.export.clicked.connect(self._export)
        self.delete_some.clicked.connect(lambda: self._wish_some(Delete))
        self.restore_some.clicked.connect(lambda: self._wish_some(lambda name, ids: Restore(name, ids=ids)))
        self.move_some.clicked.connect(self._move_some)
        self.copy.clicked.connect(self._copy)
        self._messages.selection_changed.connect(self.refresh)
        self._inspector.tabs.currentChanged.connect(self.refresh)
        self.bar.dropped.connect(self._messages.select_nothing)

    def _wish(self, make: Callable[[str], Wish]) -> None:
        if self._row is not None:
            self.wanted.emit(make(self._row.queue.name))

    def _wish_some(self, make: Callable[[str, list[str]], Wish]) -> None:
        """Wish something for the selected messages, and for nothing where none is: no ids would mean all."""
        if ids := self._ids():
            self.wanted.emit(make(self._inspector.looked, ids))

    def _ids(self) -> list[str]:
        return [message.id for message in self._messages.selected() if message.id is not None]

    def _move_all(self) -> None:
        if self._row is not None:
            self._ask_where(self._row.queue.name, [])

    def _move_some(self) -> None:
        if ids := self._ids():
            self._ask_where(self._inspector.looked, ids)

    def _ask_where(self, queue: str, ids: list[str]) -> None:
        dialog = MoveDialog(self._page, queue, ids, [each for each in self._others() if each != queue])
        dialog.wished.connect(self.wanted)
        dialog.open()

    def _export(self) -> None:
        row = self._row
        if row is None:
            return
        # Named by us, and not by the queue: a broker's words don't become a path.
        name = f"messages-{time.strftime('%Y%m%d-%H%M%S')}.messages"
        dialog = QFileDialog(self._page, "Export messages", name)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setOption(QFileDialog.Option.DontConfirmOverwrite)  # none is ever written over
        dialog.selectFile(name)
        dialog.fileSelected.connect(lambda path: self.export_wanted.emit(row, path))
        dialog.open()

    def _copy(self) -> None:
        lines = (msgspec.json.encode(message).decode() for message in self._messages.selected())
        QGuiApplication.clipboard().setText("\n".join(lines))


class MoveDialog(FormDialog):
    """To which of the ``known`` queues, or to what other one, messages are to be moved; all where no id is named."""

    def __init__(self, parent: QWidget, queue: str, ids: Sequence[str], known: Sequence[str]) -> None:
        what = formats.number_of(len(ids), "message") if ids else "all messages"
        super().__init__(parent, f"Move {what} of {queue}", _ORDER)
        self._queue, self._ids = queue, list(ids)
        self.to = completing(QLineEdit(), list(known))
        self.add("To the queue", self.to)

    def wish(self) -> Move:
        to = self.to.text().strip()
        if not to:
            raise WrongError(self.to, "Which queue are they to go to?")
        if to == self._queue:
            raise WrongError(self.to, "They wait in this queue already.")
        return Move(self._queue, to, self._ids)
