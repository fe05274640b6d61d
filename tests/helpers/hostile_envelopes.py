"""Hostile messages by their shape: the envelope, the body's encoding, lists, nesting, types of events, ids."""

import base64
import json
from typing import Any, Final

from tests.helpers.events import envelope, raw
from tests.helpers.hostile_case import BIG, DEEP, Case, kept, message, refused, text, with_json

_GOOD: Final = raw()
_BODY: Final = json.dumps(_GOOD).encode()
_MANY: Final[dict[str, Any]] = {f"x{n}": n for n in range(100_000)}

# --- the envelope ----------------------------------------------------------------------------------------------------

_ENVELOPES: Final = (
    refused("an empty message", b"", "not JSON"),
    refused("not JSON at all", b"hello", "not JSON"),
    refused("bytes of no encoding", b"\xff\xfe\x00\x80", "not JSON"),
    refused("a byte order mark and an envelope", b"\xef\xbb\xbf" + envelope(_GOOD), "not JSON"),
    refused("an envelope in UTF-16", envelope(_GOOD).decode().encode("utf-16"), "not JSON"),
    refused("an envelope in UTF-32", envelope(_GOOD).decode().encode("utf-32"), "not JSON"),
    refused("half of a message", envelope(_GOOD)[:200], "not JSON"),
    refused("two messages in one", envelope(_GOOD) * 2, "not JSON"),
    refused("a NUL behind it", envelope(_GOOD) + b"\x00", "not JSON"),
    refused("a comment behind it", envelope(_GOOD) + b"// none", "not JSON"),
    refused("quotes of another kind", envelope(_GOOD).replace(b'"', b"'"), "not JSON"),
    refused("a comma too many", envelope(_GOOD)[:-1] + b",}", "not JSON"),
    refused("a command of Redis", b"*1\r\n$8\r\nFLUSHALL\r\n", "not JSON"),
    kept("spaces and lines around it", b" \r\n\t" + envelope(_GOOD) + b"\n "),
    refused("a list as the envelope", b"[1, 2]", "not an event"),
    refused("a number as the envelope", b"5", "not an event"),
    refused("a text as the envelope", b'"body"', "not an event"),
    refused("null as the envelope", b"null", "not an event"),
    refused("NaN as the envelope", b"NaN", "not a number"),
    refused("an empty envelope", b"{}", "missing field"),
    refused("an event without an envelope", _BODY, "missing field"),
    refused("deeply nested envelope", b"[" * DEEP, "too deep"),
    refused("deeply nested header", b'{"headers":' * DEEP + b"1" + b"}" * DEEP, "too deep"),
    kept("a huge number in the envelope", envelope(_GOOD)[:-1] + b', "x": ' + BIG.encode() + b"}"),
    kept("a hundred thousand fields in the envelope", envelope(_GOOD, **_MANY)),
    refused("more than a message may weigh", envelope(_GOOD, x="x" * (4 << 20)), "too large"),
    kept("no properties, as a plain body", envelope(_GOOD, properties=..., body=json.dumps(_GOOD))),
    kept("the body twice: the last counts", b'{"body": 1, ' + envelope(_GOOD)[1:]),
    refused("the body twice: the last is bad", envelope(_GOOD)[:-1] + b', "body": 1}', "wrong type"),
    kept("a key in capitals is another one", envelope(_GOOD)[:-1] + b', "BODY": 1}'),
    kept("a surrogate in a header", envelope(_GOOD, headers={"hostname": "\ud800"})),
)  # fmt: skip

