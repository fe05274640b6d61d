"""A writer that is killed at any moment while it commits and removes: nothing damaged, nothing lost that it told of."""

import os
import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from app.models.history.keeper import Keeper
from tests.helpers.celery_apps import ROOT
from tests.helpers.histories import reading, sql

KILLS: Final = int(os.environ.get("CLOCHE_KILLS", "20"))
"""How often one run kills; any number by hand."""

#: Starts a hundred tasks in each commit and ends those of the one before; prints the last number once it is written.
_WRITE: Final = """
import sys
from pathlib import Path
from app.models.history.keeper import Keeper
from app.models.history.retention import Keep
from app.models.records import Task
from app.models.reducer import Batch
from app.models.rollups import Cell
keeper = Keeper(Path(sys.argv[1]), Keep(size=20_000_000), temporary=False)
number, begun = keeper.known().next_task, []
for task in keeper.open_tasks(0, 1_000):
    begun.append(task)
while True:
    for task in begun:
        task.state, task.finished = "SUCCESS", float(task.id)
    more = [Task(n, f"id-{n}", float(n), state="STARTED", args="x" * 3_000) for n in range(number, number + 100)]
    number += 100
    bucket = number // 5 * 5
    rows = keeper.rows(Batch([*begun, *more], [], [], [(bucket, None, Cell(tasks=100))], [], bucket))
    rows.accounting = [("received", "", number - 1), ("stored", "", number - 1)]
    keeper.commit(rows)
    begun = more
    print(number - 1, flush=True)
    keeper.tidy()
"""


def killed(path: Path, after: float, upto: int = 1) -> int:
    """The last number that a writer told which was killed so many seconds after it told ``upto``."""
    command = [sys.executable, "-c", _WRITE, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = 0
        while told < upto:
            told = int(process.stdout.readline())
        time.sleep(after)  # the moment is meant to be any
        process.kill()
        return max([told, *(int(line) for line in process.stdout if line.endswith("\n"))])


def test_what_was_told_outlives_a_kill_at_any_moment(tmp_path: Path) -> None:
    path, chance = tmp_path / "h.cloche", random.Random()
    for number in range(KILLS):
        after = chance.expovariate(5.0)
        # The first has to come so far that it removes what is too much.
        told = killed(path, after, 1 if number else 5_000)
        with closing(Keeper(path, temporary=False)) as keeper:
            assert keeper.take_news() == []  # nothing was set aside
            last = keeper.known().next_task - 1
            assert last >= told, f"kill {number}, after {after} s"
            assert keeper.accounting() == {("received", ""): last, ("stored", ""): last}
        assert sql(path, "PRAGMA integrity_check") == [("ok",)]
        with reading(path) as reader:
            first = reader.removed().tasks + 1
        assert first > 1
        found = sql(path, "SELECT id, state FROM task ORDER BY id")
        assert found == [(n, "SUCCESS" if n <= last - 100 else "STARTED") for n in range(first, last + 1)]
