"""A history that the disk refuses, or whose place is gone: collecting goes on, nothing is overwritten or lost."""

import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import pytest

from app.models.history import files, labels
from app.models.history import keeper as keeping
from app.models.history.errors import Refused
from app.models.history.keeper import Keeper
from app.models.history.retention import Keep
from app.models.records import Queue, Task, Worker
from app.models.reducer import Batch
from app.models.rollups import Gauge
from tests.helpers.celery_apps import ROOT
from tests.helpers.events import T0
from tests.helpers.histories import reading, sql
from tests.helpers.keeping import collecting, limit_pages, moved_back, whole
from tests.helpers.waiting import eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "h.cloche"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a disk that a test made refuse."""
    monkeypatch.setattr(keeping, "PATIENCE", 0.0)
    monkeypatch.setattr(keeping, "RETURN_EVERY", 0.0)


# --- a disk that is full ---------------------------------------------------------------------------------------------


def test_what_a_full_disk_refuses_is_kept_in_another_place_and_moved_back(path: Path) -> None:
    with collecting(path) as collected:
        collected.commit(20)
        limit_pages(collected.keeper, 0)
        for _ in range(50):
            collected.commit(20, size=3_000)
        aside = collected.shown
        assert aside.parent != path.parent
        assert stat.S_IMODE(aside.stat().st_mode) == 0o600
        assert stat.S_IMODE(aside.parent.stat().st_mode) == 0o700
        with reading(aside) as reader:
            assert reader.accounting().received == collected.received
            assert {task.name for task in reader.records()} == {f"n{n}" for n in range(7)}
        assert "can't be written: database or disk is full. Free space on the disk." in collected.notices()[0]
        assert "kept in memory" in collected.notices()[-1]
        collected.keeper.tidy()
        assert collected.shown == aside
        limit_pages(collected.keeper, None)
        eventually(lambda: moved_back(collected), "the move back")
        assert collected.shown == path
        assert collected.notices()[-1] == ""
        assert not aside.parent.exists()
        collected.commit(20)
    whole(path, collected.number)


def test_a_disk_that_refuses_for_a_moment_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "PATIENCE", 60.0)
    with collecting(path) as collected:
        collected.commit()
        limit_pages(collected.keeper, 0)
        rows = collected.rows(20, size=9_000)
        for _ in range(3):
            with pytest.raises(Refused, match="Free space"):
                collected.keeper.commit(rows)
        limit_pages(collected.keeper, None)
        collected.keeper.commit(rows)
        (said, withdrawn) = collected.notices()
        assert "can't be written" in said
        assert withdrawn == ""
    whole(path, 21)


@pytest.mark.parametrize("remembered", [labels.LIMIT, 2])
def test_a_full_disk_at_any_write_costs_nothing_but_time(
    path: Path, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    monkeypatch.setattr(labels, "LIMIT", remembered)
    chance = random.Random(3)
    with collecting(path) as collected:
        for number in range(1_000):
            limit_pages(collected.keeper, chance.randrange(6))
            for _ in range(chance.randrange(1, 4)):
                collected.commit(chance.randrange(1, 8), size=chance.choice((10, 3_000)))
            if number % 3:
                limit_pages(collected.keeper, None)
                moved_back(collected)
        assert sum("kept in memory" in text for text in collected.notices()) > 100
        limit_pages(collected.keeper, None)
    assert collected.keeper._home is None
    whole(path, collected.number)


def test_where_no_place_has_room_the_rows_are_refused_and_written_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "ROOM", 1 << 60)
    with collecting(path) as collected:
        limit_pages(collected.keeper, 0)
        rows = collected.rows(20, size=9_000)
        for _ in range(3):
            with pytest.raises(Refused, match="Free space"):
                collected.keeper.commit(rows)
        limit_pages(collected.keeper, None)
        collected.keeper.commit(rows)
        assert collected.notices()[-1] == ""
    whole(path, 20)


def test_what_can_not_be_moved_back_at_the_end_is_left_and_said_where(path: Path) -> None:
    with collecting(path) as collected:
        collected.commit(5)
        limit_pages(collected.keeper, 0)
        collected.commit(20, size=9_000)
        aside = collected.shown
    (said,) = [text for text in collected.notices() if "could not be moved" in text]
    assert str(aside) in said
    with reading(aside) as reader:
        assert reader.task_total() == 20
    shutil.rmtree(aside.parent)
    with reading(path) as reader:
        assert reader.task_total() == 5


def test_a_task_is_found_wherever_it_is_and_as_it_is_now(path: Path) -> None:
    with collecting(path) as collected:
        keeper = collected.keeper
        opened = [Task(number, f"open-{number}", T0, state="STARTED", started=T0) for number in (1, 2, 3)]
        keeper.commit(keeper.rows(Batch(opened, [], [], [], [], 0)))
        limit_pages(keeper, 0)
        opened[1].state, opened[1].args = "SUCCESS", "x" * 90_000
        later = Task(4, "open-4", T0, state="STARTED", started=T0)
        keeper.commit(keeper.rows(Batch([opened[1], later], [], [], [], [], 0)))
        assert collected.shown != path
        assert {task.uuid: task.state for task in keeper.load(["open-1", "open-2", "open-4", "none"])} == {
            "open-1": "STARTED", "open-2": "SUCCESS", "open-4": "STARTED"
        }  # fmt: skip
        assert [task.uuid for task in keeper.open_tasks(0, 9)] == ["open-1", "open-3", "open-4"]
        assert [task.uuid for task in keeper.open_tasks(1, 1)] == ["open-3"]
        limit_pages(keeper, None)


def test_tasks_that_a_temporary_history_had_no_room_for_are_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "TEMPORARY", 4 << 20)
    with collecting(path) as collected:
        collected.commit(5)
        limit_pages(collected.keeper, 0)
        for _ in range(20):
            collected.commit(100, size=3_000)
            collected.keeper.tidy()
        limit_pages(collected.keeper, None)
        eventually(lambda: moved_back(collected), "the move back")
    with reading(path) as reader:
        assert reader.removed().tasks > 100
        assert reader.task_total() + reader.removed().tasks == collected.number
        assert reader.accounting().stored == collected.number


def test_a_file_that_another_program_holds_is_evaded_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BUSY_TIMEOUT", 0.05)
    with collecting(path) as collected:
        collected.commit(5)
        with closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            collected.commit(5)
            assert collected.shown != path
            assert "Another program holds it; close that one." in collected.notices()[0]
        eventually(lambda: moved_back(collected), "the move back")
    whole(path, 10)


def test_a_history_that_is_damaged_while_it_is_away_is_begun_anew_for_the_move_back(path: Path) -> None:
    with collecting(path) as collected:
        collected.commit(5)
        limit_pages(collected.keeper, 0)
        collected.commit(20, size=9_000)
        assert collected.shown != path
        path.unlink()
        path.with_name("h.cloche-wal").unlink()
        collected.commit(5)
        assert [task.uuid for task in collected.keeper.load(["id-3", "id-30"])] == ["id-30", "id-3"]
        eventually(lambda: moved_back(collected), "the move back")
        assert collected.keeper._writer._retention._keep == Keep()
        collected.commit(5)
    with reading(path) as reader:
        assert [task.id for task in reader.records()] == list(range(6, 36))


def test_where_nothing_can_be_begun_anew_it_is_tried_again_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a" / "h.cloche"
    with collecting(path) as collected:
        collected.commit(5)
        shutil.rmtree(path.parent)
        path.parent.touch()
        monkeypatch.setattr(keeping, "ROOM", 1 << 60)
        rows = collected.rows(3)
        for _ in range(3):
            with pytest.raises(Refused, match="no room"):
                collected.keeper.commit(rows)
            assert list(collected.keeper.load(["id-1"])) == list(collected.keeper.open_tasks(0, 9)) == []
            collected.keeper.tidy()
        path.parent.unlink()
        collected.keeper.commit(rows)
        assert collected.shown == path
        assert [bool(text) for text in collected.notices()] == [True, False]
    with reading(path) as reader:
        assert reader.task_total() == 3


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of so many bytes. Only root can mount one."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk; the other tests here need none")
def test_a_disk_that_is_really_full_at_any_byte(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 32 << 20) as disk:
        ballast, evaded = disk / "ballast", 0
        with collecting(disk / "h.cloche") as collected:
            for left in range(0, 60, 2):
                free = shutil.disk_usage(disk).free - left * 4_096
                with ballast.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, max(1, free))
                for _ in range(20):
                    collected.commit(3, size=3_000)
                evaded += collected.shown.parent != disk
                ballast.unlink()
                eventually(lambda: moved_back(collected), "the move back")
                assert collected.shown == disk / "h.cloche"
        whole(disk / "h.cloche", collected.number)
    assert evaded > 10  # where the WAL was just folded into the file, there is room for some time


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk; the other tests here need none")
def test_a_start_on_a_full_disk_is_a_start_in_another_place(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        with (disk / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free)
        with collecting(disk / "h.cloche") as collected:
            collected.commit(5)
            assert collected.shown.parent != disk
            assert "Nothing is kept" in collected.notices("history-temporary")[0]
        with pytest.raises(Refused, match="full"):
            Keeper(disk / "h.cloche", temporary=False)


# --- words that left memory -------------------------------------------------------------------------------------------


def named(keeper: Keeper, number: int, name: str) -> None:
    """Commit one task of this name, on a worker and from a queue of the same name, which is measured."""
    task = Task(number, f"id-{number}", T0, state="SUCCESS", name=name, worker=name, queue=name)
    measured = [(int(T0) + 5 * number, ("queue.ready", name), Gauge(float(number), 1))]
    keeper.commit(keeper.rows(Batch([task], [Worker(name, T0)], [Queue(name, T0)], [], measured, 0)))


def names(path: Path) -> list[str | None]:
    """Name of each task of a history, by its number; all its words are the same."""
    measured = "SELECT key FROM gauge LEFT JOIN series ON series.id = series_id WHERE level = 5 ORDER BY bucket"
    with reading(path) as reader:
        told = [(task.name, task.worker, task.queue) for task in reader.records()]
    assert told == [(name, name, name) for (name,) in sql(path, measured)]
    return [name for name, *_ in told]


def test_a_word_has_its_number_in_whatever_stands_in_for_the_history(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "LIMIT", 0)
    with collecting(path) as collected:
        keeper = collected.keeper
        for number, name in enumerate(("a", "b", "c", "d"), 1):
            named(keeper, number, name)
        limit_pages(keeper, 0)
        for number, name in enumerate(("x" * 100_000, "a", "new", "b", "a", "new"), 5):
            named(keeper, number, name)
        assert collected.shown != path
        assert names(collected.shown)[-3:] == ["b", "a", "new"]
        limit_pages(keeper, None)
        eventually(lambda: moved_back(collected), "the move back")
        named(keeper, 11, "new")
    assert names(path) == ["a", "b", "c", "d", "x" * 100_000, "a", "new", "b", "a", "new", "new"]
    assert sql(path, "SELECT COUNT(*), COUNT(DISTINCT name), MAX(id) FROM name") == [(6, 6, 6)]


def test_a_history_that_can_not_be_asked_for_its_numbers_loses_no_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A word then gets a second number, which the history refuses: it is set aside with all it has, names included.
    monkeypatch.setattr(labels, "LIMIT", 0)
    with collecting(path) as collected:
        keeper = collected.keeper
        for number, name in enumerate(("a", "b", "c", "d"), 1):
            named(keeper, number, name)
        limit_pages(keeper, 0)
        named(keeper, 5, "x" * 100_000)
        home = keeper._home
        assert home is not None
        with monkeypatch.context() as patch:
            patch.setattr(home, "find", refuse)
            named(keeper, 6, "a")
        limit_pages(keeper, None)
        eventually(lambda: moved_back(collected), "the move back")
    (aside,) = path.parent.glob("*.set-aside-*-1")
    assert names(aside) == ["a", "b", "c", "d"]
    assert names(path) == ["x" * 100_000, "a"]
    assert "UNIQUE" in collected.notices("history-set-aside")[0]


def refuse(*_: object) -> None:
    raise Refused("Not now.")


@pytest.mark.parametrize("table", ["name", "worker", "queue", "series"])
def test_a_history_that_contradicts_itself_is_begun_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setattr(labels, "LIMIT", 0)
    with collecting(path) as collected:
        for number, name in enumerate(("a", "b", "c"), 1):
            named(collected.keeper, number, name)
        find = collected.keeper._writer.find
        with monkeypatch.context() as patch:
            patch.setattr(
                collected.keeper._writer, "find", lambda asked, words: [] if asked == table else find(asked, words)
            )
            named(collected.keeper, 4, "a")
    (aside,) = path.parent.glob("*.set-aside-*-1")
    assert names(aside) == ["a", "b", "c"]
    assert names(path) == ["a"]


# --- a place that can't be written -----------------------------------------------------------------------------------

#: Nothing is read-only for root: this gives up the rights that make it so.
_MORTAL: Final = """
import ctypes, os, sys
from pathlib import Path
if os.geteuid() == 0:
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], *sys.argv[2:]]) if len(sys.argv) > 1 else None
"""
_COLLECT: Final = """
import sys
from contextlib import closing
from pathlib import Path
from app.models.history.errors import Refused
from app.models.history.keeper import Keeper
from app.models.history.retention import Keep
from tests.helpers.keeping import Collected
path = Path(sys.argv[1])
try:
    Keeper(path, temporary=False)
