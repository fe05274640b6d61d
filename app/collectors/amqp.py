"""RabbitMQ: its addresses, connections to it, and what its refusals mean."""

import socket
import struct
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import amqp
import msgspec
from amqp.exceptions import (
    AccessRefused,
    AMQPError,
    ConnectionForced,
    ConsumerCancelled,
    InternalError,
    NotAllowed,
    RecoverableConnectionError,
    ResourceError,
    ResourceLocked,
)
from amqp.transport import SSLTransport, TCPTransport

from app import __version__
from app.collectors.amqp_frames import Cutter
from app.collectors.amqp_guard import Guard
from app.collectors.clean import clean_word
from app.collectors.errors import BrokerError
from app.collectors.line import CONNECT_TIMEOUT, Line
from app.collectors.management import PORTS as MANAGEMENT_PORTS
from app.collectors.management import Management, management_at
from app.collectors.ssh import jump_host_of
from app.collectors.tls import Tls, tls_of
from app.collectors.transport import ANSWER_TIMEOUT, network_error
from app.models.options import RABBITMQ, SSH
from app.secrets import Secret

PORTS: Final = {False: 5672, True: 5671}
#: Options that a connection understands.
OPTIONS: Final = (*RABBITMQ, *SSH)
#: Seconds of silence after which RabbitMQ gives us up, at the earliest. Ours for it are much shorter: it can be asked.
HEARTBEAT: Final = 60
MAX_HEARTBEAT: Final = 3_600
#: Bytes to ask a socket for, where all that came is read at once.
_READ_AT_ONCE: Final = 1 << 16
#: Characters of RabbitMQ's own words that are passed on, and bytes of a name in AMQP.
MAX_WORDS: Final = 300
MAX_NAME: Final = 255
#: What py-amqp raises for a peer that speaks AMQP badly or not at all: it trusts the lengths and numbers it reads.
UNREADABLE: Final = (struct.error, LookupError, ValueError)
#: All that can go wrong on a connection of py-amqp.
FAILURES: Final = (AMQPError, OSError, *UNREADABLE)


class AmqpAddress(msgspec.Struct, frozen=True):
    """Where a Celery application keeps its queues in RabbitMQ, and under which names."""

    host: str
    port: int
    virtual_host: str
    username: str
    password: Secret
    tls: Tls | None = None
    heartbeat: int = HEARTBEAT
    event_exchange: str = "celeryev"
    control_exchange: str = "celery"
    management_url: str = ""
    line: Line = msgspec.field(default_factory=Line)

    @property
    def management(self) -> Management | None:
        """Its management API, where the user named that."""
        if not self.management_url:
            return None
        return management_at(self.management_url, self.virtual_host, self.username, self.password, self.tls, self.line)

    @property
    def usual_management(self) -> str:
        """Where its management API usually is: on the same host, whatever the port of the broker."""
        secure = self.tls is not None
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if secure else 'http'}://{host}:{MANAGEMENT_PORTS['https' if secure else 'http']}"

    @property
    def shown(self) -> str:
        """The address without user and password, for people."""
        virtual_host = "" if self.virtual_host == "/" else f"/{clean_word(self.virtual_host)}"
        return f"{self.authority}{virtual_host}{self.line.route}"

    @property
    def authority(self) -> str:
        """Host and port, as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def amqp_address(url: str, password: str | None = None, options: dict[str, str] | None = None) -> AmqpAddress:
    """Address of an ``amqp[s]://[user[:password]@]host[:port][/virtual host]`` URL and Celery's options.

    As in Celery, the virtual host is ``/`` where none is given, and user and password are ``guest``.

    Raises `BrokerError` (fault ``address``) with what is wrong with it; never with a part that may be a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # Not with its words: an unescaped password may be among them.
        raise BrokerError("address", "The broker address can't be read: check host and port.") from None
    if ";" in parts.netloc.rpartition("@")[2]:
        raise BrokerError("address", "Several addresses in one are not supported: give that of one RabbitMQ node.")
    parameters = dict(parse_qsl(parts.query))
    options = parameters | dict(options or {})
    unknown = next((key for key in options if key not in OPTIONS), None)
    if unknown is not None:
        text = f"The option {unknown!r} is not known. Known are: {', '.join(OPTIONS)}."
        raise BrokerError("address", text, option=unknown)
    tls = tls_of(options, wanted=parts.scheme == "amqps")
    secret = password if password is not None else unquote(parts.password or "")
    address = AmqpAddress(
        host=unquote(parts.hostname or "localhost"),
        port=port or PORTS[tls is not None],
        virtual_host=unquote(parts.path[1:]) or "/",
        username=unquote(parts.username or "") or "guest",
        password=Secret(secret or "guest"),
        tls=tls,
        heartbeat=_heartbeat(options.get("heartbeat", str(HEARTBEAT))),
        event_exchange=options.get("event_exchange", "celeryev"),
        control_exchange=options.get("control_exchange", "celery"),
        management_url=options.get("management_url", ""),
        line=Line(jump_host=jump_host_of(options, parameters)),
    )
    _ = address.management  # raises where its address makes no sense
    for name in (address.virtual_host, address.event_exchange, f"reply.{address.control_exchange}.pidbox"):
        if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME:
            raise BrokerError("address", f"A name in AMQP has at most {MAX_NAME} bytes; one in this address has more.")
    return address


