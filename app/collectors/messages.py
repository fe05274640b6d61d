"""What a message in a queue says of its task, read without ever running a serializer that could run code.

JSON is read; pickle, YAML and MessagePack are not, and neither is what is compressed beyond a bound: of those messages
the headers are shown, which tell the task and how its arguments looked to who sent it.
"""

import base64
import binascii
import json
from typing import Any, Final

import msgspec

from app.collectors.checks import MAX_INTEGER, MAX_WORD
from app.collectors.clean import clean_text, clean_word
from app.collectors.inflate import Refused, inflate
from app.models.lifecycle import epoch
from app.models.records import Message

#: Bytes of a body that are decoded at most, also after it was inflated.
MAX_BODY: Final = 1 << 20
#: Characters of arguments and headers that are shown.
MAX_SHOWN: Final = 8_192
#: Headers that are shown by themselves.
_OWN: Final = frozenset({"task", "id", "eta", "expires", "retries", "argsrepr", "kwargsrepr", "origin"})
_SERIALIZERS: Final = {
    "application/x-python-serialize": "pickle",
    "application/x-yaml": "YAML",
    "application/x-msgpack": "MessagePack",
    "application/data": "binary data",
}


class _Properties(msgspec.Struct):
    priority: Any = None
    body_encoding: Any = None


class _Envelope(msgspec.Struct):
    body: str = ""
    content_type: str | None = msgspec.field(name="content-type", default=None)
    headers: dict[str, Any] = {}
    properties: _Properties = msgspec.field(default_factory=_Properties)


def read_message(raw: bytes) -> Message:
    """What is known of a message as it lies in a list of Redis (kombu's envelope)."""
    try:
        envelope = msgspec.convert(json.loads(raw.decode("utf-8", "surrogateescape")), _Envelope)
    except (ValueError, RecursionError):
        return Message(size=len(raw), note="It is not a message of Celery's.")
    message = _of_headers(envelope.headers, len(raw))
    priority = envelope.properties.priority
    message.priority = priority if isinstance(priority, int) and 0 <= priority <= MAX_INTEGER else None
    message.content_type = clean_word((envelope.content_type or "")[:MAX_WORD])
    try:
        _read_body(message, envelope)
    except _Unread as unread:
        message.note = str(unread)
    if message.args is None and message.kwargs is None:
        message.args, message.kwargs = (_text(envelope.headers.get(key)) for key in ("argsrepr", "kwargsrepr"))
        message.source = "header" if message.args is not None or message.kwargs is not None else ""
    return message


class _Unread(Exception):
    """Why a body is not read, in a sentence."""


def _of_headers(headers: dict[str, Any], size: int) -> Message:
    retries = headers.get("retries")
    others = {key: value for key, value in headers.items() if key not in _OWN and value not in (None, [], {}, "")}
    return Message(
        size=size,
        id=_word(headers.get("id")),
        name=_word(headers.get("task")),
        eta=_moment(headers.get("eta")),
        expires=_moment(headers.get("expires")),
        retries=retries if isinstance(retries, int) and 0 <= retries <= MAX_INTEGER else 0,
        origin=_word(headers.get("origin")),
        headers=_json(others) if others else None,
    )


def _read_body(message: Message, envelope: _Envelope) -> None:
    body = _bytes(envelope)
    kind = envelope.content_type or "application/json"
    if kind != "application/json":
        what = _SERIALIZERS.get(kind, "of a kind")
        raise _Unread(f"Its arguments are {what} that Cloche does not load, as that could run code.")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise _Unread("Its body can't be read.") from None
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], list):  # noqa: PLR2004 - args, kwargs, embed
        message.args, message.kwargs, message.source = _json(value[0]), _json(value[1]), "body"
    elif isinstance(value, dict):  # protocol 1: all of it is in the body
        message.id = message.id or _word(value.get("id"))
        message.name = message.name or _word(value.get("task"))
        message.eta = message.eta or _moment(value.get("eta"))
        message.expires = message.expires or _moment(value.get("expires"))
        message.args, message.kwargs = _json(value.get("args") or []), _json(value.get("kwargs") or {})
        message.source = "body"
    else:
        raise _Unread("Its body is not that of a task.")


def _bytes(envelope: _Envelope) -> bytes:
    if len(envelope.body) > MAX_BODY * 2:
        raise _Unread("Its body is too large to be read here.")
    body = envelope.body.encode("utf-8", "surrogateescape")
    if envelope.properties.body_encoding == "base64":
        try:
            body = base64.b64decode(body, validate=True)
        except binascii.Error:
            raise _Unread("Its body can't be read.") from None
    compression = envelope.headers.get("compression")
    if compression:
        try:
            body = inflate(body, str(compression), MAX_BODY)
        except Refused:
            raise _Unread("Its body is compressed in a way, or so much, that it is not read here.") from None
    if len(body) > MAX_BODY:
        raise _Unread("Its body is too large to be read here.")
    return body


def _word(value: object) -> str | None:
    return clean_word(value[:MAX_WORD]) if isinstance(value, str) and value else None


def _text(value: object) -> str | None:
    return clean_text(value, MAX_SHOWN) if isinstance(value, str) else None


def _moment(value: object) -> float | None:
    return epoch(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _json(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
        shown = clean_text(text, MAX_SHOWN)
        # Where something in it would be escaped, it is so by JSON's own rules, and stays JSON.
        return shown if shown == text else clean_text(json.dumps(value), MAX_SHOWN)
    except RecursionError:
        return "…"
