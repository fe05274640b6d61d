"""Queue depths on Redis: every priority list, what is unacked, what waits longest, and which queues there are.

Only commands that read, one pipeline a second; what would cost the broker more with a larger queue is asked for
within bounds.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, repeat
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
from app.collectors.redis_vault import quarantine_of
from app.collectors.rights import Rights, is_fatal
from app.collectors.transport import RedisAddress
from app.models.lifecycle import epoch
from app.models.quarantines import MARK
from app.models.quarantines import ROLE as QUARANTINE
from app.models.records import Queue

#: `unacked` holds whole messages: it is split by queue only up to so many of them, and so many bytes.
MAX_UNACKED: Final = 500
MAX_UNACKED_BYTES: Final = 1 << 20
#: The message at a queue's head is looked at only where messages are smaller than this on average.
MAX_HEAD_BYTES: Final = 64 << 10
#: Keys looked at per second while bindings are searched for, and seconds between two such searches.
SCAN_COUNT: Final = 500
SCAN_PAUSE: Final = 60.0
#: The same of quarantines: who purged a queue wants to see where it went.
QUARANTINE_PAUSE: Final = 5.0
#: Seconds between two looks at what is expensive: heads of queues, and `unacked` by queue.
LOOK_PAUSE: Final = 3.0
#: Blocks of a value by which its size is told.
SAMPLES: Final = 5

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


class _Question(msgspec.Struct):
    """Commands, and what is done with the replies to them, in place of which refusals may stand."""

    commands: list[tuple[Any, ...]]
    take: Callable[[Iterator[Any]], None]


class RedisQueues:
    """Polls queue depths over one connection. Not thread-safe.

    All that is asked at a time goes in one pipeline. What follows from the replies is asked with the next poll, and
    only with the first one at once, so that one look is enough to see what there is.

    Parameters: ``names`` are queues always shown; others are found through kombu's bindings or told with `add`.
    """

    def __init__(self, address: RedisAddress, names: Iterable[str] = (), *, on_command: Callable[[int], None]) -> None:
        self._address = address
        self._names: dict[str, None] = dict.fromkeys(names)
        self._client: redis.Redis = redis_client(address, "cloche-queues", LOOKING)
        self._on_command = on_command
        self._first = True
        self._cursor = 0
        self._scan_at = 0.0
        self._quarantine_cursor = 0
        self._quarantine_at = 0.0
        #: What quarantines take of the broker's memory.
        self._sizes: dict[str, int] = {}
        #: Bindings that were found, and not looked into: their keys, with their exchanges.
        self._found: list[tuple[bytes | str, str]] = []
        self._look_at = 0.0
        #: Queues of the last look, and the lists of theirs whose oldest message is to be looked at, by key.
        self._looked: list[str] = []
        self._tails: dict[str, str] = {}
        self._heads: dict[str, list[Head]] | None = None
        self._held: _Held | None = None
        self._wants_held = False
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
        first, self._heads = self._first, None
        before = [self._ask_role(), self._discover(now), self._look_for_quarantines(now), self._look_into_bindings()]
        if first:
            self._run(before)
            before = [self._look_into_bindings()]
            self._run(before)
            before = []
        names = self._turns.take(self._names)
        lengths: dict[str, list[Any]] = {}
        looks = now >= self._look_at
        if looks:
            self._look_at = now + LOOK_PAUSE
        self._run([*before, self._oldest(), self._unacked(), self._count(names, lengths, weigh=looks)])
        took, self._first = self._took, False
        if first:
            self._run([self._oldest(), self._unacked()])
        queues = [self._queue(name, lengths.get(name, [])) for name in names]
        troubles = {"rights": self._rights.trouble(), "role": self._role.trouble}
        complete = self._cursor == self._quarantine_cursor == 0 and not self._found and self._turns.round
        return Poll(time.time(), queues, self._heads, took, troubles, complete=complete)

    def _run(self, questions: Iterable[_Question | None]) -> None:
        """Ask all of these in one pipeline. Raises what concerns them all."""
        asked = [question for question in questions if question is not None and question.commands]
        if not asked:
            return
        pipeline = self._client.pipeline(transaction=False)
        for question in asked:
            for words in question.commands:
                pipeline.execute_command(*words)  # type: ignore[no-untyped-call]
        self._on_command(1)
        began = time.monotonic()
        replies: list[Any] = pipeline.execute(raise_on_error=False)
        self._took = time.monotonic() - began
        fatal = next((reply for reply in replies if is_fatal(reply)), None)
        if fatal is not None:
            raise fatal
        told = iter(replies)
        for question in asked:
            question.take(islice(told, len(question.commands)))

    def _ask_role(self) -> _Question | None:
        if not self._role.due:
            return None
        self._role.asked()
        if not self._rights.may("ROLE"):
            return None
        if self._role.searching:
            self._client.connection_pool.disconnect()

        def take(replies: Iterator[Any]) -> None:
            reply = next(replies)
            if self._rights.take("ROLE", reply):
                self._role.take(reply)

        return _Question([("ROLE",)], take)

    def _count(self, names: Sequence[str], lengths: dict[str, list[Any]], *, weigh: bool) -> _Question:
        """Length of each list of these queues, by priority step, and of `unacked`; errors stand in place of lengths.

        Where they are to be weighed too, what follows from that is asked for next.
        """
        address, rights = self._address, self._rights
        names = [name for name in names if rights.may("LLEN", name)]
        keys = {name: address.priority_keys(name) for name in names}
        held_key = address.key(address.unacked)
        commands: list[tuple[Any, ...]] = [("LLEN", key) for name in names for key in keys[name]]
        counts_held = rights.may("HLEN", address.unacked)
        if counts_held:
            commands.append(("HLEN", held_key))
        weighs = weigh and rights.may("MEMORY USAGE")
        if weighs:
            weighed = [*(key for name in names for key in keys[name]), held_key]
            commands += [("MEMORY USAGE", key, "SAMPLES", SAMPLES) for key in weighed]

        def take(replies: Iterator[Any]) -> None:
            for name in names:
                counts = lengths[name] = list(islice(replies, len(address.steps)))
                odd = next((count for count in counts if not isinstance(count, int)), None)
                if odd is not None or rights.refusing:
                    rights.take("LLEN", odd, name)
            held = next(replies) if counts_held else None
            if counts_held:
                rights.take("HLEN", held, address.unacked)
            if weigh:
                self._weigh(keys, lengths, replies if weighs else repeat(None))
                self._weigh_held(held, next(replies) if weighs else None)

        return _Question(commands, take)

    def _queue(self, name: str, counts: list[Any]) -> Queue:
        queue = Queue(name, time.time())
        if self._held is not None:
            queue.unacked, queue.scheduled = self._held.unacked[name], self._held.scheduled[name]
        # Something else than a list under a queue's name makes its depth unknown, not zero.
        if counts and all(isinstance(count, int) for count in counts):
            queue.ready = sum(counts)
            queue.by_priority = {str(step): count for step, count in zip(self._address.steps, counts, strict=True)}
        if quarantine_of(self._address, self._address.key(name)) is not None:
            queue.role, queue.memory = QUARANTINE, self._sizes.get(name)
            if queue.gone:
                self._names.pop(name, None)
                self._sizes.pop(name, None)
        return queue

    def _weigh(self, keys: dict[str, list[str]], lengths: dict[str, list[Any]], sizes: Iterator[Any]) -> None:
        """Choose the lists whose oldest message is small enough to look at."""
        self._looked, self._tails = list(keys), {}
        sizes_of = Counter[str]()
        for name, lists in keys.items():
            for key, count, size in zip(lists, lengths[name], sizes, strict=False):
                weighed = self._rights.take("MEMORY USAGE", size) and isinstance(size, int)
                sizes_of[name] += size if weighed else 0
                if weighed and isinstance(count, int) and count and size / count <= MAX_HEAD_BYTES:
                    self._tails[key] = name
        self._sizes |= {name: size for name, size in sizes_of.items() if MARK in name}
        if not self._tails or not self._rights.may("LINDEX"):
            self._heads = {name: [] for name in self._looked}

    def _oldest(self) -> _Question | None:
        """The oldest message of each list, which is at its tail."""
        tails, self._tails = self._tails, {}
        if not tails or not self._rights.may("LINDEX"):
            return None

        def take(replies: Iterator[Any]) -> None:
            heads: dict[str, list[Head]] = {name: [] for name in self._looked}
            for name, message in zip(tails.values(), replies, strict=True):
                if self._rights.take("LINDEX", message) and isinstance(message, bytes):
                    heads[name].append(Head(_headers(message).id))
            self._heads = heads

        return _Question([("LINDEX", key, -1) for key in tails], take)

    def _weigh_held(self, held: Any, size: Any) -> None:
        """Whether messages that workers hold are looked at: where they are neither too many nor too large."""
        known = self._rights.take("MEMORY USAGE", size) and isinstance(size, int) and size <= MAX_UNACKED_BYTES
        self._wants_held = bool(known and isinstance(held, int) and 0 < held <= MAX_UNACKED)
        if not self._wants_held:
            self._held = _Held() if held == 0 else None

    def _unacked(self) -> _Question | None:
        """Messages that workers hold, by queue."""
        wanted, self._wants_held = self._wants_held, False
        if not wanted or not self._rights.may("HVALS"):
            return None

        def take(replies: Iterator[Any]) -> None:
            values = next(replies)
            known = self._rights.take("HVALS", values) and isinstance(values, list)
            self._held = self._split(values) if known else None

        return _Question([("HVALS", self._address.key(self._address.unacked))], take)

    def _split(self, values: Iterable[Any]) -> _Held:
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

    def _discover(self, now: float) -> _Question | None:
        """Look for kombu's bindings, a bounded number of keys each time, to take the queues that they name."""
        rights = self._rights
        if now < self._scan_at or not (rights.may("SCAN") and rights.may("SSCAN")):
            return None
        bindings = self._address.key(_BINDINGS)

        def take(replies: Iterator[Any]) -> None:
            reply = next(replies)
            if not rights.take("SCAN", reply) or isinstance(reply, redis.RedisError):
                # Queues are then those told by `task-sent`, workers and the user, and the one Celery has by default.
                self.add(["celery"])
                return
            self._cursor, found = reply
            if self._cursor == 0:
                self._scan_at = now + SCAN_PAUSE
            for key in found:
                exchange = _text(key).removeprefix(bindings)
                if exchange != self._address.event_exchange and not exchange.endswith(_MAILBOX):
                    self._found.append((key, exchange))

        return _Question([("SCAN", self._cursor, "MATCH", f"{glob_escape(bindings)}*", "COUNT", SCAN_COUNT)], take)

    def _look_for_quarantines(self, now: float) -> _Question | None:
        """Look for messages that were purged, in the same way."""
        if now < self._quarantine_at or not self._rights.may("SCAN"):
            return None

        def take(replies: Iterator[Any]) -> None:
            reply = next(replies)
            if not self._rights.take("SCAN", reply) or isinstance(reply, redis.RedisError):
                return
            self._quarantine_cursor, found = reply
            if self._quarantine_cursor == 0:
                self._quarantine_at = now + QUARANTINE_PAUSE
            names = (quarantine_of(self._address, key) for key in found)
            self.add(clean_word(name) for name in names if name is not None and len(name) <= MAX_WORD)

        pattern = f"{glob_escape(self._address.prefix)}*{glob_escape(MARK)}*"
        return _Question([("SCAN", self._quarantine_cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)], take)

    def _look_into_bindings(self) -> _Question | None:
        """Queues that are bound to exchanges; another kind of value under such a key is not ours to judge."""
        found, self._found = self._found, []

        def take(replies: Iterator[Any]) -> None:
            for (_, exchange), reply in zip(found, replies, strict=True):
                if not self._rights.take("SSCAN", reply):
                    self.add(["celery"])
                elif not isinstance(reply, redis.RedisError):
                    self._take_bindings(exchange, reply[1])

        return _Question([("SSCAN", key, 0, "COUNT", SCAN_COUNT) for key, _ in found], take)

    def _take_bindings(self, exchange: str, members: Iterable[bytes | str]) -> None:
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
