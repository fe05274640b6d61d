"""What becomes of a quarantine: it is put back to where it came from, whole or in part, or really deleted."""

from collections.abc import Iterator
from typing import Final

import msgspec

from app.collectors.access import Grant
from app.collectors.acts.act import Impossible, Reach, Step
from app.collectors.acts.vault_act import VaultAct, messages_of, samples
from app.collectors.errors import BrokerError
from app.collectors.vault import Contents, Vault
from app.models import acts, formats
from app.models.acts import Caution, Discard, Outcome, Plan, Restore
from app.models.quarantines import origin

_NOT_COUNTED: Final = (
    "How many of them were back when it was broken off was not written down. See what its quarantine has, and whether "
    "there is one whose name ends with “.next”: that is what was on its way. Then restore anew what is missing."
)


class Restoring(VaultAct[Restore]):
    """Puts messages of a quarantine back into their queue."""

    def __init__(self, wish: Restore, reach: Reach) -> None:
        super().__init__(wish, reach)
        self._queue = ""
        self._back = 0
        self.rate = acts.RATE if wish.ids else None

    @property
    def place(self) -> str:
        return self.wish.quarantine

    def look(self) -> Plan:
        wish = self.wish
        self._queue = queue_of(wish.quarantine)
        if self.resumed and wish.count is not None:
            raise Impossible(_NOT_COUNTED)
        contents = _what_is_left(self.vault, wish.quarantine)
        count, shown = _at_most(contents.total, wish.count), contents.samples
        if wish.ids:
            ids, shown = self.found(wish.ids)
            self.wish = wish = msgspec.structs.replace(wish, ids=ids)
            count = len(ids)
        waiting = self.vault.contents(self._queue, samples=0).total
        place = "after" if self.vault.in_front else "before"
        return Plan(
            title=f"Put {messages_of(count)} of {wish.quarantine} back into the queue {self._queue}",
            verb="Restore",
            count=count,
            things="message",
            facts=[
                *self.facts(contents),
                ("Waiting now", f"{messages_of(waiting)} in {self._queue}, which come {place}"),
            ],
            samples=samples(shown),
            cautions=[
                Caution("Workers that consume the queue begin to run these tasks at once."),
                *self.vault.remarks(wish.quarantine),
            ],
            undo="To undo it, purge the queue again: what workers took by then has run.",
            rate=self.rate or 0.0,
            details={"by_priority": contents.by_priority, "queue": self._queue},
        )

    def still(self) -> int:
        if self.wish.ids:
            return len(self.found(self.wish.ids)[0])
        return _at_most(super().still(), self.wish.count)

    def work(self, act: str, grant: Grant, done: frozenset[str]) -> Iterator[Step]:
        del act
        wish = self.wish
        if wish.ids:
            ids = [id_ for id_ in wish.ids if id_ not in done]
            for items in self.vault.move(wish.quarantine, self._queue, ids, grant):
                self._back += sum(item.ok is True for item in items)
                yield Step(items)
            return
        for back in self.vault.put_back(wish.quarantine, self._queue, grant, wish.count):
            self._back += back
            yield Step(others=back)

    def told(self, outcome: Outcome) -> Outcome:
        words = [outcome.text, f"{messages_of(self._back)} went back into {self._queue}." if self._back else ""]
        if outcome.state != "done" and self.wish.count is not None:
            words.append("What was on its way is in a quarantine of its own: look at the list of them.")
        return acts.with_text(outcome, " ".join(filter(None, words)))


class Discarding(VaultAct[Discard]):
    """Really deletes a quarantine, whose name has to be typed."""

    _gone = 0

    @property
    def place(self) -> str:
        return self.wish.quarantine

    def look(self) -> Plan:
        name = self.wish.quarantine
        queue = queue_of(name)
        contents = _what_is_left(self.vault, name)
        return Plan(
            title=f"Delete {messages_of(contents.total)} that were purged from the queue {queue}, for good",
            verb="Delete for good",
            count=contents.total,
            things="message",
            facts=[*self.facts(contents), *_made(name)],
            samples=samples(contents.samples),
            cautions=[
                Caution("There is no way back: these tasks will never run.", grave=True),
                *self.vault.remarks(self.wish.quarantine),
            ],
            undo="It can't be undone.",
            typed=name,
            details={"by_priority": contents.by_priority, "queue": queue},
        )

    def work(self, act: str, grant: Grant, done: frozenset[str]) -> Iterator[Step]:
        del act, done
        for gone in self.vault.destroy(self.wish.quarantine, grant):
            self._gone += gone
            yield Step(others=gone)

    def told(self, outcome: Outcome) -> Outcome:
        gone = f"{messages_of(self._gone)} of {self.wish.quarantine} are gone." if self._gone else ""
        return acts.with_text(outcome, " ".join(filter(None, (outcome.text, gone))))


def queue_of(quarantine: str) -> str:
    """The queue that a quarantine came from. Raises `Impossible` for what is none."""
    known = origin(quarantine)
    if known is None:
        raise Impossible(
            f"{quarantine} is not a quarantine: their names are those of a queue, “.quarantine.” and a time."
        )
    return known[0]


def _what_is_left(vault: Vault, quarantine: str) -> Contents:
    """What is in a quarantine. Raises `BrokerError`, and `Impossible` where there is nothing."""
    try:
        contents = vault.contents(quarantine)
    except BrokerError as error:
        if error.fault != "absent":
            raise
        contents = Contents(0)
    if not contents.total:
        raise Impossible(
            f"There is no quarantine {quarantine}, or nothing is left in it: it was restored or discarded already."
        )
    return contents


def _made(quarantine: str) -> list[tuple[str, str]]:
    known = origin(quarantine)
    return [] if known is None or known[1] is None else [("Purged at", formats.date_time(known[1]))]


def _at_most(total: int, count: int | None) -> int:
    return total if count is None else min(total, count)
