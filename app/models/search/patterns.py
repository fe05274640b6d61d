"""Text with gaps, matched by the database without regard to case: the one place that writes LIKE and GLOB patterns."""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_

from app.models.search.words import Word


class Pattern(msgspec.Struct, frozen=True):
    """Pieces of literal text with a gap (``*``) between each two."""

    pieces: tuple[str, ...]

    @classmethod
    def of(cls, word: Word) -> "Pattern":
        """The pattern that a word means: its unquoted ``*`` are gaps."""
        return cls(tuple(part.text for part in word.split("*")))

    @property
    def has_gap(self) -> bool:
        """Whether there is a ``*`` in it."""
        return len(self.pieces) > 1

    def between(self, before: str, after: str) -> "Pattern":
        """The pattern with more literal text on both sides."""
        first, *rest = self.pieces
        pieces = [before + first, *rest]
        pieces[-1] += after
        return Pattern(tuple(pieces))

    def then(self, other: "Pattern") -> "Pattern":
        """The pattern directly followed by another."""
        return Pattern((*self.pieces[:-1], self.pieces[-1] + other.pieces[0], *other.pieces[1:]))

    def written(self, how: Callable[[str], str]) -> "Pattern":
        """The pattern with its text written in another way, for instance escaped."""
        return Pattern(tuple(how(piece) for piece in self.pieces))

    def within(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether the pattern occurs anywhere in the column; unknown where the column is."""
        return Pattern(("", *self.pieces, "")).equals(column)

    def equals(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether the pattern covers the whole column; unknown where the column is."""
        like = column.like("%".join("".join(map(_like, piece)) for piece in self.pieces), escape="\\")
        if not any(_cases(character) for piece in self.pieces for character in piece):
            return like
        # SQLite's LIKE folds only ASCII. GLOB folds nothing but has character classes, which are slow: LIKE goes first.
        return and_(like, column.bool_op("GLOB")("*".join("".join(map(_glob, piece)) for piece in self.pieces)))


def _like(character: str) -> str:
    if character in "%_\\":
        return f"\\{character}"
    return "_" if _cases(character) else character


def _glob(character: str) -> str:
    if character in "*?[":
        return f"[{character}]"
    cases = {character.lower(), character.upper()} if character.isascii() else {character, *_cases(character)}
    return f"[{''.join(sorted(cases))}]" if len(cases) > 1 else character


def _cases(character: str) -> set[str]:
    """Other forms of a character that LIKE does not take for the same."""
    if character.isascii():
        return set()
    forms = {character.lower(), character.upper(), character.casefold()}
    return {form for form in forms if len(form) == 1 and form != character}
