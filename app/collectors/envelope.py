"""Messages that ask workers to run a task (Celery's protocol 2): the only place that makes them.

A message that is known is sent again as it is, its body byte for byte, but for what would not be true of it any more.
One that is not known is made of what is. Nothing in a body is ever loaded but JSON.

The new task keeps the ``root_id`` of the old one and has it as its ``parent_id``, so that every view of workflows shows
the one below the other; a header ``retried_from`` names it too.
"""

import base64
import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

import amqp
import msgspec
from celery.utils.saferepr import saferepr

from app.collectors.inflate import Refused, inflate

#: Who sent it, and the header that names the task that is sent again.
ORIGIN: Final = "cloche"
RETRIED_FROM: Final = "retried_from"
#: Bytes of a body that is changed at most, also when it is inflated.
MAX_BODY: Final = 8 << 20
#: Characters of the text of arguments, which is Celery's own limit.
_REPR: Final = 1_024
_JSON: Final = "application/json"
#: Encodings of a body that workers read as UTF-8 (``kombu.serialization.loads``).
_UTF_8: Final = ("", "utf-8", "utf8", "us-ascii", "ascii", "binary", "ascii-8bit")
#: Headers that tell of how the old message fared, or that would have RabbitMQ send copies.
_OF_THE_OLD: Final = ("redelivered", "CC", "BCC", RETRIED_FROM)
_OF_THE_BROKER: Final = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")
#: What is in a body behind the arguments, and what it is called.
FOLLOWERS: Final = {"callbacks": "link", "errbacks": "link_error", "chain": "the rest of its chain"}
#: What follows a task that nothing follows.
_NOTHING: Final = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_MEMBERSHIP: Final = "its place in a group or chord, which a second answer would confuse"
#: Seconds after which a task expires at most, and digits of that in milliseconds. Who sets the end of time sets none.
_LONGEST: Final = 1e9
_DIGITS: Final = 12


class Unfaithful(Exception):
    """A message can't be sent again so that it means the same; a sentence why."""


class TaskMessage(msgspec.Struct, frozen=True):
    """A message of protocol 2. ``expiration`` is in milliseconds, as text, after which a broker may drop it."""

    headers: dict[str, Any]
    body: bytes
    content_type: str = _JSON
    content_encoding: str = "utf-8"
    priority: int | None = None
    delivery_mode: int = 2
    expiration: str | None = None

    @property
    def id(self) -> str:
        return str(self.headers["id"])


class Original(msgspec.Struct, frozen=True):
    """A message that was found, with where it was sent to; ``sent`` is when, where that is known (epoch).

    It is in the form of protocol 2, whichever ``protocol`` it had.
    """

    message: TaskMessage
    exchange: str
    routing_key: str
    sent: float | None = None
    protocol: int = 2


class Again(msgspec.Struct, frozen=True):
    """A message to be sent, what it ``kept`` of the old one, and what was ``lost``, in words."""

    message: TaskMessage
    kept: list[str] = []
    lost: list[str] = []


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a task whose message is not: limits are seconds, times since the epoch."""

    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    id: str
    root: str | None = None
    parent: str | None = None
    priority: int | None = None
    eta: float | None = None
    expires: float | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None


def new_id(act: str, old: str) -> str:
    """The id that an act gives a task: the same when the act is taken up again after a crash."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"cloche:{act}:{old}"))


def made(
    known: Known, retried_from: str | None = None, followers: Mapping[str, Any] = MappingProxyType({})
) -> TaskMessage:
    """The message of a task of which no message is known, as ``Celery.send_task`` would make it.

    ``followers`` are what follows it, as bodies of protocol 2 have that.
    """
    headers: dict[str, Any] = {
        "lang": "py",
        "task": known.name,
        "id": known.id,
        "shadow": None,
        "eta": _moment(known.eta),
        "expires": _moment(known.expires),
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [known.time_limit, known.soft_time_limit],
        "root_id": known.root or known.id,
        "parent_id": known.parent,
        **_shown(known.args, known.kwargs),
        "origin": ORIGIN,
        "ignore_result": False,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
        **({} if retried_from is None else {RETRIED_FROM: retried_from}),
    }
    body = _encoded([known.args, known.kwargs, {**_NOTHING, **followers}])
    expiration = None if known.expires is None else _milliseconds(known.expires - time.time())
    return TaskMessage(headers, body, priority=known.priority, expiration=expiration)


