"""Messages that wait in a queue, a page at a time, as they are at this moment; nothing is taken."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.models import formats
from app.models.records import Message
from app.models.wire import Peeked
from app.ui.theme import ThemeManager
from app.ui.widgets.inspector import CopyButton, IconButton
from app.ui.widgets.labels import ElidedLabel, PlainLabel
from app.ui.widgets.long_text import LongText

#: Messages of a page.
PAGE: Final = 20
#: Lines of a message that is unfolded, before it scrolls.
LINES: Final = 24
_SOURCES: Final = {"body": "", "header": "as its sender showed them"}


class WaitingMessages(QWidget):
    """One page of a queue's messages, or those that were found there.

    ``wanted``: another page, by its start, whether the newest come first, and whether the user agreed to what it does.
    ``left``: what was found need not be seen any more.
    """

    wanted = Signal(int, bool, bool)
    left = Signal()

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._theme = theme
        self._start = 0
        self._total = 0
        self._agreed = False
        self._rows: list[_Row] = []
        self.place = PlainLabel(role="secondary")
        self.order = QPushButton("Newest first")
        self.order.setCheckable(True)
        self.back, self.on, self.again = QPushButton("Back"), QPushButton("More"), QPushButton("Look again")
        self.agree, self.leave = QPushButton(f"Look at {PAGE} messages"), QPushButton("Back to the queue")
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
            row = _Row(self._theme)
            self._rows.append(row)
            self._list.addWidget(row)
        for row, (place, message) in zip(self._rows, messages, strict=False):
            row.show_message(place + 1, message)
        for row in self._rows[len(messages) :]:
            row.hide()


class _Row(QFrame):
    """One message: its task and place, its id, its arguments, what else there is to know, and all of it unfolded."""

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._message: Message | None = None
        self._name, self._size = ElidedLabel(role="mono"), PlainLabel(role="hint")
        self._id = ElidedLabel(role="hint", mode=Qt.TextElideMode.ElideMiddle)
        self._copy = CopyButton(theme, "Copy the task's id")
        self.fold = IconButton(theme, "chevron-right", "Show all of this message")
        self.fold.clicked.connect(self._toggle)
        self._all: LongText | None = None
        self._arguments, self._more = ElidedLabel(role="mono"), ElidedLabel(role="secondary")
        first, second = QHBoxLayout(), QHBoxLayout()
        first.addWidget(self._name, 1)
        first.addWidget(self._size)
        first.addWidget(self.fold)
        second.addWidget(self._id)
        second.addWidget(self._copy)
        second.addStretch(1)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 6, 0, 6)
        self._layout.setSpacing(2)
        self._layout.addLayout(first)
        self._layout.addLayout(second)
        self._layout.addWidget(self._arguments)
        self._layout.addWidget(self._more)

    def show_message(self, number: int, message: Message) -> None:
        """Show another message, folded."""
        self._message = message
        self._unfold(False)
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

    def _toggle(self) -> None:
        self._unfold(self._all is None or self._all.isHidden())

    def _unfold(self, unfolded: bool) -> None:
        self.fold.show_icon("chevron-down" if unfolded else "chevron-right")
        if unfolded and self._all is None:
            self._all = LongText("All of this message", lines=LINES)
            self._layout.addWidget(self._all)
        if self._all is not None:
            self._all.setVisible(unfolded)
            if unfolded and self._message is not None:
                self._all.show_text(in_full(self._message))


def in_full(message: Message) -> str:
    """All that is known of a message, as lines."""
    said: list[tuple[str, Any]] = [
        ("args", message.args),
        ("kwargs", message.kwargs),
        ("embed", message.embed),
        ("headers", message.headers),
        ("content type", message.content_type),
        ("note", message.note),
    ]
    return "\n\n".join(f"{label}\n{_indented(value)}" for label, value in said if value)


def _indented(text: str) -> str:
    """JSON over several lines; any other text as it is."""
    try:
        return msgspec.json.format(text, indent=2)
    except msgspec.DecodeError:
        return text


def remarks(message: Message) -> str:
    """What there is to say of a message besides its task and arguments."""
    said = (
        f"priority {message.priority}" if message.priority else "",
        f"ETA {formats.date_time(message.eta, milliseconds=False)}" if message.eta is not None else "",
        f"expires {formats.date_time(message.expires, milliseconds=False)}" if message.expires is not None else "",
        f"retry {message.retries}" if message.retries else "",
        "redelivered" if message.redelivered else "",
        f"from {message.origin}" if message.origin else "",
        f"arguments {_SOURCES[message.source]}" if _SOURCES.get(message.source) else "",
        f"followed by {_following(message.embed)}" if message.embed else "",
        message.note,
    )
    return " · ".join(filter(None, said))


def _following(embed: str) -> str:
    """What follows a task, by its kinds: ``chain, chord``."""
    try:
        told = msgspec.json.decode(embed)
    except msgspec.DecodeError:
        return "others"
    return ", ".join(told) if isinstance(told, dict) else "others"
