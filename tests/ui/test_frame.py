import time
from itertools import pairwise

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QTabWidget, QToolButton, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from app.models.history.charts import Series
from app.models.qt.plain import plain_tip
from app.models.records import Accounting, Gap
from app.models.wire import Health, Notice
from app.ui import words
from app.ui.live import TimeRange
from app.ui.theme import ThemeManager
from app.ui.vitals import Vital
from app.ui.widgets.labels import ElidedLabel, PlainLabel
from app.ui.widgets.long_text import LongText
from app.ui.widgets.notice_bar import NoticeBar, Remedy
from app.ui.widgets.rows import GAP, Rows
from app.ui.widgets.side_rows import BrokerRow, BrokerState
from app.ui.widgets.sidebar import PageEntry, Sidebar
from app.ui.widgets.sparkline import Sparkline
from app.ui.widgets.status_bar import StatusBar, identity
from app.ui.widgets.tile import Figure, Tile
from app.ui.widgets.time_range import PauseButton, RangeButton

# --- words -----------------------------------------------------------------------------------------------------------


def test_the_identity_names_every_event() -> None:
    books = Accounting(received=18_402_113, stored=18_402_096, rejected={"size": 12, "json": 5})
    assert identity(books) == "received 18,402,113 = stored 18,402,096 + rejected 17"
    shed = Accounting(received=10, stored=7, rejected={"size": 1}, shed={"heartbeat": 2})
    assert identity(shed) == "received 10 = stored 7 + rejected 1 + shed 2"


def test_an_identity_that_does_not_hold_is_not_called_one() -> None:
    assert identity(Accounting(received=10, stored=8)) == "received 10 ≠ stored 8 + rejected 0"


@pytest.mark.parametrize(
    ("health", "text"),
    [
        (Health("live", events_per_second=1243.4, behind=0.08), "live · 1,243 events/s · 80 ms behind"),
        (Health("live"), "live · 0 events/s"),
        (Health("live", events_per_second=0.01, behind=2.5), "live · < 0.1 events/s · 2.5 s behind"),
        (Health("disconnected", since=100.0), "disconnected for 14 s"),
        (Health("starting", since=100.0), "starting"),
        (Health("file"), "history file"),
    ],
)
def test_a_connection_says_how_it_is(health: Health, text: str) -> None:
    assert words.health_text(health, 114.0) == text


def test_a_range_is_live_or_says_from_when_to_when() -> None:
    time_range = TimeRange()
    assert words.range_text(time_range) == "Live · 15 min"
    noon = time.mktime((2024, 5, 17, 12, 0, 0, 0, 0, -1))
    time_range.look_back(noon - 3600, noon)
    assert words.range_text(time_range) == "17 May 11:00 – 12:00"
    time_range.look_back(noon - 24 * 3600, noon)
    assert words.range_text(time_range) == "16 May 12:00 – 17 May 12:00"


# --- what a broker sent is never markup ------------------------------------------------------------------------------


def test_a_hidden_text_knows_how_high_it_will_be(qtbot: QtBot) -> None:
    tabs = QTabWidget()
    qtbot.addWidget(tabs)
    text = LongText("Arguments", lines=14)
    page = QWidget()
    layout = QVBoxLayout(page)
    layout.addWidget(text)
    layout.addStretch(1)
    tabs.addTab(QWidget(), "first")
    tabs.addTab(page, "second")
    tabs.resize(300, 400)
    tabs.show()
    tabs.setCurrentIndex(1)
    tabs.setCurrentIndex(0)
    low = text.height()
    text.show_text("y" * 200)
    assert text.height() >= low + 3 * text.fontMetrics().lineSpacing()


def test_a_label_of_one_line_stays_one_line_high(qtbot: QtBot) -> None:
    plain, hostile = ElidedLabel("name"), ElidedLabel("line\nbreak 🔥\nand\u202e more")
    for label in (plain, hostile):
        qtbot.addWidget(label)
    assert hostile.sizeHint().height() == plain.sizeHint().height()
    assert "\u202e" not in hostile.text()


