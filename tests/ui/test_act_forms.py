import time

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QTextCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton, QWidget
from pytestqt.qtbot import QtBot

from app.models.acts import RevokeStamped, Send, Steer, Wish
from app.ui.theme import ThemeManager
from app.ui.widgets.form_dialog import FormDialog
from app.ui.widgets.send_dialog import SendDialog
from app.ui.widgets.stamp_dialog import StampDialog
from app.ui.widgets.steer_dialog import COMMANDS, SteerDialog, told


@pytest.fixture
def parent(qtbot: QtBot, theme: ThemeManager) -> QWidget:
    del theme
    made = QWidget()
    qtbot.addWidget(made)
    return made


@pytest.fixture
def send(parent: QWidget, theme: ThemeManager) -> SendDialog:
    made = SendDialog(parent, theme, {"queue": ["mail"]})
    made.open()
    return made


def steer(parent: QWidget, name: str, *workers: str) -> SteerDialog:
    [command] = [command for command in COMMANDS if command.name == name]
    made = SteerDialog(parent, command, workers or ("w1@h",), {"name": ["mail.send"], "queue": ["mail"]})
    made.open()
    return made


def wish_of(dialog: FormDialog) -> Wish | str:
    """What comes of it, or what it says is wrong."""
    wishes: list[Wish] = []
    dialog.wished.connect(wishes.append)
    dialog.go_on.click()
    dialog.wished.disconnect(wishes.append)
    assert dialog.isVisible() is not bool(wishes)
    return wishes[0] if wishes else dialog.error


def test_a_task_needs_no_more_than_its_name(send: SendDialog) -> None:
    send.name.setText(" mail.send ")
    assert wish_of(send) == Send("mail.send")


def test_all_of_a_task_can_be_said(send: SendDialog) -> None:
    now = time.time()
    send.name.setText("mail.send")
    send.args.paper.setPlainText('["ä", 1.50]')
    send.kwargs.paper.setPlainText(' {"to": "x"} ')
    send.queue.setText("mail")
    send.eta.setText("10m")
    send.expires.setText("in 2h")
    send.priority.setText("9")
    send.soft.setText("30s")
    send.hard.setText("1m")
    wish = wish_of(send)
    assert isinstance(wish, Send)
    assert (wish.name, wish.args, wish.kwargs, wish.queue) == ("mail.send", '["ä", 1.50]', '{"to": "x"}', "mail")
    assert wish.eta == pytest.approx(now + 600, abs=30)
    assert wish.expires == pytest.approx(now + 7200, abs=30)
    assert (wish.priority, wish.soft_time_limit, wish.time_limit) == (9, 30, 60)


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("name", "", "Which task is to run? Write its name as workers know it."),
        ("queue", " ", "Which queue is it to wait in?"),
        ("eta", "soon", "'soon' is not a time. Write it like 10m, 23:00 or 2026-11-22 03:00."),
        ("expires", "1999-01-01", "'1999-01-01' is over."),
        ("priority", "256", "A priority is a number from 0 to 255: from 0 to 9 on most brokers."),
        ("priority", "٣", "A priority is a number from 0 to 255: from 0 to 9 on most brokers."),
        ("soft", "60s", "The soft limit has to be shorter than the hard one, which ends the task at once."),
        ("hard", "long", "'long' is not a length of time. Write it like 30s, 10m or 1h30m."),
    ],
)
def test_what_is_wrong_is_said_below_its_field(send: SendDialog, field: str, text: str, said: str) -> None:
    send.name.setText("mail.send")
    send.hard.setText("60")
    edit = getattr(send, field)
    edit.setText(text)
    assert wish_of(send) == said
    assert edit.property("state") == "error"
    assert edit.isVisible()  # though it is in a part that was closed
    edit.clear()
    QTest.keyClicks(edit, "x")
    assert send.error == ""


