"""`cloche demo`: the fleet, and the window on its brokers."""

import signal
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from app import display
from app.demo.fleet import DemoBroker, Fleet
from app.models.target import Target

#: Seconds of work that pictures wait for, so that charts have something to show.
WARM_UP: Final = 25.0
#: Where pictures go that nobody gave a place for.
PICTURES: Final = Path("cloche-pictures")
#: The time range the demo begins with: its history is young.
SPAN: Final = 300.0


def run_demo(*, duration: float | None, shots: Path | None, window: bool) -> int:
    """Run the demo until the window is closed, Ctrl+C, or for ``duration`` seconds. Raises `BrokerUnavailable`."""
    with tempfile.TemporaryDirectory(prefix="cloche-demo-") as folder, Fleet() as fleet:
        for broker in fleet.brokers:
            click.echo(f"{broker.name}: {broker.url}")
        if not window:
            _wait(duration)
            return 0
        targets = targets_in(Path(folder), fleet.brokers)
        if display.go_offscreen():
            shots = shots or PICTURES
            click.echo(f"There is no display ({display.why_none()}): the same window runs offscreen, draws its pages")
            click.echo(f"as pictures into {shots}, prints its figures and ends.")
        return _run_window(targets, duration, shots)


def targets_in(folder: Path, brokers: Sequence[DemoBroker]) -> list[Target]:
    """The brokers of the demo as targets; their histories, and what is done to them, are kept in this folder only."""
    log = folder / "audit" / "audit.jsonl"
    return [
        Target(each.name, folder / f"{each.name}.cloche", each.url, environment=each.environment, audit=log)
        for each in brokers
    ]


def _run_window(targets: list[Target], duration: float | None, shots: Path | None) -> int:
    from app.application import run  # noqa: PLC0415 - Qt reads the environment when it is loaded

    if shots is not None and duration is None:
        duration = WARM_UP
    code = run(targets, shots=shots, duration=duration, span=SPAN, on_shots=_say_shots)
    if shots is not None:
        _print_figures(targets)
    return code


def _say_shots(made: list[Path]) -> None:
    for path in made:
        click.echo(f"picture: {path}")


def _print_figures(targets: list[Target]) -> None:
    from app.models.history.reader import Reader  # noqa: PLC0415 - only where figures are printed
    from app.models.report import as_text, stats  # noqa: PLC0415

    for target in targets:
        reader = Reader(target.history)
        try:
            click.echo(f"\n{target.name}\n{as_text(stats(reader))}")
        finally:
            reader.close()


def _wait(duration: float | None) -> None:
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: done.set())
    done.wait(duration)
