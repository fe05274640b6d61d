"""What every listener to Celery's events has in common: a thread that only drains, a bounded ring, and reconnection.

Draining and decoding are apart because a listener that is slow to read is cut off (Redis) or loses what is too old
(RabbitMQ): the draining thread copies what came into the ring, and the collector's own thread works out what it means.
"""

import random
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from app.collectors.errors import AUTH_PAUSE, BrokerError
from app.collectors.normalise import Normaliser
from app.models.records import Event

#: Bytes taken from the broker and not yet decoded at most; beyond, the broker holds them for us.
RING_LIMIT: Final = 160 << 20
#: Bytes asked of a socket at once.
READ_SIZE: Final = 1 << 20
#: After a read that did not fill the buffer, more is let gather for so long: a tenth of the wake-ups at 3,000 events/s.
GATHER: Final = 0.004
#: A read of fewer bytes is worth that wait; one of more means that the broker presses.
MUCH: Final = 128 << 10
#: A PING goes out when nothing came for so long, and the connection is given up after that long without an answer
#: (SAFETY F04: 15 s).
PING_AFTER: Final = 2.0
DEAD_AFTER: Final = 12.0
#: Pause between attempts to connect: doubling from the first to the last, with jitter.
BACKOFF: Final = (0.25, 10.0)
#: A connection that held for so long was a good one: the next pause is short again.
HEALTHY_AFTER: Final = 30.0
#: The longest pause after an attempt that nobody answered: it took its time already, and the way may be open again.
SILENT_PAUSE: Final = 1.0


class DamagedStream(Exception):
    """What came can't be cut into messages any more: the connection it came over is of no use."""


class Closed(ConnectionError):
    """The broker closed the connection in order: all that it had sent was received."""

    def __init__(self) -> None:
        super().__init__("it closed the connection")


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


class Backoff:
    """How long to wait between two attempts to connect; ``jitter`` draws from a range, as `random.uniform`."""

    def __init__(self, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._jitter = jitter
        self._next = BACKOFF[0]

    def after(self, error: BrokerError, lasted: float) -> float:
        """Seconds to wait after a connection, or an attempt at one, that ended with an error after ``lasted``."""
        if lasted > HEALTHY_AFTER:
            self.reset()
        pause, self._next = self._next, min(self._next * 2, BACKOFF[1])
        if error.refused:
            return AUTH_PAUSE
        if isinstance(error.__cause__, TimeoutError):
            pause = min(pause, SILENT_PAUSE)
        return pause * self._jitter(0.75, 1.25)

    def reset(self) -> None:
        """Begin with the shortest again."""
        self._next = BACKOFF[0]


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
        #: Whether the broker has more for us than we took yet: then taking it comes before all else.
        self.pressed = False
        self._ring: deque[Chunk | Link] = deque()
        self._room = threading.Condition()
        self._held = 0
        self._backoff = Backoff()
        self._hurry = threading.Event()
        self._reason: BrokerError | None = None

    def listen(self) -> None:
        """Connect, subscribe, and `put` a `Link` and then chunks until stopped.

        Raises `BrokerError` when that fails or ends; its cause is a ``TimeoutError`` where the broker fell silent, and
        its ``since`` is the moment up to which all was received, where that is known better than by this and `heard`.
        """
        raise NotImplementedError

    @property
    def full(self) -> bool:
        """Whether no more should be taken from the broker now."""
        return self._held >= RING_LIMIT

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

    def next(self) -> Chunk | Link | None:
        """What came first of what was not taken yet; None where nothing is left."""
        if not self._ring:
            return None
        item = self._ring.popleft()
        if not isinstance(item, Link):
            with self._room:
                self._held -= item.size
                self._room.notify()
        return item

    @property
    def fill(self) -> float:
        """How full the ring is, from 0 to 1."""
        return self._held / RING_LIMIT

    def stop(self) -> None:
        """End the thread; it wakes from whatever it waits for."""
        self.stopping.set()
        self._hurry.set()
        with self._room:
            self._room.notify()

    def reconnect(self) -> None:
        """Give the present connection up: what came over it made no sense."""
        self.damaged.set()

    def give_up(self, reason: BrokerError) -> None:
        """Give the present connection up for a reason that it can't know itself, and connect anew at once."""
        self._reason = reason
        self.break_off()
        self._hurry.set()

    def break_off(self) -> None:
        """Let `listen` end soon; may be called from any thread."""
        self.damaged.set()

    def run(self) -> None:
        """Listen; again after a pause when that ends."""
        while not self.stopping.is_set():
            began = time.monotonic()
            self._hurry.clear()
            self.damaged.clear()
            self._reason = None
            try:
                self.listen()
            except BrokerError as error:
                self._end(error, time.monotonic() - began)

    def _end(self, error: BrokerError, lasted: float) -> None:
        reason = self._reason or error
        self.put(Link(self._lost(reason), reason))
        self.heard = None
        self.pressed = False
        pause = self._backoff.after(error, lasted)
        if reason is error:
            self._hurry.wait(pause)
        else:
            self._backoff.reset()

    def _lost(self, error: BrokerError) -> float:
        """Since when we are deaf."""
        if error.since is not None:
            return error.since
        if isinstance(error.__cause__, TimeoutError) and self.heard is not None:
            return self.heard  # who fell silent may have been gone since
        return time.time()

    def put(self, item: Chunk | Link) -> None:
        """Add to the ring; waits while it is full."""
        if not isinstance(item, Link):
            with self._room:
                self._room.wait_for(lambda: not self.full or self.stopping.is_set())
                self._held += item.size
        self._ring.append(item)
        self._wake()


def receive(connection: socket.socket, buffer: memoryview) -> int:
    """Bytes that wait in a socket that does not block, as many as the buffer holds; 0 if there are none now.

    All of it is asked for, as TLS gives out no more than 16 KB at a time. Raises `Closed` at the end of the stream,
    another ``OSError`` where it breaks off.
    """
    size = 0
    while size < len(buffer):
        try:
            count = connection.recv_into(buffer[size:])
        except (BlockingIOError, ssl.SSLWantReadError):
            break
        except OSError:
            if size:
                break
            raise
        if not count:
            if size:
                break
            raise Closed
        size += count
    return size
