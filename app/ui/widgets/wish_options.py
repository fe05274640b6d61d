"""What may be asked for besides, before a wish is done: a file with a copy, messages taken out, another queue."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.models.acts import Purge, Rerun, Revoke
from app.ui.theme import ThemeManager
from app.ui.widgets.check_box import CheckBox
from app.ui.widgets.labels import PlainLabel
from app.ui.widgets.offers import OfferField
from app.ui.widgets.wish_parts import WishPart

_COPY: Final = "Also write a copy of the messages to a file"
_QUEUE: Final = "Send to the queue"
_TAKE_OUT: Final = "Also take the messages of those that still wait out of their queue"


class BackupOption(WishPart):
    """Whether what is purged is written to a file, too, and to which."""

    def __init__(self, theme: ThemeManager, wish: Purge) -> None:
        super().__init__()
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

    def edited(self, wish: Purge) -> Purge:
        backup = self.file.text().strip() if self.box.isChecked() else ""
        return msgspec.structs.replace(wish, backup=backup)

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


class TakeOutOption(WishPart):
    """Whether the messages of tasks that still wait go into a quarantine."""

    def __init__(self, theme: ThemeManager, wish: Revoke) -> None:
        super().__init__()
        self.box = CheckBox(theme, _TAKE_OUT)
        self.box.setChecked(wish.take_out)
        self.box.toggled.connect(self.changed)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.box)

    def edited(self, wish: Revoke) -> Revoke:
        return msgspec.structs.replace(wish, take_out=self.box.isChecked())


class QueueOption(WishPart):
    """To which queue tasks are sent that run again: where they were, unless another one of the ``known`` is named."""

    def __init__(self, theme: ThemeManager, wish: Rerun, known: Sequence[str]) -> None:
        super().__init__()
        self.field = OfferField(theme, _QUEUE, known, wish.queue or "")
        self.field.edit.setPlaceholderText("where it was" if len(wish.ids) == 1 else "where each was")
        self.field.edit.textChanged.connect(self.changed)
        label = PlainLabel(_QUEUE, role="secondary")
        label.setBuddy(self.field.edit)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addWidget(label)
        row.addWidget(self.field, 1)

    def edited(self, wish: Rerun) -> Rerun:
        return msgspec.structs.replace(wish, queue=self.field.edit.text().strip() or None)
