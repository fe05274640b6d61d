"""What acts that move messages have in common: a vault, and words for what waits in it."""

import time
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property

from app.collectors.acts.act import Act, Impossible, Reach, W
from app.collectors.vault import Contents, Vault
from app.models import acts, formats
from app.models.acts import Sample
from app.models.formats import number_of
from app.models.records import Message


class VaultAct(Act[W]):
    """An act that moves messages of one queue or quarantine, which is its ``place``."""

    def __init__(self, wish: W, reach: Reach) -> None:
        super().__init__(wish, reach)
        self._given_up = False

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the messages are that are moved."""

    @cached_property
    def vault(self) -> Vault:
        """What moves them. Raises `BrokerError` where that is not possible."""
        vault = self.reach.broker.vault(self.reach.access.mode, on_command=self.reach.on_command)
        if self._given_up:
            vault.give_up()
        return vault

    def still(self) -> int:
        return self.vault.contents(self.place, samples=0).total

    def give_up(self) -> None:
        self._given_up = True
        if "vault" in self.__dict__:
            self.vault.give_up()

    def close(self) -> None:
        if "vault" in self.__dict__:
            self.vault.close()

    def found(self, ids: Sequence[str]) -> tuple[list[str], list[Message]]:
        """Which of these messages wait here, and they themselves where a look changes nothing.

        Raises `Impossible` where none does.
        """
        if len(ids) > acts.MOST_ITEMS:
            raise Impossible(f"These are more than {formats.count(acts.MOST_ITEMS)} messages. Take fewer at a time.")
        known = self.vault.find(self.place, ids)
        if known is None:
            return list(ids), []
        there = {message.id for message in known}
        left = [id_ for id_ in dict.fromkeys(ids) if id_ in there]
        if not left:
            raise Impossible(
                f"None of these messages waits in {self.place} now, or they lie too deep in it to be taken out."
            )
        return left, known

    def facts(self, contents: Contents) -> list[tuple[str, str]]:
        """What waits, in words: how many by priority, how large, and the first and the last of them."""
        steps = contents.by_priority
        found = [("Messages", formats.count(contents.total))]
        if set(steps) != {0}:
            found += [(f"Priority {step}", formats.count(number)) for step, number in steps.items()]
        if contents.size is not None:
            found.append(("Size", formats.bytes_(contents.size)))
        # By its priority a younger message may be taken before an older one.
        first, last = ("Oldest", "Newest") if len(steps) == 1 else ("Taken first", "Taken last")
        for title, message in ((first, contents.oldest), (last, contents.newest)):
            if message is not None:
                found.append((title, self._told(message)))
        return found

    def _told(self, message: Message) -> str:
        """A message, and how long ago it was sent, where the history knows."""
        id_ = message.id or ""
        task = self.reach.known(lambda reader: reader.task(id_)) if id_ else None
        sent = None if task is None else task.sent
        ago = "" if sent is None else f"sent {formats.age(max(0.0, time.time() - sent))} ago"
        # The id comes last, as it may be cut off.
        return ", ".join(filter(None, (message.name or "?", ago, id_)))


def samples(messages: Iterable[Message]) -> list[Sample]:
    """Messages as they are shown in a plan; what they are called with is not, since plans are kept."""
    return [Sample(message.id or "?", _words(message)) for message in messages]


def messages_of(number: int) -> str:
    """So many messages, in words."""
    return number_of(number, "message")


def _words(message: Message) -> str:
    due = f"due {formats.date_time(message.eta)}" if message.eta is not None else ""
    return ", ".join(filter(None, (message.name or message.note, due)))