def test_labels_and_tooltips_show_markup_as_it_was_sent(qtbot: QtBot) -> None:
    label = ElidedLabel("<b>a very long name that will not fit</b>")
    qtbot.addWidget(label)
    assert label.textFormat() == Qt.TextFormat.PlainText
    label.resize(60, 20)
    label.grab()
    assert label.toolTip() == plain_tip("<b>a very long name that will not fit</b>")
    assert "<b>" not in label.toolTip()
    label.resize(600, 20)
    label.grab()
    assert label.toolTip() == ""


# --- notices ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def notices(qtbot: QtBot, theme: ThemeManager) -> NoticeBar:
    bar = NoticeBar(theme, most=3)
    qtbot.addWidget(bar)
    return bar


def shown(bar: NoticeBar) -> str:
    return "\n".join(f"{row._severity}: {row._what.text()} {row._why.text()} {_times(row._times)}".strip()
                     for row in reversed(bar._rows.values()))  # fmt: skip


def _times(label: PlainLabel) -> str:
    return "" if label.isHidden() else label.text()


def test_repeated_notices_fold_into_one_with_a_count(notices: NoticeBar) -> None:
    notices.show_notice(Notice("disk", "The disk is full. Free some space.", "error"))
    notices.show_notice(Notice("broker", "The broker is gone.", "warning"))
    notices.show_notice(Notice("disk", "The disk is full. Free some space.", "error"))
    assert shown(notices) == "error: The disk is full. Free some space. × 2\nwarning: The broker is gone."


def test_an_empty_text_withdraws_a_notice(notices: NoticeBar) -> None:
    notices.show_notice(Notice("broker", "The broker is gone."))
    assert not notices.isHidden()
    notices.show_notice(Notice("broker", ""))
    assert notices.texts() == []
    assert notices.isHidden()


def test_notices_of_two_brokers_are_two(notices: NoticeBar) -> None:
    for origin in ("edr", "redline"):
        notices.show_notice(Notice("broker", "The broker is gone."), origin)
    assert notices.texts() == ["redline: The broker is gone.", "edr: The broker is gone."]


def test_only_the_newest_notices_stand(notices: NoticeBar) -> None:
    for number in range(9):
        notices.show_notice(Notice(str(number), f"Notice {number}."))
    assert notices.texts() == ["Notice 8.", "Notice 7.", "Notice 6."]


