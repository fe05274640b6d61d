"""What is left out while more comes than can be stored: least of all is lost, and all of it is counted by class.

How far the collector is behind is how full the ring is. The fuller it is, the more goes: heartbeats beyond one per
worker and interval; then the texts of what was sent and received; then starts; then whole tasks that succeed, all but a
few and those that are known already. What failed, was retried, revoked or rejected, custom events, and workers that
come or go are never left out (SAFETY 3, back-pressure).
"""

from collections import Counter
from collections.abc import Container, Sequence
from typing import Final

from app.models.records import Event

#: How full the ring is when each class begins to go.
HEARTBEATS: Final = 0.60
TEXTS: Final = 0.70
STARTS: Final = 0.80
TASKS: Final = 0.90
#: Seconds between two heartbeats of a worker, if it does not name its interval; one that comes after a good part of it
#: is on time.
INTERVAL: Final = 2.0
ON_TIME: Final = 0.75
#: Of the tasks that succeed one in so many is kept whole: those whose id ends in this digit.
KEPT: Final = "0"
#: Tasks that go and whose end is awaited, at most.
MOST: Final = 100_000

_ORDINARY: Final = frozenset({"task-sent", "task-received", "task-started", "task-succeeded"})


class Shedder:
    """Attributes: ``shed`` counts what was left out by class (the event's type), ``trimmed`` what lost its texts."""

    def __init__(self) -> None:
        self.shed: Counter[str] = Counter()
        self.trimmed = 0
        self._heartbeats: dict[str, float] = {}
        #: Tasks of which something was left out: what is still told of them goes too, so that none is half told.
        self._going: dict[str, None] = {}

    def keep(self, events: Sequence[Event], full: float, known: Container[str]) -> tuple[list[Event], list[Event]]:
        """What of these is to be stored, and what is only to be counted, while the ring is so full (0 to 1).

        ``known`` are ids of tasks that were stored and that more is awaited of.
        """
        if full < HEARTBEATS:
            self._heartbeats.clear()
            if not self._going:
                return list(events), []
        kept: list[Event] = []
        left: list[Event] = []
        staying: set[str | None] = set()
        for event in events:
            if self._goes(event, full, event.uuid in staying or event.uuid in known):
                left.append(event)
                self.shed[event.type] += 1
            else:
                kept.append(event)
                staying.add(event.uuid)
        return kept, left

    def _goes(self, event: Event, full: float, stays: bool) -> bool:
        kind, uuid = event.type, event.uuid
        if kind == "worker-heartbeat":
            return full >= HEARTBEATS and self._is_early(event)
        if uuid is None:
            return False
        if kind not in _ORDINARY:
            self._going.pop(uuid, None)
            return False
        if not stays and (uuid in self._going or (full >= TASKS and not uuid.endswith(KEPT))):
            self._leave(uuid, ended=kind == "task-succeeded")
            return True
        if full >= STARTS and kind == "task-started":
            return True
        if full >= TEXTS and (event.args is not None or event.kwargs is not None):
            event.args = event.kwargs = None
            self.trimmed += 1
        return False

    def _is_early(self, event: Event) -> bool:
        last = self._heartbeats.get(event.hostname)
        if last is not None and event.seen - last < ON_TIME * (event.freq or INTERVAL):
            return True
        self._heartbeats[event.hostname] = event.seen
        return False

    def _leave(self, uuid: str, *, ended: bool) -> None:
        if ended:
            self._going.pop(uuid, None)
            return
        self._going[uuid] = None
        if len(self._going) > MOST:
            del self._going[next(iter(self._going))]
