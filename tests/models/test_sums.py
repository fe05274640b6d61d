"""Coarser levels are derived a little with every commit: none waits for a day of very many names to be summed up."""

import sqlite3
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from app.models.history import schema, sums
from app.models.history.charts import Span, Totals
from app.models.history.rows import Rows
from app.models.history.writer import Writer
from app.models.reducer import Batch
from app.models.rollups import Cell, Gauge
from tests.helpers.events import T0
from tests.helpers.histories import reading, sql

DAY = 86_400
#: A day's beginning.
START = int(T0) // DAY * DAY
NAMES = 100


@pytest.fixture(autouse=True)
def shortest_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every commit makes one step per level, of few names."""
    monkeypatch.setattr(sums, "BUDGET", 0.0)
    monkeypatch.setattr(sums, "FIRST", sums.FEWEST)


def a_day(writer: Writer) -> None:
    """A bucket every three hours, with all the names; nothing is closed yet."""
    names = [f"name-{number}" for number in range(NAMES)]
    for hour in range(0, 24, 3):
        bucket = START + hour * 3_600
        cells = [(bucket, name, Cell(tasks=1, busy=0.5, run={hour: 2}, wait={7: 1})) for name in names]
        together = (bucket, None, Cell(tasks=NAMES, busy=NAMES / 2, run={hour: 2 * NAMES}, wait={7: NAMES}))
        gauges = [(bucket, ("queue.ready", "mail"), Gauge(float(hour), 1))]
        rows = writer.rows(Batch([], [], [], [together, *cells], gauges, 0))
        rows.alive = START + DAY
        writer.commit(rows)


def until_summed_up(writer: Writer, path: Path, closed: int = START + DAY) -> int:
    """Commit until the day is summed up; number of commits."""
    for commits in range(2_000):
        if rolled(path, DAY) == closed:
            return commits
        writer.commit(Rows(closed=closed))
    raise AssertionError("it never was")


def rolled(path: Path, level: int) -> int | None:
    found = sql(path, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?", f"rolled.{level}")
    return found[0][0] if found else None


def sums_of(path: Path, level: int) -> Sequence[tuple[object, ...]]:
    columns = "name_id, SUM(tasks), SUM(busy), SUM(length(run))"
    of_names = sql(path, f"SELECT {columns} FROM rollup WHERE level = ? GROUP BY name_id", level)  # noqa: S608
    return [*of_names, *sql(path, "SELECT series_id, SUM(total), SUM(n) FROM gauge WHERE level = ?", level)]


def seen(path: Path) -> tuple[Totals, int, float]:
    span = Span(START, START + DAY)
    with reading(path) as reader:
        names = reader.names(span)
        return reader.totals(span), names.total, sum(row.busy for row in names.rows)


def test_a_day_of_many_names_is_summed_up_in_many_commits_and_reads_the_same_all_along(tmp_path: Path) -> None:
    path = tmp_path / "h"
    with Writer(path) as writer:
        a_day(writer)
        before = seen(path)
        for _ in range(40):
            writer.commit(Rows(closed=START + DAY))
            assert seen(path) == before
        assert until_summed_up(writer, path) > 0
        assert seen(path) == before
    finest = sums_of(path, 5)
    assert len(finest) == NAMES + 2
    for level in schema.LEVELS[1:]:
        assert sums_of(path, level) == finest, level
    assert len(sql(path, "SELECT 1 FROM rollup WHERE level = ?", DAY)) == NAMES + 1


def test_no_step_sums_up_more_names_than_it_may(tmp_path: Path) -> None:
    path = tmp_path / "h"
    with Writer(path) as writer:
        a_day(writer)
        counts = [0]
        while (rolled(path, 60) or 0) <= START:
            writer.commit(Rows(closed=START + DAY))
            counts.append(sql(path, "SELECT COUNT(*) FROM rollup WHERE level = 60")[0][0])
    assert max(later - earlier for earlier, later in pairwise(counts)) <= sums.FEWEST
    assert counts[-1] == NAMES + 1


def test_what_was_begun_is_begun_again_after_a_restart_and_after_a_commit_that_failed(tmp_path: Path) -> None:
    path = tmp_path / "h"
    with Writer(path) as writer:
        a_day(writer)
        before = seen(path)
        for _ in range(3):
            writer.commit(Rows(closed=START + DAY))
    with Writer(path) as writer:
        connection = writer._connection
        for _ in range(5):
            connection.execute(
                "CREATE TEMP TRIGGER full BEFORE INSERT ON rollup WHEN NEW.level = 60 "
                "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
            )
            with pytest.raises(sqlite3.IntegrityError, match="disk is full"):
                writer.commit(Rows(closed=START + DAY))
            connection.execute("DROP TRIGGER full")
            writer.commit(Rows(closed=START + DAY))
        until_summed_up(writer, path)
    assert sums_of(path, DAY) == sums_of(path, 5)
    assert seen(path) == before


def test_a_history_without_the_coarser_levels_catches_up(tmp_path: Path) -> None:
    path = tmp_path / "h"
    with Writer(path) as writer:
        a_day(writer)
        until_summed_up(writer, path)
    before = seen(path)
    for table in ("rollup", "gauge"):
        sql(path, f"DELETE FROM {table} WHERE level > 600 OR level = 5")  # noqa: S608
    sql(path, "DELETE FROM meta WHERE key IN ('rolled.3600', 'rolled.21600', 'rolled.86400')")
    assert seen(path) == before
    with Writer(path) as writer:
        until_summed_up(writer, path)
    assert seen(path) == before
    assert sums_of(path, DAY) == sums_of(path, 600)
