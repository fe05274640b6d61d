"""All that is known of one task."""

from collections.abc import Sequence
from typing import Final

import msgspec
from PySide6.QtCore import Qt
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.models import formats, states
from app.models.arguments import may_be_cut, of_text
from app.models.qt.tasks import since_words
from app.models.records import Task
from app.ui import fonts
from app.ui.shapes import Shape, StateStyle
from app.ui.theme import ThemeManager
from app.ui.widgets import tracebacks
from app.ui.widgets.facts import Fact, FactList, MarkedLine
from app.ui.widgets.inspector import CopyButton, Inspector, heading, stack
from app.ui.widgets.labels import ElidedLabel, PlainLabel
from app.ui.widgets.long_text import LongText
from app.ui.widgets.progress import ProgressView
from app.ui.widgets.rows import MARGIN
from app.ui.widgets.timeline import Timeline
from app.ui.widgets.traceback_view import TracebackView

_CUT: Final = "event text, cut"
_DOUBTFUL: Final = "event text, in doubt"
_COMPLETE: Final = "event text, complete"
_WHY: Final = {
    _CUT: "Events carry a description of at most 1,024 characters and three levels. The task itself got all of it.",
    _DOUBTFUL: "It may be all of it, but it describes something that has no plain text, or more than one meaning.",
    _COMPLETE: "",
}
#: Doubtful parts that are named.
_NAMED: Final = 3
_NO_ARGUMENTS: Final = "Not known: no event that carries them was seen (task-sent or task-received)."


class TaskInspector(Inspector):
    """Tabs: summary, arguments, result or traceback, and the record itself."""

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__(theme, "Copy the task's id")
        self.uuid = ""
        self.subtitle.setFont(fonts.mono_font())
        self._timeline = Timeline(theme)
        self._error = ElidedLabel(role="error")
        self._error.setFont(fonts.mono_font(weight=QFont.Weight.Bold))
        self._message = LongText("Exception", lines=4)
        self._facts = FactList()
        self._note = PlainLabel(role="secondary")
        self._note.setWordWrap(True)
        self._note.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._progress = ProgressView()
        self._arguments = _EventText(theme, "Arguments")
        self._keywords = _EventText(theme, "Keyword arguments")
        self._result = _EventText(theme, "Result")
        self._traceback = TracebackView(theme)
        self._raw = LongText("Record")
        self._copy_traceback = CopyButton(theme, "Copy the traceback")
        self._copy_raw = CopyButton(theme, "Copy the record as JSON")
        self._outcome = QStackedWidget()
        self._fill()

    def show_task(self, task: Task, now: float) -> None:
        """Show a task as it is ``now``."""
        self.uuid = task.uuid
        since = "" if task.doubted is None else since_words(task.doubted, now)
        self.state.show_state(task.state, f"{states.WORDS.get(task.state, task.state)} since {since}" if since else "")
        self.title.setText(task.name or "Name not known yet")
        self.subtitle.setText(task.uuid)
        self.copy.copied = task.uuid
        self._timeline.show_task(task, now)
        self._show_summary(task, now)
        self._arguments.show_text(task.args, _NO_ARGUMENTS, in_doubt(task.args, "{}"))
        self._keywords.show_text(task.kwargs, _NO_ARGUMENTS, in_doubt("()", task.kwargs))
        self._show_outcome(task)
        raw = msgspec.json.format(msgspec.json.encode(task), indent=2).decode()
        self._copy_raw.copied = raw
        self._raw.show_text(raw)

    def show_traceback(self) -> None:
        """Open the tab with the result or traceback."""
        self.tabs.setCurrentIndex(2)

    def _show_summary(self, task: Task, now: float) -> None:
        kind, message = tracebacks.headline(task.exception or "", task.traceback or "")
        self._failure.setVisible(task.exception is not None)
        self._error.setText(kind)
        self._error.setVisible(bool(kind))
        self._message.setVisible(bool(message))
        self._message.show_text(message)
        self._note.setText(task.note or "")
        self._note.setVisible(bool(task.note))
        self._facts.show_facts(facts(task, now))
        self._doing.setVisible(task.progress is not None)
        if task.progress is not None:
            self._progress.show_payload(task.progress)

    def _show_outcome(self, task: Task) -> None:
        failed = task.exception is not None or task.traceback is not None
        self._outcome.setCurrentIndex(1 if failed else 0)
        self.tabs.setTabText(2, "Traceback" if failed else "Result")
        if failed:
            self._traceback.show_failure(task.exception or "", task.traceback or "")
            self._copy_traceback.copied = task.traceback or task.exception or ""
        else:
            self._result.show_text(task.result, _no_result(task))

    def _fill(self) -> None:
        self._failure = stack(self._error, self._message)
        self._doing = stack(heading("Progress"), self._progress)
        self.add_tab("Summary", self._note, self._doing, self._timeline, self._failure, self._facts)
        self.add_tab("Arguments", self._arguments, self._keywords)
        self._outcome.addWidget(_padded(self._result))
        self._outcome.addWidget(_with_button(self._copy_traceback, "Most recent call first", self._traceback))
        self.tabs.addTab(self._outcome, "Result")
        self.tabs.addTab(_with_button(self._copy_raw, "The whole record, as JSON", self._raw), "Raw")


