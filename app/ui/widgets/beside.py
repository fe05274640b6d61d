"""Two parts beside each other, or below each other where there is no room for that."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QFrame, QWidget

_SPACING = 8


class Beside(QFrame):
    """The ``right`` one stands right, and on the left where it is below; ``margins`` as of layouts, in pixels."""

    def __init__(self, left: QWidget, right: QWidget, margins: tuple[int, int, int, int]) -> None:
        super().__init__()
        self._parts = left, right
        self._line = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._line.setContentsMargins(*margins)
        self._line.setSpacing(_SPACING)
        self._line.addWidget(left, 1)
        self._line.addWidget(right)

    def fit(self) -> None:
        """Stand as there is room."""
        margins = self._line.contentsMargins()
        shown = [part.sizeHint().width() for part in self._parts if not part.isHidden()]
        needed = sum(shown) + _SPACING * (len(shown) - 1) + margins.left() + margins.right()
        beside = needed <= self.width()
        self._line.setDirection(QBoxLayout.Direction.LeftToRight if beside else QBoxLayout.Direction.TopToBottom)
        side = Qt.AlignmentFlag.AlignRight if beside else Qt.AlignmentFlag.AlignLeft
        self._line.setAlignment(self._parts[1], side)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.fit()
