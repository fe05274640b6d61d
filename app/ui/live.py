"""The time range that rules every page, and the base of pages that read history again as it grows."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar, Final

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QWidget

from app.models.history.charts import Span
from app.models.history.errors import HistoryError
from app.models.wire import HealthState
from app.ui.supervisor import Connection

#: Ranges on offer in seconds, each with the width of a chart's bucket.
RANGES: Final = {300.0: 5.0, 900.0: 10.0, 3_600.0: 30.0, 21_600.0: 180.0, 86_400.0: 600.0, 604_800.0: 3_600.0}
#: Buckets a chart of any other range has about.
BUCKETS: Final = 120
#: A page that took long to read rests for so many times as long: all questions share one thread.
_REST: Final = 3.0


class TimeRange(QObject):
    """What span of time all pages show. ``changed`` follows every change but the passing of time.

    Attributes: ``live`` is true while the end is now; ``span`` is in seconds; ``end`` is the end where it is not live;
    while ``paused`` the end stands still and pages are not read again.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.span = 900.0
        self._preset = 900.0
        self.end: float | None = None
        self.paused = False

    @property
    def live(self) -> bool:
        return self.end is None

    def go_live(self, span: float | None = None) -> None:
        """Show the last ``span`` seconds, up to now; without it, as many as were chosen last, not those of a zoom."""
        self.span = span or self._preset
        if self.span in RANGES:
            self._preset = self.span
        self.end = None
        self.paused = False
        self.changed.emit()

    def look_back(self, start: float, end: float) -> None:
        """Show an interval of the past."""
        self.span, self.end = max(RANGES[300.0], end - start), end
        self.paused = False
        self.changed.emit()

    def step_by(self, spans: float) -> None:
        """Move by so many spans; past the present is live."""
        now = time.time()
        end = (now if self.end is None else self.end) + spans * self.span
        if end > now - self.step():
            self.go_live(self.span)
        else:
            self.look_back(end - self.span, end)

    def set_paused(self, paused: bool) -> None:
        """Freeze the picture, or let it go on."""
        if paused != self.paused:
            self.paused = paused
            self.changed.emit()

    def bounds(self, alive: float | None) -> Span:
        """The span shown. ``alive`` is where a history ends that grows no more; None means that it grows until now."""
        end = self.end if self.end is not None else time.time() if alive is None else alive
        return Span(end - self.span, end)

    def step(self) -> float:
        """Seconds per bucket of a chart."""
        exact = RANGES.get(self.span)
        if exact is not None:
            return exact
        wanted = self.span / BUCKETS
        return next((step for step in RANGES.values() if step >= wanted), 3_600.0)


class View(QWidget):
    """A page over connections, most often one, which reads what it shows as their histories grow.

    It reads when it becomes visible, when its range changes, and when something was committed; at most every
    ``refresh_ms``, less often where that takes long, and not at all while it is hidden or paused.

    Subclasses implement `load`.
    """

    refresh_ms: ClassVar[int] = 500

    #: What can't be read, as a sentence; empty once it can.
    trouble = Signal(str)
    #: A `load` ended, and what it read is shown.
    loaded = Signal()
    #: Something is to be done to the broker of the page: a `Wish`, which is planned and confirmed before it is done.
    act_wanted = Signal(object)
    #: Why what was wanted by a key can't be done, as a sentence: no button was there to say it.
    act_refused = Signal(str)

    def __init__(self, time_range: TimeRange, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.range = time_range
        self.connections: tuple[Connection, ...] = ()
        self._states: tuple[HealthState, ...] = ()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted = False
        self._loading = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._begin)
        time_range.changed.connect(self._range_changed)

    @property
    def connection(self) -> Connection | None:
        """The connection that the page is about; None where there is none, or several."""
        return self.connections[0] if len(self.connections) == 1 else None

    def set_connection(self, connection: Connection | None) -> None:
        """Show another connection."""
        self.watch(() if connection is None else (connection,))

    def watch(self, connections: Sequence[Connection]) -> None:
        """Show these connections from now on."""
        for one in self.connections:
            one.committed.disconnect(self.touch)
            one.health_changed.disconnect(self._health_changed)
        self.connections = tuple(connections)
        self._states = self._health_states()
        for one in self.connections:
            one.committed.connect(self.touch)
            one.health_changed.connect(self._health_changed)
        self.reload()

    def touch(self) -> None:
        """History grew: read it soon, if that would be seen."""
        if not self.range.paused:
            self._want()

    def reload(self) -> None:
        """Read again at once, paused or not."""
        if not self._loading:
            self._timer.stop()
        self._want()

    async def load(self) -> None:
        """Read what the page shows from ``self.connections`` and show it. May raise `HistoryError`."""
        raise NotImplementedError

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine of this page; what it can't read becomes `trouble`."""
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Until nothing this page has begun is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.reload()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._timer.stop()

    def _health_states(self) -> tuple[HealthState, ...]:
        return tuple(one.health.state for one in self.connections)

    def _health_changed(self) -> None:
        """Whether a broker is reached is part of what an empty page says."""
        if self._health_states() != self._states:
            self._states = self._health_states()
            self.touch()

    def _range_changed(self) -> None:
        if not self.range.paused:
            self.reload()

    def _want(self) -> None:
        self._wanted = True
        if self.isVisible() and self.connections and not self._loading and not self._timer.isActive():
            self._timer.start(0)

    def _begin(self) -> None:
        if self._wanted and not self._loading and self.isVisible() and self.connections:
            self._wanted, self._loading = False, True
            self.spawn(self._load())

    async def _load(self) -> None:
        began = time.monotonic()
        try:
            await self.load()
        finally:
            self._loading = False
            # What came while reading waits for the next turn, so that a flood makes the picture newer, not the
            # window slower.
            self._timer.start(max(self.refresh_ms, round(_REST * 1000 * (time.monotonic() - began))))
        self.trouble.emit("")
        self.loaded.emit()

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except HistoryError as error:
            self.trouble.emit(str(error))
