"""A collector says how the lock stands: at its start, and when the time is over."""

from pathlib import Path

import pytest

from app.collectors import access
from app.models.acts import Standing
from app.models.wire import Lock, Unlock
from tests.helpers.collecting import Running, collecting
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually


def standings(running: Running) -> list[bool]:
    """Whether it was unlocked each time that it was said, without repetitions."""
    said = [told.unlocked is not None for told in running.said if isinstance(told, Standing)]
    return [now for place, now in enumerate(said) if place == 0 or now != said[place - 1]]


def test_it_locks_by_itself_and_says_so(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "UNLOCKED", 1.0)
    with collecting(redis_server.url, tmp_path / "h.cloche", mode="operate", environment="production") as running:
        first = next(told for told in running.said if isinstance(told, Standing))
        assert first == Standing(None, "production")
        running.collector.take(Unlock("production"))
        eventually(lambda: standings(running) == [False, True, False], "that it locks by itself")


def test_it_is_locked_at_once_when_that_is_wanted(redis_server: RedisServer, tmp_path: Path) -> None:
    with collecting(redis_server.url, tmp_path / "h.cloche", mode="operate", environment="staging") as running:
        running.collector.take(Unlock())
        eventually(lambda: standings(running) == [False, True], "that it is unlocked")
        running.collector.take(Lock())
        eventually(lambda: standings(running) == [False, True, False], "that it is locked")
