"""A02 on RabbitMQ: a queue is purged and restored while others use it: each message is back, to the byte and in order.

One process sends messages at four priorities all the while, another works them off, and a third asks for signs of life,
which tell how long everybody else has to wait: with nobody acting, while the queue is purged, and while it is restored.
"""

import json
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import amqp
import psutil

from app.collectors.access import Grant
from app.collectors.amqp import amqp_address
from app.collectors.amqp_carrier import Carrier
from app.collectors.amqp_intake import MOST
from app.collectors.amqp_publish import RawMessage
from app.collectors.amqp_vault import AmqpVault
from app.models.quarantines import quarantine_name
from tests.bench import machine
from tests.bench.purge import WrongMessages
from tests.helpers.amqp_raw import Everything, Raw, drained, joined, long, short
from tests.helpers.rabbits import client, declare
from tests.helpers.servers import RabbitServer
from tests.helpers.waiting import eventually

QUEUE: Final = "mail"
PRIORITIES: Final = 4
#: Seconds between two signs of life, and the queue that they are asked of.
SIGN_PAUSE: Final = 0.005
SIGNS: Final = "signs"
#: How many times as many messages are worked off as are sent, and how many of them a worker holds.
WORKED: Final = 2.0
PREFETCH: Final = 50
#: How many messages a purge may be handed, at most, that it gives back.
MOST_AGAIN: Final = 3 * MOST
_CHUNK: Final = 2_000
#: Seconds for which a worker waits for RabbitMQ.
_PATIENCE: Final = 60.0
#: What a quorum queue notes in a message that was handed out before.
_NOTE: Final = b"x-delivery-count"
#: What a message has besides its number, as Celery sends it.
_HEADERS: Final = {b"lang": b"py", b"task": b"shop.buy", b"origin": b"gen1@host", b"argsrepr": b"()"}
_TABLE: Final = b"".join(short(key) + b"S" + long(value) for key, value in _HEADERS.items())


def message(number: int, size: int) -> Raw:
    """The message with a number, persistent, with a body of so many bytes; its priority is by turns."""
    id_ = b"%032x" % number
    table = _TABLE + short(b"id") + b"S" + long(id_) + short(b"root_id") + b"S" + long(id_)
    fields = {15: short(b"application/json"), 14: short(b"utf-8"), 13: long(table), 12: b"\x02",
              11: bytes([number % PRIORITIES]), 10: short(id_), 9: short(id_)}  # fmt: skip
    return Raw(joined(fields), (b"[[%d], {}, {}]" % number).ljust(size))


def number_of(raw: Raw) -> int:
    """The number of a message, below 0 where it was handed out before, which a quorum queue notes in its headers.

    Raises `WrongMessages` where all else of it is not as it was sent.
    """
    number = int(raw.body[2 : raw.body.index(b"]")])
    sent = message(number, len(raw.body))
    if raw == sent:
        return number
    if _NOTE in raw.properties and _unmarked(raw.properties) == _unmarked(sent.properties):
        return -1 - number
    raise WrongMessages(f"Message {number} was changed.")


def _unmarked(properties: bytes) -> set[tuple[str, object]]:
    """What a message has besides that note."""
    told = amqp.Message()
    told._load_properties(60, properties, 0)
    headers = told.properties.pop("application_headers")
    headers.pop(_NOTE.decode(), None)
    return {*told.properties.items(), *headers.items()}


