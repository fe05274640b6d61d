"""The command line: what people, scripts and tests ask of Cloche without a window, and how the window is opened."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from app import __version__, display
from app.cli.audit import audit
from app.cli.broker import doctor, queues
from app.cli.history import export, stats
from app.cli.messages import messages
from app.cli.profiles import profiles
from app.cli.purge import backup, delete, discard, move, purge, quarantines, restore
from app.cli.record import record
from app.cli.rerun import rerun, send
from app.cli.revoke import revoke
from app.cli.words import (
    Sentence,
    for_option,
    keep_options,
    mode_option,
    option_option,
    password_option,
    shots_option,
    target_at,
    told,
)
from app.cli.worker import worker
from app.models.profiles import Mode
from app.models.target import Target


class CommandOrOpen(click.Group):
    """A group whose first word may also be a broker address or a file: then the window is opened on it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = next((word for word in args if not word.startswith("-")), None)
        asks_group = any(word in ("--help", "--version") for word in args[:1])
        if (first is None or first not in self.commands) and not asks_group:
            args = ["open", *args]
        return super().parse_args(ctx, args)


@click.group(cls=CommandOrOpen, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cloche")
def cli() -> None:
    """Watch Celery: live, searchable, and harmless to production.

    cloche [URL|PROFILE|FILE …] opens the window on brokers (redis://host:6379/0) or on history files.
    """


@cli.command("open", hidden=True)
@click.argument("targets", nargs=-1, metavar="[URL|PROFILE|FILE]...")
@shots_option
@for_option
@option_option
@mode_option
@password_option
@keep_options
def open_window(
    targets: Sequence[str],
    shots: Path | None,
    duration: float | None,
    options: Sequence[str],
    mode: Mode | None,
    *,
    password_stdin: bool,
    **keep: Any,
) -> None:
    """Open the window on brokers or history files."""
    from app.application import run

    if password_stdin and len(targets) != 1:
        raise click.UsageError("--password-stdin is for one broker: name that.")

    def targets_of() -> list[Target]:
        told = {"mode": mode, "password_stdin": password_stdin, **keep}
        return [target_at(target, options, **told) for target in targets]

    why = display.why_none()
    if why and shots is None and "QT_QPA_PLATFORM" not in os.environ:
        raise Sentence(f"There is no display for a window: {why}. Use --shots DIR for pictures, or cloche record URL.")
    display.go_offscreen()

    def opened() -> int:
        return run(targets_of(), shots=shots, duration=duration, on_shots=_say_shots)

    sys.exit(told(opened))


@cli.command()
@for_option
@shots_option
@click.option("--no-window", is_flag=True, help="Only the brokers and workers; prints the addresses.")
def demo(duration: float | None, shots: Path | None, *, no_window: bool) -> None:
    """Two brokers with five Celery systems at work, and the window on them."""
    from app.demo.session import run_demo

    sys.exit(told(lambda: run_demo(duration=duration, shots=shots, window=not no_window)))


@cli.command(hidden=True)
@click.option("--shots", type=click.Path(file_okay=False, path_type=Path), default=None)
def selftest(shots: Path | None) -> None:
    """Prove that this installation works: a collector, a task through an embedded broker, a picture of the window."""
    from app.selftest import run_selftest

    sys.exit(told(lambda: run_selftest(shots)))


@cli.command("demo-fleet", hidden=True, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo_fleet(arguments: Sequence[str]) -> None:
    """Run the demo's workers; the demo starts it."""
    from app.demo.children import run_fleet_child

    sys.exit(run_fleet_child(arguments))


def _say_shots(made: Sequence[Path]) -> None:
    for path in made:
        click.echo(f"picture: {path}")


for command in (
    record, stats, export, doctor, queues, messages, profiles,
    purge, restore, discard, quarantines, delete, move, backup, rerun, send, revoke, worker, audit,
):  # fmt: skip
    cli.add_command(command)
