"""Records to table rows and back, with small numbers for the words that repeat."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from app.models import timeline
from app.models.history import schema
from app.models.records import Fact, Gap, Task
from app.models.reducer import Batch

#: Columns of the table `task`, in the order of `task_row`.
TASK_COLUMNS: Final = tuple(column.name for column in schema.task.columns)

#: Reads whole tasks as `task_from_row` wants them; a condition on `task` follows.
SELECT_TASKS: Final = (
    "SELECT "  # noqa: S608 - our own column names
    + ", ".join(
        {"name_id": "name.name", "queue_id": "queue.name", "worker_id": "worker.hostname"}.get(column, f"task.{column}")
        for column in TASK_COLUMNS
    )
    + " FROM task LEFT JOIN name ON name.id = name_id LEFT JOIN queue ON queue.id = queue_id"
    " LEFT JOIN worker ON worker.id = worker_id "
)

_FIELDS: Final = tuple(column.removesuffix("_id") for column in TASK_COLUMNS)
_encode = msgspec.json.Encoder().encode
_facts = msgspec.json.Decoder(list[Fact]).decode

Row = tuple[Any, ...]


class Labels:
    """Numbers for words, from 1, in the order they were first met; ``fresh`` are those not in the history yet."""

    def __init__(self, known: Iterable[tuple[int, Any]] = ()) -> None:
        self._numbers: dict[Any, int] = {word: number for number, word in known}
        self._next = max(self._numbers.values(), default=0) + 1
        self.fresh: list[tuple[int, Any]] = []

    def number(self, word: Any) -> int:
        """Number of a word, a new one if it was never met."""
        number = self._numbers.get(word)
        if number is None:
            number = self._numbers[word] = self._next
            self._next += 1
            self.fresh.append((number, word))
        return number

    def take_fresh(self) -> list[tuple[int, Any]]:
        """Hand over the fresh ones."""
        fresh, self.fresh = self.fresh, []
        return fresh


class Rows(msgspec.Struct):
    """One transaction's worth of rows, independent of the records they were made from."""

    tasks: list[Row] = []
    names: list[Row] = []
    workers: list[Row] = []
    queues: list[Row] = []
    series: list[Row] = []
    cells: list[Row] = []
    gauges: list[Row] = []
    gaps: list[Row] = []
    accounting: list[Row] = []
    #: Up to when we listened; 0 while we don't.
    alive: float = 0.0
    #: Finest buckets before this time are complete.
    closed: int = 0


class RowMaker:
    """Makes rows of batches; the words' numbers live here, as long as the history is open."""

    def __init__(self, names: Labels, workers: Labels, queues: Labels, series: Labels) -> None:
        self._names, self._workers, self._queues, self._series = names, workers, queues, series

    def rows(self, batch: Batch) -> Rows:
        """Rows of all that a batch holds."""
        finest = schema.LEVELS[0]
        number = self._names.number
        made = Rows(
            tasks=self._tasks(batch.tasks),
            workers=[
                (self._workers.number(w.hostname), w.hostname, w.state, _encode(w).decode()) for w in batch.workers
            ],
            queues=[(self._queues.number(q.name), q.name, _encode(q).decode()) for q in batch.queues],
            cells=[
                (finest, bucket, schema.ALL_NAMES if name is None else number(name), *cell.row())
                for bucket, name, cell in batch.cells
            ],
            gauges=[
                (finest, bucket, self._series.number(key), gauge.total, gauge.n) for bucket, key, gauge in batch.gauges
            ],
            closed=batch.closed,
        )
        made.names = self._names.take_fresh()
        # Their rows are made of the records above.
        self._workers.take_fresh()
        self._queues.take_fresh()
        made.series = [(number, kind, key) for number, (kind, key) in self._series.take_fresh()]
        return made

    def _tasks(self, tasks: Sequence[Task]) -> list[Row]:
        name, queue, worker = self._names.number, self._queues.number, self._workers.number
        key = schema.task_key
        return [
            (
                t.id, t.uuid, t.seen, None if t.name is None else name(t.name), t.state,
                None if t.queue is None else queue(t.queue), None if t.worker is None else worker(t.worker),
                t.retries, t.redelivered, t.sent, t.received, t.started, t.finished, t.wait, t.runtime,
                t.eta, t.expires, t.args, t.kwargs, t.result, t.exception, t.note, t.progress,
                t.routing_key, t.producer, t.root, t.parent,
                t.doubted, None if t.facts is None else _encode(t.facts).decode(), t.traceback, key(t.uuid),
            )
            for t in tasks
        ]  # fmt: skip


def task_from_row(row: Sequence[Any]) -> Task:
    """The task of a row that `SELECT_TASKS` read."""
    fields = dict(zip(_FIELDS, row, strict=True))
    del fields["key"]
    facts = fields["facts"]
    if facts is None:
        return Task(**fields)
    fields["facts"] = _facts(facts)
    task = Task(**fields)
    task.attempts = timeline.deliveries(task.facts or ())[:-1] or None
    return task


def gap_row(number: int, gap: Gap) -> Row:
    """Row of the table `gap`."""
    return (number, gap.start, gap.end, gap.why)
