"""The command line: what people, scripts and tests ask of Cloche without a window, and how the window is opened."""

import json
import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from app import __version__, display
from app.models.profiles import Mode
from app.models.wire import KEEP_BYTES, KEEP_SECONDS, Configure, Health, Message, Notice

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZES = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
#: Bytes below which a history has no room to work in: what is not folded into the file yet takes up to 24 MB.
_LEAST_SIZE = 100 * 10**6


class Duration(click.ParamType[float]):
    """A length of time like `30s`, `15m`, `2h`, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float | int):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a length of time. Write it like 30s, 15m or 2h.", param, ctx)
        return float(match[1]) * _UNITS[match[2] or "s"]


class Limit(click.ParamType[float]):
    """A length of time, or a size like `500MB` in bytes; `forever` is no limit, as a number: infinity."""

    def __init__(self, name: str, units: dict[str, int], example: str) -> None:
        self.name = name
        self._units = units
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float | int):
            return float(value)
        text = str(value).strip().lower()
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]+)", text)
        if text == "forever":
            return math.inf
        if match is None or match[2] not in self._units:
            self.fail(f"{value!r} is not a {self.name}. Write it like {self._example}, or forever.", param, ctx)
        return float(match[1]) * self._units[match[2]]


class CommandOrOpen(click.Group):
    """A group whose first word may also be a broker address or a file: then the window is opened on it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = next((word for word in args if not word.startswith("-")), None)
        asks_group = any(word in ("--help", "--version") for word in args[:1])
        if (first is None or first not in self.commands) and not asks_group:
            args = ["open", *args]
        return super().parse_args(ctx, args)


