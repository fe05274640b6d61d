"""What can be asked of a broker at once, without recording: `cloche doctor`, `queues` and `messages`."""

import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from app.cli.words import json_option, mode_option, option_option, password_option, queue_option, target_at, told
from app.models.formats import bytes_, date_time, number_of
from app.models.profiles import Mode

if TYPE_CHECKING:
    from app.collectors.listing import Listing
    from app.models.records import Message
    from app.models.wire import Found


@click.command()
@click.argument("url", metavar="URL|PROFILE")
@option_option
@queue_option
@mode_option
@password_option
@json_option
def doctor(
    url: str, options: Sequence[str], queues: Sequence[str], mode: Mode | None, *, password_stdin: bool, as_json: bool
) -> None:
    """What can be seen of a broker, and what to do about what can't. Exit code 1 if something is missing."""
    from app.collectors.doctor import examine

    target = target_at(url, options, mode=mode, queues=queues, password_stdin=password_stdin)

    def examined() -> int:
        findings = examine(target.examine())
        if as_json:
            click.echo(json.dumps([_plain(finding) for finding in findings], indent=2))
        else:
            for finding in findings:
                click.echo(_found_line(finding))
        return 0 if all(finding.ok is not False for finding in findings) else 1

    sys.exit(told(examined))


@click.command()
@click.argument("url", metavar="URL|PROFILE")
@option_option
@queue_option
@mode_option
@password_option
@json_option
def queues(
    url: str, options: Sequence[str], queues: Sequence[str], mode: Mode | None, *, password_stdin: bool, as_json: bool
) -> None:
    """What waits in a broker's queues now, consumed or not."""
    from app.collectors.brokers import broker_of
    from app.collectors.listing import list_queues
    from app.models.report import queue_table

    target = target_at(url, options, mode=mode, queues=queues, password_stdin=password_stdin)

    def listed() -> int:
        found = list_queues(broker_of(target.examine()), target.mode, target.queues)
        _date_heads(found, target.history)
        plain = [msgspec.to_builtins(queue) for queue in found.queues]
        if as_json:
            click.echo(json.dumps(plain, indent=2))
        else:
            click.echo("\n".join(queue_table(plain)) or "There are no queues.")
        for trouble in found.troubles:
            click.echo(trouble, err=True)
        if not found.complete:
            click.echo("There are too many keys to find all queues among them: name others with --queue.", err=True)
        return 0

    sys.exit(told(listed))


@click.command()
@click.argument("url", metavar="URL|PROFILE")
@click.argument("queue")
@option_option
@click.option("--newest", is_flag=True, help="From the newest on, instead of from the one that is taken next.")
@click.option("--start", type=click.IntRange(0), default=0, metavar="N", help="Pass over so many.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="So many at most.")
@password_option
@json_option
def messages(
    url: str,
    queue: str,
    options: Sequence[str],
    start: int,
    limit: int,
    *,
    newest: bool,
    password_stdin: bool,
    as_json: bool,
) -> None:
    """Messages that wait in a queue, looked at and not taken."""
    from app.collectors.brokers import broker_of

    target = target_at(url, options, password_stdin=password_stdin)

    def shown() -> int:
        broker = broker_of(target.examine())
        page = broker.peek(queue, start=start, count=limit, newest=newest)
        if as_json:
            click.echo(json.dumps(msgspec.to_builtins(page), indent=2))
            return 0
        for place, message in enumerate(page.messages, page.start):
            click.echo(_line(place, message))
        shown = f"{page.start + 1:,}–{page.start + len(page.messages):,} of " if page.messages else ""
        click.echo(f"{shown}{number_of(page.total, 'message')} in {queue}", err=True)
        return 0

    sys.exit(told(shown))


def _plain(found: "Found") -> dict[str, Any]:
    """As JSON types."""
    plain: dict[str, Any] = {"name": found.name, "ok": found.ok, "text": found.text, "remedy": _remedy(found)}
    return plain | ({"offers": msgspec.to_builtins(found.offers)} if found.offers else {})


def _found_line(found: "Found") -> str:
    mark = {True: "✓", False: "✗", None: "·"}[found.ok]
    remedy = _remedy(found)
    return f"{mark} {found.name}: {found.text}" + (f"\n    → {remedy}" if remedy else "")


def _remedy(found: "Found") -> str:
    """What to do, with the words of the command line that would do it."""
    words = [found.remedy] if found.remedy else []
    for offer in found.offers:
        if offer.option == "queues":
            words += [f"--queue {shlex.quote(queue)}" for queue in offer.value.split(", ")]
        else:
            words.append(f"--option {shlex.quote(f'{offer.option}={offer.value}')}")
    return " ".join(words)


def _line(place: int, message: "Message") -> str:
    arguments = " ".join(filter(None, (message.args, message.kwargs)))
    eta = f"eta {date_time(message.eta)}" if message.eta is not None else ""
    priority = f"priority {message.priority}" if message.priority else ""
    words = (message.id or "?", message.name or "?", arguments, eta, priority, bytes_(message.size), message.note)
    return f"{place:>6,}  {'  '.join(filter(None, words))}"


def _date_heads(found: "Listing", history: Path) -> None:
    """How long the oldest messages wait, where the history of this broker knows when they were sent."""
    from app.models.history.errors import HistoryError
    from app.models.history.reader import Reader

    if not found.heads or not history.exists():
        return
    try:
        reader = Reader(history)
    except HistoryError:
        return  # the queues are what was asked for
    try:
        now = time.time()
        for queue in found.queues:
            heads = found.heads.get(queue.name, ())
            tasks = [reader.task(head.uuid) for head in heads if head.uuid is not None]
            since = [max(task.sent, task.eta or 0.0) for task in tasks if task is not None and task.sent is not None]
            if since:
                queue.oldest, queue.oldest_exact = max(0.0, now - min(since)), len(since) == len(heads)
    finally:
        reader.close()
