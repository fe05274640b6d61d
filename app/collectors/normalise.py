"""Untrusted bytes in, checked events out; every limit on what a broker may send us lives here."""

import binascii
import json
import math
import re
from collections import Counter
from typing import Any, Final, NoReturn

import msgspec

from app.models.records import Event

#: A message above this many bytes is not decoded.
MAX_MESSAGE: Final = 4 << 20
#: An id, name, host or queue above this many characters is not one.
MAX_WORD: Final = 1_024
#: Free text is cut to this many characters. Celery itself cuts `args`, `kwargs` and `result` at 1,024.
MAX_TEXT: Final = 8_192
MAX_TRACEBACK: Final = 65_536
#: Celery sends up to 24 events at a time; a longer list than this is read only if every event in it is good.
MAX_EVENTS: Final = 10_000
#: More distinct names (or hosts, or queues) than this are counted together as `OTHER`.
MAX_DISTINCT: Final = 20_000
OTHER: Final = "(other)"
#: Integers that SQLite and Qt can hold.
MAX_INTEGER: Final = (1 << 53) - 1
#: No duration is longer; 30 years.
MAX_SECONDS: Final = 1e9
#: Timestamps outside 2001–2100 are a broken clock, not a time.
TIMES: Final = (1e9, 4.1e9)

TASK_TYPES: Final = frozenset(
    f"task-{word}"
    for word in ("sent", "received", "started", "succeeded", "failed", "retried", "revoked", "rejected", "cancelled")
)
WORKER_TYPES: Final = frozenset({"worker-online", "worker-heartbeat", "worker-offline"})
#: Understood and of no interest: gossip's leader election.
IGNORED_TYPES: Final = frozenset({"worker-elect", "worker-elect-ack"})

_CUSTOM_TYPE: Final = re.compile(r"task-[a-z][a-z0-9_.-]{0,62}")
_TYPED: Final = TASK_TYPES | WORKER_TYPES | IGNORED_TYPES
_FIELDS: Final = frozenset(Event.__struct_fields__) - {"seen", "payload"}
#: Celery's part of a custom event; whatever else it carries is its own, even under a name that Celery uses elsewhere.
_CUSTOM_FIELDS: Final = frozenset({"type", "hostname", "timestamp", "uuid", "utcoffset", "pid", "clock"})
#: What could hide, reorder or break a line of text: controls but tab and newline, surrogates, bidi and line separators.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_UNSAFE_WORD: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape", "surrogatepass").decode("ascii")


def clean_word(text: str) -> str:
    """One line without invisible or reordering characters: each is shown as its escape."""
    return text if text.isprintable() else _UNSAFE_WORD.sub(_escape, text)


def clean_text(text: str, limit: int = MAX_TEXT) -> str:
    """Text of several lines made safe, cut to ``limit`` characters with a remark of what was cut."""
    if len(text) > limit:
        text = f"{text[:limit]}… (cut, {len(text):,} characters)"
    return text if text.isprintable() else _UNSAFE.sub(_escape, text)


class Rejected(Exception):
    """A message or event that is not stored; the text is the reason it is counted under."""


class _Properties(msgspec.Struct, gc=False):
    body_encoding: str | None = None


class _Envelope(msgspec.Struct, gc=False):
    body: str
    content_type: str | None = msgspec.field(name="content-type", default=None)
    properties: _Properties = msgspec.field(default_factory=_Properties)


class _Words:
    """Distinct words seen, cleaned once each and bounded in number."""

    __slots__ = ("_limit", "_seen")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: dict[str, str] = {}

    def get(self, word: str) -> str:
        known = self._seen.get(word)
        if known is not None:
            return known
        if len(word) > MAX_WORD:
            raise Rejected("too long")
        if len(self._seen) >= self._limit:
            return OTHER
        self._seen[word] = cleaned = clean_word(word)
        return cleaned


