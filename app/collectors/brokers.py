"""The one place that knows which kinds of broker there are: from an address to what listens, looks and asks there."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

import msgspec
import redis

from app.collectors import amqp as rabbitmq
from app.collectors import amqp_messages
from app.collectors.access import Grant
from app.collectors.amqp_control import AmqpControl
from app.collectors.amqp_events import AmqpEvents
from app.collectors.amqp_guard import SIGNING_IN
from app.collectors.amqp_publisher import AmqpPublisher
from app.collectors.amqp_queues import AmqpQueues
from app.collectors.amqp_rights import grant
from app.collectors.amqp_vault import AmqpVault
from app.collectors.clean import clean_word
from app.collectors.control import Control
from app.collectors.errors import BrokerError
from app.collectors.guard import GREETING
from app.collectors.kombu_events import KombuAddress, KombuEvents, kombu_address
from app.collectors.publisher import Publisher
from app.collectors.queues import NoQueues, Queues
from app.collectors.redis_client import redis_client
from app.collectors.redis_control import RedisControl
from app.collectors.redis_errors import broker_error
from app.collectors.redis_events import RedisEvents
from app.collectors.redis_finder import Found, RedisFinder
from app.collectors.redis_messages import Page, peek
from app.collectors.redis_publisher import RedisPublisher
from app.collectors.redis_queues import RedisQueues
from app.collectors.redis_survey import RedisSurvey
from app.collectors.redis_vault import RedisVault
from app.collectors.ssh import JumpHost
from app.collectors.subscriber import Subscriber
from app.collectors.transport import RedisAddress, redis_address
from app.collectors.vault import Vault
from app.models.options import RABBITMQ_SCHEMES
from app.models.profiles import BACKEND, Mode
from app.models.surveys import MARKS, Survey
from app.models.wire import Configure, Examine

#: Schemes of Redis, which never goes through kombu: that would re-run other people's tasks (SAFETY 1.1).
_REDIS: Final = ("redis", "rediss", "sentinel", "")

_TAKES: Final = "Messages can't be looked at over this kind of broker without taking them."
_STAYS: Final = "Messages can't be taken out of a queue over this kind of broker."

Wake = Callable[[], None]
OnCommand = Callable[[int], None]


class Remedies(msgspec.Struct, frozen=True):
    """What to do about what a broker refuses."""

    sign_in: str
    listen: str
    queues: str
    #: To have workers answer; and to have queues described, "" where no other interface of the broker does.
    ask: str = "Without it, pools and slots stay unknown. Watching works."
    describe: str = ""


class Surveyor(Protocol):
    """Looks through a queue, a piece at a time; see `RedisSurvey`. Not thread-safe."""

    survey: Survey

    def look(self) -> None:
        """Look at one more piece. Raises `BrokerError`."""

    def rest(self) -> None:
        """Close the connection; the next look opens another."""


class Broker(Protocol):
    """One broker under one address: what may be done there. No connection is made before one of these is used."""

    @property
    def shown(self) -> str:
        """The address without password, for people."""

    @property
    def jump_host(self) -> JumpHost | None:
        """What all connections go through, if they do."""

    @property
    def source(self) -> str:
        """Where events come from there, by its name in the broker."""

    @property
    def signs_in(self) -> bool:
        """Whether there is a password to sign in with."""

    @property
    def remedies(self) -> Remedies:
        """What to do about refusals."""

    def greet(self) -> str:
        """Connect, sign in, and leave; what the server calls itself, or "". Raises `BrokerError`."""

    def events(self, wake: Wake, mode: Mode) -> Subscriber:
        """A listener to its events, not started."""

    def queues(self, names: Iterable[str], *, on_command: OnCommand) -> Queues:
        """What looks at its queues; ``names`` are always shown."""

    def control(self, mode: Mode, *, on_command: OnCommand, grant: Grant | None = None) -> Control | None:
        """What asks its workers, and tells them what to do under a grant; None where that is not possible."""

    @property
    def marks(self) -> bool:
        """Whether messages are marked by a look, so that it takes operate mode and somebody who wants it."""

    def peek(self, queue: str, mode: Mode, *, start: int, count: int, newest: bool) -> Page:
        """Messages that wait in a queue, looked at and not taken; see `redis_messages.peek`. Raises `BrokerError`."""

    def survey(self, queue: str, wanted: str = "") -> Surveyor:
        """What looks through a queue. Raises `BrokerError` where that can't be done."""

    def vault(self, mode: Mode, *, on_command: OnCommand) -> Vault:
        """What moves its messages. Raises `BrokerError` where that can't be done."""

    def find(self, ids: Iterable[str], queues: Iterable[str], *, give_up: Callable[[], bool]) -> dict[str, Found]:
        """The messages of tasks, as they lie in the broker, by the ids; of those that can be found without taking any.

        It looks into these ``queues`` first. Raises `BrokerError`.
        """

    @property
    def tells_sent(self) -> bool:
        """Whether it is known after a crash what a publisher sent."""

    def publisher(self, act: str, grant: Grant, *, on_command: OnCommand) -> Publisher:
        """What publishes the messages of one act. Raises `BrokerError` where that can't be done."""

    def drop(self) -> None:
        """Break off connections that may be dead since the computer slept."""


