"""Which stamped header tasks are revoked by: written by hand, or as the message of one of them has it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit, QPlainTextEdit, QPushButton, QWidget

from app.models import formats
from app.models.acts import RevokeStamped
from app.models.qt.plain import one_line, plain_tip
from app.ui.widgets.form_dialog import FormDialog, WrongError
from app.ui.widgets.labels import PlainLabel

#: Stamps that are offered, and characters of each.
_MOST: Final = 6
_SHOWN: Final = 56
_PAPER: Final = 64
_TEXT: Final = (
    "Workers are told to run no task that carries one of these values in this header. That takes Celery 5.3 or later, "
    "and no event tells of stamps: how many tasks it will be is not known beforehand."
)


class StampDialog(FormDialog):
    """A header and its values; what `say` and `offer` are told stands below."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, "Revoke tasks by a stamp", _TEXT)
        self.header, self.values = QLineEdit(), QPlainTextEdit()
        self.header.setPlaceholderText("customer")
        self.values.setAccessibleName("Values")
        self.values.setPlaceholderText("One on each line")
        self.values.setTabChangesFocus(True)
        self.values.setFixedHeight(_PAPER)
        self.add("Header", self.header)
        self.add("Values", self.values)
        self._said = PlainLabel(role="secondary")
        self._said.setWordWrap(True)
        self._said.hide()
        self.below.addWidget(self._said)

    def wish(self) -> RevokeStamped:
        header = self.header.text().strip()
        if not header:
            raise WrongError(self.header, "Which header? It has the name that the stamping visitor gave it.")
        lines = (line.strip() for line in self.values.toPlainText().splitlines())
        values = list(dict.fromkeys(filter(None, lines)))
        if not values:
            raise WrongError(self.values, "Which values? At least one, or no task is meant.")
        return RevokeStamped(header, values)

    def say(self, text: str) -> None:
        """Say something about the stamps of the task that is looked at."""
        self._said.setText(text)
        self._said.show()

    def offer(self, stamps: Mapping[str, Sequence[str]]) -> None:
        """Offer the stamps of a task: a press on one writes it into the fields."""
        if not stamps:
            self.say("Its message carries no stamp that could be read.")
            return
        self.say("Its message carries")
        for header, values in list(stamps.items())[:_MOST]:
            told = f"{header} = {formats.listed(list(values), most=_MOST)}"
            button = QPushButton(one_line(told, _SHOWN).replace("&", "&&"))
            button.setToolTip(plain_tip(told))
            button.setAutoDefault(False)
            button.clicked.connect(partial(self._take, header, values))
            self.below.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)

    def _take(self, header: str, values: Sequence[str]) -> None:
        self.header.setText(header)
        self.values.setPlainText("\n".join(values))
        self.go_on.setFocus()
