"""Small numbers for the words that repeat: those used of late are in memory, the others are found in the history."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

#: Words of one kind in memory, in each of two generations.
LIMIT: Final = 20_000

#: What a table of words holds: a text, or the kind and the key of a series.
Word = Any
#: Asks the history for those of some words that it knows, with their numbers.
Find = Callable[[Sequence[Word]], Iterable[tuple[Word, int]]]


class Labels:
    """Numbers for the words of one table, from 1, in the order they were first met.

    What was used since the present generation of words began is in memory, and what was used in the one before. A word
    that was not is looked up; it gets the number after ``last`` and all that were given since, if ``find`` does not
    know it either. What the history may not hold yet is never forgotten (`written`).
    """

    def __init__(self, find: Find, last: int = 0) -> None:
        self._find = find
        self._last = last
        self._young: dict[Word, int | None] = {None: None}
        self._old: dict[Word, int | None] = {}
        self._unwritten: dict[Word, int] = {}

    def numbers(self, words: Iterable[Word]) -> Mapping[Word, int | None]:
        """Numbers of these words, and of some others; None is the number of None.

        Called once for all words of a batch, so that those of the last one are all in memory.
        """
        if len(self._young) > LIMIT:
            self._old, self._young = self._young, {None: None}
        strange = set(words).difference(self._young)
        if strange:
            self._learn(strange)
        return self._young

    def _learn(self, words: set[Word]) -> None:
        known = {word: number for word in words if (number := self._old.get(word) or self._unwritten.get(word))}
        missing = sorted(words.difference(known))
        if missing:
            found = dict(self._find(missing))
            for word in missing:
                number = found.get(word)
                if number is None:
                    number = self._last = self._last + 1
                known[word] = self._unwritten[word] = number
        self._young |= known

    def unwritten(self) -> list[tuple[int, Word]]:
        """Words that were met or looked up since they were last `written`: the history may not hold them."""
        return [(number, word) for word, number in self._unwritten.items()]

    def written(self, words: Iterable[Word]) -> None:
        """These words are in the history now."""
        for word in words:
            self._unwritten.pop(word, None)

    def in_memory(self) -> list[tuple[int, Word]]:
        """All words in memory, among them those that are not written and those of the last batch."""
        known = {**self._old, **self._young, **self._unwritten}
        return [(number, word) for word, number in known.items() if number is not None]
