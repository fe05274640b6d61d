"""What became of a task is not always told: its worker died, or we did not listen. Then that is said, and mended.

A task in doubt is *lost* (its worker is gone) or *unknown* (nobody listened, or its worker no longer has it and told no
end) since a moment, with the reason; whatever is heard of it later takes the doubt away.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from app.models import lifecycle, states
from app.models.liveness import Change, Workers
from app.models.memory import Tasks
from app.models.records import Task

#: Tasks of the history that are gone through at a time.
PAGE: Final = 2_000
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
    """Tasks of the history that a change is about, and that were not in memory when it came."""

    change: Change | None
    since: float
    until: int
    after: int = 0


class Doubts:
    """Puts tasks in doubt and takes the doubt away; ``open`` is whether any task may be in doubt."""

    def __init__(self, tasks: Tasks, workers: Workers) -> None:
        self._tasks = tasks
        self._workers = workers
        self._sweeps: deque[_Sweep] = deque()
        #: Whether there may be tasks in doubt.
        self._doubting = False

    def take(self, changes: Iterable[Change]) -> None:
        """Judge the tasks of workers that went or returned."""
        for change in changes:
            for task in list(self._tasks.open_in_memory()):
                self._judge(task, change)
            self._sweep(change, change.since)

    def not_listening(self, since: float) -> None:
        """Nobody listened since a moment: what became of every open task is unknown."""
        for task in list(self._tasks.open_in_memory()):
            self._unhear(task, since)
        self._sweep(None, since)

    def go_on(self) -> None:
        """Go through some more tasks of the history."""
        if not self._sweeps:
            return
        sweep = self._sweeps[0]
        found = self._tasks.open_in_store(sweep.after, PAGE)
        for task in found:
            sweep.after = task.id
            if task.id > sweep.until:
                break
            current = self._tasks.active[task.uuid]
            if sweep.change is None:
                self._unhear(current, sweep.since)
            else:
                self._judge(current, sweep.change)
        if len(found) < PAGE or sweep.after >= sweep.until:
            self._sweeps.popleft()

    def in_doubt(self) -> list[Task]:
        """Tasks in memory whose end may be found out by asking."""
        found = [task for task in self._tasks.open_in_memory() if task.doubted is not None] if self._doubting else []
        self._doubting = bool(found)
        return found

    def stale(self, before: float) -> bool:
        """Whether a task in memory began before a moment, and nothing was heard of its end."""
        return any(
            task.state == states.STARTED and task.started is not None and task.started < before
            for task in self._tasks.open_in_memory()
        )

    def confirm(self, held: Mapping[str, Mapping[str, Held]], asked: float) -> None:
        """Take what workers answered, by host name and task id, to the question at ``asked`` which tasks they have."""
        for task in list(self._tasks.open_in_memory()):
            theirs = held.get(task.worker or "")
            found = next((each[task.uuid] for each in held.values() if task.uuid in each), None)
            if found is not None:
                if task.doubted is not None:
                    lifecycle.confirm(task, running=found.started is not None)
                    self._tasks.change(task)
            elif theirs is not None and _last_moment(task) < asked - GRACE:
                self._end_untold(task, asked)

    def _end_untold(self, task: Task, asked: float) -> None:
        if task.state == states.UNKNOWN:
            if task.note == UNHEARD:
                self._doubt(task, states.UNKNOWN, task.doubted or asked, ENDED_UNHEARD)
        elif task.state == states.STARTED or task.state not in states.WORDS:
            self._doubt(task, states.UNKNOWN, _last_moment(task), UNTOLD)

    def _sweep(self, change: Change | None, since: float) -> None:
        if self._tasks.in_store:
            self._sweeps.append(_Sweep(change, since, self._tasks.last_id))

    def _unhear(self, task: Task, since: float) -> None:
        if task.doubted is None and task.seen <= since:
            self._doubt(task, states.UNKNOWN, since, UNHEARD)

    def _judge(self, task: Task, change: Change) -> None:
        if task.worker != change.hostname:
            return
        if change.kind == "back":
            if task.state == states.LOST:
                lifecycle.settle(task)
                self._tasks.change(task)
            return
        if task.state in (states.RETRY, states.PENDING, states.LOST) or _last_moment(task) > change.since:
            return
        if change.kind == "left" and task.started is None:
            self._doubt(task, states.PENDING, change.since, GAVE_BACK)
        elif change.kind == "left":
            # A worker that says goodbye has waited for what it ran.
            self._doubt(task, states.UNKNOWN, change.since, LEFT)
        else:
            self._doubt(task, states.LOST, change.since, f"Its worker {change.why} {_doing(task)}.")
            worker = self._workers.by_name[change.hostname]
            worker.held = (worker.held or 0) + 1

    def _doubt(self, task: Task, state: str, since: float, why: str) -> None:
        self._doubting = True
        lifecycle.doubt(task, state, since, why)
        self._tasks.change(task)


def _doing(task: Task) -> str:
    return "while it ran" if task.started is not None else "after fetching it"


def _last_moment(task: Task) -> float:
    return max(moment for moment in (task.sent, task.received, task.started, 0.0) if moment is not None)
