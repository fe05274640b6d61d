"""Hostile messages by their fields: every number, every type of value where another one belongs, times, own fields."""

import json
from typing import Any, Final

from tests.helpers.hostile_case import BIG, SEEN, Case, kept, message, refused, with_json
from tests.helpers.hostile_texts import TEXTS_OF, WORDS_OF

# --- numbers ---------------------------------------------------------------------------------------------------------

_VALUES: Final = {
    "nan": "NaN", "inf": "Infinity", "-inf": "-Infinity", "1e999": "1e999", "9…": BIG, "10^400": str(10**400),
    "2^63": str(1 << 63), "-1": "-1", "0": "0", "1.5": "1.5", "1e300": "1e300", "-1e300": "-1e300", "1e3": "1e3",
    "'5'": '"5"', "true": "true", "null": "null", "[]": "[]", "{}": "{}",
}  # fmt: skip

#: What becomes of each value in each field. N: not a number, J: not JSON, W: wrong type, R: out of range (the event is
#: refused). s: the time of reception, -: nothing, else the value itself. ok: the field is none of ours.
_NUMBERS: Final = """
                            nan inf -inf 1e999 9… 10^400 2^63 -1 0   1.5 1e300 -1e300 1e3  '5' true null [] {}
task-succeeded   timestamp  N   N   N    N     J  W      s    s  s   s   s     s      s    W   W    W    W  W
task-succeeded   runtime    N   N   N    N     J  W      -    -  0.0 1.5 -     -      1e3  W   W    -    W  W
task-received    retries    N   N   N    N     J  R      R    R  0   W   W     W      W    W   W    -    W  W
task-received    expires    N   N   N    N     J  W      -    -  -   -   -     -      -    "5" W    -    W  W
task-received    eta        N   N   N    N     J  W      W    W  W   W   W     W      W    "5" W    -    W  W
task-revoked     signum     N   N   N    N     J  -      -    -1 0   W   W     W      W    "5" W    -    W  W
task-started     clock      N   N   N    N     J  -      -    -  0   W   W     W      W    W   W    -    W  W
task-started     pid        N   N   N    N     J  -      -    -  0   W   W     W      W    W   W    -    W  W
worker-heartbeat pid        N   N   N    N     J  -      -    -  0   W   W     W      W    W   W    -    W  W
worker-heartbeat freq       N   N   N    N     J  W      -    -  -   1.5 -     -      1e3  W   W    -    W  W
worker-heartbeat active     N   N   N    N     J  R      R    R  0   W   W     W      W    W   W    -    W  W
worker-heartbeat processed  N   N   N    N     J  R      R    R  0   W   W     W      W    W   W    -    W  W
worker-heartbeat loadavg    N   N   N    N     J  W      W    W  W   W   W     W      W    W   W    -    [] W
task-started     utcoffset  N   N   N    ok    ok ok     ok   ok ok  ok  ok    ok     ok   ok  ok   ok   ok ok
"""
_REASONS: Final = {"N": "not a number", "J": "not JSON", "W": "wrong type", "R": "out of range"}


def _numbers() -> list[Case]:
    heads, *rows = [line.split() for line in _NUMBERS.strip().splitlines()]
    return [
        _number(kind, field, head, cell)
        for kind, field, *cells in rows
        for head, cell in zip(heads, cells, strict=True)
    ]


def _number(kind: str, field: str, head: str, cell: str) -> Case:
    name, sent = f"{kind} with {field} {head}", with_json(kind, field, _VALUES[head])
    if cell in _REASONS:
        return refused(name, sent, _REASONS[cell])
    if cell == "ok":
        return kept(name, sent)
    known = {"s": SEEN, "-": None}
    return kept(name, sent, **{field: known[cell] if cell in known else json.loads(cell)})


