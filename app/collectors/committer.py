"""Commits batches to the history in a thread of their own, tries again while the disk refuses them, and tidies up."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from app.models.history.errors import Refused
from app.models.history.keeper import Keeper
from app.models.history.rows import Rows
from app.models.reducer import Batch

#: Seconds after a failed commit until it is tried again.
RETRY_COMMIT: Final = 1.0


class Job(msgspec.Struct):
    """One commit: a batch, the rows made of it, when they were made, and when its oldest event was received."""

    batch: Batch
    rows: Rows
    at: float
    oldest: float | None


class Committer(threading.Thread):
    """Writes one job at a time; SQLite lets go of the interpreter while it works.

    Old tasks are removed in small steps between the jobs. What is to be told of the history is with the `Keeper`.

    Attributes: ``refused`` is true while nothing takes the present job.
    """

    def __init__(self, keeper: Keeper, wake: Callable[[], None]) -> None:
        super().__init__(name="commit", daemon=True)
        self._keeper = keeper
        self._wake = wake
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._done: deque[Job] = deque()
        self._idle = threading.Event()
        self._idle.set()
        self._stopping = threading.Event()
        self._tidy_at = 0.0
        self._gave_up = False
        self.refused = False

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
        """Try each job once only from now on; where one fails, none of those after it is committed either.

        They would tell that all is stored which came before them.
        """
        self._stopping.set()

    def finish(self) -> None:
        """Commit what was submitted, and end the thread."""
        self._jobs.put(None)
        self.join()

    def take(self) -> list[Job]:
        """Jobs that were committed since the last call."""
        return [self._done.popleft() for _ in range(len(self._done))]

    def run(self) -> None:
        """Commit until finished."""
        while True:
            now = time.monotonic()
            # Under load jobs follow each other without a pause: what is due comes between two of them.
            if now >= self._tidy_at and not self._stopping.is_set():
                pause = self._keeper.tidy()
                self._tidy_at = time.monotonic() + pause
            try:
                job = self._jobs.get(timeout=max(0.0, self._tidy_at - time.monotonic()))
            except queue.Empty:
                continue
            if job is None:
                return
            self._commit(job)
            self._idle.set()
            self._wake()

    def _commit(self, job: Job) -> None:
        while not self._gave_up:
            try:
                self._keeper.commit(job.rows)
            except Refused:
                self.refused = True
                self._wake()
                if self._stopping.wait(RETRY_COMMIT):
                    self._gave_up = True
                    return
            else:
                self.refused = False
                self._done.append(job)
                return
