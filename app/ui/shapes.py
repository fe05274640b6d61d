"""How a task's or worker's state looks: a colour, a word and a shape, so that colour never stands alone."""

from typing import Final, Literal

import msgspec
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen

from app.models import states

Shape = Literal[
    "dotted", "ring", "half", "disc", "cross", "turn", "slashed", "barred", "question", "wave", "back", "eye",
    "diamond", "triangle-up", "triangle-down",
]  # fmt: skip

_RINGS: Final = frozenset({"dotted", "ring", "half", "slashed", "barred", "eye"})


class StateStyle(msgspec.Struct, frozen=True):
    """``token`` names a colour of the theme, ``shape`` goes to `paint_shape`, ``word`` is what people read."""

    token: str
    shape: Shape
    word: str


_STYLES: Final[dict[str, tuple[str, Shape]]] = {
    states.PENDING: ("pending", "dotted"),
    states.RECEIVED: ("received", "ring"),
    states.STARTED: ("running", "half"),
    states.SUCCESS: ("succeeded", "disc"),
    states.FAILURE: ("failed", "cross"),
    states.RETRY: ("retrying", "turn"),
    states.REVOKED: ("revoked", "slashed"),
    states.REJECTED: ("rejected", "barred"),
    states.LOST: ("lost", "question"),
    states.UNKNOWN: ("unknown", "wave"),
}
_OTHERS: Final = {
    "queue:quarantine": StateStyle("pending", "barred", "Quarantine"),
    states.CANCELLED: StateStyle("rejected", "back", "Given back"),
    "online": StateStyle("succeeded", "disc", "Online"),
    "silent": StateStyle("retrying", "half", "Silent"),
    "busy": StateStyle("running", "eye", "Busy"),
    "lost": StateStyle("lost", "question", "Lost"),
    "offline": StateStyle("pending", "ring", "Offline"),
    "act:running": StateStyle("running", "half", "Running"),
    "act:done": StateStyle("succeeded", "disc", "Done"),
    "act:stopped": StateStyle("retrying", "barred", "Stopped"),
    "act:aborted": StateStyle("failed", "slashed", "Given up"),
    "act:failed": StateStyle("failed", "cross", "Failed"),
    "act:asked": StateStyle("retrying", "ring", "Asked"),
    "act:broken off": StateStyle("lost", "question", "Broken off"),
}


def state_style(state: str) -> StateStyle:
    """Style of a task's state (Celery's word, one of our own, or a custom one), a worker's (``online`` …), or an act's.

    Those of acts are written ``act:done``, as a task may be in a state of its own that is called *done*.
    """
    found = _STYLES.get(state)
    if found:
        return StateStyle(*found, states.WORDS[state])
    return _OTHERS.get(state) or StateStyle("running", "diamond", state)


def paint_shape(painter: QPainter, box: QRectF, shape: Shape, colour: QColor) -> None:
    """Draw a state's shape into a square box (10 px is the usual size); the painter is left as it was."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    side = min(box.width(), box.height())
    painter.translate(box.center())
    painter.scale(side / 10, side / 10)
    painter.setPen(QPen(colour, 1.5, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    (_draw_ring if shape in _RINGS else _draw_sign)(painter, shape, colour)
    painter.restore()


def _draw_ring(painter: QPainter, shape: Shape, colour: QColor) -> None:
    """A circle with what is in it."""
    ring = QRectF(-4.25, -4.25, 8.5, 8.5)
    if shape == "dotted":
        pen = QPen(colour, 1.6, Qt.PenStyle.CustomDashLine, Qt.PenCapStyle.RoundCap)
        pen.setDashPattern([0.01, 2.076])  # eight dots on a circle of this size
        painter.setPen(pen)
    painter.drawEllipse(ring)
    match shape:
        case "slashed":
            painter.drawLine(QPointF(-2.9, 2.9), QPointF(2.9, -2.9))
        case "barred":
            painter.drawLine(QPointF(-2.25, 0), QPointF(2.25, 0))
        case "half":
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour)
            painter.drawPie(QRectF(-4.5, -4.5, 9, 9), 90 * 16, 180 * 16)
        case "eye":
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour)
            painter.drawEllipse(QPointF(), 2.1, 2.1)


def _draw_sign(painter: QPainter, shape: Shape, colour: QColor) -> None:
    """Lines, and what is filled."""
    match shape:
        case "cross":
            painter.drawLine(QPointF(-3.25, -3.25), QPointF(3.25, 3.25))
            painter.drawLine(QPointF(-3.25, 3.25), QPointF(3.25, -3.25))
        case "turn":
            painter.drawArc(QRectF(-3.75, -3.75, 7.5, 7.5), 20 * 16, -290 * 16)
            painter.setBrush(colour)
            painter.drawPolygon([QPointF(1.0, -1.2), QPointF(4.0, -1.2), QPointF(4.0, -4.2)])
        case "question":
            path = QPainterPath(QPointF(-2.4, -2.0))
            path.cubicTo(QPointF(-2.4, -5.2), QPointF(2.6, -5.2), QPointF(2.6, -2.2))
            path.cubicTo(QPointF(2.6, -0.4), QPointF(0, -0.2), QPointF(0, 1.6))
            painter.drawPath(path)
            painter.drawPoint(QPointF(0, 4.2))
        case "wave":
            path = QPainterPath(QPointF(-4.2, 1.0))
            path.cubicTo(QPointF(-2.6, -3.6), QPointF(-0.8, -2.4), QPointF(0, 0))
            path.cubicTo(QPointF(0.8, 2.4), QPointF(2.6, 3.6), QPointF(4.2, -1.0))
            painter.drawPath(path)
        case "back":
            painter.drawLine(QPointF(-4, 0), QPointF(4, 0))
            painter.drawPolyline([QPointF(-1, -3.2), QPointF(-4.2, 0), QPointF(-1, 3.2)])
        case "diamond":
            painter.drawPolygon([QPointF(0, -4), QPointF(4, 0), QPointF(0, 4), QPointF(-4, 0)])
        case _:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour)
            if shape == "disc":
                painter.drawEllipse(QPointF(), 4.5, 4.5)
            else:
                tip = -3.6 if shape == "triangle-up" else 3.6
                painter.drawPolygon([QPointF(-4.4, -tip), QPointF(4.4, -tip), QPointF(0, tip)])
