"""The coloured upper edge of the window: a connection's own colour; red means production."""

from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app.ui.theme import ThemeManager


class Edge(QWidget):
    """Three pixels in a colour of the theme."""

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._theme = theme
        self._token = "panel"
        self._own: str | None = None
        self.setFixedHeight(3)
        theme.changed.connect(self.update)

    def set_token(self, token: str, own: str | None = None) -> None:
        """Wear this colour of the theme, or a connection's own, unless the token is that of production."""
        self._token, self._own = token, own
        self.update()

    @property
    def colour(self) -> QColor:
        """What is seen."""
        if self._own is not None and self._token != "production":
            return QColor(self._own)
        return self._theme.theme.colour(self._token)

    def paintEvent(self, event: QPaintEvent) -> None:
        QPainter(self).fillRect(self.rect(), self.colour)
