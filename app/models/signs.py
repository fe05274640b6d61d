"""What the rules of `diagnosis` look at: a few bounded questions to a history."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import func, select

from app.models import states
from app.models.history import schema
from app.models.history.charts import Span
from app.models.history.reader import Reader
from app.models.records import Accounting, Gap, Queue, Worker

#: States of a worker that is there.
ALIVE: Final = ("online", "silent", "busy")
#: The newest tasks that are looked at for sendings that nobody told, and how many of a name have to lack it.
RECENT: Final = 2_000
FEWEST: Final = 5
#: Tasks in doubt that are counted at most, and of which is looked since when they are, and by whose fault.
MOST: Final = 100_000
LOOKED_AT: Final = 1_000
#: Seconds that queues for dead letters are looked back at, and the step.
HOUR: Final = 3_600.0
MINUTE: Final = 60.0


class Signs(msgspec.Struct, frozen=True):
    """What there is to judge, as it is ``now``.

    ``listening`` is since when we listen without a break, None while we do not. ``doubted`` tells of each state of
    doubt how many tasks are in it (at most `MOST` + 1) and since when the first of them are; ``lost`` by worker how
    many of the first `LOOKED_AT` that are lost it had.
    ``grown`` tells of queues for dead letters how many more messages they hold than they did within the last hour.
    ``unannounced`` are task names whose newest tasks were received, not one of them announced: how many. ``trouble`` is
    what is said of the history itself, in sentences.
    """

    now: float
    listening: float | None = None
    workers: Sequence[Worker] = ()
    queues: Sequence[Queue] = ()
    accounting: Accounting = Accounting()
    gaps: Sequence[Gap] = ()
    doubted: Mapping[str, tuple[int, float]] = {}
    lost: Mapping[str, int] = {}
    grown: Mapping[str, int] = {}
    unannounced: Mapping[str, int] = {}
    trouble: str = ""


def look(reader: Reader, now: float | None = None, trouble: str = "") -> Signs:
    """Ask a history how it is ``now``, or was when it was last written; cheap however large it is.

    Raises `HistoryError`.
    """
    meta = reader.meta()
    moment = float(meta.get("alive", 0.0)) if now is None else now
    gaps = reader.gaps()
    last = gaps[-1] if gaps else None
    begun = float(meta.get("created", moment)) if last is None else last.end
    queues = reader.queues()
    return Signs(
        now=moment,
        listening=begun,
        workers=reader.workers(),
        queues=queues,
        accounting=reader.accounting(),
        gaps=gaps,
        doubted=_doubted(reader),
        lost=_lost(reader),
        grown=_grown(reader, queues, moment),
        unannounced=_unannounced(reader),
        trouble=trouble,
    )


def _doubted(reader: Reader) -> dict[str, tuple[int, float]]:
    task = schema.task.c
    found: dict[str, tuple[int, float]] = {}
    for state in (states.LOST, states.UNKNOWN):
        # The index alone answers this, and few rows the other.
        some = select(task.state).where(task.state == state).limit(MOST + 1).subquery()
        n = int(reader.scalar(select(func.count()).select_from(some)))
        if n:
            first = select(task.doubted).where(task.state == state).limit(LOOKED_AT).subquery()
            found[state] = (n, float(reader.scalar(select(func.min(first.c.doubted))) or 0.0))
    return found


def _lost(reader: Reader) -> dict[str, int]:
    some = select(schema.task.c.worker_id).where(schema.task.c.state == states.LOST).limit(LOOKED_AT).subquery()
    hosts = schema.worker.c
    query = select(hosts.hostname, func.count()).join_from(some, schema.worker, hosts.id == some.c.worker_id)
    return {hostname: int(n) for hostname, n in reader.rows(query.group_by(hosts.hostname))}


def _grown(reader: Reader, queues: Sequence[Queue], now: float) -> dict[str, int]:
    dead = {queue.name: queue.ready for queue in queues if queue.role == "dead letter" and queue.rests and queue.ready}
    lately = reader.gauge("queue.ready", Span(now - HOUR, now), MINUTE, dead) if dead else {}
    least = {name: min(filter(math.isfinite, one.values), default=math.inf) for name, one in lately.items()}
    # Of a minute the mean is known, which is no less than the least in it.
    return {name: math.ceil(dead[name] - few) for name, few in least.items() if dead[name] > few}


def _unannounced(reader: Reader) -> dict[str, int]:
    task = schema.task.c
    # Of a task that was retried or redelivered, the row tells of its latest delivery.
    first = (task.retries == 0, task.redelivered == 0, task.received.is_not(None), task.name_id.is_not(None))
    newest = int(reader.scalar(select(func.coalesce(func.max(task.id), 0))))
    some = select(task.name_id, task.sent).where(task.id > newest - RECENT, *first).subquery()
    query = (
        select(schema.name.c.name, func.count())
        .join_from(some, schema.name, schema.name.c.id == some.c.name_id)
        .group_by(schema.name.c.name)
        .having(func.count(some.c.sent) == 0, func.count() >= FEWEST)
        .order_by(func.count().desc(), schema.name.c.name)
    )
    return {name: int(n) for name, n in reader.rows(query)}
