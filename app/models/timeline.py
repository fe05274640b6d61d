"""All that is known of a task, worked out from the set of its facts, in whatever order they came.

A delivery is one reception of the task's message by a worker; an attempt that is redelivered has several. Events that
a worker tells of a delivery do not name it, but each worker tells them in its own order and by its own clock, so they
are matched per worker, and never by comparing the clocks of two. The same facts give the same result, however they
came.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from app.models import states
from app.models.records import Attempt, Fact

#: Facts of one task that are kept; beyond, those of its earliest attempts are let go.
MAX_FACTS: Final = 100
#: Tracebacks of one task that are kept: that of its end is among them, as a hard time limit is reported twice.
MAX_TRACES: Final = 3

#: How an attempt that was told to have ended in two ways has ended.
_RANK: Final = {states.SUCCESS: 4, states.FAILURE: 3, states.REVOKED: 2, states.REJECTED: 1}
#: These end a task for good; after a rejection or a cancellation the message may come back.
DECIDED: Final = frozenset({states.SUCCESS, states.FAILURE, states.REVOKED})
#: Facts of one moment are taken in this order.
_ORDER: Final = {
    kind: at
    for at, kind in enumerate(
        ("sent", "received", "started", "retried", "rejected", "cancelled", "revoked", "failed", "succeeded")
    )
}
_STATES: Final = {
    "retried": states.RETRY,
    "rejected": states.REJECTED,
    "cancelled": states.CANCELLED,
    "revoked": states.REVOKED,
    "failed": states.FAILURE,
    "succeeded": states.SUCCESS,
}


def ordered(facts: Iterable[Fact]) -> list[Fact]:
    """Facts in the one order in which they are kept."""
    return sorted(facts, key=lambda fact: (fact.at, _ORDER.get(fact.kind, len(_ORDER)), fact.host, fact.retries or 0))


def trimmed(facts: list[Fact]) -> list[Fact]:
    """At most `MAX_FACTS` of them, those of the earliest attempts are let go, and the last `MAX_TRACES` tracebacks."""
    traces = 0
    kept = facts[-MAX_FACTS:]
    for at in range(len(kept) - 1, -1, -1):
        if kept[at].traceback is not None:
            traces += 1
            if traces > MAX_TRACES:
                kept[at] = msgspec.structs.replace(kept[at], traceback=None)
    return kept


def is_custom(kind: str) -> bool:
    """Whether a fact is of a custom event (``progress`` …)."""
    return kind not in _ORDER


def is_requeued(fact: Fact) -> bool:
    """Whether the end of a delivery put the message back into its queue."""
    return fact.kind == "cancelled" or (fact.kind == "rejected" and fact.flag)


def deliveries(facts: Sequence[Fact]) -> list[Attempt]:
    """Every delivery, and every attempt that was sent and not delivered yet; the task's present one comes last.

    ``facts`` are in their order (`ordered`).
    """
    sent: dict[int, Fact] = {}
    for fact in facts:
        if fact.kind == "sent":
            sent.setdefault(fact.retries or 0, fact)
    known = _Deliveries(facts, sent)
    for fact in facts:
        if fact.kind == "received":
            known.receive(fact)
        elif fact.kind == "started":
            known.start(fact)
        elif fact.kind in _STATES:
            known.end(fact)
    delivered: set[int] = set()
    for attempt in sorted(known.made, key=_moment):
        told = sent.get(attempt.retries)
        if told is not None and attempt.retries not in delivered:
            delivered.add(attempt.retries)
            attempt.sent = told.at
            attempt.eta = told.eta if attempt.eta is None else attempt.eta
    waiting = [Attempt(n, sent=fact.at, eta=fact.eta) for n, fact in sent.items() if n not in delivered]
    ranked = sorted([*known.made, *waiting], key=_rank)
    if ranked and ranked[-1].end is not None and is_requeued(ranked[-1].end):
        # It waits in its queue again.
        ranked.append(Attempt(ranked[-1].retries, note=ranked[-1].end.note))
    return ranked


def _moment(attempt: Attempt) -> float:
    moments = (attempt.received, attempt.started, attempt.finished, attempt.sent)
    return next((moment for moment in moments if moment is not None), 0.0)


def _rank(attempt: Attempt) -> tuple[int, int, float]:
    """A later attempt comes after an earlier one, and a delivery that decided it after one that did not."""
    decided = _RANK.get(attempt.state or "", 0) if attempt.state in DECIDED else 0
    return (attempt.retries, decided, _moment(attempt))


class _Deliveries:
    """Deliveries while facts are matched to them, in order of time."""

    def __init__(self, facts: Sequence[Fact], sent: dict[int, Fact]) -> None:
        self.made: list[Attempt] = []
        self._by_worker: dict[str, list[Attempt]] = {}
        self._delivered: set[int] = set()
        self._sent = sent
        #: When each attempt is known to have begun: the moment a retry was sent, or else received.
        self._begun = {n: fact.at for n, fact in sent.items()}
        for fact in facts:
            if fact.kind == "received":
                self._begun.setdefault(fact.retries or 0, fact.at)

    def receive(self, fact: Fact) -> None:
        """A worker received the message."""
        self._add(Attempt(fact.retries or 0, received=fact.at, worker=fact.host, eta=fact.eta), fact.host)

    def start(self, fact: Fact) -> None:
        """A worker starts first what it received first."""
        mine = self._by_worker.get(fact.host, [])
        waiting = [each for each in mine if each.started is None and each.state is None]
        attempt = waiting[0] if waiting else self._implied(fact, mine)
        attempt.started = fact.at

    def end(self, fact: Fact) -> None:
        state = _STATES[fact.kind]
        # A result backend may tell of an end and not of who ran it: then that is who had it last.
        mine = self._by_worker.get(fact.host, []) if fact.host else sorted(self.made, key=_moment)
        open_ones = [each for each in mine if each.state is None]
        if not open_ones and mine and self._is_told_again(fact, state, mine[-1]):
            attempt = mine[-1]
        elif open_ones:
            attempt = self._ended(fact, open_ones)
        else:
            attempt = self._implied(fact, mine)
        if attempt.state is None or _RANK.get(state, 0) > _RANK.get(attempt.state, 0):
            attempt.state, attempt.finished = state, fact.at
            attempt.exception = fact.exception
            attempt.end = fact
        elif attempt.state == state and attempt.end is not None:
            # A hard time limit is reported twice, by the worker and by its pool: what one lacks the other tells.
            attempt.exception = attempt.exception or fact.exception
            if attempt.end.traceback is None and fact.traceback is not None:
                attempt.end = fact

    def _ended(self, fact: Fact, open_ones: list[Attempt]) -> Attempt:
        """Which of a worker's open deliveries a fact is the end of."""
        if fact.kind == "retried":
            # The retry was sent, and perhaps received, just before the attempt that sent it is told to be over.
            followed = [each for each in open_ones if (self._begun.get(each.retries + 1) or fact.at + 1) <= fact.at]
            if followed:
                return max(followed, key=lambda each: (self._begun[each.retries + 1], _moment(each)))
        waited = fact.kind == "revoked" and not fact.flag
        likely = [each for each in open_ones if (each.started is None) == waited]
        return (likely or open_ones)[-1]

    def _is_told_again(self, fact: Fact, state: str, last: Attempt) -> bool:
        """Whether a fact is about the end of a delivery that is over, and not of one that nothing else is known of."""
        if last.state in DECIDED:
            return True
        return last.state == state or fact.at == last.finished

    def _implied(self, fact: Fact, mine: list[Attempt]) -> Attempt:
        """A delivery that nobody told of: its attempt is found by what came before it."""
        attempt = Attempt(self._number(fact, mine), worker=fact.host or None)
        self._add(attempt, fact.host)
        self._begun.setdefault(attempt.retries, fact.at)
        return attempt

    def _add(self, attempt: Attempt, worker: str) -> None:
        self.made.append(attempt)
        self._by_worker.setdefault(worker, []).append(attempt)
        self._delivered.add(attempt.retries)

    def _number(self, fact: Fact, mine: list[Attempt]) -> int:
        delivered = self._delivered
        if fact.kind == "retried":
            followed = [n - 1 for n in self._begun if n > 0 and n - 1 not in delivered]
            if followed:
                return max(followed)
        if mine:
            return mine[-1].retries + (mine[-1].state == states.RETRY)
        waiting = [n for n in self._sent if n not in delivered]
        told = [n for n in waiting if self._sent[n].at <= fact.at]
        if waiting:
            return max(told) if told else min(waiting)
        if not self.made:
            return 0
        last = max(self.made, key=lambda each: (each.retries, _moment(each)))
        return last.retries + (last.state == states.RETRY)