class _EventText(QWidget):
    """A text from an event under its title, and how complete it is."""

    def __init__(self, theme: ThemeManager, title: str) -> None:
        super().__init__()
        self._unknown = PlainLabel(role="secondary")
        self._unknown.setWordWrap(True)
        self._text = LongText(title, lines=14)
        self._badge = MarkedLine(theme, size=12)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 8)
        layout.setSpacing(6)
        for widget in (heading(title), self._unknown, self._text, self._badge):
            layout.addWidget(widget)

    def show_text(self, text: str | None, unknown: str, doubtful: Sequence[str] = ()) -> None:
        """Show the text, or why there is none; ``doubtful`` are paths to what in it may be something else."""
        self._unknown.setVisible(text is None)
        self._unknown.setText(unknown)
        self._text.setVisible(text is not None)
        self._badge.setVisible(text is not None)
        self._text.show_text(text or "")
        said = _CUT if may_be_cut(text or "") else _DOUBTFUL if doubtful else _COMPLETE
        where = f": {formats.listed(doubtful, _NAMED)}" if said == _DOUBTFUL else ""
        shape: Shape = "disc" if said == _COMPLETE else "half"
        self._badge.show_mark(StateStyle("succeeded" if said == _COMPLETE else "retrying", shape, f"{said}{where}"))
        self._badge.setToolTip(_WHY[said])


def in_doubt(args: str | None, kwargs: str | None) -> list[str]:
    """Paths to what the text of arguments does not tell for sure."""
    # Whether tuples were to stay is asked where a task is run again: here their text says what they are.
    return of_text(args, kwargs, json_only=True).doubtful


def facts(task: Task, now: float) -> list[Fact]:
    """What is known of a task besides its times and texts; what is not known is left out."""
    found = [
        Fact("Queue", task.queue or ""),
        Fact("Worker", task.worker or ""),
        Fact("Wait", _seconds(task.wait), tip="From sent (or received) to started"),
        Fact("Run time", _seconds(task.runtime), tip="As the worker measured it"),
        Fact("Retries", str(task.retries) if task.retries else ""),
        Fact("Redelivered", str(task.redelivered) if task.redelivered else ""),
        Fact("Not before", _moment(task.eta, now)),
        Fact("Expires", _moment(task.expires, now)),
        Fact("Sent by", task.producer or ""),
        Fact("Routing key", task.routing_key if task.routing_key and task.routing_key != task.queue else ""),
        Fact("Root", task.root or "", literal=True),
        Fact("Parent", task.parent or "", literal=True),
        Fact("First seen", formats.date_time(task.seen), tip=formats.iso_utc(task.seen)),
    ]
    return [fact for fact in found if fact.value]


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else formats.duration(seconds)


def _moment(moment: float | None, now: float) -> str:
    if moment is None:
        return ""
    away = f"in {formats.coarse(moment - now)}" if moment > now else f"{formats.age(now - moment)} ago"
    return f"{formats.near_time(moment, now)} ({away})"


def _no_result(task: Task) -> str:
    if task.state == states.SUCCESS:
        return "Not known: the event of its success was not seen."
    return "None." if task.state in states.FINAL else "None yet: the task has not finished."


def _padded(widget: QWidget) -> QWidget:
    page = QWidget()
    layout = QVBoxLayout(page)
    layout.setContentsMargins(MARGIN, 12, MARGIN, 12)
    layout.addWidget(widget)
    layout.addStretch(1)
    return page


def _with_button(button: CopyButton, says: str, text: QWidget) -> QWidget:
    """A tab that is one long text, with a button to copy it."""
    page = QWidget()
    layout, line = QVBoxLayout(page), QHBoxLayout()
    line.addWidget(heading(says), 1, Qt.AlignmentFlag.AlignVCenter)
    line.addWidget(button)
    layout.setContentsMargins(MARGIN, 6, MARGIN, 12)
    layout.setSpacing(4)
    layout.addLayout(line)
    layout.addWidget(text, 1)
    layout.addStretch(0)
    return page
