"""A page that is a small table, sorted by a click, with an inspector."""

from collections.abc import Hashable, Sequence
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.models.qt.table import RecordTableModel, SortedTable
from app.ui.live import TimeRange, View
from app.ui.supervisor import Connection
from app.ui.theme import ThemeManager
from app.ui.widgets.inspector import Inspector, Panes
from app.ui.widgets.rows import GAP, MARGIN
from app.ui.widgets.table import RecordTable, Width


class TablePage(View):
    """Subclasses implement `load`, which shows the record of ``self.inspected`` too, if there is one.

    ``above`` stands over table and inspector, ``below`` under the table, in its card.
    """

    refresh_ms = 400

    def __init__(
        self,
        theme: ThemeManager,
        time_range: TimeRange,
        model: RecordTableModel[Any],
        widths: Sequence[Width],
        inspector: Inspector,
        *,
        above: QWidget | None = None,
        below: QWidget | None = None,
    ) -> None:
        super().__init__(time_range)
        self.setProperty("role", "page")
        self.inspected: Hashable | None = None
        self.table = RecordTable(theme, SortedTable(model, self), widths)
        self._model = model
        self._inspector = inspector
        self.table.opened.connect(self.inspect)
        self.table.current_changed.connect(self._row_chosen)
        inspector.closed.connect(self.close_inspector)
        self.setFocusProxy(self.table)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(GAP)
        if above is not None:
            layout.addWidget(above)
        layout.addWidget(Panes(self.table, inspector, below), 1)

    def inspect(self, key: Hashable) -> None:
        """Tell all about the record with this key."""
        self.inspected = key
        self._inspector.show()
        self.reload()

    def close_inspector(self) -> None:
        """Leave the room to the table."""
        self.inspected = None
        self._inspector.put_away(self.table)

    def watch(self, connections: Sequence[Connection]) -> None:
        self.close_inspector()
        self._model.replace([])
        self.table.set_empty("")
        super().watch(connections)

    async def prepare_shot(self) -> None:
        """Open the inspector on the row most worth looking at."""
        await self.settled()
        self.inspected = self.most_telling()
        if self.inspected is not None:
            self._inspector.show()
            self.table.go_to(self.inspected)
            self.spawn(self.load())
            await self.settled()

    def most_telling(self) -> Hashable | None:
        """The key of the row that shows the most."""
        return self.table.key_at(0) if self._model.rowCount() else None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._inspector.isVisible():
            self.close_inspector()
        else:
            super().keyPressEvent(event)

    def _row_chosen(self, key: Hashable) -> None:
        if self._inspector.isVisible() and key != self.inspected:
            self.inspect(key)