def measure(messages: int, size: int, rate: float, seconds: float, kind: str) -> dict[str, Any]:
    """Figures. Raises `WrongMessages` where one message is missing, doubled, changed or out of order."""
    with RabbitServer() as server:
        _fill(server.url, kind, messages, size)
        vault = AmqpVault(amqp_address(server.url), "operate", on_command=lambda _: None)
        quarantine = quarantine_name(QUEUE)
        figures: dict[str, Any] = {"messages": messages, "bytes_of_a_body": size, "kind": kind}
        with (
            _other(server.url, "sign") as signs,
            _other(server.url, "send", rate, messages, size) as sending,
            _other(server.url, "work", rate * WORKED) as working,
        ):
            _told(signs)
            time.sleep(seconds)
            figures["alone"] = _told(signs)
            figures["purge"] = _timed(vault.lock_away(QUEUE, quarantine, Grant()), signs)
            time.sleep(seconds)
            _told(signs)
            figures["restore"] = _timed(vault.put_back(quarantine, QUEUE, Grant()), signs)
            sent: int = _end(sending)
            worked: list[int] = _end(working)
        if figures["purge"]["moved"] != figures["restore"]["moved"]:
            raise WrongMessages("As many messages were not restored as were purged.")
        figures |= {"sent_meanwhile": sent - messages, "worked_off_meanwhile": len(worked)}
        again = check(worked, (number_of(each) for each in drained(server.url, QUEUE)), sent)
        figures["handed_out_twice"] = again
        return figures | {"identical_in_order": True, "our_memory_mb": _memory()}


def _fill(url: str, kind: str, messages: int, size: int) -> None:
    priorities = {"x_max_priority": PRIORITIES - 1} if kind == "classic" else {}
    with client(url) as channel:
        declare(channel, QUEUE, x_queue_type=kind, **priorities)
        carrier = Carrier(amqp_address(url), Everything())
        for start in range(0, messages, _CHUNK):
            for number in range(start, min(messages, start + _CHUNK)):
                carrier.publish(QUEUE, *message(number, size))
            carrier.commit()
        carrier.close()
        eventually(lambda: _length(channel, QUEUE) == messages, "the messages")


def _timed(moving: Iterator[int], signs: subprocess.Popen[str]) -> dict[str, Any]:
    pieces, moved, began, used = [], 0, time.perf_counter(), time.process_time()
    last = began
    for count in moving:
        now = time.perf_counter()
        pieces.append(now - last)
        last, moved = now, moved + count
    seconds = time.perf_counter() - began
    return {
        "moved": moved,
        "seconds": round(seconds, 1),
        "messages_per_second": round(moved / seconds),
        "our_processor_seconds": round(time.process_time() - used, 1),
        "piece_ms": machine.spread(pieces),
        **_told(signs),
    }


def check(worked: Sequence[int], left: Iterator[int], sent: int) -> int:
    """Whether each message that was sent is there once, and in its place; how many were handed out twice.

    Within a priority, those that were purged have kept their order, and so have the others, among which they are put
    back. So all together are in two orders at most. But where a purge of a quorum queue ends, it may have been handed
    some of those that came since: these it gives back, and workers may have taken later ones by then.
    """
    seen, again = bytearray(sent), 0
    orders = [(-1, -1)] * PRIORITIES
    for numbers in (worked, left):
        for told in numbers:
            number = max(told, -1 - told)
            seen[number] += 1
            if told < 0:
                again += 1
                continue
            later, earlier = orders[number % PRIORITIES]
            if number > later:
                orders[number % PRIORITIES] = (number, earlier)
            elif number > earlier:
                orders[number % PRIORITIES] = (later, number)
            else:
                raise WrongMessages(f"Message {number} came after {later} and {earlier}.")
    if seen.count(1) != sent:
        raise WrongMessages(
            f"Of {sent} messages {seen.count(0)} are lost, and {sent - seen.count(0) - seen.count(1)} doubled."
        )
    if again > MOST_AGAIN:
        raise WrongMessages(f"{again} messages were handed out twice.")
    return again


def _memory() -> int:
    return round(psutil.Process().memory_info().rss / 1e6)


def _length(channel: amqp.Channel, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).message_count)


# --- others who use the broker ---------------------------------------------------------------------------------------


