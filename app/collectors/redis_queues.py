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

from app.collectors.checks import MAX_WORD
from app.collectors.clean import clean_word
from app.collectors.guard import LOOKING
from app.collectors.queues import MAX_QUEUES, Head, Poll, Turns
from app.collectors.redis_client import redis_client
from app.collectors.redis_errors import broker_error
from app.collectors.redis_events import glob_escape
from app.collectors.redis_role import RoleWatch
from app.collectors.rights import Rights, is_fatal
from app.collectors.transport import RedisAddress
from app.models.lifecycle import epoch
from app.models.records import Queue

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


class _Held(msgspec.Struct):
    """Messages that workers hold, by queue, and those of them that wait for their ETA."""

    unacked: Counter[str] = msgspec.field(default_factory=Counter)
    scheduled: Counter[str] = msgspec.field(default_factory=Counter)


class RedisQueues:
    """Polls queue depths over one connection. Not thread-safe.

    Parameters: ``names`` are queues always shown; others are found through kombu's bindings or told with `add`.
    """

    def __init__(self, address: RedisAddress, names: Iterable[str] = (), *, on_command: Callable[[int], None]) -> None:
        self._address = address
        self._names: dict[str, None] = dict.fromkeys(names)
        self._client: redis.Redis = redis_client(address, "cloche-queues", LOOKING)
        self._on_command = on_command
        self._cursor = 0
        self._scan_at = 0.0
        self._look_at = 0.0
        self._held: _Held | None = None
        self._turns = Turns()
        self._rights = Rights(address.shown)
        self._role = RoleWatch(address.shown)
        self._took = 0.0
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
        if self._role.due:
            self._ask_role()
        if now >= self._scan_at:
            self._discover(now)
        names = self._turns.take(self._names)
        lengths, held = self._lengths(names)
        took = self._took
        heads = None
        if now >= self._look_at:
            self._look_at = now + LOOK_PAUSE
            heads = self._heads(lengths)
            self._held = self._unacked(held)
        queues = [self._queue(name, lengths.get(name, [])) for name in names]
        troubles = {"rights": self._rights.trouble(), "role": self._role.trouble}
        return Poll(time.time(), queues, heads, took, troubles, complete=self._cursor == 0 and self._turns.round)

    def _ask_role(self) -> None:
        self._role.asked()
        if not self._rights.may("ROLE"):
            return
        if self._role.searching:
            self._client.connection_pool.disconnect()
        (reply,) = self._run(self._client.pipeline(transaction=False).execute_command("ROLE"))  # type: ignore[no-untyped-call]
        if self._rights.take("ROLE", reply):
            self._role.take(reply)

    def _lengths(self, names: Iterable[str]) -> tuple[dict[str, list[Any]], Any]:
        """Length of each list of these queues, by priority step, and of `unacked`; errors stand in place of lengths."""
        address, rights = self._address, self._rights
        pipeline = self._client.pipeline(transaction=False)
        names = [name for name in names if rights.may("LLEN", name)]
        for name in names:
            for key in address.priority_keys(name):
                pipeline.llen(key)
        counts_held = rights.may("HLEN", address.unacked)
        if counts_held:
            pipeline.hlen(address.key(address.unacked))
        found = self._run(pipeline)
        held = found.pop() if counts_held else None
        if counts_held:
            rights.take("HLEN", held, address.unacked)
        steps = len(address.steps)
        lengths = {name: found[at * steps : (at + 1) * steps] for at, name in enumerate(names)}
        for name, counts in lengths.items():
            odd = next((count for count in counts if not isinstance(count, int)), None)
            if odd is not None or rights.refusing:
                rights.take("LLEN", odd, name)
        return lengths, held

    def _queue(self, name: str, counts: list[Any]) -> Queue:
        queue = Queue(name, time.time())
        if self._held is not None:
            queue.unacked, queue.scheduled = self._held.unacked[name], self._held.scheduled[name]
        # Something else than a list under a queue's name makes its depth unknown, not zero.
        if counts and all(isinstance(count, int) for count in counts):
            queue.ready = sum(counts)
            queue.by_priority = {str(step): count for step, count in zip(self._address.steps, counts, strict=True)}
        return queue

    def _run(self, pipeline: Any) -> list[Any]:
        """Replies to what a pipeline holds; a refusal stands in place of a reply. Raises what concerns them all."""
        if not len(pipeline):
            return []
        self._on_command(1)
        asked = time.monotonic()
        replies: list[Any] = pipeline.execute(raise_on_error=False)
        self._took = time.monotonic() - asked
        fatal = next((reply for reply in replies if is_fatal(reply)), None)
        if fatal is not None:
            raise fatal
        return replies

    def _heads(self, lengths: dict[str, list[Any]]) -> dict[str, list[Head]]:
        """The oldest message of each list, which is at its tail, where messages are small enough to look at."""
        lists = {
            key: (name, count)
            for name, counts in lengths.items()
            for key, count in zip(self._address.priority_keys(name), counts, strict=True)
            if isinstance(count, int) and count
        }
        rights = self._rights
        if not (rights.may("MEMORY USAGE") and rights.may("LINDEX")):
            return {}
        pipeline = self._client.pipeline(transaction=False)
        for key in lists:
            pipeline.memory_usage(key, samples=5)
        sizes = dict(zip(lists, self._run(pipeline), strict=True))
        for size in sizes.values():
            rights.take("MEMORY USAGE", size)
        small = [key for key, size in sizes.items() if isinstance(size, int) and size / lists[key][1] <= MAX_HEAD_BYTES]
        for key in small:
            pipeline.lindex(key, -1)
        heads: dict[str, list[Head]] = {}
        for key, message in zip(small, self._run(pipeline), strict=True):
            if rights.take("LINDEX", message) and isinstance(message, bytes):
                heads.setdefault(lists[key][0], []).append(Head(_headers(message).id))
        return heads

    def _unacked(self, held: Any) -> _Held | None:
        """Messages that workers hold; None where they can't be looked at, or are too many to."""
        if held == 0:
            return _Held()
        if not isinstance(held, int) or held > MAX_UNACKED:
            return None
        key, rights = self._address.key(self._address.unacked), self._rights
        if not (rights.may("MEMORY USAGE") and rights.may("HVALS")):
            return None
        (size,) = self._run(self._client.pipeline(transaction=False).memory_usage(key, samples=5))
        if not rights.take("MEMORY USAGE", size) or not isinstance(size, int) or size > MAX_UNACKED_BYTES:
            return None
        (values,) = self._run(self._client.pipeline(transaction=False).hvals(key))
        if not rights.take("HVALS", values) or not isinstance(values, list):
            return None
        split, now = _Held(), time.time()
        for value in values:
            try:
                raw, exchange, routing_key = msgspec.json.decode(value, type=tuple[msgspec.Raw, str, str])
            except _UNREADABLE:
                continue
            name = self._bound.get((exchange, routing_key), routing_key)
            split.unacked[name] += 1
            split.scheduled[name] += (epoch(_headers(raw).eta) or 0.0) > now
        return split

    def _discover(self, now: float) -> None:
        """Look for kombu's bindings, a bounded number of keys each time, and take the queues they name."""
        rights = self._rights
        if not (rights.may("SCAN") and rights.may("SSCAN")):
            return
        pattern = f"{glob_escape(self._address.key(_BINDINGS))}*"
        (reply,) = self._run(
            self._client.pipeline(transaction=False).scan(self._cursor, match=pattern, count=SCAN_COUNT)
        )
        if not rights.take("SCAN", reply) or isinstance(reply, redis.RedisError):
            # Queues are then those told by `task-sent`, workers and the user, and the one that Celery has by default.
            self.add(["celery"])
            return
        self._cursor, found = reply
        if self._cursor == 0:
            self._scan_at = now + SCAN_PAUSE
        for key in found:
            exchange = _text(key).removeprefix(self._address.key(_BINDINGS))
            if exchange != self._address.event_exchange and not exchange.endswith(_MAILBOX):
                self._take_bindings(key, exchange)

    def _take_bindings(self, key: bytes | str, exchange: str) -> None:
        """Queues that are bound to an exchange; another kind of value under its key is not ours to judge."""
        (reply,) = self._run(self._client.pipeline(transaction=False).sscan(key, 0, count=SCAN_COUNT))
        if not self._rights.take("SSCAN", reply):
            self.add(["celery"])
            return
        if isinstance(reply, redis.RedisError):
            return
        _, members = reply
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


def _headers(message: bytes | msgspec.Raw) -> _Headers:
    """What is read of a message's headers; nothing where it is not one."""
    try:
        return msgspec.json.decode(message, type=_Message).headers
    except _UNREADABLE:
        return _Headers()