class _Redis(msgspec.Struct, frozen=True):
    address: RedisAddress

    @property
    def shown(self) -> str:
        return self.address.shown

    @property
    def jump_host(self) -> JumpHost | None:
        return self.address.line.jump_host

    @property
    def source(self) -> str:
        return self.address.event_channel

    @property
    def signs_in(self) -> bool:
        return self.address.password is not None

    @property
    def remedies(self) -> Remedies:
        return Remedies(
            "Put the password into the address: redis://user:password@host:port/0.",
            f"Grant the user the channel: ACL SETUSER … &{self.address.event_channel}/* +psubscribe.",
            "Grant the user +llen +hlen +lindex +hvals +memory|usage +scan +sscan on the broker's keys.",
        )

    def greet(self) -> str:
        client = redis_client(self.address, "cloche-doctor", GREETING)
        try:
            client.ping()
            return f"Redis {client.info('server')['redis_version']}"
        except (redis.exceptions.NoPermissionError, KeyError):
            # INFO is often not permitted, and not needed.
            return ""
        except (redis.RedisError, OSError) as error:
            raise broker_error(error, self.address) from error
        finally:
            client.close()

    def events(self, wake: Wake, mode: Mode) -> Subscriber:
        del mode
        return RedisEvents(self.address, wake)

    def queues(self, names: Iterable[str], *, on_command: OnCommand) -> Queues:
        return RedisQueues(self.address, names, on_command=on_command)

    def control(self, mode: Mode, *, on_command: OnCommand, grant: Grant | None = None) -> Control:
        return RedisControl(self.address, mode, on_command=on_command, grant=grant)

    @property
    def marks(self) -> bool:
        return False

    def peek(self, queue: str, mode: Mode, *, start: int, count: int, newest: bool) -> Page:
        del mode  # a look changes nothing on Redis
        return peek(self.address, queue, start=start, count=count, newest=newest)

    def survey(self, queue: str, wanted: str = "") -> Surveyor:
        return RedisSurvey(self.address, queue, wanted)

    def vault(self, mode: Mode, *, on_command: OnCommand) -> Vault:
        del mode  # nothing is moved without a grant
        return RedisVault(self.address, on_command=on_command)

    def find(self, ids: Iterable[str], queues: Iterable[str], *, give_up: Callable[[], bool]) -> dict[str, Found]:
        return RedisFinder(self.address, give_up).find(ids, queues)

    @property
    def tells_sent(self) -> bool:
        return True

    def publisher(self, act: str, grant: Grant, *, on_command: OnCommand) -> Publisher:
        return RedisPublisher(self.address, act, grant, on_command=on_command)

    def drop(self) -> None:
        self.address.line.drop()


