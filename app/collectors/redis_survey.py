"""Looks through a queue on Redis for the names of its tasks, or for one message: a bounded piece at a time.

A piece is one pipeline: as many messages as make up a megabyte, by the size of those seen, and none that Redis has to
go far for XX
"""

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import redis

from app.collectors.checks import MAX_WORD
from app.collectors.clean import clean_word
from app.collectors.guard import MOST_AT_ONCE, SURVEYING
from app.collectors.messages import read_message
from app.collectors.redis_client import redis_client
from app.collectors.redis_errors import broker_error
from app.collectors.redis_lists import QueueList, measure
from app.collectors.redis_messages import MAX_BYTES, too_large
from app.collectors.transport import RedisAddress
from app.models.records import Message
from app.models.surveys import MOST_FOUND, MOST_NAMES, Survey

#: Bytes of one piece, by the size of the messages seen so far, and messages of the first one.
PIECE: Final = 1 << 20
FIRST: Final = 50
#: Messages, and bytes of them, that are looked at until somebody has to want more.
GO: Final = 100_000
GO_BYTES: Final = 32 << 20
#: A queue of no more messages, and of no more bytes than of a go, is counted; of any other a sample is: so many
#: messages and bytes at most, in so many places.
COUNTED: Final = 20_000
SAMPLE: Final = 2_000
SAMPLE_BYTES: Final = 16 << 20
PLACES: Final = 100
#: Different names that are counted apart.
MAX_NAMES: Final = 5_000


class _Headers(msgspec.Struct):
    id: Any = None
    task: Any = None


class _Envelope(msgspec.Struct):
    headers: _Headers = msgspec.field(default_factory=_Headers)


_decode: Final = msgspec.json.Decoder(_Envelope).decode


class _Stretch(msgspec.Struct):
    """Neighbours in a list from the index ``next`` up to ``end``, or to the oldest; ``seen`` is the one before them."""

    of: QueueList
    next: int
    end: int | None = None
    seen: bytes | None = None

    @property
    def left(self) -> int:
        """Messages that were not looked at yet."""
        return (self.of.length if self.end is None else min(self.end, self.of.length)) - self.next