# A list of numbers has items of its own.
_LOADS: Final = {
    "[NaN, 0.5, 0.5]": "not a number",
    "[1e300, 0.5, 0.5]": None,
    "[1e999, 0.5, 0.5]": None,
    "[-1, 0.5, 0.5]": None,
    '["0.5", 0.5, 0.5]': "wrong type",
    "[null, 0.5, 0.5]": "wrong type",
    "[[0.5], 0.5, 0.5]": "wrong type",
    "[0.5]": [0.5],
    "[1, 2, 3, 4, 5]": [1.0, 2.0, 3.0],
}


def _loads() -> list[Case]:
    made = []
    for source, outcome in _LOADS.items():
        name, sent = f"a load of {source}", with_json("worker-heartbeat", "loadavg", source)
        made.append(refused(name, sent, outcome) if isinstance(outcome, str) else kept(name, sent, loadavg=outcome))
    return made


# --- values where others belong --------------------------------------------------------------------------------------

_ANY: Final = {
    "a number": "5",
    "true": "true",
    "a list": '["x"]',
    "an object": '{"x": 1}',
    "null": "null",
    "empty": '""',
}
#: Fields that must be there, and those that may be missing; what an empty text in them becomes.
_NEEDED: Final = ("type", "hostname", "uuid")
_EMPTY: Final = {"name": None, "queue": None}
_TRUTHS: Final = {"terminated": "task-revoked", "expired": "task-revoked", "requeue": "task-rejected"}


def _types() -> list[Case]:
    made = []
    for field, kind in {"type": "task-sent", **WORDS_OF, **TEXTS_OF, "eta": "task-sent"}.items():
        for what, source in _ANY.items():
            made.append(_typed(kind, field, what, source))
        if field in _NEEDED:
            made.append(refused(f"no {field}", message(kind, **{field: ...}), "missing field"))
    for field, kind in _TRUTHS.items():
        made += [
            refused(f"{field} {what}", with_json(kind, field, source), "wrong type")
            for what, source in {**_ANY, "text": '"yes"', "0": "0"}.items()
            if what not in ("null", "true")
        ]
        made.append(kept(f"{field} null", with_json(kind, field, "null"), **{field: None}))
    return made


def _typed(kind: str, field: str, what: str, source: str) -> Case:
    name, sent = f"{field} {what}", with_json(kind, field, source)
    if what == "null" and field not in ("type", "hostname"):
        return refused(name, sent, "missing field") if field == "uuid" else kept(name, sent, **{field: None})
    if what == "empty":
        if field == "type":
            return refused(name, sent, "unknown type")
        return (
            refused(name, sent, "missing field")
            if field in _NEEDED
            else kept(name, sent, **{field: _EMPTY.get(field, "")})
        )
    if field in ("args", "kwargs") and what in ("a list", "an object"):
        return kept(f"{name}, as old clients send them", sent, **{field: source})
    return refused(name, sent, "wrong type")


# --- times, and what a signal may be ---------------------------------------------------------------------------------

_TIMES: Final = {
    "0": SEEN, "-1": SEEN, "1e9": SEEN, "4.2e9": SEEN, "99999999999": SEEN, "5e-324": SEEN, "1795230000123": SEEN,
    "1.5e9": 1.5e9, "4e9": 4e9, "1795230000": 1_795_230_000.0,
}  # fmt: skip
_DATES: Final = {
    "a date": ("2026-11-21T10:57:10+00:00", "2026-11-21T10:57:10+00:00"),
    "a date before Christ": ("-0044-03-15T12:00:00", "-0044-03-15T12:00:00"),
    "the first of all dates": ("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00+23:59"),
    "the last of all dates": ("9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59-23:59"),
    "no date": ("tomorrow", "tomorrow"),
    "a date of a million digits": ("9" * 1_000_000, None),
    "a date in Arabic digits": ("٢٠٢٦-11-21T10:57:10", None),
    "a date with a line break": ("2026-11-21T10:57:10\n", None),
    "half a pair": ("\ud800", None),
}


