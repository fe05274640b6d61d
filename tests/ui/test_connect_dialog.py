"""The way in: from an address in the clipboard to a connection that is live, with its password in no wrong place."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import keyring
import msgspec
import psutil
import pytest
from PySide6.QtCore import QSettings, Qt, SignalInstance
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from app.keyrings import SERVICE
from app.models.celeryconfig import Settings
from app.models.profiles import Key, Lock, Profile, Profiles
from app.models.wire import Found, Offer
from app.ui.kept import Kept
from app.ui.main_window import MainWindow
from app.ui.supervisor import Connection, Supervisor
from app.ui.theme import ThemeManager
from app.ui.widgets.connect_dialog import ConnectDialog
from app.ui.widgets.connect_form import ConnectForm
from app.ui.widgets.import_button import ImportButton
from tests.helpers.keyrings import System, made, offer
from tests.helpers.servers import RedisServer
from tests.ui.conftest import Run, emitted
from tests.ui.test_supervisor import live, until

SECRET = "canary-7f3a"
NAMES = ["connect", "sign in", "subscribe", "queues", "workers", "task events", "task-sent"]
KEPT: dict[Lock, Key] = {"broker": "kept"}
Open = Callable[[], ConnectDialog]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "profiles.json"


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    """The system's keyring, empty and unlocked."""
    backend = made(System)
    assert isinstance(backend, System)
    offer(monkeypatch, backend)
    return backend


@pytest.fixture
def open_window(
    qtbot: QtBot, theme: ThemeManager, supervisor: Supervisor, tmp_path: Path, file: Path
) -> Iterator[Callable[[], MainWindow]]:
    def opened() -> MainWindow:
        settings = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
        window = MainWindow(supervisor, theme, settings, Kept(file))
        qtbot.addWidget(window)
        with qtbot.waitActive(window):
            window.show()
            window.activateWindow()
        return window

    yield opened
    theme.set_mode("dark")


@pytest.fixture
def open_dialog(open_window: Callable[[], MainWindow], qtbot: QtBot) -> Open:
    def opened() -> ConnectDialog:
        window = open_window()
        window.ways.connect_()
        dialog = dialog_of(window)
        dialog.activateWindow()
        qtbot.waitUntil(dialog.form.address.hasFocus)
        return dialog

    return opened


@pytest.fixture
def locked() -> Iterator[RedisServer]:
    """A Redis that wants the secret."""
    with RedisServer("--requirepass", SECRET) as server:
        yield server


def dialog_of(window: QWidget) -> ConnectDialog:
    [dialog] = [child for child in window.findChildren(ConnectDialog) if child.isVisible()]
    return dialog


def address_of(server: RedisServer, password: str = SECRET) -> str:
    return f"redis://:{password}@127.0.0.1:{server.port}/0"


def paste(dialog: ConnectDialog, text: str) -> None:
    QGuiApplication.clipboard().setText(text)
    dialog.form.address.selectAll()
    dialog.form.address.paste()


async def added(supervisor: Supervisor) -> Connection:
    if not supervisor.connections:
        await emitted(supervisor.added)
    await live(supervisor.connections[-1])
    return supervisor.connections[-1]


async def once(signal: SignalInstance) -> None:
    """Until a signal is emitted whose sender may be gone with it."""
    heard = asyncio.Event()
    signal.connect(lambda *_: heard.set())
    await heard.wait()


def children_of(supervisor: Supervisor) -> list[psutil.Process]:
    return [psutil.Process(examiner.pid) for examiner in supervisor._examiners if examiner.pid]


# --- the address -----------------------------------------------------------------------------------------------------


def test_what_is_pasted_loses_its_password_at_once(open_dialog: Open) -> None:
    form = open_dialog().form
    QGuiApplication.clipboard().setText(f"  redis://ops:{SECRET}@shop.example:6379/2\n")
    form.address.paste()
    assert form.address.text() == "redis://ops@shop.example:6379/2"
    assert form.password.text() == SECRET
    assert form.password.echoMode() == QLineEdit.EchoMode.Password
    assert form.name.text() == "shop.example:6379/2"
    form.address.undo()
    assert SECRET not in form.address.text()


