"""The pane right of a table that tells all about the row in it: a header, and tabs below."""

from typing import Final

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QFont, QGuiApplication
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QScrollArea,
    QSizePolicy,
    QSplitter,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.ui import fonts
from app.ui.icons import icon
from app.ui.theme import ThemeManager
from app.ui.widgets.facts import MarkedLine
from app.ui.widgets.labels import ElidedLabel, PlainLabel
from app.ui.widgets.rows import GAP, MARGIN

WIDTH: Final = 384
_LEAST: Final = 300
#: Milliseconds for which a copy button says that it did it.
_DONE: Final = 1200


class IconButton(QToolButton):
    """A flat button with an icon only, and a name for tooltip and screen reader."""

    def __init__(self, theme: ThemeManager, name: str, says: str) -> None:
        super().__init__()
        self._theme = theme
        self._name = name
        self.setProperty("kind", "flat")
        self.setToolTip(says)
        self.setAccessibleName(says)
        self.setCursor(Qt.CursorShape.ArrowCursor)
        theme.changed.connect(self._wear)
        self._wear()

    def show_icon(self, name: str) -> None:
        self._name = name
        self._wear()

    def _wear(self) -> None:
        self.setIcon(icon(self._name, self._theme.theme, "secondary", size=14))


class CopyButton(IconButton):
    """Copies ``copied``."""

    def __init__(self, theme: ThemeManager, says: str) -> None:
        super().__init__(theme, "copy", says)
        self.copied = ""
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(lambda: self.show_icon("copy"))
        self.clicked.connect(self._copy)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.copied)
        self.show_icon("check")
        self._timer.start(_DONE)


class Inspector(QFrame):
    """Header with state, name and a line below it; the subclass fills the tabs. ``closed``: the user wants it gone."""

    closed = Signal()

    def __init__(self, theme: ThemeManager, copies: str) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.setMinimumWidth(_LEAST)
        self.state = MarkedLine(theme)
        self.title = ElidedLabel(mode=Qt.TextElideMode.ElideMiddle)
        self.title.setFont(fonts.mono_font(14, QFont.Weight.Bold))
        self.subtitle = ElidedLabel(role="secondary", mode=Qt.TextElideMode.ElideMiddle)
        self.copy = CopyButton(theme, copies)
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().setDrawBase(False)
        self.tabs.tabBar().setExpanding(False)
        self.tabs.setStyleSheet(f"QTabWidget::tab-bar {{ left: {MARGIN - 1}px; }}")
        self._close = IconButton(theme, "x", "Close (Esc)")
        self._close.clicked.connect(self.closed)
        self._lay_out()

    def add_tab(self, title: str, *widgets: QWidget) -> None:
        """A tab of widgets under each other, which scrolls."""
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(MARGIN)
        for widget in widgets:
            layout.addWidget(widget)
        layout.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(page)
        scroll.viewport().setAutoFillBackground(False)
        page.setAutoFillBackground(False)  # Qt has just turned it on, in the colour of a window
        self.tabs.addTab(scroll, title)

    def stand_on(self, foot: QWidget) -> None:
        """Have this under all tabs."""
        self._column.addWidget(foot)

    def put_away(self, back_to: QWidget) -> None:
        """Hide; the keyboard goes back to where it came from, if it is in here."""
        focused = QApplication.focusWidget()
        if focused is not None and self.isAncestorOf(focused):
            back_to.setFocus()
        self.hide()

    def _lay_out(self) -> None:
        first, second, header = QHBoxLayout(), QHBoxLayout(), QVBoxLayout()
        first.addWidget(self.state, 1)
        first.addWidget(self._close)
        second.setSpacing(4)
        second.addWidget(self.subtitle)
        second.addWidget(self.copy)
        second.addStretch(1)
        self.subtitle.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        header.setContentsMargins(MARGIN, 8, 8, 4)
        header.setSpacing(2)
        header.addLayout(first)
        header.addWidget(self.title)
        header.addLayout(second)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(1, 1, 1, 1)
        self._column.setSpacing(0)
        self._column.addLayout(header)
        self._column.addWidget(self.tabs, 1)


class Panes(QSplitter):
    """A card with a table left, and what stands below it; its inspector right, hidden until something is looked at."""

    def __init__(self, content: QWidget, inspector: Inspector, below: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        card = QFrame()
        card.setProperty("role", "card")
        card.setMinimumWidth(_LEAST)
        layout = QVBoxLayout(card)
        layout.setContentsMargins(1, 1, 1, 1)
        layout.setSpacing(0)
        layout.addWidget(content, 1)
        if below is not None:
            layout.addWidget(below)
        self.setHandleWidth(GAP)
        self.setChildrenCollapsible(False)
        self.addWidget(card)
        self.addWidget(inspector)
        self.setStretchFactor(0, 1)
        self.setStretchFactor(1, 0)
        self.setSizes([10_000, WIDTH])
        inspector.hide()


def heading(text: str) -> PlainLabel:
    """A small title over a part of a tab."""
    return PlainLabel(text, role="small")


def stack(*widgets: QWidget) -> QWidget:
    """Widgets close under each other, that belong together."""
    made = QWidget()
    layout = QVBoxLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    for widget in widgets:
        layout.addWidget(widget)
    return made
