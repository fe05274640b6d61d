"""Remote control over Redis, which leaves nothing behind.

kombu's own mailbox is not used here: it would restore other applications' unacked messages, waits a second for one
worker, and leaks its reply lists (kombu #294).
"""

import base64
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import redis

from app.collectors.control import MAX_REPLY, PATIENCE, Control, Request, read_answer, reply_exchange
from app.collectors.guard import asking
from app.collectors.redis_client import redis_client
from app.collectors.redis_errors import broker_error
from app.collectors.transport import RedisAddress
from app.models.profiles import Mode

#: Seconds after which Redis drops an answer that nobody fetched.
REPLY_EXPIRES: Final = 60


class _ReplyProperties(msgspec.Struct):
    body_encoding: str | None = None


class _ReplyEnvelope(msgspec.Struct):
    body: str
    headers: dict[str, Any] = {}
    properties: _ReplyProperties = msgspec.field(default_factory=_ReplyProperties)


class RedisControl(Control):
    """Asks workers through lists and channels of Redis."""

    def __init__(self, address: RedisAddress, mode: Mode, *, on_command: Callable[[int], None]) -> None:
        super().__init__(mode, on_command=on_command)
        self._address = address
        self._exchange = reply_exchange(address.control_exchange)
        self._bindings = address.key(f"_kombu.binding.{self._exchange}")
        guard = asking(address.control_channel, self._bindings, self._exchange)
        self._client = redis_client(address, "cloche-control", guard)
        #: How many listened to the last question.
        self._heard = 0

    def close(self) -> None:
        self._client.close()

    def present(self, hostnames: Sequence[str], timeout: float = 1.0) -> dict[str, bool]:
        """Redis tells only how many listen: those who do not answer are there, if anybody listens who does not."""
        answers = self.ask("ping", timeout=timeout)
        return {hostname: hostname in answers or self._heard > len(answers) for hostname in hostnames}

    def _ask(
        self, command: str, arguments: Mapping[str, Any], destination: Sequence[str] | None, timeout: float
    ) -> dict[str, Any]:
        try:
            return self._answers(command, arguments, destination, timeout)
        except (redis.RedisError, OSError) as error:
            raise broker_error(error, self._address) from error

    def _answers(
        self, command: str, arguments: Mapping[str, Any], destination: Sequence[str] | None, timeout: float
    ) -> dict[str, Any]:
        address, own = self._address, str(uuid.uuid4())
        exchange, bindings = self._exchange, self._bindings
        replies = address.key(f"{own}.{exchange}")
        binding = address.separator.join((own, "", f"{own}.{exchange}"))
        asked = Request.of(command, arguments, destination, exchange, own)
        answers: dict[str, Any] = {}
        self._on_command(3)
        self._client.sadd(bindings, binding)
        deadline = time.monotonic() + timeout
        try:
            message = envelope(asked, f"{address.control_exchange}.pidbox", deadline)
            self._heard = int(self._client.publish(address.control_channel, message))
            expected = min(self._heard, len(destination)) if destination is not None else self._heard
            while len(answers) < expected and (left := deadline - time.monotonic()) > 0 and not self._stopping.is_set():
                popped = self._client.brpop([replies], timeout=min(max(0.01, left), PATIENCE))
                self._client.expire(replies, REPLY_EXPIRES)
                self._on_command(2)
                if popped is not None:
                    answers.update(read_reply(popped[1], asked.ticket))
        finally:
            self._on_command(3)
            self._client.srem(bindings, binding)
            self._client.expire(replies, REPLY_EXPIRES)
            self._client.delete(replies)
        return answers


def envelope(asked: Request, exchange: str, deadline: float) -> bytes:
    """The message that workers expect on the control channel: kombu's envelope around a request."""
    return msgspec.json.encode(
        {
            "body": base64.b64encode(msgspec.json.encode(asked)).decode("ascii"),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": asked.headers(deadline),
            "properties": {
                "delivery_mode": 2,
                "delivery_info": {"exchange": exchange, "routing_key": ""},
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
        reply = msgspec.json.decode(message, type=_ReplyEnvelope)
        encoded = reply.properties.body_encoding == "base64"
        body = base64.b64decode(reply.body, validate=True) if encoded else reply.body.encode()
    except (msgspec.DecodeError, UnicodeError, ValueError, RecursionError):
        return {}
    return read_answer(body, reply.headers, ticket)