_ANY: Final[dict[str, Any]] = {
    "missing": ..., "null": None, "a number": 5, "true": True, "a text": "x", "empty": "", "a list": [1, None],
    "an object": {"x": 1},
}  # fmt: skip
#: What becomes of each value in each field of the envelope: the reason where it is refused, nothing where it is not.
_SHAPES: Final[dict[str, dict[str, str]]] = {
    "body": {"missing": "missing field", "a text": "not base64", "empty": "not JSON"} | dict.fromkeys(
        ("null", "a number", "true", "a list", "an object"), "wrong type"),
    "content-type": {"a text": "not JSON", "empty": "not JSON"} | dict.fromkeys(
        ("a number", "true", "a list", "an object"), "wrong type"),
    "content-encoding": {},
    "headers": dict.fromkeys(("a number", "true", "a text", "empty", "a list"), "wrong type"),
    # Without its encoding the base64 of the body is taken for the body itself.
    "properties": {"missing": "not JSON", "an object": "not JSON"} | dict.fromkeys(
        ("null", "a number", "true", "a text", "empty", "a list"), "wrong type"),
    "body_encoding": dict.fromkeys(("missing", "null", "a text", "empty"), "not JSON") | dict.fromkeys(
        ("a number", "true", "a list", "an object"), "wrong type"),
    "delivery_info": {},
    "delivery_tag": {},
    "priority": {},
}  # fmt: skip
_IN_PROPERTIES: Final = ("body_encoding", "delivery_info", "delivery_tag", "priority")


def _shapes() -> list[Case]:
    made = []
    for field, outcomes in _SHAPES.items():
        for what, value in _ANY.items():
            reason, name = outcomes.get(what), f"{field} {what}"
            if value is ... and field in ("delivery_tag", "priority"):
                continue  # the same message as without the field before
            if field in _IN_PROPERTIES:
                properties = {"body_encoding": "base64", field: value}
                sent = envelope(_GOOD, properties={key: each for key, each in properties.items() if each is not ...})
            else:
                sent = envelope(_GOOD, **{field: value})
            made.append(kept(name, sent) if reason is None else refused(name, sent, reason))
    return made


_CONTENT_TYPES: Final = (
    "application/x-python-serialize", "application/x-yaml", "application/x-msgpack", "application/data", "text/plain",
    "application/text", "text/html", "application/json; charset=utf-8", "APPLICATION/JSON", "application/json\x00",
    " application/json", "application/json\u200b", "\x1b[2J", "\ud800", "../json", "j" * 100_000,
)  # fmt: skip

#: Bodies that claim to be base64.
_BASE64: Final[dict[str, str]] = {
    "no base64 at all": "!!!notbase64",
    "a line break inside": "eyJ0\neXBlIjoxfQ==",
    "a space behind": base64.b64encode(_BODY).decode() + " ",
    "padding missing": base64.b64encode(_BODY).decode().rstrip("=")[:-1],
    "something behind the padding": base64.b64encode(_BODY + b" " * (-len(_BODY) % 3 + 1)).decode() + "eA==",
    "padding in the middle": "eyJ=" + base64.b64encode(_BODY).decode(),
    "the alphabet of links": base64.urlsafe_b64encode(b"\xfb\xef\xff").decode(),
    "a surrogate": "\ud800",
    "a letter of the world": "é" * 8,
    "hexadecimal digits of odd length": _BODY.hex()[:-1],
    "one character": "e",
}

# --- the body --------------------------------------------------------------------------------------------------------

