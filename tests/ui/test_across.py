"""Several brokers at once: what each knows, side by side, and a task found on any of them."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QSettings
from pytestqt.qtbot import QtBot

from app.models.history.charts import Span
from app.models.records import Accounting, Gap
from app.models.target import Target
from app.models.wire import Health
from app.ui.kept import Kept
from app.ui.main_window import MainWindow
from app.ui.pages.across import AcrossQueues, AcrossWorkers
from app.ui.pages.across_overview import AcrossOverview
from app.ui.pages.across_tasks import AcrossTasks
from app.ui.supervisor import Supervisor
from app.ui.theme import ThemeManager
from app.ui.together import health_of, vital_of
from app.ui.vitals import Vital
from app.ui.widgets.table import RecordTable
from tests.ui.conftest import Run, loaded, until
from tests.ui.histories import History, failed, heartbeat, received, started, succeeded
from tests.ui.invented import write_history

Open = Callable[[], MainWindow]
HERE, THERE = "shop", "depot"
LONELY = "0c0ffee0-0000-4000-8000-00000000beef"
"""The id of the only task of the second broker."""


@pytest.fixture
def depot(tmp_path: Path) -> Path:
    """A second broker: one worker, one task that failed ten seconds ago."""
    path, now = tmp_path / "depot.cloche", time.time()
    with_one = History(path)
    with_one.fold(heartbeat("w9@depot", now - 12.0, 0, 1))
    with_one.fold(
        received(LONELY, now - 11.0, "w9@depot", "depot.pack"), started(LONELY, now - 10.5, "w9@depot"),
        failed(LONELY, now - 10.0, "w9@depot"), now=now - 10.0,
    )  # fmt: skip
    with_one.commit(now)
    with_one.close()
    return path


@pytest.fixture
def open_window(
    qtbot: QtBot, theme: ThemeManager, supervisor: Supervisor, history: Path, depot: Path, tmp_path: Path
) -> Callable[[], MainWindow]:
    """Opens a window on both, and on a third whose history is gone; to be called in Qt's loop."""
    return lambda: _opened(qtbot, theme, supervisor, (history, depot, tmp_path / "gone.cloche"))


def _opened(
    qtbot: QtBot, theme: ThemeManager, supervisor: Supervisor, histories: tuple[Path, Path, Path]
) -> MainWindow:
    folder = histories[0].parent
    settings = QSettings(str(folder / "window.ini"), QSettings.Format.IniFormat)
    made = MainWindow(supervisor, theme, settings, Kept(folder / "profiles.json"))
    qtbot.addWidget(made)
    supervisor.add(Target(HERE, histories[0], environment="production"))
    supervisor.add(Target(THERE, histories[1]))
    supervisor.add(Target("gone", histories[2]))
    made.resize(1280, 800)
    made.show()
    made.scope.choose_all()
    return made


def column(table: RecordTable, at: int) -> list[str]:
    model = table.model()
    return [str(model.index(row, at).data()) for row in range(model.rowCount())]


def add_a_task(depot: Path) -> None:
    more, now = History(depot), time.time()
    more.fold(received("second", now, "w9@depot", "depot.pack"), succeeded("second", now, 0.1, "w9@depot"), now=now)
    more.commit(now)
    more.close()


def test_queues_and_workers_of_all_brokers_stand_in_one_table_each(open_window: Open, run: Run) -> None:
    async def story() -> None:
        window = open_window()
        window.show_page("queues")
        queues = window.page
        assert isinstance(queues, AcrossQueues)
        await loaded(queues)
        assert list(zip(column(queues.table, 0), column(queues.table, 1), column(queues.table, 2), strict=True)) == [
            (HERE, "mail", "3"),
            (HERE, "money", "0"),
        ]
        assert "gone" in queues._missing.text()
        window.show_page("workers")
        workers = window.page
        assert isinstance(workers, AcrossWorkers)
        await loaded(workers)
        found = dict(zip(column(workers.table, 2), column(workers.table, 0), strict=True))
        assert found == {"w1@one": HERE, "w2@two": HERE, "w9@depot": THERE}

    run(story())


