"""A history of a million tasks: how long each question of the window takes, and each commit while the window asks.

The history is written by the real reducer and writer, as a collector would have over a month: a steady trickle, and a
flood in the last hours; queues and workers are measured all along. Questions go through the real reader, each several
times. What takes longer than it may is told with SQLite's plan of it.

A page of tasks is searched for in steps, between which the window shows what was found and how far it came. The limit
holds for each step; how many there are, and how long they take together, is told besides.
"""

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import event as sqlalchemy_event

from app.models.history import schema, sweep
from app.models.history.charts import Span
from app.models.history.reader import Reader
from app.models.history.sweep import Sweep
from app.models.records import Event, Queue
from app.models.search import parse
from app.ui.live import RANGES, TimeRange
from app.ui.pages import overview_read, tasks_read
from tests.bench.load import NAMES, life, workers
from tests.bench.machine import spread
from tests.helpers.events import T0
from tests.helpers.histories import Recording

DAY: Final = 86_400.0
#: Milliseconds that a page of tasks and a chart may take.
PAGE_LIMIT: Final = 30.0
CHART_LIMIT: Final = 50.0
#: A question is asked so often, or for so many seconds.
ROUNDS: Final = 20
PATIENCE: Final = 4.0
#: Share of the tasks that came in the last hours of the history, and how many hours those are.
RECENT: Final = 0.3
RECENT_HOURS: Final = 2
#: One task in so many has a word in its arguments that no other has.
RARE: Final = 100_000
QUEUES: Final = ("mail", "orders", "reports", "celery")
_COMMIT: Final = 5_000

#: Searches by what they are, apart from time and place.
SEARCHES: Final = {
    "no filter": "",
    "state, common": "state:success",
    "state, rare": "state:retry",
    "state, absent": "state:started",
    "state, list": "state:failed,retry,revoked",
    "name": "name:shop.tasks.job_17*",
    "name, part": "name:job_17",
    "name, absent": "name:nobody",
    "worker": "worker:worker-3",
    "queue": "queue:mail",
    "text, common": "customer",
    "text, rare": "needle",
    "text, absent": "zebrafish",
    "traceback": 'traceback:"no such order"',
    "keyword": "kwargs:priority=high",
    "keyword, absent": "kwargs:priority=low",
    "figure, common": "runtime:>100ms",
    "figure, absent": "runtime:>1h",
    "running": "is:running",
    "slow": "is:slow",
    "lost": "is:lost",
    "has": "has:traceback",
    "state and name": "state:failed name:job_50",
    "state and worker": "state:failed worker:worker-0",
    "name and rare text": "name:job_77 needle",
    "queue and absent text": "queue:mail zebrafish",
    "not": "-state:success",
    "or": "state:revoked OR worker:worker-3",
}


def build(path: Path, tasks: int = 1_000_000, names: int = NAMES, days: float = 30.0) -> None:
    """Write a history that ends now."""
    end = time.time()
    recording = Recording(path, active_limit=200_000)
    recording.set_created(end - days * DAY - T0)
    reducer = recording.reducer
    dice = random.Random(1)
    uncommitted = number = 0
    for at, width, count in _slots(tasks, end, days):
        reducer.fold([_event(beat, at) for beat in workers("worker-heartbeat")], at)
        reducer.fold_queues([Queue(name, at, ready=dice.randrange(100), unacked=4) for name in QUEUES], at)
        for moment in sorted(at + dice.random() * width for _ in range(count)):
            reducer.fold(_life(number, names, moment, dice), moment)
            number += 1
        uncommitted += count + 1
        if uncommitted >= _COMMIT:
            uncommitted = 0
            recording.commit(at + width - T0)
    recording.commit(end - T0)
    _sum_up(recording, end)
    recording.writer.close()


