"""Broker addresses, and what can go wrong on the way to one, as typed errors with a sentence."""

import socket
import ssl
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.secrets import Secret

Fault = Literal["address", "network", "auth", "permission", "protocol", "busy"]

#: Seconds to wait for a connection, and for an answer on one.
CONNECT_TIMEOUT: Final = 5.0
ANSWER_TIMEOUT: Final = 5.0

#: kombu's priority lists: what follows the queue's name is this separator and the step.
PRIORITY_STEPS: Final = (0, 3, 6, 9)
PRIORITY_SEPARATOR: Final = "\x06\x16"

#: Celery transport options (``broker_transport_options``) and setting names that a connection understands.
OPTIONS: Final = (
    "global_keyprefix",
    "priority_steps",
    "sep",
    "event_exchange",
    "control_exchange",
    "unacked_key",
    "unacked_index_key",
)


class BrokerError(Exception):
    """A broker can't be used as asked; ``fault`` tells the kind, the text is a sentence with what to do."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


class RedisAddress(msgspec.Struct, frozen=True):
    """Where a Celery application keeps its queues in Redis, and under which names."""

    host: str
    port: int
    database: int
    username: str | None = None
    password: Secret | None = None
    prefix: str = ""
    steps: tuple[int, ...] = PRIORITY_STEPS
    separator: str = PRIORITY_SEPARATOR
    event_exchange: str = "celeryev"
    control_exchange: str = "celery"
    unacked: str = "unacked"

    @property
    def shown(self) -> str:
        """The address without password, for people."""
        return f"{self.host}:{self.port}/{self.database}"

    @property
    def event_channel(self) -> str:
        """Channel that events are published on; a routing key follows it behind a slash."""
        return f"{self.prefix}/{self.database}.{self.event_exchange}"

    @property
    def control_channel(self) -> str:
        """Channel that workers hear remote control on."""
        return f"{self.prefix}/{self.database}.{self.control_exchange}.pidbox"

    def key(self, name: str) -> str:
        """A broker key as it is named in Redis."""
        return self.prefix + name

    def priority_keys(self, queue: str) -> list[str]:
        """Lists that make up a queue, by step of priority; the first is the queue's own name."""
        return [self.key(f"{queue}{self.separator}{step}" if step else queue) for step in self.steps]


def redis_address(url: str, password: str | None = None, options: dict[str, str] | None = None) -> RedisAddress:
    """Address of a ``redis://[user[:password]@]host[:port][/database]`` URL and Celery's transport options.

    Raises `BrokerError` (fault ``address``) with what is wrong with it.
    """
    options = dict(options or {})
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BrokerError("address", f"The broker address can't be read: {error}.") from error
    if parts.scheme != "redis":
        known = {
            "rediss": "Redis over TLS",
            "sentinel": "Redis Sentinel",
            "amqp": "RabbitMQ",
            "amqps": "RabbitMQ over TLS",
        }
        what = known.get(parts.scheme, f"{parts.scheme!r}")
        raise BrokerError("address", f"This version connects to redis:// brokers; {what} comes in a later one.")
    query = dict(parse_qsl(parts.query))
    unknown = next((key for key in [*options, *query] if key not in OPTIONS), None)
    if unknown is not None:
        raise BrokerError("address", f"The transport option {unknown!r} is not known. Known are: {', '.join(OPTIONS)}.")
    options = query | options
    database = (parts.path or "/").lstrip("/") or "0"
    if not database.isdecimal():
        raise BrokerError("address", f"The database in a Redis address is a number, not {database!r}.")
    try:
        steps = tuple(int(step) for step in options.get("priority_steps", "0,3,6,9").strip("[]() ").split(","))
    except ValueError as error:
        raise BrokerError("address", "priority_steps is a list of numbers like 0,3,6,9.") from error
    secret = password if password is not None else (unquote(parts.password) if parts.password else None)
    return RedisAddress(
        host=unquote(parts.hostname or "localhost"),
        port=port or 6379,
        database=int(database),
        username=unquote(parts.username) if parts.username else None,
        password=Secret(secret) if secret else None,
        prefix=options.get("global_keyprefix", ""),
        steps=steps,
        separator=options.get("sep", PRIORITY_SEPARATOR),
        event_exchange=options.get("event_exchange", "celeryev"),
        control_exchange=options.get("control_exchange", "celery"),
        unacked=options.get("unacked_key", "unacked"),
    )


def redis_client(address: RedisAddress, name: str) -> redis.Redis:
    """A client that reports trouble at once: no retries of its own, and a deadline on every answer."""
    return redis.Redis(
        host=address.host,
        port=address.port,
        db=address.database,
        username=address.username,
        password=address.password.reveal() if address.password else None,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=ANSWER_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        client_name=name,
        protocol=2,
    )


def broker_error(error: Exception, address: RedisAddress) -> BrokerError:  # noqa: PLR0911 - one line each
    """What a failure of Redis or the network means, in words."""
    text = str(error)
    word = text.split(" ", 1)[0]
    where = address.shown
    if word in ("NOAUTH", "WRONGPASS") or isinstance(error, redis.AuthenticationError):
        return BrokerError("auth", f"The broker {where} refused the sign-in. Check user and password.")
    if word == "NOPERM" or isinstance(error, redis.exceptions.NoPermissionError):
        return BrokerError("permission", f"The broker {where} does not permit it: {text}.")
    if word in ("LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN") or isinstance(error, redis.exceptions.BusyLoadingError):
        return BrokerError("busy", f"The broker {where} is not ready: {text}.")
    if isinstance(error, TimeoutError | redis.exceptions.TimeoutError):
        return BrokerError("network", f"The broker {where} does not answer. Check host, port and firewall.")
    if isinstance(error, socket.gaierror):
        return BrokerError("network", f"The host name {address.host!r} can't be resolved.")
    if isinstance(error, ssl.SSLError):
        return BrokerError("network", f"The secure connection to {where} failed: {text}.")
    if isinstance(error, OSError | redis.exceptions.ConnectionError):
        cause = next((e for e in (error, error.__cause__, error.__context__) if isinstance(e, OSError)), None)
        reason = cause.strerror if cause is not None and cause.strerror else text.rstrip(".")
        return BrokerError("network", f"No connection to the broker {where}: {reason}. Is it running?")
    return BrokerError("protocol", f"The broker {where} answered what was not expected: {text}.")
