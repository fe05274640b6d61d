"""A stream of lifelike task events for benchmarks, what is true of it, and its way into a Redis on this machine.

As fast as it goes, with all messages made beforehand, so that making them limits nobody:

    python -m tests.bench.load redis://127.0.0.1:6379/0 --tasks 100000 --in-flight 20000

Steadily, each event stamped when it is sent:

    python -m tests.bench.load redis://127.0.0.1:6379/0 --rate 20000 --seconds 600

Prints one JSON object: what was sent, how fast, and the true end states per task name.
"""

import argparse
import json
import socket
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit

import hiredis

from app.models import states
from tests.helpers.events import envelope

NAMES: Final = 200
WORKERS: Final = 10
EVENTS_PER_TASK: Final = 3
#: Commands that Redis answers in one go.
PIPELINE: Final = 200
#: Seconds of events that a steady load sends at once.
SLOT: Final = 0.01
#: How a task ends by its number modulo 50; the others succeed, and all but the failed only where ends are ``mixed``.
ENDS: Final = {0: states.FAILURE, 10: states.RETRY, 20: states.REVOKED, 30: states.REJECTED}

_TRACE: Final = "Traceback (most recent call last):\n  ...\nValueError: no such order\n"
_ENDINGS: Final[dict[str, dict[str, object]]] = {
    states.SUCCESS: {"type": "task-succeeded", "runtime": 0.0123},
    states.FAILURE: {"type": "task-failed", "exception": "ValueError('no such order')", "traceback": _TRACE},
    states.RETRY: {"type": "task-retried", "exception": "ConnectionError('shop is closed')", "traceback": _TRACE},
    states.REVOKED: {"type": "task-revoked", "terminated": True, "signum": "SIGKILL", "expired": False},
    states.REJECTED: {"type": "task-rejected", "requeue": False},
}


def name_of(number: int, names: int = NAMES) -> str:
    """The name of a task of this stream."""
    return f"shop.tasks.job_{number % names}"


def end_of(number: int, *, mixed: bool = False) -> str:
    """The state in which a task of this stream ends."""
    end = ENDS.get(number % 50, states.SUCCESS)
    return end if mixed or end == states.FAILURE else states.SUCCESS


def truth(tasks: int, *, mixed: bool = False, names: int = NAMES) -> dict[str, dict[str, int]]:
    """How many tasks of each name end in each state."""
    counted = Counter((name_of(number, names), end_of(number, mixed=mixed)) for number in range(tasks))
    true: dict[str, dict[str, int]] = {}
    for (name, state), count in sorted(counted.items()):
        true.setdefault(name, {})[state] = count
    return true


def life(number: int, *, mixed: bool = False, names: int = NAMES) -> list[dict[str, object]]:
    """Received, started and ended of one task; its events have no ``timestamp`` yet."""
    task_id = str(uuid.uuid4())
    common: dict[str, object] = {"hostname": f"celery@worker-{number % WORKERS}", "pid": 100, "utcoffset": 0}
    common["uuid"] = task_id
    received: dict[str, object] = {
        "type": "task-received",
        "name": name_of(number, names),
        "args": f"({number}, 'customer-{number}')",
        "kwargs": "{'priority': 'high', 'retry': False}",
        "root_id": task_id,
        "parent_id": None,
        "retries": 0,
        "eta": None,
        "expires": None,
    }
    end = end_of(number, mixed=mixed)
    ended = dict(_ENDINGS[end])
    if end == states.SUCCESS:
        ended["result"] = f"{{'status': 'ok', 'id': {number}}}"
    steps: tuple[dict[str, object], ...] = (received, {"type": "task-started"}, ended)
    return [common | {"clock": number * EVENTS_PER_TASK + at} | step for at, step in enumerate(steps)]


