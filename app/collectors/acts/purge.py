"""Purging a queue: all that waits in it goes into a quarantine, from where it can be put back."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from app.collectors.access import Grant
from app.collectors.acts.act import Impossible, Step
from app.collectors.acts.vault_act import VaultAct, messages_of, samples
from app.collectors.vault import Contents
from app.models import formats, states
from app.models.acts import Caution, Outcome, Plan, Purge, Restore
from app.models.backups import About, BackupError, BackupWriter
from app.models.history.errors import HistoryError
from app.models.quarantines import origin, quarantine_name
from app.models.records import Queue
from app.models.search import parse

#: Running tasks that are looked at, to count those of the queue.
MOST_RUNNING: Final = 1_000


class _Kept(msgspec.Struct, frozen=True):
    """What of a queue is not purged, since it does not wait in it; None is unknown."""

    unacked: int | None
    scheduled: int | None
    running: int | None


class Purging(VaultAct[Purge]):
    """Moves a queue into a quarantine; a copy in a file is made of that, so that it has what was purged, exactly."""

    _moved: int | None = None
    _saved = False

    @property
    def place(self) -> str:
        return self.wish.queue

    def look(self) -> Plan:
        wish = self.wish
        if origin(wish.queue) is not None:
            raise Impossible(f"{wish.queue} is a quarantine. Restore it, or discard it.")
        if wish.quarantine:
            self._look_at_what_was_done(wish.quarantine)
        elif wish.backup:
            _check_backup(wish.backup, keep_arguments=self.reach.keep_arguments)
        contents = self.vault.contents(wish.queue)
        if not contents.total:
            raise Impossible(f"Nothing waits in the queue {wish.queue}.")
        self.wish = wish = msgspec.structs.replace(wish, quarantine=wish.quarantine or quarantine_name(wish.queue))
        kept = self._kept()
        return Plan(
            title=f"Purge the queue {wish.queue}: {messages_of(contents.total)} go into a quarantine",
            verb=f"Move {contents.total:,} to quarantine",
            count=contents.total,
            things="message",
            facts=self._facts(contents),
            samples=samples(contents.samples),
            cautions=[*_cautions(kept, wish.backup), *self.vault.remarks(wish.queue)],
            undo="To undo it, restore the quarantine: all is put back in its order, "
            f"{'before' if self.vault.in_front else 'after'} what came since.",
            details={"by_priority": contents.by_priority, "quarantine": wish.quarantine} | msgspec.structs.asdict(kept),
        )

    def work(self, act: str, grant: Grant, done: frozenset[str]) -> Iterator[Step]:
        del act, done
        if not self.wish.backup:
            yield from self._lock_away(grant)
            return
        try:
            # Where no file can be written, nothing is purged.
            with BackupWriter(Path(self.wish.backup), self._about()) as file:
                yield from self._lock_away(grant)
                for raws in self.vault.raw(self.wish.quarantine):
                    file.write(raws)
                    yield Step()
                file.finish()
                self._saved = True
        except BackupError as error:
            raise Impossible(str(error)) from error

    def told(self, outcome: Outcome) -> Outcome:
        if not self._moved:
            return outcome
        words = [f"{messages_of(self._moved)} of {self.wish.queue} went into {self.wish.quarantine}."]
        if self._saved:
            words.append(f"A copy is in {self.wish.backup}.")
        elif self.wish.backup:
            words.append("There is no copy in a file.")
        return msgspec.structs.replace(
            outcome, text=" ".join((outcome.text, *words)).strip(), undo=Restore(self.wish.quarantine)
        )

    def _lock_away(self, grant: Grant) -> Iterator[Step]:
        for moved in self.vault.lock_away(self.wish.queue, self.wish.quarantine, grant):
            self._moved = (self._moved or 0) + moved
            yield Step(others=moved)

    def _look_at_what_was_done(self, quarantine: str) -> None:
        """Of what a crash broke off, what is in its quarantine is not purged again."""
        held = self.vault.contents(quarantine, samples=0).total if self.vault.at_once else 0
        if held:
            raise Impossible(
                f"It was done before it was broken off: {messages_of(held)} are in {quarantine}. Restore it to undo it."
            )

    def _about(self) -> About:
        return About(self.reach.broker.shown, self.wish.queue, time.time())

    def _facts(self, contents: Contents) -> list[tuple[str, str]]:
        backup = [("Copy", self.wish.backup)] if self.wish.backup else []
        return [*self.facts(contents), ("Quarantine", self.wish.quarantine), *backup]

    def _kept(self) -> _Kept:
        queue = self._queue()
        return _Kept(queue.unacked, queue.scheduled, self._running())

    def _queue(self) -> Queue:
        """As the broker tells of it; what that is besides its messages."""
        looking = self.reach.broker.queues([self.wish.queue], on_command=self.reach.on_command)
        try:
            found = (queue for queue in looking.poll().queues if queue.name == self.wish.queue)
            return next(found, Queue(self.wish.queue, time.time()))
        finally:
            looking.close()

    def _running(self) -> int | None:
        """Tasks of the queue that run now, as far as is known; None where that is not known."""
        with self.history() as reader:
            if reader is None:
                return None
            try:
                rows = reader.tasks(where=parse(f"state:{states.STARTED}"), limit=MOST_RUNNING)
            except HistoryError:
                return None
        known = [row for row in rows if row.queue == self.wish.queue]
        return len(known) if len(rows) < MOST_RUNNING else None


def _cautions(kept: _Kept, backup: str) -> list[Caution]:
    held = "Not purged is what workers hold"
    if kept.unacked is None:
        text = f"{held}, prefetched or unacknowledged; how many messages that is can't be told."
    elif kept.unacked:
        waiting = f", {formats.count(kept.scheduled)} of them until their ETA" if kept.scheduled else ""
        text = f"{held}, prefetched or unacknowledged: {messages_of(kept.unacked)}{waiting}."
    else:
        text = f"{held}, prefetched or unacknowledged: at this moment, nothing."
    running = "" if not kept.running else f" Of its tasks, {formats.count(kept.running)} run now, and go on."
    cautions = [
        Caution(f"{text}{running} What is sent from now on waits in the queue as before."),
        Caution("The quarantine takes room in the broker until it is restored or discarded."),
    ]
    if backup:
        cautions.append(Caution("The copy holds what tasks are called with, readable by you only."))
    return cautions


def _check_backup(written: str, *, keep_arguments: bool) -> None:
    """Raises `Impossible` where there can be no such file, as far as that is known before it is written."""
    path = Path(written)
    if not keep_arguments:
        raise Impossible("What tasks are called with is not to be kept of this broker, and a copy would hold it.")
    if not path.is_absolute() or not path.parent.is_dir():
        raise Impossible(f"There is no folder for the copy {written}. Name a file in one that is there.")
    if path.exists():
        raise Impossible(f"There is a file {written} already: name another for the copy.")
