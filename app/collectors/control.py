"""Remote control over Redis: one tested way to build a request, one deadline, and nothing left behind.

kombu's own mailbox is not used here: it would restore other applications' unacked messages, waits a second for one
worker, and leaks
its reply lists (kombu #294). A malformed request can kill workers, so requests are built from this module's types only.
"""

import base64
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec
import redis

from app.collectors.transport import RedisAddress, broker_error, redis_client
from app.models.profiles import Mode

#: What may be asked, closed: `election` for one kills a lone worker.
Command = Literal["ping", "stats", "active_queues"]
_ALLOWED: Final[dict[Mode, frozenset[str]]] = {
    "passive": frozenset(),
    "observe": frozenset({"ping", "stats", "active_queues"}),
    "operate": frozenset({"ping", "stats", "active_queues"}),
}
#: Seconds after which Redis drops an answer that nobody fetched.
REPLY_EXPIRES: Final = 60
MAX_REPLY: Final = 4 << 20
#: Seconds to wait for an answer at a time, so that one who gives up is not kept waiting.
PATIENCE: Final = 0.5
_REPLY_EXCHANGE: Final = "reply.celery.pidbox"


class Forbidden(Exception):
    """The connection's access mode does not allow a command."""


class _ReplyTo(msgspec.Struct):
    exchange: str
    routing_key: str


class _Request(msgspec.Struct):
    method: str
    arguments: dict[str, Any]
    destination: list[str] | None
    pattern: None
    matcher: None
    ticket: str
    reply_to: _ReplyTo


class _ReplyProperties(msgspec.Struct):
    body_encoding: str | None = None


class _ReplyEnvelope(msgspec.Struct):
    body: str
    headers: dict[str, Any] = {}
    properties: _ReplyProperties = msgspec.field(default_factory=_ReplyProperties)


class Control:
    """Asks workers over one connection. Not thread-safe."""

    def __init__(self, address: RedisAddress, mode: Mode, *, on_command: Callable[[int], None]) -> None:
        self._address = address
        self._allowed = _ALLOWED[mode]
        self._client = redis_client(address, "cloche-control")
        self._on_command = on_command
        self._stopping = threading.Event()

    def give_up(self) -> None:
        """Wait for no more answers; may be called from any thread."""
        self._stopping.set()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def ask(
        self, command: Command, destination: Sequence[str] | None = None, *, timeout: float = 2.0
    ) -> dict[str, Any]:
        """Answers by host name of the workers named (of all, if None) that came within ``timeout`` seconds.

        Raises `Forbidden` where the access mode does not allow the command, `BrokerError` when the broker can't be
        used.
        """
        if command not in self._allowed:
            raise Forbidden(command)
        try:
            return self._ask(command, destination, time.monotonic() + timeout)
        except (redis.RedisError, OSError) as error:
            raise broker_error(error, self._address) from error

    def _ask(self, command: Command, destination: Sequence[str] | None, deadline: float) -> dict[str, Any]:
        address = self._address
        own, ticket = str(uuid.uuid4()), str(uuid.uuid4())
        bindings, replies = address.key(f"_kombu.binding.{_REPLY_EXCHANGE}"), address.key(f"{own}.{_REPLY_EXCHANGE}")
        binding = address.separator.join((own, "", f"{own}.{_REPLY_EXCHANGE}"))
        message = request(
            command, destination, ticket, own, expires=time.time() + max(1.0, deadline - time.monotonic())
        )
        answers: dict[str, Any] = {}
        self._on_command(3)
        self._client.sadd(bindings, binding)
        try:
            heard = int(self._client.publish(address.control_channel, message))
            expected = min(heard, len(destination)) if destination is not None else heard
            while len(answers) < expected and (left := deadline - time.monotonic()) > 0 and not self._stopping.is_set():
                popped = self._client.brpop([replies], timeout=min(max(0.01, left), PATIENCE))
                self._client.expire(replies, REPLY_EXPIRES)
                self._on_command(2)
                if popped is not None:
                    answers.update(read_reply(popped[1], ticket))
        finally:
            self._on_command(3)
            self._client.srem(bindings, binding)
            self._client.expire(replies, REPLY_EXPIRES)
            self._client.delete(replies)
        return answers


def request(
    command: Command, destination: Sequence[str] | None, ticket: str, reply_key: str, *, expires: float
) -> bytes:
    """The message that workers expect on the control channel: kombu's envelope around a request of ``kombu.pidbox``."""
    body = _Request(
        method=command,
        arguments={},
        destination=None if destination is None else list(destination),
        pattern=None,
        matcher=None,
        ticket=ticket,
        reply_to=_ReplyTo(exchange=_REPLY_EXCHANGE, routing_key=reply_key),
    )
    return msgspec.json.encode(
        {
            "body": base64.b64encode(msgspec.json.encode(body)).decode("ascii"),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"clock": 1, "expires": expires},
            "properties": {
                "delivery_mode": 2,
                "delivery_info": {"exchange": "celery.pidbox", "routing_key": ""},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    )


def read_reply(message: bytes | str, ticket: str) -> dict[str, Any]:
    """A worker's answer by its host name; empty where the message is not an answer to ``ticket``."""
    if len(message) > MAX_REPLY:
        return {}
    try:
        envelope = msgspec.json.decode(message, type=_ReplyEnvelope)
        if envelope.headers.get("ticket") != ticket:
            return {}
        encoded = envelope.properties.body_encoding == "base64"
        body = base64.b64decode(envelope.body, validate=True) if encoded else envelope.body.encode()
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, ValueError, RecursionError):
        return {}
