"""Events in, task and worker records and rollups out: what is known now, and what the history does not hold yet."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from app.models import lifecycle, states
from app.models.records import Event, Queue, Task, Worker
from app.models.rollups import Cell, Gauge, bucket_of

#: Width of the finest rollup bucket in seconds (the first of `schema.LEVELS`).
BUCKET: Final = 5
#: Celery's default heartbeat interval in seconds, for workers that did not name theirs.
HEARTBEAT: Final = 2.0
#: A worker is silent after this many missed heartbeats, and lost after that many.
SILENT_AFTER: Final = 2.0
LOST_AFTER: Final = 3.0


class Known(msgspec.Struct):
    """What the history holds when a reducer starts on it; cells and gauges are those of ``bucket``, the newest."""

    next_task: int = 1
    workers: list[Worker] = []
    queues: list[Queue] = []
    bucket: int = 0
    cells: dict[str | None, Cell] = {}
    gauges: dict[tuple[str, str], Gauge] = {}


class Store(Protocol):
    """Where tasks are found that are no longer in memory."""

    def load(self, uuids: Sequence[str]) -> Iterable[Task]:
        """Tasks of the history among these ids."""


class Batch(msgspec.Struct):
    """All that changed since the last one, for one transaction. A cell's name is None for all tasks together."""

    tasks: list[Task]
    workers: list[Worker]
    queues: list[Queue]
    cells: list[tuple[int, str | None, Cell]]
    gauges: list[tuple[int, tuple[str, str], Gauge]]
    #: Buckets before this time are complete.
    closed: int


