"""A small line without axes: the shape of the last minutes, not their figures."""

from PySide6.QtCore import QRectF, QSize
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app.models.history.charts import Series
from app.ui.theme import ThemeManager
from app.ui.widgets.delegates import paint_sparkline


class Sparkline(QWidget):
    """Draws a series in one colour of the theme, from zero to its highest value."""

    def __init__(self, theme: ThemeManager, colour: str = "accent") -> None:
        super().__init__()
        self._theme = theme
        self._colour = colour
        self._series: Series | None = None
        theme.changed.connect(self.update)

    def show_series(self, series: Series | None, colour: str | None = None) -> None:
        """Draw this one, or nothing."""
        if (series, colour or self._colour) != (self._series, self._colour):
            self._series, self._colour = series, colour or self._colour
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(48, 18)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._series is not None:
            painter = QPainter(self)
            theme = self._theme.theme
            paint_sparkline(
                painter, QRectF(self.rect()), self._series, theme.colour(self._colour), theme.colour("line")
            )
