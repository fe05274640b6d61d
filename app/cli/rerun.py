"""`cloche rerun` and `cloche send`: tasks once more, and new ones."""

import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from app.cli.act import act_on, act_options
from app.cli.words import Sentence, seconds, since_option
from app.models.acts import Edited, Rerun, Send
from app.models.arguments import checked
from app.models.profiles import Mode


class Moment(click.ParamType[float]):
    """A time like `2026-11-20T23:00` (in your timezone, unless it says another), or `+15m` from now; as an epoch."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float | int):
            return float(value)
        text = str(value).strip()
        if text.startswith("+"):
            return time.time() + seconds.convert(text[1:], param, ctx)
        try:
            return datetime.fromisoformat(text).astimezone().timestamp()
        except ValueError:
            self.fail(f"{value!r} is no time. Write it like 2026-11-20T23:00, or +15m.", param, ctx)


args_option = click.option("--args", "args", metavar="JSON", help="Arguments, as a JSON array; @FILE reads them.")
kwargs_option = click.option(
    "--kwargs", "kwargs", metavar="JSON", help="Keyword arguments, as a JSON object; @FILE reads them."
)


@click.command()
@click.argument("url", metavar="URL|PROFILE")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--search", default="", metavar="QUERY", help="All tasks that this finds in the history, instead of IDs.")
@since_option
@click.option("--queue", metavar="NAME", help="Send them to this queue, instead of where they went.")
@args_option
@kwargs_option
@act_options
def rerun(
    url: str,
    ids: Sequence[str],
    search: str,
    since: float | None,
    queue: str | None,
    args: str | None,
    kwargs: str | None,
    **how: Any,
) -> None:
    """Run tasks again, with the arguments they really had.

    Where these are not known for sure, a task is not sent: look at what is known of it with --plan --json, and give its
    arguments with --args and --kwargs, for one task at a time.
    """
    if bool(ids) == bool(search):
        raise click.UsageError("Name tasks by their ids, or search for them with --search.")
    edited: dict[str, Edited] = {}
    if args is not None or kwargs is not None:
        if len(ids) != 1:
            raise click.UsageError("--args and --kwargs are for one task: name that.")
        if args is None or kwargs is None:
            raise click.UsageError("Give both --args and --kwargs: nothing of it is guessed.")
        edited[ids[0]] = _edited(args, kwargs)
    start = None if since is None else time.time() - since
    wish = Rerun(ids=list(ids), search=search, since=start, edited=edited, queue=queue)
    act_on(url, wish, how.pop("options"), how.pop("mode"), **how)


@click.command()
@click.argument("url", metavar="URL|PROFILE")
@click.argument("name")
@args_option
@kwargs_option
@click.option("--queue", default="celery", show_default=True, metavar="NAME", help="The queue it goes to.")
@click.option("--eta", type=Moment(), metavar="WHEN", help="Not before: 2026-11-20T23:00, +15m.")
@click.option("--expires", type=Moment(), metavar="WHEN", help="Not after.")
@click.option("--priority", type=click.IntRange(0, 255), metavar="N", help="On Redis 0 is first, on RabbitMQ last.")
@click.option("--time-limit", type=seconds, metavar="T", help="Kill it after this time.")
@click.option("--soft-time-limit", type=seconds, metavar="T", help="Interrupt it after this time.")
@act_options
def send(
    url: str,
    name: str,
    args: str | None,
    kwargs: str | None,
    queue: str,
    options: Sequence[str],
    mode: Mode | None,
    **rest: Any,
) -> None:
    """Send a new task NAME to a queue."""
    given = _edited(args or "[]", kwargs or "{}")
    fields = {key: rest.pop(key) for key in ("eta", "expires", "priority", "time_limit", "soft_time_limit")}
    act_on(url, Send(name=name, args=given.args, kwargs=given.kwargs, queue=queue, **fields), options, mode, **rest)


def _edited(args: str, kwargs: str) -> Edited:
    """Arguments as they were typed, or as they stand in a file. Raises `Sentence` where they are none."""
    texts = [_text(args), _text(kwargs)]
    try:
        checked(*texts)
    except ValueError as error:
        raise Sentence(str(error)) from error
    return Edited(*texts)


def _text(given: str) -> str:
    if not given.startswith("@"):
        return given
    try:
        if given == "@-":
            return sys.stdin.read()
        return Path(given[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise Sentence(f"{given[1:]} can't be read: {why}.") from error
