import html
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from app.models.history import sweep
from app.models.qt.tasks import Column
from app.ui.live import TimeRange
from app.ui.pages import tasks, tasks_read
from app.ui.pages.tasks import TasksPage
from app.ui.theme import ThemeManager
from tests.models.qt.drawing import drawn
from tests.ui.conftest import Run
from tests.ui.histories import (
    History,
    Stand,
    emitted,
    event,
    failed,
    heartbeat,
    received,
    retried,
    sent,
    started,
    succeeded,
)

Make = Callable[[], TasksPage]


@pytest.fixture
def now() -> float:
    return time.time()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path / "h.cloche")
    yield made
    made.close()


@pytest.fixture
def stand(history: History) -> Iterator[Stand]:
    made = Stand(history.path)
    yield made
    made.close()


@pytest.fixture
def page(qtbot: QtBot, theme: ThemeManager, stand: Stand, monkeypatch: pytest.MonkeyPatch) -> TasksPage:
    # However busy this machine is, no question rests.
    monkeypatch.setattr("app.ui.pages.pace._LONG", math.inf)
    made = TasksPage(theme, TimeRange())
    qtbot.addWidget(made)
    made.resize(1300, 600)
    made.set_connection(stand)  # type: ignore[arg-type]
    return made


def fill(history: History, now: float, tasks: int, *, name: str = "leads.scrape_page", first: int = 0) -> None:
    """Tasks ``t0`` … that all came in now and succeeded."""
    for number in range(first, first + tasks):
        history.fold(received(f"t{number}", now, name=name), started(f"t{number}", now), succeeded(f"t{number}", now))
    history.commit(now)


async def opened(page: TasksPage) -> None:
    page.show()
    await read(page)


async def read(page: TasksPage) -> None:
    """Until the page has read once more."""
    done = emitted(page.loaded)
    page.reload()
    await done
    await page.settled()


def ids(page: TasksPage) -> list[str]:
    return [row.uuid for row in page._model.records()]


def follows(page: TasksPage) -> bool:
    return page.following


def state(page: TasksPage) -> str:
    """The word in the inspector's header."""
    return page._inspector.state.accessibleName()


def press(page: TasksPage, key: Qt.Key) -> None:
    QTest.keyClick(page._table, key)


def test_tasks_are_shown_newest_first_with_their_number(
    page: TasksPage, history: History, run: Run, now: float
) -> None:
    async def story() -> None:
        history.fold(sent("a", now - 9), received("a", now - 8.5), started("a", now - 8), succeeded("a", now - 6, 2.0))
        history.fold(sent("b", now - 5), received("b", now - 4), started("b", now - 4), failed("b", now - 3))
        history.commit(now)
        await opened(page)
        shown = drawn(page._model, range(Column.RECEIVED)).splitlines()
        assert shown[1:] == [
            "Failed    | leads.scrape_page | ('x',)    | browser | w1@h",
            "Succeeded | leads.scrape_page | ('x',)    | browser | w1@h",
        ]
        assert drawn(page._model, range(Column.WAIT, Column.ID)).splitlines()[1:] == [
            "1.00 s | 1.00 s | 0",
            "1.00 s | 2.00 s | 0",
        ]
        assert page._filter._result.text().startswith("2 tasks · ")

    run(story())


def test_while_it_follows_new_tasks_appear_on_top(page: TasksPage, history: History, run: Run, now: float) -> None:
    async def story() -> None:
        fill(history, now, 3)
        await opened(page)
        fill(history, now, 2, first=3)
        await read(page)
        assert ids(page) == ["t4", "t3", "t2", "t1", "t0"]
        assert follows(page)
        assert page._follow.new_text == ""

    run(story())


def test_a_burst_larger_than_a_page_leaves_no_hole(page: TasksPage, history: History, run: Run, now: float) -> None:
    async def story() -> None:
        fill(history, now, 3)
        await opened(page)
        fill(history, now, 450, first=3)
        await read(page)
        assert ids(page) == [f"t{n}" for n in range(452, 252, -1)]
        page._model.fetchMore(page._table.rootIndex())
        await page.settled()
        assert ids(page) == [f"t{n}" for n in range(452, 52, -1)]

    run(story())


