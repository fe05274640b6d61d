"""How long an event takes to be seen, and how smoothly the window runs meanwhile."""

import asyncio
import bisect
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtWidgets import QApplication, QTableView

from app.application import run
from app.demo.broker import EmbeddedBroker
from app.models.history.reader import Reader
from app.models.qt.tasks import TaskTableModel
from app.models.target import Target
from app.ui.main_window import MainWindow
from app.ui.supervisor import Connection, Supervisor
from tests.bench.machine import LOAD, pin, spread

BEAT_MS = 10


def measure(rate: float, seconds: float) -> dict[str, Any]:
    """Run the whole program on ``rate`` events a second, half the time on Tasks and half on Overview."""
    # The program is started as a user would start it; Qt wants the main thread of a process of its own.
    command = [sys.executable, "-m", "tests.bench.window", str(rate), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    figures: dict[str, Any] = json.loads(done.stdout.strip().rsplit("\n", 1)[-1])
    return figures


class Beat(QObject):
    """A timer that should fire every `BEAT_MS`; how late it was each time, in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[float] = []
        self._due = 0.0
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._fire)

    def start(self) -> None:
        self.late = []
        self._due = time.perf_counter() + BEAT_MS / 1e3
        self._timer.start(BEAT_MS)

    def _fire(self) -> None:
        now = time.perf_counter()
        self.late.append(max(0.0, now - self._due))
        self._due = now + BEAT_MS / 1e3


class Seen(QObject):
    """When each task was first painted by the table of tasks: (time, newest id) per painting."""

    def __init__(self, table: QTableView, model: TaskTableModel) -> None:
        super().__init__()
        self.paintings: list[tuple[float, int]] = []
        self._model = model
        table.viewport().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint:
            # Painting takes about a millisecond; it is over when the loop turns again.
            QTimer.singleShot(0, self._painted)
        return False

    def _painted(self) -> None:
        rows = self._model.records()
        newest = rows[0].id if rows else 0
        if newest and (not self.paintings or newest > self.paintings[-1][1]):
            self.paintings.append((time.time(), newest))


async def observe(supervisor: Supervisor, url: str, rate: float, seconds: float, figures: dict[str, Any]) -> bool:
    """Watch the window while the load runs."""
    window = next(widget for widget in QApplication.topLevelWidgets() if isinstance(widget, MainWindow))
    window.resize(1440, 900)
    window.show_page("tasks")
    connection = supervisor.connections[0]
    await live(connection)
    table, model = next(
        (table, model)
        for table in window.pages["tasks"].findChildren(QTableView)
        if isinstance(model := table.model(), TaskTableModel)
    )
    seen, beat = Seen(table, model), Beat()
    load = begin_load(url, rate, seconds)
    own, collector = psutil.Process(), psutil.Process(connection.collector_pid)
    beat.start()
    await asyncio.sleep(seconds / 2)
    on_tasks = beat.late
    window.show_page("overview")
    beat.start()
    await asyncio.sleep(seconds / 2)
    on_overview = beat.late
    figures |= {
        "events_per_second": rate,
        "stall_ms_on_tasks": spread(on_tasks),
        "stall_ms_on_overview": spread(on_overview),
        "window_memory_mb": round(own.memory_info().rss / 1e6),
        "collector_memory_mb": round(collector.memory_info().rss / 1e6),
        "window_cpu_percent": round(100 * sum(own.cpu_times()[:2]) / (time.time() - own.create_time()), 1),
    }
    load.wait()
    reader = Reader(connection.history)
    figures["event_to_pixel_ms"] = spread(latencies(seen.paintings, reader))
    figures["tasks"] = reader.task_total()
    figures["paintings_with_news"] = len(seen.paintings)
    reader.close()
    return True


def begin_load(url: str, rate: float, seconds: float) -> subprocess.Popen[bytes]:
    """The load, in a process and on a core of its own."""
    load = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.load", url, "--rate", str(rate), "--seconds", str(seconds)],
        stdout=subprocess.DEVNULL,
    )
    pin(psutil.Process(load.pid), LOAD)
    return load


def latencies(paintings: list[tuple[float, int]], reader: Reader) -> list[float]:
    """For each task, seconds from its first event to the first painting that showed it or a newer one."""
    ids = [newest for _, newest in paintings]
    found = []
    for task in reader.records():
        at = bisect.bisect_left(ids, task.id)
        if at < len(paintings) and task.received is not None:
            found.append(paintings[at][0] - task.received)
    return found


async def live(connection: Connection) -> None:
    """Until the collector listens."""
    changed = asyncio.Event()
    connection.health_changed.connect(changed.set)
    while connection.health.state != "live":
        await changed.wait()
        changed.clear()


def main() -> int:
    """One run in this process; prints its figures as JSON."""
    rate, seconds = float(sys.argv[1]), float(sys.argv[2])
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker() as broker:
        target = Target("bench", Path(folder) / "bench.cloche", broker.url)
        code = run(
            [target],
            shots=Path(folder) / "shots",
            ready=lambda supervisor: observe(supervisor, broker.url, rate, seconds, figures),
        )
    print(json.dumps(figures))
    return code


if __name__ == "__main__":
    sys.exit(main())