class Normaliser:
    """Turns messages of Celery's event exchange into events and counts what it refuses.

    Attributes: ``received`` (events, and messages that hold none that could be read), ``rejected`` (by reason).
    """

    def __init__(self, *, max_distinct: int = MAX_DISTINCT) -> None:
        self.received = 0
        self.rejected: Counter[str] = Counter()
        self._workers = _Words(max_distinct)
        # Every process that sends a task has a name of its own: there is no end of them.
        self._producers = _Words(max_distinct)
        self._names = _Words(max_distinct)
        self._queues = _Words(max_distinct)
        self._envelope = msgspec.json.Decoder(_Envelope).decode
        self._one = msgspec.json.Decoder(Event).decode
        self._many = msgspec.json.Decoder(list[Event]).decode

    def redis_message(self, payload: bytes, seen: float, out: list[Event]) -> None:
        """Append the events of one pub/sub message (kombu's envelope, a JSON object with a base64 body) to ``out``."""
        try:
            if len(payload) > MAX_MESSAGE:
                raise Rejected("too large")
            try:
                envelope = self._envelope(payload)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
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
        self.message(body, envelope.content_type, None, seen, out)

    def message(
        self, body: bytes, content_type: str | None, compression: str | None, seen: float, out: list[Event]
    ) -> None:
        """Append the events of a message with this body to ``out``; what kombu says of the body is beside it."""
        if compression is not None:
            self._reject("compressed")
        elif content_type not in (None, "application/json"):
            self._reject("not JSON")
        else:
            self.body(body, seen, out)

    def body(self, body: bytes, seen: float, out: list[Event]) -> None:
        """Append the events of one message body (JSON: an event, or a list of them) to ``out``."""
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
        event.seen = seen
        event.payload = None
        if not TIMES[0] < event.timestamp < TIMES[1]:
            event.timestamp = seen
        kind = event.type
        if kind in WORKER_TYPES or kind in IGNORED_TYPES:
            event.uuid = None
            _check_worker(event)
        else:
            if kind not in TASK_TYPES and not _CUSTOM_TYPE.fullmatch(kind):
                raise Rejected("unknown type")
            _check_task(event)
            if event.name is not None:
                event.name = self._names.get(event.name)
            if event.queue is not None:
                event.queue = self._queues.get(event.queue)
        event.hostname = (self._producers if kind == "task-sent" else self._workers).get(event.hostname)

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


def _check_task(event: Event) -> None:  # noqa: C901 - one check after the other
    uuid = event.uuid
    if not uuid:
        raise Rejected("missing field")
    if len(uuid) > MAX_WORD:
        raise Rejected("too long")
    if not uuid.isprintable():
        event.uuid = clean_word(uuid)
    for field in ("args", "kwargs", "result", "exception"):
        text = getattr(event, field)
        if text is not None and (len(text) > MAX_TEXT or not text.isprintable()):
            setattr(event, field, clean_text(text))
    if event.traceback is not None:
        event.traceback = clean_text(event.traceback, MAX_TRACEBACK)
    for field in ("root_id", "parent_id", "exchange", "routing_key"):
        word = getattr(event, field)
        if word is not None and (len(word) > MAX_WORD or not word.isprintable()):
            if len(word) > MAX_WORD:
                raise Rejected("too long")
            setattr(event, field, clean_word(word))
    if event.retries is not None and not 0 <= event.retries <= MAX_INTEGER:
        raise Rejected("out of range")
    if event.signum is not None:
        event.signum = _signal(event.signum)
    runtime = event.runtime
    if runtime is not None and not 0.0 <= runtime < MAX_SECONDS:
        event.runtime = None


def _signal(signum: int | str) -> int | str | None:
    if isinstance(signum, str):
        return clean_word(signum[:MAX_WORD])
    return signum if abs(signum) <= MAX_INTEGER else None


def _check_worker(event: Event) -> None:
    for field in ("active", "processed"):
        count = getattr(event, field)
        if count is not None and not 0 <= count <= MAX_INTEGER:
            raise Rejected("out of range")
    if event.pid is not None and not 0 <= event.pid <= MAX_INTEGER:
        event.pid = None
    if event.freq is not None and not 0.0 < event.freq < MAX_SECONDS:
        event.freq = None
    if event.loadavg is not None:
        event.loadavg = [load for load in event.loadavg[:3] if 0.0 <= load < MAX_INTEGER]
    for field in ("sw_ident", "sw_ver", "sw_sys"):
        word = getattr(event, field)
        if word is not None:
            setattr(event, field, clean_word(word[:MAX_WORD]))


def _envelope_slowly(payload: bytes) -> _Envelope:
    """The envelope through the standard library, which reads lone surrogates; raises `Rejected` with the reason."""
    value = _loads(payload)
    if not isinstance(value, dict):
        raise Rejected("not an event")
    if "body" not in value:
        raise Rejected("missing field")
    try:
        return msgspec.convert(value, _Envelope)
    except msgspec.ValidationError:
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
    fields = _FIELDS if item["type"] in _TYPED else _CUSTOM_FIELDS
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
    except msgspec.ValidationError:
        raise Rejected("wrong type") from None


def _as_text(value: object) -> str:
    try:
        return json.dumps(value)
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
        if (
            isinstance(value, bool | None)
            or (isinstance(value, int) and abs(value) <= MAX_INTEGER)
            or isinstance(value, float)
        ):
            own[clean_word(key[:MAX_WORD])] = value
        else:
            own[clean_word(key[:MAX_WORD])] = clean_text(value if isinstance(value, str) else _as_text(value), 1_024)
    return own
