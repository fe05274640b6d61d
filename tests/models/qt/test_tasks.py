import random

import pytest
from PySide6.QtCore import QModelIndex, Qt
from pytestqt.modeltest import ModelTester

from app.models.history.reader import TaskRow
from app.models.qt.table import Role
from app.models.qt.tasks import Column, TaskTableModel, short_names
from tests.models.qt.drawing import NOW, drawn, task_row, watch

ROOT = QModelIndex()


@pytest.fixture
def model() -> TaskTableModel:
    return TaskTableModel(limit=100)


def _ids(model: TaskTableModel) -> list[int]:
    return [row.id for row in model.records()]


def _rows(*numbers: int, **known: object) -> list[TaskRow]:
    return [task_row(number, **known) for number in numbers]


def test_each_state_reads_as_it_should(model: TaskTableModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.models.formats.near_time", lambda at, now, brief: f"at {at - NOW:.0f}")
    model.tick(NOW)
    model.show(
        [
            task_row(9, state="PROGRESS", name="a.custom", started=NOW - 5, received=NOW - 5, wait=0.2),
            task_row(
                8,
                state="STARTED",
                name="a.run",
                queue="q",
                worker="w@h",
                started=NOW - 6.9,
                received=NOW - 7,
                wait=0.137,
            ),
            task_row(7, state="RECEIVED", name="a.wait", args="('x',\n 'y')", sent=NOW - 4.19, received=NOW - 4),
            task_row(6, state="PENDING", sent=NOW - 100, eta=NOW + 30),
            task_row(5, state="PENDING", sent=NOW - 100, eta=NOW - 30),
            task_row(4, state="RETRY", wait=0.132, retries=2, received=NOW - 9, started=NOW - 8),
            task_row(3, state="FAILURE", wait=0.51, received=NOW - 60, started=NOW - 50, finished=NOW - 44.4),
            task_row(2, state="SUCCESS", wait=65.0, runtime=0.00087, received=NOW - 70, started=NOW - 69),
            task_row(1, state="REVOKED"),
        ],
        complete=True,
    )
    assert drawn(model) == (
        "State     | Name     | Arguments  | Queue | Worker | Received | Wait     | Run    | ↻ | Id\n"
        "PROGRESS  | a.custom | —          | —     | —      | at -5    | 200 ms   | 5 s …  | 0 | id-9\n"
        "Running   | a.run    | —          | q     | w@h    | at -7    | 137 ms   | 6 s …  | 0 | id-8\n"
        "Received  | a.wait   | ('x', 'y') | —     | —      | at -4    | ≥ 4.1 s  | —      | 0 | id-7\n"
        "Pending   | —        | —          | —     | —      | —        | in 30 s  | —      | 0 | id-6\n"
        "Pending   | —        | —          | —     | —      | —        | ≥ 30 s   | —      | 0 | id-5\n"
        "Retrying  | —        | —          | —     | —      | at -9    | 132 ms   | —      | 2 | id-4\n"
        "Failed    | —        | —          | —     | —      | at -60   | 510 ms   | 5.60 s | 0 | id-3\n"
        "Succeeded | —        | —          | —     | —      | at -70   | 1 m 05 s | 870 µs | 0 | id-2\n"
        "Revoked   | —        | —          | —     | —      | —        | —        | —      | 0 | id-1"
    )
    assert model.index(2, Column.STATE).data(Role.STATE) == "RECEIVED"
    assert model.index(2, Column.WAIT).data(Qt.ItemDataRole.AccessibleTextRole) == "at least 4.1 s"


def test_a_task_in_doubt_says_since_when_and_why_and_claims_no_more_than_is_known(model: TaskTableModel) -> None:
    model.tick(NOW)
    ran = {"started": NOW - 100, "received": NOW - 101, "worker": "w1"}
    model.show(
        [
            task_row(4, state="LOST", doubted=NOW - 60, note="Its worker was lost while it ran.", **ran),
            task_row(3, state="UNKNOWN", doubted=NOW - 100, note="Its worker told no end.", **ran),
            task_row(2, state="PENDING", doubted=NOW - 5, note="Its worker left before it began."),
            task_row(1, state="STARTED", **ran),
        ],
        complete=True,
    )
    shown = [[model.index(row, column).data() for column in (Column.STATE, Column.RUN)] for row in range(4)]
    assert shown == [["Lost?", "≥ 40 s"], ["Unknown", "—"], ["Pending", "—"], ["Running", "1 m 40 s …"]]
    tips = [str(model.index(row, Column.STATE).data(Qt.ItemDataRole.ToolTipRole)) for row in range(4)]
    assert "Its worker was lost while it ran.<br>Since " in tips[0]
    assert "1 m ago" in tips[0]
    assert "Its worker told no end." in tips[1]
    assert "5 s ago" in tips[2]
    assert tips[3] == ""
    assert model.index(0, Column.RUN).data(Qt.ItemDataRole.AccessibleTextRole) == "at least 40 s"


def test_what_is_in_doubt_does_not_grow_with_time(model: TaskTableModel) -> None:
    model.tick(NOW)
    model.show([task_row(1, state="LOST", started=NOW - 9, doubted=NOW - 5)], complete=True)
    told: list[int] = []
    model.dataChanged.connect(lambda top, bottom: told.append(top.row()))
    model.tick(NOW + 60)
    assert model.index(0, Column.RUN).data() == "≥ 4.0 s"
    assert told == []


def test_newer_tasks_go_on_top_and_the_oldest_make_room() -> None:
    model = TaskTableModel(limit=4)
    model.show(_rows(3, 2, 1), complete=True)
    model.prepend(_rows(6, 5, 4))
    assert _ids(model) == [6, 5, 4, 3]
    model.prepend(_rows(6, 5))
    assert _ids(model) == [6, 5, 4, 3]
    model.prepend(_rows(*range(20, 6, -1)))
    assert _ids(model) == [20, 19, 18, 17]
    assert model.full
    assert not model.canFetchMore(ROOT)


def test_an_older_page_is_asked_for_once_and_appended(model: TaskTableModel) -> None:
    asked: list[object] = []
    model.wanted.connect(asked.append)
    model.show(_rows(9, 8), complete=False)
    assert model.canFetchMore(ROOT)
    model.fetchMore(ROOT)
    model.fetchMore(ROOT)
    assert asked == [8]
    model.append_page(_rows(9, 8, 7, 6), complete=False)
    model.fetchMore(ROOT)
    model.page_failed()
    model.fetchMore(ROOT)
    assert asked == [8, 6, 6]
    model.append_page(_rows(5), complete=True)
    assert _ids(model) == [9, 8, 7, 6, 5]
    assert not model.canFetchMore(ROOT)


def test_a_page_stops_at_the_limit() -> None:
    model = TaskTableModel(limit=3)
    model.show(_rows(9, 8), complete=False)
    model.append_page(_rows(7, 6, 5), complete=False)
    assert _ids(model) == [9, 8, 7]
    assert not model.canFetchMore(ROOT)


def test_ids_beyond_32_bits_are_kept(model: TaskTableModel) -> None:
    asked: list[object] = []
    model.wanted.connect(asked.append)
    model.show(_rows(2**53, 2**40), complete=False)
    model.fetchMore(ROOT)
    assert asked == [2**40]
    assert model.find(2**53) == 0


def test_a_range_of_ids_is_re_read_without_touching_the_rest(model: TaskTableModel) -> None:
    model.show(_rows(9, 7, 5, 3, 1), complete=True)
    model.replace_between(4, 7, _rows(6, 5, 4, state="SUCCESS"))
    assert _ids(model) == [9, 6, 5, 4, 3, 1]
    assert [row.state for row in model.records()] == ["PENDING", "SUCCESS", "SUCCESS", "SUCCESS", "PENDING", "PENDING"]
    model.replace_between(5, None, _rows(12, 11, 9))
    assert _ids(model) == [12, 11, 9, 4, 3, 1]
    model.replace_between(0, None, [])
    assert _ids(model) == []


def test_tasks_of_before_the_time_range_are_forgotten(model: TaskTableModel) -> None:
    model.show([task_row(3, seen=NOW), task_row(2, seen=NOW - 10), task_row(1, seen=NOW - 20)], complete=False)
    model.trim(NOW - 15)
    assert _ids(model) == [3, 2]
    model.trim(NOW - 15)
    model.trim(NOW + 15)
    assert _ids(model) == []


def test_only_unfinished_tasks_read_differently_as_time_goes_by(model: TaskTableModel) -> None:
    model.show([task_row(3, state="SUCCESS"), task_row(2, state="STARTED", started=NOW), task_row(1)], complete=True)
    told: list[tuple[int, int]] = []
    model.dataChanged.connect(lambda top, bottom: told.append((top.row(), bottom.row())))
    model.tick(NOW + 7)
    assert model.index(1, Column.RUN).data() == "7 s …"
    model.tick(NOW + 8, 0, 1)
    model.tick(NOW + 9, 0, 0)
    assert told == [(1, 2), (1, 1)]


@pytest.mark.parametrize("seed", range(4))
def test_random_traffic_keeps_the_rules_of_item_models(qtmodeltester: ModelTester, seed: int) -> None:
    dice = random.Random(seed)
    model = TaskTableModel(limit=40)
    watch(qtmodeltester, model)
    top = 1000
    expected: dict[int, TaskRow] = {}

    def some(low: int, high: int) -> list[TaskRow]:
        numbers = sorted((n for n in range(low, high) if dice.random() < 0.5), reverse=True)
        return [task_row(number, retries=dice.randrange(3)) for number in numbers]

    for _ in range(120):
        ids = _ids(model)
        match dice.choice(("prepend", "append", "update", "between", "show", "tick")):
            case "prepend":
                rows = some(top, top := top + dice.randrange(12))
                model.prepend(rows)
                expected |= {row.id: row for row in rows}
            case "append" if ids:
                rows = some(ids[-1] - 10, ids[-1])
                model.append_page(rows, complete=dice.random() < 0.5)
                expected |= {row.id: row for row in rows[: 40 - len(ids)]}
            case "update" if ids:
                rows = [task_row(number, retries=dice.randrange(3)) for number in dice.sample(ids, len(ids) // 2)]
                model.update(rows)
                expected |= {row.id: row for row in rows}
            case "between" if ids:
                low, high = sorted(dice.choices(range(ids[-1], ids[0] + 1), k=2))
                rows = some(low, high + 1)
                model.replace_between(low, high, rows)
                expected = {n: row for n, row in expected.items() if not low <= n <= high} | {
                    row.id: row for row in rows
                }
            case "show":
                rows = some(top - 30, top)
                model.show(rows, complete=False)
                expected = {row.id: row for row in rows}
            case "tick":
                model.tick(NOW)
        newest = sorted(expected, reverse=True)[:40]
        expected = {number: expected[number] for number in newest}
        assert list(model.records()) == list(expected.values())
        assert all(model.find(number) == row for row, number in enumerate(newest))


@pytest.mark.parametrize(
    ("workers", "short"),
    [
        ({"w1@crawler-1", "w2@crawler-1", "w3@db"}, {"w1", "w2", "w3"}),
        ({"browser@crawler-1", "browser@crawler-2", "db@db-1"}, {"crawler-1", "crawler-2", "db-1"}),
        ({"celery@pod-1"}, {"pod-1"}),
        ({"a@x", "a@y", "b@x"}, set()),
        ({"nameless", "other"}, {"nameless", "other"}),
    ],
)
def test_a_worker_is_called_by_what_tells_it_apart(workers: set[str], short: set[str]) -> None:
    assert set(short_names(workers).values()) == short


def test_a_narrow_column_has_shorter_words_for_times_and_workers(model: TaskTableModel) -> None:
    model.show([task_row(1, worker="browser@crawler-1", received=NOW)], complete=True)
    told: list[int] = []
    model.dataChanged.connect(lambda top, bottom: told.append(top.column()))
    for _ in range(2):
        model.set_workers(frozenset({"browser@crawler-1", "browser@crawler-2"}))
    assert told == [Column.WORKER]
    model.tick(NOW)
    worker, received = (model.index(0, column).data(Role.CELL) for column in (Column.WORKER, Column.RECEIVED))
    assert (worker.text, worker.short) == ("browser@crawler-1", "crawler-1")
    assert received.text.startswith(f"{received.short}.")
