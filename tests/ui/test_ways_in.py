"""How connections come and go in the window: passwords that are missing, settings that change, what is forgotten."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import keyring.errors
import msgspec
import psutil
import pytest
from PySide6.QtCore import QPoint, QSettings, Qt
from PySide6.QtGui import QColor, QContextMenuEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog, QLabel, QLineEdit, QMenu
from pytestqt.qtbot import QtBot

from app.keyrings import SERVICE
from app.models.profiles import Environment, Key, Lock, Profile, Profiles
from app.models.target import Target, history_of
from app.models.wire import SIGN_IN_REFUSED
from app.ui.kept import Kept
from app.ui.main_window import MainWindow
from app.ui.supervisor import Connection, Supervisor
from app.ui.theme import ThemeManager
from app.ui.widgets.confirm_dialog import ConfirmDialog
from app.ui.widgets.connect_dialog import ConnectDialog
from app.ui.widgets.password_dialog import PasswordDialog
from app.ui.widgets.side_rows import SideRow
from tests.helpers.keyrings import Foreign, System, made, offer
from tests.helpers.servers import RedisServer
from tests.ui.conftest import Run
from tests.ui.test_connect_dialog import once
from tests.ui.test_supervisor import live, until

SECRET = "canary-7f3a"
KEPT: dict[Lock, Key] = {"broker": "kept"}
D = TypeVar("D", bound=QDialog)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "profiles.json"


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    backend = made(System)
    assert isinstance(backend, System)
    offer(monkeypatch, backend)
    return backend


@pytest.fixture
def locked() -> Iterator[RedisServer]:
    """A Redis that wants the secret."""
    with RedisServer("--requirepass", SECRET) as server:
        yield server


@pytest.fixture
def shop(locked: RedisServer, file: Path) -> Profile:
    """A kept connection to it, whose password is said to be in the keyring."""
    profile = Profile("shop", f"redis://127.0.0.1:{locked.port}/0", "staging", passwords=KEPT)
    Profiles(file).put(profile)
    return profile


@pytest.fixture
def window(
    qtbot: QtBot, theme: ThemeManager, supervisor: Supervisor, tmp_path: Path, file: Path, shop: Profile
) -> Iterator[MainWindow]:
    settings = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
    window = MainWindow(supervisor, theme, settings, Kept(file))
    qtbot.addWidget(window)
    with qtbot.waitActive(window):
        window.show()
        window.activateWindow()
    yield window
    theme.set_mode("dark")


def opened(window: MainWindow, kind: type[D]) -> D:
    """The dialog of a kind that is open."""
    [dialog] = [each for each in window.findChildren(kind) if each.isVisible()]
    return dialog


def dialogs(window: MainWindow) -> list[QDialog]:
    return [each for each in window.findChildren(QDialog) if each.isVisible()]


def actions(window: MainWindow) -> dict[str, Callable[[], None]]:
    """What the menu that is open offers."""
    [menu] = [each for each in window.findChildren(QMenu) if each.isVisible()]
    return {action.text(): action.trigger for action in menu.actions() if action.text()}


def choose(window: MainWindow, row: SideRow, name: str) -> None:
    """Do what a row's menu offers."""
    assert row.more is not None
    row.more.click()
    offered = actions(window)
    [menu] = [each for each in window.findChildren(QMenu) if each.isVisible()]
    menu.close()
    offered[name]()


async def connected(window: MainWindow) -> Connection:
    """The connection to the shop, live."""
    await window.ways.kept.settled()
    [connection] = window._supervisor.connections
    await live(connection)
    return connection


