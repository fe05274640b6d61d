import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QMenu, QWidget
from pytestqt.qtbot import QtBot

from app.models.acts import Steer, Wish
from app.ui.live import TimeRange
from app.ui.pages.workers import WorkersPage
from app.ui.theme import ThemeManager
from app.ui.widgets.findings import OPERATE_ONLY
from app.ui.widgets.steer_dialog import COMMANDS, SteerDialog
from tests.ui.conftest import Run, loaded, put_on
from tests.ui.histories import History, Stand, heartbeat, received

SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """Workers w1 and w2 are online and consume queues, w0 was lost."""
    made, now = History(tmp_path / "h.cloche"), time.time()
    made.fold(heartbeat("w0@h", now - 190), now=now - 190)
    made.fold(heartbeat("w1@h", now), heartbeat("w2@h", now), received("a", now, name="mail.send"), now=now)
    made.reducer.fold_inspection("w1@h", {"queues": ["mail", "celery"]}, now)
    made.reducer.fold_inspection("w2@h", {"queues": ["money"]}, now)
    made.reducer.tick(now)
    made.commit(now)
    yield made
    made.close()


@pytest.fixture
def page(qtbot: QtBot, theme: ThemeManager, stand: Stand) -> WorkersPage:
    return put_on(qtbot, WorkersPage(theme, TimeRange()), stand)


async def look_at(page: WorkersPage, worker: str) -> None:
    page.inspect(worker)
    await loaded(page)


def choose(menu: QMenu, text: str) -> None:
    menu.aboutToShow.emit()
    [action] = [action for action in menu.actions() if action.text() == text]
    assert action.isEnabled(), action.toolTip()
    action.trigger()


def dialog_of(page: WorkersPage) -> SteerDialog:
    [dialog] = [dialog for dialog in page.findChildren(SteerDialog) if dialog.isVisible()]
    return dialog


def offers(edit: QLineEdit) -> list[str]:
    completer = edit.completer()
    assert completer is not None
    model = completer.completionModel()
    return [model.index(row, 0).data() for row in range(model.rowCount())]


def test_what_is_typed_goes_into_the_first_field_of_a_form(qtbot: QtBot) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    parent.show()
    dialog = SteerDialog(parent, next(each for each in COMMANDS if each.name == "pool_grow"), ["w1@h"], {})
    with qtbot.waitActive(dialog):
        dialog.open()
    field = QApplication.focusWidget()
    assert field is not None
    QTest.keyClicks(field, "3")
    assert dialog.wish() == Steer("pool_grow", ["w1@h"], number=3)


def test_a_worker_is_told_what_needs_no_form_and_shut_down(page: WorkersPage, wishes: list[Wish], run: Run) -> None:
    async def story() -> None:
        page.show()
        await look_at(page, "w1@h")
        acts = page._acts
        assert acts.end.property("kind") == "danger"
        acts.end.click()
        for text in ("Restart the pool …", "Turn events on …", "Turn events off …"):
            choose(acts.menu._menu, text)
        commands = [wish.command for wish in wishes if isinstance(wish, Steer)]
        assert commands == ["shutdown", "pool_restart", "enable_events", "disable_events"]
        assert all(wish == Steer(wish.command, ["w1@h"]) for wish in wishes if isinstance(wish, Steer))

    run(story())


def test_a_menu_opens_by_key_and_lets_all_else_go_on(page: WorkersPage, wishes: list[Wish], run: Run) -> None:
    async def story() -> None:
        page.show()
        await look_at(page, "w1@h")
        menu = page._acts.menu
        menu.setFocus()
        QTest.keyClick(menu, Qt.Key.Key_Space)
        assert menu._menu.isVisible()
        for key in (Qt.Key.Key_Up, Qt.Key.Key_Return):  # the last line
            QTest.keyClick(menu._menu, key)
        assert wishes == [Steer("disable_events", ["w1@h"])]

    run(story())


def test_each_command_that_needs_more_has_its_form(page: WorkersPage, wishes: list[Wish], run: Run) -> None:
    async def story() -> None:
        page.show()
        await look_at(page, "w1@h")
        for command in COMMANDS:
            if command.fields:
                choose(page._acts.menu._menu, f"{command.title} …")
                await page.settled()
                dialog = dialog_of(page)
                assert dialog.windowTitle() == f"{command.title}: w1@h"
                dialog.reject()
        assert wishes == []

    run(story())


