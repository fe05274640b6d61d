"""What belongs to every table: a header that says how it is sorted, and what stands in the place of rows."""

from typing import Final

from PySide6.QtCore import QRect, QRectF, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QPainter
from PySide6.QtWidgets import QHeaderView, QPushButton, QStyleOptionHeader, QVBoxLayout, QWidget

from app.models.qt.table import Role
from app.ui import fonts
from app.ui.shapes import Shape, paint_shape
from app.ui.theme import ThemeManager
from app.ui.widgets.labels import PlainLabel

_ARROW: Final = 8
_GAP: Final = 4
#: The padding of a section in the style sheet.
_PADDING: Final = 8


class SortHeader(QHeaderView):
    """The arrow stands beside the title, on the side where there is room: right of a text, left of a figure's title."""

    def __init__(self, theme: ThemeManager, parent: QWidget) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._theme = theme
        self._metrics = QFontMetrics(fonts.ui_font(12, QFont.Weight.Medium))
        theme.changed.connect(self.viewport().update)

    def arrow(self, column: int) -> QRectF:
        """Where the arrow of a column is painted while the table is sorted by it."""
        header = self.model().headerData(column, Qt.Orientation.Horizontal, Role.CELL)
        left, width = self.sectionViewportPosition(column), self.sectionSize(column)
        title = self._metrics.horizontalAdvance(header.title) + _PADDING + _GAP
        x = left + width - title - _ARROW if header.numeric else left + title
        x = min(max(x, left + 1), left + width - _ARROW - 1)
        return QRectF(x, (self.height() - _ARROW) / 2, _ARROW, _ARROW)

    def initStyleOptionForIndex(self, option: QStyleOptionHeader, section: int) -> None:
        super().initStyleOptionForIndex(option, section)
        option.sortIndicator = QStyleOptionHeader.SortIndicator.None_

    def paintSection(self, painter: QPainter, rect: QRect, section: int) -> None:
        painter.save()
        super().paintSection(painter, rect, section)
        painter.restore()
        if self.isSortIndicatorShown() and self.sortIndicatorSection() == section:
            rising = self.sortIndicatorOrder() == Qt.SortOrder.AscendingOrder
            shape: Shape = "triangle-up" if rising else "triangle-down"
            paint_shape(painter, self.arrow(section), shape, self._theme.theme.colour("text"))


class Empty(QWidget):
    """What stands in the place of rows. ``asked``: the user pressed the button of what can be done about it."""

    asked = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._button = QPushButton()
        self._button.clicked.connect(self.asked)
        self._button.hide()
        self._title = PlainLabel(role="strong")
        self._text = PlainLabel(role="secondary")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(32, 0, 32, 48)
        layout.setSpacing(6)
        layout.addStretch(1)
        for label in (self._title, self._text):
            label.setWordWrap(True)
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            layout.addWidget(label)
        layout.addSpacing(6)
        layout.addWidget(self._button, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addStretch(1)

    def say(self, title: str, text: str, action: str = "") -> None:
        self._title.setText(title)
        self._text.setText(text)
        self._text.setVisible(bool(text))
        self._button.setText(action)
        self._button.setVisible(bool(action))
        # Clicks beside the rows are the table's, unless there is something to click.
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents, not action)
