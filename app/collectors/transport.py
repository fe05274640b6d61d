"""Broker addresses, and what can go wrong on the way to one, as typed errors with a sentence."""

import math
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from app.collectors.clean import clean_word
from app.collectors.errors import BrokerError, Fault
from app.collectors.line import CONNECT_TIMEOUT, Line
from app.collectors.sentinel import find_master
from app.collectors.ssh import JumpHost, jump_host_of
from app.collectors.tls import Tls, tls_of
from app.collectors.tunnel import TunnelError
from app.models.options import REDIS, SSH
from app.models.options import REDIS_SCHEMES as SCHEMES
from app.secrets import Secret

__all__ = [
    "ANSWER_TIMEOUT", "CONNECT_TIMEOUT", "BrokerError", "Fault", "RedisAddress", "network_error", "redis_address",
]  # fmt: skip

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
#: Seconds to wait for an answer.
ANSWER_TIMEOUT: Final = 5.0

#: kombu's priority lists: what follows the queue's name is this separator and the step.
PRIORITY_STEPS: Final = (0, 3, 6, 9)
PRIORITY_SEPARATOR: Final = "\x06\x16"

#: Options that a connection understands.
OPTIONS: Final = (*REDIS, *SSH)
#: Those that say how an application works through its queues. They may be given as it has them, and change nothing
#: here: above all nothing that we do depends on a ``visibility_timeout``, since we take no messages.
_NOT_OURS: Final = (
    "visibility_timeout", "unacked_mutex_key", "unacked_mutex_expire", "unacked_restore_limit",
    "unacked_restore_interval", "unacked_restore_throttle", "ack_emulation", "queue_order_strategy", "max_connections",
    "health_check_interval", "retry_on_timeout", "socket_keepalive", "client_name", "body_encoding",
    "deadletter_queue", "min_other_sentinels", "sentinel_fanout_compat",
)  # fmt: skip
#: Seconds to wait that may be asked for, at most.
_MAX_TIMEOUT: Final = 60.0
#: What ``fanout_prefix`` is where it is just on or off.
_SWITCHES: Final = {"true": "/{db}.", "1": "/{db}.", "false": "", "0": "", "": ""}


class RedisAddress(msgspec.Struct, frozen=True):
    """Where a Celery application keeps its queues in Redis, and under which names.

    The server is at ``host`` and ``port``; or at the socket ``path``; or where one of the ``sentinels`` says that the
    master of ``master_name`` is now.
    """

    host: str
    port: int
    database: int
    path: str | None = None
    sentinels: tuple[tuple[str, int], ...] = ()
    master_name: str = ""
    tls: Tls | None = None
    connect_timeout: float = CONNECT_TIMEOUT
    answer_timeout: float = ANSWER_TIMEOUT
    username: str | None = None
    password: Secret | None = None
    prefix: str = ""
    fanout: str = "/{db}."
    steps: tuple[int, ...] = PRIORITY_STEPS
    separator: str = PRIORITY_SEPARATOR
    event_exchange: str = "celeryev"
    control_exchange: str = "celery"
    unacked: str = "unacked"
    line: Line = msgspec.field(default_factory=Line)

    @property
    def shown(self) -> str:
        """The address without password, for people."""
        if self.path is not None:
            return f"{self.path} (database {self.database})"
        if self.sentinels:
            places = ", ".join(f"{host}:{port}" for host, port in self.sentinels)
            return f"{clean_word(self.master_name)} of {places}/{self.database}{self.line.route}"
        return f"{self.host}:{self.port}/{self.database}{self.line.route}"

    def connect(self, timeout: float | None = None) -> socket.socket:
        """A connected socket, secured where that is asked for, within so many seconds or those of the address.

        Raises ``OSError``, or `BrokerError` where no sentinel tells where the master is.
        """
        timeout = self.connect_timeout if timeout is None else timeout
        if self.path is not None:
            return self.line.connect_local(self.path, timeout)
        if not self.sentinels:
            return self.line.connect(self.host, self.port, timeout, tls=self.tls)
        timeout += self.line.patience
        deadline = time.monotonic() + timeout
        host, port = find_master(self.line, self.sentinels, self.master_name, timeout, self.tls)
        return self.line.connect(host, port, max(0.1, deadline - time.monotonic()), tls=self.tls)

    def through(self, jump_host: JumpHost | None) -> Self:
        """The same by way of a jump host, or directly."""
        return msgspec.structs.replace(self, line=Line(jump_host=jump_host))

    @property
    def event_channel(self) -> str:
        """Channel that events are published on; a routing key follows it behind a slash."""
        return f"{self._fanout}{self.event_exchange}"

    @property
    def event_channels(self) -> list[str]:
        """The same, and where kombu before 5.4 publishes with Sentinel: it forgot to put the database in."""
        forgotten = f"{self.prefix}{self.fanout}{self.event_exchange}"
        return [self.event_channel, *([forgotten] if self.sentinels and forgotten != self.event_channel else [])]

    @property
    def _fanout(self) -> str:
        return self.prefix + self.fanout.replace("{db}", str(self.database))

    @property
    def control_channel(self) -> str:
        """Channel that workers hear remote control on."""
        return f"{self._fanout}{self.control_exchange}.pidbox"

    def key(self, name: str) -> str:
        """A broker key as it is named in Redis."""
        return self.prefix + name

    def priority_keys(self, queue: str) -> list[str]:
        """Lists that make up a queue, by step of priority; the first is the queue's own name."""
        return [self.key(f"{queue}{self.separator}{step}" if step else queue) for step in self.steps]


