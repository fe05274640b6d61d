"""Messages that nobody should send to the event exchange and anybody can: what each is, and what has to become of it.

Each row is a name, the message, and the outcome: the reasons of the rejections it is counted under, and how many of
its events are good.
"""

import base64
import json
import pickle  # noqa: TID251 - written here, to be refused there
import zlib
from typing import Any, Final

from tests.helpers.events import T0, envelope, raw

Row = tuple[str, bytes, tuple[str, ...], int]

_GOOD: Final = raw()
_BIG: Final = "9" * 5_000
_DEEP: Final = 100_000


def _text(source: str) -> bytes:
    """A message whose body is this JSON text."""
    return envelope(source.encode("utf-8", "surrogatepass"))


def _with(field: str, source: str, kind: str = "task-succeeded") -> bytes:
    """A message with one event of which one field is this JSON text."""
    return _text(json.dumps(raw(kind, **{field: ...}))[:-1] + f', "{field}": {source}}}')


class _Payload:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit('a message ran code')",)


_PICKLED: Final = base64.b64encode(pickle.dumps([_Payload()])).decode()


ENVELOPES: Final[tuple[Row, ...]] = (
    ("an empty message", b"", ("not JSON",), 0),
    ("not JSON at all", b"hello", ("not JSON",), 0),
    ("bytes of no encoding", b"\xff\xfe\x00\x80", ("not JSON",), 0),
    ("half of a message", envelope(_GOOD)[:200], ("not JSON",), 0),
    ("two messages in one", envelope(_GOOD) * 2, ("not JSON",), 0),
    ("a NUL behind it", envelope(_GOOD) + b"\x00", ("not JSON",), 0),
    ("a list as the envelope", b"[1, 2]", ("not an event",), 0),
    ("a number as the envelope", b"5", ("not an event",), 0),
    ("null as the envelope", b"null", ("not an event",), 0),
    ("an empty envelope", b"{}", ("missing field",), 0),
    ("no body", envelope(_GOOD, body=...), ("missing field",), 0),
    ("body null", envelope(_GOOD, body=None), ("wrong type",), 0),
    ("body a number", envelope(_GOOD, body=5), ("wrong type",), 0),
    ("body an object", envelope(_GOOD, body={"type": "x"}), ("wrong type",), 0),
    ("body not base64", envelope(_GOOD, body="!!!notbase64"), ("not base64",), 0),
    ("body with a line break in its base64", envelope(_GOOD, body="eyJ0\neXBlIjoxfQ=="), ("not base64",), 0),
    ("body with a surrogate in its base64", envelope(_GOOD, body="\ud800"), ("not base64",), 0),
    ("properties null", envelope(_GOOD, properties=None), ("wrong type",), 0),
    ("properties a list", envelope(_GOOD, properties=[]), ("wrong type",), 0),
    ("body encoding a number", envelope(_GOOD, properties={"body_encoding": 7}), ("wrong type",), 0),
    ("body encoding unknown, and so plain", envelope(_GOOD, properties={"body_encoding": "hex"}), ("not JSON",), 0),
    ("content type pickle", envelope(_GOOD, **{"content-type": "application/x-python-serialize", "body": _PICKLED}),
     ("not JSON",), 0),
    ("a pickle that says it is JSON", envelope(pickle.dumps([_Payload()])), ("not JSON",), 0),
    ("content type yaml", envelope(_GOOD, **{"content-type": "application/x-yaml"}), ("not JSON",), 0),
    ("content type msgpack", envelope(_GOOD, **{"content-type": "application/x-msgpack"}), ("not JSON",), 0),
    ("content type a number", envelope(_GOOD, **{"content-type": 5}), ("wrong type",), 0),
    ("content type with control characters", envelope(_GOOD, **{"content-type": "\x1b[2J"}), ("not JSON",), 0),
    ("deeply nested envelope", b"[" * _DEEP, ("too deep",), 0),
    ("deeply nested header", b'{"headers":' * _DEEP + b"1" + b"}" * _DEEP, ("too deep",), 0),
    ("headers of any kind", envelope(_GOOD, headers=[1, None]), (), 1),
    ("a huge number in the envelope", envelope(_GOOD)[:-1] + b', "x": ' + _BIG.encode() + b"}", (), 1),
    ("a bomb that nobody asked to unpack", envelope(_GOOD, headers={"compression": "application/x-gzip"},
                                                    body=base64.b64encode(zlib.compress(bytes(1 << 20))).decode()),
     ("not JSON",), 0),
    ("more than a message may weigh", envelope(_GOOD, x="x" * (4 << 20)), ("too large",), 0),
    ("no content type, as JSON", envelope(_GOOD, **{"content-type": ...}), (), 1),
    ("no properties, as a plain body", envelope(_GOOD, properties=..., body=json.dumps(_GOOD)), (), 1),
    ("a field twice: the last counts", b'{"body": 1, ' + envelope(_GOOD)[1:], (), 1),
)  # fmt: skip

