import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal
from unittest.mock import patch

import msgspec
import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from app.models.acts import Purge
from app.models.diagnosis import Action, Finding
from app.models.records import Queue
from app.models.target import Target
from app.models.wire import Health, Notice
from app.ui import words
from app.ui.main_window import MainWindow
from app.ui.pages.table_page import TablePage
from app.ui.shots import take_shots
from app.ui.supervisor import Connection, Supervisor
from app.ui.theme import ThemeManager
from app.ui.vitals import Vital
from app.ui.widgets.findings import OPERATE_ONLY
from app.ui.widgets.side_rows import Badge
from tests.helpers.events import T0
from tests.helpers.histories import recording
from tests.ui.conftest import Run, emitted

Open = Callable[[], MainWindow]


@pytest.fixture
def settings(tmp_path: Path) -> QSettings:
    return QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)


@pytest.fixture
def open_window(qtbot: QtBot, theme: ThemeManager, supervisor: Supervisor, settings: QSettings) -> Iterator[Open]:
    """Opens windows over the same supervisor and settings."""

    def opened() -> MainWindow:
        window = MainWindow(supervisor, theme, settings)
        qtbot.addWidget(window)
        with qtbot.waitActive(window):
            window.show()
            window.activateWindow()
        return window

    yield opened
    theme.set_mode("dark")


async def settled(window: MainWindow) -> None:
    """Until neither the frame nor a page reads."""
    for vitals in window.scope.brokers:
        if not vitals._reads:
            await emitted(vitals.changed)
        await vitals.settled()
    for page in window.pages.values():
        await page.settled()


def paused(window: MainWindow) -> bool:
    return window.range.paused


def live(connection: Connection, health: Health) -> None:
    connection.health = health
    connection.health_changed.emit()


def test_without_a_connection_it_says_how_to_begin(open_window: Open) -> None:
    window = open_window()
    assert window._stack.currentWidget() is window._home
    assert window._sidebar._below.isHidden()
    assert window._status._health.text() == "not connected"


def test_a_connection_that_comes_is_shown_at_once(
    open_window: Open, supervisor: Supervisor, history: Path, run: Run
) -> None:
    window = open_window()

    async def story() -> None:
        connection = supervisor.add(Target("shop", history, environment="production"))
        await settled(window)
        assert window._stack.currentWidget() is window.page
        assert window.page.connection is connection
        assert window.windowTitle() == "shop · Cloche"
        assert window._edge._token == "production"
        assert window._status._identity.text().startswith("received ")
        assert " = stored " in window._status._identity.text()
        assert window._status._lost.text() == "· 0 lost · 1 gap"

    run(story())


def test_keys_lead_to_pages_and_brokers(
    open_window: Open, supervisor: Supervisor, history: Path, run: Run, qtbot: QtBot
) -> None:
    window = open_window()

    async def story() -> None:
        for name in ("shop", "edr"):
            supervisor.add(Target(name, history))
        for number, name in enumerate(("overview", "tasks", "workers", "queues", "activity")):
            QTest.keyClick(window, Qt.Key(Qt.Key.Key_1 + number), Qt.KeyboardModifier.AltModifier)
            assert window.page is window.pages[name]
            assert window._stack.currentWidget() is window.page
        QTest.keyClick(window, Qt.Key.Key_2, Qt.KeyboardModifier.ControlModifier)
        assert window.page.connection is supervisor.connections[1]
        QTest.keyClick(window, Qt.Key.Key_9, Qt.KeyboardModifier.ControlModifier)
        assert window.page.connection is supervisor.connections[1]

    run(story())


def test_keys_rule_the_time_range(
    open_window: Open, supervisor: Supervisor, history: Path, run: Run, qtbot: QtBot
) -> None:
    window = open_window()

    async def story() -> None:
        supervisor.add(Target("shop", history))
        await settled(window)
        QTest.keyClick(window, Qt.Key.Key_Space)
        assert paused(window)
        QTest.keyClick(window, Qt.Key.Key_Space)
        assert not paused(window)
        QTest.keyClicks(window, "[")
        assert window.range.end is not None
        window.range.look_back(time.time() - 900, time.time() - 400)
        QTest.keyClick(window, Qt.Key.Key_Home)
        assert words.range_text(window.range) == "Live · 15 min"

    run(story())