def _heartbeat(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text[:9]) <= MAX_HEARTBEAT:
        wrong = f"heartbeat is a number of seconds from 1 to {MAX_HEARTBEAT}, not {text!r}."
        raise BrokerError("address", wrong, option="heartbeat")
    return int(text)


class _OverLine:
    """A transport of py-amqp that takes its sockets from the line of an address, and writes what its guard allows."""

    address: AmqpAddress
    guard: Guard
    _ahead: Cutter | None = None

    def read_ahead(self) -> None:
        """From now on, read all that came at once, and not each part of a frame: that is nine calls for each message.

        Not where anybody else reads from the socket.
        """
        self._ahead = Cutter()

    @property
    def pending(self) -> bool:
        """Whether there is a frame that came already."""
        return self._ahead is not None and bool(self._ahead.frames)

    def read_frame(self, *args: Any) -> tuple[int, int, bytes]:
        ahead = self._ahead
        if ahead is None:
            told: tuple[int, int, bytes] = super().read_frame(*args)  # type: ignore[misc]  # of what it is mixed into
            return told
        while not ahead.frames:
            data = self.sock.recv(_READ_AT_ONCE)
            if not data:
                self.connected = False
                raise ConnectionResetError("The broker closed the connection.")
            ahead.feed(data)
        return ahead.frames.popleft()

    def _connect(self, host: str, port: int, timeout: float) -> None:
        self.sock = self.address.line.connect(host, port, timeout)

    def _set_socket_options(self, settings: dict[int, int] | None) -> None:
        if self.address.line.jump_host is None:  # they are those of TCP, which ssh speaks then
            super()._set_socket_options(settings)  # type: ignore[misc]  # as above

    def write(self, data: bytes | memoryview) -> None:
        self.guard.check(data)
        super().write(data)  # type: ignore[misc]  # as above


class _TcpTransport(_OverLine, TCPTransport):  # type: ignore[misc]  # py-amqp has no types
    pass


class _TlsTransport(_OverLine, SSLTransport):  # type: ignore[misc]  # py-amqp has no types
    tls: Tls

    def _setup_transport(self) -> None:
        # Only now: py-amqp sets options of TCP that can't be set any more once something was said.
        self.sock = self.address.line.secure(self.sock, self.address.host, self.connect_timeout, self.tls)
        self._quick_recv = self.sock.recv


class _Connection(amqp.Connection):  # type: ignore[misc]  # py-amqp has no types
    """A connection of py-amqp that does the same."""

    def __init__(self, address: AmqpAddress, guard: Guard, **options: Any) -> None:
        super().__init__(host=address.authority, **options)
        self._address = address
        self._guard = guard

    def Transport(self, host: str, connect_timeout: float, *_: Any, **options: Any) -> Any:  # noqa: N802 - as py-amqp calls it
        tls = self._address.tls
        made = (_TcpTransport if tls is None else _TlsTransport)(host, connect_timeout=connect_timeout, **options)
        made.address, made.tls, made.guard = self._address, tls, self._guard
        return made


