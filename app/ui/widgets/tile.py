"""One figure on its card: what it is, its value, how it changed, and the shape of its last minutes."""

from typing import Final, Literal

import msgspec
from PySide6.QtCore import QPoint, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame

from app.models import formats
from app.models.history.charts import Series
from app.models.qt.plain import plain_tip
from app.ui import fonts, shapes
from app.ui.theme import ThemeManager
from app.ui.widgets.delegates import paint_sparkline

HEIGHT: Final = 82
_PADDING: Final = 12
_SPARK: Final = QSize(42, 17)
_ONE_LINE: Final = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom | Qt.TextFlag.TextSingleLine


Arrow = Literal["", "up", "down"]


class Figure(msgspec.Struct, frozen=True):
    """What a tile shows; ``change`` stands below the value, in the colour of the token ``mood``."""

    value: str
    unit: str = ""
    change: str = ""
    arrow: Arrow = ""
    mood: str = "secondary"
    spark: Series | None = None
    spark_colour: str = "accent"
    explained: str = ""


UNKNOWN: Final = Figure(formats.UNKNOWN)


class Tile(QFrame):
    """Paints a `Figure`; it is one widget, because seven tiles of five labels each would cost more than the charts."""

    def __init__(self, theme: ThemeManager, label: str) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self._theme = theme
        self._label = label
        self._figure = UNKNOWN
        self._label_font = fonts.ui_font(12)
        self._value_font = fonts.ui_font(22, QFont.Weight.DemiBold)
        self._unit_font = fonts.ui_font(13)
        self.setMinimumSize(112, HEIGHT)
        self.setMaximumHeight(HEIGHT)
        self.setAccessibleName(label)
        theme.changed.connect(self.update)

    @property
    def figure(self) -> Figure:
        """What is shown now."""
        return self._figure

    def show_figure(self, figure: Figure) -> None:
        """Show this instead."""
        if figure == self._figure:
            return
        self._figure = figure
        arrow = {"up": "up ", "down": "down ", "": ""}[figure.arrow]
        self.setAccessibleDescription(f"{figure.value} {figure.unit} {arrow}{figure.change}".strip())
        self.setToolTip(plain_tip(figure.explained))
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(162, HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter, theme, figure = QPainter(self), self._theme.theme, self._figure
        right = self.width() - _PADDING
        label = QFontMetricsF(self._label_font)
        if figure.spark is not None and right - _SPARK.width() - 4 >= _PADDING + label.horizontalAdvance(self._label):
            area = QRectF(QPoint(right - _SPARK.width(), 11), _SPARK)
            paint_sparkline(painter, area, figure.spark, theme.colour(figure.spark_colour), theme.colour("line"))
        painter.setFont(self._label_font)
        painter.setPen(theme.colour("secondary"))
        painter.drawText(QRectF(_PADDING, 8, right - _PADDING, 16), _ONE_LINE, self._label)
        self._paint_value(painter)
        self._paint_change(painter)

    def _paint_value(self, painter: QPainter) -> None:
        figure, theme, room = self._figure, self._theme.theme, self.width() - 2 * _PADDING
        painter.setFont(self._value_font)
        painter.setPen(theme.colour("hint" if figure.value == formats.UNKNOWN else "text"))
        painter.drawText(QRectF(_PADDING, 26, room, 26), _ONE_LINE, figure.value)
        used = QFontMetricsF(self._value_font).horizontalAdvance(figure.value) + 5
        painter.setFont(self._unit_font)
        painter.setPen(theme.colour("secondary"))
        unit = QFontMetricsF(self._unit_font).elidedText(figure.unit, Qt.TextElideMode.ElideRight, room - used)
        painter.drawText(QRectF(_PADDING + used, 24, room - used, 26), _ONE_LINE, unit)

    def _paint_change(self, painter: QPainter) -> None:
        figure, left = self._figure, float(_PADDING)
        colour = self._theme.theme.colour(figure.mood)
        if figure.arrow:
            shape: shapes.Shape = "triangle-up" if figure.arrow == "up" else "triangle-down"
            shapes.paint_shape(painter, QRectF(left - 0.5, 58, 10, 10), shape, colour)
            left += 13
        painter.setFont(self._label_font)
        painter.setPen(colour)
        room = self.width() - _PADDING - left
        text = QFontMetricsF(self._label_font).elidedText(figure.change, Qt.TextElideMode.ElideRight, room)
        painter.drawText(QRectF(left, 54, room, 17), _ONE_LINE, text)
