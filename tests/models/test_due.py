from datetime import datetime, timedelta

import pytest

from app.models import due

NOW = datetime(2026, 11, 22, 12, 30).astimezone().timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("0.5", 0.5), ("500ms", 0.5), ("1h30m", 5400), (" 2 d ", 172800), ("1h 30m", 5400), ("1W", 604800)],
)
def test_a_length_of_time(text: str, seconds: float) -> None:
    assert due.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5", "5 parsecs", "1e3", "٣s", "9" * 40])
def test_what_is_no_length_of_time_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a length of time|too long"):
        due.seconds(text)


@pytest.mark.parametrize(("text", "later"), [("10m", 600), ("in 10m", 600), ("+1h", 3600), ("90", 90)])
def test_a_time_may_be_so_long_from_now(text: str, later: float) -> None:
    assert due.moment(text, NOW) == NOW + later


def test_a_time_of_day_is_the_next_one() -> None:
    today = datetime(2026, 11, 22).astimezone()
    assert due.moment("23:00", NOW) == (today + timedelta(hours=23)).timestamp()
    assert due.moment("3:15", NOW) == datetime(2026, 11, 23, 3, 15).astimezone().timestamp()


def test_a_date_may_name_its_timezone() -> None:
    assert due.moment("2026-11-23 03:00", NOW) == datetime(2026, 11, 23, 3).astimezone().timestamp()
    assert due.moment("2026-12-01T00:00:00Z", NOW) == 1796083200


@pytest.mark.parametrize("text", ["tomorrow", "25:00", "2026-02-30", "99999-01-01"])
def test_what_is_no_time_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        due.moment(text, NOW)


def test_what_is_over_is_no_time_to_come() -> None:
    with pytest.raises(ValueError, match="is over"):
        due.moment("2020-01-01", NOW)