def written(folder: Path) -> list[Path]:
    """Files that hold the secret."""
    return [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


# --- passwords that are missing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (None, "No password is kept for it on this computer."),
        (keyring.errors.KeyringLocked("the collection is locked"), "the collection is locked. Unlock it"),
        (keyring.errors.InitError("access was denied"), "access was denied. Unlock it"),
        (Foreign("the service went away"), "the service went away. Unlock it"),
        (OSError("no bus"), "no bus. Unlock it"),
        (RuntimeError("not from here"), "not from here. Unlock it"),
    ],
    ids=["empty", "locked", "denied", "raising", "no bus", "wrong thread"],
)
def test_f35_a_keyring_that_does_not_tell_a_password_has_it_asked_for(
    window: MainWindow, run: Run, system: System, shop: Profile, tmp_path: Path, failure: Exception | None, said: str
) -> None:
    system.failure = failure

    async def story() -> None:
        window._sidebar._off[0].click()
        await window.ways.kept.settled()
        dialog = opened(window, PasswordDialog)
        texts = [label.text() for label in dialog.findChildren(QLabel)]
        assert "Sign in to shop" in texts
        assert shop.url in texts
        assert said in " ".join(texts)
        # One that refuses to tell a password is not asked to take one.
        assert dialog.keep.isHidden() == (failure is not None)
        assert not dialog.sign_in.isEnabled()
        dialog.keep.setChecked(False)
        QTest.keyClicks(dialog.edits["broker"], SECRET)
        assert dialog.edits["broker"].echoMode() == QLineEdit.EchoMode.Password
        QTest.keyClick(dialog.edits["broker"], Qt.Key.Key_Return)
        connection = await connected(window)
        assert connection.target.password == SECRET
        assert not window._notices.texts()
        assert SECRET not in " ".join(psutil.Process(connection.collector_pid).cmdline())

    run(story())
    assert system.kept == {}
    assert written(tmp_path) == []
    assert written(history_of(shop).parent) == []


def test_f35_without_a_keyring_a_password_is_asked_for_and_good_for_one_connection(
    window: MainWindow, run: Run, tmp_path: Path, supervisor: Supervisor
) -> None:
    async def story() -> None:
        for _ in range(2):
            window._sidebar._off[0].click()
            await window.ways.kept.settled()
            dialog = opened(window, PasswordDialog)
            assert dialog.keep.isHidden()
            assert "no keyring that can be trusted" in " ".join(label.text() for label in dialog.findChildren(QLabel))
            dialog.edits["broker"].setText(SECRET)
            dialog.sign_in.click()
            window.ways.leave(await connected(window))
            assert supervisor.connections == []

    run(story())
    assert written(tmp_path) == []


def test_a_password_that_was_asked_for_is_kept_where_that_is_wanted(
    window: MainWindow, run: Run, system: System, shop: Profile, tmp_path: Path
) -> None:
    async def story() -> None:
        window.ways.open(shop)
        await window.ways.kept.settled()
        dialog = opened(window, PasswordDialog)
        assert dialog.keep.isChecked()  # as it was said of it
        dialog.edits["broker"].setText(SECRET)
        dialog.sign_in.click()
        connection = await connected(window)
        assert system.kept == {(SERVICE, shop.id): SECRET}
        window.ways.leave(connection)
        window.ways.open(shop)
        await connected(window)
        assert dialogs(window) == []

    run(story())
    assert written(tmp_path) == []


def test_who_does_not_enter_a_password_is_not_connected(
    window: MainWindow, run: Run, system: System, shop: Profile, supervisor: Supervisor
) -> None:
    async def story() -> None:
        window.ways.open(shop)
        await window.ways.kept.settled()
        opened(window, PasswordDialog).cancel.click()
        assert supervisor.connections == []

    run(story())


