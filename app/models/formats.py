"""Numbers and moments in the words people read: one place, so that window, CLI and log agree.

Unknown (``None`` or nan) is always ``—``. A unit is always shown, and rounding turns it over: 59.999 s is ``1 m 00 s``.
"""

# ruff: noqa: PLR2004  # where rounding turns over is what this file is about

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final, TypeGuard

UNKNOWN: Final = "—"

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86400

#: Seconds by which two clocks may differ and still be in step: as much may be the way of a message.
IN_STEP: Final = 0.1


def duration(seconds: float | None) -> str:
    """Three digits of a time span: ``870 µs``, ``12.3 ms``, ``4.56 s``, ``2 m 05 s``, ``1 h 02 m``, ``3 d 04 h``.

    A negative span is what two clocks that disagree make of it: not known.
    """
    if not _known(seconds) or seconds < 0:
        return UNKNOWN
    if seconds == 0:
        return "0 s"
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.0f} µs" if seconds >= 0.5e-6 else "< 1 µs"
    if seconds < 0.9995:
        return f"{_three_digits(seconds * 1e3)} ms"
    if seconds < 59.95:
        return f"{_three_digits(seconds)} s"
    return _large(round(seconds), round)


def coarse(seconds: float | None) -> str:
    """A time span that still grows, in figures that can be read meanwhile: ``0.4 s``, ``41 s``, ``2 m 05 s``."""
    if not _known(seconds):
        return UNKNOWN
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{math.floor(seconds * 10) / 10:.1f} s"
    return age(seconds) if seconds < MINUTE else _large(math.floor(seconds), math.floor)


def running(seconds: float | None) -> str:
    """A run time that still grows: ``6 s …``, ``2 m 05 s …``, ``12 m …``, ``1 h 02 m …``."""
    if not _known(seconds):
        return UNKNOWN
    short = seconds < MINUTE or 10 * MINUTE <= seconds < HOUR
    return f"{age(seconds) if short else _large(math.floor(seconds), math.floor)} …"


def age(seconds: float | None) -> str:
    """How long ago, in its largest unit and never rounded up: ``14 s``, ``3 m``, ``2 h``; the future is ``0 s``."""
    if not _known(seconds):
        return UNKNOWN
    whole = max(0, math.floor(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} m"
    if whole < DAY:
        return f"{whole // HOUR} h"
    return f"{whole // DAY:,} d"


def count(n: float | None) -> str:
    """A whole number with thousands apart: ``1,243``."""
    return f"{round(n):,}" if _known(n) else UNKNOWN


def count_short(n: float | None) -> str:
    """Two digits of a large number: ``999``, ``1.2 k``, ``12 k``, ``1.2 M``."""
    if not _known(n):
        return UNKNOWN
    if abs(n) < 999.5:
        return f"{round(n)}"
    scaled = n
    for unit in ("k", "M", "G"):
        scaled /= 1000
        if abs(scaled) < 9.95:
            return f"{scaled:.1f} {unit}"
        if abs(scaled) < 999.5:
            return f"{scaled:.0f} {unit}"
    return f"{scaled / 1000:,.1f} T"


def number_of(n: int, noun: str) -> str:
    """A count with its noun, of which there are one or several: ``1 worker``, ``1,243 workers``."""
    return f"{count(n)} {noun if n == 1 else f'{noun}s'}"


def listed(words: Sequence[str], most: int = 3) -> str:
    """The first of several words, and how many more there are: ``a, b, c and 4 more``."""
    left = len(words) - most
    return f"{', '.join(words[:most])} and {count(left)} more" if left > 0 else ", ".join(words)


def clock_offset(ahead: float | None) -> str:
    """How far a clock is ahead of ours: ``3.20 s ahead``, ``200 ms behind``, ``in step`` where no more is known."""
    if not _known(ahead):
        return UNKNOWN
    if abs(ahead) < IN_STEP:
        return "in step"
    return f"{duration(abs(ahead))} {'ahead' if ahead > 0 else 'behind'}"


def rate(per_unit: float | None) -> str:
    """A rate without its unit, three digits while it is small: ``0.25``, ``34.1``, ``1,243``."""
    if not _known(per_unit):
        return UNKNOWN
    if per_unit == 0:
        return "0"
    return count(per_unit) if abs(per_unit) >= 99.95 else _three_digits(per_unit)


def percent(share: float | None) -> str:
    """A share between 0 and 1: ``0 %``, ``0.4 %``, ``44.1 %``, ``100 %``. Only nothing is 0 and only all is 100."""
    if not _known(share):
        return UNKNOWN
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    if share in (0, 1):
        return f"{share * 100:.0f} %"
    return f"{share * 100:.1f} %"


def bytes_(n: float | None) -> str:
    """Three digits of a size, in powers of 1,000: ``512 B``, ``4.10 kB``, ``610 MB``."""
    if not _known(n):
        return UNKNOWN
    if abs(n) < 999.5:
        return f"{round(n)} B"
    scaled = n
    for unit in ("kB", "MB", "GB"):
        scaled /= 1000
        if abs(scaled) < 999.5:
            return f"{_three_digits(scaled)} {unit}"
    return f"{scaled / 1000:,.2f} TB"


def clock_time(epoch: float | None, *, milliseconds: bool = True, tz: tzinfo | None = None) -> str:
    """Time of day, ``03:04:58.174``, in the viewer's timezone or in ``tz``."""
    return date_time(epoch, milliseconds=milliseconds, tz=tz)[11:] or UNKNOWN


def date_time(epoch: float | None, *, milliseconds: bool = True, tz: tzinfo | None = None) -> str:
    """Day and time of day, ``2026-11-21 03:04:58.174``, in the viewer's timezone or in ``tz``."""
    moment = _moment(epoch, tz)
    if moment is None:
        return UNKNOWN
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds" if milliseconds else "seconds")


def near_time(epoch: float | None, now: float, *, brief: bool = False, tz: tzinfo | None = None) -> str:
    """Time of day with milliseconds if that is today, else the day: ``20 Nov 03:04:58``, if brief ``20 Nov 03:04``."""
    moment, today = _moment(epoch, tz), _moment(now, tz)
    if moment is None:
        return UNKNOWN
    if today is not None and moment.date() == today.date():
        return clock_time(epoch, tz=tz)
    return f"{moment.day} {moment:%b %H:%M}" if brief else f"{moment.day} {moment:%b %H:%M:%S}"


def iso_utc(epoch: float | None) -> str:
    """ISO 8601 in UTC, ``2026-11-21T03:04:58.174Z``: what exports and tooltips use."""
    moment = _moment(epoch, UTC)
    return UNKNOWN if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _moment(epoch: float | None, tz: tzinfo | None) -> datetime | None:
    if not _known(epoch):
        return None
    try:
        return datetime.fromtimestamp(epoch, UTC).astimezone(tz)
    except (OverflowError, OSError, ValueError):  # a peer's clock may say anything
        return None


def _three_digits(value: float) -> str:
    if abs(value) < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 99.95 else f"{value:.0f}"


def _large(seconds: int, whole: Callable[[float], int]) -> str:
    """Two units of a span of a minute or more, the smaller one made whole by ``whole``."""
    if seconds < HOUR:
        return f"{seconds // MINUTE} m {seconds % MINUTE:02} s"
    minutes = whole(seconds / MINUTE)
    if minutes < DAY // MINUTE:
        return f"{minutes // 60} h {minutes % 60:02} m"
    hours = whole(seconds / HOUR)
    return f"{hours // 24:,} d {hours % 24:02} h"
