"""What became of a task is not always told: its worker died, or we did not listen. Then that is said, and mended.

A task in doubt is *lost* (its worker is gone) or *unknown* (nobody listened, or its worker no longer has it and told no
end) since a moment, with the reason; whatever is heard of it later takes the doubt away.
"""

from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from app.models import lifecycle, states
from app.models.clocks import TRUSTED
from app.models.liveness import Change, Workers
from app.models.memory import Tasks
from app.models.records import Task

#: Tasks of the history that are gone through at a time.
PAGE: Final = 2_000
#: Tasks in memory that are looked at each second, as soon as a worker goes or returns; beyond that they are judged
#: together, with the next tick.
LOOKS: Final = 500_000
#: A worker that was asked may have been told of a task so many seconds before, and not know it yet.
GRACE: Final = 5.0

GAVE_BACK: Final = "Its worker left before it began: the message goes back to its queue."
LEFT: Final = "Its worker left and told no end: the result was ignored, or it was stopped while it ran."
UNHEARD: Final = "Cloche was not listening."
UNTOLD: Final = "Its worker no longer has it and told no end: the result was ignored, or the event was lost."
ENDED_UNHEARD: Final = "It ended while Cloche was not listening: no worker has it any more."


class Held(msgspec.Struct, frozen=True):
    """What a worker says of a task that it has: since when it runs, or None where it is only reserved or scheduled."""

    started: float | None = None


class _Sweep(msgspec.Struct):
    """Tasks of the history that were open when nobody listened (since ``unheard``), and then that changes are about."""

    until: int
    unheard: float | None = None
    changes: dict[str, list[Change]] = {}
    after: int = 0


