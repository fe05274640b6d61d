"""A line over the workers: whose tasks nothing is heard of, and the switch for it."""

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QSizePolicy

from app.models import formats
from app.models.records import Worker
from app.models.signs import ALIVE
from app.ui.theme import ThemeManager
from app.ui.widgets.findings import OPERATE_ONLY, Mark
from app.ui.widgets.labels import PlainLabel

_START: Final = "Start workers with -E, or change the access mode to operate (upper right) to turn events on from here."


class EventsBar(QFrame):
    """Hidden while all workers tell of their tasks. ``wanted``: the user wants events on."""

    wanted = Signal()

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._mark = Mark(theme)
        self._mark.show_severity("warning")
        self._says, self._how = PlainLabel(role="strong"), PlainLabel(role="secondary")
        self._how.setWordWrap(True)
        self._on = QPushButton("Turn events on …")
        self._on.clicked.connect(lambda _checked: self.wanted.emit())
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 5, 10, 5)
        row.setSpacing(8)
        row.addWidget(self._mark)
        row.addWidget(self._says)
        row.addWidget(self._how, 1)
        row.addWidget(self._on)
        self.hide()

    def show_workers(self, workers: Sequence[Worker], *, operates: bool) -> None:
        """Show what these workers tell."""
        mute = sum(1 for worker in workers if worker.events is False and worker.state in ALIVE)
        self._says.setText(_mute(mute))
        self._how.setText(_how(mute, operates=operates))
        self._on.setEnabled(operates)
        self._on.setToolTip("" if operates else OPERATE_ONLY)
        self.setVisible(mute > 0)


def _mute(workers: int) -> str:
    return f"{formats.number_of(workers, 'worker')} {'runs' if workers == 1 else 'run'} without -E."


def _how(workers: int, *, operates: bool) -> str:
    heard = f"Nothing is heard of {'its' if workers == 1 else 'their'} tasks."
    return heard if operates else f"{heard} {_START}"
