"""A history whose file is refused, damaged, replaced or gone: collecting goes on, nothing is overwritten or lost."""

import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from app.models.history import files
from app.models.history import keeper as keeping
from app.models.history.errors import HistoryError, Refused
from app.models.history.keeper import Keeper
from app.models.history.retention import Keep
from app.models.history.rows import Rows
from app.models.records import Queue, Task, Worker
from app.models.reducer import Batch
from app.models.rollups import Cell, Gauge
from app.models.wire import Keeping, Notice
from tests.helpers.celery_apps import ROOT
from tests.helpers.events import T0
from tests.helpers.histories import reading, sql
from tests.helpers.waiting import eventually

DAMAGE: Final = int(os.environ.get("CLOCHE_DAMAGE", "1000"))
"""Random damages that one run tries; any number by hand."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "h.cloche"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a disk that a test made refuse."""
    monkeypatch.setattr(keeping, "PATIENCE", 0.0)
    monkeypatch.setattr(keeping, "RETURN_EVERY", 0.0)


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
        for fine, coarse in ((5, 60), (60, 600)):
            up_to = "(SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?)"
            summed = f"SELECT SUM({figure}) FROM {table} WHERE level = ? AND bucket < {up_to}"  # noqa: S608
            one, other = (sql(path, summed, level, f"rolled.{coarse}") for level in (fine, coarse))
            assert one == other


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


def test_a_full_disk_at_any_write_costs_nothing_but_time(path: Path) -> None:
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
        assert list(collected.keeper.load(["id-3", "id-30"]))[-1].uuid == "id-30"
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
from tests.models.test_keeper import Collected
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


# --- damage ----------------------------------------------------------------------------------------------------------


def test_damage_that_is_found_while_recording_is_set_aside_and_all_in_memory_goes_on(path: Path) -> None:
    with collecting(path) as collected:
        collected.commit(2_000, size=100)
        collected.keeper._writer._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        collected.keeper._writer._connection.execute("PRAGMA cache_size = 0")
        with path.open("r+b") as file:
            file.seek(8_192)
            file.write(os.urandom(path.stat().st_size - 8_192))
        for _ in range(3):
            collected.commit(3)
        assert collected.shown == path
        (said,) = collected.notices("history-set-aside")
        assert "h.cloche could not be used: it is damaged. It was kept as h.cloche.set-aside-" in said
        assert next(iter(collected.keeper.load(["id-2001"]))).name == f"n{2_001 % 7}"
    (aside,) = [each for each in path.parent.glob("*set-aside*") if not each.name.endswith("-wal")]
    assert aside.stat().st_size > 8_192
    with reading(path) as reader:
        assert [task.id for task in reader.records()] == list(range(2_001, 2_010))
        assert reader.accounting().received == 2_009


def test_damage_that_is_met_on_loading_a_task_is_set_aside_too(path: Path) -> None:
    with collecting(path) as collected:
        collected.commit(9)
        sql(path, "UPDATE task SET facts = 'nonsense' WHERE id = 3")
        assert list(collected.keeper.load(["id-3"])) == []
        collected.commit(1)
        assert "it is damaged" in collected.notices("history-set-aside")[0]
    with reading(path) as reader:
        assert [task.id for task in reader.records()] == [10]


def flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 3, 30))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def overwrite(data: bytearray, chance: random.Random) -> None:
    start, length = chance.randrange(len(data)), chance.choice((1, 8, 100, 4_096, 20_000))
    data[start : start + length] = chance.choice((chance.randbytes(length), bytes(length)))[: len(data) - start]


def cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def exchange_pages(data: bytearray, chance: random.Random) -> None:
    one, other = (chance.randrange(len(data) // 4_096) * 4_096 for _ in range(2))
    page = data[one : one + 4_096]
    data[one : one + 4_096] = data[other : other + 4_096]
    data[other : other + 4_096] = page


def append(data: bytearray, chance: random.Random) -> None:
    data += chance.randbytes(chance.choice((1, 4_096, 50_000)))


def replace(data: bytearray, chance: random.Random) -> None:
    data[:] = chance.randbytes(chance.randrange(1, 50_000))


DAMAGES: Final = (flip, flip, flip, overwrite, overwrite, cut, exchange_pages, append, replace)


@pytest.fixture(scope="module")
def pattern() -> Iterator[tuple[bytes, bytes]]:
    """A good history as it is after a crash: its file, and its WAL."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "h.cloche"
        with closing(Keeper(path)) as keeper:
            collected = Collected(keeper)
            for _ in range(30):
                collected.commit(10)
            keeper._writer._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            for _ in range(3):
                collected.commit(3)
            yield path.read_bytes(), path.with_name("h.cloche-wal").read_bytes()


@pytest.mark.parametrize("part", range(10))
def test_random_damage_is_gone_on_with_or_set_aside_and_the_original_is_never_lost(
    tmp_path: Path, pattern: tuple[bytes, bytes], part: int
) -> None:
    chance = random.Random(part)
    aside = 0
    for number in range(DAMAGE // 10):
        folder = tmp_path / str(number)
        folder.mkdir()
        path, wal = folder / "h.cloche", folder / "h.cloche-wal"
        found, unfolded = bytearray(pattern[0]), bytearray(pattern[1] if chance.random() < 0.5 else b"")
        where = unfolded if unfolded and chance.random() < 0.3 else found
        chance.choice(DAMAGES)(where, chance)
        path.write_bytes(found)
        wal.write_bytes(unfolded)
        began = time.monotonic()
        with collecting(path) as collected:
            assert time.monotonic() - began < 3.0 * 10  # a busy machine's; the goal is 3 s, and it takes 0.01 s
            first = collected.number + 1
            list(collected.keeper.load([f"id-{n}" for n in range(1, 340)]))
            for _ in range(2):
                collected.commit(3)
                collected.keeper.tidy()
            collected.news += collected.keeper.take_news()
        kept = [each for each in folder.glob("*.set-aside-*") if not each.name.endswith("-wal")]
        said = collected.notices("history-set-aside")
        assert len(kept) == len(said)
        assert {"h.cloche-shm", "h.cloche-wal"}.isdisjoint(each.name for each in folder.iterdir())
        if said and len(said) == 1 and collected.keeper._first.set_aside:
            assert kept[0].read_bytes() == found
        with reading(path) as reader:
            ids = [number for (number,) in sql(path, "SELECT id FROM task ORDER BY id")]
            assert set(range(collected.number - 2, collected.number + 1)) <= set(ids)
            if said:
                assert min(ids) >= first
            assert reader.accounting().balanced
        aside += bool(said)
        shutil.rmtree(folder)
    assert aside > DAMAGE / 10 / 4


@pytest.mark.parametrize("make", ["link", "dangling", "loop", "folder", "pipe", "device"])
def test_what_is_no_file_is_followed_or_left_alone(tmp_path: Path, make: str) -> None:
    path, target = tmp_path / "h.cloche", tmp_path / "elsewhere" / "real.cloche"
    target.parent.mkdir()
    if make == "link":
        with collecting(target) as collected:
            collected.commit(4)
    if make in ("link", "dangling"):
        path.symlink_to(target)
    elif make == "loop":
        path.symlink_to(path)
    elif make == "folder":
        path.mkdir()
        (path / "precious").touch()
    elif make == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    if make in ("link", "dangling"):
        with collecting(path) as collected:
            collected.commit(3)
            with pytest.raises(HistoryError, match="Another Cloche"):
                Keeper(target)
        assert path.is_symlink()
        whole(target, 7 if make == "link" else 3)
        assert {each.name for each in tmp_path.iterdir()} == {"h.cloche", "elsewhere"}
        return
    before = path.lstat()
    with pytest.raises(Refused, match=r"can't be .*\."):
        Keeper(path, temporary=False)
    with collecting(path) as collected:
        collected.commit(3)
        assert collected.shown.name == "temporary.cloche"
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)
    if make == "folder":
        assert (path / "precious").exists()
    if make not in ("folder", "loop"):
        with pytest.raises(HistoryError, match="no history at"), reading(path):
            pass


def test_a_file_of_the_same_version_with_other_tables_is_set_aside(path: Path) -> None:
    with collecting(path) as collected:
        collected.commit(3)
    sql(path, "ALTER TABLE task DROP COLUMN progress")
    with collecting(path) as collected:
        assert "another version of Cloche wrote it" in collected.notices("history-set-aside")[0]
        collected.commit(3)
    whole(path, 3)


def test_a_statement_that_takes_too_long_is_given_up() -> None:
    endless = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n"
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        assert files.within(0.05, connection, endless) is None
        assert files.within(60.0, connection, "SELECT 1") == [(1,)]


def test_damage_that_was_not_looked_for_long_enough_is_found_when_it_is_touched(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting(path) as collected:
        collected.commit(20_000, size=100)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(os.urandom(9_000))
    monkeypatch.setattr(files, "within", lambda *_: None)
    with collecting(path) as collected:
        assert collected.notices("history-set-aside") == []
        collected.commit(3)
        list(collected.keeper.load([f"id-{n}" for n in range(1, 20_000)]))
        collected.commit(3)
        assert "it is damaged" in collected.notices("history-set-aside")[0]