_BODIES: Final = (
    refused("a body of spaces", text("  \n"), "not JSON"),
    refused("half of a body", text('{"type": "task-st'), "not JSON"),
    refused("a body of no encoding", envelope(b"\xff\xff\xff"), "not JSON"),
    refused("a body in Latin-1", envelope(_BODY.replace(b"t1", "grün".encode("latin-1"))), "not JSON"),
    refused("a body in UTF-16", envelope(_BODY.decode().encode("utf-16")), "not JSON"),
    refused("a body in UTF-16 without its mark", envelope(_BODY.decode().encode("utf-16-le")), "not JSON"),
    refused("a body in UTF-32", envelope(_BODY.decode().encode("utf-32")), "not JSON"),
    refused("a body with a byte order mark", envelope(b"\xef\xbb\xbf" + _BODY), "not JSON"),
    refused("overlong UTF-8", envelope(_BODY.replace(b"t1", b"t\xc0\x80")), "not JSON"),
    refused("surrogates as UTF-8", envelope(_BODY.replace(b"t1", b"t\xed\xa0\x80")), "not JSON"),
    refused("UTF-8 cut off", envelope(_BODY.replace(b"t1", b"t\xe2\x82")), "not JSON"),
    refused("beyond Unicode", envelope(_BODY.replace(b"t1", b"t\xf4\x90\x80\x80")), "not JSON"),
    refused("a raw line break in a text", envelope(_BODY.replace(b"t1", b"t\n1")), "not JSON"),
    refused("an escape that is none", envelope(_BODY.replace(b"t1", rb"t\x41")), "not JSON"),
    kept("a pair of surrogates as escapes", envelope(_BODY.replace(b"t1", rb"t\ud83d\udd14")), uuid="t🔔"),
    kept("a pair the wrong way round", envelope(_BODY.replace(b"t1", rb"t\udd14\ud83d")), uuid=r"t\udd14\ud83d"),
    refused("base64 twice", envelope(base64.b64encode(_BODY)), "not JSON"),
    refused("an envelope in an envelope", envelope(envelope(_GOOD)), "missing field"),
    Case("an empty list", text("[]")),
    kept("an event behind spaces", text(" \n" + _BODY.decode()), uuid="t1"),
    Case("a list behind spaces", text(f" [{_BODY.decode()}]"), (), ({"uuid": "t1"},)),
    refused("null", text("null"), "not an event"),
    refused("true", text("true"), "not an event"),
    refused("a string", text('"task-started"'), "not an event"),
    refused("a number", text("5"), "not an event"),
    refused("NaN", text("NaN"), "not a number"),
    refused("a number of 5,000 digits", text(BIG), "not JSON"),
    refused("an empty object", text("{}"), "missing field"),
    refused("a list of nonsense", text('[1, null, "x", [], {}]'), *("not an event",) * 4, "missing field"),
    refused("a list in a list", text("[[]]"), "not an event"),
    Case("a list with one bad event", envelope([_GOOD, raw(timestamp="now"), _GOOD]), ("wrong type",), ({}, {})),
    Case("a list with one that is no event", envelope([_GOOD, 7]), ("not an event",), ({},)),
    Case(
        "a list with one custom event",
        envelope([_GOOD, raw("task-x", a=1)]),
        (),
        ({"payload": None}, {"payload": {"a": 1}}),
    ),
    refused("a list with one NaN", text(f"[{json.dumps(_GOOD)}, NaN]"), "not a number"),
    refused("a list cut off", text(f"[{json.dumps(_GOOD)}, "), "not JSON"),
    refused("deeply nested lists", text("[" * DEEP + "]" * DEEP), "too deep"),
    refused("deeply nested objects", text('{"a":' * DEEP + "1" + "}" * DEEP), "too deep"),
    refused(
        "depth in a field that nobody reads", with_json("task-succeeded", "x", "[" * DEEP + "]" * DEEP), "too deep"
    ),
    refused("depth in an argument", with_json("task-received", "args", "[" * DEEP + "]" * DEEP), "too deep"),
    refused("depth in an own field", with_json("task-progress", "x", "[" * DEEP + "]" * DEEP), "too deep"),
    kept("a field of an event twice: the last counts", text('{"type": 5, ' + json.dumps(_GOOD)[1:])),
    refused("the type twice: the last is bad", text(json.dumps(_GOOD)[:-1] + ', "type": 5}'), "wrong type"),
    kept("the uuid twice", text(json.dumps(_GOOD)[:-1] + ', "uuid": "t2"}'), uuid="t2"),
    kept("a key with a surrogate", with_json("task-succeeded", "\ud800", "1")),
    kept("a key of a million letters", with_json("task-succeeded", "k" * 1_000_000, "1")),
    kept("a hundred thousand fields", message("task-started", **_MANY), uuid="t1"),
    kept(
        "a hundred thousand own fields",
        message("task-x", **_MANY),
        payload={f"x{n}": n for n in range(32)},
    ),
    refused("more nonsense than a list may hold", text("[" + "0," * 10_000 + "0]"), "too many"),
    refused("half a million of nothing", text("[" + "[]," * 500_000 + "[]]"), "too many"),
    Case("as much nonsense as a list may hold", text("[" + "0," * 9_999 + "0]"), ("not an event",) * 10_000),
    Case("a list of a thousand events", envelope([_GOOD] * 1_000), (), ({"uuid": "t1"},) * 1_000),
)

