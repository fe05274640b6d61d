"""The foot of the window: the accounting identity in plain words, and what we cost."""

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from PySide6.QtCore import QPoint, QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from app.models import formats
from app.models.diagnosis import CLASSES, class_counts
from app.models.qt.plain import plain_tip
from app.models.records import Accounting
from app.models.wire import Health
from app.ui import words
from app.ui.theme import ThemeManager
from app.ui.vitals import Vital
from app.ui.widgets.labels import ElidedLabel, PlainLabel

HEIGHT: Final = 26
_LISTED: Final = 12
#: In a narrower bar the accounting needs the room of the history's size.
_WIDE: Final = 1000
#: In one that is narrower than this, the classes of what was shed are left to the tooltip.
_WIDER: Final = 1200


class StatusBar(QFrame):
    """Is it live, where did every event go, how large is the history, what do we send."""

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._theme = theme
        self._vital = Vital()
        self.setProperty("role", "bar")
        self.setFixedHeight(HEIGHT)
        self._dot = _Dot(theme)
        self._health = PlainLabel(role="small")
        self._identity = ElidedLabel(role="small")
        self._identity.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self._lost = QPushButton()
        self._lost.setProperty("kind", "status")
        self._lost.clicked.connect(self._open_details)
        self._history = PlainLabel(role="small")
        self._sent = PlainLabel(role="small")
        self._details = _Details(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 1, 14, 0)
        row.setSpacing(0)
        row.addWidget(self._dot)
        row.addSpacing(6)
        row.addWidget(self._health)
        row.addSpacing(24)
        row.addWidget(self._identity)
        row.addWidget(self._lost)
        row.addStretch(1)
        for label in (self._history, self._sent):
            label.setContentsMargins(24, 0, 0, 0)
            row.addWidget(label)
        theme.changed.connect(self.update)
        self._lost.hide()

    def show_health(self, health: Health | None) -> None:
        """Show how the collector is; None while there is no connection."""
        self._dot.set_token("hint" if health is None else words.HEALTH[health.state][0])
        self._health.setText("not connected" if health is None else words.health_text(health, time.time()))
        self._health.setToolTip("" if health is None else health.text)
        sends = health is not None and health.state != "file"
        rate = words.rate_text(health.commands_per_second) if health is not None else ""
        self._sent.setText(f"we send {rate} commands/s" if sends else "")
        self._sent.setVisible(sends)

    def show_vital(self, vital: Vital | None) -> None:
        """Show the history's accounting; None while there is none."""
        self._lost.setVisible(vital is not None)
        if vital is None:
            self._identity.setText("")
            self._history.setText("")
            return
        self._vital = vital
        self._identity.setText(identity(vital.accounting))
        self._show_lost()
        self._lost.setToolTip(plain_tip(f"{explained(vital)}\nClick for the list"))
        self._lost.setAccessibleDescription(explained(vital))
        lost = sum(vital.accounting.shed.values()) or vital.missed
        state = "lost" if lost or not vital.accounting.balanced else ""
        if self._lost.property("state") != state:
            self._lost.setProperty("state", state)
            self._lost.style().unpolish(self._lost)
            self._lost.style().polish(self._lost)
        self._show_history()

    def _show_lost(self) -> None:
        self._lost.setText(f"· {losses(self._vital, brief=self.width() < _WIDER)}")

    def _show_history(self) -> None:
        size = f" · {formats.bytes_(self._vital.size)}" if self.width() >= _WIDE else ""
        self._history.setText(f"history {formats.count_short(self._vital.tasks)} tasks{size}")

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._history.text():
            self._show_history()
            self._show_lost()

    def _open_details(self) -> None:
        self._details.show_vital(self._vital)
        self._details.adjustSize()
        corner = self._lost.mapToGlobal(QPoint(0, -self._details.height() - 6))
        self._details.move(corner)
        self._details.show()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        QPainter(self).fillRect(0, 0, self.width(), 1, self._theme.theme.colour("line"))


class _Dot(QWidget):
    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._theme = theme
        self._token = "hint"
        self.setFixedSize(8, 8)

    def set_token(self, token: str) -> None:
        self._token = token
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.theme.colour(self._token))
        painter.drawEllipse(QRectF(0, 0, 8, 8))


