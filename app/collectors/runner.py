"""All that collects from one connection: its threads, the place where what they bring is folded, and the commits."""

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from app.collectors.bell import Bell
from app.collectors.committer import Committer, Job
from app.collectors.control import Control
from app.collectors.normalise import Normaliser
from app.collectors.pollers import Inspection, InspectPoller, QueuePoller, Trouble
from app.collectors.redis_events import RedisEvents
from app.collectors.redis_queues import Head, Poll, RedisQueues
from app.collectors.standing import Gaps, Meter
from app.collectors.subscriber import Chunk, DamagedStream, Link, Subscriber
from app.collectors.transport import redis_address
from app.models.history.rows import Rows
from app.models.history.writer import Writer
from app.models.records import Event
from app.models.redact import redact_url
from app.models.reducer import Reducer
from app.models.wire import Committed, Configure, Message, Notice

#: Seconds a change waits for its commit at most while little happens, and while much does.
COMMIT_SOON: Final = 0.05
COMMIT_LATE: Final = 0.10
#: This many changed tasks are much; at the second number they are committed at once.
MANY: Final = 500
TOO_MANY: Final = 5_000
#: Changed tasks that may wait while a commit is under way; beyond, folding waits too.
MOST: Final = 50_000
#: Seconds between two inspections of a worker, and until one that did not answer or could not be asked is asked again.
INSPECT_PAUSE: Final = 30.0
UNANSWERED_PAUSE: Final = 10.0

#: Seconds that threads have to end; with the last commit that is two.
END_PATIENCE: Final = 1.0

Emit = Callable[[Message], None]


class Collector:
    """Collects until `stop`. Runs in the thread that calls `run`; ``emit`` is called from that thread.

    Raises `BrokerError` for an address that can't be used and `HistoryError` for a history that can't be opened,
    both on construction.
    """

    def __init__(self, config: Configure, emit: Emit) -> None:
        address = redis_address(config.url, config.password, config.options)
        self._emit = emit
        self._wake = Bell()
        self._stopping = threading.Event()
        self._inbox: queue.SimpleQueue[Poll | Inspection | Trouble] = queue.SimpleQueue()
        self._writer = Writer(Path(config.history))
        self._writer.set_meta(name=config.name, broker=redact_url(config.url))
        self._normaliser = Normaliser()
        self._reducer = Reducer(self._writer, self._writer.known())
        self._events: Subscriber = RedisEvents(address, self._wake.ring)
        self._commits = Committer(self._writer, self._wake.ring)
        self._queues = QueuePoller(RedisQueues(address, config.queues, on_command=self._count_commands), self._put)
        self._inspect: InspectPoller | None = None
        if config.mode != "passive":
            self._inspect = InspectPoller(Control(address, config.mode, on_command=self._count_commands), self._put)
        self._base = self._writer.accounting()
        self._stored = 0
        self._gaps = Gaps(self._writer)
        self._heads: dict[str, dict[Head, float]] = {}
        self._ask_at: dict[str, float] = {}
        self._ask_after = 0.0
        self._health = Meter()
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
        """End `run` soon; may be called from any thread, and by a signal's handler."""
        self._stopping.set()
        self._wake.ring()

    def run(self) -> None:
        """Collect until stopped, then commit what is left."""
        if self._writer.set_aside is not None:
            self._emit(Notice("history", self._writer.set_aside))
        self._health.turn("connecting", "", time.time())
        askers: list[Subscriber | QueuePoller | InspectPoller] = [
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
            patience = time.monotonic() + END_PATIENCE
            for asker in askers:
                # One that waits for a broker that hangs is left behind: it has nothing that is not written.
                asker.join(max(0.0, patience - time.monotonic()))
            self._writer.close()

    def _put(self, item: Poll | Inspection | Trouble) -> None:
        self._inbox.put(item)
        self._wake.ring()

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
            self._decode(item)

    def _decode(self, chunk: Chunk) -> None:
        events: list[Event] = []
        try:
            chunk.decode(self._normaliser, events)
        except DamagedStream:
            # What follows can't be trusted either.
            self._normaliser.rejected["broken stream"] += 1
            self._normaliser.received += 1
            self._events.reconnect()
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
            self._health.turn("live", "", link.at)
            self._reducer.listening_since = link.at
            self._gaps.end(link.at)
        else:
            self._health.turn("disconnected", str(link.error), link.at)
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
                self._ask_at[item.hostname] = time.monotonic() + (INSPECT_PAUSE if item.learnt else UNANSWERED_PAUSE)
                if item.learnt:
                    self._reducer.fold_inspection(item.hostname, item.learnt, now)
                queues = item.learnt.get("queues")
                if queues:
                    self._queues.add(queues)
            else:
                if item.key == "workers" and item.error is not None:
                    self._ask_after = time.monotonic() + UNANSWERED_PAUSE
                self._emit(Notice(item.key, "" if item.error is None else str(item.error)))

    def _age(self, poll: Poll) -> None:
        """How long each queue's oldest message waits: exactly if its ``task-sent`` was seen, else since we saw it."""
        if poll.heads is not None:
            known, self._heads = self._heads, {}
            for name, heads in poll.heads.items():
                before = known.get(name, {})
                self._heads[name] = {head: before.get(head, poll.at) for head in heads}
        for polled in poll.queues:
            if polled.ready and (heads_seen := self._heads.get(polled.name)):
                since, exact = zip(*(self._waits_since(head, seen) for head, seen in heads_seen.items()), strict=True)
                polled.oldest, polled.oldest_exact = max(0.0, poll.at - min(since)), all(exact)

    def _waits_since(self, head: Head, seen: float) -> tuple[float, bool]:
        """Since when a message waits, and whether that is exact; it was first seen at a queue's head at ``seen``."""
        task = self._reducer.task(head.uuid) if head.uuid else None
        if task is None or task.sent is None:
            return seen, False
        return (task.sent if task.eta is None else max(task.sent, task.eta)), True

    def _tick(self) -> None:
        now = time.time()
        if self._health.state == "live":
            self._reducer.tick(now)
            self._inspect_due()
        self._emit(self._health.message(self._commands, self._normaliser.received))

    def _inspect_due(self) -> None:
        now = time.monotonic()
        if self._inspect is None or not self._inspect.idle or now < self._ask_after:
            return
        due = [
            worker.hostname
            for worker in self._reducer.workers.values()
            if worker.state == "online" and now >= self._ask_at.get(worker.hostname, 0.0)
        ]
        if due:
            self._inspect.ask(due)

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
        self._commits.submit(Job(batch, rows, at, self._oldest))
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
