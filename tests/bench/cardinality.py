"""What a collector's memory comes to where there is no end of names, workers and ids: I09 of the safety plan.

    python -m tests.bench.cardinality                     a million of each, as short as real ones
    python -m tests.bench.cardinality --kind open         tasks that never end, with arguments as long as are kept
    python -m tests.bench.cardinality --kind failing      a hundred tasks that fail again and again
    python -m tests.bench.cardinality --kind flapping     workers that go and come while tasks wait on another

Events go through the normaliser, the reducer and a history's writer, as in a collector. Prints one JSON object: memory
(resident, in MB) at its start, half way, at most and at its end, and what holds how many of what.
"""

import argparse
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import psutil

from app.collectors.normalise import Normaliser
from app.models.history.writer import Writer
from app.models.records import Event
from app.models.reducer import Reducer

T0: Final = 1_795_230_000.0
#: Events a second of the time that the collector sees.
RATE: Final = 20_000
Raw = dict[str, Any]


def distinct(count: int) -> Iterator[Raw]:
    """Tasks that end, each of a name of its own, on no end of workers and from no end of producers and queues."""
    for number in range(count):
        host, task = f"celery@worker-{number % 100_000:06}.example.com", _id(number)
        name = f"shop.tasks.group_{number // 1_000}.job_{number}"
        yield {
            "type": "task-sent",
            "hostname": f"gen{number}@web",
            "uuid": task,
            "name": name,
            "queue": f"queue-{number}",
        }
        yield {
            "type": "task-received",
            "hostname": host,
            "uuid": task,
            "name": name,
            "args": f"({number},)",
            "retries": 0,
        }
        yield {"type": "task-started", "hostname": host, "uuid": task}
        yield {"type": "task-succeeded", "hostname": host, "uuid": task, "result": "None", "runtime": 0.01}
        if number % 10 == 0:
            yield {"type": "worker-heartbeat", "hostname": host, "freq": 2.0, "active": 1, "processed": number}


def unended(count: int) -> Iterator[Raw]:
    """Tasks that were received and never began, with arguments as long as are kept."""
    for number in range(count):
        text = f"{number}" + "x" * 8_000
        known = {"hostname": "w1@test", "uuid": _id(number), "name": "shop.tasks.import", "args": text, "kwargs": text}
        yield {"type": "task-received", **known, "retries": 0}


def failing(count: int) -> Iterator[Raw]:
    """A hundred tasks that fail again and again, each time with the longest traceback that is kept."""
    trace = "x" * 65_000
    for number in range(count):
        known = {"hostname": "w1@test", "uuid": _id(number % 100), "timestamp": T0 + number}
        yield {"type": "task-retried", **known, "exception": "E()", "traceback": trace}


def flapping(count: int) -> Iterator[Raw]:
    """Workers that go and come back while a hundred thousand tasks wait on another."""
    for number in range(100_000):
        yield {"type": "task-received", "hostname": "w@busy", "uuid": _id(number), "name": "shop.tasks.import"}
    for number in range(count):
        yield {"type": "worker-offline" if number % 2 else "worker-online", "hostname": f"w{number // 2 % 1_000}@test"}


#: What makes the events of a kind, how many things there are if nobody says, and events between two commits.
KINDS: Final[dict[str, tuple[Callable[[int], Iterator[Raw]], int, int]]] = {
    "distinct": (distinct, 1_000_000, 5_000),
    "open": (unended, 20_000, 100),
    "failing": (failing, 2_000, 50),
    "flapping": (flapping, 200, 5_000),
}


def measure(kind: str, count: int, folder: Path) -> dict[str, Any]:
    """Take all events of a kind."""
    make, _, size = KINDS[kind]
    process = psutil.Process()
    normaliser = Normaliser()
    writer = Writer(folder / "cardinality.cloche")
    reducer = Reducer(writer, writer.known())
    before = most = process.memory_info().rss
    now, slowest, held = T0, 0.0, []
    began = time.process_time()
    try:
        for batch in _batches(make(count), size):
            now += len(batch) / RATE
            events: list[Event] = []
            body = json.dumps([{"timestamp": now, "pid": 1, "clock": 1, **raw} for raw in batch])
            normaliser.body(body.encode(), now, events)
            started = time.perf_counter()
            reducer.fold(events, now)
            slowest = max(slowest, time.perf_counter() - started)
            reducer.tick(now)
            changed = reducer.flush()
            writer.commit(writer.rows(changed))
            reducer.committed(changed)
            held.append(process.memory_info().rss)
            most = max(most, held[-1])
    finally:
        writer.close()
    half = held[len(held) // 2]
    return {
        "kind": kind,
        "count": count,
        "events": normaliser.received,
        "rejected": dict(normaliser.rejected),
        "mb_before": before >> 20,
        "mb_half_way": half >> 20,
        "mb_at_most": most >> 20,
        "mb_at_end": held[-1] >> 20,
        "cpu_seconds": round(time.process_time() - began, 1),
        "slowest_fold_ms": round(slowest * 1e3),
        "history_mb": sum(path.stat().st_size for path in folder.iterdir()) >> 20,
        "holds": {**_sizes("normaliser", normaliser), **_sizes("reducer", reducer), **_sizes("writer", writer)},
    }


def _sizes(name: str, owner: object, depth: int = 3) -> dict[str, int]:
    """How many items the containers of an object hold, and those of its parts, where they are many."""
    found: dict[str, int] = {}
    for key in (*getattr(owner, "__dict__", ()), *getattr(type(owner), "__slots__", ())):
        value = getattr(owner, key)
        if hasattr(value, "__len__") and not isinstance(value, str | bytes):
            if len(value) > 1_000:
                found[f"{name}.{key}"] = len(value)
        elif depth and type(value).__module__.startswith("app."):
            found |= _sizes(f"{name}.{key}", value, depth - 1)
    return found


def _batches(events: Iterator[Raw], size: int) -> Iterator[list[Raw]]:
    while batch := list(islice(events, size)):
        yield batch


def _id(number: int) -> str:
    return str(uuid.UUID(int=number * 0x9E3779B97F4A7C15 % (1 << 128)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=KINDS, default="distinct")
    parser.add_argument("--count", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        told = measure(given.kind, given.count or KINDS[given.kind][1], Path(place))
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
