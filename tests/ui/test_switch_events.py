"""The whole way of turning events on: from the button, by a plan that is confirmed, to a real worker that tells."""

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
from app.ui.main_window import MainWindow
from app.ui.supervisor import Connection, Supervisor
from app.ui.theme import ThemeManager
from app.ui.widgets.act_dialog import ActDialog
from tests.helpers.celery_apps import make_app, worker
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually
from tests.ui.conftest import Run, emitted, until

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
        target = Target("shop", tmp_path / "shop.cloche", redis_server.url, environment="development", mode="operate")
        connection = supervisor.add(target)
        while not await _workers(connection):
            await emitted(connection.committed)
        await asyncio.to_thread(app.send_task, "truth.add", (1, 2))
        while not await _mute(connection):
            await emitted(connection.committed)
        window._act(EVENTS)
        await until(lambda: window.findChildren(ActDialog))
        [dialog] = window.findChildren(ActDialog)
        await until(dialog.confirm.isEnabled)
        assert dialog.plan is not None
        assert [sample.id for sample in dialog.plan.samples] == ["w1@test"]
        dialog.confirm.click()
        await until(lambda: dialog.stage == "ended")
        assert dialog.outcome is not None
        assert (dialog.outcome.state, dialog.outcome.done) == ("done", 1)
        dialog.reject()
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
