"""The button that makes a table follow what happens, and beside it how much is new while it does not."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QWidget

from app.ui.icons import icon
from app.ui.theme import ThemeManager


class Follow(QWidget):
    """Attributes: ``on``, whether the table follows. Signals: ``wanted`` with whether the user wants that."""

    wanted = Signal(bool)

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self.on = True
        self._theme = theme
        self._button = QPushButton()
        self._button.setCheckable(True)
        self._button.setToolTip("Let the newest appear on top by themselves (F)")
        self._new = QPushButton()
        self._new.setProperty("kind", "primary")
        self._new.setToolTip("Go to the top and follow (F)")
        self._button.clicked.connect(self.wanted)
        self._new.clicked.connect(lambda: self.wanted.emit(True))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self._new)
        layout.addWidget(self._button)
        theme.changed.connect(self._wear)
        self.turn(on=True)

    @property
    def new_text(self) -> str:
        """What is said to be new, empty if nothing is."""
        return "" if self._new.isHidden() else self._new.text()

    def turn(self, *, on: bool) -> None:
        """Say whether the table follows."""
        self.on = on
        self._button.setChecked(on)
        self._button.setText("Following" if on else "Follow")
        self._wear()
        if on:
            self.show_new("")

    def show_new(self, text: str) -> None:
        """Say how much is new; while the table follows nothing is."""
        self._new.setText(text)
        self._new.setVisible(bool(text) and not self.on)

    def _wear(self) -> None:
        self._button.setIcon(icon("arrow-down-to-line", self._theme.theme, "accent" if self.on else "text", size=14))
