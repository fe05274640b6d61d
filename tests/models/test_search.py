"""What searches find in a real history file, as Flower's users expect it: the cases S1 to S32."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, ColumnElement, Connection, StaticPool, create_engine, func, insert, select

from app.models.history import schema
from app.models.search import Search, parse

NOW = 1_795_230_298.0
WORDS: Mapping[str, Column[Any]] = {
    "name": schema.name.c.name,
    "queue": schema.queue.c.name,
    "worker": schema.worker.c.hostname,
}


class Archive:
    """A history file to put tasks into and to search."""

    def __init__(self, path: Path) -> None:
        self.engine = create_engine(f"sqlite:///{path}", poolclass=StaticPool)
        with self.engine.begin() as connection:
            connection.exec_driver_sql("PRAGMA synchronous = OFF")
            for statement in schema.statements():
                connection.exec_driver_sql(statement)

    def add(self, uuid: str, **columns: Any) -> None:
        """A task; ``name``, ``queue`` and ``worker`` are given as words."""
        row = {
            "uuid": uuid,
            "key": schema.task_key(uuid),
            "seen": NOW,
            "state": "PENDING",
            "retries": 0,
            "redelivered": 0,
        }
        with self.engine.begin() as connection:
            for column, value in columns.items():
                if column in WORDS and value is not None:
                    row[f"{column}_id"] = self._number(connection, WORDS[column], value)
                elif column not in WORDS:
                    row[column] = value
            connection.execute(schema.task.insert().values(row))

    @staticmethod
    def _number(connection: Connection, column: Column[Any], word: str) -> int:
        table = column.table
        known = select(table.c.id).where(column == word)
        if connection.scalar(known) is None:
            rest = dict.fromkeys({"state", "record"}.intersection(table.c.keys()), "")
            connection.execute(insert(table).values({column.name: word, **rest}))
        return int(connection.scalar(known) or 0)

    def change(self, uuid: str, **columns: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(schema.task.update().where(schema.task.c.uuid == uuid).values(columns))

    def ids(
        self,
        search: str | Search,
        *conditions: ColumnElement[bool],
        order: ColumnElement[Any] = schema.task.c.id,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[str]:
        found = parse(search, now=lambda: NOW) if isinstance(search, str) else search
        rows = select(schema.task.c.uuid).where(found.clause(), *conditions).order_by(order).limit(limit).offset(offset)
        with self.engine.connect() as connection:
            return list(connection.scalars(rows))

    def count(self, search: str) -> int:
        with self.engine.connect() as connection:
            rows = select(func.count()).select_from(schema.task).where(parse(search, now=lambda: NOW).clause())
            return int(connection.scalar(rows) or 0)

    def plan(self, search: str) -> str:
        rows = select(schema.task.c.id).where(parse(search).clause())
        sql = str(rows.compile(self.engine, compile_kwargs={"literal_binds": True}))
        with self.engine.connect() as connection:
            return "\n".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}"))


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Archive]:
    archive = Archive(tmp_path / "history.sqlite")
    yield archive
    archive.engine.dispose()


@pytest.fixture
def archive(empty: Archive) -> Archive:
    """The four tasks of the cases from Flower."""
    fetch, store, report = "tasks.fetch", "tasks.store", "tasks.report"
    high, low, label = "{'priority': 'high'}", "{'priority': 'low'}", "{'label': 'some value'}"
    add = empty.add
    failure = {"state": "FAILURE", "args": "['customer-123']", "kwargs": high, "result": "connection timeout"}
    add("T1", name=fetch, worker="worker-a", seen=1, **failure)
    add(
        "T2",
        name=store,
        worker="worker-b",
        seen=2,
        state="SUCCESS",
        args="['customer-456']",
        kwargs=low,
        result="stored",
    )
    retry = {"state": "RETRY", "args": "['customer-789']", "kwargs": high, "result": "retry timeout"}
    add("T3", name=fetch, worker="worker-a", seen=3, **retry)
    add("T4", name=report, seen=4, state="SUCCESS", args="['hello world']", kwargs=label)
    return empty


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("  ", "T1 T2 T3 T4"),  # S1
        ('args:"hello world"', "T4"),  # S5
        ("NAME:tasks.fetch", "T1 T3"),  # S6
        ("(state:FAILURE OR state:RETRY) result:timeout", "T1 T3"),  # S8
        ("kwargs:priority=HIGH", "T1 T3"),  # S9
        ('kwargs:label="some value"', "T4"),  # S10
        ('kwargs:"label=some value"', "T4"),
        ("kwargs:label=some", ""),
        ("kwargs:label=some*", "T4"),
        ("result:timeout", "T1 T3"),  # S11
        ("name:FETCH", "T1 T3"),  # S12
        ("worker:WORKER-A", "T1 T3"),
        ("args:CUSTOMER", "T1 T2 T3"),
        ("kwargs:PRIORITY", "T1 T2 T3"),
        ("result:TIMEOUT", "T1 T3"),
        ("state:FAIL", ""),  # S13
        ("state:failure", "T1"),
        ("customer", "T1 T2 T3"),  # S14
        ("customer result:timeout", "T1 T3"),
        ("worker-b", "T2"),  # Flower looks for words in state and worker too
        ("retry", "T3"),
        ("stateSTARTED", ""),  # S16
        ("12", "T1"),  # shorter than Flower allows
        ("NOT result:timeout", "T2 T4"),
        ("-result:timeout", "T2 T4"),
        ("-(result:timeout OR T2)", "T4"),
        ("-worker:worker-a", "T2 T4"),
        ("NOT NOT result:timeout", "T1 T3"),
        ("-customer", "T4"),
        ("name:fetch -state:retry", "T1"),
        ("state:failed,Retrying", "T1 T3"),
        ("state:succeeded", "T2 T4"),
        ("state:SUC*", "T2 T4"),
        ("name:tasks.*", "T1 T2 T3 T4"),
        ("name:fetch*", ""),
        ("name:*fetch", "T1 T3"),
        ("name:fetch,store", "T1 T2 T3"),
        ("time*out", "T1 T3"),
        ("con*out", "T1"),
        ("args:customer-*", "T1 T2 T3"),
        ('"customer-*"', ""),
        ("has:worker", "T1 T2 T3"),
        ("-has:result", "T4"),
        ("has:queue,result", "T1 T2 T3"),
        ("is:failed", "T1"),
        ("is:waiting", "T3"),
        ("is:finished", "T1 T2 T4"),
        ("is:failed,waiting", "T1 T3"),
        ("is:running", ""),
    ],
)
def test_search_finds(archive: Archive, search: str, expected: str) -> None:
    assert archive.ids(search) == expected.split()


def test_part_of_an_id_is_found(archive: Archive) -> None:  # S15
    archive.add("unique-uuid-123")

    assert archive.ids("uuid-123") == archive.ids("uuid:UUID-1") == ["unique-uuid-123"]


def test_clause_narrows_other_conditions(archive: Archive) -> None:  # S17
    assert archive.ids("state:SUCCESS OR state:FAILURE", schema.task.c.uuid.in_(["T1"])) == ["T1"]


def test_clause_sorts_and_limits(archive: Archive) -> None:
    newest = schema.task.c.seen.desc()

    assert archive.ids("name:tasks worker:worker-a", order=newest, offset=1, limit=1) == ["T1"]  # S18
    assert archive.count("name:tasks worker:worker-a") == 2
    assert archive.ids("", order=newest, limit=2) == ["T4", "T3"]  # S19
    assert archive.count("") == 4


def test_received_from_a_moment_on(archive: Archive) -> None:  # S20
    archive.change("T1", received=10)
    archive.change("T3", received=30)

    search = "name:tasks.fetch worker:worker-a received:>=1970-01-01T00:00:20Z"
    assert archive.ids(search) == ["T3"]
    assert archive.count(search) == 1


def test_changed_task_is_found_as_it_is_now(archive: Archive) -> None:  # S21
    archive.change("T1", state="SUCCESS", result="completed")

    assert archive.ids("state:FAILURE") == []
    assert archive.ids("result:timeout") == ["T3"]
    assert archive.ids("state:SUCCESS") == ["T1", "T2", "T4"]
    assert archive.ids("result:completed") == ["T1"]


def test_removed_task_is_not_found(archive: Archive) -> None:  # S22
    with archive.engine.begin() as connection:
        connection.execute(schema.task.delete().where(schema.task.c.uuid == "T1"))

    found = [
        archive.ids(search) for search in ("", "name:fetch", "state:FAILURE", "worker-a", "kwargs:priority=high", "123")
    ]
    assert found == [["T2", "T3", "T4"], ["T3"], [], ["T3"], ["T3"], []]


def test_markup_is_text(empty: Archive) -> None:  # S25
    empty.add("markup", args="['<order>']")
    empty.add("plain", args="['order']")

    assert empty.ids("args:<order>") == ["markup"]


def test_args_that_are_no_strings(empty: Archive) -> None:  # S26
    empty.add("task", args="['needle', 2]")

    assert empty.ids("needle") == empty.ids("2]") == ["task"]


def test_run_time_sorts_by_number_with_unknown_first(empty: Archive) -> None:  # S29, S30
    for runtime in (10, 1e7, None, 20, 2):
        empty.add(str(runtime), runtime=runtime)

    assert empty.ids("", order=schema.task.c.runtime.asc()) == ["None", "2", "10", "20", "10000000.0"]


def test_pages_in_order_of_name(empty: Archive) -> None:  # S31
    for number in (3, 1, 4, 2):
        empty.add(f"T{number}", name=f"task{number}")

    def page(limit: int, offset: int) -> list[str]:
        return empty.ids("name:task", order=schema.task.c.uuid.asc(), limit=limit, offset=offset)

    assert page(4, 0) == ["T1", "T2", "T3", "T4"]
    assert page(4, 1) == ["T2", "T3", "T4"]
    assert page(2, 1) == ["T2", "T3"]


def test_pages_in_order_of_time(empty: Archive) -> None:  # S32
    for uuid, moment in (("b", 200), ("a", 100), ("c", 300)):
        empty.add(uuid, received=moment)
    received = schema.task.c.received

    assert empty.ids("", order=received.asc()) == ["a", "b", "c"]
    assert empty.ids("", order=received.desc()) == ["c", "b", "a"]
    assert empty.ids("", order=received.asc(), limit=2, offset=1) == ["b", "c"]
    assert empty.ids("", order=received.desc(), limit=2, offset=1) == ["b", "a"]
