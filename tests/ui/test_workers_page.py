import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from app.models.qt.workers import Column
from app.models.records import Event
from app.models.wire import Health
from app.ui.live import TimeRange
from app.ui.pages.workers import WorkersPage
from app.ui.theme import ThemeManager
from tests.models.qt.drawing import drawn
from tests.ui.conftest import Run
from tests.ui.histories import STATS, History, Stand, emitted, failed, heartbeat, received, started, succeeded


@pytest.fixture
def now() -> float:
    return time.time()


@pytest.fixture
def history(tmp_path: Path, now: float) -> Iterator[History]:
    """Worker w1 is online and was asked, w2 was lost 190 s ago."""
    made = History(tmp_path / "h.cloche")
    made.fold(heartbeat("w2@h", now - 190, 1, 5), now=now - 190)
    made.fold(heartbeat("w1@h", now, 2, 4321), now=now)
    made.reducer.fold_inspection("w1@h", {"pool": "prefork", "slots": 4, "queues": ["mail"], "stats": STATS}, now)
    made.reducer.tick(now)
    made.commit(now)
    yield made
    made.close()


@pytest.fixture
def stand(history: History) -> Iterator[Stand]:
    made = Stand(history.path)
    yield made
    made.close()


@pytest.fixture
def page(qtbot: QtBot, theme: ThemeManager, stand: Stand) -> WorkersPage:
    made = WorkersPage(theme, TimeRange())
    qtbot.addWidget(made)
    made.resize(1300, 600)
    made.set_connection(stand)  # type: ignore[arg-type]
    return made


async def opened(page: WorkersPage) -> None:
    page.show()
    await emitted(page.loaded)
    await page.settled()


def test_trouble_stands_on_top_with_its_age(page: WorkersPage, run: Run) -> None:
    async def story() -> None:
        await opened(page)
        assert drawn(page.table.model(), range(Column.EVENTS)) == (
            "State        | Worker | Pool    | Slots | Queues\n"
            "Lost 3 m ago | w2@h   | —       | —     | —\n"
            "Online       | w1@h   | prefork | 2 / 4 | mail"
        )

    run(story())


def test_the_inspector_tells_facts_recent_tasks_and_statistics(
    page: WorkersPage, history: History, run: Run, now: float
) -> None:
    async def story() -> None:
        history.fold(received("a", now), started("a", now), succeeded("a", now))
        history.fold(received("b", now), started("b", now), failed("b", now))
        history.fold(received("c", now, "w2@h"), now=now)
        history.commit(now)
        await opened(page)
        page.table.go_to("w1@h")
        QTest.keyClick(page.table, Qt.Key.Key_Return)
        await emitted(page.loaded)
        details = page._details
        assert details.isVisible()
        assert details.title.text() == "w1@h"
        assert details.state.accessibleName() == "Online"
        text = details._facts.text()
        for line in ("Slots: 2 of 4 busy", "Consumes: mail", "Succeeded: 1", "Failed: 1 (50.0 %)", "Process: 4711"):
            assert line in text
        assert [row.uuid for row in details._tasks.records()] == ["b", "a"]
        (pid,) = details._statistics.findItems("pid", Qt.MatchFlag.MatchExactly)
        assert pid.text(1) == "4711"
        (transport,) = details._statistics.findItems("transport", Qt.MatchFlag.MatchRecursive)
        parent = transport.parent()
        assert parent is not None
        assert parent.text(0) == "broker"
        QTest.keyClick(page.table, Qt.Key.Key_Escape)
        assert not details.isVisible()

    run(story())


def test_the_inspector_goes_with_the_selection(page: WorkersPage, run: Run) -> None:
    async def story() -> None:
        await opened(page)
        page.inspect("w1@h")
        await emitted(page.loaded)
        page.table.go_to("w2@h")
        await emitted(page.loaded)
        assert page._details.title.text() == "w2@h"
        assert page._details.state.accessibleName() == "Lost 3 m ago"
        assert page._details._about.currentIndex() == 0  # it was never asked

    run(story())


def test_ages_grow_while_nothing_is_heard(page: WorkersPage, run: Run, now: float) -> None:
    async def story() -> None:
        await opened(page)
        page._workers.tick(now + 60)
        assert page.table.model().index(0, Column.STATE).data() == "Lost 4 m ago"

    run(story())


def test_a_worker_that_left_goes_away_after_ten_minutes_and_is_there_when_asked_for(
    page: WorkersPage, history: History, run: Run, now: float
) -> None:
    async def story() -> None:
        for name, ago in (("old@h", 700.0), ("new@h", 60.0)):
            history.fold(heartbeat(name, now - ago - 9), now=now - ago - 9)
            history.fold(Event("worker-offline", name, now - ago), now=now - ago)
        history.commit(now)
        await opened(page)
        shown = [worker.hostname for worker in page._workers.records()]
        assert shown == ["new@h", "w1@h", "w2@h"]
        assert page._left.isVisible()
        assert page._left._switch.text() == "1 worker left more than ten minutes ago · show"
        page._left._switch.setFocus()
        QTest.keyClick(page._left._switch, Qt.Key.Key_Space)
        await emitted(page.loaded)
        assert [worker.hostname for worker in page._workers.records()] == ["new@h", "old@h", "w1@h", "w2@h"]
        assert page._left._switch.text().endswith("· hide")
        page._left._switch.click()
        await emitted(page.loaded)
        assert len(page._workers.records()) == 3
        page.inspect("old@h")  # from a finding or a task
        await emitted(page.loaded)
        assert page._details.title.text() == "old@h"
        assert "old@h" in [worker.hostname for worker in page._workers.records()]

    run(story())


