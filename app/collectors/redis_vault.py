"""Moves messages in Redis: a queue's lists become a quarantine by their names, and messages go by closed scripts.

A quarantine has a list for each step of priority, named like those of a queue. What is moved is never copied to us and
sent again, but for messages that go to another queue: in those it is written where they belong (`readdressed`).
"""

import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import redis

from app.collectors.access import Grant
from app.collectors.errors import BrokerError
from app.collectors.guard import MOST_AT_ONCE, SORTING, moving
from app.collectors.messages import id_of, read_message
from app.collectors.publisher import no_queue
from app.collectors.redis_client import redis_client
from app.collectors.redis_errors import broker_error
from app.collectors.redis_events import glob_escape
from app.collectors.redis_lists import QueueList, may_be_queue, measure
from app.collectors.redis_messages import MAX_BYTES, peek
from app.collectors.redis_scripts import DESTROY, LOCK_AWAY, PICK, PUT_BACK, SCRIPTS, SPLIT, TURN
from app.collectors.transport import RedisAddress
from app.collectors.vault import Contents, Quarantine
from app.models.acts import Caution, Item
from app.models.quarantines import MARK, origin
from app.models.records import Message

#: Messages, and bytes of them, that one script moves at most: 0.5 to 2 ms of Redis 7.0.
MOST: Final = 250
MOST_BYTES: Final = 1 << 20
#: Seconds between two scripts, at most: as many as the one before took.
MAX_PAUSE: Final = 0.05
#: How deep in a list, from either end, a single message may lie to be taken out: Redis compares all before it, which
#: takes 0.4 ms for so many small ones and 4 ms for ones of 6 kB.
DEEPEST: Final = 20_000
#: Bytes of a list that is read as a whole at most. Redis goes to its middle for 6 ms, see `redis_lists`.
MAX_WHOLE: Final = 2 << 30
#: Bytes that are read at once; and how many times more messages are read again to find where the last piece ended.
READ_BYTES: Final = 1 << 20
OVERLAP: Final = 30
#: Seconds that quarantines are looked for, and keys that are looked at at a time.
PATIENCE: Final = 10.0
SCAN_COUNT: Final = 1_000
#: What is behind the name of a quarantine while it takes the messages that are put back next.
NEXT: Final = ".next"


class _Place(msgspec.Struct, frozen=True):
    """Where a message was seen: in which of the lists of a queue, from which end (-1 is the oldest), and how deep."""

    raw: bytes
    step: int
    end: int
    depth: int


