"""Figures and times to compare with, some of which depend on the clock."""

from datetime import datetime, time, timedelta, tzinfo

import msgspec


class Clock(msgspec.Struct, frozen=True):
    """What relative times are relative to: a moment, and the timezone of the viewer (None: this computer's)."""

    now: float
    zone: tzinfo | None = None

    def midnight(self, days: int) -> float:
        """The beginning of today, or of the day so many days after it."""
        return self._at(days, time())

    def last(self, of_day: time) -> float:
        """The last moment at which a clock showed that."""
        today = self._at(0, of_day)
        return today if today <= self.now else self._at(-1, of_day)

    def first(self, of_day: time, after: float) -> float:
        """The first moment, from ``after`` on, at which a clock shows that."""
        there = Clock(after, self.zone)
        same = there._at(0, of_day)
        return same if same >= after else there._at(1, of_day)

    def _at(self, days: int, of_day: time) -> float:
        day = datetime.fromtimestamp(self.now, self.zone).date() + timedelta(days)
        return datetime.combine(day, of_day, self.zone).timestamp()


class Figure(msgspec.Struct, frozen=True):
    """A number, a duration in seconds, or seconds since the epoch."""

    value: float

    def resolve(self, _clock: Clock, /) -> float:
        """The figure itself."""
        return self.value


class Ago(msgspec.Struct, frozen=True):
    """So many seconds from now; in the past where negative."""

    seconds: float

    def resolve(self, clock: Clock, /) -> float:
        """Seconds since the epoch."""
        return clock.now + self.seconds


class Midnight(msgspec.Struct, frozen=True):
    """The beginning of today, or of the day so many days after it."""

    days: int

    def resolve(self, clock: Clock, /) -> float:
        """Seconds since the epoch."""
        return clock.midnight(self.days)


class OfDay(msgspec.Struct, frozen=True):
    """The last time that a clock showed ``time``, and ``plus`` seconds more."""

    time: time
    plus: float = 0.0

    def resolve(self, clock: Clock, /) -> float:
        """Seconds since the epoch."""
        return clock.last(self.time) + self.plus


Edge = Figure | Ago | Midnight | OfDay


class Value(msgspec.Struct, frozen=True):
    """What was written: a point (``stop`` is None), or a period such as a day, up to and without ``stop``."""

    start: Edge
    stop: Edge | None = None

    @property
    def end(self) -> Edge:
        """Where it is over."""
        return self.start if self.stop is None else self.stop


class Interval(msgspec.Struct, frozen=True):
    """Where a figure has to lie; a side without an edge has no limit, an open one does not include its edge."""

    low: Edge | None = None
    low_open: bool = False
    high: Edge | None = None
    high_open: bool = False

    def bounds(self, clock: Clock) -> tuple[float | None, float | None]:
        """Both edges as figures. A time of day that ends a range is the first one after its beginning."""
        low = self.low.resolve(clock) if self.low else None
        if low is not None and isinstance(self.high, OfDay):
            return low, clock.first(self.high.time, low) + self.high.plus
        return low, self.high.resolve(clock) if self.high else None

    def is_empty(self, clock: Clock) -> bool:
        """Whether it ends before it begins."""
        low, high = self.bounds(clock)
        if low is None or high is None:
            return False
        return low > high or (low == high and (self.low_open or self.high_open))