def events(tasks: int, in_flight: int = 1, *, mixed: bool = False, names: int = NAMES) -> Iterator[dict[str, object]]:
    """The events of so many tasks, in the order a broker sees them with ``in_flight`` tasks open at a time.

    A task starts half a window after it was received and ends a full window later; with one open task at a time, the
    events of each follow each other.
    """
    if in_flight <= 1:
        for number in range(tasks):
            yield from life(number, mixed=mixed, names=names)
        return
    open_tasks: dict[int, list[dict[str, object]]] = {}
    for tick in range(tasks + in_flight):
        if tick < tasks:
            open_tasks[tick] = life(tick, mixed=mixed, names=names)
            yield open_tasks[tick][0]
        if (started := tick - in_flight // 2) in open_tasks:
            yield open_tasks[started][1]
        if (ended := tick - in_flight) in open_tasks:
            yield open_tasks.pop(ended)[2]


def workers(kind: str) -> list[dict[str, object]]:
    """An event of this kind (``worker-online`` …) of each worker; it has no ``timestamp`` yet."""
    known: dict[str, object] = {"type": kind, "pid": 100, "utcoffset": 0, "clock": 0, "freq": 2.0}
    known |= {"active": 0, "processed": 0, "loadavg": [0.1, 0.1, 0.1]}
    known |= {"sw_ident": "py-celery", "sw_ver": "5.7.0", "sw_sys": "Linux"}
    return [known | {"hostname": f"celery@worker-{at}"} for at in range(WORKERS)]


def command(batch: Sequence[dict[str, object]]) -> bytes:
    """What publishes one event as a worker does, or several in one message as a worker that buffers them does."""
    routing_key = "task.multi" if len(batch) > 1 else str(batch[0]["type"]).replace("-", ".")
    message = envelope(list(batch) if len(batch) > 1 else batch[0], routing_key=routing_key)
    words = (b"PUBLISH", f"/0.celeryev/{routing_key}".encode(), message)
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub knows one word only
    return packed


class Publisher:
    """A connection to a Redis, for commands that are packed already; ``unheard`` counts messages without a listener."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.hostname != "127.0.0.1":
            raise ValueError("Only a Redis on this machine may be flooded.")
        self.unheard = 0
        self._socket = socket.create_connection((parts.hostname, parts.port or 6379), timeout=60)

    def send(self, commands: Sequence[bytes]) -> None:
        """Publish messages and await the answers."""
        self._socket.sendall(b"".join(commands))
        answers = b""
        while answers.count(b"\n") < len(commands):
            answers += self._socket.recv(1 << 16)
        self.unheard += answers.count(b":0\r")

    def publish(self, events: Iterable[dict[str, object]]) -> None:
        """Publish events that happen now, one per message."""
        now = time.time()
        if commands := [command([event | {"timestamp": now}]) for event in events]:
            self.send(commands)

    def close(self) -> None:
        self._socket.close()


def batched(stream: Iterable[dict[str, object]], size: int) -> Iterator[list[dict[str, object]]]:
    """The stream in lists of so many events; the last may be shorter."""
    iterator = iter(stream)
    while batch := list(islice(iterator, size)):
        yield batch


def prepare(stream: Iterable[dict[str, object]], batch: int) -> list[bytes]:
    """Messages of events that happened now, each task's a millisecond apart."""
    now = time.time()
    stamped = (event | {"timestamp": now + _step(event) * 0.001} for event in stream)
    return [command(events) for events in batched(stamped, batch)]


def publish_all(
    publisher: Publisher, messages: Sequence[bytes], rate: float = 0.0, window: float = 0.0
) -> dict[str, float]:
    """Publish so many messages a second, or as fast as the broker takes them; see `publish_steadily`.

    With a ``window``, so many messages at most are under way: lines of input tell how many have arrived so far.
    """
    began = time.perf_counter()
    late = 0.0
    arrived = 0.0
    for at in range(0, len(messages), PIPELINE):
        if rate:
            late = max(late, _wait_until(began + at / rate))
        while window and at - arrived > window:
            arrived = float(sys.stdin.readline())
        publisher.send(messages[at : at + PIPELINE])
    return {"seconds": time.perf_counter() - began, "late": late}


def publish_steadily(
    publisher: Publisher, stream: Iterable[dict[str, object]], rate: float, batch: int
) -> dict[str, float]:
    """Publish so many events a second, each stamped when it is sent.

    Tells how many seconds it took, and by how many the load was late at most: where that is much, or the rate was not
    reached, the load and not the listener was too slow.
    """
    iterator = iter(stream)
    size = max(1, round(rate * SLOT / batch)) * batch
    began = time.perf_counter()
    late = 0.0
    sent = 0
    while slot := [event | {"timestamp": time.time()} for event in islice(iterator, size)]:
        publisher.send([command(events) for events in batched(slot, batch)])
        sent += len(slot)
        late = max(late, _wait_until(began + sent / rate))
    return {"seconds": time.perf_counter() - began, "late": late}


def _wait_until(moment: float) -> float:
    """Wait for a moment of `time.perf_counter`; by how many seconds it was missed."""
    ahead = moment - time.perf_counter()
    if ahead > 0:
        time.sleep(ahead)
    return max(0.0, -ahead)


def _step(event: dict[str, object]) -> int:
    clock = event["clock"]
    return clock % EVENTS_PER_TASK if isinstance(clock, int) else 0


def main() -> int:
    """Publish and say what."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of a Redis on 127.0.0.1")
    parser.add_argument("--tasks", type=int, default=10_000, help="tasks, three events each")
    parser.add_argument("--batch", type=int, default=1, help="events per message")
    parser.add_argument("--in-flight", type=int, default=1, help="tasks that are open at the same time")
    parser.add_argument("--names", type=int, default=NAMES, help="task names")
    parser.add_argument("--mixed", action="store_true", help="some tasks are retried, revoked or rejected")
    parser.add_argument("--workers", action="store_true", help="workers come online before and go offline after it")
    parser.add_argument("--rate", type=float, default=0.0, help="events per second; 0 is as fast as it goes")
    parser.add_argument("--seconds", type=float, default=0.0, help="length of a steady load, instead of --tasks")
    parser.add_argument("--prepared", action="store_true", help="make all messages beforehand, also with a --rate")
    parser.add_argument(
        "--window", type=int, default=0, help="messages under way at most; lines of input say how many came"
    )
    parser.add_argument("--wait", action="store_true", help='say "ready", and begin at the first line of input')
    given = parser.parse_args()
    tasks = int(given.rate * given.seconds / EVENTS_PER_TASK) if given.seconds else given.tasks
    stream = events(tasks, given.in_flight, mixed=given.mixed, names=given.names)
    prepared = given.prepared or not given.rate
    messages = prepare(stream, given.batch) if prepared else []
    come, go = (workers("worker-online"), workers("worker-offline")) if given.workers else ([], [])
    publisher = Publisher(given.url)
    if given.wait:
        print("ready", flush=True)
        sys.stdin.readline()
    publisher.publish(come)
    if prepared:
        pace = publish_all(publisher, messages, given.rate / given.batch, given.window)
    else:
        pace = publish_steadily(publisher, stream, given.rate, given.batch)
    publisher.publish(go)
    publisher.close()
    said: dict[str, Any] = {
        **pace,
        "events": tasks * EVENTS_PER_TASK + len(come) + len(go),
        "events_per_second": round(tasks * EVENTS_PER_TASK / pace["seconds"]),
        "unheard": publisher.unheard,
        "tasks": tasks,
        "states": truth(tasks, mixed=given.mixed, names=given.names),
    }
    json.dump(said, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
