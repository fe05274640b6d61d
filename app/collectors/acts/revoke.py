"""Tasks are revoked: workers are told not to run them, and messages that still wait may be taken out besides.

A revoke is a broadcast to who listens at that moment, kept in the memory of workers. So what is said is “revoke asked,
4 workers told”; that a task was revoked is told by its own event, in the history.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from app.collectors.access import Grant
from app.collectors.acts.act import Act, Impossible, Reach, Step
from app.collectors.acts.crew import LISTED, Crew, reading, revoke_asked, sayable, why_silent
from app.collectors.control import Answer
from app.collectors.orders import MOST_IDS, RevokeIds
from app.collectors.vault import Vault
from app.models import acts, states
from app.models.acts import MOST_ITEMS, Caution, Item, Outcome, Plan, Revoke, Sample, Wish
from app.models.formats import listed, number_of
from app.models.quarantines import quarantine_name
from app.models.records import Task, Worker
from app.models.search import SearchError, parse

#: Of few tasks, so many are told at a time, that there is something to stop.
FEWEST: Final = 20
STEPS: Final = 20
_SAMPLES: Final = 10
#: Tasks that are read at a time.
_PAGE: Final = 2_000
_FORGETS: Final = (
    "A worker forgets what was revoked when it is restarted, unless it was started with --statedb, which it does not "
    "tell, or another worker reminds it."
)
_STAYS: Final = (
    "No message is taken out, since RabbitMQ can't take single ones out of a queue: they wait there until a worker "
    "gets them that remembers the revoke."
)
LATER: Final = "It is a broadcast: who does not listen at that moment, or starts later, does not hear of it."


class RevokeTasks(Act[Revoke]):
    """Not to run tasks, by their ids, in batches."""

    rate = acts.RATE

    def __init__(self, wish: Revoke, reach: Reach) -> None:
        super().__init__(wish, reach)
        self._crew = Crew(reach)
        self._vault: Vault | None = None
        self._ids: list[str] = list(dict.fromkeys(wish.ids))
        self._workers: dict[str, Worker] = {}
        self._expected: list[str] = []
        #: Ids by the queue in which their messages wait, as far as the history knows.
        self._waiting: dict[str, list[str]] = {}
        self._taken = 0
        self._asked = 0

    @property
    def resolved(self) -> Wish:
        return Revoke(ids=self._ids, take_out=self.wish.take_out)

    def look(self) -> Plan:
        if self.wish.search:
            self._ids = self._found()
        if not self._ids:
            raise Impossible("No task was named, and none is found.")
        if len(self._ids) > MOST_ITEMS:
            raise Impossible(f"That is more than {MOST_ITEMS:,} tasks. Narrow the search down.")
        for batch in _batches(self._ids):
            sayable(RevokeIds(batch))
        tasks = self._tasks()
        ended = [task for task in tasks.values() if task.state in states.FINAL]
        self._ids = [uuid for uuid in self._ids if uuid not in tasks or tasks[uuid].state not in states.FINAL]
        if not self._ids:
            one = ended[0]
            what = (
                f"It ended already: {states.WORDS.get(one.state, one.state)}"
                if len(ended) == 1
                else "All ended already"
            )
            raise Impossible(f"{what}. There is nothing to revoke.")
        self._expected, self._workers = self._crew.answering(), self._crew.known()
        if self.wish.take_out and not self.reach.broker.marks:
            self._vault = self.reach.broker.vault(self.reach.access.mode, on_command=self.reach.on_command)
            self._waiting = _waiting(tasks, self._ids)
        number = number_of(len(self._ids), "task")
        return Plan(
            title=f"Revoke {number}", verb="Revoke", count=len(self._ids), things="task", facts=self._facts(len(ended)),
            samples=[_sample(uuid, tasks.get(uuid)) for uuid in self._ids[:_SAMPLES]],
            cautions=self._cautions([tasks[uuid] for uuid in self._ids if uuid in tasks]), rate=acts.RATE,
            undo="It can't be taken back: to run such a task after all, run it again, under a new id.",
        )  # fmt: skip

    def still(self) -> int:
        tasks = self._tasks()
        return sum(1 for uuid in self._ids if uuid not in tasks or tasks[uuid].state not in states.FINAL)

    def work(self, act: str, grant: Grant, done: frozenset[str]) -> Iterator[Step]:
        del act
        tasks = self._tasks()
        ended = {uuid for uuid, task in tasks.items() if task.state in states.FINAL}
        left = [uuid for uuid in self._ids if uuid not in done]
        over = [Item(uuid, True, "it ended meanwhile: nothing was sent") for uuid in left if uuid in ended]
        if over:
            yield Step(over)
        left = [uuid for uuid in left if uuid not in ended]
        taken: set[str] = set()
        for step in self._take_out(frozenset(left), grant):
            taken |= step
            yield Step()
        control = self._crew.under(grant)
        silent: list[Answer] = []
        for batch in _batches(left):
            # Who was silent once is told all the same, but not waited for any more.
            expected = {*self._expected} - {answer.host for answer in silent}
            answers = list(control.tell(RevokeIds(batch), None, expected))
            yield Step(self._items(batch, [*answers, *silent], control.listening, taken))
            silent += [answer for answer in answers if answer.known and answer.done is None]

    def told(self, outcome: Outcome) -> Outcome:
        if not self._asked:
            return outcome
        text = f"Revoke asked of {number_of(self._asked, 'task')}"
        text += f", {number_of(self._taken, 'message')} taken out" if self._taken else ""
        proven = sum(1 for task in self._tasks().values() if task.state == states.REVOKED)
        text += f"; of {proven:,} it is proven by now. " if proven else "; not proven yet by an event of a worker. "
        return acts.with_text(outcome, f"{outcome.text} {text}".strip())

    def give_up(self) -> None:
        self._crew.give_up()
        if self._vault is not None:
            self._vault.give_up()

    def close(self) -> None:
        self._crew.close()
        if self._vault is not None:
            self._vault.close()

    def _found(self) -> list[str]:
        """Ids of all tasks that a search finds and that are not over."""
        try:
            where = parse(self.wish.search)
        except SearchError as error:
            raise Impossible(str(error)) from error
        found: list[str] = []
        before: int | None = None
        with reading(self.reach) as reader:
            if reader is None:
                raise Impossible("There is no history to search: name the tasks by their ids.")
            while len(found) <= MOST_ITEMS:
                rows = reader.tasks(
                    where=where, since=self.wish.since, until=self.wish.until, before=before, limit=_PAGE
                )
                found += [row.uuid for row in rows if row.state not in states.FINAL]
                if len(rows) < _PAGE:
                    break
                before = rows[-1].id
        return found

    def _tasks(self) -> dict[str, Task]:
        """What the history knows of these tasks."""
        with reading(self.reach) as reader:
            found = [] if reader is None else [reader.task(uuid) for uuid in self._ids]
        return {task.uuid: task for task in found if task is not None}

    def _facts(self, ended: int) -> list[tuple[str, str]]:
        facts = [("Will be told", f"{number_of(len(self._expected), 'worker')}: {listed(self._expected, LISTED)}")]
        if not self._expected:
            facts = [("Will be told", "nobody")]
        facts += [
            (name, why_silent(worker)) for name, worker in sorted(self._workers.items()) if name not in self._expected
        ]
        facts += [("Messages taken out", f"up to {len(ids):,} of {queue}") for queue, ids in self._waiting.items()]
        if ended:
            facts.append(("Left out", f"{number_of(ended, 'task')} that ended already"))
        return facts

    def _cautions(self, tasks: Sequence[Task]) -> list[Caution]:
        cautions = [Caution(LATER)]
        if not self._expected:
            cautions.insert(
                0, Caution("No worker answers: nobody will remember it, and the tasks will run.", grave=True)
            )
        running = sum(1 for task in tasks if task.state == states.STARTED)
        if running:
            cautions.append(
                Caution(f"{number_of(running, 'task')} of them run already: that is not stopped by it. To end one, "
                        "terminate it.")
            )  # fmt: skip
        if self._expected and not self._remembered():
            cautions.append(Caution(_FORGETS))
        if any((worker.software or "").startswith("py-celery 5.6") for worker in self._workers.values()):
            cautions.append(
                Caution("Workers of Celery 5.6 store REVOKED as the result of tasks that run or failed by then; of "
                        "those that succeeded, too, unless results are in a store like Redis.", grave=True)
            )  # fmt: skip
        if self.wish.take_out and self._vault is None:
            cautions.append(Caution(_STAYS))
        elif self.wish.take_out:
            cautions.append(
                Caution("What is taken out waits in a quarantine. Put back, it is thrown away by the workers that "
                        "remember the revoke.")
            )  # fmt: skip
        return cautions

    def _remembered(self) -> bool:
        """Whether all who are told keep it in a file, as far as their settings tell."""
        confs = self._crew.ask("conf", self._expected)
        return all(
            isinstance(conf := confs.get(name), dict) and bool(conf.get("worker_state_db")) for name in self._expected
        )

    def _take_out(self, left: frozenset[str], grant: Grant) -> Iterator[set[str]]:
        if self._vault is None:
            return
        for queue, ids in self._waiting.items():
            wanted = [uuid for uuid in ids if uuid in left]
            if not wanted:
                continue
            for items in self._vault.move(queue, quarantine_name(queue), wanted, grant):
                taken = {item.id for item in items if item.ok}
                self._taken += len(taken)
                yield taken

    def _items(
        self, batch: Sequence[str], answers: Sequence[Answer], listening: int | None, taken: set[str]
    ) -> list[Item]:
        """What became of a batch, which is the same for all of it but for messages that were taken out."""
        self._asked += len(batch)
        ok, text = revoke_asked(answers, listening, self._workers)
        return [
            Item(uuid, True, f"its message was taken out; {text}") if uuid in taken else Item(uuid, ok, text)
            for uuid in batch
        ]


def _batches(ids: Sequence[str]) -> Iterator[list[str]]:
    size = max(FEWEST, min(MOST_IDS, len(ids) // STEPS))
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])


def _sample(uuid: str, task: Task | None) -> Sample:
    if task is None:
        return Sample(uuid, "not in the history")
    return Sample(uuid, f"{task.name or '—'} · {states.WORDS.get(task.state, task.state)}")


def _waiting(tasks: dict[str, Task], ids: Sequence[str]) -> dict[str, list[str]]:
    """Ids of tasks that nobody has received, by the queue they were sent to."""
    found: dict[str, list[str]] = {}
    for uuid in ids:
        task = tasks.get(uuid)
        if task is not None and task.state == states.PENDING and task.queue is not None:
            found.setdefault(task.queue, []).append(uuid)
    return found
