"""Proof that an installation works as a whole: brokers, workers, collectors, history and window, on this machine."""

import asyncio
import tempfile
from pathlib import Path
from typing import Final

import click

from app import display
from app.demo.fleet import Fleet
from app.models.history.errors import HistoryError
from app.models.target import Target
from app.ui.supervisor import Connection, Supervisor

#: Seconds until a first task must have succeeded on every broker.
PATIENCE: Final = 60.0
#: A picture smaller than this many bytes shows nothing.
LEAST_PICTURE: Final = 10_000


def run_selftest(shots: Path | None) -> int:
    """Run the demo's fleet until a task succeeded on each broker and is in its history, and draw every page."""
    from app.application import run  # noqa: PLC0415 - Qt reads the environment when it is loaded

    display.go_offscreen()
    pictures: list[Path] = []
    with tempfile.TemporaryDirectory(prefix="cloche-selftest-") as folder, Fleet() as fleet:
        targets = [
            Target(broker.name, Path(folder) / f"{broker.name}.cloche", broker.url, environment=broker.environment)
            for broker in fleet.brokers
        ]
        directory = shots or Path(folder) / "pictures"
        code = run(targets, shots=directory, ready=_tasks_succeeded, on_shots=pictures.extend)
        if code:
            return code
        blank = [path.name for path in pictures if path.stat().st_size < LEAST_PICTURE]
    if blank or not pictures:
        click.echo(f"failed: {', '.join(blank) or 'no page'} could not be drawn", err=True)
        return 1
    click.echo(f"ok: tasks ran, were collected and stored on {len(targets)} brokers; {len(pictures)} pictures drawn")
    return 0


async def _tasks_succeeded(supervisor: Supervisor) -> bool:
    """Until every connection's history holds a task that succeeded; False if that takes too long."""
    try:
        async with asyncio.timeout(PATIENCE):
            for connection in supervisor.connections:
                await _task_succeeded(connection)
    except TimeoutError:
        for connection in supervisor.connections:
            click.echo(f"{connection.profile.name}: {connection.health.state} {connection.health.text}", err=True)
        click.echo(f"failed: no task succeeded within {PATIENCE:.0f} s", err=True)
        return False
    return True


async def _task_succeeded(connection: Connection) -> None:
    grown = asyncio.Event()
    connection.committed.connect(grown.set)
    try:
        while True:
            await grown.wait()
            grown.clear()
            try:
                states = await connection.query(lambda reader: reader.states())
            except HistoryError:
                # The file is just being made.
                continue
            if states.get("SUCCESS"):
                return
    finally:
        connection.committed.disconnect(grown.set)