def test_what_is_typed_into_a_field_is_no_command(
    open_window: Open, supervisor: Supervisor, history: Path, run: Run, qtbot: QtBot
) -> None:
    window = open_window()

    async def story() -> None:
        supervisor.add(Target("shop", history))
        window.show_page("tasks")
        field = window.page.findChild(QLineEdit)
        assert field is not None
        window.activateWindow()
        field.setFocus()
        QTest.keyClicks(field, "a [b]? c")
        assert field.text() == "a [b]? c"
        assert window.range.live
        assert not window.range.paused

    run(story())


def test_the_question_mark_lists_the_keys(open_window: Open, qtbot: QtBot) -> None:
    window = open_window()
    QTest.keyClicks(window, "?")
    dialog = window.findChild(QDialog)
    assert dialog is not None
    assert dialog.isVisible()
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_the_sidebar_tells_state_and_backlog(
    open_window: Open, supervisor: Supervisor, history: Path, run: Run
) -> None:
    window = open_window()

    async def story() -> None:
        connection = supervisor.add(Target("shop", history, environment="staging"))
        await settled(window)
        live(connection, Health("live", events_per_second=1243, behind=0.08))
        row = window._sidebar._brokers[0]
        assert row._state.words == "1,243 ev/s · 3 waiting"
        assert row._state.tag == "STAGING"
        live(connection, Health("disconnected", "Connection refused.", since=time.time() - 14.5))
        assert row._state.words == "disconnected for 14 s"
        assert "Connection refused." in row._state.tooltip.splitlines()
        assert "Worker w2@two is lost with 1 task." in row._state.tooltip.splitlines()
        assert row._state.badge == Badge(2, "failed")
        assert row.accessibleName().endswith(", 2 need attention")

    run(story())