def again(original: Original, id_: str, now: float, edited: tuple[list[Any], dict[str, Any]] | None = None) -> Again:
    """A message once more, as a task of its own with the new id; with other arguments where they were ``edited``.

    Raises `Unfaithful`.
    """
    old = original.message
    headers = {key: value for key, value in old.headers.items() if not _is_of_the_old(key)}
    expires, kept, lost = _lifetime(original, now)
    grouped = bool(headers.get("group"))
    body, compressed, followers = _body(old, edited, grouped=grouped)
    kept += _kept(old) + followers.kept
    lost += followers.lost + ([_MEMBERSHIP] if grouped or followers.chord else [])
    if not compressed:
        headers.pop("compression", None)
    if edited is not None:
        headers |= _shown(*edited)
    headers |= {
        "id": id_,
        "eta": None,
        "expires": _moment(expires),
        "group": None,
        "group_index": None,
        "retries": 0,
        "root_id": headers.get("root_id") or headers["id"],
        "parent_id": headers["id"],
        "origin": ORIGIN,
        RETRIED_FROM: headers["id"],
    }
    is_edited = body is not old.body
    message = msgspec.structs.replace(
        old,
        headers=headers,
        body=body,
        content_type=_JSON if is_edited else old.content_type,
        content_encoding="utf-8" if is_edited else old.content_encoding,
        expiration=None if expires is None else _milliseconds(expires - now),
    )
    return Again(message, kept, lost)


def for_redis(message: TaskMessage, exchange: str, routing_key: str) -> bytes:
    """A message as kombu puts it into a list of Redis."""
    properties: dict[str, Any] = {
        "correlation_id": message.id,
        "reply_to": "",
        "delivery_mode": message.delivery_mode,
        "delivery_info": {"exchange": exchange, "routing_key": routing_key},
        "priority": message.priority or 0,
        "body_encoding": "base64",
        # The same for the same task: nobody acknowledges another message by it.
        "delivery_tag": str(uuid.uuid5(uuid.NAMESPACE_OID, f"cloche:tag:{message.id}:{exchange}:{routing_key}")),
    }
    if message.expiration is not None:
        properties["expiration"] = message.expiration
    envelope = {
        "body": base64.b64encode(message.body).decode("ascii"),
        "content-encoding": message.content_encoding,
        "content-type": message.content_type,
        "headers": message.headers,
        "properties": properties,
    }
    return json.dumps(envelope).encode("ascii")


def for_amqp(message: TaskMessage) -> amqp.Message:
    """A message as RabbitMQ takes it."""
    properties: dict[str, Any] = {
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
        "application_headers": message.headers,
        "correlation_id": message.id,
        "delivery_mode": message.delivery_mode,
        "priority": message.priority,
        "expiration": message.expiration,
    }
    return amqp.Message(message.body, **{key: value for key, value in properties.items() if value is not None})


def arguments_of(message: TaskMessage) -> tuple[list[Any], dict[str, Any]] | None:
    """What a task is called with; None where its body is not JSON."""
    try:
        args, kwargs, _ = _parts(message)
    except Unfaithful:
        return None
    return args, kwargs


class _Followers(msgspec.Struct):
    """What follows a task, in words; ``chord`` is whether its end counts for a chord."""

    kept: list[str] = []
    lost: list[str] = []
    chord: bool = False


