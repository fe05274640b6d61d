"""How all brokers do: a strip for each, one below the other, on one time axis."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.models.history.charts import Span
from app.models.history.reader import Reader
from app.ui.live import TimeRange
from app.ui.pages.across import AcrossPage
from app.ui.pages.overview import OUTCOMES, PERCENTILES, outcomes_of, waiting_of
from app.ui.pages.overview_figures import LABELS, figures
from app.ui.pages.overview_read import Ask, Before, Overview, read
from app.ui.supervisor import Connection
from app.ui.theme import ThemeManager
from app.ui.widgets import scale
from app.ui.widgets.charts import TimeChart
from app.ui.widgets.crosshair import Crosshair
from app.ui.widgets.labels import ElidedLabel, PlainLabel
from app.ui.widgets.rows import GAP, MARGIN, Rows
from app.ui.widgets.side_rows import BrokerRow, BrokerState

_HEIGHT: Final = 196
_FACTS: Final = 300
#: Without charts.
_SHORT: Final = 104
#: Moods of a figure that needs a look.
_WRONG: Final = ("failed", "retrying", "lost")
#: In less room than this for its charts, a strip has two of them.
_THREE: Final = 760


class AcrossOverview(AcrossPage[Overview]):
    """A `Strip` for each broker; the charts of all have one crosshair, and a drag on any of them zooms all."""

    def __init__(self, theme: ThemeManager, time_range: TimeRange) -> None:
        super().__init__(time_range)
        self.setProperty("role", "page")
        self._theme = theme
        self._crosshair = Crosshair(self)
        self._before: dict[Connection, Before] = {}
        self.strips: list[Strip] = []
        ground = QWidget()
        ground.setProperty("role", "page")
        self._column = QVBoxLayout(ground)
        self._column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        self._column.setSpacing(GAP)
        self._column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(ground)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(area)
        self.setFocusProxy(area)

    def watch(self, connections: Sequence[Connection]) -> None:
        for strip in self.strips:
            self._column.removeWidget(strip)
            strip.hide()
            strip.deleteLater()
        self._before.clear()
        self.strips = [Strip(self._theme, self._crosshair) for _ in connections]
        for place, (connection, strip) in enumerate(zip(connections, self.strips, strict=True)):
            strip.opened.connect(lambda connection=connection: self.opened.emit(connection, ""))
            for chart in strip.charts:
                chart.range_selected.connect(self.range.look_back)
                chart.reset.connect(self._go_live)
            self._column.insertWidget(place, strip)
        super().watch(connections)

    def _go_live(self) -> None:
        self.range.go_live()

    def show_states(self, states: Sequence[BrokerState]) -> None:
        """Show how each broker is, as the sidebar does."""
        for strip, state in zip(self.strips, states, strict=False):
            strip.row.show_state(state)

    def question(self, connection: Connection, span: Span) -> Callable[[Reader], Overview]:
        ask = Ask(span, self.range.step(), self._before.get(connection), names=False)
        return lambda reader: read(reader, ask)

    async def show_answers(self, answers: Sequence[Overview | str], span: Span) -> None:
        present = self.range.end is None
        for connection, strip, answer in zip(self.connections, self.strips, answers, strict=True):
            await asyncio.sleep(0)  # keys and the mouse never wait for all of them
            if isinstance(answer, str):
                strip.show_trouble(answer)
            else:
                self._before[connection] = answer.before
                strip.show_data(answer, span, present=present)


class Strip(QWidget):
    """One broker: its state and six figures on the left, its charts on the right. ``opened``: the user wants more."""

    opened = Signal()

    def __init__(self, theme: ThemeManager, crosshair: Crosshair) -> None:
        super().__init__()
        self.setFixedHeight(_HEIGHT)
        self.row = BrokerRow(theme, BrokerState("", "", "", "unknown", "pending", ""))
        self.row.setCheckable(False)
        self.row.clicked.connect(self.opened)
        self._figures = {label: ElidedLabel(role="small") for label in LABELS}
        self._trouble = PlainLabel(role="secondary")
        self._outcomes = TimeChart(theme, crosshair, "Outcomes", stacked=True, empty="No finished tasks in this range.")
        self._waiting = TimeChart(theme, crosshair, "Waiting by queue", empty="No queue was measured in this range.")
        self._wait = TimeChart(
            theme, crosshair, "Queue wait", unit=scale.DURATION, empty="No task was started in this range."
        )
        self.charts = (self._outcomes, self._waiting, self._wait)
        self._lay_out()

    def show_data(self, data: Overview, span: Span, *, present: bool) -> None:
        """Show what was read of the broker."""
        self._show_trouble("")
        for label, figure in zip(self._figures.values(), figures(data, present=present), strict=True):
            # There is room for what is wrong only; how all else changed is for the broker's own overview.
            wrong = figure.mood in _WRONG and not figure.arrow
            text = f"{figure.value} {figure.unit}".strip()
            label.setText(f"{text} · {figure.change}" if wrong else text)
            label.set_role(figure.mood if wrong else "small")
            label.explain("\n".join(line for line in (label.text(), figure.explained) if line))
        for chart, series, colours in (
            (self._outcomes, outcomes_of(data), OUTCOMES),
            (self._waiting, waiting_of(data), {}),
            (self._wait, data.wait, PERCENTILES),
        ):
            chart.set_data(span, data.step, series, data.gaps, colours)

    def show_trouble(self, text: str) -> None:
        """Say why nothing is known of the broker, in the place of what was known before."""
        self._show_trouble(text)

    def _show_trouble(self, text: str) -> None:
        self._trouble.setText(text)
        self._trouble.setVisible(bool(text))
        self.setFixedHeight(_SHORT if text else _HEIGHT)
        for part in (self._table, self._right):
            part.setVisible(not text)

    def _lay_out(self) -> None:
        self._table = QWidget()
        grid = QGridLayout(self._table)
        grid.setContentsMargins(13, 2, 8, 0)
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(1, 1)
        for at, (label, value) in enumerate(self._figures.items()):
            grid.addWidget(PlainLabel(label, role="hint"), at, 0)
            grid.addWidget(value, at, 1)
        self._trouble.setWordWrap(True)
        self._trouble.setContentsMargins(13, 4, 10, 0)
        self._trouble.hide()
        card = QFrame()
        card.setProperty("role", "card")
        card.setFixedWidth(_FACTS)
        facts = QVBoxLayout(card)
        facts.setContentsMargins(5, 5, 5, 8)
        facts.setSpacing(2)
        facts.addWidget(self.row)
        facts.addWidget(self._table)
        facts.addWidget(self._trouble)
        facts.addStretch(1)
        self._right = Rows(self.charts, _HEIGHT, lambda width: (3,) if width >= _THREE else (2,))
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(GAP)
        line.addWidget(card)
        line.addWidget(self._right, 1)
        line.addStretch()