class RedisSurvey:
    """Looks through a queue for the message ``wanted`` (its id, how that begins, or its task), or else for names.

    `look` looks at one more piece; ``survey`` is what came of it so far. Not thread-safe.

    Parameters: ``dice`` tells a number below the one it is given, by which a sample is chosen.
    """

    def __init__(
        self, address: RedisAddress, queue: str, wanted: str = "", *, dice: Callable[[int], int] = secrets.randbelow
    ) -> None:
        self.survey = Survey()
        self._address = address
        self._queue = queue
        self._wanted = wanted
        self._dice = dice
        self._client = redis_client(address, "cloche-messages", SURVEYING)
        self._lists: list[QueueList] = []
        self._names: Counter[str] = Counter()
        #: Bytes of a message, as it was last seen, and of those looked at in this go.
        self._size = 0.0
        self._bytes = 0
        self._steps = self._find() if wanted else self._count()

    def look(self) -> None:
        """Look at one piece, or begin the next go. Raises `BrokerError`."""
        self.survey.state = "looking"
        try:
            next(self._steps, None)
        except (redis.RedisError, OSError) as error:
            raise broker_error(error, self._address) from error

    def rest(self) -> None:
        """Close the connection; the next look opens another."""
        self._client.close()

    def _begin(self) -> None:
        self._lists = measure(self._client, self._address, self._queue)
        self._size = max((each.average for each in self._lists), default=0.0)
        if self._size > MAX_BYTES:
            raise too_large()
        self.survey.reached = sum(each.reached for each in self._lists)
        self._tell()

    def _tell(self) -> None:
        survey = self.survey
        survey.total = sum(each.length for each in self._lists)
        survey.names = self._names.most_common(MOST_NAMES)
        survey.others = max(0, len(self._names) - MOST_NAMES)
        survey.other = self._names.total() - sum(number for _, number in survey.names)

    def _count(self) -> Iterator[None]:
        """Count the names of all messages, or of a sample."""
        self._begin()
        yield
        total, size = self.survey.total, sum(each.length * each.average for each in self._lists)
        if total <= COUNTED and size <= GO_BYTES and self.survey.reached == total:
            for each in self._lists:
                for _ in self._through(_Stretch(each, 0)):
                    yield
        elif total:
            self.survey.sample = True
            for _ in self._sample(min(SAMPLE, int(SAMPLE_BYTES / max(1.0, self._size)))):
                yield
        self.survey.state = "over"

    def _find(self) -> Iterator[None]:
        """Look for a message from both ends of all lists, in goes."""
        self._begin()
        yield
        going = [self._through(stretch) for each in self._lists for stretch in _stretches(each)]
        go = self.survey.looked + GO
        while going and not self._is_found:
            if self.survey.looked >= go or self._bytes >= GO_BYTES or self._is_full:
                self.survey.state = "paused"
                yield
                go, self._bytes = self.survey.looked + GO, 0
                self.survey.found = []
            way = going.pop(0)
            if next(way, False):
                going.append(way)
                yield
        self.survey.state = "over"

    @property
    def _is_found(self) -> bool:
        return any(message.id == self._wanted for message in self.survey.found)

    @property
    def _is_full(self) -> bool:
        return len(self.survey.found) >= MOST_FOUND

    def _through(self, stretch: _Stretch) -> Iterator[bool]:
        """Look at one piece of a stretch after the other."""
        each = stretch.of
        while stretch.left > 0 and not self._is_found:
            # From the one that was seen last on: where it stands now tells what came meanwhile.
            start = stretch.next - (stretch.seen is not None)
            number = min(self._piece + stretch.next - start, MOST_AT_ONCE)
            if stretch.end is not None:
                number = min(number, stretch.end - start)
            asked = self._client.pipeline(transaction=False)
            asked.llen(each.key)
            asked.lrange(each.key, start, start + number - 1)
            each.length, raws = asked.execute()
            if not raws:
                return
            known = raws.index(stretch.seen) + 1 if stretch.seen in raws else 0
            for index, raw in enumerate(raws[known:], start + known):
                self._take(raw, each, index)
                stretch.next, stretch.seen = index + 1, raw
                if self._is_full:
                    break
            self._weigh(raws)
            self._tell()
            yield True

    def _sample(self, number: int) -> Iterator[None]:
        """Look at a row of neighbours at a random place in each of many equal parts of all that can be reached."""
        stretches = [stretch for each in self._lists for stretch in _stretches(each)]
        whole = sum(stretch.left for stretch in stretches)
        row = max(1, min(number, whole) // PLACES)
        parts = max(1, min(number, whole) // row)
        asked = self._client.pipeline(transaction=False)
        way = 0.0
        for part in range(parts):
            low, high = whole * part // parts, whole * (part + 1) // parts
            each, index, end = _place(stretches, low + self._dice(max(1, high - low - row + 1)))
            share = min(index, each.length - index) / each.reach
            # One that Redis goes far for comes alone, and many that are near come together.
            if len(asked) and (way + share > 1.0 or (len(asked) + 1) * row * self._size > PIECE):
                self._take_rows(asked.execute())
                way = 0.0
                yield
            asked.lrange(each.key, index, min(end, index + row) - 1)
            way += share
        self._take_rows(asked.execute())
        yield

    def _take_rows(self, rows: Sequence[list[bytes]]) -> None:
        for raws in rows:
            for raw in raws:
                self._take(raw, self._lists[0], 0)
            self._weigh(raws)
        self._tell()

    @property
    def _piece(self) -> int:
        """Messages of the next piece."""
        fits = int(PIECE / max(1.0, self._size))
        return max(1, min(fits, MOST_AT_ONCE if self.survey.looked else FIRST))

    def _weigh(self, raws: Sequence[bytes]) -> None:
        """Learn from messages how large the next ones may be."""
        weight = sum(map(len, raws))
        self._bytes += weight
        if raws:
            self._size = max(1.0, weight / len(raws))

    def _take(self, raw: bytes, each: QueueList, index: int) -> None:
        self.survey.looked += 1
        identity, name = _identity(raw)
        if not self._wanted:
            self._names[name if name in self._names or len(self._names) < MAX_NAMES else "(other)"] += 1
        elif (name == self._wanted or identity.startswith(self._wanted)) and len(self.survey.found) < MOST_FOUND:
            message = read_message(raw)
            before = self._lists[: self._lists.index(each)]
            message.place = sum(one.length for one in before) + each.length - 1 - index
            self.survey.found.append(message)


def _identity(raw: bytes) -> tuple[str, str]:
    """Id and task of a message, "" where it has none."""
    try:
        headers = _decode(raw).headers
        found = (headers.id, headers.task)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = (None, None)
    if found == (None, None):
        # Of the first protocol, where all is in the body; or something else altogether.
        message: Message = read_message(raw)
        return message.id or "", message.name or ""
    identity, name = (clean_word(word[:MAX_WORD]) if isinstance(word, str) else "" for word in found)
    return identity, name


def _stretches(each: QueueList) -> list[_Stretch]:
    """What can be looked at of a list: all of it, or what is near its ends."""
    if each.oldest and each.length <= 2 * each.reach:
        return [_Stretch(each, 0)]
    oldest = [_Stretch(each, each.length - each.reach)] if each.oldest else []
    return [_Stretch(each, 0, each.reach), *oldest]


def _place(stretches: Sequence[_Stretch], at: int) -> tuple[QueueList, int, int]:
    """The list in which the message at a place of all stretches is, its index, and the index behind its stretch."""
    for stretch in stretches:
        if at < stretch.left:
            break
        at -= stretch.left
    return stretch.of, stretch.next + at, stretch.next + stretch.left