def test_a_task_is_found_by_its_id_on_whichever_broker_it_is(open_window: Open, run: Run) -> None:
    async def story() -> None:
        window = open_window()
        window.show_page("tasks")
        page = window.page
        assert isinstance(page, AcrossTasks)
        page.search_for(LONELY[:13])
        await until(lambda: column(page.table, 0) == [THERE])
        await until(lambda: "1 task on 2 brokers" in page._filter._result.text())
        page.table.opened.emit(page.table.key_at(0))
        assert window.scope.one is window.scope.brokers[1].connection
        tasks = window.pages["tasks"]
        assert window.page is tasks
        await until(window._pages.tasks._inspector.isVisible)
        await window._pages.tasks.settled()
        assert window._pages.tasks._inspector.state.accessibleName() == "Failed"

    run(story())


def test_tasks_of_all_brokers_come_newest_first_and_are_counted(open_window: Open, run: Run) -> None:
    async def story() -> None:
        window = open_window()
        window.show_page("tasks")
        page = window.page
        assert isinstance(page, AcrossTasks)
        page.search_for("state:failed")
        await until(lambda: THERE in column(page.table, 0))
        await page.settled()
        seen = [row.seen for _, row in page._across.records()]
        assert seen == sorted(seen, reverse=True)
        assert {HERE, THERE} == set(column(page.table, 0))
        assert set(column(page.table, 1)) == {"Failed"}
        failures = len(seen)
        assert f"{failures} tasks on 2 brokers" in page._filter._result.text()

    run(story())


def test_a_row_that_was_chosen_does_not_move_when_more_comes(
    open_window: Open, depot: Path, supervisor: Supervisor, run: Run
) -> None:
    async def story() -> None:
        window = open_window()
        window.show_page("tasks")
        page = window.page
        assert isinstance(page, AcrossTasks)
        page.search_for("name:depot.pack")
        await until(lambda: column(page.table, 0) == [THERE])
        add_a_task(depot)
        connection = supervisor.connections[1]
        page.table.selectRow(0)
        connection.committed.emit()
        await loaded(page)
        assert column(page.table, 0) == [THERE]
        page.set_following(True)
        await until(lambda: column(page.table, 0) == [THERE, THERE])

    run(story())


