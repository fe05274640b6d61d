"""Pictures of acting, in all states and both themes, for eyes that review: `python -m tests.ui.act_shots DIR`."""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import msgspec
import qasync
from PySide6.QtCore import QPoint, QSettings
from PySide6.QtWidgets import QApplication, QDialog, QWidget

from app import paths
from app.models import profiles
from app.models.acts import (
    Caution,
    Item,
    Outcome,
    Plan,
    Purge,
    Rerun,
    Restore,
    Revoke,
    Standing,
    Steer,
    Wish,
)
from app.models.audit import AuditLog, Subject
from app.models.profiles import Environment
from app.models.target import Target
from app.models.wire import Exported, Health, Notice
from app.ui.main_window import MainWindow
from app.ui.pages.queue_acts import MoveDialog
from app.ui.pages.queues import QueuesPage
from app.ui.pages.tasks import TasksPage
from app.ui.pages.workers import WorkersPage
from app.ui.supervisor import Supervisor
from app.ui.theme import Mode, ThemeManager
from app.ui.widgets.act_dialog import ActDialog
from app.ui.widgets.argument_editor import ArgumentEditor
from app.ui.widgets.findings import OPERATE_ONLY
from app.ui.widgets.mode_dialog import ModeDialog
from app.ui.widgets.send_dialog import SendDialog
from app.ui.widgets.stamp_dialog import StampDialog
from app.ui.widgets.steer_dialog import COMMANDS, SteerDialog
from app.ui.widgets.unlock import UnlockDialog
from app.ui.widgets.wish_options import BackupOption, QueueOption, TakeOutOption
from app.ui.widgets.wish_parts import Extras
from tests.ui.acting import PLAN, PlayedConnection
from tests.ui.histories import History
from tests.ui.lively import Lively
from tests.ui.wished import CUT, EXACT, TOLD, WISHES, rerun_plan

THEMES: Final[tuple[Mode, ...]] = ("dark", "light")
SIZES: Final = ((1440, 900), (1024, 640))
SIDES: Final[tuple[tuple[str, Environment, profiles.Mode], ...]] = (
    ("leadlawk", "production", "operate"), ("edr", "staging", "operate"), ("redline", "development", "observe"),
)  # fmt: skip
#: What goes on being under way.
KEPT_OPEN: Final[list[AuditLog]] = []
_MOMENT: Final = 0.1


class Scene:
    """A folder for pictures, and a window to open dialogs over."""

    def __init__(self, folder: Path, application: QApplication) -> None:
        self.folder = folder
        self.theme = ThemeManager(application, "dark")
        self.window = QWidget()
        self.window.resize(1280, 800)
        self.window.show()

    async def take(self, name: str, widget: QWidget) -> None:
        """A picture of a widget in both themes."""
        for mode in THEMES:
            self.theme.set_mode(mode)
            await asyncio.sleep(_MOMENT)
            widget.grab().save(str(self.folder / f"{name}-{mode}.png"))

    async def open(self, dialog: QDialog) -> None:
        """Open it and let it be laid out."""
        dialog.open()
        await asyncio.sleep(_MOMENT)


async def take_acts(scene: Scene) -> None:
    """An act in production from its plan to its end, and what may come between."""
    at = PlayedConnection()
    acts = at.acts

    def made() -> ActDialog:
        return ActDialog(scene.window, scene.theme, at.as_connection(), Purge("pagespeed"))

    dialog = made()
    await scene.open(dialog)
    await scene.take("planning", dialog)
    acts.plans.put_nowait("The broker is not reached: connection refused. Check that it runs.")
    await asyncio.sleep(_MOMENT)
    await scene.take("refused", dialog)
    dialog.again.click()
    acts.plans.put_nowait(PLAN)
    await asyncio.sleep(_MOMENT)
    await scene.take("locked", dialog)
    dialog.reject()
    acts.stand(Standing(1e10, "production"))
    grave = Caution("3 of these tasks run at this moment: their messages may be delivered again.", grave=True)
    plan = msgspec.structs.replace(PLAN, rate=20.0, cautions=[grave, *PLAN.cautions])
    dialog = made()
    await scene.open(dialog)
    acts.plans.put_nowait(plan)
    await asyncio.sleep(_MOMENT)
    await scene.take("plan", dialog)
    dialog.confirming.typed.setText("413")
    await asyncio.sleep(1.2)
    await scene.take("typed-wrong", dialog)
    dialog.confirming.typed.setText("412")
    await asyncio.sleep(_MOMENT)
    await scene.take("typed", dialog)
    dialog._made -= 50
    await asyncio.sleep(0.3)
    await scene.take("expires", dialog)
    dialog._made -= 50
    await asyncio.sleep(0.3)
    await scene.take("expired", dialog)
    dialog.reject()


