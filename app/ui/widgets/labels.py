"""Labels that show what a broker sent as it is: plain text, never markup, cut with an ellipsis rather than widening."""

from typing import Final

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QStyle, QStyleOption, QWidget

from app.models.qt.plain import one_line, plain_tip, visible

#: More characters than any screen is wide: what is beyond need not be measured.
_LONGEST: Final = 2000


class PlainLabel(QLabel):
    """Plain text in one of the style sheet's roles (``secondary``, ``hint``, ``title``, ``mono`` …)."""

    def __init__(self, text: str = "", *, role: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setText(text)
        if role:
            self.setProperty("role", role)

    def setText(self, text: str) -> None:
        super().setText(visible(text))

    def set_role(self, role: str) -> None:
        """Wear another role from now on."""
        if self.property("role") != role:
            self.setProperty("role", role)
            self.style().unpolish(self)
            self.style().polish(self)


class ElidedLabel(PlainLabel):
    """One line that shrinks with an ellipsis and shows the whole text as tooltip where it was cut."""

    def __init__(
        self,
        text: str = "",
        *,
        role: str = "",
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(text, role=role, parent=parent)
        self._mode = mode
        self._explained = ""
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def explain(self, text: str) -> None:
        """Have this as tooltip, in place of the whole text."""
        self._explained = text
        self.setToolTip(plain_tip(text))

    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), self._height())

    def minimumSizeHint(self) -> QSize:
        return QSize(self.fontMetrics().horizontalAdvance("…") + 4, self._height())

    def _height(self) -> int:
        """One line of its own font, whatever the text holds: line breaks, or signs of a script with taller ones."""
        margins = self.contentsMargins()
        return self.fontMetrics().height() + margins.top() + margins.bottom()

    def paintEvent(self, event: QPaintEvent) -> None:
        option = QStyleOption()
        option.initFrom(self)
        room = self.contentsRect()
        line = one_line(self.text(), _LONGEST)
        shown = self.fontMetrics().elidedText(line, self._mode, room.width())
        tooltip = plain_tip(self._explained or ("" if shown == self.text() else self.text()))
        if tooltip != self.toolTip():
            self.setToolTip(tooltip)
        painter = QPainter(self)
        self.style().drawPrimitive(QStyle.PrimitiveElement.PE_Widget, option, painter, self)
        self.style().drawItemText(
            painter, room, int(self.alignment()), self.palette(), self.isEnabled(), shown, self.foregroundRole()
        )
