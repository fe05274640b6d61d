"""That questions to a large history are answered from its indexes: what SQLite is made to look at."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as listening

from app.models.history import charts, schema
from app.models.history.charts import Span
from app.models.history.reader import Reader
from app.models.search import parse
from tests.helpers.events import T0, stream
from tests.helpers.histories import reading, recording


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """An hour of a task every ten seconds, of three names in turn, every sixth of which fails."""
    path = tmp_path / "h.cloche"
    with recording(path) as made:
        for number in range(360):
            at = number * 10.0
            end = "failed exception=no" if number % 6 == 0 else "succeeded runtime=1"
            text = f"{at} received name=job_{number % 3}\n{at + 1} started\n{at + 2} {end}"
            made.play(stream(text, f"t{number}"))
            made.commit(at + 5)
    return path


@contextmanager
def plans(reader: Reader) -> Iterator[list[str]]:
    """SQLite's plan of each statement."""
    found: list[str] = []

    def explain(_connection: Any, cursor: sqlite3.Cursor, statement: str, parameters: Any, *_: Any) -> None:
        cursor.execute("EXPLAIN QUERY PLAN " + statement, parameters)
        found.append("\n".join(row[3] for row in cursor.fetchall()))

    listening.listen(reader._engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        listening.remove(reader._engine, "before_cursor_execute", explain)


@pytest.mark.parametrize("text", ["state:failed,retry", "name:job_1", "is:running", "is:waiting"])
def test_a_page_is_found_in_an_index_before_any_task_is_read(history: Path, text: str) -> None:
    with reading(history) as reader, plans(reader) as found:
        reader.tasks(where=parse(text))
    assert "SEARCH task USING INTEGER PRIMARY KEY (rowid=?)" in found[-1]
    assert "SEARCH task USING COVERING INDEX" in found[-1]


def test_a_page_is_the_newest_of_what_is_found_in_order(history: Path) -> None:
    with reading(history) as reader:
        page = reader.tasks(where=parse("state:failed"), before=300, limit=20)
        everything = reader.tasks(limit=1000)
    failed = [row.id for row in everything if row.state == "FAILURE" and row.id < 300]
    assert [row.id for row in page] == failed[:20]
    assert [row.id for row in everything] == list(range(360, 0, -1))


def test_what_runs_is_found_in_any_state_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "h.cloche"
    with recording(path) as made:
        for number, last in enumerate(["received", "started", "progress", "aardvark", "zebra", "succeeded", "failed"]):
            steps = ["received", "started", last] if last not in ("received", "started") else ["received", last]
            text = "\n".join(f"{at}.0 {step}" for at, step in enumerate(dict.fromkeys(steps)))
            made.play(stream(text, f"t{number}-{last}"))
        made.commit()
    with reading(path) as reader:
        found = {row.uuid.partition("-")[2] for row in reader.tasks(where=parse("is:running"))}
        others = {row.uuid.partition("-")[2] for row in reader.tasks(where=parse("-is:running"))}
    assert found == {"started", "progress", "aardvark", "zebra"}
    assert others == {"received", "succeeded", "failed"}


@pytest.mark.parametrize("most", [0, 10_000])
def test_figures_of_all_names_together_are_the_same_looked_up_or_read_through(
    history: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(charts, "MOST_NAMED", most)
    with reading(history) as reader:
        for start, end in ((0, 3600), (7, 3599), (61, 1234.5), (600, 1200), (0, 3)):
            span = Span(T0 + start, T0 + end)
            totals = reader.totals(span)
            inside = [n for n in range(360) if (T0 + start) // 5 * 5 <= T0 + n * 10 < T0 + end]
            assert totals.tasks == len(inside), (start, end)
            assert sum(row.count for row in reader.names(span).rows) == totals.tasks
        outcomes = reader.outcomes(Span(T0, T0 + 3600), 60.0)
        assert sum(outcomes["failed"].values) == 60
        assert sum(outcomes["succeeded"].values) == 300


def test_figures_of_all_names_together_are_looked_up_bucket_by_bucket(history: Path) -> None:
    with reading(history) as reader, plans(reader) as found:
        reader.totals(Span(T0, T0 + 3600))
    looked_up = "SEARCH rollup USING PRIMARY KEY (level=? AND bucket=? AND name_id=?)"
    assert looked_up in found[-1]
    assert "bucket>?" not in found[-1]
    assert schema.ALL_NAMES == 0