@contextmanager
def _other(url: str, what: str, *numbers: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.bench.purge_rabbitmq", url, what, *map(str, numbers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise WrongMessages("Nobody uses the broker; the words of who should are above.")
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _told(signs: subprocess.Popen[str]) -> dict[str, Any]:
    """How long others had to wait since this was asked last."""
    if signs.stdin is None or signs.stdout is None:
        raise RuntimeError("Nobody asks for signs of life.")
    signs.stdin.write("\n")
    signs.stdin.flush()
    told: dict[str, list[float]] = json.loads(signs.stdout.readline())
    return {name: machine.spread(took) for name, took in told.items()}


def _end(process: subprocess.Popen[str]) -> Any:
    """End it, and learn what it sent or worked off."""
    said, _ = process.communicate("\n")
    return json.loads(said)


def _send(url: str, rate: float, first: int, size: int) -> int:
    """Send until told to end; the number behind the last one."""
    number = first
    with client(url) as channel:
        _ready()
        began = time.monotonic()
        while not _is_told(0.005):
            while number - first < (time.monotonic() - began) * rate:
                channel.basic_publish(RawMessage(*message(number, size)), "", QUEUE)
                number += 1
    return number


def _work(url: str, rate: float) -> list[int]:
    """Work messages off until told to end; their numbers."""
    worked: list[int] = []
    carrier = Carrier(amqp_address(url), Everything())
    # A queue of a million messages may be slow to let its consumer go.
    carrier.connection.transport.sock.settimeout(_PATIENCE)
    carrier.consume(QUEUE, PREFETCH)
    _ready()
    began = time.monotonic()
    while not _is_told(0.0):
        carrier.listen(0.005)
        _work_off(carrier, worked, int((time.monotonic() - began) * rate) - len(worked))
    carrier.cancel()
    _work_off(carrier, worked, carrier.arrived)
    carrier.close()
    return worked


def _work_off(carrier: Carrier, worked: list[int], number: int) -> None:
    taken = carrier.take(max(0, number))
    if taken:
        worked += [number_of(Raw(each.properties, each.body)) for each in taken]
        carrier.acknowledge(each.tag for each in taken)
        carrier.commit()


def _sign(url: str) -> None:
    """Ask for signs of life until nobody listens any more; tell how long each took, in seconds, for each line."""
    took: dict[str, list[float]] = {"declare_ms": [], "delivery_ms": [], "confirm_ms": [], "same_queue_ms": []}
    with client(url) as channel, channel.connection.channel() as confirmed:
        declare(channel, SIGNS)
        declare(channel, f"{SIGNS}.confirmed", x_max_length=10)
        came: list[amqp.Message] = []
        channel.basic_consume(SIGNS, no_ack=True, callback=came.append)
        confirmed.confirm_select()

        def timed(name: str, question: Callable[[], object]) -> None:
            began = time.perf_counter()
            question()
            took[name].append(time.perf_counter() - began)

        def delivered() -> None:
            channel.basic_publish(amqp.Message("x"), "", SIGNS)
            while not came:
                channel.connection.drain_events()
            came.clear()

        def confirm() -> None:
            confirmed.basic_publish_confirm(amqp.Message("x", delivery_mode=2), "", f"{SIGNS}.confirmed")

        _ready()
        while True:
            if _is_told(SIGN_PAUSE):
                if not sys.stdin.readline():
                    return
                sys.stdout.write(json.dumps(took) + "\n")
                sys.stdout.flush()
                for values in took.values():
                    values.clear()
            timed("declare_ms", lambda: _length(channel, SIGNS))
            timed("same_queue_ms", lambda: _length(channel, QUEUE))
            timed("delivery_ms", delivered)
            timed("confirm_ms", confirm)


def _is_told(timeout: float) -> bool:
    return bool(select.select([sys.stdin], [], [], timeout)[0])


def _ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def main(url: str, what: str, *numbers: str) -> None:
    """Send, work or ask until told to end, and tell what was done."""
    done: object = None
    if what == "sign":
        _sign(url)
        return
    if what == "send":
        rate, first, size = numbers
        done = _send(url, float(rate), int(first), int(size))
    else:
        done = _work(url, float(numbers[0]))
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
