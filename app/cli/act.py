"""How the command line acts: it shows the plan, asks, carries it out, and says what was done."""

import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from app.cli.words import (
    Sentence,
    json_option,
    mode_option,
    option_option,
    password_option,
    target_at,
    told,
)
from app.models.acts import Outcome, Plan, Wish, is_typed
from app.models.formats import listed, number_of
from app.models.profiles import Mode
from app.models.target import Target

if TYPE_CHECKING:
    from app.collectors.acts.engine import Prepared

#: Samples of a plan that are shown, and characters of arguments.
_SAMPLES: Final = 10
_ARGUMENTS: Final = 400
#: What became of a thing, in a word.
BECAME: Final = {True: "ok", False: "failed", None: "asked"}


class Wishes(msgspec.Struct, frozen=True):
    """How a plan is to be dealt with: only shown, carried out without a question, told as JSON, and how fast."""

    plan: bool
    yes: bool
    as_json: bool
    rate: float | None


def act_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What every command takes that does something to a broker; `act_on` understands it."""
    made = function
    for option in reversed(
        (
            option_option,
            mode_option,
            click.option("--plan", is_flag=True, help="Show what would be done, and do nothing."),
            click.option("--yes", is_flag=True, help="Do it without a question: for scripts."),
            click.option(
                "--rate", type=click.FloatRange(0, min_open=True), metavar="N", help="So many in a second at most."
            ),
            password_option,
            json_option,
        )
    ):
        made = option(made)
    return made


def act_on(
    url: str, wish: Wish, options: Sequence[str], mode: Mode | None, *, password_stdin: bool, **wishes: Any
) -> None:
    """Carry out a wish on the broker of an address or profile, and end with 0 where all of it was done."""
    target = target_at(url, options, mode=mode, password_stdin=password_stdin)
    sys.exit(told(lambda: carry_out(target, wish, Wishes(**wishes))))


def carry_out(target: Target, wish: Wish | None, how: Wishes, *, resumed: str = "") -> int:
    """Plan, ask, do, tell; the exit code. Raises `Sentence` and `BrokerError`.

    Without a ``wish``, it is what is left of the act ``resumed``.
    """
    from app.collectors.access import Access
    from app.collectors.acts.act import Impossible, Reach
    from app.collectors.acts.catalogue import act_of
    from app.collectors.acts.engine import prepare, resume
    from app.collectors.brokers import broker_of
    from app.collectors.results import results_address
    from app.models.audit import AuditLog, Subject
    from app.models.audit_chain import AuditError
    from app.models.redact import redact_url
    from app.paths import audit_file

    access = Access(target.mode, target.environment)
    history = target.history if target.history.is_file() else None
    examined = target.examine()
    broker, results = broker_of(examined), results_address(examined)
    if results is not None:
        results = results.through(broker.jump_host)
    reach = Reach(broker, access, history, lambda _: None, target.keep_arguments, results)
    log = AuditLog(audit_file(), Subject(target.name, redact_url(target.url), target.environment))
    make = partial(act_of, reach=reach)
    try:
        prepared = prepare(make, wish, log) if wish is not None else resume(make, resumed, log)
    except (AuditError, Impossible) as error:
        raise Sentence(str(error)) from error
    try:
        if how.plan:
            _show_plan(prepared.plan, target, as_json=how.as_json)
            return 0
        if not (how.yes and how.as_json):
            # What is asked about is shown; but standard output is for what a script reads.
            _show_plan(prepared.plan, target, err=how.as_json)
        if access.mode != "operate":
            raise Sentence(access.unlock().error)
        if not (prepared.plan.count or how.yes):
            raise Sentence("As it is, there is nothing that could be done.")
        typed = prepared.plan.typed if how.yes else _confirmed(prepared.plan, access.typed)
        standing = access.unlock(access.typed)
        if standing.error:
            raise Sentence(standing.error)
        return _do(prepared, typed, how)
    finally:
        prepared.drop()


def _confirmed(plan: Plan, environment: str) -> str:
    """What was typed to confirm a plan; ends the command where it was not. Raises `Sentence` without a terminal."""
    if not sys.stdin.isatty():
        raise Sentence("This needs to be confirmed, and there is no terminal to ask in. Add --yes to do it.")
    if environment:
        _typed(f"To act here, type the environment, {environment}", environment)
    if not plan.typed:
        click.confirm(f"{plan.verb}?", abort=True, err=True)
        return ""
    return _typed(f"{plan.verb}? To confirm, type {plan.typed}", plan.typed)


def _typed(question: str, wanted: str) -> str:
    """What was typed, if that is what was wanted. Raises `Sentence`."""
    typed: str = click.prompt(question, default="", show_default=False, err=True)
    if not is_typed(wanted, typed):
        raise Sentence(f"That is not {wanted}. Nothing was done.")
    return typed


def _do(prepared: "Prepared", typed: str, how: Wishes) -> int:
    outcome = Outcome(text="Nothing was done.")
    with _stopped_by_ctrl_c(prepared):
        for outcome in prepared.execute(typed, how.rate):
            _say_progress(outcome)
    if sys.stderr.isatty():
        click.echo("\r\033[K", err=True, nl=False)
    if how.as_json:
        click.echo(msgspec.json.format(msgspec.json.encode({"plan": prepared.plan, "outcome": outcome})).decode())
    else:
        _show_outcome(outcome, prepared.plan)
    return 0 if outcome.state == "done" and not outcome.failed else 1


@contextmanager
def _stopped_by_ctrl_c(prepared: "Prepared") -> Iterator[None]:
    """Have Ctrl+C stop an act between two steps, so that what was done is told; another one breaks it off."""

    def stop(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        # Not in this thread: it may hold the very lock that this takes.
        threading.Thread(target=prepared.stop).start()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _say_progress(outcome: Outcome) -> None:
    if outcome.state == "running" and sys.stderr.isatty():
        click.echo(f"\r\033[K{outcome.done + outcome.failed:,} of {outcome.total:,} … ", err=True, nl=False)


def _show_plan(plan: Plan, target: Target, *, as_json: bool = False, err: bool = False) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(plan)).decode())
        return
    place = target.name if target.environment == "unknown" else f"{target.name}, {target.environment}"
    facts = [("Broker", place), *plan.facts]
    width = max(len(name) for name, _ in facts)
    lines = [plan.title, *(f"  {name:<{width}}  {value}" for name, value in facts)]
    lines += [f"    {sample.id}  {sample.text}".rstrip() for sample in plan.samples[:_SAMPLES]]
    if plan.count > len(plan.samples[:_SAMPLES]) > 0:
        lines.append(f"    … of {number_of(plan.count, plan.things)}")
    lines += [f"  {'!' if caution.grave else '-'} {caution.text}" for caution in plan.cautions]
    lines += _to_be_said(plan)
    lines += [f"  {plan.undo}"] if plan.undo and plan.count else []
    for line in lines:
        _say(line, err=err)


def _to_be_said(plan: Plan) -> Iterator[str]:
    """What is known of tasks whose arguments somebody has to say, in a form in which they can be said."""
    from app.collectors.clean import clean_text

    doubtful = [task for task in plan.details.get("tasks", ()) if task["id"] in plan.needs_edit]
    for task in doubtful[:_SAMPLES]:
        yield f"    {task['id']}  {task['name'] or '?'}  {task['grade']}: {task['source']}"
        yield from (f"      {warning}" for warning in task["warnings"])
        if task["name"]:
            args, kwargs = (shlex.quote(clean_text(task[each], _ARGUMENTS)) for each in ("args", "kwargs"))
            yield f"      --args {args} --kwargs {kwargs}"
        if task["name"] and task["doubtful"]:
            yield f"      in doubt: {listed(task['doubtful'])}"
    if plan.needs_edit:
        yield "  Say what such a task is called with by --args and --kwargs, for one at a time; --json shows all of it."


def _show_outcome(outcome: Outcome, plan: Plan) -> None:
    for item in outcome.items:
        if not item.ok or plan.count <= _SAMPLES:
            _say(f"  {BECAME[item.ok]:<6}  {item.id}  {item.text}")
    failed = f", {outcome.failed:,} failed" if outcome.failed else ""
    done = f"{outcome.state}: {outcome.done:,} of {number_of(outcome.total, plan.things)}{failed}."
    _say(f"{done} {outcome.text}")


def _say(line: str, *, err: bool = False) -> None:
    """A line for people, whatever names of others are in it."""
    from app.collectors.clean import clean_word

    click.echo(clean_word(line).rstrip(), err=err)