def test_a_password_that_is_refused_is_entered_anew_from_the_notice(
    window: MainWindow, run: Run, system: System, shop: Profile
) -> None:
    system.kept[SERVICE, shop.id] = "rotated"

    async def story() -> None:
        window.ways.open(shop)
        await window.ways.kept.settled()
        [connection] = window._supervisor.connections
        await until(connection.health_changed, lambda: connection.health.fault == SIGN_IN_REFUSED)
        await until(connection.noticed, lambda: any("queues" in key for key in window._notices._rows))
        [text] = window._notices.texts()  # what several say of it is read once
        assert "refused the sign-in" in text
        [row] = [row for row in window._notices._rows.values() if row.has_remedy]
        row.remedy.click()
        dialog = opened(window, PasswordDialog)
        assert dialog.keep.isChecked()
        dialog.edits["broker"].setText(SECRET)
        dialog.sign_in.click()
        assert await connected(window) is connection
        assert window._notices.texts() == []
        assert system.kept == {(SERVICE, shop.id): SECRET}

    run(story())


def test_a_refused_password_that_is_not_to_be_kept_is_no_longer_in_the_keyring(
    window: MainWindow, run: Run, system: System, shop: Profile, file: Path
) -> None:
    system.kept[SERVICE, shop.id] = "rotated"

    async def story() -> None:
        window.ways.open(shop)
        await window.ways.kept.settled()
        choose(window, window._sidebar._brokers[0], "Enter password …")
        dialog = opened(window, PasswordDialog)
        dialog.keep.setChecked(False)
        dialog.edits["broker"].setText(SECRET)
        dialog.sign_in.click()
        await connected(window)

    run(story())
    assert system.kept == {}
    assert Profiles(file).all[0].passwords == {"broker": "asked"}


def test_a_password_is_entered_anew_for_a_connection_that_is_not_kept(
    window: MainWindow, run: Run, system: System, locked: RedisServer, tmp_path: Path
) -> None:
    target = Target("once", tmp_path / "once.cloche", f"redis://127.0.0.1:{locked.port}/0", "wrong")

    async def story() -> None:
        window.ways.connect_to(target)
        [connection] = window._supervisor.connections
        await until(connection.health_changed, lambda: connection.health.fault == SIGN_IN_REFUSED)
        window.ways.enter_password(connection)
        dialog = opened(window, PasswordDialog)
        assert dialog.keep.isHidden()
        dialog.edits["broker"].setText(SECRET)
        dialog.sign_in.click()
        await connected(window)

    run(story())
    assert system.kept == {}


# --- edited ----------------------------------------------------------------------------------------------------------


async def edited(window: MainWindow, shop: Profile, change: Callable[[ConnectDialog], None]) -> None:
    """Change something of the shop, and save it."""
    window.ways.edit(shop)
    dialog = opened(window, ConnectDialog)
    change(dialog)
    dialog.connect_.click()
    assert dialog._check is not None, dialog.form.error
    await once(dialog._check.ended)
    assert not [each for each in dialogs(window) if each is dialog]
    await window.ways.kept.settled()


def test_a_running_connection_that_is_edited_is_connected_anew_into_its_history(
    window: MainWindow, run: Run, system: System, shop: Profile, file: Path
) -> None:
    system.kept[SERVICE, shop.id] = SECRET

    async def story() -> None:
        window.ways.open(shop)
        connection = await connected(window)
        before, history = connection.collector_pid, connection.history
        created = await connection.query(lambda reader: reader.meta()["created"])

        def change(dialog: ConnectDialog) -> None:
            form = dialog.form
            assert (form.address.text(), form.name.text(), form.environment.value) == (shop.url, "shop", "staging")
            assert (form.password.text(), form.password.placeholderText()) == ("", "Kept in the keyring")
            assert dialog.connect_.text() == "Save and reconnect"
            assert "its history goes on" in dialog.note.text()
            form.name.setText("store")
            form.queues.setText("mail")
            form.environment.choose("production")
            form.history.arguments.setChecked(True)

        await edited(window, shop, change)
        assert connection.health.state == "starting"
        assert await connected(window) is connection
        assert connection.collector_pid != before
        assert (connection.history, history.exists()) == (history, True)
        assert await connection.query(lambda reader: reader.meta()["created"]) == created
        assert (connection.target.queues, connection.target.keep_arguments) == (["mail"], False)
        assert window.windowTitle() == "store · Cloche"
        assert window._edge._token == "production"
        assert window._sidebar._brokers[0]._state.name == "store"
        assert system.kept == {(SERVICE, shop.id): SECRET}
        # And also once it was closed: its history is found under its former name.
        assert history_of(window.ways.kept.all[0]) == history

    run(story())
    [profile] = Profiles(file).all
    assert (profile.id, profile.name, profile.passwords) == (shop.id, "store", {"broker": "kept"})


