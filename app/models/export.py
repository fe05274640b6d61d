"""Tasks of a history as CSV or as JSON lines, in constant memory however many they are.

Columns and their order are the same in both. Times are ISO 8601 in UTC with microseconds, durations are in seconds.
What is unknown is an empty cell in CSV and ``null`` in JSON. ``attempts`` is a list of objects, in CSV its JSON text.

A text in CSV that a spreadsheet could take for a formula or a number has an apostrophe put in front of it. To undo it,
remove one apostrophe wherever one or more of them are followed by what `is_formula` describes.
"""

import csv
import json
import math
import os
import re
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Protocol, TextIO

import msgspec

from app.models.records import Attempt, Task
from app.models.search import Search

Format = Literal["csv", "jsonl"]

COLUMNS: Final = (
    *("uuid", "name", "state", "queue", "worker", "retries", "sent", "received", "started", "finished"),
    *("wait", "runtime", "eta", "expires", "args", "kwargs", "result", "exception", "traceback"),
    *("root", "parent", "note", "doubted", "progress", "attempts"),
)
#: Tasks read at a time.
PAGE: Final = 1000

_TIMES: Final = frozenset({"sent", "received", "started", "finished", "eta", "expires", "doubted"})
_ATTEMPT: Final = tuple(field for field in Attempt.__struct_fields__ if field not in ("end", "note"))
#: The first character that a program which trims cells would see.
_FIRST: Final = re.compile(r"[\s\0\ufeff\u200b-\u200f\u2060-\u2064]*(.)", re.DOTALL)

Cell = str | int | float | None
Row = dict[str, Cell | list[dict[str, Cell]]]


class Records(Protocol):
    """Where tasks come from: a `Reader`."""

    def records(self, *, where: Search | None = None, since: float | None = None, page: int = 1000) -> Iterator[Task]:
        """Whole tasks, oldest first."""
        ...


class ExportError(Exception):
    """A file can't be written; the text says which and why."""


def export(reader: Records, out: TextIO, *, format: Format, where: Search, since: float | None) -> int:  # noqa: A002
    """Write the tasks that ``where`` finds, of those first seen after ``since``, and return their number.

    ``out`` should be UTF-8 and opened with ``newline=""``: CSV ends its rows as in RFC 4180, JSON with a line feed.
    """
    write = _csv_writer(out) if format == "csv" else _jsonl_writer(out)
    count = 0
    for task in reader.records(where=where, since=since, page=PAGE):
        row: Row = {column: _cell(column, getattr(task, column)) for column in COLUMNS}
        row["attempts"] = _attempts(task)
        write(row)
        count += 1
    return count


def export_file(reader: Records, path: Path, *, format: Format, where: Search, since: float | None) -> int:  # noqa: A002
    """Write a file like `export`, see `write_file`. Raises `ExportError`."""
    return write_file(path, lambda out: export(reader, out, format=format, where=where, since=since))


def write_file(path: Path, write: Callable[[TextIO], int]) -> int:
    """Have a file written, readable by its owner only, which appears when it is complete; what ``write`` returns.

    Raises:
        ExportError: the file can't be written. What was there before is then still there.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe or a device can't be replaced
            with path.open("w", encoding="utf-8", newline="") as out:
                return write(out)
        path = path.resolve()
        number, name = tempfile.mkstemp(prefix=".cloche-", suffix=".part", dir=path.parent)
        try:
            with open(number, "w", encoding="utf-8", newline="") as out:  # noqa: PTH123  # not a path
                count = write(out)
                out.flush()
                os.fsync(out.fileno())
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
        return count
    except OSError as error:
        raise ExportError(f"Can't write {path}: {error.strerror or error}.") from error


def is_formula(text: str) -> bool:
    """Whether a spreadsheet may do more with a text than show it (OWASP's rule for CSV injection).

    It begins, after any apostrophes, with a tab or a line end; or, after any spaces and invisible characters too, with
    one of ``= + - @`` or with a wide or small form of them. Negative numbers in a text are included.
    """
    bare = text.lstrip("'")
    first = _FIRST.match(bare)
    return first is not None and (bare[0] in "\t\r\n" or unicodedata.normalize("NFKC", first[1])[0] in "=+-@")


def _csv_writer(out: TextIO) -> Callable[[Row], None]:
    writer = csv.writer(out)
    writer.writerow(COLUMNS)

    def write(row: Row) -> None:
        texts = (json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value for value in row.values())
        writer.writerow([f"'{text}" if isinstance(text, str) and is_formula(text) else text for text in texts])

    return write


def _jsonl_writer(out: TextIO) -> Callable[[Row], None]:
    encode = msgspec.json.Encoder().encode

    def write(row: Row) -> None:
        out.write(encode(row).decode() + "\n")

    return write


def _attempts(task: Task) -> list[dict[str, Cell]] | None:
    if task.attempts is None:
        return None
    return [{field: _cell(field, getattr(attempt, field)) for field in _ATTEMPT} for attempt in task.attempts]


def _cell(column: str, value: object) -> Cell:
    if isinstance(value, str):
        # Half a surrogate pair is no text; the normaliser leaves none, but a file from elsewhere may hold anything.
        return value if value.isascii() else value.encode(errors="backslashreplace").decode()
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return _moment(value) if column in _TIMES else value


def _moment(seconds: float) -> str | None:
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):  # a peer's clock may say anything
        return None
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
