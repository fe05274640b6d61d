import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog, QPushButton
from pytestqt.qtbot import QtBot

from app.models.acts import Delete, Discard, Move, Purge, Restore, Wish
from app.models.qt.queues import Column, QueueTableModel
from app.models.qt.table import Role
from app.models.records import Message, Queue
from app.models.wire import Export, Exported, Notice, Peeked, StopExport
from app.ui.exporting import Exports
from app.ui.live import TimeRange
from app.ui.pages.queue_acts import MoveDialog
from app.ui.pages.queues import QueuesPage
from app.ui.theme import ThemeManager
from app.ui.widgets.findings import OPERATE_ONLY
from app.ui.widgets.message_row import MessageRow
from tests.models.qt.drawing import drawn
from tests.ui.conftest import Run, emitted, loaded, put_on
from tests.ui.histories import History, Stand

LOCKED_AWAY = "mail.quarantine.20261122T010203456Z"


class Peeking(Stand):
    """Shows three messages of any queue; the second has no id. Its collector says of exports what a test does."""

    noticed = Signal(object)

    def __init__(self, path: Path, *, live: bool = True) -> None:
        super().__init__(path, live=live)
        self.said: list[Export | StopExport] = []
        self.exports = Exports(self.hear)

    def hear(self, message: Export | StopExport) -> bool:
        self.said.append(message)
        return True

    async def tell(self, *told: Exported) -> None:
        """Let the collector say this, and the page hear it."""
        for each in told:
            self.exports.take(each)
        for _ in range(3):
            await asyncio.sleep(0)

    async def peek(self, queue: str, start: int, count: int, *, newest: bool, agreed: bool = False) -> Peeked:
        del queue, count, newest, agreed
        await asyncio.sleep(0)
        messages = [Message(9, id=f"m{start}"), Message(9), Message(9, id=f"m{start + 2}", name="<b>evil</b>")]
        return Peeked(0, messages, start, 90)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """Queue mail has three messages, idle none; what was purged of mail is in quarantine."""
    made, now = History(tmp_path / "h.cloche"), time.time()
    queues = [
        Queue("idle", now, ready=0),
        Queue(LOCKED_AWAY, now, ready=7, role="quarantine"),
        Queue("mail", now, ready=3),
    ]
    made.reducer.fold_queues(queues, now)
    made.commit(now)
    yield made
    made.close()


@pytest.fixture
def stand(history: History) -> Iterator[Peeking]:
    made = Peeking(history.path)
    made.operates = True
    yield made
    made.close()


@pytest.fixture
def page(qtbot: QtBot, theme: ThemeManager, stand: Peeking) -> QueuesPage:
    return put_on(qtbot, QueuesPage(theme, TimeRange()), stand, height=700)


async def look_at(page: QueuesPage, queue: str) -> None:
    page.inspect(queue)
    await loaded(page)


async def look_into(page: QueuesPage, queue: str) -> None:
    """Show the messages of a queue."""
    await look_at(page, queue)
    page._details.tabs.setCurrentIndex(1)
    await page.settled()


def rows(page: QueuesPage) -> list[MessageRow]:
    return [row for row in page._details.messages._rows if row.isVisible()]


def buttons(page: QueuesPage) -> list[str]:
    """What can be pressed under the inspector, from the left."""
    return [button.text() for button in page._acts.foot.findChildren(QPushButton) if button.isVisible()]


def test_a_queue_is_purged_and_moved_and_a_quarantine_restored_and_deleted(
    page: QueuesPage, wishes: list[Wish], run: Run
) -> None:
    async def story() -> None:
        page.show()
        await look_at(page, "mail")
        acts = page._acts
        assert buttons(page) == ["Purge …", "Move all …", "Export …"]
        acts.purge.click()
        await look_at(page, LOCKED_AWAY)
        assert buttons(page) == ["Restore all …", "Export …", "Delete for good …"]
        acts.restore.click()
        acts.discard.click()
        assert wishes == [Purge("mail"), Restore(LOCKED_AWAY), Discard(LOCKED_AWAY)]
        assert [button.property("kind") for button in (acts.purge, acts.discard)] == ["danger", "danger"]
        assert not any(button.isDefault() or button.autoDefault() for button in (acts.purge, acts.discard))

    run(story())


