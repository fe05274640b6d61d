"""Acts by their whole way, from what is pressed in the window to what is in Redis then."""

import asyncio
from pathlib import Path

import msgspec
import pytest
import redis
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from app.models.acts import Rerun
from app.models.backups import BackupReader
from app.models.target import Target
from app.ui.main_window import MainWindow
from app.ui.pages.queues import QueuesPage
from app.ui.pages.tasks import TasksPage
from app.ui.supervisor import Supervisor
from app.ui.theme import ThemeManager
from app.ui.widgets.act_dialog import ActDialog
from app.ui.widgets.stamp_dialog import StampDialog
from app.ui.widgets.wish_options import QueueOption
from tests.helpers.celery_apps import make_app
from tests.helpers.messages import fill, lists_of
from tests.helpers.servers import RedisServer
from tests.ui.conftest import Run, until


@pytest.fixture
def window(qtbot: QtBot, theme: ThemeManager, supervisor: Supervisor, tmp_path: Path) -> MainWindow:
    made = MainWindow(supervisor, theme, QSettings(str(tmp_path / "w.ini"), QSettings.Format.IniFormat))
    qtbot.addWidget(made)
    return made


def offers(dialog: StampDialog) -> dict[str, QPushButton]:
    return {button.text(): button for button in dialog.findChildren(QPushButton)}


def target(server: RedisServer, folder: Path) -> Target:
    return Target("shop", folder / "shop.cloche", server.url, environment="development", mode="operate")


def test_a_task_is_sent_to_the_queue_that_was_chosen_of_those_there_are(
    window: MainWindow, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path, run: Run
) -> None:
    app, client = make_app(redis_server.url), redis.Redis.from_url(redis_server.url)
    sent = app.send_task("truth.add", (1, 2), queue="mail")
    app.send_task("truth.add", (3, 4), queue="slow")

    def option(dialog: ActDialog) -> QueueOption:
        [shown] = [each for each in dialog.findChildren(QueueOption) if each.isVisible()]
        return shown

    async def story() -> None:
        window.show()
        supervisor.add(target(redis_server, tmp_path))
        await until(lambda: window.scope.vital is not None and len(window.scope.vital.queues) > 1)
        window.act(Rerun([sent.id]))
        [dialog] = window.findChildren(ActDialog)
        await until(dialog.confirm.isEnabled)
        assert ("To", "the queue mail × 1") in (dialog.plan.facts if dialog.plan is not None else [])
        completer = option(dialog).field.edit.completer()
        assert completer is not None
        offered = {completer.model().index(row, 0).data() for row in range(completer.model().rowCount())}
        assert {"mail", "slow"} <= offered
        option(dialog).field.edit.setText("slow")
        assert dialog.stage == "outdated"
        assert not dialog.confirm.isVisible()
        dialog.again.click()
        await until(dialog.confirm.isEnabled)
        assert option(dialog).field.edit.text() == "slow"
        assert ("To", "the queue slow × 1") in (dialog.plan.facts if dialog.plan is not None else [])
        dialog.confirm.click()
        await until(lambda: dialog.stage == "ended")
        assert (client.llen("mail"), client.llen("slow")) == (1, 2)
        dialog.reject()

    run(story())
    client.close()
    app.close()


def test_stamps_of_a_real_message_are_those_that_its_tasks_are_revoked_by(
    window: MainWindow, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path, run: Run
) -> None:
    app = make_app(redis_server.url)

    async def story() -> None:
        window.show()
        connection = supervisor.add(target(redis_server, tmp_path))
        await until(lambda: connection.health.state == "live")
        stamped = {"stamped_headers": ["customer", "batch"], "customer": ["1234", "ä"], "batch": "7"}
        sent = await asyncio.to_thread(lambda: app.send_task("truth.add", (1, 2), queue="mail", **stamped))
        tasks = window.pages["tasks"]
        assert isinstance(tasks, TasksPage)
        await until(lambda: window.scope.vital is not None and window.scope.vital.tasks)
        window.show_page("tasks")
        tasks.show_task(sent.id)
        await tasks.settled()
        tasks._acts._forms.revoke_stamped(sent.id)
        [dialog] = tasks.findChildren(StampDialog)
        await until(lambda: "customer = 1234, ä" in offers(dialog))
        assert "batch = 7" in offers(dialog)
        offers(dialog)["customer = 1234, ä"].click()
        dialog.go_on.click()
        [act] = window.findChildren(ActDialog)
        await until(lambda: act.plan is not None)
        assert act.plan is not None
        assert act.plan.title == "Revoke tasks stamped customer = 1234, ä"
        assert "No worker answers: nobody will remember it." in [each.text for each in act.plan.cautions]
        act.reject()

    run(story())
    app.close()


def test_a_queue_is_exported_by_the_collector_and_stays_as_it_was(
    window: MainWindow, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path, run: Run
) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        fill(client, "mail", range(300))

        async def story() -> None:
            window.show()
            passive = msgspec.structs.replace(target(redis_server, tmp_path), mode="passive", queues=["mail"])
            connection = supervisor.add(passive)
            queues = window.pages["queues"]
            assert isinstance(queues, QueuesPage)
            await until(lambda: window.scope.vital is not None and window.scope.vital.queues)
            window.show_page("queues")
            queues.inspect("mail")
            await until(lambda: queues._acts._row is not None and queues._acts.export.isEnabled())
            queues._acts.export_wanted.emit(queues._acts._row, str(tmp_path / "mail.messages"))
            await until(lambda: queues._exporting.text.startswith("300 messages of mail are in "))
            assert connection.operates is False

        run(story())
        assert BackupReader(tmp_path / "mail.messages").verify() == 300
        assert sum(map(len, lists_of(client, "mail").values())) == 300
