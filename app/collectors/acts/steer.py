"""Workers are told to change something about themselves: each by its name, and what they had before is read first."""

import time
from collections.abc import Iterator
from typing import Final

import msgspec

from app.collectors.access import Grant
from app.collectors.acts.act import Act, Impossible, Reach, Step
from app.collectors.acts.commands import WAYS
from app.collectors.acts.crew import LISTED, Crew, why_silent
from app.collectors.acts.steering import Settings, read
from app.collectors.control import Answer
from app.collectors.orders import Order
from app.models import acts
from app.models.acts import Caution, Item, Outcome, Plan, Sample, Steer
from app.models.formats import listed, number_of
from app.models.records import Worker

#: Seconds in which pools come to have as many processes as they should, and between two looks.
SETTLES: Final = 6.0
LOOK_EVERY: Final = 0.2
#: Seconds in which a worker that was told to shut down is gone, if it has nothing to do.
LEAVES: Final = 10.0
#: Workers of which it is shown one by one what they have.
_SHOWN: Final = 20
_ALREADY: Final = "already"
#: As measured by ``tests/features/celery_pools.py``.
_HEED: Final = "Only prefork pools heed both limits; gevent heeds the hard one, eventlet, threads and solo heed none."


class SteerWorkers(Act[Steer]):
    """Tells workers; one message goes to all who are told the same."""

    def __init__(self, wish: Steer, reach: Reach) -> None:
        super().__init__(wish, reach)
        self._way = WAYS[wish.command]
        self._way.check(wish)
        self._crew = Crew(reach)
        self._names = list(dict.fromkeys(wish.workers))
        self._workers: dict[str, Worker] = {}
        self._before: dict[str, Settings] = {}
        self._after: dict[str, Settings] = {}
        self._did: list[str] = []
        self._strangers: list[str] = []

    def look(self) -> Plan:
        answering = self._crew.answering()
        if not self._names:
            raise Impossible(f"Name the workers that are meant. These answer: {listed(answering, LISTED) or 'none'}.")
        why = self._crew.unknown(self._names, answering)
        if why:
            raise Impossible(why)
        self._workers = self._crew.known()
        self._before = self._read()
        self._orders()  # which may be impossible for one of them
        number = len(self._names)
        who = self._names[0] if number == 1 else number_of(number, "worker")
        wish = self.wish
        title = self._way.title.format(
            workers=who, number=wish.number, queue=wish.queue, task=wish.task, rate=wish.rate
        )
        facts, shown = self._facts(), self._names[:_SHOWN]
        # Who stands among the facts is not named twice.
        samples = [] if {name for name, _ in facts}.issuperset(shown) else [Sample(name) for name in shown]
        return Plan(
            title=title, verb=self._way.verb, count=number, things="worker", facts=facts, samples=samples,
            cautions=self._cautions(answering), undo=self._undo_in_words(),
        )  # fmt: skip

    def still(self) -> int:
        answering = self._crew.answering()
        names = [name for name in self._names if not self._crew.unknown([name], answering)]
        planned, self._before = self._orders(), self._read()
        if self._orders() != planned:
            raise Impossible("What these workers have was changed since the plan was made. Look at it again.")
        return len(names)

    def work(self, act: str, grant: Grant, done: frozenset[str]) -> Iterator[Step]:
        del act
        control = self._crew.under(grant)
        refused: list[Item] = []
        for order, names in self._orders().items():
            left = [name for name in names if name not in done]
            if not left:
                continue
            for answer in control.tell(order, left, left):
                item = self._item(answer)
                if item is not None and item.ok is False:
                    refused.append(item)  # all were told at once: there is nothing to abort
                elif item is not None:
                    yield Step([item])
            if self.wish.command == "shutdown":
                yield from self._wait_for_goodbye(left)
        yield from self._read_back()
        if refused:
            yield Step(refused)

    def told(self, outcome: Outcome) -> Outcome:
        words = []
        for name in self._did[:_SHOWN]:
            before, after = (self._way.words(each.get(name, Settings())) for each in (self._before, self._after))
            wanted = self._wanted(name)
            if after and self._way.settles:
                words.append(f"{name}: {before} → {after}." if after == wanted else f"{name} has {after} by now.")
        silent = [item.id for item in outcome.items if item.ok is None]
        if silent and self.wish.command != "shutdown":
            words.append(f"No answer yet of {listed(silent, LISTED)}: it may still be done.")
        if self._strangers:
            words.append(f"Not counted: answers in the name of {listed(self._strangers, LISTED)}, whom nobody asked.")
        text = " ".join([outcome.text, *words]).strip()
        return msgspec.structs.replace(outcome, text=text, undo=self._undo() if self._did else None)

    def give_up(self) -> None:
        self._crew.give_up()

    def close(self) -> None:
        self._crew.close()

    def _read(self) -> dict[str, Settings]:
        return self._read_of(self._names)

    def _read_of(self, names: list[str]) -> dict[str, Settings]:
        """What these workers have of what the wish is about."""
        return read(self._crew, self._way.asks, names, self.wish.task)

    def _wanted(self, name: str) -> str:
        """What a worker should have afterwards, in words."""
        return self._way.words(self._way.changed(self.wish, self._before[name]))

    def _orders(self) -> dict[Order, list[str]]:
        """What is told to whom. Raises `Impossible` where one of them can't do it, or should not be told."""
        found: dict[Order, list[str]] = {}
        for name, now in self._before.items():
            why = self._way.unable(self.wish, now)
            try:
                order = self._way.order(self.wish, now)
            except Impossible as error:
                why = why or str(error)
            if why:
                leave = "" if len(self._names) == 1 else " Leave it out."
                raise Impossible(f"{name}: {why}{'' if why.endswith('?') else '.'}{leave}")
            found.setdefault(order, []).append(name)
        return found

    def _facts(self) -> list[tuple[str, str]]:
        facts = []
        for name in self._names[:_SHOWN]:
            before, after = self._way.words(self._before[name]), self._wanted(name)
            text = before if before == after else f"{before} → {after}"
            if text:
                facts.append((name, text))
        if len(self._names) > _SHOWN:
            facts.append(("and", f"{len(self._names) - _SHOWN:,} others"))
        if self.wish.command not in ("pool_restart", "shutdown"):
            facts.append(("Lasts", "until the worker restarts"))
        return facts

    def _cautions(self, answering: list[str]) -> list[Caution]:
        command = self.wish.command
        silent = [name for name in self._names if name not in answering]
        cautions = [Caution(f"{name} {why_silent(self._workers.get(name))}.") for name in silent]
        cautions += self._way.cautions
        if command == "cancel_consumer":
            cautions += self._left_alone(answering)
        pools = {worker.pool for name, worker in self._workers.items() if name in self._names}
        if command == "time_limit" and pools - {None, "prefork"}:
            cautions.append(Caution(_HEED))
        if command == "shutdown" and not {*answering} - {*self._names}:
            cautions.append(Caution("No worker that answers is left then.", grave=True))
        return cautions

    def _left_alone(self, answering: list[str]) -> Iterator[Caution]:
        """What comes of it that these workers consume a queue no longer."""
        others = [name for name in answering if name not in self._names]
        consumed = self._read_of(others) if others else {}
        if not any(self.wish.queue in (settings.queues or ()) for settings in consumed.values()):
            yield Caution(f"No other worker that answers consumes {self.wish.queue}: what is sent there will wait.",
                          grave=True)  # fmt: skip
        idle = [name for name, now in self._before.items() if now.queues == (self.wish.queue,)]
        if idle:
            yield Caution(f"No queue is left for {listed(idle, LISTED)}.", grave=True)

    def _item(self, answer: Answer) -> Item | None:
        """What a worker answered; None where an answer does not count."""
        if not answer.known:
            self._strangers.append(answer.host)
            return None
        if answer.done:
            self._did.append(answer.host)
        if self.wish.command == "disable_events" and _ALREADY in answer.text:
            return Item(answer.host, True, f"{answer.text}; where it was started with -E, it goes on sending them")
        text = f"{answer.text}: it {why_silent(self._workers.get(answer.host))}" if answer.done is None else answer.text
        return Item(answer.host, answer.done, text)

    def _read_back(self) -> Iterator[Step]:
        """Wait until workers have what they should, or should have it by now."""
        if not self._did or not self._way.settles:
            return
        wanted = {name: self._wanted(name) for name in self._did}
        began = time.monotonic()
        while True:
            self._after = self._read_of(self._did)
            has = {name: self._way.words(now) for name, now in self._after.items()}
            if has == wanted or time.monotonic() - began > SETTLES:
                return
            yield Step()
            time.sleep(LOOK_EVERY)

    def _wait_for_goodbye(self, names: list[str]) -> Iterator[Step]:
        """Who is gone, as it is seen; nobody answers to this command."""
        left, began = list(names), time.monotonic()
        while left and time.monotonic() - began < LEAVES:
            gone = self._gone(left)
            left = [name for name in left if name not in gone]
            self._did += gone
            yield Step([Item(name, True, text) for name, text in gone.items()])
            time.sleep(LOOK_EVERY if left else 0.0)
        for name in left:
            held = self._way.words(self._before[name])
            yield Step([Item(name, None, f"asked, not gone yet; it had {held or 'tasks that it did not tell'}")])

    def _gone(self, names: list[str]) -> dict[str, str]:
        with self.reach.reading() as reader:
            known = {} if reader is None else {worker.hostname: worker for worker in reader.workers()}
        found = {}
        for name in names:
            before, now = self._workers.get(name), known.get(name)
            if now is not None and now.state == "offline":
                found[name] = "it said goodbye"
            elif before is not None and now is not None and now.pid != before.pid:
                found[name] = "it left, and was started again"
        rest = [name for name in names if name not in found]
        present = self._crew.present(rest) if rest else {}
        return found | {name: "it listens no longer" for name in rest if not present.get(name, True)}

    def _undo_in_words(self) -> str:
        if self.wish.command == "shutdown":
            return "It can't be undone from here: somebody has to start the workers again."
        if self.wish.command == "pool_restart":
            return ""
        return "It can be undone, and does not survive a restart of the worker."

    def _undo(self) -> acts.Wish | None:
        """What gives workers back what they had, where that is the same for all."""
        wish = msgspec.structs.replace(self.wish, workers=list(self._did))
        if self._way.opposite is not None:
            return msgspec.structs.replace(wish, command=self._way.opposite)
        had = {self._before[name] for name in self._did}
        before = self._way.before(had.pop()) if len(had) == 1 else None
        return None if before is None else msgspec.structs.replace(wish, **before)
