"""What the fuzzer drives: normaliser, reducer, and a history with its reader, and what has to hold after each input."""

import math
import re
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from app.collectors.checks import MAX_INTEGER, MAX_SECONDS, MAX_TRACEBACK, MAX_WORD, REASONS, TIMES
from app.collectors.normalise import Normaliser
from app.models.history.reader import Reader
from app.models.history.rows import TASK_COLUMNS, USUAL
from app.models.history.writer import Writer
from app.models.records import Event
from app.models.reducer import Reducer

#: CPU seconds that one message may take.
HANG: Final = 0.1
#: Fields and columns that hold a word; all others hold a text.
_WORDS: Final = frozenset(
    {"type", "hostname", "uuid", "name", "queue", "exchange", "routing_key", "root_id", "parent_id", "sw_ident",
     "sw_ver", "sw_sys", "worker", "producer", "root", "parent", "state"}
)  # fmt: skip
#: Format characters that are drawn, and the joiners that a text may hold.
_DRAWN: Final = frozenset(map(chr, (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD)))
_JOINERS: Final = frozenset("\u200c\u200d")
_ASCII: Final = re.compile(r"[\t\n\x20-\x7e]*")
#: A text at its longest, with the remark that it was cut; a word that is cut has it too.
_LONGEST: Final = MAX_TRACEBACK + 100


class Broken(Exception):
    """Something that has to hold does not; the text says what."""


class Harness:
    """Takes inputs and checks all that can be said without knowing what they mean."""

    def __init__(self, history: Path) -> None:
        self.accepted = 0
        self.slowest = 0.0
        self.normaliser = Normaliser()
        self._writer = Writer(history)
        self._reducer = Reducer(self._writer, self._writer.known(), active_limit=300)
        self._reader = Reader(history)
        self._good: list[str] = []

    def close(self) -> None:
        """Close the files."""
        self._reader.close()
        self._writer.close()

    def take(self, payload: bytes, now: float, good: str | None) -> None:
        """One message, received at ``now``; where it is ``good``, that task succeeded. Raises `Broken`."""
        events = self._taken(payload, now)
        for event in events:
            for field, value in zip(event.__struct_fields__, msgspec.structs.astuple(event), strict=True):
                _check(field, value)
            _check_event(event, now)
        if good is not None:
            if len(events) != 3:
                raise Broken(f"of the good events {len(events)} of 3 were read")
            self._good.append(good)

    def commit(self, now: float) -> None:
        """Write what changed. Raises `Broken` where a row of it can't be what is meant."""
        self._reducer.tick(now)
        batch = self._reducer.flush()
        rows = self._writer.rows(batch)
        for columns, tasks in ((TASK_COLUMNS, rows.tasks), (USUAL, rows.plain)):
            for row in tasks:
                for column, value in zip(columns, row, strict=True):
                    _check(column, value)
        for row in (*rows.names, *rows.workers, *rows.queues, *rows.cells, *rows.gauges):
            for value in row:
                _check("record", value)
        rejected = self.normaliser.rejected
        if not rejected.keys() <= REASONS:
            raise Broken(f"rejected for reasons that nobody knows: {rejected.keys() - REASONS}")
        counts = [("received", "", self.normaliser.received), ("stored", "", self.accepted)]
        rows.accounting = [*counts, *(("rejected", reason, n) for reason, n in rejected.items())]
        self._writer.commit(rows)
        self._reducer.committed(batch)
        if not self._reader.accounting().balanced:
            raise Broken(f"the accounting is not balanced: {self._reader.accounting()}")

    def finish(self) -> int:
        """Read the whole history; how many tasks there are. Raises `Broken` where a good one is not what it was."""
        missing = set(self._good)
        tasks = 0
        for task in self._reader.records():
            tasks += 1
            if task.uuid in missing and (task.state, task.result, task.runtime) == ("SUCCESS", task.uuid, 0.25):
                missing.remove(task.uuid)
        if missing:
            raise Broken(
                f"{len(missing)} of {len(self._good)} good tasks are not what they were: {sorted(missing)[:3]}"
            )
        return tasks

    def _taken(self, payload: bytes, now: float) -> list[Event]:
        events: list[Event] = []
        received, rejected = self.normaliser.received, self.normaliser.rejected.total()
        # The clock of the processor is slow to read: it is asked only where the one on the wall says that it was long.
        began = time.perf_counter()
        self.normaliser.redis_message(payload, now, events)
        copies = [msgspec.structs.replace(event) for event in events]
        self._reducer.fold(events, now)
        took = time.perf_counter() - began
        self.slowest = max(self.slowest, took)
        if took > HANG and (took := min(self._times(payload, now))) > HANG:
            raise Broken(f"it takes {took * 1e3:.0f} ms")
        counted = self.normaliser.rejected.total() - rejected + len(events)
        if self.normaliser.received - received != counted:
            raise Broken(f"received {self.normaliser.received - received}, accepted and rejected {counted}")
        self.accepted += len(events)
        return copies

    def _times(self, payload: bytes, now: float) -> Iterator[float]:
        """CPU seconds that it takes again: once may be the garbage collector's doing, or another process's."""
        for _ in range(3):
            events: list[Event] = []
            began = time.process_time()
            Normaliser().redis_message(payload, now, events)
            self._reducer.fold(events, now)
            yield time.process_time() - began


def _check(field: str, value: Any) -> None:
    match value:
        case None | bool() | bytes():
            return
        case str():
            _check_text(field, value)
        case int() if abs(value) <= MAX_INTEGER:
            return
        case float() if math.isfinite(value):
            return
        case list():
            for each in value:
                _check(field, each)
        case dict():
            for key, each in value.items():
                _check("uuid", key)
                _check(field, each)
        case _:
            raise Broken(f"{field} is {value!r:.100}")


def _check_text(field: str, text: str) -> None:
    if field in _WORDS:
        if not (text.isascii() and text.isprintable()) and (bad := _unseen(text)):
            raise Broken(f"{field} hides {bad!a}: {text!a:.200}")
    elif not _ASCII.fullmatch(text) and (bad := _unseen(text) - _JOINERS - {"\n", "\t"}):
        raise Broken(f"{field} hides {bad!a}: {text!a:.200}")
    if len(text) > (MAX_WORD + 100 if field in _WORDS else _LONGEST) and field not in ("attempts", "facts", "record"):
        raise Broken(f"{field} is {len(text):,} characters long")


def _unseen(text: str) -> set[str]:
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return {each for each in set(text) - _DRAWN if unicodedata.category(each) in hidden}


def _check_event(event: Event, now: float) -> None:
    if not (TIMES[0] < event.timestamp < TIMES[1]) or event.seen != now:
        raise Broken(f"it is dated {event.timestamp}, received {event.seen}")
    if not event.hostname or (event.type.startswith("task-") and not event.uuid):
        raise Broken(f"it is of nobody: {event}")
    if event.uuid is None and (event.name or event.args or event.queue or event.traceback):
        raise Broken(f"a worker has what only a task has: {event}")
    if event.uuid is not None and (event.freq or event.active or event.loadavg or event.sw_ver):
        raise Broken(f"a task has what only a worker has: {event}")
    if event.runtime is not None and not 0 <= event.runtime < MAX_SECONDS:
        raise Broken(f"it ran for {event.runtime} s")
