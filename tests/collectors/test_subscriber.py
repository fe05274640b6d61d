"""What all listeners share: the pauses between attempts, and who may end them."""

import pytest

from app.collectors.errors import BrokerError
from app.collectors.subscriber import BACKOFF, HEALTHY_AFTER, SILENT_PAUSE, Backoff

LOST = BrokerError("network", "gone")


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def test_pauses_double_from_a_quarter_of_a_second_to_ten() -> None:
    backoff = Backoff(middle)
    assert [backoff.after(LOST, 0.0) for _ in range(8)] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


@pytest.mark.parametrize(("draw", "factor"), [(min, 0.75), (max, 1.25)])
def test_jitter_is_a_quarter_in_both_directions(draw: object, factor: float) -> None:
    backoff = Backoff(draw)  # type: ignore[arg-type]
    assert backoff.after(LOST, 0.0) == BACKOFF[0] * factor


def test_jitter_is_drawn_anew_for_each_pause() -> None:
    backoff = Backoff()
    for _ in range(6):
        backoff.after(LOST, 0.0)
    pauses = {backoff.after(LOST, 0.0) for _ in range(20)}
    assert len(pauses) > 1
    assert all(7.5 <= pause <= 12.5 for pause in pauses)


def test_only_a_connection_that_held_makes_the_next_pause_short_again() -> None:
    backoff = Backoff(middle)
    for _ in range(4):
        backoff.after(LOST, 0.0)
    assert backoff.after(LOST, HEALTHY_AFTER) == 4.0
    assert backoff.after(LOST, HEALTHY_AFTER + 0.1) == 0.25


def test_an_attempt_that_nobody_answered_is_followed_by_a_short_pause_at_most() -> None:
    # It took its time itself, and the way may be open again by now (SAFETY F05).
    backoff = Backoff(middle)
    silent = BrokerError("network", "silent")
    silent.__cause__ = TimeoutError()
    assert [backoff.after(silent, 5.0) for _ in range(6)] == [0.25, 0.5, *[SILENT_PAUSE] * 4]


@pytest.mark.parametrize("fault", ["auth", "permission"])
def test_who_was_refused_waits_half_a_minute_at_least(fault: str) -> None:
    assert Backoff(middle).after(BrokerError(fault, "no"), 0.0) >= 30.0  # type: ignore[arg-type]