BODIES: Final[tuple[Row, ...]] = (
    ("an empty body", _text(""), ("not JSON",), 0),
    ("half of a body", _text('{"type": "task-st'), ("not JSON",), 0),
    ("a body of no encoding", envelope(b"\xff\xff\xff"), ("not JSON",), 0),
    ("a body in UTF-16", envelope(json.dumps(_GOOD).encode("utf-16")), ("not JSON",), 0),
    ("an empty list", _text("[]"), (), 0),
    ("null", _text("null"), ("not an event",), 0),
    ("a string", _text('"task-started"'), ("not an event",), 0),
    ("a number", _text("5"), ("not an event",), 0),
    ("NaN", _text("NaN"), ("not a number",), 0),
    ("an empty object", _text("{}"), ("missing field",), 0),
    ("a list of nonsense", _text('[1, null, "x", [], {}]'), ("not an event",) * 4 + ("missing field",), 0),
    ("a list in a list", _text("[[]]"), ("not an event",), 0),
    ("a list with one bad event", envelope([_GOOD, raw(timestamp="now"), _GOOD]), ("wrong type",), 2),
    ("a list with one that is no event", envelope([_GOOD, 7]), ("not an event",), 1),
    ("a list with one NaN", _text(f"[{json.dumps(_GOOD)}, NaN]"), ("not a number",), 0),
    ("a list cut off", _text(f"[{json.dumps(_GOOD)}, "), ("not JSON",), 0),
    ("deeply nested lists", _text("[" * _DEEP + "]" * _DEEP), ("too deep",), 0),
    ("deeply nested objects", _text('{"a":' * _DEEP + "1" + "}" * _DEEP), ("too deep",), 0),
    ("depth in a field that nobody reads", _with("x", "[" * _DEEP + "]" * _DEEP), ("too deep",), 0),
    ("depth in an own field of a custom event", _with("x", "[" * 900 + "]" * 900, "task-progress"), (), 1),
    ("a field of an event twice: the last counts", _text('{"type": 5, ' + json.dumps(_GOOD)[1:]), (), 1),
    ("more nonsense than a list may hold", _text("[" + "0," * 10_000 + "0]"), ("too many",), 0),
    ("a key with a surrogate", _with("\\ud800", "1"), (), 1),
)

TYPES: Final[tuple[Row, ...]] = (
    ("no type", envelope(raw(type=...)), ("missing field",), 0),
    ("type null", envelope(raw(None)), ("wrong type",), 0),  # type: ignore[arg-type]
    ("type a number", envelope(raw(7)), ("wrong type",), 0),  # type: ignore[arg-type]
    ("type empty", envelope(raw("")), ("unknown type",), 0),
    ("type without a group", envelope(raw("started")), ("unknown type",), 0),
    ("type of a group that Celery has not", envelope(raw("beat-tick")), ("unknown type",), 0),
    ("type with an upper-case letter", envelope(raw("task-Started")), ("unknown type",), 0),
    ("type with a line break", envelope(raw("task-x\n")), ("unknown type",), 0),
    ("type with markup", envelope(raw("task-<img src=x>")), ("unknown type",), 0),
    ("type with a surrogate", envelope(raw("task-\ud800")), ("unknown type",), 0),
    ("type of 10,000 letters", envelope(raw("task-" + "x" * 10_000)), ("unknown type",), 0),
    ("an unknown worker event", envelope(raw("worker-exploded")), ("unknown type",), 0),
    ("a custom event without a task", envelope(raw("task-progress", uuid=...)), ("missing field",), 0),
    ("type a list", envelope(raw(["task-started"])), ("wrong type",), 0),  # type: ignore[arg-type]
    ("leader election", envelope(raw("worker-elect", uuid=..., id="x", topic="t", action="a", cver=1)), (), 1),
    ("leader election that names a task", envelope(raw("worker-elect-ack", uuid="t9")), (), 1),
    ("a heartbeat that names a task", envelope(raw("worker-heartbeat", uuid="t9")), (), 1),
    ("a custom event", envelope(raw("task-progress", current=1)), (), 1),
)

