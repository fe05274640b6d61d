"""Counters and mergeable latency histograms per task name and time bucket."""

import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

#: Width of a histogram bucket: each is 2 % wider than the one before, so that its middle is within 1 % of any value
#: in it.
GAMMA: Final = 1.02
#: Durations at or below this many seconds share the first bucket.
SHORTEST: Final = 1e-6
_LOG_GAMMA: Final = math.log(GAMMA)
#: Middle of bucket 0, such that the relative error is the same at both of a bucket's edges.
_MIDDLE: Final = SHORTEST * 2 / (1 + GAMMA)

#: Shares of all durations that the percentiles of `Percentiles` are not below.
SHARES: Final = (0.50, 0.95, 0.99)

Histogram = dict[int, int]


def bucket_of(seconds: float) -> int:
    """Histogram bucket of a duration in seconds."""
    return math.ceil(math.log(seconds / SHORTEST) / _LOG_GAMMA) if seconds > SHORTEST else 0


def seconds_of(bucket: int) -> float:
    """Duration in seconds that stands for all durations of a bucket, within 1 %."""
    return _MIDDLE * GAMMA**bucket


def pack(histogram: Histogram) -> bytes | None:
    """Bytes of a histogram as stored: bucket and count in turn, as little-endian 32-bit numbers; None when empty."""
    if not histogram:
        return None
    return array("I", [number for item in histogram.items() for number in item]).tobytes()


def merge(packed: Iterable[bytes | None]) -> Histogram:
    """Sum of stored histograms."""
    numbers = array("I")
    numbers.frombytes(b"".join(filter(None, packed)))
    merged: Histogram = {}
    known = merged.get
    for bucket, count in zip(numbers[::2], numbers[1::2], strict=True):
        merged[bucket] = known(bucket, 0) + count
    return merged


class Percentiles(msgspec.Struct, frozen=True):
    """The three percentiles every latency is shown with, in seconds; None where nothing was measured."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


def percentiles(histogram: Histogram) -> Percentiles:
    """Percentiles of a histogram, each within 1 % of the value at its (nearest) rank."""
    total = sum(histogram.values())
    if not total:
        return Percentiles()
    ranks = [math.ceil(share * total) for share in SHARES]
    found: list[float] = []
    seen = 0
    for bucket in sorted(histogram):
        seen += histogram[bucket]
        while len(found) < len(ranks) and seen >= ranks[len(found)]:
            found.append(seconds_of(bucket))
    return Percentiles(*found)


class Cell(msgspec.Struct, gc=False):
    """Counts and histograms of one task name (or of all) in one bucket of time."""

    events: int = 0
    tasks: int = 0
    received: int = 0
    started: int = 0
    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    revoked: int = 0
    rejected: int = 0
    busy: float = 0.0
    wait: Histogram = {}
    run: Histogram = {}

    def row(self) -> tuple[object, ...]:
        """Values in the order of the columns of the table `rollup`, from `events` on."""
        return (
            self.events, self.tasks, self.received, self.started, self.succeeded, self.failed,
            self.retried, self.revoked, self.rejected, self.busy, pack(self.wait), pack(self.run),
        )  # fmt: skip


def cell_from_row(row: Sequence[Any]) -> Cell:
    """Inverse of `Cell.row`, for a bucket that is still open when the history is opened again."""
    fields = dict(zip(Cell.__struct_fields__, row, strict=True))
    return Cell(**fields | {"wait": merge([fields["wait"]]), "run": merge([fields["run"]])})


class Gauge(msgspec.Struct, gc=False):
    """A measured value within one bucket of time."""

    total: float = 0.0
    n: int = 0

    def add(self, value: float) -> None:
        """Take one measurement."""
        self.total += value
        self.n += 1
