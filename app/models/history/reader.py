"""Questions to a history, for window and CLI alike; opened read-only, no transaction is held between two of them."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Engine, Select, create_engine, func, select, text
from sqlalchemy.pool import StaticPool

from app.models.history import schema
from app.models.history.charts import Charts
from app.models.history.errors import HistoryError, sensible
from app.models.history.retention import Removed
from app.models.history.rows import SELECT_TASKS, task_from_row
from app.models.records import Accounting, Queue, Task, Told, Worker
from app.models.search import Search

#: Where there are more task names than these, a search does not read them all first.
MANY: Final = 10_000
#: Characters of a task's arguments that a table row carries.
PREVIEW = 120

_task = schema.task.c


class TaskRow(msgspec.Struct, gc=False):
    """What a table shows of one task; ``args`` is cut to `PREVIEW` characters."""

    id: int
    uuid: str
    seen: float
    state: str
    name: str | None
    args: str | None
    queue: str | None
    worker: str | None
    retries: int
    sent: float | None
    received: float | None
    started: float | None
    finished: float | None
    wait: float | None
    runtime: float | None
    eta: float | None
    note: str | None
    doubted: float | None = None


_ROW_COLUMNS = (
    _task.id,
    _task.uuid,
    _task.seen,
    _task.state,
    schema.name.c.name,
    func.substr(_task.args, 1, PREVIEW),
    schema.queue.c.name,
    schema.worker.c.hostname,
    _task.retries,
    _task.sent,
    _task.received,
    _task.started,
    _task.finished,
    _task.wait,
    _task.runtime,
    _task.eta,
    _task.note,
    _task.doubted,
)
_ROW_SOURCE = (
    schema.task.outerjoin(schema.name, schema.name.c.id == _task.name_id)
    .outerjoin(schema.queue, schema.queue.c.id == _task.queue_id)
    .outerjoin(schema.worker, schema.worker.c.id == _task.worker_id)
)


class Reader(Charts):
    """Read-only view of a history; what it answers is committed. Not for use by two threads at once.

    Raises `HistoryError` if there is no history at ``path``, or it can't be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():  # a pipe would wait for somebody to write into it
            raise HistoryError(f"There is no history at {path}.")
        super().__init__(_engine(path))
        try:
            self._check()
        except HistoryError:
            self.close()
            raise

    def _check(self) -> None:
        version = self.scalar(text("PRAGMA user_version"))
        if self.scalar(text("PRAGMA application_id")) != schema.APPLICATION_ID:
            raise HistoryError(f"{self.path} is not a history of Cloche.")
        if version > schema.VERSION:
            raise HistoryError(f"{self.path} was written by a newer Cloche. Update this one to open it.")

    def meta(self) -> dict[str, str]:
        """Facts about the file: ``broker`` (address without password), ``name``, ``created``, ``alive``."""
        return {row.key: row.value for row in self.rows(select(schema.meta))}

    def size(self) -> int:
        """Bytes on disk, with what is not folded into the file yet."""
        parts = (self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal"))
        return sum(part.stat().st_size for part in parts if part.exists())

    def task_total(self) -> int:
        """Tasks in the history."""
        return int(self.scalar(select(func.count()).select_from(schema.task)))

    def states(self, since: float | None = None) -> dict[str, int]:
        """Tasks by their present state, of those first seen after ``since``."""
        counted = select(_task.state, func.count()).group_by(_task.state)
        if since is not None:
            counted = counted.where(_task.id >= self.first_since(since))
        return {row[0]: row[1] for row in self.rows(counted)}

    def tasks(
        self,
        *,
        where: Search | None = None,
        since: float | None = None,
        until: float | None = None,
        before: int | None = None,
        after: int | None = None,
        limit: int = 200,
    ) -> list[TaskRow]:
        """A page of tasks, newest first: ids below ``before`` or above ``after``, first seen in the given time."""
        condition = self._conditions(where, since, until, before, after)
        # The ids first: that needs no more than an index where there is one for the condition, and then only so many
        # rows are read, instead of all that are found to be sorted and thrown away.
        ids = select(_task.id).where(*condition).order_by(_task.id.desc()).limit(limit)
        return self._page(select(*_ROW_COLUMNS).where(_task.id.in_(ids)).order_by(_task.id.desc()))

    def tasks_between(self, low: int, high: int, *, where: Search | None = None) -> list[TaskRow]:
        """The tasks with ids from ``low`` to ``high``, newest first: a page read again."""
        condition = [*self._conditions(where), _task.id.between(low, high)]
        return self._page(select(*_ROW_COLUMNS).where(*condition).order_by(_task.id.desc()))

    def task_count(
        self,
        *,
        where: Search | None = None,
        since: float | None = None,
        until: float | None = None,
        before: int | None = None,
        after: int | None = None,
    ) -> int:
        """How many tasks a search finds, in what `tasks` would look through."""
        condition = self._conditions(where, since, until, before, after)
        return int(self.scalar(select(func.count()).select_from(schema.task).where(*condition)))

    def ids(self) -> range:
        """From the first task's number to the last one's; there may be none in between."""
        # In two questions: each is answered from one end of the index.
        low, last = (int(self.scalar(select(func.coalesce(end(_task.id), 0)))) for end in (func.min, func.max))
        return range(low, last + 1)

    def task(self, uuid: str) -> Task | None:
        """Everything known of one task."""
        found = self.sql(SELECT_TASKS + "WHERE task.key = ? AND task.uuid = ?", (schema.task_key(uuid), uuid))
        with sensible():
            return task_from_row(found[0]) if found else None

    def records(self, *, where: Search | None = None, since: float | None = None, page: int = 1000) -> Iterator[Task]:
        """Whole tasks, oldest first, read in pages so that any number can be exported."""
        last = 0
        while True:
            ids = (
                select(_task.id).where(*self._conditions(where, since), _task.id > last).order_by(_task.id).limit(page)
            )
            numbers = [number for (number,) in self.rows(ids)]
            if not numbers:
                return
            listed = msgspec.json.encode(numbers).decode()
            condition = "WHERE task.id IN (SELECT value FROM json_each(?)) ORDER BY task.id"
            found = self.sql(SELECT_TASKS + condition, (listed,))
            with sensible():
                tasks = [task_from_row(row) for row in found]
            yield from tasks
            last = numbers[-1]

    def told(self, task: int) -> Told | None:
        """What a worker told that the task of this number is called with, where that was asked and kept."""
        if self.scalar(text("PRAGMA user_version")) < schema.SINCE["argument"]:
            return None
        found = self.rows(select(schema.argument).where(schema.argument.c.id == task))
        return Told(*found[0]) if found else None

    def knows_name(self, name: str) -> bool:
        """Whether a task of this name was ever seen."""
        return self.scalar(select(schema.name.c.id).where(schema.name.c.name == name)) is not None

    def workers(self) -> list[Worker]:
        """Every worker ever heard of, by hostname."""
        found = self.rows(select(schema.worker.c.record).order_by(schema.worker.c.hostname))
        with sensible():
            return [msgspec.json.decode(record, type=Worker) for (record,) in found]

    def queues(self) -> list[Queue]:
        """Every queue ever seen, by name, but for quarantines that were emptied: they are no more."""
        found = self.rows(select(schema.queue.c.record).order_by(schema.queue.c.name))
        with sensible():
            queues = [msgspec.json.decode(record, type=Queue) for (record,) in found]
        return [queue for queue in queues if not queue.gone]

    def accounting(self) -> Accounting:
        """Where every event went."""
        counts: dict[str, dict[str, int]] = {"received": {}, "stored": {}, "shed": {}, "rejected": {}}
        with sensible():
            for kind, reason, n in self.rows(select(schema.accounting)):
                counts[kind][reason] = n
        return Accounting(
            received=sum(counts["received"].values()),
            stored=sum(counts["stored"].values()),
            shed=counts["shed"],
            rejected=counts["rejected"],
        )

    def removed(self) -> Removed:
        """What left the history to keep it small."""
        meta = self.meta()
        tasks, until = meta.get("removed.tasks"), meta.get("removed.until")
        return Removed(int(tasks or 0), None if until is None else float(until))

    def seen(self, number: int) -> float | None:
        """When the first of the tasks from this number on was first seen."""
        seen: float | None = self.scalar(select(_task.seen).where(_task.id >= number).order_by(_task.id).limit(1))
        return seen

    def first_since(self, moment: float) -> int:
        """Smallest task id first seen at or after a time: ids grow with time, so a few probes find it."""
        ids = self.ids()
        low, high = ids.start, ids.stop
        while low < high:
            middle = (low + high) // 2
            seen = self.seen(middle)
            if seen is None or seen >= moment:
                high = middle
            else:
                low = middle + 1
        return low

    def _conditions(
        self,
        where: Search | None,
        since: float | None = None,
        until: float | None = None,
        before: int | None = None,
        after: int | None = None,
    ) -> list[ColumnElement[bool]]:
        condition: list[ColumnElement[bool]] = []
        if since is not None:
            condition.append(_task.id >= self.first_since(since))
        if until is not None:
            condition.append(_task.id < self.first_since(until))
        if before is not None:
            condition.append(_task.id < before)
        if after is not None:
            condition.append(_task.id > after)
        if where is not None:
            names = self.scalar(select(func.max(schema.name.c.id))) or 0
            condition.append(where.clause(looked_up=names > MANY))
        return condition

    def _page(self, query: Select[Any]) -> list[TaskRow]:
        return [TaskRow(*row) for row in self.rows(query.select_from(_ROW_SOURCE))]


def _engine(path: Path) -> Engine:
    address = f"{path.resolve().as_uri()}?mode=ro"
    if not os.access(path.parent, os.W_OK):
        # SQLite wants to note its readers beside the file; where that can't be, nobody writes the file either.
        address += "&immutable=1"
    return create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(address, uri=True, check_same_thread=False, timeout=5),
        poolclass=StaticPool,
        isolation_level="AUTOCOMMIT",
    )
