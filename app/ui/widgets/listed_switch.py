"""A quiet line under a table: how many rows are of a kind that few look for, and a switch to list them."""

from collections.abc import Callable

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QWidget


class ListedSwitch(QWidget):
    """``says`` how many there are; they are ``listed`` or not. Hidden while there are none. ``toggled`` by the user."""

    toggled = Signal()

    def __init__(self, says: Callable[[int], str], *, listed: bool = False) -> None:
        super().__init__()
        self.listed = listed
        self._says, self._number = says, 0
        self._switch = QPushButton()
        self._switch.setProperty("kind", "status")
        self._switch.clicked.connect(self._toggle)
        line = QHBoxLayout(self)
        line.setContentsMargins(6, 4, 8, 5)
        line.addWidget(self._switch)
        line.addStretch(1)
        self.hide()

    def show_number(self, number: int) -> None:
        """Say how many there are."""
        self._number = number
        self._say()

    def _toggle(self) -> None:
        self.listed = not self.listed
        self._say()
        self.toggled.emit()

    def _say(self) -> None:
        self._switch.setText(f"{self._says(self._number)} · {'hide' if self.listed else 'show'}")
        self.setVisible(self._number > 0)
