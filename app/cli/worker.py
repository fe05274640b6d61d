"""Workers told to change something about themselves, from the command line: `cloche worker`."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from app.cli.act import Wishes, act_options, carry_out
from app.cli.words import Sentence, target_at, told
from app.models.acts import Steer, Steering
from app.models.profiles import Mode
from app.models.target import Target

_NO_LIMIT: Final = "none"


class Limit(click.ParamType[float]):
    """Seconds above 0, or `none`, which is 0."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if str(value).strip().lower() == _NO_LIMIT:
            return 0.0
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < float("inf"):
            self.fail(f"{value!r} is no time limit. Write seconds, like 30, or {_NO_LIMIT}.", param, ctx)
        return seconds


@click.group()
@click.argument("url", metavar="URL|PROFILE")
@click.pass_context
def worker(context: click.Context, url: str) -> None:
    """Tell workers to change something about themselves, each by its name.

    What they have is read and shown before, and read back after. Nothing of it survives a restart of the worker.
    """
    context.obj = url


def _command(name: str, steering: Steering, *parameters: Callable[..., Any]) -> Callable[..., Any]:
    """A command of the group: what it is called, what it tells workers, and what it takes besides.

    The function that is decorated makes fields of a `Steer` of that.
    """

    def decorate(fields: Callable[..., dict[str, Any]]) -> click.Command:
        def run(
            url: str, options: Sequence[str], mode: Mode | None, *, password_stdin: bool, names: Sequence[str],
            everybody: bool, **given: Any,
        ) -> None:  # fmt: skip
            target = target_at(url, options, mode=mode, password_stdin=password_stdin)
            how = Wishes(**{each: given.pop(each) for each in Wishes.__struct_fields__})
            wish = Steer(steering, _named(target, names, everybody=everybody), **fields(**given))
            sys.exit(told(lambda: carry_out(target, wish, how)))

        made: Callable[..., Any] = act_options(click.pass_obj(run))
        made = click.option("--all-workers", "everybody", is_flag=True, help="All that answer now.")(made)
        made = click.option("--worker", "names", multiple=True, metavar="NAME", help="A worker; may be repeated.")(made)
        for parameter in reversed(parameters):
            made = parameter(made)
        return worker.command(name, help=fields.__doc__)(made)

    return decorate


_number = click.argument("number", type=click.IntRange(1), default=1)
_queue = click.argument("queue")
_task = click.argument("task")


@_command("grow", "pool_grow", _number)
def grow(number: int) -> dict[str, Any]:
    """Add so many processes to the pool."""
    return {"number": number}


@_command("shrink", "pool_shrink", _number)
def shrink(number: int) -> dict[str, Any]:
    """Take so many processes off the pool."""
    return {"number": number}


@_command("restart-pool", "pool_restart")
def restart_pool() -> dict[str, Any]:
    """Replace the processes of the pool, each after the task that it does next."""
    return {}


@_command(
    "autoscale",
    "autoscale",
    click.option("--most", type=click.IntRange(1), metavar="N", help="Processes at most."),
    click.option("--least", type=click.IntRange(0), metavar="N", help="Processes at least."),
)
def autoscale(most: int | None, least: int | None) -> dict[str, Any]:
    """Change the range in which the pool scales by itself."""
    return {"most": most, "least": least}


@_command("consume", "add_consumer", _queue)
def consume(queue: str) -> dict[str, Any]:
    """Consume a queue, too."""
    return {"queue": queue}


@_command("stop-consuming", "cancel_consumer", _queue)
def stop_consuming(queue: str) -> dict[str, Any]:
    """Consume a queue no longer."""
    return {"queue": queue}


@_command("rate-limit", "rate_limit", _task, click.argument("limit", metavar="RATE"))
def rate_limit(task: str, limit: str) -> dict[str, Any]:
    """Limit how many tasks of a name each worker begins: 10/m, 5/s, 100/h; 0 is no limit."""
    return {"task": task, "rate": limit}


@_command(
    "time-limit",
    "time_limit",
    _task,
    click.option("--soft", type=Limit(), metavar="SECONDS", help="When a task gets an exception, or none."),
    click.option("--hard", type=Limit(), metavar="SECONDS", help="When its process is killed, or none."),
)
def time_limit(task: str, soft: float | None, hard: float | None) -> dict[str, Any]:
    """Limit how long tasks of a name run. The limit that is not named stays as it is."""
    return {"task": task, "soft": soft, "hard": hard}


@_command("events-on", "enable_events")
def events_on() -> dict[str, Any]:
    """Tell of tasks."""
    return {}


@_command("events-off", "disable_events")
def events_off() -> dict[str, Any]:
    """Tell of tasks no longer; one that was started with -E goes on."""
    return {}


@_command("shutdown", "shutdown")
def shutdown() -> dict[str, Any]:
    """End, when the tasks that run are done."""
    return {}


def _named(target: Target, names: Sequence[str], *, everybody: bool) -> list[str]:
    """The workers that are meant: that is said, and never guessed. Raises `Sentence` where it is not."""
    if names and everybody:
        raise click.UsageError("Either name workers, or say --all-workers.")
    if names:
        return list(names)
    answering: list[str] = []
    told(lambda: _ask(target, answering))
    if not answering:
        raise Sentence("No worker answers.")
    if not everybody:
        listed = "".join(f"\n  {name}" for name in answering)
        raise Sentence(f"Say which workers are meant, by --worker NAME or --all-workers. These answer:{listed}")
    return answering


def _ask(target: Target, answering: list[str]) -> int:
    from app.collectors.access import Access
    from app.collectors.acts.act import Impossible, Reach
    from app.collectors.acts.crew import Crew
    from app.collectors.brokers import broker_of

    reach = Reach(broker_of(target.examine()), Access(target.mode, target.environment), None, lambda _: None)
    try:
        crew = Crew(reach)
        try:
            answering += crew.answering()
        finally:
            crew.close()
    except Impossible as error:
        raise Sentence(str(error)) from error
    return 0
