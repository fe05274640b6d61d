"""How one event changes one task: attempts, precedence of states, and what is merely filled in.

Within an attempt the rules agree with ``celery.events.state``. Attempts are told apart by ``retries`` where an event
carries
it (``task-sent``, ``task-received``) and by time where it does not, because a retry is received before the attempt
it follows
is reported as retried. Each function returns whether the event was news: a duplicate, or one that came too late to
matter, is not.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec

from app.models import states
from app.models.records import Attempt, Event, Task

#: What a worker reports for a lost child or a hard time limit instead of the exception itself, which ends the
#: traceback.
_WRAPPED: Final = "ExceptionWithTraceback"
#: These end a task for good; a rejected one may come back by being requeued.
_DECIDED: Final = frozenset({states.SUCCESS, states.FAILURE, states.REVOKED})

#: The year 2100. A time after it, or before 1970, is a broken clock or a joke; not every system can show it.
_LATEST: Final = 4.1e9

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


def sent(task: Task, event: Event) -> bool:
    """A producer put the task (or its next attempt) into a queue."""
    _describe(task, event)
    retries = event.retries or 0
    if task.queue is None or (event.queue is not None and retries > task.retries):
        task.queue = event.queue
        task.routing_key = event.routing_key
    if task.producer is None:
        task.producer = event.hostname
    if retries > task.retries:
        _open(task, retries, event)
    elif retries < task.retries:
        earlier = _attempt(task, retries)
        if earlier is None or earlier.sent is not None:
            return False
        earlier.sent = event.timestamp
        earlier.eta = earlier.eta if event.eta is None else epoch(event.eta)
        return True
    if task.sent is not None:
        return False
    task.sent = event.timestamp
    if event.eta is not None:
        task.eta = epoch(event.eta)
    if task.started is not None:
        measure_wait(task)
    return True


def received(task: Task, event: Event) -> bool:
    """A worker fetched the task; again, if it was redelivered."""
    _describe(task, event)
    retries = event.retries or 0
    if retries > task.retries:
        _open(task, retries, event)
    elif retries < task.retries:
        earlier = _attempt(task, retries)
        if earlier is None or earlier.received is not None:
            return False
        earlier.received = event.timestamp
        earlier.worker = event.hostname
        return True
    if event.eta is not None:
        task.eta = epoch(event.eta)
    if task.received is not None:
        if event.timestamp <= task.received or task.state in _DECIDED:
            return False
        task.redelivered += 1
        task.started = task.finished = task.wait = task.note = None
        task.state = states.RECEIVED
    elif _raises(task, event, states.RECEIVED):
        task.state = states.RECEIVED
    task.received = event.timestamp
    if task.worker is None or task.started is None:
        task.worker = event.hostname
    elif task.wait is None:
        measure_wait(task)
    return True


def started(task: Task, event: Event) -> bool:
    """A worker began to run the task."""
    moment = event.timestamp
    if task.attempts is not None and _started_earlier(task, event):
        return True
    if _knows_start(task, moment) or (task.redelivered and _outlived(task, event)):
        return False
    if task.finished is not None and moment <= task.finished:
        return _started_late(task, moment)
    if task.state in _DECIDED or (task.started is not None and moment <= task.started):
        return False
    if task.state == states.RETRY:
        _open(task, task.retries + 1, event)
    elif task.started is not None:
        task.redelivered += 1
    task.started = moment
    task.worker = event.hostname
    if _raises(task, event, states.STARTED):
        task.state = states.STARTED
        task.finished = task.note = None
    measure_wait(task)
    return True


def succeeded(task: Task, event: Event) -> bool:
    """The task returned."""
    if task.state == states.SUCCESS:
        return False
    _finish(task, event, states.SUCCESS)
    task.result = event.result
    task.exception = task.traceback = task.note = None
    task.runtime = event.runtime if event.runtime is not None else _ran(task)
    return True


def failed(task: Task, event: Event) -> bool:
    """The task raised, was killed at its hard time limit, or its worker process died."""
    if task.state == states.SUCCESS:
        return False
    exception = event.exception
    if exception is not None and exception.startswith(_WRAPPED) and event.traceback:
        exception = event.traceback.rstrip().rsplit("\n", 1)[-1]
    if task.state == states.FAILURE:
        # A hard time limit is reported twice, by the worker and by its pool.
        task.traceback = task.traceback or event.traceback
        task.exception = task.exception or exception
        return False
    _finish(task, event, states.FAILURE)
    task.exception = exception
    task.traceback = event.traceback
    task.runtime = _ran(task)
    return True


def retried(task: Task, event: Event) -> bool:
    """An attempt failed and another one follows, which may have been sent and received already."""
    moment = event.timestamp
    for earlier in task.attempts or ():
        if earlier.finished == moment:
            return False
        if earlier.finished is None:
            earlier.finished = moment
            earlier.state = states.RETRY
            earlier.worker = event.hostname
            earlier.exception = event.exception
            return True
    if task.state in _DECIDED or (task.state == states.RETRY and task.finished is not None and moment <= task.finished):
        return False
    task.state = states.RETRY
    task.finished = moment
    task.worker = event.hostname
    task.exception = event.exception
    task.traceback = event.traceback
    return True


def revoked(task: Task, event: Event) -> bool:
    """A worker dropped the task: revoked, terminated while it ran, or past its expiry."""
    if task.state in _DECIDED:
        return False
    _finish(task, event, states.REVOKED)
    if event.terminated:
        task.note = (
            f"terminated by {event.signum}" if isinstance(event.signum, str) else f"terminated by signal {event.signum}"
        )
    elif event.expired:
        task.note = "expired before it started"
    else:
        task.note = "revoked before it started"
    return True


def rejected(task: Task, event: Event) -> bool:
    """The task refused its message; with ``requeue`` it comes back."""
    if task.state in _DECIDED or _outlived(task, event):
        return False
    if task.finished is not None and event.timestamp <= task.finished:
        return False
    _finish(task, event, states.REJECTED)
    task.note = "rejected and requeued" if event.requeue else "rejected"
    return True


def custom(task: Task, event: Event) -> bool:
    """A custom event (``task-progress`` …): its state is its name in capitals, its own fields are kept."""
    if event.payload:
        task.progress = _encode(event.payload).decode()
    state = event.type.removeprefix("task-").upper()
    if task.state in states.FINAL or _outlived(task, event) or not _raises(task, event, state):
        return False
    task.state = state
    return True


def measure_wait(task: Task) -> None:
    """Work out how long the present attempt waited."""
    task.wait = _wait(task)


def wait_of(task: Task, started: float) -> float | None:
    """How long the attempt waited that started at this moment; None where that is not known."""
    return next((_wait(attempt) for attempt in (task, *(task.attempts or ())) if attempt.started == started), None)


def _wait(attempt: Task | Attempt) -> float | None:
    """Time from sent (else received) to started; what an ETA or a retry's delay held back is not waiting."""
    since = attempt.sent if attempt.sent is not None else attempt.received
    if since is None or attempt.started is None:
        return None
    if attempt.eta is not None and attempt.eta > since:
        since = attempt.eta
    return max(0.0, attempt.started - since)


