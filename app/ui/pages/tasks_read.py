"""What the page of tasks reads of a history, in one go and in the query thread."""

import time
from typing import Final

import msgspec

from app.models import states
from app.models.history.charts import Span
from app.models.history.reader import PREVIEW, Reader, TaskRow
from app.models.records import Task
from app.models.search import Search
from app.models.signs import ALIVE

#: Tasks in a page; a following table reads its first page again and again.
PAGE: Final = 200
#: More new tasks than this are not counted where a search has to find them.
MOST_NEW: Final = 500


class Ask(msgspec.Struct, frozen=True):
    """What to read. ``top`` is the newest task that is shown; the table follows where it is None.

    ``shown`` are the tasks in view, to be read again as far as they may have changed; ``count`` says whether to count.
    """

    search: Search
    span: Span
    live: bool
    top: int | None = None
    shown: tuple[TaskRow, ...] = ()
    inspected: str | None = None
    count: bool = False


class Found(msgspec.Struct, frozen=True):
    """The answer. ``page`` is the newest page, None where the table does not follow; ``new`` counts what is newer.

    ``took`` and ``counting`` are in seconds; ``nothing`` tells about an empty page.
    """

    page: list[TaskRow] | None
    changed: list[TaskRow]
    new: int
    task: Task | None
    workers: frozenset[str]
    total: int | None
    took: float
    counting: float
    nothing: "Nothing | None"


class Nothing(msgspec.Struct, frozen=True):
    """Why no task is found: what the history knows besides.

    ``online`` workers are alive now, ``mute`` of them run without events; ``heard`` is when any was heard last.
    """

    in_span: bool
    latest: float | None
    online: int
    heard: float | None
    mute: int = 0


def read(reader: Reader, ask: Ask) -> Found:
    """Answer `ask`; raises `HistoryError`."""
    began = time.perf_counter()
    page = older(reader, ask, None) if ask.top is None else None
    took = time.perf_counter() - began
    new = 0 if ask.top is None else _new(reader, ask, ask.top)
    began = time.perf_counter()
    total = _count(reader, ask, page) if ask.count else None
    workers = reader.workers()
    return Found(
        page=page,
        changed=_changed(reader, ask),
        new=new,
        task=reader.task(ask.inspected) if ask.inspected is not None else None,
        workers=frozenset(worker.hostname for worker in workers),
        total=total,
        took=took,
        counting=time.perf_counter() - began,
        nothing=_nothing(reader, ask) if page == [] else None,
    )


def older(reader: Reader, ask: Ask, before: int | None) -> list[TaskRow]:
    """A page of tasks, the newest or those before an id."""
    return reader.tasks(where=_where(ask), since=ask.span.start, until=_until(ask), before=before, limit=PAGE)


def values(reader: Reader, span: Span) -> dict[str, list[str]]:
    """What to offer when a field of a search is completed."""
    return {
        "queue": [queue.name for queue in reader.queues()],
        "worker": [worker.hostname for worker in reader.workers()],
        "name": [row.name for row in reader.names(span)],
    }


def row_of(task: Task) -> TaskRow:
    """What a table shows of a whole record."""
    fields = {name: getattr(task, name) for name in TaskRow.__struct_fields__}
    return TaskRow(**fields | {"args": None if task.args is None else task.args[:PREVIEW]})


def _where(ask: Ask) -> Search | None:
    return None if ask.search.matches_all else ask.search


def _until(ask: Ask) -> float | None:
    return None if ask.live else ask.span.end


def _new(reader: Reader, ask: Ask, top: int) -> int:
    where = _where(ask)
    if where is None:  # ids follow each other without gaps
        newest = reader.tasks(until=_until(ask), limit=1)
        return max(0, newest[0].id - top) if newest else 0
    return len(reader.tasks(where=where, until=_until(ask), after=top, limit=MOST_NEW + 1))


def _count(reader: Reader, ask: Ask, page: list[TaskRow] | None) -> int:
    if page is not None and len(page) < PAGE:
        return len(page)
    return reader.task_count(where=_where(ask), since=ask.span.start, until=_until(ask))


def _changed(reader: Reader, ask: Ask) -> list[TaskRow]:
    """The tasks in view as they are now, also those that the search would find no more."""
    moving = [row for row in ask.shown if row.state not in states.FINAL]
    if ask.top is None or not moving:
        return []
    if ask.search.matches_all:  # then they stand next to each other
        return reader.tasks_between(moving[-1].id, moving[0].id)
    return [row_of(task) for task in (reader.task(row.uuid) for row in moving) if task is not None]


def _nothing(reader: Reader, ask: Ask) -> Nothing:
    workers = reader.workers()
    latest = reader.tasks(limit=1)
    in_span = bool(reader.tasks(since=ask.span.start, until=_until(ask), limit=1))
    return Nothing(
        in_span=in_span,
        latest=latest[0].seen if latest else None,
        online=sum(1 for worker in workers if worker.state in ALIVE),
        mute=sum(1 for worker in workers if worker.state in ALIVE and worker.events is False),
        heard=max((worker.heartbeat or worker.seen for worker in workers), default=None),
    )
