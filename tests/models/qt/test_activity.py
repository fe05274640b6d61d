import random

import pytest
from PySide6.QtCore import Qt
from pytestqt.modeltest import ModelTester

from app.models.activity import Deed
from app.models.acts import Item
from app.models.qt.activity import Column, DeedTableModel, ItemTableModel
from app.models.qt.table import Role
from app.ui.shapes import state_style
from tests.models.qt.drawing import NOW, drawn, watch


def deed(act: str, **known: object) -> Deed:
    bare = {
        "at": NOW - 60, "start": 0, "first": 1, "last": 3, "title": "Purge mail", "count": 412, "things": "message",
        "who": "ops", "where": "laptop", "connection": "shop", "environment": "production", "state": "done",
        "done": 412,
    }  # fmt: skip
    return Deed(act=act, **(bare | known))  # type: ignore[arg-type]


@pytest.fixture
def model() -> DeedTableModel:
    return DeedTableModel()


@pytest.fixture
def items() -> ItemTableModel:
    return ItemTableModel()


def test_what_was_done_is_told_in_words(model: DeedTableModel) -> None:
    model.show(
        [
            deed("c", state="broken off", done=3, count=5, things="task", title="Revoke 5 tasks", environment=""),
            deed("b", state="aborted", done=18, failed=2, count=100, things="worker", title="Grow the pool"),
            deed("a"),
        ],
        NOW,
    )  # fmt: skip
    assert drawn(model, range(Column.OUTCOME, Column.WHO + 1)) == (
        "Outcome    | What           | Done                | Failed | Who\n"
        "Broken off | Revoke 5 tasks | 3 of 5 tasks        | 0      | ops@laptop\n"
        "Given up   | Grow the pool  | 18 of 100 workers   | 2      | ops@laptop\n"
        "Done       | Purge mail     | 412 of 412 messages | 0      | ops@laptop"
    )
    assert [model.index(row, Column.FAILED).data(Role.TONE) for row in range(3)] == ["hint", "failed", "hint"]
    assert [model.index(row, Column.BROKER).data(Role.TONE) for row in range(2)] == ["", "production"]
    assert model.index(0, Column.OUTCOME).data(Role.STATE) == "act:broken off"


def test_what_failed_as_a_whole_is_not_green(model: DeedTableModel) -> None:
    model.show([deed("a", done=0, failed=3, count=3)], NOW)
    shown = model.index(0, Column.OUTCOME)
    assert (shown.data(), shown.data(Role.STATE)) == ("Failed", "act:failed")


def test_the_day_is_told_of_what_was_not_begun_today(model: DeedTableModel) -> None:
    model.show([deed("a", at=NOW - 5), deed("b", at=NOW - 3 * 86_400)], NOW)
    today, before = (model.index(row, Column.AT).data() for row in range(2))
    assert len(today) == len("03:04:55")
    assert " Nov " in before or " Oct " in before


def test_markup_and_lines_of_strangers_are_shown_as_they_are(model: DeedTableModel, items: ItemTableModel) -> None:
    evil = "<img src='file:///x.png'>\u202e\n"
    model.show([deed(evil, title=evil, text=evil, connection=evil, who=evil, where=evil, things=evil)], NOW)
    items.show([Item(evil, ok=True, text=evil)])
    for table in (model, items):
        for column in range(table.columnCount()):
            index = table.index(0, column)
            assert "<img" not in str(index.data(Qt.ItemDataRole.ToolTipRole) or "")
            assert "\u202e" not in str(index.data())
            assert "\n" not in str(index.data())


def test_items_are_told_one_by_one_though_ids_come_twice(items: ItemTableModel) -> None:
    items.show([
        Item("w1@h", ok=True, text="pool will grow"), Item("w1@h", ok=False, text="it can't"),
        Item("w1@h", ok=None, text="no answer yet"),
    ])  # fmt: skip
    assert drawn(items) == (
        "       | To   | Answer\n"
        "Done   | w1@h | pool will grow\n"
        "Failed | w1@h | it can't\n"
        "Asked  | w1@h | no answer yet"
    )
    for row, word in enumerate(("Done", "Failed", "Asked")):
        assert state_style(items.index(row, 0).data(Role.STATE)).word == word
    assert items.name(items.record(1)) == "w1@h"


def test_random_changes_keep_the_rules_of_item_models(
    model: DeedTableModel, items: ItemTableModel, qtmodeltester: ModelTester
) -> None:
    dice = random.Random(5)
    watch(qtmodeltester, model)
    for _ in range(60):
        acts = dice.sample("abcdefghij", dice.randrange(10))
        model.show([deed(act, done=dice.randrange(5)) for act in sorted(acts, reverse=True)], NOW)
        assert [model.key(row) for row in range(model.rowCount())] == sorted(acts, reverse=True)
    watch(qtmodeltester, items)
    for _ in range(60):
        items.show([Item(dice.choice("ab"), ok=dice.random() < 0.5) for _ in range(dice.randrange(9))])
