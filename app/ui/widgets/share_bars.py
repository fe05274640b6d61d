"""Parts of a whole as bars under each other, each with its name and number."""

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetricsF, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.models import formats
from app.models.qt.plain import one_line, plain_tip
from app.ui import fonts
from app.ui.theme import ThemeManager

#: Parts that are drawn; the rest is left out.
MOST: Final = 12
_PITCH: Final = 30
_BAR: Final = 5
_APART: Final = 12


class ShareBars(QWidget):
    """The longest bar is as wide as the widget. ``chosen``: a part was clicked, by its place."""

    chosen = Signal(int)

    def __init__(self, theme: ThemeManager, name: str, *, invites: str = "") -> None:
        super().__init__()
        self._theme = theme
        self._parts: tuple[tuple[str, int], ...] = ()
        self._figures: tuple[str, ...] = ()
        self._name = name
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        if invites:
            self.setCursor(Qt.CursorShape.PointingHandCursor)
            self.setToolTip(plain_tip(invites))
        theme.changed.connect(self.update)

    def show_parts(self, parts: Sequence[tuple[str, int]], figures: Sequence[str] | None = None) -> None:
        """Draw these parts, in this order, with their numbers or with other figures."""
        shown = tuple(parts[:MOST])
        said = tuple(figures or (formats.count(n) for _, n in shown))[: len(shown)]
        if (shown, said) != (self._parts, self._figures):
            self._parts, self._figures = shown, said
            told = ", ".join(f"{name}: {figure}" for (name, _), figure in zip(shown, said, strict=True))
            self.setAccessibleName(f"{self._name}: {told}")
            self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(200, len(self._parts) * _PITCH)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        place = int(event.position().y()) // _PITCH
        if event.button() == Qt.MouseButton.LeftButton and 0 <= place < len(self._parts):
            self.chosen.emit(place)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        theme = self._theme.theme
        painter.setFont(fonts.ui_font(12))
        metrics = QFontMetricsF(painter.font())
        most = max((n for _, n in self._parts), default=0)
        for at, ((name, n), figure) in enumerate(zip(self._parts, self._figures, strict=True)):
            text = QRectF(0, at * _PITCH, self.width(), _PITCH - _BAR - 5)
            painter.setPen(theme.colour("secondary"))
            painter.drawText(text, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, figure)
            room = text.width() - metrics.horizontalAdvance(figure) - _APART
            painter.setPen(theme.colour("text"))
            shown = metrics.elidedText(one_line(name), Qt.TextElideMode.ElideMiddle, room)
            painter.drawText(text, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, shown)
            bar = QRectF(0, text.bottom(), self.width(), _BAR)
            painter.fillRect(bar, theme.colour("line"))
            if most:
                painter.fillRect(
                    QRectF(0, bar.top(), max(2.0 if n else 0.0, bar.width() * n / most), _BAR), theme.colour("accent")
                )
