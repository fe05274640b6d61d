"""How far an export of messages is, in a line over the table: with a way to stop it, and what came of it."""

from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QProgressBar, QPushButton, QSizePolicy

from app.models.formats import count, number_of
from app.models.wire import Exported
from app.ui.theme import ThemeManager
from app.ui.widgets.findings import Mark
from app.ui.widgets.inspector import IconButton
from app.ui.widgets.labels import ElidedLabel

_BAR: Final = 120


class ExportLine(QFrame):
    """Hidden while there is nothing to say. ``stopped``: no more is to be written."""

    stopped = Signal()

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._queue, self._total = "", 0
        self._mark, self._says = Mark(theme), ElidedLabel(mode=Qt.TextElideMode.ElideMiddle)
        self._bar = QProgressBar()
        self._bar.setFixedWidth(_BAR)
        self._bar.setTextVisible(False)
        self._bar.setAccessibleName("How far the export is")
        self.stop, self.close_ = QPushButton("Stop"), IconButton(theme, "x", "Close")
        self.stop.clicked.connect(self.stopped)
        self.close_.clicked.connect(self.hide)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 5, 10, 5)
        row.setSpacing(8)
        row.addWidget(self._mark)
        row.addWidget(self._says, 1)
        for widget in (self._bar, self.stop, self.close_):
            row.addWidget(widget)
        self.hide()

    @property
    def text(self) -> str:
        """What it says."""
        return self._says.text()

    def begin(self, queue: str, total: int | None) -> None:
        """Say that a queue is exported, of which about so many messages wait, where that is known."""
        self._queue, self._total = queue, total or 0
        self.show_progress(Exported(0))

    def show_progress(self, told: Exported) -> None:
        """Say how far it is."""
        of = f" of about {count(self._total)}" if self._total > told.count else ""
        self._bar.setRange(0, max(self._total, told.count) if self._total else 0)
        self._bar.setValue(told.count)
        self._say("info", f"Exporting {self._queue}: {count(told.count)}{of} messages", busy=True)

    def show_end(self, text: str, *, error: bool) -> None:
        """Say what came of it."""
        self._say("error" if error else "info", text, busy=False)

    def _say(self, severity: str, text: str, *, busy: bool) -> None:
        self._mark.show_severity(severity)
        self._says.setText(text)
        self._bar.setVisible(busy)
        self.stop.setVisible(busy)
        self.close_.setVisible(not busy)
        self.show()


def ending(queue: str, told: Exported, path: str) -> str:
    """What came of an export, in a sentence."""
    if told.state == "failed":
        return told.text
    if told.state == "stopped":
        return f"The export of {queue} was stopped: nothing was written."
    return f"{number_of(told.count, 'message')} of {queue} are in {path}, readable by you only."
