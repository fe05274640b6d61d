"""A password that is kept nowhere, or was refused, is asked for."""

from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.models.profiles import Lock
from app.models.redact import redact_url
from app.ui.theme import ThemeManager
from app.ui.widgets.check_box import CheckBox
from app.ui.widgets.labels import ElidedLabel, PlainLabel

_WIDTH: Final = 440
_MARGIN: Final = 20
_NAMES: Final[dict[Lock, str]] = {"broker": "Password", "backend": "Password of the result backend"}


class PasswordDialog(QDialog):
    """To be opened by `open`, never by `exec`; ``accepted`` when there is something to sign in with.

    ``locks`` are what passwords are asked for, ``why`` they are, as a sentence. ``keeps`` is whether there is a keyring
    for them, and ``remembers`` whether it is offered first; without one they are good for this session.
    """

    def __init__(
        self, parent: QWidget, theme: ThemeManager, name: str, urls: dict[Lock, str], why: str, *, keeps: bool,
        remembers: bool,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self.setWindowTitle("Enter a password")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setFixedWidth(_WIDTH)
        self.edits: dict[Lock, QLineEdit] = {lock: QLineEdit() for lock in urls}
        self.keep = CheckBox(theme, "Keep it in the system's keyring")
        self.keep.setChecked(keeps and remembers)
        self.keep.setVisible(keeps)
        self._keeps = keeps
        column = QVBoxLayout(self)
        column.setContentsMargins(_MARGIN, 16, _MARGIN, 16)
        column.setSpacing(8)
        column.addWidget(PlainLabel(f"Sign in to {name}", role="title"))
        said = PlainLabel(why, role="secondary")
        said.setWordWrap(True)
        said.setFixedWidth(_WIDTH - 2 * _MARGIN)
        said.setVisible(bool(why))
        column.addWidget(said)
        for lock, edit in self.edits.items():
            edit.setEchoMode(QLineEdit.EchoMode.Password)
            edit.setAccessibleName(_NAMES[lock])
            edit.setPlaceholderText(_NAMES[lock])
            edit.textChanged.connect(self._changed)
            column.addSpacing(2)
            column.addWidget(ElidedLabel(redact_url(urls[lock]), role="mono", mode=Qt.TextElideMode.ElideMiddle))
            column.addWidget(edit)
        session = PlainLabel("It is used while this connection is open, and not kept.", role="small")
        column.addWidget(self.keep if keeps else session)
        column.addLayout(self._buttons())
        self._changed()

    @property
    def passwords(self) -> dict[Lock, str]:
        """What was entered."""
        return {lock: edit.text() for lock, edit in self.edits.items() if edit.text()}

    @property
    def remember(self) -> bool | None:
        """Whether to keep it in the keyring; None where that was not offered."""
        return self.keep.isChecked() if self._keeps else None

    def _buttons(self) -> QHBoxLayout:
        self.cancel, self.sign_in = QPushButton("Cancel"), QPushButton("Connect")
        self.sign_in.setProperty("kind", "primary")
        self.sign_in.setDefault(True)
        self.cancel.clicked.connect(self.reject)
        self.sign_in.clicked.connect(self.accept)
        row = QHBoxLayout()
        row.setContentsMargins(0, 10, 0, 0)
        row.addStretch(1)
        row.addWidget(self.cancel)
        row.addWidget(self.sign_in)
        return row

    def _changed(self) -> None:
        self.sign_in.setEnabled(bool(self.passwords))