def test_wrong_json_is_said_with_its_place_and_led_to(send: SendDialog) -> None:
    send.name.setText("mail.send")
    send.kwargs.paper.setPlainText('{"a": 1,\n "ä😀": None}')
    assert wish_of(send) == ""  # the field says so itself
    assert send.kwargs.error == "Line 2, column 8: In JSON this is null."
    cursor = send.kwargs.paper.textCursor()
    cursor.movePosition(QTextCursor.MoveOperation.EndOfBlock, QTextCursor.MoveMode.KeepAnchor)
    assert cursor.selectedText() == "None}"
    assert send.kwargs._gutter.marks == {(1, "failed")}


def test_a_space_that_does_not_break_is_sent_as_it_was_typed(send: SendDialog) -> None:
    send.name.setText("mail.send")
    send.args.paper.setPlainText('["a\u00a0b"]')
    wish = wish_of(send)
    assert isinstance(wish, Send)
    assert wish.args == '["a\u00a0b"]'


def test_enter_in_a_field_goes_on(send: SendDialog) -> None:
    wishes: list[Wish] = []
    send.wished.connect(wishes.append)
    send.name.setText("mail.send")
    QTest.keyClick(send.name, Qt.Key.Key_Return)
    assert wishes == [Send("mail.send")]


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("pool_grow", {}, Steer("pool_grow", ["w1@h"], number=1)),
        ("pool_shrink", {"number": "2"}, Steer("pool_shrink", ["w1@h"], number=2)),
        ("pool_grow", {"number": "0"}, "This has to be a number from 1 to 1,000."),
        ("pool_grow", {"number": "1e9"}, "This has to be a number from 1 to 1,000."),
        ("autoscale", {"least": "0", "most": "8"}, Steer("autoscale", ["w1@h"], least=0, most=8)),
        ("autoscale", {"least": "9", "most": "8"}, "The most has to be as many as the least, or more."),
        ("add_consumer", {"queue": " a b "}, Steer("add_consumer", ["w1@h"], queue="a b")),
        ("add_consumer", {"queue": ""}, "Which queue?"),
        ("cancel_consumer", {"queue": "mail"}, Steer("cancel_consumer", ["w1@h"], queue="mail")),
        ("rate_limit", {"task": "t", "rate": "10/m"}, Steer("rate_limit", ["w1@h"], task="t", rate="10/m")),
        ("rate_limit", {"task": "t", "rate": "0.5/s"}, Steer("rate_limit", ["w1@h"], task="t", rate="0.5/s")),
        ("rate_limit", {"task": "t", "rate": "0"}, Steer("rate_limit", ["w1@h"], task="t", rate="0")),
        (
            "rate_limit",
            {"task": "t", "rate": "10/min"},
            "A rate limit is written like 10/m, 0.5/s or 100/h; 0 lifts it.",
        ),
        ("rate_limit", {"task": "", "rate": "1"}, "Which task?"),
    ],
)
def test_each_form_makes_its_wish(parent: QWidget, name: str, fields: dict[str, str], expected: Wish | str) -> None:
    dialog = steer(parent, name)
    for key, text in fields.items():
        dialog.edits[key].setText(text)
    assert wish_of(dialog) == expected


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        ("30s", "1m", {"soft": 30.0, "hard": 60.0}),
        ("30", "same", {"soft": 30.0}),
        ("same", "90s", {"hard": 90.0}),
        ("none", "none", {"soft": 0.0, "hard": 0.0}),
        ("none", "same", {"soft": 0.0}),
        ("none", "60", {"soft": 0.0, "hard": 60.0}),
        ("same", "same", "Both limits are to stay as they are: nothing would change."),
        ("60s", "1m", "The soft limit has to be shorter than the hard one."),
        ("0", "60", "A limit of no time ends every task. To have no limit, choose None."),
        ("", "60", "'' is not a length of time. Write it like 30s, 10m or 1h30m."),
    ],
)
def test_one_time_limit_is_never_changed_with_the_other(
    parent: QWidget, soft: str, hard: str, expected: dict[str, object] | str
) -> None:
    dialog = steer(parent, "time_limit")
    dialog.edits["task"].setText("mail.send")
    for key, text in (("soft", soft), ("hard", hard)):
        assert not dialog.edits[key].isEnabled()
        dialog.choices[key].choose(text if text in ("same", "none") else "seconds")
        if text not in ("same", "none"):
            assert dialog.edits[key].isEnabled()
            dialog.edits[key].setText(text)
    wish = Steer("time_limit", ["w1@h"], task="mail.send", **expected) if isinstance(expected, dict) else expected  # type: ignore[arg-type]
    assert wish_of(dialog) == wish


