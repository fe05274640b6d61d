"""A choice of one among few, all of them in sight: words, or colours."""

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QHBoxLayout, QPushButton, QToolButton, QWidget

from app.ui.theme import theme_for

#: Colours to tell connections apart by, which are legible in both themes.
COLOURS: Final = tuple(
    zip(
        ("Blue", "Amber", "Green", "Violet", "Pink", "Cyan", "Brown"),
        theme_for(dark=True).series,
        strict=False,
    )
)
_SWATCH: Final = 14


class Choice(QWidget):
    """Buttons of which exactly one is pressed; ``changed`` when that is another one."""

    changed = Signal()

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._values: list[str] = []
        self._group = QButtonGroup(self)
        self._group.idToggled.connect(self._toggled)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(4)
        self._row.addStretch(1)

    @property
    def value(self) -> str:
        """That of the pressed one."""
        return self._values[self._group.checkedId()]

    def choose(self, value: str) -> None:
        """Press another one."""
        self.button(value).setChecked(True)

    def offers(self, value: str) -> bool:
        """Whether there is a button of a value."""
        return value in self._values

    def button(self, value: str) -> QAbstractButton:
        """The button of a value."""
        return self._group.button(self._values.index(value))

    def add(self, value: str, button: QAbstractButton, spoken: str) -> None:
        """Offer one more; of all, the first one is pressed."""
        button.setCheckable(True)
        button.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        button.setAccessibleName(f"{self._name}: {spoken}")
        self._row.insertWidget(len(self._values), button)
        self._group.addButton(button, len(self._values))
        self._values.append(value)
        if len(self._values) == 1:
            button.setChecked(True)

    def _toggled(self, place: int, on: bool) -> None:
        # The Tab key leads to the pressed one, and arrows from there to the others.
        policy = Qt.FocusPolicy.StrongFocus if on else Qt.FocusPolicy.ClickFocus
        self._group.button(place).setFocusPolicy(policy)
        if on:
            self.changed.emit()


def words(name: str, offered: Sequence[tuple[str, str]]) -> Choice:
    """A choice among values, each with its word."""
    choice = Choice(name)
    for value, word in offered:
        button = QPushButton(word)
        button.setAutoDefault(False)  # Enter in a dialog is for the dialog's own buttons
        choice.add(value, button, word)
    return choice


def colours(name: str) -> Choice:
    """A choice among colours, as ``#rrggbb``, or "" for none."""
    choice = Choice(name)
    none = QToolButton()
    none.setText("None")
    choice.add("", none, "none")
    for word, colour in COLOURS:
        choice.add(colour, swatch(colour, word), word.lower())
    return choice


def swatch(colour: str, word: str = "") -> QToolButton:
    """A button that shows a colour."""
    button = QToolButton()
    button.setIcon(_swatch(colour))
    button.setIconSize(QSize(_SWATCH, _SWATCH))
    button.setToolTip(word or colour)
    return button


def _swatch(colour: str) -> QIcon:
    made = QIcon()
    for ratio in (1, 2):
        drawn = QPixmap(_SWATCH * ratio, _SWATCH * ratio)
        drawn.setDevicePixelRatio(ratio)
        drawn.fill(Qt.GlobalColor.transparent)
        painter = QPainter(drawn)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colour))
        painter.drawEllipse(QRectF(1, 1, _SWATCH - 2, _SWATCH - 2))
        painter.end()
        made.addPixmap(drawn)
    return made
