"""Untrusted bytes in, checked events out; every limit on what a broker may send us lives here."""

import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, NoReturn

import msgspec
from msgspec import Meta

from app.collectors.checks import (
    EVENT_FIELDS,
    MAX_DISTINCT,
    MAX_DISTINCT_BYTES,
    MAX_INTEGER,
    MAX_SECONDS,
    MAX_WORD,
    TASK_FIELDS,
    TIMES,
    Rejected,
    Words,
    check_task,
    check_worker,
    is_figure,
    label,
)
from app.collectors.clean import MAX_TEXT, clean_text
from app.collectors.inflate import Refused, inflate
from app.models.records import Event

#: A message above this many bytes is not decoded.
MAX_MESSAGE: Final = 4 << 20
#: A compressed body is inflated to so many bytes at most.
MAX_INFLATED: Final = 1 << 20
#: Celery sends up to 24 events at a time; a longer list than this is read only if every event in it is good.
MAX_EVENTS: Final = 10_000
#: More distinct types of custom events than this are taken for one.
MAX_CUSTOM: Final = 200
_OTHER_TYPE: Final = "task-other"
TASK_TYPES: Final = frozenset(
    f"task-{word}"
    for word in ("sent", "received", "started", "succeeded", "failed", "retried", "revoked", "rejected", "cancelled")
)
WORKER_TYPES: Final = frozenset({"worker-online", "worker-heartbeat", "worker-offline"})
#: Understood and of no interest: gossip's leader election.
IGNORED_TYPES: Final = frozenset({"worker-elect", "worker-elect-ack"})
_CUSTOM_TYPE: Final = re.compile(r"task-[a-z][a-z0-9_.-]{0,62}")
_TYPED: Final = TASK_TYPES | WORKER_TYPES | IGNORED_TYPES
#: Celery's part of a custom event; whatever else it carries is its own, even under a name that Celery uses elsewhere.
_CUSTOM_FIELDS: Final = frozenset({"type", "hostname", "timestamp", "uuid", "utcoffset", "pid", "clock"})


_Word = Annotated[str, Meta(min_length=1, max_length=MAX_WORD)]
_Count = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]


class _Ordinary(Event, gc=False, kw_only=True):
    """One of nearly all the events there are: it says what Celery's say, within all limits, and nothing else.

    The decoder checks that; an event that it refuses is looked at more closely.
    """

    type: Literal["task-received", "task-started", "task-succeeded"]
    timestamp: Annotated[float, Meta(gt=TIMES[0], lt=TIMES[1])]
    uuid: _Word
    root_id: _Word | None = None
    parent_id: _Word | None = None
    retries: Literal[0] | None = None
    runtime: Annotated[float, Meta(ge=0.0, lt=MAX_SECONDS)] | None = None
    clock: _Count | None = None
    pid: _Count | None = None
    eta: None = None
    expires: None = None
    queue: None = None
    exchange: None = None
    routing_key: None = None
    exception: None = None
    traceback: None = None
    terminated: None = None
    signum: None = None
    expired: None = None
    requeue: None = None
    freq: None = None
    active: None = None
    processed: None = None
    loadavg: None = None
    sw_ident: None = None
    sw_ver: None = None
    sw_sys: None = None
    payload: None = None


class _Uncompressed(msgspec.Struct, gc=False):
    compression: None = None


class _Base64(msgspec.Struct, gc=False):
    body_encoding: Literal["base64"]


class _Encoded(msgspec.Struct, gc=False):
    """The envelope that kombu publishes: its body in base64, which the decoder of JSON decodes by the way."""

    body: bytes
    properties: _Base64
    content_type: Literal["application/json"] = msgspec.field(name="content-type")
    headers: _Uncompressed | None = None


class _Headers(msgspec.Struct, gc=False):
    compression: str | None = None


class _Properties(msgspec.Struct, gc=False):
    body_encoding: str | None = None


class _Envelope(msgspec.Struct, gc=False):
    body: str
    content_type: str | None = msgspec.field(name="content-type", default=None)
    headers: _Headers | None = None
    properties: _Properties = msgspec.field(default_factory=_Properties)


