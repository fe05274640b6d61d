"""Threads that ask a broker on a timer; what they learn goes into one inbox, and trouble is said once."""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from app.collectors.control import Control
from app.collectors.inspector import from_active_queues, from_stats
from app.collectors.redis_queues import Poll, RedisQueues
from app.collectors.subscriber import AUTH_PAUSE
from app.collectors.transport import BrokerError

#: Seconds between two looks at queue depths, and the longest pause after trouble.
QUEUE_PAUSE: Final = 1.0
TROUBLE_PAUSE: Final = 10.0


class Inspection(msgspec.Struct):
    """What a worker answered."""

    hostname: str
    learnt: Mapping[str, Any]


class Trouble(msgspec.Struct):
    """A poller can't do its work (``error`` is None: it can again); ``key`` names which."""

    key: str
    error: BrokerError | None


Put = Callable[[Poll | Inspection | Trouble], None]


class QueuePoller(threading.Thread):
    """Looks at queue depths once a second."""

    def __init__(self, queues: RedisQueues, put: Put) -> None:
        super().__init__(name="queues", daemon=True)
        self._queues = queues
        self._put = put
        self._stopping = threading.Event()
        self._told: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

    def add(self, names: list[str]) -> None:
        """Queues heard of elsewhere."""
        self._told.put(names)

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def run(self) -> None:
        """Poll until stopped; each poll starts a second after the one before, however long that took."""
        pause, troubled = QUEUE_PAUSE, False
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            began = time.monotonic()
            while not self._told.empty():
                self._queues.add(self._told.get())
            try:
                poll = self._queues.poll()
            except BrokerError as error:
                self._put(Trouble("queues", error))
                pause, troubled = AUTH_PAUSE if error.fault == "auth" else min(pause * 2, TROUBLE_PAUSE), True
            else:
                if troubled:
                    self._put(Trouble("queues", None))
                pause, troubled = QUEUE_PAUSE, False
                self._put(poll)
            due = began + pause
        self._queues.close()


class InspectPoller(threading.Thread):
    """Asks workers for their pool and queues when told which are due."""

    def __init__(self, control: Control, put: Put) -> None:
        super().__init__(name="inspect", daemon=True)
        self._control = control
        self._put = put
        self._due: queue.SimpleQueue[list[str] | None] = queue.SimpleQueue()
        self.idle = True

    def ask(self, hostnames: list[str]) -> None:
        """Ask these workers soon; only while `idle`."""
        self.idle = False
        self._due.put(hostnames)

    def stop(self) -> None:
        """End the thread, even while it waits for answers."""
        self._control.give_up()
        self._due.put(None)

    def run(self) -> None:
        """Ask until stopped."""
        while (hostnames := self._due.get()) is not None:
            try:
                learnt: dict[str, dict[str, Any]] = {hostname: {} for hostname in hostnames}
                for hostname, answer in self._control.ask("stats", hostnames).items():
                    learnt.get(hostname, {}).update(from_stats(answer))
                for hostname, answer in self._control.ask("active_queues", hostnames).items():
                    learnt.get(hostname, {}).update(from_active_queues(answer))
            except BrokerError as error:
                self._put(Trouble("workers", error))
            else:
                self._put(Trouble("workers", None))
                for hostname, fields in learnt.items():
                    self._put(Inspection(hostname, fields))
            self.idle = True
        self._control.close()
