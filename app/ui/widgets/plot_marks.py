"""What is drawn over and under the data of a plot: the crosshair with its time, and the bands of gaps."""

from collections.abc import Iterable
from typing import Any, Final

import pyqtgraph as pg
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen

from app.models import formats
from app.ui import fonts
from app.ui.tokens import Theme

_STRIPE: Final = 6.0  # pixels between two stripes of a gap


class CrosshairMark(pg.GraphicsObject):  # type: ignore[misc]  # pyqtgraph has no types
    """A dotted line across the plot, with its time on the axis below."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0
        self._text = ""
        self._room = QRectF()
        self._pill = QRectF()
        self._cover = QRectF()
        self._back = self._line = self._fill = self._ink = QColor()
        self._font = fonts.ui_font(11)
        self.setZValue(20)

    def set_theme(self, theme: Theme) -> None:
        self._line, self._fill, self._ink = theme.colour("text", 0.65), theme.colour("line"), theme.colour("text")
        self._back = theme.colour("panel")
        self.update()

    def place(self, x: float, room: QRectF, time: float, labels: Iterable[QRectF]) -> None:
        """Stand at `x` of the plot's room, for a moment in seconds since the epoch; labels it would cut are covered."""
        self.prepareGeometryChange()
        self.time = time
        self._text = formats.clock_time(time, milliseconds=False)
        width = QFontMetricsF(self._font).horizontalAdvance(self._text) + 12
        left = min(max(x - width / 2, room.left() - 4), room.right() + 4 - width)
        self._room = QRectF(round(x), room.top(), 0, room.height())
        self._pill = QRectF(round(left), room.bottom() + 4, width, 17)
        self._cover = QRectF(self._pill)
        for label in labels:
            if label.adjusted(-4, 0, 4, 0).intersects(self._pill):
                self._cover = self._cover.united(label)

    def boundingRect(self) -> QRectF:
        return self._room.adjusted(-1, 0, 1, 0).united(self._cover)

    def paint(self, painter: QPainter, option: object, widget: Any = None) -> None:
        pen = QPen(self._line, 0, Qt.PenStyle.CustomDashLine)
        pen.setDashPattern([1, 2])
        painter.setPen(pen)
        painter.drawLine(self._room.topLeft(), self._room.bottomLeft())
        painter.fillRect(self._cover, self._back)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._fill)
        painter.drawRoundedRect(self._pill, 4, 4)
        painter.setPen(self._ink)
        painter.setFont(self._font)
        painter.drawText(self._pill, Qt.AlignmentFlag.AlignCenter, self._text)


class GapMarks(pg.GraphicsObject):  # type: ignore[misc]  # pyqtgraph has no types
    """Hatched bands where nobody listened: not zero, but unknown. They cover the data, so that no line crosses one."""

    def __init__(self) -> None:
        super().__init__()
        self._bands: list[QRectF] = []
        self._back = self._tint = self._stripe = QColor()
        self.setZValue(5)

    def set_theme(self, theme: Theme) -> None:
        self._back, self._stripe = theme.colour("panel"), theme.colour("hint", 0.35)
        self._tint = theme.colour("line", 0.45 if theme.dark else 0.35)
        self.update()

    def place(self, bands: list[QRectF]) -> None:
        """Cover these parts of the plot."""
        if bands != self._bands:
            self.prepareGeometryChange()
            self._bands = bands
            self.update()

    def boundingRect(self) -> QRectF:
        bounds = QRectF()
        for band in self._bands:
            bounds = bounds.united(band)
        return bounds

    def paint(self, painter: QPainter, option: object, widget: Any = None) -> None:
        for band in self._bands:
            painter.save()
            painter.setClipRect(band, Qt.ClipOperation.IntersectClip)
            painter.fillRect(band, self._back)
            painter.fillRect(band, self._tint)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(self._stripe, 1))
            for number in range(int((band.width() + band.height()) / _STRIPE) + 1):
                x = band.left() + number * _STRIPE
                painter.drawLine(QLineF(QPointF(x, band.top()), QPointF(x - band.height(), band.bottom())))
            painter.restore()