except Refused as error:
    print(error)
with closing(Keeper(path)) as keeper:
    collected = Collected(keeper)
    collected.commit(5)
    shown = collected.shown
    print(shown)
    print(collected.notices("history-temporary")[0])
    print(keeper.known().next_task)
print(shown.exists() or shown.parent.exists())
"""


def as_mortal(script: str, *arguments: str) -> list[str]:
    """Lines that a script prints which may not write what is not writable, even if we are root."""
    done = subprocess.run(
        [sys.executable, "-c", _MORTAL + "\nexec(sys.argv[1])", script, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("there", [False, True])
def test_in_a_folder_that_can_not_be_written_a_temporary_history_takes_its_place(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "share"
    folder.mkdir()
    if there:
        with collecting(folder / "h.cloche") as collected:
            collected.commit(9)
        (folder / "h.cloche").chmod(0o444)
        (folder / "h.cloche.lock").unlink()
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    folder.chmod(0o555)
    try:
        refused, shown, said, following, left = as_mortal(_COLLECT, str(folder / "h.cloche"))
    finally:
        folder.chmod(0o755)
    assert "Permission denied. Choose another folder." in refused
    assert Path(shown).name == "temporary.cloche"
    assert said == f"{refused} Nothing is kept: what is shown now is gone when Cloche ends."
    assert following == "6"
    assert left == "False"
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before


def test_a_folder_that_vanishes_is_made_again_and_the_history_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "a" / "h.cloche"
    with collecting(path) as collected:
        collected.commit(9)
        shutil.rmtree(path.parent)
        collected.commit(3)
        assert collected.shown == path
        assert collected.notices("history-set-aside") == [
            f"The history h.cloche is gone from {path.parent}. A new one was begun."
        ]
        collected.commit(1)
    with reading(path) as reader:
        assert [(task.id, task.name, task.worker) for task in reader.records()] == [
            (number, f"n{number % 7}", f"w{number % 7}") for number in range(10, 14)
        ]


def test_a_folder_that_vanishes_for_good_is_a_temporary_history(tmp_path: Path) -> None:
    path = tmp_path / "a" / "h.cloche"
    with collecting(path) as collected:
        collected.commit(9)
        shutil.rmtree(path.parent)
        path.parent.write_text("in the way")
        collected.commit(3)
        assert collected.shown.name == "temporary.cloche"
        assert "Nothing is kept from now on" in collected.notices("history-temporary")[0]
        collected.commit(1)
        with reading(collected.shown) as reader:
            assert reader.task_total() == 4
    assert path.parent.read_text() == "in the way"


def test_another_file_that_is_put_in_its_place_is_kept(path: Path) -> None:
    with collecting(path) as collected:
        collected.commit(9)
        path.unlink()
        path.write_text("a backup")
        collected.commit(3)
        assert collected.shown == path
    (aside,) = [each for each in path.parent.glob("*set-aside*") if not each.name.endswith(".other-wal")]
    assert aside.read_text() == "a backup"
    with reading(path) as reader:
        assert reader.task_total() == 3
