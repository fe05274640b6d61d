"""A table as all pages show it: quiet rows of one height, columns that fit the room, keys, and copying."""

from collections.abc import Hashable, Sequence
from typing import Final

import msgspec
from PySide6.QtCore import (
    QAbstractItemModel,
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QKeyCombination,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QContextMenuEvent,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QTableView, QVBoxLayout

from app.models.qt.table import ROOT, RecordTableModel, Role
from app.ui.theme import ThemeManager
from app.ui.widgets.delegates import CellDelegate, RowLook
from app.ui.widgets.table_parts import Empty, SortHeader

ROW_HEIGHT: Final = 28
_HEADER_HEIGHT: Final = 29
#: In a table that is too narrow even so, columns with a weight shrink down to this.
_NARROWEST: Final = 64
_COPY_NAMES: Final = QKeyCombination(
    Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier, Qt.Key.Key_C
)
_EXTENDING: Final = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
_STEPS: Final = {int(Qt.Key.Key_J): 1, int(Qt.Key.Key_K): -1}


class Width(msgspec.Struct, frozen=True):
    """Room of a column: at least ``least`` pixels, and a share by ``weight`` of what is left.

    Where there is no room for all, columns of the highest ``rank`` are left out first, and those of rank 0 never. What
    is left goes first to columns that need ``full`` pixels to show their texts at length; below that their texts are
    the short ones. A column of no width at all is not shown.
    """

    least: int
    weight: int = 0
    rank: int = 0
    full: int = 0


class RecordTable(QTableView):
    """A view of a `RecordTableModel`, or of a `SortedTable` over one (then a click on a header sorts).

    Ctrl+C copies the selected rows as shown, Ctrl+Shift+C what names them (ids).

    Signals: ``current_changed`` with the key of the row that the user went to; ``opened`` with the key of the row that
    the user wants to see more of (a click, Enter); ``empty_asked`` for the button that stands in the place of rows;
    ``selected`` when other rows are; ``menu_asked`` with a place of the screen: the row there, or the one that the
    keyboard is on, is selected then.
    """

    current_changed = Signal(object)
    opened = Signal(object)
    selected = Signal()
    menu_asked = Signal(QPoint)
    empty_asked = Signal()

    def __init__(self, theme: ThemeManager, model: QAbstractItemModel, widths: Sequence[Width]) -> None:
        super().__init__()
        self._widths = widths
        self._by_hand: dict[int, int] = {}
        self._fitting = False
        self._removing = False
        #: Whether the mouse adds rows to those that are selected.
        self._extends = False
        self._look = RowLook()
        self._empty = Empty(self.viewport())
        self._empty.asked.connect(self.empty_asked)
        self.setHorizontalHeader(SortHeader(theme, self))
        self.setModel(model)
        for column in range(model.columnCount()):
            header = model.headerData(column, Qt.Orientation.Horizontal, Role.CELL)
            delegate = CellDelegate(theme, header, self._look, self, full=widths[column].full)
            self.setItemDelegateForColumn(column, delegate)
        self._dress()
        if not isinstance(model, RecordTableModel):
            self._sort_on_click()
        theme.changed.connect(self.viewport().update)
        for signal in (model.rowsInserted, model.rowsRemoved, model.modelReset):
            signal.connect(self._show_empty)
        self._show_empty()

    def set_empty(self, title: str, text: str = "", action: str = "") -> None:
        """Say why there are no rows, and what to do; ``action`` is on a button, which emits `empty_asked`."""
        self._empty.say(title, text, action)

    def key_at(self, row: int) -> Hashable:
        """Key of a row's record."""
        key: Hashable = self.model().index(row, 0).data(Role.KEY)
        return key

    def current_key(self) -> Hashable | None:
        """Key of the row that the keyboard is on."""
        row = self.currentIndex().row()
        return self.key_at(row) if row >= 0 else None

    def go_to(self, key: Hashable, *, centre: bool = False) -> bool:
        """Select the row with this key and bring it into view; False if there is none."""
        row = next((row for row in range(self.model().rowCount()) if self.key_at(row) == key), None)
        if row is None:
            return False
        self.selectRow(row)
        hint = QAbstractItemView.ScrollHint
        self.scrollTo(self.model().index(row, 0), hint.PositionAtCenter if centre else hint.EnsureVisible)
        if centre:
            # With whole rows from the top on: one that is cut there looks like a mistake.
            bar, height = self.verticalScrollBar(), max(1, self.rowHeight(row))
            bar.setValue(bar.value() - bar.value() % height)
        return True

    def show_current(self) -> None:
        """Bring the row that the keyboard is on back into view, after the table became smaller."""
        if self.currentIndex().isValid():
            self.scrollTo(self.currentIndex())

    def selected_rows(self) -> list[int]:
        """The selected rows, from the top."""
        return sorted(row for span in self._selected_spans() for row in span)

    def selected_number(self) -> int:
        """How many rows are selected, however many they are."""
        return sum(map(len, self._selected_spans()))

    def select_nothing(self) -> None:
        """Let no row be selected; the keyboard stays where it is."""
        self.selectionModel().clearSelection()

    def visible_rows(self) -> tuple[int, int]:
        """First and last row in view; (0, -1) where there is none."""
        first, last = self.rowAt(0), self.rowAt(self.viewport().height() - 1)
        return (max(0, first), last if last >= 0 else self.model().rowCount() - 1)

    def text_of(self, rows: Sequence[int]) -> str:
        """Rows as shown, for the clipboard: a line each, columns parted by tabs."""
        model = self.model()
        columns = [column for column in range(model.columnCount()) if not self.isColumnHidden(column)]
        lines = [
            [str(model.index(row, column).data(Qt.ItemDataRole.AccessibleTextRole) or "") for column in columns]
            for row in rows
        ]
        return "\n".join("\t".join(line) for line in lines)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            self._copy(self.text_of(self.selected_rows()))
        elif event.keyCombination() == _COPY_NAMES:
            self._copy("\n".join(str(self.model().index(row, 0).data(Role.NAME)) for row in self.selected_rows()))
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if (key := self.current_key()) is not None:
                self.opened.emit(key)
        elif (step := _STEPS.get(event.key())) and not event.modifiers():
            self._step(step)
        elif event.text().isprintable() and event.text().strip():
            event.ignore()  # a letter is a key of the page, not the beginning of a search in the first column
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            at, index = event.pos(), self.indexAt(event.pos())
        else:
            index = self.currentIndex()
            at = self.visualRect(index).bottomLeft()
        if index.isValid():
            if not self.selectionModel().isRowSelected(index.row(), ROOT):
                self._select_only(index.row())
            self.menu_asked.emit(self.viewport().mapToGlobal(at))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._extends = bool(event.modifiers() & _EXTENDING)
        super().mouseReleaseEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        self._hover(self.rowAt(event.position().toPoint().y()))

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._hover(-1)

    def paintEvent(self, event: QPaintEvent) -> None:
        first, last = self.visible_rows()
        chosen = self.selectionModel()
        self._look.selected = frozenset(row for row in range(first, last + 1) if chosen.isRowSelected(row, ROOT))
        super().paintEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._empty.setGeometry(self.viewport().rect())
        self._fit()

    def rowsAboutToBeRemoved(self, parent: QModelIndex | QPersistentModelIndex, start: int, end: int) -> None:
        # Qt would go to a neighbour, and the user would find himself looking at another record.
        if start <= self.currentIndex().row() <= end:
            self._removing = True
            self.selectionModel().clearCurrentIndex()
            self._removing = False
        super().rowsAboutToBeRemoved(parent, start, end)

    def currentChanged(
        self, current: QModelIndex | QPersistentModelIndex, previous: QModelIndex | QPersistentModelIndex
    ) -> None:
        super().currentChanged(current, previous)
        if not self._removing and current.isValid() and current.row() != previous.row():
            self.current_changed.emit(self.key_at(current.row()))

    def selectionChanged(self, selected: QItemSelection, deselected: QItemSelection) -> None:
        super().selectionChanged(selected, deselected)
        self.selected.emit()

    def _selected_spans(self) -> list[range]:
        """Runs of selected rows; however many rows they are, there are as many runs as the user made."""
        chosen = self.selectionModel().selection()
        runs = (chosen.at(place) for place in range(chosen.count()))
        return [range(run.top(), run.bottom() + 1) for run in runs]

    def _clicked(self, index: QModelIndex) -> None:
        """To look at a row takes a click; one that selects several of them is for something else."""
        if not self._extends:
            self.opened.emit(self.key_at(index.row()))

    def _copy(self, text: str) -> None:
        if text:
            QGuiApplication.clipboard().setText(text)

    def _step(self, step: int) -> None:
        row = min(max(0, self.currentIndex().row() + step), self.model().rowCount() - 1)
        if row >= 0:
            self._select_only(row)

    def _select_only(self, row: int) -> None:
        """Go to a row, whichever keys are held down."""
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
        self.selectionModel().setCurrentIndex(self.model().index(row, 0), flags)

    def _hover(self, row: int) -> None:
        if row != self._look.hovered:
            self._look.hovered = row
            self.viewport().update()

    def _dress(self) -> None:
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setMouseTracking(True)
        self.setTabKeyNavigation(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalScrollBar().setSingleStep(ROW_HEIGHT)
        rows, columns = self.verticalHeader(), self.horizontalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setMinimumSectionSize(ROW_HEIGHT)
        rows.setDefaultSectionSize(ROW_HEIGHT)
        columns.setFixedHeight(_HEADER_HEIGHT)
        columns.setHighlightSections(False)
        columns.setMinimumSectionSize(24)
        columns.setSectionsMovable(True)
        columns.setSectionsClickable(False)
        columns.sectionResized.connect(self._remember)
        self.clicked.connect(self._clicked)

    def _sort_on_click(self) -> None:
        header = self.horizontalHeader()
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)  # the model's own order until the user wants another
        header.setSortIndicatorClearable(True)
        header.setSectionsClickable(True)
        self.setSortingEnabled(True)

    def _remember(self, column: int, _: int, width: int) -> None:
        """A width that the user dragged is kept."""
        if not self._fitting and width > 0:
            self._by_hand[column] = width

    def _fit(self) -> None:
        """Give each column its room, and leave out the least important ones where there is too little."""
        shown = {at: self._by_hand.get(at, width.least) for at, width in enumerate(self._widths) if width.least}
        room = self.viewport().width()
        for column in sorted(shown, key=lambda column: -self._widths[column].rank):
            if sum(shown.values()) <= room or not self._widths[column].rank:
                break
            del shown[column]
        spare = room - sum(shown.values())
        free = sorted(shown.keys() - self._by_hand.keys(), key=lambda column: (self._widths[column].rank, column))
        for column in free:
            more = self._widths[column].full - shown[column]
            if 0 < more <= spare:
                shown[column] += more
                spare -= more
        weights = {column: self._widths[column].weight for column in sorted(free)}
        self._fitting = True
        for column in range(len(self._widths)):
            self.setColumnHidden(column, column not in shown)
        left = sum(weights.values())
        for column, width in shown.items():
            weight = weights.get(column, 0)
            extra = spare * weight // left if weight else 0
            spare, left = spare - extra, left - weight
            self.setColumnWidth(column, max(width + extra, min(width, _NARROWEST)))
        self._fitting = False

    def _show_empty(self) -> None:
        self._empty.setVisible(self.model().rowCount() == 0)


def on_card(table: RecordTable) -> QFrame:
    """A table in the frame that it has on a broker's own page, too."""
    card = QFrame()
    card.setProperty("role", "card")
    inside = QVBoxLayout(card)
    inside.setContentsMargins(1, 1, 1, 1)
    inside.addWidget(table)
    return card
