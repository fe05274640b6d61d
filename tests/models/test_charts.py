"""What charts and tiles show over a span: the same sums whatever widths they are made from, and never 0 for unknown."""

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.models.history.buckets import LEEWAY, widened
from app.models.history.charts import OUTCOMES, Series, Span
from app.models.history.reader import Reader
from app.models.history.rows import gap_row
from app.models.records import Gap
from app.models.rollups import Percentiles, merge, percentiles
from tests.helpers.drawing import counted_totals
from tests.helpers.events import T0, event, stream, worker_event
from tests.helpers.histories import reading, recording, sql

#: Length of the long history, and its seed.
LENGTH = 2 * 3600
STEPS = (5, 10, 15, 60, 120, 300, 600, 1200)


def span(start: float, end: float) -> Span:
    return Span(T0 + start, T0 + end)


def drawn(series: Series) -> str:
    """Values in a row; ``?`` is unknown."""
    return " ".join("?" if math.isnan(value) else f"{value:g}" for value in series.values)


@pytest.fixture(scope="module")
def long_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours with busy and idle minutes, written in commits of all lengths, over several restarts."""
    path, dice = tmp_path_factory.mktemp("charts") / "long.cloche", random.Random(20261121)
    moments = sorted(dice.choice((dice.uniform(0, LENGTH), dice.gauss(3_000, 100))) for _ in range(900))
    parts = [moments[at : at + 225] for at in range(0, 900, 225)]
    for number, part in enumerate(parts):
        with recording(path) as history:
            for at in part:
                ended = dice.choice(
                    ("succeeded runtime=0.5", "succeeded runtime=7", "failed exception=X()", "retried", "revoked")
                )
                name = dice.choice("abc")
                events = stream(f"{at} received\n {at + 0.2} started\n {at + 0.5} {ended}", f"{number}-{at}")
                for each in events:
                    each.name = each.name and name
                history.play(events).poll(at, mail=round(at), **({} if at < 4_000 else {"late": 5}))
                if dice.random() < 0.05:
                    history.commit(at)
            history.commit(part[-1])
    return path


@pytest.fixture(scope="module")
def reader(long_history: Path) -> Iterator[Reader]:
    with reading(long_history) as opened:
        yield opened


class Finest:
    """The finest rollups as they are in the file, by name and bucket, past all of the program's code."""

    COUNTS = ("tasks", "received", "started", "succeeded", "failed", "retried", "revoked", "rejected", "events", "busy")

    def __init__(self, path: Path) -> None:
        columns = ", ".join((*self.COUNTS, "wait", "run"))
        rows = sql(
            path,
            f"SELECT name.name, bucket, {columns} FROM rollup LEFT JOIN name ON name.id = name_id WHERE level = 5",  # noqa: S608
        )
        self._rows = {(name, bucket): dict(zip(columns.split(", "), row, strict=True)) for name, bucket, *row in rows}
        measured = sql(
            path,
            "SELECT key, bucket, total, n FROM gauge JOIN series ON series.id = series_id "
            "WHERE level = 5 AND kind = 'queue.ready'",
        )
        self._measured = {(key, bucket): (total, n) for key, bucket, total, n in measured}

    def within(self, start: float, end: float, name: str | None = None) -> list[dict[str, Any]]:
        """Rows of a span, which begins with the bucket that it begins in."""
        return [row for bucket in _buckets(start, end) if (row := self._rows.get((name, bucket)))]

    def measured(self, key: str, start: float, end: float) -> list[tuple[float, int]]:
        """Sums and numbers of what was measured of a queue."""
        return [found for bucket in _buckets(start, end) if (found := self._measured.get((key, bucket)))]


def _buckets(start: float, end: float) -> range:
    return range(math.floor(start / 5) * 5, math.ceil(end) if end > start else 0, 5)


def total(rows: Sequence[dict[str, Any]], column: str) -> Any:
    return sum(row[column] for row in rows)


@pytest.fixture(scope="module")
def finest(long_history: Path) -> Finest:
    return Finest(long_history)


ENDS = st.floats(-700, LENGTH + 700)
SPANS = st.tuples(ENDS, ENDS).map(lambda ends: span(*sorted(ends)))


