"""The vocabulary of all rooms: what came from the broker, and what is known of tasks, workers and queues.

Times are seconds since the epoch, durations are seconds, both as floats. ``None`` always means *unknown*, never zero.
"""

from typing import Any

import msgspec

from app.models.quarantines import ROLE as QUARANTINE


class Event(msgspec.Struct, gc=False):
    """One Celery event, checked and made safe by the normaliser (fields as on the wire; PROTOCOL: ``celery.events``).

    ``seen`` and ``payload`` are ours: the time we received it, and the own fields of a custom event.
    """

    type: str
    hostname: str
    timestamp: float
    uuid: str | None = None
    name: str | None = None
    args: str | None = None
    kwargs: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    retries: int | None = None
    eta: str | None = None
    expires: str | float | None = None
    queue: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    result: str | None = None
    runtime: float | None = None
    exception: str | None = None
    traceback: str | None = None
    terminated: bool | None = None
    signum: int | str | None = None
    expired: bool | None = None
    requeue: bool | None = None
    freq: float | None = None
    active: int | None = None
    processed: int | None = None
    loadavg: list[float] | None = None
    sw_ident: str | None = None
    sw_ver: str | None = None
    sw_sys: str | None = None
    clock: int | None = None
    pid: int | None = None
    seen: float = 0.0
    payload: dict[str, Any] | None = None


class Fact(msgspec.Struct, gc=False, array_like=True):
    """What one event told of a task.

    ``kind`` is the event's type without ``task-``. ``flag`` is set of what was revoked while it ran (terminated), and
    of what was rejected to be requeued.
    """

    kind: str
    at: float
    host: str
    retries: int | None = None
    eta: float | None = None
    queue: str | None = None
    routing_key: str | None = None
    result: str | None = None
    runtime: float | None = None
    exception: str | None = None
    traceback: str | None = None
    note: str | None = None
    flag: bool = False


class Attempt(msgspec.Struct, gc=False):
    """One delivery of a task to a worker, or the sending of a retry that was not delivered yet.

    ``retries`` is 0 for the first run; two deliveries of one attempt are a redelivery. ``end`` is the fact that ended
    it.
    """

    retries: int
    sent: float | None = None
    received: float | None = None
    started: float | None = None
    finished: float | None = None
    state: str | None = None
    worker: str | None = None
    exception: str | None = None
    eta: float | None = None
    end: Fact | None = None
    note: str | None = None


class Task(msgspec.Struct, gc=False):
    """Everything known of one task; one row of history.

    ``wait`` is sent → started of the present attempt (received → started where no ``task-sent`` was seen, or it was
    redelivered; a countdown or ETA does not count as waiting), ``runtime`` what the worker measured. ``seen`` is when
    we first heard of it, ``doubted`` since when its state is not known. ``facts`` are None while the record itself says
    all; ``attempts`` are those before the present one.
    """

    id: int
    uuid: str
    seen: float
    state: str = "PENDING"
    name: str | None = None
    args: str | None = None
    kwargs: str | None = None
    result: str | None = None
    exception: str | None = None
    traceback: str | None = None
    queue: str | None = None
    routing_key: str | None = None
    worker: str | None = None
    producer: str | None = None
    root: str | None = None
    parent: str | None = None
    retries: int = 0
    redelivered: int = 0
    eta: float | None = None
    expires: float | None = None
    sent: float | None = None
    received: float | None = None
    started: float | None = None
    finished: float | None = None
    wait: float | None = None
    runtime: float | None = None
    note: str | None = None
    progress: str | None = None
    doubted: float | None = None
    facts: list[Fact] | None = None
    attempts: list[Attempt] | None = None


class Told(msgspec.Struct, gc=False):
    """What a worker told that the ``task`` of this number is called with, as JSON: an array, and an object."""

    task: int
    at: float
    args: str
    kwargs: str


