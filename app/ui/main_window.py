"""The window: which broker, which page, which span of time. It holds the pages and knows nothing of what they show."""

from typing import Final, cast

from PySide6.QtCore import QSettings, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QKeyEvent
from PySide6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QMainWindow,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app import paths
from app.models.acts import Wish
from app.models.diagnosis import Finding
from app.models.wire import Notice
from app.ui import attention, words
from app.ui.kept import Kept
from app.ui.live import TimeRange, View
from app.ui.operating import Operator
from app.ui.pages.all_pages import PAGES, TITLES, Across, AllPages
from app.ui.pages.table_page import TablePage
from app.ui.scope import Scope
from app.ui.supervisor import Connection, Supervisor
from app.ui.theme import ThemeManager
from app.ui.ways_in import WaysIn
from app.ui.widgets.edge import Edge
from app.ui.widgets.home import HomePage
from app.ui.widgets.notice_bar import NoticeBar
from app.ui.widgets.sidebar import ALL_BROKERS, Sidebar
from app.ui.widgets.status_bar import StatusBar
from app.ui.widgets.top_bar import TopBar
from app.ui.window_keys import WindowKeys
from app.ui.window_state import WindowState

_SMALLEST: Final = (860, 560)
_TICK_MS: Final = 1000


class MainWindow(QMainWindow):
    """One window over all connections of a supervisor.

    Attributes: ``range`` is the span that all pages show, ``scope`` the brokers that they are about, and ``ways`` how
    connections come and go.
    Signals: ``closed`` when the user closed it; what the window looked like is in the settings by then.
    """

    closed = Signal()

    def __init__(
        self, supervisor: Supervisor, theme: ThemeManager, settings: QSettings, kept: Kept | None = None
    ) -> None:
        super().__init__()
        self._supervisor = supervisor
        self.ways = WaysIn(self, theme, supervisor, kept or Kept(paths.profiles_file()))
        self.setWindowTitle("Cloche")
        self.setMinimumSize(*_SMALLEST)
        self._state = WindowState(settings, theme)
        self.range = TimeRange(self)
        self._state.restore_span(self.range)
        self._pages = AllPages(theme, self.range, self)
        self._page = self._state.page if self._state.page in self._pages.one else "overview"
        self.scope = Scope(self)
        self._paused_at: int | None = None
        self._edge, self._sidebar = Edge(theme), Sidebar(theme, PAGES)
        self._top, self._notices, self._status = TopBar(theme, self.range), NoticeBar(theme), StatusBar(theme)
        self._home, self._stack = HomePage(theme), QStackedWidget()
        self._operator = Operator(self, theme, self.scope, self.ways, self._top.badge, self._notices)
        self._lay_out()
        self._keys = WindowKeys(
            self, self.range, self.scope, self._top.pause_button, self.show_page, self.ways.connect_
        )
        self._state.restore(self)
        self._connect()
        self._clock = QTimer(self)
        for shown in (self._show_brokers, self._operator.show):
            self._clock.timeout.connect(shown)
        self._clock.start(_TICK_MS)
        for connection in supervisor.connections:
            self._add(connection)
        supervisor.added.connect(self._add)
        supervisor.removed.connect(self._remove)
        self._show_place()
        self.ways.serve(self._sidebar, self._home, self._notices)
        self.ways.chosen.connect(lambda connection: self.scope.choose(self.scope.find(connection)))

    @property
    def pages(self) -> dict[str, View]:
        """The pages over one broker, by name."""
        return self._pages.one

    @property
    def across(self) -> dict[str, Across]:
        """The pages over all brokers, by name."""
        return self._pages.across

    @property
    def page(self) -> View:
        """The page that is shown."""
        return self.across[self._page] if self.scope.all else self.pages[self._page]

    def show_page(self, name: str) -> None:
        """Show a page by its name."""
        self._page = name
        self._show_place()
        target = self.page.focusProxy() or self.page
        target.setFocus(Qt.FocusReason.OtherFocusReason)

    def show_notice(self, notice: Notice, origin: str = "") -> None:
        """Show a message to people; `origin` names its broker."""
        self._notices.show_notice(notice, origin)

    def act(self, wish: Wish | None, *, resumed: str = "") -> None:
        """Plan a wish about the broker that is shown, and do it if that is confirmed; see `Operator.act`."""
        self._operator.act(wish, resumed=resumed)

    def _add(self, connection: Connection) -> None:
        self.scope.add(connection)
        connection.noticed.connect(lambda notice: self._hear(connection, notice))
        connection.renewed.connect(self._renewed)
        connection.acts.standing_changed.connect(self._operator.show)
        if not self.scope.shown:
            self.scope.choose(0)

    def _remove(self, connection: Connection) -> None:
        self._sidebar.remove_broker(self.scope.find(connection))
        self.scope.remove(connection)

    def _renewed(self) -> None:
        """Settings of a connection are others now, perhaps its name and what may be done there."""
        if self.scope.all:
            for page in self.across.values():
                page.watch(self.scope.connections)
        self._show_place()
        self.page.reload()

    def _scope_changed(self) -> None:
        self._paused_at = None
        self.range.set_paused(False)
        if self.scope.all != bool(self._pages.all_tasks.connections):
            self._pages.carry_search(to_all=self.scope.all)
        # Hidden pages watch nothing.
        pages, hidden = (self.across, self.pages) if self.scope.all else (self.pages, self.across)
        for page in pages.values():
            page.watch(self.scope.connections)
        for page in hidden.values():
            page.watch(())
        self._show_place()

    def _open_on(self, connection: Connection, name: str) -> None:
        """Show more of what stands on a page over all brokers."""
        page = self._page
        self.scope.choose(self.scope.find(connection))
        if page == "tasks":
            self._show_task(name)
        elif name:
            cast("TablePage", self.pages[page]).inspect(name)

    def _hear(self, connection: Connection, notice: Notice) -> None:
        self._notices.show_notice(notice, connection.profile.name, named=len(self.scope.brokers) > 1)

    def _show_trouble(self, page: str, text: str) -> None:
        connection = self.page.connection
        # A collector that has just been started is about to make the file: that is no trouble.
        coming = connection is not None and connection.live and not connection.history.exists()
        self.show_notice(Notice(f"page.{page}", "" if coming else text))

    def _show_place(self) -> None:
        scope, title = self.scope, TITLES[self._page]
        self._stack.setCurrentWidget(self.page if scope.shown else self._home)
        self._sidebar.choose_page(self._page)
        one = scope.one
        if one is not None:
            mode = one.profile.mode if one.live else None
            self._top.show_place(one.profile.name, title, mode, pinned=one.target.pinned)
            self._edge.set_token(words.ENVIRONMENTS[one.profile.environment][0], one.profile.colour)
            self.setWindowTitle(f"{one.profile.name} · Cloche")
        elif scope.all:
            self._top.show_all(ALL_BROKERS, title, grows=any(each.live for each in scope.connections))
            environments = {each.profile.environment for each in scope.connections}
            self._edge.set_token("production" if "production" in environments else "panel")
            self.setWindowTitle(f"{ALL_BROKERS} · Cloche")
        else:
            self._top.show_home()
            self._edge.set_token("panel")
            self.setWindowTitle("Cloche")
        self._operator.show()
        self._show_brokers()
        if scope.all:
            self._sidebar.choose_all()
        elif one is not None and scope.place is not None:
            self._sidebar.choose_broker(scope.place, one.profile.name)

    def _show_brokers(self) -> None:
        scope = self.scope
        states = [attention.broker_state(vitals) for vitals in scope.brokers]
        self._sidebar.show_brokers(states, attention.all_state(scope.brokers) if len(states) > 1 else None)
        self._pages.all_overview.show_states(states)
        health, vital = scope.health, scope.vital
        self._status.show_health(health)
        if health is not None:
            self._top.range_button.set_heard(health.state not in ("disconnected", "stopped"))
        self._status.show_vital(vital)
        found = [finding for vitals in scope.shown for finding in attention.pressing(vitals)]
        for name in TITLES:
            self._sidebar.show_badge(name, attention.badge([one for one in found if attention.page_of(one) == name]))
        if vital is None:
            return
        if scope.one is not None:
            self._pages.overview.show_findings(vital.findings, vital.looked, operates=scope.one.operates)
        if self.range.paused and self._paused_at is not None:
            self._top.pause_button.show_new(vital.last_task - self._paused_at)

    def _act(self, finding: Finding) -> None:
        """Do what a finding offers."""
        action, name = finding.action, attention.page_of(finding)
        if action is None:
            return
        if action.kind == "events":
            self._want_events()
        elif action.kind == "tasks":
            if self.range.live:
                self.range.go_live(attention.span_since(finding.since, self.range.span))
            self._show_tasks(action.target)
        else:
            self.show_page(name)
            cast("TablePage", self.pages[name]).inspect(action.target)

    def _want_events(self) -> None:
        self.page.spawn(self._operator.turn_events_on())

    def _range_changed(self) -> None:
        if not self.range.paused:
            self._paused_at = None
            self._top.pause_button.show_new(0)
        elif self._paused_at is None:
            vital = self.scope.vital
            self._paused_at = None if vital is None else vital.last_task

    def _show_tasks(self, search: str) -> None:
        self._pages.tasks.search_for(search)
        self.show_page("tasks")

    def _show_task(self, uuid: str) -> None:
        self._pages.tasks.show_task(uuid)
        self.show_page("tasks")

    def _connect(self) -> None:
        pages = self._pages
        self._sidebar.page_chosen.connect(self.show_page)
        self._sidebar.broker_chosen.connect(self.scope.choose)
        self._sidebar.all_chosen.connect(self.scope.choose_all)
        self.scope.changed.connect(self._scope_changed)
        self.scope.told.connect(self._show_brokers)
        self.range.changed.connect(self._range_changed)
        for across in pages.across.values():
            across.opened.connect(self._open_on)
        for name, page in pages.one.items():
            page.trouble.connect(lambda text, name=name: self._show_trouble(name, text))
            page.act_wanted.connect(self.act)
        for page in pages.each:
            page.act_refused.connect(self._operator.refuse)
        pages.overview.name_opened.connect(lambda name: self._show_tasks(f'name:"{name}"'))
        pages.overview.acted.connect(self._act)
        pages.workers.task_opened.connect(self._show_task)
        pages.activity.resume_wanted.connect(lambda act: self.act(None, resumed=act))
        for wanted in (pages.tasks.events_wanted, pages.workers.events_wanted):
            wanted.connect(self._want_events)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """A page's own keys work from anywhere."""
        focused = QApplication.focusWidget()
        if self._keys.takes(event):
            return
        if focused is None or not self.page.isAncestorOf(focused):
            self.page.keyPressEvent(event)
        else:
            super().keyPressEvent(event)

    def _lay_out(self) -> None:
        for page in (self._home, *self._pages.each):
            self._stack.addWidget(page)
        right = QVBoxLayout()
        right.setSpacing(0)
        for part in (self._top, self._notices):
            right.addWidget(part)
        right.addWidget(self._stack, 1)
        middle = QHBoxLayout()
        middle.setSpacing(0)
        middle.addWidget(self._sidebar)
        middle.addLayout(right, 1)
        whole = QWidget()
        column = QVBoxLayout(whole)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._edge)
        column.addLayout(middle, 1)
        column.addWidget(self._status)
        self.setCentralWidget(whole)
        self._operator.frame(whole)

    def closeEvent(self, event: QCloseEvent) -> None:
        self._state.keep(self, self._page, self.range.span)
        self._clock.stop()
        self.scope.stop()
        super().closeEvent(event)
        self.closed.emit()
