"""Numbers of words: always the same for one word, whatever left memory and whatever was committed when."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.models.history import labels
from app.models.history import writer as writer_module
from app.models.history.labels import Labels
from app.models.history.retention import Keep
from app.models.history.rows import Rows
from app.models.history.writer import Writer
from app.models.records import Queue, Task, Worker
from app.models.reducer import Batch
from app.models.rollups import Cell, Gauge
from tests.helpers.events import T0
from tests.helpers.histories import sql

TABLES = ("name", "worker", "queue", "series")
WORDS = [f"word {number}" for number in range(12)]
#: Words of the batches between two restarts, for several of these.
SESSIONS = st.lists(st.lists(st.lists(st.sampled_from(WORDS), max_size=4), max_size=12), min_size=1, max_size=4)


class Shelf:
    """A table of words."""

    def __init__(self) -> None:
        self.rows: dict[int, str] = {}
        self.asked: list[list[str]] = []

    def find(self, words: Sequence[str]) -> list[tuple[str, int]]:
        self.asked.append(list(words))
        return [(word, number) for number, word in self.rows.items() if word in words]

    def write(self, made: Labels, rows: list[tuple[int, str]]) -> None:
        for number, word in rows:
            assert self.rows.setdefault(number, word) == word, "a number of another word"
        made.written(word for _, word in rows)

    def labels(self) -> Labels:
        return Labels(self.find, max(self.rows, default=0))


@contextmanager
def remembering(number: int) -> Iterator[None]:
    """Generations of so many words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels, "LIMIT", number)
        yield


@given(SESSIONS, st.integers(0, 3), st.integers(0, 3))
@settings(deadline=None, max_examples=300)
def test_a_word_has_one_number_for_ever(sessions: list[list[list[str]]], limit: int, late: int) -> None:
    shelf = Shelf()
    given_to: dict[str, int] = {}
    with remembering(limit):
        for batches in sessions:
            made = shelf.labels()
            waiting: list[list[tuple[int, str]]] = []
            for batch in batches:
                remembered, asked = dict(made.in_memory()), len(shelf.asked)
                numbers = made.numbers([None, *batch])
                looked_up = {word for words in shelf.asked[asked:] for word in words}
                assert set(batch) - looked_up <= set(remembered.values())
                assert numbers[None] is None
                for word in batch:
                    assert given_to.setdefault(word, numbers[word] or 0) == numbers[word]
                assert {(given_to[word], word) for word in batch} <= set(made.in_memory())
                waiting.append(made.unwritten())
                while len(waiting) > late:
                    shelf.write(made, waiting.pop(0))
            for rows in waiting:
                shelf.write(made, rows)
            assert not made.unwritten()
    assert shelf.rows == {number: word for word, number in given_to.items()}
    assert sorted(shelf.rows) == list(range(1, len(shelf.rows) + 1))


def test_memory_holds_two_generations_and_no_more_however_many_words_there_are() -> None:
    shelf = Shelf()
    made = shelf.labels()
    with remembering(10):
        for batch in range(100):
            made.numbers(f"{batch}-{number}" for number in range(5))
            shelf.write(made, made.unwritten())
            assert len(made.in_memory()) <= 2 * (10 + 5)
    assert len(shelf.rows) == 500


def test_words_in_memory_are_not_looked_up_and_all_others_of_a_batch_at_once() -> None:
    shelf = Shelf()
    made = shelf.labels()
    for _ in range(3):
        made.numbers(["b", "a", "b", None])
    made.numbers(["a", "c", "d"])
    assert shelf.asked == [["a", "b"], ["c", "d"]]


def test_what_is_used_stays_in_memory_while_others_come_and_go() -> None:
    shelf = Shelf()
    made = shelf.labels()
    with remembering(10):
        for batch in range(100):
            made.numbers(["used", f"{batch}"])
            shelf.write(made, made.unwritten())
    assert [words for words in shelf.asked if "used" in words] == [["0", "used"]]


# --- in a real history -----------------------------------------------------------------------------------------------


def batch_of(first: int, words: Sequence[str]) -> Batch:
    """One task for each word, which is its name, worker and queue, has a rollup of its own and is measured."""
    return Batch(
        [
            Task(first + at, f"id-{first + at}", T0, state="SUCCESS", name=word, worker=word, queue=word)
            for at, word in enumerate(words)
        ],
        [Worker(word, T0) for word in set(words)],
        [Queue(word, T0) for word in set(words)],
        [(int(T0) + first * 5, word, Cell(tasks=1)) for word in set(words)],
        [(int(T0) + first * 5, ("queue.ready", word), Gauge(1.0, 1)) for word in set(words)],
        int(T0),
    )


