"""What leaves a history, by age and by size: the oldest that ended, in small steps, and no figure is wrong after it."""

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from app.models.history import files, retention, schema
from app.models.history.charts import Span
from app.models.history.retention import LOOK, OPEN_FOR, SPANS, Keep, Removed
from app.models.history.rows import gap_row
from app.models.history.writer import Writer
from app.models.records import Gap, Queue, Task, Told, Worker
from app.models.reducer import Batch
from app.models.report import as_text, stats
from app.models.rollups import Cell, Gauge
from tests.helpers.events import T0
from tests.helpers.histories import reading, sql

HOUR = 3_600.0
DAY = 24 * HOUR
MB = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "h.cloche"


def task(number: int, ended: float, state: str = "SUCCESS", **more: Any) -> Task:
    """One that ended so many seconds after `T0` (or was last heard of), and was first seen a second before."""
    fields = {"started": T0 + ended, "finished": T0 + ended if state in ("SUCCESS", "FAILURE") else None} | more
    return Task(number, f"id-{number}", T0 + ended - 1, state=state, **fields)


def add(writer: Writer, *tasks: Task, **more: Any) -> None:
    known: dict[str, Any] = {"workers": [], "queues": [], "cells": [], "gauges": [], "closed": 0}
    writer.commit(writer.rows(Batch(list(tasks), **known | more)))


def tidy(writer: Writer, at: float, monkeypatch: pytest.MonkeyPatch) -> int:
    """Remove what is due at this time, seconds after `T0`; in how many steps."""
    monkeypatch.setattr(time, "time", lambda: T0 + at)
    steps = 1
    while writer.tidy() != LOOK:
        steps += 1
    return steps


def ids(path: Path) -> list[int]:
    return [number for (number,) in sql(path, "SELECT id FROM task ORDER BY id")]


# --- by age ----------------------------------------------------------------------------------------------------------


