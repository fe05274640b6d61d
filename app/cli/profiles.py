"""The user's connections: `cloche profiles`. Passwords go from here into the system's keyring, and nowhere else."""

import json
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
    option_option,
    options_of,
    queue_option,
)
from app.models.profiles import Environment, Mode, Profile, ProfileError, Profiles
from app.models.redact import redact_url, split_password
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
@click.option("--ask-password", is_flag=True, help="Ask for the password, so that it is in no shell's history.")
@keep_options
def add(
    name: str,
    url: str,
    options: Sequence[str],
    queues: Sequence[str],
    mode: Mode | None,
    environment: Environment,
    colour: str | None,
    *,
    ask_password: bool,
    **keep: Any,
) -> None:
    """Keep a connection; its password, if the address has one, goes into the system's keyring."""
    bare, password = split_password(url)
    if ask_password:
        password = click.prompt("Password", hide_input=True, err=True)
    given = options_of(options)
    _check(bare, given)
    kept = {key: value for key, value in keep.items() if value is not UNSET}
    profile = Profile(name, bare, environment, mode or "observe", colour, given, list(queues), **kept)
    _told(lambda: _profiles().put(profile))
    click.echo(f"Kept {name}: {redact_url(bare)}", err=True)
    _keep_password(profile, password)


@profiles.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget a connection and its password. What was recorded of it stays."""
    from app.keyrings import Keyring, KeyringError

    known = _profiles()
    profile = known.find(name)
    if profile is None:
        raise Sentence(f"There is no profile {name!r}.")
    _told(lambda: known.remove(profile))
    try:
        Keyring().forget(profile.id)
    except KeyringError as error:
        raise Sentence(f"{profile.name} is forgotten, but its password is not: {error}") from error
    click.echo(f"Forgot {profile.name}. What was recorded of it stays.", err=True)


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
@click.argument("file", type=existing_file)
@click.option("--name", help="Its name here, of one broker out of an application's settings.")
def import_(file: Path, name: str | None) -> None:
    """Take over exported profiles, or the broker of a celeryconfig.py, which is read and never run."""
    from app.models.celeryconfig import SettingsError, settings_of

    try:
        content = file.read_bytes()
    except OSError as error:
        raise Sentence(f"{file} can't be read: {error.strerror}.") from error
    known = _profiles()
    if file.suffix != ".py":
        for profile in _told(lambda: known.take_over(content)):
            click.echo(f"Kept {profile.name}: {redact_url(profile.url)}", err=True)
        return
    try:
        found = settings_of(content.decode("utf-8"))
    except (SettingsError, UnicodeDecodeError) as error:
        text = str(error) if isinstance(error, SettingsError) else "This file is no text in UTF-8."
        raise Sentence(f"{file}: {text}") from error
    usable = _usable(found.url, found.options)
    profile = Profile(name or file.stem, found.url, options=usable, queues=found.queues)
    _told(lambda: known.put(profile))
    click.echo(f"Kept {profile.name}: {redact_url(profile.url)}", err=True)
    for left in sorted(found.options.keys() - usable.keys()):
        click.echo(f"Not needed to look at it, and left out: {left}", err=True)
    for unread in found.unread:
        click.echo(f"Worked out when the application runs, so not read: {unread}", err=True)
    _keep_password(profile, found.password)


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
    from app.collectors.brokers import broker_at
    from app.collectors.errors import BrokerError

    try:
        broker_at(url, None, {key: value for key, value in options.items() if key != "result_backend"})
    except BrokerError as error:
        raise Sentence(str(error)) from error


def _usable(url: str, options: dict[str, str]) -> dict[str, str]:
    """Those of an application's options that a connection understands."""
    from app.collectors.brokers import options_for

    known = options_for(url)
    return {key: value for key, value in options.items() if key in known}


def _keep_password(profile: Profile, password: str | None) -> None:
    from app.keyrings import Keyring, KeyringError

    if password is None:
        return
    try:
        Keyring().keep(profile.id, password)
    except KeyringError as error:
        click.echo(str(error), err=True)
        return
    click.echo("Its password is in the system's keyring.", err=True)
