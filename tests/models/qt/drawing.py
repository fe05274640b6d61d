"""Item models as text, and the records their tests are made of."""

import msgspec
from PySide6.QtCore import QAbstractItemModel, Qt
from pytestqt.modeltest import ModelTester

from app.models.history.reader import TaskRow

NOW = 1795230300.0


def drawn(model: QAbstractItemModel, columns: range | None = None) -> str:
    """The headers and rows of a table, or of some columns, as a person reads them."""
    columns = columns or range(model.columnCount())
    table = [[str(model.headerData(column, Qt.Orientation.Horizontal)) for column in columns]]
    table += [[str(model.index(row, column).data()) for column in columns] for row in range(model.rowCount())]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(" | ".join(map(str.ljust, line, widths)).rstrip() for line in table)


def task_row(number: int, **known: object) -> TaskRow:
    """A task that is known by its number, and by what the test says."""
    bare = _BARE | {"id": number, "uuid": f"id-{number}", "seen": NOW - 60, "state": "PENDING"}
    return msgspec.convert(bare | known, TaskRow)


def watch(tester: ModelTester, model: QAbstractItemModel) -> None:
    """Fail the test as soon as a model breaks a rule of item models, now or while it changes."""
    tester.check(model)  # type: ignore[no-untyped-call]


_BARE: dict[str, object] = dict.fromkeys(
    ("name", "args", "queue", "worker", "sent", "received", "started", "finished", "wait", "runtime", "eta", "note")
) | {"retries": 0}