class Normaliser:
    """Turns messages of Celery's event exchange into events and counts what it refuses.

    Attributes: ``received`` (events, and messages that hold none that could be read), ``rejected`` (by reason).
    """

    def __init__(self, *, max_distinct: int = MAX_DISTINCT) -> None:
        self.received = 0
        self.rejected: Counter[str] = Counter()
        self._workers = Words(max_distinct, MAX_DISTINCT_BYTES)
        # Every process that sends a task has a name of its own: there is no end of them.
        self._producers = Words(max_distinct, MAX_DISTINCT_BYTES)
        self._names = Words(max_distinct, MAX_DISTINCT_BYTES)
        self._queues = Words(max_distinct, MAX_DISTINCT_BYTES)
        self._custom: set[str] = set()
        self._encoded = msgspec.json.Decoder(_Encoded).decode
        self._one_ordinary = msgspec.json.Decoder(_Ordinary).decode
        self._ordinary = msgspec.json.Decoder(list[_Ordinary]).decode
        self._one = msgspec.json.Decoder(Event).decode
        self._many = msgspec.json.Decoder(list[Event]).decode

    def redis_message(self, payload: bytes, seen: float, out: list[Event]) -> None:
        """Append the events of one pub/sub message (kombu's envelope, a JSON object with a base64 body) to ``out``."""
        try:
            if len(payload) > MAX_MESSAGE:
                raise Rejected("too large")
            try:
                encoded = self._encoded(payload)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
            else:
                self.body(encoded.body, seen, out)
                return
            envelope = _envelope_slowly(payload)
            if envelope.properties.body_encoding == "base64":
                try:
                    body = binascii.a2b_base64(envelope.body, strict_mode=True)
                except ValueError:
                    raise Rejected("not base64") from None
            else:
                body = envelope.body.encode("utf-8", "surrogatepass")
        except Rejected as rejection:
            self._reject(str(rejection))
            return
        compression = None if envelope.headers is None else envelope.headers.compression
        self.message(body, envelope.content_type, compression, seen, out)

    def message(
        self, body: bytes, content_type: str | None, compression: str | None, seen: float, out: list[Event]
    ) -> None:
        """Append the events of a message with this body to ``out``; what kombu says of the body is beside it."""
        if len(body) > MAX_MESSAGE:
            self._reject("too large")
            return
        if content_type not in (None, "application/json"):
            self._reject("not JSON")
            return
        if compression:
            try:
                body = inflate(body, compression, MAX_INFLATED)
            except Refused as refusal:
                self._reject(str(refusal))
                return
        self.body(body, seen, out)

    def body(self, body: bytes, seen: float, out: list[Event]) -> None:
        """Append the events of one message body (JSON: an event, or a list of them) to ``out``."""
        # No escape and nothing but ASCII in all of it: then no word or text in it holds anything that can't be seen.
        if body.isascii() and b"\\" not in body and b"\x7f" not in body and len(body) <= MAX_TEXT:
            try:
                ordinary = self._ordinary(body) if body[:1] == b"[" else (self._one_ordinary(body),)
            except (msgspec.DecodeError, RecursionError):
                pass
            else:
                self._take_ordinary(ordinary, seen, out)
                return
        try:
            events = self._many(body) if body[:1] == b"[" else [self._one(body)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._slowly(body, seen, out)
            return
        if any(event.type not in _TYPED for event in events):
            # The typed decoder skips what it does not know, which is what a custom event is about.
            self._slowly(body, seen, out)
            return
        self.received += len(events)
        for event in events:
            self._take(event, seen, out)

    def _take_ordinary(self, events: Sequence[_Ordinary], seen: float, out: list[Event]) -> None:
        self.received += len(events)
        host, name = self._workers.known, self._names.known
        for event in events:
            hostname = host(event.hostname)
            named = event.name if event.name is None else name(event.name)
            if hostname is None or (named is None and event.name is not None):
                self._take(event, seen, out)
                continue
            event.hostname, event.name, event.seen = hostname, named, seen
            out.append(event)

    def _take(self, event: Event, seen: float, out: list[Event]) -> None:
        try:
            self._accept(event, seen)
        except Rejected as rejection:
            self.rejected[str(rejection)] += 1
        else:
            out.append(event)

    def _reject(self, reason: str) -> None:
        self.received += 1
        self.rejected[reason] += 1

    def _accept(self, event: Event, seen: float) -> None:
        """Check and clean one decoded event in place."""
        if not event.hostname:
            raise Rejected("missing field")
        event.seen = seen
        event.payload = None
        if not TIMES[0] < event.timestamp < TIMES[1]:
            event.timestamp = seen
        if event.pid is not None and not 0 <= event.pid <= MAX_INTEGER:
            event.pid = None
        if event.clock is not None and not 0 <= event.clock <= MAX_INTEGER:
            event.clock = None
        kind = event.type
        if kind in WORKER_TYPES or kind in IGNORED_TYPES:
            for field in TASK_FIELDS:
                setattr(event, field, None)
            check_worker(event)
        else:
            if kind not in TASK_TYPES:
                event.type = self._custom_type(kind)
            check_task(event)
            # An empty one is none.
            if event.name is not None:
                event.name = self._names.get(event.name) or None
            if event.queue is not None:
                event.queue = self._queues.get(event.queue) or None
        event.hostname = (self._producers if kind == "task-sent" else self._workers).get(event.hostname)

    def _custom_type(self, kind: str) -> str:
        if kind in self._custom:
            return kind
        if not _CUSTOM_TYPE.fullmatch(kind):
            raise Rejected("unknown type")
        if len(self._custom) >= MAX_CUSTOM:
            return _OTHER_TYPE
        self._custom.add(kind)
        return kind

    def _slowly(self, body: bytes, seen: float, out: list[Event]) -> None:
        """Read a body that the typed decoder can't: say why, and keep each event that is good by itself."""
        try:
            value = _loads(body)
            if isinstance(value, list) and len(value) > MAX_EVENTS:
                raise Rejected("too many")
        except Rejected as rejection:
            self._reject(str(rejection))
            return
        for item in value if isinstance(value, list) else [value]:
            self.received += 1
            try:
                event = _convert(item)
                self._accept(event, seen)
                if event.type not in _TYPED:
                    event.payload = _own_fields(item)
            except Rejected as rejection:
                self.rejected[str(rejection)] += 1
            else:
                out.append(event)


def _envelope_slowly(payload: bytes) -> _Envelope:
    """The envelope through the standard library, which reads lone surrogates; raises `Rejected` with the reason."""
    value = _loads(payload)
    if not isinstance(value, dict):
        raise Rejected("not an event")
    if "body" not in value:
        raise Rejected("missing field")
    try:
        return msgspec.convert(value, _Envelope)
    except (msgspec.ValidationError, UnicodeEncodeError):
        raise Rejected("wrong type") from None


def _loads(body: bytes) -> Any:
    try:
        # Decoded here: given bytes, the library would guess at UTF-16 and UTF-32.
        return json.loads(body.decode("utf-8"), parse_constant=_not_finite)
    except (UnicodeDecodeError, ValueError):
        raise Rejected("not JSON") from None
    except RecursionError:
        raise Rejected("too deep") from None


def _not_finite(_name: str) -> NoReturn:
    raise Rejected("not a number")


def _convert(item: object) -> Event:
    if not isinstance(item, dict):
        raise Rejected("not an event")
    for field in ("type", "hostname", "timestamp"):
        if field not in item:
            raise Rejected("missing field")
    if not isinstance(item["type"], str):
        raise Rejected("wrong type")
    fields = EVENT_FIELDS if item["type"] in _TYPED else _CUSTOM_FIELDS
    own = {key: value for key, value in item.items() if key in fields}
    for field in ("args", "kwargs"):
        # Celery 3 and some other clients send the arguments themselves where others send their text.
        if isinstance(own.get(field), list | dict):
            own[field] = _as_text(own[field])
    for value in own.values():
        if isinstance(value, float) and not math.isfinite(value):
            raise Rejected("not a number")
    try:
        return msgspec.convert(own, Event)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter for half a pair where a number belongs
        raise Rejected("wrong type") from None


def _as_text(value: object) -> str:
    """JSON that is read as it was typed; where something in it would be escaped, it is so by JSON's own rules."""
    try:
        text = json.dumps(value, ensure_ascii=False)
        return text if clean_text(text, len(text)) == text else json.dumps(value)
    except RecursionError:
        raise Rejected("too deep") from None


def _own_fields(item: dict[str, Any]) -> dict[str, Any]:
    """What a custom event carries besides Celery's fields, bounded to 32 keys and cleaned, nested values as text."""
    own: dict[str, Any] = {}
    for key, value in item.items():
        if key in _CUSTOM_FIELDS:
            continue
        if len(own) == 32:  # noqa: PLR2004 - bound stated in the docstring
            break
        own[label(key)] = (
            value if is_figure(value) else clean_text(value if isinstance(value, str) else _as_text(value), MAX_WORD)
        )
    return own
