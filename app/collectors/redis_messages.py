"""What waits in a queue on Redis, looked at from either end and not taken: a bounded number of messages at a time."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import redis

from app.collectors.errors import BrokerError
from app.collectors.guard import MOST, PEEKING
from app.collectors.messages import read_message
from app.collectors.redis_client import redis_client
from app.collectors.redis_errors import broker_error
from app.collectors.transport import RedisAddress
from app.models.records import Message

#: The bytes that messages may have that are looked at together, by the size of a few of them.
MAX_BYTES: Final = 4 << 20


class Page(msgspec.Struct):
    """Some messages of a queue: ``start`` is the place of the first of them, ``total`` how many wait there."""

    messages: list[Message]
    start: int
    total: int


class _Part(msgspec.Struct):
    """Part of one list of a queue: messages from the ``first`` to before the ``last``, counted from the oldest."""

    key: str
    first: int
    last: int


def peek(address: RedisAddress, queue: str, *, start: int = 0, count: int = 20, newest: bool = False) -> Page:
    """Messages from a place on, in the order in which workers take them, or the other way round from the ``newest``.

    Workers empty the list of each priority before they look at the next one. Raises `BrokerError`.
    """
    client = redis_client(address, "cloche-messages", PEEKING)
    try:
        return _peek(client, address.priority_keys(queue), start, min(count, MOST), newest=newest)
    except (redis.RedisError, OSError) as error:
        raise broker_error(error, address) from error
    finally:
        client.close()


def _peek(client: redis.Redis, keys: Sequence[str], start: int, count: int, *, newest: bool) -> Page:
    asked = client.pipeline(transaction=False)
    for key in keys:
        asked.llen(key)
        asked.memory_usage(key, samples=5)
    found = asked.execute()
    lengths, weights = found[::2], found[1::2]
    total = sum(lengths)
    sizes = zip(lengths, weights, strict=True)
    average = max((weight / length for length, weight in sizes if length and weight), default=0.0)
    if average > MAX_BYTES:
        raise BrokerError("busy", "The messages of this queue are too large to look at without harm to the broker.")
    count = max(1, min(count, int(MAX_BYTES / average) if average else count))
    first = max(0, total - start - count) if newest else min(start, total)
    last = total - start if newest else first + count
    looking = client.pipeline(transaction=False)
    for part in _parts(keys, lengths, first, last):
        # The oldest is at the right end of its list.
        looking.lrange(part.key, -part.last, -part.first - 1)
    messages = [read_message(raw) for piece in (looking.execute() if len(looking) else ()) for raw in reversed(piece)]
    return Page(messages[::-1] if newest else messages, start, total)


def _parts(keys: Sequence[str], lengths: Sequence[int], first: int, last: int) -> Iterator[_Part]:
    """Parts of the lists that make up the messages from the ``first`` to before the ``last`` of all."""
    before = 0
    for key, length in zip(keys, lengths, strict=True):
        low, high = max(0, first - before), min(length, last - before)
        if low < high:
            yield _Part(key, low, high)
        before += length
