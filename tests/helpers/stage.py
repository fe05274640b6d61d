"""A reducer with a history in memory, to play events on: commits, evictions and restarts happen when a test says so."""

from collections.abc import Iterable, Sequence

import msgspec

from app.models import states
from app.models.records import Event, Task
from app.models.reducer import Batch, Known, Reducer
from app.models.rollups import Cell
from tests.helpers.drawing import counted, drawn

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Task).decode


class Stage:
    """Plays events; what is committed is kept as text, so that nothing is shared with the reducer by accident."""

    def __init__(self, *, active_limit: int = 1000) -> None:
        self._stored: dict[str, bytes] = {}
        self._cells: dict[tuple[int, str | None], Cell] = {}
        self._limit = active_limit
        self.loads: list[list[str]] = []
        self.batches: list[Batch] = []
        self.reducer = Reducer(self, active_limit=active_limit)

    def load(self, uuids: Sequence[str]) -> Iterable[Task]:
        """The tasks of the history among these ids (`memory.Store`)."""
        self.loads.append(sorted(uuids))
        return [_decode(self._stored[uuid]) for uuid in uuids if uuid in self._stored]

    def open_tasks(self, after: int, limit: int) -> Sequence[Task]:
        """Tasks of the history that nothing has ended (`memory.Store`)."""
        tasks = sorted((_decode(text) for text in self._stored.values()), key=lambda task: task.id)
        return [task for task in tasks if task.id > after and task.state not in states.FINAL][:limit]

    def play(self, events: Iterable[Event]) -> "Stage":
        """Fold events one by one, each received when it happened."""
        for event in events:
            self.reducer.fold([msgspec.structs.replace(event)], event.seen)
        return self

    def commit(self) -> Batch:
        """Write what changed."""
        batch = self.reducer.flush()
        self._stored |= {task.uuid: _encode(task) for task in batch.tasks}
        self._cells |= {(at, name): cell for at, name, cell in batch.cells}
        self.batches.append(batch)
        self.reducer.committed(batch)
        return batch

    def restart(self) -> "Stage":
        """Commit, and begin a new reducer on the history."""
        self.commit()
        newest = max((at for at, _ in self._cells), default=0)
        cells = {name: cell for (at, name), cell in self._cells.items() if at == newest}
        workers, queues = list(self.reducer.workers.values()), list(self.reducer.queues.values())
        known = Known(len(self._stored) + 1, workers, queues, newest, cells)
        self.reducer = Reducer(self, known, active_limit=self._limit)
        return self

    def task(self, uuid: str = "t1") -> Task:
        """A task that has to be known."""
        found = self.reducer.task(uuid)
        assert found is not None
        return found

    def drawn(self, uuid: str = "t1") -> str:
        """A task as text."""
        return drawn(self.task(uuid))

    def counted(self, name: str | None = None) -> str:
        """All counters so far, of a task name or of all."""
        self.commit()
        return counted(cell for (_, key), cell in self._cells.items() if key == name)
