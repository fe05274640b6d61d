"""What can be asked of a broker at once, without recording: `cloche doctor` and `queues`."""

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
from app.models.profiles import Mode

if TYPE_CHECKING:
    from app.collectors.listing import Listing
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
            click.echo(
                "\n".join(queue_table(plain)) or ("No queue is known." if found.hint else "There are no queues.")
            )
        for trouble in found.troubles:
            click.echo(trouble, err=True)
        if found.hint:
            click.echo(f"Only queues that are named, or consumed by workers, are seen. {found.hint}", err=True)
        if not found.complete:
            click.echo("There are too many keys to find all queues among them: name others with --queue.", err=True)
        return 0

    sys.exit(told(listed))


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
