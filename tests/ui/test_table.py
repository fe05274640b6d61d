from collections.abc import Callable

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from app.models.qt.table import SortedTable
from app.models.qt.tasks import Column, TaskTableModel
from app.models.qt.workers import Column as WorkerColumn
from app.models.qt.workers import WorkerTableModel
from app.models.records import Worker
from app.ui.theme import ThemeManager
from app.ui.widgets.filter_bar import FilterBar
from app.ui.widgets.table import RecordTable, Width
from app.ui.widgets.table_parts import SortHeader
from tests.models.qt.drawing import task_row

WIDTHS = (
    Width(100), Width(100, weight=3), Width(100, weight=1, rank=4), Width(100, rank=2), Width(100, rank=3),
    Width(100, rank=1), Width(100), Width(0), Width(0), Width(0),
)  # fmt: skip

Make = Callable[[int], RecordTable]


@pytest.fixture
def model() -> TaskTableModel:
    made = TaskTableModel(limit=50)
    made.show([task_row(number, name=f"n{number}") for number in range(50, 0, -1)], complete=True)
    return made


@pytest.fixture
def make(qtbot: QtBot, theme: ThemeManager, model: TaskTableModel) -> Make:
    """Makes a shown table whose rows have so many pixels."""

    def made(width: int) -> RecordTable:
        table = RecordTable(theme, model, WIDTHS)
        qtbot.addWidget(table)
        table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        table.setFrameStyle(0)
        table.resize(width, 400)
        table.show()
        return table

    return made


def _shown(table: RecordTable) -> dict[str, int]:
    return {column.name: table.columnWidth(column) for column in Column if not table.isColumnHidden(column)}


def test_a_row_in_the_middle_is_shown_with_whole_rows_from_the_top_on(make: Make) -> None:
    table = make(780)
    for key in (40, 27, 25, 13):
        assert table.go_to(key, centre=True)
        top = table.verticalScrollBar().value()
        assert top > 0
        assert top % table.rowHeight(0) == 0
        assert table.viewport().rect().contains(table.visualRect(table.currentIndex()).center())


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (780, {"STATE": 100, "NAME": 160, "ARGUMENTS": 120, "QUEUE": 100, "WORKER": 100, "RECEIVED": 100, "WAIT": 100}),
        (600, {"STATE": 100, "NAME": 100, "QUEUE": 100, "WORKER": 100, "RECEIVED": 100, "WAIT": 100}),
        (450, {"STATE": 100, "NAME": 150, "RECEIVED": 100, "WAIT": 100}),
        (310, {"STATE": 100, "NAME": 110, "WAIT": 100}),
        (280, {"STATE": 100, "NAME": 80, "WAIT": 100}),
    ],
)
def test_the_least_important_columns_make_room(make: Make, width: int, shown: dict[str, int]) -> None:
    assert _shown(make(width)) == shown


def test_a_column_that_can_show_all_gets_its_room_before_others_share(
    qtbot: QtBot, theme: ThemeManager, model: TaskTableModel
) -> None:
    table = RecordTable(theme, model, (Width(100, weight=1), Width(80, full=130), *[Width(0)] * 8))
    qtbot.addWidget(table)
    table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setFrameStyle(0)
    table.show()
    for width, shown in ((220, {"STATE": 140, "NAME": 80}), (240, {"STATE": 110, "NAME": 130})):
        table.resize(width, 400)
        assert _shown(table) == shown


def test_columns_leave_no_room_over(make: Make) -> None:
    for width in range(601, 640):
        assert sum(_shown(make(width)).values()) == width


def test_the_arrow_of_a_sorted_column_stands_where_the_title_ends(qtbot: QtBot, theme: ThemeManager) -> None:
    model = WorkerTableModel()
    table = RecordTable(theme, SortedTable(model), [Width(90)] * model.columnCount())
    qtbot.addWidget(table)
    table.resize(1000, 300)
    table.show()
    header = table.horizontalHeader()
    assert isinstance(header, SortHeader)
    for column in (0, 5):  # State stands left, Processed right
        plain = header.grab().toImage()
        place = header.arrow(column).toAlignedRect()
        inside = header.sectionViewportPosition(column)
        assert inside < place.left() < place.right() < inside + 90
        table.sortByColumn(column, Qt.SortOrder.AscendingOrder)
        sorted_by = header.grab().toImage()
        changed = [x for x in range(inside, inside + 90) if any(
            plain.pixel(x, y) != sorted_by.pixel(x, y) for y in range(header.height())
        )]  # fmt: skip
        assert place.left() <= changed[0] <= changed[-1] <= place.right()
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)


def test_a_width_that_the_user_chose_is_kept(make: Make) -> None:
    table = make(780)
    table.setColumnWidth(Column.STATE, 140)
    table.resize(900, 400)
    assert _shown(table)["STATE"] == 140
    assert sum(_shown(table).values()) == 900


