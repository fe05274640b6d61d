"""Messages that wait in a queue, a page at a time, as they are at this moment; nothing is taken."""

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.models import formats
from app.models.records import Message
from app.models.wire import Peeked
from app.ui.theme import ThemeManager
from app.ui.widgets.inspector import CopyButton
from app.ui.widgets.labels import ElidedLabel, PlainLabel

#: Messages of a page.
PAGE: Final = 20
_SOURCES: Final = {"body": "", "header": "as its sender showed them"}


class WaitingMessages(QWidget):
    """One page of a queue's messages. ``wanted``: another page, by its start and whether the newest come first."""

    wanted = Signal(int, bool)

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._theme = theme
        self._start = 0
        self._total = 0
        self._rows: list[_Row] = []
        self.place = PlainLabel(role="secondary")
        self.order = QPushButton("Newest first")
        self.order.setCheckable(True)
        self.back, self.on, self.again = QPushButton("Back"), QPushButton("More"), QPushButton("Look again")
        self.order.toggled.connect(lambda: self.wanted.emit(0, self.order.isChecked()))
        self.back.clicked.connect(lambda: self._want(self._start - PAGE))
        self.on.clicked.connect(lambda: self._want(self._start + PAGE))
        self.again.clicked.connect(lambda: self._want(self._start))
        self._said = PlainLabel(role="secondary")
        self._said.setWordWrap(True)
        head, foot = QHBoxLayout(), QHBoxLayout()
        head.addWidget(self.place)
        head.addStretch(1)
        head.addWidget(self.order)
        head.addWidget(self.again)
        foot.addWidget(self.back)
        foot.addWidget(self.on)
        foot.addStretch(1)
        self._list = QVBoxLayout()
        self._list.setSpacing(0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addLayout(head)
        layout.addWidget(self._said)
        layout.addLayout(self._list)
        layout.addLayout(foot)
        self.clear("")

    def clear(self, text: str) -> None:
        """Show no messages, and a sentence."""
        self._start = self._total = 0
        self._fill([], 0)
        self.place.setText("")
        self._say(text)
        self._allow(shown=0)

    def show_page(self, found: Peeked) -> None:
        """Show what was found, or why nothing could be."""
        if found.error:
            self.clear(found.error)
            return
        self._start, self._total = found.start, found.total
        self._fill(found.messages, found.start)
        shown = len(found.messages)
        here, together = f"{found.start + 1:,}–{found.start + shown:,}", formats.number_of(found.total, "message")
        self.place.setText(f"{here} of {together}" if shown else "")
        self._say("" if shown else "Nothing waits here now." if not found.total else "There are no more.")
        self._allow(shown)

    def _say(self, text: str) -> None:
        self._said.setText(text)
        self._said.setVisible(bool(text))

    def _allow(self, shown: int) -> None:
        self.back.setEnabled(self._start > 0)
        self.on.setEnabled(self._start + shown < self._total)

    def _want(self, start: int) -> None:
        self.wanted.emit(max(0, start), self.order.isChecked())

    def _fill(self, messages: Sequence[Message], start: int) -> None:
        while len(self._rows) < len(messages):
            row = _Row(self._theme)
            self._rows.append(row)
            self._list.addWidget(row)
        for number, (row, message) in enumerate(zip(self._rows, messages, strict=False), start + 1):
            row.show_message(number, message)
        for row in self._rows[len(messages) :]:
            row.hide()


class _Row(QFrame):
    """One message: its task and place, its id, its arguments, and what else there is to know."""

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._name, self._size = ElidedLabel(role="mono"), PlainLabel(role="hint")
        self._id = ElidedLabel(role="hint", mode=Qt.TextElideMode.ElideMiddle)
        self._copy = CopyButton(theme, "Copy the task's id")
        self._arguments, self._more = ElidedLabel(role="mono"), ElidedLabel(role="secondary")
        first, second = QHBoxLayout(), QHBoxLayout()
        first.addWidget(self._name, 1)
        first.addWidget(self._size)
        second.addWidget(self._id)
        second.addWidget(self._copy)
        second.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 6)
        layout.setSpacing(2)
        layout.addLayout(first)
        layout.addLayout(second)
        layout.addWidget(self._arguments)
        layout.addWidget(self._more)

    def show_message(self, number: int, message: Message) -> None:
        """Show another message."""
        self._name.setText(message.name or "A message without a task")
        self._size.setText(f"{number:,} · {formats.bytes_(message.size)}")
        self._id.setText(message.id or "without an id")
        self._copy.copied = message.id or ""
        self._copy.setVisible(message.id is not None)
        arguments = " ".join(filter(None, (message.args, message.kwargs)))
        self._arguments.setText(arguments)
        self._arguments.setVisible(bool(arguments))
        more = remarks(message)
        self._more.setText(more)
        self._more.setVisible(bool(more))
        self.show()


def remarks(message: Message) -> str:
    """What there is to say of a message besides its task and arguments."""
    said = (
        f"priority {message.priority}" if message.priority else "",
        f"ETA {formats.date_time(message.eta, milliseconds=False)}" if message.eta is not None else "",
        f"expires {formats.date_time(message.expires, milliseconds=False)}" if message.expires is not None else "",
        f"retry {message.retries}" if message.retries else "",
        f"from {message.origin}" if message.origin else "",
        f"arguments {_SOURCES[message.source]}" if _SOURCES.get(message.source) else "",
        message.note,
    )
    return " · ".join(filter(None, said))