def test_names_that_are_known_are_offered(page: WorkersPage, wishes: list[Wish], run: Run) -> None:
    async def story() -> None:
        page.show()
        await look_at(page, "w1@h")
        choose(page._acts.menu._menu, "Stop consuming a queue …")
        await page.settled()
        dialog = dialog_of(page)
        assert offers(dialog.edits["queue"]) == ["celery", "mail"]  # those that it consumes
        dialog.edits["queue"].setText("mail")
        dialog.go_on.click()
        choose(page._acts.menu._menu, "Rate limit of a task …")
        await page.settled()
        dialog = dialog_of(page)
        assert offers(dialog.edits["task"]) == ["mail.send"]
        dialog.edits["task"].setText("mail.send")
        dialog.edits["rate"].setText("10/m")
        dialog.go_on.click()
        assert wishes == [
            Steer("cancel_consumer", ["w1@h"], queue="mail"),
            Steer("rate_limit", ["w1@h"], task="mail.send", rate="10/m"),
        ]

    run(story())


def test_several_workers_are_told_in_one_act_without_those_that_are_gone(
    page: WorkersPage, wishes: list[Wish], run: Run
) -> None:
    async def story() -> None:
        page.show()
        await loaded(page)
        acts = page._acts
        assert not acts.bar.isVisible()
        page.table.selectAll()
        assert acts.bar.text == "3 selected"
        acts.end_many.click()
        choose(acts.menu_many._menu, "Turn events on …")
        choose(acts.menu_many._menu, "Add processes to the pool …")
        await page.settled()
        dialog = dialog_of(page)
        assert dialog.windowTitle() == "Add processes to the pool: 2 workers"
        dialog.edits["number"].setText("3")
        dialog.go_on.click()
        both = ["w1@h", "w2@h"]
        assert wishes == [Steer("shutdown", both), Steer("enable_events", both), Steer("pool_grow", both, number=3)]
        acts.bar.drop.click()
        assert not acts.bar.isVisible()

    run(story())


def test_a_worker_that_is_gone_can_be_told_nothing(page: WorkersPage, wishes: list[Wish], run: Run) -> None:
    async def story() -> None:
        page.show()
        await look_at(page, "w0@h")
        for button in (page._acts.menu, page._acts.end):
            assert not button.isEnabled()
            assert "It is gone" in button.toolTip()
        page._acts._tell("shutdown", ["w0@h"])
        assert wishes == []

    run(story())


def test_where_nothing_may_be_done_each_button_says_why(page: WorkersPage, stand: Stand, run: Run) -> None:
    async def story() -> None:
        stand.operates = False
        page.show()
        await look_at(page, "w1@h")
        page.table.selectAll()
        acts = page._acts
        for button in (acts.menu, acts.end, acts.menu_many, acts.end_many):
            assert button.isVisible()
            assert not button.isEnabled()
            assert button.accessibleDescription() == OPERATE_ONLY
        acts._pop_up(QPoint())
        [menu] = [menu for menu in page.table.findChildren(QMenu) if menu.isVisible()]
        assert not any(action.isEnabled() for action in menu.actions() if not action.isSeparator())
        menu.close()

    run(story())


def test_of_a_history_file_nothing_is_offered(qtbot: QtBot, theme: ThemeManager, history: History, run: Run) -> None:
    stand, page = Stand(history.path, live=False), WorkersPage(theme, TimeRange())
    qtbot.addWidget(page)
    page.set_connection(stand)  # type: ignore[arg-type]

    async def story() -> None:
        page.show()
        await look_at(page, "w1@h")
        page.table.selectAll()
        assert not page._acts.foot.isVisible()
        assert not page._acts.bar.isVisible()
        page._acts._pop_up(QPoint())
        assert page.table.findChildren(QMenu) == []

    run(story())
    stand.close()


def test_rows_are_selected_by_mouse_without_opening_the_inspector(page: WorkersPage, run: Run) -> None:
    async def story() -> None:
        page.show()
        await loaded(page)
        view, model = page.table.viewport(), page.table.model()
        for row in (0, 1):
            at = page.table.visualRect(model.index(row, 1)).center()
            QTest.mouseClick(view, Qt.MouseButton.LeftButton, CONTROL, at)
        assert page._acts.bar.text == "2 selected"
        assert not page._details.isVisible()

    run(story())