class _Details(QFrame):
    """What was rejected, shed or missed, in a popup over the numbers."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setProperty("role", "popup")
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(14, 12, 14, 12)
        self._layout.setSpacing(4)

    def show_vital(self, vital: Vital) -> None:
        while (item := self._layout.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        books = vital.accounting
        self._section("Rejected: events that could not be understood", _counts(books.rejected))
        self._section("Shed: events dropped, as more came than could be taken", _counts(books.shed, CLASSES))
        missing = [(name, formats.count(n)) for name, n in sorted(vital.missing, key=lambda item: -item[1])]
        if vital.missed is None:
            missing = [("not known: no worker has told how many tasks it began", "")]
        self._section("Missed upstream: tasks that workers began and did not tell us of", missing)
        spans = [
            (
                f"{formats.date_time(gap.start, milliseconds=False)} – "
                + ("now" if gap.end is None else formats.clock_time(gap.end, milliseconds=False)),
                gap.why,
            )
            for gap in reversed(vital.gaps)
        ]
        self._section("Gaps: times in which we did not listen", spans)

    def _section(self, title: str, lines: list[tuple[str, str]]) -> None:
        self._layout.addWidget(PlainLabel(title, role="strong"))
        box = QWidget()
        grid = QGridLayout(box)
        grid.setContentsMargins(0, 0, 0, 8)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(2)
        for row, (left, right) in enumerate(lines[:_LISTED] or [("none", "")]):
            grid.addWidget(PlainLabel(left, role="small"), row, 0)
            grid.addWidget(PlainLabel(right, role="small"), row, 1)
        if len(lines) > _LISTED:
            grid.addWidget(PlainLabel(f"and {len(lines) - _LISTED} more", role="small"), _LISTED, 0)
        grid.setColumnStretch(1, 1)
        self._layout.addWidget(box)


def identity(books: Accounting) -> str:
    """``received 18,402,113 = stored 18,402,096 + rejected 17``, and a ≠ where it does not hold."""
    shed, rejected = sum(books.shed.values()), sum(books.rejected.values())
    parts = [f"stored {formats.count(books.stored)}", f"rejected {formats.count(rejected)}"]
    if shed:
        parts.append(f"shed {formats.count(shed)}")
    return f"received {formats.count(books.received)} {'=' if books.balanced else '≠'} {' + '.join(parts)}"


def losses(vital: Vital, *, brief: bool = False) -> str:
    """What is lost: ``shed 1,200 heartbeats · 37 missed upstream · 2 gaps``; ``0 lost`` only where all is known.

    If ``brief``, classes are not told apart.
    """
    shed = vital.accounting.shed
    dropped = formats.count(sum(shed.values())) if brief else class_counts(shed, 2)
    parts = [f"shed {dropped}"] if any(shed.values()) else []
    if vital.missed:
        parts.append(f"{formats.count(vital.missed)} missed upstream")
    gaps = [formats.number_of(len(vital.gaps), "gap")] if vital.gaps else []
    return " · ".join([*(parts or ["0 shed" if vital.missed is None else "0 lost"]), *gaps])


def explained(vital: Vital) -> str:
    """The same in sentences, a line each."""
    shed = vital.accounting.shed
    lines = [
        f"Dropped, as more came than could be taken: {class_counts(shed)}" if any(shed.values()) else "None dropped"
    ]
    if vital.missed is None:
        lines.append("Whether workers began tasks that we were not told of is not known")
    else:
        told = formats.number_of(vital.missed, "task") if vital.missed else "No task"
        lines.append(f"{told} began that we were not told of, as far as workers count them")
    if vital.gaps:
        lines.append(f"Nobody listened {formats.number_of(len(vital.gaps), 'time')}")
    return "\n".join(lines)


def _counts(reasons: dict[str, int], words: Mapping[str, str] = MappingProxyType({})) -> list[tuple[str, str]]:
    most_first = sorted(reasons.items(), key=lambda item: -item[1])
    return [(f"{words[reason]}s" if reason in words else reason, formats.count(n)) for reason, n in most_first if n]
