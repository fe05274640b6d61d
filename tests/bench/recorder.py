"""A real collector as a process, and whether what it put into its history is true."""

import json
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil

from app.models.history.reader import Reader
from app.models.records import Accounting
from app.paths import self_command
from tests.bench.machine import LISTENER, pin

#: Seconds within which something has to move.
PATIENCE: Final = 120.0
#: Seconds without a commit of anything after which nothing more is awaited.
STILL: Final = 10.0


class WrongHistory(Exception):
    """The history differs from what was sent: then there is no figure worth telling."""


class Recorder:
    """``cloche record`` of a broker, on the listener's core, from the moment it is live; its history stays.

    ``health`` is what it said about itself while it was live, once a second.
    """

    def __init__(self, url: str, history: Path, *, core: int = LISTENER) -> None:
        self.history = history
        self.health: list[dict[str, Any]] = []
        self._command = self_command("record", url, "--history", str(history), "--json", "--mode", "passive")
        self._log = history.with_name(history.name + ".log")
        self._core = core
        self._reader: Reader | None = None
        self._live = threading.Event()

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._collector = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=log, text=True)
        self.process = psutil.Process(self._collector.pid)
        pin(self.process, self._core)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        # It is set also when the collector ended.
        self._live.wait(PATIENCE)
        if not self.health:
            self._end()
            raise RuntimeError("The collector did not begin:\n" + self._log.read_text(encoding="utf-8"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def accounting(self) -> Accounting:
        """Where every event went, as far as committed."""
        if self._reader is None:
            self._reader = Reader(self.history)
        return self._reader.accounting()

    def until_received(self, events: int) -> bool:
        """Wait until so many events are committed; false if no more come (some were lost)."""
        seen, moved = -1, time.monotonic()
        while True:
            received = self.accounting().received
            if received >= events:
                return True
            if received != seen:
                seen, moved = received, time.monotonic()
            elif time.monotonic() - moved > STILL:
                return False
            time.sleep(0.02)

    def until_true(self, sent: dict[str, Any]) -> None:
        """Wait until the history says what the load says it sent. Raises `WrongHistory` where it does not come to that.

        An open task may be written a moment after the events that told of it are accounted for.
        """
        self.until_received(sent["events"])
        deadline = time.monotonic() + STILL
        while differences := faults(self.history, sent):
            if time.monotonic() > deadline:
                raise WrongHistory("; ".join(differences))
            time.sleep(0.2)

    def _listen(self) -> None:
        for line in self._collector.stdout or ():
            said = json.loads(line)
            if said.get("state") == "live":
                self.health.append(said)
                self._live.set()
        self._live.set()

    def _end(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._collector.terminate()
        self._collector.wait(PATIENCE)
        self._listener.join(PATIENCE)
        if self._collector.stdout is not None:
            self._collector.stdout.close()


def found_states(reader: Reader) -> dict[str, dict[str, int]]:
    """Tasks of a history by name and state."""
    found: dict[str, dict[str, int]] = {}
    counted = "SELECT name.name, state, COUNT(*) FROM task LEFT JOIN name ON name.id = name_id GROUP BY 1, 2 ORDER BY 1"
    for name, state, count in reader.sql(counted):
        found.setdefault(name, {})[state] = count
    return found


def faults(history: Path, sent: dict[str, Any]) -> list[str]:
    """In what a history differs from what the load says it sent, a sentence each."""
    reader = Reader(history)
    try:
        accounting, found, gaps = reader.accounting(), found_states(reader), reader.gaps()
    finally:
        reader.close()
    differences = []
    if not accounting.balanced:
        differences.append(f"the accounting does not add up: {accounting}")
    if (accounting.received, accounting.stored) != (sent["events"], sent["events"]):
        differences.append(f"{sent['events']} events were sent, and the history has {accounting}")
    if found != sent["states"]:
        differences.append(f"end states differ: sent {summed(sent['states'])}, found {summed(found)}")
    if gaps:
        differences.append(f"there are gaps: {gaps}")
    return differences


def summed(by_name: dict[str, dict[str, int]]) -> dict[str, int]:
    """Tasks by state alone."""
    total: Counter[str] = Counter()
    for counts in by_name.values():
        total.update(counts)
    return dict(total)
