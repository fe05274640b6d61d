"""Tasks that are not to run, or to end, from the command line: `cloche revoke`."""

import time
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from app.cli.act import act_on, act_options
from app.cli.words import since_option
from app.models.acts import Revoke, RevokeStamped, Signal, Wish
from app.models.profiles import Mode


@click.command()
@click.argument("url", metavar="URL|PROFILE")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--search", default="", metavar="WORDS", help="All tasks in the history that a search finds.")
@since_option
@click.option("--stamped", metavar="HEADER=VALUE", multiple=True, help="All tasks with such a stamp (Celery 5.3).")
@click.option("--terminate", is_flag=True, help="End the one task while it runs, by a signal to its process.")
@click.option(
    "--signal",
    type=click.Choice(["SIGTERM", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGKILL"]),
    default="SIGTERM",
    show_default=True,
    help="By which signal.",
)
@click.option("--take-out", is_flag=True, help="Take the messages of those that still wait out of their queue, too.")
@act_options
def revoke(
    url: str,
    options: Sequence[str],
    mode: Mode | None,
    *,
    password_stdin: bool,
    plan: bool,
    yes: bool,
    rate: float | None,
    as_json: bool,
    **which: Any,
) -> None:
    """Have workers not run tasks: by id, all that a search finds, or by stamp.

    Workers are told by a broadcast, and remember it until they restart. What runs already goes on, unless it is
    terminated.
    """
    how = {"plan": plan, "yes": yes, "rate": rate, "as_json": as_json}
    act_on(url, _wish(_Which(**which)), options, mode, password_stdin=password_stdin, **how)


class _Which(msgspec.Struct, frozen=True):
    """Which tasks are meant, and how they are dealt with."""

    ids: tuple[str, ...]
    search: str
    since: float | None
    stamped: tuple[str, ...]
    terminate: bool
    signal: Signal
    take_out: bool


def _wish(which: _Which) -> Wish:
    if sum(map(bool, (which.ids, which.search, which.stamped))) != 1:
        raise click.UsageError("Say which tasks: by their ids, or by --search, or by --stamped.")
    if not which.stamped:
        start = None if which.since is None else time.time() - which.since
        return Revoke(list(which.ids), which.search, start, None, which.terminate, which.signal, which.take_out)
    if which.take_out:
        raise click.UsageError("Which messages have a stamp is not known: --take-out is for ids and searches.")
    pairs = [word.partition("=") for word in which.stamped]
    wrong = next((header + mark + value for header, mark, value in pairs if not header or not value), "")
    if wrong:
        raise click.UsageError(f"--stamped takes HEADER=VALUE, not {wrong!r}.")
    if len({header for header, _, _ in pairs}) > 1:
        raise click.UsageError("One stamped header at a time; of that, as many values as you want.")
    return RevokeStamped(pairs[0][0], [value for _, _, value in pairs], which.terminate, which.signal)
