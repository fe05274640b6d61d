"""Events in, task and worker records and rollups out: what is known now, and what the history does not hold yet."""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from app.models import lifecycle, states
from app.models.clocks import PROMPT, Clocks
from app.models.doubts import Doubts, Held
from app.models.liveness import Workers
from app.models.memory import Store, Tasks
from app.models.queues import Queues
from app.models.records import Event, Queue, Task, Told, Worker
from app.models.rollups import Cell, Gauge, bucket_of

#: Width of the finest rollup bucket in seconds (the first of `schema.LEVELS`).
BUCKET: Final = 5


class Known(msgspec.Struct):
    """What the history holds when a reducer starts on it; cells and gauges are those of ``bucket``, the newest."""

    next_task: int = 1
    workers: list[Worker] = []
    queues: list[Queue] = []
    bucket: int = 0
    cells: dict[str | None, Cell] = {}
    gauges: dict[tuple[str, str], Gauge] = {}


class Batch(msgspec.Struct):
    """All that changed since the last one, for one transaction. A cell's name is None for all tasks together."""

    tasks: list[Task]
    workers: list[Worker]
    queues: list[Queue]
    cells: list[tuple[int, str | None, Cell]]
    gauges: list[tuple[int, tuple[str, str], Gauge]]
    #: Buckets before this time are complete.
    closed: int
    arguments: list[Told] = []


