"""Inputs for the fuzzer: each made from a seed and a number alone, most from recorded events of real workers.

Some are events with fields that nobody should send, some recorded messages with bytes changed, some both compressed.
"""

import base64
import bz2
import json
import lzma
import random
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from tests.helpers.events import envelope
from tests.helpers.hostile import CASES
from tests.helpers.hostile_texts import LIES
from tests.helpers.recordings import streams

Raw = dict[str, Any]

#: Fields of Celery's, ours, and such as are named like methods.
_FIELDS: Final = (
    "type",
    "hostname",
    "timestamp",
    "uuid",
    "name",
    "args",
    "kwargs",
    "root_id",
    "parent_id",
    "retries",
    "eta",
    "expires",
    "queue",
    "exchange",
    "routing_key",
    "result",
    "runtime",
    "exception",
    "traceback",
    "terminated",
    "signum",
    "expired",
    "requeue",
    "freq",
    "active",
    "processed",
    "loadavg",
    "sw_ident",
    "sw_ver",
    "sw_sys",
    "clock",
    "pid",
    "utcoffset",
    "seen",
    "payload",
    "event",
    "__class__",
    "update",
)
_TYPES: Final = (
    "task-sent", "task-received", "task-started", "task-succeeded", "task-failed", "task-retried", "task-revoked",
    "task-rejected", "task-cancelled", "task-progress", "task-custom.state", "worker-online", "worker-heartbeat",
    "worker-offline", "worker-elect", "worker-x", "task-", "", "x",
)  # fmt: skip
_NUMBERS: Final = (
    0, -1, 1, 1.5, -1.5, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**40, 10**400, 1e300, -1e300, 5e-324, 1e9, 4.1e9,
    1_795_230_000, 1_795_230_000_000, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
_TEXTS: Final = (
    "", " ", "a", "5", "null", "t1", "x" * 300, "é" * 300, "2026-11-21T10:57:10+00:00", "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59", "ExceptionWithTraceback()", "WorkerLostError('x')\n", "(1, 2)", "{'a': 1}",
    *(typed for typed, _, _ in LIES.values()),
)  # fmt: skip
_OTHERS: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    [],
    {},
    [1, 2, 3],
    {"a": [None]},
    [[[[]]]],
    {"__type__": "datetime", "__value__": "x"},
)
#: Bytes that mean something to whoever parses.
_PIECES: Final = (
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"NaN",
    b"1e999", b"Infinity", rb"\ud800", rb"\u0000", b"null", b"-", b"9" * 400, b'"type":', b'"uuid":', b"[" * 1_100,
    b"e", b"=", b"\n",
)  # fmt: skip
_SMALL: Final = 20_000


class Input(NamedTuple):
    """One message. ``good`` is the id of the task it tells of truthfully and alone, and that has to succeed."""

    payload: bytes
    good: str | None = None


