"""Carries messages from one queue of RabbitMQ to another, byte by byte, so that none is lost and none is doubled.

AMQP can't move a message: it is published anew, and only then is the old one acknowledged. So messages are carried in
*pieces*, and for each there is one transaction, in which

1. its copies are published,
2. the old ones of the piece before, whose copies are on disk by now, are acknowledged, and
3. the *ledger* says which copies are open: a queue with one message, of which only the last is kept.

RabbitMQ answers when all of that is on disk. Meanwhile the next piece comes in, and is made ready.

RabbitMQ carries out a transaction when it has all of it, or forgets it. So whoever dies, or whatever breaks, the ledger
says exactly what is in two places, and nothing was acknowledged that has no copy on disk. That holds as long as
RabbitMQ lives; whether it ended meanwhile, the ledger tells too.

Only one connection at a time moves messages of a quarantine: it holds an exclusive queue, which RabbitMQ takes away
when it is done with all that this connection said. What comes after a broken one finds everything settled.
"""

import math
import time
from collections.abc import Iterable
from typing import Any, Final

from amqp import spec
from amqp.exceptions import AccessRefused, NotFound, PreconditionFailed, ResourceLocked

from app.collectors.amqp import FAILURES, AmqpAddress, amqp_channel, amqp_connection, amqp_error, blocked
from app.collectors.amqp_frames import acknowledged, committed, published
from app.collectors.amqp_guard import LOCK, Guard
from app.collectors.amqp_inbox import Inbox, Taken
from app.collectors.amqp_messages import no_queue
from app.collectors.errors import BrokerError

#: What our consumer is called; there is one at a time.
_CONSUMER: Final = "cloche"
#: Seconds to wait for another connection to be done with, and for what it held to be back.
_PATIENCE: Final = 5.0
_LATE: Final = 1.0
#: Seconds to wait for a transaction: RabbitMQ may be busy writing to its disk what came before.
_COMMITTED_WITHIN: Final = 60.0
_PAUSE: Final = 0.05
#: Bytes of a frame with a message's properties besides these.
_AROUND_PROPERTIES: Final = 20

_BUSY: Final = (
    "Messages of this quarantine are moved by somebody else, or were by a connection that broke, for which RabbitMQ "
    "still waits. Try again in a minute."
)
_NO_ROOM: Final = (
    "A message has headers that are too long: RabbitMQ takes {:,} bytes of them, and Cloche has to note in them what "
    "it was like. It stays where it is, with those behind it."
)
_REFUSED: Final = "A queue of the broker {} refused what was published: it is full."