def test_tasks_leave_when_they_ended_long_enough_ago(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = ("SUCCESS", "FAILURE")
    with Writer(path, Keep(seconds=10 * DAY)) as writer:
        add(writer, *(task(n, n * DAY, states[n % 2]) for n in range(1, 31)))
        tidy(writer, 25 * DAY, monkeypatch)
        assert ids(path) == list(range(15, 31))
    with reading(path) as reader:
        assert reader.removed() == Removed(14, T0 + 14 * DAY - 1)
        assert (reader.task_total(), sum(reader.states().values())) == (16, 16)
        assert [row.id for row in reader.tasks(since=T0 + 20 * DAY)] == list(range(30, 20, -1))
        assert [row.id for row in reader.tasks(until=T0 + 20 * DAY - 2)] == [19, 18, 17, 16, 15]
    with Writer(path, Keep(seconds=10 * DAY)) as writer:
        tidy(writer, 26 * DAY, monkeypatch)
        assert ids(path)[0] == 16
    with reading(path) as reader:
        assert reader.removed().tasks == 15


def test_without_limits_nothing_leaves(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Writer(path) as writer:
        add(writer, *(task(n, n) for n in range(1, 500)))
        tidy(writer, 9_999 * DAY, monkeypatch)
    assert len(ids(path)) == 499


@pytest.mark.parametrize(
    ("state", "more", "after"),
    [
        ("STARTED", {}, OPEN_FOR),
        ("PENDING", {"sent": T0, "started": None}, OPEN_FOR),
        ("PROGRESS", {}, OPEN_FOR),
        ("RETRY", {"eta": T0 + 20 * DAY}, 20 * DAY + OPEN_FOR),
        ("STARTED", {"doubted": T0 + 2 * HOUR}, 3 * HOUR),
    ],
)
def test_an_open_task_stays_until_nothing_was_heard_of_it_for_long_or_it_is_in_doubt(
    path: Path, monkeypatch: pytest.MonkeyPatch, state: str, more: dict[str, Any], after: float
) -> None:
    with Writer(path, Keep(seconds=HOUR)) as writer:
        add(writer, task(1, 0.0, state, **more), task(2, 0.0))
        tidy(writer, after - 1, monkeypatch)
        assert ids(path) == [1]
    with Writer(path, Keep(seconds=HOUR)) as writer:
        tidy(writer, after + 1, monkeypatch)
    assert ids(path) == []


def test_a_task_whose_clock_is_wrong_does_not_stay_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Writer(path, Keep(seconds=HOUR)) as writer:
        add(writer, task(1, 0.0, finished=4e9), task(2, 0.0, finished=1.0), task(3, 2 * HOUR, finished=1.0))
        tidy(writer, 2 * HOUR, monkeypatch)
    assert ids(path) == [3]


def test_numbers_of_removed_tasks_are_not_given_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Writer(path, Keep(seconds=HOUR)) as writer:
        add(writer, *(task(n, n) for n in range(1, 8)))
        tidy(writer, DAY, monkeypatch)
        assert ids(path) == []
        assert writer.known().next_task == 8


def test_a_step_is_small_and_all_is_done_in_many(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MOST", retention.FIRST)
    with Writer(path, Keep(seconds=HOUR)) as writer:
        add(writer, *(task(n, n / 100, "STARTED" if n < 1_000 else "SUCCESS") for n in range(1, 3_001)))
        counts = []
        monkeypatch.setattr(time, "time", lambda: T0 + DAY)
        while writer.tidy() != LOOK:
            counts.append(len(ids(path)))
        assert max(a - b for a, b in pairwise(counts)) <= retention.FIRST
        assert ids(path) == list(range(1, 1_000))


def test_workers_queues_and_gaps_leave_when_nothing_kept_can_be_about_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = [Worker("old", T0, heartbeat=T0 + HOUR), Worker("new", T0, heartbeat=T0 + 9 * DAY)]
    queues = [Queue("old", T0, sampled=T0 + HOUR), Queue("unseen", T0), Queue("new", T0, sampled=T0 + 9 * DAY)]
    gaps = [gap_row(1, Gap(T0, T0 + HOUR, "a")), gap_row(2, Gap(T0, T0 + 9 * DAY, "b")), gap_row(3, Gap(T0, None, "c"))]
    with Writer(path, Keep(seconds=DAY)) as writer:
        rows = writer.rows(Batch([task(1, 2.0, "STARTED"), task(2, 9 * DAY)], workers, queues, [], [], 0))
        rows.gaps = gaps
        writer.commit(rows)
        tidy(writer, 3 * DAY, monkeypatch)  # the first task may be one of theirs
    with reading(path) as reader:
        assert len(reader.workers()) == 2
    with Writer(path, Keep(seconds=DAY)) as writer:
        tidy(writer, 9 * DAY, monkeypatch)
    with reading(path) as reader:
        assert [worker.hostname for worker in reader.workers()] == ["new"]
        assert [queue.name for queue in reader.queues()] == ["new"]
        assert [gap.why for gap in reader.gaps()] == ["b", "c"]


def test_words_that_nothing_uses_are_gone_after_a_restart_and_new_ones_are_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at(when: float, name: str) -> dict[str, Any]:
        bucket = int(T0 + when) // 5 * 5
        return {
            "cells": [(bucket, None, Cell(tasks=1)), (bucket, name, Cell(tasks=1))],
            "gauges": [(bucket, ("queue.ready", name), Gauge(1.0, 1))],
            "closed": bucket,
        }

    with Writer(path, Keep(seconds=DAY)) as writer:
        add(writer, task(1, 0.0, name="old"), **at(0, "old"))
        add(writer, task(2, 0.0, "RETRY", name="kept", eta=T0 + 99 * DAY), **at(0, "kept"))
        add(writer, task(3, 5 * DAY, name="new"), **at(5 * DAY, "new"))
        tidy(writer, 5 * DAY, monkeypatch)
        assert ids(path) == [2, 3]
        assert len(sql(path, "SELECT name FROM name")) == 3
    Writer(path).close()
    assert sql(path, "SELECT name FROM name ORDER BY id") == [("kept",), ("new",)]
    assert sql(path, "SELECT key FROM series ORDER BY id") == [("new",)]
    with reading(path) as reader:
        assert [row.name for row in reader.tasks()] == ["new", "kept"]


# --- charts ----------------------------------------------------------------------------------------------------------


#: Hours after `T0` that are gone when two days of four are to be kept: hours leave by whole days, and one has begun.
GONE = int(48 - T0 % DAY / HOUR)


def chart(writer: Writer, days: int) -> None:
    """One task every ten minutes from `T0`, at five minutes past, and a queue as deep as the day."""
    for number in range(days * 144):
        at = T0 + number * 600 + 300
        cell = Cell(events=2, tasks=1, received=1, succeeded=1, run={700: 1})
        more = {
            "cells": [(int(at), None, cell), (int(at), "add", cell)],
            "gauges": [(int(at), ("queue.ready", "mail"), Gauge(float(number // 144), 1))],
            "closed": int(at),
        }
        add(writer, task(number + 1, at - T0, name="add"), **more)
    writer.set_meta(created=repr(T0), alive=repr(T0 + days * DAY))
    add(writer, closed=int(T0 + days * DAY) // 600 * 600)


def test_fine_figures_leave_earlier_and_every_range_still_has_its_chart(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = 20
    with Writer(path, Keep(seconds=30 * DAY)) as writer:
        chart(writer, days)
        tidy(writer, days * DAY, monkeypatch)
    kept = dict(sql(path, "SELECT level, MIN(bucket) FROM rollup GROUP BY level"))
    end = T0 + days * DAY
    assert all(end - SPANS[level] - 600 <= kept[level] <= end - SPANS[level] + 600 for level in (5, 60))
    assert kept[600] == T0
    with reading(path) as reader:
        for back, width, step, width_kept in (
            (DAY, HOUR, 5.0, 5.0),
            (3 * DAY, HOUR, 5.0, 60.0),
            (3 * DAY, HOUR, 30.0, 60.0),
            (15 * DAY, HOUR, 5.0, 600.0),
            (15 * DAY, 6 * HOUR, 180.0, 600.0),
            (17 * DAY, 7 * DAY, 3_600.0, 3_600.0),
        ):
            span = Span(end - back, end - back + width)
            series = reader.outcomes(span, step)["succeeded"]
            assert series.step == width_kept
            assert sum(series.values) == width / 600
            depth = reader.gauge("queue.ready", span, step)["mail"]
            assert {value for value in depth.values if value == value} <= {float(d) for d in range(days)}  # noqa: PLR0124
            assert any(value == (span.start - T0) // DAY for value in depth.values)
            assert reader.latency(span, step, "run")["p50"].step == width_kept
        assert reader.totals(Span(0, end)).succeeded == days * 144
        assert reader.names(Span(0, end)).rows[0].count == days * 144


def test_the_end_of_a_span_takes_the_whole_bucket_where_no_finer_one_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = 4
    with Writer(path, Keep(seconds=30 * DAY)) as writer:
        chart(writer, days)
        tidy(writer, days * DAY, monkeypatch)
    with reading(path) as reader:
        for start, end, found in (
            (290, 299, 0),
            (300, 301, 1),
            (310, 320, 1),  # of that minute only the sum is kept
            (359, 361, 1),
            (360, 890, 0),
            (361, 901, 1),
            (0, 6_000, 10),
            (301, 6_299, 10),
        ):
            assert reader.totals(Span(T0 + start, T0 + end)).succeeded == found, (start, end)


def test_fine_figures_stay_until_coarser_ones_have_summed_them_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def total() -> int:
        with reading(path) as reader:
            return reader.totals(Span(T0, T0 + DAY)).tasks

    with Writer(path, Keep(seconds=30 * DAY)) as writer:
        for number in range(100):
            add(writer, cells=[(int(T0) + number * 60, None, Cell(tasks=1))])
        tidy(writer, 5 * DAY, monkeypatch)
        assert total() == 100
        for _ in range(100):  # a commit sums up a little
            add(writer, closed=int(T0 + 5 * DAY))
            assert total() == 100
    with Writer(path, Keep(seconds=30 * DAY)) as writer:
        tidy(writer, 5 * DAY, monkeypatch)
        assert total() == 100
    assert sql(path, "SELECT DISTINCT level FROM rollup ORDER BY level") == [(level,) for level in schema.LEVELS[1:]]


def test_what_is_gone_is_unknown_and_not_zero(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Writer(path, Keep(seconds=2 * DAY)) as writer:
        chart(writer, 4)
        tidy(writer, 4 * DAY, monkeypatch)
    with reading(path) as reader:
        values = reader.outcomes(Span(T0, T0 + 4 * DAY), 3_600.0)["succeeded"].values
        assert [value == value for value in values] == [False] * GONE + [True] * (96 - GONE)  # noqa: PLR0124
        assert values[GONE:] == [6.0] * (96 - GONE)
        assert reader.totals(Span(0, T0 + 4 * DAY)).succeeded == 6 * (96 - GONE)


def test_nothing_is_hidden_that_is_still_removed_step_by_step(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A reader between two steps sees either what was, or what will be; never half of a bucket.
    monkeypatch.setattr(retention, "FIRST", 7)
    monkeypatch.setattr(retention, "MOST", 7)
    monkeypatch.setattr(retention, "FEWEST", 7)
    with Writer(path, Keep(seconds=2 * DAY)) as writer:
        chart(writer, 4)
        monkeypatch.setattr(time, "time", lambda: T0 + 4 * DAY)
        with reading(path) as reader:
            seen = set()
            while writer.tidy() != LOOK:
                hourly = reader.outcomes(Span(T0, T0 + 4 * DAY), 3_600.0)["succeeded"].values
                seen.add(sum(value for value in hourly if value == value))  # noqa: PLR0124
                assert {value for value in hourly if value == value} == {6.0}  # noqa: PLR0124
            assert seen <= {576.0, 6.0 * (96 - GONE)}


# --- by size ---------------------------------------------------------------------------------------------------------


def fill(writer: Writer, first: int, number: int, state: str = "SUCCESS", size: int = 2_000) -> None:
    at = float(first)
    tasks = [task(n, at + n / 1e6, state, args="x" * size, name="add") for n in range(first, first + number)]
    add(writer, *tasks, closed=int(T0 + at) // 5 * 5, cells=[(int(T0 + at) // 5 * 5, None, Cell(tasks=number))])


def size_of(path: Path) -> int:
    return sum(part.stat().st_size for part in (path, path.with_name(path.name + "-wal")) if part.exists())


def test_a_file_stays_within_its_size_and_keeps_the_newest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 60 * MB
    with Writer(path, Keep(size=limit)) as writer:
        highest = 0
        for first in range(1, 60_001, 500):
            fill(writer, first, 500)
            tidy(writer, 60_001, monkeypatch)
            highest = max(highest, size_of(path))
    assert limit / 2 < highest <= limit
    kept = ids(path)
    assert kept == list(range(kept[0], 60_001))
    assert len(kept) * 4_096 > limit / 2  # a row of so many bytes has a page to itself
    with reading(path) as reader:
        assert reader.removed().tasks == 60_000 - len(kept)
        for first in range(1, 60_001, 500):  # all of these were first seen after that time
            assert reader.first_since(T0 + first - 1) == max(first, kept[0])
        assert reader.task_total() == len(kept)


def test_one_step_after_each_commit_keeps_the_size_however_much_comes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 100 * MB
    monkeypatch.setattr(time, "time", lambda: T0 + 99_999)
    with Writer(path, Keep(size=limit)) as writer:
        for first in range(1, 60_001, 1_500):
            fill(writer, first, 1_500)
            writer.tidy()
            assert size_of(path) <= limit
    assert len(ids(path)) < 20_000


def test_open_tasks_are_the_last_to_leave(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Writer(path, Keep(size=40 * MB)) as writer:
        fill(writer, 1, 200, "STARTED", size=20_000)
        for first in range(201, 4_001, 200):
            fill(writer, first, 200, size=20_000)
            tidy(writer, 4_001, monkeypatch)
        kept = ids(path)
        assert kept[:200] == list(range(1, 201))
        assert kept[200:] == list(range(kept[200], 4_001))
        assert 400 < len(kept) < 2_000
        for first in range(4_001, 8_001, 200):
            fill(writer, first, 200, "STARTED", size=20_000)
            tidy(writer, 8_001, monkeypatch)
        kept = ids(path)
    assert kept == list(range(kept[0], 8_001))
    assert 4_001 < kept[0] < 8_001 - 400


def test_rollups_alone_do_not_outgrow_the_size(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"name-{number}" for number in range(4_000)]
    limit = 32 * MB
    with Writer(path, Keep(size=limit)) as writer:
        for minute in range(60):
            bucket = int(T0) + minute * 60
            cells = [(bucket, name, Cell(tasks=1, run={1: 1})) for name in names]
            add(writer, cells=[(bucket, None, Cell(tasks=4_000)), *cells], closed=bucket)
            tidy(writer, minute * 60.0, monkeypatch)
            assert size_of(path) <= limit
        writer.set_meta(created=repr(T0), alive=repr(T0 + HOUR))
    with reading(path) as reader:
        hour = reader.outcomes(Span(T0, T0 + HOUR), 600.0)["succeeded"]
        assert sum(value == value for value in hour.values[-2:]) == 2  # noqa: PLR0124
        assert reader.totals(Span(T0 + 3_540, T0 + HOUR)).tasks == 4_000


def test_an_existing_file_that_is_too_large_is_made_smaller(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Writer(path) as writer:
        for first in range(1, 10_001, 500):
            fill(writer, first, 500)
    assert size_of(path) > 20 * MB
    with Writer(path, Keep(size=5 * MB)) as writer:
        tidy(writer, 10_001, monkeypatch)
        kept = ids(path)
    assert size_of(path) > 20 * MB  # its pages are free to be used again
    with Writer(path, Keep(size=5 * MB)):
        assert path.stat().st_size <= 5 * MB
        assert ids(path) == kept
    monkeypatch.setattr(files, "SHRINKABLE", 0)


# --- what is told ----------------------------------------------------------------------------------------------------


def test_what_was_received_is_told_in_full_and_what_was_removed_besides(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Writer(path, Keep(seconds=HOUR)) as writer:
        rows = writer.rows(Batch([task(n, n) for n in range(1, 31)], [], [], [], [], 0))
        rows.accounting = [("received", "", 90), ("stored", "", 88), ("rejected", "not JSON", 2)]
        writer.commit(rows)
        tidy(writer, HOUR + 21, monkeypatch)
    with reading(path) as reader:
        monkeypatch.undo()
        found = stats(reader)
        assert found["removed"] == {"tasks": 20, "until": T0 + 19.0}
        assert found["accounting"]["received"] == 90
        assert found["tasks"]["total"] == 10
        text = as_text(found)
    assert "20 tasks were removed; those first seen after" in text
    assert "90 events received = 88 stored + 2 rejected + 0 shed" in text


def test_a_history_that_lost_nothing_says_nothing_of_it(path: Path) -> None:
    with Writer(path, Keep(seconds=HOUR)) as writer:
        add(writer, task(1, 1.0))
    with reading(path) as reader:
        assert reader.removed() == Removed()
        assert "removed" not in as_text(stats(reader))


def test_what_workers_told_of_arguments_leaves_with_its_task(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Writer(path, Keep(seconds=DAY)) as writer:
        told = [Told(number, T0, "[1]", "{}") for number in (1, 2)]
        add(writer, task(1, 0), task(2, 2 * DAY), arguments=told)
        tidy(writer, 2.5 * DAY, monkeypatch)
    assert ids(path) == [2]
    assert sql(path, "SELECT id FROM argument") == [(2,)]
