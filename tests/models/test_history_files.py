"""The file of a history: private, held by one writer, never lost or overwritten, whatever is found in its place."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil
import pytest

from app.models.history import files, schema
from app.models.history.charts import Span
from app.models.history.errors import HistoryError
from app.models.history.reader import Reader
from app.models.history.writer import Writer
from app.models.records import Told
from tests.helpers.celery_apps import ROOT
from tests.helpers.events import T0, event, stream
from tests.helpers.histories import reading, recording, sql


def begin(path: Path, tasks: int = 3) -> Path:
    """A history with some tasks."""
    with recording(path) as history:
        history.play(event("received", at, uuid=str(at)) for at in range(tasks)).commit()
    return path


def modes(folder: Path) -> dict[str, str]:
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()}


# --- who may do what -------------------------------------------------------------------------------------------------


def test_nobody_else_may_read_what_tasks_were_given(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with recording(tmp_path / "h.cloche") as history:
            history.play(stream("0 received")).commit()
            assert modes(tmp_path) == dict.fromkeys(
                ("h.cloche", "h.cloche-wal", "h.cloche-shm", "h.cloche.lock"), "0o600"
            )
    finally:
        os.umask(before)


def test_folders_are_made_as_needed(tmp_path: Path) -> None:
    begin(tmp_path / "a" / "b" / "h.cloche")
    with reading(tmp_path / "a" / "b" / "h.cloche") as reader:
        assert reader.task_total() == 3


def test_a_second_writer_is_refused_and_the_first_one_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "h.cloche"
    with recording(path) as history:
        with pytest.raises(HistoryError, match=r"Another Cloche is recording into .*h\.cloche"):
            Writer(path)
        history.play(stream("0 received")).commit()
    begin(path)


_HOLD: Final = """
import sys, time
from pathlib import Path
from app.models.history.writer import Writer
from app.models.records import Task
from app.models.reducer import Batch
path = Path(sys.argv[1])
with Writer(path) as writer:
    number = writer.known().next_task
    while True:
        tasks = [Task(number + at, f"id-{number + at}", float(number)) for at in range(200)]
        rows = writer.rows(Batch(tasks, [], [], [], [], 0))
        rows.accounting = [("received", "", number + 199), ("stored", "", number + 199)]
        writer.commit(rows)
        number += 200
        print(number - 1, flush=True)
