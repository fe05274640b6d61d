"""The whole way of turning events on: from the button to a wish, and from that to a real worker that tells."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from PySide6.QtCore import QSettings
from pytestqt.qtbot import QtBot

from app.cli import cli
from app.models.acts import Steer
from app.models.diagnosis import Action, Finding
from app.models.profiles import Mode
from app.models.target import Target
from app.ui.main_window import MainWindow
from app.ui.supervisor import Connection, Supervisor
from app.ui.theme import ThemeManager
from tests.helpers.acting import Actor
from tests.helpers.celery_apps import make_app, worker
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually
from tests.ui.conftest import Run, emitted

EVENTS = Finding("events", "warning", None, "", "", "", Action("events"))


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
        await asyncio.to_thread(app.send_task, "truth.add", (1, 2))
        while not await _mute(connection):
            await emitted(connection.committed)
        wished = asyncio.get_running_loop().create_future()
        window.pages["overview"].act_wanted.connect(wished.set_result)
        window._act(EVENTS)
        wish = await wished
        assert wish == Steer("enable_events", ["w1@test"])
        done = await asyncio.to_thread(Actor(redis_server.url, tmp_path).do, wish)
        assert (done.state, done.done) == ("done", 1)
        await asyncio.to_thread(app.send_task, "truth.add", (1, 2))
        while await states(connection) != {"SUCCESS": 1}:
            await emitted(connection.committed)

    with worker(redis_server.url, "w1", tmp_path / "w1.log", "--loglevel", "INFO") as made:
        eventually(lambda: app.control.ping([made.hostname], timeout=1), "an answer of w1", within=60)
        run(story())
    app.close()


async def _workers(connection: Connection) -> int:
    if not connection.history.exists():
        return 0
    return await connection.query(lambda reader: len(reader.workers()))


async def _mute(connection: Connection) -> bool:
    return await connection.query(lambda reader: any(worker.events is False for worker in reader.workers()))


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
