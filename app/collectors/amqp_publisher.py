"""Publishes tasks to RabbitMQ: each message is confirmed by it, or known not to have been taken.

RabbitMQ can't be asked whether it has a message. Where the program dies between a message and its confirmation, or
before that is written down, the message is sent again when the act is taken up: with the same id, and that is told.
"""

from collections.abc import Callable, Sequence
from typing import Any

from amqp import spec

from app.collectors.access import Grant
from app.collectors.amqp import AmqpAddress
from app.collectors.amqp_guard import Guard
from app.collectors.amqp_publish import ConfirmedPublisher
from app.collectors.envelope import TaskMessage, for_amqp
from app.collectors.errors import BrokerError
from app.collectors.publisher import MAILBOX, Route, Sent, Unroutable, unroutable


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
        self._publisher = ConfirmedPublisher(address, _publishing(address, grant), "cloche-acts")
        self._on_command = on_command

    def publish(self, message: TaskMessage, route: Route) -> Sent:
        self._on_command(1)
        try:
            self._publisher.publish(for_amqp(message), route.exchange, route.routing_key)
        except BrokerError as error:
            if error.fault == "absent":
                raise unroutable(route) from error
            if error.fault == "full":
                raise Unroutable(str(error)) from error
            raise
        return "sent"

    def settle(self) -> None:
        """Nothing was written down."""

    def close(self) -> None:
        self._publisher.close()
