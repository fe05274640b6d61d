"""The one place that knows which kinds of broker there are: from an address to what listens, looks and asks there."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

import msgspec
import redis

from app.collectors import amqp as rabbitmq
from app.collectors.amqp_control import AmqpControl
from app.collectors.amqp_events import AmqpEvents
from app.collectors.amqp_queues import AmqpQueues
from app.collectors.clean import clean_word
from app.collectors.control import Control
from app.collectors.errors import BrokerError
from app.collectors.guard import GREETING
from app.collectors.kombu_events import KombuAddress, KombuEvents, kombu_address
from app.collectors.queues import NoQueues, Queues
from app.collectors.redis_client import redis_client
from app.collectors.redis_control import RedisControl
from app.collectors.redis_errors import broker_error
from app.collectors.redis_events import RedisEvents
from app.collectors.redis_messages import Page, peek
from app.collectors.redis_queues import RedisQueues
from app.collectors.subscriber import Subscriber
from app.collectors.transport import RedisAddress, redis_address
from app.models.options import RABBITMQ_SCHEMES
from app.models.profiles import BACKEND, Mode
from app.models.wire import Configure, Examine

#: Schemes of Redis, which never goes through kombu: that would re-run other people's tasks (SAFETY 1.1).
_REDIS: Final = ("redis", "rediss", "sentinel", "")

Wake = Callable[[], None]
OnCommand = Callable[[int], None]


class Remedies(msgspec.Struct, frozen=True):
    """What to do about what a broker refuses."""

    sign_in: str
    listen: str
    queues: str


class Broker(Protocol):
    """One broker under one address: what may be done there. No connection is made before one of these is used."""

    @property
    def shown(self) -> str:
        """The address without password, for people."""

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

    def events(self, wake: Wake) -> Subscriber:
        """A listener to its events, not started."""

    def queues(self, names: Iterable[str], *, on_command: OnCommand) -> Queues:
        """What looks at its queues; ``names`` are always shown."""

    def control(self, mode: Mode, *, on_command: OnCommand) -> Control | None:
        """What asks its workers; None where that is not possible."""

    def peek(self, queue: str, *, start: int, count: int, newest: bool) -> Page:
        """Messages that wait in a queue, looked at and not taken; see `redis_messages.peek`. Raises `BrokerError`."""

    def drop(self) -> None:
        """Break off connections that may be dead since the computer slept."""


class _Redis(msgspec.Struct, frozen=True):
    address: RedisAddress

    @property
    def shown(self) -> str:
        return self.address.shown

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

    def events(self, wake: Wake) -> Subscriber:
        return RedisEvents(self.address, wake)

    def queues(self, names: Iterable[str], *, on_command: OnCommand) -> Queues:
        return RedisQueues(self.address, names, on_command=on_command)

    def control(self, mode: Mode, *, on_command: OnCommand) -> Control:
        return RedisControl(self.address, mode, on_command=on_command)

    def peek(self, queue: str, *, start: int, count: int, newest: bool) -> Page:
        return peek(self.address, queue, start=start, count=count, newest=newest)

    def drop(self) -> None:
        self.address.line.drop()


class _RabbitMQ(msgspec.Struct, frozen=True):
    address: rabbitmq.AmqpAddress

    @property
    def shown(self) -> str:
        return self.address.shown

    @property
    def source(self) -> str:
        return f"the exchange {clean_word(self.address.event_exchange)}"

    @property
    def signs_in(self) -> bool:
        return True

    @property
    def remedies(self) -> Remedies:
        events, control = self.address.event_exchange, self.address.control_exchange
        ours = rf"{events}(\.cloche\..*)?|(.*\.)?reply\.{control}\.pidbox"
        written = rf"{events}\.cloche\..*|.*\.reply\.{control}\.pidbox|{control}\.pidbox"
        rights = f"configure ^({ours})$, write ^({written})$, read ^({ours})$"
        return Remedies(
            "Put the password into the address: amqp://user:password@host:port/virtual-host.",
            f"Grant the user, by rabbitmqctl set_permissions: {rights}.",
            "Any user of the virtual host may ask for a queue's length; check the virtual host in the address.",
        )

    def greet(self) -> str:
        connection = rabbitmq.amqp_connection(self.address, "cloche-doctor")
        told = connection.server_properties
        try:
            connection.close()
        except rabbitmq.FAILURES:
            connection.collect()
        return clean_word(f"{told.get('product', 'AMQP 0-9-1')} {told.get('version', '')}"[: rabbitmq.MAX_WORDS])

    def events(self, wake: Wake) -> Subscriber:
        return AmqpEvents(self.address, wake)

    def queues(self, names: Iterable[str], *, on_command: OnCommand) -> Queues:
        return AmqpQueues(self.address, names, on_command=on_command)

    def control(self, mode: Mode, *, on_command: OnCommand) -> Control:
        return AmqpControl(self.address, mode, on_command=on_command)

    def peek(self, queue: str, *, start: int, count: int, newest: bool) -> Page:
        del queue, start, count, newest
        raise BrokerError(
            "permission",
            "RabbitMQ marks messages as redelivered when somebody looks at them, so Cloche does not in this version.",
        )

    def drop(self) -> None:
        # Its listener would lose what waits for it in its queue, and finds out by itself; so do the others.
        pass


class _Kombu(msgspec.Struct, frozen=True):
    address: KombuAddress

    @property
    def shown(self) -> str:
        return self.address.shown

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

    def events(self, wake: Wake) -> Subscriber:
        return KombuEvents(self.address, wake)

    def queues(self, names: Iterable[str], *, on_command: OnCommand) -> Queues:
        del names, on_command
        return NoQueues()

    def control(self, mode: Mode, *, on_command: OnCommand) -> None:
        del mode, on_command

    def peek(self, queue: str, *, start: int, count: int, newest: bool) -> Page:
        del queue, start, count, newest
        raise BrokerError("protocol", "Messages can't be looked at over this kind of broker without taking them.")

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