_FIELDS: Final[tuple[Row, ...]] = (
    ("no hostname", envelope(raw(hostname=...)), ("missing field",), 0),
    ("hostname null", envelope(raw(hostname=None)), ("wrong type",), 0),
    ("hostname of 2,000 letters", envelope(raw(hostname="h" * 2_000)), ("too long",), 0),
    ("no timestamp", envelope(raw(timestamp=...)), ("missing field",), 0),
    ("no uuid", envelope(raw(uuid=...)), ("missing field",), 0),
    ("uuid null", envelope(raw(uuid=None)), ("missing field",), 0),
    ("uuid empty", envelope(raw(uuid="")), ("missing field",), 0),
    ("uuid a number", envelope(raw(uuid=5)), ("wrong type",), 0),
    ("uuid of 2,000 letters", envelope(raw(uuid="u" * 2_000)), ("too long",), 0),
    ("name of 1 MB", envelope(raw("task-received", name="n" * 1_000_000)), ("too long",), 0),
    ("name a list", envelope(raw("task-received", name=["a"])), ("wrong type",), 0),
    ("queue of 2,000 letters", envelope(raw("task-sent", queue="q" * 2_000)), ("too long",), 0),
    ("root of 2,000 letters", envelope(raw("task-sent", root_id="r" * 2_000)), ("too long",), 0),
    ("arguments as a list, as old clients send them", envelope(raw("task-received", args=[1, "x"], kwargs={"a": 1})),
     (), 1),
    ("arguments a number", envelope(raw("task-received", args=5)), ("wrong type",), 0),
    ("a result of 1 MB", envelope(raw(result="r" * 1_000_000)), (), 1),
    ("a traceback of 1 MB", envelope(raw("task-failed", exception="E", traceback="t\n" * 500_000)), (), 1),
    ("retries below zero", envelope(raw("task-received", retries=-1)), ("out of range",), 0),
    ("retries beyond all numbers", envelope(raw("task-received", retries=1 << 60)), ("out of range",), 0),
    ("retries a fraction", envelope(raw("task-received", retries=1.5)), ("wrong type",), 0),
    ("retries a string", envelope(raw("task-received", retries="1")), ("wrong type",), 0),
    ("a run time below zero", envelope(raw(runtime=-5.0)), (), 1),
    ("a run time of 10^300 seconds", envelope(raw(runtime=1e300)), (), 1),
    ("a run time that is text", envelope(raw(runtime="fast")), ("wrong type",), 0),
    ("terminated by a novel", envelope(raw("task-revoked", terminated=True, signum="S" * 100_000)), (), 1),
    ("terminated by a surrogate", envelope(raw("task-revoked", terminated=True, signum="\ud800")), (), 1),
    ("terminated by a number without end", _with("signum", _BIG[:4_000], "task-revoked"), (), 1),
    ("expires in the year 10^300", envelope(raw("task-received", expires=1e300)), (), 1),
    ("expires a list", envelope(raw("task-received", expires=[1])), ("wrong type",), 0),
    ("eta of 1 MB", envelope(raw("task-received", eta="9" * 1_000_000)), (), 1),
    ("active below zero", envelope(raw("worker-heartbeat", uuid=..., active=-1)), ("out of range",), 0),
    ("processed beyond all numbers", envelope(raw("worker-heartbeat", uuid=..., processed=1 << 70)),
     ("out of range",), 0),
    ("a process of 40 digits", envelope(raw("worker-heartbeat", uuid=..., pid=10**40)), (), 1),
    ("a process below zero", envelope(raw("worker-heartbeat", uuid=..., pid=-(10**40))), (), 1),
    ("a clock of 40 digits", envelope(raw(clock=10**40)), (), 1),
    ("a heartbeat every 0 seconds", envelope(raw("worker-heartbeat", uuid=..., freq=0)), (), 1),
    ("a heartbeat every -1 seconds", envelope(raw("worker-heartbeat", uuid=..., freq=-1)), (), 1),
    ("a load of nine figures", envelope(raw("worker-heartbeat", uuid=..., loadavg=[1e308, -1.0] + [0.5] * 7)), (), 1),
    ("a load of text", envelope(raw("worker-heartbeat", uuid=..., loadavg=["high"])), ("wrong type",), 0),
    ("software of 1 MB", envelope(raw("worker-online", uuid=..., sw_ver="5" * 1_000_000)), (), 1),
    ("1,000 fields of its own", envelope(raw("task-progress", **{f"f{n}": n for n in range(1_000)})), (), 1),
    ("a field named event", envelope(raw(event={"a": 1})), (), 1),
    ("a field named payload", envelope(raw("task-progress", payload={"a": 1}, seen=5.0)), (), 1),
    ("fields named as ours are", envelope(raw(payload="x", seen="never")), (), 1),
    ("a custom event whose own fields are named as Celery's", envelope(raw("task-progress", name=5, result={"a": 1})),
     (), 1),
    ("own fields of 40 digits", _with("x", "1" * 40, "task-progress"), (), 1),
    ("own fields of 5,000 digits", _with("x", _BIG, "task-progress"), ("not JSON",), 0),
    ("own fields beyond all numbers", _with("x", "1e999", "task-progress"), (), 1),
)  # fmt: skip

