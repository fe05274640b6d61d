"""Celery's events from RabbitMQ: a queue of our own, drained by one thread and decoded by another.

The queue is exclusive, so that it goes when we do, and bounded, so that a Cloche that stands still costs the broker
little. py-amqp opens the connection and subscribes; from then on the bytes of its socket come to us.
"""

import select
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import amqp
import msgspec
from amqp import spec
from amqp.exceptions import ConsumerCancelled, NotFound, error_for_code
from amqp.serialization import loads

from app.collectors.amqp import FAILURES, AmqpAddress, amqp_connection, amqp_error
from app.collectors.amqp_frames import Content, Frames, Method, content_type_and_compression
from app.collectors.amqp_guard import listener, listening
from app.collectors.clean import clean_word
from app.collectors.clocks import elapsed
from app.collectors.errors import BrokerError
from app.collectors.normalise import MAX_MESSAGE, Normaliser
from app.collectors.subscriber import (
    DEAD_AFTER,
    GATHER,
    PING_AFTER,
    READ_SIZE,
    Closed,
    DamagedStream,
    Link,
    Subscriber,
    receive,
)
from app.collectors.transport import ANSWER_TIMEOUT
from app.models.profiles import Mode
from app.models.records import Event

#: Messages, and bytes of them, that RabbitMQ keeps for us at most while we do not read; beyond, it drops the oldest.
MAX_LENGTH: Final = 50_000
MAX_BYTES: Final = 64 << 20
#: Milliseconds it keeps one. Celery asks for 5 s, less than a suspended laptop or a virtual machine that moves needs;
#: this is longer than RabbitMQ waits for a sign of life, so a message is lost by age only if we don't read for as long.
MESSAGE_TTL: Final = 300_000
#: Milliseconds after which it drops a queue that nobody consumes.
EXPIRES: Final = 60_000
#: A queue as full as this has dropped messages, or is about to.
ALMOST: Final = 0.95
#: Seconds that a goodbye may take.
GOODBYE: Final = 1.0


class AmqpChunk(msgspec.Struct, gc=False):
    """Messages that came together, as they came."""

    seen: float
    size: int
    contents: list[Content]

    def decode(self, normaliser: Normaliser, out: list[Event]) -> None:
        for header, body in self.contents:
            content_type, compression = content_type_and_compression(header)
            normaliser.message(body, content_type, compression, self.seen, out)


class AmqpEvents(Subscriber):
    """Celery's events over AMQP 0-9-1.

    ``max_length`` bounds the queue at the broker. In passive ``mode`` no exchange is made.
    """

    def __init__(
        self,
        address: AmqpAddress,
        wake: Callable[[], None],
        mode: Mode = "observe",
        *,
        ping_after: float = PING_AFTER,
        dead_after: float = DEAD_AFTER,
        max_length: int = MAX_LENGTH,
    ) -> None:
        super().__init__(wake)
        self._address = address
        self._mode: Mode = mode
        self._guard = listening(address.event_exchange, mode)
        #: Seconds between two questions to the broker, which are our signs of life too: it wants one in so many.
        self.every = min(ping_after, address.heartbeat / 2)
        #: Seconds that it may leave one unanswered.
        self.patience = dead_after - ping_after
        #: Messages that its queue for us holds.
        self.room = max_length

    def listen(self) -> None:
        """Connect, subscribe, drain."""
        connection = amqp_connection(self._address, "cloche-events", self._guard)
        drain: _Drain | None = None
        try:
            channel, queue = self._subscribe(connection)
            self.heard = time.time()
            self.put(Link(self.heard))
            drain = _Drain(self, channel, queue)
            drain.run()
        except (*FAILURES, DamagedStream) as error:
            said = amqp_error(error, self._address)
            if drain is not None:
                # Where it broke off, something may be lost that was under way; else all was received.
                broken = isinstance(error, OSError) and not isinstance(error, Closed)
                said.since = drain.doubtful or (self.heard if broken else None)
            raise said from error
        finally:
            connection.collect()

    def give_up(self, reason: BrokerError) -> None:
        """Connect anew; but not after we slept: our queue kept what came, and whether it is still there is asked."""
        if reason.fault != "asleep":
            super().give_up(reason)

    def _subscribe(self, connection: amqp.Connection) -> tuple[amqp.Channel, str]:
        """A channel that consumes a new queue, and the queue's name."""
        exchange = self._address.event_exchange
        channel = connection.channel()
        try:
            channel.exchange_declare(exchange, "topic", passive=True)
        except NotFound:
            if self._mode == "passive":
                raise BrokerError("busy", self._nothing_to_hear()) from None
            # As Celery would; if it exists, with whatever flags, it is left alone. py-amqp has reopened the channel.
            channel.exchange_declare(exchange, "topic", durable=True, auto_delete=False)
        queue = f"{listener(exchange)}{uuid.uuid4()}"
        arguments = {
            "x-expires": EXPIRES,
            "x-max-length": self.room,
            "x-max-length-bytes": MAX_BYTES,
            "x-message-ttl": MESSAGE_TTL,
            "x-overflow": "drop-head",
        }
        channel.queue_declare(queue, exclusive=True, auto_delete=True, arguments=arguments)
        channel.queue_bind(queue, exchange, "#")
        channel.basic_consume(queue, no_ack=True)
        return channel, queue

    def _nothing_to_hear(self) -> str:
        exchange = clean_word(self._address.event_exchange)
        return (
            f"The broker {self._address.shown} has no exchange {exchange!r} yet, so no worker has told of anything. "
            "The first that does makes it; in passive mode Cloche makes nothing."
        )


