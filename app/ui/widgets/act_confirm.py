"""What stands between a plan and its being carried out: what has to be typed, how fast it goes, and the lock."""

from typing import Final

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QSpinBox, QVBoxLayout, QWidget

from app.models.acts import FASTEST, Plan, Standing, is_typed
from app.models.profiles import Mode
from app.ui.widgets.form_parts import ErrorLabel
from app.ui.widgets.labels import PlainLabel
from app.ui.widgets.unlock import UnlockField

_WIDTH: Final = 84
_TEXT: Final = 6


class ConfirmPart(QWidget):
    """Fields under a plan. ``changed``: something else is typed, so that `ready` may be another."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._plan: Plan | None = None
        self._locked = self._operates = True
        self._standing = ""
        self.unlocking = UnlockField()
        self._says = PlainLabel()
        self._says.setWordWrap(True)
        self.typed = QLineEdit()
        self._says.setBuddy(self.typed)
        self._error = ErrorLabel(self.typed)
        self.rate = QSpinBox()
        self.rate.setRange(1, round(FASTEST))
        self.rate.setSuffix(" a second")
        self.rate.setMinimumWidth(_WIDTH)
        self.rate.lineEdit().setTextMargins(_TEXT, 0, 0, 0)  # a style sheet does not reach it
        self.rate.setAccessibleName("How many are done in a second at most")
        self._fast = QWidget()
        fast = QHBoxLayout(self._fast)
        fast.setContentsMargins(0, 0, 0, 4)
        fast.setSpacing(10)
        fast.addWidget(PlainLabel("At most", role="secondary"))
        fast.addWidget(self.rate)
        fast.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        for part in (self._fast, self.unlocking, self._says, self.typed, self._error):
            column.addWidget(part)
        self.unlocking.changed.connect(self.changed)
        self.typed.textChanged.connect(self._changed)

    def ask(self, plan: Plan) -> None:
        """Ask for what this plan wants; what was typed for another is gone."""
        self._plan = plan
        count = plan.typed == str(plan.count)
        says = f"Type the number of {plan.things}s to confirm" if count else f"To confirm, type: {plan.typed}"
        self._says.setText(says)
        self.typed.setAccessibleName(says)
        self.typed.clear()
        self._error.say("")
        self.rate.setValue(max(1, round(plan.rate)))
        self._show()

    def show_standing(self, standing: Standing, mode: Mode) -> None:
        """Show whether it is locked: then the environment is typed here, too."""
        self._operates, self._locked = mode == "operate", standing.unlocked is None
        says = ""
        if not self._operates:
            says = f"In the access mode “{mode}” nothing is done to this broker. Change it to operate first."
        elif self._locked and not standing.typed:
            says = "Acting on this broker is locked: confirming unlocks it for 15 minutes."
        elif self._locked:
            says = (
                f"Acting on this broker is locked. To unlock it for 15 minutes, type the environment: {standing.typed}"
            )
        self._standing = says
        self.unlocking.ask(standing.typed if self._locked and self._operates else "", says)
        self._show()

    @property
    def locked(self) -> bool:
        """Whether it has to be unlocked first."""
        return self._locked

    @property
    def ready(self) -> bool:
        """Whether all is typed that has to be."""
        if self._plan is None or not self._operates or (self._locked and not self.unlocking.ready):
            return False
        return is_typed(self._plan.typed, self.typed.text())

    @property
    def wanted_rate(self) -> float | None:
        """How many in a second; None where that is not up to anybody."""
        return float(self.rate.value()) if self._plan is not None and self._plan.rate > 0 else None

    def first_field(self) -> QLineEdit | None:
        """Where something has to be typed first."""
        for edit in (self.unlocking.edit, self.typed):
            if not edit.isHidden() and (edit is self.typed or not self.unlocking.isHidden()):
                return edit
        return None

    def _show(self) -> None:
        # Of nothing there is nothing to confirm, nor to unlock for it.
        nothing = self._plan is not None and self._plan.count == 0
        plan = self._plan if self._operates and not nothing else None
        self.unlocking.setVisible(bool(self._standing) and not (self._operates and nothing))
        for part in (self._says, self.typed):
            part.setVisible(plan is not None and bool(plan.typed))
        self._fast.setVisible(plan is not None and plan.rate > 0)

    def _changed(self) -> None:
        plan = self._plan
        text = self.typed.text()
        # Nobody is told that he is wrong while he types the first figures.
        wrong = plan is not None and len(text.strip()) >= len(plan.typed) and not is_typed(plan.typed, text)
        self._error.say(f"That is not {plan.typed}." if plan is not None and text and wrong else "")
        self.changed.emit()
