"""A chart over time on its card: title, unit, legend with values, and the plot."""

from collections.abc import Mapping, Sequence
from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QContextMenuEvent, QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QMenu, QVBoxLayout

from app.models.history.charts import Series, Span
from app.models.records import Gap
from app.ui.theme import ThemeManager
from app.ui.widgets import chart_data, scale
from app.ui.widgets.chart_copy import to_csv
from app.ui.widgets.crosshair import Crosshair
from app.ui.widgets.labels import PlainLabel
from app.ui.widgets.legend import Entry, Legend
from app.ui.widgets.plot import LEFT, RIGHT, Picture, Plot

_SERIES: Final = tuple(f"series.{number}" for number in range(chart_data.MOST_SERIES))


class TimeChart(QFrame):
    """Up to eight series over one span of time, as lines or as stacked areas.

    Signals: ``range_selected`` with start and end (seconds since the epoch) of a drag, ``reset`` on a double click.
    """

    range_selected = Signal(float, float)
    reset = Signal()

    def __init__(
        self,
        theme: ThemeManager,
        crosshair: Crosshair,
        title: str,
        *,
        unit: scale.Unit = scale.COUNT,
        stacked: bool = False,
        empty: str = "Nothing was recorded in this range.",
    ) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self._theme = theme
        self._crosshair = crosshair
        self._unit = unit
        self._stacked = stacked
        self._empty = empty
        self._table = chart_data.table({}, 1.0)
        self._span = Span(0, 1)
        self._filling: int | None = None
        self._is_empty = True
        self._below = False
        self._gaps: tuple[Span, ...] = ()
        self._given: dict[str, str] = {}
        self._assigned: dict[str, str] = {}
        self._top = 0.0
        self._title = PlainLabel(title, role="strong")
        self._hint = PlainLabel(role="hint")
        self._legend = Legend(theme.theme)
        self._plot = Plot(theme.theme)
        self._plot.setAccessibleName(title)
        self._lay_out()
        self._legend.toggled.connect(self._draw)
        self._plot.pointed.connect(crosshair.move)
        self._plot.selected.connect(self.range_selected)
        self._plot.reset.connect(self.reset)
        crosshair.moved.connect(self._point)
        theme.changed.connect(self._wear)

    def set_hint(self, text: str) -> None:
        """Say beside the title what is counted: ``tasks per 10 s``."""
        self._hint.setText(text)
        self._make_room()

    def set_data(
        self,
        span: Span,
        step: float,
        series: Mapping[str, Series],
        gaps: Sequence[Gap] = (),
        colours: Mapping[str, str] | None = None,
    ) -> None:
        """Show series over a span; `colours` names a token of the theme per series, the others get one and keep it."""
        table = chart_data.table(series, step)
        start = table.start if table.names else span.start
        end = max(span.end, start + table.values.shape[1] * table.step)
        if end - start != self._span.end - self._span.start:
            self._top = 0.0  # another length of time is another picture: no need to keep its axis
        self._span, self._table = Span(start, end), table
        self._filling = table.filling(span.end)
        self._gaps = tuple(Span(gap.start, end if gap.end is None else gap.end) for gap in gaps)
        self._given = dict(colours or {})
        self._assign(table.names)
        self._draw()

    def _assign(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self._given and name not in self._assigned:
                taken = set(self._assigned.values())
                free = [colour for colour in _SERIES if colour not in taken and name != chart_data.OTHER]
                self._assigned[name] = free[0] if free else "hint"

    def _colour(self, name: str) -> str:
        return self._given.get(name) or self._assigned[name]

    def _draw(self) -> None:
        shown = chart_data.visible(self._table, self._legend.hidden)
        if self._stacked:
            shown = chart_data.stacked(shown)
        height = chart_data.highest(shown)
        known = shown.last() is not None
        self._top, y_ticks = scale.axis(height, self._unit, self._top)
        self._is_empty = not self._legend.hidden and (not known or (self._stacked and height == 0))
        width = self._plot.width() - LEFT - RIGHT
        self._plot.show_picture(
            Picture(
                span=self._span,
                shown=shown,
                colours=[self._colour(name) for name in shown.names],
                stacked=self._stacked,
                filling=self._filling,
                top=self._top,
                y_ticks=y_ticks,
                x_ticks=scale.time_ticks(self._span.start, self._span.end, max(2, width // 58)),
                gaps=self._gaps,
                empty=self._empty if self._is_empty else "",
            )
        )
        self._point()

    def _point(self) -> None:
        time = self._crosshair.time
        self._plot.point(None if self._is_empty else time)
        at = None if time is None else self._table.bucket(time)
        if at is None:
            last = self._table.last()
            at = last - 1 if last and last == self._filling else last
        self._legend.show_entries(
            []
            if self._is_empty
            else [
                Entry(
                    name, self._colour(name), "" if at is None else self._unit.text(float(self._table.values[row][at]))
                )
                for row, name in enumerate(self._table.names)
            ]
        )
        self._make_room()

    def _wear(self) -> None:
        self._legend.set_theme(self._theme.theme)
        self._plot.set_theme(self._theme.theme)
        self._draw()

    def _lay_out(self) -> None:
        self._header = QGridLayout()
        self._header.setContentsMargins(13, 0, RIGHT, 0)
        self._header.setHorizontalSpacing(8)
        self._header.setVerticalSpacing(2)
        self._header.setColumnStretch(2, 1)
        self._header.addWidget(self._title, 0, 0)
        self._header.addWidget(self._hint, 0, 1)
        self._header.addWidget(self._legend, 0, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(1, 8, 1, 1)
        layout.setSpacing(4)
        layout.addLayout(self._header)
        layout.addWidget(self._plot, 1)
        self._title.setAlignment(Qt.AlignmentFlag.AlignVCenter)

    def _make_room(self) -> None:
        """The legend's values matter more than the hint; they get a row of their own where they need it."""
        room = self.width() - 13 - RIGHT - self._title.sizeHint().width() - 10
        needed = self._legend.sizeHint().width()
        below = needed > room
        self._hint.setVisible(below or needed + self._hint.sizeHint().width() + 24 <= room)
        if below != self._below:
            self._below = below
            self._legend.set_on_left(below)
            self._header.addWidget(self._legend, *((1, 0, 1, 3) if below else (0, 2, 1, 1)))

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        clipboard = QGuiApplication.clipboard()
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Copy values (CSV)").triggered.connect(lambda: clipboard.setText(to_csv(self._table)))
        menu.addAction("Copy picture").triggered.connect(lambda: clipboard.setPixmap(self.grab()))
        menu.addAction("Back to the whole range").triggered.connect(self.reset)
        menu.popup(event.globalPos())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._make_room()
        self._draw()
