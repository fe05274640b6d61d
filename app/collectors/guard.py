"""What may be said to a Redis at all: a closed list of commands for each purpose, held where bytes are made of them.

That looking is harmless is not left to the code that looks. Whatever asks for a command that is not on its list gets
an exception, and nothing is sent.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import hiredis

#: What every connection says first, and to find out whether it is still there.
_GREETING: Final = frozenset({"AUTH", "HELLO", "SELECT", "CLIENT SETNAME", "CLIENT SETINFO", "PING"})
#: Commands of two words, of those that are used here.
_FAMILIES: Final = frozenset({"CLIENT", "MEMORY"})

#: Tells whether a command may be used on a key or channel.
Allows = Callable[[str], bool]
#: The number of words that a command is used with, and on what.
Write = tuple[int, Allows]


class NotAllowed(Exception):
    """A command that is on no list of ours was about to be sent."""


class Guard:
    """Lets ``reads`` through, each of ``writes`` with so many words and on what it is allowed for, and nothing else.

    Commands are named in capitals, those of two words with a space. It packs commands for redis-py.
    """

    def __init__(self, reads: frozenset[str] = frozenset(), writes: Mapping[str, Write] | None = None) -> None:
        self._reads = _GREETING | reads
        self._writes = writes or {}

    def pack(self, *words: Any) -> list[bytes]:
        """Bytes of a command. Raises `NotAllowed`."""
        said: list[Any] = _text(words[0]).split()
        said += words[1:]
        name = str(said[0]).upper()
        if name in _FAMILIES and len(said) > 1:
            name = f"{name} {_text(said[1]).upper()}"
        if name not in self._reads and not self._may_write(name, said):
            raise NotAllowed(f"Cloche does not send {name} here.")
        packed: bytes = hiredis.pack_command(tuple(said))
        return [packed]

    def _may_write(self, name: str, said: Sequence[Any]) -> bool:
        allowed = self._writes.get(name)
        # With as many words as it is used with here: there is one key among them.
        return allowed is not None and len(said) == allowed[0] and allowed[1](_text(said[1]))


def _text(word: object) -> str:
    return word.decode("utf-8", "surrogateescape") if isinstance(word, bytes) else str(word)


#: Listening to events, and who is asked for no more than his name.
LISTENING: Final = Guard(frozenset({"PSUBSCRIBE"}))
GREETING: Final = Guard(frozenset({"INFO"}))
#: Looking at queues, and at what a result backend holds of tasks whose ids are known.
LOOKING: Final = Guard(frozenset({"ROLE", "LLEN", "HLEN", "LINDEX", "HVALS", "MEMORY USAGE", "SCAN", "SSCAN"}))
RESULTS: Final = Guard(frozenset({"STRLEN", "MGET"}))


def asking(channel: str, bindings: str, exchange: str) -> Guard:
    """Asking workers over the control ``channel``: what is written is our own reply list and its binding, no more."""

    def is_ours(key: str) -> bool:
        return key.endswith(f".{exchange}")

    def is_bindings(key: str) -> bool:
        return key == bindings

    return Guard(
        writes={
            "PUBLISH": (3, lambda key: key == channel),
            "SADD": (3, is_bindings),
            "SREM": (3, is_bindings),
            "BRPOP": (3, is_ours),
            "EXPIRE": (3, is_ours),
            "DEL": (2, is_ours),
        }
    )
