"""Queue depths on RabbitMQ by passive declaration, which changes nothing: messages ready, and consumers.

Any user may ask so for a queue that he can name. What is unacknowledged, and which queues there are, only the
management API tells.
"""

import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

import amqp
from amqp import spec
from amqp.exceptions import AccessRefused, NotFound, ResourceLocked

from app.collectors.amqp import FAILURES, MAX_NAME, AmqpAddress, amqp_connection, amqp_error
from app.collectors.amqp_guard import LOOKING
from app.collectors.errors import BrokerError
from app.collectors.management import Managed, Management
from app.collectors.queues import MAX_QUEUES, Poll, Turns
from app.models.records import Queue

#: Queues asked for at a time that may not be there.
MAX_DOUBTFUL: Final = 50
#: Seconds until a queue that is not there, or not to be seen, is asked for again: doubling from the first to the last,
#: as RabbitMQ logs each such question as an error.
ABSENT_PAUSE: Final = (15.0, 600.0)
#: Seconds between two looks at the management API, which has new figures that often, and between two pages of one.
MANAGE_PAUSE: Final = 5.0
MANAGE_PAGE_PAUSE: Final = 1.0
#: The one channel: to open one for each look is what RabbitMQ warns of as churn.
CHANNEL: Final = 1


class AmqpQueues:
    """Looks at queues over one connection. Not thread-safe.

    Parameters: ``names`` are queues always shown; others are told with `add`.
    """

    def __init__(self, address: AmqpAddress, names: Iterable[str] = (), *, on_command: Callable[[int], None]) -> None:
        self._address = address
        self._shown = frozenset(names)
        self._names: dict[str, None] = dict.fromkeys(self._shown)
        self._present: dict[str, None] = {}
        #: When queues that are absent are asked for again, and after which pause.
        self._absent: dict[str, tuple[float, float]] = {}
        self._turns = Turns()
        self._management = address.management
        self._managed: dict[str, Managed] = {}
        self._manage_at = 0.0
        self._page = 1
        self._trouble: BrokerError | None = None
        self._on_command = on_command
        self._connection: amqp.Connection | None = None

    def add(self, names: Iterable[str]) -> None:
        """More queues to look at."""
        for name in names:
            if len(self._names) < MAX_QUEUES and 0 < len(name.encode("utf-8", "surrogatepass")) <= MAX_NAME:
                self._names.setdefault(name)

    def close(self) -> None:
        """Close the connection; the next look opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except FAILURES:
                connection.collect()

    def poll(self) -> Poll:
        """Depths now. Raises `BrokerError` when the broker can't be asked."""
        if self._connection is None:
            self._connection = amqp_connection(self._address, "cloche-queues", LOOKING)
        began = time.monotonic()
        if self._management is not None and began >= self._manage_at:
            self._manage(self._management, began)
        try:
            channel = self._connection.channel(CHANNEL)
            queues = self._look(channel, self._turns.take(self._present))
            for name in self._doubtful(began):
                queues += self._look(channel, [name])
        except FAILURES as error:
            self._connection.collect()
            self._connection = None
            raise amqp_error(error, self._address) from error
        complete = self._page == 1 and all(name in self._present or name in self._absent for name in self._names)
        for queue in queues:
            managed = self._managed.get(queue.name)
            queue.unacked = None if managed is None else managed.unacked
        troubles, took = {"management": self._trouble}, time.monotonic() - began
        return Poll(time.time(), queues, None, took, troubles, complete=complete)

    def _manage(self, management: Management, now: float) -> None:
        """Learn which queues there are, and what of them is unacknowledged: a page of them at a time."""
        self._manage_at = now + MANAGE_PAUSE
        self._on_command(1)
        try:
            found, pages = management.queues(self._page)
        except BrokerError as error:
            # All else works without it.
            self._trouble = error
            self._managed, self._page = {}, 1
            return
        self._trouble = None
        self._page = self._page + 1 if self._page < pages else 1
        if self._page > 1:
            self._manage_at = now + MANAGE_PAGE_PAUSE
        if pages == 1 or len(self._managed) > MAX_QUEUES:
            self._managed = {}
        self._managed |= {queue.name: queue for queue in found}
        self.add(queue.name for queue in found if not _is_ours(queue.name))

    def _doubtful(self, now: float) -> list[str]:
        never = (0.0, 0.0)
        names = (name for name in self._names if name not in self._present and self._absent.get(name, never)[0] <= now)
        return list(islice(names, MAX_DOUBTFUL))

    def _look(self, channel: amqp.Channel, names: list[str]) -> list[Queue]:
        """Ask for all at once, and again for those behind one that is absent: RabbitMQ passes over them then."""
        queues: list[Queue] = []
        while names:
            self._on_command(len(names))
            for name in names:
                channel.send_method(spec.Queue.Declare, "BsbbbbbF", (0, name, True, False, False, False, False, {}))
            for at, name in enumerate(names, start=1):
                try:
                    _, ready, consumers = channel.wait(spec.Queue.DeclareOk, returns_tuple=True)
                except (AccessRefused, NotFound, ResourceLocked):
                    # py-amqp has reopened the channel.
                    queues += self._missing(name)
                    names = names[at:]
                    break
                self._present[name] = None
                self._absent.pop(name, None)
                queues.append(Queue(name, time.time(), ready=ready, consumers=consumers))
            else:
                break
        return queues

    def _missing(self, name: str) -> list[Queue]:
        """Nothing is known of a queue that is not there any more, and nothing is said of one that never was."""
        before = self._absent.get(name)
        pause = ABSENT_PAUSE[0] if before is None else min(before[1] * 2, ABSENT_PAUSE[1])
        self._absent[name] = (time.monotonic() + pause, pause)
        said = name in self._present or name in self._shown
        self._present.pop(name, None)
        return [Queue(name, time.time())] if said else []


def _is_ours(name: str) -> bool:
    """Whether a queue carries events or remote control, and no tasks: those of listeners like us, and of workers."""
    return name.startswith(("celeryev.", "amq.gen-")) or name.endswith(".pidbox") or ".cloche." in name
