"""Workers: what they report of themselves, whether they are alive, and what they did not tell us.

A worker that is merely mute is not dead: a solo pool can't speak while it works. One that is dead does not say so. Who
came, went, was lost or returned is handed to the reducer as a `Change`, which judges the tasks they had.
"""

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
#: Events of a task that the worker's own process sends; custom ones come from a process of its pool.
_OWN: Final = frozenset(
    f"task-{kind}"
    for kind in ("received", "started", "succeeded", "failed", "retried", "revoked", "rejected", "cancelled")
)


class Change(msgspec.Struct, frozen=True):
    """A worker was lost, returned as the process it was, or left cleanly; ``since`` when."""

    kind: Literal["lost", "back", "left"]
    hostname: str
    since: float
    why: str = ""


class Workers:
    """Worker records by host name, and what is judged of them.

    They stay in memory: of a session there are no more than the normaliser lets through, and of earlier ones no more
    than the history hands over (`writer.RECALLED`).
    """

    def __init__(self, known: Iterable[Worker], gauge: Callable[[str, str], Gauge]) -> None:
        self.by_name: dict[str, Worker] = {worker.hostname: worker for worker in known}
        #: Who went or returned and was not judged yet.
        self.changes: list[Change] = []
        #: Silence before this moment is ours, not theirs.
        self._listening_since = 0.0
        self._gauge = gauge
        self._changed: dict[str, Worker] = {}
        #: What heartbeats in a row counted more than was told of.
        self._lags: dict[str, list[int]] = {}
        #: Workers not heard of since we listen again: what they began meanwhile was missed, and says nothing of them.
        self._unheard: set[str] = set()
        #: The process that each was before the present one.
        self._earlier: dict[str, int] = {}
        #: When the other process was heard last, of workers of which two speak under one name: whose tasks are whose
        #: can't be told.
        self._twins: dict[str, float] = {}
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
        changes, self.changes = self.changes, []
        return changes

    def listen(self, now: float) -> None:
        """We listen from now on, and did not before."""
        self._listening_since = now
        self._unheard = set(self.by_name)

    def excuse(self, now: float) -> None:
        """Silence up to now is not theirs."""
        self._listening_since = now

    def get(self, hostname: str, now: float) -> Worker:
        """A worker by name; a new one was first heard of now."""
        worker = self.by_name.get(hostname)
        if worker is None:
            worker = self.by_name[hostname] = Worker(hostname, now, since=now)
        return worker

    def heard_of(self, hostname: str, now: float) -> None:
        """Somebody else told of a worker; one that never spoke to us itself is not taken to be alive."""
        if hostname not in self.by_name:
            worker = self._changed[hostname] = self.get(hostname, now)
            worker.state = "offline"

    def spoke(self, event: Event) -> Worker:
        """The worker that sent a task event; hearing of its work is a sign of life like a heartbeat."""
        hostname = event.hostname
        worker = self._changed.get(hostname)
        if worker is None:
            worker = self._changed[hostname] = self.get(hostname, event.seen)
        if event.pid != worker.pid or worker.state != "online":
            self._speaks(worker, event, another=event.type in _OWN and self._watch_process(worker, event))
        worker.heartbeat = event.seen
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
        if event.sw_ver is not None:
            worker.software = f"{event.sw_ident or 'celery'} {event.sw_ver}"
            worker.system = event.sw_sys
        if event.type == "worker-offline":
            self._says_goodbye(worker, event)
            return
        self._speaks(worker, event, another=self._watch_process(worker, event))
        worker.heartbeat = now
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
        if worker.pid is not None:
            # That it is another process is noticed by what it sends, in order with the rest.
            learnt = {**learnt, "pid": worker.pid}
        for field, value in learnt.items():
            setattr(worker, field, value)
        worker.inspected = now
        self._changed[hostname] = worker

    def is_twin(self, hostname: str) -> bool:
        """Whether two processes speak under this name."""
        return hostname in self._twins

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
            was = worker.state
            if was == "offline":
                continue
            state = self._state(worker, self._missed(worker, now))
            if was == "lost" and state != "busy":
                # That we did not listen for a while brings nobody back: it has to speak.
                continue
            if state != was:
                last = max(worker.heartbeat or worker.seen, self._listening_since)
                self._turn(worker, state, now if state == "online" else last)
                if state == "lost":
                    self.changes.append(Change("lost", worker.hostname, last, "was lost"))
                elif was == "lost":
                    self.changes.append(Change("back", worker.hostname, now))
            if state == "online" and worker.slots is not None:
                self._gauge("worker.slots", worker.hostname).add(worker.slots)

    def _missed(self, worker: Worker, now: float) -> float:
        last = max(worker.heartbeat or worker.seen, self._listening_since)
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

    def _speaks(self, worker: Worker, event: Event, *, another: bool) -> None:
        """A worker is there; ``another`` if as another process than before."""
        was = worker.state
        if was == "online" and event.type != "worker-online":
            return
        if was == "offline" and event.uuid is not None and not another:
            # What it still had to tell when it said goodbye.
            return
        self._reachable.pop(worker.hostname, None)
        self._turn(worker, "online", event.seen)
        if was in ("lost", "offline") and not another:
            # Of an offline one: it says goodbye too when it loses its connection to the broker, and then goes on.
            self.changes.append(Change("back", worker.hostname, event.seen))

    def _says_goodbye(self, worker: Worker, event: Event) -> None:
        hostname, earlier = worker.hostname, self._earlier.get(worker.hostname)
        is_twin = self._twins.pop(hostname, None) is not None
        if earlier is not None and (is_twin or event.pid == earlier):
            # The other process of this name goes on.
            if event.pid is not None and event.pid == worker.pid:
                self._earlier[hostname], worker.pid = event.pid, earlier
            return
        if event.processed is not None and event.pid == worker.pid:
            self._count_missed(worker, event.processed)
        worker.heartbeat = event.seen
        self._turn(worker, "offline", event.seen)
        self.changes.append(Change("left", hostname, event.seen))

    def _turn(self, worker: Worker, state: str, since: float) -> None:
        worker.state, worker.since = state, since
        if state in ("lost", "offline"):
            worker.active = None
        elif state == "online":
            worker.held = None
        self._changed[worker.hostname] = worker

    def _watch_process(self, worker: Worker, event: Event) -> bool:
        """Notice that a worker is another process than before, which has none of the tasks that the first one had."""
        hostname, pid, greets = worker.hostname, event.pid, event.type == "worker-online"
        if hostname in self._twins:
            self._watch_twins(worker, event)
            return False
        if pid in (None, worker.pid):
            # Where each worker has a container of its own, all have the same pid.
            if not _begins_anew(worker, event):
                return False
        elif worker.pid is None:
            worker.pid = pid
            self._count_anew(worker, 0 if greets else None)
            return False
        elif pid == self._earlier.get(hostname) and not greets:
            # The one before was not over: it has its tasks still.
            self._twins[hostname] = event.seen
            self._earlier[hostname], worker.pid = worker.pid, pid
            self.changes.append(Change("back", hostname, event.seen))
            return False
        else:
            self._earlier[hostname] = worker.pid
        if worker.state != "offline":
            self.changes.append(Change("lost", hostname, worker.heartbeat or worker.seen, "was started anew"))
        worker.pid = pid
        self._count_anew(worker, 0 if greets else None)
        return True

    def _watch_twins(self, worker: Worker, event: Event) -> None:
        """Of two processes under one name either may end without a word."""
        hostname, pid = worker.hostname, event.pid
        if pid is None:
            return
        if pid != worker.pid:
            self._twins[hostname] = event.seen
            self._earlier[hostname], worker.pid = worker.pid or pid, pid
        elif event.seen - self._twins[hostname] > LOST_AFTER * (worker.freq or HEARTBEAT):
            del self._twins[hostname], self._earlier[hostname]

    def _count_missed(self, worker: Worker, processed: int) -> None:
        """What a worker says that it began, against the starts that it told us of."""
        hostname = worker.hostname
        if hostname in self._twins:
            return
        if worker.baseline is None:
            worker.baseline = max(0, processed - worker.began)
        worker.processed = processed
        lag = processed - worker.baseline - worker.began
        if hostname in self._unheard:
            self._unheard.discard(hostname)
            self._lags.pop(hostname, None)
            self._miss(worker, lag)
            return
        lags = self._lags.setdefault(hostname, [])
        if not lag or (lags and (lag > 0) != (lags[0] > 0)):
            lags.clear()
        if lag:
            lags.append(lag)
        if len(lags) < PATIENCE:
            return
        if lag > 0 and not worker.began:
            worker.events = False
        self._miss(worker, min(lags, key=abs))
        lags.clear()

    def _miss(self, worker: Worker, number: int) -> None:
        """Count starts that we were not told of (< 0: that we were told of late, or twice)."""
        worker.missed = max(0, worker.missed + number)
        worker.baseline = (worker.baseline or 0) + number

    def _count_anew(self, worker: Worker, baseline: int | None) -> None:
        self._lags.pop(worker.hostname, None)
        worker.baseline, worker.began, worker.processed = baseline, 0, None


def _begins_anew(worker: Worker, event: Event) -> bool:
    """Whether a process that has the pid of the one before says of itself that it began fewer tasks than that one."""
    if event.processed is None:
        return False
    told = (worker.baseline or 0) + worker.began if event.type == "worker-online" else 0
    return event.processed < max(worker.processed or 0, told)