def test_what_is_typed_loses_its_password_once_it_is_complete(open_dialog: Open) -> None:
    form = open_dialog().form
    QTest.keyClicks(form.address, "redis://:can@ry@shop.example:6379/0")
    assert form.password.text() == ""
    form.name.setFocus()
    assert form.address.text() == "redis://shop.example:6379/0"
    assert form.password.text() == "can@ry"


def test_a_password_is_not_sent_to_the_next_address_that_is_pasted(open_dialog: Open) -> None:
    dialog = open_dialog()
    paste(dialog, f"redis://:{SECRET}@shop.example:6379/0")
    paste(dialog, "redis://shop.example:6379/1")
    assert dialog.form.password.text() == SECRET  # it is the same broker
    paste(dialog, "redis://other.example:6379/0")
    assert dialog.form.password.text() == ""


def test_a_name_that_the_user_gave_stays(open_dialog: Open) -> None:
    dialog = open_dialog()
    paste(dialog, "amqp://guest@shop.example/prod")
    assert dialog.form.name.text() == "shop.example/prod"
    dialog.form.name.clear()
    QTest.keyClicks(dialog.form.name, "shop")
    paste(dialog, "amqp://guest@shop.example/other")
    assert dialog.form.name.text() == "shop"


@pytest.mark.parametrize(
    ("address", "options", "sentence"),
    [
        ("", "", "Paste the address"),
        ("shop.example:6379", "", "An address begins with the kind of broker"),
        ("redis://shop.example:port/0", "", "check host and port"),
        ("redis://shop.example/zero", "", "The database in a Redis address is a number"),
        ("redis://shop.example/0", "nonsense=1", "'nonsense' is not known"),
        ("redis://shop.example/0", "global_keyprefix", "KEY=VALUE"),
    ],
)
def test_an_address_that_can_not_be_used_says_why_in_place(
    open_dialog: Open, supervisor: Supervisor, run: Run, file: Path, address: str, options: str, sentence: str
) -> None:
    dialog = open_dialog()

    async def story() -> None:
        paste(dialog, address)
        dialog.form.options.others.setPlainText(options)
        for button in (dialog.connect_, dialog.test):
            button.click()
            if dialog._check is not None:
                await once(dialog._check.ended)
            if dialog._test is not None:
                await once(dialog._test.ended)
            assert sentence in dialog.form.error
            assert dialog.isVisible()
            assert not supervisor.connections
        dialog.form.address.setText("redis://")
        assert dialog.form.error == ""

    run(story())
    assert not file.exists()


# --- the test --------------------------------------------------------------------------------------------------------


def test_a_test_lists_what_is_found_as_it_is_found(
    open_dialog: Open, supervisor: Supervisor, run: Run, locked: RedisServer
) -> None:
    dialog = open_dialog()

    async def story() -> None:
        paste(dialog, address_of(locked))
        dialog.test.click()
        assert dialog.found.lines == ["Connecting …"]
        assert dialog._test is not None
        await until(dialog._test.found, lambda: len(dialog.found.lines) == 3)
        assert dialog.found.lines[-1] == "Listening to events for five seconds …"
        [child] = children_of(supervisor)
        assert child.cmdline()[-1] == "collector"
        assert SECRET not in " ".join(child.cmdline())
        assert SECRET not in " ".join(child.environ().values())
        await emitted(dialog.tested)
        lines = dialog.found.lines
        assert [line.split(":")[0] for line in lines] == [
            *(f"{name} works" for name in NAMES[:4]),
            *(f"{name} not known" for name in NAMES[4:]),
        ]
        assert "Start a worker: celery -A yourapp worker -E." in lines[5]
        assert dialog.test.text() == "Test"
        dialog.form.password.setText("wrong")
        dialog.test.click()
        await emitted(dialog.tested)
        assert [line.split(":")[0] for line in dialog.found.lines] == ["connect works", "sign in does not work"]

    run(story())


