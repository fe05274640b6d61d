"""How long each commit of a collector takes while a window reads the same history.

The collector runs in a process and on a core of its own, with a watch on its writer; this process reads as a window
does: the page of tasks five times a second, the overview twice.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest import mock

import psutil

from app.collectors.runner import Collector
from app.models.history.charts import Span
from app.models.history.reader import Reader
from app.models.history.rows import Rows
from app.models.history.writer import Writer
from app.models.search import parse
from app.models.wire import Configure, Health, Message
from app.ui.pages import overview_read, tasks_read
from tests.bench import machine
from tests.bench.machine import Load, spread

#: Seconds between two readings of the table and of the charts, as in the window (`View.refresh_ms`).
TABLE_EVERY: Final = 0.2
CHARTS_EVERY: Final = 0.5
#: Seconds of the range that is shown, and the width of its buckets.
RANGE: Final = (900.0, 10.0)


def measure(history: Path, rate: float, seconds: float, search: str = "") -> dict[str, Any]:
    """Commits under so many events a second into this history while pages of it are read."""
    with machine.redis() as broker, Load(broker.url, rate=rate, seconds=seconds, in_flight=1_000) as load:
        command = [sys.executable, "-m", "tests.bench.commits", broker.url, str(history)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as collector:
            try:
                machine.pin(psutil.Process(collector.pid), machine.LISTENER)
                if collector.stdout is None or collector.stdout.readline() != "live\n":
                    raise RuntimeError("The collector did not begin; its words are above.")
                load.start()
                read = _read(history, load, search)
                sent = load.sent()
            finally:
                collector.terminate()
            took: dict[str, list[float]] = json.loads(collector.stdout.read())
    return {
        "events_per_second": sent["events_per_second"],
        "commits": len(took["commit"]),
        "commit_ms": spread(took["commit"]),
        "commit_cpu_ms": spread(took["commit_cpu"]),
        "behind_ms": spread(took["behind"]),
        "table_ms": spread(read["table"]),
        "charts_ms": spread(read["charts"]),
    }


def _read(history: Path, load: Load, search: str) -> dict[str, list[float]]:
    """Read like a window until the load ended; how long each reading took, in seconds."""
    reader = Reader(history)
    span, step = RANGE
    before: overview_read.Before | None = None

    def table() -> None:
        shown = Span(time.time() - span, time.time())
        ask = tasks_read.Ask(parse(search), shown, live=True, count=True)
        part = tasks_read.read(reader, ask).part
        while part is not None and not part.hunt.done:
            part = tasks_read.go_on(reader, ask, part.hunt)

    def charts() -> None:
        nonlocal before
        shown = Span(time.time() - span, time.time())
        before = overview_read.read(reader, overview_read.Ask(shown, step, before, names=True)).before

    pages: dict[str, tuple[float, Callable[[], None]]] = {
        "table": (TABLE_EVERY, table),
        "charts": (CHARTS_EVERY, charts),
    }
    due = dict.fromkeys(pages, time.monotonic())
    took: dict[str, list[float]] = {page: [] for page in pages}
    try:
        while load.running:
            page = min(due, key=lambda page: due[page])
            time.sleep(max(0.0, due[page] - time.monotonic()))
            every, read = pages[page]
            began = time.monotonic()
            read()
            ended = time.monotonic()
            took[page].append(ended - began)
            due[page] = ended + every
    finally:
        reader.close()
    return took


@contextmanager
def watched() -> Iterator[dict[str, list[float]]]:
    """How long each commit takes from now on, by the clock and of its thread's processor time, in seconds."""
    took: dict[str, list[float]] = {"commit": [], "commit_cpu": []}
    commit = Writer.commit

    def watch(writer: Writer, rows: Rows) -> None:
        began, used = time.perf_counter(), time.thread_time()
        commit(writer, rows)
        took["commit"].append(time.perf_counter() - began)
        took["commit_cpu"].append(time.thread_time() - used)

    with mock.patch.object(Writer, "commit", watch):
        yield took


def main() -> int:
    """The collector: until it is asked to end, then it says how long its commits took."""
    behind: list[float] = []

    def hear(message: Message) -> None:
        if isinstance(message, Health) and message.state == "live":
            if not behind:
                print("live", flush=True)
            behind.append(message.behind)

    with watched() as took:
        collector = Collector(Configure("bench", sys.argv[1], sys.argv[2], mode="passive"), hear)
        signal.signal(signal.SIGTERM, lambda _number, _frame: collector.stop())
        collector.run()
    json.dump(took | {"behind": behind}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
