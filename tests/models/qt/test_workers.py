import random

import pytest
from PySide6.QtCore import Qt
from pytestqt.modeltest import ModelTester

from app.models.qt.table import Bar, Role
from app.models.qt.workers import Column, WorkerTableModel, has_left
from app.models.records import Worker
from tests.models.qt.drawing import NOW, drawn, watch

KNOWN = Worker(
    "w1@crawler-1",
    NOW - 9000,
    heartbeat=NOW - 1,
    active=3,
    processed=12_431,
    load=[1.25, 1, 0.5],
    software="py-celery 5.5.3",
    pool="prefork",
    slots=4,
    uptime=3600,
    queues=["browser", "default"],
    inspected=NOW - 120,
    clock_offset=0.012,
    succeeded=990,
    failed=10,
)


@pytest.fixture
def model() -> WorkerTableModel:
    model = WorkerTableModel()
    model.tick(NOW)
    return model


def test_each_state_is_told_with_its_age(model: WorkerTableModel) -> None:
    model.replace(
        [
            KNOWN,
            Worker("w2@h", NOW - 9, state="silent", heartbeat=NOW - 14, active=1, slots=1, succeeded=19, failed=1),
            Worker("w3@h", NOW - 9, state="lost", heartbeat=NOW - 190, queues=[], slots=8),
            Worker("w4@h", NOW - 7300, state="offline", uptime=50, inspected=NOW - 60),
        ]
    )
    assert drawn(model, range(Column.EVENTS)) == (
        "State        | Worker       | Pool    | Slots | Queues\n"
        "Online       | w1@crawler-1 | prefork | 3 / 4 | browser, default\n"
        "Silent 14 s  | w2@h         | —       | 1 / 1 | —\n"
        "Lost 3 m ago | w3@h         | —       | — / 8 | none\n"
        "Offline      | w4@h         | —       | —     | —"
    )
    assert drawn(model, range(Column.PROCESSED, len(Column))) == (
        "Processed | Missed | Failed | Load | Clock   | Version | Uptime   | Heard\n"
        "12,431    | 0      | 1.0 %  | 1.25 | in step | 5.5.3   | 1 h 02 m | 1 s ago\n"
        "—         | —      | 5.0 %  | —    | —       | —       | —        | 14 s ago\n"
        "—         | —      | —      | —    | —       | —       | —        | 3 m ago\n"
        "—         | —      | —      | —    | —       | —       | —        | 2 h ago"
    )
    assert [model.index(row, Column.FAILED).data(Role.TONE) for row in range(4)] == ["", "failed", "hint", "hint"]
    assert model.index(0, Column.SLOTS).data(Role.CELL).detail == Bar(((3, "accent"),), 4)
    assert model.index(0, Column.SLOTS).data(Qt.ItemDataRole.AccessibleTextRole) == "3 of 4 slots busy"


def test_a_busy_solo_pool_is_not_called_dead_and_a_lost_worker_says_what_it_had(model: WorkerTableModel) -> None:
    model.replace(
        [
            Worker("w1@h", NOW - 9000, state="busy", heartbeat=NOW - 14, pool="solo"),
            Worker("w2@h", NOW - 9000, state="lost", heartbeat=NOW - 190, held=2),
            Worker("w3@h", NOW - 9000, state="lost", heartbeat=NOW - 190, held=1),
        ]
    )
    cells = [model.index(row, Column.STATE).data(Role.CELL) for row in range(3)]
    assert [cell.text for cell in cells] == [
        "Busy, silent 14 s",
        "Lost 3 m ago with 2 tasks",
        "Lost 3 m ago with 1 task",
    ]
    assert [cell.short for cell in cells] == ["Busy 14 s", "Lost 3 m ago", "Lost 3 m ago"]
    assert "can't speak meanwhile" in cells[0].tip


@pytest.mark.parametrize(
    ("worker", "events", "missed", "clock"),
    [
        (Worker("w", NOW), ("—", "hint"), ("—", "hint"), ("—", "hint")),
        (
            Worker("w", NOW, events=True, processed=9, clock_offset=-0.2),
            ("on", "secondary"), ("0", "hint"), ("200 ms behind", "secondary"),
        ),
        (
            Worker("w", NOW, events=False, processed=9, missed=1_204, clock_offset=3.2),
            ("off", "retrying"), ("1,204", "retrying"), ("3.20 s ahead", "retrying"),
        ),
    ],
)  # fmt: skip
def test_what_a_worker_does_not_tell_is_shown_and_unknown_is_not_zero(
    model: WorkerTableModel, worker: Worker, events: object, missed: object, clock: object
) -> None:
    model.replace([worker])
    shown = [model.index(0, column).data(Role.CELL) for column in (Column.EVENTS, Column.MISSED, Column.CLOCK)]
    assert [(cell.text, cell.tone) for cell in shown] == [events, missed, clock]


@pytest.mark.parametrize(
    ("worker", "left"),
    [
        (Worker("w", NOW, state="offline", since=NOW - 599), False),
        (Worker("w", NOW, state="offline", since=NOW - 600), True),
        (Worker("w", NOW, state="lost", since=NOW - 90_000), False),
        (Worker("w", NOW, state="online", since=NOW - 90_000), False),
    ],
)
def test_a_worker_has_left_ten_minutes_after_its_goodbye_and_a_lost_one_never(worker: Worker, left: bool) -> None:
    assert has_left(worker, NOW) == left


def test_trouble_comes_first_when_sorted_by_state(model: WorkerTableModel) -> None:
    model.replace([Worker(state, NOW, state=state) for state in ("offline", "online", "busy", "silent", "lost", "odd")])
    assert sorted(range(6), key=lambda row: model.index(row, 0).data(Role.SORT)) == [4, 3, 2, 1, 0, 5]


def test_ages_grow_with_time(model: WorkerTableModel) -> None:
    model.replace([KNOWN])
    model.tick(NOW + 60)
    assert model.index(0, Column.HEARTBEAT).data() == "1 m ago"
    assert model.index(0, Column.UPTIME).data() == "1 h 03 m"


def test_random_changes_keep_the_rules_of_item_models(model: WorkerTableModel, qtmodeltester: ModelTester) -> None:
    dice = random.Random(5)
    watch(qtmodeltester, model)
    for step in range(60):
        names = sorted(dice.sample("abcdefghij", dice.randrange(10)))
        model.replace([Worker(name, NOW, active=dice.randrange(3), slots=dice.randrange(3)) for name in names])
        model.tick(NOW + step)
        assert [model.key(row) for row in range(model.rowCount())] == names
