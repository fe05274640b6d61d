"""Fields in which anything may be written, and some of it is offered: names of queues, tasks and headers."""

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QStringListModel, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QCompleter, QHBoxLayout, QLineEdit, QWidget

from app.ui.theme import ThemeManager
from app.ui.widgets.inspector import IconButton

_GAP: Final = 4


def completing(edit: QLineEdit, offers: Sequence[str]) -> QLineEdit:
    """Offer these when it is typed, whatever part of them is written."""
    completer = QCompleter(QStringListModel(list(offers), edit), edit)
    completer.setFilterMode(Qt.MatchFlag.MatchContains)
    completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
    edit.setCompleter(completer)
    return edit


class OfferField(QWidget):
    """A field with a button beside it that shows all there is to choose from, as the Down key does; none without any.

    Attributes: ``edit`` is the field.
    """

    def __init__(self, theme: ThemeManager, name: str, offers: Sequence[str], text: str = "") -> None:
        super().__init__()
        self.edit = completing(_Field(text), offers)
        self.edit.setAccessibleName(name)
        self.all = IconButton(theme, "chevron-down", f"{name}: show those that are known")
        self.all.clicked.connect(self._show_all)
        self.setFocusProxy(self.edit)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(_GAP)
        line.addWidget(self.edit, 1)
        line.addWidget(self.all)
        self.all.setVisible(bool(offers))  # not before it has a parent: it would be a window for a moment

    def _show_all(self) -> None:
        self.edit.setFocus(Qt.FocusReason.OtherFocusReason)
        offer_all(self.edit)


class _Field(QLineEdit):
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Down:
            offer_all(self)
        else:
            super().keyPressEvent(event)


def offer_all(edit: QLineEdit) -> None:
    """Show all that a completing field offers, whatever is written there."""
    completer = edit.completer()
    if completer is not None:
        completer.setCompletionPrefix("")
        completer.complete()
