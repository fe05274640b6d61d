"""What the window shows while there is nothing to show: how to begin."""

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QScrollArea, QToolButton, QVBoxLayout, QWidget

from app.models.profiles import Profile
from app.ui import icons
from app.ui.theme import ThemeManager
from app.ui.widgets.kept_rows import ProfileRow
from app.ui.widgets.labels import PlainLabel
from app.ui.widgets.sidebar import CONNECT_KEY

_WAYS: Final = (
    ("Try it without one", "cloche demo", "Starts a small broker and a few workers of its own on this machine."),
    ("Open a history", "cloche history.cloche", "A file that was recorded earlier, here or by a colleague."),
)


class HomePage(QWidget):
    """Three ways in: a broker, which may be one that is kept, and two commands to copy.

    Signals: ``connect_wanted``, ``profile_chosen`` with the `Profile` of a kept one, and ``profile_more`` with the
    same, and where a menu is to open.
    """

    connect_wanted = Signal()
    profile_chosen = Signal(object)
    profile_more = Signal(object, QPoint)

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self.setProperty("role", "page")
        self._theme = theme
        self._copies: list[QToolButton] = []
        self.profiles: list[ProfileRow] = []
        self.connect_ = QPushButton("Connect to a broker …")
        column = QVBoxLayout()
        column.setSpacing(10)
        column.addWidget(PlainLabel("Nothing to watch yet", role="heading"))
        column.addWidget(PlainLabel("There are three ways to begin.", role="secondary"))
        column.addSpacing(6)
        column.addWidget(self._way_to_brokers())
        for title, command, text in _WAYS:
            column.addWidget(self._way(title, command, text))
        inside = QWidget()
        inside.setLayout(column)
        inside.setFixedWidth(520)
        ground = QWidget()
        whole = QVBoxLayout(ground)
        whole.addStretch(2)
        whole.addWidget(inside, 0, Qt.AlignmentFlag.AlignHCenter)
        whole.addStretch(3)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(ground)
        area.viewport().setAutoFillBackground(False)
        ground.setAutoFillBackground(False)
        around = QVBoxLayout(self)
        around.setContentsMargins(0, 0, 0, 0)
        around.addWidget(area)
        self.setFocusProxy(self.connect_)
        theme.changed.connect(self._wear)
        self._wear()

    def show_profiles(self, kept: Sequence[Profile]) -> None:
        """List the connections that are kept."""
        for row in self.profiles:
            self._kept.removeWidget(row)
            row.hide()
            row.deleteLater()
        self.profiles = [ProfileRow(self._theme, profile) for profile in kept]
        for row, profile in zip(self.profiles, kept, strict=True):
            row.clicked.connect(lambda _=False, profile=profile: self.profile_chosen.emit(profile))
            row.more_wanted.connect(lambda where, profile=profile: self.profile_more.emit(profile, where))
            self._kept.addWidget(row)

    def _way_to_brokers(self) -> QFrame:
        card = QFrame()
        card.setProperty("role", "card")
        self.connect_.setProperty("kind", "primary")
        self.connect_.setToolTip(f"Connect to a broker ({CONNECT_KEY})")
        self.connect_.clicked.connect(self.connect_wanted)
        self._kept = QVBoxLayout()
        self._kept.setSpacing(2)
        column = QVBoxLayout(card)
        column.setContentsMargins(14, 10, 14, 12)
        column.setSpacing(8)
        column.addWidget(PlainLabel("Watch a broker", role="strong"))
        text = "Redis or RabbitMQ: paste the address that your Celery app has as broker_url."
        column.addWidget(PlainLabel(text, role="small"))
        column.addLayout(self._kept)
        column.addWidget(self.connect_, 0, Qt.AlignmentFlag.AlignLeft)
        return card

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
