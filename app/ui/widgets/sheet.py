"""A framed dialog of three parts: what it is about, what there is to read, which scrolls, and what can be done."""

from typing import Final

from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from app.models.profiles import Environment
from app.ui.theme import ThemeManager
from app.ui.widgets.act_parts import MARGIN, Framed

_WIDTH: Final = 520
_WIDE: Final = 760
_TALLEST: Final = 640
#: Of which at least so many are for what is read.
_LEAST: Final = 120
#: Pixels that a desktop may put around it.
_FRAME: Final = 60
#: Pixels of a line or two: so much more does not move what is read.
_LINES: Final = 50


class Sheet(Framed):
    """It is as high as what is in it, up to what the screen has room for, whenever that has become another.

    Attributes: ``top``, ``body`` and ``below`` are where its parts go; of these ``body`` scrolls.
    """

    def __init__(self, parent: QWidget, theme: ThemeManager, environment: Environment) -> None:
        super().__init__(parent, theme, environment)
        self._content, self._area = QWidget(), QScrollArea()
        self.top, self.body, self.below = QVBoxLayout(), QVBoxLayout(self._content), QVBoxLayout()
        for layout in (self.top, self.body, self.below):
            layout.setContentsMargins(MARGIN, 0, MARGIN, 0)
        self.body.setSpacing(12)
        self.below.setSpacing(14)
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setWidget(self._content)
        self._area.viewport().setAutoFillBackground(False)
        self._content.setAutoFillBackground(False)
        self._area.setFixedHeight(0)
        self.inside.setContentsMargins(0, 14, 0, 16)
        self.inside.setSpacing(12)
        self.inside.addLayout(self.top)
        self.inside.addWidget(self._area, 1)
        self.inside.addLayout(self.below)

    @property
    def wide(self) -> bool:
        """Whether what is in it needs width."""
        return False

    def event(self, event: QEvent) -> bool:
        done = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest:
            self._fit()
        return done

    def _fit(self) -> None:
        layout, room = self.layout(), self.screen().availableGeometry()
        if layout is None:
            return
        width = min(_WIDE if self.wide else _WIDTH, room.width() - _FRAME)
        content = self._content
        body = content.heightForWidth(width) if content.hasHeightForWidth() else content.sizeHint().height()
        around = layout.totalHeightForWidth(width) - self._area.minimumHeight()
        area = min(body, max(_LEAST, min(_TALLEST, room.height() - _FRAME) - around))
        grown = around + area - self.height()
        self.setFixedWidth(width)
        self._area.setFixedHeight(area)
        self.setFixedHeight(around + area)
        if grown and self.isVisible():
            self._stay_in_sight(grown)

    def _stay_in_sight(self, grown: int) -> None:
        """Grow to both sides where that is more than a line, and never off the screen, where its buttons would be."""
        frame, room = self.frameGeometry(), self.screen().availableGeometry()
        top = frame.top() - (grown // 2 if abs(grown) > _LINES else 0)
        lowest = room.bottom() + 1 - frame.height()
        self.move(frame.left(), max(room.top(), min(top, lowest)))
