"""Finds the messages of tasks on Redis by their ids, as they are: in queues, with workers, and in quarantines.

Nothing is taken. Pieces are as small, and lists are read no further from their ends, than for a survey
(`redis_lists`); a list is read from its newest end on, in which direction nothing is missed while workers take and
senders add.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, cast

import msgspec
import redis

from app.collectors.guard import FINDING, MOST_AT_ONCE
from app.collectors.messages import id_of
from app.collectors.originals import Found, Place, Unreadable, of_redis
from app.collectors.redis_client import redis_client
from app.collectors.redis_errors import broker_error
from app.collectors.redis_events import glob_escape
from app.collectors.redis_lists import QueueList, measure
from app.collectors.redis_vault import PATIENCE, SCAN_COUNT, quarantine_of
from app.collectors.transport import RedisAddress
from app.models.quarantines import MARK, origin

#: Bytes of one piece, seconds between two, and messages and bytes that are looked at for one plan.
PIECE: Final = 1 << 20
PAUSE: Final = 0.1
MOST: Final = 100_000
MOST_BYTES: Final = 64 << 20
#: A message above this size on average is not looked at.
MAX_SIZE: Final = 4 << 20


_held: Final = msgspec.json.Decoder(tuple[msgspec.Raw, str, str]).decode


class RedisFinder:
    """Looks for messages until all are found, ``give_up`` tells to, or enough was looked at."""

    def __init__(self, address: RedisAddress, give_up: Callable[[], bool]) -> None:
        self._address = address
        self._give_up = give_up
        #: Whether what was not found is not there: all was looked at.
        self.complete = True
        self._wanted: set[str] = set()
        self._found: dict[str, Found] = {}
        self._looked = self._bytes = 0

    def find(self, ids: Iterable[str], queues: Iterable[str]) -> dict[str, Found]:
        """Messages by the ids of their tasks. Raises `BrokerError`."""
        self._wanted = set(ids)
        client = redis_client(self._address, "cloche-messages", FINDING)
        try:
            for _ in self._look(client, queues):
                if not self._wanted:
                    break
                if self._looked >= MOST or self._bytes >= MOST_BYTES or self._give_up():
                    self.complete = False
                    break
                time.sleep(PAUSE)
        except (redis.RedisError, OSError) as error:
            raise broker_error(error, self._address) from error
        finally:
            client.close()
        return self._found

    def _look(self, client: redis.Redis, queues: Iterable[str]) -> Iterator[None]:
        """Look at one piece after the other."""
        for queue in queues:
            yield from self._through(client, queue, queue, "queue")
        yield from self._through_unacked(client)
        for quarantine in sorted(self._quarantines(client)):
            made_of = origin(quarantine)
            yield from self._through(client, quarantine, quarantine if made_of is None else made_of[0], "quarantine")

    def _through(self, client: redis.Redis, name: str, queue: str, place: Place) -> Iterator[None]:
        try:
            lists = measure(client, self._address, name)
        except redis.ResponseError as error:
            if "WRONGTYPE" in str(error):
                return
            raise
        for each in lists:
            if each.average > MAX_SIZE:
                self.complete = False
                continue
            stretches = _stretches(each)
            self.complete &= sum(end - start for start, end in stretches) >= each.length
            piece = max(1, min(MOST_AT_ONCE, int(PIECE / max(1.0, each.average))))
            for start, end in stretches:
                for at in range(start, end, piece):
                    raws = cast("list[bytes]", client.lrange(each.key, at, min(end, at + piece) - 1))
                    for raw in raws:
                        self._take(raw, place, queue)
                    yield
                    if not raws:
                        break

    def _through_unacked(self, client: redis.Redis) -> Iterator[None]:
        key = self._address.key(self._address.unacked)
        length, weight = client.hlen(key), client.memory_usage(key, samples=5) or 0
        average = weight / length if length else 0.0
        if average > MAX_SIZE:
            self.complete = False
        if not length or average > MAX_SIZE:
            return
        cursor, piece = 0, max(1, min(MOST_AT_ONCE, int(PIECE / average)))
        while True:
            cursor, values = cast("tuple[int, dict[bytes, bytes]]", client.hscan(key, cursor, count=piece))
            for value in values.values():
                raw, routing_key = _unwrapped(value)
                self._take(raw, "unacked", routing_key)
            yield
            if not cursor:
                return

    def _quarantines(self, client: redis.Redis) -> set[str]:
        """Names of quarantines; where there are very many keys, of those that are found within some seconds."""
        match = f"{glob_escape(self._address.prefix)}*{glob_escape(MARK)}*"
        names, cursor, deadline = set[str](), 0, time.monotonic() + PATIENCE
        while not self._give_up() and time.monotonic() < deadline:
            cursor, keys = client.scan(cursor, match=match, count=SCAN_COUNT)
            names.update(filter(None, (quarantine_of(self._address, key) for key in keys)))
            if not cursor:
                return names
        self.complete = False
        return names

    def _take(self, raw: bytes, place: Place, queue: str) -> None:
        self._looked += 1
        self._bytes += len(raw)
        id_ = id_of(raw)
        if id_ is not None and id_ in self._wanted:
            self._wanted.discard(id_)
            try:
                self._found[id_] = Found(place, queue, of_redis(raw))
            except Unreadable as error:
                self._found[id_] = Found(place, queue, None, str(error))


def _unwrapped(value: bytes) -> tuple[bytes, str]:
    """A message and its routing key from what kombu keeps of one that a worker holds; nothing where it is odd."""
    try:
        raw, _, routing_key = _held(value)
        return bytes(raw), routing_key
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            message, _, routing_key = json.loads(value)
            return json.dumps(message).encode("ascii"), str(routing_key)
        except (ValueError, TypeError, RecursionError):
            return b"", ""


def _stretches(each: QueueList) -> list[tuple[int, int]]:
    """From which to before which index a list is looked at: all of it, or what is near its ends."""
    if each.oldest and each.length <= 2 * each.reach:
        return [(0, each.length)]
    oldest = [(each.length - each.reach, each.length)] if each.oldest else []
    return [(0, min(each.reach, each.length)), *oldest]
