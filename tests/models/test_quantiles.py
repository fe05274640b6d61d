"""Percentiles of many histograms at once are those of each one alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.models import quantiles
from app.models.quantiles import LAST, percentiles_of
from app.models.rollups import Percentiles, merge, pack, percentiles, seconds_of

HISTOGRAMS = st.dictionaries(st.integers(0, 2_000), st.integers(1, 2**32 - 1), max_size=20)
STORED = st.lists(HISTOGRAMS, max_size=4).map(lambda parts: [pack(part) or b"" for part in parts])


@settings(max_examples=300, deadline=None)
@given(st.lists(STORED, max_size=9))
def test_percentiles_of_many_are_those_of_each(packed: list[list[bytes]]) -> None:
    assert percentiles_of(packed) == [percentiles(merge(histograms)) for histograms in packed]


def test_more_than_are_laid_out_at_once_are_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantiles, "_AT_ONCE", 7)
    packed = [[pack({number: 1}) or b""] for number in range(100)]
    assert [found.p50 for found in percentiles_of(packed)] == [seconds_of(number) for number in range(100)]


def test_where_nothing_was_measured_there_is_no_percentile() -> None:
    assert percentiles_of([]) == []
    assert percentiles_of([[], [b""]]) == [Percentiles(), Percentiles()]
    assert percentiles_of([[], [pack({3: 2}) or b""]])[0] == Percentiles()


def test_a_bucket_that_can_not_be_takes_no_room() -> None:
    found = percentiles_of([[pack({2**32 - 1: 1}) or b""]])
    assert found[0].p50 == seconds_of(LAST)


@pytest.mark.parametrize("damaged", [[[b"\0"]], [[b"\0" * 12]], [[b"\0" * 4], [b"\0" * 4]]])
def test_what_is_no_histogram_is_refused(damaged: list[list[bytes]]) -> None:
    with pytest.raises(ValueError, match="no histograms"):
        percentiles_of(damaged)
