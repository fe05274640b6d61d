"""What a single word means: which field it names and how the value is read."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar, get_args

import msgspec

from app.models import states
from app.models.search import figures
from app.models.search.conditions import (
    Anywhere,
    Compare,
    Condition,
    Has,
    Identity,
    Is,
    Keyword,
    Label,
    Node,
    Or,
    State,
    Text,
)
from app.models.search.errors import SearchError
from app.models.search.patterns import Pattern
from app.models.search.values import Clock
from app.models.search.words import Word

Choice = TypeVar("Choice", bound=str)
Item = TypeVar("Item")

#: All words that can stand before a colon, in the order in which they are offered.
FIELDS: Final = (
    *("name", "state", "worker", "queue", "uuid"),
    *("args", "kwargs", "result", "exception", "traceback", "root", "parent"),
    *("retries", "seen", "sent", "received", "started", "finished", "wait", "runtime", "eta"),
    *("has", "is"),
)
#: What ``has:`` takes: all that may be unknown.
KNOWABLE: Final = {field: field for field in FIELDS if field not in {"state", "uuid", "retries", "seen", "has", "is"}}
CONDITIONS: Final[dict[str, Condition]] = {condition: condition for condition in get_args(Condition)}
MAX_VALUES: Final = 128

#: What other tools call our fields.
_ALIASES: Final = {
    "duration": "runtime",
    "error": "exception",
    "hostname": "worker",
    "id": "uuid",
    "latency": "wait",
    "status": "state",
    "task": "name",
}
_FIELD: Final = re.compile(r"[a-z_]{2,12}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
#: States by Celery's words and by the window's.
_STATES: Final = {word.casefold(): state for state, shown in states.WORDS.items() for word in (state, shown)}
#: How like a field another word has to be (difflib's ratio) to be taken for a slip: ``wrker`` is one, ``time`` is not.
_LIKENESS: Final = 0.75


class Meaning(msgspec.Struct, frozen=True):
    """What a word says, and doubts about it in a sentence each."""

    node: Node
    hints: tuple[str, ...] = ()


def meaning(word: Word, clock: Clock) -> Meaning:
    """What a word means.

    Raises:
        SearchError: a field without a value or with one that it can't have, or a field that does not exist.
    """
    colon = word.find(":")
    field = word.text[:colon].casefold() if colon > 0 and not any(word.quoted[:colon]) else ""
    value = word.part(colon + 1)
    if field == "priority":
        raise SearchError("The history does not record priorities (search by queue instead)", word.position)
    if field not in FIELDS:
        if field and value.text:
            _refuse_slip(field, word)
        return Meaning(Anywhere(Pattern.of(word)))
    if not value.text:
        raise SearchError(f"The field {field!r} requires a value", word.position)
    if field == "state":
        return _state(value)
    return Meaning(_node(field, value, clock))


def _node(field: str, value: Word, clock: Clock) -> Node:
    match field:
        case "name" | "worker" | "queue":
            return Label(field, _unique(Pattern.of(part) for part in _list(field, value)))
        case "uuid" | "root" | "parent":
            return _identity(field, value)
        case "args" | "result" | "exception" | "traceback":
            return Text(field, Pattern.of(value))
        case "kwargs":
            return _keyword(value)
        case "has" | "is":
            return _named(field, value)
    return _compare(field, value, clock)


def _keyword(value: Word) -> Node:
    at = value.text.find("=")
    if at < 0:
        return Text("kwargs", Pattern.of(value))
    return Keyword(Pattern.of(value.part(0, at).strip()), Pattern.of(value.part(at + 1).strip()))


def _named(field: str, value: Word) -> Node:
    parts = _list(field, value)
    if field == "has":
        return _any([Has(_choice(part, KNOWABLE)) for part in parts])
    return _any([Is(_choice(part, CONDITIONS)) for part in parts])


def _compare(field: str, value: Word, clock: Clock) -> Node:
    bare = f"Write a comparison ({field}:>{value.text})"
    match field:
        case "retries":
            interval = figures.interval(value, figures.number, clock=clock)
        case "wait" | "runtime":
            interval = figures.interval(value, figures.duration, clock=clock, bare=bare)
        case _:
            interval = figures.interval(value, lambda word: figures.moment(word, clock), clock=clock, bare=bare)
    return Compare(field, interval)


def _state(value: Word) -> Meaning:
    found: list[str] = []
    patterns: list[Pattern] = []
    hints: list[str] = []
    for part in _list("state", value):
        pattern = Pattern.of(part)
        known = _STATES.get(part.text.casefold())
        if pattern.has_gap:
            patterns.append(pattern)
        elif known is not None:
            found.append(known)
        else:
            # A custom state, which Celery's own events write in capitals.
            found.extend((part.text, part.text.upper()))
            hints.extend(_hint(part.text))
    return Meaning(State(_unique(found), _unique(patterns)), tuple(hints))


def _hint(state: str) -> list[str]:
    near = difflib.get_close_matches(state.casefold(), _STATES, n=1, cutoff=0.6)
    return [f"{state!r} is not one of Celery's states: did you mean {states.WORDS[_STATES[near[0]]]}?"] if near else []


def _identity(field: str, value: Word) -> Node:
    equal: list[str] = []
    patterns: list[Pattern] = []
    for part in _list(field, value):
        if _UUID.fullmatch(part.text):
            equal.extend((part.text, part.text.lower(), part.text.upper()))
        else:
            patterns.append(Pattern.of(part))
    return Identity(field, _unique(equal), _unique(patterns))


def _list(field: str, value: Word) -> list[Word]:
    parts = value.split(",")
    if len(parts) > MAX_VALUES:
        raise SearchError(f"The list exceeds {MAX_VALUES} values", parts[MAX_VALUES].position)
    for part in parts:
        if not part.text:
            raise SearchError(f"The list after {field!r} requires a value between commas", part.position)
    return parts


def _choice(part: Word, choices: Mapping[str, Choice]) -> Choice:
    choice = choices.get(part.text.casefold())
    if choice is None:
        near = difflib.get_close_matches(part.text.casefold(), choices, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(choices)}"
        raise SearchError(f"Unknown value {part.text!r} ({advice})", part.position)
    return choice


def _any(nodes: Sequence[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else Or(_unique(nodes))


def _unique(values: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(dict.fromkeys(values))


def _refuse_slip(field: str, word: Word) -> None:
    """Words with a colon are text unless they look like one of our fields, mistyped or known from elsewhere."""
    near = difflib.get_close_matches(field, FIELDS, n=1, cutoff=_LIKENESS) if _FIELD.fullmatch(field) else []
    meant = _ALIASES.get(field) or next(iter(near), None)
    if meant is not None:
        advice = f"did you mean {meant!r}? Put it in quotes to find it as text"
        raise SearchError(f"Unknown field {field!r} ({advice})", word.position)
