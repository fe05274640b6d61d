"""Histories on disk for tests: written by the real reducer and writer, event by event."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.models.history.reader import Reader
from app.models.history.rows import Rows
from app.models.history.writer import Writer
from app.models.records import Event, Queue
from app.models.reducer import Reducer
from tests.helpers.events import T0


class Recording:
    """A history that is open for writing, and the reducer that fills it."""

    def __init__(self, path: Path, *, active_limit: int = 1_000) -> None:
        self.writer = Writer(path)
        self.reducer = Reducer(self.writer, self.writer.known(), active_limit=active_limit)

    def play(self, events: Iterable[Event]) -> "Recording":
        """Fold events one by one, each received when it happened."""
        for event in events:
            self.reducer.fold([event], event.seen)
        return self

    def poll(self, at: float, **ready: int | None) -> "Recording":
        """Take the depths of queues."""
        self.reducer.fold_queues([Queue(name, T0 + at, ready=depth) for name, depth in ready.items()], T0 + at)
        return self

    def rows(self, **more: Any) -> Rows:
        """Rows of what changed."""
        rows = self.writer.rows(self.reducer.flush())
        for name, value in more.items():
            setattr(rows, name, value)
        return rows

    def commit(self, at: float = 0.0, **more: Any) -> "Recording":
        """Write what changed; we listened up to ``at``."""
        batch = self.reducer.flush()
        rows = self.writer.rows(batch)
        rows.alive = T0 + at
        for name, value in more.items():
            setattr(rows, name, value)
        self.writer.commit(rows)
        self.reducer.committed(batch)
        return self

    def set_created(self, at: float) -> "Recording":
        """As if the history had been begun at this time."""
        self.writer.set_meta(created=repr(T0 + at))
        return self


@contextmanager
def recording(path: Path, *, active_limit: int = 1_000) -> Iterator[Recording]:
    """A history open for writing, for as long as the context lasts."""
    made = Recording(path, active_limit=active_limit)
    try:
        yield made
    finally:
        made.writer.close()


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """A history open for reading, for as long as the context lasts."""
    reader = Reader(path)
    try:
        yield reader
    finally:
        reader.close()


def sql(path: Path, statement: str, *parameters: object) -> Sequence[Any]:
    """Rows of a statement, past all of the program's code."""
    connection = sqlite3.connect(path)
    try:
        found = connection.execute(statement, parameters).fetchall()
        connection.commit()
        return found
    finally:
        connection.close()
