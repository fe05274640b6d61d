"""What needs attention, in words: each with how that is known, what to do, and one button."""

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from app.models import formats
from app.models.diagnosis import Finding
from app.ui.shapes import Shape, paint_shape
from app.ui.theme import ThemeManager
from app.ui.widgets.inspector import IconButton
from app.ui.widgets.labels import ElidedLabel, PlainLabel

#: Findings that are shown before the rest is asked for.
MOST: Final = 4
#: Token and shape of each severity.
MARKS: Final[dict[str, tuple[str, Shape]]] = {
    "error": ("failed", "triangle-up"),
    "warning": ("retrying", "triangle-up"),
    "info": ("accent", "eye"),
}
#: All buttons are as wide as the widest.
_BUTTON: Final = 128
_ACTIONS: Final = {
    "queue": "Show queue",
    "tasks": "Show tasks",
    "worker": "Show worker",
    "events": "Turn events on …",
}
OPERATE_ONLY: Final = "This needs the access mode “operate”: change it at the upper right."


class Findings(QFrame):
    """A card with a row per finding, hidden while there is none. ``acted`` with that whose button was pressed."""

    acted = Signal(object)

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.setAccessibleName("Needs attention")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._theme = theme
        self._rows: dict[str, _Row] = {}
        self._whole = False
        self._more = QPushButton()
        self._more.setProperty("kind", "link")
        self._more.clicked.connect(self._toggle)
        below = QHBoxLayout()
        below.setContentsMargins(34, 2, 12, 4)
        below.addWidget(self._more)
        below.addStretch(1)
        self._below = QWidget()
        self._below.setLayout(below)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(1, 1, 1, 1)
        self._layout.setSpacing(0)
        self._layout.addWidget(self._below)
        self.hide()

    def show_findings(self, findings: Sequence[Finding], now: float, *, operates: bool) -> None:
        """Show these, as it is ``now``; ``operates`` if workers may be told something."""
        for key in self._rows.keys() - {finding.key for finding in findings}:
            row = self._rows.pop(key)
            self._layout.removeWidget(row)
            row.hide()
            row.deleteLater()
        for place, finding in enumerate(findings):
            shown = self._rows.get(finding.key)
            if shown is None:
                shown = self._rows[finding.key] = _Row(self._theme)
                shown.acted.connect(self.acted)
            shown.show_finding(finding, now, operates=operates)
            shown.first = place == 0
            if self._layout.indexOf(shown) != place:
                self._layout.insertWidget(place, shown)
        self._rows = {finding.key: self._rows[finding.key] for finding in findings}
        self._show_most()
        self.setVisible(bool(findings))

    def texts(self) -> list[str]:
        """What is shown now, a line each."""
        return [row.accessibleName() for row in self._rows.values() if not row.isHidden()]

    def _toggle(self) -> None:
        self._whole = not self._whole
        self._show_most()

    def _show_most(self) -> None:
        # One that is left over stands there itself, not the word that there is one more.
        most = len(self._rows) if self._whole or len(self._rows) == MOST + 1 else MOST
        for place, row in enumerate(self._rows.values()):
            row.setVisible(place < most)
        left = len(self._rows) - MOST
        self._below.setVisible(left > 1)
        self._more.setText("Show fewer" if self._whole else f"{left} more")


class _Row(QFrame):
    """One finding on a line; a click opens what to do about it below."""

    acted = Signal(object)

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self.first = False
        self._theme = theme
        self._finding: Finding | None = None
        self._mark = Mark(theme)
        self._text = ElidedLabel(role="strong", mode=Qt.TextElideMode.ElideMiddle)
        self._evidence = ElidedLabel(role="secondary")
        self._act = QPushButton()
        self._act.setMinimumWidth(_BUTTON)
        policy = self._act.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self._act.setSizePolicy(policy)
        self._act.clicked.connect(self._do)
        self._open = IconButton(theme, "chevron-right", "What to do")
        self._open.setCheckable(True)
        self._open.clicked.connect(self._show_remedy)
        self._remedy = PlainLabel(role="secondary")
        self._remedy.setWordWrap(True)
        self._remedy.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._remedy.setContentsMargins(22, 0, 8, 6)
        self._remedy.hide()
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self._mark)
        line.addWidget(self._text)
        line.addWidget(self._evidence, 1)
        line.addWidget(self._open)
        line.addWidget(self._act)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 3, 10, 4)
        layout.setSpacing(2)
        layout.addLayout(line)
        layout.addWidget(self._remedy)

    def show_finding(self, finding: Finding, now: float, *, operates: bool) -> None:
        self._finding = finding
        since = _since(finding.since, now)
        evidence = " · ".join(part for part in (finding.evidence, since) if part)
        self._mark.show_severity(finding.severity)
        self._text.setText(finding.text)
        self._evidence.setText(evidence)
        self._tell_remedy()
        self.setAccessibleName(f"{finding.severity}: {finding.text} {evidence}")
        self.setAccessibleDescription(finding.remedy)
        self._open.setAccessibleName(f"What to do: {finding.text}")
        self._act.setVisible(finding.action is not None)
        if finding.action is not None:
            allowed = operates or finding.action.kind != "events"
            self._act.setText(_ACTIONS[finding.action.kind])
            self._act.setAccessibleName(f"{_ACTIONS[finding.action.kind]}: {finding.text}")
            self._act.setEnabled(allowed)
            self._act.setToolTip("" if allowed else OPERATE_ONLY)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        if event.button() == Qt.MouseButton.LeftButton and self._remedy.isHidden() == (not self._open.isChecked()):
            self._open.click()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self.first:
            QPainter(self).fillRect(0, 0, self.width(), 1, self._theme.theme.colour("line"))

    def _tell_remedy(self) -> None:
        finding = self._finding
        if finding is not None:
            cut = self._evidence.fontMetrics().horizontalAdvance(self._evidence.text()) > self._evidence.width()
            self._remedy.setText(f"{self._evidence.text()}\n{finding.remedy}" if cut else finding.remedy)

    def _do(self) -> None:
        self.acted.emit(self._finding)

    def _show_remedy(self) -> None:
        opened = self._open.isChecked()
        self._tell_remedy()
        self._open.show_icon("chevron-down" if opened else "chevron-right")
        self._remedy.setVisible(opened)


class Mark(QWidget):
    """The shape of a severity in its colour."""

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._theme = theme
        self._severity = "info"
        self.setFixedSize(14, 14)
        theme.changed.connect(self.update)

    def show_severity(self, severity: str) -> None:
        if severity != self._severity:
            self._severity = severity
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        token, shape = MARKS[self._severity]
        paint_shape(QPainter(self), QRectF(2, 2, 10, 10), shape, self._theme.theme.colour(token))


def _since(since: float | None, now: float) -> str:
    if since is None:
        return ""
    return f"since {formats.near_time(since, now, brief=True).partition('.')[0]}"
