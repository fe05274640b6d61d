"""The coloured upper edge of the window: red means production."""

from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app.ui.theme import ThemeManager


class Edge(QWidget):
    """Three pixels in a colour of the theme."""

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._theme = theme
        self._token = "panel"
        self.setFixedHeight(3)
        theme.changed.connect(self.update)

    def set_token(self, token: str) -> None:
        """Wear this colour."""
        self._token = token
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        QPainter(self).fillRect(self.rect(), self._theme.theme.colour(self._token))
