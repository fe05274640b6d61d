"""All that collects from one connection: its threads, the place where what they bring is folded, and the commits."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import hiredis

from app.collectors.control import Control
from app.collectors.normalise import Normaliser
from app.collectors.pollers import Inspection, InspectPoller, QueuePoller, Trouble
from app.collectors.redis_events import Chunk, Link, RedisEvents, payloads
from app.collectors.redis_queues import Head, Poll, RedisQueues
from app.collectors.transport import redis_address
from app.models.history.errors import HistoryError
from app.models.history.rows import Rows, gap_row
from app.models.history.writer import Writer
from app.models.records import Event, Gap
from app.models.redact import redact_url
from app.models.reducer import Batch, Reducer
from app.models.wire import Committed, Configure, Health, HealthState, Message, Notice

#: Seconds a change waits for its commit at most while little happens, and while much does.
COMMIT_SOON: Final = 0.05
COMMIT_LATE: Final = 0.10
#: This many changed tasks are much; at the second number they are committed at once.
MANY: Final = 500
TOO_MANY: Final = 5_000
#: Changed tasks that may wait while a commit is under way; beyond, folding waits too.
MOST: Final = 50_000
#: Seconds between two inspections of a worker, and after a failed commit until it is tried again.
INSPECT_PAUSE: Final = 60.0
RETRY_COMMIT: Final = 2.0

Emit = Callable[[Message], None]


class Collector:
    """Collects until `stop`. Runs in the thread that calls `run`; ``emit`` is called from that thread.

    Raises `BrokerError` for an address that can't be used and `HistoryError` for a history that can't be opened,
    both on construction.
    """

    def __init__(self, config: Configure, emit: Emit) -> None:
        address = redis_address(config.url, config.password, config.options)
        self._emit = emit
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._inbox: queue.SimpleQueue[Poll | Inspection | Trouble] = queue.SimpleQueue()
        self._writer = Writer(Path(config.history))
        self._writer.set_meta(name=config.name, broker=redact_url(config.url))
        self._normaliser = Normaliser()
        self._reducer = Reducer(self._writer, self._writer.known())
        self._events = RedisEvents(address, self._wake.set)
        self._commits = _Committer(self._writer, self._wake.set)
        self._queues = QueuePoller(RedisQueues(address, config.queues, on_command=self._count_commands), self._put)
        self._inspect: InspectPoller | None = None
        if config.mode != "passive":
            self._inspect = InspectPoller(Control(address, config.mode, on_command=self._count_commands), self._put)
        self._base = self._writer.accounting()
        self._stored = 0
        self._gaps = _Gaps(self._writer)
        self._heads: dict[str, tuple[Head, float]] = {}
        self._health = _Meter()
        self._commands = 0
        self._flushed = 0.0
        self._oldest: float | None = None
        self._held: Rows | None = None
        self._seq = 0

    @property
    def received(self) -> int:
        """Events received since this collector began."""
        return self._normaliser.received

    def stop(self) -> None:
        """End `run` soon; may be called from any thread."""
        self._stopping.set()
        self._wake.set()

    def run(self) -> None:
        """Collect until stopped, then commit what is left."""
        if self._writer.set_aside is not None:
            self._emit(Notice("history", self._writer.set_aside))
        self._health.state = "connecting"
        askers: list[RedisEvents | QueuePoller | InspectPoller] = [
            self._events,
            self._queues,
            *([self._inspect] if self._inspect is not None else []),
        ]
        for thread in (*askers, self._commits):
            thread.start()
        ticked = 0.0
        try:
            while not self._stopping.is_set():
                self._wake.wait(self._pause(ticked))
                self._wake.clear()
                self._take_events()
                self._take_polls()
                now = time.monotonic()
                if now - ticked >= 1.0:
                    ticked = now
                    self._tick()
                self._take_commits()
                self._commit_if_due()
        finally:
            for asker in askers:
                asker.stop()
            self._finish()
            for asker in askers:
                asker.join()
            self._writer.close()

    def _put(self, item: Poll | Inspection | Trouble) -> None:
        self._inbox.put(item)
        self._wake.set()

    def _count_commands(self, number: int) -> None:
        self._commands += number

    def _pause(self, ticked: float) -> float:
        now = time.monotonic()
        due = ticked + 1.0
        if self._reducer.dirty and not self._commits.busy:
            due = min(due, self._flushed + COMMIT_SOON)
        return max(0.0, due - now)

    def _take_events(self) -> None:
        """Decode and fold what the subscriber drained."""
        for item in self._events.take():
            if isinstance(item, Link):
                self._link(item)
                continue
            try:
                messages = payloads(item)
            except hiredis.ProtocolError:
                # What follows can't be trusted either; the subscriber notices that its connection is of no use by
                # itself.
                self._normaliser.rejected["broken stream"] += 1
                self._normaliser.received += 1
                continue
            self._fold(item, messages)

    def _fold(self, chunk: Chunk, messages: list[bytes]) -> None:
        events: list[Event] = []
        for payload in messages:
            self._normaliser.redis_message(payload, chunk.seen, events)
        if not events:
            return
        known = len(self._reducer.queues)
        self._reducer.fold(events, chunk.seen)
        self._stored += len(events)
        if self._oldest is None:
            self._oldest = chunk.seen
        if len(self._reducer.queues) > known:
            self._queues.add(list(self._reducer.queues))
        if self._reducer.dirty >= TOO_MANY:
            self._take_commits()
            self._commit_if_due()

    def _link(self, link: Link) -> None:
        if link.error is None:
            self._health.state, self._health.text = "live", ""
            self._reducer.listening_since = link.at
            self._gaps.end(link.at)
        else:
            self._health.state, self._health.text = "disconnected", str(link.error)
            self._gaps.begin(link.at, str(link.error))
        self._emit(self._health.message(self._commands, self._normaliser.received))

    def _take_polls(self) -> None:
        while not self._inbox.empty():
            item = self._inbox.get()
            now = time.time()
            if isinstance(item, Poll):
                self._age(item)
                self._reducer.fold_queues(item.queues, item.at)
            elif isinstance(item, Inspection):
                self._reducer.fold_inspection(item.hostname, item.learnt, now)
                queues = item.learnt.get("queues")
                if queues:
                    self._queues.add(queues)
            else:
                self._emit(Notice(item.key, "" if item.error is None else str(item.error)))

    def _age(self, poll: Poll) -> None:
        """How long each queue's oldest message waits: exactly if its ``task-sent`` was seen, else since we saw it."""
        if poll.heads is not None:
            for queue_ in poll.queues:
                heads = poll.heads.get(queue_.name)
                previous = self._heads.pop(queue_.name, None)
                if heads:
                    head = heads[-1]
                    self._heads[queue_.name] = (
                        previous if previous is not None and previous[0] == head else (head, poll.at)
                    )
        for queue_ in poll.queues:
            known = self._heads.get(queue_.name)
            if known is None or not queue_.ready:
                continue
            head, first = known
            task = self._reducer.task(head.uuid) if head.uuid else None
            queue_.oldest_exact = task is not None and task.sent is not None
            since = task.sent if task is not None and task.sent is not None else first
            if task is not None and task.eta is not None:
                since = max(since, task.eta)
            queue_.oldest = max(0.0, poll.at - since)

    def _tick(self) -> None:
        now = time.time()
        if self._health.state == "live":
            self._reducer.tick(now)
            if self._inspect is not None and self._inspect.idle:
                due = [
                    worker.hostname
                    for worker in self._reducer.workers.values()
                    if worker.state == "online" and (worker.inspected is None or now - worker.inspected > INSPECT_PAUSE)
                ]
                if due:
                    self._inspect.ask(due)
        self._emit(self._health.message(self._commands, self._normaliser.received))

    def _commit_if_due(self, *, force: bool = False) -> None:
        if self._commits.busy:
            if self._reducer.dirty < MOST and not force:
                return
            self._commits.wait()
            self._take_commits()
        now = time.monotonic()
        waited = now - self._flushed
        dirty = self._reducer.dirty
        due = (
            waited >= 1.0 or (dirty and waited >= (COMMIT_LATE if dirty >= MANY else COMMIT_SOON)) or dirty >= TOO_MANY
        )
        if not (due or force):
            return
        self._flushed = now
        at = time.time()
        batch = self._reducer.flush()
        rows = self._writer.rows(batch)
        rows.alive = at if self._health.state == "live" else 0.0
        rows.gaps = self._gaps.take()
        rows.accounting = self._accounting()
        self._commits.submit(_Job(batch, rows, at, self._oldest))
        self._oldest = None

    def _accounting(self) -> list[tuple[object, ...]]:
        counts = {("received", ""): self._normaliser.received, ("stored", ""): self._stored}
        counts |= {("rejected", reason): n for reason, n in self._normaliser.rejected.items()}
        return [(*key, n + self._base.get(key, 0)) for key, n in counts.items()]

    def _take_commits(self) -> None:
        for job, error in self._commits.take():
            if error is not None:
                self._emit(Notice("history", str(error), "error"))
                continue
            self._reducer.committed(job.batch)
            self._seq += 1
            if job.oldest is not None:
                self._health.behind = max(0.0, time.time() - job.oldest)
            if self._commits.recovered:
                self._commits.recovered = False
                self._emit(Notice("history", ""))
            self._emit(Committed(self._seq, job.at))

    def _finish(self) -> None:
        self._take_events()
        self._take_polls()
        self._commits.give_up()
        self._commit_if_due(force=True)
        self._commits.finish()
        self._take_commits()


class _Job:
    def __init__(self, batch: Batch, rows: Rows, at: float, oldest: float | None) -> None:
        self.batch, self.rows, self.at, self.oldest = batch, rows, at, oldest


class _Committer(threading.Thread):
    """Writes one job at a time; SQLite lets go of the interpreter while it works."""

    def __init__(self, writer: Writer, wake: Callable[[], None]) -> None:
        super().__init__(name="commit", daemon=True)
        self._writer = writer
        self._wake = wake
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._done: deque[tuple[_Job, HistoryError | None]] = deque()
        self._idle = threading.Event()
        self._idle.set()
        self._stopping = threading.Event()
        self.recovered = False

    @property
    def busy(self) -> bool:
        """Whether a job is under way."""
        return not self._idle.is_set()

    def submit(self, job: _Job) -> None:
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

    def take(self) -> list[tuple[_Job, HistoryError | None]]:
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


class _Gaps:
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


class _Meter:
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
