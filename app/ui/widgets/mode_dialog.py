"""A question before more may be done to a broker than before."""

from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QWidget

from app.models.profiles import Mode
from app.ui.supervisor import Connection
from app.ui.theme import ThemeManager
from app.ui.widgets.act_parts import MARGIN, ActHeader, Framed
from app.ui.widgets.check_box import CheckBox
from app.ui.widgets.labels import PlainLabel

_WIDTH: Final = 480
_TEXTS: Final[dict[Mode, str]] = {
    "operate": (
        "Tasks, workers and queues of this broker can be changed from here then. Acting is locked until you unlock it, "
        "and each act is confirmed by itself."
    ),
    "observe": "Workers of this broker are asked how they are then, twice a minute. Nothing is changed by it.",
    "passive": "Nothing is sent to this broker or its workers any more, but questions to the broker.",
}
_ANEW: Final = "The connection is made anew, which takes a moment; its history goes on."


class ModeDialog(Framed):
    """To be opened by `open`, never by `exec`; ``accepted`` where the mode is to be changed.

    ``kept`` is whether the connection is a kept one: then its settings may be changed, too.
    """

    def __init__(self, parent: QWidget, theme: ThemeManager, connection: Connection, mode: Mode, *, kept: bool) -> None:
        super().__init__(parent, theme, connection.profile.environment)
        self.setWindowTitle(f"Change to {mode}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setFixedWidth(_WIDTH)
        header = ActHeader(connection)
        header.say(f"Change the access mode from {connection.profile.mode} to {mode}?")
        self.keep = CheckBox(theme, "Keep it in the settings of this connection, not only for this session")
        self.keep.setVisible(kept)
        self.cancel, self.change = QPushButton("Cancel"), QPushButton(f"Change to {mode}")
        self.cancel.setDefault(True)
        self.change.setAutoDefault(False)
        self.change.setProperty("kind", "danger" if self.hot and mode == "operate" else "primary")
        self.cancel.clicked.connect(self.reject)
        self.change.clicked.connect(self.accept)
        buttons = QHBoxLayout()
        buttons.setContentsMargins(0, 8, 0, 0)
        buttons.addStretch(1)
        buttons.addWidget(self.cancel)
        buttons.addWidget(self.change)
        self.inside.setSpacing(10)
        self.inside.addWidget(header)
        for text in (_TEXTS[mode], _ANEW):
            label = PlainLabel(text, role="secondary")
            label.setWordWrap(True)
            label.setFixedWidth(_WIDTH - 2 * MARGIN)
            self.inside.addWidget(label)
        self.inside.addWidget(self.keep)
        self.inside.addLayout(buttons)
        self.cancel.setFocus()
