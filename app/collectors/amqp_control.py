"""Remote control over RabbitMQ: a request to the workers' mailboxes, and a queue of our own for their answers."""

import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import amqp
import msgspec
from amqp.exceptions import NotFound, ResourceLocked

from app.collectors.access import Grant
from app.collectors.amqp import FAILURES, AmqpAddress, amqp_connection, amqp_error, blocked
from app.collectors.amqp_guard import asking
from app.collectors.control import EXACT, PATIENCE, Control, Hearing, ReplyTo, Request, read_answer, reply_exchange
from app.collectors.errors import BrokerError
from app.models.profiles import Mode

#: Seconds to listen whether the broker still blocks us.
LISTEN: Final = 0.05
#: Milliseconds after which RabbitMQ drops a queue for answers that nobody reads; kombu has the same.
EXPIRES: Final = 10_000
#: Answers, and bytes of them, that it keeps at most: no more workers are known at all.
MAX_LENGTH: Final = 20_000
MAX_BYTES: Final = 64 << 20


class AmqpControl(Control):
    """Asks workers through ``kombu.pidbox``'s exchanges (PROTOCOL 3.2)."""

    def __init__(
        self, address: AmqpAddress, mode: Mode, *, on_command: Callable[[int], None], grant: Grant | None = None
    ) -> None:
        super().__init__(mode, on_command=on_command, grant=grant)
        self._address = address
        self._guard = asking(address.control_exchange, mode, grant)
        self._connection: amqp.Connection | None = None
        #: Why the broker lets nobody publish, in its words; "" where it does.
        self._blocked = ""
        self._used = 0.0

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if self._blocked:
                connection.collect()  # the broker does not even read a goodbye
            else:
                connection.close()
        except FAILURES:
            connection.collect()
        self._blocked = ""

    def present(self, hostnames: Sequence[str], timeout: float = 1.0) -> dict[str, bool]:
        """Whether each worker's mailbox exists, which goes with its connection."""
        del timeout
        self.allow("ping")
        with self._connected() as connection:
            return {name: self._has_mailbox(connection, name) for name in hostnames}

    def _has_mailbox(self, connection: amqp.Connection, hostname: str) -> bool:
        self._on_command(1)
        channel = connection.channel()
        try:
            channel.queue_declare(f"{hostname}.{self._address.control_exchange}.pidbox", passive=True)
        except NotFound:
            return False
        except ResourceLocked:
            # Since kombu 5.6 only its own connection may use it.
            return True
        else:
            return True
        finally:
            channel.close()  # which py-amqp has opened again where it was refused something

    def _answers(
        self,
        command: str,
        arguments: Mapping[str, Any],
        destination: Sequence[str] | None,
        hearing: Hearing,
        timeout: float,
    ) -> Iterator[tuple[str, Any]]:
        asked = Request.of(command, arguments, destination, *self._reply_to())
        with self._connected() as connection:
            deadline = time.monotonic() + timeout
            channel = connection.channel()
            try:
                yield from self._heard(channel, asked.unanswered() if hearing.nobody else asked, hearing, deadline)
            except GeneratorExit:
                # Who wants no more answers is not kept waiting; the queue for them goes with its connection.
                self.close()
                raise
            channel.close()

    @contextmanager
    def _connected(self) -> Iterator[amqp.Connection]:
        """A connection that stands. What fails of it is a `BrokerError`."""
        if self._blocked:
            self._wait_for_room()
        if time.monotonic() - self._used > self._address.heartbeat / 2:
            # Nobody gives signs of life between questions, so the broker has given it up, or will.
            self.close()
        if self._connection is None:
            self._connection = amqp_connection(self._address, "cloche-control", self._guard)
            self._connection.on_blocked, self._connection.on_unblocked = self._on_blocked, self._on_unblocked
        self._used = time.monotonic()
        try:
            yield self._connection
        except (*FAILURES, BrokerError) as error:
            if not self._blocked and self._connection is not None:
                # It would not listen to a goodbye either.
                self._connection.collect()
                self._connection = None
            raise amqp_error(error, self._address) from error

    def _wait_for_room(self) -> None:
        """Raises what was raised when the broker began to block us, until it says on that connection that it ended."""
        try:
            while self._connection is not None and self._blocked:
                self._connection.drain_events(timeout=LISTEN)
        except TimeoutError:
            pass
        except FAILURES:
            self._blocked = ""
        if self._blocked:
            raise blocked(self._address, self._blocked)
        # Nobody was heard over it for long.
        self.close()

    def _reply_to(self) -> tuple[str, str]:
        return reply_exchange(self._address.control_exchange), str(uuid.uuid4())

    def _heard(
        self, channel: amqp.Channel, asked: Request, hearing: Hearing, deadline: float
    ) -> Iterator[tuple[str, Any]]:
        mailboxes = f"{self._address.control_exchange}.pidbox"
        self._on_command(6)
        self.listening = None
        try:
            channel.exchange_declare(mailboxes, "fanout", passive=True)
        except NotFound:
            # The first worker makes it, so there is none.
            self.listening = 0
            return
        came = deque[tuple[str, Any]]()
        unheard = _Unheard()
        channel.events["basic_return"].add(unheard)
        consumer = None if asked.reply_to is None else self._listen(channel, asked, asked.reply_to, hearing, came)
        message = amqp.Message(
            msgspec.json.encode(asked),
            content_type="application/json",
            content_encoding="utf-8",
            application_headers=asked.headers(deadline),
            delivery_mode=1,
        )
        channel.basic_publish(message, mailboxes, mandatory=True)
        if consumer is None:
            # Once this is answered, what nobody heard has come back.
            channel.exchange_declare(mailboxes, "fanout", passive=True)
        while not (unheard or self._stopping.is_set() or hearing.complete(None)):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                channel.connection.drain_events(timeout=min(left, PATIENCE))
            except TimeoutError:
                continue
            while came:
                yield came.popleft()
            if self._blocked:
                raise blocked(self._address, self._blocked)
        if unheard:
            self.listening = 0
        if consumer is not None:
            # The queue goes with its only consumer, and what is answered from here on with it.
            channel.basic_cancel(consumer)

    def _listen(
        self, channel: amqp.Channel, asked: Request, reply_to: ReplyTo, hearing: Hearing, came: deque[tuple[str, Any]]
    ) -> str:
        """Consume a new queue that is bound to an exchange, which is declared as kombu would where it is missing."""

        def take(reply: amqp.Message) -> None:
            exact = asked.method in EXACT
            answer = hearing.take(read_answer(reply.body, reply.headers or {}, asked.ticket, exact=exact))
            if answer is not None:
                came.append(answer)

        exchange, key = reply_to.exchange, reply_to.routing_key
        try:
            channel.exchange_declare(exchange, "direct", passive=True)
        except NotFound:
            channel.exchange_declare(exchange, "direct", durable=False, auto_delete=False)
        arguments = {"x-expires": EXPIRES, "x-max-length": MAX_LENGTH, "x-max-length-bytes": MAX_BYTES}
        queue = f"{key}.{exchange}"
        channel.queue_declare(queue, exclusive=True, auto_delete=True, arguments=arguments)
        channel.queue_bind(queue, exchange, key)
        consumer: str = channel.basic_consume(queue, no_ack=True, callback=take)
        return consumer

    def _on_blocked(self, reason: str) -> None:
        self._blocked = reason or "blocked"

    def _on_unblocked(self) -> None:
        self._blocked = ""


class _Unheard:
    """True once RabbitMQ gave a request back because nobody listens."""

    def __init__(self) -> None:
        self._returned = False

    def __call__(self, *_: object) -> None:
        self._returned = True

    def __bool__(self) -> bool:
        return self._returned
