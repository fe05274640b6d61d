"""Parts of a whole as bars under each other, each with its name and number."""

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.models import formats
from app.ui import fonts
from app.ui.theme import ThemeManager

#: Parts that are drawn; the rest is left out.
MOST: Final = 12
_PITCH: Final = 30
_BAR: Final = 5


class ShareBars(QWidget):
    """The longest bar is as wide as the widget."""

    def __init__(self, theme: ThemeManager, name: str) -> None:
        super().__init__()
        self._theme = theme
        self._parts: tuple[tuple[str, int], ...] = ()
        self._name = name
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def show_parts(self, parts: Sequence[tuple[str, int]]) -> None:
        """Draw these parts, in this order."""
        if tuple(parts[:MOST]) != self._parts:
            self._parts = tuple(parts[:MOST])
            told = ", ".join(f"{name}: {formats.count(n)}" for name, n in self._parts)
            self.setAccessibleName(f"{self._name}: {told}")
            self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(200, len(self._parts) * _PITCH)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        theme = self._theme.theme
        most = max((n for _, n in self._parts), default=0)
        for at, (name, n) in enumerate(self._parts):
            text = QRectF(0, at * _PITCH, self.width(), _PITCH - _BAR - 5)
            painter.setFont(fonts.ui_font(12))
            painter.setPen(theme.colour("text"))
            painter.drawText(text, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, name)
            painter.setPen(theme.colour("secondary"))
            painter.drawText(text, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, formats.count(n))
            bar = QRectF(0, text.bottom(), self.width(), _BAR)
            painter.fillRect(bar, theme.colour("line"))
            if most:
                painter.fillRect(
                    QRectF(0, bar.top(), max(2.0 if n else 0.0, bar.width() * n / most), _BAR), theme.colour("accent")
                )