def _body(
    old: TaskMessage, edited: tuple[list[Any], dict[str, Any]] | None, *, grouped: bool
) -> tuple[bytes, bool, _Followers]:
    """The body, whether it is compressed as the old one was, and what follows. Raises `Unfaithful`."""
    try:
        args, kwargs, embed = _parts(old)
    except Unfaithful as unread:
        if edited is not None:
            lost = [f"what may follow it ({', '.join(FOLLOWERS.values())}), as {unread}"]
            return _encoded([*edited, _NOTHING]), False, _Followers(lost=lost)
        if grouped:
            raise Unfaithful(
                f"It belongs to a group, and whether also to a chord can't be told, as {unread}: its end would count "
                "for the chord once more."
            ) from None
        return old.body, True, _Followers([f"its body as it is, with what may follow it ({unread})"])
    followers = _Followers([word for key, word in FOLLOWERS.items() if embed.get(key)], chord=bool(embed.get("chord")))
    if edited is None and not followers.chord:
        return old.body, True, followers
    return _encoded([*(edited or (args, kwargs)), {**embed, "chord": None}]), False, followers


def _parts(message: TaskMessage) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """Arguments and what follows, from a body of JSON. Raises `Unfaithful` with a half sentence."""
    match loaded(message):
        case [list() as args, dict() as kwargs, dict() as embed]:
            return args, kwargs, embed
        case [list() as args, dict() as kwargs, None]:
            return args, kwargs, {}
    raise Unfaithful("its body is not that of a task")


def loaded(message: TaskMessage) -> Any:
    """What a body of JSON holds, compressed or not. Raises `Unfaithful` with a half sentence."""
    if message.content_type != _JSON:
        raise Unfaithful(f"a body of the kind {message.content_type} is not loaded")
    if message.content_encoding.lower() not in _UTF_8:
        raise Unfaithful(f"a body in the encoding {message.content_encoding} is not loaded")
    body, compression = message.body, message.headers.get("compression")
    try:
        if compression:
            body = inflate(body, str(compression), MAX_BODY)
        if len(body) > MAX_BODY:
            raise Unfaithful("its body is too large to be read here")
        return json.loads(body.decode())  # of bytes, JSON would guess the encoding
    except (Refused, ValueError, RecursionError):
        raise Unfaithful("its body can't be read") from None


def _lifetime(original: Original, now: float) -> tuple[float | None, list[str], list[str]]:
    """When it expires: as long after now as it did after it was sent; what was kept of that, and what was not."""
    old = original.message
    expires = _epoch(old.headers.get("expires"))
    if expires is None:
        return None, [], []
    if old.expiration is not None and old.expiration.isdecimal() and len(old.expiration) <= _DIGITS:
        lasts = int(old.expiration) / 1000
    elif original.sent is not None and expires > original.sent:
        lasts = expires - original.sent
    else:
        return None, [], ["its expiry, as it is not known how long after sending that was"]
    if lasts > _LONGEST:
        return None, [], ["its expiry, which is decades away"]
    return now + lasts, [f"its expiry, {lasts:,.0f} s after it is sent"], []


def _kept(old: TaskMessage) -> list[str]:
    """What else goes along with a message, in words."""
    headers = old.headers
    limits, stamped = headers.get("timelimit"), headers.get("stamped_headers")
    stamps = [name for name in stamped if isinstance(name, str)] if isinstance(stamped, list) else []
    held = {
        f"priority {old.priority}": old.priority,
        "time limits": isinstance(limits, list) and any(limit is not None for limit in limits),
        "shadow name": headers.get("shadow"),
        "that its result is ignored": headers.get("ignore_result"),
        "stamps": stamps,
        "compression": headers.get("compression"),
        "headers of its sender": headers.keys() - _USUAL - {*stamps},
    }
    return [word for word, is_there in held.items() if is_there]


def _is_of_the_old(header: str) -> bool:
    return header in _OF_THE_OLD or header.startswith(_OF_THE_BROKER)


def _shown(args: list[Any], kwargs: dict[str, Any]) -> dict[str, str]:
    return {"argsrepr": saferepr(args, _REPR), "kwargsrepr": saferepr(kwargs, _REPR)}


def _encoded(body: object) -> bytes:
    """JSON as kombu writes it, NaN and all: Python's own, which Python reads back as it was."""
    return json.dumps(body).encode("ascii")


def _moment(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()


def _epoch(moment: object) -> float | None:
    if not isinstance(moment, str):
        return None
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


#: Headers of Celery itself.
_USUAL: Final = frozenset(
    made(Known(name="", args=[], kwargs={}, id=""), "").headers.keys() | {"compression", *_OF_THE_OLD}
)
