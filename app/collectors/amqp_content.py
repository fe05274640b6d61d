"""The properties of an AMQP message as bytes: what changes while it lies in a quarantine, and how it was before.

Nothing is decoded that need not be: a library reads the numbers of a table without their types, and writes them with
others. Fields and their order are those of the specification, 2.3.5.1 and 4.2.6.1
(https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf).

A message that is locked away stays one that any tool can put back. What differs is noted in a header of ours, a table
named `HEADER`: the message's ``id``, and under ``1`` to ``15`` (the bits of their flags) the fields that were changed,
each as the bytes it had, none where it was not there.

* ``expiration`` goes: nothing in a quarantine may expire. So does ``user_id``, which has to be that of who publishes.
* ``delivery_mode`` becomes 2: a quarantine outlives the broker.
* The headers ``CC`` and ``BCC`` go: RabbitMQ would send copies to the queues that they name.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import msgspec

from app.collectors.amqp_frames import SIZES

#: The header of ours.
HEADER: Final = b"x-cloche"
_ID: Final = b"id"
#: Headers that are instructions to RabbitMQ, and not only words to who gets a message.
_ROUTES: Final = (b"CC", b"BCC")
_PERSISTENT: Final = b"\x02"

#: Bits of the flags by which a message tells what it has, the highest first.
_HEADERS, _DELIVERY_MODE, _CORRELATION_ID, _EXPIRATION, _USER_ID = 13, 12, 10, 8, 4
#: Bytes that such a field has, where it does not say so itself in its first one, or as a table in four.
_FIXED: Final = {_DELIVERY_MODE: 1, 11: 1, 6: 8}
_LAST: Final = 2

_short: Final = struct.Struct(">H")
_long: Final = struct.Struct(">I")
_header: Final = struct.Struct(">HHQ")
_BASIC: Final = 60


class Unlocked(msgspec.Struct, frozen=True):
    """A message's properties as they were before it was locked away, and its ``id``; "" where it never was."""

    properties: bytes
    id: str


def locked(properties: bytes, id_: str) -> bytes:
    """The properties that a message has in a quarantine, by its ``id_`` there."""
    fields = _fields(unlocked(properties).properties)
    changed = {bit: fields.pop(bit) for bit in (_EXPIRATION, _USER_ID) if bit in fields}
    if fields.get(_DELIVERY_MODE) != _PERSISTENT:
        changed[_DELIVERY_MODE] = fields.get(_DELIVERY_MODE, b"")
        fields[_DELIVERY_MODE] = _PERSISTENT
    headers = fields.get(_HEADERS)
    table = b"" if headers is None else _without(headers[4:], _ROUTES)
    if headers is None or len(table) < len(headers) - 4:
        changed[_HEADERS] = headers or b""
    note = _entry(_ID, b"S", _text(id_.encode()))
    note += b"".join(_entry(b"%d" % bit, b"S", _text(value)) for bit, value in sorted(changed.items()))
    fields[_HEADERS] = _text(table + _entry(HEADER, b"F", _text(note)))
    return _joined(fields)


def unlocked(properties: bytes) -> Unlocked:
    """What `locked` was given; also where RabbitMQ sorted the headers meanwhile, or added some, as quorum queues do."""
    if HEADER not in properties:
        return Unlocked(properties, "")
    fields = _fields(properties)
    headers = fields.get(_HEADERS, b"\0\0\0\0")[4:]
    note = next((headers[value + 4 : stop] for name, _, value, stop in _entries(headers) if name == HEADER), None)
    if note is None:
        return Unlocked(properties, "")
    noted = {name: note[value + 4 : stop] for name, _, value, stop in _entries(note)}
    fields[_HEADERS] = _text(_without(headers, (HEADER,)))
    id_ = noted.pop(_ID, b"").decode("ascii", "replace")
    fields |= {int(name): value for name, value in noted.items()}
    return Unlocked(_joined({bit: value for bit, value in fields.items() if value}), id_)


def sendable(properties: bytes, username: str) -> bytes:
    """Properties without what RabbitMQ would refuse from this user, or take as an order to send copies elsewhere."""
    (flags,) = _short.unpack_from(properties)
    if not flags & 1 << _USER_ID and not any(map(properties.__contains__, _ROUTES)):
        return properties
    fields = _fields(properties)
    if fields.get(_USER_ID, b" ")[1:] != username.encode():
        fields.pop(_USER_ID, None)
    if _HEADERS in fields:
        fields[_HEADERS] = _text(_without(fields[_HEADERS][4:], _ROUTES))
    return _joined(fields)


def task_id(properties: bytes) -> str:
    """The id of the task that a message is about: Celery has it in a header, and as the correlation id."""
    fields = _fields(properties)
    table = fields.get(_HEADERS, b"\0\0\0\0")[4:]
    told = next((table[value + 4 : stop] for name, _, value, stop in _entries(table) if name == _ID), b"")
    return (told or fields.get(_CORRELATION_ID, b"\0")[1:]).decode("utf-8", "replace")


def packed(properties: bytes, body: bytes) -> bytes:
    """A whole message as bytes: the payload of its content header frame in AMQP, and its body behind.

    That is: 60 and 0 with 2 bytes each, the body's length with 8, big-endian; flags and properties; the body.
    """
    return _header.pack(_BASIC, 0, len(body)) + properties + body


def unpacked(message: bytes) -> tuple[bytes, bytes]:
    """Properties and body of what `packed` made."""
    _, _, size = _header.unpack_from(message)
    cut = len(message) - size
    return message[_header.size : cut], message[cut:]


def _fields(properties: bytes) -> dict[int, bytes]:
    """The fields that are there, by the bits of their flags. Raises what is in `amqp.UNREADABLE`."""
    (flags,) = _short.unpack_from(properties)
    if flags & ((1 << _LAST) - 1):
        raise ValueError("flags of properties that AMQP 0-9-1 does not have")
    at, found = _short.size, {}
    for bit in _bits(flags):
        if bit == _HEADERS:
            size = _long.size + _long.unpack_from(properties, at)[0]
        else:
            size = _FIXED.get(bit) or 1 + properties[at]
        found[bit] = properties[at : at + size]
        at += size
    if at != len(properties):
        raise ValueError("properties of another length than told")
    return found


@lru_cache(64)
def _bits(flags: int) -> list[int]:
    """Those that are set, the highest first."""
    return [bit for bit in range(15, _LAST - 1, -1) if flags & 1 << bit]


def _joined(fields: dict[int, bytes]) -> bytes:
    flags = sum(1 << bit for bit in fields)
    return _short.pack(flags) + b"".join(fields[bit] for bit in sorted(fields, reverse=True))


def _entries(table: bytes) -> Iterator[tuple[bytes, int, int, int]]:
    """Name, and where it begins, of each entry of a table; where its value begins and ends."""
    at = 0
    while at < len(table):
        start, at = at, at + 1 + table[at]
        name, kind = table[start + 1 : at], table[at]
        value = at + 1
        size = SIZES.get(kind)
        at = value + (_long.size + _long.unpack_from(table, value)[0] if size is None else size)
        yield name, start, value, at


def _without(table: bytes, names: tuple[bytes, ...]) -> bytes:
    if not any(map(table.__contains__, names)):  # which is told much sooner than by reading it
        return table
    return b"".join(table[start:stop] for name, start, _, stop in _entries(table) if name not in names)


def _entry(name: bytes, kind: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + kind + value


def _text(value: bytes) -> bytes:
    """A long string, which looks as a table or an array does: four bytes of length before it."""
    return _long.pack(len(value)) + value
