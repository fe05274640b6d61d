"""A task is run again in another queue than it was in: from the dialog, by way of a plan, to a message in Redis."""

from pathlib import Path

import redis
from PySide6.QtCore import QSettings
from pytestqt.qtbot import QtBot

from app.models.acts import Rerun
from app.models.target import Target
from app.ui.main_window import MainWindow
from app.ui.supervisor import Supervisor
from app.ui.theme import ThemeManager
from app.ui.widgets.act_dialog import ActDialog
from app.ui.widgets.wish_options import QueueOption
from tests.helpers.celery_apps import make_app
from tests.helpers.servers import RedisServer
from tests.ui.conftest import Run, until


def test_a_task_is_sent_to_the_queue_that_was_chosen_of_those_there_are(
    qtbot: QtBot, theme: ThemeManager, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path, run: Run
) -> None:
    window = MainWindow(supervisor, theme, QSettings(str(tmp_path / "w.ini"), QSettings.Format.IniFormat))
    qtbot.addWidget(window)
    app, client = make_app(redis_server.url), redis.Redis.from_url(redis_server.url)
    sent = app.send_task("truth.add", (1, 2), queue="mail")
    app.send_task("truth.add", (3, 4), queue="slow")

    def option(dialog: ActDialog) -> QueueOption:
        [shown] = [each for each in dialog.findChildren(QueueOption) if each.isVisible()]
        return shown

    async def story() -> None:
        window.show()
        target = Target("shop", tmp_path / "shop.cloche", redis_server.url, environment="development", mode="operate")
        supervisor.add(target)
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
