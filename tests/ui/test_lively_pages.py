import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetrics
from pytestqt.qtbot import QtBot

from app.models.qt.table import Role
from app.ui import fonts
from app.ui.live import TimeRange, View
from app.ui.pages.queues import QueuesPage
from app.ui.pages.tasks import TasksPage
from app.ui.pages.workers import WorkersPage
from app.ui.theme import ThemeManager
from app.ui.widgets.table import RecordTable
from tests.ui.conftest import Run
from tests.ui.histories import History, Stand, emitted
from tests.ui.lively import Lively

MakePage = Callable[[ThemeManager, TimeRange], View]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three minutes of a fleet that loses a worker."""
    path = tmp_path_factory.mktemp("lively") / "h.cloche"
    history = History(path)
    fleet = Lively(history, time.time() - 180)
    fleet.run(100)
    fleet.inspect()
    fleet.lose_a_worker()
    fleet.run(80)
    history.close()
    return path


@pytest.fixture
def stand(path: Path) -> Iterator[Stand]:
    made = Stand(path)
    yield made
    made.close()


def cut_figures(table: RecordTable) -> list[str]:
    """Figures that have less room than they need."""
    metrics, model = QFontMetrics(fonts.ui_font()), table.model()
    first, last = table.visible_rows()
    return [
        text
        for column in range(model.columnCount())
        if not table.isColumnHidden(column) and model.headerData(column, Qt.Orientation.Horizontal, Role.CELL).numeric
        for cell in (model.index(row, column).data(Role.CELL) for row in range(first, last + 1))
        for text in (cell.short if cell.short and table.columnWidth(column) < full(table, column) else cell.text,)
        if metrics.horizontalAdvance(text) > table.columnWidth(column) - 10
    ]


def full(table: RecordTable, column: int) -> int:
    """The room a column needs to show its texts at length."""
    return table._widths[column].full


@pytest.mark.parametrize("make", [TasksPage, WorkersPage, QueuesPage])
@pytest.mark.parametrize("size", [(1224, 825), (808, 625), (644, 480)])
def test_every_page_shows_a_lively_fleet_without_cutting_a_figure(
    make: MakePage, size: tuple[int, int], qtbot: QtBot, theme: ThemeManager, stand: Stand, run: Run
) -> None:
    page = make(theme, TimeRange())
    qtbot.addWidget(page)
    page.resize(*size)

    async def story() -> None:
        page.set_connection(stand)  # type: ignore[arg-type]
        page.show()
        await emitted(page.loaded)
        (table, *_) = page.findChildren(RecordTable)
        assert cut_figures(table) == []
        await page.prepare_shot()  # type: ignore[attr-defined]
        assert cut_figures(table) == []
        assert not table.horizontalScrollBar().isVisible()
        pictures = []
        for mode in ("dark", "light"):
            theme.set_mode(mode)
            pictures.append(page.grab().toImage().pixelColor(2, 2).name())
        assert pictures[0] != pictures[1]

    run(story())
    theme.set_mode("dark")
