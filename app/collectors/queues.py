"""What every look at a broker's queues has in common, whatever the broker."""

import time
from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from app.collectors.errors import BrokerError
from app.models.records import Queue

#: Queues looked at, at most; more are not. So many of them are asked for at a time.
MAX_QUEUES: Final = 10_000
MAX_ASKED: Final = 500


class Head(msgspec.Struct, frozen=True):
    """The message that waits longest in a queue's list: its task id, or None where it has none that can be read."""

    uuid: str | None


class Poll(msgspec.Struct):
    """One look at all queues. ``heads`` are the oldest messages of those queues of which they were looked at, or None.

    ``took`` is how long the broker took to answer, in seconds; ``troubles`` what it refuses and what it is.
    ``complete`` is whether all was looked through by now that tells which queues there are.
    """

    at: float
    queues: list[Queue]
    heads: dict[str, list[Head]] | None
    took: float = 0.0
    troubles: dict[str, BrokerError | None] = {}
    complete: bool = True


class Turns:
    """Which of many queues are asked for next: ``most`` at a time, so that ten thousand cost no more than those."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most or MAX_ASKED
        self._next = 0
        #: Whether the last turn ended with the last of all.
        self.round = False

    def take(self, names: Iterable[str]) -> list[str]:
        """The next ones of all names, which may have become more, but come in the same order."""
        known = list(names)
        at = self._next if self._next < len(known) else 0
        self._next = at + self._most
        self.round = self._next >= len(known)
        return known[at : self._next]


class Queues(Protocol):
    """Looks at queues over one connection. Not thread-safe."""

    def add(self, names: Iterable[str]) -> None:
        """More queues to look at."""

    def poll(self) -> Poll:
        """Depths now. Raises `BrokerError` when the broker can't be asked."""

    def close(self) -> None:
        """Close the connection."""


class NoQueues:
    """For brokers whose queues can't be looked at."""

    def add(self, names: Iterable[str]) -> None: ...

    def poll(self) -> Poll:
        return Poll(time.time(), [], None)

    def close(self) -> None: ...
