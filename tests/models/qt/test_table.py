import random
from collections.abc import Hashable

import msgspec
import pytest
from PySide6.QtCore import QItemSelectionModel, QPersistentModelIndex, Qt
from pytestqt.modeltest import ModelTester

from app.models.qt.plain import one_line, plain_tip, visible
from app.models.qt.table import ROOT, Cell, Header, RecordTableModel, Role, SortedTable
from tests.models.qt.drawing import watch


class Pair(msgspec.Struct):
    key: int
    value: float | None


class Pairs(RecordTableModel[Pair]):
    def __init__(self) -> None:
        super().__init__(2, _key)

    def header(self, column: int) -> Header:
        return (Header("Key", literal=True), Header("Value", numeric=True, tip="a < b"))[column]

    def cell(self, record: Pair, column: int) -> Cell:
        if column == 0:
            return Cell(str(record.key), record.key, tip="<b>no</b>\nmarkup", spoken=f"key {record.key}")
        return Cell(str(record.value), record.value, tone="failed")


class Signals:
    """What a model told its views, in order."""

    def __init__(self, model: RecordTableModel[Pair]) -> None:
        self.seen: list[str] = []
        model.rowsInserted.connect(lambda _, first, last: self.seen.append(f"inserted {first}-{last}"))
        model.rowsRemoved.connect(lambda _, first, last: self.seen.append(f"removed {first}-{last}"))
        model.rowsMoved.connect(lambda _, first, last, to, row: self.seen.append(f"moved {first}-{last} to {row}"))
        model.dataChanged.connect(lambda top, bottom: self.seen.append(f"changed {top.row()}-{bottom.row()}"))
        model.modelReset.connect(lambda: self.seen.append("reset"))


@pytest.fixture
def model() -> Pairs:
    return Pairs()


def _key(pair: Pair) -> Hashable:
    return pair.key


def _pairs(*keys: int, value: float = 0) -> list[Pair]:
    return [Pair(key, value) for key in keys]


def _keys(model: RecordTableModel[Pair]) -> list[int]:
    return [pair.key for pair in model.records()]


def test_each_cell_answers_by_role(model: Pairs) -> None:
    model.replace([Pair(7, 1.5)])
    key, value = model.index(0, 0), model.index(0, 1)
    assert key.data() == "7"
    assert key.data(Role.SORT) == 7
    assert key.data(Role.KEY) == 7
    assert key.data(Role.RECORD) == Pair(7, 1.5)
    assert key.data(Role.NAME) == "7"
    assert key.data(Qt.ItemDataRole.AccessibleTextRole) == "key 7"
    assert value.data(Qt.ItemDataRole.AccessibleTextRole) == "1.5"
    assert value.data(Role.TONE) == "failed"
    assert value.data(Role.CELL) == Cell("1.5", 1.5, tone="failed")
    assert value.data(Qt.ItemDataRole.TextAlignmentRole) & Qt.AlignmentFlag.AlignRight
    assert key.data(Qt.ItemDataRole.TextAlignmentRole) & Qt.AlignmentFlag.AlignLeft
    assert key.data(Qt.ItemDataRole.DecorationRole) is None
    assert model.headerData(1, Qt.Orientation.Horizontal) == "Value"
    assert model.headerData(2, Qt.Orientation.Horizontal) is None


def test_a_tooltip_never_is_markup(model: Pairs) -> None:
    model.replace([Pair(7, 1.5)])
    assert model.index(0, 0).data(Qt.ItemDataRole.ToolTipRole) == "<qt>&lt;b&gt;no&lt;/b&gt;<br>markup</qt>"
    assert model.headerData(1, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole) == "<qt>a &lt; b</qt>"
    assert plain_tip("<img src=x>" + "x" * 5000).startswith("<qt>&lt;img src=x&gt;")
    assert len(plain_tip("<" * 5000)) < 6000
    assert plain_tip("") == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("safe\u202egnp.exe", r"safe\u202egnp.exe"),
        ("a\x00\x1b[31mred\x85", r"a\x00\x1b[31mred\x85"),
        ("line\r\nbreak\ttab", "line\nbreak\ttab"),
        ("half \ud800", r"half \ud800"),
        ("אבג 🔥 👩\u200d👧 é", "אבג 🔥 👩\u200d👧 é"),
    ],
)
def test_what_cant_be_seen_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_tooltip_is_never_wider_than_sixty_signs() -> None:
    tip = plain_tip("x" * 500 + " short\nnext")
    assert max(map(len, tip.replace("\u200b", " ").split())) <= 60 + len("<qt>")
    assert tip.endswith("short<br>next</qt>")


