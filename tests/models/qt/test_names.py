import random

import pytest
from PySide6.QtCore import Qt
from pytestqt.modeltest import ModelTester

from app.models.history.charts import NameRow
from app.models.qt.names import Column, NameTableModel
from app.models.qt.table import Role
from app.models.rollups import Percentiles
from tests.models.qt.drawing import drawn, watch


@pytest.fixture
def model() -> NameTableModel:
    return NameTableModel()


def _row(name: str, finished: int = 0, failed: int = 0, busy: float = 0, *run: float) -> NameRow:
    return NameRow(
        name, finished, finished, failed, 0, busy, Percentiles(None, None, None), Percentiles(*(run or (None,) * 3))
    )


def test_a_task_name_tells_its_cost_and_its_change(model: NameTableModel) -> None:
    model.show(
        [
            _row("scrape", 1842, 8, 44, 0.212, 3.9, 5.8),
            _row("enrich", 340, 38, 33, 1.1, 4.4, 6.0),
            _row("audit", 10, 0, 23, 1.0, 2.0, 3.0),
            _row("never", 0),
        ],
        {"enrich": Percentiles(1, 3.19, 4), "scrape": Percentiles(1, 3.98, 4), "never": Percentiles()},
        200.0,
    )
    assert drawn(model) == (
        "Task name | Finished | Share of time | Failed | p50    | p95    | p99    | p95 against before\n"
        "audit     | 10       | 11.5 %        | 0 %    | 1.00 s | 2.00 s | 3.00 s | —\n"
        "enrich    | 340      | 16.5 %        | 11.2 % | 1.10 s | 4.40 s | 6.00 s | ▲ 38 %\n"
        "never     | 0        | 0 %           | —      | —      | —      | —      | —\n"
        "scrape    | 1,842    | 22.0 %        | 0.4 %  | 212 ms | 3.90 s | 5.80 s | ▼ 2 %"
    )
    assert [model.index(row, Column.FAILED).data(Role.TONE) for row in range(4)] == ["", "failed", "hint", ""]
    assert [model.index(row, Column.CHANGE).data(Role.TONE) for row in range(4)] == ["hint", "failed", "hint", ""]
    assert model.index(1, Column.CHANGE).data(Qt.ItemDataRole.AccessibleTextRole) == "38 percent more"


def test_without_any_run_time_there_is_no_share(model: NameTableModel) -> None:
    model.show([_row("a")], {}, 0.0)
    assert model.index(0, Column.SHARE).data() == "—"


def test_random_changes_keep_the_rules_of_item_models(model: NameTableModel, qtmodeltester: ModelTester) -> None:
    dice = random.Random(5)
    watch(qtmodeltester, model)
    for _ in range(60):
        names = dice.sample("abcdefghij", dice.randrange(10))
        model.show([_row(name, dice.randrange(5), 0, dice.randrange(9)) for name in names], {}, 30.0)
        assert [model.key(row) for row in range(model.rowCount())] == sorted(names)