def test_a_connection_that_is_off_is_saved_and_stays_off(
    window: MainWindow, run: Run, system: System, shop: Profile, supervisor: Supervisor
) -> None:
    async def story() -> None:
        def change(dialog: ConnectDialog) -> None:
            assert dialog.connect_.text() == "Save"
            assert dialog.note.isHidden()
            assert dialog.imports.isHidden()
            dialog.form.name.setText("store")

        await edited(window, shop, change)
        assert supervisor.connections == []
        assert [row.profile.name for row in window._sidebar._off] == ["store"]

    run(story())


def test_a_kept_password_is_not_sent_to_another_address(
    window: MainWindow, run: Run, system: System, shop: Profile, file: Path
) -> None:
    system.kept[SERVICE, shop.id] = SECRET

    async def story() -> None:
        window.ways.open(shop)
        connection = await connected(window)

        def change(dialog: ConnectDialog) -> None:
            dialog.form.address.setText("redis://elsewhere.invalid:6379/0")
            assert dialog.form.password.placeholderText() == "None"
            assert "not sent to another address" in dialog.form._why.text()

        await edited(window, shop, change)
        assert connection.target.url == "redis://elsewhere.invalid:6379/0"
        assert connection.target.password is None

    run(story())
    assert system.kept == {}
    assert Profiles(file).all[0].passwords == {}


def test_a_password_is_replaced_or_taken_out_of_the_keyring_in_the_form(
    window: MainWindow, run: Run, system: System, shop: Profile, file: Path
) -> None:
    system.kept[SERVICE, shop.id] = "old"

    async def story() -> None:
        await edited(window, shop, lambda dialog: dialog.form.password.setText(SECRET))
        assert system.kept == {(SERVICE, shop.id): SECRET}
        assert system.forgotten == []  # which could come after the new one
        [now] = window.ways.kept.all
        await edited(window, now, lambda dialog: dialog.form.remember.setChecked(False))
        assert system.kept == {}
        [now] = window.ways.kept.all
        window.ways.edit(now)
        assert opened(window, ConnectDialog).form.password.placeholderText() == "Asked for each time"

    run(story())
    assert Profiles(file).all[0].passwords == {"broker": "asked"}


@pytest.mark.parametrize("place", ["keyring", "memory", "nowhere"])
def test_a_test_of_a_known_connection_signs_in_with_the_password_it_has(
    window: MainWindow, run: Run, system: System, shop: Profile, place: str
) -> None:
    async def story() -> None:
        if place == "memory":
            window.ways.kept.sign_in(shop, {"broker": SECRET}, remember=None)
            await connected(window)
        elif place == "keyring":
            system.kept[SERVICE, shop.id] = SECRET
        window.ways.edit(shop)
        dialog = opened(window, ConnectDialog)
        dialog.test.click()
        await window.ways.kept.settled()
        if place == "nowhere":
            assert "enter it here to test" in dialog.form.error
            assert dialog._test is None
            return
        assert dialog._test is not None
        await until(dialog._test.found, lambda: len(dialog.found.lines) > 2)
        assert dialog.found.lines[1].startswith("sign in works")

    run(story())