@pytest.mark.parametrize("way", ["stop", "cancel", "change"])
def test_a_test_that_nobody_wants_any_more_ends_its_child(
    open_dialog: Open, supervisor: Supervisor, run: Run, redis_server: RedisServer, way: str
) -> None:
    dialog = open_dialog()

    async def story() -> None:
        paste(dialog, redis_server.url)
        dialog.test.click()
        examiner = dialog._test
        assert examiner is not None
        await emitted(examiner.found)
        [child] = children_of(supervisor)
        if way == "stop":
            dialog.test.click()
            assert dialog.found.lines[-1] == "The test was stopped."
        elif way == "cancel":
            dialog.cancel.click()
        else:
            dialog.form.mode.choose("passive")
            assert dialog.found.lines[-1] == "The test was stopped, as something was changed."
        await asyncio.wait_for(once(examiner.gone), 4.0)  # it would listen for five seconds
        assert not child.is_running()
        assert not supervisor._examiners

    run(story())


def test_a_test_of_a_broker_that_is_silent_is_ended_by_force(
    open_dialog: Open, supervisor: Supervisor, run: Run, redis_server: RedisServer
) -> None:
    dialog = open_dialog()
    redis_server.freeze()

    async def story() -> None:
        paste(dialog, redis_server.url)
        dialog.test.click()
        examiner = dialog._test
        assert examiner is not None
        [child] = children_of(supervisor)
        dialog.cancel.click()
        await once(examiner.gone)
        assert not child.is_running()

    run(story())


def test_a_window_that_is_closed_during_a_test_leaves_no_child(
    open_dialog: Open, supervisor: Supervisor, run: Run, redis_server: RedisServer
) -> None:
    dialog = open_dialog()
    children: list[psutil.Process] = []

    async def story() -> None:
        paste(dialog, redis_server.url)
        dialog.test.click()
        assert dialog._test is not None
        await emitted(dialog._test.found)
        children.extend(children_of(supervisor))
        await supervisor.close()

    run(story())
    assert [child.is_running() for child in children] == [False]


# --- connecting ------------------------------------------------------------------------------------------------------


def test_enter_leads_from_a_pasted_address_to_a_live_connection(
    open_dialog: Open, supervisor: Supervisor, run: Run, locked: RedisServer, system: System, file: Path, tmp_path: Path
) -> None:
    dialog = open_dialog()
    window = dialog.parent()
    assert isinstance(window, MainWindow)

    async def story() -> None:
        paste(dialog, address_of(locked))
        dialog.form.environment.choose("staging")
        dialog.form.queues.setText("mail, ,reports")
        dialog.form.history.colour.choose("#a98bf5")
        QTest.keyClick(dialog.form.address, Qt.Key.Key_Return)
        connection = await added(supervisor)
        assert not [one for one in window.findChildren(ConnectDialog) if one.isVisible()]
        assert window.page.connection is connection
        assert window._stack.currentWidget() is window.page
        assert connection.target.queues == ["mail", "reports"]
        assert window._sidebar._brokers[0]._state.own == "#a98bf5"
        assert SECRET not in " ".join(psutil.Process(connection.collector_pid).cmdline())

    run(story())
    [profile] = Profiles(file).all
    assert (profile.name, profile.environment, profile.mode) == (f"127.0.0.1:{locked.port}", "staging", "observe")
    assert system.kept == {(SERVICE, profile.id): SECRET}
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {file, tmp_path / "window.ini"} <= set(written)
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]


def test_what_is_not_to_be_kept_is_connected_to_all_the_same(
    open_dialog: Open, supervisor: Supervisor, run: Run, locked: RedisServer, system: System, file: Path
) -> None:
    dialog = open_dialog()

    async def story() -> None:
        paste(dialog, address_of(locked))
        dialog.form.keep.setChecked(False)
        assert not dialog.form.remember.isEnabled()
        dialog.connect_.click()
        await added(supervisor)

    run(story())
    assert not file.exists()
    assert system.kept == {}


