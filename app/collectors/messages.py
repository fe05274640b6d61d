"""What a message in a queue says of its task, read without ever running a serializer that could run code.

JSON is read; pickle, YAML and MessagePack are not, and neither is what is compressed beyond a bound: of those messages
the headers are shown, which tell the task and how its arguments looked to who sent it.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from app.collectors.checks import MAX_INTEGER, MAX_WORD
from app.collectors.clean import clean_text, clean_word
from app.collectors.inflate import Refused, inflate
from app.models.formats import bytes_
from app.models.lifecycle import epoch
from app.models.records import Message

#: Bytes of a body that are decoded at most, also after it was inflated.
MAX_BODY: Final = 1 << 20
#: Characters of arguments and headers that are shown.
MAX_SHOWN: Final = 8_192
#: Headers that are shown by themselves.
_OWN: Final = frozenset({"task", "id", "eta", "expires", "retries", "argsrepr", "kwargsrepr", "origin", "redelivered"})
#: Content types of kombu's serializers; without one, it is JSON (``kombu.serialization``).
_JSON: Final = "application/json"
_SERIALIZERS: Final = {
    "application/x-python-serialize": "pickle",
    "application/x-yaml": "YAML",
    "application/x-msgpack": "MessagePack",
    "application/data": "binary data",
    "text/plain": "plain text",
}
_RUNS_CODE: Final = ("pickle", "YAML")


class Page(msgspec.Struct):
    """Some messages of a queue: ``start`` is the place of the first of them, ``total`` how many wait there.

    ``turns`` is whether there are other pages to look at than the first.
    """

    messages: list[Message]
    start: int
    total: int
    turns: bool = True


class _Properties(msgspec.Struct):
    priority: Any = None
    body_encoding: Any = None


class _Envelope(msgspec.Struct):
    body: str = ""
    content_type: str | None = msgspec.field(name="content-type", default=None)
    headers: dict[str, Any] = {}
    properties: _Properties = msgspec.field(default_factory=_Properties)


class _Named(msgspec.Struct):
    id: Any = None


class _Correlated(msgspec.Struct):
    correlation_id: Any = None


class _Id(msgspec.Struct):
    headers: _Named = msgspec.field(default_factory=_Named)
    properties: _Correlated = msgspec.field(default_factory=_Correlated)


_decode_id: Final = msgspec.json.Decoder(_Id).decode


def read_message(raw: bytes) -> Message:
    """What is known of a message as it lies in a list of Redis (kombu's envelope)."""
    try:
        envelope = msgspec.convert(json.loads(raw.decode("utf-8", "surrogateescape")), _Envelope)
    except (ValueError, RecursionError):
        return Message(size=len(raw), note="It is not a message of Celery's.")
    message = _of_headers(envelope.headers, envelope.content_type, envelope.properties.priority, len(raw))
    try:
        body = _unwrapped(envelope)
        _read_body(message, body, envelope.content_type, envelope.headers)
    except _Unread as unread:
        _show_headers(message, envelope.headers, str(unread))
    return message


def id_of(raw: bytes) -> str | None:
    """The id of a message's task, which protocol 1 has among its properties; None where it has none."""
    try:
        envelope = _decode_id(raw)
        found = envelope.headers.id or envelope.properties.correlation_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            # Text with half of a surrogate pair is fine for Python's JSON, and so for Celery.
            found = json.loads(raw)["headers"]["id"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return None
    return found if isinstance(found, str) else None


def read_parts(headers: Mapping[str, Any], body: bytes, content_type: str | None, priority: object) -> Message:
    """What is known of a message whose parts a broker keeps apart, as RabbitMQ does."""
    message = _of_headers(headers, content_type, priority, len(body))
    try:
        _read_body(message, body, content_type, headers)
    except _Unread as unread:
        _show_headers(message, headers, str(unread))
    return message


class _Unread(Exception):
    """Why a body is not read, in a sentence."""


def _of_headers(headers: Mapping[str, Any], content_type: str | None, priority: object, size: int) -> Message:
    retries = headers.get("retries")
    others = {key: value for key, value in headers.items() if key not in _OWN and value not in (None, [], {}, "")}
    return Message(
        size=size,
        id=_word(headers.get("id")),
        name=_word(headers.get("task")),
        eta=_moment(headers.get("eta")),
        expires=_moment(headers.get("expires")),
        priority=priority if isinstance(priority, int) and 0 <= priority <= MAX_INTEGER else None,
        retries=retries if isinstance(retries, int) and 0 <= retries <= MAX_INTEGER else 0,
        origin=_word(headers.get("origin")),
        content_type=clean_word((content_type or "")[:MAX_WORD]),
        headers=_json(others) if others else None,
        redelivered=headers.get("redelivered") is True,
    )


def _show_headers(message: Message, headers: Mapping[str, Any], why: str) -> None:
    """Show arguments as their sender did, where they can't be read themselves."""
    message.note = why
    message.args, message.kwargs = (_text(headers.get(key)) for key in ("argsrepr", "kwargsrepr"))
    message.source = "header" if message.args is not None or message.kwargs is not None else ""


def _read_body(message: Message, body: bytes, content_type: str | None, headers: Mapping[str, Any]) -> None:
    kind = content_type or _JSON
    if kind != _JSON:
        what = _SERIALIZERS.get(kind) or f"of the kind “{message.content_type}”"
        why = ", as that could run code" if what in _RUNS_CODE else ""
        raise _Unread(f"Its body is {what}, {bytes_(len(body))}, which Cloche does not load{why}.")
    body = _inflated(body, headers.get("compression"))
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise _Unread("Its body can't be read.") from None
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], list):  # noqa: PLR2004 - args, kwargs, embed
        message.args, message.kwargs, message.source = _json(value[0]), _json(value[1]), "body"
        message.embed = _embedded(value[2])
    elif isinstance(value, dict):  # protocol 1: all of it is in the body
        message.id = message.id or _word(value.get("id"))
        message.name = message.name or _word(value.get("task"))
        message.eta = message.eta or _moment(value.get("eta"))
        message.expires = message.expires or _moment(value.get("expires"))
        retries = value.get("retries")
        message.retries = retries if isinstance(retries, int) and 0 <= retries <= MAX_INTEGER else message.retries
        message.args, message.kwargs = _json(value.get("args") or []), _json(value.get("kwargs") or {})
        message.embed = _embedded({key: value.get(key) for key in ("callbacks", "errbacks", "chord")})
        message.source = "body"
    else:
        raise _Unread("Its body is not that of a task.")


