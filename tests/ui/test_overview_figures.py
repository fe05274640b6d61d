import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.models.history.charts import Series, Span, Totals
from app.models.records import Gap, Queue, Worker
from app.models.rollups import Percentiles
from app.ui.pages import overview_read
from app.ui.pages.overview_figures import LABELS, figures, split
from app.ui.pages.overview_read import Before, Overview
from app.ui.widgets.tile import Figure
from tests.helpers.events import T0
from tests.helpers.histories import reading, recording

NOW = 1_000_600.0
SPAN = Span(NOW - 600, NOW)
NAN = math.nan
CALM = Totals(succeeded=950, failed=50, wait=Percentiles(0.1, 1.0, 2.0), run=Percentiles(1.0, 4.0, 6.0))


def series(*values: float) -> Series:
    return Series(SPAN.start, 60.0, list(values))


def overview(**changed: Any) -> Overview:
    flat = series(*[1.0] * 10)
    data = Overview(
        span=SPAN, step=60.0, totals=CALM, seconds=600.0,
        before=Before(Span(NOW - 1200, NOW - 600), CALM, 600.0),
        outcomes=dict.fromkeys(("succeeded", "retried", "failed", "revoked", "rejected"), flat),
        wait={"p95": flat}, run={"p95": flat}, ready={}, oldest={}, active={}, slots={},
        queues=[], workers=[], gaps=[], names=None, runs={}, heard=True,
    )  # fmt: skip
    return msgspec.structs.replace(data, **changed)


def before(totals: Totals, seconds: float = 600.0) -> Before:
    return Before(Span(NOW - 1200, NOW - 600), totals, seconds)


def text(data: Overview, label: str, *, present: bool = True) -> str:
    figure = one(data, label, present=present)
    arrow = {"up": "▲ ", "down": "▼ ", "": ""}[figure.arrow]
    return f"{figure.value} {figure.unit} | {arrow}{figure.change} ({figure.mood})"


def one(data: Overview, label: str, *, present: bool = True) -> Figure:
    return dict(zip(LABELS, figures(data, present=present), strict=True))[label]


