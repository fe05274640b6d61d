"""What the window shows while there is nothing to show: how to begin."""

from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from app.ui import icons
from app.ui.theme import ThemeManager
from app.ui.widgets.labels import PlainLabel

_WAYS: Final = (
    (
        "Watch a broker",
        "cloche redis://localhost:6379/0",
        "The address your Celery app has as broker_url, of Redis or RabbitMQ.",
    ),
    ("Try it without one", "cloche demo", "Starts a small broker and a few workers of its own on this machine."),
    ("Open a history", "cloche history.cloche", "A file that was recorded earlier, here or by a colleague."),
)


class HomePage(QWidget):
    """Three ways in, each a command to copy."""

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self.setProperty("role", "page")
        self._theme = theme
        self._copies: list[QToolButton] = []
        column = QVBoxLayout()
        column.setSpacing(10)
        column.addWidget(PlainLabel("Nothing to watch yet", role="heading"))
        column.addWidget(PlainLabel("Start Cloche with the address of a broker that Celery uses:", role="secondary"))
        column.addSpacing(6)
        for title, command, text in _WAYS:
            column.addWidget(self._way(title, command, text))
        inside = QWidget()
        inside.setLayout(column)
        inside.setFixedWidth(520)
        whole = QVBoxLayout(self)
        whole.addStretch(2)
        whole.addWidget(inside, 0, Qt.AlignmentFlag.AlignHCenter)
        whole.addStretch(3)
        theme.changed.connect(self._wear)
        self._wear()

    def _way(self, title: str, command: str, text: str) -> QFrame:
        card = QFrame()
        card.setProperty("role", "card")
        label = PlainLabel(command, role="mono")
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        copy = QToolButton()
        copy.setProperty("kind", "flat")
        copy.setToolTip("Copy this command")
        copy.setAccessibleName(f"Copy {command}")
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(command))
        self._copies.append(copy)
        line = QHBoxLayout()
        line.addWidget(label, 1)
        line.addWidget(copy)
        column = QVBoxLayout(card)
        column.setContentsMargins(14, 10, 10, 10)
        column.setSpacing(2)
        column.addWidget(PlainLabel(title, role="strong"))
        column.addLayout(line)
        column.addWidget(PlainLabel(text, role="small"))
        return card

    def _wear(self) -> None:
        for copy in self._copies:
            copy.setIcon(icons.icon("copy", self._theme.theme, "secondary", size=14))
