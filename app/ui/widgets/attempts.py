"""A task's way from sending to its end, delivery by delivery: what the timeline draws and what is written under it."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, Literal

import msgspec

from app.models import formats, states
from app.models.lifecycle import attempts
from app.models.records import Attempt, Task
from app.models.timeline import is_requeued
from app.ui.widgets.tracebacks import exception

#: What a task does: it is held back (ETA, countdown), waits in the queue, waits in a worker, runs; or nobody can tell.
Kind = Literal["held", "queued", "reserved", "ran", "doubted"]

_OVER: Final = states.FINAL | {states.RETRY}
_DOUBTED: Final = frozenset({states.LOST, states.UNKNOWN})
#: How deliveries ended that did not end the task.
_ENDED: Final = {
    states.CANCELLED: "given back",
    states.REJECTED: "rejected",
    states.REVOKED: "revoked",
    states.LOST: "lost",
    states.UNKNOWN: "not known how it ended",
}


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
    """One delivery: its segments in order of time, where it went, and how it ended (``exception`` as an event told it).

    ``again`` is set where the same attempt was delivered before; ``ended`` is its end in words, where the state tells
    too little.
    """

    retries: int
    segments: tuple[Segment, ...]
    state: str
    worker: str | None
    exception: str | None
    again: bool = False
    ended: str = ""

    @property
    def title(self) -> str:
        """What the delivery is called: ``Attempt 2``, or ``again`` where it follows one of the same attempt."""
        return "again" if self.again else f"Attempt {self.retries + 1}"

    @property
    def end(self) -> str:
        """How it ended, in a word or some."""
        kind, message = exception(self.exception or "")
        return self.ended or kind or message

    def spent(self) -> list[str]:
        """What it did and for how long: ``waited 1.84 s``, ``ran 2.91 s``."""
        parts = []
        for kinds, word in ((("held",), "held back"), (("queued", "reserved"), "waited"), (("ran",), "ran")):
            took = [segment for segment in self.segments if segment.kind in kinds]
            if took:
                at_least = "≥ " if took[-1].growing else ""
                parts.append(f"{word} {at_least}{formats.duration(sum(segment.seconds for segment in took))}")
        return parts

    def sentence(self) -> str:
        """The delivery in words: ``waited 1.84 s, ran 2.91 s on w2, given back``."""
        parts = self.spent()
        if self.worker:
            parts[-1:] = [f"{parts[-1]} on {self.worker}" if parts else f"on {self.worker}"]
        return ", ".join(part for part in (*parts, self.end) if part)


def lanes(task: Task, now: float) -> list[Lane]:
    """All deliveries of a task, the first one first; one that goes on lasts until ``now``."""
    made = attempts(task)
    told = [_earlier(attempt, following) for attempt, following in pairwise(made)]
    told.append(_present(task, made[-1], made[-2] if told else None, now))
    met: set[int] = set()
    for at, lane in enumerate(told):
        if lane.retries in met:
            told[at] = msgspec.structs.replace(lane, again=True)
        met.add(lane.retries)
    return told


def _earlier(attempt: Attempt, following: Attempt) -> Lane:
    """A delivery after which there was another."""
    segments = [*_segments(attempt, None)]
    state, ended = attempt.state, _ended(attempt)
    if state is None and attempt.worker is not None:
        # Nobody told how it ended: the broker delivered the message again.
        state, ended = states.LOST, "lost"
        if attempt.started is None:
            state, ended = states.CANCELLED, "never begun there"
        at, until = _last(attempt), _first(following)
        if at is not None and until is not None and until > at:
            segments.append(Segment("doubted", at, until))
    shown = state or states.RETRY
    return Lane(attempt.retries, tuple(segments), shown, attempt.worker, attempt.exception, ended=ended)


def _present(task: Task, attempt: Attempt, before: Attempt | None, now: float) -> Lane:
    doubted = task.doubted
    if doubted is None:
        segments = [*_segments(attempt, None if task.state in _OVER else now)]
        given_back = None if before is None or segments else _last(before)
        if task.state == states.PENDING and given_back is not None and now > given_back:
            segments = [Segment("queued", given_back, now, growing=True)]
    else:
        segments = [*_segments(attempt, doubted, growing=False)]
        then: Kind = "doubted" if task.state in _DOUBTED else "queued"
        if now > doubted:
            segments.append(Segment(then, doubted, now, growing=True))
    ended = _ENDED.get(task.state, "") if task.state in _DOUBTED else _ended(attempt)
    return Lane(attempt.retries, tuple(segments), task.state, attempt.worker, attempt.exception, ended=ended)


def _ended(attempt: Attempt) -> str:
    if attempt.end is not None and is_requeued(attempt.end):
        return "given back"
    return _ENDED.get(attempt.state or "", "")


def _first(attempt: Attempt) -> float | None:
    return next((at for at in (attempt.sent, attempt.received, attempt.started, attempt.finished) if at), None)


def _last(attempt: Attempt) -> float | None:
    return next((at for at in (attempt.finished, attempt.started, attempt.received, attempt.sent) if at), None)


def _segments(attempt: Attempt, now: float | None, *, growing: bool = True) -> Iterator[Segment]:
    """Times come from several clocks: a step that seems to go back in time takes no time."""
    at = _first(attempt)
    if at is None:
        return
    begun = attempt.started if attempt.started is not None else now if attempt.finished is None else attempt.finished
    if attempt.eta is not None and begun is not None and at < attempt.eta:
        end = min(attempt.eta, max(at, begun))
        yield Segment("held", at, end, growing=growing and attempt.started is None and now is not None and end == now)
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
        yield Segment(doing, at, now, growing=growing)
