"""The bar above a page: whose page it is, which span of time it shows, and what this program may do to the broker."""

from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QToolButton

from app.models.profiles import Mode
from app.models.qt.plain import plain_tip
from app.ui import icons, words
from app.ui.live import TimeRange
from app.ui.theme import ThemeManager
from app.ui.widgets.labels import ElidedLabel, PlainLabel
from app.ui.widgets.mode_badge import ModeBadge
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
        self._pinned = PlainLabel("Pinned", role="danger")
        self._pinned.setToolTip(plain_tip(words.PINNED))
        self._pinned.setFixedHeight(28)
        self.badge = ModeBadge(theme)
        self._look = QToolButton()
        self._look.clicked.connect(theme.toggle)
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 0, 14, 1)
        row.setSpacing(8)
        self._between = PlainLabel("›", role="secondary")
        for part in (self._broker, self._between, self._page):
            row.addWidget(part)
        row.addStretch(1)
        for control in (self._pinned, self.range_button, self.pause_button, self.badge, self._look):
            row.addWidget(control)
        theme.changed.connect(self._wear)
        self._wear()

    def show_home(self) -> None:
        """There is no broker: nothing to say but where we are."""
        for part in (self._broker, self._between, self._pinned, self.range_button, self.pause_button, self.badge):
            part.hide()
        self._page.setText("Welcome")

    def show_place(self, broker: str, page: str, mode: Mode | None, *, pinned: bool = False) -> None:
        """Say which broker's page this is; `mode` is None where there is no broker, only its history.

        Where the broker's certificate is ``pinned``, that stands there in red for as long as it is.
        """
        self._pinned.setVisible(pinned)
        self._broker.setText(broker)
        self._page.setText(page)
        for part in (self._broker, self._between, self.range_button):
            part.show()
        self.range_button.set_grows(mode is not None)
        self.pause_button.setVisible(mode is not None)
        self.badge.show_mode(mode)

    def show_all(self, name: str, page: str, *, grows: bool) -> None:
        """Say that this page is about several brokers; `grows` if any of them is live."""
        self.show_place(name, page, "observe" if grows else None)
        self.badge.hide()  # each has its own

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
