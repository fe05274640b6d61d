"""A small form for what an act needs to know before it is planned."""

from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.models.acts import Wish
from app.ui.widgets.form_parts import ErrorLabel, Grid
from app.ui.widgets.json_edit import JsonEdit
from app.ui.widgets.labels import PlainLabel

_MARGIN: Final = 20


class WrongError(Exception):
    """What is written in a field is wrong; the text says how."""

    def __init__(self, field: QWidget, text: str) -> None:
        super().__init__(text)
        self.field = field


class FormDialog(QDialog):
    """To be opened by `open`, never by `exec`. ``wished`` carries the wish, which is then planned and confirmed.

    Subclasses add fields, and implement `wish`.
    """

    wished = Signal(object)

    def __init__(self, parent: QWidget, title: str, text: str, *, width: int = 460) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._errors: dict[QWidget, ErrorLabel] = {}
        self.grid = Grid()
        self.cancel, self.go_on = QPushButton("Cancel"), QPushButton("Continue …")
        self.go_on.setProperty("kind", "primary")
        self.go_on.setToolTip("Show what exactly would be done; nothing is done yet")
        self.go_on.setDefault(True)
        self.cancel.clicked.connect(self.reject)
        self.go_on.clicked.connect(self._go_on)
        column = QVBoxLayout(self)
        column.setSizeConstraint(QLayout.SizeConstraint.SetFixedSize)  # it grows and shrinks with what is in it
        column.setContentsMargins(_MARGIN, 16, _MARGIN, 16)
        column.setSpacing(10)
        column.addWidget(PlainLabel(title, role="title"))
        said = PlainLabel(text, role="secondary")
        said.setWordWrap(True)
        # A dialog does not ask how high a text is at its width.
        said.setFixedWidth(width - 2 * _MARGIN)
        column.addWidget(said)
        column.addLayout(self.grid)
        #: What stands under the fields.
        self.below = QVBoxLayout()
        column.addLayout(self.below)
        buttons = QHBoxLayout()
        buttons.setContentsMargins(0, 8, 0, 0)
        buttons.addStretch(1)
        buttons.addWidget(self.cancel)
        buttons.addWidget(self.go_on)
        column.addLayout(buttons)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        first = next(iter(self._errors), None)
        if first is not None:
            first.setFocus(Qt.FocusReason.TabFocusReason)  # what is written there is selected, to be written over

    def wish(self) -> Wish:
        """What is wished. Raises `WrongError` where a field is wrong."""
        raise NotImplementedError

    def reveal(self, field: QWidget) -> None:
        """Bring a field into sight that is in a part which can be closed."""

    def add(self, name: str, field: QWidget, *beside: QWidget, grid: Grid | None = None) -> None:
        """Add a field by its name, and what stands ``beside`` it; to ``grid`` where it is given."""
        if isinstance(field, QLineEdit):
            field.setAccessibleName(name)
            field.textEdited.connect(lambda: self._errors[field].say(""))
        error = self._errors[field] = ErrorLabel(field)
        (grid or self.grid).add(name, _in_line(field, *beside) if beside else field, error)

    @property
    def error(self) -> str:
        """What is said to be wrong."""
        return " ".join(filter(None, (label.text() for label in self._errors.values())))

    def _go_on(self) -> None:
        for label in self._errors.values():
            label.say("")
        try:
            wish = self.wish()
        except WrongError as wrong:
            self.reveal(wrong.field)
            if isinstance(wrong.field, JsonEdit):  # it says so itself, with the place
                wrong.field.point()
            else:
                self._errors[wrong.field].say(str(wrong))
                self._errors[wrong.field].point()
            return
        self.accept()
        self.wished.emit(wish)


def _in_line(*widgets: QWidget) -> QWidget:
    made = QWidget()
    line = QHBoxLayout(made)
    line.setContentsMargins(0, 0, 0, 0)
    line.setSpacing(8)
    for widget in widgets:
        line.addWidget(widget)
    return made
