"""The coloured upper edge of the window: a connection's own colour; red is production, and red all around: beware."""

from typing import Final

from PySide6.QtCore import QEvent, QObject, QRect, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QRegion
from PySide6.QtWidgets import QWidget

from app.ui.theme import ThemeManager

_WIDTH: Final = 3


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


class HotFrame(QWidget):
    """A red frame over all edges of a widget, while acting on production is unlocked; it is in nobody's way."""

    def __init__(self, theme: ThemeManager, around: QWidget) -> None:
        super().__init__(around)
        self._theme = theme
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAccessibleName("Acting on production is unlocked")
        around.installEventFilter(self)
        theme.changed.connect(self.update)
        self.hide()

    def show_hot(self, *, hot: bool) -> None:
        """Show the frame, or hide it."""
        self.setVisible(hot)
        self.raise_()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and isinstance(watched, QWidget):
            room = watched.rect()
            self.setGeometry(room)
            # What is inside is painted without it.
            self.setMask(QRegion(room) - QRegion(_inside(room)))
        return False

    def paintEvent(self, event: QPaintEvent) -> None:
        QPainter(self).fillRect(self.rect(), self._theme.theme.colour("production"))


def _inside(room: QRect) -> QRect:
    return room.adjusted(_WIDTH, _WIDTH, -_WIDTH, -_WIDTH)
