import math
import random

import pytest
from PySide6.QtCore import Qt
from pytestqt.modeltest import ModelTester

from app.models.history.charts import Series
from app.models.qt.queues import Column, Flow, QueueRow, QueueTableModel, drains, flow
from app.models.qt.table import Bar, Role
from app.models.records import Queue
from tests.models.qt.drawing import NOW, drawn, watch


@pytest.fixture
def model() -> QueueTableModel:
    return QueueTableModel()


def _series(*values: float, step: float = 60) -> Series:
    return Series(NOW, step, list(values))


def test_a_queue_tells_what_waits_who_takes_it_and_where_it_goes(model: QueueTableModel) -> None:
    model.show(
        [
            Queue(
                "browser",
                NOW,
                ready=78,
                by_priority={"0": 8, "3": 70},
                unacked=16,
                consumers=4,
                oldest=1.9,
                oldest_exact=True,
            ),
            Queue("celery", NOW, ready=0, unacked=0, consumers=1),
            Queue("dead", NOW, ready=57, unacked=0, consumers=0, oldest=22_320),
            Queue("new", NOW),
            Queue("pagespeed", NOW, ready=412, unacked=0, consumers=0, oldest=723, oldest_exact=True),
        ],
        {"browser": _series(1, 2, 3)},
        {
            "browser": Flow(came=212.4, went=208, net=-26),
            "dead": Flow(came=0.2, went=0, net=0.1, steady=True),
            "pagespeed": Flow(went=0, net=34),
        },
    )
    assert drawn(model) == (
        "Queue     | Ready | By priority | Unacked | Consumers | In/min | Out/min | Drains in | Oldest     | Trend\n"
        "browser   | 78    |             | 16      | 4         | 212    | 208     | 3 m 00 s  | 1.9 s      |\n"
        "celery    | 0     |             | 0       | 1         | —      | —       | —         | —          |\n"
        "dead      | 57    |             | 0       | 0         | 0.20   | 0       | steady    | ≥ 6 h 12 m |\n"
        "new       | —     |             | —       | —         | —      | —       | —         | —          |\n"
        "pagespeed | 412   |             | 0       | 0         | —      | 0       | growing   | 12 m 03 s  |"
    )
    consumers = [model.index(row, Column.CONSUMERS).data(Role.TONE) for row in range(5)]
    assert consumers == ["", "", "failed", "hint", "failed"]
    bar = model.index(0, Column.PRIORITY)
    assert bar.data(Role.CELL).detail == Bar(((8, ""), (70, "")), 78)
    assert bar.data(Qt.ItemDataRole.ToolTipRole) == "<qt>Priority 0: 8 ready<br>Priority 3: 70 ready</qt>"
    assert model.index(2, Column.OLDEST).data(Qt.ItemDataRole.AccessibleTextRole) == "at least 6 h 12 m"


@pytest.mark.parametrize(
    ("series", "growth"),
    [
        (None, None),
        (_series(), None),
        (_series(1, 2), None),
        (_series(1, 2, 3), 1.0),
        (_series(1, math.nan, 3, 4), 1.0),
        (_series(math.nan, 9, 8, 7, math.nan), -1.0),
        (_series(*range(18), step=10), 6.0),
    ],
)
def test_growth_is_told_only_where_it_is_known(series: Series | None, growth: float | None) -> None:
    net = flow(series, None, None).net
    assert net == pytest.approx(growth) if growth is not None else net is None


@pytest.mark.parametrize(
    ("series", "steady"),
    [
        (_series(412, 412, 412, 412), True),
        (_series(9, 9.2, 9.5, 9.7), True),
        (_series(50, 58, 47, 61, 49, 57, 52, 60), True),
        (_series(310, 344, 378, 412), False),
        (_series(412, 380, 342, 310), False),
        (_series(50, 59, 68, 83, 91, 99, 111, 118), False),
    ],
)
def test_a_growth_that_may_be_chance_is_called_steady(series: Series, steady: bool) -> None:
    assert flow(series, None, None).steady is steady


