"""A history of a million tasks: how long each question of the window takes, and each commit while the window asks.

The history is written by the real reducer and writer, as a collector would have over a month: a steady trickle, and a
flood in the last hours; queues and workers are measured all along. Questions go through the real reader, each several
times. What takes longer than it may is told with SQLite's plan of it.
"""

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import event as sqlalchemy_event

from app.models.history.charts import Span
from app.models.history.reader import Reader
from app.models.records import Event, Queue
from app.models.search import parse
from app.ui.live import RANGES, TimeRange
from app.ui.pages import overview_read
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
    recording.writer.close()


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


def questions(path: Path) -> dict[str, Any]:
    """Milliseconds of each page of tasks and each chart, and the plans of those that take too long."""
    reader = Reader(path)
    try:
        found: dict[str, Any] = {"tasks": reader.task_total(), "history_mb": round(reader.size() / 1e6)}
        found["pages"] = _ask(reader, dict(_pages(reader)), PAGE_LIMIT)
        found["charts"] = _ask(reader, dict(_charts(reader)), CHART_LIMIT)
        # The window also counts what a search finds, and reads many charts at once; no limit is set for these.
        found["counts"] = _ask(reader, dict(_counts(reader)), None)
        found["whole overviews"] = _ask(reader, dict(_overviews(reader)), None)
    finally:
        reader.close()
    found["misses"] = {
        question: figures
        for part in ("pages", "charts")
        for question, figures in found[part].items()
        if _misses(figures)
    }
    return found


def _pages(reader: Reader) -> Iterator[Question]:
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
        page = partial(reader.tasks, where=parse(text) if text else None)
        for place, before in places.items():
            yield f"{what}: {place}", partial(page, before=before)
        for when, (since, until) in spans.items():
            yield f"{what}: {when}", partial(page, since=since, until=until)


def _counts(reader: Reader) -> Iterator[Question]:
    end = reader.alive() or time.time()
    for what, text in SEARCHES.items():
        count = partial(reader.task_count, where=parse(text) if text else None)
        for when, since in (("last day", end - DAY), ("last 30 days", end - 30 * DAY)):
            yield f"{what}: {when}", partial(count, since=since)


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
        yield f"names: {shown}", partial(reader.names, span)
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
        cpu: list[float] = []
        clock: list[float] = []
        began = time.perf_counter()
        while len(clock) < ROUNDS and (not clock or time.perf_counter() - began < PATIENCE):
            used, start = time.process_time(), time.perf_counter()
            ask()
            cpu.append(time.process_time() - used)
            clock.append(time.perf_counter() - start)
        figures: dict[str, Any] = {"cpu_ms": spread(cpu), "clock_ms": spread(clock), "limit": limit}
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
