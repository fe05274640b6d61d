"""What it costs a collector on one core to take events into its history."""

import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tests.bench import machine
from tests.bench.machine import Load
from tests.bench.recorder import PATIENCE, Recorder

#: The streams by name: events per message, and tasks in flight.
STREAMS: Final = {"1_per_message": (1, 1), "20_per_message": (20, 1), "20000_in_flight": (1, 20_000)}
#: Events that are published and not in the history yet, at most.
UNDER_WAY: Final = 100_000
#: Seconds between two looks at how many there are.
LOOK: Final = 0.02


def measure(tasks: int, batch: int, in_flight: int = 1, rate: float = 0.0) -> dict[str, Any]:
    """Publish all events of ``tasks`` tasks, ``batch`` in a message, until they are in the history.

    They come ``rate`` a second, or as fast as they are taken: then `UNDER_WAY` are never exceeded, so that the
    collector always has work but need not shed any. Redis' limit on slow subscribers is lifted, as for Flower. What is
    in the history is compared with what was sent. Raises `WrongHistory` where it differs.
    """
    window = 0 if rate else UNDER_WAY // batch
    with (
        tempfile.TemporaryDirectory() as folder,
        machine.redis(*machine.UNLIMITED) as broker,
        Load(broker.url, tasks=tasks, batch=batch, in_flight=in_flight, rate=rate, window=window) as load,
    ):
        history = Path(folder) / "bench.cloche"
        with Recorder(broker.url, history) as recorder:
            process = recorder.process
            _, cpu_before = machine.until_idle(process, PATIENCE)
            rss_before = machine.rss(process)
            began = time.monotonic()
            load.start()
            while load.running:
                load.arrived(recorder.accounting().received / batch)
                time.sleep(LOOK)
            sent = load.sent()
            recorder.until_true(sent)
            ended, cpu_after = machine.until_idle(process, PATIENCE)
            grown = machine.rss(process) - rss_before
        return figures(sent, ended - began, cpu_after - cpu_before, grown) | {
            "history_mb": round(history.stat().st_size / 1e6, 1),
        }


def figures(sent: dict[str, Any], seconds: float, cpu: float, grown: int) -> dict[str, Any]:
    """Figures of one run, of whoever listened: ``cpu`` in seconds, ``grown`` in bytes."""
    events = sent["events"]
    return {
        "events": events,
        "published_per_second": sent["events_per_second"],
        "events_per_second": round(events / seconds),
        "events_per_cpu_second": round(events / cpu),
        "cpu_us_per_event": round(cpu / events * 1e6, 1),
        "memory_mb_per_100000_tasks": round(grown / sent["tasks"] * 1e5 / 1e6, 1),
    }