def test_a_cells_text_is_one_short_line() -> None:
    assert one_line("a\n  b\tc") == "a b c"
    assert one_line("x" * 10, 4) == "xxxx…"
    assert one_line(None) == ""


@pytest.mark.parametrize(
    ("before", "after", "signals"),
    [
        ((), (1, 2), ["inserted 0-1"]),
        ((1, 2), (1, 2), []),
        ((3, 4), (1, 2, 3, 4), ["inserted 0-1"]),
        ((1, 2, 3, 4), (1, 4), ["removed 1-2"]),
        ((1, 2, 3, 4), (), ["removed 0-3"]),
        ((1, 2, 3), (4, 2, 5), ["removed 2-2", "removed 0-0", "inserted 0-0", "inserted 2-2"]),
        ((1, 2, 3), (3, 1, 2), ["moved 2-2 to 0"]),
    ],
)
def test_replacing_tells_no_more_than_what_changed(
    model: Pairs,
    before: tuple[int, ...],
    after: tuple[int, ...],
    signals: list[str],
) -> None:
    model.replace(_pairs(*before))
    told = Signals(model)
    model.replace(_pairs(*after))
    assert told.seen == signals
    assert _keys(model) == list(after)


def test_neighbouring_rows_that_changed_are_told_together(model: Pairs) -> None:
    model.replace(_pairs(1, 2, 3, 4, 5))
    told = Signals(model)
    model.replace([Pair(1, 9), Pair(2, 9), Pair(3, 0), Pair(4, 9), Pair(5, 0)])
    model.update([Pair(5, 8), Pair(3, 0), Pair(77, 1)])
    assert told.seen == ["changed 0-1", "changed 3-3", "changed 4-4"]
    assert [pair.value for pair in model.records()] == [9, 9, 0, 9, 8]


def test_a_selection_stays_with_its_record(model: Pairs) -> None:
    model.replace(_pairs(1, 2, 3))
    selection = QItemSelectionModel(model)
    selection.select(model.index(1, 0), QItemSelectionModel.SelectionFlag.ClearAndSelect)
    model.replace(_pairs(9, 8, 3, 2, value=1))
    assert [index.data(Role.KEY) for index in selection.selectedIndexes()] == [2]
    assert model.find(2) == 3
    assert model.find(1) is None


@pytest.mark.parametrize("seed", range(4))
def test_random_changes_keep_the_rules_of_item_models(model: Pairs, qtmodeltester: ModelTester, seed: int) -> None:
    dice = random.Random(seed)
    watch(qtmodeltester, model)
    for _ in range(60):
        keys = dice.sample(range(30), dice.randrange(20))
        expected = [Pair(key, dice.randrange(3)) for key in keys]
        followed = [QPersistentModelIndex(model.index(row, 0)) for row in range(model.rowCount())]
        known = [index.data(Role.KEY) for index in followed]
        model.replace(expected)
        assert list(model.records()) == expected
        assert [index.data(Role.KEY) if index.isValid() else None for index in followed] == [
            key if key in keys else None for key in known
        ]
        model.update([Pair(dice.randrange(30), 7) for _ in range(5)])


def test_a_small_table_sorts_by_raw_value_with_the_unknown_last(model: Pairs, qtmodeltester: ModelTester) -> None:
    table = SortedTable(model)
    watch(qtmodeltester, table)
    model.replace([Pair(1, 10.0), Pair(2, None), Pair(3, 9.0), Pair(4, 1e7)])
    table.sort(1, Qt.SortOrder.AscendingOrder)
    assert [table.index(row, 0).data(Role.KEY) for row in range(4)] == [3, 1, 4, 2]
    table.sort(1, Qt.SortOrder.DescendingOrder)
    assert [table.index(row, 0).data(Role.KEY) for row in range(4)] == [4, 1, 3, 2]
    model.update([Pair(3, 1e9)])
    assert table.index(0, 0).data(Role.KEY) == 3
    assert table.headerData(1, Qt.Orientation.Horizontal) == "Value"


def test_the_root_has_no_parent_to_count_rows_of(model: Pairs) -> None:
    model.replace(_pairs(1))
    assert model.rowCount(model.index(0, 0)) == model.columnCount(model.index(0, 0)) == 0
    assert model.rowCount(ROOT) == 1