class _Drain:
    """One connection from the subscription to its end.

    Every few seconds the broker is asked how many messages wait in our queue. Its answer tells that it is still there,
    and that it dropped none; that we ask tells it the same of us.
    """

    def __init__(self, events: AmqpEvents, channel: amqp.Channel, queue: str) -> None:
        #: Since when events may have got lost without a word, as long as the broker did not say that they haven't.
        self.doubtful: float | None = None
        self._events = events
        self._channel = channel
        self._connection = channel.connection
        self._socket = self._connection.sock
        self._queue = queue
        self._frames = Frames(MAX_MESSAGE)
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._ticked = self._ask_at = elapsed()
        self._asked = self._answered = 0
        #: Number of the question whose answer ends the doubt.
        self._proof = 0
        self._silent_since: float | None = None
        self._had_room = time.time()
        self._overflowing = False

    def run(self) -> None:
        """Drain until told to stop. Raises what ends the connection before."""
        events = self._events
        self._socket.setblocking(False)
        while not events.stopping.is_set():
            if events.damaged.is_set():
                raise ConnectionError("what it sent could not be read")
            self._tick()
            if events.full:
                events.stopping.wait(GATHER)
                continue
            size = receive(self._socket, self._buffer)
            if size:
                self._take(size)
                if size < READ_SIZE:
                    events.stopping.wait(GATHER)
            elif self._silent_since is not None and self._ticked - self._silent_since > events.patience:
                raise TimeoutError
            else:
                select.select([self._socket], [], [], min(0.5, events.every))
        self._leave()

    def _tick(self) -> None:
        """Ask if it is time to, and see whether we stood still: then the broker may have cut us off long ago."""
        now = elapsed()
        if now - self._ticked > self._events.every:
            self.doubtful = self.doubtful or self._events.heard
            self._proof = self._asked + 1
            self._ask_at = now
        self._ticked = now
        if now >= self._ask_at:
            self._ask_at = now + self._events.every
            self._silent_since = self._silent_since or now
            self._asked += 1
            self._say(spec.Queue.Declare, "BsbbbbbF", (0, self._queue, True, False, True, True, False, {}))

    def _say(self, signature: tuple[int, int], form: str | None = None, arguments: tuple[object, ...] = ()) -> None:
        """Send something. Where that fails, reading does too, and may tell why."""
        speaker = self._connection if signature[0] == spec.Connection.CLASS_ID else self._channel
        self._socket.settimeout(ANSWER_TIMEOUT)
        with suppress(OSError):
            speaker.send_method(signature, form, arguments)
        self._socket.setblocking(False)

    def _take(self, size: int) -> None:
        events = self._events
        events.heard, self._silent_since = time.time(), None
        contents, methods = self._frames.feed(bytes(self._buffer[:size]))
        if contents:
            events.put(AmqpChunk(events.heard, size, contents))
        for method in methods:
            self._hear(method)

    def _hear(self, method: Method) -> None:
        """Act on what the broker says besides messages."""
        if method.signature == spec.Queue.DeclareOk:
            (_, waiting, _), _ = loads("sll", method.arguments, 0)
            self._learn(waiting)
        elif method.signature in (spec.Connection.Close, spec.Channel.Close):
            (code, text, _, _), _ = loads("BsBB", method.arguments, 0)
            if method.signature == spec.Connection.Close:
                self._say(spec.Connection.CloseOk)
            raise error_for_code(code, text, method.signature, amqp.ConnectionError)
        elif method.signature == spec.Basic.Cancel:
            raise ConsumerCancelled

    def _learn(self, waiting: int) -> None:
        """Take an answer: so many messages wait in our queue."""
        self._answered += 1
        events, now = self._events, time.time()
        full = waiting >= ALMOST * events.room
        if full and not self._overflowing:
            text = (
                f"RabbitMQ drops events: the {events.room:,} messages that it keeps for Cloche were not read in time."
            )
            events.put(Link(self.doubtful or self._had_room, BrokerError("slow", text)))
        elif self._overflowing and not full:
            events.put(Link(now))
        self._overflowing = full
        if not full:
            self._had_room = now
        if self._answered >= self._proof:
            self.doubtful = None

    def _leave(self) -> None:
        """Say goodbye, so that the broker's log has no complaint about us."""
        self._say(spec.Connection.Close, "BsBB", (0, "", 0, 0))
        self._socket.settimeout(GOODBYE)
        deadline = elapsed() + GOODBYE
        while elapsed() < deadline and (size := self._socket.recv_into(self._buffer)):
            _, methods = self._frames.feed(bytes(self._buffer[:size]))
            if any(method.signature == spec.Connection.CloseOk for method in methods):
                return