class Worker(msgspec.Struct, gc=False):
    """One worker, as it reported itself (events) and as it answered (inspection, in *observe* mode).

    ``state`` is ``online``, ``silent`` (a heartbeat is overdue), ``busy`` (its solo pool works, so that it can't
    speak), ``lost`` (three heartbeats are overdue) or ``offline`` (it said goodbye). ``succeeded``, ``failed`` and
    ``retried`` count what we saw; ``processed`` is the worker's own figure of tasks it began.

    ``began`` counts the starts that we saw since ``processed`` was at ``baseline``; what they lack is ``missed``:
    tasks that it began and did not tell us of. ``events`` is whether it tells of its tasks at all (``-E``), ``held``
    how many open tasks it had when it was lost, ``clock_offset`` how far its clock is ahead of ours, in seconds.
    """

    hostname: str
    seen: float
    state: str = "online"
    since: float | None = None
    heartbeat: float | None = None
    freq: float | None = None
    active: int | None = None
    processed: int | None = None
    load: list[float] | None = None
    software: str | None = None
    system: str | None = None
    pid: int | None = None
    pool: str | None = None
    slots: int | None = None
    prefetch: int | None = None
    uptime: float | None = None
    queues: list[str] | None = None
    stats: str | None = None
    inspected: float | None = None
    clock_offset: float | None = None
    events: bool | None = None
    baseline: int | None = None
    began: int = 0
    missed: int = 0
    held: int | None = None
    succeeded: int = 0
    failed: int = 0
    retried: int = 0


class DeadLetter(msgspec.Struct):
    """Where a queue sends what is rejected or expired in it, or is too much for it.

    ``exchange`` is "" for the default one, ``routing_key`` None where each message keeps its own. ``queues`` are those
    that it leads to, as far as is known.
    """

    exchange: str
    routing_key: str | None = None
    queues: list[str] = []


class Queue(msgspec.Struct, gc=False):
    """One queue as last polled. ``by_priority`` maps a Celery priority step to its ready messages.

    ``scheduled`` are those of the unacked messages that workers hold until their ETA. ``oldest`` is the age of the
    message at the head; ``oldest_exact`` is false where it is only a lower bound. ``consumed`` is when it had a
    consumer last.

    The others are told by RabbitMQ's management API. ``rate_in`` and ``rate_out`` are messages per second that are
    published to it, and that leave it for good because a consumer took them. ``memory`` is in bytes, ``type`` is
    ``classic``, ``quorum`` or ``stream``, ``dead_letters_of`` are queues whose dead letters come here. ``role`` is
    ``delayed`` where messages wait until they are due, ``dead letter`` where others give them up to, ``quarantine``
    where what was purged waits to be restored, and None where they wait for a worker. Of a quarantine on Redis
    ``memory`` is known, too.
    """

    name: str
    seen: float
    ready: int | None = None
    by_priority: dict[str, int] | None = None
    unacked: int | None = None
    consumers: int | None = None
    oldest: float | None = None
    oldest_exact: bool = False
    sampled: float | None = None
    scheduled: int | None = None
    consumed: float | None = None
    role: str | None = None
    rate_in: float | None = None
    rate_out: float | None = None
    memory: int | None = None
    type: str | None = None
    durable: bool | None = None
    policy: str | None = None
    dead_letter: DeadLetter | None = None
    dead_letters_of: list[str] = []

    @property
    def rests(self) -> bool:
        """Whether its messages wait for no worker: nobody ever consumed it, and by its role nobody has to."""
        return self.role is not None and self.consumed is None

    @property
    def gone(self) -> bool:
        """Whether it is a quarantine that was emptied: that is told once, and then it is no more."""
        return self.role == QUARANTINE and self.ready == 0


class Message(msgspec.Struct, gc=False):
    """One message that waits in a queue, looked at and not taken.

    ``args`` and ``kwargs`` are JSON where their ``source`` is the *body*, and how they looked to the sender where it is
    a *header*; ``embed`` is what follows the task (its chain, chord and callbacks), as JSON. ``headers`` are those that
    are not shown by themselves, as JSON. ``place`` is the number of messages before it, where that is known. ``size``
    is in bytes, ``note`` a sentence where something could not be read. A ``redelivered`` one was fetched before, by a
    worker or by who looked at it.
    """

    size: int
    id: str | None = None
    name: str | None = None
    args: str | None = None
    kwargs: str | None = None
    source: str = ""
    eta: float | None = None
    expires: float | None = None
    priority: int | None = None
    retries: int = 0
    origin: str | None = None
    content_type: str = ""
    embed: str | None = None
    headers: str | None = None
    place: int | None = None
    redelivered: bool = False
    note: str = ""


class Gap(msgspec.Struct, frozen=True):
    """An interval in which we did not listen; ``end`` is None while it lasts."""

    start: float
    end: float | None
    why: str


class Accounting(msgspec.Struct, frozen=True):
    """Where every event went: ``received == stored + sum(shed) + sum(rejected)``."""

    received: int = 0
    stored: int = 0
    shed: dict[str, int] = {}
    rejected: dict[str, int] = {}

    @property
    def balanced(self) -> bool:
        """Whether the identity holds."""
        return self.received == self.stored + sum(self.shed.values()) + sum(self.rejected.values())
