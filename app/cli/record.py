"""Collecting without a window: `cloche record`."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from app.cli.words import (
    Sentence,
    for_option,
    json_option,
    keep_options,
    mode_option,
    option_option,
    password_option,
    queue_option,
    target_at,
    told,
)
from app.models.profiles import Mode
from app.models.wire import Health, Message, Notice

#: What `--json` tells of the collector, once a second.
_SAID = ("state", "text", "events_per_second", "behind", "lost", "commands_per_second", "round_trip")


@click.command()
@click.argument("url", metavar="URL|PROFILE")
@click.option("--history", type=click.Path(dir_okay=False, path_type=Path), help="File to record into.")
@for_option
@option_option
@queue_option
@mode_option
@password_option
@keep_options
@json_option
def record(
    url: str,
    history: Path | None,
    duration: float | None,
    options: Sequence[str],
    queues: Sequence[str],
    mode: Mode | None,
    *,
    password_stdin: bool,
    as_json: bool,
    **keep: Any,
) -> None:
    """Collect from a broker into a history without a window, until Ctrl+C."""
    from app.collectors.__main__ import end_on_failure
    from app.collectors.runner import Collector

    end_on_failure()
    target = target_at(url, options, mode=mode, queues=queues, password_stdin=password_stdin, **keep)
    # Without a window nobody would look at what is not kept.
    config = target.configure(history or target.history, temporary=False)
    progress = _Progress(as_json=as_json)

    def recorded() -> int:
        collector = Collector(config, progress.take)
        progress.say(f"Recording {target.name} into {config.history}")
        _until(collector.stop, duration)
        collector.run()
        return 0

    told(recorded)
    progress.end(Path(config.history))
    if not progress.listened:
        raise Sentence(f"Nothing was recorded: {progress.last_text or 'the broker did not answer in time.'}")


def _until(stop: Callable[[], None], duration: float | None) -> None:
    """Have ``stop`` called on Ctrl+C, on SIGTERM, and after ``duration`` seconds."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop())
    if duration is not None:
        timer = threading.Timer(duration, stop)
        timer.daemon = True
        timer.start()


class _Progress:
    """What `record` prints: one line, rewritten on a terminal, and each notice once."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._terminal = sys.stderr.isatty()
        self._notices: dict[str, str] = {}
        #: Whether the broker was ever reached, and what was said last about why not.
        self.listened = False
        self.last_text = ""

    def say(self, text: str) -> None:
        click.echo(text, err=True)

    def take(self, message: Message) -> None:
        if isinstance(message, Notice):
            self._notify(message.key, message.text)
        elif isinstance(message, Health):
            self._health(message)

    def _notify(self, key: str, text: str) -> None:
        """Say what is new; two connections that fail for one reason say it once."""
        if text and text not in self._notices.values():
            self.say(text)
        self._notices[key] = text

    def _health(self, health: Health) -> None:
        self.listened = self.listened or health.state == "live"
        self.last_text = health.text
        if self._json:
            said = msgspec.structs.asdict(health)
            click.echo(json.dumps({key: said[key] for key in _SAID}))
            return
        self._notify("health", health.text)
        if self._terminal:
            rate = (
                f"{health.events_per_second:,.0f} events/s · {health.behind * 1000:.0f} ms behind · {health.lost} lost"
            )
            click.echo(f"\r{health.state} · {rate}\x1b[K", nl=False, err=True)

    def end(self, history: Path) -> None:
        """Print what was recorded."""
        from app.models.history.reader import Reader

        reader = Reader(history)
        try:
            counted, tasks = reader.accounting(), reader.task_total()
        finally:
            reader.close()
        rejected, shed = sum(counted.rejected.values()), sum(counted.shed.values())
        if self._json:
            click.echo(
                json.dumps(
                    {
                        "received": counted.received,
                        "stored": counted.stored,
                        "rejected": rejected,
                        "shed": shed,
                        "tasks": tasks,
                    }
                )
            )
            return
        ended = f"{counted.stored:,} stored + {rejected:,} rejected + {shed:,} shed"
        line = f"{counted.received:,} events received = {ended} · {tasks:,} tasks"
        self.say(f"{os.linesep if self._terminal else ''}{line}")
