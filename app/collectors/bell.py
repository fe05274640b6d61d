"""What wakes the loop of a collector."""

import queue
from contextlib import suppress


class Bell:
    """Like `threading.Event`, but a signal's handler may ring it too.

    An event's `set` takes the lock that its `wait` takes; a handler runs in the thread that waits, and so would wait
    for itself for ever.
    """

    def __init__(self) -> None:
        self._rung: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ring(self) -> None:
        """Wake who waits, or who waits next."""
        self._rung.put(None)

    def wait(self, seconds: float) -> None:
        """Until it is rung, or was since the last time."""
        with suppress(queue.Empty):
            self._rung.get(timeout=max(0.0, seconds))
            while True:
                self._rung.get_nowait()