class Reducer:
    """Folds events and polls into records; `flush` hands over what changed, `committed` lets finished tasks go.

    ``active_limit`` bounds the tasks held in memory; those beyond it are found again in the history.
    """

    def __init__(self, store: Store, known: Known | None = None, *, active_limit: int = 100_000) -> None:
        known = known or Known()
        self._queues = Queues(known.queues, self._gauge)
        self._fleet = Workers(known.workers, self._gauge)
        self._tasks = Tasks(store, known.next_task, active_limit)
        self.doubts = Doubts(self._tasks, self._fleet)
        self._clocks = Clocks()
        #: Starts since the last flush and their waits, which a `task-sent` that comes a moment later makes exact.
        self._begun: list[tuple[Task, float, float | None]] = []
        self._bucket = known.bucket
        self._cells = dict(known.cells)
        self._total = self._cells.setdefault(None, Cell())
        self._cells_dirty: dict[str | None, Cell] = {}
        self._cells_closed: list[tuple[int, str | None, Cell]] = []
        self._gauges = dict(known.gauges)
        self._gauges_dirty: set[tuple[str, str]] = set()
        self._gauges_closed: list[tuple[int, tuple[str, str], Gauge]] = []
        self._arguments: list[Told] = []
        self._handlers: Mapping[str, Callable[[Task, Event], None]] = {
            "task-sent": self._sent,
            "task-received": self._received,
            "task-started": self._started,
            "task-succeeded": self._succeeded,
            "task-failed": self._failed,
        }

    @property
    def workers(self) -> dict[str, Worker]:
        """Workers by host name."""
        return self._fleet.by_name

    @property
    def queues(self) -> dict[str, Queue]:
        """Queues by name."""
        return self._queues.by_name

    @property
    def dirty(self) -> int:
        """Number of tasks that changed since the last flush."""
        return len(self._tasks.changed) or self._tasks.holding

    @property
    def in_memory(self) -> Container[str]:
        """Ids of the tasks in memory: nearly all of which something may still be told."""
        return self._tasks.active

    def task(self, uuid: str) -> Task | None:
        """A task by id, from memory or from the history."""
        return self._tasks.get(uuid)

    def fold(self, events: Sequence[Event], now: float) -> None:
        """Take events that were received at ``now``."""
        self._turn(now)
        tasks, handlers, other, total, clocks = self._tasks, self._handlers, self._other, self._total, self._clocks
        tasks.fetch(events)
        active, changed = tasks.active, tasks.changed
        total.events += len(events)
        self._cells_dirty[None] = total
        for event in events:
            kind, uuid = event.type, event.uuid
            if kind in PROMPT:
                clocks.watch(event)
            elif clocks.differ:
                clocks.correct(event)
            if uuid is None:
                self._worker_event(event, now)
                continue
            task = active.get(uuid)
            if task is None:
                task = tasks.make(uuid, now)
                total.tasks += 1
            handlers.get(kind, other)(task, event)
            changed[uuid] = task

    def fold_results(self, events: Sequence[Event], now: float) -> None:
        """Take ends of tasks that somebody else than a worker told: its result backend."""
        self._turn(now)
        self._tasks.fetch(events)
        for event in events:
            task = self._tasks.active.get(event.uuid or "")
            if task is not None and task.doubted is not None:
                # Who tells no name of its own is taken to be who had it last.
                event.timestamp += self._clocks.correction(event.hostname or task.worker or "")
                if event.hostname:
                    self._fleet.heard_of(event.hostname, now)
                self._fold(task, event)
                self._tasks.change(task)

    def fold_queues(self, queues: Iterable[Queue], now: float) -> None:
        """Take queues as they were polled at ``now``."""
        self._turn(now)
        self._queues.poll(queues, self._fleet.by_name.values(), now)

    def forget_depths(self) -> None:
        """The broker can't be asked: what waits there is unknown, and not what it was."""
        self._queues.forget_depths()

    def fold_inspection(self, hostname: str, learnt: Mapping[str, Any], now: float) -> None:
        """Take a worker's answer: the fields of `Worker` that were learnt from it."""
        self._fleet.learn(hostname, learnt, now)

    def fold_reached(self, reachable: Mapping[str, bool]) -> None:
        """Take whether the broker still has a connection of workers that do not speak."""
        self._fleet.reached(reachable)

    def mute(self, now: float) -> list[str]:
        """Workers about which the broker should be asked whether it still has a connection of them."""
        return self._fleet.mute(now)

    def count_shed(self, events: Sequence[Event], now: float) -> None:
        """Count events that are not stored, as far as that can be told without the tasks they are about."""
        self._turn(now)
        total = self._total
        total.events += len(events)
        self._cells_dirty[None] = total
        for event in events:
            if event.type == "task-received":
                total.received += 1
            elif event.type == "task-started":
                total.started += 1
                self._fleet.began(self._fleet.spoke(event))
            elif event.type == "task-succeeded":
                # All of it was left out, so this is all that is heard of the task.
                total.tasks += 1
                total.succeeded += 1
                self._fleet.spoke(event).succeeded += 1

    def fold_held(self, held: Mapping[str, Mapping[str, Held]], asked: float) -> None:
        """Take what workers answered to the question which tasks they have."""
        self.doubts.confirm(held, asked)

    def fold_arguments(self, told: Mapping[str, tuple[str, str]], now: float) -> None:
        """Take what workers told that tasks are called with, as JSON, by their ids."""
        for uuid, (args, kwargs) in told.items():
            task = self._tasks.active.get(uuid)
            if task is not None:
                self._arguments.append(Told(task.id, now, args, kwargs))
                self._tasks.change(task)

    def listen(self, since: float | None, now: float) -> None:
        """We listen from now on, after not having listened since a moment (None: there was nothing before)."""
        self._fleet.listen(now)
        if since is not None:
            self.doubts.not_listening(since)

    def tick(self, now: float, *, hushed: bool = False) -> None:
        """Once a second: judge who is alive, and measure what only time measures.

        While workers are ``hushed``, as by a broker that lets nobody publish, that they are silent says nothing.
        """
        self._turn(now)
        if hushed:
            self._fleet.excuse(now)
        self._fleet.judge(now)
        self.doubts.take(self._fleet.take_changes())
        self.doubts.go_on()

    def flush(self, now: float = 0.0, *, everything: bool = True) -> Batch:
        """What changed since the last flush; the caller writes it and then calls `committed`.

        Unless ``everything`` is asked for, open tasks may wait a moment in a flood.
        """
        for task, started, first_known in self._begun:
            known = task.wait if task.started == started else _Tally(task).starts.get(started)
            wait = first_known if known is None else known
            if wait is not None:
                at = bucket_of(wait)
                for cell in (self._total, self._cell(task.name)) if task.name is not None else (self._total,):
                    cell.wait[at] = cell.wait.get(at, 0) + 1
        self._begun.clear()
        batch = Batch(
            tasks=self._tasks.take_changed(now, everything=everything),
            workers=self._fleet.take_changed(),
            queues=self._queues.take_changed(),
            cells=[*self._cells_closed, *((self._bucket, name, cell) for name, cell in self._cells_dirty.items())],
            gauges=[*self._gauges_closed, *((self._bucket, key, self._gauges[key]) for key in self._gauges_dirty)],
            closed=self._bucket,
            arguments=self._arguments,
        )
        self._arguments = []
        self._cells_dirty, self._cells_closed = {}, []
        self._gauges_dirty, self._gauges_closed = set(), []
        return batch

    def renew(self) -> None:
        """All that is in memory changed, as it were: a history was begun that knows none of it."""
        self._tasks.change_all()
        self._fleet.change_all()
        self._queues.change_all()

    def committed(self, batch: Batch) -> None:
        """The batch is in the history: finished tasks may leave memory."""
        self._tasks.written(batch.tasks)

    # Tasks. Each handler counts only what is news.

    def _sent(self, task: Task, event: Event) -> None:
        self._describe(task, event)
        if event.queue is not None:
            self._queues.hear_of(event.queue, event.seen)
        if not lifecycle.sent(task, event):
            self._fold(task, event)
        elif event.queue is not None:
            self._queues.came(event.queue)

    def _received(self, task: Task, event: Event) -> None:
        worker = self._fleet.spoke(event)
        if self._fleet.changes:
            self.doubts.take(self._fleet.take_changes())
        if not lifecycle.received(task, event):
            self._describe(task, event)
            self._fold(task, event, worker)
            return
        self._total.received += 1
        name = task.name
        if name is not None:
            cell = self._cell(name)
            cell.received += 1
            if task.sent is None:
                cell.tasks += 1

    def _started(self, task: Task, event: Event) -> None:
        worker = self._fleet.spoke(event)
        self._fleet.began(worker)
        if not lifecycle.started(task, event):
            self._fold(task, event, worker)
            return
        self._begun.append((task, event.timestamp, task.wait))
        self._total.started += 1
        if task.name is not None:
            self._cell(task.name).started += 1
        if task.queue is not None:
            self._queues.went(task.queue)

    def _succeeded(self, task: Task, event: Event) -> None:
        worker = self._fleet.spoke(event)
        if not lifecycle.succeeded(task, event):
            self._fold(task, event, worker)
            return
        worker.succeeded += 1
        self._total.succeeded += 1
        if task.name is not None:
            self._cell(task.name).succeeded += 1
        self._count_run(task)

    def _failed(self, task: Task, event: Event) -> None:
        worker = self._fleet.spoke(event)
        if not lifecycle.failed(task, event):
            self._fold(task, event, worker)
            return
        worker.failed += 1
        self._total.failed += 1
        if task.name is not None:
            self._cell(task.name).failed += 1
        self._count_run(task)

    def _other(self, task: Task, event: Event) -> None:
        self._fold(task, event, self._fleet.spoke(event))

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
            self._queues.came(event.queue, news["sent"])
        if task.queue is not None and news["started"]:
            self._queues.went(task.queue, news["started"])
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

    def _worker_event(self, event: Event, now: float) -> None:
        self._fleet.report(event, now)
        worker = self._fleet.by_name.get(event.hostname)
        if worker is not None:
            worker.clock_offset = self._clocks.offset(event.hostname)
        self.doubts.take(self._fleet.take_changes())

    # What is counted and measured over time

    def _cell(self, name: str) -> Cell:
        cell = self._cells_dirty.get(name)
        if cell is None:
            cell = self._cells_dirty[name] = self._cells.setdefault(name, Cell())
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
        self._cells_closed.extend((self._bucket, name, cell) for name, cell in self._cells_dirty.items())
        self._gauges_closed.extend((self._bucket, key, self._gauges[key]) for key in self._gauges_dirty)
        self._cells, self._cells_dirty = {None: Cell()}, {}
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
