"""What publishes tasks, whatever the broker: each message once, even where the program dies while it does so."""

from typing import Final, Literal, Protocol

import msgspec

from app.collectors.clean import clean_word
from app.collectors.envelope import TaskMessage

#: Whether a message was *sent* now, or had been sent *before* a crash. RabbitMQ may be in doubt about one: it is sent
#: *again*, maybe, where RabbitMQ itself ended; and *unheard* is that it was sent before, but not whether it was taken.
Sent = Literal["sent", "before", "again", "unheard"]
#: What is called so, with an act's id behind, tells in a broker what that act sent.
SENT: Final = "cloche.sent."
#: The same for people, with the new id.
SAID: Final[dict[Sent, str]] = {
    "sent": "sent as {}",
    "before": "was sent as {} before",
    "again": "sent as {}, maybe for the second time: the broker ended while it was sent",
    "unheard": "was sent as {} before; whether a queue took it was not heard",
}
#: Names of exchanges and lists that carry remote control, and no tasks.
MAILBOX: Final = ".pidbox"


class Route(msgspec.Struct, frozen=True):
    """Where a message goes: to an exchange with a routing key, or to a queue, over the exchange "" with its name."""

    exchange: str
    routing_key: str

    def __str__(self) -> str:
        if not self.exchange:
            return f"the queue {clean_word(self.routing_key)}"
        return f"the exchange {clean_word(self.exchange)} with the routing key “{clean_word(self.routing_key)}”"


class Unroutable(Exception):
    """A message leads nowhere, so it was not sent; a sentence."""


class Publisher(Protocol):
    """Publishes the messages of one act. Not thread-safe."""

    def publish(self, message: TaskMessage, route: Route) -> Sent:
        """Publish a message, unless this act did so before. Raises `Unroutable` and `BrokerError`."""

    def settle(self) -> None:
        """Forget what was sent: the act came to its end, and will never be taken up again. Raises `BrokerError`."""

    def close(self) -> None:
        """Close the connection."""


def unroutable(route: Route) -> Unroutable:
    """What is said where no queue takes a message."""
    if not route.exchange:
        return Unroutable(f"There is no queue {clean_word(route.routing_key)}. Choose another one.")
    return Unroutable(f"No queue takes what goes to {route}. Choose a queue.")


def no_queue(name: str) -> Unroutable:
    """What is said where something else than a queue has this name."""
    return Unroutable(f"{clean_word(name)} can be no queue: Celery or Cloche keep something else there. Choose one.")
