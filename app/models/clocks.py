"""How far other hosts' clocks are from ours, and their times in ours where that matters.

The way of a message takes time, but never less than none: of a few messages the one that seems to have come fastest
tells the clocks apart. A difference that may as well be the way of a message is left alone; a larger one is taken out
of every time that the host tells, so that all times of a history can be compared and waits are right (DESIGN 4).
"""

from collections import deque
from typing import Final

import msgspec

from app.models.records import Event

#: Events that are sent the moment they are made.
PROMPT: Final = frozenset({"worker-online", "worker-heartbeat", "task-sent"})
#: Samples that a clock is judged by, each the fastest message of so many seconds; with how many, over how many
#: seconds, a clock may be found to be behind. One that is ahead is known by one message: none comes from the future.
SAMPLES: Final = 15
APART: Final = 1.0
FEWEST: Final = 3
SPAN: Final = 2.0
#: No message takes so many seconds longer than another one (RabbitMQ keeps ours for 300): the clock was set.
SET_BY: Final = 600.0
#: Seconds of difference from which on times are taken into our clock, and by which that changes.
TRUSTED: Final = 2.0
STEP: Final = 1.0
#: Hosts whose clocks are watched, and names of the processes on them that are remembered.
HOSTS: Final = 20_000


class _Clock(msgspec.Struct):
    samples: deque[tuple[float, float]]
    offset: float | None = None
    #: What is added to the host's times.
    correction: float = 0.0

    def watch(self, timestamp: float, seen: float) -> None:
        samples, difference = self.samples, seen - timestamp
        if self.offset is not None and difference + self.offset > SET_BY:
            samples.clear()
            self.correction = 0.0
        if not samples or seen - samples[-1][0] >= APART:
            samples.append((seen, difference))
        elif difference < samples[-1][1]:
            samples[-1] = (samples[-1][0], difference)
        else:
            return
        behind = min(difference for _, difference in samples)
        self.offset = -behind
        if behind > -TRUSTED and (len(samples) < FEWEST or seen - samples[0][0] < SPAN):
            return
        wanted = behind if abs(behind) > TRUSTED else 0.0
        # It stays the same while it can: what is told twice has to be the same moment twice.
        if abs(wanted - self.correction) > STEP:
            self.correction = wanted


class Clocks:
    """Clocks by host; processes of one host (what follows the ``@`` of a worker's name) share one."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Clock] = {}
        self._names: dict[str, _Clock] = {}
        #: Whether any host's times are to be corrected.
        self.differ = False

    def watch(self, event: Event) -> None:
        """Take an event that is `PROMPT`, and `correct` it."""
        clock = self._of(event.hostname)
        clock.watch(event.timestamp, event.seen)
        if clock.correction:
            self.differ = True
            event.timestamp += clock.correction

    def offset(self, hostname: str) -> float | None:
        """Seconds that a host's clock is ahead of ours; None while it is not known."""
        clock = self._names.get(hostname)
        return None if clock is None else clock.offset

    def correct(self, event: Event) -> None:
        """Put an event's time into our clock, where its host's is known to differ."""
        event.timestamp += self._of(event.hostname).correction

    def correction(self, hostname: str) -> float:
        """Seconds that are to be added to times that a host tells."""
        return self._of(hostname).correction

    def _of(self, hostname: str) -> _Clock:
        clock = self._names.get(hostname)
        if clock is None:
            # Producers are many short-lived processes of few hosts.
            if len(self._names) >= HOSTS:
                self._names.clear()
            if len(self._hosts) >= HOSTS:
                self._names.clear()
                self._hosts.clear()
            host = hostname.rpartition("@")[2]
            clock = self._hosts.get(host) or self._hosts.setdefault(host, _Clock(deque(maxlen=SAMPLES)))
            self._names[hostname] = clock
        return clock
