"""One table over the tables of several brokers, with a first column that says whose row it is."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
from PySide6.QtCore import QObject

from app.models.qt.plain import one_line
from app.models.qt.table import Cell, Header, RecordTableModel

R = TypeVar("R")

_BROKER: Final = Header("Broker", ends=True, tip="The connection that this was seen on")


class Side(msgspec.Struct, Generic[R], frozen=True):
    """One of the tables: its broker's name, the theme's token for the name, and the table's own model."""

    name: str
    tone: str
    model: RecordTableModel[R]


class AcrossModel(RecordTableModel[tuple[int, R]]):
    """The rows of several models as one.

    A row is a side's place and its record, its key the place and the record's name. Column 0 names the broker; column
    ``n + 1`` shows what column ``n`` of the row's own model does.
    """

    def __init__(self, pattern: RecordTableModel[R], parent: QObject | None = None) -> None:
        super().__init__(pattern.columnCount() + 1, self._key_of, parent)
        self._pattern = pattern
        self._sides: list[Side[R]] = []

    def set_sides(self, sides: Sequence[Side[R]]) -> None:
        """Be a table over these, empty until `show`."""
        self.replace([])
        self._sides = list(sides)

    def show(self, *, order: Callable[[R], Any] | None = None, changing: Sequence[int] = ()) -> None:
        """Take over what the models hold now, in their own order or by ``order``.

        ``changing`` columns of the models read differently as time goes by, though their records are the same.
        """
        rows = [(place, record) for place, side in enumerate(self._sides) for record in side.model.records()]
        if order is not None:
            rows.sort(key=lambda row: order(row[1]))
        self.replace(rows)
        for column in changing:
            self.touch(0, len(rows) - 1, column + 1, column + 1)

    def header(self, column: int) -> Header:
        return self._pattern.header(column - 1) if column else _BROKER

    def cell(self, record: tuple[int, R], column: int) -> Cell:
        place, own = record
        side = self._sides[place]
        if column:
            return side.model.cell(own, column - 1)
        return Cell(one_line(side.name), (side.name.casefold(), place), tone=side.tone, tip=side.name)

    def name(self, record: tuple[int, R]) -> str:
        return self._sides[record[0]].model.name(record[1])

    def _key_of(self, row: tuple[int, R]) -> Hashable:
        place, record = row
        return (place, self._sides[place].model.name(record))