# --- types of events -------------------------------------------------------------------------------------------------

_TYPES: Final = (
    *(
        refused(f"type {kind[:20]!a}", message(kind), "unknown type")
        for kind in (
            "started",
            "task",
            "task-",
            "-started",
            "task_started",
            "taskstarted",
            "beat-tick",
            "task-Started",
            "TASK-STARTED",
            "task-x\n",
            "task-x\x00",
            "task-<img src=x>",
            "task-\ud800",
            "task-é",
            "task-1",
            "task- x",
            " task-started",
            "task-started ",
            "task-x" + "y" * 64,
            "task-" + "x" * 10_000,
            "worker-exploded",
            "worker-",
            "worker",
            "worker-online ",
            "__class__",
            "task-x/../y",
            "task-%s",
            "*",
            "task-*",
            "null",
        )
    ),
    refused("a custom event without a task", message("task-progress", uuid=...), "missing field"),
    refused("a started task without a task", message("task-started", uuid=...), "missing field"),
    kept("leader election", message("worker-elect", uuid=..., id="x", topic="t", action="a", cver=1), uuid=None),
    kept("leader election that names a task", message("worker-elect-ack", uuid="t9"), uuid=None),
    *(
        kept(f"a {kind} that names a task", message(kind, uuid="t9", name="x"), uuid=None)
        for kind in ("worker-heartbeat", "worker-online", "worker-offline")
    ),
    kept("a heartbeat of a surrogate's task", message("worker-heartbeat", uuid="\ud800"), uuid=None),
    kept("a custom event", message("task-progress", current=1), payload={"current": 1}),
    *(
        kept(f"custom type {kind[:20]}", message(kind), type=kind)
        for kind in (
            "task-a",
            "task-a.b",
            "task-a-b_c.1",
            "task-x" + "y" * 62,
            "task-none",
            "task-pending",
            "task-event",
        )
    ),
    kept("a task that waits for itself", message("task-sent", uuid="t1", parent_id="t1", root_id="t1"), parent_id="t1"),
    Case(
        "two tasks of one id", envelope([raw("task-received", name="a"), raw("task-received", name="b")]), (), ({}, {})
    ),
    Case(
        "two that are parents of each other",
        envelope(
            [
                raw("task-sent", uuid="a", parent_id="b"),
                raw("task-sent", uuid="b", parent_id="a"),
            ]
        ),
        (),
        ({}, {}),
    ),
    Case("a worker of the name of a producer", envelope([raw("task-sent"), raw("worker-online")]), (), ({}, {})),
    Case(
        "a task of the id of a worker", envelope([raw("worker-online"), raw("task-started", uuid="w1")]), (), ({}, {})
    ),
    kept("a task of the name of all others", message("task-received", name="(other)"), name="(other)"),
)

ENVELOPES: Final[tuple[Case, ...]] = (
    *_ENVELOPES,
    *_shapes(),
    *(
        refused(f"content type {kind[:20]!a}", envelope(_GOOD, **{"content-type": kind}), "not JSON")
        for kind in _CONTENT_TYPES
    ),
    *(refused(f"base64: {what}", envelope(_GOOD, body=body), "not base64") for what, body in _BASE64.items()),
    *_BODIES,
    *_TYPES,
)
