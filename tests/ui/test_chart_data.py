import math

import numpy as np

from app.models.history.charts import Series
from app.ui.widgets import chart_data
from app.ui.widgets.chart_copy import to_csv

NAN = math.nan


def table(**series: list[float]) -> chart_data.Table:
    return chart_data.table({name: Series(1000.0, 10.0, values) for name, values in series.items()}, 10.0)


def drawn(values: chart_data.Floats) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def test_what_is_unknown_stays_unknown_in_a_stack_only_where_nothing_is_known() -> None:
    sums = chart_data.stacked(table(succeeded=[5, NAN, 4, 1], failed=[1, NAN, NAN, 2]))
    assert [drawn(row) for row in sums.values] == [[5, None, 4, 1], [6, None, 4, 3]]


def test_beyond_eight_series_the_smaller_ones_are_one() -> None:
    many = chart_data.table({f"q{n}": Series(0, 1, [float(n), NAN]) for n in range(12)}, 1.0)
    assert many.names == ("q5", "q6", "q7", "q8", "q9", "q10", "q11", "other")
    assert drawn(many.values[-1]) == [0 + 1 + 2 + 3 + 4, None]


def test_a_lone_value_is_a_dash_as_wide_as_its_bucket() -> None:
    x, y = chart_data.line(np.array([5.0, 15.0, 25.0, 35.0]), np.array([1.0, NAN, 7.0, NAN]), 10.0)
    assert x.tolist() == [1.0, 9.0, 15.0, 21.0, 29.0, 35.0]
    assert drawn(y) == [1, 1, None, 7, 7, None]


def test_a_line_without_lone_values_is_drawn_as_it_is() -> None:
    middles, values = np.array([5.0, 15.0, 25.0]), np.array([1.0, 2.0, NAN])
    assert chart_data.line(middles, values, 10.0)[1] is values


def test_the_last_known_bucket_fills_while_its_end_is_yet_to_come() -> None:
    some = table(a=[1, 2, 3, NAN])
    assert some.last() == 2
    assert some.filling(1029.0) == 2
    assert some.filling(1030.0) is None
    assert table(a=[NAN, NAN]).filling(1005.0) is None


def test_a_moment_belongs_to_the_bucket_that_began_before_it() -> None:
    some = table(a=[1, 2, 3])
    assert [some.bucket(time) for time in (999.9, 1000.0, 1009.9, 1010.0, 1029.9, 1030.0)] == [None, 0, 0, 1, 2, None]


def test_a_switched_off_series_is_not_part_of_the_stack() -> None:
    shown = chart_data.visible(table(a=[1.0], b=[10.0], c=[100.0]), {"b"})
    assert chart_data.stacked(shown).values.tolist() == [[1.0], [101.0]]


def test_a_layer_without_height_has_no_line_of_its_own() -> None:
    sums = chart_data.stacked(table(succeeded=[5, 5, 5, 5, NAN], failed=[0, 0, 0, 2, NAN])).values
    assert drawn(chart_data.own_line(sums, 0)) == [5, 5, 5, 5, None]
    assert drawn(chart_data.own_line(sums, 1)) == [None, None, 5, 7, None]


def test_known_stretches_are_told_apart() -> None:
    assert chart_data.runs(np.array([NAN, 1, 2, NAN, 3])) == [(1, 3), (4, 5)]
    assert chart_data.runs(np.array([NAN])) == []


def test_values_are_copied_with_their_times_and_never_as_formulas() -> None:
    some = chart_data.table({"=cmd": Series(0.0, 10.0, [1.5, NAN]), "b": Series(0.0, 10.0, [2.0, 3.0])}, 10.0)
    assert to_csv(some).splitlines() == [
        "time,'=cmd,b",
        "1970-01-01T00:00:00.000Z,1.5,2",
        "1970-01-01T00:00:10.000Z,,3",
    ]