def test_a_password_goes_into_the_keyring_only_if_that_is_wanted(
    open_dialog: Open, supervisor: Supervisor, run: Run, locked: RedisServer, system: System, file: Path
) -> None:
    dialog = open_dialog()

    async def story() -> None:
        paste(dialog, address_of(locked))
        dialog.form.remember.setChecked(False)
        dialog.connect_.click()
        await added(supervisor)

    run(story())
    assert len(Profiles(file).all) == 1
    assert system.kept == {}


def test_without_a_keyring_it_says_that_the_password_is_not_kept(
    open_dialog: Open, supervisor: Supervisor, run: Run, locked: RedisServer, file: Path
) -> None:
    dialog = open_dialog()
    assert keyring.get_keyring().name == "fail Keyring"

    async def story() -> None:
        paste(dialog, address_of(locked))
        assert not dialog.form.remember.isEnabled()
        assert "There is no keyring" in dialog.form._why.text()
        assert not dialog.form._why.isHidden()
        dialog.connect_.click()
        await added(supervisor)

    run(story())
    assert len(Profiles(file).all) == 1


def test_a_keyring_that_refuses_is_told_and_does_not_keep_anybody_from_connecting(
    open_dialog: Open, supervisor: Supervisor, run: Run, locked: RedisServer, system: System
) -> None:
    dialog = open_dialog()
    window = dialog.parent()
    assert isinstance(window, MainWindow)

    async def story() -> None:
        paste(dialog, address_of(locked))
        system.locked = True
        dialog.connect_.click()
        await added(supervisor)
        [text] = window._notices.texts()
        assert "is not kept" in text
        assert SECRET not in text

    run(story())


def test_a_name_that_is_taken_is_told_at_the_name(
    open_dialog: Open, supervisor: Supervisor, run: Run, redis_server: RedisServer, file: Path
) -> None:
    Profiles(file).put(Profile("shop", "redis://shop.example:6379/0"))
    dialog = open_dialog()

    async def story() -> None:
        paste(dialog, redis_server.url)
        dialog.form.name.setText("shop")
        dialog.connect_.click()
        assert dialog._check is not None
        await once(dialog._check.ended)
        assert "There is a profile 'shop' already" in dialog.form.error
        assert dialog.form.name.property("state") == "error"
        assert dialog.isVisible()
        assert not supervisor.connections

    run(story())


# --- what is kept ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["home", "dialog"])
def test_a_kept_connection_is_one_click_away_and_signs_in_by_itself(
    open_window: Callable[[], MainWindow], supervisor: Supervisor, run: Run, locked: RedisServer, system: System,
    file: Path, way: str,
) -> None:  # fmt: skip
    profile = Profile("shop", f"redis://127.0.0.1:{locked.port}/0", "production", "passive", passwords=KEPT)
    Profiles(file).put(profile)
    system.kept[SERVICE, profile.id] = SECRET
    window = open_window()

    async def story() -> None:
        [row] = window._home.profiles
        assert row.accessibleName() == f"Connect to shop, production, redis://127.0.0.1:{locked.port}/0"
        if way == "home":
            row.setFocus()
            QTest.keyClick(row, Qt.Key.Key_Space)
        else:
            window.ways.connect_()
            dialog_of(window).others.menu().actions()[0].trigger()
        connection = await added(supervisor)
        assert (connection.profile.name, connection.profile.mode) == ("shop", "passive")
        assert window.windowTitle() == "shop · Cloche"
        window.ways.open(profile)
        window.ways.kept.open(profile)
        await window.ways.kept.settled()
        assert supervisor.connections == [connection]  # it is there already

    run(story())


