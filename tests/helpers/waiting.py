"""Waiting for a fact with a deadline, instead of for time to pass."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 20.0


def eventually(fact: Callable[[], T], what: str = "", *, within: float = PATIENCE) -> T:
    """The first true value of ``fact``; the test fails where it does not come true within so many seconds."""
    deadline = time.monotonic() + within
    while not (value := fact()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what or fact}; it is {value!r}"
        time.sleep(0.01)
    return value