class RedisVault:
    """Implements `app.collectors.vault.Vault`. Whatever changes something goes over a connection of its own."""

    at_once = True
    in_front = True
    aside = ""

    def __init__(self, address: RedisAddress, *, on_command: Callable[[int], None]) -> None:
        self._address = address
        self._on_command = on_command
        self._looking: redis.Redis = redis_client(address, "cloche-vault", SORTING)
        self._given_up = False
        self._next_at = 0.0

    def contents(self, name: str, samples: int = 10) -> Contents:
        """What waits in a queue or a quarantine."""
        lists = self._lists(name)
        steps = zip(self._address.steps, lists, strict=True)
        found = Contents(
            total=sum(each.length for each in lists),
            by_priority={step: each.length for step, each in steps if each.length},
            size=round(sum(each.length * each.average for each in lists)),
        )
        if found.total and samples and max(each.average for each in lists) <= MAX_BYTES:
            self._on_command(2)
            found.samples = peek(self._address, name, count=samples).messages
            newest = peek(self._address, name, count=1, newest=True).messages
            found.oldest = found.samples[0] if found.samples else None
            found.newest = newest[0] if newest else None
        return found

    def find(self, name: str, ids: Collection[str]) -> list[Message]:
        """Messages by the ids of their tasks, not further from both ends of each list than `DEEPEST`.

        Before version 7, Redis reads lists from the newest message only: the oldest of a long one are not found.
        """
        return [read_message(place.raw) for place in self._places(name, ids).values()]

    def remarks(self, name: str) -> list[Caution]:
        """Nothing: each piece is whole or not at all."""
        del name
        return []

    def quarantines(self, known: Collection[str] = ()) -> list[Quarantine]:
        """Those that are there, by name; where there are very many keys, those that are found within some seconds."""
        del known
        names: dict[str, None] = {}
        cursor, deadline = 0, time.monotonic() + PATIENCE
        while not self._given_up:
            self._on_command(1)
            with self._words():
                cursor, keys = self._looking.scan(
                    cursor, match=f"{glob_escape(self._address.key(''))}*{glob_escape(MARK)}*", count=SCAN_COUNT
                )
            names |= dict.fromkeys(filter(None, (quarantine_of(self._address, key) for key in keys)))
            if cursor == 0 or time.monotonic() > deadline:
                break
        found = []
        for name in sorted(names):
            held = self.contents(name, samples=0)
            queue, made = origin(name) or (name, None)
            if held.total:
                found.append(Quarantine(name, queue, made, held.total, held.size))
        return found

    def lock_away(self, queue: str, quarantine: str, grant: Grant) -> Iterator[int]:
        """Move all that waits in a queue when this begins into a quarantine, in one piece."""
        sources, targets = self._keys(queue), self._keys(quarantine)
        with self._moving([*sources, *targets], grant) as client:
            moved = self._run(client, LOCK_AWAY, [*sources, *targets])
        if moved < 0:
            raise BrokerError(
                "busy", f"There is a quarantine {quarantine} already, and nothing is put over what it holds."
            )
        yield moved

    def put_back(self, quarantine: str, queue: str, grant: Grant, count: int | None = None) -> Iterator[int]:
        """Move what is in a quarantine back in front of what waits in the queue, in its old order, by priority.

        Each list is one piece, unless more than `MOST` messages came into that of the queue since: then so many are
        put back at a time. Of ``count`` messages, those are first set aside in a quarantine of their own, whose name
        ends with `NEXT`: should that be broken off, it is put back like any other, and before this is done again.
        """
        if count is not None:
            aside = f"{quarantine}{NEXT}"
            yield from self._set_aside(quarantine, aside, grant, count)
            quarantine = aside
        pairs = zip(self._lists(quarantine), self._lists(queue), strict=True)
        with self._moving([*self._keys(quarantine), *self._keys(queue)], grant) as client:
            for held, waiting in pairs:
                most = _at_once(max(held.average, waiting.average))
                while moved := self._run(client, PUT_BACK, [held.key, waiting.key], most):
                    yield moved

    def move(
        self, source: str, target: str, ids: Sequence[str] | None, grant: Grant, by: str = ""
    ) -> Iterator[list[Item]]:
        """Move single messages, by the ids of their tasks; all where None. See `Vault.move`."""
        del by
        known = origin(source)
        back = known is not None and known[0] == target
        change = not back and origin(target) is None
        if ids is None:
            yield from self._move_all(source, target, grant, change=change)
        else:
            yield from self._move_some(source, target, ids, grant, back=back, change=change)

    def destroy(self, quarantine: str, grant: Grant) -> Iterator[int]:
        """Really delete a quarantine, in one piece."""
        keys = self._keys(quarantine)
        with self._moving(keys, grant) as client:
            yield self._run(client, DESTROY, keys)

    def raw(self, name: str) -> Iterator[list[bytes]]:
        """All that waits in a queue or quarantine, some at a time, in the order in which workers take it.

        Of a queue that is at work, what was taken before it was reached is not among it, and what came since may be.
        """
        lists = self._lists(name)
        # A Redis that reads from one end only has twice as far to go.
        if any(each.length * each.average > (MAX_WHOLE if each.oldest else MAX_WHOLE // 2) for each in lists):
            raise BrokerError("busy", f"{name} is too large to be read as a whole without holding up the broker.")
        for each in lists:
            yield from self._read(each, each.length)

    def give_up(self) -> None:
        """Wait for nothing any more; a script that is under way comes to its end."""
        self._given_up = True

    def close(self) -> None:
        """Close connections."""
        self._looking.close()

    # --- pieces ------------------------------------------------------------------------------------------------------

    def _set_aside(self, quarantine: str, aside: str, grant: Grant, count: int) -> Iterator[int]:
        """Take the messages that are next out of a quarantine; none is back."""
        sources, targets, left = self._lists(quarantine), self._lists(aside), count
        if any(each.length for each in targets):
            raise BrokerError(
                "busy", f"In {aside} is what was on its way when this was broken off. Restore that first."
            )
        with self._moving([*self._keys(quarantine), *self._keys(aside)], grant) as client:
            for held, kept in zip(sources, targets, strict=True):
                most = _at_once(held.average)
                while left > 0 and (moved := self._run(client, SPLIT, [held.key, kept.key], min(left, most))):
                    left -= moved
                    yield 0

    def _move_some(
        self, source: str, target: str, ids: Sequence[str], grant: Grant, *, back: bool, change: bool
    ) -> Iterator[list[Item]]:
        """One after the other; what comes in front of others begins with the one that is taken last of them."""
        sources, targets = self._keys(source), self._keys(target)
        places = self._places(source, ids)
        absent = [Item(id_, ok=False, text="It does not wait there any more.") for id_ in ids if id_ not in places]
        if absent:
            yield absent
        with self._moving([*sources, *targets], grant) as client:
            for id_, place in reversed(places.items()) if back else places.items():
                new = readdressed(place.raw, target) if change else place.raw
                push = "RPUSH" if back else "LPUSH"
                keys = [sources[place.step], targets[place.step]]
                moved = self._run(client, PICK, keys, place.raw, new, place.end, DEEPEST, push)
                yield [Item(id_, ok=bool(moved), text="" if moved else "It was taken before it could be moved.")]

    def _move_all(self, source: str, target: str, grant: Grant, *, change: bool) -> Iterator[list[Item]]:
        with self._moving([*self._keys(source), *self._keys(target)], grant) as client:
            for each, key in zip(self._lists(source), self._keys(target), strict=True):
                left = each.length
                while left > 0 and (raws := self._next(each.key, min(left, _at_once(each.average)))):
                    left -= len(raws)
                    pairs = [word for raw in raws for word in (raw, readdressed(raw, target) if change else raw)]
                    moved = self._run(client, TURN, [each.key, key], *pairs)
                    yield [Item("", ok=True)] * moved

    def _places(self, name: str, ids: Collection[str]) -> dict[str, _Place]:
        """Where messages lie, in the order in which workers take them."""
        wanted, found = frozenset(ids), dict[str, _Place]()
        for step, each in enumerate(self._lists(name)):
            here: dict[str, _Place] = {}
            depth = 0
            for raws in self._read(each, min(each.length, DEEPEST) if each.oldest else 0):
                for raw in raws:
                    depth += 1
                    id_ = id_of(raw)
                    if id_ in wanted:
                        here.setdefault(id_, _Place(raw, step, -1, depth))
            newest: dict[str, _Place] = {}
            for place, raw in enumerate(self._newest(each, min(DEEPEST, each.length - depth))):
                id_ = id_of(raw)
                if id_ in wanted and id_ not in here:
                    newest[id_] = _Place(raw, step, 1, place + 1)
            found = found | here | dict(reversed(newest.items()))
        return found

    def _read(self, each: QueueList, most: int) -> Iterator[list[bytes]]:
        """The ``most`` oldest messages of a list, from the oldest on.

        While workers take messages at this end, all others come nearer to it. So some are read again, to find the last
        one that was read; where it is not among them, more are, until either it is found or all before was taken.
        """
        size = _in(READ_BYTES, each.average, MOST_AT_ONCE // 2)
        told, read, overlap, last = 0, 0, 1, b""
        while told < most:
            self._stand()
            first = max(0, read - overlap)
            raws = self._range(each.key, -read - min(size, most - told), -first - 1)[::-1]
            known = raws.index(last) + 1 if last in raws else 0
            if first and not known:
                overlap *= OVERLAP
                if overlap > MOST_AT_ONCE // 2:
                    raise BrokerError("busy", "This queue is emptied faster than it can be read. Try it again.")
                continue
            if known == len(raws):
                return
            yield raws[known:]
            told, read, overlap, last = told + len(raws) - known, first + len(raws), 1, raws[-1]

    def _newest(self, each: QueueList, most: int) -> Iterator[bytes]:
        """The ``most`` newest messages of a list, from the newest on; some twice, where more come meanwhile."""
        size = _in(READ_BYTES, each.average, MOST_AT_ONCE)
        for first in range(0, max(0, most), size):
            self._stand()
            yield from self._range(each.key, first, min(most, first + size) - 1)

    def _next(self, key: str, number: int) -> list[bytes]:
        """Messages that are taken next; asked for one by one, since an old Redis reads ranges from the other end."""
        self._on_command(1)
        with self._words():
            asked = self._looking.pipeline(transaction=False)
            for place in range(1, number + 1):
                asked.lindex(key, -place)
            return [raw for raw in asked.execute() if raw is not None]

    def _range(self, key: str, first: int, last: int) -> list[bytes]:
        self._on_command(1)
        with self._words():
            return [raw for raw in self._looking.lrange(key, first, last) if isinstance(raw, bytes)]

    def _lists(self, name: str) -> list[QueueList]:
        if not may_be_queue(self._address, name):
            raise BrokerError("name", str(no_queue(name)))
        self._on_command(1)
        with self._words():
            return measure(self._looking, self._address, name)

    def _keys(self, name: str) -> list[str]:
        return self._address.priority_keys(name)

    def _stand(self) -> None:
        if self._given_up:
            raise BrokerError("busy", "It was stopped.")

    def _run(self, client: redis.Redis, script: str, keys: Sequence[str], *words: bytes | str | int) -> int:
        self._on_command(1)
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        began = time.monotonic()
        with self._words():
            told: Any = client.execute_command("EVAL", script, len(keys), *keys, *words)  # type: ignore[no-untyped-call]
        # Others have the broker for as long as we had it.
        now = time.monotonic()
        self._next_at = now + min(now - began, MAX_PAUSE)
        return int(told)

    @contextmanager
    def _moving(self, lists: Sequence[str], grant: Grant) -> Iterator[redis.Redis]:
        """A connection that may move messages between these lists, and do nothing else."""
        client = redis_client(self._address, "cloche-vault", moving(SCRIPTS, lists, grant))
        try:
            yield client
        finally:
            client.close()

    @contextmanager
    def _words(self) -> Iterator[None]:
        """Failures of Redis in words."""
        try:
            yield
        except (redis.RedisError, OSError) as error:
            raise broker_error(error, self._address) from error


def quarantine_of(address: RedisAddress, key: bytes | str) -> str | None:
    """The quarantine that a list belongs to; None where it is none's."""
    name = (key.decode("utf-8", "replace") if isinstance(key, bytes) else key).removeprefix(address.prefix)
    bare, separator, step = name.rpartition(address.separator)
    name = bare if separator and step.isdecimal() and int(step) in address.steps else name
    known = origin(name)
    return name if known is not None and known[1] is not None and may_be_queue(address, name) else None


def readdressed(raw: bytes, queue: str) -> bytes:
    """A message (kombu's envelope) as if it had been sent to a queue; what is none is left as it is.

    Workers send a task that is to be retried to where its message says that it came from, and messages that a worker
    did not acknowledge are put back there (``celery.app.task.signature_from_request``, ``kombu.transport.redis``).
    """
    try:
        envelope = json.loads(raw)
        envelope["properties"]["delivery_info"] |= {"exchange": "", "routing_key": queue}
    except (ValueError, RecursionError, TypeError, KeyError):
        return raw
    return json.dumps(envelope).encode()


def _at_once(average: float) -> int:
    """How many messages of this size may be moved at once."""
    return _in(MOST_BYTES, average, MOST)


def _in(size: int, average: float, most: int) -> int:
    """How many messages of such a size so many bytes are, at least one."""
    return max(1, min(most, int(size / average))) if average else most