@given(SESSIONS, st.integers(0, 1))
@settings(deadline=None, max_examples=30)
def test_the_history_and_memory_agree_on_every_number(sessions: list[list[list[str]]], late: int) -> None:
    played = [word for batches in sessions for words in batches for word in words]
    with remembering(2), TemporaryDirectory() as folder:
        path = Path(folder) / "h.cloche"
        first = 1
        for batches in sessions:
            with Writer(path) as writer:
                waiting: list[Rows] = []
                for words in batches:
                    waiting.append(writer.rows(batch_of(first, words)))
                    first += len(words)
                    if len(waiting) > late:
                        writer.commit(waiting.pop(0))
                for rows in waiting:
                    writer.commit(rows)
        told = sql(
            path,
            "SELECT name.name, worker.hostname, queue.name FROM task LEFT JOIN name ON name.id = name_id "
            "LEFT JOIN worker ON worker.id = worker_id LEFT JOIN queue ON queue.id = queue_id ORDER BY task.id",
        )
        assert told == [(word, word, word) for word in played]
        for statement in (
            "SELECT name.name, SUM(tasks) FROM rollup LEFT JOIN name ON name.id = name_id WHERE level = 5 GROUP BY 1",
            "SELECT key, SUM(total) FROM gauge LEFT JOIN series ON series.id = series_id WHERE level = 5 GROUP BY 1",
        ):
            batches_with = {word: sum(word in words for batches in sessions for words in batches) for word in played}
            assert dict(sql(path, statement)) == batches_with


@pytest.mark.parametrize(
    "word",
    ["", "0", "1e3", "null", '"', "\\", "a'b", "%", "é", "日本語", "🂡", "\\u0000", "a\0b", "a\0", "[1]", "x" * 1_024],
)
def test_any_word_is_found_again_as_it_is(tmp_path: Path, word: str) -> None:
    with Writer(tmp_path / "h.cloche") as writer:
        writer.commit(writer.rows(batch_of(1, ["another", word])))
        for table in ("name", "worker", "queue"):
            known = {"another": 1, word: 2} if word > "another" else {word: 1, "another": 2}
            assert dict(writer.find(table, [word, "unheard of", "another"])) == known
        found = dict(writer.find("series", [("queue.ready", word), ("queue.oldest", word), (word, "queue.ready")]))
        assert list(found) == [("queue.ready", word)]


def test_words_are_looked_up_in_the_index(tmp_path: Path) -> None:
    asked: list[str] = []
    with Writer(tmp_path / "h.cloche") as writer:
        writer.commit(writer.rows(batch_of(1, [f"word {number}" for number in range(50)])))
        writer._loader.set_trace_callback(asked.append)
        for table in ("name", "worker", "queue"):
            writer.find(table, ["word 7"])
        writer.find("series", [("queue.ready", "word 7")])
        plans = [str(sql(tmp_path / "h.cloche", f"EXPLAIN QUERY PLAN {statement}")) for statement in asked]
    assert [plan.count(f"SEARCH {table} USING COVERING INDEX") for table, plan in zip(TABLES, plans, strict=True)] == [
        1, 1, 1, 1,
    ]  # fmt: skip


def test_of_many_workers_and_queues_those_heard_of_last_are_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "RECALLED", 2)
    workers = [Worker("a", T0 + 5), Worker("b", T0, heartbeat=T0 + 9), Worker("c", T0 + 7), Worker("d", T0)]
    queues = [Queue("a", T0 + 5), Queue("b", T0, sampled=T0 + 9), Queue("c", T0 + 7), Queue("d", T0)]
    with Writer(tmp_path / "h.cloche") as writer:
        writer.commit(writer.rows(Batch([], workers, queues, [], [], 0)))
    with Writer(tmp_path / "h.cloche") as writer:
        known = writer.known()
        assert [worker.hostname for worker in known.workers] == [queue.name for queue in known.queues] == ["b", "c"]
        writer.commit(writer.rows(Batch([], [Worker("a", T0 + 20)], [Queue("a", T0 + 20)], [], [], 0)))
    for statement in ("SELECT hostname FROM worker ORDER BY id", "SELECT name FROM queue ORDER BY id"):
        assert sql(tmp_path / "h.cloche", statement) == [("a",), ("b",), ("c",), ("d",)]


def test_words_that_leave_the_history_do_not_leave_their_number_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is open: `retention` removes workers and queues of which nothing is known any more."""
    monkeypatch.setattr(labels, "LIMIT", 0)
    day = 86_400.0
    with Writer(tmp_path / "h.cloche", Keep(seconds=day)) as writer:
        writer.commit(writer.rows(batch_of(1, ["gone"])))
        for number in (2, 3):
            writer.commit(writer.rows(batch_of(number, ["a", "b"])))
        monkeypatch.setattr("time.time", lambda: T0 + 3 * day)
        while sql(tmp_path / "h.cloche", "SELECT COUNT(*) FROM worker") != [(0,)]:
            writer.tidy()
        writer.commit(writer.rows(batch_of(4, ["new", "gone"])))
    assert dict(sql(tmp_path / "h.cloche", "SELECT hostname, id FROM worker")) == {"gone": 4, "new": 5}
