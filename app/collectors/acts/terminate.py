"""One task is ended while it runs: by a signal to its process, which its own worker sends.

By the time that the signal comes the process may run another task. So it is sent only for a task that its worker said
to be running no longer ago than `FRESH`, to that worker alone (SAFETY 4.5).
"""

import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from app.collectors.access import Grant
from app.collectors.acts.act import Act, Impossible, Reach, Step
from app.collectors.acts.crew import Crew, sayable, why_silent
from app.collectors.clean import clean_word
from app.collectors.control import Answer
from app.collectors.inspector import from_stats
from app.collectors.orders import RevokeIds
from app.models import formats, states
from app.models.acts import Caution, Item, Plan, Revoke, Sample

#: Seconds for which it is believed that a task runs.
FRESH: Final = 2.0
#: Seconds in which a task should end, and between two looks whether it did.
ENDS: Final = 5.0
LOOK_EVERY: Final = 0.1
#: Pools whose tasks are processes, and those whose are green threads, which an exception is thrown into.
_PROCESSES: Final = "prefork"
_GREEN: Final = ("gevent", "eventlet")
_UNKNOWN: Final = "terminate: tasks unknown"


class _Request(msgspec.Struct, frozen=True):
    """A task that a worker runs, since when, and in which process."""

    id: str
    name: str | None = None
    time_start: float | None = None
    worker_pid: int | None = None


class TerminateTask(Act[Revoke]):
    """Ends one task."""

    def __init__(self, wish: Revoke, reach: Reach) -> None:
        super().__init__(wish, reach)
        self._crew = Crew(reach)
        self._worker = ""
        self._seen = 0.0
        self._running: _Request | None = None

    def look(self) -> Plan:
        if len(self.wish.ids) != 1 or self.wish.search:
            raise Impossible("Tasks are terminated one at a time: name one by its id.")
        uuid = self.wish.ids[0]
        sayable(RevokeIds([uuid], terminate=True, signal=self.wish.signal), ["its worker"])
        found = self._found(None)
        running = {worker: request for worker, (state, request) in found.items() if state == "active"}
        if not running:
            raise Impossible(self._why_not(found))
        if len(running) > 1:
            raise Impossible(f"It runs on {' and '.join(sorted(running))} at once: revoke it, and end it there.")
        ((self._worker, self._running),) = running.items()
        pool, name = self._pool(), clean_word(self._running.name or "")
        facts = [
            ("Worker", self._worker),
            ("Pool", pool),
            ("Process", str(self._running.worker_pid or formats.UNKNOWN)),
        ]
        if self._running.time_start is not None:
            facts.append(("Runs for", formats.age(time.time() - self._running.time_start)))
        facts.append(("Signal", self.wish.signal))
        return Plan(
            title=f"Terminate {name or uuid}", verb="Terminate", count=1, things="task", facts=facts,
            samples=[Sample(uuid, name)], cautions=self._cautions(pool),
            undo="It can't be undone. The task can be run again.",
        )  # fmt: skip

    def still(self) -> int:
        state, request = self._found([self._worker]).get(self._worker, ("", None))
        if state != "active" or request is None:
            raise Impossible(f"It does not run on {self._worker} any more.")
        if request != self._running:
            raise Impossible(f"It was begun anew on {self._worker} meanwhile. Look at it again.")
        self._seen = time.monotonic()
        return 1

    def work(self, act: str, grant: Grant, done: frozenset[str]) -> Iterator[Step]:
        del act, done
        uuid = self.wish.ids[0]
        if time.monotonic() - self._seen > FRESH / 2:
            self.still()
        order = RevokeIds([uuid], terminate=True, signal=self.wish.signal)
        answers = list(self._crew.under(grant).tell(order, [self._worker], [self._worker]))
        item = self._item(next(answer for answer in answers if answer.known))
        if item.ok:
            began = time.monotonic()
            while (runs := self._runs()) and time.monotonic() - began < ENDS:
                yield Step()
                time.sleep(LOOK_EVERY)
            ended = "still runs there: it may not heed the signal" if runs else "it runs there no longer"
            item = Item(uuid, None if runs else True, f"{item.text}; {ended}")
        yield Step([item])

    def give_up(self) -> None:
        self._crew.give_up()

    def close(self) -> None:
        self._crew.close()

    def _found(self, names: list[str] | None) -> dict[str, tuple[str, _Request]]:
        """Where the task is, by worker: how it calls that, and what it knows of it."""
        uuid = self.wish.ids[0]
        found = {}
        for worker, answer in self._crew.ask("query_task", names, ids=[uuid]).items():
            told: Any = answer.get(uuid) if isinstance(answer, dict) else None
            try:
                state, request = msgspec.convert(told, tuple[str, _Request])
            except msgspec.ValidationError:
                continue
            if request.id == uuid and clean_word(worker) == worker:
                found[worker] = (clean_word(state), request)
        return found

    def _runs(self) -> bool:
        """Whether the worker still says so; one that does not answer does not say."""
        state, request = self._found([self._worker]).get(self._worker, ("", None))
        return state == "active" and request == self._running

    def _why_not(self, found: dict[str, tuple[str, _Request]]) -> str:
        uuid = self.wish.ids[0]
        with self.reach.reading() as reader:
            task = None if reader is None else reader.task(uuid)
        if task is not None and task.state in states.FINAL:
            return f"It ended already: {states.WORDS[task.state]}. There is nothing to terminate."
        if found:
            worker, (state, _) = next(iter(sorted(found.items())))
            return f"It does not run yet: {worker} has it {state}. Revoke it, and it will not run."
        host = None if task is None else task.worker
        worker_known = self._crew.known().get(host or "")
        if worker_known is not None and worker_known.state == "busy":
            return f"{host} {why_silent(worker_known)}. What runs in a solo pool can't be terminated."
        return "No worker says that it runs this task now."

    def _pool(self) -> str:
        """The pool that the task runs in. Raises `Impossible` where that can't end one."""
        stats = self._crew.ask("stats", [self._worker]).get(self._worker)
        pool = from_stats(stats).get("pool") or ""
        if pool not in (_PROCESSES, *_GREEN):
            what = f"A pool of {pool}" if pool == "threads" else f"The pool {pool!r}"
            raise Impossible(
                f"{what} can't end a task while it runs; only prefork can for sure. {self._worker} has it."
            )
        return str(pool)

    def _cautions(self, pool: str) -> list[Caution]:
        cautions = []
        if pool in _GREEN:
            cautions.append(Caution("A green thread is ended where it waits next; the signal makes no difference."))
            cautions.append(Caution("Its worker may tell, too, that it succeeded; then it counts as that here."))
        elif self.wish.signal == "SIGKILL":
            cautions.append(Caution("SIGKILL ends the process at once: nothing is tidied up by the task.", grave=True))
        else:
            cautions.append(Caution("The process of the task ends; the pool starts another one."))
        return [*cautions, Caution("What the task began elsewhere goes on; what it sent before is not taken back.")]

    def _item(self, answer: Answer) -> Item:
        uuid = self.wish.ids[0]
        if answer.done is None:
            return Item(uuid, None, f"{self._worker}: {answer.text}")
        if not answer.done:
            return Item(uuid, False, f"{self._worker} refused: {answer.text}")
        if answer.text == _UNKNOWN:
            return Item(uuid, False, f"it had ended before {self._worker} heard of it: no signal was sent")
        return Item(uuid, True, f"{self._worker} was told to send {self.wish.signal}")