def _unwrapped(envelope: _Envelope) -> bytes:
    """Bytes of a body, which kombu's virtual transports put into JSON."""
    if len(envelope.body) > MAX_BODY * 2:
        raise _Unread(f"Its body, {bytes_(len(envelope.body))}, is too large to be read here.")
    body = envelope.body.encode("utf-8", "surrogateescape")
    if envelope.properties.body_encoding != "base64":
        return body
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise _Unread("Its body can't be read.") from None


def _inflated(body: bytes, compression: object) -> bytes:
    if compression:
        kind = str(compression)
        try:
            body = inflate(body, kind, MAX_BODY)
        except Refused as refused:
            shown = clean_word(kind[:MAX_WORD])
            raise _Unread(f"Its body is compressed ({shown}) and is not read here: {refused}.") from None
    if len(body) > MAX_BODY:
        raise _Unread(f"Its body, {bytes_(len(body))}, is too large to be read here.")
    return body


def _embedded(value: object) -> str | None:
    """What follows a task, without what is not there."""
    if not isinstance(value, dict):
        return None
    present = {key: each for key, each in value.items() if each not in (None, [], {})}
    return _json(present) if present else None


def _word(value: object) -> str | None:
    return clean_word(value[:MAX_WORD]) if isinstance(value, str) and value else None


def _text(value: object) -> str | None:
    return clean_text(value, MAX_SHOWN) if isinstance(value, str) else None


def _moment(value: object) -> float | None:
    return epoch(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _json(value: object) -> str:
    """As JSON, with what AMQP has and JSON has not in words of Python's."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
        shown = clean_text(text, MAX_SHOWN)
        # Where something in it would be escaped, it is so by JSON's own rules, and stays JSON.
        return shown if shown == text else clean_text(json.dumps(value, default=str), MAX_SHOWN)
    except RecursionError:
        return "…"
