"""All that the audit log tells of one act."""

from collections.abc import Sequence
from typing import Final

import msgspec
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.models import formats
from app.models.activity import Deed, Story, came_to, runs_of
from app.models.acts import Wish
from app.models.qt.activity import ItemTableModel
from app.models.qt.plain import one_line
from app.ui.shapes import StateStyle, state_style
from app.ui.theme import ThemeManager
from app.ui.widgets.act_plan import CautionRow, sentence
from app.ui.widgets.facts import Fact, FactList
from app.ui.widgets.inspector import Inspector, heading, stack
from app.ui.widgets.long_text import LongText
from app.ui.widgets.rows import MARGIN
from app.ui.widgets.table import RecordTable, Width

_CAUTIONS: Final = 12
_FACTS: Final = 40
_ITEMS: Final = (Width(84), Width(110, weight=2), Width(90, weight=3))
_NONE: Final = "Nothing of it was done one by one"


class DeedInspector(Inspector):
    """Tabs: summary, items, wish. ``resume_wanted`` with the act's id, ``undo_wanted`` with the wish that undoes it."""

    resume_wanted = Signal(str)
    undo_wanted = Signal(object)

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__(theme, "Copy the act's id")
        self._theme = theme
        self._act = ""
        self._undo_by: Wish | None = None
        self._text = sentence("")
        self._facts, self._plan, self._undo_text = FactList(), FactList(), sentence("", role="small")
        self._planned = stack(heading("As it was planned"), self._plan, self._undo_text)
        self._cautions = QVBoxLayout()
        cautions = QWidget()
        cautions.setLayout(self._cautions)
        self._cautions.setContentsMargins(0, 0, 0, 0)
        self._cautions.setSpacing(6)
        self._rows: list[QWidget] = []
        self.items = ItemTableModel(self)
        self._table = RecordTable(theme, self.items, _ITEMS)
        self._table.setAccessibleName("What became of each")
        self._wish = LongText("Wish as JSON", lines=24)
        self.add_tab("Summary", self._text, self._facts, self._planned, cautions)
        self.tabs.addTab(self._table, "Items")
        self.add_tab("Wish", self._wish)
        self.resume, self.undo = QPushButton("Go on …"), QPushButton("Undo …")
        self.resume.setToolTip("Do what is left of it, after another look")
        self.resume.clicked.connect(lambda: self.resume_wanted.emit(self._act))
        self.undo.clicked.connect(lambda: self.undo_wanted.emit(self._undo_by))
        self._buttons = QWidget()
        row = QHBoxLayout(self._buttons)
        row.setContentsMargins(MARGIN, 8, MARGIN, 12)
        row.setSpacing(8)
        for button in (self.resume, self.undo):
            row.addWidget(button)
        row.addStretch(1)
        layout = self.layout()
        if layout is not None:
            layout.addWidget(self._buttons)

    def show_deed(self, deed: Deed, story: Story, *, acts: bool) -> None:
        """Show an act; ``acts`` is whether it may be undone, or gone on with, from here."""
        self._act = deed.act
        style = state_style(f"act:{deed.came_out}")
        self.state.show_mark(StateStyle(style.token, style.shape, f"{style.word} · {came_to(deed)}"))
        self.title.setText(one_line(deed.title))
        self.subtitle.setText(deed.act)
        self.copy.copied = deed.act
        self._text.setText(one_line(deed.text, 1000))
        self._text.setVisible(bool(deed.text))
        self._facts.show_facts(facts(deed, story))
        plan = story.plan
        self._planned.setVisible(plan is not None)
        if plan is not None:
            self._plan.show_facts([Fact(one_line(name), value) for name, value in plan.facts[:_FACTS]])
            self._undo_text.setText(one_line(plan.undo, 1000))
            self._undo_text.setVisible(bool(plan.undo))
        self._show_cautions(story)
        self.items.show(story.items)
        self._table.set_empty(_NONE)
        self.tabs.setTabText(1, f"Items ({formats.count(len(story.items))})" if story.items else "Items")
        wish = msgspec.json.encode(story.wish)
        self._wish.show_text(msgspec.json.format(wish, indent=2).decode())
        self._undo_by = None if story.outcome is None else story.outcome.undo
        self.resume.setVisible(acts and deed.unfinished)
        self.undo.setVisible(acts and self._undo_by is not None and not deed.unfinished)
        self._buttons.setVisible(not (self.resume.isHidden() and self.undo.isHidden()))

    def _show_cautions(self, story: Story) -> None:
        for row in self._rows:
            self._cautions.removeWidget(row)
            row.hide()
            row.deleteLater()
        cautions = [] if story.plan is None else story.plan.cautions
        self._rows = [CautionRow(self._theme, caution) for caution in cautions[:_CAUTIONS]]
        for row in self._rows:
            self._cautions.addWidget(row)


def facts(deed: Deed, story: Story) -> Sequence[Fact]:
    """Who did it, when and where, and where it is written."""
    found = [
        Fact("Begun", formats.date_time(deed.at), tip=formats.iso_utc(deed.at)),
        Fact("Ended", formats.date_time(deed.ended) if deed.ended is not None else ""),
        Fact("Took", formats.duration(deed.ended - deed.at) if deed.ended is not None else ""),
        Fact("By", f"{deed.who} at {deed.where}"),
        Fact("Connection", deed.connection),
        Fact("Broker", deed.broker, literal=True),
        Fact("Environment", deed.environment, tone="error" if deed.environment == "production" else ""),
        Fact("Done", came_to(deed), tone="error" if deed.failed else ""),
        Fact("Lines", runs_of(story.lines), tip="Of the audit log"),
    ]
    return [fact for fact in found if fact.value and fact.value != formats.UNKNOWN]
