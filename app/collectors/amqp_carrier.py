"""Carries messages from one queue of RabbitMQ to another, byte by byte, so that none is lost and none is doubled.

AMQP can't move a message: it is published anew, and only then is the old one acknowledged. So a *piece* of some
messages is carried in two transactions on one channel:

1. Copies are published, and the *ledger* says which: a queue with one message, of which only the last is kept. RabbitMQ
   answers when all of that is on disk.
2. The old ones are acknowledged, and the ledger says that no copies are open any more.

RabbitMQ carries out a transaction when it has all of it, or forgets it. So whoever dies, or whatever breaks, the ledger
says exactly what is in two places, and nothing was acknowledged that has no copy on disk. That holds as long as
RabbitMQ lives; whether it ended meanwhile, the ledger tells too.

Only one connection at a time moves messages of a quarantine: it holds an exclusive queue, which RabbitMQ takes away
when it is done with all that this connection said. What comes after a broken one finds everything settled.

Messages are fetched by `basic.get`, which gives no more than was wanted, and tells at once where there is no more. In a
quorum queue each of those is written to a log, and what is not acknowledged comes back in another order: there they are
consumed, which keeps it (measured on RabbitMQ 3.10).
"""

import struct
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import amqp
import msgspec
from amqp import spec
from amqp.exceptions import NotFound, PreconditionFailed, ResourceLocked, UnexpectedFrame

from app.collectors.amqp import FAILURES, AmqpAddress, amqp_channel, amqp_connection, amqp_error, blocked
from app.collectors.amqp_guard import LEDGER, LOCK, Guard
from app.collectors.amqp_messages import no_queue
from app.collectors.amqp_publish import RawMessage
from app.collectors.errors import BrokerError

#: Messages of a piece, and about how many bytes of them, at most. The first, whose size is unknown, has one.
MOST: Final = 100
MOST_BYTES: Final = 1 << 20

#: Messages that a consumer may hold, at most.
MOST_HELD: Final = 65_535
#: Seconds without a message after which a queue is asked whether it has none.
_QUIET: Final = 0.02
#: Seconds to wait for a message that is there, and for another connection to be done with.
_PATIENCE: Final = 5.0
_LATE: Final = 1.0
_PAUSE: Final = 0.05

_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_ARGUMENTS_AT: Final = 4
_signature: Final = struct.Struct(">HH").unpack_from
_tag: Final = struct.Struct(">Q").unpack_from
_content: Final = struct.Struct(">HHQ")


_BUSY: Final = (
    "Messages of this quarantine are moved by somebody else, or were by a connection that broke, for which RabbitMQ "
    "still waits. Try again in a minute."
)
_NOT_HANDED_OUT: Final = (
    "RabbitMQ does not hand out what waits in this queue: another consumer is the only one that it may go to."
)
_REFUSED: Final = "A queue of the broker {} refused what was published: it is full."


class Taken(msgspec.Struct, gc=False):
    """A message that was fetched, and not acknowledged: its delivery tag, and it as bytes."""

    tag: int
    properties: bytes = b""
    body: bytes = b""


class _Inbox:
    """What comes over a connection: messages that were asked for are put together here, all else is for py-amqp.

    It takes the place of py-amqp's frame handler, which decodes what has to stay as it is.
    """

    def __init__(self) -> None:
        self.arrived: list[Taken] = []
        #: Answers that no message is there, and messages that were given back as no queue takes them.
        self.empty = self.returned = 0
        self._open: Taken | None = None
        self._left = 0
        self._parts: list[bytes] = []

    def handler(self, connection: amqp.Connection, callback: Any) -> Any:
        """As py-amqp wants it: called with each frame, it tells whether something was complete."""
        del connection

        def on_frame(frame: tuple[int, int, bytes]) -> bool:
            kind, channel, payload = frame
            if kind == _HEADER:
                return self._begin(bytes(payload))
            if kind == _BODY:
                return self._add(payload)
            if kind == _METHOD:
                signature = _signature(payload)
                if signature == spec.Basic.GetOk:
                    self._open = Taken(*_tag(payload, _ARGUMENTS_AT))
                elif signature == spec.Basic.Deliver:
                    # Before the tag stands the consumer's name, with its length.
                    self._open = Taken(*_tag(payload, _ARGUMENTS_AT + 1 + payload[_ARGUMENTS_AT]))
                elif signature == spec.Basic.Return:
                    self.returned += 1
                    self._open = Taken(0)
                elif signature == spec.Basic.GetEmpty:
                    self.empty += 1
                    return True
                else:
                    callback(channel, signature, payload, None)
                    return True
            elif kind != _HEARTBEAT:
                raise UnexpectedFrame(f"a frame of the kind {kind}")
            return False

        return on_frame

    def _begin(self, payload: bytes) -> bool:
        if self._open is None or self._left:
            raise UnexpectedFrame("a message begins where it should not")
        _, _, self._left = _content.unpack_from(payload)
        self._open.properties = payload[_content.size :]
        return self._complete() if not self._left else False

    def _add(self, part: bytes) -> bool:
        self._left -= len(part)
        if self._open is None or self._left < 0:
            raise UnexpectedFrame("a message has more bytes than it said")
        self._parts.append(part)
        return self._complete() if not self._left else False

    def _complete(self) -> bool:
        message, self._open = self._open, None
        if message is not None and message.tag:
            message.body = b"".join(self._parts)
            self.arrived.append(message)
        self._parts = []
        return True


