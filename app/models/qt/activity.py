"""The table of what was done to brokers, and that of what became of the things that an act was about."""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from PySide6.QtCore import QObject

from app.models import formats
from app.models.activity import Deed, came_to
from app.models.acts import Item
from app.models.qt.plain import one_line
from app.models.qt.table import Cell, Header, RecordTableModel

#: Environments that are marked in the column of brokers.
_MARKED: Final = frozenset({"production", "staging", "development"})


class Column(IntEnum):
    """The columns of the table of acts, from the left."""

    BROKER = 0
    AT = 1
    OUTCOME = 2
    TITLE = 3
    DONE = 4
    FAILED = 5
    WHO = 6


class DeedTableModel(RecordTableModel[Deed]):
    """Acts, newest first; the day is told of those that were not begun today, as of the last `show`."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(len(Column), _act, parent)
        self._now = 0.0

    def show(self, deeds: Sequence[Deed], now: float) -> None:
        """Become these acts."""
        self._now = now
        self.replace(deeds)

    def header(self, column: int) -> Header:
        return _COLUMNS[column][0]

    def cell(self, record: Deed, column: int) -> Cell:
        return _COLUMNS[column][1](record, self._now)

    def name(self, record: Deed) -> str:
        return record.act


class Line(NamedTuple):
    """An item in its place: ids need not be unique."""

    place: int
    item: Item


class ItemTableModel(RecordTableModel[Line]):
    """What became of things one by one: whether it worked, the thing, and what was answered."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(len(_ITEM), _place, parent)

    def show(self, items: Sequence[Item]) -> None:
        """Become these items, in their order."""
        self.replace([Line(place, item) for place, item in enumerate(items)])

    def header(self, column: int) -> Header:
        return _ITEM[column][0]

    def cell(self, record: Line, column: int) -> Cell:
        return _ITEM[column][1](record.item)

    def name(self, record: Line) -> str:
        return record.item.id


def _act(deed: Deed) -> str:
    return deed.act


def _place(line: Line) -> int:
    return line.place


def _broker(deed: Deed, now: float) -> Cell:
    del now
    tone = deed.environment if deed.environment in _MARKED else ""
    tip = f"{deed.connection}\n{deed.broker}\n{deed.environment}"
    return Cell(one_line(deed.connection), deed.connection.casefold(), tone=tone, tip=tip)


def _at(deed: Deed, now: float) -> Cell:
    ended = "" if deed.ended is None else f"\nEnded {formats.date_time(deed.ended)}"
    tip = f"{formats.date_time(deed.at)}\n{formats.iso_utc(deed.at)}{ended}"
    return Cell(formats.near_time(deed.at, now, brief=True).partition(".")[0], deed.at, tone="secondary", tip=tip)


def _outcome(deed: Deed, now: float) -> Cell:
    del now
    words = {"aborted": "Given up"}.get(deed.came_out, deed.came_out.capitalize())
    return Cell(words, deed.came_out, state=f"act:{deed.came_out}", tip=deed.text)


def _title(deed: Deed, now: float) -> Cell:
    del now
    return Cell(one_line(deed.title), deed.title.casefold(), tip=f"{deed.title}\n{deed.act}")


def _done(deed: Deed, now: float) -> Cell:
    del now
    done = f"{formats.count(deed.done)} of {formats.number_of(deed.count, deed.things)}"
    return Cell(one_line(done), deed.done, tip=came_to(deed))


def _failed(deed: Deed, now: float) -> Cell:
    del now
    return Cell(formats.count(deed.failed), deed.failed, tone="failed" if deed.failed else "hint", tip=came_to(deed))


def _who(deed: Deed, now: float) -> Cell:
    del now
    who = f"{deed.who}@{deed.where}"
    return Cell(one_line(who), who.casefold(), tone="secondary", tip=f"{deed.who} at {deed.where}")


#: What became of a thing: where it was asked for and nobody answered yet, it did not fail.
_BECAME: Final = {True: "Done", False: "Failed", None: "Asked"}


def _ok(item: Item) -> Cell:
    word = _BECAME[item.ok]
    return Cell(word, word, state=f"act:{word.lower()}")


def _id(item: Item) -> Cell:
    return Cell(one_line(item.id), item.id, tip=item.id)


def _text(item: Item) -> Cell:
    return Cell(one_line(item.text), item.text, tone="secondary", tip=item.text)


_COLUMNS: Final[tuple[tuple[Header, Callable[[Deed, float], Cell]], ...]] = (
    (Header("Broker", ends=True, tip="The connection over which it was done"), _broker),
    (Header("When", tip="When it was begun"), _at),
    (Header("Outcome"), _outcome),
    (Header("What", tip="What was to be done"), _title),
    (Header("Done", numeric=True, tip="To how many it was done"), _done),
    (Header("Failed", numeric=True, tip="With how many it failed"), _failed),
    (Header("Who", ends=True, tip="Who did it, and at which computer"), _who),
)
_ITEM: Final[tuple[tuple[Header, Callable[[Item], Cell]], ...]] = (
    (Header(""), _ok),
    (Header("To", literal=True, ends=True), _id),
    (Header("Answer"), _text),
)
