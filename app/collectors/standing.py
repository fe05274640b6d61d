"""What a collector knows of itself: when it did not listen, and how it does now."""

import time

from app.models.history.rows import gap_row
from app.models.history.writer import Writer
from app.models.records import Gap
from app.models.wire import Health, HealthState


class Gaps:
    """Intervals in which we did not listen; the time since the history was last written is one."""

    def __init__(self, writer: Writer) -> None:
        known = writer.gaps()
        self._next = max(known, default=0) + 1
        self._open: tuple[int, Gap] | None = next(
            ((number, gap) for number, gap in known.items() if gap.end is None), None
        )
        self._rows: list[tuple[object, ...]] = []
        alive = writer.meta().get("alive")
        if self._open is None and alive is not None:
            self.begin(float(alive), "Cloche was not running.")

    def begin(self, at: float, why: str) -> None:
        if self._open is None:
            self._open = (self._next, Gap(at, None, why))
            self._next += 1
            self._rows.append(gap_row(*self._open))

    def end(self, at: float) -> None:
        if self._open is not None:
            number, gap = self._open
            self._rows.append(gap_row(number, Gap(gap.start, max(gap.start, at), gap.why)))
            self._open = None

    def take(self) -> list[tuple[object, ...]]:
        rows, self._rows = self._rows, []
        return rows


class Meter:
    """What a collector says of itself about once a second."""

    def __init__(self) -> None:
        self.state: HealthState = "starting"
        self.text = ""
        self.behind = 0.0
        self._at = time.monotonic()
        self._began = time.time()
        self._counted = (0, 0)
        self._rates = (0.0, 0.0)

    def message(self, commands: int, events: int) -> Health:
        now = time.monotonic()
        passed = now - self._at
        if passed >= 0.5:  # noqa: PLR2004 - a rate over less is noise
            self._rates = ((commands - self._counted[0]) / passed, (events - self._counted[1]) / passed)
            self._counted, self._at = (commands, events), now
        return Health(
            state=self.state,
            text=self.text,
            events_per_second=self._rates[1],
            behind=self.behind,
            commands_per_second=self._rates[0],
            since=self._began,
        )
