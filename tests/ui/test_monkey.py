"""A01 at the window: whoever clicks and types anything, while acting is not allowed, does nothing to the broker."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from PySide6.QtCore import QPoint, QSettings, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QComboBox,
    QFileDialog,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QPushButton,
    QTabBar,
    QToolButton,
    QWidget,
)
from pytestqt.qtbot import QtBot
from redis import Redis

from app.models.profiles import Mode
from app.models.target import Target
from app.ui.kept import Kept
from app.ui.main_window import MainWindow
from app.ui.supervisor import Supervisor
from app.ui.theme import ThemeManager
from tests.collectors.conftest import command
from tests.features.test_harmless import DEBUG, fill
from tests.helpers.events import envelope, raw
from tests.helpers.litter import MINUTE
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually
from tests.ui.conftest import Run, until

STEPS: Final = 400
_WORDS: Final = ("queue-0", "state:failed", "10/m", "1", "20", "shop.buy", "[]", "w@x", "Production", "yes")
_KEYS: Final = (
    Qt.Key.Key_Return, Qt.Key.Key_Escape, Qt.Key.Key_Tab, Qt.Key.Key_Space, Qt.Key.Key_Down, Qt.Key.Key_Up,
    Qt.Key.Key_R, Qt.Key.Key_A, Qt.Key.Key_F, Qt.Key.Key_Slash, Qt.Key.Key_Delete, Qt.Key.Key_Home,
)  # fmt: skip
_MODIFIERS: Final = (
    Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier,
)  # fmt: skip
#: What changes the broker while workers are asked: a list of our own for their answers.
_ASKING: Final = frozenset({"lpush", "lpop", "expire", "del", "publish"})


class Monkey:
    """Clicks, chooses and types in whatever of the program can be seen; ``did`` counts how."""

    def __init__(self, window: MainWindow, seed: int) -> None:
        self.did: Counter[str] = Counter()
        self._window = window
        self._dice = random.Random(seed)

    def step(self) -> None:
        """Do one thing."""
        place = self._dice.choice(self._places())
        ways: tuple[tuple[type[QWidget], Callable[[Any], None]], ...] = (
            (QToolButton, self._press),
            (QAbstractButton, self._press),
            (QLineEdit, self._type),
            (QPlainTextEdit, self._type),
            (QComboBox, self._choose),
            (QTabBar, self._turn),
            (QAbstractItemView, self._point),
        )
        kinds = {kind: place.findChildren(kind) for kind, _ in ways}
        able = [(way, [one for one in kinds[kind] if one.isVisible() and one.isEnabled()]) for kind, way in ways]
        able = [(way, widgets) for way, widgets in able if widgets]
        if not able or self._dice.random() < 0.25:
            self._key(place)
            return
        way, widgets = self._dice.choice(able)
        widget = self._dice.choice(widgets)
        self.did[f"{way.__name__} {type(widget).__name__}"] += 1
        way(widget)

    def _places(self) -> list[QWidget]:
        """What is open, and what is on top of it more often."""
        shown = [widget for widget in QApplication.topLevelWidgets() if widget.isVisible() and widget.isEnabled()]
        others = [widget for widget in shown if widget is not self._window]
        return [self._window, *others, *others, *others]

    def _press(self, button: QAbstractButton) -> None:
        menu = button.menu() if isinstance(button, QToolButton | QPushButton) else None
        if not isinstance(menu, QMenu):
            button.click()
            return
        menu.aboutToShow.emit()  # to show it would run a loop of its own
        actions = [action for action in menu.actions() if action.isEnabled() and not action.isSeparator()]
        if actions:
            self._dice.choice(actions).trigger()

    def _type(self, field: QLineEdit | QPlainTextEdit) -> None:
        if not field.isReadOnly():
            field.setFocus()
            QTest.keyClicks(field, self._dice.choice(_WORDS))

    def _choose(self, box: QComboBox) -> None:
        if box.count():
            box.setCurrentIndex(self._dice.randrange(box.count()))

    def _turn(self, bar: QTabBar) -> None:
        if bar.count():
            bar.setCurrentIndex(self._dice.randrange(bar.count()))

    def _point(self, view: QAbstractItemView) -> None:
        area = view.viewport().rect()
        if not area.isEmpty():
            at = QPoint(self._dice.randrange(area.width()), self._dice.randrange(area.height()))
            QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, self._dice.choice(_MODIFIERS), at)

    def _key(self, place: QWidget) -> None:
        key = self._dice.choice(_KEYS)
        self.did[f"key {key.name}"] += 1
        QTest.keyClick(QApplication.focusWidget() or place, key, self._dice.choice(_MODIFIERS))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("mode", ["passive", "observe", "operate"])
def test_a01_whoever_clicks_and_types_anything_does_nothing_to_the_broker(
    qtbot: QtBot, theme: ThemeManager, supervisor: Supervisor, run: Run, tmp_path: Path, mode: Mode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # What it would choose there are this machine's files.
    monkeypatch.setattr(QFileDialog, "open", lambda self, *_: self.deleteLater())

    async def story(server: RedisServer, client: Redis) -> Counter[str]:
        settings = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
        window = MainWindow(supervisor, theme, settings, Kept(tmp_path / "profiles.json"))
        qtbot.addWidget(window)
        window.show()
        target = Target("shop", tmp_path / "h", server.url, environment="production", mode=mode)
        connection = supervisor.add(target)
        await until(lambda: connection.health.state == "live")
        for number, kind in enumerate(("received", "started", "failed", "succeeded")):
            event = raw(f"task-{kind}", uuid=f"t{number}", hostname="w@x", timestamp=time.time(), name="shop.buy")
            client.publish("/0.celeryev/task.multi", envelope(event))
        monkey = Monkey(window, seed=len(mode))
        for step in range(STEPS):
            monkey.step()
            await asyncio.sleep(0)
            if step % 20 == 0:
                # So that pages show what there is, and answers come.
                await asyncio.sleep(0.05)
            if not window.isVisible():
                window.show()
        for one in supervisor.connections:
            one.stop()
            await one.wait()
        return monkey.did

    did: list[Counter[str]] = []

    async def told(server: RedisServer, client: Redis) -> None:
        did.append(await story(server, client))

    with RedisServer(*DEBUG) as server, Redis.from_url(server.url) as client:
        fill(server.url, client)
        before = command(client, "DEBUG", "DIGEST")
        command(client, "CONFIG", "RESETSTAT")
        run(told(server, client))
        stats: dict[str, Any] = client.info("commandstats")
        known: dict[str, dict[str, Any]] = client.command()
        writing = {name for name, about in known.items() if "write" in about["flags"]}
        written = {name.removeprefix("cmdstat_") for name in stats} & writing
        assert written <= (_ASKING if mode != "passive" else set()), did
        eventually(lambda: command(client, "DEBUG", "DIGEST") == before, "the same data", within=2 * MINUTE)
    assert len(did[0]) > 10, "it was all over the window"