def test_names_go_out_as_they_are_typed(parent: QWidget) -> None:
    dialog = steer(parent, "add_consumer", "<b>w</b>@h", "w2@h")
    assert dialog.windowTitle() == "Consume a queue: 2 workers"
    dialog.edits["queue"].setText("<i>&amp;*</i>")
    assert wish_of(dialog) == Steer("add_consumer", ["<b>w</b>@h", "w2@h"], queue="<i>&amp;*</i>")


def test_one_worker_is_called_by_its_name() -> None:
    assert told(["w1@h"]) == "w1@h"
    assert told(["w1@h", "w2@h"]) == "2 workers"


def test_every_field_has_a_name_for_who_can_not_see_it(parent: QWidget, send: SendDialog) -> None:
    for command in COMMANDS:
        dialog = steer(parent, command.name)
        assert all(edit.accessibleName() for edit in dialog.edits.values())
    for edit in (send.name, send.queue, send.eta, send.expires, send.priority, send.soft, send.hard):
        assert edit.accessibleName()
    assert send.args.paper.accessibleName() == "Positional arguments, as JSON"


@pytest.fixture
def stamp(parent: QWidget) -> StampDialog:
    made = StampDialog(parent)
    made.open()
    return made


def test_a_stamp_is_a_header_and_a_value_on_each_line(stamp: StampDialog) -> None:
    stamp.header.setText(" customer ")
    stamp.values.setPlainText("1234\n\n a b, c \n1234\n")
    assert wish_of(stamp) == RevokeStamped("customer", ["1234", "a b, c"])


def test_neither_header_nor_values_may_be_missing(stamp: StampDialog) -> None:
    assert str(wish_of(stamp)).startswith("Which header?")
    stamp.header.setText("customer")
    stamp.values.setPlainText(" \n ")
    assert str(wish_of(stamp)).startswith("Which values?")


def test_keys_lead_through_the_form_of_stamps(stamp: StampDialog, qtbot: QtBot) -> None:
    with qtbot.waitActive(stamp):
        stamp.activateWindow()
    stamp.header.setFocus()
    QTest.keyClicks(stamp.header, "customer")
    QTest.keyClick(stamp.header, Qt.Key.Key_Tab)
    assert stamp.values.hasFocus()
    QTest.keyClicks(stamp.values, "1234")
    QTest.keyClick(stamp.values, Qt.Key.Key_Tab)
    assert not stamp.values.hasFocus()
    assert wish_of(stamp) == RevokeStamped("customer", ["1234"])


def offers(dialog: StampDialog) -> list[QPushButton]:
    return [button for button in dialog.findChildren(QPushButton) if button not in (dialog.cancel, dialog.go_on)]


def test_the_stamps_of_a_task_are_offered_as_they_are(stamp: StampDialog) -> None:
    stamp.offer({"customer": ["1&2"], "<b>batch</b>": ["a", "b"], **{f"h{n}": ["x" * 300] for n in range(9)}})
    shown = offers(stamp)
    assert [button.text() for button in shown[:2]] == ["customer = 1&&2", "<b>batch</b> = a, b"]
    assert len(shown) == 6
    assert stamp.width() < 600
    shown[1].click()
    assert wish_of(stamp) == RevokeStamped("<b>batch</b>", ["a", "b"])


def test_that_a_message_carries_none_is_said(stamp: StampDialog) -> None:
    stamp.offer({})
    assert offers(stamp) == []
    assert stamp._said.text() == "Its message carries no stamp that could be read."
