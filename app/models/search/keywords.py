"""How a keyword argument may be written in the text of a task's kwargs.

The text is what Celery's ``saferepr`` makes of a dictionary (``{'priority': 'high', 'n': 3}``; it escapes quotes but
not backslashes), Python's own ``repr`` where an application supplies that, or JSON from other clients.
"""

import json
from collections.abc import Callable, Iterator

from app.models.search.patterns import Pattern


def spellings(key: Pattern, value: Pattern) -> list[Pattern]:
    """All ways to write ``key: value``; a text that contains any of them has the argument."""
    return list(dict.fromkeys(_spellings(key, value)))


def common(key: Pattern, value: Pattern) -> Pattern | None:
    """What all the spellings have in common, to look once and not ten times at most tasks; None if that is nothing."""
    pieces = (*key.pieces, *value.pieces)
    return Pattern(pieces) if all(_is_plain(piece) for piece in pieces) else None


def _is_plain(text: str) -> bool:
    """Whether the text is written in the same way everywhere."""
    return text.isascii() and text.isprintable() and not set(text) & set("'\"\\")


def _spellings(key: Pattern, value: Pattern) -> Iterator[Pattern]:
    for written in (_safe, _python):
        yield key.written(written).between("'", "': '").then(value.written(written).between("", "'"))
    yield key.written(_python).between("'", "': \"").then(value.written(_python_double).between("", '"'))
    for written in (_json, _json_ascii):
        for colon in (": ", ":"):
            yield key.written(written).between('"', f'"{colon}"').then(value.written(written).between("", '"'))
    # A number, a constant or a container is not quoted: what follows it tells where it ends.
    forms: tuple[tuple[str, str, Callable[[str], str]], ...] = (
        ("'", "': ", _safe),
        ('"', '": ', _json),
        ('"', '":', _json),
    )
    for opening, closing, how in forms:
        for end in (",", "}"):
            yield key.written(how).between(opening, closing).then(value.between("", end))


def _safe(text: str) -> str:
    return text.replace("'", "\\'")


def _python(text: str) -> str:
    """As ``repr`` writes it between single quotes."""
    return repr('"' + text)[2:-1]


def _python_double(text: str) -> str:
    """As ``repr`` writes it between double quotes, which it does where there are single quotes in it."""
    return _python(text).replace("\\'", "'")


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _json_ascii(text: str) -> str:
    return json.dumps(text)[1:-1]