#: A number of JSON, and whether it is one for a field that wants a figure.
_NUMBERS: Final = {
    "NaN": "not a number",
    "Infinity": "not a number",
    "-Infinity": "not a number",
    "1e999": "not a number",
    "-1e999": "not a number",
    _BIG: "not JSON",
    '"5"': "wrong type",
    "true": "wrong type",
    "[]": "wrong type",
    "{}": "wrong type",
}
NUMBERS: Final[tuple[Row, ...]] = tuple(
    (f"{field} {number[:12]}", _with(field, number, kind), (reason,), 0)
    for kind, field in (
        ("task-succeeded", "timestamp"), ("task-succeeded", "runtime"), ("worker-heartbeat", "freq"),
        ("worker-heartbeat", "active"), ("task-received", "retries"), ("task-started", "clock"),
    )
    for number, reason in _NUMBERS.items()
)  # fmt: skip

#: Timestamps that are numbers but no times: the event is kept, dated when it was received.
TIMES: Final = ("0", "-1", "1e300", "-1e300", "1e9", "99999999999", str(10**400), "5e-324")

ROWS: Final[tuple[Row, ...]] = (
    *ENVELOPES,
    *BODIES,
    *TYPES,
    *_FIELDS,
    *NUMBERS,
    *((f"timestamp {text[:12]}", _with("timestamp", text), (), 1) for text in TIMES if len(text) < 400),
)

#: Text that lies about itself, and what it is shown as.
TEXTS: Final = {
    "a\x00b": r"a\x00b",
    "a\x1b[2Jb": r"a\x1b[2Jb",
    "a\rb": r"a\rb",
    "a\x9bb": r"a\x9bb",
    "ab\u202ecd": r"ab\u202ecd",
    "a\u200bb": r"a\u200bb",
    "\ufeffa": r"\ufeffa",
    "a\u2028b": r"a\u2028b",
    "\ud800abc": r"\ud800abc",
    "abc\udfff": r"abc\udfff",
    "grün – 木 🔔": "grün – 木 🔔",
    "<img src=x>": "<img src=x>",
    "=1+1": "=1+1",
}


def message(kind: str, /, **fields: Any) -> bytes:
    """A message with one event, which may hold lone surrogates."""
    return envelope(raw(kind, **fields))


def good(number: int) -> bytes:
    """The good message that has to survive whatever came before it."""
    return envelope([raw("task-started", uuid=f"good-{number}", timestamp=T0 + number)])
