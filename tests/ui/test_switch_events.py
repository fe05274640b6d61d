"""The whole way of turning events on: from the button through a real collector to a real worker, and back."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from PySide6.QtCore import QSettings
from pytestqt.qtbot import QtBot

from app.cli import cli
from app.models.diagnosis import Action, Finding
from app.models.profiles import Mode
from app.models.target import Target
from app.models.wire import SwitchEvents
from app.ui.main_window import MainWindow
from app.ui.supervisor import Connection, Supervisor
from app.ui.theme import ThemeManager
from app.ui.widgets.confirm_dialog import ConfirmDialog
from tests.helpers.celery_apps import make_app, worker
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually
from tests.ui.conftest import Run, emitted

EVENTS = Finding("events", "warning", None, "", "", "", Action("events"))


async def until_told(connection: Connection, sentence: str) -> str:
    """The next notice of events that has this in it."""
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def hear(notice: object) -> None:
        text = str(getattr(notice, "text", ""))
        if getattr(notice, "key", "") == "events" and sentence in text and not told.done():
            told.set_result(text)

    connection.noticed.connect(hear)
    return await told


def switched(connection: Connection) -> bool:
    return connection.events_switched


async def states(connection: Connection) -> dict[str, int]:
    return await connection.query(lambda reader: reader.states())


def test_a_worker_without_events_tells_of_its_tasks_once_they_are_turned_on(
    qtbot: QtBot, theme: ThemeManager, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path, run: Run
) -> None:
    window = MainWindow(supervisor, theme, QSettings(str(tmp_path / "w.ini"), QSettings.Format.IniFormat))
    qtbot.addWidget(window)
    app = make_app(redis_server.url)
    app.conf.task_send_sent_event = False

    async def story() -> None:
        window.show()
        target = Target("shop", tmp_path / "shop.cloche", redis_server.url, mode="operate")
        connection = supervisor.add(target)
        while not await _workers(connection):
            await emitted(connection.committed)
        window._act(EVENTS)
        dialog = window.findChild(ConfirmDialog)
        assert dialog is not None
        assert not switched(connection)
        dialog.do.click()
        assert switched(connection)
        assert "1 of 1 workers" in await until_told(connection, "send events of their tasks now")
        await asyncio.to_thread(app.send_task, "truth.add", (1, 2))
        while await states(connection) != {"SUCCESS": 1}:
            await emitted(connection.committed)
        window._ask_events(on=False)
        dialog = next(each for each in window.findChildren(ConfirmDialog) if each.isVisible())
        dialog.do.click()
        assert not switched(connection)
        await until_told(connection, "send no events of their tasks any more")

    with worker(redis_server.url, "w1", tmp_path / "w1.log", "--loglevel", "INFO") as made:
        eventually(lambda: app.control.ping([made.hostname], timeout=1), "an answer of w1", within=60)
        run(story())
    app.close()


async def _workers(connection: Connection) -> int:
    if not connection.history.exists():
        return 0
    return await connection.query(lambda reader: len(reader.workers()))


@pytest.mark.parametrize(
    ("words", "mode"), [((), "observe"), (("--mode", "passive"), "passive"), (("--mode", "operate"), "operate")]
)
def test_the_access_mode_is_chosen_on_the_command_line(
    words: tuple[str, ...], mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Target] = []

    def run(targets: Sequence[Target], **_: object) -> int:
        opened.extend(targets)
        return 0

    monkeypatch.setattr("app.application.run", run)
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    result = CliRunner().invoke(cli, ["redis://localhost:1/0", *words])
    assert result.exit_code == 0, result.output
    assert [target.mode for target in opened] == [mode]


@pytest.mark.parametrize("mode", ["passive", "observe"])
def test_nothing_is_told_to_workers_in_another_access_mode(
    supervisor: Supervisor, run: Run, tmp_path: Path, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[object] = []
    monkeypatch.setattr("app.ui.link.CollectorLink.send", lambda _link, message: said.append(message))

    async def story() -> None:
        for wanted in (mode, "operate"):
            target = Target(wanted, tmp_path / f"{wanted}.cloche", "redis://127.0.0.1:1/0", mode=wanted)
            connection = supervisor.add(target)
            assert connection.operates == (wanted == "operate")
            connection.switch_events(on=True)

    run(story())
    assert said == [SwitchEvents(on=True)]


def test_a_collector_that_is_started_again_is_told_again(
    supervisor: Supervisor, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[object] = []
    monkeypatch.setattr("app.ui.link.CollectorLink.send", lambda _link, message: said.append(message))
    monkeypatch.setattr("app.ui.link.CollectorLink.start", lambda _link: None)

    async def story() -> None:
        target = Target("shop", tmp_path / "h.cloche", "redis://127.0.0.1:1/0", mode="operate")
        connection = supervisor.add(target)
        connection.switch_events(on=True)
        connection.start()
        connection.switch_events(on=False)
        connection.start()

    run(story())
    assert said == [SwitchEvents(on=True), SwitchEvents(on=True), SwitchEvents(on=False)]
