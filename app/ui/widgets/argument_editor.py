"""Arguments of tasks that are to run again: where they come from, what is doubtful, and a way to mend it."""

from typing import Final, Literal

import msgspec
from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from app.models import formats
from app.models.acts import Edited, Plan, Rerun
from app.models.json_text import read
from app.models.qt.plain import one_line
from app.ui.shapes import StateStyle
from app.ui.theme import ThemeManager
from app.ui.widgets.check_box import CheckBox
from app.ui.widgets.facts import Fact, FactList, MarkedLine
from app.ui.widgets.inspector import heading
from app.ui.widgets.json_edit import JsonEdit
from app.ui.widgets.labels import ElidedLabel, PlainLabel

Grade = Literal["exact", "reconstructed", "incomplete"]

_LIST: Final = 210
_MARKS: Final[dict[Grade, StateStyle]] = {
    "exact": StateStyle("succeeded", "disc", "Exact"),
    "reconstructed": StateStyle("retrying", "half", "Reconstructed"),
    "incomplete": StateStyle("failed", "cross", "Incomplete"),
}
#: What stands before a task in the list.
_OPEN, _DONE, _LEFT = "●", "✓", "–"


class Known(msgspec.Struct):
    """What is known of the arguments of one task, as a plan has it in ``details["tasks"]``.

    ``source`` says in words where they come from. ``args`` and ``kwargs`` are JSON, and ``doubtful`` the paths of
    values in them that may be others, like ``args[0]`` or ``kwargs.customer.name``. ``kept`` and ``lost`` is what else
    a task has that is sent along, or can't be; ``warnings`` are sentences.
    """

    id: str
    name: str = ""
    grade: Grade = "incomplete"
    source: str = ""
    args: str = "[]"
    kwargs: str = "{}"
    doubtful: list[str] = []
    kept: list[str] = []
    lost: list[str] = []
    warnings: list[str] = []


class _Draft:
    """A task, and what the user made of its arguments so far. ``needed`` if it can't be sent without him."""

    def __init__(self, known: Known, *, needed: bool) -> None:
        self.known, self.needed = known, needed
        self.touched = self.checked = self.left_out = False
        self.write(known.args, known.kwargs)

    def write(self, args: str, kwargs: str) -> None:
        """Have these arguments."""
        self.args, self.kwargs = args, kwargs
        self.valid = read(args, "args", "[]").flaw is None and read(kwargs, "kwargs", "{}").flaw is None

    @property
    def mine(self) -> bool:
        """Whether the user has to answer for the arguments."""
        return self.needed or self.touched

    @property
    def open(self) -> bool:
        """Whether something is left to do."""
        return self.mine and not self.left_out and not (self.checked and self.valid)


