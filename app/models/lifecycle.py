"""How one event changes one task.

Nearly all tasks are received, started and ended once, in this order, by one worker: such a task is its own record, and
each event fills in what it tells (`sent`, `received`, `started`, `succeeded`, `failed`, which return False where it is
not so simple). Every other task keeps the facts that were told of it, and is worked out from all of them anew with each
new one (`fold`), so that retries, redeliveries, loss, duplicates and any order are one case (`timeline`).
"""

from datetime import UTC, datetime
from typing import Final

import msgspec

from app.models import states, timeline
from app.models.records import Attempt, Event, Fact, Task

#: What a worker reports for a lost child or a hard time limit instead of the exception itself, which ends the
#: traceback.
_WRAPPED: Final = "ExceptionWithTraceback"
#: The year 2100. A time after it, or before 1970, is a broken clock or a joke; not every system can show it.
_LATEST: Final = 4.1e9
#: The kind of the fact that ended a simple task.
_ENDS: Final = {states.SUCCESS: "succeeded", states.FAILURE: "failed"}

_encode = msgspec.json.Encoder().encode


def epoch(when: str | float | None) -> float | None:
    """Seconds since the epoch of an ISO 8601 time (UTC if it names no zone), or None where it is not one of our age."""
    if isinstance(when, str):
        try:
            moment = datetime.fromisoformat(when)
        except ValueError:
            return None
        when = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return when if when is not None and 0.0 < when < _LATEST else None


def describe(task: Task, event: Event) -> None:
    """Fill in what an event tells of a task once and for all."""
    if task.name is None:
        task.name = event.name
    if task.args is None:
        task.args = event.args
    if task.kwargs is None:
        task.kwargs = event.kwargs
    if event.expires is not None and task.expires is None:
        task.expires = epoch(event.expires)
    uuid = task.uuid
    if event.root_id is not None and task.root is None and event.root_id != uuid:
        task.root = event.root_id
    # A retry names the task itself as its parent.
    if event.parent_id is not None and task.parent is None and event.parent_id != uuid:
        task.parent = event.parent_id


def sent(task: Task, event: Event) -> bool:
    """A producer put the task into a queue."""
    if task.facts is not None or task.sent is not None or event.retries or task.doubted is not None:
        return False
    task.sent = event.timestamp
    task.producer = event.hostname
    task.queue, task.routing_key = event.queue, event.routing_key
    if event.eta is not None:
        task.eta = epoch(event.eta)
    if task.started is not None:
        task.wait = waited(task)
    return True


def received(task: Task, event: Event) -> bool:
    """A worker fetched the task."""
    if task.received is not None or task.worker is not None or event.retries or task.facts is not None:
        return False
    if task.doubted is not None or task.retries or (task.name is not None and task.sent is None):
        return False
    describe(task, event)
    task.received = event.timestamp
    task.worker = event.hostname
    if event.eta is not None:
        task.eta = epoch(event.eta)
    task.state = states.RECEIVED
    return True


def started(task: Task, event: Event) -> bool:
    """The worker that fetched the task began to run it."""
    if not _goes_on(task, event) or task.started is not None:
        return False
    task.started = event.timestamp
    task.state = states.STARTED
    task.wait = waited(task)
    return True


def succeeded(task: Task, event: Event) -> bool:
    """The worker that ran the task tells that it returned."""
    if not _goes_on(task, event) or (task.started is not None and event.timestamp < task.started):
        return False
    task.state = states.SUCCESS
    task.finished = event.timestamp
    task.result = event.result
    task.runtime = event.runtime if event.runtime is not None else ran(task)
    return True


def failed(task: Task, event: Event) -> bool:
    """The worker that ran the task tells that it raised, was killed at its hard time limit, or its process died."""
    if not _goes_on(task, event) or (task.started is not None and event.timestamp < task.started):
        return False
    _close(task, _fact(event), states.FAILURE)
    return True


def fold(task: Task, event: Event) -> bool:
    """Take an event that the simple ways did not; False where it was known already."""
    fact = _fact(event)
    facts = unfolded(task) if task.facts is None else task.facts
    if timeline.is_custom(fact.kind):
        if any(fact.at <= each.at for each in _customs(facts)):
            return False
        # Only the newest of them says anything of the present.
        facts = [each for each in facts if not timeline.is_custom(each.kind)]
        if event.payload:
            task.progress = _encode(event.payload).decode()
    elif any(_same(fact, each) for each in facts):
        return False
    task.facts = timeline.trimmed(timeline.ordered([*facts, fact]))
    if fact.kind == "sent" and task.producer is None:
        task.producer = event.hostname
    settle(task)
    return True


def unfolded(task: Task) -> list[Fact]:
    """The facts that a simple task's record was made of."""
    facts = []
    if task.sent is not None:
        facts.append(
            Fact("sent", task.sent, task.producer or "", 0, task.eta, queue=task.queue, routing_key=task.routing_key)
        )
    worker = task.worker or ""
    if task.received is not None:
        facts.append(Fact("received", task.received, worker, 0, task.eta))
    if task.started is not None:
        facts.append(Fact("started", task.started, worker))
    if task.finished is not None:
        measured = None if task.runtime == ran(task) else task.runtime
        facts.append(
            Fact(
                _ENDS[task.state], task.finished, worker, result=task.result, runtime=measured,
                exception=task.exception, traceback=task.traceback, note=task.note,
            )
        )  # fmt: skip
    return timeline.ordered(facts)