@settings(max_examples=200, deadline=None)
@given(SPANS)
def test_totals_of_any_span_are_those_of_its_finest_buckets(reader: Reader, finest: Finest, ends: Span) -> None:
    rows, found = finest.within(ends.start, ends.end), reader.totals(ends)
    for column in Finest.COUNTS:
        assert getattr(found, column) == pytest.approx(total(rows, column)), column
    assert found.wait == percentiles(merge(row["wait"] for row in rows))
    assert found.run == percentiles(merge(row["run"] for row in rows))


@settings(max_examples=60, deadline=None)
@given(SPANS)
def test_figures_of_each_name_are_those_of_its_finest_buckets(reader: Reader, finest: Finest, ends: Span) -> None:
    found = {row.name: row for row in reader.names(ends).rows}
    for name in "abc":
        rows = finest.within(ends.start, ends.end, name)
        assert (name in found) == bool(rows)
        if rows:
            shown = found[name]
            figures = [shown.count, shown.finished - shown.failed, shown.failed, shown.retried]
            assert figures == [total(rows, column) for column in ("tasks", "succeeded", "failed", "retried")]
            assert shown.run == percentiles(merge(row["run"] for row in rows))
    assert sum(row.count for row in found.values()) == reader.totals(ends).tasks


@settings(max_examples=60, deadline=None)
@given(SPANS, st.sampled_from(STEPS))
def test_a_chart_shows_in_each_step_what_its_finest_buckets_hold(
    reader: Reader, finest: Finest, ends: Span, step: int
) -> None:
    outcomes = reader.outcomes(ends, step)
    assert set(outcomes) == set(OUTCOMES)
    for outcome, series in outcomes.items():
        assert series.start == math.floor(ends.start / step) * step
        starts = [series.start + at * step for at in range(len(series.values))]
        expected = [total(finest.within(start, start + step), outcome) for start in starts]
        assert [0 if math.isnan(value) else value for value in series.values] == expected


@settings(max_examples=40, deadline=None)
@given(SPANS, st.sampled_from(STEPS), st.sampled_from(("wait", "run")))
def test_a_chart_of_latencies_shows_in_each_step_the_percentiles_of_its_finest_buckets(
    reader: Reader, finest: Finest, ends: Span, step: int, which: Literal["wait", "run"]
) -> None:
    series = reader.latency(ends, step, which)["p95"]
    starts = [series.start + at * step for at in range(len(series.values))]
    expected = [percentiles(merge(row[which] for row in finest.within(start, start + step))).p95 for start in starts]
    assert [None if math.isnan(value) else value for value in series.values] == expected


@settings(max_examples=40, deadline=None)
@given(SPANS, st.sampled_from(STEPS))
def test_a_chart_of_depths_shows_in_each_step_the_mean_of_what_was_measured(
    reader: Reader, finest: Finest, ends: Span, step: int
) -> None:
    for key, series in reader.gauge("queue.ready", ends, step).items():
        for at, value in enumerate(series.values):
            start = series.start + at * step
            measured = finest.measured(key, start, start + step)
            if measured:
                assert value == pytest.approx(sum(sums for sums, _ in measured) / sum(n for _, n in measured))
            else:
                assert math.isnan(value)


def test_all_tasks_are_all_names_together(reader: Reader) -> None:
    everything = span(-1, LENGTH + 700)
    totals, names = reader.totals(everything), reader.names(everything).rows
    assert totals.tasks == 900 == sum(row.count for row in names)
    assert totals.failed == sum(row.failed for row in names)
    assert [row.busy for row in names] == sorted((row.busy for row in names), reverse=True)


@pytest.mark.parametrize("ends", [(0, 0), (100, 100), (500, 400), (-900, -800), (LENGTH * 9, LENGTH * 10)])
def test_an_empty_span_holds_nothing(reader: Reader, ends: tuple[float, float]) -> None:
    assert counted_totals(reader.totals(span(*ends))) == ""
    assert reader.names(span(*ends)).rows == []


def test_each_level_holds_the_same_sum_up_to_where_it_is_complete(long_history: Path) -> None:
    until = {
        int(key.removeprefix("rolled.")): int(value)
        for key, value in sql(long_history, "SELECT key, value FROM meta WHERE key LIKE 'rolled.%'")
    }
    assert until[60] > T0
    assert until[3_600] > T0
    for level, end in until.items():
        sums = [
            sql(long_history, f"SELECT SUM({column}) FROM rollup WHERE level = ? AND bucket < ?", each, end)[0][0]  # noqa: S608
            for column in ("events", "tasks", "succeeded", "busy")
            for each in (5, level)
        ]
        assert sums[::2] == pytest.approx(sums[1::2]), level