def test_profiles_of_a_newer_version_are_left_alone_and_told_of(
    open_window: Callable[[], MainWindow], supervisor: Supervisor, run: Run, redis_server: RedisServer, file: Path
) -> None:
    file.parent.mkdir()
    file.write_text('{"version": 999, "profiles": []}')
    window = open_window()
    assert "newer version" in window._notices.texts()[0]

    async def story() -> None:
        window.ways.connect_()
        dialog = dialog_of(window)
        assert not dialog.form.keep.isEnabled()
        paste(dialog, redis_server.url)
        dialog.connect_.click()
        await added(supervisor)

    run(story())
    assert file.read_text() == '{"version": 999, "profiles": []}'


def test_profiles_that_are_damaged_are_set_aside_and_told_of(open_window: Callable[[], MainWindow], file: Path) -> None:
    file.parent.mkdir()
    file.write_text("{")
    window = open_window()
    assert "was damaged" in window._notices.texts()[0]
    assert (file.parent / "profiles.json.damaged-1").read_text() == "{"
    assert window._home.profiles == []


def test_the_home_page_the_sidebar_and_a_key_open_the_dialog(open_window: Callable[[], MainWindow]) -> None:
    window = open_window()
    ways: list[Callable[[], object]] = [
        window._home.connect_.click,
        window._sidebar._connect.click,
        lambda: QTest.keyClick(window, Qt.Key.Key_N, Qt.KeyboardModifier.ControlModifier),
    ]
    for way in ways:
        way()
        dialog = dialog_of(window)
        assert dialog.focusWidget() is dialog.form.address
        dialog.reject()


def test_the_keyboard_reaches_every_field_and_each_has_a_name(open_dialog: Open, qtbot: QtBot) -> None:
    dialog = open_dialog()
    dialog.form.options.open()
    paste(dialog, "redis://shop.example:6379/0")
    reached: list[str] = []
    focused: QWidget = dialog.form.address
    while (name := focused.accessibleName() or focused.property("text")) not in reached:
        reached.append(name)
        QTest.keyClick(focused, Qt.Key.Key_Tab)
        focused = dialog.focusWidget()
    assert reached == [
        "Broker URL", "Password", "Name", "Keep this connection", "Environment: Not said", "Access: Observe",
        "Options, queues and results", "SSH jump host", "Result backend", "Key prefix", "Event exchange",
        "Control exchange", "Queues always shown", "Other options, as KEY=VALUE lines", "History and colour", "Test",
        "Cancel", "Connect",
        "Import",
    ]  # fmt: skip
    dialog.form.mode.button("observe").setFocus()
    QTest.keyClick(dialog.form.mode.button("observe"), Qt.Key.Key_Right)
    assert dialog.form.mode.value == "operate"


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "option", "value", "sentence"),
    [
        ("redis://h/0", "priority_steps", "high", "priority_steps is a list of numbers"),
        ("redis://h/0", "result_backend", "file:///results", "result backend can be a Redis only"),
        ("amqp://h", "management_url", "shop.example", "at an address like http://host:15672"),
        ("amqp://h", "heartbeat", "never", "heartbeat is a number of seconds"),
        ("rediss://h", "ssl_ca_certs", "/nowhere.pem", "There is no file '/nowhere.pem'"),
        ("rediss://h", "ssl_fingerprint", "xyz", "64 hex digits"),
        ("rediss://h", "ssl_keyfile", "/key.pem", "There is no file"),
    ],
)
def test_what_is_wrong_with_an_option_is_said_beside_it(
    open_dialog: Open, run: Run, url: str, option: str, value: str, sentence: str
) -> None:
    dialog = open_dialog()
    options = dialog.form.options

    async def story() -> None:
        dialog.form.address.setText(url)
        options.put(option, value)
        for button in (dialog.connect_, dialog.test):
            button.click()
            examiner = dialog._check or dialog._test
            assert examiner is not None
            await once(examiner.ended)
            label = options._errors.get(option, options._errors["others"])
            assert sentence in label.text()
            assert label.isVisible()
            assert dialog.form._errors["address"].text() == ""
            assert dialog.focusWidget() is options._edits.get(option, options.others)
            options.put(option, value + "x")  # something else is written there
            assert dialog.form.error == ""
            options.put(option, value)

    run(story())


