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
    """Hidden while all workers tell of their tasks by themselves. ``wanted``: the user wants events on, or off."""

    wanted = Signal(bool)

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._mark = Mark(theme)
        self._says, self._how = PlainLabel(role="strong"), PlainLabel(role="secondary")
        self._how.setWordWrap(True)
        self._on, self._off = QPushButton("Turn events on …"), QPushButton("Turn events off …")
        self._on.clicked.connect(lambda: self.wanted.emit(True))
        self._off.clicked.connect(lambda: self.wanted.emit(False))
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 5, 10, 5)
        row.setSpacing(8)
        row.addWidget(self._mark)
        row.addWidget(self._says)
        row.addWidget(self._how, 1)
        row.addWidget(self._on)
        row.addWidget(self._off)
        self.hide()

    def show_workers(self, workers: Sequence[Worker], *, operates: bool, switched: bool) -> None:
        """Show what these workers tell; ``switched`` if events were turned on from here."""
        switched = switched and operates
        mute = sum(1 for worker in workers if worker.events is False and worker.state in ALIVE)
        self._mark.show_severity("info" if switched else "warning")
        self._says.setText("Events are turned on." if switched else _mute(mute))
        self._how.setText(_since(mute) if switched else _how(mute, operates=operates))
        self._on.setVisible(not switched)
        self._on.setEnabled(operates)
        self._on.setToolTip("" if operates else OPERATE_ONLY)
        self._off.setVisible(switched)
        self.setVisible(switched or mute > 0)


def _mute(workers: int) -> str:
    return f"{formats.number_of(workers, 'worker')} {'runs' if workers == 1 else 'run'} without -E."


def _how(workers: int, *, operates: bool) -> str:
    heard = f"Nothing is heard of {'its' if workers == 1 else 'their'} tasks."
    return heard if operates else f"{heard} {_START}"


def _since(mute: int) -> str:
    later = "A worker that is restarted forgets it."
    return f"{later} Of {formats.number_of(mute, 'worker')} no task was heard yet." if mute else later
