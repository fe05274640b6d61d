"""Threads that ask a broker on a timer; what they learn goes into one inbox, and trouble is said once."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

from app.collectors.bell import Bell
from app.collectors.errors import AUTH_PAUSE, BrokerError
from app.collectors.queues import Poll, Queues

#: Seconds between two looks at queue depths, and the longest pause after trouble.
QUEUE_PAUSE: Final = 1.0
TROUBLE_PAUSE: Final = 10.0
#: A broker that takes so many seconds to answer is said to be slow (SAFETY F06).
SLOW: Final = 1.0


class Trouble(msgspec.Struct):
    """A poller can't do its work (``error`` is None: it can again); ``key`` names which."""

    key: str
    error: BrokerError | None


Put = Callable[[Poll | Trouble], None]


class QueuePoller(threading.Thread):
    """Looks at queue depths once a second."""

    def __init__(self, queues: Queues, put: Put) -> None:
        super().__init__(name="queues", daemon=True)
        self._queues = queues
        self._put = put
        self._stopping = threading.Event()
        self._bell = Bell()
        self._told: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self._troubles: dict[str, BrokerError] = {}
        self._broken_off = False

    def add(self, names: list[str]) -> None:
        """Queues heard of elsewhere."""
        self._told.put(names)

    def begin_anew(self, drop: Callable[[], None]) -> None:
        """Break off the connection by ``drop`` and look at once; a look that this breaks off is no trouble."""
        self._broken_off = True
        drop()
        self._bell.ring()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._bell.ring()

    def run(self) -> None:
        """Poll until stopped; each poll starts a second after the one before, however long that took."""
        pause = QUEUE_PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            while not self._told.empty():
                self._queues.add(self._told.get())
            try:
                poll = self._queues.poll()
            except BrokerError as error:
                if self._broken_off:
                    self._broken_off = False
                    continue
                self._say({"queues": error})
                pause = AUTH_PAUSE if error.refused else min(pause * 2, TROUBLE_PAUSE)
            else:
                self._say({"queues": None, "slow": _slow(poll.took), **poll.troubles})
                pause = QUEUE_PAUSE
                self._put(poll)
            self._bell.wait(began + pause - time.monotonic())
        self._queues.close()

    def _say(self, troubles: dict[str, BrokerError | None]) -> None:
        """Tell of what is new, or over."""
        for key, error in troubles.items():
            known = self._troubles.get(key)
            if str(known) != str(error):
                self._put(Trouble(key, error))
            if error is None:
                self._troubles.pop(key, None)
            else:
                self._troubles[key] = error


def _slow(took: float) -> BrokerError | None:
    if took < SLOW:
        return None
    return BrokerError("slow", f"The broker took {took:.0f} s to answer. Figures of queues are late by as much.")
