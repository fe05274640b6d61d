"""Unlocking: what has to be typed before anything may be done to a broker."""

import asyncio
from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.models.acts import Standing, is_typed
from app.ui.acting import Acts
from app.ui.supervisor import Connection
from app.ui.theme import ThemeManager
from app.ui.widgets.act_parts import MARGIN, ActHeader, Framed
from app.ui.widgets.form_parts import ErrorLabel
from app.ui.widgets.labels import PlainLabel

_WIDTH: Final = 480

_TEXT: Final = (
    "For the next 15 minutes you can act on this broker from here. Each act still shows what it would do, and is "
    "confirmed by itself. Locking again stops what is under way."
)


async def unlock(acts: Acts, typed: str) -> Standing:
    """Have acting unlocked, and wait for the collector's word on it: unlocked, or an error."""
    heard = asyncio.Event()
    acts.standing_changed.connect(heard.set)
    try:
        acts.unlock(typed)
        while True:
            await heard.wait()
            heard.clear()
            if acts.standing.unlocked is not None or acts.standing.error:
                return acts.standing
    finally:
        acts.standing_changed.disconnect(heard.set)


class UnlockField(QWidget):
    """What has to be typed to unlock, if anything has. ``changed``: something else is typed."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._typed = ""
        self._says = PlainLabel()
        self._says.setWordWrap(True)
        self.edit = QLineEdit()
        self._error = ErrorLabel(self.edit)
        self._says.setBuddy(self.edit)
        self.edit.textChanged.connect(self._changed)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        for part in (self._says, self.edit, self._error):
            column.addWidget(part)
        self.ask("")

    def ask(self, typed: str, says: str = "") -> None:
        """Want this to be typed, "" for nothing; ``says`` is said in any case."""
        self._typed = typed
        text = says or (f"To unlock, type the environment: {typed}" if typed else "")
        self._says.setText(text)
        self._says.setVisible(bool(text))
        self.edit.setAccessibleName(text)
        self.edit.setVisible(bool(typed))

    @property
    def ready(self) -> bool:
        """Whether what has to be typed is typed."""
        return not self._typed or is_typed(self._typed, self.edit.text())

    def refuse(self, text: str) -> None:
        """Say why it is locked still."""
        self._error.say(text)

    def _changed(self) -> None:
        self._error.say("")
        self.changed.emit()


class UnlockDialog(Framed):
    """Unlocks acting on the broker of a connection; to be opened by `open`, never by `exec`.

    ``observe_wanted``: the user would rather have nothing done to it at all.
    """

    observe_wanted = Signal()

    def __init__(self, parent: QWidget, theme: ThemeManager, connection: Connection) -> None:
        super().__init__(parent, theme, connection.profile.environment)
        self.setWindowTitle("Unlock acting")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setFixedWidth(_WIDTH)
        self._acts = connection.acts
        self._task: asyncio.Task[None] | None = None
        header = ActHeader(connection)
        header.say("Unlock acting on this broker?")
        text = PlainLabel(_TEXT, role="secondary")
        text.setWordWrap(True)
        text.setFixedWidth(_WIDTH - 2 * MARGIN)
        self.field = UnlockField()
        self.field.ask(self._acts.standing.typed)
        self.field.changed.connect(self._tell)
        self.observe, self.cancel, self.unlock = (
            QPushButton("Change to observe"), QPushButton("Cancel"), QPushButton("Unlock for 15 minutes"),
        )  # fmt: skip
        self.observe.setProperty("kind", "link")
        self.observe.setToolTip("Only look from now on: nothing can be done to this broker then")
        self.unlock.setProperty("kind", "danger" if self.hot else "primary")
        for button in (self.observe, self.unlock):
            button.setAutoDefault(False)
        self.cancel.setDefault(True)
        self.observe.clicked.connect(self._observe)
        self.cancel.clicked.connect(self.reject)
        self.unlock.clicked.connect(self._go)
        buttons = QHBoxLayout()
        buttons.setContentsMargins(0, 8, 0, 0)
        buttons.addWidget(self.observe)
        buttons.addStretch(1)
        buttons.addWidget(self.cancel)
        buttons.addWidget(self.unlock)
        self.inside.setSpacing(10)
        for part in (header, text, self.field):
            self.inside.addWidget(part)
        self.inside.addLayout(buttons)
        self.finished.connect(self._stop)
        self._tell()
        (self.field.edit if self._acts.standing.typed else self.cancel).setFocus()

    def _observe(self) -> None:
        self.reject()
        self.observe_wanted.emit()

    def _go(self) -> None:
        self.unlock.setEnabled(False)
        self._task = asyncio.get_running_loop().create_task(self._unlock())

    async def _unlock(self) -> None:
        standing = await unlock(self._acts, self.field.edit.text())
        if standing.unlocked is not None:
            self.accept()
            return
        self.field.refuse(standing.error)
        self.field.ask(standing.typed)
        self._tell()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _tell(self) -> None:
        self.unlock.setEnabled(self.field.ready)
