"""A list of facts in two columns, and the line that shows a state."""

from collections.abc import Sequence
from typing import Final

import msgspec
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QAction, QFont, QGuiApplication, QPainter, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QSizePolicy, QWidget

from app.models.qt.plain import one_line
from app.ui import fonts
from app.ui.shapes import StateStyle, paint_shape, state_style
from app.ui.theme import ThemeManager
from app.ui.widgets.labels import ElidedLabel, PlainLabel

_LABELS: Final = 80
_WIDEST: Final = 240


class Fact(msgspec.Struct, frozen=True):
    """A label and its value; ``note`` stands right of it. ``tone`` is a role of the style sheet."""

    label: str
    value: str
    note: str = ""
    literal: bool = False
    tone: str = ""
    tip: str = ""


class FactList(QWidget):
    """Facts under each other. Its labels are used again, so that what is shown live does not flicker."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[tuple[ElidedLabel, _Value, PlainLabel]] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(5)
        self._grid.setColumnMinimumWidth(0, _LABELS)
        self._grid.setColumnStretch(1, 1)

    def show_facts(self, facts: Sequence[Fact]) -> None:
        """Show these and no others."""
        while len(self._rows) < len(facts):
            self._add()
        for (label, value, note), fact in zip(self._rows, facts, strict=False):
            label.setText(fact.label)
            label.explain(fact.tip)
            value.show_fact(fact)
            note.setText(fact.note)
            note.setVisible(bool(fact.note))
            label.show()
            value.show()
        for row in self._rows[len(facts) :]:
            for widget in row:
                widget.hide()

    def text(self) -> str:
        """The facts as lines."""
        return "\n".join(f"{label.text()}: {value.text()}" for label, value, _ in self._rows if not label.isHidden())

    def _add(self) -> None:
        row = len(self._rows)
        label = ElidedLabel(role="small", mode=Qt.TextElideMode.ElideMiddle)
        label.setMaximumWidth(_WIDEST)
        value, note = _Value(), PlainLabel(role="small")
        self._grid.addWidget(label, row, 0)
        beside = QHBoxLayout()
        beside.setSpacing(12)
        beside.addWidget(value, 1)
        beside.addWidget(note)
        self._grid.addLayout(beside, row, 1)
        self._rows.append((label, value, note))


class _Value(ElidedLabel):
    """The value of a fact; its context menu copies all of it."""

    def __init__(self) -> None:
        super().__init__()
        copy = QAction("Copy", self)
        copy.triggered.connect(lambda: QGuiApplication.clipboard().setText(self.text()))
        self.addAction(copy)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    def show_fact(self, fact: Fact) -> None:
        if fact.value != self.text():
            self.setText(fact.value)
        self.setFont(fonts.mono_font() if fact.literal else fonts.ui_font())
        self.set_role(fact.tone)


class MarkedLine(QWidget):
    """A shape and a few words in one colour: a state, or how far something can be trusted."""

    def __init__(self, theme: ThemeManager, *, size: int = fonts.UI_SIZE) -> None:
        super().__init__()
        self._theme = theme
        self._style: StateStyle | None = None
        self._side = size - 3
        self.setFont(fonts.ui_font(size, QFont.Weight.Medium if size == fonts.UI_SIZE else QFont.Weight.Normal))
        self.setFixedHeight(size + 5)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def show_state(self, state: str, words: str = "") -> None:
        """Show a task's or worker's state, in other words than its own where they are given."""
        style = state_style(state)
        self.show_mark(StateStyle(style.token, style.shape, words or style.word))

    def show_mark(self, style: StateStyle) -> None:
        """Show these words and their shape, in the colour of this token."""
        self._style = style
        self.setAccessibleName(style.word)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._style is None:
            return
        painter = QPainter(self)
        colour = self._theme.theme.colour(self._style.token)
        box = QRectF(1, (self.height() - self._side) / 2, self._side, self._side)
        paint_shape(painter, box, self._style.shape, colour)
        painter.setPen(colour)
        room = self.rect().adjusted(self._side + 8, 0, 0, 0)
        words = self.fontMetrics().elidedText(one_line(self._style.word), Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, words)
