"""Broker addresses, and what can go wrong on the way to one, as typed errors with a sentence."""

import socket
import ssl
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from app.collectors.errors import BrokerError, Fault
from app.collectors.line import CONNECT_TIMEOUT, Line
from app.secrets import Secret

__all__ = [
    "ANSWER_TIMEOUT", "CONNECT_TIMEOUT", "BrokerError", "Fault", "RedisAddress", "network_error", "redis_address",
]  # fmt: skip

#: Seconds to wait for an answer.
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
    line: Line = msgspec.field(default_factory=Line)

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
    except ValueError:  # it quotes what may be a password
        raise BrokerError("address", "The broker address can't be read: check host and port.") from None
    if parts.scheme != "redis":
        known = {"rediss": "Redis over TLS", "sentinel": "Redis Sentinel"}
        what = known.get(parts.scheme, f"{parts.scheme!r}")
        raise BrokerError(
            "address", f"This version connects to redis:// and amqp:// brokers; {what} comes in a later one."
        )
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


def network_error(error: OSError, host: str, where: str) -> BrokerError:
    """What a failure on the way to ``host`` means, in words; ``where`` is the broker's address as it is shown."""
    if isinstance(error, TimeoutError):
        return BrokerError("network", f"The broker {where} does not answer. Check host, port and firewall.")
    if isinstance(error, socket.gaierror):
        reason = (error.strerror or str(error)).rstrip(".")
        return BrokerError("name", f"The host name {host!r} can't be looked up: {reason}. Check it, and the network.")
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message.rstrip(".")
        return BrokerError("network", f"The certificate of {where} can't be trusted: {reason}. No password was sent.")
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return BrokerError("network", f"The secure connection to {where} failed: {reason}. Does it speak TLS there?")
    reason = (error.strerror or str(error)).rstrip(".")
    return BrokerError("network", f"No connection to the broker {where}: {reason}. Is it running?")
