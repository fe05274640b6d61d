"""The one moment that all charts of a page point at."""

from PySide6.QtCore import QObject, Signal


class Crosshair(QObject):
    """Links charts: where the mouse is on one of them, all show a line and their values.

    Attributes: ``time`` in seconds since the epoch, None while the mouse is elsewhere. Signals: ``moved``.
    """

    moved = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.time: float | None = None

    def move(self, time: float | None) -> None:
        """Point at a moment, or at none."""
        if time != self.time:
            self.time = time
            self.moved.emit()