async def take_running(scene: Scene) -> None:
    """The same while it is carried out, and its end."""
    at = PlayedConnection()
    acts = at.acts
    acts.stand(Standing(1e10, "production"))
    dialog = ActDialog(scene.window, scene.theme, at.as_connection(), Purge("pagespeed"))
    await scene.open(dialog)
    acts.plans.put_nowait(PLAN)
    await asyncio.sleep(_MOMENT)
    dialog.confirming.typed.setText("412")
    await asyncio.sleep(1.2)
    dialog.confirm.click()
    await asyncio.sleep(_MOMENT)
    await scene.take("checking", dialog)
    failed = [Item(f"5f0c1a52-7b4e-4f6e-9d0e-1c6a2b8f4d{n:02}", ok=False, text="It was gone.") for n in range(7)]
    acts.outcomes.put_nowait(Outcome(state="running", done=180, failed=7, total=412, items=failed))
    await asyncio.sleep(_MOMENT)
    await scene.take("running", dialog)
    text = "405 messages are in the quarantine pagespeed.quarantine.1795230300; 7 were taken by workers meanwhile."
    acts.outcomes.put_nowait(
        Outcome(state="done", done=405, failed=7, total=412, items=failed, text=text, undo=Restore("q"))
    )
    await asyncio.sleep(_MOMENT)
    await scene.take("done", dialog)
    dialog.reject()


async def take_workers(scene: Scene) -> None:
    """An act on few workers, in staging, where nothing has to be typed."""
    at = PlayedConnection("staging", name="edr")
    plan = msgspec.structs.replace(
        PLAN, title="Grow the pool of 3 workers by 2 processes", verb="Grow 3 pools", count=3, things="worker",
        facts=[("Pool now", "4, 4 and 8 processes")], samples=[], typed="", cautions=[],
        undo="It can be undone: shrink them by 2.",
    )  # fmt: skip
    dialog = ActDialog(scene.window, scene.theme, at.as_connection(), Purge("x"))
    await scene.open(dialog)
    at.acts.plans.put_nowait(plan)
    await asyncio.sleep(1.3)
    await scene.take("staging-locked", dialog)
    dialog.confirm.click()
    workers = [
        Item(f"w{n}@crawler-{n}", ok=n != 2, text="no answer" if n == 2 else "pool will grow") for n in (1, 2, 3)
    ]
    at.acts.outcomes.put_nowait(
        Outcome(state="aborted", done=2, failed=1, total=3, items=workers, text="1 failure is too many.")
    )
    await asyncio.sleep(_MOMENT)
    await scene.take("staging-aborted", dialog)
    dialog.reject()


async def take_modes(scene: Scene) -> None:
    """What is said where the access mode forbids it, and unlocking by itself."""
    at = PlayedConnection(mode="observe", name="a connection with a name that is rather long, as hostile ones are" * 2)
    dialog = ActDialog(scene.window, scene.theme, at.as_connection(), Purge("x"))
    await scene.open(dialog)
    at.acts.plans.put_nowait(msgspec.structs.replace(PLAN, title="Purge <b>a</b> \u202e " + "very long name " * 30))
    await asyncio.sleep(_MOMENT)
    await scene.take("observe", dialog)
    dialog.reject()
    for environment in ("production", "development", "unknown"):
        unlocking = UnlockDialog(scene.window, scene.theme, PlayedConnection(environment).as_connection())
        await scene.open(unlocking)
        await scene.take(f"unlock-{environment}", unlocking)
        unlocking.reject()


