"""The button that makes a table follow what happens, and beside it how much is new while it does not."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QWidget

from app.ui.icons import icon
from app.ui.theme import ThemeManager


class Follow(QWidget):
    """Signals: ``wanted`` with whether the user wants the table to follow."""

    wanted = Signal(bool)

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._theme = theme
        self._button = QPushButton()
        self._button.setCheckable(True)
        self._button.setToolTip("Let the newest appear on top by themselves (F)")
        self._new = QPushButton()
        self._new.setProperty("kind", "primary")
        self._new.setToolTip("Go to the top and follow (F)")
        self._new.hide()
        self._button.clicked.connect(self.wanted)
        self._new.clicked.connect(lambda: self.wanted.emit(True))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self._new)
        layout.addWidget(self._button)
        theme.changed.connect(self._wear)
        self.show_following(following=True)

    @property
    def new_text(self) -> str:
        """What is said to be new, empty if nothing is."""
        return "" if self._new.isHidden() else self._new.text()

    def show_following(self, *, following: bool) -> None:
        """Say whether the table follows."""
        self._button.setChecked(following)
        self._button.setText("Following" if following else "Follow")
        if following:
            self._new.hide()
        self._wear()

    def show_new(self, text: str) -> None:
        """Say how much is new."""
        self._new.setText(text)
        self._new.setVisible(bool(text))

    def _wear(self) -> None:
        token = "accent" if self._button.isChecked() else "text"
        self._button.setIcon(icon("arrow-down-to-line", self._theme.theme, token, size=14))
