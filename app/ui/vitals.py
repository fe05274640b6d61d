"""What the frame shows of each connection: its accounting, its size, what waits, and what needs attention."""

import asyncio
import time
from typing import Final

import msgspec
from PySide6.QtCore import QObject, QTimer, Signal

from app.models.diagnosis import Finding, diagnose
from app.models.history.errors import HistoryError
from app.models.history.reader import Reader
from app.models.records import Accounting, Gap
from app.models.signs import look
from app.models.wire import Notice
from app.ui.supervisor import Connection

_EVERY_MS: Final = 1000
#: Counting all tasks takes a while in a large history, and then nobody watches that number: after a count that took
#: longer than so many seconds it is counted again only at every so many readings; and likewise for findings.
_LONG: Final = 0.005
_COUNT_EVERY: Final = 10
_LOOK_EVERY: Final = 5


class Vital(msgspec.Struct, frozen=True):
    """Facts of a history as last read; ``last_task`` is the id of its newest task, ``waiting`` None where unknown.

    ``missed`` are the tasks that workers began and did not tell us of, None where no worker says how many it began.
    ``counting`` is how many seconds it took to count ``tasks``, ``looking`` to look for ``findings``. ``queues`` are
    the names of those that tasks may be sent to.
    """

    accounting: Accounting = Accounting()
    tasks: int = 0
    last_task: int = 0
    size: int = 0
    waiting: int | None = None
    counting: float = 0.0
    gaps: tuple[Gap, ...] = ()
    missed: int | None = None
    missing: tuple[tuple[str, int], ...] = ()
    findings: tuple[Finding, ...] = ()
    looked: float = 0.0
    looking: float = 0.0
    queues: tuple[str, ...] = ()


class Vitals(QObject):
    """Reads the `Vital` of one connection, at most once a second. Signals: ``changed`` after each reading.

    Attributes: ``vital`` as last read, None until then.
    """

    changed = Signal()

    def __init__(self, connection: Connection, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.connection = connection
        self.vital: Vital | None = None
        self._trouble = ""
        self._reads = 0
        self._stopped = False
        self._task: asyncio.Task[None] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._begin)
        connection.committed.connect(self.touch)
        connection.noticed.connect(self._hear)
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

    def _hear(self, notice: Notice) -> None:
        """What the collector says of the history stands among the findings, even where it was dismissed."""
        if notice.key == "history":
            self._trouble = notice.text if notice.severity == "error" else ""
            self._reads = 0
            self.touch()

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        last = self.vital
        counted = last if last is not None and self._reads % _COUNT_EVERY and last.counting > _LONG else None
        looked = last if last is not None and self._reads % _LOOK_EVERY and last.looking > _LONG else None
        self._reads += 1
        now, trouble = time.time() if self.connection.live else None, self._trouble
        try:
            self.vital = await self.connection.query(lambda reader: _vital(reader, counted, looked, now, trouble))
        except HistoryError:
            self._reads = 0  # a history that is not there yet is no trouble of the frame: pages say it
        finally:
            self._task = None
        self.changed.emit()


def _vital(reader: Reader, known: Vital | None, looked: Vital | None, now: float | None, trouble: str) -> Vital:
    """Read all but what is taken from earlier readings: the number of tasks, and the findings."""
    began = time.perf_counter()
    tasks = reader.task_total() if known is None else known.tasks
    counting = time.perf_counter() - began if known is None else known.counting
    if looked is None:
        began = time.perf_counter()
        signs = look(reader, now, trouble)
        found, when, looking = tuple(diagnose(signs)), signs.now, time.perf_counter() - began
    else:
        found, when, looking = looked.findings, looked.looked, looked.looking
    told = [worker for worker in reader.workers() if worker.processed is not None]
    newest = reader.tasks(limit=1)
    queues = [queue for queue in reader.queues() if not queue.rests]
    ready = [queue.ready for queue in queues if queue.ready is not None]
    return Vital(
        accounting=reader.accounting(),
        tasks=tasks,
        last_task=newest[0].id if newest else 0,
        size=reader.size(),
        waiting=sum(ready) if ready else None,
        counting=counting,
        gaps=tuple(reader.gaps()),
        missed=sum(worker.missed for worker in told) if told else None,
        missing=tuple((worker.hostname, worker.missed) for worker in told if worker.missed),
        findings=found,
        looked=when,
        looking=looking,
        queues=tuple(queue.name for queue in queues),
    )
