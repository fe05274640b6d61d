"""What the page of tasks reads of a history, in one go and in the query thread."""

from typing import Final

import msgspec

from app.models import states
from app.models.history import sweep
from app.models.history.charts import Span
from app.models.history.reader import PREVIEW, Reader, TaskRow
from app.models.history.sweep import Sweep
from app.models.records import Task
from app.models.search import Search
from app.models.signs import ALIVE

#: Tasks in a page; a following table reads its first page again and again.
PAGE: Final = 200
#: Task names that are offered, the busiest.
OFFERED: Final = 500


class Ask(msgspec.Struct, frozen=True):
    """What to read. ``top`` is the newest task that is shown; the table follows where it is None.

    ``shown`` are the tasks in view, to be read again as far as they may have changed; ``count`` says whether to count
    all that are found.
    """

    search: Search
    span: Span
    live: bool
    top: int | None = None
    shown: tuple[TaskRow, ...] = ()
    inspected: str | None = None
    count: bool = False


class Hunt(msgspec.Struct, frozen=True):
    """A search that goes on step by step: it finds the tasks of a page, and then counts the rest.

    ``wanted`` tasks are missing from the page; ``counts`` if the rest is to be counted. ``found`` so many so far, in
    ``seconds``, ``paged`` of them for the page, and came back in time to ``back``.
    """

    sweep: Sweep
    wanted: int
    counts: bool = False
    found: int = 0
    seconds: float = 0.0
    paged: float = 0.0
    back: float | None = None

    @property
    def paging(self) -> bool:
        """Whether tasks of the page are still looked for."""
        return self.wanted > 0 and not self.sweep.done

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.sweep.done or not (self.paging or self.counts)

    @property
    def total(self) -> int | None:
        """How many tasks there are, once that is known."""
        return self.found if self.sweep.done else None


class Part(msgspec.Struct, frozen=True):
    """What a step of a hunt brought: tasks with ids from ``low`` up to, and without, ``high``."""

    rows: list[TaskRow]
    low: int
    high: int
    hunt: Hunt
    nothing: "Nothing | None" = None


class Found(msgspec.Struct, frozen=True):
    """The answer. ``part`` is the newest page or its beginning, and what was counted.

    ``new`` tasks are newer than those shown, or more where not all of them were ``counted``.
    """

    part: Part | None
    changed: list[TaskRow]
    new: int
    counted: bool
    task: Task | None
    workers: frozenset[str]


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
    new, counted = (0, True) if ask.top is None else _new(reader, ask, ask.top)
    return Found(
        part=go_on(reader, ask, begin(reader, ask)) if ask.top is None or ask.count else None,
        changed=_changed(reader, ask),
        new=new,
        counted=counted,
        task=reader.task(ask.inspected) if ask.inspected is not None else None,
        workers=frozenset(worker.hostname for worker in reader.workers()),
    )


def begin(reader: Reader, ask: Ask) -> Hunt:
    """The search for the newest page of tasks, or only for their number."""
    swept = sweep.begin(reader, _where(ask), since=ask.span.start, until=_until(ask))
    return Hunt(swept, PAGE if ask.top is None else 0, ask.count)


def older(reader: Reader, ask: Ask, before: int) -> Part:
    """The first step of a search for the page of tasks before an id; raises `HistoryError`."""
    swept = sweep.begin(reader, _where(ask), since=ask.span.start, until=_until(ask), before=before)
    return go_on(reader, ask, Hunt(swept, PAGE))


def go_on(reader: Reader, ask: Ask, hunt: Hunt) -> Part:
    """Take a step, or two where the first one was short; raises `HistoryError`."""
    high = low = hunt.sweep.high
    rows: list[TaskRow] = []
    if hunt.paging:
        step = sweep.step(reader, hunt.sweep, hunt.wanted)
        rows, low = step.rows, step.rest.high
        hunt = _after(hunt, step)
        if hunt.paging or step.took > sweep.BUDGET / 4:
            return Part(rows, low, high, hunt, _nothing(reader, ask) if hunt.total == 0 else None)
    if not hunt.done:
        hunt = _after(hunt, sweep.step(reader, hunt.sweep, None))
    return Part(rows, low, high, hunt, _nothing(reader, ask) if hunt.total == 0 else None)


def _after(hunt: Hunt, step: sweep.Step) -> Hunt:
    return msgspec.structs.replace(
        hunt,
        sweep=step.rest,
        wanted=hunt.wanted - len(step.rows),
        found=hunt.found + step.count,
        seconds=hunt.seconds + step.took,
        paged=hunt.paged + step.took if hunt.paging else hunt.paged,
        back=step.back,
    )


def values(reader: Reader, span: Span) -> dict[str, list[str]]:
    """What to offer when a field of a search is completed."""
    return {
        "queue": [queue.name for queue in reader.queues()],
        "worker": [worker.hostname for worker in reader.workers()],
        "name": [row.name for row in reader.names(span, OFFERED, ()).rows],
    }


def row_of(task: Task) -> TaskRow:
    """What a table shows of a whole record."""
    fields = {name: getattr(task, name) for name in TaskRow.__struct_fields__}
    return TaskRow(**fields | {"args": None if task.args is None else task.args[:PREVIEW]})


def _where(ask: Ask) -> Search | None:
    return None if ask.search.matches_all else ask.search


def _until(ask: Ask) -> float | None:
    return None if ask.live else ask.span.end


def _new(reader: Reader, ask: Ask, top: int) -> tuple[int, bool]:
    """How many tasks are newer, and whether they were all counted: that takes one step and no more."""
    where = _where(ask)
    if where is None:  # ids follow each other without gaps
        newest = reader.tasks(until=_until(ask), limit=1)
        return (max(0, newest[0].id - top) if newest else 0), True
    step = sweep.step(reader, sweep.begin(reader, where, until=_until(ask), after=top), None)
    return step.count, step.rest.done


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