class Carrier:
    """One connection with one channel, whose publishing and acknowledging is in transactions. Not thread-safe.

    All that is not acknowledged when it is closed goes back to where it was. Raises what `translate` makes a
    `BrokerError` of.
    """

    def __init__(self, address: AmqpAddress, guard: Guard) -> None:
        self._address = address
        self._inbox = Inbox()
        self.connection = amqp_connection(address, "cloche-vault", guard, frame_handler=self._inbox.handler)
        self.connection.transport.read_ahead()
        self.connection.on_blocked = self._on_blocked
        self._channel = amqp_channel(self.connection, address)
        self._in_transactions = False
        #: Tags of messages that were taken and not acknowledged.
        self._outstanding: set[int] = set()
        #: The open transaction.
        self._unsaid: list[bytes] = []

    # --- queues ------------------------------------------------------------------------------------------------------

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

    # --- taking ------------------------------------------------------------------------------------------------------

    def consume(self, queue: str, most: int) -> None:
        """Have messages of a queue come by themselves, so many at a time that are not acknowledged."""
        self._channel.basic_qos(0, most, False)
        try:
            self._channel.basic_consume(queue, consumer_tag=_CONSUMER)
        except AccessRefused:
            self._in_transactions = False
            raise

    def cancel(self) -> None:
        """Have no more of them come; those that came meanwhile have `arrived`."""
        self._channel.basic_cancel(_CONSUMER)

    def fetch(self, queue: str, count: int) -> None:
        """Have so many messages of a queue arrive, fewer where there are no more: all are asked for at once."""
        inbox = self._inbox
        inbox.empty = 0
        for _ in range(count - len(inbox.arrived)):
            self._channel.send_method(spec.Basic.Get, "Bsb", (0, queue, False))
        while len(inbox.arrived) + inbox.empty < count:
            self.listen()

    @property
    def arrived(self) -> int:
        """How many messages came and were not taken yet."""
        return len(self._inbox.arrived)

    def listen(self, timeout: float | None = None) -> bool:
        """Listen until something comes, and to all of that; False where nothing did for so many seconds."""
        connection, transport = self.connection, self.connection.transport
        try:
            connection.blocking_read(None if transport.pending else timeout)
        except TimeoutError:
            if timeout is None:
                raise
            return False
        while transport.pending:
            connection.on_inbound_frame(transport.read_frame())
        return True

    def take(self, count: int, weight: float = math.inf) -> list[Taken]:
        """What came first: at most so many messages of so many bytes in all, but one where there is any."""
        arrived = self._inbox.arrived
        number = 0
        for each in arrived[:count]:
            weight -= each.size
            if weight < 0 and number:
                break
            number += 1
        taken, arrived[:number] = arrived[:number], []
        self._outstanding.update(each.tag for each in taken)
        return taken

    # --- transactions ------------------------------------------------------------------------------------------------

    def publish(self, queue: str, properties: bytes, body: bytes) -> None:
        """Publish a message to a queue in the open transaction, which is forgotten where the message has no room."""
        most = self.connection.frame_max - _AROUND_PROPERTIES
        if len(properties) > most:
            self._unsaid.clear()
            raise BrokerError("protocol", _NO_ROOM.format(most))
        self._unsaid.append(published(self._channel.channel_id, queue, properties, body, self.connection.frame_max))

    def acknowledge(self, tags: Iterable[int]) -> None:
        """Acknowledge messages in the open transaction; all at once where none is held back, which is much faster."""
        done = set(tags)
        last = max(done)
        multiple = all(tag in done for tag in self._outstanding if tag <= last)
        channel = self._channel.channel_id
        self._unsaid += (acknowledged(channel, tag, multiple) for tag in ([last] if multiple else sorted(done)))
        self._outstanding -= done

    def commit(self) -> None:
        """Have the open transaction carried out, and return when what was published is safe."""
        self.begin_commit()
        self.end_commit()

    def begin_commit(self) -> None:
        """Have the open transaction carried out. Nothing but listening may be done before `end_commit`.

        All of it is said now, or nothing where the guard refuses a part: then it is forgotten.
        """
        unsaid, self._unsaid = self._unsaid, []
        if not self._in_transactions:
            self._channel.tx_select()
            self._in_transactions = True
        self._inbox.returned, self._inbox.committed = 0, False
        self.connection.transport.write(b"".join([*unsaid, committed(self._channel.channel_id)]))

    def end_commit(self, unless_arrived: int | None = None) -> None:
        """Return when what was published is safe; or, in any case, when so many messages have arrived."""
        deadline = time.monotonic() + _COMMITTED_WITHIN
        try:
            while not self._inbox.committed:
                if unless_arrived is not None and self.arrived >= unless_arrived:
                    return
                if not self.listen(_PAUSE) and time.monotonic() > deadline:
                    raise TimeoutError
        except PreconditionFailed as error:
            # What RabbitMQ says when a queue refused a message of a transaction: "partial tx completion".
            raise BrokerError("full", _REFUSED.format(self._address.shown)) from error
        if self._inbox.returned:
            raise BrokerError("absent", f"A queue of the broker {self._address.shown} was deleted meanwhile.")

    # --- the end -----------------------------------------------------------------------------------------------------

    def give_back(self) -> None:
        """Have all that was taken, and not acknowledged, back where it was."""
        self._channel.close()
        self._channel = self.connection.channel()
        self._in_transactions = False
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

    def _on_blocked(self, reason: str) -> None:
        raise blocked(self._address, reason)
