"""Lengths of time, and times to come, as people write them in forms."""

import re
from datetime import datetime, timedelta
from typing import Final

_UNITS: Final = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)", re.ASCII)
_LENGTH: Final = re.compile(rf"(?:{_PART.pattern}\s*)+", re.ASCII)
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_OF_DAY: Final = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?", re.ASCII)
#: Nobody means more, and calendars end somewhere.
_LONGEST: Final = 100 * 365 * 86400.0


def seconds(text: str) -> float:
    """A length of time, such as ``30`` (seconds), ``500ms`` or ``1h30m``. Raises `ValueError` with a sentence."""
    written = text.strip().lower()
    if _NUMBER.fullmatch(written):
        length = float(written)
    elif _LENGTH.fullmatch(written):
        length = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(written))
    else:
        raise ValueError(f"{text.strip()!r} is not a length of time. Write it like 30s, 10m or 1h30m.")
    if length > _LONGEST:
        raise ValueError(f"{text.strip()!r} is too long: more than a hundred years.")
    return length


def moment(text: str, now: float) -> float:
    """A time to come, in seconds since the epoch. Raises `ValueError` with a sentence.

    It is written as ``10m`` or ``in 10m`` (from ``now`` on), as ``23:00`` (the next time that a clock shows that), or
    as ``2026-11-22 03:00``, in the timezone of the viewer unless it names one.
    """
    written = text.strip()
    try:
        return now + seconds(written.lower().removeprefix("in ").removeprefix("+"))
    except ValueError:
        at = _moment(written, now)
    if at is None:
        raise ValueError(f"{written!r} is not a time. Write it like 10m, 23:00 or 2026-11-22 03:00.")
    if at < now:
        raise ValueError(f"{written!r} is over.")
    return at


def _moment(written: str, now: float) -> float | None:
    today = datetime.fromtimestamp(now).astimezone()
    try:
        if _OF_DAY.fullmatch(written):
            clock = datetime.fromisoformat(
                f"{today:%Y-%m-%d} {written.zfill(5) if written.count(':') == 1 else written}"
            )
            days = 0 if clock.astimezone().timestamp() >= now else 1
            return (clock + timedelta(days)).astimezone().timestamp()
        return datetime.fromisoformat(written).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        return None
