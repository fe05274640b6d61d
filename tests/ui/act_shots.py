"""Pictures of acting, in all states and both themes, for eyes that review: `python -m tests.ui.act_shots DIR`."""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec
import qasync
from PySide6.QtWidgets import QApplication, QDialog, QWidget

from app.models.acts import Caution, Item, Outcome, Purge, Restore, Standing
from app.ui.theme import Mode, ThemeManager
from app.ui.widgets.act_dialog import ActDialog
from app.ui.widgets.unlock import UnlockDialog
from tests.ui.acting import PLAN, PlayedConnection

THEMES: Final[tuple[Mode, ...]] = ("dark", "light")
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


async def take_all(scene: Scene) -> None:
    """All of them."""
    steps: tuple[Coroutine[Any, Any, None], ...] = (
        take_acts(scene), take_running(scene), take_workers(scene), take_modes(scene),
    )  # fmt: skip
    for step in steps:
        await step


def main(folder: Path) -> None:
    """Take them all."""
    folder.mkdir(parents=True, exist_ok=True)
    application = QApplication([])
    application.setQuitOnLastWindowClosed(False)
    with qasync.QEventLoop(application) as loop:
        scene = Scene(folder, application)
        loop.run_until_complete(take_all(scene))
        scene.window.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