class Sentence(click.ClickException):
    """An error for people: one sentence, exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"cloche: {self.message}", err=True, file=file)


def told(function: Callable[[], int]) -> int:
    """Run what may fail for reasons outside the program, and say the reason in its sentence."""
    from app.collectors.transport import BrokerError
    from app.demo.broker import BrokerUnavailable
    from app.models.export import ExportError
    from app.models.history.errors import HistoryError
    from app.models.search import SearchError

    try:
        return function()
    except (BrokerError, BrokerUnavailable, ExportError, HistoryError, SearchError) as error:
        raise Sentence(str(error)) from error


seconds = Duration()
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
for_option = click.option(
    "--for", "duration", type=seconds, metavar="T", help="End by itself after this time (30s, 5m …)."
)
since_option = click.option("--since", type=seconds, metavar="T", help="Only what was first seen in the last 15m, 2h …")
option_option = click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="A Celery transport option, such as global_keyprefix=shop:.",
)


def keep_options(command: Callable[..., None]) -> Callable[..., None]:
    """How much of a history is kept: ``keep_seconds`` and ``keep_bytes`` as `Configure` takes them."""
    size = click.option(
        "--keep-size",
        "keep_bytes",
        type=Limit("size", _SIZES, "5GB or 500MB"),
        default=KEEP_BYTES,
        metavar="SIZE",
        callback=_limit,
        help="Remove the oldest tasks from a history that is larger (500MB, 5GB …, forever).  [default: 5GB]",
    )
    age = click.option(
        "--keep",
        "keep_seconds",
        type=Limit("length of time", _UNITS, "30d or 12h"),
        default=KEEP_SECONDS,
        metavar="T",
        callback=_limit,
        help="Remove tasks from the history that ended so long ago (12h, 30d …, forever).  [default: 30d]",
    )
    return age(size(command))


def _limit(_context: click.Context, option: click.Parameter, value: float) -> int | None:
    if option.name == "keep_bytes" and value < _LEAST_SIZE:
        raise click.UsageError(f"A history needs at least {_LEAST_SIZE // 10**6}MB.")
    return None if math.isinf(value) else int(value)


shots_option = click.option(
    "--shots",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Render every page into DIR, and end.",
)
existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=CommandOrOpen, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cloche")
def cli() -> None:
    """Watch Celery: live, searchable, and harmless to production.

    cloche [URL|FILE …] opens the window on brokers (redis://host:6379/0) or on history files.
    """


@cli.command("open", hidden=True)
@click.argument("targets", nargs=-1, metavar="[URL|FILE]...")
@shots_option
@for_option
@option_option
@click.option(
    "--mode",
    type=click.Choice(["passive", "observe", "operate"]),
    default="observe",
    show_default=True,
    help="What may be done to the broker: nothing at all, asking workers, or changing what they do.",
)
@keep_options
def open_window(
    targets: Sequence[str],
    shots: Path | None,
    duration: float | None,
    options: Sequence[str],
    mode: Mode,
    **keep: Any,
) -> None:
    """Open the window on brokers or history files."""
    from app.application import Target, run

    def targets_of() -> list[Target]:
        return [msgspec.structs.replace(_target(target, options), mode=mode, **keep) for target in targets]

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


@cli.command()
@click.argument("url")
@click.option("--history", type=click.Path(dir_okay=False, path_type=Path), help="File to record into.")
@for_option
@option_option
@click.option("--queue", "queues", multiple=True, metavar="NAME", help="A queue to watch besides those that are found.")
@click.option("--mode", type=click.Choice(["passive", "observe"]), default="observe", show_default=True)
@keep_options
@json_option
def record(
    url: str,
    history: Path | None,
    duration: float | None,
    options: Sequence[str],
    queues: Sequence[str],
    mode: Literal["passive", "observe"],
    *,
    as_json: bool,
    **keep: Any,
) -> None:
    """Collect from a broker into a history without a window, until Ctrl+C."""
    from app.collectors.__main__ import end_on_failure
    from app.collectors.runner import Collector

    end_on_failure()
    target = _target(url, options)
    config = Configure(
        name=target.name,
        url=target.url,
        history=str(history or target.history),
        password=target.password,
        mode=mode,
        options=target.options,
        queues=list(queues),
        temporary=False,  # without a window nobody would look at what is not kept
        **keep,
    )
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


@cli.command()
@click.argument("file", type=existing_file)
@since_option
@json_option
def stats(file: Path, since: float | None, *, as_json: bool) -> None:
    """The figures of a history."""
    from app.models.history.reader import Reader
    from app.models.report import as_text
    from app.models.report import stats as figures

    def printed() -> int:
        reader = Reader(file)
        try:
            found = figures(reader, None if since is None else (reader.alive() or time.time()) - since)
        finally:
            reader.close()
        click.echo(json.dumps(found, indent=2) if as_json else as_text(found))
        return 0

    sys.exit(told(printed))


@cli.command()
@click.argument("file", type=existing_file)
@click.option("--where", default="", metavar="SEARCH", help="Only tasks that this search finds, as in the window.")
@since_option
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; standard output if left out.",
)
def export(file: Path, where: str, since: float | None, form: Literal["csv", "jsonl"], output: Path | None) -> None:
    """Write tasks of a history as CSV or JSON lines."""
    from app.models.export import export as write
    from app.models.export import export_file
    from app.models.history.reader import Reader
    from app.models.search import parse

    def written() -> int:
        search = parse(where)
        reader = Reader(file)
        try:
            start = None if since is None else (reader.alive() or time.time()) - since
            if output is None:
                write(reader, sys.stdout, format=form, where=search, since=start)
            else:
                count = export_file(reader, output, format=form, where=search, since=start)
                click.echo(f"{count:,} tasks written to {output}", err=True)
        finally:
            reader.close()
        return 0

    sys.exit(told(written))


@cli.command()
@click.argument("url")
@option_option
@json_option
def doctor(url: str, options: Sequence[str], *, as_json: bool) -> None:
    """What can be seen of a broker, and what to do about what can't. Exit code 1 if something is missing."""
    from app.collectors.doctor import examine

    target = _target(url, options)

    def examined() -> int:
        findings = examine(target.url, target.password, target.options)
        if as_json:
            click.echo(json.dumps([finding.plain() for finding in findings], indent=2))
        else:
            for finding in findings:
                click.echo(finding.line())
        return 0 if all(finding.ok is not False for finding in findings) else 1

    sys.exit(told(examined))


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


def _target(text: str, options: Sequence[str]) -> Any:
    from app.models.target import TargetError, target_of

    pairs = [option.partition("=") for option in options]
    wrong = next((key for key, separator, _ in pairs if not separator), None)
    if wrong is not None:
        raise click.UsageError(f"--option takes KEY=VALUE, not {wrong!r}.")
    try:
        return target_of(text, {key: value for key, _, value in pairs})
    except TargetError as error:
        raise Sentence(str(error)) from error


def _until(stop: Callable[[], None], duration: float | None) -> None:
    """Have ``stop`` called on Ctrl+C, on SIGTERM, and after ``duration`` seconds."""
    import signal

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
            click.echo(json.dumps({key: said[key] for key in ("state", "text", "events_per_second", "behind", "lost")}))
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
