"""Puts messages of a file into a queue of Redis, byte by byte, by a script that is done as a whole or not at all."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import redis

from app.collectors.access import Grant
from app.collectors.errors import BrokerError
from app.collectors.guard import Guard
from app.collectors.publisher import SENT
from app.collectors.redis_client import redis_client
from app.collectors.redis_errors import broker_error
from app.collectors.redis_publisher import list_for
from app.collectors.redis_vault import MAX_PAUSE, MOST, readdressed
from app.collectors.transport import RedisAddress

#: ``KEYS`` are the one that tells how far it came, and lists. If that is ``ARGV[1]``, it becomes ``ARGV[2]``, and
#: messages go behind all that waits: each is preceded by the number of its list. Where a key is not what it should be,
#: or Redis is out of memory, it ends before anything is changed. Whether it was done, 1 or 0.
FILL: Final = """
for i = 2, #KEYS do redis.call('LLEN', KEYS[i]) end
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then return 0 end
for i = 3, #ARGV, 2 do redis.call('LPUSH', KEYS[tonumber(ARGV[i])], ARGV[i + 1]) end
redis.call('SET', KEYS[1], ARGV[2], 'EX', 86400)
return 1
"""


class RedisFiller:
    """See `Filler`. A message that goes to another queue than its own is told so, as when it is moved."""

    at_once: Final = MOST
    doubt: Final = ""

    def __init__(
        self,
        address: RedisAddress,
        act: str,
        queue: str,
        grant: Grant,
        *,
        readdress: bool,
        on_command: Callable[[int], None],
    ) -> None:
        self._address = address
        self._queue = queue
        self._readdress = readdress
        self._marker = address.key(f"{SENT}{act}")
        self._lists = address.priority_keys(queue)
        self._client = redis_client(address, "cloche-acts", _filling(self._marker, self._lists, grant))
        self._on_command = on_command
        self._next_at = 0.0

    def reached(self) -> int:
        with self._words():
            return int(self._client.get(self._marker) or 0)

    def fill(self, first: int, after: int, messages: Sequence[bytes]) -> None:
        words: list[bytes | str | int] = [first, after]
        for raw in messages:
            key = list_for(self._address, self._queue, _priority(raw))
            words += [self._lists.index(key) + 2, readdressed(raw, self._queue) if self._readdress else raw]
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        began = time.monotonic()
        with self._words():
            is_done = self._client.eval(FILL, 1 + len(self._lists), self._marker, *self._lists, *words)
        if not is_done:
            raise BrokerError("busy", "Somebody else goes on with this act, or it did just now. Try again.")
        # Others have the broker for as long as we had it.
        now = time.monotonic()
        self._next_at = now + min(now - began, MAX_PAUSE)

    def settle(self) -> None:
        with self._words():
            self._client.delete(self._marker)

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def _words(self) -> Iterator[None]:
        self._on_command(1)
        try:
            yield
        except (redis.RedisError, OSError) as error:
            raise broker_error(error, self._address) from error


def _filling(marker: str, lists: Sequence[str], grant: Grant) -> Guard:
    """Lets the script through for an act's own key and the lists of one queue, while the act has its grant."""

    def is_fill(words: Sequence[str]) -> bool:
        script, number, *rest = words
        keys = [marker, *lists]
        return (script, number, rest[: len(keys)]) == (FILL, str(len(keys)), keys)

    def is_ours(words: Sequence[str]) -> bool:
        return words[0] == marker

    return Guard(bounded={"EVAL": (None, grant.over(is_fill)), "GET": (2, is_ours), "DEL": (2, grant.over(is_ours))})


def _priority(raw: bytes) -> int | None:
    """The priority that a message was sent with; None where it says nothing of it."""
    try:
        told = json.loads(raw)["properties"]["priority"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return told if isinstance(told, int) else None
