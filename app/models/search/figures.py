"""Numbers, durations and times as people write them, and comparisons of them."""

import math
import re
from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Final

from app.models.search.errors import SearchError
from app.models.search.values import Ago, Clock, Figure, Interval, Midnight, OfDay, Value
from app.models.search.words import Word

MINUTE: Final = 60.0

#: Both characters that look like µ: the micro sign and the Greek letter.
_UNITS: Final = {
    **dict.fromkeys(("us", "\u00b5s", "\u03bcs"), 1e-6),
    "ms": 1e-3,
    "s": 1.0,
    "m": MINUTE,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
_PART: Final = re.compile(rf"(\d+(?:\.\d+)?)({'|'.join(_UNITS)})", re.ASCII)
_DURATION: Final = re.compile(f"(?:{_PART.pattern})+", re.ASCII)
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_DAY: Final = r"\d{4}-\d{2}-\d{2}"
_CLOCK: Final = r"\d{2}:\d{2}(?P<second>:\d{2}(?P<fraction>\.\d{1,6})?)?"
_DATE: Final = re.compile(_DAY, re.ASCII)
_OF_DAY: Final = re.compile(_CLOCK, re.ASCII)
_DATE_TIME: Final = re.compile(rf"{_DAY}[T ]{_CLOCK}(?:Z|[+-]\d{{2}}:?\d{{2}})?", re.ASCII)
_OPERATOR: Final = re.compile(r"(?:>=|<=|>|<|=)?")


def interval(word: Word, read: Callable[[Word], Value], *, clock: Clock, bare: str | None = None) -> Interval:
    """Read ``5``, ``>5``, ``>=5``, ``<5``, ``<=5``, ``5..9``, ``5..`` or ``..9``; ``read`` reads each figure.

    ``bare`` is the complaint about a point without a comparison, where that makes no sense.

    Raises:
        SearchError: a figure that ``read`` does not understand, or a range that ends before it begins.
    """
    dots = word.text.find("..")
    if dots >= 0:
        return _range(word, dots, read, clock)
    found = _OPERATOR.match(word.text)
    operator = found[0] if found else ""
    value = read(word.part(len(operator)))
    is_point = value.stop is None
    match operator:
        case ">":
            return Interval(low=value.end, low_open=is_point)
        case ">=":
            return Interval(low=value.start)
        case "<":
            return Interval(high=value.start, high_open=True)
        case "<=":
            return Interval(high=value.end, high_open=not is_point)
    if bare is not None and is_point:
        raise SearchError(bare, word.position)
    return Interval(low=value.start, high=value.end, high_open=not is_point)


def number(word: Word) -> Value:
    """A number.

    Raises:
        SearchError: it is none.
    """
    if not _NUMBER.fullmatch(word.text) or not math.isfinite(float(word.text)):
        raise SearchError(f"{word.text!r} is not a number (3, >=3, 1..3)", word.position)
    return Value(Figure(float(word.text)))


def duration(word: Word) -> Value:
    """A duration: ``5`` (seconds), ``500ms``, ``1h30m``.

    Raises:
        SearchError: it is none.
    """
    seconds = _seconds(word.text)
    if seconds is None:
        raise SearchError(f"{word.text!r} is not a duration (5s, 500ms, 2m, 1h30m)", word.position)
    return Value(Figure(seconds))


def moment(word: Word, clock: Clock) -> Value:
    """A time: ``-15m``, ``+1h``, ``now``, ``today``, ``yesterday``, ``23:00``, ``2026-11-20``, ``2026-11-20T23:00``.

    Raises:
        SearchError: it is none, or no calendar has it.
    """
    text = word.text.upper()
    try:
        value = _relative(word.text.lower()) or _of_day(text) or _date(text, clock) or _date_time(text, clock)
    except (ValueError, OverflowError, OSError) as error:
        raise SearchError(f"{word.text!r} is not in the calendar", word.position) from error
    if value is None:
        examples = "-15m, today, 23:00, 2026-11-20, 2026-11-20T23:00"
        raise SearchError(f"{word.text!r} is not a time ({examples})", word.position)
    return value


def _relative(text: str) -> Value | None:
    match text:
        case "now":
            return Value(Ago(0.0))
        case "today":
            return Value(Midnight(0), Midnight(1))
        case "yesterday":
            return Value(Midnight(-1), Midnight(0))
    seconds = _seconds(text[1:])
    if seconds is None or text[0] not in "+-":
        return None
    return Value(Ago(-seconds if text[0] == "-" else seconds))


def _of_day(text: str) -> Value | None:
    found = _OF_DAY.fullmatch(text)
    if found is None:
        return None
    at, width = time.fromisoformat(text), _width(found)
    return Value(OfDay(at), OfDay(at, width) if width else None)


def _date(text: str, clock: Clock) -> Value | None:
    if not _DATE.fullmatch(text):
        return None
    day = datetime.fromisoformat(text).replace(tzinfo=clock.zone)
    return Value(Figure(day.timestamp()), Figure((day + timedelta(1)).timestamp()))


def _date_time(text: str, clock: Clock) -> Value | None:
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        return None
    when, width = datetime.fromisoformat(text), _width(found)
    start = (when if when.tzinfo else when.replace(tzinfo=clock.zone)).timestamp()
    return Value(Figure(start), Figure(start + width) if width else None)


def _width(written: re.Match[str]) -> float:
    """Seconds that the written time stands for: a minute, a second, or none with a fraction."""
    if written["fraction"]:
        return 0.0
    return 1.0 if written["second"] else MINUTE


def _range(word: Word, dots: int, read: Callable[[Word], Value], clock: Clock) -> Interval:
    left, right = word.part(0, dots), word.part(dots + 2)
    if not left.text and not right.text:
        raise SearchError("A range requires at least one end (1..5, 1.., ..5)", word.position)
    first = read(left) if left.text else None
    last = read(right) if right.text else None
    found = Interval(
        low=first.start if first else None,
        high=last.end if last else None,
        high_open=last is not None and last.stop is not None,
    )
    if found.is_empty(clock):
        raise SearchError(f"The range ends before it begins (write {right.text}..{left.text})", word.position)
    return found


def _seconds(text: str) -> float | None:
    if _NUMBER.fullmatch(text):
        seconds = float(text)
    elif _DURATION.fullmatch(text.lower()):
        seconds = sum(float(count) * _UNITS[unit] for count, unit in _PART.findall(text.lower()))
    else:
        return None
    return seconds if math.isfinite(seconds) else None