async def take_wishes(scene: Scene) -> None:
    """Each kind of wish, with the parts in which it is edited."""
    theme = scene.theme
    known = ("pagespeed", "slow", "mail")
    extras: Extras = {
        Rerun: (
            lambda plan, wish, _: ArgumentEditor(theme, plan, wish) if plan.needs_edit else None,
            lambda _plan, wish, _: QueueOption(theme, wish, known),
        ),
        Purge: (lambda _plan, wish, _: BackupOption(theme, wish),),
        Revoke: (lambda _plan, wish, _: TakeOutOption(theme, wish),),
    }
    reruns = (
        ("rerun-exact", Rerun([EXACT["id"]]), rerun_plan(EXACT)),
        ("rerun-reconstructed", Rerun([TOLD["id"]]), rerun_plan(TOLD)),
        ("rerun-incomplete", Rerun([CUT["id"]]), rerun_plan(CUT)),
        ("rerun-several", Rerun(["a", "b", "c"], queue="slow"), rerun_plan(CUT, TOLD, EXACT)),
        ("purge-copy", Purge("pagespeed", backup="/home/ada/purged-20261122-031502.messages"), PLAN),
    )  # fmt: skip
    for name, wish, plan in (*WISHES, *reruns):
        at = PlayedConnection()
        at.acts.stand(Standing(1e10, "production"))
        dialog = ActDialog(scene.window, theme, at.as_connection(), wish, extras=extras)
        await scene.open(dialog)
        at.acts.plans.put_nowait(plan)
        await asyncio.sleep(_MOMENT)
        await scene.take(f"wish-{name}", dialog)
        dialog.reject()


async def take_forms(scene: Scene) -> None:
    """The forms that lead to a plan."""
    names = {"name": ["pagespeed.test"], "queue": ["pagespeed", "slow"]}
    send = SendDialog(scene.window, scene.theme, names)
    stamp = StampDialog(scene.window)
    stamp.offer({"customer": ["1234"], "batch": ["a", "b"]})
    wrong = StampDialog(scene.window)
    wrong.go_on.click()
    forms: list[tuple[str, QDialog]] = [
        ("send", send), ("stamp", stamp), ("stamp-wrong", wrong), ("move", MoveDialog(scene.window, "mail", [], ["x"])),
    ]  # fmt: skip
    forms += [
        (command.name, SteerDialog(scene.window, command, ["w1@crawler-1", "w2@crawler-2"], names))
        for command in COMMANDS
        if command.fields
    ]
    for name, form in forms:
        await scene.open(form)
        if form is send:
            send.section.open()
        await asyncio.sleep(_MOMENT)
        await scene.take(f"form-{name}", form)
        form.reject()


async def take_window(scene: Scene, own: Path) -> None:
    """The window with its lock in all states, and what was done."""
    path = own / "lively.cloche"
    history = History(path)
    fleet = Lively(history, time.time() - 240)
    fleet.run(240)
    fleet.inspect()
    history.commit(time.time())
    history.close()
    write_acts(paths.audit_file())
    supervisor = Supervisor()
    window = MainWindow(supervisor, scene.theme, QSettings(str(own / "window.ini"), QSettings.Format.IniFormat))
    window.show()
    with patch("app.ui.link.CollectorLink.start"):
        for name, environment, mode in SIDES:
            url = f"redis://redis.{name}.internal:6379/0"
            one = supervisor.add(Target(name, path, url, environment=environment, mode=mode))
            one.health = Health("live", events_per_second=1243, behind=0.08, commands_per_second=1.1)
            one.health_changed.emit()
        leadlawk = supervisor.connections[0]
        for width, height in SIZES:
            window.resize(width, height)
            for page in ("tasks", "workers", "queues", "activity"):
                window.show_page(page)
                await asyncio.sleep(1.0)
                leadlawk.acts.take(Standing(None, "production"))
                await scene.take(f"window-{page}-{width}-locked", window)
                await window.page.prepare_shot()  # type: ignore[attr-defined]
                leadlawk.acts.take(Standing(time.time() + 872, "production"))
                await scene.take(f"window-{page}-{width}-unlocked", window)
                await take_selected(scene, window, f"window-{page}-{width}")
        for place, (name, _, _) in enumerate(SIDES):
            window.scope.choose(place)
            await scene.take(f"badge-{name}", window._top)
        menu = window._top.badge.menu()
        menu.popup(window.mapToGlobal(QPoint(900, 60)))
        await scene.take("badge-menu", menu)
        menu.close()
        window.scope.choose_all()
        await asyncio.sleep(1.0)
        await scene.take("window-all-activity", window)
        modes = ModeDialog(window, scene.theme, supervisor.connections[2], "operate", kept=True)
        await scene.open(modes)
        await scene.take("mode", modes)
        modes.reject()
    window.close()
    await supervisor.close()


