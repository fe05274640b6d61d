"""What moves messages in a broker, so that none is ever lost: into a quarantine and back, to other queues, or away.

A *quarantine* is a place in the broker itself, named after the queue and the time. Nobody consumes it, and what is in
it waits there until somebody puts it back or really deletes it.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final, Protocol

import msgspec

from app.collectors.access import Grant
from app.models.acts import Caution, Item
from app.models.records import Message

NOT_SINGLE: Final = "RabbitMQ can't take single messages out of a queue without taking all that are before them."


class Contents(msgspec.Struct):
    """What waits in a queue or a quarantine: how many by Celery's step of priority, and some of them.

    ``size`` is in bytes, where that is known. ``samples`` are the next to be taken. Where they can be looked at,
    ``oldest`` is the message that is taken first, and ``newest`` the one that is taken last.
    """

    total: int
    by_priority: dict[int, int] = {}
    size: int | None = None
    samples: list[Message] = []
    oldest: Message | None = None
    newest: Message | None = None


class Quarantine(msgspec.Struct):
    """A quarantine that is there, the queue it came from, when it was made (epoch), and how many messages it holds."""

    name: str
    queue: str
    made: float | None
    total: int
    size: int | None = None


class Vault(Protocol):
    """Moves messages in one broker, in pieces of 100 ms at most; methods that do so take a `Grant`.

    A piece is whole or not at all, whenever the program or the broker dies; what it moved is yielded when it is done.
    All raise `BrokerError`, also where a `Grant` has ended. Not thread-safe.
    """

    @property
    def at_once(self) -> bool:
        """Whether `lock_away` is one piece, so that a quarantine that is there has all that was to go into it."""

    @property
    def in_front(self) -> bool:
        """Whether what is put back comes in front of what waits in the queue; else it comes behind."""

    @property
    def aside(self) -> str:
        """The quarantine with what was on its way when a `move` was broken off; "" where there is none."""

    def contents(self, name: str, samples: int = 10) -> Contents:
        """What waits in a queue or a quarantine; nothing is changed where a look changes nothing."""

    def find(self, name: str, ids: Collection[str]) -> list[Message] | None:
        """Messages of a queue or a quarantine by the ids of their tasks; None where a look would change something.

        On Redis it is looked for them as far from both ends as `move` reaches. Raises `BrokerError` where single
        messages can't be taken out of it at all.
        """

    def remarks(self, name: str) -> list[Caution]:
        """What somebody should know before messages of this queue or quarantine are moved; nothing is changed."""

    def quarantines(self, known: Collection[str] = ()) -> list[Quarantine]:
        """Those that are there; of those that are ``known`` by name also where the broker tells of no others."""

    def lock_away(self, queue: str, quarantine: str, grant: Grant) -> Iterator[int]:
        """Move all that waits in a queue when this begins into a quarantine."""

    def put_back(self, quarantine: str, queue: str, grant: Grant, count: int | None = None) -> Iterator[int]:
        """Move what is in a quarantine back into the queue, in its old order, by priority; see `in_front`.

        Only ``count`` of them, those first that were next to be taken, where that is given.
        """

    def move(
        self, source: str, target: str, ids: Sequence[str] | None, grant: Grant, by: str = ""
    ) -> Iterator[list[Item]]:
        """Move single messages, by the ids of their tasks, from one queue or quarantine to another; all where None.

        What was gone when it was reached is told as not done. From a quarantine to its own queue they go in front of
        what waits there if anything can, else behind it; in another queue than theirs they name that one, as if they
        had been sent to it. Where a whole queue goes by way of a quarantine, that is ``by``, and what is in it goes on.
        """

    def destroy(self, quarantine: str, grant: Grant) -> Iterator[int]:
        """Really delete a quarantine."""

    def raw(self, name: str) -> Iterator[list[bytes]]:
        """All that waits in a queue or quarantine, some at a time, oldest first, as it is in the broker: for a file."""

    def give_up(self) -> None:
        """Wait for nothing any more; may be called from any thread."""

    def close(self) -> None:
        """Close connections."""
