"""What every listener to Celery's events has in common: a thread that only drains, a bounded ring, and reconnection.

Draining and decoding are apart because a listener that is slow to read is cut off (Redis) or loses what is too old
(RabbitMQ): the draining thread copies what came into the ring, and the collector's own thread works out what it means.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from app.collectors.normalise import Normaliser
from app.collectors.transport import BrokerError
from app.models.records import Event

#: Bytes taken from the broker and not yet decoded at most; beyond, the broker holds them for us.
RING_LIMIT: Final = 256 << 20
#: A PING goes out when nothing came for so long, and the connection is given up after that long without an answer
#: (SAFETY F04).
PING_AFTER: Final = 5.0
DEAD_AFTER: Final = 15.0
#: Pause between attempts to connect: doubling from the first to the last, with jitter.
BACKOFF: Final = (0.25, 10.0)
#: A connection that held for so long was a good one: the next pause is short again.
HEALTHY_AFTER: Final = 30.0
#: A refused sign-in is tried again this rarely, so that no account gets locked.
AUTH_PAUSE: Final = 30.0


class DamagedStream(Exception):
    """What came can't be cut into messages any more: the connection it came over is of no use."""


class Chunk(Protocol):
    """Some of what came, as it came."""

    @property
    def seen(self) -> float:
        """When it came."""

    @property
    def size(self) -> int:
        """Its bytes."""

    def decode(self, normaliser: Normaliser, out: list[Event]) -> None:
        """Append the events that are complete with this chunk. Raises `DamagedStream`."""


class Link(msgspec.Struct):
    """The subscription began (``error`` is None) or was lost, at ``at``."""

    at: float
    error: BrokerError | None = None


class Subscriber(threading.Thread):
    """Subscribes to the event exchange until stopped, whatever happens to the connection.

    ``wake`` is called from this thread whenever `take` has something new.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__(name="events", daemon=True)
        self.stopping = threading.Event()
        self.damaged = threading.Event()
        #: When we last heard of the broker over the present connection; None without one.
        self.heard: float | None = None
        self._wake = wake
        self._ring: deque[Chunk | Link] = deque()
        self._room = threading.Condition()
        self._held = 0

    def listen(self) -> None:
        """Connect, subscribe, and `put` a `Link` and then chunks until stopped.

        Raises `BrokerError` when that fails or ends; its cause is a ``TimeoutError`` where the broker fell silent.
        """
        raise NotImplementedError

    def take(self) -> list[Chunk | Link]:
        """All that came since the last call, in order."""
        taken = []
        ring = self._ring
        while ring:
            taken.append(ring.popleft())
        with self._room:
            self._held -= sum(item.size for item in taken if not isinstance(item, Link))
            self._room.notify()
        return taken

    def stop(self) -> None:
        """End the thread; it wakes from whatever it waits for."""
        self.stopping.set()
        with self._room:
            self._room.notify()

    def reconnect(self) -> None:
        """Give the present connection up: what came over it made no sense."""
        self.damaged.set()

    def run(self) -> None:
        """Listen; again after a pause when that ends."""
        pause = BACKOFF[0]
        while not self.stopping.is_set():
            began = time.monotonic()
            self.damaged.clear()
            try:
                self.listen()
            except BrokerError as error:
                # Who fell silent may have been gone since we last heard of him.
                silent = isinstance(error.__cause__, TimeoutError) and self.heard is not None
                lost = self.heard if silent and self.heard is not None else time.time()
                self.heard = None
                self.put(Link(lost, error))
                if time.monotonic() - began > HEALTHY_AFTER:
                    pause = BACKOFF[0]
                jitter = random.uniform(0.75, 1.25)  # noqa: S311 - no secret
                self.stopping.wait(AUTH_PAUSE if error.fault == "auth" else pause * jitter)
                pause = min(pause * 2, BACKOFF[1])

    def put(self, item: Chunk | Link) -> None:
        """Add to the ring; waits while it is full."""
        if not isinstance(item, Link):
            with self._room:
                self._room.wait_for(lambda: self._held < RING_LIMIT or self.stopping.is_set())
                self._held += item.size
        self._ring.append(item)
        self._wake()
