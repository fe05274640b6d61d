"""The drawn part of a chart: lines or stacked areas over time, grid, axes, gaps, and the crosshair."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QGraphicsRectItem

from app.models.history.charts import Span
from app.ui import fonts
from app.ui.tokens import Theme, mixed
from app.ui.widgets import chart_data
from app.ui.widgets.chart_data import Table
from app.ui.widgets.plot_areas import Areas
from app.ui.widgets.plot_marks import CrosshairMark, GapMarks
from app.ui.widgets.scale import Tick

LEFT: Final = 54
RIGHT: Final = 14
TOP: Final = 8
BOTTOM: Final = 24
_DRAG: Final = 6  # pixels before a press becomes a selection
_FILL: Final = 0.3


class Picture(msgspec.Struct, frozen=True):
    """All that a plot shows; ``shown`` is drawn as it is (sums, where stacked), ``colours`` is a token per series."""

    span: Span
    shown: Table
    colours: Sequence[str]
    stacked: bool
    filling: int | None
    top: float
    y_ticks: Sequence[Tick]
    x_ticks: Sequence[Tick]
    gaps: Sequence[Span]
    empty: str


class Plot(pg.GraphicsView):  # type: ignore[misc]  # pyqtgraph has no types
    """Draws a `Picture`. Every length in it is a pixel, so that the grid is crisp and costs nothing.

    Signals: ``pointed`` with the time under the mouse or None, ``selected`` with both ends of a drag, ``reset`` on a
    double click.
    """

    pointed = Signal(object)
    selected = Signal(float, float)
    reset = Signal()
    _picture: Picture | None = None

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._pressed: float | None = None
        self._box = pg.ViewBox(enableMouse=False, enableMenu=False, defaultPadding=0)
        self._box.disableAutoRange()
        self.addItem(self._box)
        self._areas = Areas()
        self._box.addItem(self._areas, ignoreBounds=True)
        self._lines: list[Any] = []
        self._tails: list[Any] = []
        self._selection = QGraphicsRectItem()
        self._selection.setZValue(10)
        self._selection.hide()
        self._mark = CrosshairMark()
        self._mark.hide()
        self._gaps = GapMarks()
        for item in (self._gaps, self._selection, self._mark):
            self.addItem(item)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumHeight(112)
        self.set_theme(theme)

    @property
    def room(self) -> QRectF:
        """Where the data is drawn, in pixels."""
        return QRectF(LEFT, TOP, max(1, self.width() - LEFT - RIGHT), max(1, self.height() - TOP - BOTTOM))

    def show_picture(self, picture: Picture) -> None:
        """Draw this instead of what was drawn."""
        before, self._picture = self._picture, picture
        if before is None or _back(before) != _back(picture):
            self.resetCachedContent()
            self.viewport().update()
        self._place()
        self._draw_series(picture)

    def set_theme(self, theme: Theme) -> None:
        """Draw all in the colours of this theme."""
        self._theme = theme
        self._selection.setPen(QPen(theme.colour("accent", 0.5)))
        self._selection.setBrush(theme.colour("accent", 0.14))
        self._gaps.set_theme(theme)
        self._mark.set_theme(theme)
        self.resetCachedContent()
        if self._picture:
            self._draw_series(self._picture)
        self.viewport().update()

    def point(self, time: float | None) -> None:
        """Show the crosshair at a moment, or nowhere."""
        picture = self._picture
        inside = picture is not None and time is not None and picture.span.start <= time <= picture.span.end
        self._mark.setVisible(inside)
        if inside and time is not None:
            labels = [box for box, _ in self._time_labels()]
            self._mark.place(self._x(time), self.room, time, labels)

    def _x(self, time: float) -> float:
        span, room = self._picture.span if self._picture else Span(0, 1), self.room
        return room.left() + (time - span.start) / (span.end - span.start) * room.width()

    def _time(self, x: float) -> float | None:
        if self._picture is None:
            return None
        span, room = self._picture.span, self.room
        share = min(1.0, max(0.0, (x - room.left()) / room.width()))
        return span.start + share * (span.end - span.start)

    def _place(self) -> None:
        room, picture = self.room, self._picture
        self._box.setGeometry(room.adjusted(0, -1, 0, 1))  # a line at either end keeps its full width
        if picture:
            pixel = picture.top / room.height()
            self._gaps.place([] if picture.empty else self._bands(picture))
            self._box.setRange(
                xRange=(picture.span.start, picture.span.end), yRange=(-pixel, picture.top + pixel), padding=0
            )

    def _bands(self, picture: Picture) -> list[QRectF]:
        room, bands = self.room, []
        for gap in picture.gaps:
            left, right = self._x(max(gap.start, picture.span.start)), self._x(min(gap.end, picture.span.end))
            if right >= left:
                bands.append(QRectF(left, room.top() - 1, max(2.0, right - left), room.height() + 2))
        return bands

    def _draw_series(self, picture: Picture) -> None:
        while len(self._lines) < len(picture.shown.names):
            for pool in (self._lines, self._tails):
                curve = pg.PlotCurveItem(antialias=True, connect="finite")
                curve.setZValue(-len(self._lines) / 100)  # of lines that coincide in a stack, the lowest one is meant
                self._box.addItem(curve, ignoreBounds=True)
                pool.append(curve)
        middles, end = picture.shown.middles, picture.filling
        for row, (curve, tail) in enumerate(zip(self._lines, self._tails, strict=True)):
            used = row < len(picture.shown.names) and not picture.empty
            curve.setVisible(used)
            tail.setVisible(used and end is not None and end > 0)
            if not used:
                continue
            values = chart_data.own_line(picture.shown.values, row) if picture.stacked else picture.shown.values[row]
            colour = self._theme.colour(picture.colours[row])
            curve.setData(*chart_data.line(middles[:end], values[:end], picture.shown.step), pen=QPen(colour, 0))
            if end:
                dashed = QPen(colour, 0, Qt.PenStyle.CustomDashLine)
                dashed.setDashPattern([2, 3])
                tail.setData(middles[end - 1 : end + 1], values[end - 1 : end + 1], pen=dashed)
        fills = [mixed(self._theme.panel, self._theme.colour(token).name(), _FILL) for token in picture.colours]
        # What still fills would look like a slump, were it filled with colour.
        full = picture.shown._replace(values=picture.shown.values[:, :end])
        self._areas.show_areas(full if picture.stacked else None, fills)

    def drawBackground(self, painter: QPainter, rect: QRectF | Any) -> None:
        painter.fillRect(rect, self._theme.colour("panel"))
        picture, room = self._picture, self.room
        if picture is None:
            return
        painter.setFont(fonts.ui_font(11))
        if picture.empty:
            painter.setPen(self._theme.colour("secondary"))
            painter.drawText(QRectF(12, 0, self.width() - 24, self.height() - 8), _CENTRE, picture.empty)
            return
        for value, text in picture.y_ticks:
            y = round(room.bottom() - value / picture.top * room.height())
            painter.setPen(self._theme.colour("line"))
            painter.drawLine(LEFT, y, round(room.right()), y)
            painter.setPen(self._theme.colour("secondary"))
            painter.drawText(QRectF(0, y - 8, LEFT - 8, 16), _RIGHT, text)
        for box, text in self._time_labels():
            painter.drawText(box, _MIDDLE, text)

    def _time_labels(self) -> list[tuple[QRectF, str]]:
        metrics, room, labels = QFontMetrics(fonts.ui_font(11)), self.room, []
        for time, text in self._picture.x_ticks if self._picture else ():
            width = metrics.horizontalAdvance(text) + 2
            box = QRectF(self._x(time) - width / 2, room.bottom() + 4, width, 16)
            if box.left() >= 2 and box.right() <= self.width() - 2:
                labels.append((box, text))
        return labels

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        if self._picture:  # none yet while the base is being built, which calls this too
            self._place()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        time = self._time(event.position().x())
        if time is None:
            return
        self.pointed.emit(time)
        if self._pressed is not None and abs(event.position().x() - self._pressed) > _DRAG:
            room = self.room
            ends = sorted(min(max(x, room.left()), room.right()) for x in (self._pressed, event.position().x()))
            self._selection.setRect(QRectF(ends[0], room.top(), ends[1] - ends[0], room.height()))
            self._selection.show()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed = event.position().x()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self._selection.isVisible():
            box = self._selection.rect()
            start, end = self._time(box.left()), self._time(box.right())
            if start is not None and end is not None and end > start:
                self.selected.emit(start, end)
        self._pressed = None
        self._selection.hide()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self._pressed = None
        self.reset.emit()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        event.ignore()  # the chart has one

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()  # the page scrolls

    def leaveEvent(self, event: object) -> None:
        self.pointed.emit(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrow keys walk the crosshair from bucket to bucket; all others belong to the window."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        if step is None or self._picture is None:
            event.ignore()
            return
        span, width = self._picture.span, self._picture.shown.step
        now = self._mark.time if self._mark.isVisible() else span.end - width / 2 - step * width
        self.pointed.emit(min(max(now + step * width, span.start), span.end))


_CENTRE: Final = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
_RIGHT: Final = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_MIDDLE: Final = Qt.AlignmentFlag.AlignCenter


def _back(picture: Picture) -> tuple[object, ...]:
    """What the cached background was made of."""
    return (picture.span, picture.top, picture.x_ticks, picture.empty)
