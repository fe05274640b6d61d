import asyncio
import math
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import msgspec
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QContextMenuEvent, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QMenu, QPushButton
from pytestqt.qtbot import QtBot

from app.models.acts import Rerun, Revoke, RevokeStamped, Send, Wish
from app.models.records import Message
from app.models.surveys import Survey
from app.models.wire import Surveyed
from app.ui.live import TimeRange
from app.ui.pages.task_acts import SIGNALS, is_revocable, is_running
from app.ui.pages.tasks import TasksPage
from app.ui.theme import ThemeManager
from app.ui.widgets.findings import OPERATE_ONLY
from app.ui.widgets.send_dialog import SendDialog
from app.ui.widgets.stamp_dialog import StampDialog
from tests.ui.conftest import Run, loaded, put_on, until
from tests.ui.histories import History, Stand, failed, received, sent, started, succeeded

SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
NONE = Qt.KeyboardModifier.NoModifier


@pytest.fixture
def now() -> float:
    return time.time()


@pytest.fixture
def history(tmp_path: Path, now: float) -> Iterator[History]:
    """Newest first: wait1 and wait0 wait, run0 runs, bad0 failed, good0 succeeded; the last is of another name."""
    made = History(tmp_path / "h.cloche")
    made.fold(received("good0", now, name="mail.send"), started("good0", now), succeeded("good0", now))
    made.fold(received("bad0", now), started("bad0", now), failed("bad0", now))
    made.fold(received("run0", now), started("run0", now))
    made.fold(received("wait0", now), received("wait1", now))
    made.commit(now)
    yield made
    made.close()


@pytest.fixture
def page(qtbot: QtBot, theme: ThemeManager, stand: Stand, monkeypatch: pytest.MonkeyPatch) -> TasksPage:
    monkeypatch.setattr("app.ui.pages.pace._LONG", math.inf)
    return put_on(qtbot, TasksPage(theme, TimeRange()), stand)


def row_of(page: TasksPage, uuid: str) -> int:
    return [row.uuid for row in page._model.records()].index(uuid)


async def look_at(page: TasksPage, uuid: str) -> None:
    """Click on a task, as a user does."""
    click(page, uuid)
    await page.settled()


