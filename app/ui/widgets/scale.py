"""Axes of charts: round figures that stay put while the data moves, and times that people would choose."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final

import msgspec

from app.models import formats

#: Lines of the grid above zero. Always as many, so that only their labels change.
GRID_LINES: Final = 4

Tick = tuple[float, str]

_DECIMAL: Final = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.5)
_WHOLE: Final = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
_TIMES: Final = (15.0, 20.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 900.0, 1200.0, 1800.0, 3600.0)
_HOURS: Final = (7200.0, 10800.0, 14400.0, 21600.0, 43200.0, 86400.0)
_TIME_STEPS: Final = (
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    180,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10800,
    21600,
    43200,
    86400,
    172800,
)
_DAY: Final = 86400


class Unit(msgspec.Struct, frozen=True):
    """What is measured.

    ``text`` writes one value, ``tick`` a value on an axis of a given step; ``step`` is the axis's step for a height.
    """

    text: Callable[[float], str]
    tick: Callable[[float, float], str]
    step: Callable[[float], float]


def axis(highest: float, unit: Unit, current: float = 0.0) -> tuple[float, list[Tick]]:
    """Upper end and labels of an axis from 0 that holds `highest`.

    An axis grows at once, but keeps `current` as its end until half of it would do, so that it does not jump.
    """
    highest = highest if math.isfinite(highest) and highest > 0 else 0.0
    step = unit.step(highest * 1.02)
    top = step * GRID_LINES
    if current > 0 and highest <= current and top > current / 2:
        top, step = current, current / GRID_LINES
    return top, [(line * step, unit.tick(line * step, step)) for line in range(GRID_LINES + 1)]


def time_ticks(start: float, end: float, most: int, tz: tzinfo | None = None) -> list[Tick]:
    """At most about `most` round local times within an interval, in the viewer's timezone or in `tz`."""
    length = max(end - start, 1.0)
    step = next(
        (step for step in _TIME_STEPS if length / step <= max(most, 1)), math.ceil(length / max(most, 1) / _DAY) * _DAY
    )
    offset = _offset(start, tz)
    first = math.ceil((start + offset) / step) * step - offset
    ticks = []
    for number in range(math.floor((end - first) / step) + 1):
        moment = first + number * step
        moment += offset - _offset(moment, tz)  # the hour between the two may have been skipped or repeated
        if start <= moment <= end:
            ticks.append((moment, _time_text(moment, step, tz)))
    return ticks


def _time_text(moment: float, step: float, tz: tzinfo | None) -> str:
    local = datetime.fromtimestamp(moment, UTC).astimezone(tz)
    if step >= _DAY or (step >= 3600 and local.hour == local.minute == 0):
        return f"{local:%a} {local.day} {local:%b}"
    return f"{local:%H:%M:%S}" if step < 60 else f"{local:%H:%M}"


def _offset(moment: float, tz: tzinfo | None) -> float:
    offset = datetime.fromtimestamp(moment, UTC).astimezone(tz).utcoffset()
    return offset.total_seconds() if offset else 0.0


def _decimal_step(height: float, mantissas: Sequence[float], least: float) -> float:
    wanted = max(height / GRID_LINES, least)
    power = 10.0 ** math.floor(math.log10(wanted) + 1e-9)
    found = next((mantissa for mantissa in mantissas if mantissa * power >= wanted * (1 - 1e-9)), 10.0)
    return found * power


def _count_step(height: float) -> float:
    return _decimal_step(height, _WHOLE if height < 40 else _DECIMAL, 1.0)


def _duration_step(height: float) -> float:
    if height <= 10 * GRID_LINES:
        return _decimal_step(height, _DECIMAL, 1e-6)
    wanted = height / GRID_LINES
    return next((step for step in (*_TIMES, *_HOURS) if step >= wanted), math.ceil(wanted / _DAY) * _DAY)


def _places(step: float) -> int:
    """Decimal places that tell the multiples of a step apart."""
    return next((places for places in range(4) if abs(round(step, places) - step) < step * 1e-6), 4)


def _count_tick(value: float, step: float) -> str:
    for least, size, unit in ((1e9, 1e9, " G"), (1e6, 1e6, " M"), (1e4, 1e3, " k")):
        if step * GRID_LINES >= least:
            return f"{value / size:.{_places(step / size)}f}{unit}" if value else "0"
    return f"{value:,.{_places(step)}f}"


def _duration_tick(value: float, step: float) -> str:
    top = step * GRID_LINES
    if top > 10 * GRID_LINES + 1e-9:
        text = formats.duration(value).replace(".0 s", " s") if value else "0 s"
        return text.removesuffix(" 00 s").removesuffix(" 00 m").removesuffix(" 00 h")
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if top >= size * 0.9999:
            return f"{value / size:.{_places(step / size)}f} {unit}" if value else f"0 {unit}"
    return "0 µs"


COUNT: Final = Unit(formats.count, _count_tick, _count_step)
DURATION: Final = Unit(formats.duration, _duration_tick, _duration_step)
