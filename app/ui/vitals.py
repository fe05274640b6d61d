"""What the frame shows of each connection: its accounting, its size, what waits, and when nobody listened."""

import asyncio
import time
from typing import Final

import msgspec
from PySide6.QtCore import QObject, QTimer, Signal

from app.models.history.errors import HistoryError
from app.models.history.reader import Reader
from app.models.records import Accounting, Gap
from app.ui.supervisor import Connection

_EVERY_MS: Final = 1000
#: Counting all tasks takes a while in a large history, and then nobody watches that number: after a count that took
#: longer than so many seconds it is counted again only at every so many readings.
_LONG: Final = 0.005
_COUNT_EVERY: Final = 10


class Vital(msgspec.Struct, frozen=True):
    """Facts of a history as last read; ``last_task`` is the id of its newest task, ``waiting`` None where unknown.

    ``counting`` is how many seconds it took to count ``tasks``.
    """

    accounting: Accounting = Accounting()
    tasks: int = 0
    last_task: int = 0
    size: int = 0
    waiting: int | None = None
    counting: float = 0.0
    gaps: tuple[Gap, ...] = ()


class Vitals(QObject):
    """Reads the `Vital` of one connection, at most once a second. Signals: ``changed`` after each reading."""

    changed = Signal()

    def __init__(self, connection: Connection, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.connection = connection
        self.vital = Vital()
        self._reads = 0
        self._stopped = False
        self._task: asyncio.Task[None] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._begin)
        connection.committed.connect(self.touch)
        self._timer.start(0)

    def touch(self) -> None:
        """The history changed: read it within a second."""
        if not self._stopped and not self._timer.isActive() and self._task is None:
            self._timer.start(_EVERY_MS)

    def stop(self) -> None:
        """Read no more: nobody looks at it."""
        self._stopped = True
        self._timer.stop()

    async def settled(self) -> None:
        """Until no reading is under way."""
        if self._task is not None:
            await asyncio.gather(self._task)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        known = self.vital if self._reads % _COUNT_EVERY and self.vital.counting > _LONG else None
        self._reads += 1
        try:
            self.vital = await self.connection.query(lambda reader: _vital(reader, known))
        except HistoryError:
            self._reads = 0  # a history that is not there yet is no trouble of the frame: pages say it
        finally:
            self._task = None
        self.changed.emit()


def _vital(reader: Reader, known: Vital | None) -> Vital:
    began = time.perf_counter()
    tasks = reader.task_total() if known is None else known.tasks
    counting = time.perf_counter() - began if known is None else known.counting
    newest = reader.tasks(limit=1)
    ready = [queue.ready for queue in reader.queues() if queue.ready is not None]
    return Vital(
        accounting=reader.accounting(),
        tasks=tasks,
        last_task=newest[0].id if newest else 0,
        size=reader.size(),
        waiting=sum(ready) if ready else None,
        counting=counting,
        gaps=tuple(reader.gaps()),
    )
