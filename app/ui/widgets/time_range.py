"""Buttons for the span of time that all pages show: which it is, and whether the picture stands still."""

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QAction, QActionGroup, QPainter, QPaintEvent
from PySide6.QtWidgets import QMenu, QPushButton, QStyle, QStyleOptionToolButton, QStylePainter, QToolButton

from app.models import formats
from app.ui import icons, words
from app.ui.live import RANGES, TimeRange
from app.ui.theme import ThemeManager


class RangeButton(QToolButton):
    """Shows the span and opens a menu of others; a green dot while it is live, an amber one while it stands still.

    The dot is red while it would be live if the broker were heard.
    """

    def __init__(self, theme: ThemeManager, time_range: TimeRange) -> None:
        super().__init__()
        self._theme = theme
        self._range = time_range
        self._grows = True
        self._heard = True
        self._menu = QMenu(self)
        self._choices = QActionGroup(self)
        self._spans: dict[float, QAction] = {}
        for span in RANGES:
            action = self._menu.addAction("")
            action.setCheckable(True)
            action.triggered.connect(lambda _=False, span=span: time_range.go_live(span))
            self._choices.addAction(action)
            self._spans[span] = action
        self._menu.addSeparator()
        for text, spans in (("Earlier\t[", -1.0), ("Later\t]", 1.0)):
            self._menu.addAction(text).triggered.connect(lambda _=False, spans=spans: time_range.step_by(spans))
        self._latest = self._menu.addAction("")
        self._latest.triggered.connect(lambda _=False: time_range.go_live())
        self.setMenu(self._menu)
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setToolTip("The span of time that all pages show ( [ and ] step, Home is live )")
        time_range.changed.connect(self._show)
        theme.changed.connect(self.update)
        self._show()

    def set_grows(self, grows: bool) -> None:
        """Say whether the history grows; a file is never live."""
        self._grows = grows
        self._show()

    def set_heard(self, heard: bool) -> None:
        """Say whether the broker is heard: without it nothing is live."""
        if heard != self._heard:
            self._heard = heard
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(self.fontMetrics().horizontalAdvance(self.text()) + 10 + 8 + 10 + 26, 30)

    def _show(self) -> None:
        self.setText(words.range_text(self._range, grows=self._grows))
        self.setAccessibleName(f"Time range: {self.text()}")
        # An exclusive group never gives up its last check by itself.
        self._choices.setExclusive(False)
        for span, action in self._spans.items():
            action.setText(words.latest_text(span, grows=self._grows))
            action.setChecked(self._range.live and span == self._range.span)
        self._choices.setExclusive(True)
        self._latest.setText("Back to live\tHome" if self._grows else "To the end\tHome")
        self.updateGeometry()
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, option = self._theme.theme, QStyleOptionToolButton()
        self.initStyleOption(option)
        option.text = ""
        painter = QStylePainter(self)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ToolButton, option)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        live = self._range.live and self._grows
        token = "retrying" if self._range.paused else "secondary"
        if live and not self._range.paused:
            token = "succeeded" if self._heard else "failed"
        middle = self.height() / 2
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour(token))
        painter.drawEllipse(QRectF(12, middle - 4, 8, 8))
        painter.setPen(theme.colour("text"))
        painter.drawText(
            QRectF(28, 0, self.width() - 50, self.height()),
            Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft,
            self.text(),
        )
        arrow = icons.pixmap("chevron-down", theme, "secondary", size=14, ratio=self.devicePixelRatio())
        painter.drawPixmap(self.width() - 22, round(middle) - 7, arrow)


class PauseButton(QPushButton):
    """Freezes the picture, never the data; while it does, it counts the tasks that came in meanwhile."""

    def __init__(self, theme: ThemeManager, time_range: TimeRange) -> None:
        super().__init__()
        self._theme = theme
        self._range = time_range
        self._new = 0
        self.setCheckable(True)
        self.setToolTip("Freeze the picture, never the data (Space)")
        self.clicked.connect(time_range.set_paused)
        time_range.changed.connect(self._show)
        theme.changed.connect(self._show)
        self._show()

    def show_new(self, tasks: int) -> None:
        """Say how many tasks came in since the picture stands still."""
        if tasks != self._new:
            self._new = tasks
            self._show()

    def _show(self) -> None:
        paused = self._range.paused
        self.setChecked(paused)
        waiting = f" · {formats.count(self._new)} new" if self._new else ""
        text = f"Paused{waiting}" if paused else "Pause"
        self.setText(f" {text}")  # Qt puts the icon too close
        self.setAccessibleName(text)
        self.setIcon(
            icons.icon("play" if paused else "pause", self._theme.theme, "accent" if paused else "text", size=14)
        )
