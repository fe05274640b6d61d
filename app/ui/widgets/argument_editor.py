"""Arguments of tasks that are to run again: where they come from, what is doubtful, and a way to mend it."""

from typing import Final, Literal

import msgspec
from PySide6.QtCore import QSignalBlocker, Qt
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
from app.ui.widgets.wish_parts import WishPart

Grade = Literal["exact", "reconstructed", "incomplete"]

_LIST: Final = 210
_MARKS: Final[dict[Grade, StateStyle]] = {
    "exact": StateStyle("succeeded", "disc", "Exact"),
    "reconstructed": StateStyle("retrying", "half", "Reconstructed"),
    "incomplete": StateStyle("failed", "cross", "Incomplete"),
}
#: What stands before a task in the list.
_OPEN, _DONE = "●", "✓"
_UNREADABLE: Final = "They are sent as they are, and can't be written here: what you see only describes them."


class Known(msgspec.Struct):
    """What is known of the arguments of one task, as a plan has it in ``details["tasks"]``.

    ``source`` says in words where they come from. ``args`` and ``kwargs`` are JSON, and ``doubtful`` the paths of
    values in them that may be others, like ``args[0]`` or ``kwargs.customer.name``; what is not ``readable`` is known
    exactly, but not as JSON. It is sent ``to`` a queue; ``kept`` and ``lost`` is what else a task has that is sent
    along, or can't be; ``warnings`` are sentences.
    """

    id: str
    name: str = ""
    grade: Grade = "incomplete"
    source: str = ""
    args: str = "[]"
    kwargs: str = "{}"
    doubtful: list[str] = []
    readable: bool = True
    to: str = ""
    kept: list[str] = []
    lost: list[str] = []
    warnings: list[str] = []


class _Draft:
    """A task, and what the user made of its arguments so far. ``needed`` if it is not sent without him."""

    def __init__(self, known: Known, *, needed: bool) -> None:
        self.known, self.needed = known, needed
        self.touched = self.checked = False
        self.write(known.args, known.kwargs)

    def write(self, args: str, kwargs: str) -> None:
        """Have these arguments."""
        self.args, self.kwargs = args, kwargs
        self.valid = read(args, "args", "[]").flaw is None and read(kwargs, "kwargs", "{}").flaw is None

    def take_over(self, edited: Edited, *, checked: bool) -> None:
        """Have what the user wrote before."""
        self.write(edited.args, edited.kwargs)
        self.touched, self.checked = True, checked

    @property
    def edited(self) -> Edited:
        return Edited(self.args.strip(), self.kwargs.strip())

    @property
    def mine(self) -> bool:
        """Whether the user has to answer for the arguments."""
        return self.needed or self.touched

    @property
    def open(self) -> bool:
        """Whether something is left to do."""
        return self.mine and not (self.checked and self.valid)


