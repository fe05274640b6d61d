"""The filled bands of a stacked chart."""

from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPolygonF

from app.ui.widgets import chart_data
from app.ui.widgets.chart_data import Table


class Areas(pg.GraphicsObject):  # type: ignore[misc]  # pyqtgraph has no types
    """Filled bands between stacked lines, in the coordinates of the data."""

    def __init__(self) -> None:
        super().__init__()
        self._polygons: list[tuple[QPolygonF, QColor]] = []
        self._bounds = QRectF()
        self.setZValue(-10)

    def show_areas(self, sums: Table | None, colours: Sequence[str]) -> None:
        """Fill the layers of a stack, each in its colour (``#rrggbb``); None fills nothing."""
        self.prepareGeometryChange()
        self._polygons = []
        self._bounds = QRectF()
        if sums is not None and sums.values.size:
            x = sums.middles
            lower = np.zeros(x.size)
            for upper, colour in zip(sums.values, colours, strict=True):
                for first, end in chart_data.runs(upper):
                    self._polygons.append((_band(x[first:end], lower[first:end], upper[first:end]), QColor(colour)))
                lower = upper
            self._bounds = QRectF(QPointF(x[0], 0.0), QPointF(x[-1], max(chart_data.highest(sums), 1.0)))
        self.update()

    def boundingRect(self) -> QRectF:
        return self._bounds

    def paint(self, painter: QPainter, option: object, widget: object = None) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        for polygon, colour in self._polygons:
            painter.setBrush(colour)
            painter.drawPolygon(polygon)


def _band(x: chart_data.Floats, lower: chart_data.Floats, upper: chart_data.Floats) -> QPolygonF:
    along = np.concatenate((x, x[::-1]))
    around = np.concatenate((upper, lower[::-1]))
    return QPolygonF([QPointF(px, py) for px, py in zip(along.tolist(), around.tolist(), strict=True)])
