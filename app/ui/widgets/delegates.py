"""How a cell of our tables is painted: plain text in the right face and tone, a state's shape, a bar, a sparkline."""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPen, QPixmap, QPolygonF, QStaticText, QTransform
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem, QWidget

from app.models.history.charts import Series
from app.models.qt.table import Bar, Cell, Header, Index, Role
from app.ui import fonts
from app.ui.shapes import paint_shape, state_style
from app.ui.theme import Theme, ThemeManager

_CELL: Final = int(Role.CELL)
PADDING: Final = 8
SHAPE: Final = 9
_BAR: Final = 8
_SLOTS: Final = 44
#: The palest part of a bar of one colour.
_PALEST: Final = 0.4
#: Texts laid out that are remembered per column: some screens full of rows.
_TEXTS: Final = 512


class RowLook:
    """Which rows look selected, and which one is under the mouse (or -1); the table tells, its delegates read."""

    __slots__ = ("hovered", "selected")

    def __init__(self) -> None:
        self.selected: frozenset[int] = frozenset()
        self.hovered = -1


class CellDelegate(QStyledItemDelegate):
    """Paints the cells of one column of a `RecordTableModel`, whole rows looking selected or hovered as one.

    A table repaints some hundred cells several times a second: colours, shapes and laid out texts are kept.
    """

    def __init__(
        self, theme: ThemeManager, header: Header, look: RowLook, parent: QWidget | None = None, *, full: int = 0
    ) -> None:
        super().__init__(parent)
        self._full = full
        self._theme = theme
        self._header = header
        self._look = look
        self._font = fonts.mono_font() if header.literal else fonts.ui_font()
        self._strong = QFont(self._font)
        self._strong.setWeight(QFont.Weight.DemiBold)
        elide = Qt.TextElideMode.ElideMiddle if header.ends else Qt.TextElideMode.ElideRight
        self._text = _layouter(self._font, elide)
        self._strong_text = _layouter(self._strong, elide)
        self._colours: dict[tuple[str, bool], QColor] = {}
        self._shapes: dict[tuple[str, bool], QPixmap] = {}
        self._selected = False
        theme.changed.connect(self._forget)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        cell: Cell | None = index.data(Role.CELL)
        if cell is None:
            return super().sizeHint(option, index)
        width = QFontMetrics(self._strong if cell.strong else self._font).horizontalAdvance(cell.text)
        extra = SHAPE + 8 if cell.state else _SLOTS + 8 if isinstance(cell.detail, Bar) else 0
        return QSize(width + extra + 2 * PADDING, 28)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        cell: Cell | None = index.data(_CELL)
        if cell is None:
            super().paint(painter, option, index)
            return
        area, row = option.rect, index.row()
        left, top, width, height = area.left(), area.top(), area.width(), area.height() - 1
        self._selected = row in self._look.selected
        if self._selected:
            painter.fillRect(left, top, width, height, self._colour("selection", plain=True))
        elif row == self._look.hovered:
            painter.fillRect(left, top, width, height, self._colour("hover"))
        painter.fillRect(left, top + height, width, 1, self._colour("line", plain=True))
        left, width = left + PADDING, width - 2 * PADDING
        if cell.state:
            style = state_style(cell.state)
            painter.drawPixmap(left, top + (height - SHAPE) // 2, self._shape(cell.state, painter))
            room = QRect(left + SHAPE + 8, top, width - SHAPE - 8, height)
            self._paint_text(painter, room, cell, style.token, beside=SHAPE + 8)
        elif isinstance(cell.detail, Series):
            box = QRectF(left, top + 4, width, height - 8)
            ground = self._colour("line", plain=True)
            paint_sparkline(painter, box, cell.detail, self._colour(cell.tone or "accent"), ground)
        else:
            room = self._paint_bar(painter, QRect(left, top, width, height), cell)
            self._paint_text(painter, room, cell, cell.tone or "text")

    def _paint_bar(self, painter: QPainter, room: QRect, cell: Cell) -> QRect:
        """Paint the cell's bar, if it has one, and say where there is room left for the text."""
        if not isinstance(cell.detail, Bar):
            return room
        bar = QRectF(room.left(), room.top() + (room.height() - _BAR) // 2, _SLOTS if cell.text else room.width(), _BAR)
        paint_bar(painter, bar, cell.detail, self._theme.theme)
        return room.adjusted(_SLOTS + 8, 0, 0, 0)

    def _paint_text(self, painter: QPainter, room: QRect, cell: Cell, token: str, *, beside: int = 0) -> None:
        left, width = room.left(), room.width()
        if self._header.numeric:
            left, width = left + 2 - PADDING, width + PADDING - 2  # the neighbour keeps away by itself
        if not cell.text or width <= 0:
            return
        words = cell.short if cell.short and width + beside + 2 * PADDING < self._full else cell.text
        text = (self._strong_text if cell.strong else self._text)(words, width)
        size = text.size()
        if self._header.numeric:
            left += round(width - size.width())
        painter.setPen(self._colour(token))
        painter.setFont(self._strong if cell.strong else self._font)
        painter.drawStaticText(left, room.top() + round((room.height() - size.height()) / 2), text)

    def _colour(self, token: str, *, plain: bool = False) -> QColor:
        """A token's colour in the row that is being painted; ``plain`` is the same in every row."""
        key = (token, self._selected and not plain)
        found = self._colours.get(key)
        if found is None:
            theme = self._theme.theme
            found = self._colours[key] = theme.on_selection(token) if key[1] else theme.colour(token)
        return found

    def _shape(self, state: str, painter: QPainter) -> QPixmap:
        key = (state, self._selected)
        found = self._shapes.get(key)
        if found is None:
            style, ratio = state_style(state), painter.device().devicePixelRatio()
            found = QPixmap(math.ceil(SHAPE * ratio), math.ceil(SHAPE * ratio))
            found.setDevicePixelRatio(ratio)
            found.fill(Qt.GlobalColor.transparent)
            inner = QPainter(found)
            paint_shape(inner, QRectF(0, 0, SHAPE, SHAPE), style.shape, self._colour(style.token))
            inner.end()
            if len(self._shapes) > 64:
                self._shapes.clear()  # states of their own, one per task: somebody plays
            self._shapes[key] = found
        return found

    def _forget(self) -> None:
        self._colours.clear()
        self._shapes.clear()


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


def paint_sparkline(painter: QPainter, area: QRectF, series: Series, colour: QColor, ground: QColor) -> None:
    """The values of a series from 0 to their highest, over a hairline; where nothing is known there is that alone."""
    high = max((value for value in series.values if math.isfinite(value)), default=0.0)
    if not series.values or area.width() <= 0:
        return
    painter.save()
    painter.fillRect(QRectF(area.left(), round(area.bottom()) - 1, area.width(), 1), ground)
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
            yield line if len(line) > 1 else [line[0] - QPointF(max(2.0, step), 0), line[0]]
            line = []


def _shades(n: int) -> Iterator[float]:
    """Opacities for the parts of a bar of one colour, the first full."""
    return iter([1.0 - (1.0 - _PALEST) * at / max(1, n - 1) for at in range(n)])


def _layouter(font: QFont, elide: Qt.TextElideMode) -> Callable[[str, int], QStaticText]:
    """Cuts a text to a width and lays it out; the last ones are remembered, since a repaint asks for the same again."""
    metrics = QFontMetrics(font)

    @lru_cache(_TEXTS)
    def lay_out(text: str, width: int) -> QStaticText:
        laid = QStaticText(metrics.elidedText(text, elide, width))
        laid.setTextFormat(Qt.TextFormat.PlainText)
        laid.setPerformanceHint(QStaticText.PerformanceHint.AggressiveCaching)
        laid.prepare(QTransform(), font)
        return laid

    return lay_out
