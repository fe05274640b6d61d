"""An act while it is carried out, and what came of it."""

import time
from typing import Final

from PySide6.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from app.models import formats
from app.models.acts import Item, Outcome, Plan
from app.models.qt.activity import ItemTableModel
from app.ui.shapes import state_style
from app.ui.theme import ThemeManager
from app.ui.widgets.act_plan import sentence
from app.ui.widgets.facts import MarkedLine
from app.ui.widgets.labels import ElidedLabel, PlainLabel
from app.ui.widgets.table import ROW_HEIGHT, RecordTable, Width, on_card

#: Items that are listed; of more, those that failed.
MOST: Final = 200
_ROWS: Final = 6
#: Pixels of a table for its header and frame.
_AROUND: Final = 34
_STEPS: Final = 1000
_WIDTHS: Final = (Width(84), Width(140, weight=2), Width(120, weight=3))


class RunView(QWidget):
    """A bar with figures, those that failed one by one (of few, all), and in the end a sentence."""

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._plan = Plan(title="", verb="", count=0, things="thing")
        self._began = 0.0
        self._failed: dict[tuple[str, str], Item] = {}
        self.state = MarkedLine(theme)
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setAccessibleName("Progress")
        self._figures = ElidedLabel(role="small")
        self._text = sentence("")
        self._heading = PlainLabel(role="small")
        self.items = ItemTableModel(self)
        self._table = RecordTable(theme, self.items, _WIDTHS)
        self._table.setAccessibleName("What became of each")
        self._card = on_card(self._table)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        for part in (self.state, self._bar, self._figures, self._text, self._heading, self._card):
            column.addWidget(part)

    def begin(self, plan: Plan) -> None:
        """Show a plan that is about to be carried out."""
        self._plan, self._began = plan, time.monotonic()
        self._failed.clear()
        self.items.show([])
        self.state.show_mark(state_style("act:running"))
        self._bar.setRange(0, 0)
        self._bar.show()
        self._figures.setText("Looking whether things are still as they were …")
        self._text.hide()
        self._list()

    def show_outcome(self, outcome: Outcome) -> None:
        """Show how far it came."""
        self.state.show_mark(state_style(f"act:{outcome.state}"))
        total = max(1, outcome.total)
        tried = outcome.done + outcome.failed
        self._bar.setRange(0, _STEPS)
        self._bar.setValue(round(_STEPS * min(1.0, tried / total)))
        self._bar.setVisible(outcome.state == "running")
        self._figures.setText(self._figures_of(outcome))
        self._bar.setAccessibleDescription(self._figures.text())
        self._text.setText(outcome.text)
        self._text.setVisible(bool(outcome.text))
        if outcome.total <= MOST:
            self.items.show(outcome.items)
        else:
            self._remember(outcome.items)
            self.items.show(list(self._failed.values()))
        self._list()

    def _figures_of(self, outcome: Outcome) -> str:
        failed = f" · {formats.count(outcome.failed)} failed" if outcome.failed else ""
        text = f"{formats.count(outcome.done)} of {formats.number_of(outcome.total, self._plan.things)}{failed}"
        spent = time.monotonic() - self._began
        if outcome.state == "running" and self._plan.rate > 0 and spent > 0:
            text += f" · {formats.rate((outcome.done + outcome.failed) / spent)} a second"
        return text

    def _remember(self, items: list[Item]) -> None:
        for item in items:
            if item.ok is False and len(self._failed) < MOST:
                self._failed[item.id, item.text] = item

    def _list(self) -> None:
        rows = self.items.rowCount()
        self._heading.setText(f"What failed, the first {MOST}" if rows >= MOST else "What failed")
        self._heading.setVisible(rows > 0 and bool(self._failed))
        self._card.setVisible(rows > 0)
        self._card.setFixedHeight(_AROUND + ROW_HEIGHT * min(rows, _ROWS))
