from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from app.ui.widgets import scale

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("highest", "labels"),
    [
        (0, "0 1 2 3 4"),
        (3, "0 1 2 3 4"),
        (5, "0 2 4 6 8"),
        (87, "0 25 50 75 100"),
        (410, "0 120 240 360 480"),
        (9_999, "0 3 k 6 k 9 k 12 k"),
        (2_200_000, "0 0.6 M 1.2 M 1.8 M 2.4 M"),
    ],
)
def test_counts_end_at_round_whole_numbers(highest: float, labels: str) -> None:
    _, ticks = scale.axis(highest, scale.COUNT)
    assert " ".join(text for _, text in ticks) == labels


@pytest.mark.parametrize(
    ("highest", "labels"),
    [
        (0.2, "0 ms 60 ms 120 ms 180 ms 240 ms"),
        (2.7, "0 s 0.75 s 1.50 s 2.25 s 3.00 s"),
        (7.1, "0 s 2 s 4 s 6 s 8 s"),
        (100, "0 s 30 s 1 m 1 m 30 s 2 m"),
        (9_000, "0 s 1 h 2 h 3 h 4 h"),
        (400_000, "0 s 2 d 4 d 6 d 8 d"),
    ],
)
def test_durations_end_at_round_times_with_their_unit(highest: float, labels: str) -> None:
    _, ticks = scale.axis(highest, scale.DURATION)
    assert " ".join(text for _, text in ticks) == labels


def test_an_axis_grows_at_once_and_shrinks_only_when_half_of_it_would_do() -> None:
    top, _ = scale.axis(87, scale.COUNT)
    assert scale.axis(130, scale.COUNT, top)[0] == 160
    assert scale.axis(60, scale.COUNT, top)[0] == top
    assert scale.axis(50, scale.COUNT, top)[0] == top
    assert scale.axis(30, scale.COUNT, top)[0] == 32


@pytest.mark.parametrize("highest", [0, 1e-7, 0.5, 1, 3.99, 4, 39.9, 40, 41, 1e5, 1e9, 5e12])
@pytest.mark.parametrize("unit", [scale.COUNT, scale.DURATION])
def test_the_highest_value_is_always_within_its_axis(unit: scale.Unit, highest: float) -> None:
    top, ticks = scale.axis(highest, unit)
    assert top >= highest
    assert top > 0
    assert len({text for _, text in ticks}) == len(ticks)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC).timestamp()


def labels(start: str, end: str, most: int = 6) -> list[str]:
    return [text for _, text in scale.time_ticks(at(start), at(end), most, BERLIN)]


def test_times_are_round_in_the_viewers_zone() -> None:
    assert labels("2026-11-21 02:50:07", "2026-11-21 03:05:07") == ["02:51", "02:54", "02:57", "03:00", "03:03"]
    assert labels("2026-11-20 20:30", "2026-11-21 02:30") == ["21:00", "22:00", "23:00", "Sat 21 Nov", "01:00", "02:00"]
    assert labels("2026-11-18 12:00", "2026-11-21 12:00", 4) == ["Thu 19 Nov", "Fri 20 Nov", "Sat 21 Nov"]
    assert labels("2026-11-21 02:50:07", "2026-11-21 02:50:27") == ["02:50:10", "02:50:15", "02:50:20", "02:50:25"]


def test_days_begin_at_midnight_also_after_the_clock_was_changed() -> None:
    assert labels("2026-10-24 12:00", "2026-10-27 12:00", 4) == ["Sun 25 Oct", "Mon 26 Oct", "Tue 27 Oct"]
