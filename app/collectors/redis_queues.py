"""Queue depths on Redis: every priority list, what is unacked, what waits longest, and which queues there are.

Only commands that read, one pipeline a second; what would cost the broker more with a larger queue is asked for
within bounds.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
import redis
from redis.exceptions import NoPermissionError

from app.collectors.normalise import MAX_WORD, clean_word
from app.collectors.redis_events import glob_escape
from app.collectors.transport import RedisAddress, broker_error, redis_client
from app.models.records import Queue

#: Queues polled at most; more are counted, not polled.
MAX_QUEUES: Final = 10_000
#: `unacked` holds whole messages: it is split by queue only up to so many of them, and so many bytes.
MAX_UNACKED: Final = 500
MAX_UNACKED_BYTES: Final = 1 << 20
#: The message at a queue's head is looked at only where messages are smaller than this on average.
MAX_HEAD_BYTES: Final = 64 << 10
#: Keys looked at per second while bindings are searched for, and seconds between two such searches.
SCAN_COUNT: Final = 500
SCAN_PAUSE: Final = 60.0
#: Seconds between two looks at what is expensive: heads of queues, and `unacked` by queue.
LOOK_PAUSE: Final = 3.0

_BINDINGS: Final = "_kombu.binding."
#: How exchanges end that carry remote control, and no tasks.
_MAILBOX: Final = ".pidbox"


#: What the decoder raises for what is not JSON, not UTF-8, or nested too deeply.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Headers(msgspec.Struct):
    id: str | None = None
    eta: str | None = None


class _Message(msgspec.Struct):
    headers: _Headers = msgspec.field(default_factory=_Headers)


class Head(msgspec.Struct, frozen=True):
    """The message that waits longest in a queue's list: its task id, or None where it has none that can be read."""

    uuid: str | None


class Poll(msgspec.Struct):
    """One look at all queues. ``heads`` are the oldest messages by queue, or None where this was not a look at them."""

    at: float
    queues: list[Queue]
    heads: dict[str, list[Head]] | None