def settle(task: Task) -> None:
    """Work a task out from its facts; what was doubted of it is no longer."""
    facts = task.facts
    if facts is None:
        if task.doubted is not None:
            task.state, task.doubted, task.note = _undecided(task), None, None
        return
    task.doubted = None
    *earlier, present = timeline.deliveries(facts) or [Attempt(0)]
    task.attempts = earlier or None
    task.retries = present.retries
    delivered = [attempt.retries for attempt in (*earlier, present) if attempt.worker is not None]
    task.redelivered = len(delivered) - len(set(delivered))
    task.sent, task.received, task.started = present.sent, present.received, present.started
    task.eta, task.worker, task.finished = present.eta, present.worker, None
    task.result = task.exception = task.traceback = task.runtime = task.note = None
    task.wait = waited(present)
    sendings = [fact for fact in facts if fact.kind == "sent"]
    if sendings:
        last = max(sendings, key=lambda fact: (fact.retries or 0, -fact.at))
        task.queue, task.routing_key = last.queue, last.routing_key
    if present.state is not None and present.end is not None:
        _close(task, present.end, present.state)
        task.exception = present.exception
        return
    task.state, task.note = _undecided(task), present.note
    for fact in _customs(facts):
        state = fact.kind.upper()
        if state in states.WORDS:
            # It only calls itself so.
            continue
        if present.received is None or fact.at >= present.received or fact.host != present.worker:
            task.state = state


def doubt(task: Task, state: str, since: float, why: str) -> None:
    """Say that what became of an open task is not known since a moment: it was lost, or we did not listen."""
    task.state, task.doubted, task.note = state, since, why


def confirm(task: Task, host: str, *, running: bool) -> None:
    """A worker said that it has a task, and whether it runs it; when it got it or began may not have been told."""
    settle(task)
    if task.worker != host:
        # What was told is of another delivery.
        task.facts = unfolded(task) if task.facts is None else task.facts
        task.worker = host
    if not running:
        task.state = states.RECEIVED
    elif task.state in states.WORDS:
        task.state = states.STARTED


def is_open(task: Task) -> bool:
    """Whether something more should happen to a task: nothing that was told has ended it."""
    return task.state not in states.FINAL


def attempts(task: Task) -> list[Attempt]:
    """Every delivery of a task and every attempt that waits for one; the present one comes last."""
    present = Attempt(
        task.retries, task.sent, task.received, task.started, task.finished,
        task.state if task.finished is not None else None, task.worker, task.exception, task.eta,
    )  # fmt: skip
    return [*(task.attempts or ()), present]


def waited(attempt: Task | Attempt) -> float | None:
    """Time from sent (else received) to started; what an ETA or a retry's delay held back is not waiting."""
    since = attempt.sent if attempt.sent is not None else attempt.received
    if since is None or attempt.started is None:
        return None
    if attempt.eta is not None and attempt.eta > since:
        since = attempt.eta
    return max(0.0, attempt.started - since)


def ran(task: Task) -> float | None:
    """Time from started to finished, where the worker did not measure it."""
    if task.started is None or task.finished is None:
        return None
    return max(0.0, task.finished - task.started)


def _goes_on(task: Task, event: Event) -> bool:
    """Whether an event simply follows on what is known of a task."""
    return (
        task.received is not None
        and task.finished is None
        and task.facts is None
        and task.doubted is None
        and task.worker == event.hostname
        and event.timestamp >= task.received
    )


def _close(task: Task, end: Fact, state: str) -> None:
    task.state = state
    task.finished = end.at
    task.result, task.exception, task.traceback, task.note = end.result, end.exception, end.traceback, end.note
    if state in (states.SUCCESS, states.FAILURE):
        task.runtime = end.runtime if end.runtime is not None else ran(task)


def _undecided(attempt: Task) -> str:
    if attempt.started is not None:
        return states.STARTED
    return states.RECEIVED if attempt.received is not None else states.PENDING


def _customs(facts: list[Fact]) -> list[Fact]:
    return [fact for fact in facts if timeline.is_custom(fact.kind)]


def _same(one: Fact, other: Fact) -> bool:
    """Whether two facts are one, told twice."""
    return (one.kind, one.at, one.host, one.retries or 0) == (other.kind, other.at, other.host, other.retries or 0)


def _fact(event: Event) -> Fact:
    kind = event.type.removeprefix("task-")
    exception = event.exception
    if exception is not None and exception.startswith(_WRAPPED) and event.traceback:
        exception = event.traceback.rstrip().rsplit("\n", 1)[-1]
    return Fact(
        kind,
        event.timestamp,
        event.hostname,
        (event.retries or 0) if kind in ("sent", "received") else None,
        epoch(event.eta),
        event.queue,
        event.routing_key,
        event.result,
        event.runtime,
        exception,
        event.traceback,
        _note(event, kind),
        bool(event.requeue if kind == "rejected" else event.terminated),
    )


def _note(event: Event, kind: str) -> str | None:
    if kind == "rejected":
        return "rejected and requeued" if event.requeue else "rejected"
    if kind == "cancelled":
        return "cancelled, as the worker lost its connection to the broker"
    if kind != "revoked":
        return None
    if event.terminated:
        if event.signum is None:
            return "terminated while it ran"
        by = event.signum if isinstance(event.signum, str) else f"signal {event.signum}"
        return f"terminated by {by}"
    return "expired before it started" if event.expired else "revoked before it started"