"""


def writing(path: Path) -> subprocess.Popen[str]:
    """A process that writes without end, and prints how far it came."""
    command = [sys.executable, "-c", _HOLD, str(path)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_what_was_committed_outlives_a_kill_at_any_moment(tmp_path: Path) -> None:
    path, told = tmp_path / "h.cloche", 0
    for kill_after in (1, 7, 20, 3):
        with writing(path) as process:
            assert process.stdout is not None
            for _ in range(kill_after):
                told = int(process.stdout.readline())
            with pytest.raises(HistoryError, match="Another Cloche"):
                Writer(path)
            process.send_signal(signal.SIGKILL)
            told = max([told, *(int(line) for line in process.stdout if line.endswith("\n"))])
        with Writer(path) as again:
            assert again.set_aside is None
            known = again.known().next_task - 1
            assert known >= told
            assert again.accounting() == {("received", ""): known, ("stored", ""): known}
        assert sql(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_reader_does_not_keep_a_writer_from_its_file_nor_changes_it(tmp_path: Path) -> None:
    path = begin(tmp_path / "h.cloche")
    before = path.read_bytes(), path.stat().st_mtime_ns
    with reading(path) as reader, reading(path) as other:
        assert reader.task_total() == other.task_total() == 3
        assert reader.totals(Span(0, T0 + 99)).received == 3
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    with reading(path) as reader, recording(path) as history:
        history.play(stream("9 received", "new")).commit()
        assert reader.task_total() == 4


def test_a_reader_can_not_write(tmp_path: Path) -> None:
    with reading(begin(tmp_path / "h.cloche")) as reader, pytest.raises(HistoryError, match="readonly"):
        reader.sql("DELETE FROM task")


#: Nothing is read-only for root: this gives up the rights that make it so, and goes on as another program.
_MORTAL: Final = """
import ctypes, os, sys
if os.geteuid() == 0:
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_a_colleagues_file_in_a_folder_that_can_not_be_written_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "share"
    path = begin(folder / "h.cloche")
    (folder / "h.cloche.lock").unlink()
    assert [each.name for each in folder.iterdir()] == ["h.cloche"]
    script = (
        "import sys; from pathlib import Path; from app.models.history.reader import Reader\n"
        "reader = Reader(Path(sys.argv[1])); print(reader.task_total(), reader.states()); reader.close()"
    )
    path.chmod(0o444)
    folder.chmod(0o555)
    command = [sys.executable, "-c", script, str(path)]
    try:
        read = subprocess.run(
            [sys.executable, "-c", _MORTAL, *command], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert read.stdout == "3 {'RECEIVED': 3}\n", read.stderr
        assert [each.name for each in folder.iterdir()] == ["h.cloche"]
    finally:
        folder.chmod(0o755)


# --- what is found in its place --------------------------------------------------------------------------------------


def damage_the_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\x00" * 100)


def damage_a_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(os.urandom(path.stat().st_size - 4_096))


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def make_it_text(path: Path) -> None:
    path.write_text("Dear diary, today Celery was slow again.\n" * 50, encoding="utf-8")


def make_it_another_database(path: Path) -> None:
    path.unlink()
    sql(path, "CREATE TABLE recipe (soup TEXT)")
    sql(path, "INSERT INTO recipe VALUES ('onion')")


def make_it_newer(path: Path) -> None:
    sql(path, f"PRAGMA user_version = {schema.VERSION + 1}")


WRONG: Final[dict[Callable[[Path], None], str]] = {
    damage_the_header: "it is damaged",
    damage_a_page: "it is damaged",
    cut_in_half: "it is damaged",
    make_it_text: "it is damaged",
    make_it_another_database: "it is not a history of Cloche",
    make_it_newer: "a newer Cloche wrote it",
}


@pytest.mark.parametrize("spoil", WRONG, ids=lambda spoil: spoil.__name__)
def test_a_file_that_can_not_be_gone_on_with_is_kept_and_a_new_one_begun(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = begin(tmp_path / "h.cloche", 200)
    spoil(path)
    found = path.read_bytes()
    with recording(path) as history:
        said = history.writer.set_aside
        assert said is not None
        assert f"h.cloche could not be used: {WRONG[spoil]}." in said
        history.play(stream("0 received", "new")).commit()
    (aside,) = tmp_path.glob("h.cloche.set-aside-*")
    assert aside.name in said
    assert aside.read_bytes() == found
    with reading(path) as reader:
        assert [row.uuid for row in reader.tasks()] == ["new"]
    with Writer(path) as again:
        assert again.set_aside is None


@pytest.mark.parametrize("spoil", WRONG, ids=lambda spoil: spoil.__name__)
def test_a_reader_refuses_such_a_file_in_a_sentence_and_leaves_it(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = begin(tmp_path / "h.cloche", 200)
    spoil(path)
    found = path.read_bytes()
    with pytest.raises(HistoryError) as refused:
        read_all(path)
    assert str(refused.value).endswith(".")
    assert path.read_bytes() == found


def read_all(path: Path) -> None:
    with reading(path) as reader:
        list(reader.records())


def test_two_files_set_aside_within_a_second_are_both_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda _form: "20261121-120000")
    for text in ("one", "two", "three"):
        (tmp_path / "h.cloche").write_text(text * 500, encoding="utf-8")
        Writer(tmp_path / "h.cloche").close()
    kept = {path.read_text(encoding="utf-8")[:5] for path in tmp_path.glob("*set-aside*") if path.stat().st_size}
    assert kept == {"oneon", "twotw", "three"}


@pytest.mark.parametrize("spoil", [make_it_text, damage_a_page], ids=lambda spoil: spoil.__name__)
def test_what_was_not_folded_into_a_damaged_file_is_kept_with_it(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    path = begin(tmp_path / "h.cloche", 2_000)
    with writing(path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    wal = path.with_name("h.cloche-wal").read_bytes()
    assert wal
    spoil(path)
    found = path.read_bytes()
    Writer(path).close()
    (aside,) = tmp_path.glob("*set-aside*-wal")
    assert aside.read_bytes() == wal
    assert aside.with_name(aside.name.removesuffix("-wal")).read_bytes() == found


def test_an_empty_file_becomes_a_history(tmp_path: Path) -> None:
    (tmp_path / "h.cloche").touch()
    with Writer(tmp_path / "h.cloche") as made:
        assert made.set_aside is None
    with reading(tmp_path / "h.cloche") as reader:
        assert reader.task_total() == 0


def test_a_database_without_anything_in_it_becomes_a_history(tmp_path: Path) -> None:
    sql(tmp_path / "h.cloche", "VACUUM")
    with Writer(tmp_path / "h.cloche") as made:
        assert made.set_aside is None


def test_a_folder_in_its_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "h.cloche").mkdir()
    (tmp_path / "h.cloche" / "precious").touch()
    with pytest.raises(HistoryError, match=r"can't be opened"):
        Writer(tmp_path / "h.cloche")
    assert (tmp_path / "h.cloche" / "precious").exists()
    with pytest.raises(HistoryError):
        Reader(tmp_path / "h.cloche")
    begin(tmp_path / "other.cloche")


def test_a_good_file_that_somebody_holds_is_not_taken_for_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begin(tmp_path / "h.cloche")
    monkeypatch.setattr(files, "BUSY_TIMEOUT", 0.1)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(HistoryError, match="locked"):
            Writer(path)
    finally:
        holder.close()
    assert not list(tmp_path.glob("*set-aside*"))
    begin(path)


def test_a_commit_waits_for_who_holds_the_file_and_then_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BUSY_TIMEOUT", 0.1)
    with recording(tmp_path / "h.cloche") as history:
        rows = history.play(stream("0 received")).rows()
        holder = sqlite3.connect(tmp_path / "h.cloche", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(HistoryError, match=r"can't be written: .*locked\. Another program holds it"):
            history.writer.commit(rows)
        holder.execute("COMMIT")
        holder.close()
        history.writer.commit(rows)
        assert history.writer.known().next_task == 2


@pytest.mark.parametrize("place", ["file/h.cloche", "file"])
def test_a_place_where_no_file_can_be_is_refused_in_a_sentence(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("in the way" * 500, encoding="utf-8")
    if place == "file":
        (tmp_path / "file.lock").mkdir()
    with pytest.raises(HistoryError, match=r"can't be kept in .* Choose another folder\."):
        Writer(tmp_path / place)
    assert (tmp_path / "file").read_text(encoding="utf-8").startswith("in the way")


def test_no_file_is_no_history(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="There is no history at"):
        Reader(tmp_path / "nowhere.cloche")
    assert list(tmp_path.iterdir()) == []


def test_a_refused_file_is_let_go_of(tmp_path: Path) -> None:
    path = tmp_path / "h.cloche"
    make_it_text(path)
    for _ in range(5):
        with pytest.raises(HistoryError):
            Reader(path)
    assert str(path) not in {file.path for file in psutil.Process().open_files()}


# --- a file of an earlier version ------------------------------------------------------------------------------------


def make_it_of_version_2(path: Path) -> None:
    """As Cloche wrote it before it kept what workers told of arguments."""
    sql(path, "DROP TABLE argument")
    sql(path, "PRAGMA user_version = 2")


def test_a_file_of_an_earlier_version_is_gone_on_with(tmp_path: Path) -> None:
    path = begin(tmp_path / "h.cloche")
    created = sql(path, "SELECT value FROM meta WHERE key = 'created'")
    make_it_of_version_2(path)
    with reading(path) as reader:
        assert reader.task_total() == 3
        assert reader.told(1) is None
    with recording(path) as history:
        assert history.writer.set_aside is None
        history.reducer.task("0")
        history.play([event("started", 1, uuid="0")])
        history.reducer.fold_arguments({"0": ("[1]", "{}")}, T0 + 60)
        history.commit()
    assert sql(path, "PRAGMA user_version") == [(schema.VERSION,)]
    assert sql(path, "SELECT value FROM meta WHERE key = 'created'") == created
    with reading(path) as reader:
        assert reader.task_total() == 3
        assert reader.told(1) == Told(1, T0 + 60, "[1]", "{}")
        assert reader.told(2) is None