def test_a_password_of_the_result_backend_is_kept_under_an_entry_of_its_own(
    window: MainWindow, run: Run, system: System, shop: Profile, file: Path, tmp_path: Path
) -> None:
    system.kept[SERVICE, shop.id] = SECRET
    backend = f"redis://:{SECRET}-2@results.invalid/1"

    async def story() -> None:
        def change(dialog: ConnectDialog) -> None:
            dialog.form.options.put("result_backend", backend)
            assert dialog.form.options.backend_password.text() == f"{SECRET}-2"
            assert not dialog.form.options.backend_password.isHidden()

        await edited(window, shop, change)
        assert system.kept == {(SERVICE, shop.id): SECRET, (SERVICE, f"{shop.id}.backend"): f"{SECRET}-2"}
        [now] = window.ways.kept.all
        assert now.options == {"result_backend": "redis://results.invalid/1"}
        window.ways.open(now)
        connection = await connected(window)
        assert connection.target.backend_password == f"{SECRET}-2"
        window.ways.forget(now)
        opened(window, ConfirmDialog).do.click()
        await window.ways.kept.settled()

    run(story())
    assert system.kept == {}
    assert written(tmp_path) == []


# --- coming and going ------------------------------------------------------------------------------------------------


def test_a_kept_connection_is_off_on_and_off_again_and_its_history_goes_on(
    window: MainWindow, run: Run, system: System, shop: Profile, supervisor: Supervisor
) -> None:
    system.kept[SERVICE, shop.id] = SECRET

    async def story() -> None:
        [row] = window._sidebar._off
        assert row.accessibleName() == "shop, staging, off"
        for _ in range(2):
            window._sidebar._off[0].click()
            await connected(window)
            assert window._sidebar._off == []
            choose(window, window._sidebar._brokers[0], "Disconnect")
            assert supervisor.connections == []
            assert window._sidebar._brokers == []
            assert len(window._sidebar._off) == 1
            assert window._stack.currentWidget() is window._home
            assert window.windowTitle() == "Cloche"

    run(story())


def test_a_connection_that_is_opened_again_waits_for_its_history(
    window: MainWindow, run: Run, system: System, shop: Profile
) -> None:
    system.kept[SERVICE, shop.id] = SECRET

    async def story() -> None:
        window.ways.open(shop)
        connection = await connected(window)
        hung = psutil.Process(connection.collector_pid)
        hung.suspend()  # it does not end before it is killed, and has the history until then
        window.ways.leave(connection)
        window.ways.open(shop)
        again = await connected(window)
        assert again is not connection
        assert again.history == connection.history
        assert not hung.is_running()

    run(story())


def test_of_several_the_one_that_goes_makes_room_for_another(
    window: MainWindow, run: Run, supervisor: Supervisor, history: Path, tmp_path: Path
) -> None:
    async def story() -> None:
        first, second, third = (supervisor.add(Target(name, history)) for name in ("a", "b", "c"))
        window.scope.choose(1)
        window.ways.leave(first)
        assert (window.page.connection, window.scope.place) == (second, 0)
        window.scope.choose_all()
        window.ways.leave(second)
        assert not window.scope.all
        assert (window.page.connection, window.scope.place) == (third, 0)
        assert window._sidebar._all.isHidden()
        assert window.windowTitle() == "c · Cloche"
        window._sidebar._brokers[0].click()
        assert [row._state.name for row in window._sidebar._brokers] == ["c"]
        window.ways.leave(third)
        assert window.page.connection is None

    run(story())


def test_what_is_forgotten_is_forgotten_with_its_password_and_its_history_stays(
    window: MainWindow, run: Run, system: System, shop: Profile, supervisor: Supervisor, file: Path
) -> None:
    system.kept[SERVICE, shop.id] = SECRET

    async def story() -> None:
        window.ways.open(shop)
        connection = await connected(window)
        choose(window, window._sidebar._brokers[0], "Forget …")
        dialog = opened(window, ConfirmDialog)
        assert dialog.cancel.isDefault()
        assert str(connection.history) in " ".join(label.text() for label in dialog.findChildren(QLabel))
        dialog.cancel.click()
        assert len(Profiles(file).all) == 1
        choose(window, window._sidebar._brokers[0], "Forget …")
        opened(window, ConfirmDialog).do.click()
        await window.ways.kept.settled()
        assert supervisor.connections == []
        assert connection.history.exists()

    run(story())
    assert Profiles(file).all == []
    assert system.kept == {}


