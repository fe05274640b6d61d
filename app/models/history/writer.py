"""The one writer of a history: opens or creates the file, commits batches, and derives the coarser rollups."""

import math
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from app.models import states
from app.models.history import files, schema
from app.models.history.errors import Damaged, HistoryError, Refused
from app.models.history.labels import Word
from app.models.history.lock import FileLock
from app.models.history.retention import Keep, Retention, forget_words
from app.models.history.rows import SELECT_TASKS, TASK_COLUMNS, USUAL, WORDS, Row, RowMaker, Rows, task_from_row
from app.models.history.sums import Sums
from app.models.records import Gap, Queue, Task, Worker
from app.models.reducer import Batch, Known
from app.models.rollups import Gauge, cell_from_row

#: Columns of a task that never change.
_FIXED: Final = ("id", "uuid", "key", "seen")
_FINAL_STATES: Final = ", ".join(repr(state) for state in sorted(states.FINAL))
#: Few of many tasks are open: they are found by going from state to state in the index, past those that have ended.
_OPEN_TASKS: Final = (
    f"{SELECT_TASKS}WHERE task.id IN (WITH RECURSIVE held(state) AS (SELECT MIN(state) FROM task UNION ALL "  # noqa: S608
    "SELECT (SELECT MIN(state) FROM task WHERE state > held.state) FROM held WHERE held.state IS NOT NULL) "
    f"SELECT task.id FROM held JOIN task ON task.state = held.state WHERE held.state NOT IN ({_FINAL_STATES}) "
    "AND task.id > ? ORDER BY task.id LIMIT ?) ORDER BY task.id"
)
_ROLLUP_COLUMNS: Final = tuple(column.name for column in schema.rollup.columns)


def _replace(table: str, columns: int) -> str:
    return f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * columns)})"  # noqa: S608 - our own table names


def _write_tasks(columns: Sequence[str]) -> str:
    """Writes whole tasks of which nothing but these columns is known."""
    return (
        f"INSERT INTO task ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "  # noqa: S608
        "ON CONFLICT (id) DO UPDATE SET "
        + ", ".join(f"{column} = excluded.{column}" for column in TASK_COLUMNS if column not in _FIXED)
    )


#: That a word has another number already is an error: what refers to that one would lose its word.
_STATEMENTS: Final = {
    "names": "INSERT INTO name VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
    "workers": "INSERT INTO worker VALUES (?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET state = excluded.state, record = excluded.record",
    "queues": "INSERT INTO queue VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
    "series": "INSERT INTO series VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING",
    "tasks": _write_tasks(TASK_COLUMNS),
    "plain": _write_tasks(USUAL),
    "cells": _replace("rollup", len(_ROLLUP_COLUMNS)),
    "gauges": _replace("gauge", 5),
    "gaps": _replace("gap", 4),
    "accounting": _replace("accounting", 3),
    "arguments": _replace("argument", 4),
}

#: So many workers and queues are gone on with, those heard of last.
RECALLED: Final = 20_000
_NEWEST: Final = {
    table: f"SELECT * FROM {table} WHERE id IN (SELECT id FROM {table} "  # noqa: S608
    f"ORDER BY MAX(record ->> 'seen', COALESCE(record ->> '{heard}', 0)) DESC LIMIT ?)"
    for table, heard in (("worker", "heartbeat"), ("queue", "sampled"))
}
#: What a table of words finds a word by.
_WORD: Final = {"name": "name", "worker": "hostname", "queue": "name", "series": "kind, key"}
#: So many words are looked for at a time: as one parameter each, since JSON has SQLite end a text at its first NUL.
_AT_A_TIME: Final = 400

_LAST_BUCKETS: Final = [f"SELECT MAX(bucket) FROM {table} WHERE level = ?" for table in ("rollup", "gauge")]  # noqa: S608


#: Facts about the file that are numbers; of some there is one for each level.
MEASURED: Final = {"created", "alive", "rolled", "kept", "removed"}
#: What events are counted as, by `accounting.kind`.
ACCOUNTED: Final = {"received", "stored", "shed", "rejected"}
#: What reading a value raises that is not what we wrote.
SENSELESS: Final = (sqlite3.DatabaseError, msgspec.DecodeError, ArithmeticError, TypeError, ValueError)