class Reducer:
    """Folds events and polls into records; `flush` hands over what changed, `committed` lets finished tasks go.

    ``active_limit`` bounds the tasks held in memory; those beyond it are found again in the history.
    """

    def __init__(self, store: Store, known: Known | None = None, *, active_limit: int = 200_000) -> None:
        known = known or Known()
        self.workers: dict[str, Worker] = {worker.hostname: worker for worker in known.workers}
        self.queues: dict[str, Queue] = {queue.name: queue for queue in known.queues}
        #: Silence before this moment is ours, not the workers'.
        self.listening_since = 0.0
        self._store = store
        self._limit = active_limit
        self._active: dict[str, Task] = {}
        self._next = known.next_task
        self._in_store = known.next_task > 1
        self._tasks_dirty: dict[str, Task] = {}
        self._workers_dirty: dict[str, Worker] = {}
        self._queues_dirty: dict[str, Queue] = {}
        #: Starts since the last flush and their waits, which a `task-sent` that comes a moment later makes exact.
        self._begun: list[tuple[Task, float, float | None]] = []
        self._bucket = known.bucket
        self._cells = dict(known.cells)
        self._total = self._cells.setdefault(None, Cell())
        self._cells_dirty: set[str | None] = set()
        self._cells_closed: list[tuple[int, str | None, Cell]] = []
        self._gauges = dict(known.gauges)
        self._gauges_dirty: set[tuple[str, str]] = set()
        self._gauges_closed: list[tuple[int, tuple[str, str], Gauge]] = []
        self._handlers: Mapping[str, Callable[[Task, Event], None]] = {
            "task-sent": self._sent,
            "task-received": self._received,
            "task-started": self._started,
            "task-succeeded": self._succeeded,
            "task-failed": self._failed,
        }

    @property
    def dirty(self) -> int:
        """Number of tasks that changed since the last flush."""
        return len(self._tasks_dirty)

    def task(self, uuid: str) -> Task | None:
        """A task by id, from memory or from the history."""
        return self._active.get(uuid) or next(iter(self._store.load([uuid])), None)

    def fold(self, events: Sequence[Event], now: float) -> None:
        """Take events that were received at ``now``."""
        self._turn(now)
        if self._in_store:
            self._fetch(events)
        active, dirty, handlers, total = self._active, self._tasks_dirty, self._handlers, self._total
        total.events += len(events)
        self._cells_dirty.add(None)
        for event in events:
            uuid = event.uuid
            if uuid is None:
                self._worker_event(event, now)
                continue
            task = active.get(uuid)
            if task is None:
                task = active[uuid] = Task(self._next, uuid, now)
                self._next += 1
                total.tasks += 1
            handlers.get(event.type, self._other)(task, event)
            dirty[uuid] = task

    def fold_queues(self, queues: Iterable[Queue], now: float) -> None:
        """Take queues as they were polled at ``now``."""
        self._turn(now)
        for queue in queues:
            known = self.queues.get(queue.name)
            if known is not None:
                queue.seen = known.seen
            queue.consumers = self._consumers(queue.name)
            queue.sampled = now
            self.queues[queue.name] = self._queues_dirty[queue.name] = queue
            for kind, value in (("ready", queue.ready), ("unacked", queue.unacked), ("oldest", queue.oldest)):
                if value is not None:
                    self._gauge(f"queue.{kind}", queue.name).add(value)

    def fold_inspection(self, hostname: str, learnt: Mapping[str, Any], now: float) -> None:
        """Take a worker's answer: the fields of `Worker` that were learnt from it."""
        worker = self._worker(hostname, now)
        for field, value in learnt.items():
            setattr(worker, field, value)
        worker.inspected = now
        self._workers_dirty[hostname] = worker

    def tick(self, now: float) -> None:
        """Once a second: judge which workers are silent or lost, and measure what only time measures."""
        self._turn(now)
        for worker in self.workers.values():
            if worker.state == "offline":
                continue
            last = max(worker.heartbeat or worker.seen, self.listening_since)
            missed = (now - last) / (worker.freq or HEARTBEAT)
            # A solo pool is mute while it works, for as long as it works.
            mute = worker.pool == "solo" and bool(worker.active)
            state = "online" if missed < SILENT_AFTER else "silent" if missed < LOST_AFTER or mute else "lost"
            if state != worker.state:
                worker.since = now if state == "online" else last
                self._set_state(worker, state)
            if state == "online" and worker.slots is not None:
                self._gauge("worker.slots", worker.hostname).add(worker.slots)

    def flush(self) -> Batch:
        """All that changed since the last flush; the caller writes it and then calls `committed`."""
        for task, started, first_known in self._begun:
            known = task.wait if task.started == started else _Tally(task).starts.get(started)
            wait = first_known if known is None else known
            if wait is not None:
                at = bucket_of(wait)
                for cell in (self._total, self._cell(task.name)) if task.name is not None else (self._total,):
                    cell.wait[at] = cell.wait.get(at, 0) + 1
        self._begun.clear()
        batch = Batch(
            tasks=list(self._tasks_dirty.values()),
            workers=list(self._workers_dirty.values()),
            queues=list(self._queues_dirty.values()),
            cells=[*self._cells_closed, *((self._bucket, name, self._cells[name]) for name in self._cells_dirty)],
            gauges=[*self._gauges_closed, *((self._bucket, key, self._gauges[key]) for key in self._gauges_dirty)],
            closed=self._bucket,
        )
        self._tasks_dirty, self._workers_dirty, self._queues_dirty = {}, {}, {}
        self._cells_dirty, self._cells_closed = set(), []
        self._gauges_dirty, self._gauges_closed = set(), []
        return batch

    def committed(self, batch: Batch) -> None:
        """The batch is in the history: finished tasks leave memory, and the oldest others where there are too many."""
        active, dirty = self._active, self._tasks_dirty
        self._in_store = self._in_store or bool(batch.tasks)
        for task in batch.tasks:
            if task.state in states.FINAL and task.uuid not in dirty:
                active.pop(task.uuid, None)
        if len(active) > self._limit:
            excess = len(active) - self._limit
            for uuid in [uuid for uuid in active if uuid not in dirty][:excess]:
                del active[uuid]

    # Tasks. Each handler counts only what is news.

    def _sent(self, task: Task, event: Event) -> None:
        self._describe(task, event)
        if event.queue is not None:
            self._queue(event.queue, event.seen)
        if not lifecycle.sent(task, event):
            self._fold(task, event)
        elif event.queue is not None:
            self._gauge("queue.in", event.queue).add(1)

    def _received(self, task: Task, event: Event) -> None:
        self._describe(task, event)
        worker = self._alive(event)
        if not lifecycle.received(task, event):
            self._fold(task, event, worker)
            return
        self._total.received += 1
        if task.name is not None:
            self._cell(task.name).received += 1

    def _started(self, task: Task, event: Event) -> None:
        worker = self._alive(event)
        if not lifecycle.started(task, event):
            self._fold(task, event, worker)
            return
        self._begun.append((task, event.timestamp, task.wait))
        self._total.started += 1
        if task.name is not None:
            self._cell(task.name).started += 1
        if task.queue is not None:
            self._gauge("queue.out", task.queue).add(1)

    def _succeeded(self, task: Task, event: Event) -> None:
        worker = self._alive(event)
        if not lifecycle.succeeded(task, event):
            self._fold(task, event, worker)
            return
        worker.succeeded += 1
        self._total.succeeded += 1
        if task.name is not None:
            self._cell(task.name).succeeded += 1
        self._count_run(task)

    def _failed(self, task: Task, event: Event) -> None:
        worker = self._alive(event)
        if not lifecycle.failed(task, event):
            self._fold(task, event, worker)
            return
        worker.failed += 1
        self._total.failed += 1
        if task.name is not None:
            self._cell(task.name).failed += 1
        self._count_run(task)

    def _other(self, task: Task, event: Event) -> None:
        self._fold(task, event, self._alive(event))

    def _describe(self, task: Task, event: Event) -> None:
        unnamed = task.name is None
        lifecycle.describe(task, event)
        if unnamed and task.name is not None:
            self._cell(task.name).tasks += 1

    def _fold(self, task: Task, event: Event, worker: Worker | None = None) -> None:
        """Take an event of a task that is not simple, and count what it changed."""
        before = _Tally(task)
        if not lifecycle.fold(task, event):
            return
        after = _Tally(task)
        # What was counted once stays counted, even if a later word says that it was something else.
        news = after.counts - before.counts
        if event.queue is not None and news["sent"]:
            self._gauge("queue.in", event.queue).add(news["sent"])
        if task.queue is not None and news["started"]:
            self._gauge("queue.out", task.queue).add(news["started"])
        told: list[Cell | Worker] = [self._total]
        if task.name is not None:
            told.append(self._cell(task.name))
        if worker is not None:
            told.append(worker)
        for record in told:
            for counted in news:
                if hasattr(record, counted):
                    setattr(record, counted, getattr(record, counted) + news[counted])
        if news["succeeded"] or news["failed"]:
            self._count_run(task)
        self._begun.extend((task, at, wait) for at, wait in after.starts.items() if at not in before.starts)

    def _count_run(self, task: Task) -> None:
        if task.runtime is None:
            return
        at = bucket_of(task.runtime)
        total = self._total
        total.busy += task.runtime
        total.run[at] = total.run.get(at, 0) + 1
        if task.name is not None:
            cell = self._cell(task.name)
            cell.busy += task.runtime
            cell.run[at] = cell.run.get(at, 0) + 1

    def _fetch(self, events: Sequence[Event]) -> None:
        """Bring tasks that these events are about and that left memory back from the history."""
        active = self._active
        missing = {uuid for event in events if (uuid := event.uuid) is not None and uuid not in active}
        if missing:
            for task in self._store.load(list(missing)):
                active[task.uuid] = task

    # Workers

    def _worker(self, hostname: str, now: float) -> Worker:
        worker = self.workers.get(hostname)
        if worker is None:
            worker = self.workers[hostname] = Worker(hostname, now, since=now)
        return worker

    def _alive(self, event: Event) -> Worker:
        """The worker that sent a task event; hearing of its work is a sign of life like a heartbeat."""
        worker = self.workers.get(event.hostname) or self._worker(event.hostname, event.seen)
        worker.heartbeat = event.seen
        self._workers_dirty[event.hostname] = worker
        if worker.state not in {"online", "offline"}:
            worker.since = event.seen
            self._set_state(worker, "online")
        return worker

    def _worker_event(self, event: Event, now: float) -> None:
        if event.type not in ("worker-online", "worker-heartbeat", "worker-offline"):
            return
        worker = self._worker(event.hostname, now)
        worker.heartbeat = now
        worker.pid = event.pid
        state = "offline" if event.type == "worker-offline" else "online"
        if state != worker.state or event.type == "worker-online":
            worker.since = now
            self._set_state(worker, state)
        if event.sw_ver is not None:
            worker.software = f"{event.sw_ident or 'celery'} {event.sw_ver}"
            worker.system = event.sw_sys
        # The answer to a `heartbeat` command carries another interval and no counters: it must not replace the real
        # ones.
        if event.active is not None:
            worker.freq = event.freq
            worker.active = event.active
            worker.processed = event.processed
            worker.load = event.loadavg
            self._gauge("worker.active", event.hostname).add(event.active)
        self._workers_dirty[event.hostname] = worker

    def _set_state(self, worker: Worker, state: str) -> None:
        worker.state = state
        if state in ("lost", "offline"):
            worker.active = None
        self._workers_dirty[worker.hostname] = worker

    # Queues, and what is measured over time

    def _queue(self, name: str, now: float) -> None:
        if name not in self.queues:
            self.queues[name] = self._queues_dirty[name] = Queue(name, now)

    def _consumers(self, name: str) -> int | None:
        """Workers that consume a queue; None while no worker has told us what it consumes."""
        told = [worker for worker in self.workers.values() if worker.queues is not None]
        if not told:
            return None
        return sum(1 for worker in told if worker.state in ("online", "silent") and name in (worker.queues or ()))

    def _cell(self, name: str) -> Cell:
        cell = self._cells.get(name)
        if cell is None:
            cell = self._cells[name] = Cell()
        self._cells_dirty.add(name)
        return cell

    def _gauge(self, kind: str, key: str) -> Gauge:
        gauge = self._gauges.get((kind, key))
        if gauge is None:
            gauge = self._gauges[kind, key] = Gauge()
        self._gauges_dirty.add((kind, key))
        return gauge

    def _turn(self, now: float) -> None:
        """Close the bucket when its time is over. A clock that was set back keeps counting into the present one."""
        bucket = int(now) // BUCKET * BUCKET
        if bucket <= self._bucket:
            return
        self._cells_closed.extend((self._bucket, name, self._cells[name]) for name in self._cells_dirty)
        self._gauges_closed.extend((self._bucket, key, self._gauges[key]) for key in self._gauges_dirty)
        self._cells, self._cells_dirty = {None: Cell()}, set()
        self._gauges, self._gauges_dirty = {}, set()
        self._total = self._cells[None]
        self._bucket = bucket


#: What is counted of deliveries that ended so.
_COUNTED: Final = {
    states.SUCCESS: "succeeded",
    states.FAILURE: "failed",
    states.RETRY: "retried",
    states.REVOKED: "revoked",
    states.REJECTED: "rejected",
}


class _Tally:
    """What is counted of one task, and when its deliveries started, with the wait before each."""

    def __init__(self, task: Task) -> None:
        self.counts: Counter[str] = Counter()
        self.starts: dict[float, float | None] = {}
        for attempt in lifecycle.attempts(task):
            for step in ("sent", "received", "started"):
                self.counts[step] += getattr(attempt, step) is not None
            if attempt.started is not None:
                self.starts[attempt.started] = lifecycle.waited(attempt)
            if attempt.state in _COUNTED:
                self.counts[_COUNTED[attempt.state]] += 1