class ArgumentEditor(WishPart):
    """One task at a time, of those that a plan to run tasks again is about; a list of them where there are several.

    What was written in the editor ``before``, of an earlier plan, is taken over. What is not checked is not sent.
    """

    small = False

    def __init__(self, theme: ThemeManager, plan: Plan, wish: Rerun, before: "ArgumentEditor | None" = None) -> None:
        super().__init__()
        tasks = msgspec.convert(plan.details.get("tasks", []), list[Known])
        needed = set(plan.needs_edit)
        drafts = [_Draft(known, needed=known.id in needed) for known in tasks]
        written = {} if before is None else before.written()
        for draft in drafts:
            if draft.known.id in written:
                earlier, checked = written[draft.known.id]
                draft.take_over(earlier, checked=checked)
            elif (edited := wish.edited.get(draft.known.id)) is not None:
                draft.take_over(edited, checked=True)
        #: Those that need to be looked at stand first.
        self._drafts = sorted(drafts, key=lambda draft: not draft.open)
        self._unseen = len(needed - {known.id for known in tasks})
        self._draft: _Draft | None = None
        self.tasks = QListWidget()
        self.badge, self._name, self._id = MarkedLine(theme), ElidedLabel(role="mono"), ElidedLabel(role="hint")
        self._warnings, self._doubtful = PlainLabel(role="retrying"), PlainLabel(role="retrying")
        self.args = JsonEdit(theme, "Positional arguments", "args", "[]")
        self.kwargs = JsonEdit(theme, "Keyword arguments", "kwargs", "{}")
        self._more = FactList()
        self.checked = CheckBox(theme, "I have checked these arguments")
        self._left = PlainLabel(role="secondary")
        self._lay_out()
        self._connect()
        self._fill()

    @property
    def complete(self) -> bool:
        """Whether nothing is left that the user has to look at."""
        return not self._unseen and not any(draft.open for draft in self._drafts)

    def edited(self, wish: Rerun) -> Rerun:
        """What is wished, with the arguments that the user answers for."""
        mine = {draft.known.id: draft.edited for draft in self._drafts if draft.mine and not draft.open}
        shown = {draft.known.id for draft in self._drafts}
        others = {id_: edited for id_, edited in wish.edited.items() if id_ not in shown}
        return msgspec.structs.replace(wish, edited=others | mine)

    def written(self) -> dict[str, tuple[Edited, bool]]:
        """What the user wrote, by id of the task, and whether he checked it."""
        return {draft.known.id: (draft.edited, draft.checked) for draft in self._drafts if draft.touched}

    def show_task(self, row: int) -> None:
        """Show one of the tasks."""
        draft = self._draft = self._drafts[row]
        known, style = draft.known, _MARKS[draft.known.grade]
        source = f": {known.source}" if known.source else ""
        self.badge.show_mark(StateStyle(style.token, style.shape, f"{style.word}{source}"))
        self.badge.setToolTip("")
        self._name.setText(known.name or "Name not known")
        self._id.setText(known.id)
        self._say(self._warnings, "\n".join((*known.warnings, *(() if known.readable else (_UNREADABLE,)))))
        doubtful = formats.listed(known.doubtful, most=6)
        self._say(self._doubtful, f"▲ Look at {doubtful}: marked below." if known.doubtful else "")
        blockers = [QSignalBlocker(box) for box in (self.args, self.kwargs, self.checked)]
        self.args.set_text(draft.args, known.doubtful)
        self.kwargs.set_text(draft.kwargs, known.doubtful)
        self.checked.setChecked(draft.checked)
        del blockers
        for edit in (self.args, self.kwargs):
            edit.paper.setReadOnly(not known.readable)
        kept, lost = ", ".join(known.kept), ", ".join(known.lost)
        facts = (Fact("To", known.to), Fact("Kept", kept, tip=kept), Fact("Not kept", lost, tone="error", tip=lost))
        self._more.show_facts([fact for fact in facts if fact.value])
        self._allow()

    def _edited(self) -> None:
        """Another text has to be checked again; as long as it was not, nothing of it is sent."""
        draft = self._draft
        if draft is None:
            return
        was = draft.checked
        draft.take_over(Edited(self.args.text, self.kwargs.text), checked=False)
        with QSignalBlocker(self.checked):
            self.checked.setChecked(False)
        self._allow()
        if was:
            self.changed.emit()

    def _decided(self) -> None:
        if self._draft is not None:
            self._draft.checked = self.checked.isChecked()
            self._allow()
            self.changed.emit()

    def _allow(self) -> None:
        draft = self._draft
        if draft is None:
            return
        self.checked.setVisible(draft.mine)
        self.checked.setEnabled(draft.valid)
        self._mark(self.tasks.item(self._drafts.index(draft)), draft)
        left = sum(1 for each in self._drafts if each.open)
        said = f"{formats.number_of(left, 'task')} to check" if left else "Nothing left to check"
        self._left.setText(f"{said}\n{formats.count(self._unseen)} more not shown" if self._unseen else said)

    def _mark(self, item: QListWidgetItem, draft: _Draft) -> None:
        known = draft.known
        said = f"{_OPEN if draft.open else _DONE} {one_line(known.name or known.id, 60)}  {one_line(known.id, 8)}"
        if item.text() != said:
            item.setText(said)
            spoken = (
                f"{known.name} {known.id}: {_MARKS[known.grade].word}, {'to be checked' if draft.open else 'ready'}"
            )
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

    def _lay_out(self) -> None:
        self.tasks.setAccessibleName("Tasks to run again")
        self.tasks.setUniformItemSizes(True)
        self.tasks.setFixedWidth(_LIST)
        self._id.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        for label in (self._warnings, self._doubtful):
            label.setWordWrap(True)
        self._side, self._detail = _column(self.tasks, self._left), _column(
            self._name, self._id, self.badge, self._warnings, self._doubtful,
            heading("args"), self.args, heading("kwargs"), self.kwargs, self._more, self.checked,
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
