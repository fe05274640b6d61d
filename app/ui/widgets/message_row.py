"""One message that waits in a queue, as a row that unfolds and can be ticked."""

from typing import Any, Final

import msgspec
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout

from app.models import formats
from app.models.records import Message
from app.ui.theme import ThemeManager
from app.ui.widgets.check_box import CheckBox
from app.ui.widgets.inspector import CopyButton, IconButton
from app.ui.widgets.labels import ElidedLabel, PlainLabel
from app.ui.widgets.long_text import LongText

#: Lines of a message that is unfolded, before it scrolls.
LINES: Final = 24
_SOURCES: Final = {"body": "", "header": "as its sender showed them"}


class MessageRow(QFrame):
    """One message: its task and place, its id, its arguments, what else there is to know, and all of it unfolded.

    ``toggled``: it was ticked, or is no more.
    """

    toggled = Signal()

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self.message: Message | None = None
        self._box = CheckBox(theme, "")
        self._box.toggled.connect(self.toggled)
        self._name, self._size = ElidedLabel(role="mono"), PlainLabel(role="hint")
        self._id = ElidedLabel(role="hint", mode=Qt.TextElideMode.ElideMiddle)
        self._copy = CopyButton(theme, "Copy the task's id")
        self.fold = IconButton(theme, "chevron-right", "Show all of this message")
        self.fold.clicked.connect(self._toggle)
        self._all: LongText | None = None
        self._arguments, self._more = ElidedLabel(role="mono"), ElidedLabel(role="secondary")
        first, second = QHBoxLayout(), QHBoxLayout()
        first.addWidget(self._box)
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

    @property
    def can_tick(self) -> bool:
        """Whether it is a message that can be named: by the id of its task."""
        return self.message is not None and self.message.id is not None

    @property
    def ticked(self) -> bool:
        return self._box.isChecked()

    def tick(self, *, on: bool) -> None:
        """Tick it, if that can be, or not."""
        self._box.setChecked(on and self.can_tick)

    def let_tick(self, *, on: bool) -> None:
        """Have a box to tick, or none."""
        self._box.setVisible(on and self.can_tick)
        if not on:
            self.tick(on=False)

    def put_away(self) -> None:
        """Show no message."""
        self.message = None
        self.tick(on=False)
        self.hide()

    def show_message(self, number: int, message: Message) -> None:
        """Show another message, folded and not ticked; one that was ticked and is still here stays so."""
        if self.message is None or self.message.id != message.id:
            self.tick(on=False)
        self.message = message
        self._box.setAccessibleName(f"Select message {message.id}")
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
            if unfolded and self.message is not None:
                self._all.show_text(in_full(self.message))


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
