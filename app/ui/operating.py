"""How the window acts: the safety lock, the dialog in which a wish becomes an act, and word of what ended unseen."""

from typing import Literal, cast

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from app.models.acts import Outcome, Plan, Purge, Rerun, Revoke, Steer, Wish
from app.models.formats import count, number_of
from app.models.history.reader import Reader
from app.models.options import REDIS_SCHEMES, scheme_of
from app.models.profiles import Mode
from app.models.signs import ALIVE
from app.models.wire import Notice
from app.ui.scope import Scope
from app.ui.supervisor import Connection
from app.ui.theme import ThemeManager
from app.ui.ways_in import WaysIn
from app.ui.widgets.act_buttons import no_broker
from app.ui.widgets.act_dialog import ActDialog
from app.ui.widgets.argument_editor import ArgumentEditor
from app.ui.widgets.edge import HotFrame
from app.ui.widgets.mode_badge import ModeBadge
from app.ui.widgets.notice_bar import NoticeBar, Remedy
from app.ui.widgets.unlock import UnlockDialog
from app.ui.widgets.wish_options import BackupOption, QueueOption, TakeOutOption
from app.ui.widgets.wish_parts import Extras, WishPart


class Operator(QObject):
    """Acts on the broker that the window is about; where it is about several, on none."""

    def __init__(
        self, window: QWidget, theme: ThemeManager, scope: Scope, ways: WaysIn, badge: ModeBadge, notices: NoticeBar
    ) -> None:
        super().__init__(window)
        self._window, self._theme, self._scope, self._ways = window, theme, scope, ways
        self._badge, self._notices = badge, notices
        self._extras: Extras = {
            Rerun: (self._arguments, self._another_queue),
            Purge: (lambda _plan, wish, _before: BackupOption(theme, wish),),
            Revoke: (self._take_out,),
        }
        self._frame: HotFrame | None = None
        badge.unlock_wanted.connect(self._unlock)
        badge.lock_wanted.connect(self._lock)
        badge.mode_wanted.connect(self._change_mode)

    def frame(self, around: QWidget) -> None:
        """Have a red frame around this while acting on production is unlocked."""
        self._frame = HotFrame(self._theme, around)

    def act(self, wish: Wish | None, *, resumed: str = "") -> None:
        """Plan a wish, and do it if that is confirmed; without one, what is left of the act ``resumed``."""
        connection = self._scope.one
        refused = no_broker(connection)
        self.refuse(refused)
        if connection is None or refused:
            return
        dialog = ActDialog(self._window, self._theme, connection, wish, resumed=resumed, extras=self._extras)
        dialog.undo_wanted.connect(self.act)
        dialog.mode_wanted.connect(lambda: self._ways.change_mode(connection, "operate"))
        dialog.ended.connect(lambda plan, outcome: self._ended(dialog, connection, plan, outcome))
        dialog.open()

    async def turn_events_on(self) -> None:
        """Wish that those workers tell of their tasks that do not. May raise `HistoryError`."""
        connection = self._scope.one
        if connection is None or not connection.operates:
            return
        workers = await connection.query(Reader.workers)
        mute = [worker.hostname for worker in workers if worker.events is False and worker.state in ALIVE]
        if mute and connection is self._scope.one:
            self.act(Steer("enable_events", mute))

    def refuse(self, why: str) -> None:
        """Say why what was wanted can't be done, or with an empty text that it can."""
        self._notices.show_notice(Notice("act", why, "info"))

    def show(self) -> None:
        """Show whether acting is unlocked, and for how long still."""
        one = self._scope.one
        if one is None or not one.live:
            if self._frame is not None:
                self._frame.show_hot(hot=False)
            return
        left = one.acts.unlocked_for if one.operates else 0.0
        hot = left > 0 and one.profile.environment in ("production", "unknown")
        self._badge.show_mode(one.profile.mode, unlocked_for=left, hot=hot)
        if self._frame is not None:
            self._frame.show_hot(hot=hot)

    def _arguments(self, plan: Plan, wish: Rerun, before: WishPart | None) -> ArgumentEditor | None:
        """Where arguments are looked at that are not known for sure."""
        if not plan.needs_edit and not wish.edited:
            return None
        return ArgumentEditor(self._theme, plan, wish, before if isinstance(before, ArgumentEditor) else None)

    def _another_queue(self, _plan: Plan, wish: Rerun, _before: WishPart | None) -> QueueOption:
        vital = self._scope.vital
        return QueueOption(self._theme, wish, () if vital is None else vital.queues)

    def _take_out(self, _plan: Plan, wish: Revoke, _before: WishPart | None) -> TakeOutOption | None:
        """Where a broker can give single messages of a queue away, that is offered."""
        connection = self._scope.one
        can = connection is not None and scheme_of(connection.target.url) in REDIS_SCHEMES
        return TakeOutOption(self._theme, wish) if can and not wish.terminate else None

    def _unlock(self) -> None:
        one = self._scope.one
        if one is not None:
            dialog = UnlockDialog(self._window, self._theme, one)
            dialog.observe_wanted.connect(lambda: self._ways.change_mode(one, "observe"))
            dialog.open()

    def _lock(self) -> None:
        if self._scope.one is not None:
            self._scope.one.acts.lock()

    def _change_mode(self, mode: str) -> None:
        one = self._scope.one
        if one is not None:
            self._ways.change_mode(one, cast("Mode", mode))

    def _ended(self, dialog: ActDialog, connection: Connection, plan: Plan, outcome: Outcome) -> None:
        if dialog.isVisible():
            return
        remedy = Remedy("Undo …", lambda: self._undo(connection, outcome)) if outcome.undo is not None else None
        self._notices.show_notice(
            Notice(f"act.{outcome.act}", ending(plan, outcome), _severity(outcome)), connection.profile.name, remedy,
            named=len(self._scope.brokers) > 1,
        )  # fmt: skip

    def _undo(self, connection: Connection, outcome: Outcome) -> None:
        """Undo what was done to a broker, which the window may not be about any more."""
        if connection in (vitals.connection for vitals in self._scope.brokers):
            self._ways.chosen.emit(connection)
            self.act(outcome.undo)


def ending(plan: Plan, outcome: Outcome) -> str:
    """What came of an act, in sentences."""
    word = {"aborted": "given up", "running": "broken off"}.get(outcome.state, outcome.state)
    failed = f", {count(outcome.failed)} failed" if outcome.failed else ""
    done = f"{count(outcome.done)} of {number_of(outcome.total, plan.things)}{failed}"
    return f"{plan.title}: {word}, {done}. {outcome.text}".strip()


def _severity(outcome: Outcome) -> Literal["info", "warning", "error"]:
    if outcome.state == "done" and not outcome.failed:
        return "info"
    return "warning" if outcome.state in ("done", "stopped") else "error"