def test_what_was_purged_is_no_backlog(open_window: Open, supervisor: Supervisor, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "purged.cloche"
    with recording(path) as made:
        waiting = Queue("mail", T0, ready=2, consumers=1)
        purged = Queue("mail.quarantine.20261122T020728123Z", T0, ready=50, consumers=0, role="quarantine")
        made.reducer.fold_queues([waiting, purged], T0)
        made.commit(1.0)
    window = open_window()

    async def story() -> None:
        connection = supervisor.add(Target("shop", path, environment="staging"))
        await settled(window)
        live(connection, Health("live", events_per_second=1, behind=0.08))
        assert window._sidebar._brokers[0]._state.words.endswith("· 2 waiting")

    run(story())


def test_what_needs_attention_is_on_the_overview_and_on_the_pages_it_is_about(
    open_window: Open, supervisor: Supervisor, history: Path, run: Run
) -> None:
    window = open_window()

    async def story() -> None:
        supervisor.add(Target("shop", history))
        await settled(window)
        overview, sidebar = window._pages.overview, window._sidebar
        assert [line.partition(".")[0] for line in overview._findings.texts()] == [
            "error: Worker w2@two is lost with 1 task",
            "warning: 1 message could not be understood",
            "info: Nobody listened once in the last 24 hours, for 1 m 00 s in all",
        ]
        assert sidebar._pages["tasks"].accessibleName() == "Tasks, 1 needs attention"
        assert sidebar._pages["overview"].accessibleName() == "Overview, 1 needs attention"
        assert sidebar._pages["workers"].accessibleName() == "Workers"
        overview._findings._rows["lost:w2@two"]._act.click()
        assert window.page is window.pages["tasks"]
        await emitted(window.page.loaded)
        await settled(window)
        found = window._pages.tasks._model.records()
        assert [(row.state, row.worker) for row in found] == [("LOST", "w2@two")]

    run(story())


def test_tasks_of_a_finding_are_shown_though_they_are_older_than_the_range(
    open_window: Open, supervisor: Supervisor, history: Path, run: Run
) -> None:
    window = open_window()

    async def story() -> None:
        supervisor.add(Target("shop", history))
        await settled(window)
        finding = Finding("unknown", "warning", time.time() - 4_000, "", "", "", Action("tasks", "is:unknown"))
        window.range.go_live(300.0)
        window._act(finding)
        assert window.range.span == 21_600.0
        window._act(msgspec.structs.replace(finding, since=time.time() - 10))
        assert window.range.span == 21_600.0
        end = time.time() - 9_000
        window.range.look_back(end - 900, end)
        window._act(finding)
        assert window.range.end == end

    run(story())


@pytest.mark.parametrize(("kind", "target", "page"), [("worker", "w1@one", "workers"), ("queue", "mail", "queues")])
def test_the_button_of_a_finding_leads_to_what_it_is_about(
    open_window: Open, supervisor: Supervisor, history: Path, run: Run, kind: Literal["worker", "queue"], target: str,
    page: str,
) -> None:  # fmt: skip
    window = open_window()

    async def story() -> None:
        supervisor.add(Target("shop", history))
        await settled(window)
        window._act(Finding("k", "error", None, "", "", "", Action(kind, target)))
        assert window.page is window.pages[page]
        await emitted(window.page.loaded)
        await settled(window)
        assert isinstance(window.page, TablePage)
        assert window.page._inspector.title.text() == target

    run(story())


def test_in_a_history_file_nobody_can_be_told_anything(
    open_window: Open, supervisor: Supervisor, history: Path, run: Run
) -> None:
    window = open_window()

    async def story() -> None:
        supervisor.add(Target("shop", history, mode="operate"))
        await settled(window)
        window._act(Finding("events", "warning", None, "", "", "", Action("events")))
        assert window.findChild(QDialog) is None

    run(story())


def test_a_history_in_trouble_stays_a_finding_though_its_notice_was_dismissed(
    open_window: Open, supervisor: Supervisor, history: Path, run: Run
) -> None:
    window = open_window()

    async def story() -> None:
        connection = supervisor.add(Target("shop", history))
        await settled(window)
        for text, first in (("The disk is full. Free space on it.", "error: The disk is full"), ("", "error: Worker")):
            connection.noticed.emit(Notice("history", text, "error"))
            await emitted(window.scope.brokers[0].changed)
            assert window._pages.overview._findings.texts()[0].startswith(first)

    run(story())


def test_a_pause_counts_tasks_that_came_meanwhile(
    open_window: Open, supervisor: Supervisor, history: Path, run: Run
) -> None:
    window = open_window()

    async def story() -> None:
        supervisor.add(Target("shop", history))
        await settled(window)
        window.range.set_paused(True)
        vitals = window.scope.brokers[0]
        assert vitals.vital is not None
        vitals.vital = Vital(last_task=vitals.vital.last_task + 1240)
        vitals.changed.emit()
        assert window._top.pause_button.accessibleName() == "Paused · 1,240 new"
        window.range.set_paused(False)
        assert window._top.pause_button.accessibleName() == "Pause"

    run(story())


def test_notices_name_their_broker_only_among_several(
    open_window: Open, supervisor: Supervisor, history: Path, run: Run
) -> None:
    window = open_window()

    async def story() -> None:
        first = supervisor.add(Target("shop", history))
        first.noticed.emit(Notice("a", "The disk is full."))
        supervisor.add(Target("edr", history)).noticed.emit(Notice("b", "Gone."))
        assert window._notices.texts() == ["edr: Gone.", "The disk is full."]

    run(story())


def test_trouble_of_a_page_is_a_notice_until_it_is_over(
    open_window: Open, supervisor: Supervisor, tmp_path: Path, history: Path, run: Run
) -> None:
    window = open_window()

    async def story() -> None:
        gone = tmp_path / "gone.cloche"
        supervisor.add(Target("shop", gone))
        await emitted(window.page.trouble)
        assert "gone.cloche" in window._notices.texts()[0]
        history.rename(gone)  # noqa: ASYNC240 - a file of the test's own
        window.page.reload()
        await emitted(window.page.loaded)
        assert window._notices.texts() == []

    run(story())


def test_a_double_click_on_a_name_shows_its_tasks(
    open_window: Open, supervisor: Supervisor, history: Path, run: Run
) -> None:
    window = open_window()

    async def story() -> None:
        supervisor.add(Target("shop", history))
        await settled(window)
        window.pages["overview"].name_opened.emit("shop.mail")  # type: ignore[attr-defined]
        assert window.page is window.pages["tasks"]
        field = window.page.findChild(QLineEdit)
        assert field is not None
        assert field.text() == 'name:"shop.mail"'

    run(story())


def test_the_window_comes_back_as_it_was_left(open_window: Open, qtbot: QtBot, theme: ThemeManager) -> None:
    window = open_window()
    window.resize(900, 700)
    window.show_page("queues")
    window.range.go_live(3600.0)
    theme.set_mode("light")
    with qtbot.waitSignal(window.closed):
        window.close()
    theme.set_mode("dark")
    again = open_window()
    assert again.height() == 700
    assert again.page is again.pages["queues"]
    assert again.range.span == 3600.0
    assert theme.theme.name == "light"


def test_damaged_settings_are_no_obstacle(open_window: Open, settings: QSettings) -> None:
    for key in ("geometry", "page", "span", "theme"):
        settings.setValue(f"window/{key}", "nonsense")
    window = open_window()
    assert window.page is window.pages["overview"]
    assert window.range.span == 900.0


def test_a_picture_of_every_page_is_taken_in_both_themes(
    open_window: Open, supervisor: Supervisor, history: Path, tmp_path: Path, theme: ThemeManager, run: Run
) -> None:
    window = open_window()

    async def story() -> None:
        supervisor.add(Target("shop", history))
        taken = await take_shots(window, theme, tmp_path / "shots", sizes=((1024, 700),))
        assert sorted(path.name for path in taken) == sorted(
            f"{page}-{mode}-1024x700.png" for page in window.pages for mode in ("dark", "light")
        )
        assert all(path.stat().st_size > 10_000 for path in taken)
        supervisor.add(Target("depot", history))
        taken = await take_shots(window, theme, tmp_path / "shots", sizes=((1024, 700),))
        across = {f"all-{page}-{mode}-1024x700.png" for page in window.across for mode in ("dark", "light")}
        assert across == {path.name for path in taken if path.name.startswith("all-")}
        assert not window.scope.all

    run(story())


def focused() -> QWidget:
    widget = QApplication.focusWidget()
    assert widget is not None
    return widget


def test_keys_for_acts_say_in_a_notice_why_they_do_nothing_and_it_goes_once_they_do(
    open_window: Open, supervisor: Supervisor, history: Path, run: Run
) -> None:
    window = open_window()

    async def story() -> None:
        with patch("app.ui.link.CollectorLink.start"):
            supervisor.add(Target("shop", history, "redis://shop.example/0", mode="observe"))
            supervisor.add(Target("old", history.with_name("old.cloche")))
        window.show_page("tasks")
        QTest.keyClick(focused(), Qt.Key.Key_R, Qt.KeyboardModifier.ShiftModifier)
        assert window._notices.texts() == [OPERATE_ONLY]
        window.scope.choose_all()
        window.show_page("tasks")
        QTest.keyClick(focused(), Qt.Key.Key_A, Qt.KeyboardModifier.ShiftModifier)
        assert window._notices.texts() == ["Each act is on one broker. Choose that first."]
        window.scope.choose(0)
        window.act(Purge("mail"))
        assert window._notices.texts() == []

    run(story())
