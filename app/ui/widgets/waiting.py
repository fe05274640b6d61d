"""Messages that wait in a queue, a page at a time, as they are at this moment; nothing is taken."""

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.models import formats
from app.models.records import Message
from app.models.wire import Peeked
from app.ui.theme import ThemeManager
from app.ui.widgets.labels import PlainLabel
from app.ui.widgets.message_row import MessageRow

#: Messages of a page.
PAGE: Final = 20


class WaitingMessages(QWidget):
    """One page of a queue's messages, or those that were found there.

    ``wanted``: another page, by its start, whether the newest come first, and whether the user agreed to what it does.
    ``left``: what was found need not be seen any more. ``selection_changed``: others are `selected`.
    """

    wanted = Signal(int, bool, bool)
    left = Signal()
    selection_changed = Signal()

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._theme = theme
        self._start = 0
        self._total = 0
        self._agreed = False
        self._selects = False
        self._rows: list[MessageRow] = []
        self.place = PlainLabel(role="secondary")
        self.order = QPushButton("Newest first")
        self.order.setCheckable(True)
        self.back, self.on, self.again = QPushButton("Back"), QPushButton("More"), QPushButton("Look again")
        self.agree, self.leave = QPushButton(f"Look at {PAGE} messages"), QPushButton("Back to the queue")
        self.all = QPushButton("Select all")
        self.all.setToolTip("Select all messages that are shown here")
        self.all.clicked.connect(lambda: self._select(on=True))
        self.order.toggled.connect(lambda: self._want(0))
        self.back.clicked.connect(lambda: self._want(self._start - PAGE))
        self.on.clicked.connect(lambda: self._want(self._start + PAGE))
        self.again.clicked.connect(lambda: self._want(self._start))
        self.agree.clicked.connect(self._agree)
        self.leave.clicked.connect(self.left)
        self._said = PlainLabel(role="secondary")
        self._said.setWordWrap(True)
        head, foot = QHBoxLayout(), QHBoxLayout()
        head.addWidget(self.place)
        head.addStretch(1)
        head.addWidget(self.order)
        head.addWidget(self.again)
        head.addWidget(self.leave)
        foot.addWidget(self.back)
        foot.addWidget(self.on)
        foot.addStretch(1)
        foot.addWidget(self.all)
        self._list = QVBoxLayout()
        self._list.setSpacing(0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addLayout(head)
        layout.addWidget(self._said)
        layout.addWidget(self.agree, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addLayout(self._list)
        layout.addLayout(foot)
        self.clear("")

    def selected(self) -> list[Message]:
        """The messages that the user ticked, of those that are shown."""
        return [row.message for row in self._rows if row.ticked and row.message is not None]

    def select_nothing(self) -> None:
        """Tick none."""
        self._select(on=False)

    def let_select(self, *, on: bool) -> None:
        """Have messages selected, or not."""
        self._selects = on
        for row in self._rows:
            row.let_tick(on=on)
        self.all.setVisible(on and any(row.can_tick for row in self._rows))

    def clear(self, text: str) -> None:
        """Show no messages, and a sentence; what was agreed to is asked for again."""
        self._agreed = False
        self._show_nothing(text)

    def show_page(self, found: Peeked) -> None:
        """Show what was found, or why nothing could be."""
        self.agree.setVisible(not found.agreed)
        if found.error:
            self._show_nothing(found.error)
            self.agree.setVisible(not found.agreed)
            self.again.setVisible(found.agreed)
            return
        self._start, self._total = found.start, found.total
        self._fill(list(enumerate(found.messages, found.start)))
        shown = len(found.messages)
        here, together = f"{found.start + 1:,}–{found.start + shown:,}", formats.number_of(found.total, "message")
        self.place.setText(f"{here} of {together}" if shown else "")
        self._say("" if shown else "Nothing waits here now." if not found.total else "There are no more.")
        self._allow(shown, turns=found.turns)

    def show_found(self, messages: Sequence[Message]) -> None:
        """Show messages that were found, each with its place."""
        self._say("")
        self.place.setText("Found" if messages else "")
        self._fill([(message.place or 0, message) for message in messages])
        self._start = 0
        self._allow(0, turns=False)
        self.again.hide()
        self.leave.show()

    def _show_nothing(self, text: str) -> None:
        self._start = self._total = 0
        self._fill([])
        self.place.setText("")
        self._say(text)
        self.agree.hide()
        self._allow(shown=0, turns=False)

    def _say(self, text: str) -> None:
        self._said.setText(text)
        self._said.setVisible(bool(text))

    def _allow(self, shown: int, *, turns: bool = True) -> None:
        self.back.setEnabled(self._start > 0)
        self.on.setEnabled(self._start + shown < self._total)
        for button in (self.order, self.back, self.on):
            button.setVisible(turns)
        self.again.show()
        self.leave.hide()

    def _want(self, start: int) -> None:
        self.wanted.emit(max(0, start), self.order.isChecked(), self._agreed)

    def _agree(self) -> None:
        self._agreed = True
        self.wanted.emit(0, False, True)

    def _fill(self, messages: Sequence[tuple[int, Message]]) -> None:
        while len(self._rows) < len(messages):
            row = MessageRow(self._theme)
            row.toggled.connect(self.selection_changed)
            self._rows.append(row)
            self._list.addWidget(row)
        for row, (place, message) in zip(self._rows, messages, strict=False):
            row.show_message(place + 1, message)
        for row in self._rows[len(messages) :]:
            row.put_away()
        self.let_select(on=self._selects)
        self.selection_changed.emit()

    def _select(self, *, on: bool) -> None:
        for row in self._rows:
            row.tick(on=on)
