"""The safety lock, by way of real collectors: locked, unlocked, counting down, locked again; and the access mode."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from PySide6.QtCore import QPoint, QSettings, Qt
from PySide6.QtGui import QColor, QContextMenuEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog, QMenu
from pytestqt.qtbot import QtBot

from app.models.acts import Outcome, Plan, Purge, Restore, Standing
from app.models.profiles import Environment, Mode, Profile, Profiles
from app.models.target import Target, target_of_profile
from app.ui.kept import Kept
from app.ui.main_window import MainWindow
from app.ui.operating import ending
from app.ui.supervisor import RESTARTS, Connection, Supervisor
from app.ui.theme import ThemeManager
from app.ui.widgets.act_dialog import ActDialog
from app.ui.widgets.mode_badge import ModeBadge
from app.ui.widgets.mode_dialog import ModeDialog
from app.ui.widgets.unlock import UnlockDialog
from tests.helpers.servers import RedisServer
from tests.ui.acting import PLAN, PlayedActs
from tests.ui.conftest import Run, until
from tests.ui.test_supervisor import live, stopped

D = TypeVar("D", bound=QDialog)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "profiles.json"


@pytest.fixture
def window(
    qtbot: QtBot, theme: ThemeManager, supervisor: Supervisor, tmp_path: Path, file: Path
) -> Iterator[MainWindow]:
    settings = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
    made = MainWindow(supervisor, theme, settings, Kept(file))
    qtbot.addWidget(made)
    with qtbot.waitActive(made):
        made.show()
        made.activateWindow()
    yield made
    theme.set_mode("dark")


def target(
    server: RedisServer, folder: Path, environment: Environment = "production", mode: Mode = "operate"
) -> Target:
    return Target("shop", folder / "shop.cloche", server.url, environment=environment, mode=mode)


def badge(window: MainWindow) -> ModeBadge:
    return window._top.badge


def word(window: MainWindow) -> str:
    return badge(window).word


def hot(window: MainWindow) -> bool:
    frame = window._operator._frame
    return frame is not None and frame.isVisible()


def opened(window: MainWindow, kind: type[D]) -> D:
    [dialog] = [each for each in window.findChildren(kind) if each.isVisible()]
    return dialog


def offered(window: MainWindow) -> list[str]:
    """What the menu of the lock says."""
    [menu] = [each for each in badge(window).findChildren(QMenu) if each.isVisible()]
    texts = [action.text() for action in menu.actions() if action.text()]
    menu.close()
    return texts


def choose(window: MainWindow, text: str) -> None:
    [menu] = [each for each in badge(window).findChildren(QMenu) if each.isVisible()]
    [action] = [each for each in menu.actions() if each.text() == text]
    menu.close()
    action.trigger()


async def unlocked(window: MainWindow, connection: Connection) -> None:
    """Until acting is unlocked, by hand."""
    await live(connection)
    await until(lambda: connection.acts.standing.typed == "production")
    badge(window).click()
    dialog = opened(window, UnlockDialog)
    assert dialog.cancel.isDefault()
    assert not dialog.unlock.isEnabled()
    QTest.keyClicks(dialog.field.edit, "production")
    dialog.unlock.click()
    await until(lambda: connection.acts.unlocked_for > 0)
    await until(lambda: not [each for each in window.findChildren(UnlockDialog) if each.isVisible()])


def test_production_is_unlocked_by_its_name_and_locked_at_once(
    window: MainWindow, run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path,
    theme: ThemeManager,
) -> None:  # fmt: skip
    async def story() -> None:
        connection = supervisor.add(target(redis_server, tmp_path))
        assert word(window) == "Operate · locked"
        assert not hot(window)
        await unlocked(window, connection)
        assert word(window).startswith("Operate · 14:")
        assert badge(window)._token == "production"
        assert hot(window)
        for where in (QPoint(1, 300), QPoint(300, window.height() - 2), QPoint(window.width() - 2, 300)):
            seen = QColor(window.grab().toImage().pixel(where)).name()
            assert seen == theme.theme.production
        badge(window).click()
        await until(lambda: word(window) == "Operate · locked")
        assert not hot(window)

    run(story())


def test_a_wrong_name_does_not_unlock(
    window: MainWindow, run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path
) -> None:
    async def story() -> None:
        connection = supervisor.add(target(redis_server, tmp_path))
        await live(connection)
        await until(lambda: connection.acts.standing.typed == "production")
        badge(window).click()
        dialog = opened(window, UnlockDialog)
        QTest.keyClicks(dialog.field.edit, "staging")
        assert not dialog.unlock.isEnabled()
        # And where the window would let it through, the collector does not.
        dialog._go()
        await until(lambda: "type the environment" in dialog.field._error.text())
        assert connection.acts.unlocked_for == 0
        QTest.keyClick(dialog, Qt.Key.Key_Return)
        assert not dialog.isVisible()
        assert word(window) == "Operate · locked"

    run(story())


def test_elsewhere_nothing_is_typed_and_nothing_is_red(
    window: MainWindow, run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path
) -> None:
    async def story() -> None:
        connection = supervisor.add(target(redis_server, tmp_path, "staging"))
        await live(connection)
        badge(window).setFocus()
        QTest.keyClick(badge(window), Qt.Key.Key_Space)
        dialog = opened(window, UnlockDialog)
        assert not dialog.field.edit.isVisible()
        dialog.unlock.click()
        await until(lambda: connection.acts.unlocked_for > 0)
        assert word(window).startswith("Operate · 14:")
        assert not hot(window)

    run(story())


def test_a_collector_that_is_started_again_is_locked(
    window: MainWindow, run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path
) -> None:
    async def story() -> None:
        connection = supervisor.add(target(redis_server, tmp_path))
        await unlocked(window, connection)
        first = connection.collector_pid
        os.kill(first, signal.SIGKILL)
        await stopped(connection)
        assert word(window) == "Operate · locked"
        assert not hot(window)
        await until(lambda: connection.collector_pid not in {0, first})
        # It says itself that it is.
        await until(lambda: connection.acts.standing == Standing(None, "production"))

    run(story())


def test_where_no_collector_runs_nothing_is_waited_for(
    window: MainWindow, run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path
) -> None:
    async def story() -> None:
        connection = supervisor.add(target(redis_server, tmp_path, "staging"))
        await live(connection)
        connection._restarts = [time.monotonic()] * RESTARTS
        os.kill(connection.collector_pid, signal.SIGKILL)
        await stopped(connection)
        window.act(Purge("mail"))
        dialog = opened(window, ActDialog)
        await until(lambda: dialog.stage == "refused")
        assert "there is no connection to the broker" in dialog._refusal.text()
        dialog.reject()
        badge(window).click()
        unlocking = opened(window, UnlockDialog)
        unlocking.unlock.click()
        await until(lambda: "there is no connection" in unlocking.field._error.text())

    run(story())


def test_what_the_collector_says_is_shown_and_time_that_is_over(
    window: MainWindow, run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path
) -> None:
    async def story() -> None:
        connection = supervisor.add(target(redis_server, tmp_path))
        await unlocked(window, connection)
        connection.acts.take(Standing(time.time() + 61.5, "production"))
        assert word(window) == "Operate · 1:01"
        connection.acts.take(Standing(time.time() - 1, "production"))
        assert word(window) == "Operate · locked"
        assert not hot(window)

    run(story())


async def answered(dialog: ActDialog) -> None:
    """Until the collector said what would be done, or why nothing can be."""
    await until(lambda: dialog.stage in ("asking", "refused"))
    dialog.reject()


# --- the access mode -------------------------------------------------------------------------------------------------


def test_a_safer_mode_is_free_and_operating_is_asked_for(
    window: MainWindow, run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path
) -> None:
    async def story() -> None:
        connection = supervisor.add(target(redis_server, tmp_path, mode="observe"))
        await live(connection)
        assert word(window) == "Observe"
        badge(window).click()
        assert offered(window)[1:] == ["Change to passive", "Change to operate …"]
        badge(window).click()
        choose(window, "Change to operate …")
        dialog = opened(window, ModeDialog)
        assert dialog.cancel.isDefault()
        assert not dialog.keep.isVisible()
        QTest.keyClick(dialog, Qt.Key.Key_Return)
        assert word(window) == "Observe"
        badge(window).click()
        choose(window, "Change to operate …")
        opened(window, ModeDialog).change.click()
        assert word(window) == "Operate · locked"
        await live(connection)
        await unlocked(window, connection)
        where = QPoint(5, 5)
        QApplication.sendEvent(
            badge(window), QContextMenuEvent(QContextMenuEvent.Reason.Keyboard, where, badge(window).mapToGlobal(where))
        )
        choose(window, "Change to passive")
        assert word(window) == "Passive"
        assert connection.acts.unlocked_for == 0
        await live(connection)

    run(story())


@pytest.mark.parametrize("keep", [False, True])
def test_a_mode_is_for_the_session_unless_it_is_to_be_kept(
    window: MainWindow, run: Run, redis_server: RedisServer, file: Path, *, keep: bool
) -> None:
    profile = Profile("shop", redis_server.url, "development", "observe")
    Profiles(file).put(profile)
    window.ways.kept._take(Profiles(file))

    async def story() -> None:
        window.ways.open(profile)
        connection = window._supervisor.connections[0]
        await live(connection)
        window.ways.change_mode(connection, "operate")
        dialog = opened(window, ModeDialog)
        assert dialog.keep.isVisible()
        assert not dialog.keep.isChecked()
        dialog.keep.setChecked(keep)
        dialog.change.click()
        assert connection.operates
        await live(connection)
        # Signing in anew, or opening it again, changes nothing of that.
        window.ways.connect_to(target_of_profile(window.ways.kept.all[0]))
        assert connection.operates

    run(story())
    assert Profiles(file).all[0].mode == ("operate" if keep else "observe")


def test_a_history_file_has_no_lock(window: MainWindow, run: Run, supervisor: Supervisor, history: Path) -> None:
    async def story() -> None:
        supervisor.add(Target("shop", history))
        assert word(window) == "Read only"
        assert not badge(window).isEnabled()
        window.act(Purge("mail"))
        assert "there is no broker behind it" in window._notices.texts()[0]
        assert window.findChildren(ActDialog) == []

    run(story())


# --- acting from the window ------------------------------------------------------------------------------------------


def test_a_page_that_wants_an_act_opens_the_dialog_and_the_collector_answers(
    window: MainWindow, run: Run, supervisor: Supervisor, tmp_path: Path, redis_server: RedisServer
) -> None:
    async def story() -> None:
        connection = supervisor.add(target(redis_server, tmp_path))
        await live(connection)
        for page in window.pages.values():
            page.act_wanted.emit(Purge("no such queue"))
            await answered(opened(window, ActDialog))

    run(story())


def test_where_the_window_is_about_all_brokers_nothing_acts(
    window: MainWindow, run: Run, supervisor: Supervisor, history: Path
) -> None:
    async def story() -> None:
        for name in ("a", "b"):
            supervisor.add(Target(name, history))
        window.scope.choose_all()
        window.act(Purge("mail"))
        assert "Choose that first" in window._notices.texts()[0]
        assert window.findChildren(ActDialog) == []

    run(story())


def test_the_end_of_an_act_that_nobody_saw_is_told_with_a_way_to_undo_it(
    window: MainWindow, run: Run, supervisor: Supervisor, history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.ui.link.CollectorLink.start", lambda _link: None)

    async def story() -> None:
        connection = supervisor.add(
            Target("shop", history, "redis://127.0.0.1:1/0", environment="staging", mode="operate")
        )
        acts = PlayedActs()
        acts.stand(Standing(2e10))
        monkeypatch.setattr(connection, "acts", acts)
        window.act(Purge("mail"))
        dialog = opened(window, ActDialog)
        acts.plans.put_nowait(msgspec.structs.replace(PLAN, typed="", count=3))
        await until(dialog.confirm.isEnabled)
        dialog.confirm.click()
        await until(lambda: acts.said)
        dialog.reject()
        acts.outcomes.put_nowait(
            Outcome(state="done", done=2, failed=1, total=3, text="They wait.", undo=Restore("q"), act="x")
        )
        await until(window._notices.texts)
        assert window._notices.texts() == ["Purge pagespeed: done, 2 of 3 messages, 1 failed. They wait."]
        [row] = window._notices._rows.values()
        assert row.remedy.text() == "Undo …"
        row.remedy.click()
        opened(window, ActDialog)
        await until(lambda: acts.wishes[-1][0] == Restore("q"))

    run(story())


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (Outcome(state="done", done=3, total=3, text="All."), "Do it: done, 3 of 3 tasks. All."),
        (Outcome(state="aborted", done=1, failed=2, total=3), "Do it: given up, 1 of 3 tasks, 2 failed."),
        (Outcome(state="failed", total=3, text="Gone."), "Do it: failed, 0 of 3 tasks. Gone."),
    ],
)
def test_an_end_is_told_in_a_sentence(outcome: Outcome, says: str) -> None:
    assert ending(Plan(title="Do it", verb="Do", count=3, things="task"), outcome) == says
