"""The left edge of the window: which broker, and which page."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from PySide6.QtCore import Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QButtonGroup, QFrame, QScrollArea, QVBoxLayout, QWidget

from app.ui.theme import ThemeManager
from app.ui.widgets.labels import ElidedLabel, PlainLabel
from app.ui.widgets.side_rows import Badge, BrokerRow, BrokerState, ConnectRow, PageRow

WIDTH: Final = 216
#: What opens the dialog for one more broker.
CONNECT_KEY: Final = "Ctrl+N"
#: What stands for every broker at once, and the key that leads there.
ALL_BROKERS: Final = "All brokers"
ALL_KEY: Final = "Ctrl+0"


class PageEntry(NamedTuple):
    """A page as the sidebar lists it."""

    name: str
    title: str
    icon: str
    key: str


class Sidebar(QFrame):
    """Brokers above, pages below.

    Signals: ``broker_chosen`` with the broker's place in the list, ``all_chosen`` when pages are to be about all of
    them, ``page_chosen`` with the page's name, ``connect_wanted`` when there is to be one more broker.
    """

    broker_chosen = Signal(object)
    all_chosen = Signal()
    page_chosen = Signal(str)
    connect_wanted = Signal()

    def __init__(self, theme: ThemeManager, pages: Sequence[PageEntry]) -> None:
        super().__init__()
        self._theme = theme
        self.setProperty("role", "bar")
        self.setFixedWidth(WIDTH)
        self._brokers: list[BrokerRow] = []
        self._all = BrokerRow(theme, BrokerState(ALL_BROKERS, "", "", "unknown", "hint", ""))
        self._all.clicked.connect(self.all_chosen)
        self._all.hide()  # until there are two
        self._broker_group, self._page_group = QButtonGroup(self), QButtonGroup(self)
        self._scope = ElidedLabel(role="hint")
        self._scope.setContentsMargins(10, 0, 10, 0)
        self._pages = {entry.name: PageRow(theme, entry.title, entry.icon, entry.key) for entry in pages}
        for entry in pages:
            row = self._pages[entry.name]
            self._page_group.addButton(row)
            row.clicked.connect(lambda _=False, name=entry.name: self.page_chosen.emit(name))
        self._connect = ConnectRow(theme, CONNECT_KEY)
        self._connect.clicked.connect(self.connect_wanted)
        self._below = QWidget()
        self._below.hide()  # pages are of no use without a broker
        self._lay_out()
        theme.changed.connect(self.update)

    def _add_broker(self, state: BrokerState) -> None:
        row, place = BrokerRow(self._theme, state), len(self._brokers)
        self._brokers.append(row)
        self._broker_group.addButton(row)
        row.clicked.connect(lambda: self.broker_chosen.emit(place))
        self._broker_rows.addWidget(row)
        self._none.hide()
        self._below.show()
        self._all.setVisible(len(self._brokers) > 1)

    def show_brokers(self, states: Sequence[BrokerState], together: BrokerState | None) -> None:
        """Show how the brokers are now, new ones too, and how they are together where there are several."""
        for state in states[len(self._brokers) :]:
            self._add_broker(state)
        for row, state in zip(self._brokers, states, strict=True):
            row.show_state(state)
        if together is not None:
            self._all.show_state(together)

    def choose_all(self) -> None:
        """Mark that all pages are about all brokers."""
        self._all.setChecked(True)
        self._scope.setText(ALL_BROKERS)

    def choose_broker(self, place: int, name: str) -> None:
        """Mark the broker that all pages are about."""
        self._brokers[place].setChecked(True)
        self._scope.setText(name)

    def choose_page(self, name: str) -> None:
        """Mark the page that is shown."""
        self._pages[name].setChecked(True)

    def show_badge(self, name: str, badge: Badge) -> None:
        """Show how many findings a page is about."""
        self._pages[name].show_badge(badge)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        QPainter(self).fillRect(self.width() - 1, 0, 1, self.height(), self._theme.theme.colour("line"))

    def _lay_out(self) -> None:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(8, 14, 9, 8)
        column.setSpacing(0)
        heading = PlainLabel("Brokers", role="hint")
        heading.setContentsMargins(10, 0, 0, 8)
        column.addWidget(heading)
        self._none = PlainLabel("None yet", role="small")
        self._none.setContentsMargins(10, 0, 0, 0)
        column.addWidget(self._none)
        self._broker_rows = QVBoxLayout()
        self._broker_rows.setSpacing(2)
        self._broker_rows.addWidget(self._all)
        self._broker_group.addButton(self._all)
        column.addLayout(self._broker_rows)
        column.addSpacing(4)
        column.addWidget(self._connect)
        column.addWidget(self._below)
        column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(inside)
        area.viewport().setAutoFillBackground(False)
        inside.setAutoFillBackground(False)
        self._lay_out_pages()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 1, 0)
        whole.addWidget(area)

    def _lay_out_pages(self) -> None:
        line = QFrame()
        line.setProperty("role", "separator")
        line.setFixedHeight(1)
        column = QVBoxLayout(self._below)
        column.setContentsMargins(0, 14, 0, 0)
        column.setSpacing(0)
        column.addWidget(line)
        column.addSpacing(12)
        column.addWidget(self._scope)
        column.addSpacing(6)
        for row in self._pages.values():
            column.addWidget(row)
