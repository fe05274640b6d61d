"""What was done to brokers, from the command line: `cloche audit`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

from app.cli.act import BECAME, Wishes, act_options, carry_out
from app.cli.words import Sentence, json_option, target_at, told
from app.models.formats import number_of
from app.models.profiles import Mode, ProfileError, Profiles
from app.paths import audit_file, profiles_file

if TYPE_CHECKING:
    from app.models.activity import Deed, Format

T = TypeVar("T")

#: Characters of an act's id that are shown: it is found by them.
_SHORT: Final = 8


@click.group()
def audit() -> None:
    """What was done to brokers, when, by whom, and what came of it."""


@audit.command()
def verify() -> None:
    """Whether the log is as it was written. Exit code 1 if a line was changed, moved or taken out."""
    from app.models.audit_chain import verify

    verdict = _read(lambda: verify(audit_file()))
    for fault in verdict.faults:
        click.echo(fault)
    if not verdict.faults:
        click.echo(f"The log is as it was written: {number_of(verdict.lines, 'line')}.")
    sys.exit(1 if verdict.faults else 0)


@audit.command("list")
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="So many acts.")
@json_option
def list_(last: int, *, as_json: bool) -> None:
    """The acts that were begun last, newest first."""
    from app.collectors.clean import clean_word
    from app.models.activity import came_to
    from app.models.formats import date_time

    deeds = _deeds()[:last]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(deeds)).decode())
        return
    for deed in deeds:
        who = clean_word(f"{deed.who}@{deed.where}")
        click.echo(
            f"{date_time(deed.at, milliseconds=False)}  {clean_word(deed.act[:_SHORT])}  {deed.state:<10}  {who}"
        )
        click.echo(f"    {clean_word(deed.title)} on {clean_word(deed.connection)}: {clean_word(came_to(deed))}")
    if not deeds:
        click.echo("Nothing was done yet.")


@audit.command()
@click.argument("act", metavar="ID")
@json_option
def show(act: str, *, as_json: bool) -> None:
    """All that the log tells of an act, which is named by the beginning of its ID."""
    from app.models.activity import story

    deed = _deed(act)
    told_ = _read(lambda: story(audit_file(), deed))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode({"act": deed, **msgspec.structs.asdict(told_)})).decode())
        return
    _show(deed)


@audit.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["csv", "jsonl"]), help="[default: by the name of the file, else jsonl]"
)
def export(file: Path, form: "Format | None") -> None:
    """Write all acts to FILE: as JSON lines the log as it is, as CSV a row for each."""
    from app.models.activity import export
    from app.models.export import write_file

    format_: Format = form or ("csv" if file.suffix.lower() == ".csv" else "jsonl")

    def written() -> int:
        number = _read(lambda: write_file(file, lambda out: export(audit_file(), out, format=format_)))
        click.echo(f"{number_of(number, 'act')}: {file}")
        return 0

    sys.exit(told(written))


@audit.command()
@click.argument("act", metavar="ID")
@click.argument("url", metavar="[URL|PROFILE]", required=False)
@act_options
def resume(act: str, url: str | None, options: Any, mode: Mode | None, *, password_stdin: bool, **wishes: Any) -> None:
    """Do what is left of an act that was broken off, stopped or given up.

    It is done to the broker that the act was done to, unless another address or profile is named for it.
    """
    deed = _deed(act)
    if deed.state == "done":
        raise Sentence("This act was done: nothing is left of it.")
    target = target_at(url or _origin(deed), options, mode=mode, password_stdin=password_stdin)
    sys.exit(told(lambda: carry_out(target, None, Wishes(**wishes), resumed=deed.act)))


def _show(deed: "Deed") -> None:
    from app.collectors.clean import clean_text, clean_word
    from app.models.activity import came_to, runs_of, story
    from app.models.formats import date_time

    told_ = _read(lambda: story(audit_file(), deed))
    plan = told_.plan
    rows = [
        ("act", deed.act),
        ("begun", date_time(deed.at)),
        ("ended", "" if deed.ended is None else date_time(deed.ended)),
        ("by", f"{deed.who} at {deed.where}"),
        ("on", f"{deed.connection} ({deed.environment}), {deed.broker}"),
        ("outcome", f"{deed.state}: {came_to(deed)}"),
        ("lines", runs_of(told_.lines)),
        *(() if plan is None else plan.facts),
    ]
    click.echo(clean_word(deed.title))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        if value:
            click.echo(f"  {clean_word(name):<{width}}  {clean_word(value)}")
    for caution in () if plan is None else plan.cautions:
        click.echo(f"  {'!' if caution.grave else '-'} {clean_text(caution.text)}")
    if deed.text:
        click.echo(f"  {clean_text(deed.text)}")
    for item in told_.items:
        click.echo(f"    {BECAME[item.ok]:<6}  {clean_word(item.id)}  {clean_word(item.text)}".rstrip())


def _deeds() -> "list[Deed]":
    from app.models.activity import Activity

    return _read(lambda: Activity(audit_file()).read_all().deeds)


def _deed(act: str) -> "Deed":
    from app.models.activity import Activity

    found = _read(lambda: Activity(audit_file()).read_all().find(act))
    if found is None:
        raise Sentence(f"The log knows no act {act!r}, or several whose ids begin so. See cloche audit list.")
    return found


def _origin(deed: "Deed") -> str:
    """What stands for the broker of an act: the profile of its name, or its address."""
    try:
        profile = Profiles(profiles_file()).find(deed.connection)
    except ProfileError as error:
        raise Sentence(str(error)) from error
    return deed.broker if profile is None else profile.name


def _read(function: Callable[[], T]) -> T:
    from app.models.audit_chain import AuditError

    try:
        return function()
    except AuditError as error:
        raise Sentence(str(error)) from error
