"""How long commits take while retention runs, on a history of many tasks that a window reads: p50, p99 and the longest.

    python -m tests.bench.retention --tasks 1000000

Nothing here is a pass or a fail.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from app.models.history.charts import Span
from app.models.history.keeper import Keeper
from app.models.history.reader import Reader
from app.models.history.retention import Keep
from app.models.history.writer import Writer
from app.models.records import Task
from app.models.reducer import Batch
from app.models.rollups import Cell

NAMES = 40
#: What the history covers before it is measured, in seconds.
COVERED = 3 * 86_400.0


def measure(tasks: int, rate: float = 2_000.0, seconds: float = 20.0) -> dict[str, Any]:
    """Fill a history, then go on with ``rate`` tasks a second in ten commits, a reader beside, while half of it leaves.

    A task is written twice: when it starts, and when it ends. Times are in milliseconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.cloche"
        now = time.time()
        filled = time.perf_counter()
        with Writer(path) as writer:
            _fill(writer, tasks, now)
        filled = time.perf_counter() - filled
        size = path.stat().st_size
        opened = time.perf_counter()
        keeper = Keeper(path, Keep(seconds=COVERED / 2))
        opened = time.perf_counter() - opened
        stop = threading.Event()
        answers: list[float] = []
        reader = threading.Thread(target=_read, args=(path, stop, answers))
        reader.start()
        try:
            commits, steps, removed = _go_on(keeper, tasks, rate, seconds)
        finally:
            stop.set()
            reader.join()
            keeper.close()
    return {
        "tasks": tasks,
        "file_mb": round(size / 1e6),
        "filled_s": round(filled, 1),
        "opened_s": round(opened, 2),
        "commit_ms": _spread(commits),
        "step_ms": _spread(steps),
        "removed_tasks": removed,
        "removed_per_second": round(removed / seconds),
        "answers_ms": _spread(answers),
    }


def _fill(writer: Writer, tasks: int, now: float) -> None:
    chance = random.Random(1)
    for first in range(1, tasks + 1, 2_000):
        numbers = range(first, min(tasks + 1, first + 2_000))
        made = [_task(number, now - COVERED * (1 - number / tasks), chance) for number in numbers]
        bucket = int(made[0].seen) // 5 * 5
        writer.commit(writer.rows(Batch(made, [], [], _cells(bucket), [], bucket)))
    writer.set_meta(created=repr(now - COVERED), alive=repr(now))


def _task(number: int, at: float, chance: random.Random, state: str = "SUCCESS") -> Task:
    return Task(
        number, str(uuid.UUID(int=chance.getrandbits(128))), at, state=state, name=f"shop.tasks.t{number % NAMES}",
        args=f"({number}, 'customer-{number}')", kwargs="{'retry': True}", queue="celery", worker=f"w{number % 8}@host",
        sent=at, received=at, started=at, finished=None if state == "STARTED" else at, wait=0.2, runtime=0.3,
    )  # fmt: skip


def _cells(bucket: int) -> list[tuple[int, str | None, Cell]]:
    histogram = dict.fromkeys(range(700, 730), 3)
    names = [None, *(f"shop.tasks.t{number}" for number in range(NAMES))]
    return [(bucket, name, Cell(tasks=50, succeeded=50, wait=histogram, run=histogram)) for name in names]


def _go_on(keeper: Keeper, tasks: int, rate: float, seconds: float) -> tuple[list[float], list[float], int]:
    """Commit ten times a second and remove what is due between, as the collector's thread does."""
    chance = random.Random(2)
    commits: list[float] = []
    steps: list[float] = []
    number = tasks
    begun: list[Task] = []
    end = time.monotonic() + seconds
    due = tidy_at = time.monotonic()
    while (now := time.monotonic()) < end:
        if now >= tidy_at:
            pause = keeper.tidy()
            steps.append(time.monotonic() - now)
            tidy_at = time.monotonic() + pause
        if time.monotonic() >= due:
            at = time.time()
            for task in begun:
                task.state, task.finished = "SUCCESS", at
            more = [_task(number + n + 1, at, chance, "STARTED") for n in range(int(rate / 10))]
            bucket = int(at) // 5 * 5
            rows = keeper.rows(Batch([*begun, *more], [], [], _cells(bucket), [], bucket))
            number, begun = number + len(more), more
            # From when it was due: what a step made it wait counts.
            keeper.commit(rows)
            commits.append(time.monotonic() - due)
            due = max(due + 0.1, time.monotonic())
        time.sleep(max(0.0, min(due, tidy_at) - time.monotonic()))
    return commits, steps, int(keeper.meta().get("removed.tasks", 0))


def _read(path: Path, stop: threading.Event, answers: list[float]) -> None:
    """What a window on the page of tasks and on the overview asks, four times a second."""
    reader = Reader(path)
    try:
        while not stop.wait(0.25):
            now = time.time()
            for question in (
                lambda: reader.tasks(limit=200),
                lambda: reader.states(now - 900),  # noqa: B023 - asked at once
                lambda: reader.outcomes(Span(now - 86_400, now), 600.0),  # noqa: B023
                lambda: reader.totals(Span(now - 3_600, now)),  # noqa: B023
            ):
                began = time.perf_counter()
                question()
                answers.append(time.perf_counter() - began)
    finally:
        reader.close()


def _spread(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    at = {"p50": 0.50, "p99": 0.99, "max": 1.0}
    return {key: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3, 1) for key, share in at.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=2_000.0, help="tasks per second while it is measured")
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    json.dump(measure(given.tasks, given.rate, given.seconds), sys.stdout, indent=2)
    sys.stdout.write("\n")