def test_selecting_a_row_stops_following_and_f_goes_on(page: TasksPage, history: History, run: Run, now: float) -> None:
    async def story() -> None:
        fill(history, now, 3)
        await opened(page)
        press(page, Qt.Key.Key_J)
        assert not follows(page)
        fill(history, now, 2, first=3)
        await read(page)
        assert ids(page) == ["t2", "t1", "t0"]
        assert page._follow.new_text == "2 new"
        press(page, Qt.Key.Key_F)
        await read(page)
        assert follows(page)
        assert ids(page)[0] == "t4"
        assert page._follow.new_text == ""
        assert page._table.selected_rows() == []

    run(story())


def test_scrolling_down_stops_following_and_fetches_older_tasks(
    page: TasksPage, history: History, run: Run, now: float
) -> None:
    async def story() -> None:
        fill(history, now, 420)
        await opened(page)
        assert len(ids(page)) == 200
        for expected in (400, 420):
            bar = page._table.verticalScrollBar()
            bar.setValue(bar.maximum())
            await page.settled()
            assert ids(page) == [f"t{n}" for n in range(419, 419 - expected, -1)]
        assert not follows(page)

    run(story())


def test_an_older_page_that_comes_after_another_search_is_ignored(
    page: TasksPage, history: History, stand: Stand, run: Run, now: float
) -> None:
    async def story() -> None:
        fill(history, now, 210)
        await opened(page)
        stand.hold = True
        page._model.fetchMore(page._table.rootIndex())
        await stand.asking()
        stand.hold = False
        page.search_for("uuid:t205")
        await read_until(page, ["t205"])
        stand.held[0].set_result(None)
        await page.settled()
        assert ids(page) == ["t205"]

    run(story())


async def read_until(page: TasksPage, expected: list[str]) -> None:
    while ids(page) != expected:
        await emitted(page.loaded)


def test_an_answer_to_an_older_search_is_ignored(
    page: TasksPage, history: History, stand: Stand, run: Run, now: float
) -> None:
    async def story() -> None:
        fill(history, now, 2)
        await opened(page)
        stand.hold = True
        page.search_for("uuid:t0")
        await stand.asking()
        stand.hold = False
        page.search_for("uuid:t1")
        stand.held[0].set_result(None)
        await emitted(page.loaded)
        assert ids(page) == ["t1", "t0"]
        await read_until(page, ["t1"])

    run(story())


# --- a search that takes long ----------------------------------------------------------------------------------------


