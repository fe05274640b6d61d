"""Celery's events from any other broker that kombu can pass one message to several listeners with.

These are for development and small installations. What Celery itself can't do with them, Cloche can't either: a
listener that is killed leaves its queue behind where the transport knows no expiry (``filesystem://``).
"""

import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec
from kombu import Connection, Exchange, Queue
from kombu.exceptions import KombuError, SerializerNotInstalled
from kombu.serialization import unregister
from kombu.transport import TRANSPORT_ALIASES, get_transport_cls

from app.collectors.clean import clean_word
from app.collectors.errors import BrokerError
from app.collectors.normalise import Normaliser
from app.collectors.subscriber import Link, Subscriber
from app.collectors.transport import network_error
from app.models.records import Event
from app.models.redact import redact_url
from app.secrets import Secret

#: Transports that pass a message to several queues, in whichever process they were declared.
FANOUT: Final = ("memory", "filesystem", "mongodb", "gcpubsub", "pgmq")
#: Serializers of kombu that run code or need packages of their own; we read JSON only, by ourselves.
UNWANTED: Final = ("pickle", "yaml", "msgpack")
#: Seconds between two looks, and for which the broker keeps our queue and messages in it, if it can.
POLLING: Final = 0.2
QUEUE_EXPIRES: Final = 60.0
MESSAGE_TTL: Final = 300.0
MAX_LENGTH: Final = 50_000
#: What transports raise for files and documents that are no messages.
_UNREADABLE: Final = (ValueError, LookupError, TypeError, AttributeError)


class KombuAddress(msgspec.Struct, frozen=True):
    """A URL of kombu without its password, and the transport's options."""

    url: str
    scheme: str
    password: Secret | None = None
    event_exchange: str = "celeryev"
    options: dict[str, str] = {}

    @property
    def shown(self) -> str:
        """The address without password, for people."""
        return redact_url(self.url)


def kombu_address(url: str, password: str | None = None, options: Mapping[str, str] | None = None) -> KombuAddress:
    """Address of a kombu URL. Raises `BrokerError` (fault ``address``) where no events come from such a broker."""
    scheme = url.partition("://")[0].partition("+")[0].lower()
    if scheme not in FANOUT:
        if scheme not in {alias.lower() for alias in TRANSPORT_ALIASES}:
            raise BrokerError("address", f"{clean_word(scheme)!r} brokers are not supported.")
        text = f"{scheme}:// brokers pass each message to one receiver only, so Celery's events can't be listened to."
        raise BrokerError("address", f"{text} Celery itself offers no monitoring with them.")
    rest = dict(options or {})
    if rest.get("ssh"):
        raise BrokerError("address", f"{scheme}:// brokers are not reached through a jump host (ssh).")
    exchange = rest.pop("event_exchange", "celeryev")
    return KombuAddress(url, scheme, Secret(password) if password else None, exchange, rest)


class KombuChunk(msgspec.Struct, gc=False):
    """Messages as envelopes, which are those that kombu uses on Redis."""

    seen: float
    envelopes: list[bytes]

    @property
    def size(self) -> int:
        return sum(map(len, self.envelopes))

    def decode(self, normaliser: Normaliser, out: list[Event]) -> None:
        for envelope in self.envelopes:
            normaliser.redis_message(envelope, self.seen, out)


class _Raw:
    """A message as a virtual channel of kombu makes it, except that nothing in it is decoded or inflated."""

    def __init__(self, payload: dict[str, Any], channel: object = None) -> None:
        del channel
        self.payload = payload


class KombuEvents(Subscriber):
    """Celery's events over one of kombu's virtual transports.

    These say nothing while nothing happens: whether the broker is still there is up to the transport's own client.
    """

    def __init__(self, address: KombuAddress, wake: Callable[[], None]) -> None:
        super().__init__(wake)
        self._address = address
        self._came: list[bytes] = []
        disarm()

    def listen(self) -> None:
        """Connect, subscribe, drain."""
        address = self._address
        try:
            transport: Any = get_transport_cls(address.scheme)
            options = {**address.options, "polling_interval": POLLING}
            with Connection(_with_password(address), transport_options=options) as connection:
                failures = (*connection.connection_errors, *connection.channel_errors)
                try:
                    self._listen(connection, transport.driver_type)
                except failures as error:
                    raise _said(error, address) from error
        except ImportError as error:
            text = f"{address.scheme}:// brokers need a Python package that is not installed: {error}."
            raise BrokerError("address", text) from error
        except (OSError, KombuError, *_UNREADABLE) as error:
            raise _said(error, address) from error

    def _listen(self, connection: Connection, driver: str) -> None:
        channel: Any = connection.channel()
        channel.Message = _Raw
        # As in Celery (`celery.events.event.get_exchange`).
        kind = "fanout" if driver == "gcpubsub" else "topic"
        queue: Any = Queue(
            f"{self._address.event_exchange}.cloche.{uuid.uuid4()}",
            Exchange(self._address.event_exchange, type=kind),
            routing_key="#",
            durable=False,
            auto_delete=True,
            expires=QUEUE_EXPIRES,
            message_ttl=MESSAGE_TTL,
            max_length=MAX_LENGTH,
        )(channel)
        queue.declare()
        try:
            channel.basic_consume(queue.name, no_ack=True, callback=self._take, consumer_tag=queue.name)
            self.heard = time.time()
            self.put(Link(self.heard))
            while not self.stopping.is_set():
                if self.damaged.is_set():
                    raise ConnectionError("what it sent could not be read")
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.5)
                self.heard = time.time()
        finally:
            queue.delete()

    def _take(self, raw: _Raw) -> None:
        payload = raw.payload
        headers = payload.get("headers")
        # All that the normaliser looks at; what kombu's JSON hooks made of the rest is left out.
        envelope = {
            "body": payload.get("body"),
            "content-type": payload.get("content-type"),
            "headers": {"compression": headers.get("compression")} if isinstance(headers, dict) else None,
            "properties": {"body_encoding": payload["properties"].get("body_encoding")},
        }
        self.put(KombuChunk(time.time(), [msgspec.json.encode(envelope)]))


def disarm() -> None:
    """Take kombu the serializers that nothing of ours may ever be read with (SAFETY 2.1)."""
    for name in UNWANTED:
        with suppress(SerializerNotInstalled):
            unregister(name)


def _with_password(address: KombuAddress) -> str:
    if address.password is None:
        return address.url
    parts = urlsplit(address.url)
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user if at else ''}:{quote(address.password.reveal(), safe='')}@{host}").geturl()


def _said(error: Exception, address: KombuAddress) -> BrokerError:
    if isinstance(error, OSError):
        return network_error(error, "", address.shown)
    text = clean_word(str(error)[:300]).rstrip(".")
    if address.password is not None:
        text = text.replace(address.password.reveal(), "***")
    return BrokerError("protocol", f"The broker {address.shown} can't be used as expected: {text}.")
