from typing import ClassVar

import pytest
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from app.models.acts import Edited, Purge, Rerun, Revoke
from app.ui.theme import ThemeManager
from app.ui.widgets.wish_options import BackupOption, QueueOption, TakeOutOption


def test_a_copy_is_asked_for_with_a_file_of_a_name_of_ours(qtbot: QtBot, theme: ThemeManager) -> None:
    wish = Purge("../../etc/passwd")
    option = BackupOption(theme, wish)
    qtbot.addWidget(option)
    option.show()
    assert (option.complete, option.edited(wish)) == (True, Purge("../../etc/passwd"))
    assert not option.file.isVisible()
    with qtbot.waitSignal(option.changed):
        option.box.click()
    assert option.file.isVisible()
    assert "passwd" not in option.edited(wish).backup
    assert option.edited(wish).backup.endswith(".messages")
    option.file.clear()
    assert not option.complete
    option.file.setText(" /somewhere/else ")
    assert option.edited(wish) == Purge("../../etc/passwd", backup="/somewhere/else")
    with qtbot.waitSignal(option.changed):
        option.box.click()
    assert option.edited(wish) == Purge("../../etc/passwd")


@pytest.mark.parametrize("before", [False, True])
def test_messages_that_wait_are_taken_out_if_that_is_wished(qtbot: QtBot, theme: ThemeManager, *, before: bool) -> None:
    wish = Revoke(["a"], take_out=before)
    option = TakeOutOption(theme, wish)
    qtbot.addWidget(option)
    assert option.edited(wish) == Revoke(["a"], take_out=before)
    with qtbot.waitSignal(option.changed):
        option.box.click()
    assert option.edited(wish) == Revoke(["a"], take_out=not before)


def test_another_queue_is_named_or_chosen_and_where_it_was_is_the_default(qtbot: QtBot, theme: ThemeManager) -> None:
    wish = Rerun(["a"], edited={"a": Edited("[1]", "{}")})
    option = QueueOption(theme, wish, ["mail", "slow.mail"])
    qtbot.addWidget(option)
    with qtbot.waitActive(option):
        option.show()
        option.activateWindow()
    edit = option.field.edit
    edit.setFocus()
    assert (edit.text(), edit.placeholderText()) == ("", "where it was")
    assert option.edited(wish) == wish
    completer = edit.completer()
    assert completer is not None
    popup = completer.popup()
    assert popup is not None
    QTest.keyClick(edit, Qt.Key.Key_Down)  # without a mouse, too, all are shown
    assert [completer.completionModel().index(row, 0).data() for row in range(2)] == ["mail", "slow.mail"]
    assert popup.isVisible()
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Return):
        QTest.keyClick(popup, key)
    assert edit.text() == "slow.mail"
    assert option.edited(wish) == Rerun(["a"], edited={"a": Edited("[1]", "{}")}, queue="slow.mail")
    with qtbot.waitSignal(option.changed):
        edit.setText(" unheard of ")
    assert option.edited(wish).queue == "unheard of"
    edit.clear()
    assert option.edited(wish).queue is None


def test_a_queue_that_was_wished_already_is_shown_and_without_known_ones_none_are_offered(
    qtbot: QtBot, theme: ThemeManager
) -> None:
    option = QueueOption(theme, Rerun(["a"], queue="slow"), ())
    qtbot.addWidget(option)
    option.show()
    assert option.field.edit.text() == "slow"
    assert not option.field.all.isVisible()


def test_no_part_of_it_is_a_window_of_its_own_for_a_moment(
    qtbot: QtBot, theme: ThemeManager, qapp: QApplication
) -> None:
    class Shown(QObject):
        names: ClassVar[list[str]] = []

        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
                self.names.append(type(watched).__name__)
            return False

    shown = Shown()
    qapp.installEventFilter(shown)
    try:
        options = [
            BackupOption(theme, Purge("mail", backup="/somewhere")), TakeOutOption(theme, Revoke(["a"])),
            QueueOption(theme, Rerun(["a"]), ["mail", "slow"]),
        ]  # fmt: skip
    finally:
        qapp.removeEventFilter(shown)
    for option in options:
        qtbot.addWidget(option)
    assert shown.names == []
