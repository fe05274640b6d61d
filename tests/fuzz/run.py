"""Fuzz the way of an event, from the bytes of a message to a reader of the history, with the tripwire armed.

    python -m tests.fuzz.run --count 1000000 --seed 7     so many inputs of this seed
    python -m tests.fuzz.run --seed 7 --start 4711        from this input on: a failure says which

Prints one JSON object. Where something does not hold it says what, with the input's number and its bytes in base64, and
ends with 1.
"""

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, Final

from tests.fuzz.harness import Broken, Harness
from tests.fuzz.inputs import Inputs, shown
from tests.helpers.tripwire import Tripwire

_COMMIT_EVERY: Final = 1_000


def fuzz(count: int, seed: int, start: int, folder: Path) -> dict[str, Any]:
    """Take inputs ``start`` to ``start + count`` of a seed; what came of it."""
    harness, inputs = Harness(folder / "fuzz.cloche"), Inputs(seed)
    number, payload, failure = start, b"", None
    clock = _Clock(seed, start)
    began = time.process_time()
    tasks = 0
    wire = Tripwire(folders=[folder])
    try:
        with wire:
            for number in range(start, start + count):
                made = inputs.make(number)
                payload = made.payload
                harness.take(payload, clock.now(), made.good)
                if number % _COMMIT_EVERY == _COMMIT_EVERY - 1:
                    harness.commit(clock.now())
                if wire.hits:
                    raise Broken(f"the tripwire was hit: {wire.hits}")
            harness.commit(clock.now())
            tasks = harness.finish()
    except Broken as broken:
        failure = str(broken)
    except Exception:  # noqa: BLE001 - whatever escapes is what is looked for
        failure = traceback.format_exc()
    harness.close()
    told: dict[str, Any] = {
        "inputs": number + 1 - start,
        "seed": seed,
        "received": harness.normaliser.received,
        "accepted": harness.accepted,
        "rejected": dict(harness.normaliser.rejected.most_common()),
        "tasks": tasks,
        "hits": len(wire.hits),
        "cpu_seconds": round(time.process_time() - began, 1),
        "slowest_ms": round(harness.slowest * 1e3, 1),
    }
    if failure is not None:
        again = f"python -m tests.fuzz.run --seed {seed} --start {number} --count 1"
        told |= {"failure": failure, "input": number, "bytes": shown(payload), "again": again}
    return told


class _Clock:
    """Time as the collector sees it: it passes, leaps when the machine slept, and is set back now and then."""

    def __init__(self, seed: int, start: int) -> None:
        self._dice = random.Random(f"clock/{seed}/{start}")
        self._now = 1_795_230_000.0

    def now(self) -> float:
        step = self._dice.random()
        self._now += 3_600.0 if step < 0.0005 else -60.0 if step < 0.001 else step * 0.05
        return self._now


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = fuzz(given.count, given.seed, given.start, Path(place))
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    sys.exit("failure" in found)