def _sum_up(recording: Recording, end: float) -> None:
    """Commit nothing until all is summed up: in a month there were millions of commits, each of which did its part."""
    closed = int(end) // schema.LEVELS[0] * schema.LEVELS[0]
    while True:
        meta = recording.writer.meta()
        if all(int(meta.get(f"rolled.{level}", 0)) >= closed // level * level for level in schema.LEVELS[1:]):
            return
        recording.commit(end - T0)


def _slots(tasks: int, end: float, days: float) -> Iterator[tuple[float, float, int]]:
    """Start, length and number of tasks of each slot: minutes, and 5 seconds each in the last hours."""
    start, recent = end - days * DAY, end - RECENT_HOURS * 3600
    minutes, fives = round((recent - start) / 60), RECENT_HOURS * 720
    late = round(tasks * RECENT)
    for at in range(minutes):
        count = (at + 1) * (tasks - late) // minutes - at * (tasks - late) // minutes
        yield start + at * 60, 60.0, count
    for at in range(fives):
        yield recent + at * 5, 5.0, (at + 1) * late // fives - at * late // fives


def _life(number: int, names: int, moment: float, dice: random.Random) -> list[Event]:
    received, started, ended = life(number, mixed=True, names=names)
    if number % RARE == 77:
        received["args"] = f"({number}, 'needle')"
    queue = QUEUES[number % len(QUEUES)]
    sent = received | {"type": "task-sent", "hostname": "gen@web-1", "queue": queue, "routing_key": queue}
    waited, ran = dice.lognormvariate(-2, 1), dice.lognormvariate(-3, 1)
    if ended["type"] == "task-succeeded":
        ended["runtime"] = ran
    steps = ((sent, 0.0), (received, 0.01), (started, 0.01 + waited), (ended, 0.01 + waited + ran))
    return [_event(step, moment + after, moment) for step, after in steps]


def _event(raw: dict[str, object], timestamp: float, seen: float | None = None) -> Event:
    return msgspec.convert({**raw, "timestamp": timestamp, "seen": timestamp if seen is None else seen}, Event)


Question = tuple[str, Callable[[], object]]
Search = tuple[str, Callable[[], Sweep]]


def questions(path: Path) -> dict[str, Any]:
    """Milliseconds of each page of tasks and each chart, and the plans of those that take too long."""
    reader = Reader(path)
    try:
        found: dict[str, Any] = {"tasks": reader.task_total(), "history_mb": round(reader.size() / 1e6)}
        found["pages"] = _search(reader, dict(_pages(reader)), tasks_read.PAGE)
        found["charts"] = _ask(reader, dict(_charts(reader)), CHART_LIMIT)
        # The window also counts what a search finds, step by step.
        found["counts"] = _search(reader, dict(_counts(reader)), None)
        # It reads many charts at once; no limit is set for that.
        found["whole overviews"] = _ask(reader, dict(_overviews(reader)), None)
    finally:
        reader.close()
    found["misses"] = {
        question: figures
        for part in ("pages", "counts", "charts")
        for question, figures in found[part].items()
        if _misses(figures)
    }
    return found


def _pages(reader: Reader) -> Iterator[Search]:
    total = reader.task_total()
    end = reader.alive() or time.time()
    places = {"first": None, "middle": total // 2, "last": 300}
    spans = {
        "last 15 minutes": (end - 900, None),
        "last day": (end - DAY, None),
        "an hour a week ago": (end - 7 * DAY, end - 7 * DAY + 3600),
        "last 30 days": (end - 30 * DAY, None),
    }
    for what, text in SEARCHES.items():
        begun = partial(sweep.begin, reader, parse(text) if text else None)
        for place, before in places.items():
            yield f"{what}: {place}", partial(begun, before=before)
        for when, (since, until) in spans.items():
            yield f"{what}: {when}", partial(begun, since=since, until=until)


def _counts(reader: Reader) -> Iterator[Search]:
    end = reader.alive() or time.time()
    for what, text in SEARCHES.items():
        begun = partial(sweep.begin, reader, parse(text) if text else None)
        for when, since in (("last day", end - DAY), ("last 30 days", end - 30 * DAY)):
            yield f"{what}: {when}", partial(begun, since=since)


def _search(reader: Reader, asked: dict[str, Callable[[], Sweep]], limit: int | None) -> dict[str, Any]:
    """Milliseconds of each step, and of all steps together, until so many tasks are found or all are counted."""
    found = {}
    for question, begin in asked.items():
        watch = Watch()
        while watch.wanted:
            with watch.whole():
                with watch.step():
                    begun = begin()
                    step = sweep.step(reader, begun, limit)
                count = step.count
                while not step.rest.done and (limit is None or count < limit):
                    with watch.step():
                        step = sweep.step(reader, step.rest, None if limit is None else limit - count)
                    count += step.count
        figures = watch.figures(PAGE_LIMIT) | {"found": count}
        if _misses(figures):
            with _plans(reader) as plans:
                sweep.step(reader, begun, limit)
            figures["plans"] = plans
        found[question] = figures
    return found


class Watch:
    """How long something takes that is done several times, in steps: processor time and time by the clock."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._steps: list[tuple[float, float]] = []
        self._wholes: list[tuple[float, float]] = []

    @property
    def wanted(self) -> bool:
        """Whether it is to be done once more."""
        done = len(self._wholes)
        return done < ROUNDS and (not done or time.perf_counter() - self._began < PATIENCE)

    def step(self) -> AbstractContextManager[None]:
        return self._measure(self._steps)

    def whole(self) -> AbstractContextManager[None]:
        return self._measure(self._wholes)

    @contextmanager
    def _measure(self, took: list[tuple[float, float]]) -> Iterator[None]:
        used, start = time.process_time(), time.perf_counter()
        yield
        took.append((time.process_time() - used, time.perf_counter() - start))

    def figures(self, limit: float | None) -> dict[str, Any]:
        cpu, clock = (list(values) for values in zip(*self._steps, strict=True))
        whole_cpu, whole_clock = (list(values) for values in zip(*self._wholes, strict=True))
        return {
            "cpu_ms": spread(cpu),
            "clock_ms": spread(clock),
            "steps": round(len(cpu) / len(whole_cpu), 1),
            "whole_cpu_ms": spread(whole_cpu),
            "whole_clock_ms": spread(whole_clock),
            "limit": limit,
        }


def _spans(reader: Reader) -> Iterator[tuple[str, Span, float]]:
    """What a chart may show: words for it, the span, and the width of its buckets."""
    end = reader.alive() or time.time()
    for seconds in (60.0, *RANGES, 2 * DAY, 30 * DAY):
        for where, until in (("to now", end), ("in the past", end - (30 * DAY - seconds) / 2 - 7.0)):
            span = Span(until - seconds, until)
            yield f"{_length(seconds)} {where}", span, step_of(span)


def _charts(reader: Reader) -> Iterator[Question]:
    for shown, span, step in _spans(reader):
        yield f"totals: {shown}", partial(reader.totals, span)
        yield f"names: {shown}", partial(reader.names, span, overview_read.NAMES, ("run",))
        yield f"outcomes: {shown}", partial(reader.outcomes, span, step)
        yield f"latency of waiting: {shown}", partial(reader.latency, span, step, "wait")
        yield f"latency of running: {shown}", partial(reader.latency, span, step, "run")
        yield f"queues' depths: {shown}", partial(reader.gauge, "queue.ready", span, step)
        yield f"workers' tasks: {shown}", partial(reader.gauge, "worker.active", span, step)


def _overviews(reader: Reader) -> Iterator[Question]:
    for shown, span, step in _spans(reader):
        yield shown, partial(overview_read.read, reader, overview_read.Ask(span, step, None, names=True))


def step_of(span: Span) -> float:
    """Width of a chart's buckets, as the window chooses it."""
    shown = TimeRange()
    shown.look_back(span.start, span.end)
    return shown.step()


def _ask(reader: Reader, asked: dict[str, Callable[[], object]], limit: float | None) -> dict[str, Any]:
    found = {}
    for question, ask in asked.items():
        watch = Watch()
        while watch.wanted:
            with watch.whole(), watch.step():
                ask()
        figures = watch.figures(limit)
        if _misses(figures):
            with _plans(reader) as plans:
                ask()
            figures["plans"] = plans
        found[question] = figures
    return found


def _misses(figures: dict[str, Any]) -> bool:
    """Whether a question takes longer than it may, by its processor time: the machine may be shared."""
    return figures["limit"] is not None and any(figures["cpu_ms"][key] > figures["limit"] for key in ("p50", "p95"))


@contextmanager
def _plans(reader: Reader) -> Iterator[list[str]]:
    """SQLite's plan of every statement that a reader executes."""
    plans: list[str] = []

    def explain(_connection: Any, cursor: sqlite3.Cursor, statement: str, parameters: Any, *_: Any) -> None:
        cursor.execute("EXPLAIN QUERY PLAN " + statement, parameters)
        plan = "; ".join(row[3] for row in cursor.fetchall())
        if plan not in plans:
            plans.append(plan)

    engine = reader._engine
    sqlalchemy_event.listen(engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        sqlalchemy_event.remove(engine, "before_cursor_execute", explain)


def _length(seconds: float) -> str:
    for unit, name in ((DAY, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"
