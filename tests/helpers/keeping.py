"""Histories as a collector keeps them, for tests that take the disk or the file away from under it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from app.models.history import schema
from app.models.history.keeper import Keeper
from app.models.history.rows import Rows
from app.models.records import Queue, Task, Worker
from app.models.reducer import Batch
from app.models.rollups import Cell, Gauge
from app.models.wire import Keeping, Notice
from tests.helpers.events import T0
from tests.helpers.histories import reading, sql


class Collected:
    """What a collector hands to its history: tasks with a name, a worker, a queue; figures and accounts that add up."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.number = keeper.known().next_task - 1
        self.received = keeper.accounting().get(("received", ""), 0)
        self.news: list[Notice | Keeping] = []

    def rows(self, tasks: int = 1, size: int = 10) -> Rows:
        """Rows of so many further tasks, one per second."""
        made = []
        for _ in range(tasks):
            self.number += 1
            word = self.number % 7
            made.append(
                Task(self.number, f"id-{self.number}", T0 + self.number, state="SUCCESS", finished=T0 + self.number,
                     name=f"n{word}", worker=f"w{word}", queue=f"q{word}", args="x" * size)
            )  # fmt: skip
        self.received += tasks
        bucket = int(T0 + self.number) // 5 * 5
        in_bucket = self.number - (bucket - int(T0)) + 1
        batch = Batch(
            made,
            [Worker(str(task.worker), T0) for task in made],
            [Queue(str(task.queue), T0) for task in made],
            [(bucket, None, Cell(tasks=min(in_bucket, self.number)))],
            [(bucket, ("queue.ready", "q0"), Gauge(1.0, 1))],
            bucket,
        )
        rows = self.keeper.rows(batch)
        rows.accounting = [("received", "", self.received), ("stored", "", self.received)]
        return rows

    def commit(self, tasks: int = 1, size: int = 10) -> None:
        self.keeper.commit(self.rows(tasks, size))

    @property
    def shown(self) -> Path:
        """The file that a window would read."""
        self.news += self.keeper.take_news()
        return next(Path(news.history) for news in reversed(self.news) if isinstance(news, Keeping))

    def notices(self, key: str = "history") -> list[str]:
        self.news += self.keeper.take_news()
        return [news.text for news in self.news if isinstance(news, Notice) and news.key == key]


@contextmanager
def collecting(path: Path, **more: Any) -> Iterator[Collected]:
    with closing(Keeper(path, **more)) as keeper:
        yield Collected(keeper)


def limit_pages(keeper: Keeper, pages: int | None) -> None:
    """Let the file proper grow by so many pages only, as a full disk does; None: as it likes."""
    connection = (keeper._home or keeper._writer)._connection
    limit = 1 << 30 if pages is None else connection.execute("PRAGMA page_count").fetchone()[0] + pages
    connection.execute(f"PRAGMA max_page_count = {limit}").fetchone()


def moved_back(collected: Collected) -> bool:
    """Whether tidying up found room in the history proper."""
    collected.keeper.tidy()
    return collected.keeper._home is None


def whole(path: Path, tasks: int) -> None:
    """The history has all tasks up to this one, with their words, and its accounts and figures say the same."""
    with reading(path) as reader:
        rows = [(t.id, t.uuid, t.name, t.worker, t.queue) for t in reader.records()]
        assert rows == [(n, f"id-{n}", f"n{n % 7}", f"w{n % 7}", f"q{n % 7}") for n in range(1, tasks + 1)]
        assert reader.accounting().received == reader.accounting().stored == tasks
    assert sql(path, "PRAGMA integrity_check") == [("ok",)]
    for table, figure in (("rollup", "tasks"), ("gauge", "total")):
        for fine, coarse in pairwise(schema.LEVELS):
            up_to = "(SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?)"
            summed = f"SELECT SUM({figure}) FROM {table} WHERE level = ? AND bucket < {up_to}"  # noqa: S608
            one, other = (sql(path, summed, level, f"rolled.{coarse}") for level in (fine, coarse))
            assert one == other
