import math

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QGraphicsView
from pytestqt.qtbot import QtBot

from app.models.history.charts import Series, Span
from app.models.records import Gap
from app.ui.theme import ThemeManager
from app.ui.widgets import scale
from app.ui.widgets.charts import TimeChart
from app.ui.widgets.crosshair import Crosshair
from app.ui.widgets.plot import LEFT, RIGHT, Plot

START = 1_000_000.0
SPAN = Span(START, START + 600)
NAN = math.nan


class Bench:
    """Two linked charts of 600 px."""

    def __init__(self, qtbot: QtBot, theme: ThemeManager) -> None:
        self.crosshair = Crosshair()
        self.counts = TimeChart(
            theme, self.crosshair, "Outcomes", stacked=True, empty="No finished tasks in this range."
        )
        self.times = TimeChart(theme, self.crosshair, "Run time", unit=scale.DURATION)
        for chart in (self.counts, self.times):
            qtbot.addWidget(chart)
            chart.resize(600, 220)
            chart.show()


@pytest.fixture
def bench(qtbot: QtBot, theme: ThemeManager) -> Bench:
    return Bench(qtbot, theme)


def series(*values: float) -> Series:
    return Series(START, 60.0, list(values))


def plot(chart: TimeChart) -> Plot:
    return chart._plot


def values(chart: TimeChart) -> dict[str, str]:
    return {item.entry.name: item.entry.value for item in chart._legend._items}


def middle(chart: TimeChart, share: float) -> QPoint:
    width = plot(chart).width() - LEFT - RIGHT
    return QPoint(round(LEFT + width * share), plot(chart).height() // 2)


def hover(chart: TimeChart, share: float) -> None:
    view = plot(chart)
    view.pointed.emit(view._time(middle(chart, share).x()))


def picture(chart: TimeChart) -> QImage:
    image: QImage = plot(chart).grab().toImage()
    return image


def is_red(colour: QColor) -> bool:
    return colour.red() > 150 and colour.green() < 140


def test_the_legend_shows_the_last_complete_values(bench: Bench) -> None:
    bench.counts.set_data(SPAN, 60.0, {"succeeded": series(*range(10)), "failed": series(*[0] * 9, 7)})
    assert values(bench.counts) == {"succeeded": "9", "failed": "7"}
    filling = Span(START, START + 590)
    bench.counts.set_data(filling, 60.0, {"succeeded": series(*range(10)), "failed": series(*[0] * 9, 7)})
    assert values(bench.counts) == {"succeeded": "8", "failed": "0"}


def test_pointing_at_one_chart_shows_the_values_of_all_at_that_moment(bench: Bench) -> None:
    bench.counts.set_data(SPAN, 60.0, {"succeeded": series(*range(10))})
    bench.times.set_data(SPAN, 60.0, {"p50": series(*[0.1 * n for n in range(10)])})
    hover(bench.times, 0.55)
    assert values(bench.counts) == {"succeeded": "5"}
    assert values(bench.times) == {"p50": "500 ms"}
    assert plot(bench.counts)._mark.isVisible()
    plot(bench.times).pointed.emit(None)
    assert values(bench.counts) == {"succeeded": "9"}
    assert not plot(bench.counts)._mark.isVisible()


def test_where_nothing_is_known_the_legend_says_so(bench: Bench) -> None:
    bench.times.set_data(SPAN, 60.0, {"p50": series(1, 2, NAN, 3)})
    hover(bench.times, 0.25)
    assert values(bench.times) == {"p50": "—"}


def test_a_drag_selects_a_range_and_a_double_click_goes_back(bench: Bench, qtbot: QtBot) -> None:
    bench.counts.set_data(SPAN, 60.0, {"succeeded": series(*range(10))})
    view = plot(bench.counts).viewport()
    with qtbot.waitSignal(bench.counts.range_selected) as told:
        QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=middle(bench.counts, 0.75))
        QTest.mouseMove(view, middle(bench.counts, 0.25))
        QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=middle(bench.counts, 0.25))
    start, end = told.args
    assert start == pytest.approx(START + 150, abs=2)
    assert end == pytest.approx(START + 450, abs=2)
    with qtbot.waitSignal(bench.counts.reset):
        QTest.mouseDClick(view, Qt.MouseButton.LeftButton, pos=middle(bench.counts, 0.5))


def test_a_click_selects_nothing(bench: Bench, qtbot: QtBot) -> None:
    bench.counts.set_data(SPAN, 60.0, {"succeeded": series(*range(10))})
    with qtbot.assertNotEmitted(bench.counts.range_selected):
        QTest.mouseClick(plot(bench.counts).viewport(), Qt.MouseButton.LeftButton, pos=middle(bench.counts, 0.5))


