"""What it costs a collector on one core to take events into its history."""

import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import machine
from tests.bench.machine import Load
from tests.bench.recorder import PATIENCE, Recorder, verify


def measure(tasks: int, batch: int, in_flight: int = 1, rate: float = 0.0) -> dict[str, Any]:
    """Publish all events of ``tasks`` tasks, ``batch`` in a message, until they are in the history.

    They come at once, or ``rate`` a second. Redis' limit on slow subscribers is lifted, as for Flower. What is in the
    history is compared with what was sent. Raises `WrongHistory` where it differs.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        machine.redis(*machine.UNLIMITED) as broker,
        Load(broker.url, tasks=tasks, batch=batch, in_flight=in_flight, rate=rate) as load,
    ):
        history = Path(folder) / "bench.cloche"
        with Recorder(broker.url, history) as recorder:
            process = recorder.process
            _, cpu_before = machine.until_idle(process, PATIENCE)
            rss_before = machine.rss(process)
            began = time.monotonic()
            load.start()
            sent = load.sent()
            recorder.until_received(sent["events"])
            ended, cpu_after = machine.until_idle(process, PATIENCE)
            grown = machine.rss(process) - rss_before
        verify(history, sent)
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
