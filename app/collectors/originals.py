"""Reads messages of tasks as they lie in a broker, so that they can be sent again; nothing in them is loaded but JSON.

Celery has two forms of them (https://docs.celeryq.dev/en/stable/internals/protocol.html). Those of protocol 1 (of
Celery 3, and with ``task_protocol = 1``) have all in their body. They are read into the form of protocol 2, which
workers of Celery 4 and later understand: protocol 1 has no place for what links a task to the one that it repeats.
"""

import base64
import binascii
import json
from typing import Any, Final, Literal

import msgspec
from amqp.serialization import decode_properties_basic

from app.collectors.amqp import UNREADABLE
from app.collectors.amqp_content import unpacked
from app.collectors.envelope import Known, Original, TaskMessage, Unfaithful, loaded, made

Place = Literal["queue", "unacked", "quarantine"]

_UNKNOWN: Final = "Its message is there, but in no form of Celery's that Cloche knows (protocol 1 and 2)."
_BROKEN: Final = "Its message is there, but can't be read."
_CLOCK: Final = (
    "Its message (Celery's protocol 1) expires at a time of its sender's own clock, whose time zone is not told."
)


class Unreadable(Exception):
    """A message is none that can be sent again; a sentence why."""


class Found(msgspec.Struct, frozen=True):
    """A message that was found: in a ``queue``, in a quarantine of it, or with a worker (``unacked``).

    ``original`` is None where it can't be sent again, and ``why`` is a sentence then.
    """

    place: Place
    queue: str
    original: Original | None
    why: str = ""


class Search(msgspec.Struct, frozen=True):
    """Messages that were found, by the ids of their tasks; ``complete`` is whether all was looked at that can be."""

    found: dict[str, Found]
    complete: bool = True


class _Old(msgspec.Struct):
    """A body of protocol 1; times are ISO 8601, limits are seconds."""

    id: str
    task: str
    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None
    expires: str | None = None
    utc: bool = True
    callbacks: list[Any] | None = None
    errbacks: list[Any] | None = None
    timelimit: tuple[float | None, float | None] | None = None
    group: str | None = None
    taskset: str | None = None
    chord: Any = None


def of_redis(raw: bytes | str) -> Original:
    """The message that lies in a list of Redis. Raises `Unreadable`."""
    try:
        envelope = json.loads(raw)
        properties, body = envelope["properties"], envelope["body"]
        info = properties["delivery_info"]
        encoded = properties.get("body_encoding") == "base64"
        message = msgspec.convert(
            {
                "headers": envelope["headers"],
                "body": base64.b64decode(body, validate=True) if encoded else body.encode(),
                "content_type": envelope["content-type"],
                "content_encoding": envelope["content-encoding"],
                "priority": properties.get("priority"),
                "delivery_mode": properties.get("delivery_mode", 2),
                "expiration": properties.get("expiration"),
            },
            TaskMessage,
        )
        route = str(info["exchange"] or ""), str(info["routing_key"] or "")
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
        binascii.Error,
        msgspec.ValidationError,
    ):
        raise Unreadable(_BROKEN) from None
    return _of_a_task(message, *route)


def of_amqp(packed: bytes, queue: str) -> Original:
    """The message that was in a queue of RabbitMQ, as `amqp_content.packed` made it. Raises `Unreadable`."""
    try:
        properties, body = unpacked(packed)
        told, _ = decode_properties_basic(properties, 0)
        message = msgspec.convert(
            {
                "headers": told.get("application_headers", {}),
                "body": body,
                "content_type": told.get("content_type", "application/data"),
                "content_encoding": told.get("content_encoding", "binary"),
                "priority": told.get("priority"),
                "delivery_mode": told.get("delivery_mode", 1),
                "expiration": told.get("expiration"),
            },
            TaskMessage,
        )
    except (*UNREADABLE, msgspec.ValidationError):
        raise Unreadable(_BROKEN) from None
    return _of_a_task(message, "", queue)


def _of_a_task(message: TaskMessage, exchange: str, routing_key: str) -> Original:
    if isinstance(message.headers.get("id"), str) and isinstance(message.headers.get("task"), str):
        return Original(message, exchange, routing_key)
    if "task" in message.headers or "id" in message.headers:
        raise Unreadable(_UNKNOWN)
    return Original(_in_the_new_form(message), exchange, routing_key, protocol=1)


def _in_the_new_form(message: TaskMessage) -> TaskMessage:
    """A message of protocol 1 in the form of protocol 2: what it is called with, what follows it, and limits stay."""
    try:
        old = msgspec.convert(loaded(message), _Old)
    except Unfaithful as unread:
        raise Unreadable(f"Its message is of Celery's protocol 1, which has all in its body; and {unread}.") from None
    except msgspec.ValidationError:
        raise Unreadable(_UNKNOWN) from None
    if old.expires is not None and not old.utc:
        raise Unreadable(_CLOCK)
    hard, soft = old.timelimit or (None, None)
    known = Known(
        name=old.task, args=old.args or [], kwargs=old.kwargs or {}, id=old.id, time_limit=hard, soft_time_limit=soft
    )
    followers = {"callbacks": old.callbacks, "errbacks": old.errbacks, "chord": old.chord}
    new = made(known, followers=followers)
    # What the sender had in headers of its own stays.
    new.headers.update({key: value for key, value in message.headers.items() if key != "compression"})
    new.headers.update({"expires": old.expires, "group": old.group or old.taskset})
    return msgspec.structs.replace(
        new, priority=message.priority, delivery_mode=message.delivery_mode, expiration=message.expiration
    )
