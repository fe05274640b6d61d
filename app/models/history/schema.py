"""The tables of a history file, and the one place that creates them."""

import zlib
from typing import Final

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

#: `PRAGMA user_version` of a file that this program writes.
VERSION: Final = 3
#: Tables that files of an earlier version lack, with the version that brought them.
SINCE: Final = {"argument": 3}
#: `PRAGMA application_id`: "Clch".
APPLICATION_ID: Final = 0x436C6368

#: Width of a rollup bucket in seconds, finest first. The finest is written live, a coarser one is made from the
#: finer when it closes.
LEVELS: Final = (5, 60, 600, 3_600, 21_600, 86_400)
#: Name under which rollups count all tasks together.
ALL_NAMES: Final = 0

metadata: Final = MetaData()

meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

name = Table(
    "name", metadata, Column("id", Integer, primary_key=True), Column("name", Text, nullable=False, unique=True)
)

task = Table(
    "task",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uuid", Text, nullable=False),
    Column("seen", Float, nullable=False),
    Column("name_id", Integer),
    Column("state", Text, nullable=False),
    Column("queue_id", Integer),
    Column("worker_id", Integer),
    Column("retries", Integer, nullable=False),
    Column("redelivered", Integer, nullable=False),
    Column("sent", Float),
    Column("received", Float),
    Column("started", Float),
    Column("finished", Float),
    Column("wait", Float),
    Column("runtime", Float),
    Column("eta", Float),
    Column("expires", Float),
    Column("args", Text),
    Column("kwargs", Text),
    Column("result", Text),
    Column("exception", Text),
    Column("note", Text),
    Column("progress", Text),
    Column("routing_key", Text),
    Column("producer", Text),
    Column("root", Text),
    Column("parent", Text),
    Column("doubted", Float),
    Column("facts", Text),
    Column("traceback", Text),
    # Ids are long and random: an index of them would be most of what a commit writes. This is `task_key` of them.
    Column("key", Integer, nullable=False),
    Index("task_key", "key"),
    Index("task_state", "state"),
    Index("task_name", "name_id"),
)

#: What workers told that a task is called with, as JSON, while it ran for long; its `id` is the task's.
argument = Table(
    "argument",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("args", Text, nullable=False),
    Column("kwargs", Text, nullable=False),
)

worker = Table(
    "worker",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hostname", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("record", Text, nullable=False),
)

queue = Table(
    "queue",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("record", Text, nullable=False),
)

#: Counts and latency histograms of one task name in one bucket of `level` seconds starting at `bucket`, by the time
#: we received the event.
rollup = Table(
    "rollup",
    metadata,
    Column("level", Integer, primary_key=True),
    Column("bucket", Integer, primary_key=True),
    Column("name_id", Integer, primary_key=True),
    Column("events", Integer, nullable=False),
    Column("tasks", Integer, nullable=False),
    Column("received", Integer, nullable=False),
    Column("started", Integer, nullable=False),
    Column("succeeded", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("retried", Integer, nullable=False),
    Column("revoked", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    Column("busy", Float, nullable=False),
    Column("wait", LargeBinary),
    Column("run", LargeBinary),
    sqlite_with_rowid=False,
)

#: What is measured over time and is not counted: `kind` is `queue.ready`, `worker.active` …, `key` the queue or worker.
series = Table(
    "series",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Index("series_key", "kind", "key", unique=True),
)

gauge = Table(
    "gauge",
    metadata,
    Column("level", Integer, primary_key=True),
    Column("bucket", Integer, primary_key=True),
    Column("series_id", Integer, primary_key=True),
    Column("total", Float, nullable=False),
    Column("n", Integer, nullable=False),
    sqlite_with_rowid=False,
)

gap = Table(
    "gap",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("start", Float, nullable=False),
    Column("end", Float),
    Column("why", Text, nullable=False),
)

#: `kind` is received, stored, shed or rejected; `reason` the class shed or the reason for rejection.
accounting = Table(
    "accounting",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("n", Integer, nullable=False),
    sqlite_with_rowid=False,
)


def task_key(uuid: str) -> int:
    """A number of 31 bits that a task is found by; of a million tasks some hundred share theirs with another one."""
    return zlib.crc32(uuid.encode("utf-8", "surrogatepass")) & 0x7FFFFFFF


def statements(version: int = 0) -> list[str]:
    """SQL that makes a history of a file of an earlier ``version``, in order; 0 is an empty file."""
    dialect = sqlite.dialect()
    made = []
    for table in metadata.sorted_tables:
        if SINCE.get(table.name, 1) <= version:
            continue
        made.append(str(CreateTable(table).compile(dialect=dialect)))
        made.extend(
            str(CreateIndex(index).compile(dialect=dialect))
            for index in sorted(table.indexes, key=lambda i: str(i.name))
        )
    return [*made, f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {VERSION}"]