def test_fields_are_shown_for_the_brokers_that_understand_them(open_dialog: Open) -> None:
    dialog = open_dialog()
    options = dialog.form.options
    options.open()
    shown = {}
    for url in ("redis://h", "amqp://h", "memory://", ""):
        dialog.form.address.setText(url)
        shown[url] = {key for key, row in options._rows.items() if row.cell.isVisible()}
    exchanges = {"event_exchange", "control_exchange", "result_backend"}
    assert shown["redis://h"] == exchanges | {"global_keyprefix", "ssh"}
    assert shown["amqp://h"] == exchanges | {"management_url", "ssh"}
    assert shown["memory://"] == shown[""] == exchanges
    options.put("management_url", "http://h:15672")
    dialog.form.address.setText("redis://h")
    assert options.values() == {}  # it is for RabbitMQ
    assert options._tls.isHidden()
    dialog.form.address.setText("rediss://h")
    assert not options._tls.isHidden()
    options.put("ssl_fingerprint", "ab" * 32)
    assert options._pinned.isVisible()
    assert dialog.form.target().pinned


def test_everything_that_is_chosen_is_in_the_target_and_back_in_the_form(open_dialog: Open, file: Path) -> None:
    form = open_dialog().form
    form.address.setText("redis://h/0")
    form.options.put("global_keyprefix", "shop:")
    form.options.put("priority_steps", "0,5")
    form.options.put("result_backend", f"redis://:{SECRET}@r/1")
    form.queues.setText("mail")
    form.history.arguments.setChecked(True)
    form.history._ages.choose(str(float("inf")))
    form.history._sizes.choose(str(1e9))
    form.history.colour.choose("#a98bf5")
    target = form.target()
    assert target.options == {"global_keyprefix": "shop:", "priority_steps": "0,5", "result_backend": "redis://r/1"}
    assert (target.keep_seconds, target.keep_bytes, target.keep_arguments) == (None, 10**9, False)
    assert target.backend_password == SECRET
    profile = form.profile(target)
    assert profile is not None
    assert SECRET not in repr(profile)
    again = ConnectForm(form.history.section._theme, "", "", profile)
    assert msgspec.structs.replace(again.target(), history=target.history) == msgspec.structs.replace(
        target, backend_password=None
    )


def test_limits_and_colours_of_the_command_line_are_on_offer_too(theme: ThemeManager) -> None:
    odd = Profile("shop", "redis://h", colour="#123456", keep_seconds=43_200, keep_bytes=2 * 10**9)
    form = ConnectForm(theme, "", "", odd)
    assert (form.history.keep_seconds, form.history.keep_bytes) == (43_200, 2 * 10**9)
    assert form.history._ages.button("43200.0").text() == "12 h 00 m"
    assert form.target().colour == "#123456"


def test_a_setting_of_a_worker_is_taken_over_by_one_click(open_dialog: Open) -> None:
    dialog = open_dialog()
    dialog.form.address.setText("redis://h/0")
    dialog.form.queues.setText("mail")
    offered = [
        Offer("event_exchange", "shopev", "w1@h"), Offer("queues", "reports, slow", "w1@h"), Offer("sep", ":", "w1@h"),
        Offer("result_backend", "redis://r/1", "w1@h"),
    ]  # fmt: skip
    dialog.found.begin()
    dialog.found.add(Found("settings", None, "w1@h has more.", "Use them.", offered))
    for use in dialog.found.uses:
        use.click()
        assert (use.text(), use.isEnabled()) == ("Used", False)
    target = dialog.form.target()
    assert target.options == {"event_exchange": "shopev", "sep": ":", "result_backend": "redis://r/1"}
    assert target.queues == ["mail", "reports", "slow"]