def test_a_notice_can_be_copied_and_dismissed(notices: NoticeBar, qtbot: QtBot) -> None:
    notices.show_notice(Notice("disk", "The disk is full. Free some space."))
    copy, dismiss = notices.findChildren(QToolButton)
    QTest.mouseClick(copy, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == "The disk is full. Free some space."
    QTest.mouseClick(dismiss, Qt.MouseButton.LeftButton)
    assert notices.texts() == []


# --- status bar ------------------------------------------------------------------------------------------------------


def test_loss_and_gaps_are_always_on_show(qtbot: QtBot, theme: ThemeManager) -> None:
    bar = StatusBar(theme)
    qtbot.addWidget(bar)
    bar.resize(1200, 26)
    books = Accounting(received=10, stored=7, shed={"worker-heartbeat": 2, "task-started": 1})
    gaps, missing = (Gap(1.0, 2.0, "disconnected"),), (("w1@h", 37),)
    bar.show_vital(Vital(books, tasks=1_234_567, size=610_000_000, gaps=gaps, missed=37, missing=missing))
    bar.show_health(Health("live", commands_per_second=1.1))
    assert bar._lost.text() == "· shed 2 heartbeats, 1 start · 37 missed upstream · 1 gap"
    assert "Dropped, as more came than could be taken: 2 heartbeats, 1 start" in bar._lost.toolTip()
    assert "37 tasks began that we were not told of" in bar._lost.toolTip()
    assert bar._lost.property("state") == "lost"
    assert bar._history.text() == "history 1.2 M tasks · 610 MB"
    bar.resize(900, 26)
    bar.show_vital(Vital(books, tasks=1_234_567, size=610_000_000))
    assert bar._history.text() == "history 1.2 M tasks"
    assert bar._sent.text() == "we send 1.1 commands/s"


def test_the_details_list_reasons_and_gaps(qtbot: QtBot, theme: ThemeManager) -> None:
    bar = StatusBar(theme)
    qtbot.addWidget(bar)
    books = Accounting(received=10, stored=2, rejected={"size": 2, "json": 5}, shed={"worker-heartbeat": 1})
    missing = (("w1@h", 1), ("w2@h", 36))
    bar.show_vital(Vital(books, gaps=(Gap(1.0, None, "the laptop slept"),), missed=37, missing=missing))
    QTest.mouseClick(bar._lost, Qt.MouseButton.LeftButton)
    texts = [label.text() for label in bar._details.findChildren(PlainLabel)]
    bar._details.close()
    assert texts[1:5] == ["json", "5", "size", "2"]
    assert texts[6:8] == ["heartbeats", "1"]
    assert texts[9:13] == ["w2@h", "36", "w1@h", "1"]
    assert texts[-1] == "the laptop slept"
    assert texts[-2].endswith(" – now")


@pytest.mark.parametrize(("missed", "text"), [(None, "· 0 shed"), (0, "· 0 lost"), (5, "· 5 missed upstream")])
def test_what_is_missed_upstream_is_never_called_none_where_nobody_knows(
    qtbot: QtBot, theme: ThemeManager, missed: int | None, text: str
) -> None:
    bar = StatusBar(theme)
    qtbot.addWidget(bar)
    bar.show_vital(Vital(missed=missed))
    assert bar._lost.text() == text
    assert ("not known" in bar._lost.toolTip()) == (missed is None)
    assert bar._lost.property("state") == ("lost" if missed else "")


def test_without_a_connection_nothing_is_claimed(qtbot: QtBot, theme: ThemeManager) -> None:
    bar = StatusBar(theme)
    qtbot.addWidget(bar)
    bar.show_vital(None)
    bar.show_health(None)
    assert bar._health.text() == "not connected"
    assert bar._sent.text() == bar._identity.text() == bar._history.text() == ""
    assert bar._lost.isHidden()


# --- time range ------------------------------------------------------------------------------------------------------


def test_the_range_menu_marks_what_is_shown(qtbot: QtBot, theme: ThemeManager) -> None:
    time_range = TimeRange()
    button = RangeButton(theme, time_range)
    qtbot.addWidget(button)
    checked = [span for span, action in button._spans.items() if action.isChecked()]
    assert checked == [900.0]
    button._spans[3600.0].trigger()
    assert time_range.span == 3600.0
    assert button.text() == "Live · 1 h"
    time_range.look_back(1e9, 1e9 + 900)
    assert not any(action.isChecked() for action in button._spans.values())


def test_a_range_is_not_green_while_the_broker_is_not_heard(qtbot: QtBot, theme: ThemeManager) -> None:
    button = RangeButton(theme, TimeRange())
    qtbot.addWidget(button)
    button.resize(button.sizeHint())
    dots = []
    for heard in (True, False):
        button.set_heard(heard)
        dots.append(button.grab().toImage().pixelColor(16, button.height() // 2).name())
    assert dots == [theme.theme.succeeded, theme.theme.failed]


def test_a_history_that_does_not_grow_is_never_called_live(qtbot: QtBot, theme: ThemeManager) -> None:
    button = RangeButton(theme, TimeRange())
    qtbot.addWidget(button)
    button.set_grows(False)
    assert button.text() == "Last 15 min"
    assert not any("ive" in action.text() for action in button._menu.actions())


def test_pausing_counts_what_waits(qtbot: QtBot, theme: ThemeManager) -> None:
    time_range = TimeRange()
    button = PauseButton(theme, time_range)
    qtbot.addWidget(button)
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert time_range.paused
    button.show_new(1240)
    assert button.accessibleName() == "Paused · 1,240 new"
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert not time_range.paused


# --- cards and rows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [808, 1195, 1196, 1677])
def test_cards_of_every_row_reach_both_edges(qtbot: QtBot, width: int) -> None:
    cards = [QWidget() for _ in range(7)]
    rows = Rows(cards, 82, lambda width: (7,) if width >= 1000 else (4, 3))
    qtbot.addWidget(rows)
    rows.resize(width, 400)
    rows.show()
    for y in {card.y() for card in cards}:
        row = sorted((card.geometry() for card in cards if card.y() == y), key=lambda box: box.x())
        assert row[0].left() == 0
        assert row[-1].right() == width - 1
        assert {right.left() - left.right() - 1 for left, right in pairwise(row)} == {GAP}
    assert rows.height() == max(card.geometry().bottom() for card in cards) + 1


def test_a_tile_tells_its_figure_to_screen_readers(qtbot: QtBot, theme: ThemeManager) -> None:
    tile = Tile(theme, "Failure rate")
    qtbot.addWidget(tile)
    tile.show_figure(Figure("2.8", "%", "1.9 points", "up", "failed", Series(0, 1, [1, 2, 3]), explained="38 of 340"))
    assert tile.accessibleName() == "Failure rate"
    assert tile.accessibleDescription() == "2.8 % up 1.9 points"
    assert "38 of 340" in tile.toolTip()
    tile.grab()


def test_a_sparkline_draws_in_the_colour_it_is_given(qtbot: QtBot, theme: ThemeManager) -> None:
    line = Sparkline(theme, "failed")
    qtbot.addWidget(line)
    line.resize(48, 18)
    empty = line.grab().toImage()
    line.show_series(Series(0, 1, [4, 4, 4, 4]))
    assert line.grab().toImage() != empty


def test_a_long_broker_name_takes_the_room_of_its_tag(qtbot: QtBot, theme: ThemeManager) -> None:
    def tag(name: str) -> str:
        row = BrokerRow(theme, BrokerState(name, "PRODUCTION", "PROD", "production", "succeeded", "live"))
        qtbot.addWidget(row)
        row.resize(199, 42)
        return row._tag_and_room(176)[0]

    assert tag("leadlawk") == "PRODUCTION"
    assert tag("leadlawk.redis.internal") == "PROD"


def test_the_sidebar_tells_which_broker_and_page_were_chosen(qtbot: QtBot, theme: ThemeManager) -> None:
    side = Sidebar(theme, [PageEntry("one", "One", "server", "Alt+1"), PageEntry("two", "Two", "layers", "Alt+2")])
    qtbot.addWidget(side)
    states = [BrokerState(name, "", "", "unknown", "succeeded", "live") for name in ("edr", "redline")]
    side.show_brokers(states, BrokerState("All brokers", "", "", "unknown", "succeeded", "live"))
    with qtbot.waitSignal(side.all_chosen):
        side._all.click()
    with qtbot.waitSignal(side.broker_chosen) as told:
        side._brokers[1].click()
    assert told.args == [1]
    with qtbot.waitSignal(side.page_chosen) as told:
        side._pages["two"].click()
    assert told.args == ["two"]


def test_what_several_say_for_one_reason_is_read_once_where_something_can_be_done(
    qtbot: QtBot, theme: ThemeManager
) -> None:
    notices = NoticeBar(theme)
    qtbot.addWidget(notices)
    done: list[str] = []
    notices.show_notice(Notice("queues", "It was refused. Check the password."), "shop")
    notices.show_notice(
        Notice("sign-in", "It was refused. Check the password."), "shop", Remedy("Enter …", lambda: done.append("x"))
    )
    notices.show_notice(Notice("workers", "It was refused. Check the password."), "shop")
    assert notices.texts() == ["shop: It was refused. Check the password."]
    [row] = [row for row in notices._rows.values() if not row.isHidden()]
    row.remedy.click()
    assert done == ["x"]
    notices.show_notice(Notice("sign-in", ""), "shop")
    assert notices.texts() == ["shop: It was refused. Check the password."]  # others still say it
    notices.show_notice(Notice("queues", "It was refused. Check the password."), "edr", named=False)
    notices.withdraw("shop")
    assert notices.texts() == ["It was refused. Check the password."]


@pytest.mark.parametrize("width", [500, 1200])
def test_a_notice_is_read_whole_in_a_narrow_window_too(qtbot: QtBot, theme: ThemeManager, width: int) -> None:
    notices = NoticeBar(theme)
    qtbot.addWidget(notices)
    text = "The broker shop.example:6379/0 of that application refused the sign-in. Check user and password."
    notices.show_notice(Notice("sign-in", text), "", Remedy("Enter password …", lambda: None))
    notices.resize(width, 60)
    notices.show()
    [row] = notices._rows.values()
    qtbot.waitUntil(lambda: (row._why.y() > row._what.y()) == (width == 500))
    lines = row._what.height() // row._what.fontMetrics().height()
    assert lines * row._what.width() >= row._what.fontMetrics().horizontalAdvance(row._what.text())
