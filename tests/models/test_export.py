import csv
import io
import json
import os
import sqlite3
import stat
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.models.export import COLUMNS, ExportError, Format, export, export_file, is_formula
from app.models.history import schema
from app.models.history.reader import Reader
from app.models.records import Attempt, Task
from app.models.search import Search, parse

MOMENT = 1_795_230_298.174999
SHOWN = "2026-11-21T03:04:58.174999Z"
EVERYTHING = parse("")
TEXTS = ("uuid", "name", "queue", "worker", "args", "kwargs", "result", "exception", "traceback", "note", "progress")

DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\ufe66", "\ufe63")
PAYLOADS = (
    *("=1+1", "=cmd|' /C calc'!A0", '=HYPERLINK("http://x/?"&A1,"y")', "@SUM(1)", "+1", "-1", "-1.5e3"),
    *("-2+3+cmd|' /C calc'!A0", "'=1", "''=1", " =1", "\u00a0=1", "\ufeff=1", "\u200b@x", "\0=1"),
)
PLAIN = (
    *("", " ", "'", "''", "'ok'", "('a', 1)", "{'k': -1}", "1-2", "a=b", "2026-11-21", "#", "<b>", "%s"),
    *("\x1b[31m", "naïve", "👩‍👧"),
)
ODD = (
    *('"', '""', ",", ";", "\r\n", "a\nb", "a\rb", "a,b", '"a","b"', "\u2028", "\u2029", "\x85", "\x00"),
    *("\\", "\\n", "\\u0000", "NULL", "\ud800"),
)
HOSTILE = sorted(
    {*PAYLOADS, *PLAIN, *ODD}
    | {start + text for start in DANGEROUS for text in (*PAYLOADS, *ODD)}
    | {text + odd for text in PAYLOADS for odd in ODD}
)


class Given:
    """Tasks in place of a history."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.tasks = tasks

    def records(self, *, where: Search | None = None, since: float | None = None, page: int = 1000) -> Iterator[Task]:
        yield from self.tasks


def written(tasks: Iterable[Task], form: Format) -> str:
    out = io.StringIO(newline="")
    export(Given(tasks), out, format=form, where=EVERYTHING, since=None)
    return out.getvalue()


def from_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def from_jsonl(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")]


def meant(cell: str) -> str:
    """A cell without its guard, as the manual says."""
    return cell[1:] if cell.startswith("'") and is_formula(cell) else cell


def full_task() -> Task:
    task = Task(id=7, uuid="a1", seen=1.0, state="FAILURE", name="tasks.fetch", queue="mail", worker="w@h", retries=1)
    task.sent, task.received, task.started, task.finished = MOMENT, 0.0, -1.5, MOMENT
    task.wait, task.runtime, task.eta, task.expires = 0.25, 1e-07, 1e300, float("inf")
    task.args, task.kwargs, task.exception, task.traceback = "('x', 1)", "{}", "KeyError('k')", 'Trace\n "x"'
    task.doubted = MOMENT
    task.root, task.attempts = "r", [Attempt(retries=0, sent=MOMENT, state="RETRY", exception="=x")]
    return task


ATTEMPT = (
    f'{{"retries": 0, "sent": "{SHOWN}", "received": null, "started": null, "finished": null, "state": "RETRY", '
    '"worker": null, "exception": "=x", "eta": null}'
)


HEADER = (
    "uuid,name,state,queue,worker,retries,sent,received,started,finished,wait,runtime,eta,expires,"
    "args,kwargs,result,exception,traceback,root,parent,note,doubted,progress,attempts"
)
ROW = (
    f"a1,tasks.fetch,FAILURE,mail,w@h,1,{SHOWN},1970-01-01T00:00:00.000000Z,1969-12-31T23:59:58.500000Z,{SHOWN},"
    """0.25,1e-07,,,"('x', 1)",{},,KeyError('k'),"Trace\n ""x\""",r,,,"""
    f'{SHOWN},,"[' + ATTEMPT.replace('"', '""') + ']"'
)


def test_rows_of_csv() -> None:
    assert written([full_task()], "csv").split("\r\n") == [HEADER, ROW, ""]


def test_lines_of_json() -> None:
    text = written([full_task(), full_task()], "jsonl")
    row, same = from_jsonl(text)

    assert row == same
    assert list(row) == list(COLUMNS)
    assert row["attempts"] == [json.loads(ATTEMPT)]
    assert (row["retries"], row["wait"], row["runtime"]) == (1, 0.25, 1e-07)
    assert (row["sent"], row["eta"], row["expires"], row["result"]) == (SHOWN, None, None, None)


def test_numbers_stay_numbers_and_texts_like_numbers_do_not() -> None:
    (row,) = from_csv(written([Task(id=1, uuid="-1", seen=0, runtime=-0.5, wait=float("nan"), result="-0.5")], "csv"))

    assert (row["runtime"], row["wait"]) == ("-0.5", "")
    assert (row["uuid"], row["result"]) == ("'-1", "'-0.5")


def test_there_are_enough_hostile_texts() -> None:
    assert len(HOSTILE) >= 500


