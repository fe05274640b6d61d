"""Queue depths on RabbitMQ by passive declaration, which changes nothing: messages ready, and consumers.

Any user may ask so for a queue that he can name. Which queues there are, what is unacknowledged, and what they are
for, only the management API tells (`manager`).
"""

import time
from collections.abc import Callable, Iterable
from itertools import filterfalse, islice
from typing import Final

import amqp
from amqp import spec
from amqp.exceptions import AccessRefused, NotFound, ResourceLocked

from app.collectors.amqp import FAILURES, MAX_NAME, AmqpAddress, amqp_connection, amqp_error, blocked
from app.collectors.amqp_guard import LOOKING, is_quarantine
from app.collectors.manager import Manager, is_for_workers
from app.collectors.queues import MAX_QUEUES, Poll, Turns
from app.models.quarantines import ROLE as QUARANTINE
from app.models.records import Queue

#: Queues asked for at a time, which costs RabbitMQ about a hundredth of a core; where there are more, the management
#: API is believed of those that it tells of. And queues asked for at a time that may not be there.
MAX_ASKED: Final = 100
MAX_DOUBTFUL: Final = 50
#: Seconds until a queue that is not there, or not to be seen, is asked for again: doubling from the first to the last,
#: as RabbitMQ logs each such question as an error.
ABSENT_PAUSE: Final = (15.0, 600.0)
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
        self._turns = Turns(MAX_ASKED)
        api = address.management
        self._manager = None if api is None else Manager(api, on_command=on_command)
        self._on_command = on_command
        self._connection: amqp.Connection | None = None

    def add(self, names: Iterable[str]) -> None:
        """More queues to look at, if workers may consume them."""
        for name in names:
            possible = 0 < len(name.encode("utf-8", "surrogatepass")) <= MAX_NAME
            if len(self._names) < MAX_QUEUES and possible and is_for_workers(name):
                self._names.setdefault(name)

    def close(self) -> None:
        """Close the connections; the next look opens others."""
        if self._manager is not None:
            self._manager.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except FAILURES:
                connection.collect()

    def poll(self) -> Poll:
        """Depths now. Raises `BrokerError` when the broker can't be asked."""
        told: list[Queue] = []
        if self._manager is not None:
            told = self._manager.look()
            self.add(queue.name for queue in told)
        if self._connection is None:
            self._connection = amqp_connection(self._address, "cloche-queues", LOOKING)
        began = time.monotonic()
        try:
            channel = self._connection.channel(CHANNEL)
            queues = self._look(channel, self._turns.take(filterfalse(self._is_told, self._present)))
            for name in self._doubtful(began):
                queues += self._look(channel, [name])
        except FAILURES as error:
            self._connection.collect()
            self._connection = None
            raise amqp_error(error, self._address) from error
        took = time.monotonic() - began
        complete = all(name in self._present or name in self._absent or self._is_told(name) for name in self._names)
        if self._manager is None:
            return Poll(time.time(), queues, None, took, complete=complete)
        queues += (queue for queue in told if queue.name in self._names and self._is_told(queue.name))
        for queue in queues:
            self._manager.fill(queue)
        queues += self._manager.delayed()
        short_of = self._manager.short_of
        alarm = blocked(self._address, " and ".join(short_of)) if short_of else None
        troubles = {"management": self._manager.trouble, "alarm": alarm}
        return Poll(time.time(), queues, None, took, troubles, complete=complete and self._manager.complete)

    def _is_told(self, name: str) -> bool:
        """Whether a queue need not be asked for, as it is one of many that the management API tells of."""
        return len(self._names) > MAX_ASKED and self._manager is not None and self._manager.tells_of(name)

    def _doubtful(self, now: float) -> list[str]:
        never = (0.0, 0.0)
        names = (name for name in self._names if name not in self._present and self._absent.get(name, never)[0] <= now)
        return list(islice(filterfalse(self._is_told, names), MAX_DOUBTFUL))

    def _look(self, channel: amqp.Channel, names: list[str]) -> list[Queue]:
        """Ask for all at once, and again for those behind one that is absent: RabbitMQ passes over them then."""
        queues: list[Queue] = []
        while names:
            self._on_command(1)
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
                role = QUARANTINE if is_quarantine(name) else None
                queues.append(Queue(name, time.time(), ready=ready, consumers=consumers, role=role))
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