def test_arrow_keys_walk_from_bucket_to_bucket(bench: Bench, qtbot: QtBot) -> None:
    bench.counts.set_data(SPAN, 60.0, {"succeeded": series(*range(10))})
    for _ in range(3):
        QTest.keyClick(plot(bench.counts), Qt.Key.Key_Left)
    assert values(bench.counts) == {"succeeded": "7"}


def test_switching_a_series_off_takes_it_from_the_picture_and_the_axis(bench: Bench, qtbot: QtBot) -> None:
    bench.times.set_data(SPAN, 60.0, {"p50": series(*[0.1] * 10), "p99": series(*[9.0] * 10)})
    before = plot(bench.times)._picture
    QTest.mouseClick(bench.times._legend._items[1], Qt.MouseButton.LeftButton)
    after = plot(bench.times)._picture
    assert before is not None
    assert after is not None
    assert before.shown.names == ("p50", "p99")
    assert after.shown.names == ("p50",)
    assert after.top < before.top


def test_a_line_breaks_where_nothing_is_known(bench: Bench) -> None:
    bench.times.set_data(SPAN, 60.0, {"p50": series(4, 4, 4, 4, NAN, NAN, 4, 4, 4, 4)}, colours={"p50": "failed"})
    image = picture(bench.times)
    columns = {x for x in range(image.width()) for y in range(image.height()) if is_red(image.pixelColor(x, y))}
    assert middle(bench.times, 0.2).x() in columns
    assert middle(bench.times, 0.5).x() not in columns
    assert middle(bench.times, 0.8).x() in columns


def test_a_gap_is_hatched_and_an_open_one_reaches_the_end(bench: Bench, theme: ThemeManager) -> None:
    some = {"succeeded": series(*[1] * 10)}
    bench.counts.set_data(SPAN, 60.0, some)
    plain = picture(bench.counts)
    bench.counts.set_data(SPAN, 60.0, some, [Gap(START + 300, None, "disconnected")])
    hatched = picture(bench.counts)
    top = plot(bench.counts).height() // 4 + 6  # above the data, between two lines of the grid
    left, right = middle(bench.counts, 0.25).x(), middle(bench.counts, 0.75).x()
    assert plain.pixelColor(right, top) == theme.theme.colour("panel")
    assert hatched.pixelColor(left, top) == theme.theme.colour("panel")
    assert all(hatched.pixelColor(x, top) != theme.theme.colour("panel") for x in range(right - 4, right + 4))


def test_an_empty_chart_says_why(bench: Bench) -> None:
    bench.counts.set_data(SPAN, 60.0, {"succeeded": series(*[0] * 10)})
    shown = plot(bench.counts)._picture
    assert shown is not None
    assert shown.empty == "No finished tasks in this range."
    assert values(bench.counts) == {}


def test_zero_is_a_value_where_lines_are_drawn(bench: Bench) -> None:
    bench.times.set_data(SPAN, 60.0, {"p50": series(*[0] * 10)})
    shown = plot(bench.times)._picture
    assert shown is not None
    assert not shown.empty


def test_a_series_keeps_its_colour_when_others_come_and_go(bench: Bench) -> None:
    bench.times.set_data(SPAN, 60.0, {"browser": series(1), "database": series(1)})
    first = bench.times._colour("database")
    bench.times.set_data(SPAN, 60.0, {"database": series(1)})
    bench.times.set_data(SPAN, 60.0, {"audit": series(1), "database": series(1)})
    assert bench.times._colour("database") == first
    assert bench.times._colour("audit") != first


def test_a_change_of_theme_is_seen_at_once(bench: Bench, theme: ThemeManager) -> None:
    bench.counts.set_data(SPAN, 60.0, {"succeeded": series(*range(10))})
    theme.set_mode("light")
    image = picture(bench.counts)
    assert image.pixelColor(LEFT + 4, 2) == theme.theme.colour("panel") == QColor("#ffffff")
    theme.set_mode("dark")


def test_a_stack_without_anything_known_draws_no_area(bench: Bench) -> None:
    bench.counts.set_data(SPAN, 60.0, {})
    assert isinstance(plot(bench.counts), QGraphicsView)
    assert plot(bench.counts)._areas.boundingRect().isEmpty()


def test_what_still_fills_is_not_filled_with_colour(bench: Bench) -> None:
    bench.counts.set_data(Span(START, START + 590), 60.0, {"succeeded": series(*[5] * 9, 1)})
    areas = plot(bench.counts)._areas
    assert areas.boundingRect().right() == START + 8.5 * 60
    assert areas.boundingRect().contains(QPointF(START + 300, 2))


def test_a_broker_can_not_smuggle_markup_through_a_name(bench: Bench) -> None:
    bench.times.set_data(SPAN, 60.0, {"<b>x</b>": series(1, 2)})
    tooltip = bench.times._legend._items[0].toolTip()
    assert "&lt;b&gt;x&lt;/b&gt;" in tooltip
