"""Tasks, workers and counters as text, so that a test's expectation can be judged at a glance."""

from collections.abc import Iterable

import msgspec

from app.models.history.charts import Totals
from app.models.records import Attempt, Task, Worker
from app.models.reducer import Batch
from app.models.rollups import Cell
from tests.helpers.events import T0

_TIMES = ("sent", "received", "started", "finished", "eta")
_SHOWN = ("wait", "runtime", "result", "exception", "note", "progress", "redelivered")
_COUNTS = ("events", "tasks", "received", "started", "succeeded", "failed", "retried", "revoked", "rejected")


def drawn(task: Task | None) -> str:
    """A task: its state and what is known of its end, then a line per attempt with its times from `T0`."""
    assert task is not None
    facts = [f"{name} {_figure(value)}" for name in _SHOWN if (value := getattr(task, name))]
    last = Attempt(task.retries, task.sent, task.received, task.started, task.finished, None, task.worker, eta=task.eta)
    lines = [f"{task.state}: {', '.join(facts)}".rstrip(": ")]
    return "\n".join([*lines, *(_attempt(attempt) for attempt in (*(task.attempts or ()), last))])


def _attempt(attempt: Attempt) -> str:
    times = [f"{name} {_figure(at - T0)}" for name in _TIMES if (at := getattr(attempt, name)) is not None]
    ended = [text for text in (attempt.state, attempt.exception) if text]
    where = [f"on {attempt.worker}"] if attempt.worker else []
    return f"  #{attempt.retries} " + ", ".join([*times, *where, *ended])


def counters(batches: Batch | Iterable[Batch], name: str | None = None) -> str:
    """What the batches count in all for a task name (or for all), zeros left out; a later batch replaces a cell."""
    batches = [batches] if isinstance(batches, Batch) else list(batches)
    cells = {(at, key): cell for batch in batches for at, key, cell in batch.cells if key == name}
    return counted(cells.values())


def counted(cells: Iterable[Cell]) -> str:
    """Sums of cells, zeros left out; ``waits`` and ``runs`` are how many were measured."""
    cells = list(cells)
    sums = {count: sum(getattr(cell, count) for cell in cells) for count in _COUNTS}
    sums["waits"] = sum(sum(cell.wait.values()) for cell in cells)
    sums["runs"] = sum(sum(cell.run.values()) for cell in cells)
    return " ".join(f"{key} {value}" for key, value in sums.items() if value)


def counted_totals(totals: Totals) -> str:
    """The counts of a span's figures in the same form, without those of measurements."""
    return " ".join(f"{key} {value}" for key in _COUNTS if (value := getattr(totals, key)))


def drawn_worker(worker: Worker) -> str:
    """A worker: its state and since when, then what it is known to do."""
    since = "" if worker.since is None else f" since {_figure(worker.since - T0)}"
    shown = ("active", "processed", "succeeded", "failed", "retried")
    facts = [f"{name} {value}" for name in shown if (value := getattr(worker, name))]
    return f"{worker.hostname} {worker.state}{since}: {', '.join(facts)}".rstrip(": ")


def _figure(value: object) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def same(one: object, other: object) -> bool:
    """Whether two records are equal field by field."""
    return bool(msgspec.to_builtins(one) == msgspec.to_builtins(other))
