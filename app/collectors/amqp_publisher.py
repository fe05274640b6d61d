"""Publishes tasks to RabbitMQ: each message is confirmed by it, or known not to have been taken.

RabbitMQ can't be asked whether it has a message. Where the program dies between a message and its confirmation, or
before that is written down, the message is sent again when the act is taken up: with the same id, and that is told.
"""

from collections.abc import Callable, Sequence
from typing import Any

import amqp
from amqp import spec
from amqp.exceptions import MessageNacked, NotFound

from app.collectors.access import Grant
from app.collectors.amqp import FAILURES, AmqpAddress, amqp_connection, amqp_error, blocked
from app.collectors.amqp_guard import Guard
from app.collectors.envelope import TaskMessage, for_amqp
from app.collectors.errors import BrokerError
from app.collectors.publisher import MAILBOX, Route, Sent, unroutable
from app.collectors.transport import ANSWER_TIMEOUT


def _publishing(address: AmqpAddress, grant: Grant) -> Guard:
    """Lets messages through that RabbitMQ has to give back where they lead nowhere, while an act has its grant."""

    def publishes(arguments: Sequence[Any]) -> bool:
        _, exchange, routing_key, mandatory, _ = arguments
        grant.require()
        is_mailbox = exchange.endswith(MAILBOX) or routing_key.endswith(MAILBOX)
        return bool(mandatory) and not is_mailbox and exchange != address.event_exchange

    return Guard({spec.Basic.Publish: publishes, spec.Confirm.Select: lambda _: True})


class AmqpPublisher:
    """Publishes the messages of one act to RabbitMQ."""

    def __init__(self, address: AmqpAddress, grant: Grant, *, on_command: Callable[[int], None]) -> None:
        self._address = address
        self._guard = _publishing(address, grant)
        self._on_command = on_command
        self._connection: amqp.Connection | None = None
        self._channel: amqp.Channel | None = None
        self._returned = False
        self._blocked = ""

    def publish(self, message: TaskMessage, route: Route) -> Sent:
        self._on_command(1)
        try:
            channel = self._open()
            self._returned = False
            channel.basic_publish_confirm(
                for_amqp(message), route.exchange, route.routing_key, mandatory=True, confirm_timeout=ANSWER_TIMEOUT
            )
        except MessageNacked as error:
            raise BrokerError(
                "busy", f"RabbitMQ did not take the message for {route}. Its queue may be full."
            ) from error
        except NotFound as error:
            self._channel = None
            raise unroutable(route) from error
        except FAILURES as error:
            self.close()
            if self._blocked:
                raise blocked(self._address, self._blocked) from error
            raise amqp_error(error, self._address) from error
        if self._returned:
            raise unroutable(route)
        return "sent"

    def settle(self) -> None:
        """Nothing was written down."""

    def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is None:
            return
        try:
            if self._blocked:
                connection.collect()
            else:
                connection.close()
        except FAILURES:
            connection.collect()

    def _open(self) -> amqp.Channel:
        if self._connection is None or not self._connection.connected:
            self._connection = amqp_connection(self._address, "cloche-acts", self._guard)
            self._connection.on_blocked = self._on_blocked
            self._channel = None
        if self._channel is None:
            self._channel = self._connection.channel()
            self._channel.events["basic_return"].add(self._on_return)
        return self._channel

    def _on_return(self, *_: object) -> None:
        self._returned = True

    def _on_blocked(self, reason: str) -> None:
        self._blocked = reason or "blocked"
