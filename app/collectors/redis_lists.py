"""The lists of Redis that make up a queue: how long and heavy they are, and how far into them one may look.

A list is a chain of blocks, and to reach a message Redis goes through those before it, from the nearer end, while
everybody else waits. Measured on Redis 7.0 with ten million messages: 43 ns a block that is in no cache, so that the
middle of such a list costs 3 to 5 ms, and of one with messages of 1 kB ten times that.

Before Redis 7 ``LRANGE`` goes through a list from its newest end, wherever it is to read (redis/redis#9454), and only
``LINDEX`` begins at the oldest.
"""

from typing import Any, Final

import msgspec
import redis

from app.collectors.publisher import MAILBOX, SENT
from app.collectors.transport import RedisAddress

#: Blocks that Redis goes through at most before it reaches what we look at: 0.4 ms, see above.
REACH: Final = 10_000
#: Bytes of a block, as Redis is set up by default (``list-max-listpack-size -2``); a larger message has its own.
BLOCK: Final = 8_192
#: What the names of keys begin with in which kombu keeps what is bound to an exchange.
BINDINGS: Final = "_kombu.binding."
#: The first Redis that reads a list from its nearer end.
NEARER_END: Final = 7


class QueueList(msgspec.Struct):
    """One list of a queue, in which the newest message is at 0.

    ``reach`` is how many messages from either end may be looked at; ``oldest`` whether they can be from the oldest end.
    ``average`` is what one takes in memory, in bytes, by a few of the newest.
    """

    key: str
    length: int
    average: float
    reach: int
    oldest: bool = True

    @property
    def reached(self) -> int:
        """Messages that may be looked at."""
        return min(self.length, self.reach * 2 if self.oldest else self.reach)

    def allows(self, index: int) -> bool:
        """Whether the message at an index may be looked at."""
        return index < self.reach or (self.oldest and index >= self.length - self.reach)


def may_be_queue(address: RedisAddress, name: str) -> bool:
    """Whether a queue may have a name: under some, kombu and Cloche keep other things.

    Workers fail that find a list of messages where they look for what they hold, or for bindings.
    """
    held = (address.unacked, "unacked", "unacked_index", "unacked_mutex")
    return not (name in held or name.startswith((BINDINGS, SENT)) or name.endswith(MAILBOX))


def measure(client: redis.Redis, address: RedisAddress, queue: str) -> list[QueueList]:
    """The lists of a queue, in the order in which workers empty them, in one pipeline. Raises ``RedisError``."""
    keys = address.priority_keys(queue)
    asked = client.pipeline(transaction=False)
    asked.info("server")
    for key in keys:
        asked.llen(key)
        asked.memory_usage(key, samples=5)
    told, *found = asked.execute(raise_on_error=False)
    refused = next((reply for reply in found if isinstance(reply, redis.RedisError)), None)
    if refused is not None:
        raise refused
    nearer = _reads_from_the_nearer_end(told)
    return [
        _list(key, length, weight or 0, nearer=nearer)
        for key, length, weight in zip(keys, found[::2], found[1::2], strict=True)
    ]


def _list(key: str, length: int, weight: int, *, nearer: bool) -> QueueList:
    average = weight / length if length else 0.0
    in_a_block = max(1, int(BLOCK / average)) if average else 1
    reach = REACH * in_a_block
    return QueueList(key, length, average, reach, oldest=nearer or length <= reach)


def _reads_from_the_nearer_end(told: Any) -> bool:
    """By what a server tells of itself; where it does not, it may be an old one."""
    version = str(told.get("redis_version", "")) if isinstance(told, dict) else ""
    major = version.partition(".")[0]
    return major.isdecimal() and int(major) >= NEARER_END
