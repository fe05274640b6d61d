"""What can be done with tasks: with the one that is looked at, those that are selected, or all that a search finds."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from PySide6.QtCore import QObject, QPoint, Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent
from PySide6.QtWidgets import QFileDialog

from app.models import formats, snippets, states
from app.models.acts import Rerun, Revoke
from app.models.acts import Signal as ProcessSignal
from app.models.export import ExportError
from app.models.history.reader import TaskRow
from app.models.picked import Picked, export_picked
from app.models.qt.tasks import TaskTableModel
from app.models.records import Task
from app.ui.live import View
from app.ui.pages.task_forms import TaskForms
from app.ui.pages.task_inspector import TaskInspector
from app.ui.theme import ThemeManager
from app.ui.widgets.act_buttons import ActButton, Entry, Foot, MenuButton, pop_up, why_not
from app.ui.widgets.selection_bar import SelectionBar
from app.ui.widgets.table import RecordTable

#: Signals to end a running task by; the first is the usual one, the last can't be caught.
SIGNALS: Final[tuple[tuple[ProcessSignal, str], ...]] = (
    ("SIGTERM", "Terminate (SIGTERM) …"),
    ("SIGINT", "Interrupt (SIGINT) …"),
    ("SIGQUIT", "Quit (SIGQUIT) …"),
    ("SIGUSR1", "Raise SoftTimeLimitExceeded (SIGUSR1) …"),
    ("SIGKILL", "Kill (SIGKILL) …"),
)
_FILES: Final = "CSV (*.csv);;JSON lines (*.jsonl)"
#: Rows that are several.
_SEVERAL: Final = 2
_SELECT: Final = "No task is selected: click on one first, or on several with Shift or Ctrl."
_ENDED: Final = "This task is over: nothing is left of it that could be revoked."
_RUNS: Final = "This task runs already, which a revoke does not stop. Terminate it, from its menu or the inspector."
_OVER: Final = "Every one of these tasks is over, or runs: a running one can be terminated, one at a time."


def is_running(state: str) -> bool:
    """Whether a task runs now: it was started, or tells its progress by a state of its own."""
    return state == states.STARTED or state not in states.WORDS


def is_revocable(state: str) -> bool:
    """Whether workers may still be told not to run a task; one in doubt may be delivered again."""
    return state not in states.FINAL and not is_running(state)


def acts_by(event: QKeyEvent) -> bool:
    """Whether a key is one of those that begin an act: Shift+R revokes, Shift+A runs again."""
    return event.key() in (Qt.Key.Key_R, Qt.Key.Key_A) and event.modifiers() == Qt.KeyboardModifier.ShiftModifier


class Shown(msgspec.Struct, frozen=True):
    """The search that the page shows: its text and span of time, and how many it found, where they were counted."""

    search: str
    since: float
    until: float | None
    total: int | None

    @property
    def words(self) -> str:
        """How many it found: ``1,243 found``."""
        if not self.search:
            return ""
        return "found" if self.total is None else f"{formats.count(self.total)} found"


class TaskActs(QObject):
    """The line under the table, that under the inspector, the menu of rows and the keys.

    Attributes: ``bar`` is what is said of several selected rows; ``menu`` has what is about no row.
    Signals: ``wanted`` carries a wish, ``refused`` why a key does nothing.
    """

    wanted = Signal(object)
    refused = Signal(str)

    def __init__(
        self, page: View, theme: ThemeManager, table: RecordTable, model: TaskTableModel, inspector: TaskInspector,
        shown: Callable[[], Shown],
    ) -> None:  # fmt: skip
        super().__init__(page)
        self._page, self._theme, self._table, self._model, self._shown = page, theme, table, model, shown
        self._task: Task | None = None
        self._forms = TaskForms(page, theme)
        self.menu = MenuButton(theme, "Actions", "Send a new task, or revoke tasks by a stamp", self._others)
        self.revoke_many = ActButton("Revoke …", "Have workers not run them (Shift+R)")
        self.again_many = ActButton("Run again …", "Send them again under new ids (Shift+A)")
        self.export = ActButton("Export …", "Write them to a file (E)")
        self.bar = SelectionBar(theme, self.again_many, self.revoke_many, self.export)
        self.again = ActButton("Run again …", "Send it again under a new id (Shift+A)", kind="primary")
        self.copy = MenuButton(theme, "Copy as", "Copy this task to paste it elsewhere", self._copies)
        self.revoke = ActButton("Revoke …", "Have workers not run it (Shift+R)")
        self.terminate = MenuButton(
            theme, "Terminate", "End it while it runs, by a signal to its process", self._signals, kind="danger"
        )
        self.foot = Foot(self.again, self.copy, self.revoke, self.terminate)
        inspector.stand_on(self.foot)
        self._forms.wanted.connect(self.wanted)
        self.revoke_many.clicked.connect(self._revoke_selected)
        self.again_many.clicked.connect(self._run_selected)
        self.export.clicked.connect(self._export)
        self.again.clicked.connect(self._run_shown)
        self.revoke.clicked.connect(self._revoke_shown)
        self.bar.dropped.connect(table.select_nothing)
        self.bar.whole_changed.connect(self.refresh)
        table.selected.connect(self.refresh)
        table.menu_asked.connect(self._pop_up)
        self.refresh()

    def show_task(self, task: Task | None) -> None:
        """The inspector is about this task."""
        self._task = task
        self.refresh()

    def refresh(self) -> None:
        """What can be done may be something else now."""
        connection, task = self._page.connection, self._task
        refused = why_not(connection)
        live = connection is not None and connection.live
        for button in (self.menu, self.again, self.again_many, self.revoke_many):
            button.setVisible(live)
            button.allow(refused)
        number = self._table.selected_number()
        self.bar.show_number(number, self._shown().words)
        if number >= _SEVERAL and not (
            refused or self.bar.whole or any(is_revocable(row.state) for row in self._rows())
        ):
            self.revoke_many.allow(_OVER)
        state = "" if task is None else task.state
        self.revoke.setVisible(live and is_revocable(state))
        self.revoke.allow(refused)
        self.terminate.setVisible(live and task is not None and is_running(state))
        self.terminate.allow(refused)
        self.foot.say(f"locked: {connection.profile.mode} only" if live and refused and connection else "", refused)

    def takes(self, event: QKeyEvent) -> bool:
        """Whether a key is one of those that do something with tasks; then it is done."""
        key = event.key()
        if key == Qt.Key.Key_Escape and self._table.selected_number() >= _SEVERAL:
            self._table.select_nothing()
        elif key == Qt.Key.Key_E and not event.modifiers():
            if not self._refuses("" if self._table.selected_number() else _SELECT):
                self._export()
        elif acts_by(event):
            self._by_key(revokes=key == Qt.Key.Key_R)
        else:
            return False
        return True

    def _by_key(self, *, revokes: bool) -> None:
        """Keys are for what is selected, and for what is looked at where nothing is."""
        selected = bool(self._table.selected_number())
        meant = [row.state for row in self._rows()] if selected else [] if self._task is None else [self._task.state]
        refused = why_not(self._page.connection) or ("" if meant else _SELECT)
        if revokes and not (self.bar.whole or any(map(is_revocable, meant))):
            refused = refused or (_OVER if len(meant) > 1 else _RUNS if is_running(meant[0]) else _ENDED)
        if self._refuses(refused):
            return
        if selected:
            self._revoke_selected() if revokes else self._run_selected()
        else:
            self._revoke_shown() if revokes else self._run_shown()

    def _refuses(self, why: str) -> bool:
        """Whether a key does nothing; then it is said why."""
        if why:
            self.refused.emit(why)
        return bool(why)

    def _rows(self) -> list[TaskRow]:
        return [self._model.record(row) for row in self._table.selected_rows()]

    def _revoke_selected(self) -> None:
        if self.bar.whole:
            self._revoke_whole()
        elif ids := [row.uuid for row in self._rows() if is_revocable(row.state)]:
            self.wanted.emit(Revoke(ids))

    def _run_selected(self) -> None:
        if self.bar.whole:
            self._run_whole()
        elif ids := [row.uuid for row in self._rows()]:
            self.wanted.emit(Rerun(ids))

    def _revoke_whole(self) -> None:
        shown = self._shown()
        self.wanted.emit(Revoke(search=shown.search, since=shown.since, until=shown.until))

    def _run_whole(self) -> None:
        shown = self._shown()
        self.wanted.emit(Rerun(search=shown.search, since=shown.since, until=shown.until))

    def _revoke_shown(self) -> None:
        if self._task is not None:
            self.wanted.emit(Revoke([self._task.uuid]))

    def _run_shown(self) -> None:
        if self._task is not None:
            self.wanted.emit(Rerun([self._task.uuid]))

    def _terminate(self, uuid: str, by: ProcessSignal) -> None:
        self.wanted.emit(Revoke([uuid], terminate=True, signal=by))

    def _others(self) -> list[Entry]:
        """Menu lines for what is about no row; stamps are offered of the task that is looked at."""
        uuid = "" if self._task is None else self._task.uuid
        return [Entry("Send task …", self._send), Entry("Revoke by a stamp …", partial(self._by_stamp, uuid))]

    def _send(self) -> None:
        self._forms.send(self._shown().until)

    def _by_stamp(self, uuid: str) -> None:
        self._forms.revoke_stamped(uuid)

    def _signals(self) -> list[Entry]:
        return [] if self._task is None else self._ways_to_end(self._task.uuid)

    def _ways_to_end(self, uuid: str, refused: str = "") -> list[Entry]:
        """Menu lines for signals; that which can't be caught stands apart."""
        *mild, kill = (Entry(text, partial(self._terminate, uuid, by), refused) for by, text in SIGNALS)
        return [*mild, Entry(), kill]

    def _copies(self) -> list[Entry]:
        task, connection = self._task, self._page.connection
        if task is None or connection is None:
            return []
        copied = [
            ("Id", task.uuid),
            ("JSON", snippets.as_json(task)),
            ("Python: apply_async(…)", snippets.as_python(task)),
        ]
        if connection.live:
            copied.append(("Command: cloche rerun …", snippets.as_command(task, connection.target)))
        clipboard = QGuiApplication.clipboard()
        return [Entry(title, partial(clipboard.setText, text)) for title, text in copied]

    def _pop_up(self, at: QPoint) -> None:
        """The menu of the selected rows."""
        connection, rows, shown = self._page.connection, self._rows(), self._shown()
        if connection is None or not connection.live or not rows:
            return
        refused = why_not(connection)
        many, one = len(rows) > 1, rows[0]
        these = formats.number_of(len(rows), "task")
        ended = "" if any(is_revocable(row.state) for row in rows) else _OVER
        entries = [
            Entry(f"Run {these} again …" if many else "Run again …", self._run_selected, refused),
            Entry("Revoke those of them that wait …" if many else "Revoke …", self._revoke_selected, refused or ended),
        ]
        if not many and is_running(one.state):
            entries += [Entry(), *self._ways_to_end(one.uuid, refused)]
        if not many:
            entries.insert(2, Entry("Revoke by a stamp …", partial(self._by_stamp, one.uuid), refused))
        if shown.words:
            entries += [
                Entry(),
                Entry(f"Run all {shown.words} again …", self._run_whole, refused),
                Entry(f"Revoke all {shown.words} …", self._revoke_whole, refused),
            ]
        entries += [Entry(), Entry("Export …", self._export)]
        pop_up(self._table, entries, at)

    def _export(self) -> None:
        shown = self._shown()
        if self.bar.whole:
            picked = Picked(search=shown.search, since=shown.since, until=shown.until)
        else:
            picked = Picked([row.uuid for row in self._rows()])
        dialog = QFileDialog(self._page, "Export tasks", "tasks.csv", _FILES)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("csv")
        dialog.fileSelected.connect(lambda path: self._page.spawn(self.write(picked, Path(path))))
        dialog.open()

    async def write(self, picked: Picked, path: Path) -> None:
        """Write tasks to a file, beside all that goes on. May raise `HistoryError`."""
        connection = self._page.connection
        if connection is None:
            return
        self.bar.say("Exporting …")
        try:
            number = await asyncio.to_thread(export_picked, connection.history, picked, path)
        except ExportError as error:
            self.bar.say(str(error))
        else:
            self.bar.say(f"{formats.number_of(number, 'task')} exported to {path.name}")
