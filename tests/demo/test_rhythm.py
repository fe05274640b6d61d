import time
from collections.abc import Callable

import pytest

from app.demo.rhythm import Rhythm, happens, work


class Enough(Exception):
    """Ends a rhythm, which never ends by itself."""


def collect(into: list[str], word: str, *, until: int) -> Callable[[], None]:
    def act() -> None:
        into.append(word)
        if len(into) >= until:
            raise Enough

    return act


def test_actions_come_in_the_order_of_their_moments() -> None:
    said: list[str] = []
    rhythm = Rhythm()
    rhythm.after(0.02, collect(said, "second", until=2))
    rhythm.after(0.0, collect(said, "first", until=2))
    with pytest.raises(Enough):
        rhythm.run()
    assert said == ["first", "second"]


def test_often_means_that_often_on_average() -> None:
    said: list[str] = []
    rhythm = Rhythm()
    rhythm.often(1000.0, collect(said, "tick", until=300))
    start = time.monotonic()
    with pytest.raises(Enough):
        rhythm.run()
    assert 0.1 < time.monotonic() - start < 3.0


def test_what_never_happens_never_happens_and_what_always_does_does() -> None:
    assert not any(happens(0.0) for _ in range(100))
    assert all(happens(1.0) for _ in range(100))


def test_work_takes_about_as_long_as_it_typically_does() -> None:
    assert 0.0001 < work(0.001) <= 0.008
