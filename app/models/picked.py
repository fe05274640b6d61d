"""Tasks of a history that somebody picked, to be exported."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from app.models.export import Format, export_file
from app.models.history.reader import Reader
from app.models.records import Task
from app.models.search import Search, parse


class Picked(msgspec.Struct, frozen=True):
    """The tasks of ``ids``, or all that a ``search`` finds of those first seen from ``since`` until ``until``."""

    ids: Sequence[str] = ()
    search: str = ""
    since: float | None = None
    until: float | None = None


def export_picked(history: Path, picked: Picked, path: Path) -> int:
    """Write them to a file, as CSV where it is called so and else as JSON lines, and return their number.

    Raises `HistoryError` and `ExportError`.
    """
    reader = Reader(history)
    try:
        form: Format = "csv" if path.suffix.lower() == ".csv" else "jsonl"
        where = parse(picked.search)
        return export_file(_Records(reader, picked), path, format=form, where=where, since=picked.since)
    finally:
        reader.close()


class _Records:
    """Where they come from."""

    def __init__(self, reader: Reader, picked: Picked) -> None:
        self._reader, self._picked = reader, picked

    def records(self, *, where: Search | None = None, since: float | None = None, page: int = 1000) -> Iterator[Task]:
        """Those of the ids in their order, or those that were found, oldest first."""
        picked, until = self._picked, self._picked.until
        if picked.ids:
            yield from (task for uuid in picked.ids if (task := self._reader.task(uuid)) is not None)
            return
        found = self._reader.records(where=where, since=since, page=page)
        yield from (task for task in found if until is None or task.seen <= until)
