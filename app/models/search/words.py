"""Characters into words, parentheses and operators (quotes and escapes as in Flower 2.2)."""

from typing import Final, Literal

import msgspec

from app.models.search.errors import SearchError

MAX_CHARACTERS: Final = 2048
MAX_TOKENS: Final = 128

_OPERATORS: Final = ("AND", "OR", "NOT")
_ESCAPED: Final = ('"', "\\")


class Word(msgspec.Struct, frozen=True):
    """A word without its quotes, which remembers of each character whether it was quoted and where it came from.

    ``offsets`` is one longer than ``text``: it ends with where the word ends.
    """

    text: str
    quoted: tuple[bool, ...]
    offsets: tuple[int, ...]

    @property
    def position(self) -> int:
        """Where the word begins."""
        return self.offsets[0]

    def find(self, mark: str) -> int:
        """Index of the first unquoted ``mark``, a single character, or -1."""
        at = self.text.find(mark)
        while at >= 0 and self.quoted[at]:
            at = self.text.find(mark, at + 1)
        return at

    def part(self, start: int, stop: int | None = None) -> "Word":
        """The characters from ``start`` to ``stop``."""
        end = len(self.text) if stop is None else stop
        return Word(self.text[start:end], self.quoted[start:end], self.offsets[start : end + 1])

    def strip(self) -> "Word":
        """The word without spaces at its ends."""
        start = len(self.text) - len(self.text.lstrip())
        return self.part(start, max(start, len(self.text.rstrip())))

    def split(self, mark: str) -> "list[Word]":
        """The parts between unquoted marks."""
        parts = []
        start = 0
        for at, character in enumerate(self.text):
            if character == mark and not self.quoted[at]:
                parts.append(self.part(start, at))
                start = at + 1
        return [*parts, self.part(start)]


class Token(msgspec.Struct, frozen=True):
    """A word (``kind`` is ``word``), an operator or a parenthesis; ``end`` is what follows the last one."""

    kind: Literal["word", "AND", "OR", "NOT", "-", "(", ")", "end"]
    position: int
    word: Word | None = None


def quote(text: str) -> str:
    """The text as a phrase of the language, in which nothing has a special meaning."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def tokens(text: str) -> list[Token]:
    """Split a search; the last token is the ``end``.

    Raises:
        SearchError: too long, an open quote, an empty phrase, or a character that no history can hold.
    """
    lead = len(text) - len(text.lstrip())
    if len(text.strip()) > MAX_CHARACTERS:
        raise SearchError(f"The search exceeds {MAX_CHARACTERS} characters", lead + MAX_CHARACTERS)
    found: list[Token] = []
    at = lead
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        if len(found) == MAX_TOKENS:
            raise SearchError(f"The search exceeds {MAX_TOKENS} tokens", at)
        token, at = _token(text, at)
        found.append(token)
    return [*found, Token("end", len(text))]


def _token(text: str, at: int) -> tuple[Token, int]:
    match text[at]:
        case "(" | ")" as parenthesis:
            return Token(parenthesis, at), at + 1
        case "-":
            return Token("-", at), at + 1
        case _:
            word, end = _word(text, at)
    for operator in _OPERATORS:
        if word.text == operator and not any(word.quoted):
            return Token(operator, at), end
    return Token("word", at, word), end


def _word(text: str, start: int) -> tuple[Word, int]:
    characters: list[str] = []
    quoted: list[bool] = []
    offsets: list[int] = []
    within = False
    at = start
    while at < len(text):
        character = text[at]
        escaped = character == "\\" and text[at + 1 : at + 2] in _ESCAPED
        if character == '"':
            within = not within
            at += 1
            continue
        if not within and (character.isspace() or character in "()"):
            break
        _check(character, at)
        offsets.append(at)
        quoted.append(within or escaped)
        characters.append(text[at + 1] if escaped else character)
        at += 2 if escaped else 1
    if within:
        raise SearchError("Unterminated quoted phrase", start)
    if not characters:
        raise SearchError("Empty search term", start)
    return Word("".join(characters), tuple(quoted), (*offsets, at)), at


def _check(character: str, position: int) -> None:
    """SQLite ends a pattern at NUL and can't take half a surrogate pair; the normaliser lets neither into a history."""
    if character == "\0" or "\ud800" <= character <= "\udfff":
        raise SearchError(f"No task can contain the character U+{ord(character):04X}", position)
