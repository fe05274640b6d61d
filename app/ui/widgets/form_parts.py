"""What forms are laid out with: names beside fields, what is wrong below, and parts that open."""

from typing import Final, NamedTuple

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QLineEdit, QToolButton, QVBoxLayout, QWidget

from app.ui import icons
from app.ui.theme import ThemeManager
from app.ui.widgets.labels import PlainLabel

#: Pixels for the names of fields.
NAMES: Final = 116


class ErrorLabel(PlainLabel):
    """What is wrong with the field above it; it takes no room while nothing is."""

    def __init__(self, edit: QWidget) -> None:
        super().__init__(role="error")
        self._edit = edit
        self.setWordWrap(True)
        self.hide()

    def say(self, text: str) -> None:
        """Say what is wrong, or with an empty text that nothing is."""
        self.setText(text)
        self.setVisible(bool(text))
        if isinstance(self._edit, QLineEdit):
            self._edit.setProperty("state", "error" if text else "")
            self._edit.style().unpolish(self._edit)
            self._edit.style().polish(self._edit)

    def point(self) -> None:
        """Lead to the field."""
        self._edit.setFocus(Qt.FocusReason.OtherFocusReason)


class Section(QWidget):
    """Fields that few need, below a title that opens them; ``toggled`` when it does, or closes them."""

    toggled = Signal()

    def __init__(self, theme: ThemeManager, title: str, inside: QWidget) -> None:
        super().__init__()
        self._theme = theme
        self.title = QToolButton()
        self.title.setText(title)
        self.title.setProperty("kind", "more")
        self.title.setCheckable(True)
        self.title.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.title.toggled.connect(self._toggle)
        self._inside = inside
        inside.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.title, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(inside)
        theme.changed.connect(self._wear)
        self._wear()

    def open(self) -> None:
        """Show the fields."""
        self.title.setChecked(True)

    def _toggle(self, on: bool) -> None:
        self._inside.setVisible(on)
        self._wear()
        self.toggled.emit()

    def _wear(self) -> None:
        arrow = "chevron-down" if self.title.isChecked() else "chevron-right"
        self.title.setIcon(icons.icon(arrow, self._theme.theme, "secondary", size=14))


class Row(NamedTuple):
    """A name, and what is beside it."""

    name: QWidget
    cell: QWidget

    def show(self, *, on: bool) -> None:
        """Show it, or hide it."""
        self.name.setVisible(on)
        self.cell.setVisible(on)


class Grid(QGridLayout):
    """Names on the left, and beside each its field with what is said below it."""

    def __init__(self) -> None:
        super().__init__()
        self.setContentsMargins(0, 0, 0, 0)
        self.setHorizontalSpacing(12)
        self.setVerticalSpacing(10)
        self.setColumnMinimumWidth(0, NAMES)
        self.setColumnStretch(1, 1)

    def add(self, name: str, *fields: QWidget) -> Row:
        """Add a row."""
        label = PlainLabel(name, role="secondary")
        label.setWordWrap(True)
        label.setFixedWidth(NAMES)
        label.setMinimumHeight(28)
        label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        cell = QWidget()
        column = QVBoxLayout(cell)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for field in fields:
            column.addWidget(field)
        row = self.rowCount()
        self.addWidget(label, row, 0, Qt.AlignmentFlag.AlignTop)
        self.addWidget(cell, row, 1)
        return Row(label, cell)