def test_an_empty_queue_is_neither_purged_nor_moved_nor_exported(page: QueuesPage, run: Run) -> None:
    async def story() -> None:
        page.show()
        await look_at(page, "idle")
        for button in (page._acts.purge, page._acts.move, page._acts.export):
            assert not button.isEnabled()
            assert "Nothing waits in it now" in button.toolTip()

    run(story())


def test_all_messages_move_to_a_queue_that_is_asked_for(page: QueuesPage, wishes: list[Wish], run: Run) -> None:
    async def story() -> None:
        page.show()
        await look_at(page, "mail")
        page._acts.move.click()
        [dialog] = page.findChildren(MoveDialog)
        assert dialog.windowTitle() == "Move all messages of mail"
        completer = dialog.to.completer()
        assert completer is not None
        model = completer.completionModel()
        assert [model.index(row, 0).data() for row in range(model.rowCount())] == ["idle"]
        for text, wrong in (("", "Which queue are they to go to?"), (" mail ", "They wait in this queue already.")):
            dialog.to.setText(text)
            dialog.go_on.click()
            assert dialog.error == wrong
        dialog.to.setText("later")
        QTest.keyClick(dialog.to, Qt.Key.Key_Return)
        assert wishes == [Move("mail", "later", [])]

    run(story())


def test_ticked_messages_are_deleted_moved_restored_and_copied(page: QueuesPage, wishes: list[Wish], run: Run) -> None:
    async def story() -> None:
        page.show()
        await look_into(page, "mail")
        acts, [first, nameless, third] = page._acts, rows(page)
        assert not acts.bar.isVisible()
        assert [row._box.isVisible() for row in rows(page)] == [True, False, True]
        assert first._box.accessibleName() == "Select message m0"
        first._box.setFocus()
        QTest.keyClick(first._box, Qt.Key.Key_Space)
        assert acts.bar.text == "1 selected"
        page._details.messages.all.click()
        assert acts.bar.text == "2 selected"
        assert not nameless.ticked
        assert [button.isVisible() for button in (acts.delete_some, acts.move_some, acts.restore_some)] == [
            True,
            True,
            False,
        ]
        acts.delete_some.click()
        acts.move_some.click()
        [dialog] = page.findChildren(MoveDialog)
        assert dialog.windowTitle() == "Move 2 messages of mail"
        dialog.to.setText("idle")
        dialog.go_on.click()
        acts.copy.click()
        lines = [msgspec.json.decode(line, type=Message) for line in QGuiApplication.clipboard().text().splitlines()]
        assert [message.id for message in lines] == ["m0", "m2"]
        assert third.ticked
        await look_into(page, LOCKED_AWAY)
        assert not acts.bar.isVisible()
        assert [button.isVisible() for button in (acts.delete_some, acts.restore_some)] == [False, False]
        rows(page)[2].tick(on=True)
        assert [button.isVisible() for button in (acts.delete_some, acts.restore_some)] == [False, True]
        acts.restore_some.click()
        assert wishes == [
            Delete("mail", ["m0", "m2"]),
            Move("mail", "idle", ["m0", "m2"]),
            Restore(LOCKED_AWAY, ids=["m2"]),
        ]

    run(story())


def test_what_was_ticked_in_one_queue_is_never_done_to_another(page: QueuesPage, wishes: list[Wish], run: Run) -> None:
    async def story() -> None:
        page.show()
        await look_into(page, "mail")
        page._details.messages.all.click()
        page._details.tabs.setCurrentIndex(0)
        assert not page._acts.bar.isVisible()  # what can't be seen can't be acted on
        await look_at(page, "idle")
        page._acts.delete_some.click()
        page._acts.restore_some.click()
        page._acts.move_some.click()
        assert wishes == []
        assert page.findChildren(MoveDialog) == []

    run(story())