def test_j_and_k_go_from_row_to_row(make: Make, qtbot: QtBot) -> None:
    table = make(600)
    went: list[object] = []
    table.current_changed.connect(went.append)
    for key in (Qt.Key.Key_J, Qt.Key.Key_J, Qt.Key.Key_J, Qt.Key.Key_K):
        QTest.keyClick(table, key)
    assert went == [50, 49, 48, 49]
    assert table.selected_rows() == [1]


def test_a_click_opens_a_row(make: Make) -> None:
    table = make(600)
    opened: list[object] = []
    table.opened.connect(opened.append)
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(150, 28 * 2 + 10))
    assert opened == [48]


def test_a_row_that_goes_away_takes_the_user_nowhere_else(make: Make, model: TaskTableModel) -> None:
    table = make(600)
    table.go_to(49)
    went: list[object] = []
    table.current_changed.connect(went.append)
    model.replace_between(49, 49, [])
    model.prepend([task_row(60)])
    assert went == []
    assert table.current_key() is None


def test_a_selected_row_stays_selected_while_others_come(make: Make, model: TaskTableModel) -> None:
    table = make(600)
    table.go_to(49)
    model.prepend([task_row(number) for number in (62, 61, 60)])
    assert table.current_key() == 49
    assert table.selected_rows() == [4]


def test_rows_under_the_mouse_and_selected_are_marked(make: Make, theme: ThemeManager) -> None:
    table = make(600)
    table.go_to(50)
    QTest.mouseMove(table.viewport(), QPoint(300, 28 + 10))
    picture = table.viewport().grab().toImage()
    colours = [picture.pixelColor(300, row * 28 + 3).name() for row in range(3)]
    assert colours == [theme.theme.selection, theme.theme.hover, theme.theme.panel]
    theme.set_mode("light")
    picture = table.viewport().grab().toImage()
    assert picture.pixelColor(300, 3).name() == theme.theme.selection == "#e3eefc"


def test_a_table_keeps_the_models_order_until_a_header_is_clicked(qtbot: QtBot, theme: ThemeManager) -> None:
    model = WorkerTableModel()
    table = RecordTable(theme, SortedTable(model), [Width(60)] * model.columnCount())
    qtbot.addWidget(table)
    table.resize(900, 300)
    table.show()
    model.replace([Worker(name, 0, processed=n) for name, n in (("b", 5), ("a", 70), ("c", 9))])
    assert [table.key_at(row) for row in range(3)] == ["b", "a", "c"]
    header = table.horizontalHeader()
    place = QPoint(header.sectionViewportPosition(WorkerColumn.PROCESSED) + 20, 10)
    QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert [table.key_at(row) for row in range(3)] == ["b", "c", "a"]
    QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert [table.key_at(row) for row in range(3)] == ["a", "c", "b"]


@pytest.fixture
def bar(qtbot: QtBot, theme: ThemeManager) -> FilterBar:
    made = FilterBar(theme)
    qtbot.addWidget(made)
    made.resize(800, 60)
    made.show()
    return made


def test_a_search_is_understood_when_the_user_pauses(bar: FilterBar, qtbot: QtBot) -> None:
    with qtbot.waitSignal(bar.searched):
        QTest.keyClicks(bar._edit, "state:failed")
    assert bar.search.text == "state:failed"


def test_enter_does_not_wait_and_the_same_search_is_no_news(bar: FilterBar) -> None:
    heard: list[str] = []
    bar.searched.connect(lambda: heard.append(bar.search.text))
    QTest.keyClicks(bar._edit, "customer")
    QTest.keyClick(bar._edit, Qt.Key.Key_Return)
    QTest.keyClicks(bar._edit, " ")
    QTest.keyClick(bar._edit, Qt.Key.Key_Return)
    assert heard == ["customer"]


def test_fields_and_values_are_completed(bar: FilterBar) -> None:
    bar.set_values({"queue": ["mail", "money and more"]})
    QTest.keyClicks(bar._edit, "-queue:mo")
    assert bar._offers.stringList() == ['queue:"money and more"']
    bar._insert('queue:"money and more"')
    assert bar._edit.text() == '-queue:"money and more"'
    bar._popup.hide()


def test_enter_searches_for_what_is_typed_unless_another_word_was_chosen(bar: FilterBar) -> None:
    bar.set_values({"queue": ["mail", "mail.quarantine.1"]})
    QTest.keyClicks(bar._edit, "queue:mail")
    assert bar._popup.isVisible()
    QTest.keyClick(bar._popup, Qt.Key.Key_Return)
    assert (bar._edit.text(), bar.search.text) == ("queue:mail", "queue:mail")
    QTest.keyClicks(bar._edit, ".")
    QTest.keyClick(bar._popup, Qt.Key.Key_Down)
    QTest.keyClick(bar._popup, Qt.Key.Key_Return)
    assert bar._edit.text() == "queue:mail.quarantine.1"


def test_escape_and_arrow_down_leave_the_field(bar: FilterBar) -> None:
    left: list[bool] = []
    bar.left.connect(lambda: left.append(True))
    QTest.keyClick(bar._edit, Qt.Key.Key_Escape)
    QTest.keyClick(bar._edit, Qt.Key.Key_Down)
    assert left == [True, True]