class Carrier:
    """One connection with one channel, whose publishing and acknowledging is in transactions. Not thread-safe.

    All that is not acknowledged when it is closed goes back to where it was. Raises what `translate` makes a
    `BrokerError` of.
    """

    def __init__(self, address: AmqpAddress, guard: Guard) -> None:
        self._address = address
        self._inbox = _Inbox()
        self.connection = amqp_connection(address, "cloche-vault", guard, frame_handler=self._inbox.handler)
        self.connection.on_blocked = self._on_blocked
        self._channel = amqp_channel(self.connection, address)
        self._in_transactions = False
        #: The queue whose messages come by themselves.
        self._consumed = ""
        #: Tags of messages that were taken and not acknowledged.
        self._outstanding: set[int] = set()

    def length(self, queue: str) -> tuple[int, int]:
        """How many messages wait in a queue, and how many consume it."""
        try:
            told = self._channel.queue_declare(queue, passive=True)
        except NotFound:
            raise no_queue(queue, self._address.shown) from None
        return int(told.message_count), int(told.consumer_count)

    def there(self, queue: str) -> bool:
        """Whether there is such a queue."""
        try:
            self.length(queue)
        except BrokerError:
            self._in_transactions = False  # py-amqp has opened the channel anew
            return False
        return True

    def declare(self, queue: str, arguments: dict[str, Any]) -> None:
        """A durable queue."""
        self._channel.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)

    def delete(self, queue: str) -> int:
        """Delete a queue; how many messages were in it."""
        return int(self._channel.queue_delete(queue))

    def lock(self, quarantine: str) -> None:
        """Be the only one who moves messages of a quarantine, as long as this connection lasts."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                # A classic queue, as only those can be exclusive.
                self._channel.queue_declare(quarantine + LOCK, exclusive=True, arguments={"x-queue-type": "classic"})
            except ResourceLocked:
                self._in_transactions = False
                if time.monotonic() > deadline:
                    raise BrokerError("busy", _BUSY) from None
                time.sleep(_PAUSE)
            else:
                return

    def alone(self, queue: str) -> bool:
        """Whether nobody consumes a queue. That somebody went is told a little late."""
        deadline = time.monotonic() + _LATE
        while consumers := self.length(queue)[1]:
            if time.monotonic() > deadline:
                break
            time.sleep(_PAUSE)
        return not consumers

    def settled(self, queue: str, expected: int | None) -> int:
        """How many messages wait in a queue, once as many do as expected: what a broken connection held comes back."""
        deadline = time.monotonic() + _LATE
        while (waiting := self.length(queue)[0]) < (expected or 0) and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        return waiting

    def consume(self, queue: str, most: int) -> None:
        """Have messages of a queue come by themselves, so many at a time."""
        self._consumed = queue
        self._channel.basic_qos(0, most, False)
        self._channel.basic_consume(queue)

    def take(self, queue: str, count: int) -> list[Taken]:
        """The next messages of a queue, fewer where there are no more."""
        if queue == self._consumed:
            self._receive(queue, count)
        else:
            self._get(queue, count)
        arrived = self._inbox.arrived
        taken, arrived[:] = arrived[:count], arrived[count:]
        self._outstanding.update(each.tag for each in taken)
        return taken

    def _get(self, queue: str, count: int) -> None:
        """Ask for them all at once."""
        inbox = self._inbox
        inbox.empty = 0
        for _ in range(count):
            self._channel.send_method(spec.Basic.Get, "Bsb", (0, queue, False))
        while len(inbox.arrived) + inbox.empty < count:
            self.connection.drain_events()

    def _receive(self, queue: str, count: int) -> None:
        arrived = self._inbox.arrived
        deadline = time.monotonic() + _PATIENCE
        while (before := len(arrived)) < count:
            try:
                self.connection.drain_events(timeout=_QUIET)
                deadline = time.monotonic() + _PATIENCE
            except TimeoutError:
                waiting, _ = self.length(queue)
                if not waiting and len(arrived) == before:
                    return
                if time.monotonic() > deadline:
                    raise BrokerError("busy", _NOT_HANDED_OUT) from None

    def publish(self, queue: str, properties: bytes, body: bytes) -> None:
        """Publish a message to a queue in the open transaction."""
        self._begin()
        told = (0, "", queue, True, False)
        self._channel.send_method(spec.Basic.Publish, "Bssbb", told, RawMessage(properties, body))

    def acknowledge(self, tags: Iterable[int]) -> None:
        """Acknowledge messages in the open transaction; all at once where none is held back, which is much faster."""
        self._begin()
        done = set(tags)
        if done == self._outstanding:
            self._channel.basic_ack(max(done), multiple=True)
        else:
            for tag in sorted(done):
                self._channel.basic_ack(tag)
        self._outstanding -= done

    def commit(self) -> None:
        """Have the open transaction carried out, and return when what was published is safe."""
        self._inbox.returned = 0
        try:
            self._channel.tx_commit()
        except PreconditionFailed as error:
            # What RabbitMQ says when a queue refused a message of a transaction: "partial tx completion".
            raise BrokerError("full", _REFUSED.format(self._address.shown)) from error
        if self._inbox.returned:
            raise BrokerError("absent", f"A queue of the broker {self._address.shown} was deleted meanwhile.")

    def give_back(self) -> None:
        """Have all that was taken, and not acknowledged, back where it was."""
        self._channel.close()
        self._channel = self.connection.channel()
        self._in_transactions = False
        self._consumed = ""
        self._outstanding.clear()
        self._inbox.arrived.clear()

    def close(self, *, broken: bool = False) -> None:
        """Close the connection; without a goodbye where it is ``broken``."""
        try:
            if broken:
                self.connection.collect()
            else:
                self.connection.close()
        except FAILURES:
            self.connection.collect()

    def translate(self, error: Exception) -> BrokerError:
        """What a failure means, in words."""
        return amqp_error(error, self._address)

    def _begin(self) -> None:
        if not self._in_transactions:
            self._channel.tx_select()
            self._in_transactions = True

    def _on_blocked(self, reason: str) -> None:
        raise blocked(self._address, reason)


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
            told = self._carrier.take(self._queue, self._carrier.settled(self._queue, 2))
            pages = [_page(each.body) for each in told if each.body]
            if pages:
                page = pages[-1]
                self.held, self.doubtful = page.held, frozenset(page.open)
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
        """Say in the open transaction which copies are open, besides what is doubtful; and how many are there more."""
        self.held = None if self.held is None else self.held + change
        page = _Page(self.held, [*sorted(self.doubtful), *ids], moving and self._forgetful, self.shaken)
        self._carrier.publish(self._queue, _PERSISTENT_JSON, msgspec.json.encode(page))
        self._carrier.publish(self._queue, _TRANSIENT, b"")

    def close(self) -> None:
        """Say that nothing is moved any more."""
        self.write(moving=False)
        self._carrier.commit()

    def delete(self) -> None:
        """Delete it."""
        if self._carrier.there(self._queue):
            self._carrier.delete(self._queue)


class _Page(msgspec.Struct):
    held: int | None
    open: list[str]
    moving: bool = False
    shaken: bool = False


#: Properties with nothing but the delivery mode of what does not outlive RabbitMQ.
_TRANSIENT: Final = b"\x10\x00\x01"
#: Properties of what a ledger holds: its content type and delivery mode.
_PERSISTENT_JSON: Final = b"\x90\x00" + bytes([len(b"application/json")]) + b"application/json" + b"\x02"


def _page(body: bytes) -> _Page:
    try:
        return msgspec.json.decode(body, type=_Page)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokerError("protocol", "The ledger of this quarantine can't be read: somebody else wrote it.") from error


class Pieces:
    """How many messages the next piece has: as many as are of so many bytes, going by the last one."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._next = 1

    @property
    def next(self) -> int:
        """Messages to take now; 0 where there is nothing to do any more."""
        return max(0, min(self._next, self._left))

    def end(self) -> None:
        """Take no more."""
        self._left = 0

    def took(self, piece: Sequence[Taken], left: int = 0) -> None:
        """Learn from a piece, of which so many were left where they are."""
        size = sum(len(each.body) + len(each.properties) for each in piece)
        self._next = max(1, min(MOST, self._next * 4, len(piece) * MOST_BYTES // max(1, size)))
        self._left -= len(piece) - left
