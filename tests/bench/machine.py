"""What every benchmark needs of the machine: cores, processor time, memory, a broker, a load, and what it ran on.

The machine may be shared, so processor time is what counts; figures by the clock only show what was possible today.
"""

import json
import math
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil

from app.demo.broker import EmbeddedBroker

#: Which core is whose.
LISTENER: Final = 0
LOAD: Final = 1
#: Lifts Redis' limit on what a slow subscriber may have waiting.
UNLIMITED: Final = ("--client-output-buffer-limit", "pubsub", "0", "0", "0")
#: A process is idle when it used less than this share of a core for this many seconds.
IDLE_SHARE: Final = 0.06
IDLE_SECONDS: Final = 0.5

_CUT_OFF: Final = "scheduled to be closed ASAP for overcoming of output buffer limits"


def pin(process: psutil.Process, core: int) -> None:
    """Keep a process on one core, so that the load does not take what is measured; where there is but one, nothing."""
    if sys.platform == "darwin":  # it has no such call
        return
    cores = process.cpu_affinity() or []
    if len(cores) > 1:
        process.cpu_affinity([cores[core % len(cores)]])


def cpu(process: psutil.Process) -> float:
    """Processor seconds, user and system, that a process and its children used so far."""
    family = [process, *process.children(recursive=True)]
    return sum(sum(member.cpu_times()[:2]) for member in family)


def rss(process: psutil.Process) -> int:
    """Resident bytes of a process and its children."""
    return sum(int(member.memory_info().rss) for member in [process, *process.children(recursive=True)])


def until_idle(process: psutil.Process, patience: float) -> tuple[float, float]:
    """Wait until a process has nothing to do; returns when its work ended (monotonic) and its `cpu` then.

    Asking the system costs the process nothing, unlike asking itself. One that would run but is not let to, on a busy
    machine, is not idle.
    """
    deadline = time.monotonic() + patience
    quiet_since, used = time.monotonic(), cpu(process)
    while time.monotonic() - quiet_since < IDLE_SECONDS:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Process {process.pid} was busy for more than {patience:.0f} s.")
        time.sleep(0.02)
        now = cpu(process)
        if now - used > IDLE_SHARE * IDLE_SECONDS or _wants_to_run(process):
            quiet_since, used = time.monotonic(), now
    return quiet_since, used


def _wants_to_run(process: psutil.Process) -> bool:
    """Whether a thread of it runs, waits for a core, or waits for the disk."""
    threads = Path(f"/proc/{process.pid}/task")
    if not threads.is_dir():  # only Linux tells it of each thread
        return bool(process.status() == psutil.STATUS_RUNNING)
    for stat in threads.glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            if stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] in "RD":
                return True
    return False


@contextmanager
def redis(*options: str) -> Iterator[EmbeddedBroker]:
    """A Redis of our own on the core of the load, with these words on its command line."""
    with EmbeddedBroker(extra=options) as broker:
        pin(psutil.Process(broker.pid), LOAD)
        yield broker


def cut_offs(broker: EmbeddedBroker) -> int:
    """How many clients this Redis closed because they were slow to read."""
    if broker.directory is None:
        raise RuntimeError("The broker is stopped.")
    return (broker.directory / "server.log").read_text(encoding="utf-8", errors="replace").count(_CUT_OFF)


class Load:
    """The load in a process and on a core of its own; entered, all that it can prepare is prepared.

    Flags and options are those of `tests.bench.load`.
    """

    def __init__(self, url: str, *flags: str, **options: float) -> None:
        words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self._command = [sys.executable, "-m", "tests.bench.load", url, "--wait", *flags, *words]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._process.stdout is None or self._process.stdout.readline() != "ready\n":
            self._process.kill()
            self._process.communicate()
            raise RuntimeError("The load could not be made; its words are above.")
        pin(psutil.Process(self._process.pid), LOAD)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def start(self) -> None:
        """Send it."""
        self._tell("go")

    def arrived(self, messages: float) -> None:
        """Tell a load that has a ``window`` how many messages came so far."""
        with suppress(BrokenPipeError):  # it is done
            self._tell(str(messages))

    @property
    def running(self) -> bool:
        """Whether it is still sending."""
        return self._process.poll() is None

    def sent(self) -> dict[str, Any]:
        """Wait for its end; what it says it sent, see `tests.bench.load`."""
        said, _ = self._process.communicate()
        told: dict[str, Any] = json.loads(said)
        return told

    def _tell(self, line: str) -> None:
        if self._process.stdin is None:
            raise RuntimeError("The load has no input.")
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


def spread(values: list[float], scale: float = 1e3) -> dict[str, float | None]:
    """Median, p95, p99 and maximum, by default of seconds in milliseconds."""
    if not values:
        return {"p50": None, "p95": None, "p99": None, "max": None}
    ordered = sorted(values)
    ranks = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {key: round(ordered[math.ceil(share * len(ordered)) - 1] * scale, 1) for key, share in ranks.items()}


def median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Each figure's median over the runs."""
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def end_in_order() -> None:
    """Have SIGTERM end this program as Ctrl+C does, so that it leaves no server and no collector behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def facts() -> dict[str, Any]:
    """What these figures were measured on."""
    memory = psutil.virtual_memory().total
    return {
        "machine": f"{_processor()}, {psutil.cpu_count()} cores, {memory / 2**30:.0f} GiB",
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "load_average": round(psutil.getloadavg()[0], 2),
        "note": "The machine may be shared: compare processor time, not the clock.",
    }


def server_version(broker: EmbeddedBroker) -> str:
    """Name and version of the server, from its log."""
    if broker.directory is None:
        raise RuntimeError("The broker is stopped.")
    log = (broker.directory / "server.log").read_text(encoding="utf-8", errors="replace")
    found = re.search(r"(Redis|Valkey) version=([\d.]+)", log)
    return f"{found[1]} {found[2]}" if found else "unknown"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()
