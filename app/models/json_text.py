"""JSON as a person writes it: what is wrong with it and where, and where in it a value stands."""

import json
import math
import re
from typing import Final

import msgspec

#: Values inside each other; no arguments of a task are that deep, and readers of JSON give up somewhere.
DEEPEST: Final = 100

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_WORD: Final = re.compile(r"[A-Za-z]+")
_PLAIN: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_WORDS: Final = frozenset(("true", "false", "null"))
#: What can't be seen, or is taken for something else: it is written as JSON can write any character.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\xad\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ud800-\udfff\ufdd0\ufdd1]"
)
#: Characters up to which a value stands on one line.
_SHORT: Final = 60
#: What people write who have Python in mind.
_MEANT: Final = {"None": "null", "True": "true", "False": "false"}
_NO_NUMBERS: Final = frozenset(("NaN", "Infinity", "inf", "nan"))


class Flaw(msgspec.Struct, frozen=True):
    """What is wrong with a text, as a sentence, and the character at which it is."""

    text: str
    position: int


class Place(msgspec.Struct, frozen=True):
    """Where a value stands: from the character ``start`` up to, and without, ``end``."""

    start: int
    end: int


class Read(msgspec.Struct, frozen=True):
    """What a text is: the ``places`` of its values by their paths, or its ``flaw``.

    A path is ``args[0]`` or ``kwargs.customer.name``; a key that is no name is written as ``kwargs["a key"]``.
    """

    places: dict[str, Place] = {}
    flaw: Flaw | None = None


def read(text: str, root: str, brackets: str) -> Read:
    """Read a text that is to be an array (``brackets`` are ``[]``) or an object (``{}``) called ``root``."""
    scanner = _Scanner(text)
    try:
        start = scanner.space(0)
        if text[start : start + 1] != brackets[0]:
            kind = "an array, in [ and ]" if brackets == "[]" else "an object, in { and }"
            raise _WrongError(f"This has to be {kind}", start)
        end = scanner.space(scanner.value(start, (root, root), 0))
        if end < len(text):
            raise _WrongError("There is more after the end", end)
    except _WrongError as wrong:
        return Read(flaw=Flaw(f"{wrong}.", wrong.position))
    return Read(scanner.places)


def to_edit(text: str) -> str:
    """JSON as it is good to edit: over several lines where it is long, and with nothing in it that can't be seen."""
    seen = _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    try:
        return msgspec.json.format(seen, indent=2) if len(seen) > _SHORT else seen
    except msgspec.DecodeError:
        return seen


class _WrongError(Exception):
    """What is wrong, at a character."""

    def __init__(self, text: str, position: int) -> None:
        super().__init__(text)
        self.position = position


class _Scanner:
    """Goes through a text and notes where values stand. Each takes a position, and returns that after what it read."""

    def __init__(self, text: str) -> None:
        self.places: dict[str, Place] = {}
        self._text = text

    def space(self, at: int) -> int:
        """What stands between values."""
        found = _SPACE.match(self._text, at)
        return at if found is None else found.end()

    def value(self, at: int, path: tuple[str, str], depth: int) -> int:
        """Any value, called by a path with plain dots only, and by one that quotes what is no name."""
        if depth > DEEPEST:
            raise _WrongError(f"No more than {DEEPEST} values may be inside each other", at)
        match self._text[at : at + 1]:
            case "[":
                end = self._array(at, path, depth)
            case "{":
                end = self._object(at, path, depth)
            case '"':
                _, end = self._string(at)
            case _:
                end = self._scalar(at)
        for one in path:
            self.places[one] = Place(at, end)
        return end

    def _array(self, at: int, path: tuple[str, str], depth: int) -> int:
        plain, quoted = path
        here, number = self.space(at + 1), 0
        if self._next(here) == "]":
            return here + 1
        while True:
            here = self.space(self.value(here, (f"{plain}[{number}]", f"{quoted}[{number}]"), depth + 1))
            number += 1
            if self._next(here) == "]":
                return here + 1
            here = self._comma(here, "]")

    def _object(self, at: int, path: tuple[str, str], depth: int) -> int:
        plain, quoted = path
        here, keys = self.space(at + 1), set[str]()
        if self._next(here) == "}":
            return here + 1
        while True:
            if self._next(here) != '"':
                raise _WrongError("A key in double quotes has to be here", here)
            key, end = self._string(here)
            if key in keys:
                raise _WrongError("This key is there twice", here)
            keys.add(key)
            colon = self.space(end)
            if self._next(colon) != ":":
                raise _WrongError("A colon has to be between a key and its value", colon)
            inner = f".{key}" if _PLAIN.fullmatch(key) else f"[{json.dumps(key)}]"
            here = self.space(self.value(self.space(colon + 1), (f"{plain}.{key}", quoted + inner), depth + 1))
            if self._next(here) == "}":
                return here + 1
            here = self._comma(here, "}")

    def _comma(self, at: int, closing: str) -> int:
        if self._next(at) != ",":
            what = "The text ends too early" if at >= len(self._text) else "There has to be a comma"
            raise _WrongError(f"{what}: {closing} has to close what is open" if at >= len(self._text) else what, at)
        after = self.space(at + 1)
        if self._next(after) == closing:
            raise _WrongError("There is a comma too many", at)
        return after

    def _string(self, at: int) -> tuple[str, int]:
        found = _STRING.match(self._text, at)
        if found is None:
            raise _WrongError("This text is not closed, or has a line end or a \\ that JSON does not know", at)
        text: str = json.loads(found[0])
        if _SURROGATE.search(text):
            raise _WrongError("This text has half a character (\\ud800 to \\udfff), which can't be sent", at)
        return text, found.end()

    def _scalar(self, at: int) -> int:
        if at >= len(self._text):
            raise _WrongError("The text ends too early: a value has to be here", at)
        word = _WORD.match(self._text, at)
        if word is not None:
            return self._word(word)
        number = _NUMBER.match(self._text, at)
        if number is None:
            quote = self._text[at] == "'"
            raise _WrongError("Texts stand in double quotes in JSON" if quote else "A value has to be here", at)
        if (number[1] or number[2]) and not math.isfinite(float(number[0])):
            raise _WrongError("This number is too large", at)
        return number.end()

    def _word(self, word: re.Match[str]) -> int:
        said = word[0]
        if said in _WORDS:
            return word.end()
        if said in _MEANT:
            raise _WrongError(f"In JSON this is {_MEANT[said]}", word.start())
        if said in _NO_NUMBERS:
            raise _WrongError(f"JSON has no {said}", word.start())
        raise _WrongError("A value has to be here: a text stands in double quotes", word.start())

    def _next(self, at: int) -> str:
        return self._text[at : at + 1]
