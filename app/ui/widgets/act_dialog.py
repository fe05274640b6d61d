"""Where a wish becomes an act: it is planned, shown, confirmed, and watched while it is carried out."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Final, Literal

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QShowEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QProgressBar, QPushButton, QWidget

from app.models import acts
from app.models.acts import Outcome, Plan, Wish
from app.models.wire import Planned
from app.ui.supervisor import Connection
from app.ui.theme import ThemeManager
from app.ui.widgets.act_confirm import ConfirmPart
from app.ui.widgets.act_parts import ActHeader
from app.ui.widgets.act_plan import PlanView, sentence
from app.ui.widgets.act_run import RunView
from app.ui.widgets.labels import PlainLabel
from app.ui.widgets.sheet import Sheet
from app.ui.widgets.unlock import unlock
from app.ui.widgets.wish_parts import NO_EXTRAS, Extras, WishParts

#: Milliseconds for which a plan is shown before it can be confirmed: no key or click that was meant for something else
#: confirms it.
ARM: Final = 1_000
#: Seconds before its end at which a plan says how long it may still be confirmed.
_SAY_LEFT: Final = 15.0
_TICK: Final = 200

Stage = Literal["looking", "refused", "asking", "outdated", "running", "ended"]


class ActDialog(Sheet):
    """To be opened by `open`, never by `exec`. Without a ``wish`` it goes on with the act ``resumed``.

    Nothing confirms it but its button: it is not the default one, can't be pressed before the plan was in sight for a
    second, and Enter does not reach it. Closing it while the act is carried out lets that go on.

    Signals: ``undo_wanted`` with the wish that undoes what was done; ``mode_wanted`` where the access mode forbids it;
    ``ended`` with plan and outcome of the act, also where the dialog was closed before.
    """

    undo_wanted = Signal(object)
    mode_wanted = Signal()
    ended = Signal(object, object)

    def __init__(
        self, parent: QWidget, theme: ThemeManager, connection: Connection, wish: Wish | None, *, resumed: str = "",
        extras: Extras = NO_EXTRAS,
    ) -> None:  # fmt: skip
        super().__init__(parent, theme, connection.profile.environment)
        self._connection, self._acts = connection, connection.acts
        self._wish, self._resumed = wish, resumed
        self._planned: Planned | None = None
        self._outcome: Outcome | None = None
        self._stage: Stage = "looking"
        self._task: asyncio.Task[None] | None = None
        self._made = self._armed_at = 0.0
        self.header = ActHeader(connection)
        self.plan_view, self.confirming, self.run_view = PlanView(theme), ConfirmPart(), RunView(theme)
        self._waiting = QProgressBar()
        self._waiting.setRange(0, 0)
        self._waiting.setAccessibleName("Looking at what would be done")
        self._refusal = sentence("", role="error")
        self._left, self._why = PlainLabel(role="small"), sentence("")
        self.change_mode, self.undo, self.again, self.stop, self.cancel, self.confirm = (
            QPushButton("Change the access mode …"), QPushButton("Undo …"), QPushButton("Look again"),
            QPushButton("Stop"), QPushButton("Cancel"), QPushButton(),
        )  # fmt: skip
        self._lay_out()
        self._parts = WishParts(extras, self.body, self.plan_view, self.below)
        self._parts.changed.connect(self._outdate)
        for button in (self.change_mode, self.undo, self.again, self.stop, self.confirm):
            button.setAutoDefault(False)
        self.again.setProperty("kind", "primary")
        self.cancel.setDefault(True)
        self.change_mode.clicked.connect(self._want_mode)
        self.undo.clicked.connect(self._want_undo)
        self.again.clicked.connect(self._look_again)
        self.stop.clicked.connect(self._stop)
        self.cancel.clicked.connect(self.reject)
        self.confirm.clicked.connect(self._confirmed)
        self.confirming.changed.connect(self._tell)
        self._acts.standing_changed.connect(self._show_standing)
        self.finished.connect(self._left_alone)
        self._clock = QTimer(self)
        self._clock.timeout.connect(self._tick)
        self._turn("looking")

    @property
    def wide(self) -> bool:
        return self._parts.wide

    @property
    def stage(self) -> Stage:
        """How far it is."""
        return self._stage

    @property
    def outcome(self) -> Outcome | None:
        """What came of it so far; None before it was confirmed."""
        return self._outcome

    @property
    def plan(self) -> Plan | None:
        """What is shown to be confirmed."""
        return None if self._planned is None else self._planned.plan

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._task is None:
            self._spawn(self._look())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter never confirms: it presses Cancel, or the button that has the focus if that does no harm.

        Where the wish was edited just now, it looks again.
        """
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and self.confirm.hasFocus():
            return
        if enter and self._stage == "outdated" and self._parts.holds(QApplication.focusWidget()):
            self.again.click()
            return
        super().keyPressEvent(event)

    # --- looking -----------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        self._turn("looking")
        planned = await self._acts.plan(self._wish, resumed="" if self._wish is not None else self._resumed)
        if planned.plan is None:
            self._refuse(planned.error)
        else:
            self._planned = planned
            self._show_plan(planned.plan)

    def _look_again(self) -> None:
        """Make the plan anew, with what was edited."""
        self._wish = self._parts.edited(self._wish)
        self._forget_plan()
        self._spawn(self._look())

    def _forget_plan(self) -> None:
        if self._planned is not None and self._stage in ("asking", "outdated"):
            self._acts.drop(self._planned.number)
        self._planned = None

    def _refuse(self, text: str) -> None:
        self._refusal.setText(text)
        self._turn("refused")

    def _show_plan(self, plan: Plan) -> None:
        self.header.say(plan.title)
        self.setWindowTitle(plan.title)
        self.plan_view.show_plan(plan)
        self._parts.show_plan(plan, self._wish)
        self.confirming.ask(plan)
        self._show_standing()
        self.confirm.setText(plan.verb)
        grave = any(caution.grave for caution in plan.cautions)
        self.confirm.setProperty("kind", "danger" if self.hot or grave else "primary")
        self.confirm.style().unpolish(self.confirm)
        self.confirm.style().polish(self.confirm)
        self._made = time.monotonic()
        self._armed_at = self._made + ARM / 1000
        self._clock.start(_TICK)
        self._turn("asking")

    # --- asking ------------------------------------------------------------------------------------------------------

    def _show_standing(self) -> None:
        mode = self._connection.profile.mode
        self.confirming.show_standing(self._acts.standing, mode)
        self.change_mode.setVisible(self._stage == "asking" and mode != "operate")
        self._tell()

    def _outdate(self) -> None:
        if self._stage == "asking":
            self._why.setText("What would be done has to be looked at again, with what you changed.")
            self._turn("outdated")
        self._tell()

    def _tick(self) -> None:
        left = acts.PLAN_LASTS - (time.monotonic() - self._made)
        if self._stage == "asking" and left <= 0:
            self._why.setText("This plan is older than a minute: things may have moved. Look at it again.")
            self._turn("outdated")
        elif self._stage == "asking":
            self._left.setText(f"May be confirmed for {left:.0f} s" if left <= _SAY_LEFT else "")
            self._left.setVisible(left <= _SAY_LEFT)
        self._tell()

    def _tell(self) -> None:
        """Let the button be pressed once it may be."""
        armed = time.monotonic() >= self._armed_at and self.plan is not None and self.plan.count > 0
        self.confirm.setEnabled(self._stage == "asking" and armed and self.confirming.ready and self._parts.complete)
        self.again.setEnabled(self._stage != "outdated" or self._parts.complete)

    def _confirmed(self) -> None:
        if self._stage == "asking" and self._planned is not None and self._planned.plan is not None:
            self._outcome = Outcome(total=self._planned.plan.count)
            self.run_view.begin(self._planned.plan)
            self.stop.setText("Stop")
            self.stop.setEnabled(True)
            self._turn("running")
            self._spawn(self._do(self._planned.number, self._planned.plan))

    # --- doing -------------------------------------------------------------------------------------------------------

    async def _do(self, number: int, plan: Plan) -> None:
        typed, rate = self.confirming.typed.text(), self.confirming.wanted_rate
        environment = self.confirming.unlocking.edit.text()
        if self.confirming.locked:
            standing = await unlock(self._acts, environment)
            if standing.unlocked is None:
                self._outcome = None
                self._turn("asking")
                self.confirming.unlocking.refuse(standing.error)
                if not self.isVisible():
                    self._forget_plan()
                    self.deleteLater()
                return
        async for outcome in self._acts.carry_out(number, typed, rate):
            self._outcome = outcome
            self.run_view.show_outcome(outcome)
        self._clock.stop()
        self._turn("ended")
        self.ended.emit(plan, self._outcome)
        if not self.isVisible():
            self.deleteLater()

    def _stop(self) -> None:
        if self._planned is not None:
            self._acts.drop(self._planned.number)
            self.stop.setEnabled(False)
            self.stop.setText("Stopping …")

    def _want_undo(self) -> None:
        self.accept()
        if self._outcome is not None and self._outcome.undo is not None:
            self.undo_wanted.emit(self._outcome.undo)

    def _want_mode(self) -> None:
        self.reject()
        self.mode_wanted.emit()

    def _left_alone(self) -> None:
        """It was closed: what is carried out goes on, all else ends."""
        if self._stage == "running":
            return
        self._forget_plan()
        if self._task is not None:
            self._task.cancel()
        self.deleteLater()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)

    # --- how it looks ------------------------------------------------------------------------------------------------

    def _turn(self, stage: Stage) -> None:
        """Show the parts of a stage."""
        self._stage = stage
        nothing_done = self._outcome is not None and self._outcome.state == "failed" and not self._outcome.done
        planned = stage in ("asking", "outdated")
        if stage == "looking":
            self.header.say(self.header.title or "Looking at what would be done …")
        elif stage == "refused":
            self.header.say("This can't be done now")
        self._waiting.setVisible(stage == "looking")
        self._refusal.setVisible(stage == "refused")
        self.plan_view.setVisible(planned)
        self._parts.set_visible(on=planned)
        self.confirming.setVisible(stage == "asking")
        self.run_view.setVisible(stage in ("running", "ended"))
        self._why.setVisible(stage == "outdated")
        self._left.setVisible(stage == "asking" and bool(self._left.text()))
        self.stop.setVisible(stage == "running")
        self.again.setVisible(stage in ("outdated", "refused") or (stage == "ended" and nothing_done))
        self.undo.setVisible(stage == "ended" and self._outcome is not None and self._outcome.undo is not None)
        self.confirm.setVisible(stage == "asking")
        self.cancel.setText({"running": "Close", "ended": "Close", "refused": "Close"}.get(stage, "Cancel"))
        self.cancel.setToolTip("It goes on, and its end is told" if stage == "running" else "")
        self._show_standing()
        self._focus(stage)

    def _focus(self, stage: Stage) -> None:
        if self._parts.holds(QApplication.focusWidget()):
            return  # somebody writes there
        field = self.confirming.first_field() if stage == "asking" else None
        target: QWidget = field or self.cancel
        target.setFocus()

    def _lay_out(self) -> None:
        for part in (self._waiting, self._refusal, self.plan_view, self.run_view):
            self.body.addWidget(part)
        self.body.addStretch(1)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self._left)
        buttons.addWidget(self.change_mode)
        buttons.addStretch(1)
        for button in (self.undo, self.again, self.stop, self.cancel, self.confirm):
            buttons.addWidget(button)
        self.below.addWidget(self.confirming)
        self.below.addWidget(self._why)
        self.below.addLayout(buttons)
        self.top.addWidget(self.header)
