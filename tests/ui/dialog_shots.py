"""Pictures of the ways in, in all states and both themes, for eyes that review: `python -m tests.ui.dialog_shots DIR`.

They are of a real broker that wants a password, and of a real worker that has settings of its own.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import qasync
from PySide6.QtCore import QPoint, QSettings, SignalInstance
from PySide6.QtWidgets import QApplication, QDialog, QMenu, QWidget

from app.models.profiles import Profile, Profiles
from app.ui.kept import Kept
from app.ui.main_window import MainWindow
from app.ui.supervisor import Supervisor
from app.ui.theme import Mode, ThemeManager
from app.ui.widgets.confirm_dialog import ConfirmDialog
from app.ui.widgets.connect_dialog import ConnectDialog
from app.ui.widgets.password_dialog import PasswordDialog
from tests.helpers.celery_apps import SETTINGS, worker
from tests.helpers.servers import RedisServer

SECRET: Final = "canary-7f3a"
SIZES: Final = ((1280, 800), (860, 560))
THEMES: Final[tuple[Mode, ...]] = ("dark", "light")
#: What the worker has set that nobody would guess.
SET: Final = {"event_exchange": "shopev", "task_queues": {"mail": {}, "celery": {}}}
_MOMENT: Final = 0.15


class Scene:
    """A window with kept connections, of which pictures are taken."""

    def __init__(self, folder: Path, own: Path, server: RedisServer) -> None:
        self.folder = folder
        self.url = f"redis://:{SECRET}@127.0.0.1:{server.port}/0"
        bare = f"redis://127.0.0.1:{server.port}/0"
        kept = Profiles(own / "profiles.json")
        for profile in (
            Profile(
                "shop", bare, "production", passwords={"broker": "asked"}, options={"result_backend": f"{bare[:-1]}1"}
            ),
            Profile("edr-staging", bare, "staging", "passive", "#a98bf5", passwords={"broker": "asked"}),
            Profile("an application with a rather long name", "amqps://app@rabbit.example/shop", "development"),
            Profile("redline", "rediss://redline.example:6380/2", options={"ssl_fingerprint": "ab" * 32}),
        ):
            kept.put(profile)
        self.supervisor = Supervisor()
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        self.theme = ThemeManager(application, "dark")
        settings = QSettings(str(own / "window.ini"), QSettings.Format.IniFormat)
        self.window = MainWindow(self.supervisor, self.theme, settings, Kept(own / "profiles.json"))
        self.window.resize(*SIZES[0])
        self.window.show()

    @property
    def profiles(self) -> list[Profile]:
        """What is kept."""
        return self.window.ways.kept.all

    async def take(self, name: str, widget: QWidget | None = None) -> None:
        """A picture of a widget, or of the whole window, in both themes."""
        for mode in THEMES:
            self.theme.set_mode(mode)
            await asyncio.sleep(_MOMENT)
            (widget or self.window).grab().save(str(self.folder / f"{name}-{mode}.png"))

    def dialog(self, kind: type[QDialog]) -> QDialog:
        """The dialog of a kind that is open."""
        [dialog] = [each for each in self.window.findChildren(kind) if each.isVisible()]
        return dialog

    async def connect_dialog(self, open_: Callable[[], object]) -> ConnectDialog:
        """The dialog for connecting, opened."""
        open_()
        await asyncio.sleep(_MOMENT)
        dialog = self.dialog(ConnectDialog)
        assert isinstance(dialog, ConnectDialog)
        return dialog


async def until(signal: SignalInstance, true: Callable[[], bool]) -> None:
    """Until something is true, which can only become so when a signal is emitted."""
    while not true():
        changed = asyncio.Event()
        signal.connect(changed.set)
        await changed.wait()


async def tested(dialog: ConnectDialog) -> None:
    """Until a test has ended."""
    done = asyncio.Event()
    dialog.tested.connect(done.set)
    dialog.test.click()
    await done.wait()
    await asyncio.sleep(_MOMENT)


async def take_connecting(scene: Scene) -> None:
    """The dialog for a new connection, from empty to one whose options are wrong."""
    dialog = await scene.connect_dialog(scene.window.ways.connect_)
    await scene.take("empty", dialog)
    dialog.form.address.setText(scene.url)
    dialog.form.password.setText("wrong")
    await scene.take("pasted", dialog)
    await tested(dialog)
    await scene.take("tested-bad", dialog)
    dialog.form.password.setText(SECRET)
    await tested(dialog)
    await scene.take("tested-good", dialog)
    dialog.found.uses[0].click()
    await scene.take("offer-taken", dialog)
    dialog.form.options.put("priority_steps", "high")
    dialog.form.history.section.open()
    await scene.take("options", dialog)
    dialog.connect_.click()
    assert dialog._check is not None
    ended = asyncio.Event()
    dialog._check.gone.connect(ended.set)
    await ended.wait()
    await scene.take("option-wrong", dialog)
    dialog.reject()


async def take_kinds(scene: Scene) -> None:
    """The dialog for a secure connection, for RabbitMQ, and after an import."""
    ways = scene.window.ways
    dialog = await scene.connect_dialog(ways.connect_)
    dialog.form.address.setText("rediss://redline.example:6380/2")
    dialog.form.options.put("ssl_fingerprint", "ab" * 32)
    await scene.take("tls", dialog)
    dialog.reject()
    dialog = await scene.connect_dialog(ways.connect_)
    settings = scene.folder / "celeryconfig.py"
    settings.write_text(
        "broker_url = 'amqp://app:secret@rabbit.example/shop'\nresult_backend = made_up()\n"
        "broker_transport_options = {'confirm_publish': True}\ntask_default_queue = 'mail'\n"
    )
    dialog.imports.take(settings)
    await ways.kept.settled()
    settings.unlink()
    dialog.form.options.open()
    await scene.take("imported", dialog)
    dialog.reject()


async def take_passwords(scene: Scene) -> None:
    """What is asked for, refused, and asked for again."""
    ways = scene.window.ways
    ways.open(scene.profiles[0])
    await ways.kept.settled()
    asked = scene.dialog(PasswordDialog)
    assert isinstance(asked, PasswordDialog)
    await scene.take("password", asked)
    asked.edits["broker"].setText("wrong")
    asked.sign_in.click()
    connection = scene.supervisor.connections[0]
    await until(connection.health_changed, lambda: connection.health.fault != "")
    for size in SIZES:
        scene.window.resize(*size)
        await scene.take(f"refused-{size[0]}x{size[1]}")
    ways.enter_password(connection)
    again = scene.dialog(PasswordDialog)
    assert isinstance(again, PasswordDialog)
    await scene.take("password-refused", again)
    again.edits["broker"].setText(SECRET)
    again.sign_in.click()
    await until(connection.health_changed, lambda: connection.health.state == "live")


async def take_all(scene: Scene) -> None:
    """Every state of the ways in."""
    window, ways = scene.window, scene.window.ways
    for width, height in SIZES:
        window.resize(width, height)
        await scene.take(f"home-{width}x{height}")
    await take_connecting(scene)
    await take_kinds(scene)
    dialog = await scene.connect_dialog(lambda: ways.edit(scene.profiles[0]))
    await scene.take("edit", dialog)
    dialog.reject()
    ways.forget(scene.profiles[0])
    await scene.take("forget", scene.dialog(ConfirmDialog))
    scene.dialog(ConfirmDialog).reject()
    await take_passwords(scene)
    connection = scene.supervisor.connections[0]
    ways.open(scene.profiles[3])
    pinned = scene.supervisor.connections[-1]
    await until(pinned.health_changed, lambda: pinned.health.fault != "")
    for width, height in SIZES:
        window.resize(width, height)
        window._sidebar._brokers[0].setFocus()
        await scene.take(f"window-{width}x{height}")
    ways.show_connection_menu(connection, window.mapToGlobal(QPoint(60, 60)))
    [menu] = [each for each in window.findChildren(QMenu) if each.isVisible()]
    await scene.take("menu", menu)
    menu.close()
    dialog = await scene.connect_dialog(lambda: ways.edit(scene.profiles[0]))
    await scene.take("edit-running", dialog)
    dialog.reject()


def main(folder: Path) -> None:
    """Take them all."""
    folder.mkdir(parents=True, exist_ok=True)
    application = QApplication([])
    application.setQuitOnLastWindowClosed(False)
    with qasync.QEventLoop(application) as loop, tempfile.TemporaryDirectory() as made:
        own = Path(made)
        os.environ |= dict.fromkeys(("XDG_DATA_HOME", "XDG_CONFIG_HOME"), made)
        os.environ |= {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring", SETTINGS: json.dumps(SET)}
        with RedisServer("--requirepass", SECRET) as server:
            scene = Scene(folder, own, server)
            with worker(scene.url, "w1", own / "worker.log", "-E", pool="solo") as running:
                while not any("ready." in line for line in running.lines):
                    loop.run_until_complete(asyncio.sleep(_MOMENT))
                loop.run_until_complete(take_all(scene))
                scene.window.close()
                loop.run_until_complete(scene.supervisor.close())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
