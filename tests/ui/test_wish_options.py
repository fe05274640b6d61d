import pytest
from pytestqt.qtbot import QtBot

from app.models.acts import Purge, Revoke
from app.ui.theme import ThemeManager
from app.ui.widgets.wish_options import BackupOption, TakeOutOption


def test_a_copy_is_asked_for_with_a_file_of_a_name_of_ours(qtbot: QtBot, theme: ThemeManager) -> None:
    option = BackupOption(theme, Purge("../../etc/passwd"))
    qtbot.addWidget(option)
    option.show()
    assert (option.complete, option.wish()) == (True, Purge("../../etc/passwd"))
    assert not option.file.isVisible()
    with qtbot.waitSignal(option.changed):
        option.box.click()
    assert option.file.isVisible()
    assert "passwd" not in option.wish().backup
    assert option.wish().backup.endswith(".messages")
    option.file.clear()
    assert not option.complete
    option.file.setText(" /somewhere/else ")
    assert option.wish() == Purge("../../etc/passwd", backup="/somewhere/else")
    with qtbot.waitSignal(option.changed):
        option.box.click()
    assert option.wish() == Purge("../../etc/passwd")


@pytest.mark.parametrize("before", [False, True])
def test_messages_that_wait_are_taken_out_if_that_is_wished(qtbot: QtBot, theme: ThemeManager, *, before: bool) -> None:
    option = TakeOutOption(theme, Revoke(["a"], take_out=before))
    qtbot.addWidget(option)
    assert option.wish() == Revoke(["a"], take_out=before)
    with qtbot.waitSignal(option.changed):
        option.box.click()
    assert option.wish() == Revoke(["a"], take_out=not before)