class Doubts:
    """Puts tasks in doubt and takes the doubt away.

    Attributes: ``made`` counts how often a task was put in doubt.
    """

    def __init__(self, tasks: Tasks, workers: Workers) -> None:
        self.made = 0
        self._tasks = tasks
        self._workers = workers
        self._sweeps: deque[_Sweep] = deque()
        #: Tasks looked at since the last tick, and changes that wait for the next one.
        self._looks = 0
        self._late: dict[str, list[Change]] = {}
        #: Ids of tasks in doubt; some of them may have left memory, or be in doubt no longer.
        self._doubted: dict[str, None] = {}

    def take(self, changes: Iterable[Change]) -> None:
        """Judge the tasks of workers that went or returned."""
        by_worker: dict[str, list[Change]] = {}
        for change in changes:
            by_worker.setdefault(change.hostname, []).append(change)
        if not by_worker:
            return
        if self._looks < LOOKS:
            for task in self._tasks_of(by_worker):
                for change in by_worker[task.worker or ""]:
                    self._judge(task, change)
        else:
            for hostname, news in by_worker.items():
                self._late.setdefault(hostname, []).extend(news)
        if self._tasks.in_store:
            waiting = self._sweeps[-1] if self._sweeps else None
            if waiting is None or waiting.after:
                waiting = _Sweep(0)
                self._sweeps.append(waiting)
            waiting.until = self._tasks.last_id
            for hostname, news in by_worker.items():
                waiting.changes.setdefault(hostname, []).extend(news)

    def _tasks_of(self, hostnames: Container[str | None]) -> list[Task]:
        """Tasks in memory that these workers had last."""
        self._looks += len(self._tasks.active)
        return [task for task in self._tasks.active.values() if task.worker in hostnames]

    def not_listening(self, since: float) -> None:
        """Nobody listened since a moment: what became of every open task is unknown."""
        for task in list(self._tasks.open_in_memory()):
            self._unhear(task, since)
        if self._tasks.in_store:
            self._sweeps.append(_Sweep(self._tasks.last_id, since))

    def go_on(self) -> None:
        """Once a second: judge what waits for that, and go through some more tasks of the history."""
        if self._late:
            for task in self._tasks_of(self._late):
                self._judge_late(task, self._late)
            self._late = {}
        self._looks = 0
        if not self._sweeps:
            return
        sweep = self._sweeps[0]
        found = self._tasks.open_in_store(sweep.after, PAGE)
        for each in found:
            sweep.after = each.id
            if each.id > sweep.until:
                break
            # In memory it may be further than in the history.
            task = self._tasks.active[each.uuid]
            if task.doubted is not None:
                self._doubted[task.uuid] = None
            if sweep.unheard is not None and task.seen <= sweep.unheard and not _is_told_after(task, sweep.unheard):
                self._unhear(task, sweep.unheard)
            self._judge_late(task, sweep.changes)
        if len(found) < PAGE or sweep.after >= sweep.until:
            self._sweeps.popleft()

    def in_doubt(self) -> list[Task]:
        """Tasks in memory whose end may be found out by asking."""
        active = self._tasks.active
        found = [task for uuid in self._doubted if (task := active.get(uuid)) is not None and task.doubted is not None]
        self._doubted = dict.fromkeys(task.uuid for task in found)
        return found

    def stale(self, before: float) -> bool:
        """Whether a task in memory is with a worker since before a moment, and nothing was heard of its end."""
        return next(self.lasting(before), None) is not None

    def lasting(self, before: float) -> Iterator[Task]:
        """Tasks in memory that are with a worker since before a moment, and of whose end nothing was heard."""
        return (task for task in self._tasks.open_in_memory() if _is_with_worker(task) and _last_moment(task) < before)

    def confirm(self, held: Mapping[str, Mapping[str, Held]], asked: float) -> None:
        """Take what workers answered, by host name and task id, to the question at ``asked`` which tasks they have."""
        having: dict[str, tuple[str, bool]] = {}
        for hostname, tasks in held.items():
            for uuid, each in tasks.items():
                if uuid not in having or each.started is not None:
                    having[uuid] = (hostname, each.started is not None)
        for task in list(self._tasks.open_in_memory()):
            found = having.get(task.uuid)
            if found is not None:
                begun = found[1] and task.state in (states.PENDING, states.RECEIVED) and _last_moment(task) < asked
                if begun or task.doubted is not None:
                    lifecycle.confirm(task, found[0], running=found[1])
                    self._tasks.change(task)
            elif task.worker in held and _last_moment(task) < asked - GRACE:
                self._end_untold(task, asked)

    def _end_untold(self, task: Task, asked: float) -> None:
        if self._workers.is_twin(task.worker or ""):
            # The other one may have it.
            return
        if task.note == UNHEARD and task.state == states.UNKNOWN:
            self._doubt(task, states.UNKNOWN, task.doubted or asked, ENDED_UNHEARD)
        elif _is_with_worker(task):
            self._doubt(task, states.UNKNOWN, _last_moment(task), UNTOLD)

    def _unhear(self, task: Task, since: float) -> None:
        if task.doubted is None and lifecycle.is_open(task):
            self._doubt(task, states.UNKNOWN, since, UNHEARD)

    def _judge_late(self, task: Task, changes: Mapping[str, Sequence[Change]]) -> None:
        """Judge a task that may have been told of since its worker changed."""
        for change in changes.get(task.worker or "", ()):
            if not _is_told_after(task, change.since):
                self._judge(task, change)

    def _judge(self, task: Task, change: Change) -> None:
        if change.kind == "back":
            if task.state == states.LOST or task.note == LEFT:
                lifecycle.settle(task)
                self._tasks.change(task)
            return
        if not _is_with_worker(task):
            return
        if change.kind == "left" and task.state == states.RECEIVED:
            self._doubt(task, states.PENDING, change.since, GAVE_BACK)
        elif change.kind == "left":
            # A worker that says goodbye has waited for what it ran.
            self._doubt(task, states.UNKNOWN, change.since, LEFT)
        else:
            doing = "after fetching it" if task.state == states.RECEIVED else "while it ran"
            self._doubt(task, states.LOST, change.since, f"Its worker {change.why} {doing}.")
            worker = self._workers.by_name[change.hostname]
            worker.held = (worker.held or 0) + 1

    def _doubt(self, task: Task, state: str, since: float, why: str) -> None:
        self.made += 1
        self._doubted[task.uuid] = None
        lifecycle.doubt(task, state, since, why)
        self._tasks.change(task)


def _is_with_worker(task: Task) -> bool:
    """Whether a worker has a task, as far as was told."""
    return task.state in (states.RECEIVED, states.STARTED) or task.state not in states.WORDS


def _is_told_after(task: Task, since: float) -> bool:
    """Whether something was told of a task since a moment, by whatever clock that is trusted."""
    return _last_moment(task) - TRUSTED > since


def _last_moment(task: Task) -> float:
    return max(moment for moment in (task.sent, task.received, task.started, 0.0) if moment is not None)