def redis_address(url: str, password: str | None = None, options: dict[str, str] | None = None) -> RedisAddress:
    """Address of a Redis as Celery writes it, and Celery's transport options.

    That is ``redis[s]://[user[:password]@]host[:port][/database]``, or ``redis+socket:///path[?virtual_host=database]``,
    or for Sentinel ``sentinel://[user[:password]@]host[:port][/database][;sentinel://host…]`` with the option
    ``master_name``. Raises `BrokerError` (fault ``address``) with what is wrong with it; never with a part that may be
    a password.
    """
    first, *others = url.split(";")
    try:
        parts = urlsplit(first)
        port = parts.port
        sentinels = [_place(each) for each in (first, *others)] if parts.scheme == "sentinel" else []
    except ValueError:  # it quotes what may be a password
        raise BrokerError("address", "The broker address can't be read: check host and port.") from None
    if parts.scheme not in SCHEMES or (others and not sentinels):
        raise BrokerError("address", f"This is no address of a Redis. They begin with {'://, '.join(SCHEMES)}://.")
    parameters = dict(parse_qsl(urlsplit(others[-1] if others else first).query, keep_blank_values=True))
    given = parameters | (options or {})
    unknown = next((key for key in given if key not in OPTIONS and key not in _NOT_OURS), None)
    if unknown is not None:
        text = f"The transport option {unknown!r} is not known. Known are: {', '.join(OPTIONS)}."
        raise BrokerError("address", text, option=unknown)
    local = parts.scheme == "redis+socket"
    if sentinels and not given.get("master_name"):
        text = "Sentinel has to be asked for a master by its name: give master_name=NAME."
        raise BrokerError("address", text, option="master_name")
    paths = [urlsplit(each).path.strip("/") for each in (first, *others)]
    database = given.get("virtual_host", "").strip("/") or ("" if local else next(filter(None, paths), "")) or "0"
    if not database.isdecimal():
        raise BrokerError("address", f"The database in a Redis address is a number, not {database!r}.")
    if local and not parts.path.strip("/"):
        raise BrokerError("address", "The path of the socket is missing. Write it like redis+socket:///path/to/socket.")
    jump_host = jump_host_of(given, parameters)
    if local and jump_host is not None:
        raise BrokerError(
            "address", "A socket in the file system is not reached through a jump host: give host and port."
        )
    try:
        steps = tuple(int(step) for step in given.get("priority_steps", "0,3,6,9").strip("[]() ").split(","))
    except ValueError as error:
        text = "priority_steps is a list of numbers like 0,3,6,9."
        raise BrokerError("address", text, option="priority_steps") from error
    secret = password if password is not None else (unquote(parts.password) if parts.password else None)
    fanout = given.get("fanout_prefix", "true")
    return RedisAddress(
        host=_host(parts.hostname),
        port=port or (SENTINEL_PORT if sentinels else PORT),
        database=int(database),
        path=unquote(parts.path) if local else None,
        sentinels=tuple(sentinels),
        master_name=given.get("master_name", ""),
        tls=None if local else tls_of(given, wanted=parts.scheme == "rediss"),
        connect_timeout=_seconds(given, "socket_connect_timeout", CONNECT_TIMEOUT),
        answer_timeout=_seconds(given, "socket_timeout", ANSWER_TIMEOUT),
        username=unquote(parts.username) if parts.username else None,
        password=Secret(secret) if secret else None,
        prefix=given.get("global_keyprefix", ""),
        fanout=_SWITCHES.get(fanout.lower(), fanout),
        steps=steps,
        separator=given.get("sep", PRIORITY_SEPARATOR),
        event_exchange=given.get("event_exchange", "celeryev"),
        control_exchange=given.get("control_exchange", "celery"),
        unacked=given.get("unacked_key", "unacked"),
        line=Line(jump_host=jump_host),
    )


def _seconds(given: Mapping[str, str], key: str, usual: float) -> float:
    """A number of seconds, of which Celery's None is the usual one. Raises `BrokerError`."""
    text = given.get(key, "None")
    try:
        seconds = usual if text.lower() in ("none", "") else float(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 < seconds <= _MAX_TIMEOUT:
        raise BrokerError("address", f"{key} is a number of seconds up to {_MAX_TIMEOUT:.0f}, not {text!r}.")
    return seconds


def _place(url: str) -> tuple[str, int]:
    """Host and port of a sentinel; raises ``ValueError``."""
    parts = urlsplit(url if "://" in url else f"sentinel://{url}")
    return _host(parts.hostname), parts.port or SENTINEL_PORT


def _host(written: str | None) -> str:
    return unquote(written or "") or "localhost"


def network_error(error: OSError, host: str, where: str) -> BrokerError:
    """What a failure on the way to ``host`` means, in words; ``where`` is the broker's address as it is shown."""
    if isinstance(error, TunnelError):
        return BrokerError(error.known.fault, str(error.known))
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
