import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from app.models.history.charts import Series
from app.models.qt.queues import Column, Flow, QueueRow
from app.models.qt.table import Role
from app.models.records import Queue, Worker
from app.ui.live import TimeRange
from app.ui.pages.queue_inspector import condition, consumers
from app.ui.pages.queues import QueuesPage
from app.ui.theme import ThemeManager
from tests.models.qt.drawing import drawn
from tests.ui.conftest import Run
from tests.ui.histories import History, Stand, emitted, heartbeat, sent


@pytest.fixture
def now() -> float:
    return time.time()


@pytest.fixture
def history(tmp_path: Path, now: float) -> Iterator[History]:
    """Queue mail drains and w1 consumes it; queue stuck grows and nobody does."""
    made = History(tmp_path / "h.cloche")
    for number in range(40):
        at = now - 200 + number * 5
        made.fold(heartbeat("w1@h", at), sent(f"t{number}", at, queue="mail"), now=at)
        made.reducer.fold_inspection("w1@h", {"queues": ["mail"]}, at)
        made.reducer.fold_queues(
            [
                Queue("mail", at, ready=100 - number, by_priority={"0": 20, "3": 80 - number}, unacked=2, oldest=1.9),
                Queue("stuck", at, ready=10 + number, by_priority={"0": 10 + number}, unacked=0, oldest=90.0),
            ],
            at,
        )
    made.commit(now)
    yield made
    made.close()


@pytest.fixture
def stand(history: History) -> Iterator[Stand]:
    made = Stand(history.path)
    yield made
    made.close()


@pytest.fixture
def page(qtbot: QtBot, theme: ThemeManager, stand: Stand) -> QueuesPage:
    made = QueuesPage(theme, TimeRange())
    qtbot.addWidget(made)
    made.resize(1300, 700)
    made.set_connection(stand)  # type: ignore[arg-type]
    return made


async def opened(page: QueuesPage) -> None:
    page.show()
    await emitted(page.loaded)
    await page.settled()


def test_each_queue_tells_what_waits_and_where_it_goes(page: QueuesPage, run: Run) -> None:
    async def story() -> None:
        await opened(page)
        table = page.table.model()
        assert drawn(table, range(Column.IN)) == (
            "Queue | Ready | By priority | Unacked | Consumers\n"
            "mail  | 61    |             | 2       | 1\n"
            "stuck | 49    |             | 0       | 0"
        )
        assert [table.index(row, Column.DRAINS).data().split()[0] for row in range(2)] == ["5", "growing"]
        assert [table.index(row, Column.OLDEST).data() for row in range(2)] == ["≥ 1.9 s", "≥ 1 m 30 s"]
        assert float(table.index(0, Column.IN).data()) == pytest.approx(12, abs=1)
        assert table.index(1, Column.IN).data() == "—"
        assert [table.index(row, Column.CONSUMERS).data(Role.TONE) for row in range(2)] == ["", "failed"]
        assert isinstance(table.index(0, Column.TREND).data(Role.CELL).detail, Series)

    run(story())


def test_the_inspector_tells_facts_priorities_trend_and_consumers(page: QueuesPage, run: Run) -> None:
    async def story() -> None:
        await opened(page)
        page.table.go_to("mail")
        QTest.keyClick(page.table, Qt.Key.Key_Return)
        await emitted(page.loaded)
        details = page._details
        assert details.state.accessibleName() == "Flowing"
        assert details.subtitle.text() == "61 ready · 2 unacked"
        assert details._bars.accessibleName() == "Ready by priority: Priority 0: 20, Priority 3: 41"
        assert details._consumers.text() == "w1@h: online"
        assert "Drains in: 5 m" in details._facts.text()
        assert set(details.chart._table.names) == {"ready", "unacked"}
        page.table.go_to("stuck")
        await emitted(page.loaded)
        assert details.state.accessibleName() == "Nobody consumes it"
        assert not details._priorities.isVisible()
        assert details._nobody.text().startswith("Nobody.")

    run(story())


@pytest.mark.parametrize(
    ("queue", "flow", "said"),
    [
        (Queue("q", 0, ready=5, consumers=0), Flow(), "unattended"),
        (Queue("q", 0, ready=0, consumers=0), Flow(net=0, steady=True), "empty"),
        (Queue("q", 0, ready=5, consumers=1), Flow(net=9), "growing"),
        (Queue("q", 0, ready=5, consumers=1), Flow(net=-9), "flowing"),
        (Queue("q", 0, ready=5, consumers=1), Flow(net=1, steady=True), "steady"),
        (Queue("q", 0, ready=5), Flow(), "unknown"),
        (Queue("q", 0), Flow(), "unknown"),
    ],
)
def test_a_queue_is_called_by_what_matters_most(queue: Queue, flow: Flow, said: str) -> None:
    assert condition(QueueRow(queue, None, flow)) == said


def test_workers_that_are_gone_consume_nothing() -> None:
    states = ("online", "silent", "lost", "offline")
    workers = [Worker(state, 0, state=state, queues=["q"]) for state in states] + [Worker("other", 0, queues=["r"])]
    assert [worker.hostname for worker in consumers(Queue("q", 0), workers)] == ["online", "silent"]


def test_without_any_queue_the_page_says_what_to_do(
    qtbot: QtBot, theme: ThemeManager, run: Run, tmp_path: Path, now: float
) -> None:
    history = History(tmp_path / "empty.cloche")
    history.commit(now)
    stand = Stand(history.path)
    page = QueuesPage(theme, TimeRange())
    qtbot.addWidget(page)

    async def story() -> None:
        page.set_connection(stand)  # type: ignore[arg-type]
        await opened(page)
        assert page.table._empty._title.text() == "No queue has been seen"

    run(story())
    stand.close()
    history.close()


def test_a_picture_shows_the_queue_in_trouble_with_its_inspector(page: QueuesPage, run: Run) -> None:
    async def story() -> None:
        await opened(page)
        await page.prepare_shot()
        assert page._details.title.text() == "stuck"

    run(story())
