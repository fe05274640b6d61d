"""A box to tick, whose outline can be seen in both themes."""

from typing import Final

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QCheckBox

from app.ui import icons
from app.ui.theme import ThemeManager

_BOX: Final = 16
_GAP: Final = 10


class CheckBox(QCheckBox):
    """Qt's own, painted in our colours: Fusion draws its outline darker than the ground, which dark grounds hide."""

    def __init__(self, theme: ThemeManager, text: str) -> None:
        super().__init__(text)
        self._theme = theme
        theme.changed.connect(self.update)

    def sizeHint(self) -> QSize:
        return QSize(_BOX + _GAP + self.fontMetrics().horizontalAdvance(self.text()) + 2, 22)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, theme = QPainter(self), self._theme.theme
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        on, usable = self.isChecked(), self.isEnabled()
        top = (self.height() - _BOX) / 2
        filled = on and usable
        painter.setPen(QPen(theme.colour("accent" if filled or self.hasFocus() else "hint", 1.0 if usable else 0.5), 1))
        painter.setBrush(theme.colour("accent" if filled else "field"))
        painter.drawRoundedRect(QRectF(2.5, top + 0.5, _BOX - 1, _BOX - 1), 4, 4)
        if on:
            token = "on_accent" if usable else "hint"
            picture = icons.pixmap("check", theme, token, size=12, ratio=self.devicePixelRatio())
            painter.drawPixmap(4, round(top) + 2, picture)
        if self.hasFocus():
            painter.setPen(theme.colour("accent"))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(-1.5, top - 1.5, _BOX + 3, _BOX + 3).translated(2, 0), 5, 5)
        painter.setPen(theme.colour("text" if usable else "hint"))
        painter.setFont(self.font())
        words = QRectF(_BOX + _GAP, 0, self.width() - _BOX - _GAP, self.height())
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, self.text())
