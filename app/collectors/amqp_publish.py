"""Publishing to RabbitMQ in transactions, each of which is carried out as a whole, or not at all."""

import time
from collections.abc import Iterable
from typing import Any, Final

import amqp
from amqp import spec
from amqp.exceptions import NotFound, PreconditionFailed, ResourceLocked

from app.collectors.amqp import AmqpAddress, amqp_channel, amqp_connection, blocked
from app.collectors.amqp_guard import Guard

#: Seconds to wait for another connection to be done with.
_PATIENCE: Final = 5.0
_PAUSE: Final = 0.05


#: A message, and where it is published to: an exchange, with a routing key.
Publication = tuple[amqp.Message, str, str]


class RawMessage(amqp.Message):  # type: ignore[misc]  # py-amqp has no types
    """A message whose properties are bytes as they stand in AMQP: flags, then values, headers included.

    py-amqp reads the numbers of a table without their type, and writes them with another. So what was received, and has
    to stay as it is, is sent by this.
    """

    def __init__(self, properties: bytes, body: bytes) -> None:
        super().__init__(body)
        self._raw = properties

    def _serialize_properties(self) -> bytes:
        return self._raw


class NotTaken(Exception):
    """RabbitMQ did not take a message of a transaction; a sentence.

    It was refused by a queue that is ``full``, or leads nowhere. All of the transaction was ``forgotten`` then, or else
    the others were carried out.
    """

    def __init__(self, text: str, *, full: bool = False, forgotten: bool = False) -> None:
        super().__init__(text)
        self.full = full
        self.forgotten = forgotten


class Transactions:
    """One connection with one channel that publishes in transactions. Not thread-safe.

    ``name`` is how RabbitMQ lists it. Raises what `amqp_error` makes a `BrokerError` of; then it is of no use any more.
    """

    def __init__(self, address: AmqpAddress, guard: Guard, name: str) -> None:
        self._address = address
        self._connection = amqp_connection(address, name, guard)
        self._connection.on_blocked = self._on_blocked
        self._returned = 0
        self._channel = self._prepared(amqp_channel(self._connection, address))
        self._in_transactions = False

    def length(self, queue: str) -> int | None:
        """How many messages wait in a queue; None where there is none."""
        try:
            return int(self._channel.queue_declare(queue, passive=True).message_count)
        except NotFound:
            self._anew()
            return None

    def declare(self, queue: str, arguments: dict[str, Any]) -> None:
        """A durable queue."""
        self._channel.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)

    def delete(self, queue: str) -> None:
        """Delete a queue."""
        self._channel.queue_delete(queue)

    def lock(self, queue: str) -> bool:
        """Have a queue that only one connection can have, as long as it lasts; whether that is this one."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            try:
                # A classic queue, as only those can be exclusive.
                self._channel.queue_declare(queue, exclusive=True, arguments={"x-queue-type": "classic"})
            except ResourceLocked:
                self._anew()
                time.sleep(_PAUSE)
            else:
                return True
        return False

    def look(self, queue: str) -> list[bytes]:
        """The bodies of all messages in a queue, which stay there."""
        bodies = []
        while (got := self._channel.basic_get(queue)) is not None:
            bodies.append(got.body if isinstance(got.body, bytes) else str(got.body).encode())
        self._anew()
        return bodies

    def carry_out(self, messages: Iterable[Publication]) -> None:
        """Publish messages in one transaction, and return when that is safe: on disk, or with most of a cluster.

        Raises `NotTaken`, after which it can be gone on with.
        """
        self._returned = 0
        if not self._in_transactions:
            self._channel.tx_select()
            self._in_transactions = True
        try:
            for message, exchange, routing_key in messages:
                # Not by `basic_publish`, which listens each time.
                self._channel.send_method(spec.Basic.Publish, "Bssbb", (0, exchange, routing_key, True, False), message)
            self._channel.tx_commit()
        except NotFound as error:
            self._anew()
            raise NotTaken(f"The broker {self._address.shown} has no such exchange.", forgotten=True) from error
        except PreconditionFailed as error:
            # What RabbitMQ says when a queue refused a message of a transaction: "partial tx completion".
            self._anew()
            text = f"A queue of the broker {self._address.shown} refused what was published: it is full."
            raise NotTaken(text, full=True) from error
        if self._returned:
            raise NotTaken(f"The broker {self._address.shown} has no queue that takes it.")

    def close(self, *, broken: bool = False) -> None:
        """Close the connection; without a goodbye where it is ``broken``: a broker that blocks us does not read it."""
        try:
            if not broken:
                self._connection.close()
        finally:
            self._connection.collect()

    def _anew(self) -> None:
        """Another channel: what was taken and not acknowledged is back where it was."""
        self._channel.close()
        self._channel = self._prepared(self._connection.channel())
        self._in_transactions = False

    def _prepared(self, channel: amqp.Channel) -> amqp.Channel:
        channel.auto_decode = False
        channel.events["basic_return"].add(self._on_return)
        return channel

    def _on_return(self, *_: Any) -> None:
        self._returned += 1

    def _on_blocked(self, reason: str) -> None:
        raise blocked(self._address, reason)
