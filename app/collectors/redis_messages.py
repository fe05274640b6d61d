"""What waits in a queue on Redis, looked at from either end and not taken: a bounded number of messages at a time."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import redis

from app.collectors.errors import BrokerError
from app.collectors.guard import MOST, PEEKING
from app.collectors.messages import Page, read_message
from app.collectors.redis_client import redis_client
from app.collectors.redis_errors import broker_error
from app.collectors.redis_lists import QueueList, measure
from app.collectors.transport import RedisAddress

#: The bytes that messages may have that are looked at together, by the size of a few of them.
MAX_BYTES: Final = 4 << 20


class _Part(msgspec.Struct):
    """Part of one list of a queue: messages from the ``first`` to before the ``last``, counted from the oldest."""

    of: QueueList
    first: int
    last: int


def peek(address: RedisAddress, queue: str, *, start: int = 0, count: int = 20, newest: bool = False) -> Page:
    """Messages from a place on, in the order in which workers take them, or the other way round from the ``newest``.

    Workers empty the list of each priority before they look at the next one. Raises `BrokerError`.
    """
    client = redis_client(address, "cloche-messages", PEEKING)
    try:
        lists = measure(client, address, queue)
        return _peek(client, lists, start, min(count, MOST), newest=newest)
    except (redis.RedisError, OSError) as error:
        raise broker_error(error, address) from error
    finally:
        client.close()


def _peek(client: redis.Redis, lists: Sequence[QueueList], start: int, count: int, *, newest: bool) -> Page:
    total = sum(each.length for each in lists)
    average = max((each.average for each in lists), default=0.0)
    if average > MAX_BYTES:
        raise too_large()
    count = max(1, min(count, int(MAX_BYTES / average) if average else count))
    first = max(0, total - start - count) if newest else min(start, total)
    last = total - start if newest else first + count
    looking = client.pipeline(transaction=False)
    pieces = [_ask(looking, part, newest=newest) for part in _parts(lists, first, last)]
    replies = iter(looking.execute() if len(looking) else ())
    # Each piece is told from the newest on.
    raws = [raw for piece in pieces for raw in reversed(_flat([next(replies) for _ in range(piece)]))]
    messages = [read_message(raw) for raw in raws]
    return Page(messages[::-1] if newest else messages, start, total)


def _ask(looking: redis.client.Pipeline, part: _Part, *, newest: bool) -> int:
    """Ask for a part, by as many commands as are returned; places are counted from the end that is looked at."""
    of, high, low = part.of, part.last, part.first
    index = of.length - high
    if of.allows(index):
        if newest:
            looking.lrange(of.key, index, of.length - low - 1)
        else:
            looking.lrange(of.key, -high, -low - 1)
        return 1
    if high * (high - low) > of.reach or of.oldest:
        raise BrokerError(
            "busy", "To reach messages so deep in this queue would hold up the broker. Look from the other end."
        )
    for place in range(high, low, -1):
        looking.lindex(of.key, -place)
    return high - low


def _flat(replies: Sequence[list[bytes] | bytes | None]) -> list[bytes]:
    """Messages of the replies to ``LRANGE`` and ``LINDEX``; what is gone by then is not among them."""
    return [
        raw for reply in replies for raw in (reply if isinstance(reply, list) else [] if reply is None else [reply])
    ]


def _parts(lists: Sequence[QueueList], first: int, last: int) -> Iterator[_Part]:
    """Parts of the lists that make up the messages from the ``first`` to before the ``last`` of all."""
    before = 0
    for each in lists:
        low, high = max(0, first - before), min(each.length, last - before)
        if low < high:
            yield _Part(each, low, high)
        before += each.length


def too_large() -> BrokerError:
    """What is said of messages of many megabytes."""
    return BrokerError("busy", "The messages of this queue are too large to look at without harm to the broker.")