# --- imports ---------------------------------------------------------------------------------------------------------


def test_settings_of_an_application_fill_the_form_and_what_is_left_out_is_said(
    open_dialog: Open, run: Run, tmp_path: Path
) -> None:
    dialog = open_dialog()
    settings = tmp_path / "celeryconfig.py"
    settings.write_text(
        f"broker_url = 'redis://:{SECRET}@shop.example/2'\nresult_backend = made_up()\n"
        "broker_transport_options = {'visibility_timeout': 60, 'global_keyprefix': 'shop:'}\n"
    )

    async def story() -> None:
        dialog.imports.take(settings)
        await dialog._kept.settled()
        form = dialog.form
        assert (form.address.text(), form.password.text()) == ("redis://shop.example/2", SECRET)
        assert form.target().options == {"global_keyprefix": "shop:"}
        assert form.name.text() == "shop.example/2"
        assert dialog.note.text() == (
            "Out of celeryconfig.py: the address, a password, options. Of no use here, and left out: "
            "visibility_timeout. Worked out when the application runs, and so not read: result_backend."
        )

    run(story())


def test_exported_connections_are_kept_and_said(open_dialog: Open, run: Run, tmp_path: Path, file: Path) -> None:
    others = Profiles(tmp_path / "others.json")
    for name in ("shop", "edr"):
        others.put(Profile(name, "redis://h", passwords=KEPT))
    (tmp_path / "exported.json").write_bytes(others.export())
    dialog = open_dialog()

    async def story() -> None:
        dialog.imports.take(tmp_path / "exported.json")
        await dialog._kept.settled()
        assert dialog.note.text() == "exported.json: shop, edr: kept, and under Kept connections now."
        assert [action.text() for action in dialog.others.menu().actions()] == ["shop", "edr"]
        assert dialog.others.isVisible()

    run(story())
    assert [profile.name for profile in Profiles(file).all] == ["shop", "edr"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.py", None),
        ("a.py", b"\xff\xfe"),
        ("a.py", b"broker_url = " + b"(" * 300_000),
        ("a.py", b"x = 1\n" * 300_000),
        ("a.json", b"[" * 300_000),
        ("a.json", b'{"version": 99, "profiles": []}'),
        ("a.json", b""),
    ],
)
def test_a_file_that_makes_no_sense_changes_nothing_and_is_told_of(
    open_dialog: Open, run: Run, tmp_path: Path, file: Path, name: str, content: bytes | None
) -> None:
    dialog = open_dialog()
    if content is not None:
        (tmp_path / name).write_bytes(content)

    async def story() -> None:
        dialog.imports.take(tmp_path / name)
        await dialog._kept.settled()
        assert dialog.note.text().startswith(f"{name}: ")
        assert dialog.note.property("role") == "error"
        assert dialog.form.address.text() == ""

    run(story())
    assert not file.exists()


def test_the_environment_is_offered_where_it_names_a_broker(open_dialog: Open, theme: ThemeManager, file: Path) -> None:
    kept = Kept(file)
    assert not ImportButton(kept, {"BROKER": "redis://h"}).environment.isEnabled()
    button = ImportButton(
        kept, {"CELERY_BROKER_URL": f"redis://:{SECRET}@h/1", "CELERY_RESULT_BACKEND": f"redis://:{SECRET}-2@r/2"}
    )
    taken: list[tuple[Settings, str]] = []
    button.found.connect(lambda settings, origin: taken.append((settings, origin)))
    button.environment.trigger()
    [(settings, origin)] = taken
    assert (settings.url, settings.password, origin) == ("redis://h/1", SECRET, "The environment")
    dialog = open_dialog()
    dialog.imports.found.emit(settings, origin)
    target = dialog.form.target()
    assert (target.password, target.backend_password) == (SECRET, f"{SECRET}-2")
    assert target.options == {"result_backend": "redis://r/2"}
    assert dialog.note.text() == "Out of the environment: the address, a password, options."
