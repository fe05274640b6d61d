"""Memory of collector and window together on a history of a million tasks and as many names.

The program runs as a user would start it, offscreen, on such a history, with a load that goes on. Overview and Tasks
are shown in turn, each with every range, and both processes are measured all the while. PSS counts a page that both
share once, RSS twice.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import psutil
from PySide6.QtWidgets import QApplication

from app.application import run
from app.models.target import Target
from app.ui.live import RANGES
from app.ui.main_window import MainWindow
from app.ui.supervisor import Supervisor
from tests.bench import machine
from tests.bench.machine import Load
from tests.bench.window import live

#: Events per second meanwhile.
RATE: Final = 500.0
#: Seconds that a page is shown with one range at least, and what it may take to show it.
SHOWN: Final = 3.0
PATIENCE: Final = 120.0
#: Seconds between two looks at the memory.
LOOK: Final = 0.5


def measure(history: Path, names: int) -> dict[str, Any]:
    """Run the program on this history; what both processes took at most, in MB."""
    command = [sys.executable, "-m", "tests.bench.together", str(history), str(names)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    figures: dict[str, Any] = json.loads(done.stdout.strip().rsplit("\n", 1)[-1])
    return figures


class Memory:
    """What two processes took, at each look, in MB."""

    def __init__(self, window: psutil.Process, collector: psutil.Process) -> None:
        self._processes = {"window": window, "collector": collector}
        self.looks: list[dict[str, float]] = []

    def look(self) -> None:
        taken: dict[str, float] = {}
        for name, process in self._processes.items():
            found = process.memory_full_info()
            # Only Linux knows how pages are shared.
            taken |= {f"{name}_rss_mb": found.rss / 1e6, f"{name}_pss_mb": getattr(found, "pss", found.rss) / 1e6}
        for kind in ("rss_mb", "pss_mb"):
            taken[f"together_{kind}"] = sum(taken[f"{name}_{kind}"] for name in self._processes)
        self.looks.append(taken)

    def most(self, since: int = 0) -> dict[str, float]:
        """The maximum of each figure since so many looks."""
        looks = self.looks[since:]
        return {key: round(max(look[key] for look in looks), 1) for key in looks[0]} if looks else {}


async def observe(supervisor: Supervisor, url: str, names: int, figures: dict[str, Any]) -> bool:
    """Show both pages with every range while the load runs."""
    window = next(widget for widget in QApplication.topLevelWidgets() if isinstance(widget, MainWindow))
    window.resize(1440, 900)
    connection = supervisor.connections[0]
    await live(connection)
    memory = Memory(psutil.Process(), psutil.Process(connection.collector_pid))
    memory.look()
    figures["begun"] = memory.most()
    seconds = len(RANGES) * 2 * SHOWN
    with Load(url, rate=RATE, seconds=seconds, names=names, in_flight=100) as load:
        load.start()
        for page in ("overview", "tasks"):
            window.show_page(page)
            for span in RANGES:
                window.range.go_live(span)
                since = len(memory.looks)
                ended = asyncio.get_running_loop().time() + SHOWN
                # The query thread may take long over a range: what it takes is measured while it does.
                while asyncio.get_running_loop().time() < ended:
                    await asyncio.sleep(LOOK)
                    memory.look()
                figures[f"{page}, {span:.0f} s"] = memory.most(since)
    figures["most"] = memory.most()
    return True


def main() -> int:
    """One run in this process; prints its figures as JSON."""
    history, names = Path(sys.argv[1]), int(sys.argv[2])
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, machine.redis() as broker:
        code = run(
            [Target("bench", history, broker.url)],
            shots=Path(folder) / "shots",
            ready=lambda supervisor: observe(supervisor, broker.url, names, figures),
        )
    print(json.dumps(figures))
    return code


if __name__ == "__main__":
    sys.exit(main())