def test_a_row_chosen_while_a_search_is_under_way_stays_in_its_place(
    open_window: Open, depot: Path, supervisor: Supervisor, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def up_to_now(*_: object) -> Span:
        return Span(time.time() - 900.0, time.time() + 60.0)

    async def story() -> None:
        window = open_window()
        window.show_page("tasks")
        page = window.page
        assert isinstance(page, AcrossTasks)
        page.search_for("name:depot.pack")
        await until(lambda: column(page.table, 0) == [THERE])
        await page.settled()
        monkeypatch.setattr("app.ui.pages.across_tasks.common_span", up_to_now)
        add_a_task(depot)
        answers = threading.Event()
        supervisor._executor.submit(answers.wait)
        try:
            page.reload()
            await until(lambda: any(hunter.busy for hunter in page._hunters))
            page.table.selectRow(0)
        finally:
            answers.set()
        await page.settled()
        assert column(page.table, 0) == [THERE]

    run(story())


def test_a_broker_that_rests_from_a_long_search_has_its_turn_later(open_window: Open, depot: Path, run: Run) -> None:
    async def story() -> None:
        window = open_window()
        window.show_page("tasks")
        page = window.page
        assert isinstance(page, AcrossTasks)
        page.search_for("name:depot.pack")
        await until(lambda: column(page.table, 0) == [THERE])
        await page.settled()
        add_a_task(depot)
        rested = page._hunters[1].pace
        rested._due = time.monotonic() + 1.0
        page.reload()
        await until(lambda: column(page.table, 0) == [THERE, THERE])

    run(story())


def test_a_search_goes_along_from_one_broker_to_all_and_back(open_window: Open, run: Run) -> None:
    async def story() -> None:
        window = open_window()
        window.scope.choose(0)
        window.show_page("tasks")
        window._pages.tasks.search_for(LONELY)
        await loaded(window.page)
        assert not window._pages.tasks._model.records()
        window.scope.choose_all()
        page = window.page
        assert isinstance(page, AcrossTasks)
        await until(lambda: column(page.table, 0) == [THERE])
        page.search_for("state:failed")
        window.scope.choose(0)
        assert window._pages.tasks.search_text == "state:failed"

    run(story())


def test_each_broker_has_a_strip_on_one_time_axis(open_window: Open, run: Run) -> None:
    async def story() -> None:
        window = open_window()
        window.show_page("overview")
        page = window.page
        assert isinstance(page, AcrossOverview)
        await loaded(page)
        here, there, gone = page.strips
        assert [strip.row._state.name for strip in page.strips] == [HERE, THERE, "gone"]
        assert here._figures["Workers"].text().startswith("1 of 2 online")
        assert "lost" in here._figures["Workers"].text()
        assert there._figures["Failure rate"].text() == "100 %"
        assert here._outcomes._span == there._outcomes._span
        assert "no history" in gone._trouble.text()
        assert gone._right.isHidden()
        assert not here._right.isHidden()
        here.charts[0]._plot.pointed.emit(time.time() - 60)
        assert there.charts[0]._crosshair.time == here.charts[0]._crosshair.time
        there.row.click()
        assert window.scope.place == 1

    run(story())


def test_what_comes_while_all_are_shown_is_shown_too(
    open_window: Open, supervisor: Supervisor, tmp_path: Path, run: Run
) -> None:
    async def story() -> None:
        window = open_window()
        window.show_page("overview")
        page = window.page
        assert isinstance(page, AcrossOverview)
        write_history(tmp_path / "late.cloche", time.time())
        supervisor.add(Target("late", tmp_path / "late.cloche"))
        assert [connection.profile.name for connection in page.connections][-1] == "late"
        await loaded(page)
        assert page.strips[-1]._figures["Workers"].text().startswith("1 of 2 online")
        window.scope.choose(0)
        assert not page.connections

    run(story())


def test_one_broker_alone_is_not_all(
    qtbot: QtBot, theme: ThemeManager, supervisor: Supervisor, history: Path, tmp_path: Path, run: Run
) -> None:
    async def story() -> None:
        settings = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
        window = MainWindow(supervisor, theme, settings, Kept(tmp_path / "profiles.json"))
        qtbot.addWidget(window)
        supervisor.add(Target(HERE, history))
        window.scope.choose_all()
        assert not window.scope.all
        assert window._sidebar._all.isHidden()

    run(story())


def test_the_frame_says_how_all_are_together(open_window: Open, run: Run) -> None:
    async def story() -> None:
        window = open_window()
        await loaded(window.page)
        await until(lambda: all(one.vital is not None for one in window.scope.brokers[:2]))
        sums = [vitals.vital for vitals in window.scope.brokers if vitals.vital is not None]
        together = window.scope.vital
        assert together is not None
        assert together.tasks == sum(one.tasks for one in sums) > 1
        assert "All brokers" in window.windowTitle()

    run(story())


@pytest.mark.parametrize(
    ("states", "state", "fault"),
    [
        (("live", "live"), "live", ""),
        (("live", "disconnected", "live"), "disconnected", "1 of 3 brokers not live"),
        (("connecting", "stopped"), "stopped", "2 of 2 brokers not live"),
        (("live", "file"), "live", ""),
    ],
)
def test_together_they_are_as_the_worst_of_them(states: tuple[str, ...], state: str, fault: str) -> None:
    healths = [
        Health(state=one, events_per_second=2.0, behind=0.1 * at, since=100.0 + at)  # type: ignore[arg-type]
        for at, one in enumerate(states)
    ]
    found = health_of(healths)
    assert (found.state, found.fault) == (state, fault)
    assert found.events_per_second == 2.0 * len(states)
    assert found.behind == pytest.approx(0.1 * (len(states) - 1))


def test_together_their_books_balance_and_what_is_unknown_stays_so() -> None:
    one = Vital(Accounting(7, 4, {"heartbeat": 2}, {"not JSON": 1}), tasks=3, waiting=None, gaps=(Gap(5.0, 6.0, "b"),))
    two = Vital(Accounting(5, 5), tasks=4, waiting=9, gaps=(Gap(1.0, 2.0, "a"),), missed=None)
    found = vital_of([one, two])
    assert found.accounting == Accounting(12, 9, {"heartbeat": 2}, {"not JSON": 1})
    assert found.accounting.balanced
    assert (found.tasks, found.waiting, found.missed) == (7, 9, None)
    assert [gap.start for gap in found.gaps] == [1.0, 5.0]


def test_a_page_over_all_reads_less_often_where_reading_takes_long(
    open_window: Open, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        window = open_window()
        page = window.page
        await loaded(page)
        clock = iter((100.0, 102.0))
        monkeypatch.setattr("app.ui.live.time.monotonic", lambda: next(clock, 102.0))
        started_with: list[int] = []
        monkeypatch.setattr(page._timer, "start", started_with.append)
        await page._load()
        assert started_with == [6000]

    run(story())
