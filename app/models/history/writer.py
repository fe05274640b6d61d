"""The one writer of a history: opens or creates the file, commits batches, and derives the coarser rollups."""

import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from app.models.history import schema
from app.models.history.errors import HistoryError
from app.models.history.lock import FileLock
from app.models.history.rows import SELECT_TASKS, TASK_COLUMNS, Labels, Row, RowMaker, Rows, task_from_row
from app.models.records import Gap, Queue, Task, Worker
from app.models.reducer import Batch, Known
from app.models.rollups import Gauge, cell_from_row, merge, pack

#: Seconds to wait for somebody who holds the file, such as a backup.
BUSY_TIMEOUT: Final = 10.0

_TASK_UPSERT: Final = (  # every name in these statements is our own, from the schema
    f"INSERT INTO task ({', '.join(TASK_COLUMNS)}) VALUES ({', '.join('?' * len(TASK_COLUMNS))}) "  # noqa: S608
    "ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in TASK_COLUMNS if column not in ("id", "uuid", "seen"))
)
_ROLLUP_COLUMNS: Final = tuple(column.name for column in schema.rollup.columns)
_COUNTS: Final = _ROLLUP_COLUMNS[3:-2]


#: What to do about SQLite's result codes.
_REMEDIES: Final = {
    sqlite3.SQLITE_FULL: " Free space on the disk.",
    sqlite3.SQLITE_IOERR: " Check the disk.",
    sqlite3.SQLITE_BUSY: " Another program holds it; close that one.",
    sqlite3.SQLITE_READONLY: " Make it writable.",
}


def _replace(table: str, columns: int) -> str:
    return f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * columns)})"  # noqa: S608 - our own table names


_STATEMENTS: Final = {
    "names": _replace("name", 2),
    "workers": _replace("worker", 4),
    "queues": _replace("queue", 3),
    "series": _replace("series", 3),
    "tasks": _TASK_UPSERT,
    "cells": _replace("rollup", len(_ROLLUP_COLUMNS)),
    "gauges": _replace("gauge", 5),
    "gaps": _replace("gap", 4),
    "accounting": _replace("accounting", 3),
}

#: Sums the closed buckets of one level into the next; the parameters are the coarser and finer level and the range
#: of time.
_ROLL_UP: Final = (
    "INSERT OR REPLACE INTO rollup SELECT :coarse, bucket / :coarse * :coarse AS b, name_id, "  # noqa: S608
    f"{', '.join(f'SUM({count})' for count in _COUNTS)}, merge_histograms(wait), merge_histograms(run) "
    "FROM rollup WHERE level = :fine AND bucket >= :start AND bucket < :end GROUP BY b, name_id"
)
_ROLL_UP_GAUGES: Final = (
    "INSERT OR REPLACE INTO gauge SELECT :coarse, bucket / :coarse * :coarse AS b, series_id, SUM(total), SUM(n) "
    "FROM gauge WHERE level = :fine AND bucket >= :start AND bucket < :end GROUP BY b, series_id"
)


_FIRST_BUCKETS: Final = [f"SELECT MIN(bucket) FROM {table} WHERE level = ?" for table in ("rollup", "gauge")]  # noqa: S608
_LAST_BUCKETS: Final = [f"SELECT MAX(bucket) FROM {table} WHERE level = ?" for table in ("rollup", "gauge")]  # noqa: S608


class _MergeHistograms:
    """SQL aggregate over stored histograms."""

    def __init__(self) -> None:
        self._packed: list[bytes | None] = []

    def step(self, packed: bytes | None) -> None:
        self._packed.append(packed)

    def finalize(self) -> bytes | None:
        return pack(merge(self._packed))


