"""How a wish becomes an act: planned, shown, confirmed by nothing but its button, and watched to its end."""

import time
from collections.abc import Callable

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from app.models import acts
from app.models.acts import Caution, Item, Outcome, Plan, Purge, Restore, Sample, Standing, Wish
from app.ui.theme import ThemeManager
from app.ui.widgets import act_dialog
from app.ui.widgets.act_dialog import ARM, ActDialog
from app.ui.widgets.act_plan import CautionRow
from app.ui.widgets.wish_parts import NO_EXTRAS, Extras, WishPart
from tests.ui.acting import PLAN, PlayedConnection
from tests.ui.conftest import Run, until

UNLOCKED = Standing(time.time() + 900, "production")
WISH = Purge("pagespeed")
EASY = msgspec.structs.replace(PLAN, count=3, typed="")
Make = Callable[..., ActDialog]


@pytest.fixture
def at() -> PlayedConnection:
    """A production broker on which acting is unlocked."""
    made = PlayedConnection()
    made.acts.stand(UNLOCKED)
    return made


@pytest.fixture
def window(qtbot: QtBot, theme: ThemeManager) -> QWidget:
    made = QWidget()
    qtbot.addWidget(made)
    with qtbot.waitActive(made):
        made.show()
        made.activateWindow()
    return made


