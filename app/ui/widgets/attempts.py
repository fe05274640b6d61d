"""A task's way from sending to its end, attempt by attempt: what the timeline draws and what is written under it."""

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from app.models import formats, states
from app.models.records import Attempt, Task
from app.ui.widgets.tracebacks import exception

#: What a task does: it is held back (ETA, countdown), waits in the queue, waits in a worker, runs.
Kind = Literal["held", "queued", "reserved", "ran"]

_OVER: Final = states.FINAL | {states.RETRY}


class Segment(msgspec.Struct, frozen=True):
    """What a task did from ``start`` to ``end``; ``growing`` while it still does."""

    kind: Kind
    start: float
    end: float
    growing: bool = False

    @property
    def seconds(self) -> float:
        """How long that took, or takes so far."""
        return self.end - self.start


class Lane(msgspec.Struct, frozen=True):
    """One attempt: its segments in order of time, and how it ended (``exception`` as an event told it)."""

    retries: int
    segments: tuple[Segment, ...]
    state: str
    worker: str | None
    exception: str | None

    def sentence(self) -> str:
        """The attempt in words: ``waited 1.84 s, ran 2.91 s, TimeoutError``."""
        parts = []
        for kinds, word in ((("held",), "held back"), (("queued", "reserved"), "waited"), (("ran",), "ran")):
            took = [segment for segment in self.segments if segment.kind in kinds]
            if took:
                at_least = "≥ " if took[-1].growing else ""
                parts.append(f"{word} {at_least}{formats.duration(sum(segment.seconds for segment in took))}")
        kind, message = exception(self.exception or "")
        return ", ".join(part for part in (*parts, kind or message) if part)


def lanes(task: Task, now: float) -> list[Lane]:
    """All attempts of a task, the first one first; an unfinished one lasts until ``now``."""
    present = Attempt(
        retries=task.retries,
        sent=task.sent,
        received=task.received,
        started=task.started,
        finished=task.finished,
        state=task.state,
        worker=task.worker,
        exception=task.exception,
        eta=task.eta,
    )
    earlier = [_lane(attempt, states.RETRY, None) for attempt in task.attempts or ()]
    return [*earlier, _lane(present, task.state, None if task.state in _OVER else now)]


def _lane(attempt: Attempt, state: str, now: float | None) -> Lane:
    return Lane(
        attempt.retries, tuple(_segments(attempt, now)), attempt.state or state, attempt.worker, attempt.exception
    )


def _segments(attempt: Attempt, now: float | None) -> Iterator[Segment]:
    """Times come from several clocks: a step that seems to go back in time takes no time."""
    moments = [attempt.sent, attempt.received, attempt.started, attempt.finished]
    at = next((moment for moment in moments if moment is not None), None)
    if at is None:
        return
    begun = attempt.started if attempt.started is not None else now if attempt.finished is None else attempt.finished
    if attempt.eta is not None and begun is not None and at < attempt.eta:
        end = min(attempt.eta, max(at, begun))
        yield Segment("held", at, end, growing=attempt.started is None and now is not None and end == now)
        at = end
    steps: tuple[tuple[Kind, float | None], ...] = (
        ("queued", attempt.received),
        ("reserved" if attempt.received is not None else "queued", attempt.started),
        ("ran" if attempt.started is not None else "reserved", attempt.finished),
    )
    for kind, end_known in steps:
        if end_known is not None and end_known > at:
            yield Segment(kind, at, end_known)
            at = end_known
    if now is not None and now > at and attempt.finished is None:
        doing: Kind = "ran" if attempt.started is not None else "reserved" if attempt.received is not None else "queued"
        yield Segment(doing, at, now, growing=True)
