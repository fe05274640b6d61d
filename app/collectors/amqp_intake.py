"""Takes the messages of a queue of RabbitMQ in pieces, and no more of them than are wanted.

They come to a consumer, which is faster than fetching them, and keeps their order where they are given back: in a
quorum queue, what was fetched comes back in another one (measured on RabbitMQ 3.10). A consumer holds a few pieces at a
time, so that one comes in while another one is carried. It is cancelled before it would be handed more than is wanted,
and begun anew where pieces have another size by now. Not so of a quorum queue, where messages that are on their way to
a consumer that is cancelled go back, and are marked: there it is the same one to the end, and some that came last may
go back then.

They are fetched by `basic.get`, which gives no more than was asked for, where a consumer does harm or gets nothing: an
auto-delete queue goes with its last consumer, and another consumer may be the only one that messages go to.
"""

import time
from typing import Final

from amqp.exceptions import AccessRefused

from app.collectors.amqp_carrier import Carrier
from app.collectors.amqp_inbox import Taken
from app.collectors.errors import BrokerError
from app.collectors.managed import Nature

#: Messages of a piece, and about how many bytes of them, at most. The first, whose size is unknown, has one. Pieces of
#: 200 are no faster and have others wait four times as long, those of 12 are half as fast (`tests/bench`, two cores).
MOST: Final = 50
MOST_BYTES: Final = 1 << 20
#: Messages that a consumer may hold, at most.
MOST_HELD: Final = 65_535
#: Pieces that a consumer holds.
_PIECES: Final = 3
#: How much larger a piece is at most than the one before, and how much smaller its consumer's must be to change that.
_GROWTH: Final = 4
#: Seconds to wait for a piece before the queue is asked whether it has more, and for a message that waits there.
_QUIET: Final = 0.02
_PATIENCE: Final = 1.0
#: Seconds for which messages come from a quorum queue at most after it said that none waits.
_LATE: Final = 0.3

_NOT_HANDED_OUT: Final = (
    "RabbitMQ does not hand out what waits in this queue: another consumer is the only one that it may go to."
)
_TOO_MANY: Final = (
    f"RabbitMQ hands out at most {MOST_HELD:,} messages of a quorum queue before some are taken out of it, and this "
    "quarantine has more. It can be put back as a whole, or so many messages of it."
)


class Intake:
    """Takes ``count`` messages of a queue, of which so many as ``held`` may be kept, and are not acknowledged.

    Where ``exactly``, no more than these are wanted, as the queue is somebody else's. Otherwise some more may be handed
    out, which go back to where they were.
    """

    def __init__(
        self, carrier: Carrier, queue: str, nature: Nature, count: int, *, held: int = 0, exactly: bool = False
    ) -> None:
        self._quorum = nature.kind == "quorum"
        if held > MOST_HELD - _PIECES * MOST and self._quorum:
            raise BrokerError("protocol", _TOO_MANY)
        self._carrier = carrier
        self._queue = queue
        self._left = count
        self._held = held
        self._exactly = exactly
        self._fetches = not self._quorum and (nature.auto_delete or held > _PIECES * MOST)
        #: Messages of the next piece.
        self._size = 1
        #: How many messages the consumer holds, 0 where there is none; and how many it may be handed from now on.
        self._window = self._quota = 0
        #: When the queue was empty first.
        self._empty_since = 0.0

    def take(self) -> list[Taken]:
        """The next piece; none where there is none. Nothing may be under way that was taken before."""
        count = min(self._size, self._left)
        if not count:
            return []
        if not self._fetches and not self._window and not self._carrier.arrived:
            self._consume()
        if self._fetches:
            self._carrier.fetch(self._queue, count)
        else:
            self._wait(count)
        return self._took(count)

    def ahead(self) -> list[Taken]:
        """The next piece, where all of it comes while a transaction is carried out."""
        count = min(self._size, self._left)
        if not count or self._fetches:
            return []
        self._carrier.end_commit(unless_arrived=count)
        return self._took(count) if self._carrier.arrived >= count else []

    def keep(self, number: int) -> None:
        """So many of those that were taken are kept, and do not count."""
        self._left += number

    def acknowledging(self, number: int) -> None:
        """So many are acknowledged next, and RabbitMQ hands out as many more."""
        self._quota -= number
        if self._window and not self._quorum and (self._may_be_too_many() or self._is_of_another_size()):
            self._cancel()

    def end(self) -> None:
        """Take no more."""
        self._left = 0

    def _took(self, count: int) -> list[Taken]:
        taken = self._carrier.take(count, MOST_BYTES)
        if taken:
            size = sum(each.size for each in taken)
            self._size = max(1, min(MOST, self._size * _GROWTH, len(taken) * MOST_BYTES // max(1, size)))
            self._left -= len(taken)
        return taken

    def _may_be_too_many(self) -> bool:
        return self._exactly and self._quota < self._window

    def _is_of_another_size(self) -> bool:
        """Whether pieces are not as large any more as when the consumer began. What it keeps has to stay with it."""
        return not self._held and not self._window // 4 <= _PIECES * self._size < self._window * 2

    def _consume(self) -> None:
        self._quota = self._left
        self._window = self._held + _PIECES * (MOST if self._held or self._quorum else self._size)
        if self._exactly:
            self._window = min(self._window, self._left)
        try:
            self._carrier.consume(self._queue, self._window)
        except AccessRefused:
            # Another consumer may be the only one. Where a right is missing, fetching is refused as well.
            if self._quorum:
                raise
            self._window, self._fetches = 0, True

    def _wait(self, count: int) -> None:
        """Have so many messages arrive, or fewer: no more are waited for where none waits in the queue any more."""
        began = time.monotonic()
        while self._carrier.arrived < count and self._window:
            heard, now = self._carrier.listen(_QUIET), time.monotonic()
            if heard and now - began < _QUIET:
                continue
            waiting, _ = self._carrier.length(self._queue)
            if not waiting and not self._quorum:
                # All that was handed out comes before the answer to this.
                self._cancel()
                self._left = min(self._left, self._carrier.arrived)
            elif not waiting and self._is_over(now):
                self._left = min(self._left, self._carrier.arrived)
                return
            elif self._carrier.arrived:
                return
            elif now - began > _PATIENCE:
                if waiting:
                    self._fetch_instead(count)
                return

    def _is_over(self, now: float) -> bool:
        """Whether it is a while since none waited in a queue to which others send, and which tells that too early."""
        self._empty_since = self._empty_since or now
        return self._exactly and now - self._empty_since > _LATE

    def _cancel(self) -> None:
        self._carrier.cancel()
        self._window = 0

    def _fetch_instead(self, count: int) -> None:
        """What waits is not handed out to our consumer."""
        if self._quorum:
            raise BrokerError("busy", _NOT_HANDED_OUT)
        self._cancel()
        self._fetches = True
        self._carrier.fetch(self._queue, count)
