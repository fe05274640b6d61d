"""Cloche and Flower take the same streams of events, one after the other on the same core: `make bench-flower`.

For each stream the load is prepared beforehand. *Flood*: events come as fast as they are taken, which gives events
per second and per processor second. Flower gets all of them at once, with Redis' output buffer limit lifted (for
both): under the default one it is cut off and loses most of them, which `cut_off` shows in a run of its own, Cloche
beside it. Cloche sheds events when far too many wait, so here 100,000 are under way at most; it is never without work.
*Paced*: 4,000 events a second, which both keep up with. Memory is measured there, else it would be that of events
which wait to be looked at: what the process grew by, divided by the tasks.

Cloche (`cloche record --mode passive`) is done when it is idle and every event is committed to its history on disk,
whose end states and accounting are compared with the truth: a difference is an error, not a figure. Flower, which
keeps everything in memory, is done when it is idle and its own metrics count every event. That is asked once, at the
end, so that asking costs it nothing. Both run on the same core, on the same Python, with the same versions of celery,
kombu, redis and hiredis; Flower has its defaults (100,000 tasks in memory, no persistence) and nobody looks at its
pages.

Prints one JSON object, and a table on standard error. Processor seconds, of the process and its children, are what
counts: the machine may be shared.
"""

import argparse
import functools
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import psutil

from app.demo.broker import command
from tests.bench import ingest, machine
from tests.bench.ingest import STREAMS
from tests.bench.machine import Load
from tests.bench.recorder import PATIENCE, Recorder
from tests.helpers.servers import free_port

HOST: Final = "127.0.0.1"
#: Seconds that Flower may take for a stream.
SLOW: Final = 1800.0
#: Events per second for the run in which memory is measured; Flower manages about 7,000.
PACE: Final = 4_000.0
#: What is compared: the kind of run, the figure, and whether more of it is better.
COMPARED: Final = (
    ("flood", "events_per_second", True),
    ("flood", "events_per_cpu_second", True),
    ("paced", "events_per_cpu_second", True),
    ("paced", "memory_mb_per_100000_tasks", False),
)


class Flower:
    """Flower on a broker, on the listener's core, from the moment it listens."""

    def __init__(self, python: Path, url: str, folder: Path) -> None:
        self._port = free_port()
        self._command = [
            *(str(python), "-m", "celery", "--broker", url, "flower"),
            *(f"--address={HOST}", f"--port={self._port}", "--logging=warning"),
        ]
        self._folder = folder
        self._broker = urlsplit(url)

    def __enter__(self) -> Self:
        self._log = (self._folder / "flower.log").open("wb")
        self._child = subprocess.Popen(
            self._command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        self.process = psutil.Process(self._child.pid)
        machine.pin(self.process, machine.LISTENER)
        deadline = time.monotonic() + PATIENCE
        while not (self._answers() and self._listens()):
            if self._child.poll() is not None or time.monotonic() > deadline:
                self._end()
                raise RuntimeError("Flower did not start:\n" + (self._folder / "flower.log").read_text("utf-8"))
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def counted(self) -> int:
        """Task events that Flower's own metrics count."""
        text = urllib.request.urlopen(f"http://{HOST}:{self._port}/metrics", timeout=SLOW).read().decode()
        counts = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("flower_events_total{"))
        return round(sum(float(number) for labels, number in counts if 'type="task-' in labels))

    def _answers(self) -> bool:
        connection = HTTPConnection(HOST, self._port, timeout=5)
        try:
            connection.request("GET", "/healthcheck")
            return connection.getresponse().read() == b"OK"
        except OSError:
            return False
        finally:
            connection.close()

    def _listens(self) -> bool:
        """Whether it subscribed to the events, which it does some time after it answers."""
        with socket.create_connection((HOST, self._broker.port or 6379), timeout=5) as connection:
            return command(connection, "PUBSUB", "NUMPAT") != b"0"

    def _end(self) -> None:
        self._child.kill()
        self._child.wait()
        self._log.close()


def measure_flower(python: Path, tasks: int, batch: int, in_flight: int, rate: float = 0.0) -> dict[str, Any]:
    """The same as `ingest.measure`, for Flower."""
    with (
        tempfile.TemporaryDirectory() as folder,
        machine.redis(*machine.UNLIMITED) as broker,
        Load(broker.url, tasks=tasks, batch=batch, in_flight=in_flight, rate=rate) as load,
        Flower(python, broker.url, Path(folder)) as flower,
    ):
        process = flower.process
        _, cpu_before = machine.until_idle(process, PATIENCE)
        rss_before = machine.rss(process)
        began = time.monotonic()
        load.start()
        sent = load.sent()
        asking = 0.0
        while True:
            ended, cpu_after = machine.until_idle(process, SLOW)
            grown = machine.rss(process) - rss_before
            counted = flower.counted()
            if counted >= sent["events"]:
                break
            if time.monotonic() - began > SLOW:
                raise RuntimeError(f"Flower counted {counted} of {sent['events']} events.")
            asking += machine.cpu(process) - cpu_after
        return ingest.figures(sent, ended - began, cpu_after - cpu_before - asking, grown)


