"""As a new user: with nothing but a URL, from the first start to charts that live."""

import time
from pathlib import Path

from PySide6.QtCore import QSettings, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton
from pytestqt.qtbot import QtBot
from redis import Redis

from app.ui.kept import Kept
from app.ui.main_window import MainWindow
from app.ui.supervisor import Supervisor
from app.ui.theme import ThemeManager
from app.ui.widgets.connect_dialog import ConnectDialog
from tests.helpers.events import envelope, raw
from tests.helpers.servers import RedisServer
from tests.ui.conftest import Run, until


def test_live_charts_are_two_clicks_and_a_paste_away(
    qtbot: QtBot, theme: ThemeManager, supervisor: Supervisor, run: Run, tmp_path: Path,
    redis_server: RedisServer, client: Redis,
) -> None:  # fmt: skip
    clicks: list[str] = []

    def click(button: QPushButton) -> None:
        clicks.append(button.text())
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    async def story() -> None:
        settings = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
        window = MainWindow(supervisor, theme, settings, Kept(tmp_path / "profiles.json"))
        qtbot.addWidget(window)
        window.show()
        await until(window._home.connect_.isVisible)
        click(window._home.connect_)
        [dialog] = window.findChildren(ConnectDialog)
        QApplication.clipboard().setText(f"  {redis_server.url}\n")
        QTest.keyClick(dialog.focusWidget(), Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
        await until(dialog.connect_.isEnabled)
        click(dialog.connect_)
        await until(lambda: window.scope.health is not None and window.scope.health.state == "live")
        told = 0

        def drawn() -> bool:
            nonlocal told
            told += 1
            now = time.time()
            ended = raw("task-succeeded", uuid=f"t{told}", hostname="w@x", timestamp=now, runtime=0.1)
            beat = raw("worker-heartbeat", hostname="w@x", timestamp=now, freq=2.0, active=1)
            for event in (ended, beat):
                client.publish("/0.celeryev/task.multi", envelope(event))
            return not (window._pages.overview._outcomes._is_empty or window._pages.overview._slots._is_empty)

        await until(drawn)
        assert window.page is window.pages["overview"]
        assert clicks == ["Connect to a broker …", "Connect"]

    run(story())