def test_another_page_of_messages_drops_what_was_ticked_and_the_same_page_keeps_it(page: QueuesPage, run: Run) -> None:
    async def story() -> None:
        page.show()
        await look_into(page, "mail")
        rows(page)[0].tick(on=True)
        page._details.messages.again.click()
        await page.settled()
        assert page._acts.bar.text == "1 selected"
        page._details.messages.on.click()
        await page.settled()
        assert not page._acts.bar.isVisible()
        assert page._details.messages.selected() == []
        page._details.messages.all.click()
        page._acts.bar.drop.click()
        assert page._details.messages.selected() == []

    run(story())


def test_where_nothing_may_be_done_each_button_says_why(page: QueuesPage, stand: Peeking, run: Run) -> None:
    async def story() -> None:
        stand.operates = False
        page.show()
        await look_into(page, "mail")
        page._details.messages.all.click()
        acts = page._acts
        for button in (acts.purge, acts.move, acts.delete_some, acts.move_some):
            assert button.isVisible()
            assert not button.isEnabled()
            assert button.accessibleDescription() == OPERATE_ONLY
        assert acts.copy.isEnabled()
        assert acts.export.isEnabled()  # it changes nothing
        assert acts.foot._hint.text() == "locked: observe only"

    run(story())


def test_of_a_history_file_nothing_is_offered(qtbot: QtBot, theme: ThemeManager, history: History, run: Run) -> None:
    stand, page = Peeking(history.path, live=False), QueuesPage(theme, TimeRange())
    qtbot.addWidget(page)
    page.set_connection(stand)  # type: ignore[arg-type]

    async def story() -> None:
        page.show()
        await look_into(page, "mail")
        assert not page._acts.foot.isVisible()
        assert not any(row._box.isVisible() for row in rows(page))
        assert not page._details.messages.all.isVisible()

    run(story())
    stand.close()


def test_quarantines_stand_below_all_queues_with_a_mark_and_can_be_hidden(page: QueuesPage, run: Run) -> None:
    async def story() -> None:
        page.show()
        await loaded(page)
        table = page.table.model()
        assert [page.table.key_at(row) for row in range(3)] == ["idle", "mail", LOCKED_AWAY]
        title = table.index(2, Column.QUEUE)
        assert title.data().startswith("mail · ")
        assert title.data(Role.STATE) == "queue:quarantine"
        assert title.data(Qt.ItemDataRole.AccessibleTextRole) == LOCKED_AWAY
        assert table.index(2, Column.DRAINS).data() == "quarantine"
        switch = page._purged._switch
        assert switch.text() == "1 quarantined purge · hide"
        switch.click()
        await loaded(page)
        assert [page.table.key_at(row) for row in range(table.rowCount())] == ["idle", "mail"]
        assert switch.text() == "1 quarantined purge · show"
        await look_at(page, LOCKED_AWAY)  # what is looked at is there
        assert table.rowCount() == 3
        assert page._details.state.accessibleName() == "In quarantine: purged, and may be restored"

    run(story())


def test_a_quarantine_with_an_odd_name_is_called_by_it() -> None:
    model = QueueTableModel()
    model.show([Queue("odd", 0, ready=1, role="quarantine"), Queue("a.quarantine.x", 0, ready=1)], {}, {})
    assert drawn(model, range(Column.READY)) == "Queue\na.quarantine.x\nodd"
    assert [model.record(row).source for row in range(2)] == [None, ("odd", None)]


async def exporting(page: QueuesPage, queue: str, path: Path) -> None:
    """Press the button, and choose a file."""
    await look_at(page, queue)
    page._acts.export.click()
    [dialog] = page.findChildren(QFileDialog)
    dialog.fileSelected.emit(str(path))
    dialog.close()
    await asyncio.sleep(0)