@pytest.fixture
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of a search looks through ten tasks."""
    monkeypatch.setattr(sweep, "BUDGET", 0.0)
    monkeypatch.setattr(sweep, "FEWEST", 10)
    monkeypatch.setattr(sweep, "FIRST", 10)


def scattered(history: History, now: float, number: int = 300) -> None:
    """Tasks of which every hundredth has another name."""
    for at in range(number):
        name = "rare.job" if at % 100 == 50 else "leads.scrape_page"
        history.fold(received(f"t{at}", now, name=name), succeeded(f"t{at}", now))
    history.commit(now)


def words(page: TasksPage) -> str:
    """What the search field says of what was found."""
    return page._filter._result.text()


async def steps(stand: Stand, number: int) -> None:
    """Let so many questions be answered, each once it is asked."""
    for _ in range(number):
        await stand.answer_next()


@pytest.mark.usefixtures("short_steps")
def test_a_search_that_takes_long_shows_what_it_finds_as_it_goes_back(
    page: TasksPage, history: History, stand: Stand, run: Run, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        scattered(history, now)
        await opened(page)
        monkeypatch.setattr(tasks, "_SLOW", 0)
        monkeypatch.setattr(tasks, "_SAY_EVERY", 0.0)
        stand.hold = True
        page.search_for("rare.job")
        await steps(stand, 2)
        assert ids(page) == []
        assert words(page) == "0 found, searched 7 % …"
        assert page._table._empty._title.text() == "Searching …"
        assert page._table._empty._text.text().endswith(", 7 % of the tasks in this time range.")
        await steps(stand, 4)
        assert ids(page) == ["t250"]
        assert words(page) == "1 found, searched 20 % …"
        assert not page._table._empty.isVisible()
        assert not page._model.canFetchMore(page._table.rootIndex())
        stand.release()
        await page.settled()
        assert ids(page) == ["t250", "t150", "t50"]
        assert words(page).startswith("3 tasks · ")

    run(story())


@pytest.mark.usefixtures("short_steps")
def test_a_search_that_finds_nothing_says_so_at_its_end(
    page: TasksPage, history: History, run: Run, now: float
) -> None:
    async def story() -> None:
        scattered(history, now)
        await opened(page)
        page.search_for("nobody")
        await read(page)
        assert ids(page) == []
        assert words(page).startswith("0 tasks · ")
        assert page._table._empty._title.text() == "No task matches this search"

    run(story())


@pytest.mark.usefixtures("short_steps")
def test_another_search_ends_the_one_before(
    page: TasksPage, history: History, stand: Stand, run: Run, now: float
) -> None:
    async def story() -> None:
        scattered(history, now)
        await opened(page)
        before = ids(page)
        stand.hold = True
        page.search_for("rare.job")
        await steps(stand, 4)
        page.search_for("uuid:t299")
        asked = stand.asked
        await steps(stand, 1)  # what is answered now would be a task that the first search finds
        assert ids(page) == before
        stand.release()
        await read_until(page, ["t299"])
        await page.settled()
        assert ids(page) == ["t299"]
        assert words(page).startswith("1 task · ")
        assert stand.asked - asked < 45  # a search to its end is 30 steps, and the first would have another 25

    run(story())


@pytest.mark.usefixtures("short_steps")
def test_what_was_there_before_stays_for_a_moment_and_not_for_a_flicker(
    page: TasksPage, history: History, stand: Stand, run: Run, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        scattered(history, now)
        await opened(page)
        monkeypatch.setattr(tasks, "_SLOW", 1e9)
        before = ids(page)
        stand.hold = True
        page.search_for("rare.job")
        await steps(stand, 3)
        assert ids(page) == before
        await steps(stand, 3)
        assert ids(page) == ["t250"]
        assert " found" not in words(page)
        stand.release()
        await page.settled()

    run(story())


@pytest.mark.usefixtures("short_steps")
def test_a_row_that_is_chosen_while_a_search_goes_on_does_not_move(
    page: TasksPage, history: History, stand: Stand, run: Run, now: float
) -> None:
    async def story() -> None:
        scattered(history, now)
        await opened(page)
        stand.hold = True
        page.search_for("rare.job")
        while ids(page) != ["t250"]:
            await steps(stand, 1)
        press(page, Qt.Key.Key_J)
        key = page._table.current_key()
        stand.release()
        await page.settled()
        assert ids(page) == ["t250", "t150", "t50"]
        assert page._table.current_key() == key
        assert not follows(page)

    run(story())


@pytest.mark.usefixtures("short_steps")
def test_older_tasks_of_a_long_search_come_step_by_step(
    page: TasksPage, history: History, run: Run, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks_read, "PAGE", 2)

    wanted: list[int] = []
    page._model.wanted.connect(wanted.append)

    async def story() -> None:
        scattered(history, now, 600)
        page.search_for("rare.job")
        await opened(page)
        while len(ids(page)) < 6:
            page._model.fetchMore(page._table.rootIndex())
            await page.settled()
        assert ids(page) == [f"t{number}" for number in range(550, 0, -100)]
        assert len(wanted) <= 3  # a page each time, and not only what one step finds
        assert words(page).startswith("6 tasks · ")
        page._model.fetchMore(page._table.rootIndex())
        await page.settled()
        assert not page._model.canFetchMore(page._table.rootIndex())

    run(story())


@pytest.mark.usefixtures("short_steps")
def test_while_it_follows_a_long_search_takes_in_what_is_new_and_says_no_word(
    page: TasksPage, history: History, run: Run, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_SLOW", 0)
    monkeypatch.setattr(tasks, "_SAY_EVERY", 0.0)
    said: list[str] = []

    async def story() -> None:
        scattered(history, now)
        page.search_for("rare.job")
        await opened(page)
        monkeypatch.setattr(page._filter, "set_result", said.append)
        fill(history, now, 1, name="rare.job", first=300)
        while len(ids(page)) < 4:
            await read(page)
        assert ids(page) == ["t300", "t250", "t150", "t50"]
        assert follows(page)

    run(story())
    assert said
    assert not [text for text in said if "searched" in text]


def test_a_search_with_an_error_keeps_the_last_result_and_says_what_is_wrong_where(
    page: TasksPage, history: History, run: Run, now: float
) -> None:
    async def story() -> None:
        fill(history, now, 2)
        await opened(page)
        page.search_for("uuid:t0")
        await read_until(page, ["t0"])
        page.search_for("uuid:t1 ()")
        await page.settled()
        assert ids(page) == ["t0"]
        message = page._filter._message
        assert message.isVisible()
        assert message.text() == "Empty group."
        assert message.contentsMargins().left() > page._filter._edit.fontMetrics().horizontalAdvance("uuid:t1 ")
        page.search_for("uuid:t1")
        await read_until(page, ["t1"])
        assert not message.isVisible()

    run(story())


def test_what_is_in_view_changes_in_place_even_if_the_search_finds_it_no_more(
    page: TasksPage, history: History, run: Run, now: float
) -> None:
    async def story() -> None:
        history.fold(received("a", now - 5), started("a", now - 4), received("b", now - 3), started("b", now - 2))
        history.commit(now)
        await opened(page)
        page.search_for("is:running")
        await read(page)
        press(page, Qt.Key.Key_J)
        history.fold(succeeded("a", now, 4.0))
        history.commit(now)
        await read(page)
        assert [row.state for row in page._model.records()] == ["STARTED", "SUCCESS"]
        page.set_following(True)
        await read(page)
        assert ids(page) == ["b"]

    run(story())


def test_enter_opens_the_inspector_and_escape_closes_it(
    page: TasksPage, history: History, run: Run, now: float
) -> None:
    async def story() -> None:
        history.fold(sent("a", now - 9), received("a", now - 8), started("a", now - 7.5), failed("a", now - 6))
        history.commit(now)
        await opened(page)
        press(page, Qt.Key.Key_J)
        press(page, Qt.Key.Key_Return)
        await page.settled()
        inspector = page._inspector
        assert inspector.isVisible()
        assert inspector.uuid == "a"
        assert state(page) == "Failed"
        assert inspector._error.text() == "ConnectionError"
        assert inspector.tabs.tabText(2) == "Traceback"
        steps = [line.split(": ")[0] for line in inspector._timeline._steps.text().splitlines()]
        assert steps == ["Sent", "Received", "Started", "Failed"]
        assert "Wait: 1.50 s\nRun time: 1.50 s" in inspector._facts.text()
        press(page, Qt.Key.Key_Escape)
        assert not inspector.isVisible()

    run(story())


def test_the_inspector_follows_its_task_through_all_attempts(
    page: TasksPage, history: History, run: Run, now: float
) -> None:
    async def story() -> None:
        history.fold(received("a", now - 9), started("a", now - 8))
        history.commit(now)
        await opened(page)
        page.show_task("a")
        await page.settled()
        assert state(page) == "Running"
        again = received("a", now - 4.9)
        again.retries = 1
        history.fold(retried("a", now - 5), again, started("a", now - 3), succeeded("a", now - 1, 2.0))
        history.commit(now)
        await read(page)
        assert state(page) == "Succeeded"
        steps = page._inspector._timeline._steps
        assert steps.text().startswith("Attempt 1: w1@h · ran 3.00 s · waited 1.00 s\nReceived: ")
        assert steps._rows[0][2].text() == "TimeoutError"
        assert "Retries: 1" in page._inspector._facts.text()
        assert page._inspector.tabs.tabText(2) == "Result"
        assert page._inspector._result._text.whole_text() == "'fine'"

    run(story())


@pytest.mark.parametrize(
    ("args", "badge"),
    [
        ("(1, 2)", "event text, complete"),
        ("('" + "x" * 1022 + ")", "event text, cut"),
        ("({...},)", "event text, cut"),
        ("(datetime.date(2026, 11, 22), 1)", "event text, in doubt: args[0]"),
        ("(b'00ff',)", "event text, in doubt: args[0]"),
        ("('a\\tb', (1, 2))", "event text, in doubt: args[0]"),
        ("((1, 2),)", "event text, complete"),
    ],
)
def test_arguments_say_how_complete_they_are(
    page: TasksPage, history: History, run: Run, now: float, args: str, badge: str
) -> None:
    async def story() -> None:
        history.fold(received("a", now, args=args))
        history.commit(now)
        await opened(page)
        page.show_task("a")
        await page.settled()
        arguments = page._inspector._arguments
        assert arguments._text.whole_text() == args
        assert arguments._badge.accessibleName() == badge

    run(story())


def test_the_durations_of_a_running_task_grow(page: TasksPage, history: History, run: Run, now: float) -> None:
    async def story() -> None:
        history.fold(received("a", now - 70), started("a", now - 65), received("b", now - 65))
        history.commit(now)
        await opened(page)
        page._tick_to(now)
        assert [page._model.index(row, Column.RUN).data() for row in range(2)] == ["—", "1 m 05 s …"]
        page._tick_to(now + 10)
        assert page._model.index(0, Column.WAIT).data() == "≥ 1 m 15 s"
        assert page._model.index(1, Column.RUN).data() == "1 m 15 s …"

    run(story())


def test_in_a_history_file_time_stands_still_at_its_end(
    page: TasksPage, history: History, stand: Stand, run: Run, now: float
) -> None:
    async def story() -> None:
        end = now - 86_400
        history.fold(received("a", end - 10), started("a", end - 5.5))
        history.commit(end)
        stand.live = False
        await opened(page)
        assert page._model.index(0, Column.RUN).data() == "5 s …"

    run(story())


def test_a_task_on_a_worker_that_is_gone_is_lost(page: TasksPage, history: History, run: Run, now: float) -> None:
    async def story() -> None:
        history.fold(heartbeat("w1@h", now - 60), received("a", now - 60), started("a", now - 60))
        history.reducer.tick(now)
        history.commit(now)
        await opened(page)
        assert page._model.index(0, Column.STATE).data() == "Lost?"
        page.show_task("a")
        await page.settled()
        assert state(page).startswith("Lost? since ")
        assert page._inspector._note.text() == "Its worker was lost while it ran."
        assert page._inspector._timeline._steps.text().splitlines()[-1].startswith("Lost?: since ")
        page.search_for("is:lost")
        await page.settled()
        assert [row.uuid for row in page._model.records()] == ["a"]

    run(story())


@pytest.mark.parametrize("operates", [True, False])
def test_an_empty_page_offers_to_turn_events_on_where_that_is_allowed(
    page: TasksPage, history: History, stand: Stand, run: Run, now: float, operates: bool
) -> None:
    wanted: list[bool] = []
    page.events_wanted.connect(lambda: wanted.append(True))

    async def story() -> None:
        for second in range(4):
            history.fold(heartbeat("w1@h", now - 4 + second, 1, 100 + second), now=now - 4 + second)
        history.commit(now)
        stand.operates = operates
        await opened(page)
        empty = page._table._empty
        assert empty._title.text() == "No task events yet"
        assert empty._text.text().startswith("1 worker answers, but runs without -E.")
        assert empty._button.isVisible() == operates
        page._table.setFocus()
        if operates:
            QTest.keyClick(page._table, Qt.Key.Key_Tab)
            assert QApplication.focusWidget() is empty._button
            QTest.keyClick(empty._button, Qt.Key.Key_Space)
            QTest.mouseClick(empty._button, Qt.MouseButton.LeftButton)
        fill(history, now, 1)
        while empty.isVisible():
            await read(page)

    run(story())
    assert wanted == [True, True] * operates


def test_progress_is_shown_as_it_goes_on(page: TasksPage, history: History, run: Run, now: float) -> None:
    async def story() -> None:
        history.fold(received("a", now - 9), started("a", now - 8))
        for done, at in ((1, now - 5), (3, now - 1)):
            told = event("task-progress", "a", at, "w1@h", payload={"current": done, "total": 4})
            history.fold(told)
            history.commit(now)
            if done == 1:
                await opened(page)
                page.show_task("a")
                await page.settled()
            else:
                await read(page)
            assert state(page) == "PROGRESS"
            assert page._inspector._progress._words.text().startswith(f"{done} of 4")
            assert page._inspector._progress._bar.value() == done * 250
        assert page._inspector._doing.isVisible()
        history.fold(succeeded("a", now))
        history.commit(now)
        await read(page)
        assert state(page) == "Succeeded"

    run(story())


def test_copying_takes_the_selected_rows_as_text(page: TasksPage, history: History, run: Run, now: float) -> None:
    async def story() -> None:
        fill(history, now, 3)
        await opened(page)
        press(page, Qt.Key.Key_J)
        QTest.keyClick(page._table, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
        QTest.keyClick(page._table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
        lines = QGuiApplication.clipboard().text().splitlines()
        assert [line.split("\t")[:2] for line in lines] == [["Succeeded", "leads.scrape_page"]] * 2
        assert [line.split("\t")[-1] for line in lines] == ["t2", "t1"]
        QTest.keyClick(
            page._table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
        )
        assert QGuiApplication.clipboard().text() == "t2\nt1"

    run(story())


def test_nothing_that_a_broker_sends_becomes_markup(page: TasksPage, history: History, run: Run, now: float) -> None:
    evil = "<img src=//10.0.0.1/x.png><b>x</b>"

    async def story() -> None:
        history.fold(received("a", now, worker=evil, name=evil, args=evil, kwargs=evil))
        history.fold(failed("a", now, evil))
        history.commit(now)
        await opened(page)
        page.show_task("a")
        await page.settled()
        for column in Column:
            tip = str(page._model.index(0, column).data(Qt.ItemDataRole.ToolTipRole) or "")
            assert "<img" not in tip
        assert html.escape(evil) in page._model.index(0, Column.NAME).data(Qt.ItemDataRole.ToolTipRole)
        assert page._inspector.title.text() == evil
        for label in page.findChildren(QLabel):
            assert label.textFormat() == Qt.TextFormat.PlainText or not label.text(), label.text()
            assert "<img" not in label.toolTip()

    run(story())


def test_while_paused_nothing_is_read(page: TasksPage, history: History, stand: Stand, run: Run, now: float) -> None:
    async def story() -> None:
        fill(history, now, 2)
        await opened(page)
        page.range.set_paused(True)
        asked = stand.asked
        fill(history, now, 1, first=2)
        stand.committed.emit()
        page._tick()
        await page.settled()
        assert stand.asked == asked
        page.range.set_paused(False)
        await read_until(page, ["t2", "t1", "t0"])

    run(story())


def test_to_go_on_after_a_pause_keeps_the_place(page: TasksPage, history: History, run: Run, now: float) -> None:
    async def story() -> None:
        fill(history, now, 3)
        await opened(page)
        press(page, Qt.Key.Key_J)
        page.range.set_paused(True)
        page.range.set_paused(False)
        await emitted(page.loaded)
        assert not follows(page)
        assert page._table.current_key() is not None

    run(story())


def test_another_connection_shows_nothing_of_the_one_before(
    page: TasksPage, history: History, tmp_path: Path, run: Run, now: float
) -> None:
    async def story() -> None:
        fill(history, now, 3)
        await opened(page)
        page.show_task("t1")
        await page.settled()
        page.set_connection(None)
        assert ids(page) == []
        assert not page._inspector.isVisible()

    run(story())


def test_an_empty_page_says_why(page: TasksPage, history: History, run: Run, now: float) -> None:
    async def story() -> None:
        history.fold(heartbeat("w1@h", now), heartbeat("w2@h", now))
        history.commit(now)
        await opened(page)
        assert page._table._empty.isVisible()
        assert page._table._empty._title.text() == "No task events yet"
        assert page._table._empty._text.text().startswith("2 workers are online. If tasks run now, they run without")
        fill(history, now, 1)
        await read(page)
        assert not page._table._empty.isVisible()

    run(story())


def test_a_picture_shows_a_failed_task_with_its_inspector(
    page: TasksPage, history: History, run: Run, now: float
) -> None:
    async def story() -> None:
        history.fold(received("a", now), started("a", now), failed("a", now))
        fill(history, now, 3)
        await opened(page)
        await page.prepare_shot()
        assert page._inspector.isVisible()
        assert page._inspector.uuid == "a"

    run(story())
