"""A RabbitMQ as a broker."""

from collections.abc import Callable, Iterable

import msgspec

from app.collectors import amqp as rabbitmq
from app.collectors import amqp_messages
from app.collectors.access import Grant
from app.collectors.amqp_control import AmqpControl
from app.collectors.amqp_events import AmqpEvents
from app.collectors.amqp_filler import AmqpFiller
from app.collectors.amqp_finder import AmqpFinder
from app.collectors.amqp_guard import SIGNING_IN
from app.collectors.amqp_publisher import AmqpPublisher
from app.collectors.amqp_queues import AmqpQueues
from app.collectors.amqp_rights import grant
from app.collectors.amqp_vault import AmqpVault
from app.collectors.broker import OnCommand, Remedies, Surveyor, Wake
from app.collectors.clean import clean_word
from app.collectors.control import Control
from app.collectors.errors import BrokerError
from app.collectors.filler import Filler, Product
from app.collectors.messages import Page
from app.collectors.originals import Search
from app.collectors.publisher import Publisher
from app.collectors.queues import Queues
from app.collectors.ssh import JumpHost
from app.collectors.subscriber import Subscriber
from app.collectors.vault import Vault
from app.models import wire
from app.models.profiles import Mode
from app.models.surveys import MARKS


class AmqpBroker(msgspec.Struct, frozen=True):
    """See `Broker`."""

    address: rabbitmq.AmqpAddress

    @property
    def shown(self) -> str:
        return self.address.shown

    @property
    def jump_host(self) -> JumpHost | None:
        return self.address.line.jump_host

    @property
    def source(self) -> str:
        return f"the exchange {clean_word(self.address.event_exchange)}"

    @property
    def signs_in(self) -> bool:
        return True

    @property
    def remedies(self) -> Remedies:
        return Remedies(
            "Put the password into the address: amqp://user:password@host:port/virtual-host.",
            f"Grant the user these rights: {grant(self.address, 'passive')}",
            "Any user of the virtual host may ask for a queue's length; check the virtual host in the address.",
            f"To ask workers, grant the user these rights: {grant(self.address, 'observe')}",
            f"Give management_url={self.address.usual_management}, or where it is, and the user the tag management.",
        )

    def greet(self) -> str:
        connection = rabbitmq.amqp_connection(self.address, "cloche-doctor", SIGNING_IN)
        told = connection.server_properties
        try:
            connection.close()
        except rabbitmq.FAILURES:
            connection.collect()
        return clean_word(f"{told.get('product', 'AMQP 0-9-1')} {told.get('version', '')}"[: rabbitmq.MAX_WORDS])

    def events(self, wake: Wake, mode: Mode) -> Subscriber:
        return AmqpEvents(self.address, wake, mode)

    def queues(self, names: Iterable[str], *, on_command: OnCommand) -> Queues:
        return AmqpQueues(self.address, names, on_command=on_command)

    def control(self, mode: Mode, *, on_command: OnCommand, grant: Grant | None = None) -> Control:
        return AmqpControl(self.address, mode, on_command=on_command, grant=grant)

    @property
    def product(self) -> Product:
        return "RabbitMQ"

    @property
    def marks(self) -> bool:
        return True

    def peek(self, queue: str, mode: Mode, *, start: int, count: int, newest: bool) -> Page:
        if start or newest:
            raise BrokerError("protocol", "RabbitMQ shows only the messages that are delivered next.")
        return amqp_messages.peek(self.address, queue, mode, count=count)

    def survey(self, queue: str, wanted: str = "") -> Surveyor:
        del queue, wanted
        raise BrokerError("permission", f"{MARKS} So Cloche does not look through whole queues there.")

    def vault(self, mode: Mode, *, on_command: OnCommand) -> Vault:
        return AmqpVault(self.address, mode, on_command=on_command)

    def find(self, ids: Iterable[str], queues: Iterable[str], mode: Mode, *, give_up: Callable[[], bool]) -> Search:
        finder = AmqpFinder(self.address, mode, give_up)
        return Search(finder.find(ids, queues), finder.complete)

    def publisher(self, act: str, grant: Grant, *, on_command: OnCommand) -> Publisher:
        return AmqpPublisher(self.address, act, grant, on_command=on_command)

    def filler(self, act: str, queue: str, grant: Grant, *, readdress: bool, on_command: OnCommand) -> Filler:
        del readdress  # a message does not say where it is
        return AmqpFiller(self.address, act, queue, grant, on_command=on_command)

    def acting(self, queue: str) -> wire.Found:
        del queue
        text = "RabbitMQ tells nobody what a user may do but by letting him do it."
        return wire.Found("acting", None, text, "What acts take is listed in docs/harmless.md.")

    def drop(self) -> None:
        # Its listener would lose what waits for it in its queue, and finds out by itself; so do the others.
        pass