def test_all_messages_of_a_queue_are_exported_while_the_window_goes_on(
    page: QueuesPage, stand: Peeking, run: Run, tmp_path: Path
) -> None:
    async def story() -> None:
        page.show()
        line, path = page._exporting, tmp_path / "mail.messages"
        assert not line.isVisible()
        await exporting(page, "mail", path)
        assert stand.said == [Export(1, "mail", str(path))]
        assert line.text == "Exporting mail: 0 of about 3 messages"
        await stand.tell(Exported(1, 2))
        assert line.text == "Exporting mail: 2 of about 3 messages"
        assert (line._bar.value(), line._bar.maximum()) == (2, 3)
        page.inspect("idle")
        await emitted(page.loaded)  # nothing waits for it
        await stand.tell(Exported(1, 5))
        assert (line.text, line._bar.value(), line._bar.maximum()) == ("Exporting mail: 5 messages", 5, 5)
        await stand.tell(Exported(1, 5, "done"))
        assert line.text == f"5 messages of mail are in {path}, readable by you only."
        assert not line.stop.isVisible()
        line.close_.click()
        assert not line.isVisible()

    run(story())


def test_the_file_s_name_is_ours_and_never_the_queue_s(page: QueuesPage, run: Run) -> None:
    async def story() -> None:
        page.show()
        await look_at(page, "mail")
        page._acts.export.click()
        [dialog] = page.findChildren(QFileDialog)
        [named] = dialog.selectedFiles()
        assert Path(named).name.startswith("messages-20")
        assert dialog.testOption(QFileDialog.Option.DontConfirmOverwrite)
        dialog.close()

    run(story())


def test_an_export_is_stopped_by_a_key(page: QueuesPage, stand: Peeking, run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        page.show()
        await exporting(page, "mail", tmp_path / "x")
        page._exporting.stop.setFocus()
        QTest.keyClick(page._exporting.stop, Qt.Key.Key_Space)
        assert stand.said[1:] == [StopExport(1)]
        await stand.tell(Exported(1, 2, "stopped"))
        assert page._exporting.text == "The export of mail was stopped: nothing was written."

    run(story())


@pytest.fixture
def heard(stand: Peeking) -> list[Notice]:
    """What is said to people."""
    made: list[Notice] = []
    stand.noticed.connect(made.append)
    return made


def test_the_end_of_an_export_is_told_who_looks_at_another_page(
    page: QueuesPage, stand: Peeking, heard: list[Notice], run: Run, tmp_path: Path
) -> None:
    async def story() -> None:
        page.show()
        await exporting(page, "mail", tmp_path / "x")
        page.hide()
        why = "There is a file x already: name another."
        await stand.tell(Exported(1, 0, "failed", why))
        assert heard == [Notice("export", why, "error")]
        page.show()
        assert page._exporting.text == why

    run(story())


def test_the_end_of_an_export_is_told_who_looks_at_another_broker(
    page: QueuesPage, stand: Peeking, heard: list[Notice], run: Run, tmp_path: Path
) -> None:
    async def story() -> None:
        page.show()
        await exporting(page, "mail", tmp_path / "x")
        page.set_connection(None)
        assert not page._exporting.isVisible()
        await stand.tell(Exported(1, 1), Exported(1, 3, "done"))
        assert not page._exporting.isVisible()
        said = f"3 messages of mail are in {tmp_path / 'x'}, readable by you only."
        assert heard == [Notice("export", said, "info")]

    run(story())


def test_an_export_that_is_seen_to_its_end_is_told_once(
    page: QueuesPage, stand: Peeking, heard: list[Notice], run: Run, tmp_path: Path
) -> None:
    async def story() -> None:
        page.show()
        await exporting(page, "mail", tmp_path / "x")
        await stand.tell(Exported(1, 3, "done"))
        assert page._exporting.isVisible()
        assert heard == []

    run(story())


def test_an_export_ends_with_its_collector(page: QueuesPage, stand: Peeking, run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        page.show()
        await exporting(page, "mail", tmp_path / "x")
        stand.exports.break_off("The collector ended before it answered.")
        await page.settled()
        assert page._exporting.text == "The collector ended before it answered."
        stand.exports._say = lambda _: False
        await exporting(page, "mail", tmp_path / "x")
        await page.settled()
        assert page._exporting.text.startswith("Nothing can be exported: there is no connection")

    run(story())