class _RabbitMQ(msgspec.Struct, frozen=True):
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

    def find(self, ids: Iterable[str], queues: Iterable[str], *, give_up: Callable[[], bool]) -> dict[str, Found]:
        del ids, queues, give_up  # a look would mark them, and take them from workers for a moment
        return {}

    @property
    def tells_sent(self) -> bool:
        return False

    def publisher(self, act: str, grant: Grant, *, on_command: OnCommand) -> Publisher:
        del act  # what was sent can't be written down in RabbitMQ
        return AmqpPublisher(self.address, grant, on_command=on_command)

    def drop(self) -> None:
        # Its listener would lose what waits for it in its queue, and finds out by itself; so do the others.
        pass


class _Kombu(msgspec.Struct, frozen=True):
    address: KombuAddress

    @property
    def shown(self) -> str:
        return self.address.shown

    @property
    def jump_host(self) -> None: ...

    @property
    def source(self) -> str:
        return f"the exchange {clean_word(self.address.event_exchange)}"

    @property
    def signs_in(self) -> bool:
        return self.address.password is not None

    @property
    def remedies(self) -> Remedies:
        told = f"kombu's documentation of its transport {self.address.scheme!r} tells what it needs."
        return Remedies(told, told, told)

    def greet(self) -> str:
        return f"kombu's transport {self.address.scheme!r}"

    def events(self, wake: Wake, mode: Mode) -> Subscriber:
        del mode
        return KombuEvents(self.address, wake)

    def queues(self, names: Iterable[str], *, on_command: OnCommand) -> Queues:
        del names, on_command
        return NoQueues()

    def control(self, mode: Mode, *, on_command: OnCommand, grant: Grant | None = None) -> None:
        del mode, on_command, grant

    @property
    def marks(self) -> bool:
        return False

    def peek(self, queue: str, mode: Mode, *, start: int, count: int, newest: bool) -> Page:
        del queue, mode, start, count, newest
        raise BrokerError("protocol", _TAKES)

    def survey(self, queue: str, wanted: str = "") -> Surveyor:
        del queue, wanted
        raise BrokerError("protocol", _TAKES)

    def vault(self, mode: Mode, *, on_command: OnCommand) -> Vault:
        del mode, on_command
        raise BrokerError("protocol", f"Messages can't be moved over kombu's transport {self.address.scheme!r}.")

    def find(self, ids: Iterable[str], queues: Iterable[str], *, give_up: Callable[[], bool]) -> dict[str, Found]:
        del ids, queues, give_up
        return {}

    @property
    def tells_sent(self) -> bool:
        return False

    def publisher(self, act: str, grant: Grant, *, on_command: OnCommand) -> Publisher:
        del act, grant, on_command
        raise BrokerError("protocol", "Cloche sends tasks over Redis and RabbitMQ only.")

    def drop(self) -> None: ...


def broker_of(asked: Configure | Examine) -> Broker:
    """The broker of a connection. Raises `BrokerError` (fault ``address``) for one that can't be used."""
    # The result backend is another server.
    options = {key: value for key, value in asked.options.items() if key != BACKEND}
    return broker_at(asked.url, asked.password, options)


def broker_at(url: str, password: str | None = None, options: Mapping[str, str] | None = None) -> Broker:
    """The broker of a URL, by its scheme. Raises `BrokerError` (fault ``address``) for one that can't be used."""
    scheme = url.partition("://")[0].partition("+")[0].lower()
    if scheme in RABBITMQ_SCHEMES:
        return _RabbitMQ(rabbitmq.amqp_address(url, password, dict(options or {})))
    if scheme in _REDIS:
        return _Redis(redis_address(url, password, dict(options or {})))
    return _Kombu(kombu_address(url, password, options))
