"""What is in memory and what is written when: nothing is lost, nothing is written stale, and memory is bounded."""

import random
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.models import memory, states
from app.models.memory import FLOOD, HOLD, USUAL, Tasks
from app.models.records import Event, Fact, Task
from app.models.reducer import Batch, Reducer
from tests.helpers.drawing import drawn
from tests.helpers.events import T0
from tests.helpers.seen import STREAMS
from tests.helpers.stage import Stage


class Shelf:
    """A history in memory, of which a crash leaves what was committed."""

    def __init__(self) -> None:
        self._rows: dict[str, bytes] = {}

    def load(self, uuids: Sequence[str]) -> Iterable[Task]:
        return [task for uuid in uuids if (task := self.get(uuid)) is not None]

    def open_tasks(self, after: int, limit: int) -> Sequence[Task]:
        tasks = sorted((task for uuid in self._rows if (task := self.get(uuid))), key=lambda task: task.id)
        return [task for task in tasks if task.id > after and task.state not in states.FINAL][:limit]

    def get(self, uuid: str) -> Task | None:
        row = self._rows.get(uuid)
        return None if row is None else msgspec.json.decode(row, type=Task)

    def write(self, tasks: Iterable[Task]) -> None:
        self._rows |= {task.uuid: msgspec.json.encode(task) for task in tasks}


def tasks_in(shelf: Shelf, limit: int = 1_000_000) -> Tasks:
    return Tasks(shelf, 1, limit)


def changed(tasks: Tasks, state: str, names: Iterable[object]) -> None:
    for name in names:
        task = tasks.active.get(str(name)) or tasks.make(str(name), T0)
        task.state = state
        tasks.change(task)


def taken(tasks: Tasks, now: float, *, everything: bool = False) -> dict[str, int]:
    """How many are written now, by state."""
    found: dict[str, int] = {}
    batch = tasks.take_changed(now, everything=everything)
    tasks.written(batch)
    for task in batch:
        found[task.state] = found.get(task.state, 0) + 1
    return found


# --- when ------------------------------------------------------------------------------------------------------------


def test_while_little_happens_all_is_written_at_once() -> None:
    tasks = tasks_in(Shelf())
    changed(tasks, "STARTED", range(FLOOD - 1))
    assert taken(tasks, 0) == {"STARTED": FLOOD - 1}
    assert not tasks.holding


def test_in_a_flood_what_ended_is_written_at_once_and_what_is_open_a_moment_later() -> None:
    tasks = tasks_in(Shelf())
    changed(tasks, "STARTED", range(FLOOD))
    changed(tasks, "SUCCESS", range(FLOOD, FLOOD + 10))
    changed(tasks, "FAILURE", range(FLOOD + 10, FLOOD + 15))
    assert taken(tasks, 0) == {"SUCCESS": 10, "FAILURE": 5}
    assert tasks.holding
    assert taken(tasks, HOLD - 0.001) == {}
    assert taken(tasks, HOLD) == {"STARTED": FLOOD}
    assert not tasks.holding


def test_what_ends_while_it_is_held_back_is_written_once() -> None:
    tasks = tasks_in(Shelf())
    changed(tasks, "STARTED", range(FLOOD))
    assert taken(tasks, 0) == {}
    changed(tasks, "SUCCESS", range(FLOOD - 2))
    assert taken(tasks, 0.1) == {"SUCCESS": FLOOD - 2}
    assert taken(tasks, HOLD) == {"STARTED": 2}


def test_what_changes_again_and_again_is_held_back_no_longer_than_that() -> None:
    tasks = tasks_in(Shelf())
    last_written = 0.0
    for step in range(100):
        now = step / 10
        changed(tasks, "STARTED", range(FLOOD))
        if taken(tasks, now):
            last_written = now
        assert now - last_written <= HOLD + 0.1


def test_everything_is_everything() -> None:
    tasks = tasks_in(Shelf())
    changed(tasks, "STARTED", range(FLOOD))
    taken(tasks, 0)
    changed(tasks, "RECEIVED", range(FLOOD, FLOOD + 3))
    assert taken(tasks, 0.1, everything=True) == {"STARTED": FLOOD, "RECEIVED": 3}
    assert taken(tasks, 10, everything=True) == {}