def test_the_busiest_names_are_told_with_the_number_of_all(reader: Reader) -> None:
    everything = span(-1, LENGTH + 700)
    whole, two = reader.names(everything), reader.names(everything, 2)
    assert (len(whole.rows), whole.total, two.total) == (3, 3, 3)
    assert two.rows == whole.rows[:2]
    assert reader.names(everything, 0).rows == []


def test_latencies_of_names_are_read_only_where_they_are_asked_for(reader: Reader) -> None:
    everything = span(-1, LENGTH + 700)
    whole = {row.name: row for row in reader.names(everything).rows}
    for row in reader.names(everything, None, ("run",)).rows:
        assert (row.run, row.wait) == (whole[row.name].run, Percentiles())
        assert row.busy == whole[row.name].busy
    assert reader.runs(everything, ["b", "nobody"]) == {"b": whole["b"].run}
    assert reader.runs(everything, []) == {}


def test_a_long_span_is_widened_by_very_little_at_each_end() -> None:
    for length in (60.0, 3_600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0, 400 * 86_400.0):
        start, end = T0 + 1.5, T0 + 1.5 + length
        low, high = widened(start, end)
        assert start - length * LEEWAY <= low <= start
        assert end <= high <= end + length * LEEWAY
    assert widened(T0 + 1.5, T0 + 3_000) == (T0 + 1.5, T0 + 3_000)
    day = 86_400 * (T0 // 86_400)
    assert widened(day + 601, day + 7 * 86_400 - 1) == (day + 600, day + 7 * 86_400)
    assert LEEWAY < 0.0015


# --- unknown is not zero ---------------------------------------------------------------------------------------------


@pytest.fixture
def quiet(tmp_path: Path) -> Path:
    """Begun at 10, last written at 62, deaf from 21 to 44; one task succeeded at 12 and one at 47."""
    with recording(tmp_path / "quiet.cloche") as history:
        history.set_created(10)
        history.play(stream("11 received\n 12 succeeded runtime=1", "a")).poll(12, mail=4).commit(12)
        history.play(stream("46 received\n 47 succeeded runtime=1", "b")).poll(47, mail=6).commit(62, gaps=[
            gap_row(1, Gap(T0 + 21, T0 + 44, "deaf")),
        ])  # fmt: skip
    return tmp_path / "quiet.cloche"


def test_no_line_is_drawn_before_the_first_after_the_last_moment_or_through_a_gap(quiet: Path) -> None:
    with reading(quiet) as reader:
        shown = reader.outcomes(span(0, 80), 5)["succeeded"]
    #             0 5 10 15 20 25 30 35 40 45 50 55 60 65 70 75
    assert drawn(shown) == "? ? 1 0 0 ? ? ? 0 1 0 0 0 ? ? ?"


def test_a_wider_step_is_known_where_a_part_of_it_is(quiet: Path) -> None:
    with reading(quiet) as reader:
        assert drawn(reader.outcomes(span(0, 80), 10)["succeeded"]) == "? 1 0 ? 1 0 0 ?"
        assert drawn(reader.outcomes(span(0, 80), 60)["succeeded"]) == "2 0"


def test_latencies_and_depths_are_known_only_where_they_were_measured(quiet: Path) -> None:
    with reading(quiet) as reader:
        assert drawn(reader.gauge("queue.ready", span(0, 60), 5)["mail"]) == "? ? 4 ? ? ? ? ? ? 6 ? ?"
        run = reader.latency(span(0, 60), 5, "run")["p50"]
    assert [at for at, value in enumerate(run.values) if not math.isnan(value)] == [2, 9]
    assert run.values[2] == pytest.approx(1, rel=0.01)


def test_tasks_into_a_queue_are_zero_where_none_came_and_we_listened(quiet: Path) -> None:
    with recording(quiet) as history:
        history.play([event("sent", 63, uuid="c")]).commit(70)
    with reading(quiet) as reader:
        assert drawn(reader.gauge("queue.in", span(0, 80), 5)["celery"]) == "? ? 0 0 0 ? ? ? 0 0 0 0 1 0 0 ?"


def test_a_gap_that_lasts_is_unknown_to_its_end(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        history.set_created(0)
        history.commit(40, gaps=[gap_row(1, Gap(T0 + 10, None, "away"))])
    with reading(tmp_path / "h") as reader:
        assert drawn(reader.outcomes(span(0, 40), 5)["failed"]) == "0 0 ? ? ? ? ? ?"


def test_what_was_counted_in_an_unknown_step_is_shown_all_the_same(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        history.play(stream("1 sent\n 2 succeeded runtime=1", "a")).play(stream("3 sent", "b"))
        history.commit(gaps=[gap_row(1, Gap(T0, T0 + 5, "deaf"))])
    with reading(tmp_path / "h") as reader:
        assert drawn(reader.outcomes(span(0, 5), 5)["succeeded"]) == "1"
        assert drawn(reader.gauge("queue.in", span(0, 5), 5)["celery"]) == "2"


def test_the_minute_that_is_not_over_is_shown_as_far_as_it_came(tmp_path: Path) -> None:
    # Coarser sums are derived when their time is over; until then they are made from finer ones.
    with recording(tmp_path / "h") as history:
        history.set_created(0)
        for at in (10, 70, 130):
            history.play(stream(f"{at} sent\n {at} started\n {at + 1} succeeded runtime=1", str(at)))
            history.poll(at, mail=at).commit(at + 2)
    with reading(tmp_path / "h") as reader:
        assert drawn(reader.outcomes(span(0, 180), 60)["succeeded"]) == "1 1 1"
        assert drawn(reader.outcomes(span(0, 600), 600)["succeeded"]) == "3"
        assert drawn(reader.gauge("queue.ready", span(0, 180), 60)["mail"]) == "10 70 130"
        assert drawn(reader.gauge("queue.out", span(0, 600), 600)["celery"]) == "3"
        p50 = reader.latency(span(0, 180), 60, "run")["p50"]
        assert [round(value, 1) for value in p50.values] == [1.0, 1.0, 1.0]


def test_a_broker_without_any_event_has_charts_of_its_queues_at_every_width(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        history.set_created(0)
        for at in range(0, 1_300, 50):
            history.poll(at, mail=at).commit(at)
    with reading(tmp_path / "h") as reader:
        for step, first, measured in ((5, 0, 26), (60, 25, 21), (600, 275, 3)):
            values = reader.gauge("queue.ready", span(0, 1_300), step)["mail"].values
            assert values[0] == first
            assert sum(not math.isnan(value) for value in values) == measured


def test_depths_polled_before_the_first_event_stay_in_charts_after_it(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        history.poll(0, mail=7).commit().poll(700, mail=8).commit()
        history.play([event("received", 1_500)]).poll(1_500, mail=9).commit().poll(2_500, mail=6).commit()
    with reading(tmp_path / "h") as reader:
        assert drawn(reader.gauge("queue.ready", span(0, 3_000), 600)["mail"]) == "7 8 9 ? 6"


def test_a_gauge_nobody_measured_has_no_series(quiet: Path) -> None:
    with reading(quiet) as reader:
        assert reader.gauge("queue.oldest", span(0, 60), 5) == {}
        assert reader.gauge("nonsense", span(0, 60), 5) == {}


def test_workers_activity_is_a_gauge(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        history.play([worker_event("heartbeat", 0, active=2), worker_event("heartbeat", 2, active=4)]).commit()
    with reading(tmp_path / "h") as reader:
        assert drawn(reader.gauge("worker.active", span(0, 5), 5)["w1"]) == "3"


def test_percentiles_of_many_are_within_one_percent(tmp_path: Path) -> None:
    dice = random.Random(3)
    runs = sorted(dice.lognormvariate(-1, 2) for _ in range(2_000))
    with recording(tmp_path / "h") as history:
        for at, seconds in enumerate(dice.sample(runs, len(runs))):
            history.play([event("succeeded", at / 2, uuid=str(at), runtime=seconds)])
        history.commit()
    with reading(tmp_path / "h") as reader:
        found = reader.totals(span(0, 1_000)).run
    for key, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert getattr(found, key) == pytest.approx(runs[math.ceil(share * len(runs)) - 1], rel=0.0101)