class ArgumentEditor(QWidget):
    """One task at a time, of those that a plan to run tasks again is about; a list of them where there are several.

    ``changed`` when it is `complete`, or no more, or when what `wish` gives is another.
    """

    changed = Signal()

    def __init__(self, theme: ThemeManager, plan: Plan, wish: Rerun) -> None:
        super().__init__()
        self._wish = wish
        tasks = msgspec.convert(plan.details.get("tasks", []), list[Known])
        needed = set(plan.needs_edit)
        drafts = [_Draft(known, needed=known.id in needed) for known in tasks]
        #: Those that need to be looked at stand first.
        self._drafts = sorted(drafts, key=lambda draft: not draft.needed)
        self._unknown = needed - {known.id for known in tasks}
        #: Whether these are all that the plan is about, so that one can be left out of it.
        self._all = len(tasks) == plan.count
        self._draft: _Draft | None = None
        self.tasks = QListWidget()
        self.badge, self._name, self._id = MarkedLine(theme), ElidedLabel(role="mono"), ElidedLabel(role="hint")
        self._warnings, self._doubtful = PlainLabel(role="retrying"), PlainLabel(role="retrying")
        self.args = JsonEdit(theme, "Positional arguments", "args", "[]")
        self.kwargs = JsonEdit(theme, "Keyword arguments", "kwargs", "{}")
        self._more = FactList()
        self.checked = CheckBox(theme, "I have checked these arguments")
        self.left_out = CheckBox(theme, "Leave this task out")
        self._left = PlainLabel(role="secondary")
        self._lay_out()
        self._connect()
        self._fill()

    @property
    def complete(self) -> bool:
        """Whether nothing is left that the user has to look at, and something to be done."""
        some = not self._drafts or any(not draft.left_out for draft in self._drafts)
        return some and not self._unknown and not any(draft.open for draft in self._drafts)

    def wish(self) -> Rerun:
        """What was wished, with the arguments that the user answers for, and without the tasks he left out."""
        edited = {
            draft.known.id: Edited(draft.args.strip(), draft.kwargs.strip())
            for draft in self._drafts
            if draft.mine and not draft.left_out and not draft.open
        }
        wish = msgspec.structs.replace(self._wish, edited=self._wish.edited | edited)
        if not any(draft.left_out for draft in self._drafts):
            return wish
        ids = [draft.known.id for draft in self._drafts if not draft.left_out]
        return msgspec.structs.replace(wish, ids=ids, search="", since=None, until=None)

    def show_task(self, row: int) -> None:
        """Show one of the tasks."""
        draft = self._draft = self._drafts[row]
        known, style = draft.known, _MARKS[draft.known.grade]
        source = f": {known.source}" if known.source else ""
        self.badge.show_mark(StateStyle(style.token, style.shape, f"{style.word}{source}"))
        self.badge.setToolTip("")
        self._name.setText(known.name or "Name not known")
        self._id.setText(known.id)
        self._say(self._warnings, "\n".join(known.warnings))
        doubtful = formats.listed(known.doubtful, most=6)
        self._say(self._doubtful, f"▲ Look at {doubtful}: marked below." if known.doubtful else "")
        blockers = [QSignalBlocker(box) for box in (self.args, self.kwargs, self.checked, self.left_out)]
        self.args.set_text(draft.args, known.doubtful)
        self.kwargs.set_text(draft.kwargs, known.doubtful)
        self.checked.setChecked(draft.checked)
        self.left_out.setChecked(draft.left_out)
        del blockers
        kept, lost = ", ".join(known.kept), ", ".join(known.lost)
        facts = (Fact("Kept", kept, tip=kept), Fact("Not kept", lost, tone="error" if lost else "", tip=lost))
        self._more.show_facts([fact for fact in facts if fact.value])
        self._allow()

    def _edited(self) -> None:
        """Another text has to be checked again."""
        draft = self._draft
        if draft is None:
            return
        draft.write(self.args.text, self.kwargs.text)
        draft.touched, draft.checked = True, False
        with QSignalBlocker(self.checked):
            self.checked.setChecked(False)
        self._tell()

    def _decided(self) -> None:
        if self._draft is not None:
            self._draft.checked, self._draft.left_out = self.checked.isChecked(), self.left_out.isChecked()
            self._tell()

    def _tell(self) -> None:
        self._allow()
        self.changed.emit()

    def _allow(self) -> None:
        draft = self._draft
        if draft is None:
            return
        for edit in (self.args, self.kwargs):
            edit.setEnabled(not draft.left_out)
        self.checked.setVisible(draft.mine)
        self.checked.setEnabled(draft.valid and not draft.left_out)
        self.left_out.setVisible(self._all and len(self._drafts) > 1)
        self._mark(self.tasks.item(self._drafts.index(draft)), draft)
        left = sum(1 for each in self._drafts if each.open)
        self._left.setText(f"{formats.number_of(left, 'task')} to check" if left else "Nothing left to check")

    def _mark(self, item: QListWidgetItem, draft: _Draft) -> None:
        sign = _LEFT if draft.left_out else _OPEN if draft.open else _DONE
        known = draft.known
        said = f"{sign} {one_line(known.name or known.id, 60)}  {one_line(known.id, 8)}"
        if item.text() != said:
            item.setText(said)
            state = {_LEFT: "left out", _OPEN: "to be checked", _DONE: "ready"}[sign]
            spoken = f"{known.name} {known.id}: {_MARKS[known.grade].word}, {state}"
            item.setData(Qt.ItemDataRole.AccessibleTextRole, spoken)

    def _fill(self) -> None:
        for draft in self._drafts:
            item = QListWidgetItem()
            self._mark(item, draft)
            self.tasks.addItem(item)
        self._side.setVisible(len(self._drafts) > 1)
        self._detail.setVisible(bool(self._drafts))
        if self._drafts:
            self.show_task(0)
            with QSignalBlocker(self.tasks):
                self.tasks.setCurrentRow(0)

    def _connect(self) -> None:
        self.tasks.currentRowChanged.connect(self.show_task)
        self.args.changed.connect(self._edited)
        self.kwargs.changed.connect(self._edited)
        self.checked.toggled.connect(self._decided)
        self.left_out.toggled.connect(self._decided)

    def _lay_out(self) -> None:
        self.tasks.setAccessibleName("Tasks to run again")
        self.tasks.setUniformItemSizes(True)
        self.tasks.setFixedWidth(_LIST)
        self._id.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        for label in (self._warnings, self._doubtful):
            label.setWordWrap(True)
        self._side, self._detail = _column(self.tasks, self._left), _column(
            self._name, self._id, self.badge, self._warnings, self._doubtful,
            heading("args"), self.args, heading("kwargs"), self.kwargs, self._more, self.checked, self.left_out,
        )  # fmt: skip
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(14)
        line.addWidget(self._side)
        line.addWidget(self._detail, 1)

    def _say(self, label: PlainLabel, text: str) -> None:
        label.setText(text)
        label.setVisible(bool(text))


def _column(*widgets: QWidget) -> QWidget:
    made = QWidget()
    layout = QVBoxLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    for widget in widgets:
        layout.addWidget(widget)
    return made
