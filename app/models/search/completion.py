"""What could stand at the cursor of a search."""

from collections.abc import Iterable, Mapping
from typing import Final

from app.models import states
from app.models.search.fields import CONDITIONS, FIELDS, KNOWABLE
from app.models.search.words import quote

#: More would not be read.
LIMIT: Final = 20

#: What a field can have that is the same in every history.
_FIXED: Final = {"state": tuple(states.WORDS.values()), "is": tuple(CONDITIONS), "has": tuple(KNOWABLE)}
_OPERATORS: Final = ("AND", "OR", "NOT")
_SPECIAL: Final = frozenset(' ,"*()\\')


def complete(text: str, position: int, *, values: Mapping[str, Iterable[str]] | None = None) -> list[str]:
    """What may replace ``text[word_start(text, position):position]``, the word before the cursor; the best first.

    ``values`` are those to offer for a field, such as the names of queues. Text after the cursor does not matter.
    """
    word = text[word_start(text, position) : position]
    field, colon, typed = word.partition(":")
    if not colon:
        offers = [*(f"{name}:" for name in FIELDS), *_OPERATORS]
        return [offer for offer in offers if offer.casefold().startswith(field.casefold())][:LIMIT] if field else offers
    comma = _last_comma(typed)
    before, typed = typed[:comma], typed[comma:].lstrip('"').casefold()
    fixed = [offer for offer in _FIXED.get(field.casefold(), ()) if offer.casefold().startswith(typed)]
    given = [offer for offer in (values or {}).get(field.casefold(), ()) if typed in offer.casefold()]
    given.sort(key=lambda offer: not offer.casefold().startswith(typed))
    return [f"{field}:{before}{_quoted(offer)}" for offer in (*fixed, *given)[:LIMIT]]


def word_start(text: str, position: int) -> int:
    """Where the word before ``position`` begins, without a ``-``."""
    start = 0
    within = False
    for at, character in enumerate(text[:position]):
        if character == '"':
            within = not within
        elif not within and (character.isspace() or character in "()"):
            start = at + 1
    while text[start:position].startswith("-"):
        start += 1
    return start


def _last_comma(typed: str) -> int:
    """Where the last value of a list begins."""
    start = 0
    within = False
    for at, character in enumerate(typed):
        if character == '"':
            within = not within
        elif character == "," and not within:
            start = at + 1
    return start


def _quoted(value: str) -> str:
    return quote(value) if _SPECIAL.intersection(value) else value
