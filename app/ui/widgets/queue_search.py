"""What is asked of a queue as a whole: which tasks wait there, and whether one message is among them."""

from typing import Final

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.models import formats
from app.models.surveys import Survey, of_found, of_names
from app.models.wire import Surveyed
from app.ui.theme import ThemeManager
from app.ui.widgets.labels import PlainLabel
from app.ui.widgets.share_bars import MOST, ShareBars

#: What messages are called that have no task.
NO_TASK: Final = "Messages without a task"


class QueueSearch(QWidget):
    """A field to find a message, and the tasks of a queue as bars.

    ``wanted``: to look for a message (for names, where that is empty), and whether to go on where the last one paused.
    ``stopped``: to look no further. ``left``: what was found need not be seen any more.
    """

    wanted = Signal(str, bool)
    stopped = Signal()
    left = Signal()

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self.field = QLineEdit()
        self.field.setPlaceholderText("Find by id, or by task")
        self.field.setAccessibleName("Find a message by its id, by how it begins, or by its task")
        self.names, self.stop = QPushButton("Count tasks"), QPushButton("Stop")
        self.further = QPushButton("Look further")
        self.names.setToolTip("Which tasks wait here: all messages are looked at, or a sample of a large queue")
        self.bars = ShareBars(theme, "Tasks of this queue", invites="Click a task to find its messages")
        self.said = PlainLabel(role="secondary")
        self.said.setWordWrap(True)
        self._tasks: list[str] = []
        #: What is looked for, or was last.
        self._wanted = ""
        self.field.returnPressed.connect(self._find)
        self.field.textChanged.connect(self._emptied)
        self.names.clicked.connect(lambda: self._want(""))
        self.further.clicked.connect(lambda: self._want(self._wanted, further=True))
        self.stop.clicked.connect(self.stopped)
        self.bars.chosen.connect(self._choose)
        self._lay_out()
        self.clear()

    def leave(self) -> None:
        """See no more of what was found."""
        self.field.clear()

    def clear(self) -> None:
        """Begin anew, as with another queue."""
        self._wanted, self._tasks = "", []
        self.field.clear()
        self.bars.show_parts([])
        self.bars.hide()
        self._say("")
        self._allow("over")

    def show_survey(self, found: Surveyed) -> None:
        """Show how far it came, and what was counted."""
        survey = found.survey
        if found.error:
            self._say(found.error)
            self._allow("over")
            return
        self._say(of_found(survey, self._wanted) if self._wanted else of_names(survey))
        if not self._wanted:
            self._show_names(survey)
        self._allow(survey.state)

    def _show_names(self, survey: Survey) -> None:
        names = survey.names[:MOST]
        self._tasks = [name for name, _ in names]
        figures = [
            share if survey.sample else f"{formats.count(number)} · {share}"
            for _, number in names
            for share in (formats.percent(number / survey.looked),)
        ]
        self.bars.show_parts([(name or NO_TASK, number) for name, number in names], figures)
        self.bars.setVisible(bool(names))
        hidden = survey.others + len(survey.names) - len(names)
        if hidden and survey.state != "looking":
            rest = survey.other + sum(number for _, number in survey.names[MOST:])
            share = formats.percent(rest / survey.looked)
            self._say(f"{formats.number_of(hidden, 'more task')}: {share} of the messages. {self.said.text()}")

    def _find(self) -> None:
        text = self.field.text().strip()
        if text:
            self._want(text)

    def _emptied(self, text: str) -> None:
        if not text and self._wanted:
            self._wanted = ""
            self._say("")
            self._allow("over")
            self.left.emit()

    def _choose(self, place: int) -> None:
        if place < len(self._tasks) and self._tasks[place]:
            self.field.setText(self._tasks[place])
            self._want(self._tasks[place])

    def _want(self, text: str, *, further: bool = False) -> None:
        if not text:
            self.field.clear()
        self._wanted = text
        self._say("Looking …")
        self._allow("looking")
        self.wanted.emit(text, further)

    def _say(self, text: str) -> None:
        self.said.setText(text)
        self.said.setVisible(bool(text))

    def _allow(self, state: str) -> None:
        self.stop.setVisible(state == "looking")
        self.names.setEnabled(state != "looking")
        self.further.setVisible(state == "paused")

    def _lay_out(self) -> None:
        first, last = QHBoxLayout(), QHBoxLayout()
        first.addWidget(self.field, 1)
        first.addWidget(self.names)
        last.addWidget(self.said, 1)
        last.addWidget(self.further)
        last.addWidget(self.stop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addLayout(first)
        layout.addWidget(self.bars)
        layout.addLayout(last)