@pytest.mark.parametrize(
    ("series", "per_minute"),
    [
        (None, None),
        (_series(), None),
        (_series(5), None),
        (_series(math.nan, math.nan, 4), None),
        (_series(3, 5, 1), 4.0),
        (_series(math.nan, 3, 5, 0), 4.0),
        (_series(2, 2, 2, 0, step=10), 12.0),
    ],
)
def test_a_flow_leaves_out_the_step_that_is_not_over(series: Series | None, per_minute: float | None) -> None:
    assert flow(None, series, series) == Flow(came=per_minute, went=per_minute)


def test_rates_of_the_broker_come_before_what_events_tell() -> None:
    counted, told = _series(3, 3, 3), _series(math.nan, 0.5, 1.5)
    assert flow(None, counted, counted, told, _series(0, 0)) == Flow(came=60.0, went=0.0)
    assert flow(None, counted, counted, _series(math.nan), None) == Flow(came=3.0, went=3.0)


def test_a_queue_that_nobody_has_to_consume_says_so(model: QueueTableModel) -> None:
    queues = [
        Queue("celery_delayed_*", NOW, ready=9, consumers=0, role="delayed"),
        Queue("consumed once", NOW, ready=9, consumers=0, role="dead letter", consumed=NOW - 60),
        Queue("dead", NOW, ready=9, consumers=0, role="dead letter"),
        Queue("growing", NOW, ready=9, consumers=0, role="dead letter"),
        Queue("purged", NOW, ready=9, consumers=0, role="quarantine"),
    ]
    flows = {name: Flow(net=5.0) for name in ("celery_delayed_*", "growing", "consumed once", "purged")}
    model.show(queues, {}, flows)
    shown = [
        [model.index(row, column).data(role) for column, role in
         ((Column.DRAINS, Qt.ItemDataRole.DisplayRole), (Column.DRAINS, Role.TONE), (Column.CONSUMERS, Role.TONE))]
        for row in range(5)
    ]  # fmt: skip
    assert shown == [
        ["delayed", "secondary", ""],
        ["growing", "failed", "failed"],
        ["dead letter", "secondary", ""],
        ["growing", "retrying", ""],
        ["quarantine", "secondary", ""],
    ]
    assert "until they are due" in model.index(0, Column.DRAINS).data(Qt.ItemDataRole.ToolTipRole)
    assert "nobody has to" in model.index(2, Column.CONSUMERS).data(Qt.ItemDataRole.ToolTipRole)


@pytest.mark.parametrize(
    ("ready", "came", "went", "says"),
    [
        ((0, 9, 2, 11), 40, 24, "growing"),
        ((2, 11), 40, 24, "growing"),
        ((0, 3), 3, None, "growing"),
        ((0, 9, 2, 11), 40, 38, "steady"),
        ((11, 2, 9, 8), 40, 24, "steady"),
        ((11,), 40, 24, "—"),
        ((2, 11), None, 24, "—"),
    ],
)
def test_a_young_queue_grows_where_flow_and_depth_agree(
    ready: tuple[float, ...], came: float | None, went: float | None, says: str
) -> None:
    counts = [None if each is None else _series(each, each, 0) for each in (came, went)]
    row = QueueRow(Queue("q", NOW, ready=int(ready[-1])), None, flow(_series(*ready), *counts))
    assert drains(row)[0] == says


def test_random_changes_keep_the_rules_of_item_models(model: QueueTableModel, qtmodeltester: ModelTester) -> None:
    dice = random.Random(5)
    watch(qtmodeltester, model)
    for _ in range(60):
        names = sorted(dice.sample("abcdefghij", dice.randrange(10)))
        trends = {name: _series(*dice.choices(range(9), k=4)) for name in names if dice.random() < 0.5}
        model.show(
            [Queue(name, NOW, ready=dice.randrange(3), consumers=dice.randrange(2)) for name in names], trends, {}
        )
        assert [model.key(row) for row in range(model.rowCount())] == names
