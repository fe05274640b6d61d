"""Publishes tasks to RabbitMQ, each of them once, however often an act is taken up again; see `amqp_sent`."""

from collections.abc import Callable

from app.collectors.access import Grant
from app.collectors.amqp import MAX_NAME, AmqpAddress
from app.collectors.amqp_publish import NotTaken
from app.collectors.amqp_sent import SentLedger, publishing
from app.collectors.envelope import TaskMessage, for_amqp
from app.collectors.publisher import MAILBOX, SENT, Route, Sent, Unroutable, no_queue, unroutable


class AmqpPublisher:
    """Publishes the messages of one act to RabbitMQ; it connects with the first of them."""

    def __init__(self, address: AmqpAddress, act: str, grant: Grant, *, on_command: Callable[[int], None]) -> None:
        self._address = address
        self._act = act
        self._guard = publishing(act, grant, self._takes)
        self._on_command = on_command
        self._ledger: SentLedger | None = None

    def publish(self, message: TaskMessage, route: Route) -> Sent:
        if max(len(route.exchange.encode()), len(route.routing_key.encode())) > MAX_NAME:
            raise unroutable(Route(route.exchange[:MAX_NAME], route.routing_key[:MAX_NAME]))
        if not self._takes(route.exchange, route.routing_key):
            raise no_queue(route.routing_key or route.exchange)
        ledger = self._connected()
        self._on_command(1)
        before = ledger.before(message.id)
        if before == "heard":
            return "before"
        if before == "unheard":
            if not route.exchange and not ledger.there(route.routing_key):
                raise unroutable(route)
            return "unheard"
        try:
            ledger.carry_out(message.id, [(for_amqp(message), route.exchange, route.routing_key)])
        except NotTaken as error:
            raise Unroutable(str(error)) if error.full else unroutable(route) from error
        return "again" if before == "maybe" else "sent"

    def settle(self) -> None:
        self._on_command(1)
        self._connected().delete()

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()

    def _connected(self) -> SentLedger:
        if self._ledger is None:
            self._ledger = SentLedger(self._address, self._act, self._guard)
        return self._ledger

    def _takes(self, exchange: str, routing_key: str) -> bool:
        """Whether tasks may go there: anywhere but to events, workers' mailboxes and ledgers."""
        is_mailbox = exchange.endswith(MAILBOX) or routing_key.endswith(MAILBOX)
        return not is_mailbox and exchange != self._address.event_exchange and not routing_key.startswith(SENT)