def tasks_of(text: str) -> list[Task]:
    task = Task(id=1, uuid=text, seen=0)
    for column in TEXTS:
        setattr(task, column, text)
    return [task]


@pytest.mark.parametrize("text", [*DANGEROUS, *PAYLOADS])
def test_formulas_get_an_apostrophe(text: str) -> None:
    (row,) = from_csv(written(tasks_of(text), "csv"))

    assert {row[column] for column in TEXTS} == {f"'{text}"}


@pytest.mark.parametrize("text", PLAIN)
def test_other_texts_stay_as_they_are(text: str) -> None:
    (row,) = from_csv(written(tasks_of(text), "csv"))

    assert {row[column] for column in TEXTS} == {text}


def test_hostile_texts_come_back_from_csv_and_no_cell_is_a_formula() -> None:
    rows = from_csv(written([task for text in HOSTILE for task in tasks_of(text)], "csv"))

    assert len(rows) == len(HOSTILE)
    for text, row in zip(HOSTILE, rows, strict=True):
        whole = text.replace("\ud800", "\\ud800")
        assert {meant(row[column]) for column in TEXTS} == {whole}
        assert not any(row[column].startswith(DANGEROUS) for column in TEXTS)


def test_hostile_texts_come_back_from_json_on_one_line_each() -> None:
    rows = from_jsonl(written([task for text in HOSTILE for task in tasks_of(text)], "jsonl"))

    assert [row["result"] for row in rows] == [text.replace("\ud800", "\\ud800") for text in HOSTILE]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])) | st.text(alphabet="'=+-@\t\r\n\", \u200b\uff1da1"))
@example("'='")
@example("\n'=")
def test_every_text_comes_back(text: str) -> None:
    (row,) = from_csv(written(tasks_of(text), "csv"))
    assert meant(row["result"]) == text
    assert not row["result"].startswith(DANGEROUS)
    (line,) = from_jsonl(written(tasks_of(text), "jsonl"))
    assert line["result"] == text


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_memory_does_not_grow_with_the_number_of_tasks(form: Format) -> None:
    def peak(count: int) -> int:
        with open(os.devnull, "w", encoding="utf-8") as out:  # noqa: PTH123  # not a real file
            tracemalloc.start()
            try:
                tasks = (Task(id=n, uuid=str(n), seen=0, args="x" * 500) for n in range(count))
                assert export(Given(tasks), out, format=form, where=EVERYTHING, since=None) == count
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    peak(100)
    assert peak(5000) < peak(500) + 20_000


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    path = tmp_path / "history.cloche"
    rows = ((f"task-{number}", number, number % 2 + 1) for number in range(2500))
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in schema.statements():
            connection.execute(statement)
        connection.execute("INSERT INTO name VALUES (1, 'even'), (2, 'odd')")
        insert = (
            "INSERT INTO task (uuid, seen, name_id, state, retries, redelivered, key) "
            "VALUES (?, ?, ?, 'SUCCESS', 0, 0, 0)"
        )
        connection.executemany(insert, rows)
    made = Reader(path)
    yield made
    made.close()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_whole_history_is_exported_in_order(reader: Reader, form: Format) -> None:
    out = io.StringIO(newline="")

    assert export(reader, out, format=form, where=EVERYTHING, since=None) == 2500
    rows = from_csv(out.getvalue()) if form == "csv" else from_jsonl(out.getvalue())
    assert [row["uuid"] for row in rows] == [f"task-{number}" for number in range(2500)]


def test_only_what_is_searched_for_is_exported(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"

    assert export_file(reader, path, format="csv", where=parse("name:odd"), since=None) == 1250
    assert {row["name"] for row in from_csv(path.read_bytes().decode())} == {"odd"}


def test_a_file_appears_complete_and_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("before")

    def tasks() -> Iterator[Task]:
        yield full_task()
        assert path.read_text() == "before"

    assert export_file(Given(tasks()), path, format="jsonl", where=EVERYTHING, since=None) == 1
    assert from_jsonl(path.read_text(encoding="utf-8"))[0]["uuid"] == "a1"
    assert os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_failed_export_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("before")

    def tasks() -> Iterator[Task]:
        yield full_task()
        raise OSError(28, "No space left on device")

    with pytest.raises(ExportError, match=r"Can't write .*out\.csv: No space left on device\."):
        export_file(Given(tasks()), path, format="csv", where=EVERYTHING, since=None)
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["out.csv"]


def test_a_folder_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="No such file or directory"):
        export_file(Given([]), tmp_path / "none" / "out.csv", format="csv", where=EVERYTHING, since=None)


if os.name != "nt":  # where there are device files, and links without special rights

    def test_a_device_is_written_and_not_replaced() -> None:
        assert export_file(Given([full_task()]), Path(os.devnull), format="csv", where=EVERYTHING, since=None) == 1
        assert not Path(os.devnull).is_file()

    def test_a_link_stays_a_link(tmp_path: Path) -> None:
        (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")

        export_file(Given([]), tmp_path / "link.csv", format="csv", where=EVERYTHING, since=None)
        assert (tmp_path / "link.csv").is_symlink()
        assert (tmp_path / "real.csv").read_text().startswith("uuid,")