def _times() -> list[Case]:
    made = [refused("no timestamp", message("task-started", timestamp=...), "missing field")]
    made += [
        kept(f"timestamp {source}", with_json("task-started", "timestamp", source), timestamp=time)
        for source, time in _TIMES.items()
    ]
    for field in ("eta", "expires"):
        made += [
            kept(f"{field}: {what}", message("task-received", **{field: typed}), **{field: shown})
            for what, (typed, shown) in _DATES.items()
        ]
    made.append(kept("expires at a time", message("task-received", expires=1.8e9), expires=1.8e9))
    for what, typed, shown in (
        ("a novel", "S" * 100_000, "S" * 64 + "… (cut, 100,000 characters)"),
        ("half a pair", "\ud800", r"\ud800"),
        ("markup", "<b>9</b>", "<b>9</b>"),
        ("a name", "SIGKILL", "SIGKILL"),
        ("a number", 9, 9),
        ("a number below zero", -9, -9),
    ):
        made.append(kept(f"terminated by {what}", message("task-revoked", terminated=True, signum=typed), signum=shown))
    return made


# --- own fields of custom events -------------------------------------------------------------------------------------


def _own(name: str, source: str, x: object) -> Case:
    return kept(f"own fields: {name}", with_json("task-progress", "x", source), payload={"x": x})


def _owned(name: str, /, *, shown: dict[str, Any], **own: Any) -> Case:
    return kept(
        f"own fields: {name}", message("task-progress", **own), payload=shown, name=None, result=None, seen=SEEN
    )


_DATE: Final = '{"__type__": "datetime", "__value__": "x"}'
_OWN: Final = (
    _own("40 digits", "1" * 40, "1" * 40),
    _own("beyond all numbers", "1e999", "Infinity"),
    _own("a large number", "1e300", 1e300),
    _own("true", "true", x=True),
    _own("null", "null", None),
    _own("a list", "[1, [2]]", "[1, [2]]"),
    _own("a list of letters of the world", '["gr\\u00fcn", "\\u6728"]', '["grün", "木"]'),
    _own("a list of lies", '["\\u202e", "gr\\u00fcn"]', '["\\u202e", "gr\\u00fcn"]'),
    _own("depth", "[" * 900 + "]" * 900, "[" * 900 + "]" * 124 + "… (cut, 1,800 characters)"),
    _own("a time of kombu's", _DATE, _DATE),
    refused("own fields: 5,000 digits", with_json("task-progress", "x", BIG), "not JSON"),
    refused("own fields: NaN", with_json("task-progress", "x", "NaN"), "not a number"),
    refused("own fields: NaN in a list", with_json("task-progress", "x", "[[NaN]]"), "not a number"),
    _owned("a thousand", **{f"f{n}": n for n in range(1_000)}, shown={f"f{n}": n for n in range(32)}),
    _owned("names of Celery's", name=5, result={"a": 1}, shown={"name": 5, "result": '{"a": 1}'}),
    _owned("names of ours", payload={"a": 1}, seen=5.0, shown={"payload": '{"a": 1}', "seen": 5.0}),
    _owned(
        "names of methods",
        update=1,
        __class__="x",
        __dict__={},
        shown={"update": 1, "__class__": "x", "__dict__": "{}"},
    ),
    _owned("an empty name", **{"": 1}, shown={"": 1}),
)

_STRAY: Final = (
    refused("half a pair where a number belongs", message("worker-heartbeat", freq="\udfff"), "wrong type"),
    kept("a task with a heartbeat's fields", message("task-started", freq=5.0, active=1), freq=None, active=None),
    kept(
        "a heartbeat with a task's fields", message("worker-heartbeat", args="\u202e", name="x"), args=None, name=None
    ),
)

#: Methods and attributes of dictionaries and of Celery's own State, which takes such a field for itself.
_METHODS: Final = (
    "event", "update", "get", "items", "self", "state", "payload", "seen", "__class__", "__dict__", "__init__",
    "__struct_fields__",
)  # fmt: skip
_NAMED: Final = tuple(
    kept(f"a field named {name}", message("task-started", **{name: {"a": 1}}), uuid="t1", seen=SEEN, payload=None)
    for name in _METHODS
)

FIELDS: Final[tuple[Case, ...]] = (*_numbers(), *_loads(), *_types(), *_times(), *_OWN, *_STRAY, *_NAMED)
