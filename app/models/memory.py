"""Tasks that something may still happen to: in memory within a bound, else found again in the history."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

from app.models import states
from app.models.records import Event, Task

#: So many tasks changed since the last write are a flood: then what is still open waits so many seconds to be written,
#: as most of it will have ended by then. What ended never waits.
FLOOD: Final = 500
HOLD: Final = 2.0
#: Unless they have more characters of text together than this.
HELD: Final = 16 << 20
#: A task takes the room of one, and of another one for so many characters of its texts; a fact is worth so many itself.
USUAL: Final = 1_024
FACT: Final = 400


class Store(Protocol):
    """Where tasks are found that are no longer in memory."""

    def load(self, uuids: Sequence[str]) -> Iterable[Task]:
        """Tasks of the history among these ids."""

    def open_tasks(self, after: int, limit: int) -> Sequence[Task]:
        """Tasks of the history that nothing has ended, with an id above ``after``, by id."""


class Tasks:
    """Tasks by id; ``limit`` bounds those in memory, where one with long texts counts as several (`USUAL`).

    ``active`` are in memory, ``changed`` of these what the history does not hold yet. Both are read by the reducer's
    inner loop.
    """

    def __init__(self, store: Store, next_id: int, limit: int) -> None:
        self.active: dict[str, Task] = {}
        self.changed: dict[str, Task] = {}
        self.in_store = next_id > 1
        self._next = next_id
        self._store = store
        self._limit = limit
        #: Open tasks that wait to be written, with the moment they began to and the length of their texts.
        self._held: deque[tuple[float, int, dict[str, Task]]] = deque()
        #: As how many tasks more those in memory count whose texts are long, and the sum of that.
        self._more: dict[str, int] = {}
        self._more_together = 0

    @property
    def last_id(self) -> int:
        """Id of the newest task."""
        return self._next - 1

    def get(self, uuid: str) -> Task | None:
        """A task, from memory or from the history."""
        return self.active.get(uuid) or next(iter(self._store.load([uuid])), None)

    def make(self, uuid: str, seen: float) -> Task:
        """A task that was never heard of."""
        task = self.active[uuid] = Task(self._next, uuid, seen)
        self._next += 1
        return task

    def fetch(self, events: Sequence[Event]) -> None:
        """Bring tasks that these events are about and that left memory back from the history."""
        active = self.active
        missing = {uuid for event in events if (uuid := event.uuid) is not None and uuid not in active}
        if missing and self.in_store:
            for task in self._store.load(list(missing)):
                active[task.uuid] = task
                self._weigh(task)

    def open_in_memory(self) -> Iterator[Task]:
        """Tasks in memory that nothing has ended."""
        return (task for task in self.active.values() if task.state not in states.FINAL)

    def open_in_store(self, after: int, limit: int) -> Sequence[Task]:
        """Tasks that nothing has ended and that are in the history only; they are in memory from now on."""
        found = self._store.open_tasks(after, limit) if self.in_store else ()
        for task in found:
            if self.active.setdefault(task.uuid, task) is task:
                self._weigh(task)
        return found

    def change(self, task: Task) -> None:
        """Have a task written."""
        self.active[task.uuid] = self.changed[task.uuid] = task

    def change_all(self) -> None:
        """Have all tasks in memory written."""
        self.changed |= self.active

    @property
    def holding(self) -> bool:
        """Whether open tasks wait to be written."""
        return bool(self._held)

    def take_changed(self, now: float, *, everything: bool = False) -> list[Task]:
        """Tasks to be written: all that changed, or in a flood what ended, and what is open since a while."""
        changed, self.changed = self.changed, {}
        final = states.FINAL
        if everything or len(changed) < FLOOD:
            taken = changed
        else:
            taken = {uuid: task for uuid, task in changed.items() if task.state in final}
            held = {uuid: task for uuid, task in changed.items() if task.state not in final}
            self._held.append((now, sum(map(_length, held.values())), held))
        room = HELD - sum(length for _, length, _ in self._held)
        while self._held and (everything or room < 0 or now - self._held[0][0] >= HOLD):
            _, length, held = self._held.popleft()
            room += length
            taken |= {uuid: task for uuid, task in held.items() if task.state not in final}
        return list(taken.values())

    def written(self, tasks: Sequence[Task]) -> None:
        """These are in the history: finished ones leave memory, and the oldest others where there are too many.

        They are what was taken last: until then no others may be taken, as what is being written must not leave.
        """
        active, changed = self.active, self.changed
        self.in_store = self.in_store or bool(tasks)
        for task in tasks:
            if task.state in states.FINAL and task.uuid not in changed:
                self._let_go(task.uuid)
            else:
                self._weigh(task)
        excess = len(active) + self._more_together - self._limit
        if excess > 0:
            waiting = set(changed).union(*(held for _, _, held in self._held))
            leaving = []
            for uuid in active:
                if excess <= 0:
                    break
                if uuid not in waiting:
                    leaving.append(uuid)
                    excess -= 1 + self._more.get(uuid, 0)
            for uuid in leaving:
                self._let_go(uuid)

    def _weigh(self, task: Task) -> None:
        more = _length(task) // USUAL
        if more or self._more:
            self._more_together += more - self._more.pop(task.uuid, 0)
        if more:
            self._more[task.uuid] = more

    def _let_go(self, uuid: str) -> None:
        self.active.pop(uuid, None)
        if self._more:
            self._more_together -= self._more.pop(uuid, 0)


def _length(task: Task) -> int:
    """Characters of the long texts of a task; what is not simple has facts (`FACT`), each with texts of its own."""
    length = len(task.args or "") + len(task.kwargs or "")
    for fact in task.facts or ():
        length += FACT + len(fact.result or "") + len(fact.exception or "") + len(fact.traceback or "")
    return length
