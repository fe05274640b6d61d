"""Records to table rows and back, with small numbers for the words that repeat."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Any, Final, Protocol

import msgspec

from app.models import timeline
from app.models.history import schema
from app.models.history.labels import Labels, Word
from app.models.records import Fact, Gap, Task
from app.models.reducer import Batch

#: Columns of the table `task`: what is known of nearly every task …
USUAL: Final = (
    "id", "uuid", "key", "seen", "name_id", "state", "worker_id", "retries", "redelivered", "received", "started",
    "finished", "wait", "runtime", "args", "kwargs", "result",
)  # fmt: skip
#: … and what is known of few.
RARE: Final = tuple(column.name for column in schema.task.columns if column.name not in USUAL)
TASK_COLUMNS: Final = USUAL + RARE
_NOTHING: Final = (None,) * len(RARE)

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

#: The tables of words, as `Rows` calls what goes into them.
WORDS: Final = {"names": "name", "workers": "worker", "queues": "queue", "series": "series"}
_name, _worker, _queue = attrgetter("name"), attrgetter("worker"), attrgetter("queue")


class Rows(msgspec.Struct):
    """One transaction's worth of rows, independent of the records they were made from.

    Rows of ``plain`` tasks have the `USUAL` columns only: each column that is written costs, a NULL most.
    """

    tasks: list[Row] = []
    plain: list[Row] = []
    names: list[Row] = []
    workers: list[Row] = []
    queues: list[Row] = []
    series: list[Row] = []
    cells: list[Row] = []
    gauges: list[Row] = []
    gaps: list[Row] = []
    accounting: list[Row] = []
    arguments: list[Row] = []
    #: Up to when we listened; 0 while we don't.
    alive: float = 0.0
    #: Finest buckets before this time are complete.
    closed: int = 0


class Numbers(Protocol):
    """Where the numbers are found that words have, by table."""

    def find(self, table: str, words: Sequence[Word]) -> Iterable[tuple[Word, int]]:
        """Those of these words that are in a table of words, with their numbers."""

    def last(self, table: str) -> int:
        """The highest number in a table of words, or 0."""


class RowMaker:
    """Makes rows of batches; numbers of words are known or found here, and new ones given."""

    def __init__(self, numbers: Numbers) -> None:
        made = {kind: Labels(partial(numbers.find, table), numbers.last(table)) for kind, table in WORDS.items()}
        self._labels = made
        self._names, self._workers, self._queues, self._series = made.values()

    def rows(self, batch: Batch) -> Rows:
        """Rows of all that a batch holds, and of names and series that the history may not hold yet."""
        finest, tasks = schema.LEVELS[0], batch.tasks
        names = self._names.numbers(chain(map(_name, tasks), (name for _, name, _ in batch.cells)))
        workers = self._workers.numbers(chain(map(_worker, tasks), (worker.hostname for worker in batch.workers)))
        queues = self._queues.numbers(chain(map(_queue, tasks), (queue.name for queue in batch.queues)))
        series = self._series.numbers(key for _, key, _ in batch.gauges)
        full, plain = _task_rows(tasks, names, queues, workers)
        return Rows(
            tasks=full,
            plain=plain,
            names=self._names.unwritten(),
            # Of workers and queues there are records in the batch.
            workers=[(workers[w.hostname], w.hostname, w.state, _encode(w).decode()) for w in batch.workers],
            queues=[(queues[q.name], q.name, _encode(q).decode()) for q in batch.queues],
            series=_series_rows(self._series.unwritten()),
            cells=[
                (finest, bucket, schema.ALL_NAMES if name is None else names[name], *cell.row())
                for bucket, name, cell in batch.cells
            ],
            gauges=[(finest, bucket, series[key], gauge.total, gauge.n) for bucket, key, gauge in batch.gauges],
            closed=batch.closed,
            arguments=[(told.task, told.at, told.args, told.kwargs) for told in batch.arguments],
        )

    def written(self, rows: Rows) -> None:
        """These rows are in the history now."""
        for kind, labels in self._labels.items():
            labels.written(row[1:3] if kind == "series" else row[1] for row in getattr(rows, kind))

    def words(self) -> Rows:
        """What the rows of the last batch, and those that follow, may refer to in a history that holds nothing yet.

        It has no workers and queues, of which there have to be records.
        """
        return Rows(names=self._names.in_memory(), series=_series_rows(self._series.in_memory()))


def _series_rows(series: Iterable[tuple[int, Word]]) -> list[Row]:
    return [(number, kind, key) for number, (kind, key) in series]


def _task_rows(
    tasks: Sequence[Task],
    names: Mapping[Word, int | None],
    queues: Mapping[Word, int | None],
    workers: Mapping[Word, int | None],
) -> tuple[list[Row], list[Row]]:
    """Rows with all columns, and those of plain tasks."""
    key = schema.task_key
    full: list[Row] = []
    plain: list[Row] = []
    for t in tasks:
        usual = (
            t.id, t.uuid, key(t.uuid), t.seen, names[t.name], t.state, workers[t.worker], t.retries, t.redelivered,
            t.received, t.started, t.finished, t.wait, t.runtime, t.args, t.kwargs, t.result,
        )  # fmt: skip
        rare = (
            queues[t.queue], t.sent, t.eta, t.expires, t.exception, t.note, t.progress, t.routing_key, t.producer,
            t.root, t.parent, t.doubted, None if t.facts is None else _encode(t.facts).decode(), t.traceback,
        )  # fmt: skip
        if rare == _NOTHING:
            plain.append(usual)
        else:
            full.append(usual + rare)
    return full, plain


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
