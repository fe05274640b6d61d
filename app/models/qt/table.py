"""The base of every table's item model: rows with a stable key, changed in place."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

import msgspec
from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
)

from app.models.qt.plain import plain_tip

R = TypeVar("R")
Index = QModelIndex | QPersistentModelIndex

ROOT: Final = QModelIndex()


class Role(IntEnum):
    """What a model answers besides Qt's own roles.

    ``CELL`` is all of a cell at once, for delegates; ``NAME`` what a person calls the record by.
    """

    SORT = Qt.ItemDataRole.UserRole + 1
    STATE = Qt.ItemDataRole.UserRole + 2
    TONE = Qt.ItemDataRole.UserRole + 3
    KEY = Qt.ItemDataRole.UserRole + 4
    RECORD = Qt.ItemDataRole.UserRole + 5
    CELL = Qt.ItemDataRole.UserRole + 6
    NAME = Qt.ItemDataRole.UserRole + 7


class Header(msgspec.Struct, frozen=True):
    """A column. What is numeric stands right; what is literal (names, ids, arguments) is in the fixed-width face.

    Texts of a column with ``ends`` are told apart by both their ends: too long, they are cut in the middle.
    """

    title: str
    numeric: bool = False
    literal: bool = False
    ends: bool = False
    tip: str = ""


class Cell(msgspec.Struct, frozen=True, gc=False):
    """What one cell shows. ``tone`` and ``state`` name theme tokens; ``detail`` is for the delegate that knows it.

    ``short`` says it in less room, in a column that is narrow; ``spoken`` is for screen readers and for the clipboard,
    where the text alone does not say it; ``tip`` is plain text.
    """

    text: str
    sort: Any = None
    tone: str = ""
    state: str = ""
    strong: bool = False
    tip: str = ""
    spoken: str = ""
    detail: Any = None
    short: str = ""


class Bar(msgspec.Struct, frozen=True, gc=False):
    """A bar in a cell: parts from the left (size, theme token or empty for a shade), of a whole."""

    parts: tuple[tuple[float, str], ...]
    whole: float


class RecordTableModel(QAbstractTableModel, Generic[R]):
    """A table of records whose rows keep their identity while they change, so that selection and scrolling survive.

    A subclass answers two questions, `header` and `cell`; sorting has its own role, never the displayed text.
    """

    def __init__(self, columns: int, key: Callable[[R], Hashable], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._columns = columns
        self._key = key
        self._rows: list[R] = []

    def header(self, column: int) -> Header:
        """What stands above a column."""
        raise NotImplementedError

    def cell(self, record: R, column: int) -> Cell:
        """What a column shows of a record."""
        raise NotImplementedError

    def name(self, record: R) -> str:
        """What a person calls a record by."""
        return str(self._key(record))

    def record(self, row: int) -> R:
        return self._rows[row]

    def records(self) -> Sequence[R]:
        return self._rows

    def key(self, row: int) -> Hashable:
        return self._key(self._rows[row])

    def find(self, key: Hashable) -> int | None:
        """The row that has this key now."""
        return next((row for row, record in enumerate(self._rows) if self._key(record) == key), None)

    def replace(self, records: Sequence[R]) -> None:
        """Become these records (their keys are unique) by the fewest insertions, removals and moves; never a reset."""
        self._replace_span(0, len(self._rows), records)

    def update(self, records: Iterable[R]) -> None:
        """Show newer versions of rows that are here; others are ignored."""
        newer = {self._key(record): record for record in records}
        changed = []
        for row, record in enumerate(self._rows):
            new = newer.get(self._key(record))
            if new is not None and new != record:
                self._rows[row] = new
                changed.append(row)
        self._announce(changed)

    def touch(self, first: int, last: int, first_column: int, last_column: int) -> None:
        """Say that these cells read differently now, though their records are the same."""
        last = min(last, len(self._rows) - 1)
        if first <= last:
            self.dataChanged.emit(self.index(first, first_column), self.index(last, last_column))

    def rowCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else self._columns

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role not in _ROLES or not index.isValid():
            return None
        record, column = self._rows[index.row()], index.column()
        match role:
            case Role.RECORD:
                return record
            case Role.KEY:
                return self._key(record)
            case Role.NAME:
                return self.name(record)
            case Qt.ItemDataRole.TextAlignmentRole:
                return _alignment(self.header(column))
        return _ANSWERS[role](self.cell(record, column))

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < self._columns:
            return None
        header = self.header(section)
        if role == Role.CELL:
            return header
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(header)
        answers = {
            int(Qt.ItemDataRole.DisplayRole): header.title,
            int(Qt.ItemDataRole.ToolTipRole): plain_tip(header.tip),
            int(Qt.ItemDataRole.AccessibleTextRole): header.title if header.title.isalnum() else header.tip,
        }
        return answers.get(role)

    def _replace_span(self, first: int, last: int, records: Sequence[R]) -> None:
        """Make rows ``first`` to ``last`` (exclusive) these records."""
        keys = [self._key(record) for record in records]
        end = self._remove_others(first, last, set(keys))
        here = {self._key(record) for record in self._rows[first:end]}
        changed = []
        done = 0
        while done < len(records):
            row, start = first + done, done
            while done < len(records) and keys[done] not in here:
                done += 1
            if done > start:
                self._insert(row, records[start:done])
                continue
            if self._key(self._rows[row]) != keys[done]:
                self._move_up(keys[done], row)
            if self._rows[row] != records[done]:
                self._rows[row] = records[done]
                changed.append(row)
            done += 1
        self._announce(changed)

    def _remove_others(self, first: int, last: int, keep: set[Hashable]) -> int:
        """Remove the rows of a span whose key is not kept, run by run, and say where the span ends now."""
        row, end = last, last
        while row > first:
            bottom = row
            while row > first and self._key(self._rows[row - 1]) not in keep:
                row -= 1
            if row < bottom:
                self._remove(row, bottom)
                end -= bottom - row
            row -= 1
        return end

    def _remove(self, first: int, last: int) -> None:
        self.beginRemoveRows(ROOT, first, last - 1)
        del self._rows[first:last]
        self.endRemoveRows()

    def _insert(self, row: int, records: Sequence[R]) -> None:
        self.beginInsertRows(ROOT, row, row + len(records) - 1)
        self._rows[row:row] = records
        self.endInsertRows()

    def _move_up(self, key: Hashable, row: int) -> None:
        """Bring the record with this key, which stands further down, to ``row``."""
        source = next(below for below in range(row + 1, len(self._rows)) if self._key(self._rows[below]) == key)
        self.beginMoveRows(ROOT, source, source, ROOT, row)
        self._rows.insert(row, self._rows.pop(source))
        self.endMoveRows()

    def _announce(self, rows: Sequence[int]) -> None:
        """Emit ``dataChanged`` once for each run of neighbouring rows."""
        start = 0
        for position in range(1, len(rows) + 1):
            if position == len(rows) or rows[position] != rows[position - 1] + 1:
                self.dataChanged.emit(self.index(rows[start], 0), self.index(rows[position - 1], self._columns - 1))
                start = position


class SortedTable(QSortFilterProxyModel):
    """A small table sorted by raw values; what is unknown comes last, whichever way it is sorted. Never for tasks."""

    def __init__(self, source: QAbstractTableModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setSortRole(Role.SORT)
        self.setSourceModel(source)

    def lessThan(self, left: Index, right: Index) -> bool:
        a, b = left.data(Role.SORT), right.data(Role.SORT)
        if a is None or b is None:
            unknown_last = self.sortOrder() == Qt.SortOrder.AscendingOrder
            return (b is None and a is not None) if unknown_last else (a is None and b is not None)
        return bool(a < b)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The source's own header; a proxy without rows would not ask it."""
        return self.sourceModel().headerData(section, orientation, role)


def _alignment(header: Header) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if header.numeric else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter


_ANSWERS: Final[Mapping[int, Callable[[Cell], Any]]] = MappingProxyType(
    {
        int(Qt.ItemDataRole.DisplayRole): lambda cell: cell.text,
        int(Qt.ItemDataRole.ToolTipRole): lambda cell: plain_tip(cell.tip),
        int(Qt.ItemDataRole.AccessibleTextRole): lambda cell: cell.spoken or cell.text,
        int(Role.SORT): lambda cell: cell.sort,
        int(Role.STATE): lambda cell: cell.state,
        int(Role.TONE): lambda cell: cell.tone,
        int(Role.CELL): lambda cell: cell,
    }
)
_ROLES: Final = frozenset(
    (*_ANSWERS, int(Role.RECORD), int(Role.KEY), int(Role.NAME), int(Qt.ItemDataRole.TextAlignmentRole))
)
