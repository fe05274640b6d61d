"""Words of the command line that several commands share: what they mean, and how what is wrong with them is said."""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import UNSET

from app.models.profiles import Mode, ProfileError, Profiles
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
        click.echo(f"cloche: {self.message}", err=True, file=file)


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
    **keep: bool | int | msgspec.UnsetType | None,
) -> Target:
    """What a word points at: an address, a history file, or a profile of the user's; and what else was said of it."""
    given = options_of(options)
    target = _profile(text) if "://" not in text and not Path(text).is_file() else None
    try:
        target = target or target_of(text, given)
    except TargetError as error:
        raise Sentence(str(error)) from error
    changes: dict[str, Any] = {key: value for key, value in keep.items() if value is not UNSET}
    return msgspec.structs.replace(
        target,
        mode=mode or target.mode,
        options=target.options | given,
        queues=list(dict.fromkeys((*target.queues, *queues))),
        **changes,
    )


def _profile(name: str) -> Target | None:
    """The target of a profile, with its password out of the keyring; None where there is no such profile."""
    from app.keyrings import Keyring, KeyringError

    try:
        profile = Profiles(profiles_file()).find(name)
        return None if profile is None else target_of_profile(profile, Keyring().password(profile.id))
    except (KeyringError, ProfileError) as error:
        raise Sentence(str(error)) from error