def click(page: TasksPage, uuid: str, keys: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    at = page._table.visualRect(page._model.index(row_of(page, uuid), 1)).center()
    QTest.mouseClick(page._table.viewport(), Qt.MouseButton.LeftButton, keys, at)


def follows(page: TasksPage) -> bool:
    return page.following


def menu(page: TasksPage) -> list[QMenu]:
    return [each for each in page._table.findChildren(QMenu) if each.isVisible()]


def offered(menu: QMenu) -> list[str]:
    return [action.text() for action in menu.actions() if not action.isSeparator()]


def choose(menu: QMenu, text: str) -> None:
    [action] = [action for action in menu.actions() if action.text() == text]
    assert action.isEnabled(), action.toolTip()
    action.trigger()


async def opened(page: TasksPage) -> None:
    page.show()
    await loaded(page)


@pytest.mark.parametrize(
    ("state", "revocable", "running"),
    [
        ("PENDING", True, False),
        ("RECEIVED", True, False),
        ("RETRY", True, False),
        ("LOST", True, False),
        ("UNKNOWN", True, False),
        ("STARTED", False, True),
        ("PROGRESS", False, True),
        ("SUCCESS", False, False),
        ("FAILURE", False, False),
        ("REVOKED", False, False),
        ("REJECTED", False, False),
    ],
)
def test_what_waits_is_revoked_and_what_runs_is_terminated(state: str, revocable: bool, running: bool) -> None:
    assert (is_revocable(state), is_running(state)) == (revocable, running)


def test_a_waiting_task_is_revoked_and_any_run_again(page: TasksPage, wishes: list[Wish], run: Run) -> None:
    async def story() -> None:
        await opened(page)
        acts = page._acts
        await look_at(page, "wait0")
        assert acts.revoke.isVisible()
        assert not acts.terminate.isVisible()
        acts.revoke.click()
        acts.again.click()
        await look_at(page, "bad0")
        assert not acts.revoke.isVisible()
        assert not acts.terminate.isVisible()
        acts.again.click()
        assert wishes == [Revoke(["wait0"]), Rerun(["wait0"]), Rerun(["bad0"])]

    run(story())


def test_a_running_task_is_ended_by_a_signal_of_choice(page: TasksPage, wishes: list[Wish], run: Run) -> None:
    async def story() -> None:
        await opened(page)
        await look_at(page, "run0")
        button = page._acts.terminate
        assert button.isVisible()
        assert button.property("kind") == "danger"
        assert not page._acts.revoke.isVisible()
        button._menu.aboutToShow.emit()
        assert offered(button._menu) == [text for _, text in SIGNALS]
        assert button._menu.actions()[-2].isSeparator()  # what can't be caught stands apart
        choose(button._menu, "Terminate (SIGTERM) …")
        choose(button._menu, "Kill (SIGKILL) …")
        assert wishes == [
            Revoke(["run0"], terminate=True, signal="SIGTERM"),
            Revoke(["run0"], terminate=True, signal="SIGKILL"),
        ]

    run(story())


def test_where_nothing_may_be_done_each_button_says_why(page: TasksPage, stand: Stand, run: Run) -> None:
    async def story() -> None:
        stand.operates = False
        await opened(page)
        await look_at(page, "wait0")
        acts = page._acts
        for button in (acts.again, acts.revoke, acts.menu):
            assert button.isVisible()
            assert not button.isEnabled()
            assert "This needs the access mode" in button.toolTip()
            assert button.accessibleDescription() == OPERATE_ONLY
        assert acts.copy.isEnabled()
        assert acts.foot._hint.text() == "locked: observe only"
        stand.operates = True  # the mode was changed: the page reads anew
        await loaded(page)
        assert acts.revoke.isEnabled()
        assert not acts.foot._hint.isVisible()

    run(story())


@pytest.fixture
def refused(page: TasksPage) -> list[str]:
    """Why keys did nothing."""
    made: list[str] = []
    page.act_refused.connect(made.append)
    return made


def test_keys_say_why_nothing_may_be_done(
    page: TasksPage, stand: Stand, wishes: list[Wish], refused: list[str], run: Run
) -> None:
    async def story() -> None:
        stand.operates = False
        await opened(page)
        await look_at(page, "wait0")
        QTest.keyClick(page._table, Qt.Key.Key_R, SHIFT)
        QTest.keyClick(page._table, Qt.Key.Key_A, SHIFT)
        stand.live = False
        QTest.keyClick(page._table, Qt.Key.Key_A, SHIFT)
        assert wishes == []
        assert refused[:2] == [OPERATE_ONLY] * 2
        assert refused[2].startswith("Nothing can be done to a history file")

    run(story())


def test_keys_say_that_nothing_is_selected(page: TasksPage, wishes: list[Wish], refused: list[str], run: Run) -> None:
    async def story() -> None:
        await opened(page)
        for key, with_ in ((Qt.Key.Key_R, SHIFT), (Qt.Key.Key_A, SHIFT), (Qt.Key.Key_E, NONE)):
            QTest.keyClick(page._table, key, with_)
        assert (wishes, page.findChildren(QFileDialog)) == ([], [])
        assert len(refused) == 3
        assert all(text.startswith("No task is selected: click on one first") for text in refused)

    run(story())


@pytest.mark.parametrize(
    ("uuid", "said"), [("run0", "runs already, which a revoke does not stop"), ("bad0", "This task is over")]
)
def test_the_key_for_revoking_says_why_a_task_can_not_be(
    page: TasksPage, wishes: list[Wish], refused: list[str], run: Run, uuid: str, said: str
) -> None:
    async def story() -> None:
        await opened(page)
        await look_at(page, uuid)
        QTest.keyClick(page._table, Qt.Key.Key_R, SHIFT)
        page._table.select_nothing()
        QTest.keyClick(page._table, Qt.Key.Key_R, SHIFT)  # what is looked at is left
        assert wishes == []
        assert [said in text for text in refused] == [True, True]

    run(story())


def test_of_a_history_file_nothing_but_copying_and_exporting_is_offered(
    qtbot: QtBot, theme: ThemeManager, history: History, run: Run
) -> None:
    stand, page = Stand(history.path, live=False), TasksPage(theme, TimeRange())
    qtbot.addWidget(page)
    page.resize(1300, 600)
    page.set_connection(stand)  # type: ignore[arg-type]

    async def story() -> None:
        await opened(page)
        await look_at(page, "wait0")
        page._table.selectAll()
        acts = page._acts
        shown = {button.text() for button in page.findChildren(QPushButton) if button.isVisible()}
        assert shown & {"Run again …", "Revoke …", "Terminate", "Actions"} == set()
        assert acts.export.isVisible()
        acts.copy._menu.aboutToShow.emit()
        assert offered(acts.copy._menu) == ["Id", "JSON", "Python: apply_async(…)"]
        acts._pop_up(QPoint())
        assert menu(page) == []

    run(story())
    stand.close()


def test_keys_are_for_what_is_selected(page: TasksPage, wishes: list[Wish], run: Run) -> None:
    async def story() -> None:
        await opened(page)
        await look_at(page, "wait1")
        QTest.keyClick(page._table, Qt.Key.Key_R, SHIFT)
        QTest.keyClick(page._table, Qt.Key.Key_R)  # without Shift it is no key at all
        QTest.keyClick(page._table, Qt.Key.Key_A, SHIFT)
        QTest.keyClick(page._table, Qt.Key.Key_J, SHIFT)
        assert wishes == [Revoke(["wait1"]), Rerun(["wait1"])]
        wishes.clear()
        page._table.select_nothing()
        QTest.keyClick(page._table, Qt.Key.Key_R, SHIFT)  # what is looked at is left
        assert wishes == [Revoke(["wait1"])]

    run(story())


def test_several_rows_are_selected_with_shift_and_control_and_acted_on(
    page: TasksPage, wishes: list[Wish], run: Run
) -> None:
    async def story() -> None:
        await opened(page)
        acts = page._acts
        assert follows(page)
        click(page, "wait1", CONTROL)
        assert not page._inspector.isVisible()
        assert not acts.bar.isVisible()
        click(page, "bad0", SHIFT)
        assert acts.bar.isVisible()
        assert acts.bar.text == "4 selected"
        assert not page._inspector.isVisible()
        assert not follows(page)
        acts.revoke_many.click()
        acts.again_many.click()
        assert wishes == [Revoke(["wait1", "wait0"]), Rerun(["wait1", "wait0", "run0", "bad0"])]
        click(page, "wait0", CONTROL)
        assert acts.bar.text == "3 selected"
        acts.bar.drop.click()
        assert page._table.selected_number() == 0
        assert not acts.bar.isVisible()

    run(story())


def test_a_selection_that_has_nothing_to_revoke_says_so(
    page: TasksPage, wishes: list[Wish], refused: list[str], run: Run
) -> None:
    async def story() -> None:
        await opened(page)
        click(page, "bad0")
        click(page, "good0", SHIFT)
        assert not page._acts.revoke_many.isEnabled()
        assert "Every one of these tasks is over" in page._acts.revoke_many.toolTip()
        QTest.keyClick(page._table, Qt.Key.Key_R, SHIFT)
        assert wishes == []
        assert refused == [page._acts.revoke_many.accessibleDescription()]

    run(story())


def test_a_selection_stays_while_new_tasks_come_and_ends_when_following_goes_on(
    page: TasksPage, history: History, run: Run, now: float
) -> None:
    async def story() -> None:
        await opened(page)
        page._table.selectAll()
        assert page._acts.bar.text == "5 selected"
        assert not follows(page)
        history.fold(received("new", now + 1))
        history.commit(now + 1)
        await loaded(page)
        assert [row.uuid for row in page._acts._rows()] == ["wait1", "wait0", "run0", "bad0", "good0"]
        assert page._follow.new_text == "1 new"
        QTest.keyClick(page._table, Qt.Key.Key_F)
        await loaded(page)
        assert not page._acts.bar.isVisible()
        assert follows(page)

    run(story())


def test_escape_drops_the_selection_before_it_closes_the_inspector(page: TasksPage, run: Run) -> None:
    async def story() -> None:
        await opened(page)
        await look_at(page, "bad0")
        page._table.selectAll()
        QTest.keyClick(page._table, Qt.Key.Key_Escape)
        assert page._table.selected_number() == 0
        assert page._inspector.isVisible()
        QTest.keyClick(page._table, Qt.Key.Key_Escape)
        assert not page._inspector.isVisible()

    run(story())


def test_a_whole_search_is_wished_with_the_text_and_the_span_that_are_shown(
    page: TasksPage, wishes: list[Wish], run: Run, now: float
) -> None:
    async def story() -> None:
        await opened(page)
        page._table.selectAll()
        assert not page._acts.bar.switch.isVisible()  # without a search, all would be all there is
        page.range.look_back(now - 600, now + 5)
        page.search_for("name:leads.*")
        await loaded(page)
        page._table.selectAll()
        bar = page._acts.bar
        assert bar.text == "4 selected"
        assert bar.switch.text() == "All 4 found"
        bar.switch.click()
        assert bar.text == "All 4 found"
        page._acts.revoke_many.click()
        QTest.keyClick(page._table, Qt.Key.Key_A, SHIFT)
        told = {"search": "name:leads.*", "since": page.range.bounds(None).start, "until": now + 5}
        assert told["since"] == now - 600
        assert wishes == [Revoke(**told), Rerun(**told)]  # type: ignore[arg-type]
        bar.switch.click()
        page._acts.again_many.click()
        assert wishes[-1] == Rerun(["wait1", "wait0", "run0", "bad0"])
        bar.switch.click()
        page.search_for("state:failed")
        await loaded(page)
        assert not bar.whole  # another search is not what was meant

    run(story())


def test_a_live_search_has_no_end_and_a_frozen_one_ends_where_it_was_frozen(
    page: TasksPage, wishes: list[Wish], run: Run
) -> None:
    async def story() -> None:
        await opened(page)
        page.search_for("name:leads.*")
        await loaded(page)
        page._acts._run_whole()
        page.range.set_paused(True)
        page._acts._run_whole()
        live, frozen = wishes
        assert isinstance(live, Rerun)
        assert isinstance(frozen, Rerun)
        assert live.until is None
        assert frozen.until == page._now
        assert live.since == frozen.since == page._now - page.range.span

    run(story())


def test_a_menu_offers_the_same_for_rows_by_mouse_and_by_key(page: TasksPage, wishes: list[Wish], run: Run) -> None:
    async def story() -> None:
        await opened(page)
        page.search_for("name:leads.*")
        await loaded(page)
        at = page._table.visualRect(page._model.index(row_of(page, "run0"), 1)).center()
        event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, at, page._table.viewport().mapToGlobal(at))
        QApplication.sendEvent(page._table.viewport(), event)
        [shown] = menu(page)
        assert offered(shown) == [
            "Run again …", "Revoke …", "Revoke by a stamp …", *(text for _, text in SIGNALS),
            "Run all 4 found again …", "Revoke all 4 found …", "Export …",
        ]  # fmt: skip
        [revoke] = [action for action in shown.actions() if action.text() == "Revoke …"]
        assert not revoke.isEnabled()
        choose(shown, "Kill (SIGKILL) …")
        assert wishes == [Revoke(["run0"], terminate=True, signal="SIGKILL")]
        shown.close()
        await until(lambda: not menu(page))
        page._table.selectAll()
        page._table.setCurrentIndex(page._model.index(0, 0))
        page._table.selectAll()
        event = QContextMenuEvent(QContextMenuEvent.Reason.Keyboard, QPoint(5, 5), QPoint(5, 5))
        QApplication.sendEvent(page._table.viewport(), event)
        [shown] = menu(page)
        assert offered(shown)[0] == "Run 4 tasks again …"
        choose(shown, "Revoke those of them that wait …")
        choose(shown, "Revoke all 4 found …")
        assert wishes[1] == Revoke(["wait1", "wait0"])
        assert isinstance(wishes[2], Revoke)
        assert wishes[2].search == "name:leads.*"

    run(story())


