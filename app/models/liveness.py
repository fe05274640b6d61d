"""Workers: what they report of themselves, whether they are alive, and what they did not tell us.

A worker that is merely mute is not dead: a solo pool can't speak while it works. One that is dead does not say so. Who
came, went, was lost or returned is handed to the reducer as a `Change`, which judges the tasks they had.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

import msgspec

from app.models.records import Event, Worker
from app.models.rollups import Gauge

#: Celery's default heartbeat interval in seconds, for workers that did not name theirs.
HEARTBEAT: Final = 2.0
#: A worker is silent after this many missed heartbeats, and lost after that many.
SILENT_AFTER: Final = 2.0
LOST_AFTER: Final = 3.0
#: A worker's heartbeat may be ahead of the events it has still to send: what is missed is missed in this many of them.
PATIENCE: Final = 3


class Change(msgspec.Struct, frozen=True):
    """A worker was lost, returned as the process it was, or left cleanly; ``since`` when."""

    kind: Literal["lost", "back", "left"]
    hostname: str
    since: float
    why: str = ""


class Workers:
    """Worker records by host name, and what is judged of them."""

    def __init__(self, known: Iterable[Worker], gauge: Callable[[str, str], Gauge]) -> None:
        self.by_name: dict[str, Worker] = {worker.hostname: worker for worker in known}
        #: Silence before this moment is ours, not theirs.
        self.listening_since = 0.0
        self._gauge = gauge
        self._changed: dict[str, Worker] = {}
        self._changes: list[Change] = []
        self._lags: dict[str, deque[int]] = {}
        #: What each missed in processes before the present one.
        self._missed_before: dict[str, int] = {}
        #: Workers of which two processes speak under one name: whose tasks are whose can't be told.
        self._twins: set[str] = set()
        self._earlier: dict[str, int] = {}
        #: Solo pools that the broker still has a connection of, or has not, when it was last asked.
        self._reachable: dict[str, bool] = {}

    def take_changed(self) -> list[Worker]:
        """Workers that changed since the last call."""
        changed, self._changed = list(self._changed.values()), {}
        return changed

    def change_all(self) -> None:
        """Have all workers written."""
        self._changed |= self.by_name

    def take_changes(self) -> list[Change]:
        """Who went or returned since the last call."""
        changes, self._changes = self._changes, []
        return changes

    def get(self, hostname: str, now: float) -> Worker:
        """A worker by name; a new one was first heard of now."""
        worker = self.by_name.get(hostname)
        if worker is None:
            worker = self.by_name[hostname] = Worker(hostname, now, since=now)
        return worker

    def spoke(self, event: Event) -> Worker:
        """The worker that sent a task event; hearing of its work is a sign of life like a heartbeat."""
        hostname = event.hostname
        worker = self.by_name.get(hostname) or self.get(hostname, event.seen)
        worker.heartbeat = event.seen
        self._changed[hostname] = worker
        if worker.state != "online":
            self._speaks_again(worker, event)
        return worker

    def began(self, worker: Worker) -> None:
        """The worker told of a task that it began."""
        worker.began += 1
        # Custom events come without `-E` too, but starts do not.
        worker.events = True

    def report(self, event: Event, now: float) -> None:
        """Take an event of the worker itself."""
        if event.type not in ("worker-online", "worker-heartbeat", "worker-offline"):
            return
        worker = self.get(event.hostname, now)
        self._changed[event.hostname] = worker
        self._watch_process(worker, event)
        worker.heartbeat = now
        if event.sw_ver is not None:
            worker.software = f"{event.sw_ident or 'celery'} {event.sw_ver}"
            worker.system = event.sw_sys
        if event.type == "worker-offline":
            self._turn(worker, "offline", now)
            self._changes.append(Change("left", worker.hostname, now))
            return
        if worker.state != "online" or event.type == "worker-online":
            self._speaks_again(worker, event, greets=True)
        # The answer to a `heartbeat` command carries another interval and no counters: it must not replace the real
        # ones.
        if event.active is not None:
            worker.freq = event.freq
            worker.active = event.active
            worker.load = event.loadavg
            self._gauge("worker.active", event.hostname).add(event.active)
            if event.processed is not None:
                self._count_missed(worker, event.processed)

    def learn(self, hostname: str, learnt: Mapping[str, Any], now: float) -> None:
        """Take a worker's answer: the fields of `Worker` that were learnt from it."""
        worker = self.get(hostname, now)
        for field, value in learnt.items():
            setattr(worker, field, value)
        worker.inspected = now
        self._changed[hostname] = worker

    def reached(self, reachable: Mapping[str, bool]) -> None:
        """Whether the broker still has a connection of workers that are mute."""
        self._reachable.update(reachable)

    def mute(self, now: float) -> list[str]:
        """Solo pools that missed heartbeats, about which the broker should be asked."""
        return [
            worker.hostname
            for worker in self.by_name.values()
            if worker.state in ("silent", "busy")
            and worker.pool == "solo"
            and self._missed(worker, now) >= SILENT_AFTER
        ]

    def judge(self, now: float) -> None:
        """Once a second: who is silent, busy or lost, and what only time measures."""
        for worker in self.by_name.values():
            if worker.state == "offline":
                continue
            state = self._state(worker, self._missed(worker, now))
            last = max(worker.heartbeat or worker.seen, self.listening_since)
            if state != worker.state:
                was = worker.state
                self._turn(worker, state, now if state == "online" else last)
                if state == "lost":
                    self._changes.append(Change("lost", worker.hostname, last, "was lost"))
                elif was == "lost":
                    self._changes.append(Change("back", worker.hostname, now))
            if state == "online" and worker.slots is not None:
                self._gauge("worker.slots", worker.hostname).add(worker.slots)

    def _missed(self, worker: Worker, now: float) -> float:
        last = max(worker.heartbeat or worker.seen, self.listening_since)
        return (now - last) / (worker.freq or HEARTBEAT)

    def _state(self, worker: Worker, missed: float) -> str:
        if missed < SILENT_AFTER:
            return "online"
        if missed < LOST_AFTER:
            return "busy" if worker.state == "busy" else "silent"
        if worker.pool != "solo":
            return "lost"
        # While it works nothing of it is heard, not even that it works; but it keeps its connection to the broker.
        reachable = self._reachable.get(worker.hostname)
        if reachable is None:
            return "busy" if worker.active else "lost"
        return "busy" if reachable else "lost"

    def _speaks_again(self, worker: Worker, event: Event, *, greets: bool = False) -> None:
        if worker.state == "offline" and not greets:
            # What it still had to tell when it said goodbye.
            return
        was = worker.state
        self._reachable.pop(worker.hostname, None)
        self._turn(worker, "online", event.seen)
        if was == "lost" and event.type != "worker-online":
            self._changes.append(Change("back", worker.hostname, event.seen))

    def _turn(self, worker: Worker, state: str, since: float) -> None:
        worker.state, worker.since = state, since
        if state in ("lost", "offline"):
            worker.active = None
        elif state == "online":
            worker.held = None
        self._changed[worker.hostname] = worker

    def _watch_process(self, worker: Worker, event: Event) -> None:
        """Notice that a worker is another process than before, which has none of the tasks that the first one had."""
        hostname, pid = worker.hostname, event.pid
        if pid is None or pid == worker.pid:
            return
        if worker.pid is not None and hostname not in self._twins:
            if self._earlier.get(hostname) == pid:
                self._twins.add(hostname)
            else:
                if worker.state != "offline":
                    why = "was started anew"
                    self._changes.append(Change("lost", hostname, worker.heartbeat or worker.seen, why))
                self._earlier[hostname] = worker.pid
        worker.pid = pid
        self._count_anew(worker, 0 if event.type == "worker-online" else None)

    def _count_missed(self, worker: Worker, processed: int) -> None:
        """What a worker says that it began, against the starts that it told us of."""
        if worker.baseline is None or (worker.processed is not None and processed < worker.processed):
            self._count_anew(worker, processed)
        worker.processed = processed
        lags = self._lags.setdefault(worker.hostname, deque(maxlen=PATIENCE))
        lags.append(max(0, processed - (worker.baseline or 0) - worker.began))
        if len(lags) < PATIENCE:
            return
        missed = min(lags)
        if missed and not worker.began:
            worker.events = False
        worker.missed = self._missed_before.get(worker.hostname, 0) + missed

    def _count_anew(self, worker: Worker, baseline: int | None) -> None:
        self._missed_before[worker.hostname] = worker.missed
        self._lags.pop(worker.hostname, None)
        worker.baseline, worker.began = baseline, 0
