"""Words of the command line that several commands share: what they mean, and how what is wrong with them is said."""

import difflib
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import UNSET

from app.models.profiles import BACKEND, Lock, Mode, Profile, ProfileError, Profiles, split_options
from app.models.target import Target, TargetError, target_of, target_of_profile
from app.paths import profiles_file

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZES = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
#: Bytes below which a history has no room to work in: what is not folded into the file yet takes up to 24 MB.
_LEAST_SIZE = 100 * 10**6


class Duration(click.ParamType[float]):
    """A length of time like `30s`, `15m`, `2h`, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float | int):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a length of time. Write it like 30s, 15m or 2h.", param, ctx)
        return float(match[1]) * _UNITS[match[2] or "s"]


class Limit(click.ParamType[float]):
    """A length of time, or a size like `500MB` in bytes; `forever` is no limit, as a number: infinity."""

    def __init__(self, name: str, units: dict[str, int], example: str) -> None:
        self.name = name
        self._units = units
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float | int):
            return float(value)
        text = str(value).strip().lower()
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]+)", text)
        if text == "forever":
            return math.inf
        if match is None or match[2] not in self._units:
            self.fail(f"{value!r} is not a {self.name}. Write it like {self._example}, or forever.", param, ctx)
        return float(match[1]) * self._units[match[2]]


class Sentence(click.ClickException):
    """An error for people: one sentence, exit code 1."""

    def show(self, file: Any = None) -> None:
        from app.collectors.clean import clean_text

        click.echo(f"cloche: {clean_text(self.message)}", err=True, file=file)


def told(function: Callable[[], int]) -> int:
    """Run what may fail for reasons outside the program, and say the reason in its sentence."""
    from app.collectors.transport import BrokerError
    from app.demo.broker import BrokerUnavailable
    from app.models.export import ExportError
    from app.models.history.errors import HistoryError
    from app.models.search import SearchError

    try:
        return function()
    except (BrokerError, BrokerUnavailable, ExportError, HistoryError, SearchError) as error:
        raise Sentence(str(error)) from error


seconds = Duration()
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
for_option = click.option(
    "--for", "duration", type=seconds, metavar="T", help="End by itself after this time (30s, 5m …)."
)
since_option = click.option("--since", type=seconds, metavar="T", help="Only what was first seen in the last 15m, 2h …")
option_option = click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="A Celery transport option, such as global_keyprefix=shop:.",
)


def keep_options(command: Callable[..., None]) -> Callable[..., None]:
    """How much of a history is kept: fields of `Target` that begin with ``keep_``, or unset."""
    size = click.option(
        "--keep-size",
        "keep_bytes",
        type=Limit("size", _SIZES, "5GB or 500MB"),
        metavar="SIZE",
        callback=_limit,
        help="Remove the oldest tasks from a history that is larger (500MB, 5GB …, forever).  [default: 5GB]",
    )
    age = click.option(
        "--keep",
        "keep_seconds",
        type=Limit("length of time", _UNITS, "30d or 12h"),
        metavar="T",
        callback=_limit,
        help="Remove tasks from the history that ended so long ago (12h, 30d …, forever).  [default: 30d]",
    )
    arguments = click.option(
        "--no-arguments",
        "keep_arguments",
        flag_value=False,
        type=bool,
        default=None,
        callback=_said,
        help="Do not keep what tasks are called with, nor what they return.",
    )
    return age(size(arguments(command)))


def _said(_context: click.Context, _option: click.Parameter, value: bool | None) -> bool | msgspec.UnsetType:
    return UNSET if value is None else value


def _limit(_context: click.Context, option: click.Parameter, value: float | None) -> int | msgspec.UnsetType | None:
    if value is None:
        return UNSET
    if option.name == "keep_bytes" and value < _LEAST_SIZE:
        raise click.UsageError(f"A history needs at least {_LEAST_SIZE // 10**6}MB.")
    return None if math.isinf(value) else int(value)


queue_option = click.option(
    "--queue", "queues", multiple=True, metavar="NAME", help="A queue to watch besides those that are found."
)
mode_option = click.option(
    "--mode",
    type=click.Choice(["passive", "observe", "operate"]),
    help="What may be done to the broker: nothing at all, asking workers, or changing what they do.  [default: that of "
    "the profile, else observe]",
)
shots_option = click.option(
    "--shots",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Render every page into DIR, and end.",
)
existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)


password_option = click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the broker's password from standard input, so that no shell and no list of processes shows it.",
)


def options_of(words: Sequence[str]) -> dict[str, str]:
    """What was given with ``--option``."""
    pairs = [word.partition("=") for word in words]
    wrong = next((key for key, separator, _ in pairs if not separator), None)
    if wrong is not None:
        raise click.UsageError(f"--option takes KEY=VALUE, not {wrong!r}.")
    return {key: value for key, _, value in pairs}


def target_at(
    text: str,
    options: Sequence[str] = (),
    *,
    mode: Mode | None = None,
    queues: Sequence[str] = (),
    password_stdin: bool = False,
    **keep: bool | int | msgspec.UnsetType | None,
) -> Target:
    """What a word points at: an address, a history file, or a profile of the user's; and what else was said of it."""
    raw = options_of(options)
    password = read_password() if password_stdin else None
    try:
        target = _profile(text, password) if "://" not in text and not Path(text).is_file() else target_of(text, raw)
    except TargetError as error:
        raise Sentence(str(error)) from error
    given, backend_password = split_options(raw)
    changes: dict[str, Any] = {key: value for key, value in keep.items() if value is not UNSET}
    if BACKEND in given:
        changes["backend_password"] = backend_password
    return msgspec.structs.replace(
        target,
        mode=mode or target.mode,
        password=password if password is not None else target.password,
        options=target.options | given,
        queues=list(dict.fromkeys((*target.queues, *queues))),
        **changes,
    )