class RedisQueues:
    """Polls queue depths over one connection. Not thread-safe.

    Parameters: ``names`` are queues always shown; others are found through kombu's bindings or told with `add`.
    """

    def __init__(self, address: RedisAddress, names: Iterable[str] = (), *, on_command: Callable[[int], None]) -> None:
        self._address = address
        self._names: dict[str, None] = dict.fromkeys(names)
        self._client: redis.Redis = redis_client(address, "cloche-queues")
        self._on_command = on_command
        self._cursor = 0
        self._scan_at = 0.0
        self._look_at = 0.0
        self._splits: Counter[str] | None = None
        #: Which queue an exchange puts messages with a routing key into.
        self._bound: dict[tuple[str, str], str] = {}

    def add(self, names: Iterable[str]) -> None:
        """More queues to poll."""
        for name in names:
            if len(self._names) < MAX_QUEUES:
                self._names.setdefault(name)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def poll(self) -> Poll:
        """Depths now. Raises `BrokerError` when the broker can't be asked."""
        try:
            return self._poll()
        except (redis.RedisError, OSError) as error:
            raise broker_error(error, self._address) from error

    def _poll(self) -> Poll:
        now = time.monotonic()
        if now >= self._scan_at:
            self._discover(now)
        lengths, held = self._lengths()
        heads = None
        if now >= self._look_at:
            self._look_at = now + LOOK_PAUSE
            heads = self._heads(lengths)
            self._splits = self._unacked(held)
        return Poll(time.time(), [self._queue(name, counts) for name, counts in lengths.items()], heads)

    def _lengths(self) -> tuple[dict[str, list[Any]], Any]:
        """Length of each list of each queue, by priority step, and of `unacked`; errors stand in place of lengths."""
        address = self._address
        pipeline = self._client.pipeline(transaction=False)
        for name in self._names:
            for key in address.priority_keys(name):
                pipeline.llen(key)
        pipeline.hlen(address.key(address.unacked))
        *found, held = self._run(pipeline)
        refused = next((reply for reply in found if isinstance(reply, NoPermissionError)), None)
        if refused is not None:
            raise refused
        steps = len(address.steps)
        return {name: found[at * steps : (at + 1) * steps] for at, name in enumerate(self._names)}, held

    def _queue(self, name: str, counts: list[Any]) -> Queue:
        queue = Queue(name, time.time(), unacked=None if self._splits is None else self._splits[name])
        # Something else than a list under a queue's name makes its depth unknown, not zero.
        if all(isinstance(count, int) for count in counts):
            queue.ready = sum(counts)
            queue.by_priority = {str(step): count for step, count in zip(self._address.steps, counts, strict=True)}
        return queue

    def _run(self, pipeline: Any) -> list[Any]:
        self._on_command(1)
        replies: list[Any] = pipeline.execute(raise_on_error=False)
        return replies

    def _heads(self, lengths: dict[str, list[Any]]) -> dict[str, list[Head]]:
        """The oldest message of each list, which is at its tail, where messages are small enough to look at."""
        lists = {
            key: (name, count)
            for name, counts in lengths.items()
            for key, count in zip(self._address.priority_keys(name), counts, strict=True)
            if isinstance(count, int) and count
        }
        pipeline = self._client.pipeline(transaction=False)
        for key in lists:
            pipeline.memory_usage(key, samples=5)
        sizes = dict(zip(lists, self._run(pipeline) if lists else (), strict=True))
        small = [key for key, size in sizes.items() if isinstance(size, int) and size / lists[key][1] <= MAX_HEAD_BYTES]
        for key in small:
            pipeline.lindex(key, -1)
        heads: dict[str, list[Head]] = {}
        for key, message in zip(small, self._run(pipeline) if small else (), strict=True):
            if isinstance(message, bytes):
                heads.setdefault(lists[key][0], []).append(Head(_task_id(message)))
        return heads

    def _unacked(self, held: Any) -> Counter[str] | None:
        """Messages that workers hold, by queue; None where they can't be looked at, or are too many to."""
        if held == 0:
            return Counter()
        if not isinstance(held, int) or held > MAX_UNACKED:
            return None
        key = self._address.key(self._address.unacked)
        self._on_command(2)
        try:
            size = self._client.memory_usage(key, samples=5)
            if not isinstance(size, int) or size > MAX_UNACKED_BYTES:
                return None
            values = self._client.hvals(key)
        except NoPermissionError:
            return None
        split: Counter[str] = Counter()
        for value in values:
            try:
                _, exchange, routing_key = msgspec.json.decode(value, type=tuple[msgspec.Raw, str, str])
            except _UNREADABLE:
                continue
            split[self._bound.get((exchange, routing_key), routing_key)] += 1
        return split

    def _discover(self, now: float) -> None:
        """Look for kombu's bindings, a bounded number of keys each time, and take the queues they name."""
        pattern = f"{glob_escape(self._address.key(_BINDINGS))}*"
        self._on_command(1)
        try:
            self._cursor, found = self._client.scan(self._cursor, match=pattern, count=SCAN_COUNT)
            if self._cursor == 0:
                self._scan_at = now + SCAN_PAUSE
            for key in found:
                exchange = _text(key).removeprefix(self._address.key(_BINDINGS))
                if exchange != self._address.event_exchange and not exchange.endswith(_MAILBOX):
                    self._take_bindings(key, exchange)
        except NoPermissionError:
            # Queues are then those told by `task-sent`, workers and the user, and the one that Celery has by default.
            self.add(["celery"])
            self._scan_at = now + SCAN_PAUSE

    def _take_bindings(self, key: bytes | str, exchange: str) -> None:
        """Queues that are bound to an exchange; another kind of value under its key is not ours to judge."""
        self._on_command(1)
        try:
            _, members = self._client.sscan(key, 0, count=SCAN_COUNT)
        except NoPermissionError:
            raise
        except redis.ResponseError:
            return
        for member in members:
            routing_key, _, bound = _text(member).partition(self._address.separator)
            name = bound.rpartition(self._address.separator)[2]
            if 0 < len(name) <= MAX_WORD:
                queue = clean_word(name)
                self.add([queue])
                if len(self._bound) < MAX_QUEUES:
                    self._bound[exchange, routing_key] = queue


def _text(reply: bytes | str) -> str:
    return reply if isinstance(reply, str) else reply.decode("utf-8", "replace")


def _task_id(message: bytes) -> str | None:
    try:
        return msgspec.json.decode(message, type=_Message).headers.id
    except _UNREADABLE:
        return None
