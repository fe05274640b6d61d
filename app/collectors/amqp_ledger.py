"""What of a quarantine on RabbitMQ may be in two places at this moment, written down in RabbitMQ itself."""

import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from app.collectors.amqp_carrier import Carrier
from app.collectors.amqp_guard import LEDGER
from app.collectors.errors import BrokerError

#: Ids that may be open, at most: those of many pieces that were broken off.
_MOST_OPEN: Final = 1_000_000
#: An id: which run locked the message away, and its delivery tag in that.
_ID: Final = re.compile(r"([0-9a-f]{12}):([1-9]\d{0,18})", re.ASCII)
_FOREIGN: Final = "The ledger of this quarantine can't be read: somebody else wrote it."


def new_ids() -> Callable[[int], str]:
    """What makes ids of delivery tags, for the messages that are locked away in one run."""
    run = uuid.uuid4().hex[:12]
    return lambda tag: f"{run}:{tag}"


class Ledger:
    """What of a quarantine may be in two places, by the ids that messages have there: kept in a queue beside it.

    ``held`` is how many messages are in the quarantine, those that somebody holds included, which RabbitMQ does not
    tell; None where that is not known. ``doubtful`` is what pieces that were broken off left in two places.

    When RabbitMQ is killed, a classic queue has messages again that were acknowledged a while ago. So the ledger has a
    second message, which does not outlive RabbitMQ: where messages of such queues (``forgetful``) were moved when that
    ended, ``shaken`` is true, and all that is in the quarantine may be in two places. That it ended since is ``aged``.
    """

    def __init__(self, carrier: Carrier, quarantine: str, *, forgetful: bool = False) -> None:
        self._carrier = carrier
        self._forgetful = forgetful
        self._queue = quarantine + LEDGER
        self.held: int | None = None
        self.doubtful: frozenset[str] = frozenset()
        self.shaken = self.aged = False

    def read(self) -> None:
        """Learn what it says; nothing where there is none."""
        if self._carrier.there(self._queue):
            # Somebody who reads it at this moment has its messages. The last page counts: a RabbitMQ that was killed
            # may have older ones again.
            self._carrier.fetch(self._queue, self._carrier.settled(self._queue, 2))
            told = self._carrier.take(2)
            pages = [_page(each.body) for each in told if each.body]
            if pages:
                page = pages[-1]
                self.held, self.doubtful = page.held, frozenset(page.ids)
                self.aged = len(pages) == len(told)
                self.shaken = page.shaken or (page.moving and self.aged)
            self._carrier.give_back()

    def open(self, *, new: bool) -> None:
        """Make it, where it is not there, and see that it can be written, before anything else is done."""
        self.read()
        if new:
            self.held = self.held or 0
        # Of what it holds the last two messages count. A classic queue does that everywhere.
        self._carrier.declare(self._queue, {"x-queue-type": "classic", "x-max-length": 2, "x-overflow": "drop-head"})
        self.write()
        self._carrier.commit()

    def write(self, ids: Iterable[str] = (), change: int = 0, *, moving: bool = True) -> None:
        """Say in the open transaction which copies are open, besides what is doubtful; and how many are there more.

        Once that is done, they are to be `count`ed.
        """
        held = None if self.held is None else self.held + change
        page = _Page(held, as_ranges([*self.doubtful, *ids]), moving and self._forgetful, self.shaken)
        self._carrier.publish(self._queue, _PERSISTENT_JSON, msgspec.json.encode(page))
        self._carrier.publish(self._queue, _TRANSIENT, b"")

    def count(self, change: int) -> None:
        """So many more are in the quarantine."""
        self.held = None if self.held is None else self.held + change

    def close(self) -> None:
        """Say that nothing is moved any more."""
        self.write(moving=False)
        self._carrier.commit()

    def delete(self) -> None:
        """Delete it."""
        if self._carrier.there(self._queue):
            self._carrier.delete(self._queue)


class _Page(msgspec.Struct):
    """What the ledger holds. Ids are a run and a number, those of one run by their ranges: few words for many."""

    held: int | None
    open: dict[str, list[tuple[int, int]]]
    moving: bool = False
    shaken: bool = False

    @property
    def ids(self) -> Iterator[str]:
        """All that are open."""
        if sum(max(0, last + 1 - first) for ranges in self.open.values() for first, last in ranges) > _MOST_OPEN:
            raise BrokerError("protocol", _FOREIGN)
        for run, ranges in self.open.items():
            for first, last in ranges:
                yield from (f"{run}:{number}" for number in range(first, last + 1))


def as_ranges(ids: Iterable[str]) -> dict[str, list[tuple[int, int]]]:
    """The ids that are ours, in few words; any other was given to a message by somebody else."""
    found: dict[str, list[tuple[int, int]]] = {}
    for run, number in sorted((told[1], int(told[2])) for id_ in ids if (told := _ID.fullmatch(id_))):
        ranges = found.setdefault(run, [])
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return found


#: Properties with nothing but the delivery mode of what does not outlive RabbitMQ.
_TRANSIENT: Final = b"\x10\x00\x01"
#: Properties of what a ledger holds: its content type and delivery mode.
_PERSISTENT_JSON: Final = b"\x90\x00" + bytes([len(b"application/json")]) + b"application/json" + b"\x02"


def _page(body: bytes) -> _Page:
    try:
        return msgspec.json.decode(body, type=_Page)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokerError("protocol", _FOREIGN) from error