def test_a_history_that_is_begun_anew_is_given_all_that_is_known() -> None:
    tasks = tasks_in(Shelf())
    changed(tasks, "STARTED", range(5))
    taken(tasks, 0)
    tasks.change_all()
    assert taken(tasks, 1) == {"STARTED": 5}


# --- what stays in memory --------------------------------------------------------------------------------------------


def test_memory_holds_the_newest_of_too_many_tasks() -> None:
    tasks = tasks_in(Shelf(), limit=10)
    changed(tasks, "STARTED", range(100))
    taken(tasks, 0)
    assert list(tasks.active) == [str(n) for n in range(90, 100)]


def test_what_is_not_written_never_leaves_memory() -> None:
    tasks = tasks_in(Shelf(), limit=0)
    changed(tasks, "STARTED", range(FLOOD))
    taken(tasks, 0)
    assert len(tasks.active) == FLOOD, "held back"
    changed(tasks, "STARTED", range(FLOOD, FLOOD + 5))
    batch = tasks.take_changed(0.1)
    changed(tasks, "SUCCESS", [FLOOD])
    tasks.written(batch)
    assert list(tasks.active) == [*(str(n) for n in range(FLOOD)), str(FLOOD)], "held back, and changed meanwhile"
    taken(tasks, 10)
    assert list(tasks.active) == []


def test_a_finished_task_that_changes_while_it_is_written_stays() -> None:
    tasks = tasks_in(Shelf())
    changed(tasks, "SUCCESS", "a")
    batch = tasks.take_changed(0)
    changed(tasks, "SUCCESS", "a")
    tasks.written(batch)
    assert list(tasks.active) == ["a"]
    assert taken(tasks, 1) == {"SUCCESS": 1}
    assert list(tasks.active) == []


# --- long texts ------------------------------------------------------------------------------------------------------

LONG = "x" * 4 * USUAL


def long(number: int) -> Task:
    """An open task that takes the room of five."""
    return Task(number, str(number), T0, state="STARTED", args=LONG[: 2 * USUAL], kwargs=LONG[: 2 * USUAL])


def add(tasks: Tasks, *made: Task) -> None:
    for task in made:
        tasks.change(task)


def test_a_task_with_long_texts_takes_the_room_of_several() -> None:
    tasks = tasks_in(Shelf(), limit=10)
    add(tasks, *(long(number) for number in range(10)))
    taken(tasks, 0)
    assert list(tasks.active) == ["8", "9"]
    changed(tasks, "STARTED", "a")
    taken(tasks, 1)
    assert list(tasks.active) == ["9", "a"]


@pytest.mark.parametrize("field", ["result", "exception", "traceback"])
def test_what_is_kept_of_each_attempt_takes_room_too(field: str) -> None:
    facts = [msgspec.structs.replace(Fact("retried", T0, "w"), **{field: LONG[: USUAL - memory.FACT]})] * 4
    tasks = tasks_in(Shelf(), limit=10)
    add(tasks, *(Task(number, str(number), T0, state="RETRY", facts=facts) for number in range(10)))
    taken(tasks, 0)
    assert list(tasks.active) == ["8", "9"]


@pytest.mark.parametrize("way", ["end", "leave", "change", "become short"])
def test_the_room_of_those_that_left_is_free(way: str) -> None:
    tasks = tasks_in(Shelf(), limit=10)
    for number in range(100):
        task = long(number)
        add(tasks, task)
        taken(tasks, 0)
        if way == "end":
            changed(tasks, "SUCCESS", [number])
        elif way == "change":
            tasks.change(task)
        elif way == "become short":
            task.args = task.kwargs = None
            tasks.change(task)
        taken(tasks, 0)
    changed(tasks, "STARTED", (f"short {number}" for number in range(10)))
    taken(tasks, 0)
    assert list(tasks.active) == [f"short {number}" for number in range(10)]