def test_what_waits_for_no_worker_is_no_backlog(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        polled = [
            Queue("work", T0, ready=3, consumers=1, oldest=1.0),
            Queue("dead", T0, ready=900, consumers=0, oldest=9_000.0, role="dead letter"),
            Queue("later", T0, ready=50, consumers=0, role="delayed"),
            Queue("mail.quarantine.20261122T020728123Z", T0, ready=70, consumers=0, role="quarantine"),
            Queue("consumed", T0, ready=2, consumers=1, role="dead letter"),
        ]
        history.reducer.fold_queues(polled, T0)
        history.commit(1)
    with reading(tmp_path / "h") as reader:
        found = overview_read.read(reader, overview_read.Ask(Span(T0 - 60, T0 + 60), 5.0, None, names=False))
    assert text(found, "Waiting") == "5 tasks | oldest ≥ 1.0 s (secondary)"
    assert (set(found.ready), set(found.oldest)) == ({"work", "consumed"}, {"work"})


def test_throughput_counts_only_the_time_we_know_of() -> None:
    assert text(overview(), "Throughput") == "100 tasks/min | no change (secondary)"
    assert text(overview(seconds=300.0), "Throughput") == "200 tasks/min | ▲ 2.0 × vs before (secondary)"
    assert one(overview(seconds=0.0), "Throughput").value == "—"


def test_nothing_is_compared_with_a_time_we_know_little_of() -> None:
    young = overview(before=before(CALM, 200.0))
    assert text(young, "Throughput").endswith("no earlier data (secondary)")
    assert text(young, "Failure rate") == "5.0 % | no earlier data (hint)"
    assert text(young, "Run time p95") == "4.00 s | no earlier data (hint)"


def test_the_failure_rate_changes_by_points() -> None:
    worse = overview(before=before(Totals(succeeded=990, failed=10)))
    assert text(worse, "Failure rate") == "5.0 % | ▲ 4.0 points (failed)"
    better = overview(before=before(Totals(succeeded=900, failed=100)))
    assert text(better, "Failure rate") == "5.0 % | ▼ 5.0 points (succeeded)"
    assert one(overview(totals=Totals()), "Failure rate").value == "—"


@pytest.mark.parametrize(
    ("earlier", "expected"),
    [(1.3, "4.00 s | ▲ 3.1 × (failed)"), (3.6, "4.00 s | ▲ 11 % (secondary)"), (3.0, "4.00 s | ▲ 33 % (failed)"),
     (4.1, "4.00 s | ▼ 2 % (succeeded)"), (4.01, "4.00 s | no change (secondary)")],
)  # fmt: skip
def test_a_latency_changes_by_percent_or_by_factor(earlier: float, expected: str) -> None:
    assert text(overview(before=before(Totals(run=Percentiles(p95=earlier)))), "Run time p95") == expected


def test_what_waits_is_shown_with_the_age_of_the_oldest() -> None:
    queues = [Queue("a", NOW, ready=412, oldest=723.0, oldest_exact=True), Queue("b", NOW, ready=122, oldest=2.0)]
    assert text(overview(queues=queues), "Waiting") == "534 tasks | oldest 12 m 03 s (failed)"
    assert (
        text(overview(queues=[Queue("a", NOW, ready=1, oldest=70.0)]), "Waiting")
        == "1 task | oldest ≥ 1 m 10 s (retrying)"
    )
    assert text(overview(queues=[Queue("a", NOW, ready=0)]), "Waiting") == "0 tasks | nothing waits (secondary)"
    assert text(overview(), "Waiting") == "—  | queues not measured (hint)"


def test_the_past_is_told_by_what_was_measured_then() -> None:
    data = overview(
        queues=[Queue("a", NOW, ready=999)],
        ready={"a": series(*[5.0] * 9, 7.0)},
        oldest={"a": series(*[30.0] * 10)},
        active={"w": series(*[2.0] * 10)},
        slots={"w": series(*[4.0] * 10)},
        workers=[Worker("w", NOW, state="lost", slots=4)],
    )
    assert text(data, "Waiting", present=False) == "7 tasks | oldest 30 s (secondary)"
    assert text(data, "Slots busy", present=False) == "2 of 4 | 50 % (secondary)"
    assert one(data, "Workers", present=False).value == "1"


def test_a_missing_worker_is_named_before_a_silent_one() -> None:
    workers = [
        Worker("a", NOW, active=3, slots=4),
        Worker("b", NOW, state="silent", since=NOW - 14, active=1, slots=4),
        Worker("c", NOW, state="lost", since=NOW - 184),
        Worker("d", NOW, state="offline"),
    ]
    assert text(overview(workers=workers), "Workers") == "1 of 3 online | 1 lost 3 m ago (lost)"
    assert text(overview(workers=workers[:2]), "Workers") == "1 of 2 online | 1 silent 14 s (retrying)"
    assert text(overview(workers=workers[:1]), "Workers") == "1 of 1 online | all heard (secondary)"
    assert text(overview(), "Workers") == "—  | none heard yet (hint)"


def test_slots_are_unknown_unless_every_worker_told_them() -> None:
    told, mute = Worker("a", NOW, active=3, slots=4), Worker("b", NOW, active=2)
    assert text(overview(workers=[told]), "Slots busy") == "3 of 4 | 75 % (secondary)"
    assert text(overview(workers=[told, mute]), "Slots busy") == "5 running | slots not known (secondary)"
    assert text(overview(), "Slots busy") == "—  | no worker reports (hint)"


def test_buckets_at_the_edge_of_a_gap_are_not_summed_up() -> None:
    gaps = [Gap(SPAN.start + 90, SPAN.start + 200, "asleep"), Gap(SPAN.start + 540, None, "down")]
    counts = overview_read.whole(series(*range(10)), gaps)
    assert [None if math.isnan(value) else value for value in counts.values] == [
        0,
        None,
        None,
        None,
        4,
        5,
        6,
        7,
        8,
        None,
    ]


def test_a_sparkline_has_few_points_and_leaves_out_what_still_fills() -> None:
    long = Series(0.0, 10.0, [1.0, 3.0] * 60)
    short = overview_read.coarse(long, end=1195.0)
    assert short is not None
    assert len(short.values) == 30
    assert short.values[0] == 2.0
    assert short.step == 40.0


def test_known_seconds_are_those_within_the_span() -> None:
    assert overview_read.known_seconds(Series(0.0, 10.0, [1, NAN, 0, 5]), Span(5.0, 33.0)) == 5 + 10 + 3


def test_a_value_is_parted_from_its_unit() -> None:
    assert [split(text) for text in ("4.56 s", "2 m 05 s", "—", "< 1 µs")] == [
        ("4.56", "s"), ("2 m 05 s", ""), ("—", ""), ("< 1 µs", "")
    ]  # fmt: skip
