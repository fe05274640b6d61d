"""What can be done with several rows that are selected: a line under their table."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QPushButton, QWidget

from app.models import formats
from app.ui.theme import ThemeManager
from app.ui.widgets.act_buttons import row
from app.ui.widgets.beside import Beside
from app.ui.widgets.inspector import IconButton
from app.ui.widgets.labels import ElidedLabel


class SelectionBar(Beside):
    """Hidden while less than ``least`` rows are selected, so that the table stands still under the mouse.

    ``dropped``: nothing is to be selected any more. ``whole`` is whether all that a search finds is meant instead.
    """

    dropped = Signal()
    whole_changed = Signal()

    def __init__(self, theme: ThemeManager, *buttons: QWidget, least: int = 2) -> None:
        self.whole = False
        self._least, self._number, self._found = least, 0, ""
        self._says = ElidedLabel(role="strong")
        self.switch = QPushButton()
        self.switch.setProperty("kind", "link")
        self.switch.clicked.connect(self._switch)
        self.drop = IconButton(theme, "x", "Select nothing (Esc)")
        super().__init__(row(self._says, self.switch), row(*buttons, self.drop), (14, 5, 8, 5))
        self.setProperty("role", "selection")
        self.drop.clicked.connect(self.dropped)
        self._show()

    @property
    def text(self) -> str:
        """What is said of what is meant."""
        return self._says.text()

    def show_number(self, number: int, found: str = "") -> None:
        """Say how many rows are selected; ``found`` is all that a search finds in words, where there is a search."""
        if not found or number < self._least:
            self.whole = False
        self._number, self._found = number, found
        self._show()

    def say(self, text: str) -> None:
        """Say something in place of how many are selected, until other rows are."""
        self._says.setText(text)

    def _switch(self) -> None:
        self.whole = not self.whole
        self._show()
        self.whole_changed.emit()

    def _show(self) -> None:
        selected = f"{formats.count(self._number)} selected"
        self._says.setText(f"All {self._found}" if self.whole else selected)
        self.switch.setText(f"Only the {selected}" if self.whole else f"All {self._found}")
        self.switch.setVisible(bool(self._found))
        self.setVisible(self._number >= self._least)
        self.fit()
