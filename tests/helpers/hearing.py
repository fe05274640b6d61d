"""A subscriber to Redis as tests listen through it: what it delivered, link by link."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.collectors.redis_events import RedisChunk, RedisEvents
from app.collectors.subscriber import Link
from app.collectors.transport import RedisAddress, redis_address
from tests.helpers.waiting import eventually


class Heard:
    """All that a subscriber delivered, in order."""

    def __init__(self, broker: str | RedisAddress, options: dict[str, str] | None = None, **patience: float) -> None:
        address = redis_address(broker, None, options) if isinstance(broker, str) else broker
        self._came = threading.Event()
        self.stream = RedisEvents(address, self._came.set, **patience)
        self.payloads: list[bytes] = []
        self.links: list[Link] = []

    def take(self) -> "Heard":
        """Take what came since."""
        for item in self.stream.take():
            if isinstance(item, Link):
                self.links.append(item)
            else:
                assert isinstance(item, RedisChunk)
                self.payloads += item.messages()
        return self

    def linked(self, times: int = 1) -> bool:
        """Whether it is or was subscribed so many times."""
        return sum(link.error is None for link in self.take().links) >= times

    def faults(self) -> list[Any]:
        """Why it lost its subscription, or did not get it, each time."""
        return [link.error.fault for link in self.take().links if link.error is not None]

    def lost(self) -> Link:
        """The first loss."""
        return next(link for link in self.take().links if link.error is not None)

    def gap(self) -> float:
        """Seconds from the first loss to the subscription after it."""
        lost = self.take().links.index(self.lost())
        return next(link.at for link in self.links[lost:] if link.error is None) - self.links[lost].at


@contextmanager
def listening(broker: str | RedisAddress, options: dict[str, str] | None = None, **patience: float) -> Iterator[Heard]:
    """A subscriber that runs, for as long as the context lasts."""
    heard = Heard(broker, options, **patience)
    heard.stream.start()
    try:
        yield heard
    finally:
        heard.stream.stop()
        heard.stream.join()


@contextmanager
def subscribed(broker: str | RedisAddress, options: dict[str, str] | None = None, **patience: float) -> Iterator[Heard]:
    """A subscriber that is subscribed."""
    with listening(broker, options, **patience) as heard:
        eventually(heard.linked, "the subscription")
        yield heard
