"""What a collector says of its own rates: true from its first moment on."""

import pytest

from app.collectors.standing import Meter


def test_what_comes_in_the_first_moment_is_not_blown_up_to_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("app.collectors.standing.time.monotonic", lambda: now)
    meter = Meter()
    now += 0.02
    assert meter.message(commands=4, events=30).commands_per_second == 4.0
    now += 3.98
    health = meter.message(commands=8, events=30)
    assert health.commands_per_second == 2.0