def test_a_keyring_that_does_not_forget_is_told_of(window: MainWindow, run: Run, system: System, shop: Profile) -> None:
    system.locked = True

    async def story() -> None:
        window.ways.forget(shop)
        opened(window, ConfirmDialog).do.click()
        await window.ways.kept.settled()
        assert "is still in the keyring" in window._notices.texts()[0]

    run(story())


@pytest.mark.parametrize("where", ["home", "sidebar", "broker"])
def test_menus_of_rows_are_reached_by_mouse_and_keyboard(
    window: MainWindow, run: Run, system: System, shop: Profile, where: str
) -> None:
    system.kept[SERVICE, shop.id] = SECRET

    async def story() -> None:
        if where == "broker":
            window.ways.open(shop)
            await connected(window)
        rows: dict[str, Sequence[SideRow]] = {
            "home": window._home.profiles,
            "sidebar": window._sidebar._off,
            "broker": window._sidebar._brokers,
        }
        row = rows[where][0]
        offered = ["Edit …", "Enter password …", "Disconnect"] if where == "broker" else ["Connect", "Edit …"]
        assert row.more is not None
        row.setFocus()
        assert row.more.in_sight
        QTest.keyClick(row, Qt.Key.Key_Tab)
        assert window.focusWidget() is row.more
        assert row.more.accessibleName() == "More for shop"
        QTest.keyClick(row.more, Qt.Key.Key_Space)
        assert list(actions(window)) == [*offered, "Forget …"]
        [menu] = [each for each in window.findChildren(QMenu) if each.isVisible()]
        menu.close()
        for reason in (QContextMenuEvent.Reason.Mouse, QContextMenuEvent.Reason.Keyboard):
            QApplication.sendEvent(row, QContextMenuEvent(reason, QPoint(5, 5), row.mapToGlobal(QPoint(5, 5))))
            assert list(actions(window)) == [*offered, "Forget …"]
            [menu] = [each for each in window.findChildren(QMenu) if each.isVisible()]
            menu.close()

    run(story())


# --- what is red -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "own", "seen"),
    [
        ("production", None, "production"),
        ("production", "#a98bf5", "production"),
        ("staging", "#a98bf5", "#a98bf5"),
        ("staging", None, "staging"),
    ],
)
def test_the_upper_edge_has_the_colour_of_the_connection_and_is_red_in_production(
    window: MainWindow, run: Run, theme: ThemeManager, history: Path, environment: Environment, own: str, seen: str
) -> None:
    async def story() -> None:
        window._supervisor.add(Target("shop", history, environment=environment, colour=own))
        expected = seen if seen.startswith("#") else theme.theme.colour(seen).name()
        assert window._edge.colour.name() == expected
        assert QColor(window._edge.grab().toImage().pixel(5, 1)).name() == expected

    run(story())


def test_a_pinned_certificate_is_seen_for_as_long_as_it_is_pinned(window: MainWindow, run: Run, tmp_path: Path) -> None:
    pinned = Target("shop", tmp_path / "a.cloche", "rediss://127.0.0.1:1/0", options={"ssl_fingerprint": "ab" * 32})

    async def story() -> None:
        connection = window._supervisor.add(pinned)
        row = window._sidebar._brokers[0]
        assert not window._top._pinned.isHidden()
        assert row._state.pinned
        assert "pinned certificate" in row.accessibleName()
        assert "nobody else vouches for it" in row.toolTip()
        connection.renew(msgspec.structs.replace(pinned, options={}))
        assert window._top._pinned.isHidden()
        assert not row._state.pinned

    run(story())
