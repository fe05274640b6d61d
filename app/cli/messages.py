"""`cloche messages`: what waits in a queue, which tasks that are, and whether one message is among them."""

import json
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from app.cli.words import Sentence, json_option, mode_option, option_option, password_option, target_at, told
from app.models import surveys
from app.models.formats import bytes_, date_time, number_of
from app.models.profiles import Mode
from app.models.records import Message
from app.models.surveys import Survey
from app.models.target import Target

if TYPE_CHECKING:
    from app.collectors.broker import Broker
    from app.collectors.messages import Page


class _Asked(msgspec.Struct, frozen=True):
    """What was said on the command line."""

    start: int
    limit: int
    most: int
    wanted: str | None
    newest: bool
    names: bool
    export: Path | None
    yes: bool
    as_json: bool


@click.command()
@click.argument("url", metavar="URL|PROFILE")
@click.argument("queue")
@option_option
@mode_option
@click.option("--newest", is_flag=True, help="From the newest on, instead of from the one that is taken next.")
@click.option("--start", type=click.IntRange(0), default=0, metavar="N", help="Pass over so many.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="So many at most.")
@click.option("--names", is_flag=True, help="Count which tasks wait there: all, or a sample of a large queue.")
@click.option(
    "--find", "wanted", metavar="TEXT", help="Look for the message with this id, or that begins so, or of this task."
)
@click.option(
    "--most",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    metavar="N",
    help="With --find: look at about so many messages.",
)
@click.option(
    "--export",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write all messages to a new file, as they are in the broker.",
)
@click.option("--yes", is_flag=True, help="On RabbitMQ: look, though that marks messages as redelivered.")
@password_option
@json_option
def messages(
    url: str, queue: str, options: Sequence[str], mode: Mode | None, *, password_stdin: bool, **wishes: Any
) -> None:
    """Messages that wait in a queue, looked at and not taken.

    With --find the exit code is 1 where none was found.
    """
    from app.collectors.brokers import broker_of

    asked = _Asked(**wishes)
    _check(asked)
    target = target_at(url, options, mode=mode, password_stdin=password_stdin)

    def shown() -> int:
        broker = broker_of(target.examine())
        if asked.export is not None:
            return _export(broker, target, queue, asked.export, yes=asked.yes)
        if asked.names:
            return _show_names(_survey(broker, target.mode, queue, "", asked.most), as_json=asked.as_json)
        if asked.wanted is not None:
            wanted = asked.wanted.strip()
            found = _survey(broker, target.mode, queue, wanted, asked.most)
            return _show_found(found, wanted, as_json=asked.as_json)
        if broker.marks:
            _agree(target.mode, asked.limit, yes=asked.yes)
        return _show_page(_page(broker, target.mode, queue, asked), queue, as_json=asked.as_json)

    sys.exit(told(shown))


def _check(asked: _Asked) -> None:
    """Raises ``UsageError`` for what can't be done together."""
    if asked.names and asked.wanted is not None:
        raise click.UsageError("--names counts all tasks, and --find looks for one message: use one of them.")
    if asked.wanted is not None and not asked.wanted.strip():
        raise click.UsageError("--find takes an id, the beginning of one, or the name of a task.")
    if asked.export is not None and (asked.names or asked.wanted is not None):
        raise click.UsageError("--export writes all messages: use neither --names nor --find with it.")


def _agree(mode: Mode, limit: int | None, *, yes: bool) -> None:
    """Say what a look does, and ask. Raises `Sentence` where it may not be done, or nobody said that it should."""
    if mode != "operate":
        raise Sentence(surveys.OPERATE_ONLY)
    if yes:
        return
    if not sys.stdin.isatty():
        raise Sentence(f"{surveys.MARKS} Add --yes to look all the same.")
    click.echo(surveys.MARKS, err=True)
    looked = "all messages" if limit is None else f"{number_of(limit, 'message')} at most"
    click.confirm(f"Look at {looked}?", abort=True, err=True)


def _page(broker: "Broker", mode: Mode, queue: str, asked: _Asked) -> "Page":
    """Raises `BrokerError`, also where there is no such queue."""
    from app.collectors.errors import BrokerError
    from app.collectors.listing import missing

    try:
        page = broker.peek(queue, mode, start=asked.start, count=asked.limit, newest=asked.newest)
    except BrokerError as error:
        raise (missing(broker, mode, queue) if error.fault == "absent" else None) or error from None
    # In Redis a queue that is empty is not there: others know whether there is one.
    nothing = None if page.total or broker.marks else missing(broker, mode, queue)
    if nothing is not None:
        raise nothing
    return page


def _export(broker: "Broker", target: Target, queue: str, path: Path, *, yes: bool) -> int:
    """Raises `BrokerError`, and `Sentence` where the file can't be written."""
    from app.collectors.exporting import export
    from app.collectors.listing import missing
    from app.models.backups import BackupError

    if broker.marks:
        _agree(target.mode, None, yes=yes)
    keep, number = target.keep_arguments, 0
    written = export(broker, target.mode, queue, path, keep_arguments=keep, on_command=lambda _number: None)
    try:
        with closing(written):
            for number in written:
                if not number and (absent := missing(broker, target.mode, queue)) is not None:
                    raise absent
    except BackupError as error:
        raise Sentence(str(error)) from error
    click.echo(f"{number_of(number, 'message')} of {queue} are in {path}.", err=True)
    return 0


def _survey(broker: "Broker", mode: Mode, queue: str, wanted: str, most: int) -> Survey:
    """Look through a queue, with its progress where somebody watches. Raises `BrokerError`."""
    from app.collectors.listing import missing
    from app.collectors.peeker import PAUSE

    surveyor = broker.survey(queue, wanted)
    found: list[Message] = []
    watched = sys.stderr.isatty()
    try:
        while True:
            began = time.monotonic()
            surveyor.look()
            survey = surveyor.survey
            if survey.state == "paused":
                found += survey.found
            if survey.state == "over" or (survey.state == "paused" and survey.looked >= most):
                break
            if watched:
                click.echo(f"\r{surveys.progress(survey)} … ", err=True, nl=False)
            time.sleep(max(0.0, began + PAUSE - time.monotonic()))
    finally:
        surveyor.rest()
        if watched:
            click.echo("\r\033[K", err=True, nl=False)
    if not survey.total and (error := missing(broker, mode, queue)) is not None:
        raise error
    return msgspec.structs.replace(survey, found=found + (survey.found if survey.state == "over" else []))


def _show_page(page: "Page", queue: str, *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(page), indent=2))
        return 0
    for place, message in enumerate(page.messages, page.start):
        click.echo(message_line(place, message))
    shown = f"{page.start + 1:,}–{page.start + len(page.messages):,} of " if page.messages else ""
    click.echo(f"{shown}{number_of(page.total, 'message')} in {queue}", err=True)
    return 0


