"""What is left out while more comes than can be stored: least of all is lost, and all of it is counted by class.

How far the collector is behind is how full the ring is. The fuller it is, the more goes: heartbeats beyond one per
worker and interval; then the texts of what was sent and received; then starts; then whole tasks that succeed, all but a
few. What failed, was retried, revoked or rejected, custom events, and workers that come or go are never left out
(SAFETY 3, back-pressure).
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from app.models.records import Event

#: How full the ring is when each class begins to go.
HEARTBEATS: Final = 0.60
TEXTS: Final = 0.70
STARTS: Final = 0.80
TASKS: Final = 0.90
#: Seconds between two heartbeats of a worker that are kept, if it does not name its interval.
INTERVAL: Final = 2.0
#: Of the tasks that succeed one in so many is kept whole: those whose id ends in this digit.
KEPT: Final = "0"

_ORDINARY: Final = frozenset({"task-sent", "task-received", "task-started", "task-succeeded"})


class Shedder:
    """Attributes: ``shed`` counts what was left out by class (the event's type), ``trimmed`` what lost its texts."""

    def __init__(self) -> None:
        self.shed: Counter[str] = Counter()
        self.trimmed = 0
        self._heartbeats: dict[str, float] = {}

    def keep(self, events: Sequence[Event], full: float) -> tuple[list[Event], list[Event]]:
        """What of these is to be stored, and what is only to be counted, while the ring is so full (0 to 1)."""
        if full < HEARTBEATS:
            self._heartbeats.clear()
            return list(events), []
        kept: list[Event] = []
        left: list[Event] = []
        for event in events:
            (left if self._goes(event, full) else kept).append(event)
        for event in left:
            self.shed[event.type] += 1
        return kept, left

    def _goes(self, event: Event, full: float) -> bool:
        kind = event.type
        if kind == "worker-heartbeat":
            last = self._heartbeats.get(event.hostname)
            if last is not None and event.seen - last < (event.freq or INTERVAL):
                return True
            self._heartbeats[event.hostname] = event.seen
            return False
        if kind not in _ORDINARY:
            return False
        if full >= TASKS and event.uuid is not None and not event.uuid.endswith(KEPT):
            return True
        if full >= STARTS and kind == "task-started":
            return True
        if full >= TEXTS and (event.args is not None or event.kwargs is not None):
            event.args = event.kwargs = None
            self.trimmed += 1
        return False
