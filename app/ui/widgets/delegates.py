"""How a cell of our tables is painted: plain text in the right face and tone, a state's shape, a bar, a sparkline."""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from app.models.history.charts import Series
from app.models.qt.table import Bar, Cell, Header, Role
from app.ui import fonts
from app.ui.shapes import paint_shape, state_style
from app.ui.theme import Theme, ThemeManager

PADDING: Final = 8
SHAPE: Final = 9
_BAR: Final = 8
_SLOTS: Final = 44
#: The palest part of a bar of one colour.
_PALEST: Final = 0.4


class CellDelegate(QStyledItemDelegate):
    """Paints the cells of one column of a `RecordTableModel`, whole rows looking selected or hovered as one.

    ``hovered`` is the row under the mouse, or -1.
    """

    def __init__(self, theme: ThemeManager, header: Header, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        self._header = header
        self._font = fonts.mono_font() if header.literal else fonts.ui_font()
        self._strong = QFont(self._font)
        self._strong.setWeight(QFont.Weight.DemiBold)
        self._elide = _elider(QFontMetrics(self._font))
        self._elide_strong = _elider(QFontMetrics(self._strong))
        side = Qt.AlignmentFlag.AlignRight if header.numeric else Qt.AlignmentFlag.AlignLeft
        # One line is laid out in half the time of what may be several.
        self._flags = (side | Qt.AlignmentFlag.AlignVCenter).value | Qt.TextFlag.TextSingleLine.value
        self.hovered = -1

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        cell: Cell | None = index.data(Role.CELL)
        if cell is None:
            return super().sizeHint(option, index)
        width = QFontMetrics(self._strong if cell.strong else self._font).horizontalAdvance(cell.text)
        extra = SHAPE + 8 if cell.state else _SLOTS + 8 if isinstance(cell.detail, Bar) else 0
        return QSize(width + extra + 2 * PADDING, 28)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        cell: Cell | None = index.data(Role.CELL)
        if cell is None:
            super().paint(painter, option, index)
            return
        theme, area = self._theme.theme, QRect(option.rect)
        state = option.state
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(area, theme.colour("selection"))
        elif index.row() == self.hovered:
            painter.fillRect(area, theme.colour("hover"))
        painter.fillRect(area.left(), area.bottom(), area.width(), 1, theme.colour("line"))
        room = area.adjusted(PADDING, 0, -PADDING, -1)
        if isinstance(cell.detail, Series):
            paint_sparkline(
                painter, QRectF(room).adjusted(0, 4, 0, -4), cell.detail, theme.colour(cell.tone or "accent")
            )
        elif cell.state:
            self._paint_state(painter, room, cell, theme)
        else:
            room = self._paint_bar(painter, room, cell, theme)
            self._paint_text(painter, room, cell, theme.colour(cell.tone or "text"))

    def _paint_state(self, painter: QPainter, room: QRect, cell: Cell, theme: Theme) -> None:
        style = state_style(cell.state)
        colour = theme.colour(style.token)
        box = QRectF(room.left(), room.center().y() - SHAPE / 2 + 0.5, SHAPE, SHAPE)
        paint_shape(painter, box, style.shape, colour)
        self._paint_text(painter, room.adjusted(SHAPE + 8, 0, 0, 0), cell, colour)

    def _paint_bar(self, painter: QPainter, room: QRect, cell: Cell, theme: Theme) -> QRect:
        """Paint the cell's bar, if it has one, and say where there is room left for the text."""
        if not isinstance(cell.detail, Bar):
            return room
        width = _SLOTS if cell.text else room.width()
        paint_bar(painter, QRectF(room.left(), room.center().y() - _BAR / 2 + 0.5, width, _BAR), cell.detail, theme)
        return room.adjusted(_SLOTS + 8, 0, 0, 0)

    def _paint_text(self, painter: QPainter, room: QRect, cell: Cell, colour: QColor) -> None:
        if not cell.text or room.width() <= 0:
            return
        if self._header.numeric:
            room = room.adjusted(2 - PADDING, 0, 0, 0)  # the neighbour keeps away by itself
        painter.setPen(colour)
        painter.setFont(self._strong if cell.strong else self._font)
        elide = self._elide_strong if cell.strong else self._elide
        painter.drawText(room, self._flags, elide(cell.text, room.width()))


def paint_bar(painter: QPainter, area: QRectF, bar: Bar, theme: Theme) -> None:
    """A flat bar: its parts from the left, in their own colour or in shades of the accent, the rest empty."""
    painter.fillRect(area, theme.colour("line"))
    if bar.whole <= 0:
        return
    left = area.left()
    shades = _shades(len(bar.parts))
    for size, token in bar.parts:
        width = min(area.width() * size / bar.whole, area.right() - left)
        shade = next(shades)
        if width > 0:
            painter.fillRect(
                QRectF(left, area.top(), width, area.height()), theme.colour(token or "accent", 1 if token else shade)
            )
        left += width


def paint_sparkline(painter: QPainter, area: QRectF, series: Series, colour: QColor) -> None:
    """The values of a series from 0 to their highest; where nothing is known there is no line."""
    high = max((value for value in series.values if math.isfinite(value)), default=0.0)
    if not series.values or area.width() <= 0:
        return
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    fill = QColor(colour)
    fill.setAlphaF(0.14)
    for line in _lines(series.values, area, high):
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(fill)
        painter.drawPolygon(
            QPolygonF([QPointF(line[0].x(), area.bottom()), *line, QPointF(line[-1].x(), area.bottom())])
        )
        painter.setPen(QPen(colour, 1))
        painter.drawPolyline(QPolygonF(line))
    painter.restore()


def _lines(values: list[float], area: QRectF, high: float) -> Iterator[list[QPointF]]:
    step = area.width() / max(1, len(values) - 1)
    scale = (area.height() - 1) / high if high > 0 else 0.0
    line: list[QPointF] = []
    for at, value in enumerate([*values, math.nan]):
        if math.isfinite(value):
            line.append(QPointF(area.left() + at * step, area.bottom() - 0.5 - value * scale))
        elif line:
            yield line if len(line) > 1 else [line[0], line[0] + QPointF(1, 0)]
            line = []


def _shades(n: int) -> Iterator[float]:
    """Opacities for the parts of a bar of one colour, the first full."""
    return iter([1.0 - (1.0 - _PALEST) * at / max(1, n - 1) for at in range(n)])


def _elider(metrics: QFontMetrics) -> Callable[[str, int], str]:
    """Cuts a text to a width; the last few thousand are remembered, since a repaint asks for the same ones again."""

    @lru_cache(4096)
    def elide(text: str, width: int) -> str:
        return metrics.elidedText(text, Qt.TextElideMode.ElideRight, width)

    return elide