def cut_off(python: Path, tasks: int) -> dict[str, dict[str, int]]:
    """A flood of one event per message under Redis' default limits: how often each is cut off, and what it loses."""
    found = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        machine.redis() as broker,
        Load(broker.url, tasks=tasks) as load,
        Recorder(broker.url, Path(folder) / "bench.cloche") as recorder,
    ):
        load.start()
        events = load.sent()["events"]
        recorder.until_received(events)
        lost = events - recorder.accounting().stored
        found["cloche"] = {"events": events, "cut_offs": machine.cut_offs(broker), "lost": lost}
    with (
        tempfile.TemporaryDirectory() as folder,
        machine.redis() as broker,
        Load(broker.url, tasks=tasks) as load,
        Flower(python, broker.url, Path(folder)) as flower,
    ):
        machine.until_idle(flower.process, PATIENCE)
        load.start()
        events = load.sent()["events"]
        machine.until_idle(flower.process, SLOW)
        lost = events - flower.counted()
        found["flower"] = {"events": events, "cut_offs": machine.cut_offs(broker), "lost": lost}
    return found


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> list[dict[str, Any]]:
    """Each compared figure of both, and how many times better ours is; None where there is nothing to divide by."""
    compared = []
    for kind, key, more_is_better in COMPARED:
        mine, other = ours[kind][key], theirs[kind][key]
        over, under = (mine, other) if more_is_better else (other, mine)
        ratio = round(over / under, 2) if under > 0 else None
        compared.append({"figure": f"{key}, {kind}", "cloche": mine, "flower": other, "ratio": ratio})
    return compared


def versions(python: Path) -> dict[str, str]:
    """What Flower runs on."""
    script = "import json, importlib.metadata as m; print(json.dumps({n: m.version(n) for n in %r}))"
    names = ["flower", "celery", "kombu", "redis", "hiredis", "tornado"]
    said = subprocess.run([str(python), "-c", script % names], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(said.stdout)
    return found


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{figures['facts']['machine']}; {figures['redis']}; {figures['versions']}", ""]
    lines.append(f"{'stream':<18}{'figure':<36}{'Cloche':>12}{'Flower':>12}{'times better':>14}")
    for stream, found in figures["streams"].items():
        for row in found["compared"]:
            ratio = "–" if row["ratio"] is None else row["ratio"]
            lines.append(f"{stream:<18}{row['figure']:<36}{row['cloche']:>12,}{row['flower']:>12,}{ratio:>14}")
    lines += ["", "Under Redis' default limits, the same flood with one event per message:"]
    for who, found in figures["default_limits"].items():
        of = f"{found['lost']:,} of {found['events']:,} events"
        lines.append(f"  {who}: cut off {found['cut_offs']} times, lost {of}")
    return "\n".join([*lines, "", figures["facts"]["note"]])


def main() -> int:
    """Measure and print."""
    machine.end_in_order()
    parser = argparse.ArgumentParser(
        prog="make bench-flower", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flower", type=Path, required=True, help="the Python that has Flower (make gives it)")
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks per run; Flower keeps 100,000")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, of which the median is taken")
    parser.add_argument("--only", choices=STREAMS, action="append", help="only this stream; may be given twice")
    given = parser.parse_args()
    measures: dict[str, Callable[..., dict[str, Any]]] = {
        "cloche": ingest.measure,
        "flower": functools.partial(measure_flower, given.flower),
    }
    figures: dict[str, Any] = {"facts": machine.facts(), "versions": versions(given.flower), "streams": {}}
    with machine.redis() as broker:
        figures["redis"] = machine.server_version(broker)
    for stream in given.only or STREAMS:
        batch, in_flight = STREAMS[stream]
        found: dict[str, Any] = {who: {"runs": []} for who in measures}
        for run in range(given.runs):
            for who, measure in measures.items():
                found[who]["runs"].append(measure(given.tasks, batch, in_flight))
                _tell(f"{stream}, flood {run + 1}, {who}", found[who]["runs"][-1])
        for who, measure in measures.items():
            found[who]["flood"] = machine.median(found[who]["runs"])
            found[who]["paced"] = measure(given.tasks, batch, in_flight, PACE)
            _tell(f"{stream}, paced, {who}", found[who]["paced"])
        figures["streams"][stream] = found | {"compared": compare(found["cloche"], found["flower"])}
    figures["default_limits"] = cut_off(given.flower, given.tasks)
    print(json.dumps(figures, indent=2))
    print("\n" + table(figures), file=sys.stderr)
    return 0


def _tell(what: str, figures: dict[str, Any]) -> None:
    print(f"{what}: {figures}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
