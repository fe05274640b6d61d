"""How fast a collector takes events into its history on one core, and what they cost it."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from app.demo.broker import EmbeddedBroker
from app.models.history.errors import HistoryError
from app.models.history.reader import Reader
from app.paths import self_command
from tests.bench.load import EVENTS_PER_TASK

PATIENCE = 120.0


def measure(tasks: int, batch: int) -> dict[str, Any]:
    """Publish all events of ``tasks`` tasks at once, ``batch`` in a message, and wait until they are in the history."""
    total = tasks * EVENTS_PER_TASK
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker() as broker:
        history = Path(folder) / "bench.cloche"
        command = self_command("record", broker.url, "--history", str(history), "--json", "--mode", "passive")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as collector:
            try:
                process = psutil.Process(collector.pid)
                pin(process, 0)
                _until_live(collector)
                before = process.cpu_times()
                load = subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "tests.bench.load",
                        broker.url,
                        "--tasks",
                        str(tasks),
                        "--batch",
                        str(batch),
                    ],
                    stdout=subprocess.PIPE,
                    text=True,
                )
                pin(psutil.Process(load.pid), 1)
                began = _until_received(history, 1)
                ended = _until_received(history, total)
                after = process.cpu_times()
                memory = process.memory_info().rss
                published = json.loads(load.communicate()[0])["seconds"]
            finally:
                collector.terminate()
    cpu = after.user + after.system - before.user - before.system
    return {
        "events": total,
        "events_per_message": batch,
        "published_per_second": round(total / published),
        # The first commit comes up to 100 ms after the first event, so the true rate is a little lower.
        "events_per_second": round(total / (ended - began)),
        "events_per_cpu_second": round(total / cpu),
        "cpu_ms_per_10000_events": round(cpu / total * 1e7, 1),
        "memory_mb": round(memory / 1e6),
    }


def pin(process: psutil.Process, core: int) -> None:
    """Keep a process on one core, so that the load does not take what is measured."""
    cores = process.cpu_affinity() or []
    if len(cores) > 1:
        process.cpu_affinity([cores[core % len(cores)]])


def _until_live(collector: subprocess.Popen[str]) -> None:
    if collector.stdout is None:
        raise RuntimeError("the collector's output is not read")
    for line in collector.stdout:
        if json.loads(line)["state"] == "live":
            return
    raise RuntimeError("the collector ended before it was live")


def _until_received(history: Path, events: int) -> float:
    """When so many events were committed."""
    deadline = time.monotonic() + PATIENCE
    reader = Reader(history)
    try:
        while time.monotonic() < deadline:
            try:
                if reader.accounting().received >= events:
                    return time.monotonic()
            except HistoryError:
                pass
            time.sleep(0.02)
    finally:
        reader.close()
    raise RuntimeError(f"{events} events were not in the history within {PATIENCE:.0f} s")