def test_where_all_have_left_that_is_said(
    qtbot: QtBot, theme: ThemeManager, run: Run, tmp_path: Path, now: float
) -> None:
    history = History(tmp_path / "left.cloche")
    history.fold(heartbeat("w@h", now - 900), now=now - 900)
    history.fold(Event("worker-offline", "w@h", now - 800), now=now - 800)
    history.commit(now)
    stand = Stand(history.path)
    page = WorkersPage(theme, TimeRange())
    qtbot.addWidget(page)

    async def story() -> None:
        page.set_connection(stand)  # type: ignore[arg-type]
        await opened(page)
        assert page.table._empty._title.text() == "All workers have left"
        assert page._left.isVisible()

    run(story())
    stand.close()
    history.close()


@pytest.mark.parametrize("operates", [True, False])
def test_workers_without_events_can_be_told_from_here(
    page: WorkersPage, history: History, stand: Stand, run: Run, now: float, operates: bool
) -> None:
    wanted: list[bool] = []
    page.events_wanted.connect(lambda: wanted.append(True))

    async def story() -> None:
        for second in range(4):
            history.fold(heartbeat("w1@h", now + second, 1, 4_400 + second), now=now + second)
        history.commit(now + 4)
        stand.operates = operates
        await opened(page)
        assert page._events.isVisible()
        assert page.table.model().index(1, Column.EVENTS).data() == "off"
        QTest.mouseClick(page._events._on, Qt.MouseButton.LeftButton)

    run(story())
    assert wanted == [True] * operates


def test_a_header_sorts_by_raw_values(page: WorkersPage, run: Run) -> None:
    async def story() -> None:
        await opened(page)
        page.table.sortByColumn(Column.PROCESSED, Qt.SortOrder.DescendingOrder)
        assert [page.table.key_at(row) for row in range(2)] == ["w1@h", "w2@h"]
        page.table.sortByColumn(Column.PROCESSED, Qt.SortOrder.AscendingOrder)
        assert [page.table.key_at(row) for row in range(2)] == ["w2@h", "w1@h"]

    run(story())


def test_a_worker_is_copied_as_it_is_shown(page: WorkersPage, run: Run) -> None:
    async def story() -> None:
        await opened(page)
        page.table.go_to("w1@h")
        QTest.keyClick(page.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
        assert QGuiApplication.clipboard().text().startswith("Online\tw1@h\tprefork\t2 of 4 slots busy\tmail\t")
        assert "\t4,321\t" in QGuiApplication.clipboard().text()

    run(story())


def test_without_any_worker_the_page_says_what_to_do(
    qtbot: QtBot, theme: ThemeManager, run: Run, tmp_path: Path, now: float
) -> None:
    history = History(tmp_path / "empty.cloche")
    history.commit(now)
    stand = Stand(history.path)
    page = WorkersPage(theme, TimeRange())
    qtbot.addWidget(page)

    async def story() -> None:
        page.set_connection(stand)  # type: ignore[arg-type]
        await opened(page)
        assert page.table._empty.isVisible()
        assert page.table._empty._title.text() == "No worker has been heard of"
        assert "celery -A your_app worker -E" in page.table._empty._text.text()
        stand.health = Health(state="disconnected", text="The broker refused the password.")
        stand.health_changed.emit()
        await emitted(page.loaded)
        assert page.table._empty._title.text() == "The broker is not reached"
        assert page.table._empty._text.text() == "The broker refused the password."

    run(story())
    stand.close()
    history.close()


def test_nothing_that_a_worker_says_becomes_markup(page: WorkersPage, history: History, run: Run, now: float) -> None:
    evil = "<img src=//10.0.0.1/x.png>"

    async def story() -> None:
        history.fold(heartbeat(evil, now), now=now)
        learnt = {"pool": evil, "queues": [evil], "stats": f'{{"{evil}": "{evil}"}}'}
        history.reducer.fold_inspection(evil, learnt, now)
        history.commit(now)
        await opened(page)
        page.inspect(evil)
        await emitted(page.loaded)
        model = page.table.model()
        for row in range(model.rowCount()):
            for column in Column:
                assert "<img" not in str(model.index(row, column).data(Qt.ItemDataRole.ToolTipRole) or "")
        (item,) = page._details._statistics.findItems(evil, Qt.MatchFlag.MatchExactly)
        assert item.text(1) == evil
        assert "<img" not in item.toolTip(1)
        for label in page.findChildren(QLabel):
            assert label.textFormat() == Qt.TextFormat.PlainText or not label.text(), label.text()

    run(story())


def test_a_picture_shows_a_worker_with_its_inspector(page: WorkersPage, run: Run) -> None:
    async def story() -> None:
        await opened(page)
        await page.prepare_shot()
        assert page._details.isVisible()
        assert page._details.title.text() == "w1@h"

    run(story())
