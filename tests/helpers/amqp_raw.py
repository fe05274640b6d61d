"""Messages of RabbitMQ as bytes: how tests send them, and what a consumer would be given, to the last bit."""

from collections.abc import Iterator
from typing import NamedTuple

import amqp

from app.collectors.amqp import amqp_address
from app.collectors.amqp_carrier import Carrier
from app.collectors.amqp_guard import Guard
from app.collectors.amqp_publish import RawMessage


class Raw(NamedTuple):
    """A message: its properties as they stand in AMQP, and its body."""

    properties: bytes
    body: bytes


class Everything(Guard):
    """Lets all through."""

    def check(self, data: bytes | memoryview) -> None:
        """Nothing to say against it."""


def send(channel: amqp.Channel, queue: str, messages: list[Raw]) -> None:
    """Publish messages."""
    for each in messages:
        channel.basic_publish(RawMessage(*each), "", queue)


def look(url: str, queue: str) -> list[Raw]:
    """All that waits in a queue, in order, and back to where it was."""
    carrier = Carrier(amqp_address(url), Everything())
    count, _ = carrier.length(queue)
    taken = []
    if count:
        carrier.consume(queue, min(count, 65_535))
        while carrier.arrived < count and carrier.listen(5.0):
            pass
        taken = carrier.take(count)
    found = [Raw(each.properties, each.body) for each in taken]
    carrier.give_back()
    carrier.close()
    return found


def drained(url: str, queue: str) -> Iterator[Raw]:
    """All that waits in a queue, in order, and it is gone then."""
    carrier = Carrier(amqp_address(url), Everything())
    count, _ = carrier.length(queue)
    carrier.consume(queue, 2_000)
    while count:
        while carrier.arrived < min(count, 1_000):
            carrier.listen()
        taken = carrier.take(1_000)
        count -= len(taken)
        yield from (Raw(each.properties, each.body) for each in taken)
        carrier.acknowledge(each.tag for each in taken)
        carrier.commit()
    carrier.close()


def short(text: bytes) -> bytes:
    """A short string."""
    return bytes([len(text)]) + text


def long(text: bytes) -> bytes:
    """A long string; a table and an array look the same."""
    return len(text).to_bytes(4, "big") + text


#: A value of each type that RabbitMQ's tables know.
VALUES = {
    "t": b"\x01", "b": b"\xff", "B": b"\xff", "s": b"\xff\xff", "u": b"\xff\xff", "I": b"\xff" * 4, "i": b"\xff" * 4,
    "l": b"\xff" * 8, "f": b"\x3f\x80\0\0", "d": b"\x3f\xb9\x99\x99\x99\x99\x99\x9a", "D": b"\x02\xff\xff\xff\xff",
    "S": long(b"\xff\0\xc3"), "x": long(b"\0\xff"), "T": b"\0\0\0\xff" + b"\xff" * 4, "V": b"",
    "A": long(b"B\x01" + b"t\0" + b"A" + long(b"")), "F": long(short(b"in") + b"F" + long(b"")),
}  # fmt: skip
TABLE = b"".join(short(f"key-{kind}".encode()) + kind.encode() + value for kind, value in VALUES.items())
#: Each field, by its bit, with awkward values.
FIELDS = {
    15: short("ünï/code".encode()), 14: short(b"\xff\xfe"), 13: long(TABLE), 12: b"\x01", 11: b"\xff",
    10: short(b"c" * 255), 9: short(b""), 8: short(b"60000"), 7: short(b"id"), 6: b"\xff" * 8, 5: short(b"type"),
    4: short(b"guest"), 3: short(b"app"), 2: short(b"cluster"),
}  # fmt: skip


def joined(fields: dict[int, bytes]) -> bytes:
    """Properties of fields, by the bits of their flags."""
    flags = sum(1 << bit for bit in fields).to_bytes(2, "big")
    return flags + b"".join(fields[bit] for bit in sorted(fields, reverse=True))


def numbered(number: int, **fields: bytes) -> Raw:
    """A small message that says which it is; fields are named by their bits, as in ``_12``."""
    headers = {13: long(short(b"id") + b"S" + long(b"t%d" % number))}
    return Raw(joined(headers | {int(key[1:]): value for key, value in fields.items()}), b"%d" % number)


def awkward() -> list[Raw]:
    """Messages with each field alone, each type of value alone, all of them, none, and bodies of all sizes."""
    rows = [Raw(joined({bit: value}), b"x") for bit, value in FIELDS.items()]
    rows += [
        Raw(joined({13: long(short(b"k") + kind.encode() + value)}), kind.encode()) for kind, value in VALUES.items()
    ]
    rows += [Raw(joined(FIELDS), b"all"), Raw(joined({}), b""), Raw(joined({13: long(b"")}), b"no headers")]
    rows += [Raw(joined({12: mode}), b"mode") for mode in (b"\x01", b"\x02")]
    sizes = (0, 1, 131_063, 131_064, 131_065, 262_128, 300_000, 2_000_000)
    rows += [
        Raw(joined({12: b"\x02"}), bytes(n % 251 for n in range(1_000)) * (size // 1_000) + b"\xff" * (size % 1_000))
        for size in sizes
    ]
    death = short(b"count") + b"l" + bytes(7) + b"\x03" + short(b"queue") + b"S" + long(b"other")
    rows.append(Raw(joined({13: long(short(b"x-death") + b"A" + long(b"F" + long(death)))}), b"died"))
    return rows
