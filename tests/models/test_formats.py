import math
from collections.abc import Callable
from datetime import UTC, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models import formats

MOMENT = 1795230298.1749  # 2026-11-21T03:04:58.174Z
BERLIN = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (4e-7, "< 1 µs"),
        (0.6e-6, "1 µs"),
        (870e-6, "870 µs"),
        (0.9994e-3, "999 µs"),
        (0.9996e-3, "1.00 ms"),
        (1e-3, "1.00 ms"),
        (9.994e-3, "9.99 ms"),
        (9.996e-3, "10.0 ms"),
        (12.34e-3, "12.3 ms"),
        (99.96e-3, "100 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (4.56, "4.56 s"),
        (9.999, "10.0 s"),
        (59.94, "59.9 s"),
        (59.95, "1 m 00 s"),
        (59.999, "1 m 00 s"),
        (125, "2 m 05 s"),
        (3599.4, "59 m 59 s"),
        (3599.6, "1 h 00 m"),
        (3720, "1 h 02 m"),
        (3 * 3600 - 20, "3 h 00 m"),
        (86400 - 29, "1 d 00 h"),
        (3 * 86400 + 4 * 3600, "3 d 04 h"),
        (4000 * 86400, "4,000 d 00 h"),
        (-0.001, "—"),
        (-5.0, "—"),
    ],
)
def test_a_duration_has_three_digits_and_never_leaves_its_unit_by_rounding(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


@given(st.floats(min_value=0, max_value=1e12))
def test_a_duration_never_shows_sixty_seconds_or_a_thousand_of_a_unit(seconds: float) -> None:
    text = formats.duration(seconds)
    assert not text.startswith(("60.0", "1000 ms", "1000 µs"))
    assert " 60 " not in text
    assert " 24 h" not in text


@pytest.mark.parametrize(
    ("seconds", "coarse", "running"),
    [
        (0, "0.0 s", "0 s …"),
        (4.19, "4.1 s", "4 s …"),
        (9.99, "9.9 s", "9 s …"),
        (59.999, "59 s", "59 s …"),
        (119.9, "1 m 59 s", "1 m 59 s …"),
        (599.9, "9 m 59 s", "9 m 59 s …"),
        (723, "12 m 03 s", "12 m …"),
        (7199, "1 h 59 m", "1 h 59 m …"),
        (-3, "0.0 s", "0 s …"),
    ],
)
def test_a_span_that_grows_is_never_rounded_up(seconds: float, coarse: str, running: str) -> None:
    assert formats.coarse(seconds) == coarse
    assert formats.running(seconds) == running


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-4, "0 s"),
        (0, "0 s"),
        (14.9, "14 s"),
        (59.99, "59 s"),
        (60, "1 m"),
        (3599, "59 m"),
        (86399, "23 h"),
        (5 * 86400, "5 d"),
    ],
)
def test_an_age_is_its_largest_unit_and_the_future_is_now(seconds: float, text: str) -> None:
    assert formats.age(seconds) == text


@pytest.mark.parametrize(
    ("n", "long", "short"),
    [
        (0, "0", "0"),
        (999, "999", "999"),
        (999.6, "1,000", "1.0 k"),
        (1243, "1,243", "1.2 k"),
        (9949, "9,949", "9.9 k"),
        (9999, "9,999", "10 k"),
        (999_499, "999,499", "999 k"),
        (999_999, "999,999", "1.0 M"),
        (1_243_000, "1,243,000", "1.2 M"),
        (2e12, "2,000,000,000,000", "2.0 T"),
    ],
)
def test_a_count_has_its_thousands_apart_and_a_short_form(n: float, long: str, short: str) -> None:
    assert formats.count(n) == long
    assert formats.count_short(n) == short


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.00001, "< 0.1 %"),
        (0.0005, "0.1 %"),
        (0.004, "0.4 %"),
        (0.112, "11.2 %"),
        (0.9999, "> 99.9 %"),
        (1, "100 %"),
        (3.1, "310.0 %"),
    ],
)
def test_only_nothing_is_0_percent_and_only_all_is_100(share: float, text: str) -> None:
    assert formats.percent(share) == text


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (999_900, "1.00 MB"),
        (610_000_000, "610 MB"),
        (1.24e9, "1.24 GB"),
        (5e12, "5.00 TB"),
    ],
)
def test_a_size_has_three_digits(n: float, text: str) -> None:
    assert formats.bytes_(n) == text


