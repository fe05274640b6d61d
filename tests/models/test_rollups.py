"""Counters and latency histograms of a bucket of time: what is put in comes out, within one percent."""

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.models.rollups import (
    SHORTEST,
    Cell,
    Gauge,
    Percentiles,
    bucket_of,
    cell_from_row,
    merge,
    pack,
    percentiles,
    seconds_of,
)

DURATIONS = st.floats(min_value=SHORTEST, max_value=1e9)
HISTOGRAMS = st.dictionaries(st.integers(0, 2_000), st.integers(1, 2**32 - 1), max_size=20)


@settings(max_examples=1_000, deadline=None)
@given(DURATIONS)
def test_a_bucket_stands_for_its_durations_within_one_percent(seconds: float) -> None:
    assert seconds_of(bucket_of(seconds)) == pytest.approx(seconds, rel=0.0101)


@settings(max_examples=500, deadline=None)
@given(DURATIONS, DURATIONS)
def test_longer_is_never_in_a_lower_bucket(one: float, other: float) -> None:
    assert (bucket_of(one) <= bucket_of(other)) or one > other


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-9, SHORTEST])
def test_the_shortest_share_the_first_bucket(seconds: float) -> None:
    assert bucket_of(seconds) == 0


@settings(max_examples=300, deadline=None)
@given(st.lists(HISTOGRAMS, max_size=4))
def test_stored_histograms_add_up(histograms: list[dict[int, int]]) -> None:
    expected: dict[int, int] = {}
    for histogram in histograms:
        for bucket, count in histogram.items():
            expected[bucket] = expected.get(bucket, 0) + count
    assert merge(pack(histogram) for histogram in histograms) == expected


def test_a_stored_histogram_is_little_endian_on_every_machine() -> None:
    assert pack({7: 1, 9: 3}) == struct.pack("<IIII", 7, 1, 9, 3)
    assert pack({}) is None
    assert merge([None, b"", struct.pack("<II", 7, 1)]) == {7: 1}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(min_value=SHORTEST, max_value=1e6), min_size=1, max_size=200))
def test_percentiles_are_those_of_the_nearest_rank_within_one_percent(durations: list[float]) -> None:
    histogram: dict[int, int] = {}
    for seconds in durations:
        histogram[bucket_of(seconds)] = histogram.get(bucket_of(seconds), 0) + 1
    found, ordered = percentiles(histogram), sorted(durations)
    for key, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert getattr(found, key) == pytest.approx(ordered[math.ceil(share * len(ordered)) - 1], rel=0.0101), key


def test_nothing_measured_has_no_percentiles() -> None:
    assert percentiles({}) == Percentiles(None, None, None)


def test_one_measurement_is_every_percentile() -> None:
    found = percentiles({bucket_of(2.0): 1})
    assert found.p50 == found.p95 == found.p99 == pytest.approx(2.0, rel=0.0101)


@settings(max_examples=100, deadline=None)
@given(st.builds(Cell, *[st.integers(0, 2**40)] * 9, st.floats(0, 1e9), HISTOGRAMS, HISTOGRAMS))
def test_a_cell_is_read_back_as_it_was_stored(cell: Cell) -> None:
    assert cell_from_row(cell.row()) == cell


def test_cells_do_not_share_their_histograms() -> None:
    one, other = Cell(), Cell()
    one.wait[1] = 1
    assert other.wait == {}


def test_a_gauge_is_the_sum_and_number_of_its_measurements() -> None:
    gauge = Gauge()
    for value in (3.0, 0.0, -1.0):
        gauge.add(value)
    assert (gauge.total, gauge.n) == (2.0, 3)