def test_what_is_brought_back_takes_room() -> None:
    shelf = Shelf()
    shelf.write(long(number) for number in range(1, 101))
    tasks = Tasks(shelf, 101, 10)
    assert len(tasks.open_in_store(0, 50)) == 50
    tasks.written([])
    assert list(tasks.active) == ["49", "50"]
    tasks.fetch([Event("task-started", "w", T0, str(number)) for number in (60, 61, 62)])
    tasks.written([])
    assert len(tasks.active) == 2


def test_in_a_flood_of_long_texts_nothing_waits_that_there_is_no_room_for() -> None:
    tasks = tasks_in(Shelf())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "HELD", len(LONG) * (FLOOD * 2 + 5))
        for batch in range(3):
            add(tasks, *(long(number) for number in range(batch * FLOOD, (batch + 1) * FLOOD)))
            written = taken(tasks, 0.1 * batch)
            assert written == ({"STARTED": FLOOD} if batch == 2 else {})
        assert tasks.holding
        assert taken(tasks, HOLD + 0.2) == {"STARTED": 2 * FLOOD}


# --- nothing is lost, and nothing is stale ---------------------------------------------------------------------------


class Life:
    """A reducer that is flushed and committed at any time, beside one that keeps all in memory; and crashes."""

    def __init__(self, dice: random.Random) -> None:
        self.shelf = Shelf()
        self.reducer = Reducer(self.shelf, active_limit=dice.choice([0, 3, 1000]))
        self.truth = Stage()
        self.now = 0.0
        self._flushed = 0.0
        self._dice = dice
        self._batch: Batch | None = None
        #: When the present record of each task was first due to be written.
        self._due: dict[str, float | None] = {}

    def play(self, event: Event) -> None:
        self.truth.play([event])
        self.reducer.fold([msgspec.structs.replace(event)], event.seen)
        self._due[event.uuid or ""] = None

    def step(self) -> None:
        """A moment passes, in which something may be committed, or what was flushed is still being written."""
        self.now += self._dice.choice([0.0, 0.05, 0.1, 1.0])
        if self._batch is not None:
            self.commit()
        elif self._dice.random() < 0.5:
            self._batch = self.reducer.flush(self.now, everything=False)
            self._flushed = self.now
            for uuid, since in self._due.items():
                self._due[uuid] = self.now if since is None else since
            if self._dice.random() < 0.7:
                self.commit()

    def commit(self) -> None:
        assert self._batch is not None
        self.shelf.write(self._batch.tasks)
        self.reducer.committed(self._batch)
        self._batch = None

    def check(self) -> None:
        """A crash now: what ended is in the history once it was due, and so is what is open since a while."""
        if self._batch is not None:
            return
        for uuid, since in self._due.items():
            known = self.truth.task(uuid)
            if since is not None and (known.state in states.FINAL or self._flushed - since >= HOLD):
                assert drawn(self.shelf.get(uuid)) == drawn(known)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32))
def test_whenever_it_is_written_the_history_is_what_was_told(seed: int) -> None:
    dice = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "FLOOD", dice.choice([1, 3, 20]))
        patch.setattr(memory, "HELD", dice.choice([0, 20, 1 << 20]))
        patch.setattr(memory, "USUAL", dice.choice([1, 1 << 10]))
        life = Life(dice)
        for event in mixed(dice):
            life.play(event)
            life.step()
            life.check()
        if life._batch is not None:
            life.commit()
        life._batch = life.reducer.flush(life.now)
        life.commit()
        assert {name: drawn(life.shelf.get(name)) for name in STREAMS} == {
            name: life.truth.drawn(name) for name in STREAMS
        }
        assert not life.reducer.dirty


def mixed(dice: random.Random) -> Iterator[Event]:
    """The events of many tasks, each in its order, with some told twice."""
    left = [[msgspec.structs.replace(each, uuid=name) for each in events] for name, events in STREAMS.items()]
    while left:
        events = dice.choice(left)
        yield events[0]
        if dice.random() < 0.9:
            events.pop(0)
        if not events:
            left.remove(events)
