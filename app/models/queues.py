"""The queues that are known, and how they are as last polled."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from app.models.records import Queue, Worker
from app.models.rollups import Gauge

#: What is measured of queues over time.
_MEASURED: Final = ("ready", "unacked", "oldest", "rate_in", "rate_out")


class Queues:
    """Queues by name, in ``by_name``. ``gauge`` finds where a kind of measured value of a queue is summed up."""

    def __init__(self, known: Iterable[Queue], gauge: Callable[[str, str], Gauge]) -> None:
        self.by_name: dict[str, Queue] = {queue.name: queue for queue in known if not queue.gone}
        self._gauge = gauge
        self._changed: dict[str, Queue] = {}

    def hear_of(self, name: str, now: float) -> None:
        """Somebody named a queue at ``now``."""
        if name not in self.by_name:
            self._put(Queue(name, now))

    def came(self, name: str, number: int = 1) -> None:
        """So many messages were sent into a queue."""
        self._gauge("queue.in", name).add(number)

    def went(self, name: str, number: int = 1) -> None:
        """So many of its tasks were started."""
        self._gauge("queue.out", name).add(number)

    def poll(self, polled: Iterable[Queue], workers: Iterable[Worker], now: float) -> None:
        """Take queues as they were polled at ``now``; who consumes them is told by workers, where the broker can't."""
        consumers = _consumers(workers)
        for queue in polled:
            known = self.by_name.get(queue.name)
            if known is not None:
                queue.seen = known.seen
                # Where nobody tells what it is, it is what it was.
                queue.role = known.role if queue.type is None and queue.role is None else queue.role
            if queue.consumers is None and consumers is not None:
                queue.consumers = consumers[queue.name]
            if queue.consumers:
                queue.consumed = now
            elif known is not None:
                queue.consumed = known.consumed
            queue.sampled = now
            self._put(queue)
            if queue.gone:
                del self.by_name[queue.name]
            for kind in _MEASURED:
                value = getattr(queue, kind)
                if value is not None:
                    self._gauge(f"queue.{kind}", queue.name).add(value)

    def forget_depths(self) -> None:
        """The broker can't be asked: what waits there is unknown, and not what it was. What a queue is stays."""
        for queue in list(self.by_name.values()):
            unknown = msgspec.structs.replace(
                queue, ready=None, by_priority=None, unacked=None, scheduled=None, consumers=None, oldest=None,
                oldest_exact=False, rate_in=None, rate_out=None, memory=None,
            )  # fmt: skip
            if unknown != queue:
                self._put(unknown)

    def take_changed(self) -> list[Queue]:
        """Those that changed since the last time."""
        changed, self._changed = self._changed, {}
        return list(changed.values())

    def change_all(self) -> None:
        """All changed, as it were."""
        self._changed |= self.by_name

    def _put(self, queue: Queue) -> None:
        self.by_name[queue.name] = self._changed[queue.name] = queue


def _consumers(workers: Iterable[Worker]) -> Counter[str] | None:
    """Workers that consume each queue; None while no worker has told us what it consumes."""
    told = [worker for worker in workers if worker.queues is not None]
    if not told:
        return None
    alive = (worker for worker in told if worker.state in ("online", "silent", "busy"))
    return Counter(queue for worker in alive for queue in set(worker.queues or ()))
