"""From the text of a search to what it finds."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final

from sqlalchemy import ColumnElement

from app.models.search.conditions import And, Everything, Node, Not, Or, Setting
from app.models.search.errors import SearchError
from app.models.search.fields import meaning
from app.models.search.values import Clock
from app.models.search.words import Token, tokens

MAX_DEPTH: Final = 5

_ENDS: Final = ("end", ")", "AND", "OR")


@dataclass(frozen=True, slots=True)
class Search:
    """A search that was understood; equal to another that means the same.

    Attributes: ``text`` as it was typed, ``tree`` what it means, ``hints`` a sentence for each doubt about it (a state
    that Celery does not know: it may be a custom one).
    """

    text: str = field(compare=False)
    tree: Node
    hints: tuple[str, ...] = field(default=(), compare=False)
    now: Callable[[], float] = field(default=time.time, compare=False, repr=False)
    zone: tzinfo | None = field(default=None, compare=False, repr=False)

    @property
    def matches_all(self) -> bool:
        """Whether nothing is asked."""
        return isinstance(self.tree, Everything)

    def clause(self, *, looked_up: bool = False) -> ColumnElement[bool]:
        """An SQL expression over ``schema.task``. Times like ``-15m`` are resolved at each call.

        Args:
            looked_up: whether there are very many task names (`conditions.Setting`).
        """
        return self.tree.clause(Setting(Clock(self.now(), self.zone), looked_up))


def parse(text: str, *, now: Callable[[], float] = time.time, zone: tzinfo | None = None) -> Search:
    """Understand a search; an empty one finds every task.

    Args:
        text: in the language of this package's docstring.
        now: seconds since the epoch, asked again by each `Search.clause`.
        zone: the viewer's timezone, for times that name none; without it, this computer's.

    Raises:
        SearchError: it is not in the language.
    """
    parser = _Parser(tokens(text), Clock(now(), zone))
    tree = parser.parse()
    return Search(text, tree, tuple(dict.fromkeys(parser.hints)), now, zone)


class _Parser:
    """Recursive descent: OR binds loosest, then AND (also unwritten), then NOT.

    Attributes: ``hints`` collected on the way.
    """

    def __init__(self, found: list[Token], clock: Clock) -> None:
        self._tokens = found
        self._at = 0
        self._clock = clock
        self.hints: list[str] = []

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _advance(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def parse(self) -> Node:
        if self._peek().kind == "end":
            return Everything()
        tree = self._or(0)
        if self._peek().kind != "end":
            raise SearchError(f"Unexpected {self._peek().kind!r}", self._peek().position)
        return tree

    def _or(self, depth: int) -> Node:
        children = [self._and(depth)]
        while self._peek().kind == "OR":
            self._follow(self._advance())
            children.append(self._and(depth))
        return _joined(Or, children)

    def _and(self, depth: int) -> Node:
        children = [self._not(depth)]
        while self._peek().kind not in ("end", ")", "OR"):
            if self._peek().kind == "AND":
                self._follow(self._advance())
            children.append(self._not(depth))
        return _joined(And, children)

    def _not(self, depth: int) -> Node:
        negative = False
        while self._peek().kind in ("NOT", "-"):
            operator = self._advance()
            self._follow(operator)
            negative = not negative
        child = self._primary(depth)
        if not negative:
            return child
        return child.child if isinstance(child, Not) else Not(child)

    def _primary(self, depth: int) -> Node:
        token = self._advance()
        if token.kind == "(":
            return self._group(token, depth)
        if token.word is None:
            raise SearchError(f"Expected a search term instead of {token.kind!r}", token.position)
        found = meaning(token.word, self._clock)
        self.hints.extend(found.hints)
        return found.node

    def _group(self, opening: Token, depth: int) -> Node:
        if depth == MAX_DEPTH:
            raise SearchError(f"The nesting exceeds {MAX_DEPTH} levels", opening.position)
        if self._peek().kind == ")":
            raise SearchError("Empty group", opening.position)
        tree = self._or(depth + 1)
        if self._peek().kind != ")":
            raise SearchError("Missing closing parenthesis", opening.position)
        self._advance()
        return tree

    def _follow(self, operator: Token) -> None:
        """Refuse an operator with nothing to apply to; ``-`` has to touch it."""
        following = self._peek()
        apart = operator.kind == "-" and following.position != operator.position + 1
        if following.kind in _ENDS or apart:
            raise SearchError(f"{operator.kind} must be followed by a search term", operator.position)


def _joined(kind: type[And] | type[Or], children: Iterable[Node]) -> Node:
    """One node of a kind: groups of the same kind are opened, what occurs twice is taken once."""
    flat: list[Node] = []
    for child in children:
        flat.extend(child.children if isinstance(child, kind) else (child,))
    unique = list(dict.fromkeys(flat))
    return unique[0] if len(unique) == 1 else kind(tuple(unique))