class Writer:
    """A history opened for writing; no other process can open it so at the same time.

    A file that is not a history, is damaged, or was written by another version is set aside under another name and a
    new one is begun; ``set_aside`` then holds a sentence about it. ``keep`` tells what `tidy` removes. Raises `Refused`
    where the folder or the file can't be written, and `HistoryError` where another collector holds the file.
    """

    def __init__(self, path: Path, keep: Keep | None = None) -> None:
        keep = keep or Keep()
        self._closed = False
        try:
            # The file itself, so that nobody holds it under another name, and what belongs to it lies beside it.
            self.path = path.resolve()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.path.with_name(self.path.name + ".lock"))
        except (OSError, RuntimeError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise Refused(f"The history can't be kept in {path.parent}: {why}. Choose another folder.") from error
        if not self._lock.acquire():
            raise HistoryError(f"Another Cloche is recording into {path}. Close that one, or record into another file.")
        try:
            self._open(keep)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, keep: Keep) -> None:
        self._connection, self.set_aside = files.open_for_writing(self.path, self._learn, keep.size)
        try:
            with suppress(HistoryError), files.told(self.path):  # there is no harm in keeping them
                forget_words(self._connection)
            self._learn(self._connection)
            self._sums = Sums(self._connection)
            self._retention = Retention(self._connection, self.path, keep)
            self._loader = files.connect(self.path)
            self._file = self.path.stat()
        except BaseException:
            self._connection.close()
            raise

    def _learn(self, connection: sqlite3.Connection) -> None:
        """Read what was known last; `Damaged` where it makes no sense, which is found by no check of the file."""
        self._connection = connection
        try:
            self._rolled = {
                int(key.removeprefix("rolled.")): int(value)
                for key, value in self.meta().items()
                if key.startswith("rolled.")
            }
            self._maker = RowMaker(self)
            known = self.known()
            numbers: list[Any] = [number for cell in known.cells.values() for number in cell.row()[:-2]]
            numbers += [number for gauge in known.gauges.values() for number in (gauge.total, gauge.n)]
            numbers += [*self.accounting().values(), *(gap.start for gap in self.gaps().values())]
            numbers += [float(value) for key, value in self.meta().items() if key.partition(".")[0] in MEASURED]
            math.fsum(numbers)
            if not {kind for kind, _ in self.accounting()} <= ACCOUNTED:
                raise ValueError("something else is counted")
        except SENSELESS as error:
            raise Damaged("it is damaged") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the WAL is folded into it."""
        if not self._closed:
            self._closed = True
            self._loader.close()
            self._connection.close()
            self._lock.release()

    @property
    def replaced(self) -> bool:
        """Whether the file is not there any more, or another one is in its place: what is written then is lost."""
        if self._closed:
            return True
        try:
            found = self.path.stat()
        except OSError:
            return True
        return (found.st_dev, found.st_ino) != (self._file.st_dev, self._file.st_ino)

    def known(self) -> Known:
        """What a reducer needs to continue this history."""
        finest = schema.LEVELS[0]
        bucket = max(self._all(statement, finest)[0][0] or 0 for statement in _LAST_BUCKETS)
        cells = self._all(
            f"SELECT name.name, {', '.join(_ROLLUP_COLUMNS[3:])} FROM rollup LEFT JOIN name ON name.id = name_id "  # noqa: S608
            "WHERE level = ? AND bucket = ?",
            finest,
            bucket,
        )
        gauges = self._all(
            "SELECT kind, key, total, n FROM gauge JOIN series ON series.id = series_id WHERE level = ? AND bucket = ?",
            finest,
            bucket,
        )
        return Known(
            # Numbers of tasks that were removed are not given again: a window may still know one.
            next_task=max(self._all("SELECT MAX(id) FROM task")[0][0] or 0, int(self.meta().get("removed.id", 0))) + 1,
            workers=[msgspec.json.decode(row[-1], type=Worker) for row in self._all(_NEWEST["worker"], RECALLED)],
            queues=[msgspec.json.decode(row[-1], type=Queue) for row in self._all(_NEWEST["queue"], RECALLED)],
            bucket=bucket,
            cells={row[0]: cell_from_row(row[1:]) for row in cells},
            gauges={(kind, key): Gauge(total, n) for kind, key, total, n in gauges},
        )

    def load(self, uuids: Sequence[str]) -> Iterable[Task]:
        """Tasks of the history among these ids (`reducer.Store`); may be called while another thread commits.

        Raises `Damaged` where what is read makes no sense, and `Refused` where it can't be read now.
        """
        condition = "WHERE task.key IN (SELECT value FROM json_each(?))"
        keys = msgspec.json.encode([schema.task_key(uuid) for uuid in uuids]).decode()
        wanted = set(uuids)
        return [task for task in self._tasks(SELECT_TASKS + condition, keys) if task.uuid in wanted]

    def open_tasks(self, after: int, limit: int) -> Sequence[Task]:
        """Tasks that nothing has ended, with an id above ``after``, by id (`memory.Store`)."""
        return self._tasks(_OPEN_TASKS, after, limit)

    def _tasks(self, statement: str, *parameters: object) -> list[Task]:
        try:
            return [task_from_row(row) for row in self._load(statement, *parameters)]
        except (msgspec.DecodeError, TypeError, ValueError) as error:
            raise Damaged("it is damaged") from error

    def _load(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        if self._closed:
            raise Refused(f"The history {self.path} is closed.")
        with files.told(self.path):
            return self._loader.execute(statement, parameters).fetchall()

    def meta(self) -> dict[str, str]:
        """Facts about the file: ``alive`` is the last moment it was written at, as text of a float."""
        return dict(self._all("SELECT key, value FROM meta"))

    def set_meta(self, **values: str) -> None:
        """Store facts about the file. Raises like `commit`."""
        with files.told(self.path):
            self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    def accounting(self) -> dict[tuple[str, str], int]:
        """Counts by (kind, reason), as committed."""
        return {(kind, reason): n for kind, reason, n in self._all("SELECT kind, reason, n FROM accounting")}

    def gaps(self) -> dict[int, Gap]:
        """Gaps by number."""
        return {
            number: Gap(start, end, why)
            for number, start, end, why in self._all('SELECT id, start, "end", why FROM gap')
        }

    def rows(self, batch: Batch) -> Rows:
        """Rows of a batch, to be committed in the order they were made."""
        return self._maker.rows(batch)

    def commit(self, rows: Rows) -> None:
        """Write rows in one transaction; where it raises, nothing is written.

        Raises `Refused` if the disk does not take them, and `Damaged` if there is no history any more to put them in.
        """
        connection = self._connection
        with files.told(self.path):
            connection.execute("BEGIN IMMEDIATE")
            try:
                for kind, statement in _STATEMENTS.items():
                    values: list[Row] = getattr(rows, kind)
                    if values:
                        connection.executemany(statement, values)
                if rows.alive:
                    connection.execute("INSERT OR REPLACE INTO meta VALUES ('alive', ?)", (repr(rows.alive),))
                self._sums.step(rows.closed, self._rolled)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            self._rolled = self._sums.settle()
            self._maker.written(rows)

    def tidy(self) -> float:
        """Remove a little of what is not to be kept; returns seconds until there may be more. Raises like `commit`."""
        with files.told(self.path):
            return self._retention.step(time.time(), self._rolled)

    def find(self, table: str, words: Sequence[Word]) -> Iterable[tuple[Word, int]]:
        """Those of these words that are in a table of words, with their numbers (`rows.Numbers`).

        May be called while another thread commits. Raises like `load`.
        """
        columns, pairs = _WORD[table], table == "series"
        place = "(?, ?)" if pairs else "(?)"
        found: list[tuple[Word, int]] = []
        for at in range(0, len(words), _AT_A_TIME):
            some = words[at : at + _AT_A_TIME]
            wanted = f"wanted({columns}) AS (VALUES {', '.join([place] * len(some))})"
            # In this order, as SQLite might go through all series otherwise.
            question = f"WITH {wanted} SELECT {columns}, id FROM wanted NATURAL CROSS JOIN {table}"  # noqa: S608
            rows = self._load(question, *(chain.from_iterable(some) if pairs else some))
            found += [(row[:2] if pairs else row[0], row[-1]) for row in rows]
        return found

    def last(self, table: str) -> int:
        """The highest number in a table of words, or 0."""
        return self._all(f"SELECT MAX(id) FROM {table}")[0][0] or 0  # noqa: S608 - our own table names

    def contents(self, page: int = 1_000) -> Iterator[Rows]:
        """All that is in it but what is derived, to be committed into another history in this order.

        It must be one that this one went on from, or that goes on from this one: their numbers mean the same.
        """
        with files.told(self.path):
            columns, finest = ", ".join(TASK_COLUMNS), schema.LEVELS[0]
            questions = {kind: f"SELECT * FROM {table}" for kind, table in WORDS.items()} | {  # noqa: S608
                "tasks": f"SELECT {columns} FROM task ORDER BY id",  # noqa: S608
                "arguments": "SELECT * FROM argument",
                "cells": f"SELECT * FROM rollup WHERE level = {finest}",  # noqa: S608
                "gauges": f"SELECT * FROM gauge WHERE level = {finest}",  # noqa: S608
            }
            for kind, question in questions.items():
                found = self._connection.execute(question)
                while some := found.fetchmany(page):
                    yield Rows(**{kind: some})  # type: ignore[arg-type]
            gaps, accounting = self._all("SELECT * FROM gap"), self._all("SELECT * FROM accounting")
            alive = float(self.meta().get("alive", 0))
            yield Rows(gaps=gaps, accounting=accounting, alive=alive, closed=max(self._rolled.values(), default=0))

    def take_over(self, other: "Writer") -> None:
        """Take in all of a history that stood in for this one. Raises like `commit`, and may then be begun again."""
        with suppress(Refused), files.told(self.path):
            # What is in the WAL already needs no room there once it is folded in.
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        for rows in other.contents():
            self.commit(rows)
        with files.told(self.path):
            self._retention.note_removed(other.meta())

    def _all(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, parameters).fetchall()
