"""Runs tasks again, with the arguments they really had or those that somebody looked at, and with no others."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from app.collectors.access import Grant
from app.collectors.acts.act import Act, Impossible, Reach, Step
from app.collectors.acts.arguments import Case, Lookup
from app.collectors.envelope import Unfaithful, new_id
from app.collectors.publisher import SAID, Publisher, Unroutable
from app.models.acts import MOST_ITEMS, RATE, Caution, Item, Outcome, Plan, Rerun, Sample
from app.models.arguments import Grade
from app.models.formats import number_of
from app.models.search import SearchError, parse

#: Tasks whose arguments a plan shows, and characters of them together; those that need a look come first.
MOST_SHOWN: Final = 500
MAX_SHOWN: Final = 2 << 20
#: Samples, and ids that a question to the history is about.
_SAMPLES: Final = 10
_PAGE: Final = 500

_NOT_LOOKED_FOR: Final = (
    "Messages that wait in queues of RabbitMQ are not looked for, since a look marks them. Purge the queue, and run "
    "them again from its quarantine."
)
NEEDS_A_LOOK: Final = "Not sent: its arguments are not known for sure. Look at them, and send it by itself."


class RerunAct(Act[Rerun]):
    """Sends tasks again. Only what is *exact* is sent as it is; all else only as somebody edited it."""

    rate = RATE

    def __init__(self, wish: Rerun, reach: Reach) -> None:
        super().__init__(wish, reach)
        self._stopping = threading.Event()
        self._lookup = Lookup(reach, self._stopping.is_set)
        self._ids: list[str] = []
        #: What is sent, and what nobody knows well enough.
        self._sendable: list[Case] = []
        self._others: list[Case] = []
        self._sent: list[tuple[str, str]] = []
        self._publisher: Publisher | None = None

    @property
    def resolved(self) -> Rerun:
        # What a user typed is written down with the wish, unless nothing of the kind is to be.
        edited = self.wish.edited if self.reach.keep_arguments else {}
        return msgspec.structs.replace(self.wish, ids=self._ids, search="", since=None, until=None, edited=edited)

    def look(self) -> Plan:
        self._ids = list(dict.fromkeys(self.wish.ids)) or self._found()
        if not self._ids:
            raise Impossible("There is no task to run again.")
        if len(self._ids) > MOST_ITEMS:
            raise Impossible(f"These are more than {MOST_ITEMS:,} tasks. Narrow the search.")
        cases = self._lookup.cases(self._ids, self.wish.queue)
        self._sendable = [case for case in cases if self._may_be_sent(case)]
        self._others = [case for case in cases if not self._may_be_sent(case)]
        return self._plan()

    def still(self) -> int:
        """How many of those to be sent are in the state that they were planned in."""
        with self.reach.reading() as reader:
            if reader is None:
                return len(self._sendable)
            now = {case.id: reader.task(case.id) for case in self._sendable}
        return sum(_state(now[case.id]) == _state(case.task) for case in self._sendable)

    def work(self, act: str, grant: Grant, done: frozenset[str]) -> Iterator[Step]:
        self._publisher = self.reach.broker.publisher(act, grant, on_command=self.reach.on_command)
        for case in self._sendable:
            if case.id not in done:
                yield Step([self._send(act, case, self._publisher)])
        others = [Item(case.id, ok=False, text=case.refusal or NEEDS_A_LOOK) for case in self._others]
        if others:
            yield Step(others)

    def told(self, outcome: Outcome) -> Outcome:
        tried = len(self._sent) + len(self._others)
        if (
            outcome.state == "aborted"
            and outcome.failed == len(self._others)
            and outcome.done + outcome.failed >= tried
        ):
            # All was sent that could be: what was left out on purpose is no reason to stop.
            outcome = msgspec.structs.replace(outcome, state="done", text="")
        ids = "a new id" if outcome.done == 1 else "new ids"
        said = [f"{number_of(outcome.done, 'task')} sent again, under {ids}."] if outcome.done else []
        if self._others and outcome.state == "done":
            number, their = len(self._others), "its" if len(self._others) == 1 else "their"
            said.append(f"{number_of(number, 'task')} not sent: {their} arguments need your look.")
        return msgspec.structs.replace(outcome, text=" ".join([outcome.text, *said]).strip())

    def settle(self) -> None:
        if self._publisher is not None:
            self._publisher.settle()

    def give_up(self) -> None:
        self._stopping.set()
        self._lookup.stop()

    def close(self) -> None:
        if self._publisher is not None:
            self._publisher.close()

    def _found(self) -> list[str]:
        """Ids of what a search finds. Raises `Impossible`."""
        if not self.wish.search.strip():
            raise Impossible("Name tasks by their ids, or search for them.")
        try:
            where = parse(self.wish.search)
        except SearchError as error:
            raise Impossible(str(error)) from error
        with self.reach.reading() as reader:
            if reader is None:
                raise Impossible("There is no history to search in. Name the tasks by their ids.")
            rows = reader.tasks(where=where, since=self.wish.since, until=self.wish.until, limit=MOST_ITEMS + 1)
        # In the order in which they were first sent.
        return [row.uuid for row in reversed(rows)]

    def _may_be_sent(self, case: Case) -> bool:
        """Whether it is known well enough, or somebody looked at it."""
        if case.route is None or not case.name:
            return False
        return case.id in self.wish.edited or (case.arguments.grade == "exact" and not case.refusal)

    def _send(self, act: str, case: Case, publisher: Publisher) -> Item:
        """Send one of them; what became of it."""
        id_ = new_id(act, case.id)
        try:
            message = case.message(id_, time.time(), self.wish.edited.get(case.id))
            sent = publisher.publish(message, case.where)
        except (Unfaithful, Unroutable, ValueError) as error:
            return Item(case.id, ok=False, text=f"Not sent. {error}")
        self._sent.append((case.id, id_))
        return Item(case.id, ok=True, text=SAID[sent].format(id_))

    def _plan(self) -> Plan:
        count = len(self._sendable)
        grades = Counter(case.arguments.grade for case in (*self._sendable, *self._others))
        routes = Counter(str(case.route) for case in self._sendable)
        words: dict[Grade, str] = {
            "exact": "with exactly the arguments they had",
            "reconstructed": "with arguments read from the text of events",
            "incomplete": "with arguments that are not all known",
        }
        names = Counter(case.shown for case in self._sendable)
        facts: list[tuple[str, str]] = [
            (grade.capitalize(), f"{grades[grade]:,} {word}") for grade, word in words.items() if grades[grade]
        ]
        facts += [("Edited", f"{len(self.wish.edited):,} as you checked them")] if self.wish.edited else []
        facts += [("Names", ", ".join(f"{name} × {number:,}" for name, number in names.most_common(5)))]
        facts += [("To", ", ".join(f"{route} × {number:,}" for route, number in routes.most_common(5)))]
        return Plan(
            title=f"Run {number_of(count, 'task')} again" if count else "Look at the arguments first",
            verb="Run again",
            count=count,
            things="task",
            facts=[fact for fact in facts if fact[1]],
            samples=[Sample(case.id, f"{case.shown}  {case.arguments.grade}") for case in self._sendable[:_SAMPLES]],
            cautions=self._cautions(),
            undo="A task that was sent can't be called back for sure: revoke it, as long as it waits.",
            rate=RATE,
            needs_edit=[case.id for case in self._others],
            details={"tasks": _shown([*self._others, *self._sendable])},
        )

    def _cautions(self) -> list[Caution]:
        warned = Counter(sentence for case in self._sendable for sentence in case.warnings)
        lost = Counter(f"Not kept: {what}." for case in self._sendable for what in case.lost)
        cautions = [Caution(trouble) for trouble in self._lookup.troubles]
        if self._others:
            number, one = number_of(len(self._others), "task"), len(self._others) == 1
            as_are, its = ("as it is", "its") if one else ("as they are", "their")
            cautions.append(Caution(f"{number} can't be sent {as_are}: look at {its} arguments first.", grave=True))
            if self.reach.broker.marks:
                cautions.append(Caution(_NOT_LOOKED_FOR))
        cautions += [
            Caution(
                text if number == len(self._sendable) else f"{number:,} of them: {text}",
                grave=text.startswith("It succeeded"),
            )
            for text, number in [*warned.most_common(), *lost.most_common()]
        ]
        return cautions


def _state(task: Any) -> str | None:
    return None if task is None else task.state


def _shown(cases: list[Case]) -> list[dict[str, Any]]:
    """What an editor shows of tasks, as many as fit."""
    shown: list[dict[str, Any]] = []
    room = MAX_SHOWN
    for case in cases[:MOST_SHOWN]:
        told = case.arguments
        room -= len(told.args) + len(told.kwargs)
        if room < 0:
            break
        shown.append(
            {
                "id": case.id,
                "name": case.shown,
                "grade": told.grade,
                "source": told.source,
                "args": told.args,
                "kwargs": told.kwargs,
                "doubtful": told.doubtful,
                "readable": told.readable,
                "to": "" if case.route is None else str(case.route),
                "kept": case.kept,
                "lost": case.lost,
                "warnings": [*([case.refusal] if case.refusal else []), *case.warnings],
            }
        )
    return shown