class Writer:
    """A history opened for writing; no other process can open it so at the same time.

    A file that is not a history, is damaged, or was written by a newer program is set aside under another name and a
    new one is
    begun; ``set_aside`` then holds a sentence about it. Raises `HistoryError` where the folder can't be written or
    another
    collector holds the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set_aside: str | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path.with_name(path.name + ".lock"))
        except OSError as error:
            raise HistoryError(
                f"The history can't be kept in {path.parent}: {error.strerror}. Choose another folder."
            ) from error
        if not self._lock.acquire():
            raise HistoryError(f"Another Cloche is recording into {path}. Close that one, or record into another file.")
        try:
            self._connection = self._open()
        except BaseException:
            self._lock.release()
            raise
        self._loader = _connect(path)
        self._maker = RowMaker(
            Labels(self._all("SELECT id, name FROM name")),
            Labels(self._all("SELECT id, hostname FROM worker")),
            Labels(self._all("SELECT id, name FROM queue")),
            Labels([(number, (kind, key)) for number, kind, key in self._all("SELECT id, kind, key FROM series")]),
        )
        self._rolled = {
            int(key.removeprefix("rolled.")): int(value)
            for key, value in self.meta().items()
            if key.startswith("rolled.")
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the WAL is folded into it."""
        self._loader.close()
        self._connection.close()
        self._lock.release()

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
            next_task=(self._all("SELECT MAX(id) FROM task")[0][0] or 0) + 1,
            workers=[msgspec.json.decode(text, type=Worker) for (text,) in self._all("SELECT record FROM worker")],
            queues=[msgspec.json.decode(text, type=Queue) for (text,) in self._all("SELECT record FROM queue")],
            bucket=bucket,
            cells={row[0]: cell_from_row(row[1:]) for row in cells},
            gauges={(kind, key): Gauge(total, n) for kind, key, total, n in gauges},
        )

    def load(self, uuids: Sequence[str]) -> Iterable[Task]:
        """Tasks of the history among these ids (`reducer.Store`); may be called while another thread commits."""
        condition = "WHERE task.uuid IN (SELECT value FROM json_each(?))"
        rows = self._loader.execute(SELECT_TASKS + condition, (msgspec.json.encode(uuids).decode(),))
        return [task_from_row(row) for row in rows]

    def meta(self) -> dict[str, str]:
        """Facts about the file: ``alive`` is the last moment it was written at, as text of a float."""
        return dict(self._all("SELECT key, value FROM meta"))

    def set_meta(self, **values: str) -> None:
        """Store facts about the file."""
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
        """Write rows in one transaction. Raises `HistoryError` if the disk fails; nothing is then written."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                for kind, statement in _STATEMENTS.items():
                    values: list[Row] = getattr(rows, kind)
                    if values:
                        connection.executemany(statement, values)
                if rows.alive:
                    connection.execute("INSERT OR REPLACE INTO meta VALUES ('alive', ?)", (repr(rows.alive),))
                rolled = self._roll_up(rows.closed)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            self._rolled |= rolled
        except sqlite3.OperationalError as error:
            remedy = _REMEDIES.get(error.sqlite_errorcode & 0xFF, "")
            raise HistoryError(f"The history {self.path} can't be written: {error}.{remedy}") from error

    def _roll_up(self, closed: int) -> dict[int, int]:
        """Derive each coarser level from the finer one, up to the buckets that are complete; returns how far."""
        rolled = {}
        for fine, coarse in zip(schema.LEVELS, schema.LEVELS[1:], strict=False):
            end = closed // coarse * coarse
            start = self._rolled.get(coarse)
            if start is None:
                found = (self._all(statement, fine)[0][0] for statement in _FIRST_BUCKETS)
                start = min((bucket // coarse * coarse for bucket in found if bucket is not None), default=end)
            if start < end:
                parameters = {"coarse": coarse, "fine": fine, "start": start, "end": end}
                self._connection.execute(_ROLL_UP, parameters)
                self._connection.execute(_ROLL_UP_GAUGES, parameters)
                self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"rolled.{coarse}", str(end)))
                rolled[coarse] = end
        return rolled

    def _all(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, parameters).fetchall()

    def _open(self) -> sqlite3.Connection:
        fault = self._fault()
        if fault is not None:
            self.set_aside = _set_aside(self.path, fault)
        try:
            # Created by us, so that nobody else may read what tasks were given as arguments.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = _connect(self.path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA cache_size = -65536")
            # Task ids are random, so a commit touches many pages; folding the same page into the file once, not per
            # commit, saves a fifth.
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
            connection.create_aggregate("merge_histograms", 1, _MergeHistograms)  # type: ignore[arg-type]
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                connection.execute("BEGIN IMMEDIATE")
                for statement in schema.statements():
                    connection.execute(statement)
                connection.execute("INSERT INTO meta VALUES ('created', ?)", (repr(time.time()),))
                connection.execute("COMMIT")
        except (OSError, sqlite3.OperationalError) as error:
            raise HistoryError(f"The history {self.path} can't be opened for writing: {error}.") from error
        return connection

    def _fault(self) -> str | None:
        """Why an existing file can't be continued, or None."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return None
        if not self.path.is_file():
            raise HistoryError(f"The history {self.path} can't be opened for writing: it is not a file.")
        try:
            # Read-only, so that what was not folded into a damaged file yet stays beside it.
            connection = _connect(self.path, "ro")
            try:
                application = connection.execute("PRAGMA application_id").fetchone()[0]
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if application != schema.APPLICATION_ID:
                    return (
                        None
                        if version == 0 and application == 0 and _is_empty(connection)
                        else "it is not a history of Cloche"
                    )
                if version > schema.VERSION:
                    return "a newer Cloche wrote it"
                verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                return None if verdict == "ok" else "it is damaged"
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            raise HistoryError(f"The history {self.path} can't be opened for writing: {error}.") from error
        except sqlite3.DatabaseError:
            return "it is damaged"


def _is_empty(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT COUNT(*) = 0 FROM sqlite_master").fetchone()[0])


def _connect(path: Path, mode: str = "rwc") -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_TIMEOUT,
        cached_statements=64,
    )


def _set_aside(path: Path, fault: str) -> str:
    """Rename a history that can't be used, and what belongs to it; says so in a sentence."""
    moment = time.strftime("%Y%m%d-%H%M%S")
    names = (path.with_name(f"{path.name}.set-aside-{moment}-{number}") for number in count(1))
    aside = next(name for name in names if not name.exists())
    path.rename(aside)
    unfolded = path.with_name(path.name + "-wal")
    if unfolded.exists() and unfolded.stat().st_size:
        unfolded.rename(aside.with_name(aside.name + "-wal"))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return f"The history {path.name} could not be used: {fault}. It was kept as {aside.name}, and a new one was begun."
