"""All keys of the window at a glance."""

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from app.ui.widgets.labels import PlainLabel

#: What each key does, by the place it works in.
KEYS: Final[tuple[tuple[str, tuple[tuple[str, str], ...]], ...]] = (
    (
        "Window",
        (
            ("Alt+1 … Alt+5", "Overview, Tasks, Workers, Queues, Activity"),
            ("Ctrl+1 … Ctrl+9", "Go to a broker"),
            ("Ctrl+0", "All brokers side by side"),
            ("Ctrl+N", "Connect to a broker"),
            ("?", "These keys"),
        ),
    ),
    (
        "Time",
        (
            ("Space", "Freeze the picture, or let it go on"),
            ("[   ]", "Earlier, later by one range"),
            ("Home", "Back to live"),
            ("←   →", "Move the crosshair of a chart"),
        ),
    ),
    (
        "Tables",
        (
            ("/", "Search tasks"),
            ("J   K", "Next, previous row"),
            ("Enter", "Open the inspector"),
            ("Esc", "Close the inspector"),
            ("F", "Follow the newest tasks"),
            ("Ctrl+C", "Copy the selected rows"),
            ("Ctrl+A", "Select all rows"),
        ),
    ),
    (
        "Tasks",
        (
            ("Shift+R", "Revoke, after a plan was shown"),
            ("Shift+A", "Run again, after a plan was shown"),
            ("E", "Export the selected ones"),
        ),
    ),
)


class KeysDialog(QDialog):
    """Lists `KEYS`; to be opened by `open`, never by `exec`."""

    def __init__(self, parent: QWidget, keys: Sequence[tuple[str, Sequence[tuple[str, str]]]] = KEYS) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(8)
        for title, lines in keys:
            column.addWidget(PlainLabel(title, role="title"))
            grid = QGridLayout()
            grid.setContentsMargins(0, 0, 0, 10)
            grid.setHorizontalSpacing(20)
            grid.setVerticalSpacing(6)
            grid.setColumnMinimumWidth(0, 132)
            grid.setColumnStretch(1, 1)
            for row, (key, what) in enumerate(lines):
                box = QHBoxLayout()
                box.addWidget(PlainLabel(key, role="key"))
                box.addStretch(1)
                grid.addLayout(box, row, 0)
                grid.addWidget(PlainLabel(what), row, 1)
            column.addLayout(grid)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column.addWidget(buttons)
