"""The way of one task as a bar per delivery, and its steps with their durations under it."""

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from app.models import formats, states
from app.models.records import Task
from app.ui import fonts
from app.ui.shapes import paint_shape, state_style
from app.ui.theme import ThemeManager
from app.ui.widgets.attempts import Kind, Lane, lanes
from app.ui.widgets.facts import Fact, FactList

#: Deliveries drawn; of more, the first ones are left out.
MOST: Final = 12
_HEIGHT: Final = 10
_PITCH: Final = 18
_MARK: Final = 9
_NUMBERS: Final = 18
#: What a segment is at least wide, so that no step vanishes beside a long one.
_LEAST: Final = 3.0
_TOKENS: Final[dict[Kind, tuple[str, float]]] = {
    "held": ("pending", 0.35),
    "queued": ("received", 0.9),
    "reserved": ("received", 0.5),
    "ran": ("running", 1.0),
}
#: How opaque is what nobody can tell, in the colour of the doubt.
_FAINT: Final = 0.3


class Timeline(QWidget):
    """Bars above, steps below; all deliveries share one axis of time."""

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._bars = _Bars(theme)
        self._steps = FactList()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(10)
        layout.addWidget(self._bars)
        layout.addWidget(self._steps)

    def show_task(self, task: Task, now: float) -> None:
        """Show how a task came to where it is ``now``."""
        told = lanes(task, now)
        self._bars.show_lanes(told[-MOST:])
        self._steps.show_facts([*_earlier(told[:-1][-MOST:]), *steps(task, now)])


class _Bars(QWidget):
    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._theme = theme
        self._lanes: Sequence[Lane] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Timeline")
        theme.changed.connect(self.update)

    def show_lanes(self, told: Sequence[Lane]) -> None:
        if told != self._lanes:
            self._lanes = told
            self.setAccessibleDescription("\n".join(lane.sentence() for lane in told))
            self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(200, max(1, len(self._lanes)) * _PITCH)

    def paintEvent(self, event: QPaintEvent) -> None:
        segments = [segment for lane in self._lanes for segment in lane.segments]
        painter = QPainter(self)
        theme = self._theme.theme
        left = _NUMBERS if len(self._lanes) > 1 else 0
        room = self.width() - left - _MARK - 6
        start = min((segment.start for segment in segments), default=0.0)
        length = max((segment.end for segment in segments), default=1.0) - start
        for number, lane in enumerate(self._lanes):
            y = number * _PITCH + (_PITCH - _HEIGHT) / 2
            x, style = float(left), state_style(lane.state)
            if left:
                painter.setPen(theme.colour("hint"))
                painter.setFont(fonts.ui_font(11))
                # A redelivery stands under its attempt's number.
                attempt = "" if lane.again and number else str(lane.retries + 1)
                painter.drawText(QRectF(0, number * _PITCH, left, _PITCH), Qt.AlignmentFlag.AlignVCenter, attempt)
            for segment in lane.segments:
                token, alpha = _TOKENS[segment.kind] if segment.kind != "doubted" else (style.token, _FAINT)
                x = max(x, left + (segment.start - start) / length * room)
                width = max(_LEAST, left + (segment.end - start) / length * room - x)
                painter.fillRect(QRectF(x, y, width - 1, _HEIGHT), theme.colour(token, alpha))
                x += width
            mark = QRectF(min(x + 4, self.width() - _MARK), y + (_HEIGHT - _MARK) / 2, _MARK, _MARK)
            paint_shape(painter, mark, style.shape, theme.colour(style.token))


def steps(task: Task, now: float) -> list[Fact]:
    """The moments of the present attempt, each with the time since the one before."""
    last = state_style(task.state).word.lower() if task.state in states.FINAL | {states.RETRY} else ""
    moments = (("Sent", task.sent), ("Received", task.received), ("Started", task.started), (last, task.finished))
    told: list[Fact] = []
    before: float | None = None
    for word, moment in moments:
        if moment is None or not word:
            continue
        note = "" if before is None else f"+ {formats.duration(max(0.0, moment - before))}"
        tone = "error" if word == "failed" else ""
        tip = f"{formats.date_time(moment)}\n{formats.iso_utc(moment)}"
        told.append(Fact(word.capitalize(), formats.near_time(moment, now), note, tone=tone, tip=tip))
        before = moment
    if task.doubted is not None:
        word = state_style(task.state).word
        tip = f"{formats.date_time(task.doubted)}\n{formats.iso_utc(task.doubted)}"
        told.append(
            Fact(word, f"since {formats.near_time(task.doubted, now)}", formats.age(now - task.doubted), tip=tip)
        )
    elif before is not None and not last:
        doing = "Running" if task.started is not None else "Waiting"
        told.append(Fact(doing, "until now", f"+ {formats.coarse(now - before)}"))
    return told


def _earlier(told: Sequence[Lane]) -> list[Fact]:
    return [_delivery(lane) for lane in told]


def _delivery(lane: Lane) -> Fact:
    """What has to give way to a narrow pane comes last; how it ended always stays."""
    value = " · ".join(part for part in (lane.worker or "", *reversed(lane.spent())) if part)
    tip = "\n".join(part for part in (lane.sentence(), lane.exception) if part)
    return Fact(lane.title, value or formats.UNKNOWN, lane.end, tip=tip)