@pytest.fixture
def make(window: QWidget, theme: ThemeManager, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Opens the dialog for a wish, which may be confirmed at once."""
    monkeypatch.setattr(act_dialog, "ARM", 0)

    def opened(
        at: PlayedConnection, wish: Wish | None = WISH, *, resumed: str = "",
        extras: Extras = NO_EXTRAS,
    ) -> ActDialog:  # fmt: skip
        dialog = ActDialog(window, theme, at.as_connection(), wish, resumed=resumed, extras=extras)
        dialog.open()
        return dialog

    return opened


def texts(dialog: QWidget) -> str:
    """All that can be read in it now."""
    return "\n".join(label.text() for label in dialog.findChildren(QLabel) if label.isVisible() and label.text())


def did(at: PlayedConnection) -> list[str]:
    return [said for said in at.acts.said if said.startswith("do ")]


async def asked(dialog: ActDialog, at: PlayedConnection, plan: Plan = PLAN) -> None:
    """Until a plan is shown."""
    at.acts.plans.put_nowait(plan)
    await until(lambda: dialog.stage == "asking")


async def armed(dialog: ActDialog) -> None:
    await until(dialog.confirm.isEnabled)


async def confirmed(dialog: ActDialog, at: PlayedConnection, plan: Plan = EASY) -> None:
    """Until a plan is carried out."""
    await asked(dialog, at, plan)
    await armed(dialog)
    dialog.confirm.click()
    await until(lambda: did(at))


def test_it_grows_within_the_screen_and_the_field_has_the_focus(
    make: Make, at: PlayedConnection, window: QWidget, run: Run
) -> None:
    async def story() -> None:
        window.resize(700, window.screen().availableGeometry().height())
        dialog = make(at)
        before = dialog.frameGeometry()
        tall = msgspec.structs.replace(PLAN, cautions=[Caution(f"{n}: " + "beware " * 30) for n in range(8)])
        await asked(dialog, at, tall)
        await until(lambda: dialog.height() > 500)
        room = dialog.screen().availableGeometry()
        assert room.contains(dialog.frameGeometry())
        assert abs(dialog.frameGeometry().center().y() - before.center().y()) < 60
        assert QApplication.focusWidget() is dialog.confirming.typed

    run(story())


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_a_plan_is_shown_with_all_that_should_be_known(make: Make, at: PlayedConnection, run: Run) -> None:
    async def story() -> None:
        dialog = make(at)
        assert "Looking at what would be done" in texts(dialog)
        await asked(dialog, at)
        shown = texts(dialog)
        for wanted in (
            PLAN.title, "leadlawk", "PRODUCTION", "redis://redis.leadlawk.internal:6379/0", "Messages", "412",
            "Oldest", "12 m 03 s", PLAN.samples[0].id, PLAN.samples[0].text, "… and 409 more", PLAN.cautions[0].text,
            PLAN.undo, "Type the number of messages to confirm",
        ):  # fmt: skip
            assert wanted in shown
        assert dialog.confirm.text() == "Move 412 to quarantine"
        assert at.acts.wishes == [(Purge("pagespeed"), "")]
        assert at.acts.said == []

    run(story())


def test_a_grave_caution_is_red_and_so_is_the_button(make: Make, run: Run) -> None:
    async def story() -> None:
        at = PlayedConnection("development")
        dialog = make(at)
        await asked(dialog, at, EASY)
        assert dialog.confirm.property("kind") == "primary"
        dialog.reject()
        dialog = make(at)
        grave = msgspec.structs.replace(EASY, cautions=[Caution("It can't be undone.", grave=True)])
        await asked(dialog, at, grave)
        assert dialog.confirm.property("kind") == "danger"
        [label] = [label for label in dialog.findChildren(QLabel) if label.text() == "It can't be undone."]
        assert label.property("role") == "caution"
        assert label.accessibleName() == "Danger: It can't be undone."

    run(story())


def test_what_cannot_be_done_is_said_and_looked_at_again(make: Make, at: PlayedConnection, run: Run) -> None:
    async def story() -> None:
        dialog = make(at)
        at.acts.plans.put_nowait("The queue pagespeed is empty.")
        await until(lambda: dialog.stage == "refused")
        assert "The queue pagespeed is empty." in texts(dialog)
        assert dialog.cancel.text() == "Close"
        assert not dialog.confirm.isVisible()
        dialog.again.click()
        await asked(dialog, at)
        assert len(at.acts.wishes) == 2
        assert "is empty" not in texts(dialog)

    run(story())


def test_a_plan_that_nobody_waits_for_any_more_is_dropped(make: Make, at: PlayedConnection, run: Run) -> None:
    async def story() -> None:
        dialog = make(at)
        await until(lambda: at.acts.wishes)
        dialog.reject()
        await until(lambda: at.acts.said == ["drop 1"])
        dialog = make(at)
        await asked(dialog, at)
        dialog.cancel.click()
        assert at.acts.said == ["drop 1", "drop 2"]

    run(story())


def test_where_nothing_can_be_done_yet_nothing_is_unlocked_for_it(make: Make, at: PlayedConnection, run: Run) -> None:
    async def story() -> None:
        at.acts.stand(Standing(None, "production"))
        dialog = make(at)
        await asked(dialog, at, msgspec.structs.replace(PLAN, count=0, typed="0", needs_edit=["a"]))
        for part in (dialog.confirming.unlocking, dialog.confirming.typed):
            assert not part.isVisible()
        assert not dialog.confirm.isEnabled()
        dialog.reject()
        dialog = make(at)
        await asked(dialog, at)
        for part in (dialog.confirming.unlocking, dialog.confirming.typed):
            assert part.isVisible()

    run(story())


def test_what_was_broken_off_is_gone_on_with(make: Make, at: PlayedConnection, run: Run) -> None:
    async def story() -> None:
        dialog = make(at, None, resumed="abc")
        await confirmed(dialog, at)
        assert at.acts.wishes == [(None, "abc")]
        at.acts.outcomes.put_nowait(Outcome(state="done", done=3, total=3))
        await until(lambda: dialog.stage == "ended")

    run(story())


def test_texts_of_strangers_are_plain_and_short_enough(make: Make, at: PlayedConnection, run: Run) -> None:
    evil = "<img src='file:///etc/x.png'><a href='x'>\u202e" + "long " * 3000
    plan = Plan(
        title=evil, verb="Do it", count=5000, things=evil[:60], undo=evil, typed="x", cautions=[Caution(evil)] * 40,
        facts=[(evil, evil)] * 200, samples=[Sample(evil, evil)] * 200,
    )  # fmt: skip

    async def story() -> None:
        dialog = make(at)
        await asked(dialog, at, plan)
        dialog.grab()
        labels = dialog.findChildren(QLabel)
        assert len(labels) < 150
        for label in labels:
            assert label.textFormat() == Qt.TextFormat.PlainText or not label.text(), label.text()
            assert "\u202e" not in label.text()
            assert "<img" not in label.toolTip()
        assert dialog.height() <= 640
        assert dialog.confirm.isVisible()

    run(story())


def test_what_to_beware_of_is_in_sight_however_much_else_there_is(make: Make, run: Run) -> None:
    samples = [Sample(f"{number:032x}", "truth.add") for number in range(50)]
    facts = [("Size", "149 kB"), ("Oldest", "2 m"), ("Newest", "1 s"), ("Quarantine", "mail.quarantine")]

    async def story() -> None:
        at = PlayedConnection()
        dialog = make(at)
        await asked(dialog, at, msgspec.structs.replace(PLAN, samples=samples, facts=facts))
        await until(lambda: dialog._area.verticalScrollBar().maximum() > 0)
        [caution] = dialog.findChildren(CautionRow)
        place = caution.mapTo(dialog._area.viewport(), caution.rect().bottomLeft())
        assert dialog._area.viewport().rect().contains(place)

    run(story())


def test_closed_in_the_moment_of_confirming_it_goes_on(make: Make, at: PlayedConnection, run: Run) -> None:
    async def story() -> None:
        dialog = make(at)
        await asked(dialog, at, EASY)
        dialog.confirm.click()
        dialog.reject()
        await until(lambda: did(at))
        assert "drop 1" not in at.acts.said
        at.acts.outcomes.put_nowait(Outcome(state="done", done=3, total=3))

    run(story())


# --- nothing but its button confirms it ------------------------------------------------------------------------------


def test_it_can_be_confirmed_a_second_after_it_was_shown_and_not_before(
    make: Make, at: PlayedConnection, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(act_dialog, "ARM", ARM)

    async def story() -> None:
        dialog = make(at)
        shown = time.monotonic()
        await asked(dialog, at)
        dialog.confirming.typed.setText("412")
        assert not dialog.confirm.isEnabled()
        dialog.confirm.click()
        QTest.keyClick(dialog.confirm, Qt.Key.Key_Space)
        assert did(at) == []
        await armed(dialog)
        assert time.monotonic() - shown >= ARM / 1000

    run(story())


@pytest.mark.parametrize("focus", ["typed", "rate", "confirm", "cancel"])
@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_enter_never_confirms(make: Make, at: PlayedConnection, run: Run, focus: str, key: Qt.Key) -> None:
    async def story() -> None:
        dialog = make(at)
        await asked(dialog, at, msgspec.structs.replace(PLAN, rate=20.0))
        dialog.confirming.typed.setText("412")
        await armed(dialog)
        assert dialog.cancel.isDefault()
        assert not dialog.confirm.isDefault()
        target: QWidget = {
            "typed": dialog.confirming.typed, "rate": dialog.confirming.rate, "confirm": dialog.confirm,
            "cancel": dialog.cancel,
        }[focus]  # fmt: skip
        target.setFocus()
        QTest.keyClick(target, key)
        assert did(at) == []
        assert dialog.isVisible() == (focus == "confirm")

    run(story())


def test_it_takes_the_button_that_has_the_keyboard(make: Make, at: PlayedConnection, run: Run) -> None:
    async def story() -> None:
        dialog = make(at)
        await asked(dialog, at, EASY)
        assert QApplication.focusWidget() is dialog.cancel
        await armed(dialog)
        QTest.keyClick(dialog, Qt.Key.Key_Tab)
        assert QApplication.focusWidget() is dialog.confirm
        QTest.keyClick(dialog.confirm, Qt.Key.Key_Space)
        await until(lambda: did(at) == ["do 1  None"])
        at.acts.outcomes.put_nowait(Outcome(state="done", done=3, total=3))
        await until(lambda: dialog.stage == "ended")

    run(story())


@pytest.mark.parametrize(
    ("count", "typed", "ready"),
    [
        *((412, "412", True), (412, " 412 ", True), (1234, "1,234", True)),
        *((412, "41", False), (412, "413", False), (412, "yes", False), (412, "", False)),
    ],
)
def test_its_number_is_typed(
    make: Make, at: PlayedConnection, run: Run, count: int, typed: str, *, ready: bool
) -> None:
    async def story() -> None:
        dialog = make(at)
        await asked(dialog, at, msgspec.structs.replace(PLAN, count=count, typed=str(count)))
        field = dialog.confirming.typed
        assert QApplication.focusWidget() is field
        QTest.keyClicks(field, typed)
        assert dialog.confirm.isEnabled() == ready
        assert ("That is not" in texts(dialog)) == (typed in ("413", "yes"))

    run(story())


def test_what_is_typed_and_how_fast_goes_to_the_collector(make: Make, at: PlayedConnection, run: Run) -> None:
    async def story() -> None:
        dialog = make(at)
        await asked(dialog, at, msgspec.structs.replace(PLAN, rate=20.0))
        rate = dialog.confirming.rate
        assert (rate.value(), rate.maximum()) == (20, 200)
        rate.setValue(50)
        dialog.confirming.typed.setText("412")
        await armed(dialog)
        dialog.confirm.click()
        await until(lambda: did(at) == ["do 1 412 50.0"])
        at.acts.outcomes.put_nowait(Outcome(state="done", done=412, total=412))
        await until(lambda: dialog.stage == "ended")

    run(story())


def test_locked_it_is_unlocked_and_done_in_one_step(make: Make, run: Run) -> None:
    async def story() -> None:
        at = PlayedConnection()
        dialog = make(at)
        await asked(dialog, at)
        unlocking = dialog.confirming.unlocking.edit
        assert QApplication.focusWidget() is unlocking
        assert "To unlock it for 15 minutes, type the environment: production" in texts(dialog)
        dialog.confirming.typed.setText("412")
        assert not dialog.confirm.isEnabled()
        unlocking.setText("production")
        assert dialog.confirm.isEnabled()
        dialog.confirm.click()
        await until(lambda: at.acts.said == ["unlock production", "do 1 412 None"])
        at.acts.outcomes.put_nowait(Outcome(state="done", done=412, total=412))
        await until(lambda: dialog.stage == "ended")

    run(story())


def test_where_it_stays_locked_that_is_said_and_nothing_is_done(make: Make, run: Run) -> None:
    async def story() -> None:
        at = PlayedConnection("development")
        at.acts.refusal = "Nothing can be done: there is no connection to the broker."
        dialog = make(at)
        await asked(dialog, at, EASY)
        assert "confirming unlocks it for 15 minutes" in texts(dialog)
        await armed(dialog)
        dialog.confirm.click()
        await until(lambda: at.acts.refusal in texts(dialog))
        assert dialog.stage == "asking"
        assert did(at) == []

    run(story())


def test_in_another_access_mode_nothing_can_be_confirmed(make: Make, run: Run, qtbot: QtBot) -> None:
    async def story() -> None:
        at = PlayedConnection(mode="observe")
        dialog = make(at)
        await asked(dialog, at, EASY)
        assert not dialog.confirm.isEnabled()
        assert "In the access mode “observe” nothing is done" in texts(dialog)
        with qtbot.waitSignal(dialog.mode_wanted):
            dialog.change_mode.click()
        assert not dialog.isVisible()

    run(story())


def test_a_plan_expires_and_is_looked_at_again(
    make: Make, at: PlayedConnection, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts, "PLAN_LASTS", 2.5)

    async def story() -> None:
        dialog = make(at)
        await asked(dialog, at)
        dialog.confirming.typed.setText("412")
        await until(lambda: "May be confirmed for" in texts(dialog))
        await until(lambda: dialog.stage == "outdated")
        assert "older than a minute" in texts(dialog)
        assert not dialog.confirm.isVisible()
        assert not dialog.confirm.isEnabled()
        dialog.again.click()
        assert at.acts.said == ["drop 1"]
        await asked(dialog, at)
        assert dialog.confirming.typed.text() == ""
        assert not dialog.confirm.isEnabled()

    run(story())


class Editor(WishPart):
    """Edits the queue of a purge."""

    small = False

    def __init__(self, plan: Plan, wish: Purge, before: WishPart | None) -> None:
        super().__init__()
        del plan
        self.follows = isinstance(before, Editor)
        self.queue = QLineEdit(wish.queue, self)
        self.queue.textChanged.connect(self.changed)

    @property
    def complete(self) -> bool:
        return bool(self.queue.text())

    def edited(self, wish: Purge) -> Purge:
        return msgspec.structs.replace(wish, queue=self.queue.text())


def test_an_edited_wish_is_planned_anew_before_it_can_be_confirmed(make: Make, at: PlayedConnection, run: Run) -> None:
    async def story() -> None:
        dialog = make(at, extras={Purge: (Editor,)})
        await asked(dialog, at, EASY)
        await armed(dialog)
        [editor] = dialog.findChildren(Editor)
        editor.queue.setFocus()
        editor.queue.selectAll()
        QTest.keyClick(editor.queue, Qt.Key.Key_Delete)
        assert dialog.stage == "outdated"
        assert not dialog.again.isEnabled()
        assert QApplication.focusWidget() is editor.queue
        QTest.keyClick(editor.queue, Qt.Key.Key_Return)
        assert dialog.stage == "outdated"
        QTest.keyClicks(editor.queue, "mail")
        assert dialog.again.isEnabled()
        assert not dialog.confirm.isVisible()
        QTest.keyClick(editor.queue, Qt.Key.Key_Return)  # looks again, as its button does
        await asked(dialog, at, EASY)
        assert at.acts.wishes[-1] == (Purge("mail"), "")
        [editor] = [each for each in dialog.findChildren(Editor) if each.isVisible()]
        assert editor.queue.text() == "mail"
        assert editor.follows

    run(story())


def test_all_parts_of_a_wish_are_edited_and_each_follows_its_own(make: Make, at: PlayedConnection, run: Run) -> None:
    class File(WishPart):
        """Has a copy written; it is offered once the queue is another than at first."""

        def __init__(self, before: WishPart | None) -> None:
            super().__init__()
            self.follows = isinstance(before, File)

        def edited(self, wish: Purge) -> Purge:
            return msgspec.structs.replace(wish, backup=f"{wish.backup}x")

    def file(_plan: Plan, wish: Purge, before: WishPart | None) -> File | None:
        return File(before) if wish.queue != "celery" else None

    async def story() -> None:
        dialog = make(at, Purge("celery"), extras={Purge: (file, Editor), Restore: (Editor,)})
        await asked(dialog, at, EASY)
        for number, expected in enumerate((Purge("mail1"), Purge("mail2", backup="x"), Purge("mail3", backup="xx")), 1):
            [editor] = [each for each in dialog.findChildren(Editor) if each.isVisible()]
            editor.queue.setText(f"mail{number}")
            dialog.again.click()
            await asked(dialog, at, EASY)
            assert at.acts.wishes[-1] == (expected, "")
        [option] = [each for each in dialog.findChildren(File) if each.isVisible()]
        assert option.follows

    run(story())


# --- doing -----------------------------------------------------------------------------------------------------------


def test_how_far_it_came_is_seen_and_what_failed(make: Make, at: PlayedConnection, run: Run) -> None:
    async def story() -> None:
        dialog = make(at)
        await confirmed(dialog, at)
        failed = [Item("a", ok=False, text="It was gone.")]
        at.acts.outcomes.put_nowait(Outcome(state="running", done=1000, failed=1, total=5000, items=failed))
        await until(lambda: "1,000 of 5,000 messages · 1 failed" in texts(dialog))
        more = [Item(f"{n}", ok=n > 3) for n in range(100)]
        at.acts.outcomes.put_nowait(Outcome(state="running", done=1090, failed=5, total=5000, items=more))
        await until(lambda: dialog.run_view.items.rowCount() == 5)
        text, undo = "4,995 messages are in quarantine.", Restore("q")
        at.acts.outcomes.put_nowait(Outcome(state="done", done=4995, failed=5, total=5000, text=text, undo=undo))
        await until(lambda: dialog.stage == "ended")
        assert text in texts(dialog)
        assert dialog.run_view.state.accessibleName() == "Done"
        assert dialog.run_view.items.rowCount() == 5
        assert not dialog.stop.isVisible()
        assert dialog.undo.isVisible()

    run(story())


def test_of_few_each_answer_is_listed(make: Make, at: PlayedConnection, run: Run) -> None:
    async def story() -> None:
        dialog = make(at)
        await confirmed(dialog, at)
        answers = [Item("w1@h", ok=True, text="pool will grow"), Item("w2@h", ok=False, text="no answer")]
        at.acts.outcomes.put_nowait(Outcome(state="aborted", done=1, failed=1, total=3, items=answers))
        await until(lambda: dialog.stage == "ended")
        assert [line.item for line in dialog.run_view.items.records()] == answers
        assert dialog.run_view.state.accessibleName() == "Given up"

    run(story())


def test_what_failed_is_listed_up_to_a_bound(make: Make, at: PlayedConnection, run: Run) -> None:
    async def story() -> None:
        dialog = make(at)
        await confirmed(dialog, at)
        asked_for = [Item("asked", ok=None, text="no answer yet")]
        at.acts.outcomes.put_nowait(Outcome(state="running", done=1, total=9000, items=asked_for))
        await until(lambda: dialog.outcome == Outcome(state="running", done=1, total=9000, items=asked_for))
        assert dialog.run_view.items.rowCount() == 0
        for start in range(0, 1000, 200):
            items = [Item(f"{start + n}", ok=False) for n in range(200)]
            at.acts.outcomes.put_nowait(Outcome(state="running", failed=start + 200, total=9000, items=items))
        at.acts.outcomes.put_nowait(Outcome(state="stopped", failed=1000, total=9000))
        await until(lambda: dialog.stage == "ended")
        assert dialog.run_view.items.rowCount() == 200
        assert "What failed, the first 200" in texts(dialog)

    run(story())


def test_it_is_stopped_at_once(make: Make, at: PlayedConnection, run: Run) -> None:
    async def story() -> None:
        dialog = make(at)
        await confirmed(dialog, at)
        dialog.stop.click()
        assert at.acts.said[-1] == "drop 1"
        assert not dialog.stop.isEnabled()
        at.acts.outcomes.put_nowait(Outcome(state="stopped", done=1, total=3, text="It was stopped."))
        await until(lambda: dialog.stage == "ended")
        assert "It was stopped." in texts(dialog)

    run(story())


def test_where_nothing_was_done_it_is_looked_at_again(make: Make, at: PlayedConnection, run: Run) -> None:
    async def story() -> None:
        dialog = make(at)
        await confirmed(dialog, at)
        at.acts.outcomes.put_nowait(Outcome(state="failed", total=3, text="Nothing was done. Things have moved."))
        await until(lambda: dialog.stage == "ended")
        dialog.again.click()
        await asked(dialog, at, EASY)
        assert len(at.acts.wishes) == 2
        assert "Things have moved" not in texts(dialog)

    run(story())


def test_what_was_done_is_undone_by_another_wish(make: Make, at: PlayedConnection, run: Run, qtbot: QtBot) -> None:
    async def story() -> None:
        dialog = make(at)
        await confirmed(dialog, at)
        at.acts.outcomes.put_nowait(Outcome(state="done", done=3, total=3, undo=Restore("q")))
        await until(lambda: dialog.stage == "ended")
        with qtbot.waitSignal(dialog.undo_wanted) as told:
            dialog.undo.click()
        assert told.args == [Restore("q")]
        assert not dialog.isVisible()

    run(story())


def test_closed_while_it_runs_it_goes_on_and_its_end_is_told(make: Make, at: PlayedConnection, run: Run) -> None:
    told: list[tuple[Plan, Outcome]] = []

    async def story() -> None:
        dialog = make(at)
        dialog.ended.connect(lambda plan, outcome: told.append((plan, outcome)))
        await confirmed(dialog, at)
        QTest.keyClick(dialog, Qt.Key.Key_Escape)
        assert not dialog.isVisible()
        assert "drop 1" not in at.acts.said
        at.acts.outcomes.put_nowait(Outcome(state="running", done=1, total=3))
        end = Outcome(state="done", done=3, total=3)
        at.acts.outcomes.put_nowait(end)
        await until(lambda: told == [(EASY, end)])

    run(story())


# --- without a mouse -------------------------------------------------------------------------------------------------


def test_everything_is_reached_by_the_keyboard_and_has_a_name(make: Make, run: Run) -> None:
    async def story() -> None:
        at = PlayedConnection()
        dialog = make(at)
        await asked(dialog, at, msgspec.structs.replace(PLAN, rate=20.0))
        dialog.confirming.unlocking.edit.setText("production")
        dialog.confirming.typed.setText("412")
        await armed(dialog)
        wanted = {
            dialog.confirming.rate, dialog.confirming.unlocking.edit, dialog.confirming.typed, dialog.cancel,
            dialog.confirm,
        }  # fmt: skip
        reached = set()
        for _ in range(12):
            QTest.keyClick(dialog, Qt.Key.Key_Tab)
            reached.add(QApplication.focusWidget())
        assert wanted <= reached
        for edit in dialog.findChildren(QLineEdit):
            if edit.isVisible() and edit in wanted:
                assert edit.accessibleName()
        for button in dialog.findChildren(QAbstractButton):
            if button.isVisible():
                assert button.text() or button.accessibleName()

    run(story())
