"""What may be said to a Redis at all: a closed list of commands for each purpose, held where bytes are made of them.

That looking is harmless is not left to the code that looks. Whatever asks for a command that is not on its list gets
an exception, and nothing is sent.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import hiredis

from app.collectors.access import Grant
from app.collectors.orders import method_in, permits

#: What every connection says first, and to find out whether it is still there.
_GREETING: Final = frozenset({"AUTH", "HELLO", "SELECT", "CLIENT SETNAME", "CLIENT SETINFO", "PING"})
#: Elements of a list that are asked for at once, to be shown, and to be looked through.
MOST: Final = 100
MOST_AT_ONCE: Final = 2_000
#: Commands of two words, of those that are used here.
_FAMILIES: Final = frozenset({"ACL", "CLIENT", "MEMORY"})

#: Tells whether a command may be used with such words behind it.
Allows = Callable[[Sequence[str]], bool]
#: With how many words a command is used, itself included, where that is always the same; and with which.
Bounded = tuple[int | None, Allows]


class NotAllowed(Exception):
    """A command that is on no list of ours was about to be sent."""


class Guard:
    """Lets ``free`` commands through, each ``bounded`` one with so many words of the allowed kind, and nothing else.

    Commands are named in capitals, those of two words with a space. It packs commands for redis-py.
    """

    def __init__(self, free: frozenset[str] = frozenset(), bounded: Mapping[str, Bounded] | None = None) -> None:
        self._free = _GREETING | free
        self._bounded = bounded or {}

    def pack(self, *words: Any) -> list[bytes]:
        """Bytes of a command. Raises `NotAllowed`."""
        said: list[Any] = _text(words[0]).split()
        said += words[1:]
        name = str(said[0]).upper()
        if name in _FAMILIES and len(said) > 1:
            name = f"{name} {_text(said[1]).upper()}"
        if name not in self._free and not self._may(name, said):
            raise NotAllowed(f"Cloche does not send {name} here.")
        packed: bytes = hiredis.pack_command(tuple(said))
        return [packed]

    def _may(self, name: str, said: Sequence[Any]) -> bool:
        bounded = self._bounded.get(name)
        if bounded is None or bounded[0] not in (None, len(said)):
            return False
        return bounded[1]([_text(word) for word in said[1:]])


def _text(word: object) -> str:
    return word.decode("utf-8", "surrogateescape") if isinstance(word, bytes) else str(word)


#: Listening to events, and who is asked for no more than his name.
LISTENING: Final = Guard(frozenset({"PSUBSCRIBE"}))
GREETING: Final = Guard(frozenset({"INFO"}))
#: Asking what a user may do, of which nothing is done.
RIGHTS: Final = Guard(frozenset({"ACL WHOAMI", "ACL DRYRUN"}))
#: Looking at queues, and at what a result backend holds of tasks whose ids are known.
LOOKING: Final = Guard(frozenset({"ROLE", "LLEN", "HLEN", "LINDEX", "HVALS", "MEMORY USAGE", "SCAN", "SSCAN"}))
RESULTS: Final = Guard(frozenset({"STRLEN", "MGET"}))


def _is_short(most: int) -> Allows:
    """Tells whether a range of a list is counted from one end, and has at most so many elements."""

    def is_short(words: Sequence[str]) -> bool:
        first, last = int(words[1]), int(words[2])
        return (first < 0) == (last < 0) and last - first < most

    return is_short


def _is_server(words: Sequence[str]) -> bool:
    return words[0] == "server"


#: Looking at messages in a queue, and through all of them; how a list is read depends on the server's version.
PEEKING: Final = Guard(
    frozenset({"LLEN", "LINDEX", "MEMORY USAGE"}), {"LRANGE": (4, _is_short(MOST)), "INFO": (2, _is_server)}
)
SURVEYING: Final = Guard(
    frozenset({"LLEN", "MEMORY USAGE"}), {"LRANGE": (4, _is_short(MOST_AT_ONCE)), "INFO": (2, _is_server)}
)
#: Looking at what is to be moved, and for what was.
SORTING: Final = Guard(
    frozenset({"LLEN", "LINDEX", "MEMORY USAGE", "SCAN"}),
    {"LRANGE": (4, _is_short(MOST_AT_ONCE)), "INFO": (2, _is_server)},
)


def moving(scripts: Collection[str], lists: Collection[str], grant: Grant) -> Guard:
    """Moving messages between ``lists``: by closed ``scripts``, about no other keys, and only while a grant holds."""

    def is_ours(words: Sequence[str]) -> bool:
        script, number, *rest = words
        keys = rest[: int(number)]
        return script in scripts and bool(keys) and set(keys) <= set(lists)

    return Guard(bounded={"EVAL": (None, grant.over(is_ours))})


def _is_page(words: Sequence[str]) -> bool:
    return words[2].upper() == "COUNT" and int(words[3]) <= MOST_AT_ONCE


#: Looking for single messages, by the ids of their tasks, in queues and among those that workers hold.
FINDING: Final = Guard(
    frozenset({"LLEN", "HLEN", "MEMORY USAGE", "SCAN"}),
    {"LRANGE": (4, _is_short(MOST_AT_ONCE)), "INFO": (2, _is_server), "HSCAN": (5, _is_page)},
)


def asking(channel: str, ending: str, grant: Grant | None = None) -> Guard:
    """Asking workers over the control ``channel``: what is written is a list of our own, whose name ends so.

    What workers are told to do goes through as long as a ``grant`` holds; see `permits`.
    """

    def is_ours(words: Sequence[str]) -> bool:
        return words[0].endswith(ending)

    def is_permitted(words: Sequence[str]) -> bool:
        return words[0] == channel and permits(method_in(words[1]), grant)

    return Guard(
        bounded={
            "PUBLISH": (3, is_permitted),
            "LPUSH": (3, is_ours),
            "EXPIRE": (3, is_ours),
            "LLEN": (2, is_ours),
            "LPOP": (2, is_ours),
            "DEL": (2, is_ours),
        }
    )
