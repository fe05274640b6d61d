"""What a hostile message is made of, and the few ways to make one that the corpus is built by."""

import json
from typing import Any, Final, NamedTuple

from tests.helpers.events import envelope, raw

#: When a hostile message is received, in the tests that look at times.
SEEN: Final = 1_795_230_009.0
BIG: Final = "9" * 5_000
DEEP: Final = 100_000


class Case(NamedTuple):
    """One message and what has to become of it.

    ``rejected`` are the reasons of the rejections it is counted under, ``accepted`` what each of its good events says
    after it was checked, as far as it matters (a field's value by its name).
    """

    name: str
    message: bytes
    rejected: tuple[str, ...] = ()
    accepted: tuple[dict[str, Any], ...] = ()


def refused(name: str, message: bytes, /, *reasons: str) -> Case:
    """A message of which nothing is stored."""
    return Case(name, message, rejected=reasons)


def kept(name: str, message: bytes, /, **fields: Any) -> Case:
    """A message with one event that is stored, with these values."""
    return Case(name, message, accepted=(fields,))


def text(source: str) -> bytes:
    """A message whose body is this JSON text."""
    return envelope(source.encode("utf-8", "surrogatepass"))


def with_json(kind: str, field: str, source: str) -> bytes:
    """A message with one event of which one field is this JSON text."""
    return text(json.dumps(raw(kind, **{field: ...}))[:-1] + f", {json.dumps(field)}: {source}}}")


def message(kind: str, /, **fields: Any) -> bytes:
    """A message with one event, which may hold lone surrogates."""
    return envelope(raw(kind, **fields))
