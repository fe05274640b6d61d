"""Commits batches to the history in a thread of their own, and tries again while the disk refuses them."""

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from app.models.history.errors import HistoryError
from app.models.history.rows import Rows
from app.models.history.writer import Writer
from app.models.reducer import Batch

#: Seconds after a failed commit until it is tried again.
RETRY_COMMIT: Final = 2.0


class Job(msgspec.Struct):
    """One commit: a batch, the rows made of it, when they were made, and when its oldest event was received."""

    batch: Batch
    rows: Rows
    at: float
    oldest: float | None


class Committer(threading.Thread):
    """Writes one job at a time; SQLite lets go of the interpreter while it works."""

    def __init__(self, writer: Writer, wake: Callable[[], None]) -> None:
        super().__init__(name="commit", daemon=True)
        self._writer = writer
        self._wake = wake
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._done: deque[tuple[Job, HistoryError | None]] = deque()
        self._idle = threading.Event()
        self._idle.set()
        self._stopping = threading.Event()
        self.recovered = False

    @property
    def busy(self) -> bool:
        """Whether a job is under way."""
        return not self._idle.is_set()

    def submit(self, job: Job) -> None:
        """Commit a job; only while not `busy`."""
        self._idle.clear()
        self._jobs.put(job)

    def wait(self) -> None:
        """Until no job is under way."""
        self._idle.wait()

    def give_up(self) -> None:
        """Try each job once only from now on."""
        self._stopping.set()

    def finish(self) -> None:
        """Commit what was submitted, and end the thread."""
        self._jobs.put(None)
        self.join()

    def take(self) -> list[tuple[Job, HistoryError | None]]:
        """Jobs that ended since the last call; one that fails is reported each time it is tried again."""
        taken = []
        while self._done:
            taken.append(self._done.popleft())
        return taken

    def run(self) -> None:
        """Commit until finished."""
        while (job := self._jobs.get()) is not None:
            failed = False
            while True:
                try:
                    self._writer.commit(job.rows)
                except HistoryError as error:
                    failed = True
                    self._done.append((job, error))
                    self._wake()
                    if self._stopping.wait(RETRY_COMMIT):
                        break
                else:
                    self.recovered = self.recovered or failed
                    self._done.append((job, None))
                    break
            self._idle.set()
            self._wake()
