"""Moving messages out of a queue: single ones into a quarantine, or some or all of them to another queue."""

from collections.abc import Iterator, Sequence

import msgspec

from app.collectors.access import Grant
from app.collectors.acts.act import Impossible, Reach, Step
from app.collectors.acts.vault_act import VaultAct, messages_of, samples
from app.collectors.errors import BrokerError
from app.models import acts
from app.models.acts import Caution, Delete, Item, Move, Outcome, Plan, Restore, Wish
from app.models.history.reader import Reader
from app.models.quarantines import origin, quarantine_name


class Deleting(VaultAct[Delete]):
    """Moves single messages into a quarantine of their own."""

    rate = acts.RATE

    def __init__(self, wish: Delete, reach: Reach) -> None:
        super().__init__(wish, reach)
        self._moved: list[str] = []

    @property
    def place(self) -> str:
        return self.wish.queue

    def look(self) -> Plan:
        wish = self.wish
        if origin(wish.queue) is not None:
            raise Impossible(f"{wish.queue} is a quarantine. Restore it, or discard it.")
        ids, found = self.found(wish.ids)
        quarantine = wish.quarantine or quarantine_name(wish.queue)
        self.wish = wish = msgspec.structs.replace(wish, ids=ids, quarantine=quarantine)
        return Plan(
            title=f"Take {messages_of(len(ids))} out of the queue {wish.queue}, into a quarantine",
            verb="Delete",
            count=len(ids),
            things="message",
            facts=[("Quarantine", wish.quarantine)],
            samples=samples(found),
            cautions=[Caution("What a worker takes meanwhile stays with it, and is told as not done.")],
            undo="To undo it, restore the quarantine.",
            rate=self.rate,
        )

    def still(self) -> int:
        return len(self.found(self.wish.ids)[0])

    def work(self, act: str, grant: Grant, done: frozenset[str]) -> Iterator[Step]:
        del act
        ids = [id_ for id_ in self.wish.ids if id_ not in done]
        for items in self.vault.move(self.wish.queue, self.wish.quarantine, ids, grant):
            self._moved += _done(items)
            yield Step(items)

    def told(self, outcome: Outcome) -> Outcome:
        if not self._moved:
            return outcome
        text = f"{messages_of(len(self._moved))} of {self.wish.queue} went into {self.wish.quarantine}."
        return msgspec.structs.replace(
            outcome, text=f"{outcome.text} {text}".strip(), undo=Restore(self.wish.quarantine)
        )


class Moving(VaultAct[Move]):
    """Moves messages to another queue, behind what waits there."""

    def __init__(self, wish: Move, reach: Reach) -> None:
        super().__init__(wish, reach)
        self._moved: list[str] = []
        self._others = 0
        self.rate = acts.RATE if wish.ids else None

    @property
    def place(self) -> str:
        return self.wish.queue

    def look(self) -> Plan:
        wish = self.wish
        if wish.to == wish.queue:
            raise Impossible("These messages are in this queue already: name another one.")
        if origin(wish.to) is not None:
            raise Impossible(f"{wish.to} is a quarantine. To fill one, purge the queue or delete messages of it.")
        contents = self.vault.contents(wish.queue)
        count, shown = contents.total + self._on_its_way(), contents.samples
        if not count:
            raise Impossible(f"Nothing waits in the queue {wish.queue}.")
        if not (wish.ids or wish.quarantine or self.vault.at_once or origin(wish.queue)):
            self.wish = wish = msgspec.structs.replace(wish, quarantine=quarantine_name(wish.queue))
        if wish.ids:
            ids, shown = self.found(wish.ids)
            self.wish = wish = msgspec.structs.replace(wish, ids=ids)
            count = len(ids)
        waiting = self.vault.contents(wish.to, samples=0).total
        return Plan(
            title=f"Move {messages_of(count)} of the queue {wish.queue} to the queue {wish.to}",
            verb="Move",
            count=count,
            things="message",
            facts=[*self.facts(contents), ("Waiting there", f"{messages_of(waiting)}, which come before")],
            samples=samples(shown),
            cautions=self._cautions(),
            undo="To undo it, move them back: what workers took by then has run, and the others are the last there.",
            rate=self.rate or 0.0,
        )

    def still(self) -> int:
        return len(self.found(self.wish.ids)[0]) if self.wish.ids else super().still() + self._on_its_way()

    def work(self, act: str, grant: Grant, done: frozenset[str]) -> Iterator[Step]:
        del act
        ids = [id_ for id_ in self.wish.ids if id_ not in done] if self.wish.ids else None
        for items in self.vault.move(self.wish.queue, self.wish.to, ids, grant, self.wish.quarantine):
            if ids is None:
                # Of a whole queue, what became of each message would be as much as the queue itself.
                self._others += len(_done(items))
                yield Step([item for item in items if not item.ok], others=len(_done(items)))
            else:
                self._moved += _done(items)
                yield Step(items)

    def told(self, outcome: Outcome) -> Outcome:
        words = [outcome.text]
        undo: Wish | None = None
        moved, aside = len(self._moved) + self._others, self.vault.aside
        if moved:
            words.append(f"{messages_of(moved)} of {self.wish.queue} are in {self.wish.to} now.")
        if aside:
            words.append(f"What was on its way is in the quarantine {aside}: restore it, or move it on.")
            undo = Restore(aside)
        elif self._moved:
            undo = Move(self.wish.to, self.wish.queue, self._moved)
        return msgspec.structs.replace(outcome, text=" ".join(filter(None, words)), undo=undo)

    def _on_its_way(self) -> int:
        """How many messages are in the quarantine by way of which they go, since this was broken off."""
        try:
            return self.vault.contents(self.wish.quarantine, samples=0).total if self.wish.quarantine else 0
        except BrokerError as error:
            if error.fault != "absent":
                raise
            return 0

    def _cautions(self) -> list[Caution]:
        to = self.wish.to
        cautions = [
            Caution(f"They name {to} as the queue they were sent to, so that a retry goes there too."),
            Caution("Workers that consume it begin to run these tasks at once."),
        ]
        if self._is_consumed() is False:
            cautions.append(Caution(f"No worker is known to consume {to}: they would wait there.", grave=True))
        return cautions

    def _is_consumed(self) -> bool | None:
        """Whether a worker is known to consume the queue that they go to; None where nothing is known of workers."""
        queues = self.reach.known(Reader.queues)
        if queues is None:
            return None
        queue = next((queue for queue in queues if queue.name == self.wish.to), None)
        if queue is None:
            return False
        return None if queue.consumers is None else bool(queue.consumers)


def _done(items: Sequence[Item]) -> list[str]:
    return [item.id for item in items if item.ok]
