"""The user's connections: `cloche profiles`. Passwords go from here into the system's keyring, and nowhere else."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from msgspec import UNSET

from app.cli.words import (
    Sentence,
    existing_file,
    json_option,
    keep_options,
    mode_option,
    no_profile,
    option_option,
    options_of,
    queue_option,
    read_password,
)
from app.models.celeryconfig import VARIABLES, SettingsError, read_file, settings_of_environment
from app.models.options import usable
from app.models.profiles import BACKEND, Environment, Lock, Mode, Profile, ProfileError, Profiles, split_options
from app.models.redact import redact_url, split_password
from app.models.target import history_of
from app.models.wire import Examine
from app.paths import profiles_file

_T = TypeVar("_T")


@click.group()
def profiles() -> None:
    """Connections that are kept under a name."""


@profiles.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """All of them, in their order."""
    known = _profiles().all
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(profile) for profile in known], indent=2))
        return
    if not known:
        click.echo("There are no profiles yet. Keep one with: cloche profiles add NAME URL")
    for profile in known:
        click.echo(f"{profile.name}  {redact_url(profile.url)}  {profile.environment}, {profile.mode}")


@profiles.command()
@click.argument("name")
@click.argument("url")
@option_option
@queue_option
@mode_option
@click.option(
    "--environment",
    type=click.Choice(["production", "staging", "development", "unknown"]),
    default="unknown",
    show_default=True,
    help="What is at stake there; what is unknown is treated like production.",
)
@click.option("--colour", metavar="#RRGGBB", help="What it is told apart by in the window.")
@click.option(
    "--ask-password", "source", flag_value="terminal", help="Ask for the password, so that it is in no shell's history."
)
@click.option("--password-stdin", "source", flag_value="stdin", help="Read the password from standard input.")
@keep_options
def add(
    name: str,
    url: str,
    options: Sequence[str],
    queues: Sequence[str],
    mode: Mode | None,
    environment: Environment,
    colour: str | None,
    source: str | None,
    **keep: Any,
) -> None:
    """Keep a connection; its password, if the address has one, goes into the system's keyring."""
    bare, password = split_password(url.strip())
    if source == "stdin":
        password = read_password()
    elif source == "terminal":
        password = click.prompt("Password", hide_input=True, err=True)
    given, backend_password = split_options(options_of(options))
    _check(bare, given)
    kept = {key: value for key, value in keep.items() if value is not UNSET}
    profile = Profile(name.strip(), bare, environment, mode or "observe", colour, given, list(queues), **kept)
    _keep(_profiles(), profile, password, backend_password)


@profiles.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget a connection and its passwords. What was recorded of it stays."""
    from app.keyrings import KeyringError, forget

    known = _profiles()
    profile = known.find(name)
    if profile is None:
        raise Sentence(no_profile(name, known))
    _told(lambda: known.remove(profile))
    try:
        forget(profile)
    except KeyringError as error:
        raise Sentence(f"{profile.name} is forgotten, but its password is not: {error}") from error
    history = history_of(profile)
    stays = f" What was recorded of it stays in {history}." if history.exists() else ""
    click.echo(f"Forgot {profile.name}.{stays}", err=True)


@profiles.command()
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
def export(output: Path | None) -> None:
    """Write all of them, without passwords, for another machine."""
    made = _profiles().export()
    if output is None:
        click.echo(made.decode(), nl=False)
        return
    try:
        output.write_bytes(made)
    except OSError as error:
        raise Sentence(f"{output} can't be written: {error.strerror}.") from error


@profiles.command("import")
@click.argument("file", type=existing_file, required=False)
@click.option("--name", help="Its name here, of one broker out of an application's settings.")
@click.option("--from-environment", is_flag=True, help="The broker of CELERY_BROKER_URL and its like, not a file's.")
def import_(file: Path | None, name: str | None, *, from_environment: bool) -> None:
    """Take over exported profiles, or the broker of a celeryconfig.py, which is read and never run."""
    if (file is None) != from_environment:
        raise click.UsageError("Name a file, or use --from-environment.")
    known = _profiles()
    try:
        found = read_file(file) if file is not None else settings_of_environment(os.environ)
    except SettingsError as error:
        raise Sentence(f"{file}: {error}") from error
    if found is None:
        raise Sentence(f"There is no broker in the environment. These are looked at: {', '.join(VARIABLES)}.")
    if isinstance(found, bytes):
        for profile in _told(lambda: known.take_over(found)):
            click.echo(f"Kept {profile.name}: {redact_url(profile.url)}", err=True)
        return
    options = usable(found.url, found.options)
    _check(found.url, options)
    called = name or (file.stem if file is not None else "environment")
    profile = Profile(called, found.url, options=options, queues=found.queues)
    for left in sorted(found.options.keys() - options.keys()):
        click.echo(f"Not needed to look at it, and left out: {left}", err=True)
    for unread in found.unread:
        click.echo(f"Worked out when the application runs, so not read: {unread}", err=True)
    _keep(known, profile, found.password, found.backend_password if BACKEND in options else None)


def _profiles() -> Profiles:
    known = _told(lambda: Profiles(profiles_file()))
    if known.said:
        click.echo(known.said, err=True)
    return known


def _told(act: Callable[[], _T]) -> _T:
    try:
        return act()
    except ProfileError as error:
        raise Sentence(str(error)) from error


def _check(url: str, options: dict[str, str]) -> None:
    """Whether there could be a broker at all; no connection is made."""
    from app.collectors.doctor import Examination
    from app.collectors.errors import BrokerError

    try:
        Examination(Examine(url, options=options))
    except BrokerError as error:
        raise Sentence(str(error)) from error


def _keep(known: Profiles, profile: Profile, password: str | None, backend_password: str | None) -> None:
    """Keep a connection, and its passwords in the keyring, or else ask for them each time."""
    from app.keyrings import remember

    passwords: dict[Lock, str] = {}
    if password is not None:
        passwords["broker"] = password
    if backend_password is not None:
        passwords["backend"] = backend_password
    asked = msgspec.structs.replace(profile, passwords=dict.fromkeys(passwords, "asked"))
    _told(lambda: known.put(asked))
    click.echo(f"Kept {profile.name}: {redact_url(profile.url)}", err=True)
    places, why = remember(profile, passwords)
    _told(lambda: known.put(msgspec.structs.replace(profile, passwords=places)))
    if why:
        click.echo(f"The password is not kept. {why}", err=True)
    elif places:
        click.echo("Its password is in the system's keyring.", err=True)
