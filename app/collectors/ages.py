"""How long the message of each queue waits that is taken next: from when its task was sent, or from when we saw it."""

from collections.abc import Callable

from app.collectors.queues import Head, Poll
from app.models.records import Task


class Ages:
    """Remembers the messages at the heads of queues; ``task`` finds what is known of a task by its id."""

    def __init__(self, task: Callable[[str], Task | None]) -> None:
        self._task = task
        #: When each was first seen there, in seconds since the epoch.
        self._heads: dict[str, dict[Head, float]] = {}

    def tell(self, poll: Poll) -> None:
        """Fill in the ages of a look at queues: exact if the ``task-sent`` was seen, else since we saw it."""
        if poll.heads is not None:
            for name, found in poll.heads.items():
                before = self._heads.pop(name, {})
                heads = {head: before.get(head, poll.at) for head in found}
                if heads:
                    self._heads[name] = heads
        for polled in poll.queues:
            if polled.ready and (seen := self._heads.get(polled.name)):
                since, exact = zip(*(self._since(head, first) for head, first in seen.items()), strict=True)
                polled.oldest, polled.oldest_exact = max(0.0, poll.at - min(since)), all(exact)

    def _since(self, head: Head, seen: float) -> tuple[float, bool]:
        """Since when a message waits, and whether that is exact; it was first seen at a queue's head at ``seen``."""
        task = self._task(head.uuid) if head.uuid else None
        if task is None or task.sent is None:
            return seen, False
        return (task.sent if task.eta is None else max(task.sent, task.eta)), True