def amqp_connection(address: AmqpAddress, name: str, guard: Guard, **options: Any) -> amqp.Connection:
    """A connection that is signed in, with a deadline on every answer, and says no more than its guard allows.

    ``name`` is how RabbitMQ lists it, ``options`` are others of py-amqp's.

    Raises `BrokerError`.
    """
    connection = _Connection(
        address,
        guard,
        userid=address.username,
        password=address.password.reveal(),
        login_method="PLAIN",
        virtual_host=address.virtual_host,
        connect_timeout=CONNECT_TIMEOUT,
        heartbeat=address.heartbeat,
        client_properties={"product": "Cloche", "product_version": __version__, "connection_name": name},
        socket_settings=_socket_settings(),
        **options,
    )
    with address.line.sign_in():
        try:
            connection.connect()
        except FAILURES as error:
            connection.collect()
            raise amqp_error(error, address, signing_in=True) from error
    connection.sock.settimeout(ANSWER_TIMEOUT)
    return connection


def amqp_channel(connection: amqp.Connection, address: AmqpAddress) -> amqp.Channel:
    """The first channel of a connection, which is broken off where there can't be one. Raises `BrokerError`."""
    try:
        return connection.channel()
    except (*FAILURES, BrokerError) as error:
        connection.collect()
        raise amqp_error(error, address) from error


def _socket_settings() -> dict[int, int]:
    """py-amqp gives a connection up when a packet is not confirmed within a second; networks are lossier than that."""
    return {socket.TCP_USER_TIMEOUT: int(ANSWER_TIMEOUT * 2_000)} if hasattr(socket, "TCP_USER_TIMEOUT") else {}


def amqp_error(error: Exception, address: AmqpAddress, *, signing_in: bool = False) -> BrokerError:  # noqa: PLR0911 - one line each
    """What a failure of RabbitMQ or the network means, in words."""
    where = address.shown
    if isinstance(error, BrokerError):
        return error
    if isinstance(error, OSError):
        return network_error(error, address.host, where)
    if not isinstance(error, AMQPError):
        return BrokerError("protocol", f"What answers at {where} does not speak AMQP 0-9-1 as RabbitMQ does.")
    text = clean_word(str(error.reply_text or "no reason given")[:MAX_WORDS]).rstrip(".")
    if isinstance(error, AccessRefused):
        if not signing_in:
            return BrokerError("permission", f"The broker {where} does not permit it: {text}.")
        far = address.username == "guest" and address.host not in ("localhost", "127.0.0.1", "::1")
        guest = " RabbitMQ lets guest in only from its own machine." if far else ""
        return BrokerError("auth", f"The broker {where} refused the sign-in. Check user and password.{guest}")
    if isinstance(error, NotAllowed) and signing_in:
        return _not_allowed(text, address)
    if isinstance(error, ResourceLocked | ResourceError | InternalError):
        return BrokerError("busy", f"The broker {where} is not ready: {text}.")
    if isinstance(error, ConsumerCancelled):
        return BrokerError(
            "network", f"The broker {where} deleted the queue that Cloche listens on: a new one is made."
        )
    if isinstance(error, ConnectionForced | RecoverableConnectionError):
        return BrokerError("network", f"The broker {where} closed the connection: {text}.")
    return BrokerError("protocol", f"The broker {where} answered what was not expected: {text}.")


def blocked(address: AmqpAddress, short_of: str) -> BrokerError:
    """The broker lets nobody publish, for want of what is in these words of its: ``memory`` or ``disk``, or both."""
    remedies = {"memory": "Free memory there, or raise vm_memory_high_watermark.", "disk": "Free its disk."}
    wanted = [word for word in remedies if word in short_of]
    return BrokerError(
        "blocked",
        f"The broker {address.shown} blocks publishers: it is short of {' and '.join(wanted) or 'memory or disk'}. "
        "Until that is over no task is taken, and no worker heard. "
        f"{' '.join(map(remedies.__getitem__, wanted)) or 'Its log says of which.'}",
    )


def _not_allowed(text: str, address: AmqpAddress) -> BrokerError:
    """Why a virtual host could not be entered. RabbitMQ has one code for all reasons, so its words tell them apart."""
    where, name = address.shown, clean_word(address.virtual_host)
    if "not found" in text:
        return BrokerError(
            "address",
            f"The broker {where} has no virtual host {name!r}. It is what follows the host in the address; "
            "a slash in its name is written %2F.",
        )
    if "limit" in text:
        return BrokerError("full", f"The broker {where} lets nobody else in now: {text}.")
    if "is down" in text:
        return BrokerError("busy", f"The broker {where} is not ready: {text}.")
    return BrokerError("permission", f"The broker {where} does not permit it: {text}.")