def read_password() -> str:
    """What standard input holds, without the end of its line."""
    password = sys.stdin.read().rstrip("\r\n")
    if not password:
        raise click.UsageError("--password-stdin finds nothing on standard input.")
    return password


def no_profile(name: str, profiles: Profiles) -> str:
    """That there is no profile of this name, and which there are whose names look like it."""
    by_name = {profile.name.casefold(): profile.name for profile in profiles.all}
    near = " or ".join(repr(by_name[each]) for each in difflib.get_close_matches(name.casefold(), by_name))
    return f"There is no profile {name!r}." + (f" Did you mean {near}?" if near else "")


def _profile(name: str, password: str | None) -> Target:
    """The target of a profile, with its passwords: that which was given, those in the keyring, or else typed."""
    from app.keyrings import look_up

    try:
        known = Profiles(profiles_file())
    except ProfileError as error:
        raise Sentence(str(error)) from error
    profile = known.find(name)
    if profile is None:
        text = f"{name!r} is neither a broker address like redis://localhost:6379/0 nor a history file."
        raise Sentence(f"{text} {no_profile(name, known)}")
    wanted: list[Lock] = ["broker", "backend"] if password is None else ["backend"]
    looked = look_up(profile, wanted)
    if looked.missing and looked.why:
        click.echo(looked.why, err=True)
    passwords = dict(looked.found)
    for lock in looked.missing:
        passwords[lock] = _type(profile, lock)
    return target_of_profile(profile, passwords)


def _type(profile: Profile, lock: Lock) -> str:
    """A password that is kept nowhere, typed by who sits at a terminal."""
    whose = profile.name if lock == "broker" else f"the result backend of {profile.name}"
    if not sys.stdin.isatty():
        what = "Pass it on standard input with --password-stdin." if lock == "broker" else "Start this in a terminal."
        raise Sentence(f"The password of {whose} is not known here, and there is no terminal to ask for it. {what}")
    typed: str = click.prompt(f"Password of {whose}", hide_input=True, err=True, default="", show_default=False)
    return typed
