"""A history that is damaged or none at all: set aside as it is, and a new one begun with all that is in memory."""

import os
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from app.models.history import files
from app.models.history.errors import HistoryError, Refused
from app.models.history.keeper import Keeper
from tests.helpers.histories import reading, sql
from tests.helpers.keeping import Collected, collecting, whole

DAMAGE: Final = int(os.environ.get("CLOCHE_DAMAGE", "1000"))
"""Random damages that one run tries; any number by hand."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "h.cloche"


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
    why = "Choose another folder" if make == "loop" else "it is not a file. Choose another name"
    with pytest.raises(Refused, match=rf"can't be .*{why}\."):
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


@pytest.mark.parametrize(
    "nonsense",
    [
        "UPDATE worker SET record = 'nonsense'",
        "UPDATE queue SET record = '{\"name\": 5}'",
        "UPDATE worker SET state = CAST(x'ff33' AS TEXT)",
        "UPDATE accounting SET n = 'nonsense'",
        "UPDATE accounting SET kind = 'nonsense' WHERE kind = 'stored'",
        "INSERT OR REPLACE INTO meta VALUES ('rolled.60', 'nonsense')",
        "INSERT OR REPLACE INTO meta VALUES ('kept.5', 'nonsense')",
        "INSERT OR REPLACE INTO meta VALUES ('removed.id', 'nonsense')",
        "INSERT OR REPLACE INTO meta VALUES ('alive', 'nonsense')",
        "UPDATE rollup SET tasks = 'nonsense'",
        "UPDATE rollup SET wait = x'00'",
        "UPDATE gauge SET total = 'nonsense'",
        "INSERT INTO gap VALUES (1, 'nonsense', NULL, '')",
    ],
)
def test_a_good_file_with_nonsense_in_it_is_set_aside_as_it_is(path: Path, nonsense: str) -> None:
    with collecting(path) as collected:
        collected.commit(100)
    sql(path, nonsense)
    found = path.read_bytes()
    with collecting(path) as collected:
        assert "it is damaged" in collected.notices("history-set-aside")[0]
        collected.commit(3)
    (aside,) = path.parent.glob("*.set-aside-*")
    assert aside.read_bytes() == found
    whole(path, 3)


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
