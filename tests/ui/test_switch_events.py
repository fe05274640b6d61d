"""Turning events of workers on and off from the window: an act like any other, on workers that are named."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from PySide6.QtCore import QSettings
from pytestqt.qtbot import QtBot

from app.cli import cli
from app.models.acts import Outcome, Plan, Standing, Steer
from app.models.diagnosis import Action, Finding
from app.models.profiles import Mode
from app.models.target import Target
from app.ui.main_window import MainWindow
from app.ui.supervisor import Connection, Supervisor
from app.ui.theme import ThemeManager
from app.ui.widgets.act_dialog import ActDialog
from tests.ui.acting import PlayedActs
from tests.ui.conftest import Run, until

EVENTS = Finding("events", "warning", None, "", "", "", Action("events"))
PLAN = Plan(title="Turn events on at 1 worker", verb="Turn events on", count=1, things="worker")


def opened(window: MainWindow) -> list[ActDialog]:
    return [each for each in window.findChildren(ActDialog) if each.isVisible()]


def switched(connection: Connection) -> bool:
    return connection.events_switched


def test_events_are_turned_on_at_the_workers_that_live_and_off_again(
    qtbot: QtBot, theme: ThemeManager, supervisor: Supervisor, history: Path, tmp_path: Path, run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("app.ui.link.CollectorLink.start", lambda _link: None)
    window = MainWindow(supervisor, theme, QSettings(str(tmp_path / "w.ini"), QSettings.Format.IniFormat))
    qtbot.addWidget(window)

    acts = PlayedActs()
    acts.stand(Standing(2e10))

    async def steered(*, on: bool) -> None:
        connection = supervisor.connections[0]
        if on:
            window._act(EVENTS)
        else:
            window._ask_events(on=False)
        await until(lambda: opened(window))
        [dialog] = opened(window)
        acts.plans.put_nowait(PLAN)
        await until(dialog.confirm.isEnabled)
        # The other is gone.
        assert acts.wishes[-1][0] == Steer("enable_events" if on else "disable_events", ["w1@one"])
        dialog.confirm.click()
        assert switched(connection) != on
        acts.outcomes.put_nowait(Outcome(state="done", done=1, total=1))
        await until(lambda: dialog.stage == "ended")
        assert switched(connection) == on
        dialog.reject()

    async def story() -> None:
        window.show()
        connection = supervisor.add(Target("shop", history, "redis://127.0.0.1:1/0", mode="operate"))
        monkeypatch.setattr(connection, "acts", acts)
        await steered(on=True)
        await steered(on=False)

    run(story())


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