def _describe(task: Task, event: Event) -> None:
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


def _finish(task: Task, event: Event, state: str) -> None:
    task.state = state
    task.finished = event.timestamp
    task.worker = event.hostname


def _ran(task: Task) -> float | None:
    if task.started is None or task.finished is None:
        return None
    return max(0.0, task.finished - task.started)


def _open(task: Task, retries: int, event: Event) -> None:
    """Begin a later attempt at the time of an event; an end after that time belongs to it, and a start may."""
    moment = event.timestamp
    ended_later = task.finished is not None and task.finished >= moment and task.state in states.FINAL
    # A retry may be sent, and another worker may receive it, before the attempt that sent it is reported as started.
    same_worker = event.type == "task-received" and event.hostname == task.worker
    started_later = task.started is not None and task.started >= moment and (ended_later or same_worker)
    closed = task.state == states.RETRY or (task.state in states.FINAL and not ended_later)
    attempt = Attempt(
        retries=task.retries,
        sent=task.sent,
        received=task.received,
        started=None if started_later else task.started,
        finished=task.finished if closed else None,
        state=task.state if closed else None,
        worker=task.worker,
        exception=task.exception if closed else None,
        eta=task.eta,
    )
    task.attempts = [*(task.attempts or ()), attempt]
    task.retries = retries
    task.sent = task.received = task.eta = task.wait = None
    if not started_later:
        task.started = None
    if not ended_later:
        task.finished = task.runtime = None
        task.exception = task.traceback = task.result = task.note = None
        task.state = states.STARTED if started_later else states.PENDING


def _attempt(task: Task, retries: int) -> Attempt | None:
    for attempt in task.attempts or ():
        if attempt.retries == retries:
            return attempt
    return None


def _started_earlier(task: Task, event: Event) -> bool:
    """Take a start for an earlier attempt if it belongs to one: a short task's retry is sent before its start is told.

    A worker reports in order, so what it received first it also started first.
    """
    moment = event.timestamp
    if _knows_start(task, moment):
        return False
    for attempt in task.attempts or ():
        if attempt.started is not None or (attempt.finished is not None and moment > attempt.finished):
            continue
        theirs = attempt.finished is None and attempt.worker == event.hostname
        if theirs or task.received is None or moment < task.received:
            attempt.started = moment
            attempt.worker = event.hostname
            return True
    return False


def _started_late(task: Task, moment: float) -> bool:
    """Take a start that is told after the end of its attempt."""
    if task.started is not None:
        return False
    task.started = moment
    measure_wait(task)
    if task.state == states.FAILURE:
        task.runtime = _ran(task)
    return True


def _outlived(task: Task, event: Event) -> bool:
    """Whether an event is of a delivery that another one followed."""
    return bool(task.redelivered) and task.received is not None and event.timestamp < task.received


def _raises(task: Task, event: Event, state: str) -> bool:
    """Whether an event makes this its task's state: it ranks higher, and did not happen before the attempt's end."""
    if task.finished is not None and event.timestamp <= task.finished:
        return False
    return states.precedence(task.state) <= states.precedence(state)


def _knows_start(task: Task, moment: float) -> bool:
    if task.started == moment:
        return True
    return task.attempts is not None and any(attempt.started == moment for attempt in task.attempts)
