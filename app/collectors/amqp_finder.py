"""Finds the messages of tasks on RabbitMQ by their ids, where a look harms nobody: in quarantines.

What waits in a queue is not looked through: each message would be marked as redelivered, and kept from workers for that
moment, and only those that come next can be seen at all.
"""

from collections.abc import Callable, Iterable

from app.collectors.amqp import AmqpAddress
from app.collectors.amqp_guard import is_quarantine
from app.collectors.amqp_vault import AmqpVault
from app.collectors.errors import BrokerError
from app.collectors.filler import id_in
from app.collectors.originals import Found, Unreadable, of_amqp
from app.collectors.redis_finder import MOST, MOST_BYTES
from app.models.profiles import Mode
from app.models.quarantines import origin


class AmqpFinder:
    """Looks for messages until all are found, ``give_up`` tells to, or enough was looked at."""

    def __init__(self, address: AmqpAddress, mode: Mode, give_up: Callable[[], bool]) -> None:
        self._vault = AmqpVault(address, mode, on_command=lambda _: None)
        self._mode = mode
        self._give_up = give_up
        #: Whether what was not found is in no quarantine: only the management API tells which there are.
        self.complete = mode == "operate" and address.management is not None
        self._looked = self._bytes = 0

    def find(self, ids: Iterable[str], queues: Iterable[str]) -> dict[str, Found]:
        """Messages by the ids of their tasks, in quarantines that are among ``queues``, or that RabbitMQ tells of.

        Those can be looked into in operate mode. Raises `BrokerError`.
        """
        if self._mode != "operate":
            return {}
        wanted, found = set(ids), dict[str, Found]()
        names = {*queues, *(each.name for each in self._vault.quarantines())}
        for name in sorted(filter(is_quarantine, names)):
            queue = (origin(name) or (name,))[0]
            for raw in self._through(name):
                id_ = id_in(raw)
                if id_ in wanted:
                    wanted.discard(id_)
                    found[id_] = _found(raw, queue)
                if not wanted:
                    return found
        return found

    def _through(self, quarantine: str) -> Iterable[bytes]:
        """What is in a quarantine, as far as enough was not looked at; nothing where it is gone meanwhile."""
        try:
            for piece in self._vault.raw(quarantine):
                for raw in piece:
                    self._looked += 1
                    self._bytes += len(raw)
                    yield raw
                if self._looked >= MOST or self._bytes >= MOST_BYTES or self._give_up():
                    self.complete = False
                    return
        except BrokerError as error:
            if error.fault != "absent":
                raise


def _found(raw: bytes, queue: str) -> Found:
    try:
        return Found("quarantine", queue, of_amqp(raw, queue))
    except Unreadable as error:
        return Found("quarantine", queue, None, str(error))