def _show_names(survey: Survey, *, as_json: bool) -> int:
    from app.models.report import name_table

    if as_json:
        plain = msgspec.to_builtins(survey)
        click.echo(json.dumps({key: plain[key] for key in ("total", "reached", "looked", "sample", "others", "other")}
                              | {"names": dict(survey.names)}, indent=2))  # fmt: skip
        return 0
    click.echo("\n".join(name_table(survey)).rstrip() or "", nl=bool(survey.names))
    click.echo(surveys.of_names(survey), err=True)
    return 0


def _show_found(survey: Survey, wanted: str, *, as_json: bool) -> int:
    if as_json:
        plain = msgspec.to_builtins(survey)
        click.echo(json.dumps({key: plain[key] for key in ("total", "reached", "looked", "found")}, indent=2))
    else:
        for message in survey.found:
            click.echo(message_line(message.place or 0, message))
        click.echo(surveys.of_found(survey, wanted), err=True)
    return 0 if survey.found else 1


def message_line(place: int, message: Message) -> str:
    """A message as one line of text."""
    arguments = " ".join(filter(None, (message.args, message.kwargs)))
    words = (
        message.id or "?",
        message.name or "?",
        arguments,
        f"eta {date_time(message.eta)}" if message.eta is not None else "",
        f"priority {message.priority}" if message.priority else "",
        "redelivered" if message.redelivered else "",
        bytes_(message.size),
        message.note,
    )
    return f"{place:>6,}  {'  '.join(filter(None, words))}"
