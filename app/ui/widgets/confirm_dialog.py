"""A question before something is done to a broker: what exactly will happen, and Cancel at hand."""

from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.ui.widgets.labels import PlainLabel

_WIDTH: Final = 480
_MARGIN: Final = 20


class ConfirmDialog(QDialog):
    """To be opened by `open`, never by `exec`; ``accepted`` where the user goes to the button that does it."""

    def __init__(self, parent: QWidget, title: str, text: str, does: str) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setFixedWidth(_WIDTH)
        column = QVBoxLayout(self)
        column.setContentsMargins(_MARGIN, 16, _MARGIN, 16)
        column.setSpacing(8)
        column.addWidget(PlainLabel(title, role="title"))
        label = PlainLabel(text, role="secondary")
        label.setWordWrap(True)
        # A dialog does not ask how high a text is at its width.
        label.setFixedWidth(_WIDTH - 2 * _MARGIN)
        column.addWidget(label)
        self.cancel, self.do = QPushButton("Cancel"), QPushButton(does)
        self.cancel.setDefault(True)
        self.do.setProperty("kind", "primary")
        self.cancel.clicked.connect(self.reject)
        self.do.clicked.connect(self.accept)
        buttons = QHBoxLayout()
        buttons.setContentsMargins(0, 10, 0, 0)
        buttons.addStretch(1)
        buttons.addWidget(self.cancel)
        buttons.addWidget(self.do)
        column.addLayout(buttons)
        self.cancel.setFocus()
