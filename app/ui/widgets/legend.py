"""The legend of a chart: a swatch, a name and a value for each series, which a click switches off and on."""

from collections.abc import Sequence
from typing import Final

import msgspec
from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QAbstractButton, QMenu, QSizePolicy, QToolButton, QWidget

from app.models.qt.plain import one_line, plain_tip
from app.ui import fonts
from app.ui.tokens import Theme

_HEIGHT: Final = 20
_SPACE: Final = 10
_WIDEST_NAME: Final = 120
_MORE: Final = 24
_NAME: Final = 11  # behind the swatch


class Entry(msgspec.Struct, frozen=True):
    """One series: its name, its colour's token and its value in words."""

    name: str
    colour: str
    value: str


class Legend(QWidget):
    """Entries in a row, on the right or on the left; those for which there is no room are in a menu behind ``+3``.

    Attributes: ``hidden`` are the names switched off. Signals: ``toggled`` after one of them was switched.
    """

    toggled = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.hidden: set[str] = set()
        self._items: list[_Item] = []
        self._on_left = False
        self._more = QToolButton(self)
        self._more.setProperty("kind", "more")
        self._more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._menu = QMenu(self._more)
        self._more.setMenu(self._menu)
        self._menu.aboutToShow.connect(self._fill_menu)
        self._more.hide()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def set_theme(self, theme: Theme) -> None:
        """Draw in the colours of this theme."""
        self._theme = theme
        for item in self._items:
            item.theme = theme
            item.update()

    def show_entries(self, entries: Sequence[Entry]) -> None:
        """Show these; a value that only got shorter keeps its room, so that nothing trembles."""
        if [item.entry.name for item in self._items] != [entry.name for entry in entries]:
            for item in self._items:
                item.deleteLater()
            self._items = [_Item(entry, self._theme, self) for entry in entries]
            for item in self._items:
                item.setChecked(item.entry.name not in self.hidden)
                item.clicked.connect(self._switch)
        for item, entry in zip(self._items, entries, strict=True):
            item.show_entry(entry)
        self._arrange()

    def set_on_left(self, on_left: bool) -> None:
        """Begin at the left edge instead of ending at the right one."""
        if on_left != self._on_left:
            self._on_left = on_left
            self._arrange()

    def sizeHint(self) -> QSize:
        return QSize(max(0, sum(item.sizeHint().width() + _SPACE for item in self._items) - _SPACE), _HEIGHT)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._arrange()

    def _switch(self) -> None:
        self.hidden = {item.entry.name for item in self._items if not item.isChecked()}
        self.toggled.emit()

    def _arrange(self) -> None:
        widths = [item.sizeHint().width() for item in self._items]
        fits = _fitting(widths, self.width())
        rest = len(widths) - fits
        used = sum(widths[:fits]) + _SPACE * (fits - 1) + (_MORE + _SPACE if rest else 0)
        x = 0 if self._on_left else self.width() - used
        self._more.setVisible(rest > 0)
        if rest:
            self._more.setText(f"+{rest}")
            self._more.setGeometry(x + used - _MORE, 0, _MORE, _HEIGHT)
        for number, (item, width) in enumerate(zip(self._items, widths, strict=True)):
            item.setVisible(number < fits)
            if number < fits:
                item.setGeometry(x, 0, width, _HEIGHT)
                x += width + _SPACE

    def _fill_menu(self) -> None:
        self._menu.clear()
        for item in self._items:
            if item.isHidden():
                action = self._menu.addAction(f"{one_line(item.entry.name)}   {item.entry.value}".replace("&", "&&"))
                action.setCheckable(True)
                action.setChecked(item.isChecked())
                action.triggered.connect(item.click)


class _Item(QAbstractButton):
    def __init__(self, entry: Entry, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self.entry = entry
        self.theme = theme
        self._name_font, self._value_font = fonts.ui_font(12), fonts.ui_font(12, QFont.Weight.DemiBold)
        self._name = one_line(entry.name)
        self._name_width = min(QFontMetrics(self._name_font).horizontalAdvance(self._name), _WIDEST_NAME)
        self._value_width = 0
        self.setCheckable(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName(entry.name)
        self.setToolTip(plain_tip(f"{entry.name}: click to switch off or on"))
        self.show_entry(entry)

    def show_entry(self, entry: Entry) -> None:
        self._value_width = max(self._value_width, QFontMetrics(self._value_font).horizontalAdvance(entry.value))
        if entry != self.entry:
            self.entry = entry
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(_NAME + self._name_width + (4 + self._value_width if self._value_width else 0), _HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colour = self.theme.colour(self.entry.colour)
        swatch = QRectF(0, self.height() / 2 - 1.5, 7, 3)
        painter.setPen(Qt.PenStyle.NoPen if self.isChecked() else QPen(colour, 1))
        painter.setBrush(colour if self.isChecked() else Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(swatch, 1.5, 1.5)
        font = QFont(self._name_font)
        font.setStrikeOut(not self.isChecked())
        painter.setFont(font)
        painter.setPen(self.theme.colour("text" if self.underMouse() or self.hasFocus() else "secondary"))
        name = QFontMetrics(font).elidedText(self._name, Qt.TextElideMode.ElideMiddle, self._name_width + 1)
        painter.drawText(QRectF(_NAME, 0, self._name_width + 4, self.height()), _LEFT, name)
        if self.isChecked():
            painter.setFont(self._value_font)
            painter.setPen(self.theme.colour("text"))
            painter.drawText(
                QRectF(_NAME + 4 + self._name_width, 0, self._value_width + 2, self.height()), _LEFT, self.entry.value
            )


_LEFT: Final = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


def _fitting(widths: Sequence[int], room: int) -> int:
    """How many entries fit; where not all do, the button for the others needs its room too."""
    if sum(widths) + _SPACE * (len(widths) - 1) <= room:
        return len(widths)
    used = _MORE
    for number, width in enumerate(widths):
        used += width + _SPACE
        if used > room:
            return number
    return len(widths)
