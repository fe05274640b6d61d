"""The table of task names: what each costs and how it fails, against the period before."""

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Final

import msgspec
from PySide6.QtCore import QObject

from app.models import formats
from app.models.history.charts import NameRow
from app.models.qt.plain import one_line
from app.models.qt.table import Cell, Header, RecordTableModel
from app.models.rollups import Percentiles


class Column(IntEnum):
    """The columns of the table of task names, from the left."""

    NAME = 0
    FINISHED = 1
    SHARE = 2
    FAILED = 3
    P50 = 4
    P95 = 5
    P99 = 6
    CHANGE = 7


#: A share of failures, and a growth of p95, that are marked.
_MUCH_FAILED: Final = 0.05
_MUCH_SLOWER: Final = 0.2


class NameLine(msgspec.Struct):
    """A task name's figures of now, and p95 of its run time in the equal period before."""

    row: NameRow
    share: float | None
    before: float | None

    @property
    def change(self) -> float | None:
        """Growth of p95: 0.38 is 38 % more."""
        now = self.row.run.p95
        return now / self.before - 1 if now is not None and self.before else None


class NameTableModel(RecordTableModel[NameLine]):
    """Task names with their figures, by name: a `SortedTable` brings them into the order that is wanted."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(len(Column), _name, parent)

    def show(self, rows: Sequence[NameRow], before: Mapping[str, Percentiles], busy: float) -> None:
        """Become the figures of a period.

        Args:
            rows: of it, in any order.
            before: run times in the equal period before it.
            busy: the seconds that all names together were run for.
        """
        # In an order of their own that never changes, no row has to move when figures do.
        ordered = sorted(rows, key=_row_name)
        self.replace([NameLine(row, row.busy / busy if busy else None, _p95(before.get(row.name))) for row in ordered])

    def header(self, column: int) -> Header:
        return _COLUMNS[column][0]

    def cell(self, record: NameLine, column: int) -> Cell:
        return _COLUMNS[column][1](record)


def _name(line: NameLine) -> str:
    return line.row.name


def _p95(runs: Percentiles | None) -> float | None:
    return None if runs is None else runs.p95


def _row_name(row: NameRow) -> str:
    return row.name


def _tone(value: float | None) -> str:
    return "hint" if value is None else ""


def _finished(line: NameLine) -> Cell:
    row = line.row
    return Cell(formats.count(row.finished), row.finished, tip=f"{formats.count(row.count)} came in")


def _share(line: NameLine) -> Cell:
    tip = f"{formats.duration(line.row.busy)} of run time"
    return Cell(formats.percent(line.share), line.share, tone=_tone(line.share), tip=tip)


def _failed(line: NameLine) -> Cell:
    row = line.row
    share = row.failed / row.finished if row.finished else None
    tone = "failed" if share is not None and share >= _MUCH_FAILED else _tone(share)
    tip = f"{formats.count(row.failed)} of {formats.count(row.finished)} failed, {formats.count(row.retried)} retried"
    return Cell(formats.percent(share), share, tone=tone, tip=tip)


def _title(line: NameLine) -> Cell:
    return Cell(one_line(line.row.name), line.row.name, tip=line.row.name)


def _latency(seconds: float | None) -> Cell:
    return Cell(formats.duration(seconds), seconds, tone=_tone(seconds))


def _change(line: NameLine) -> Cell:
    change = line.change
    if change is None:
        return Cell(formats.UNKNOWN, tone="hint", tip="Nothing to compare with")
    percent = round(abs(change) * 100)
    tip = f"p95 was {formats.duration(line.before)} in the period before"
    if percent == 0:
        return Cell("0 %", change, tone="secondary", tip=tip)
    mark, word = ("▲", "more") if change > 0 else ("▼", "less")
    tone = "failed" if change >= _MUCH_SLOWER else ""
    return Cell(f"{mark} {formats.count(percent)} %", change, tone=tone, tip=tip, spoken=f"{percent} percent {word}")


_COLUMNS: Final[tuple[tuple[Header, Callable[[NameLine], Cell]], ...]] = (
    (
        Header("Task name", literal=True, ends=True),
        _title,
    ),
    (Header("Finished", numeric=True, tip="Tasks that finished in the time range"), _finished),
    (Header("Share of time", numeric=True, tip="Share of all run time that went into this task"), _share),
    (Header("Failed", numeric=True, tip="Share of the finished tasks that failed"), _failed),
    (Header("p50", numeric=True, tip="Half of the runs took no longer"), lambda line: _latency(line.row.run.p50)),
    (Header("p95", numeric=True, tip="95 % of the runs took no longer"), lambda line: _latency(line.row.run.p95)),
    (Header("p99", numeric=True, tip="99 % of the runs took no longer"), lambda line: _latency(line.row.run.p99)),
    (Header("p95 against before", numeric=True, tip="Change of p95 against the equal period before"), _change),
)
