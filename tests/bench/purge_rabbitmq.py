"""What it takes to purge a queue of RabbitMQ into a quarantine, and to put all of it back as it was."""

import hashlib
import time
from collections.abc import Iterable, Iterator
from typing import Any

import amqp

from app.collectors.access import Grant
from app.collectors.amqp import amqp_address
from app.collectors.amqp_vault import AmqpVault
from app.models.quarantines import quarantine_name
from tests.bench.recorder import WrongHistory
from tests.helpers.amqp_raw import Raw, drained, joined, long, send, short
from tests.helpers.rabbits import client
from tests.helpers.servers import RabbitServer
from tests.helpers.waiting import eventually


def messages(number: int, size: int) -> Iterator[Raw]:
    """Messages as Celery sends them, persistent, with bodies of so many bytes."""
    for n in range(number):
        id_ = b"%032x" % n
        headers = {b"lang": b"py", b"task": b"shop.buy", b"id": id_, b"root_id": id_, b"origin": b"gen1@host"}
        table = b"".join(short(key) + b"S" + long(value) for key, value in headers.items())
        fields = {15: short(b"application/json"), 14: short(b"utf-8"), 13: long(table), 12: b"\x02", 11: b"\0",
                  10: short(id_), 9: short(id_)}  # fmt: skip
        yield Raw(joined(fields), (b'[[%d], {}, {"chain": null}]' % n).ljust(size))


def measure(number: int, size: int, kind: str) -> dict[str, Any]:
    """Purge and restore so many messages; what comes back is compared with what was sent, byte by byte and in order."""
    with RabbitServer() as server:
        vault = AmqpVault(amqp_address(server.url), "operate", on_command=lambda _: None)
        quarantine = quarantine_name("mail")
        with client(server.url) as channel:
            channel.queue_declare("mail", durable=True, auto_delete=False, arguments={"x-queue-type": kind})
            send(channel, "mail", list(messages(number, size)))
            eventually(lambda: _length(channel) == number, "the messages", within=120.0)
        figures = {
            "purge": _timed(vault.lock_away("mail", quarantine, Grant()), number),
            "restore": _timed(vault.put_back(quarantine, "mail", Grant()), number),
        }
        if _digest(drained(server.url, "mail")) != _digest(messages(number, size)):
            raise WrongHistory("what was put back is not what was there")
        return {"messages": number, "bytes_of_a_body": size, "kind": kind, **figures, "identical_in_order": True}


def _timed(moving: Iterator[int], number: int) -> dict[str, float]:
    pieces, began = [], time.perf_counter()
    last, moved = began, 0
    for count in moving:
        now = time.perf_counter()
        pieces.append(now - last)
        last, moved = now, moved + count
    if moved != number:
        raise WrongHistory(f"{moved:,} of {number:,} messages were moved")
    seconds = time.perf_counter() - began
    ordered = sorted(pieces)
    return {
        "seconds": round(seconds, 2),
        "messages_per_second": round(number / seconds),
        "piece_p50_ms": round(ordered[len(ordered) // 2] * 1_000, 1),
        "piece_p99_ms": round(ordered[len(ordered) * 99 // 100] * 1_000, 1),
        "piece_worst_ms": round(ordered[-1] * 1_000, 1),
    }


def _length(channel: amqp.Channel) -> int:
    return int(channel.queue_declare("mail", passive=True).message_count)


def _digest(rows: Iterable[Raw]) -> str:
    found = hashlib.sha256()
    for each in rows:
        for part in each:
            found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()
