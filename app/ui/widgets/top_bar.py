"""The bar above a page: whose page it is, which span of time it shows, and what this program may do to the broker."""

from typing import Final

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFont, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QToolButton, QWidget

from app.models.profiles import Mode
from app.ui import fonts, icons, words
from app.ui.live import TimeRange
from app.ui.theme import ThemeManager
from app.ui.widgets.labels import ElidedLabel, PlainLabel
from app.ui.widgets.time_range import PauseButton, RangeButton

HEIGHT: Final = 48


class TopBar(QFrame):
    """Breadcrumb on the left, controls on the right."""

    def __init__(self, theme: ThemeManager, time_range: TimeRange) -> None:
        super().__init__()
        self._theme = theme
        self.setProperty("role", "bar")
        self.setFixedHeight(HEIGHT)
        self._broker = ElidedLabel(role="strong", mode=Qt.TextElideMode.ElideMiddle)
        self._page = PlainLabel()
        self.range_button = RangeButton(theme, time_range)
        self.pause_button = PauseButton(theme, time_range)
        self._mode = ModeBadge(theme)
        self._look = QToolButton()
        self._look.clicked.connect(theme.toggle)
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 0, 14, 1)
        row.setSpacing(8)
        self._between = PlainLabel("›", role="secondary")
        for part in (self._broker, self._between, self._page):
            row.addWidget(part)
        row.addStretch(1)
        for control in (self.range_button, self.pause_button, self._mode, self._look):
            row.addWidget(control)
        theme.changed.connect(self._wear)
        self._wear()

    def show_home(self) -> None:
        """There is no broker: nothing to say but where we are."""
        for part in (self._broker, self._between, self.range_button, self.pause_button, self._mode):
            part.hide()
        self._page.setText("Welcome")

    def show_place(self, broker: str, page: str, mode: Mode | None) -> None:
        """Say which broker's page this is; `mode` is None where there is no broker, only its history."""
        self._broker.setText(broker)
        self._page.setText(page)
        for part in (self._broker, self._between, self.range_button):
            part.show()
        self.range_button.set_grows(mode is not None)
        self.pause_button.setVisible(mode is not None)
        self._mode.show_mode(mode)

    def show_all(self, name: str, page: str, *, grows: bool) -> None:
        """Say that this page is about several brokers; `grows` if any of them is live."""
        self.show_place(name, page, "observe" if grows else None)
        self._mode.hide()  # each has its own

    def _wear(self) -> None:
        theme = self._theme.theme
        self._look.setIcon(icons.icon("sun" if theme.dark else "moon", theme, "secondary"))
        other = "light" if theme.dark else "dark"
        self._look.setToolTip(f"Change to the {other} theme")
        self._look.setAccessibleName(f"Change to the {other} theme")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        QPainter(self).fillRect(0, self.height() - 1, self.width(), 1, self._theme.theme.colour("line"))


class ModeBadge(QWidget):
    """The access mode: an indicator, not a switch."""

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._theme = theme
        self._token, self._word = "secondary", ""
        self._font = fonts.ui_font(13, QFont.Weight.Medium)
        theme.changed.connect(self.update)
        self.hide()

    def show_mode(self, mode: Mode | None) -> None:
        """Show what may be done; nothing is sent anywhere where there is only a file."""
        self._token, self._word, meaning = (
            words.MODES[mode] if mode else ("secondary", "Read only", "A history file: there is no broker behind it.")
        )
        self.setToolTip(meaning)
        self.setAccessibleName(meaning)
        self.setFixedSize(self.sizeHint())
        self.show()
        self.update()

    def sizeHint(self) -> QSize:
        self.ensurePolished()
        return QSize(10 + 15 + 6 + self.fontMetrics().horizontalAdvance(self._word) + 14, 28)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, painter = self._theme.theme, QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(theme.colour(self._token, 0.7), 1))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 5, 5)
        eye = icons.pixmap("lock" if self._token != "retrying" else "lock-open", theme, self._token, size=14,
                           ratio=self.devicePixelRatio())  # fmt: skip
        painter.drawPixmap(10, 7, eye)
        painter.setFont(self._font)
        painter.setPen(theme.colour("text"))
        painter.drawText(QRectF(30, 0, self.width() - 34, self.height()), Qt.AlignmentFlag.AlignVCenter, self._word)
