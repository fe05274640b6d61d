"""How a collector endures: a burst, a long steady load, and more than it can take. Redis keeps its default limits.

Each compares the history with the truth of what was sent and raises `WrongHistory` where it differs.
"""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil

from app.demo.broker import EmbeddedBroker
from app.models import states
from app.models.history.reader import Reader
from tests.bench import machine
from tests.bench.machine import Load
from tests.bench.recorder import STILL, Recorder, WrongHistory, found_states, summed

#: Seconds between two looks at what a process uses.
LOOK: Final = 1.0
#: Ends of tasks that are never shed.
NEVER_SHED: Final = (states.FAILURE, states.RETRY, states.REVOKED, states.REJECTED)


class Watch(threading.Thread):
    """Looks at a process once a second while its context lasts: when, its resident bytes, its processor seconds."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.looks: list[tuple[float, int, float]] = []
        self._process = process
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(LOOK):
            self.looks.append((time.monotonic(), machine.rss(self._process), machine.cpu(self._process)))

    def figures(self) -> dict[str, Any]:
        """Memory at its most and how it grew over the later half, per hour; share of a core that was used."""
        if len(self.looks) < 2:
            return {}
        later = [(at, resident) for at, resident, _ in self.looks[len(self.looks) // 2 :]]
        (began, _, used), (ended, _, used_then) = self.looks[0], self.looks[-1]
        return {
            "memory_mb_max": round(max(resident for _, resident, _ in self.looks) / 1e6, 1),
            "memory_mb_per_hour": round(_slope(later) * 3600 / 1e6, 1),
            "cpu_percent": round(100 * (used_then - used) / (ended - began), 1),
        }


@contextmanager
def recording() -> Iterator[tuple[EmbeddedBroker, Recorder]]:
    """A Redis with default limits, and a collector that listens to it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        machine.redis() as broker,
        Recorder(broker.url, Path(folder) / "bench.cloche") as recorder,
    ):
        yield broker, recorder


def burst(tasks: int = 33_334, batch: int = 1) -> dict[str, Any]:
    """100,000 events at once, as fast as Redis takes them."""
    with recording() as (broker, recorder):
        with Load(broker.url, tasks=tasks, batch=batch) as load, Watch(recorder.process) as watch:
            load.start()
            sent = load.sent()
            recorder.until_true(sent)
        cut_offs = machine.cut_offs(broker)
        return _account(recorder, sent) | {"cut_offs": cut_offs} | watch.figures()


def soak(rate: float, seconds: float, batch: int = 1, in_flight: int = 1_000) -> dict[str, Any]:
    """So many events a second for so long, end to end.

    ``behind`` is what the collector says itself about once a second: from receiving an event to its commit.
    """
    with recording() as (broker, recorder):
        with (
            Load(broker.url, "--workers", rate=rate, seconds=seconds, batch=batch, in_flight=in_flight) as load,
            Watch(recorder.process) as watch,
        ):
            recorder.health.clear()
            load.start()
            sent = load.sent()
        recorder.until_true(sent)
        behind = [said["behind"] for said in recorder.health]
        cut_offs = machine.cut_offs(broker)
        return (
            _account(recorder, sent)
            | {"cut_offs": cut_offs, "load_late_ms": round(sent["late"] * 1e3), "behind_ms": machine.spread(behind)}
            | watch.figures()
            | {"history_mb": round(_size(recorder.history) / 1e6, 1)}
        )


def overload(rate: float, seconds: float, batch: int = 1) -> dict[str, Any]:
    """More than a collector can take, prepared beforehand: what is not stored is shed and counted, and no trouble is.

    Every task that failed, was retried, revoked or rejected must be in that state, every worker must have gone offline,
    and every event must be accounted for.
    """
    with recording() as (broker, recorder):
        options = {"rate": rate, "seconds": seconds, "batch": batch}
        with (
            Load(broker.url, "--workers", "--mixed", "--prepared", **options) as load,
            Watch(recorder.process) as watch,
        ):
            recorder.health.clear()
            load.start()
            sent = load.sent()
            recorder.until_received(sent["events"])
        behind = [said["behind"] for said in recorder.health]
        cut_offs = machine.cut_offs(broker)
        figures = _account(recorder, sent) | {"cut_offs": cut_offs, "behind_ms": machine.spread(behind)}
        figures |= watch.figures()
        deadline = time.monotonic() + STILL
        while found := list(_faults(recorder, sent)):
            if time.monotonic() > deadline:
                raise WrongHistory("; ".join([*found, str(figures)]))
            time.sleep(0.2)
        return figures


def _faults(recorder: Recorder, sent: dict[str, Any]) -> Iterator[str]:
    accounting = recorder.accounting()
    if not accounting.balanced:
        yield f"the accounting does not add up: {accounting}"
    if accounting.received != sent["events"]:
        yield f"{sent['events']} events were sent, {accounting.received} received"
    reader = Reader(recorder.history)
    try:
        true, found = summed(sent["states"]), summed(found_states(reader))
        for state in NEVER_SHED:
            if found.get(state, 0) != true.get(state, 0):
                yield f"{true.get(state, 0)} tasks ended in {state}, {found.get(state, 0)} are in the history"
        online = [worker.hostname for worker in reader.workers() if worker.state != "offline"]
        if online:
            yield f"these workers went offline, which the history does not know: {online}"
    finally:
        reader.close()


def _account(recorder: Recorder, sent: dict[str, Any]) -> dict[str, Any]:
    """Where every event went."""
    accounting = recorder.accounting()
    reader = Reader(recorder.history)
    try:
        gaps = reader.gaps()
    finally:
        reader.close()
    return {
        "events": sent["events"],
        "published_per_second": sent["events_per_second"],
        "received": accounting.received,
        "stored": accounting.stored,
        "shed": sum(accounting.shed.values()),
        "rejected": sum(accounting.rejected.values()),
        "lost": sent["events"] - accounting.received,
        "gaps": len(gaps),
    }


def _size(history: Path) -> int:
    return sum(part.stat().st_size for part in history.parent.glob(history.name + "*"))


def _slope(points: list[tuple[float, int]]) -> float:
    """Least-squares slope."""
    middle_at = sum(at for at, _ in points) / len(points)
    middle = sum(value for _, value in points) / len(points)
    spread = sum((at - middle_at) ** 2 for at, _ in points)
    return sum((at - middle_at) * (value - middle) for at, value in points) / spread if spread else 0.0
