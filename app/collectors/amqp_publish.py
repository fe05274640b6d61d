"""Publishing to RabbitMQ so that it is known whether it arrived: one message at a time, each of them confirmed."""

import threading
import time
from typing import Any, Final

import amqp
from amqp.exceptions import NotFound

from app.collectors.amqp import FAILURES, AmqpAddress, amqp_connection, amqp_error, blocked
from app.collectors.amqp_guard import Guard
from app.collectors.clean import clean_word
from app.collectors.errors import BrokerError
from app.collectors.transport import ANSWER_TIMEOUT

#: Seconds to listen at once, so that `ConfirmedPublisher.give_up` is heard.
_PATIENCE: Final = 0.1


class RawMessage(amqp.Message):  # type: ignore[misc]
    """A message whose properties are bytes as they stand in AMQP: flags, then values, headers included.

    py-amqp reads the numbers of a table without their type, and writes them with another. So what was received, and has
    to stay as it is, is sent by this.
    """

    def __init__(self, properties: bytes, body: bytes) -> None:
        super().__init__(body)
        self._raw = properties

    def _serialize_properties(self) -> bytes:
        return self._raw


class ConfirmedPublisher:
    """Publishes over one connection, with publisher confirms. Not thread-safe, but for `give_up`.

    What may be published is up to the ``guard``. ``name`` is how RabbitMQ lists the connection, which is made with the
    first message.
    """

    def __init__(self, address: AmqpAddress, guard: Guard, name: str = "cloche-publisher") -> None:
        self._address = address
        self._guard = guard
        self._name = name
        self._connection: amqp.Connection | None = None
        self._stopping = threading.Event()
        self._blocked = ""
        #: How the broker answered the message that is under way: True where it took it, None before it answered.
        self._taken: bool | None = None
        self._unroutable = False

    def publish(self, message: amqp.Message, exchange: str, routing_key: str) -> None:
        """Publish one message, and return once the broker has it in all queues that it belongs to, on disk or mirrored.

        Raises `BrokerError`: of the fault *absent* where no queue takes messages of this exchange and key, *full* where
        a queue refused it, and with another one where it can't be told whether it arrived. (While the broker blocks
        publishers it may take what it was sent when that is over.)
        """
        self._taken, self._unroutable = None, False
        try:
            channel = self._channel()
            channel.basic_publish(message, exchange, routing_key, mandatory=True)
            self._wait(channel.connection)
        except NotFound:
            self._break_off()
            text = f"The broker {self._address.shown} has no exchange {clean_word(exchange)!r}."
            raise BrokerError("absent", text) from None
        except (*FAILURES, BrokerError) as error:
            self._break_off()
            raise amqp_error(error, self._address) from error
        where = f"{clean_word(routing_key)!r}" + (f" by the exchange {clean_word(exchange)!r}" if exchange else "")
        if self._unroutable:
            raise BrokerError(
                "absent", f"The broker {self._address.shown} has no queue that takes messages to {where}."
            )
        if not self._taken:
            raise BrokerError("full", f"A queue of the broker {self._address.shown} refused a message to {where}.")

    def give_up(self) -> None:
        """Wait for nothing any more; may be called from any thread."""
        self._stopping.set()

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except FAILURES:
                connection.collect()

    def _channel(self) -> amqp.Channel:
        connection = self._connection
        if connection is None:
            connection = self._connection = amqp_connection(self._address, self._name, self._guard)
            connection.on_blocked, connection.on_unblocked = self._on_blocked, self._on_unblocked
        channel = connection.channels.get(1)
        if channel is None:
            channel = connection.channel(1)
            channel.confirm_select()
            channel.events["basic_ack"].add(self._on_ack)
            channel.events["basic_nack"].add(self._on_nack)
            channel.events["basic_return"].add(self._on_return)
        return channel

    def _wait(self, connection: amqp.Connection) -> None:
        deadline = time.monotonic() + ANSWER_TIMEOUT
        while self._taken is None:
            if self._blocked:
                raise blocked(self._address, self._blocked)
            if self._stopping.is_set() or time.monotonic() > deadline:
                text = f"The broker {self._address.shown} did not confirm a message in time: it may have it, or not."
                raise BrokerError("slow", text)
            try:
                connection.drain_events(timeout=_PATIENCE)
            except TimeoutError:
                continue

    def _break_off(self) -> None:
        """Without a goodbye: a broker that blocks us does not read it."""
        connection, self._connection = self._connection, None
        self._blocked = ""
        if connection is not None:
            connection.collect()

    def _on_ack(self, *_: Any) -> None:
        self._taken = True

    def _on_nack(self, *_: Any) -> None:
        self._taken = False

    def _on_return(self, *_: Any) -> None:
        self._unroutable = True

    def _on_blocked(self, reason: str) -> None:
        self._blocked = reason or "blocked"

    def _on_unblocked(self) -> None:
        self._blocked = ""