def test_a_task_is_copied_in_all_ways(page: TasksPage, run: Run) -> None:
    async def story() -> None:
        await opened(page)
        await look_at(page, "bad0")
        shown = page._acts.copy._menu
        copied = []
        shown.aboutToShow.emit()
        for title in offered(shown):
            choose(shown, title)
            copied.append(QGuiApplication.clipboard().text())
        assert copied[0] == "bad0"
        assert msgspec.json.decode(copied[1])["uuid"] == "bad0"
        assert copied[2] == "app.signature('leads.scrape_page', args=('x',), kwargs={}).apply_async()"
        assert copied[3] == "cloche rerun redis://shop.example/0 bad0"

    run(story())


def test_selected_tasks_are_exported(page: TasksPage, run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        await opened(page)
        click(page, "wait1")
        click(page, "wait0", SHIFT)
        QTest.keyClick(page._table, Qt.Key.Key_E)
        [dialog] = page.findChildren(QFileDialog)
        out = tmp_path / "out.jsonl"
        dialog.fileSelected.emit(str(out))
        await page.settled()
        assert [msgspec.json.decode(line)["uuid"] for line in out.read_text().splitlines()] == ["wait1", "wait0"]
        assert page._acts.bar.text == "2 tasks exported to out.jsonl"
        dialog.fileSelected.emit(str(tmp_path / "missing" / "out.csv"))
        await page.settled()
        assert page._acts.bar.text.startswith("Can't write ")
        dialog.close()

    run(story())


def test_a_new_task_is_sent_with_names_that_are_known(page: TasksPage, wishes: list[Wish], run: Run) -> None:
    async def story() -> None:
        await opened(page)
        page._acts.menu._menu.aboutToShow.emit()
        choose(page._acts.menu._menu, "Send task …")
        await page.settled()
        [dialog] = page.findChildren(SendDialog)
        completer = dialog.name.completer()
        assert completer is not None
        model = completer.completionModel()
        assert {model.index(row, 0).data() for row in range(model.rowCount())} == {"leads.scrape_page", "mail.send"}
        dialog.name.setText("mail.send")
        dialog.go_on.click()
        assert wishes == [Send("mail.send")]

    run(story())


STAMPED = '{"stamped_headers": ["customer"], "stamps": {"customer": ["1234"]}}'


class Searched(Stand):
    """Finds the message of wait0 in its queue, at the second look."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.operates = True
        self.looked: list[tuple[str, str]] = []
        self.answers = [
            Surveyed(1, Survey(found=[Message(9, id="wait01")])),
            Surveyed(1, Survey(found=[Message(9, id="wait0", headers=STAMPED)], state="over")),
        ]

    async def search(self, queue: str, wanted: str = "", *, further: bool = False) -> AsyncGenerator[Surveyed, None]:
        assert not further
        self.looked.append((queue, wanted))
        for answer in self.answers:
            await asyncio.sleep(0)
            yield answer


@pytest.fixture
def searched(history: History, page: TasksPage, now: float) -> Iterator[Searched]:
    history.fold(sent("wait0", now - 1, queue="leads"), now=now)
    history.commit(now)
    made = Searched(history.path)
    page.set_connection(made)  # type: ignore[arg-type]
    yield made
    made.close()


async def asked_for_stamps(page: TasksPage) -> StampDialog:
    page._acts.menu._menu.aboutToShow.emit()
    choose(page._acts.menu._menu, "Revoke by a stamp …")
    await page.settled()
    [dialog] = [each for each in page.findChildren(StampDialog) if each.isVisible()]
    return dialog


def test_tasks_are_revoked_by_a_stamp_of_the_one_that_is_looked_at(
    page: TasksPage, searched: Searched, wishes: list[Wish], run: Run
) -> None:
    async def story() -> None:
        await opened(page)
        await look_at(page, "wait0")
        dialog = await asked_for_stamps(page)
        assert searched.looked == [("leads", "wait0")]
        [offer] = [each for each in dialog.findChildren(QPushButton) if each.text() == "customer = 1234"]
        offer.click()
        dialog.go_on.click()
        assert wishes == [RevokeStamped("customer", ["1234"])]

    run(story())


def test_a_form_for_stamps_is_there_without_a_task_too(
    page: TasksPage, searched: Searched, wishes: list[Wish], run: Run
) -> None:
    async def story() -> None:
        await opened(page)
        dialog = await asked_for_stamps(page)
        assert searched.looked == []
        assert not dialog._said.isVisible()
        dialog.header.setText("batch")
        dialog.values.setPlainText("7")
        dialog.go_on.click()
        assert wishes == [RevokeStamped("batch", ["7"])]

    run(story())


@pytest.mark.parametrize(
    ("uuid", "answers", "said"),
    [
        ("bad0", [], "What this task was stamped with is not known: it is over"),
        ("wait0", [Surveyed(1, Survey(state="over"))], "Its message was not found in leads: a worker may have it"),
        ("wait0", [Surveyed(1, error="RabbitMQ can't be looked through.")], "RabbitMQ can't be looked through."),
        ("wait0", [Surveyed(1, Survey(found=[Message(9, id="wait0")]))], "Its message carries no stamp"),
    ],
)
def test_why_no_stamps_are_offered_is_said(
    page: TasksPage, searched: Searched, run: Run, uuid: str, answers: list[Surveyed], said: str
) -> None:
    async def story() -> None:
        searched.answers = answers
        await opened(page)
        await look_at(page, uuid)
        dialog = await asked_for_stamps(page)
        assert dialog._said.text().startswith(said)
        dialog.reject()

    run(story())


def test_a_form_that_is_closed_has_nobody_look_on(page: TasksPage, searched: Searched, run: Run) -> None:
    async def story() -> None:
        await opened(page)
        await look_at(page, "wait0")
        page._acts.menu._menu.aboutToShow.emit()
        choose(page._acts.menu._menu, "Revoke by a stamp …")
        [dialog] = [each for each in page.findChildren(StampDialog) if each.isVisible()]
        dialog.reject()
        await page.settled()
        await until(lambda: not page.findChildren(StampDialog))
        assert searched.looked == []

    run(story())


def test_hostile_names_are_shown_as_they_are(page: TasksPage, history: History, run: Run, now: float) -> None:
    evil = "<b>&x</b>"

    async def story() -> None:
        history.fold(received(evil, now + 1, name=evil))
        history.commit(now + 1)
        await opened(page)
        await look_at(page, evil)
        page._acts.revoke.click()
        page._acts.copy._menu.aboutToShow.emit()
        choose(page._acts.copy._menu, "Command: cloche rerun …")
        assert QGuiApplication.clipboard().text() == f"cloche rerun redis://shop.example/0 '{evil}'"

    run(story())