async def take_selected(scene: Scene, window: MainWindow, name: str) -> None:
    """Several rows selected, or an export under way."""
    page = window.page
    if isinstance(page, TasksPage):
        page.search_for("name:*")
        await asyncio.sleep(0.5)
        page._table.selectAll()
        await scene.take(f"{name}-selected", window)
        page._table.select_nothing()
    elif isinstance(page, WorkersPage):
        page.table.selectAll()
        await scene.take(f"{name}-selected", window)
        page.table.select_nothing()
    elif isinstance(page, QueuesPage):
        page._exporting.begin("pagespeed", 412)
        page._exporting.show_progress(Exported(1, 230))
        window.show_notice(Notice("act", OPERATE_ONLY, "info"))
        await scene.take(f"{name}-export", window)
        window.show_notice(Notice("act", ""))
        page._exporting.hide()


def write_acts(path: Path) -> None:
    """A log of what was done to two brokers."""
    shop = AuditLog(path, Subject("leadlawk", "redis://redis.leadlawk.internal:6379/0", "production"))
    edr = AuditLog(path, Subject("edr", "redis://redis.edr.internal:6379/0", "staging"))
    revoke = Plan(
        title="Revoke 40 tasks", verb="Revoke 40 tasks", count=40, things="task",
        facts=[("Found by", "name:pagespeed.test state:received"), ("Workers", "4"), ("At most", "20 a second")],
        cautions=[Caution("Workers that are offline now miss it."), Caution("3 run: they go on.", grave=True)],
        undo="It can't be undone: a worker forgets it when it is restarted.",
    )  # fmt: skip
    grow = Plan(title="Grow the pool of 3 workers by 2", verb="Grow", count=3, things="worker")
    wished: tuple[tuple[AuditLog, Wish, Plan], ...] = (
        (shop, Purge("pagespeed"), PLAN),
        (edr, Steer("pool_grow", ["w1@a", "w2@a", "w3@b"], number=2), grow),
        (shop, Revoke(search="name:pagespeed.test"), revoke),
        (shop, Purge("pagespeed"), PLAN),
    )
    for number, (log, wish, plan) in enumerate(wished):
        items = [Item(f"5f0c1a52-7b4e-4f6e-9d0e-1c6a2b8f{n:04x}", ok=n % 9 > 0, text="") for n in range(plan.count)]
        if plan is grow:
            items = [Item(name, ok=True, text="pool will grow") for name in ("w1@a", "w2@a", "w3@b")]
        log.intend(f"{number}f9d2c41aa7b4c54a2", wish, plan)
        log.note(f"{number}f9d2c41aa7b4c54a2", items[:20])
        if number == 2:
            log.let_go(f"{number}f9d2c41aa7b4c54a2")  # its process died
        elif number < 3:
            done = sum(item.ok is True for item in items)
            undo = Restore("pagespeed.quarantine") if plan is PLAN else None
            text = "They are in the quarantine pagespeed.quarantine.1795230300." if plan is PLAN else ""
            log.conclude(
                f"{number}f9d2c41aa7b4c54a2",
                Outcome(state="done", done=done, failed=len(items) - done, total=plan.count, text=text, undo=undo),
            )
    KEPT_OPEN.append(shop)


async def take_all(scene: Scene, own: Path) -> None:
    """All of them."""
    steps: tuple[Coroutine[Any, Any, None], ...] = (
        take_acts(scene), take_running(scene), take_workers(scene), take_modes(scene), take_wishes(scene),
        take_forms(scene), take_window(scene, own),
    )  # fmt: skip
    for step in steps:
        await step


def main(folder: Path) -> None:
    """Take them all."""
    folder.mkdir(parents=True, exist_ok=True)
    application = QApplication([])
    application.setQuitOnLastWindowClosed(False)
    with qasync.QEventLoop(application) as loop, tempfile.TemporaryDirectory() as made:
        os.environ |= dict.fromkeys(("XDG_DATA_HOME", "XDG_CONFIG_HOME"), made)
        scene = Scene(folder, application)
        loop.run_until_complete(take_all(scene, Path(made)))
        scene.window.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