class Inputs:
    """All inputs of a seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._streams = list(streams().values())
        self._cases = [case.message for case in CASES if len(case.message) < _SMALL]
        self._makers: Sequence[Callable[[random.Random], bytes]] = (
            *(self._fields_changed,) * 3, self._fields_made_up, *(self._bytes_changed,) * 2, *(self._body_changed,) * 2,
            self._compressed, self._known_case, self._any_json,
        )  # fmt: skip

    def make(self, number: int) -> Input:
        """The input of this number. Every twentieth is a good one, hidden in a list with others or alone."""
        dice = random.Random(f"{self._seed}/{number}")
        if number % 20 == 0:
            uuid = f"good-{self._seed}-{number}"
            return Input(envelope(_good(dice, uuid)), uuid)
        return Input(dice.choice(self._makers)(dice))

    def _some_events(self, dice: random.Random) -> list[Raw]:
        """A few events of a recording in a row, of tasks that come again."""
        stream = dice.choice(self._streams)
        at = dice.randrange(len(stream))
        events = [
            {key: value for key, value in event.items() if key != "seen"}
            for event in stream[at : at + dice.randint(1, 4)]
        ]
        if dice.random() < 0.97:
            suffix = f"-{dice.randrange(1_000)}"
            for event in events:
                for field in ("uuid", "root_id", "parent_id"):
                    if isinstance(event.get(field), str):
                        event[field] += suffix
        if dice.random() < 0.2:
            dice.shuffle(events)
        return events

    def _fields_changed(self, dice: random.Random) -> bytes:
        events = self._some_events(dice)
        for _ in range(dice.randint(0, 4)):
            _change(dice, dice.choice(events), dice.choice(events))
        return _sent(dice, events)

    def _fields_made_up(self, dice: random.Random) -> bytes:
        events = []
        for _ in range(dice.randint(1, 3)):
            event = {field: _value(dice) for field in dice.sample(_FIELDS, dice.randint(0, 12))}
            if dice.random() < 0.9:
                event["type"] = dice.choice(_TYPES)
            if dice.random() < 0.9:
                event |= {"hostname": f"w{dice.randrange(50)}@made", "timestamp": 1_795_230_000.0 + dice.random() * 1e4}
                event["uuid"] = f"made-{dice.randrange(2_000)}"
            events.append(event)
        return _sent(dice, events)

    def _bytes_changed(self, dice: random.Random) -> bytes:
        payload = _sent(dice, self._some_events(dice))
        return _damaged(dice, payload, lambda: _sent(dice, self._some_events(dice)))

    def _body_changed(self, dice: random.Random) -> bytes:
        def body() -> bytes:
            return _encoded(dice, self._some_events(dice))

        return envelope(_damaged(dice, body(), body))

    def _compressed(self, dice: random.Random) -> bytes:
        name, compress = dice.choice((("x-gzip", zlib.compress), ("x-bz2", bz2.compress), ("x-lzma", _quick_lzma)))
        body = compress(_encoded(dice, self._some_events(dice)))
        if dice.random() < 0.5:
            body = _damaged(dice, body, lambda: body)
        kind = f"application/{name}" if dice.random() < 0.9 else _value(dice)
        return _dumped({**json.loads(envelope(body)), "headers": {"compression": kind}})

    def _known_case(self, dice: random.Random) -> bytes:
        payload = dice.choice(self._cases)
        return payload if dice.random() < 0.5 else _damaged(dice, payload, lambda: dice.choice(self._cases))

    def _any_json(self, dice: random.Random) -> bytes:
        body = _dumped(_nested(dice, dice.randint(0, 6)))
        return body if dice.random() < 0.2 else envelope(body)


def _good(dice: random.Random, uuid: str) -> list[Raw]:
    known: Raw = {"hostname": f"good{dice.randrange(4)}@test", "uuid": uuid, "pid": 1, "clock": 1, "utcoffset": 0}
    began = 1_795_230_000.0 + dice.random() * 1e4
    return [
        {
            **known,
            "type": "task-received",
            "name": "good",
            "args": "()",
            "kwargs": "{}",
            "retries": 0,
            "timestamp": began,
        },
        {**known, "type": "task-started", "timestamp": began + 0.5},
        {**known, "type": "task-succeeded", "result": uuid, "runtime": 0.25, "timestamp": began + 0.75},
    ]


def _change(dice: random.Random, event: Raw, other: Raw) -> None:
    """One field of an event becomes something else."""
    field = dice.choice(tuple(event) or _FIELDS) if dice.random() < 0.8 else dice.choice(_FIELDS)
    what = dice.random()
    if what < 0.1:
        event.pop(field, None)
    elif what < 0.2 and field in other:
        event[field] = other[field]
    elif what < 0.3:
        event["type"] = dice.choice(_TYPES)
    elif what < 0.4 and isinstance(event.get("timestamp"), float):
        event["timestamp"] += dice.choice((-1e9, -3600, -1, -0.001, 0.001, 1, 3600, 1e9))
    elif what < 0.5 and isinstance(event.get(field), str):
        at, text = dice.randrange(len(event[field]) + 1), event[field]
        event[field] = text[:at] + dice.choice(_TEXTS) + text[at:]
    else:
        event[field] = _value(dice)


def _value(dice: random.Random) -> Any:
    kind = dice.random()
    return dice.choice(_NUMBERS if kind < 0.35 else _TEXTS if kind < 0.8 else _OTHERS)


def _nested(dice: random.Random, depth: int) -> Any:
    if depth == 0:
        return _value(dice)
    if dice.random() < 0.5:
        return [_nested(dice, depth - 1) for _ in range(dice.randint(0, 3))]
    return {dice.choice((*_FIELDS, *_TEXTS)): _nested(dice, depth - 1) for _ in range(dice.randint(0, 3))}


def _damaged(dice: random.Random, data: bytes, another: Callable[[], bytes]) -> bytes:
    """Bytes with some of them changed, taken out, put in, doubled, cut off, or joined to those of another message."""
    made = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
        at = dice.randrange(len(made) + 1)
        what = dice.randrange(7)
        if what == 0 and at < len(made):
            made[at] ^= 1 << dice.randrange(8)
        elif what == 1:
            del made[at : at + dice.choice((1, 2, 30))]
        elif what == 2:
            made[at:at] = dice.choice(_PIECES)
        elif what == 3:
            made[at:at] = made[at : at + dice.choice((1, 20, 200))]
        elif what == 4:
            made[at : at + 4] = dice.randbytes(dice.randint(0, 4))
        elif what == 5:
            del made[at:]
        else:
            other = another()
            made[at:] = other[dice.randrange(len(other) + 1) :]
    return bytes(made)


def _sent(dice: random.Random, events: list[Raw]) -> bytes:
    """A message with these events."""
    body = _encoded(dice, events)
    if dice.random() < 0.03:
        # As clients do that do not wrap the body.
        return _dumped({"body": body.decode("utf-8", "replace"), "content-type": "application/json", "properties": {}})
    return envelope(body)


def _encoded(dice: random.Random, events: list[Raw]) -> bytes:
    return _dumped(events[0] if len(events) == 1 and dice.random() < 0.8 else events)


def _dumped(value: object) -> bytes:
    return json.dumps(value).encode()


def _quick_lzma(data: bytes) -> bytes:
    return lzma.compress(data, preset=0)


def shown(payload: bytes) -> str:
    """An input as a test's report can hold it; `base64.b64decode` brings it back."""
    return base64.b64encode(payload).decode()
