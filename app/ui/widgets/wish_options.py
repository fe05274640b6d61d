"""What may be asked for besides, before a wish is done: a copy of what is purged, messages taken out of queues."""

import time
from pathlib import Path
from typing import Final

import msgspec
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.models.acts import Purge, Revoke
from app.ui.theme import ThemeManager
from app.ui.widgets.check_box import CheckBox

_COPY: Final = "Also write a copy of the messages to a file"
_TAKE_OUT: Final = "Also take the messages of those that still wait out of their queue"


class BackupOption(QWidget):
    """Whether what is purged is written to a file, too, and to which. ``changed``: `wish` gives another one."""

    changed = Signal()
    small = True

    def __init__(self, theme: ThemeManager, wish: Purge) -> None:
        super().__init__()
        self._wish = wish
        self.box, self.file, self._choose = CheckBox(theme, _COPY), QLineEdit(wish.backup), QPushButton("Choose …")
        self.file.setAccessibleName("The file that the copy is written to")
        self._choose.setAutoDefault(False)
        self._place = QWidget()
        row = QHBoxLayout(self._place)
        row.setContentsMargins(26, 0, 0, 0)
        row.addWidget(self.file, 1)
        row.addWidget(self._choose)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.box)
        column.addWidget(self._place)
        self.box.setChecked(bool(wish.backup))
        self._place.setVisible(bool(wish.backup))
        self.box.toggled.connect(self._toggle)
        self.file.textChanged.connect(self.changed)
        self._choose.clicked.connect(self._look_for_one)

    @property
    def complete(self) -> bool:
        """Whether a file is named, if there is to be one."""
        return not self.box.isChecked() or bool(self.file.text().strip())

    def wish(self) -> Purge:
        """The purge as it is wished now."""
        backup = self.file.text().strip() if self.box.isChecked() else ""
        return msgspec.structs.replace(self._wish, backup=backup)

    def _toggle(self, on: bool) -> None:
        self._place.setVisible(on)
        if on and not self.file.text():
            # Named by us, and not by the queue: a broker's words don't become a path.
            self.file.setText(str(Path.home() / f"purged-{time.strftime('%Y%m%d-%H%M%S')}.messages"))
        else:
            self.changed.emit()

    def _look_for_one(self) -> None:
        dialog = QFileDialog(self, "A new file for the copy", self.file.text())
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.fileSelected.connect(self.file.setText)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()


class TakeOutOption(QWidget):
    """Whether the messages of tasks that still wait go into a quarantine. ``changed``: `wish` gives another one."""

    changed = Signal()
    small = complete = True

    def __init__(self, theme: ThemeManager, wish: Revoke) -> None:
        super().__init__()
        self._wish = wish
        self.box = CheckBox(theme, _TAKE_OUT)
        self.box.setChecked(wish.take_out)
        self.box.toggled.connect(self.changed)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.box)

    def wish(self) -> Revoke:
        """The revoke as it is wished now."""
        return msgspec.structs.replace(self._wish, take_out=self.box.isChecked())