@pytest.mark.parametrize(
    ("per_unit", "text"), [(0, "0"), (0.254, "0.25"), (34.06, "34.1"), (99.96, "100"), (1243.2, "1,243")]
)
def test_a_rate_has_three_digits_while_it_is_small(per_unit: float, text: str) -> None:
    assert formats.rate(per_unit) == text


def test_moments_are_shown_in_the_asked_timezone_and_iso_in_utc() -> None:
    assert formats.clock_time(MOMENT, tz=UTC) == "03:04:58.174"
    assert formats.clock_time(MOMENT, tz=BERLIN, milliseconds=False) == "04:04:58"
    assert formats.date_time(MOMENT, tz=BERLIN) == "2026-11-21 04:04:58.174"
    assert formats.date_time(MOMENT, tz=BERLIN, milliseconds=False) == "2026-11-21 04:04:58"
    assert formats.iso_utc(MOMENT) == "2026-11-21T03:04:58.174Z"


def test_a_moment_of_another_day_names_the_day() -> None:
    assert formats.near_time(MOMENT, MOMENT + 60, tz=UTC) == "03:04:58.174"
    assert formats.near_time(MOMENT - 86400, MOMENT, tz=UTC) == "20 Nov 03:04:58"
    assert formats.near_time(MOMENT - 86400, MOMENT, brief=True, tz=UTC) == "20 Nov 03:04"


@pytest.mark.parametrize("unknown", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "form",
    [
        formats.duration,
        formats.coarse,
        formats.running,
        formats.age,
        formats.count,
        formats.count_short,
        formats.rate,
        formats.percent,
        formats.bytes_,
        formats.clock_time,
        formats.date_time,
        formats.iso_utc,
    ],
)
def test_unknown_is_a_dash_and_never_a_number(form: Callable[[float | None], str], unknown: float | None) -> None:
    assert form(unknown) == "—"


@pytest.mark.parametrize("impossible", [1e18, -1e18, 1e300])
def test_a_moment_no_calendar_has_is_unknown(impossible: float) -> None:
    assert formats.clock_time(impossible) == formats.date_time(impossible) == formats.iso_utc(impossible) == "—"


@pytest.mark.parametrize(("n", "words"), [(0, "0 workers"), (1, "1 worker"), (2, "2 workers"), (1243, "1,243 workers")])
def test_a_number_has_its_noun(n: int, words: str) -> None:
    assert formats.number_of(n, "worker") == words


@pytest.mark.parametrize(
    ("words", "text"),
    [([], ""), (["a"], "a"), (["a", "b", "c"], "a, b, c"), (["a", "b", "c", "d", "e"], "a, b, c and 2 more")],
)
def test_a_list_says_how_many_are_left_out(words: list[str], text: str) -> None:
    assert formats.listed(words) == text


@pytest.mark.parametrize(
    ("ahead", "text"),
    [
        (None, "—"), (math.nan, "—"), (0.0, "in step"), (0.0999, "in step"), (-0.0999, "in step"),
        (0.1, "100 ms ahead"), (3.2, "3.20 s ahead"), (-75.0, "1 m 15 s behind"),
    ],
)  # fmt: skip
def test_a_clock_is_ahead_or_behind_or_in_step(ahead: float | None, text: str) -> None:
    assert formats.clock_offset(ahead) == text
