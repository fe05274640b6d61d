"""The window: which broker, which page, which span of time. It holds the pages and knows nothing of what they show."""

from typing import Final, cast, get_args

from PySide6.QtCore import QByteArray, QSettings, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QHBoxLayout,
    QMainWindow,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app import paths
from app.models.diagnosis import Finding
from app.models.wire import Notice
from app.ui import attention, words
from app.ui.kept import Kept
from app.ui.live import RANGES, TimeRange, View
from app.ui.pages.overview import OverviewPage
from app.ui.pages.queues import QueuesPage
from app.ui.pages.table_page import TablePage
from app.ui.pages.tasks import TasksPage
from app.ui.pages.workers import WorkersPage
from app.ui.supervisor import Connection, Supervisor
from app.ui.theme import Mode, ThemeManager
from app.ui.vitals import Vital, Vitals
from app.ui.ways_in import WaysIn
from app.ui.widgets.confirm_dialog import events_dialog
from app.ui.widgets.edge import Edge
from app.ui.widgets.home import HomePage
from app.ui.widgets.keys_dialog import KeysDialog
from app.ui.widgets.notice_bar import NoticeBar
from app.ui.widgets.sidebar import CONNECT_KEY, PageEntry, Sidebar
from app.ui.widgets.status_bar import StatusBar
from app.ui.widgets.top_bar import TopBar

PAGES: Final = (
    PageEntry("overview", "Overview", "layout-dashboard", "Alt+1"),
    PageEntry("tasks", "Tasks", "list-checks", "Alt+2"),
    PageEntry("workers", "Workers", "server", "Alt+3"),
    PageEntry("queues", "Queues", "layers", "Alt+4"),
)
_TITLES: Final = {entry.name: entry.title for entry in PAGES}
_SIZE: Final = (1280, 800)
_SMALLEST: Final = (860, 560)
_TICK_MS: Final = 1000


class MainWindow(QMainWindow):
    """One window over all connections of a supervisor.

    Attributes: ``range`` is the span that all pages show, ``pages`` the pages by name, ``ways`` how connections come.
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
        self._theme = theme
        self._settings = settings
        self.range = TimeRange(self)
        self._restore_span()
        overview, tasks = OverviewPage(theme, self.range), TasksPage(theme, self.range)
        workers = WorkersPage(theme, self.range)
        self.pages: dict[str, View] = {
            "overview": overview,
            "tasks": tasks,
            "workers": workers,
            "queues": QueuesPage(theme, self.range),
        }
        overview.name_opened.connect(lambda name: self._show_tasks(f'name:"{name}"'))
        overview.acted.connect(self._act)
        workers.task_opened.connect(self._show_task)
        for wanted in (tasks.events_wanted, workers.events_wanted):
            wanted.connect(lambda on: self._ask_events(on=on))
        self._overview, self._tasks_page = overview, tasks
        self._page = str(self._settings.value("window/page", "overview"))
        self._page = self._page if self._page in self.pages else "overview"
        self._brokers: list[Vitals] = []
        self._chosen: int | None = None
        self._paused_at: int | None = None
        self._edge, self._sidebar = Edge(theme), Sidebar(theme, PAGES)
        self._top, self._notices, self._status = TopBar(theme, self.range), NoticeBar(theme), StatusBar(theme)
        self._home, self._stack = HomePage(theme), QStackedWidget()
        self._lay_out()
        self._make_keys()
        self._restore()
        self._sidebar.page_chosen.connect(self.show_page)
        self._sidebar.broker_chosen.connect(self.choose)
        self.range.changed.connect(self._range_changed)
        for name, page in self.pages.items():
            page.trouble.connect(lambda text, name=name: self._show_trouble(name, text))
        self._clock = QTimer(self)
        self._clock.timeout.connect(self._show_brokers)
        self._clock.start(_TICK_MS)
        for connection in supervisor.connections:
            self._add(connection)
        supervisor.added.connect(self._add)
        supervisor.removed.connect(self._remove)
        self._show_place()
        self.ways.serve(self._sidebar, self._home, self._notices)
        self.ways.chosen.connect(lambda connection: self.choose(supervisor.connections.index(connection)))

    @property
    def page(self) -> View:
        """The page that is shown."""
        return self.pages[self._page]

    def show_page(self, name: str) -> None:
        """Show a page by its name."""
        self._page = name
        self._show_place()
        target = self.page.focusProxy() or self.page
        target.setFocus(Qt.FocusReason.OtherFocusReason)

    def choose(self, place: int) -> None:
        """Make all pages be about the broker at a place of the list."""
        if not 0 <= place < len(self._brokers):
            return
        if self._brokers[place].connection.given_up:
            self._brokers[place].connection.start_again()
        if place == self._chosen:
            return
        self._chosen = place
        connection = self._brokers[place].connection
        self._paused_at = None
        self.range.set_paused(False)
        for page in self.pages.values():
            page.set_connection(connection)
        self._show_place()

    def show_notice(self, notice: Notice, origin: str = "") -> None:
        """Show a message to people; `origin` names its broker."""
        self._notices.show_notice(notice, origin)

    def show_keys(self) -> None:
        """Show what each key does."""
        KeysDialog(self).open()

    def _add(self, connection: Connection) -> None:
        vitals, place = Vitals(connection, self), len(self._brokers)
        self._brokers.append(vitals)
        self._sidebar.add_broker(attention.broker_state(vitals))
        vitals.changed.connect(self._show_brokers)
        connection.health_changed.connect(self._show_brokers)
        connection.noticed.connect(lambda notice: self._hear(connection, notice))
        connection.renewed.connect(self._renewed)
        if self._chosen is None:
            self.choose(place)

    def _remove(self, connection: Connection) -> None:
        """Show it no more; what was shown of it gives place to another, or to how to begin."""
        place = next(at for at, vitals in enumerate(self._brokers) if vitals.connection is connection)
        gone, chosen = self._brokers.pop(place), self._chosen
        gone.stop()
        gone.changed.disconnect(self._show_brokers)
        self._sidebar.remove_broker(place)
        self._chosen = chosen if chosen is None or chosen < place else chosen - 1 if chosen > place else None
        if self._chosen is None and self._brokers:
            self.choose(min(place, len(self._brokers) - 1))
        elif self._chosen is None:
            for page in self.pages.values():
                page.set_connection(None)
            self.setWindowTitle("Cloche")
            self._show_place()

    def _renewed(self) -> None:
        """Settings of a connection are others now, perhaps its name and what may be done there."""
        self._show_place()
        for page in self.pages.values():
            page.reload()

    def _hear(self, connection: Connection, notice: Notice) -> None:
        self._notices.show_notice(notice, connection.profile.name, named=len(self._brokers) > 1)

    def _show_trouble(self, page: str, text: str) -> None:
        connection = self.page.connection
        # A collector that has just been started is about to make the file: that is no trouble.
        coming = connection is not None and connection.live and not connection.history.exists()
        self.show_notice(Notice(f"page.{page}", "" if coming else text))

    def _show_place(self) -> None:
        vitals = self._vitals()
        self._stack.setCurrentWidget(self._home if vitals is None else self.page)
        self._sidebar.choose_page(self._page)
        if vitals is None:
            self._top.show_home()
            self._edge.set_token("panel")
        else:
            profile = vitals.connection.profile
            mode = profile.mode if vitals.connection.live else None
            pinned = vitals.connection.target.pinned
            self._top.show_place(profile.name, _TITLES[self._page], mode, pinned=pinned)
            self._sidebar.choose_broker(self._brokers.index(vitals), profile.name)
            self._edge.set_token(words.ENVIRONMENTS[profile.environment][0], profile.colour)
            self.setWindowTitle(f"{profile.name} · Cloche")
        self._show_brokers()

    def _show_brokers(self) -> None:
        for place, vitals in enumerate(self._brokers):
            self._sidebar.show_broker(place, attention.broker_state(vitals))
        chosen = self._vitals()
        self._status.show_health(None if chosen is None else chosen.connection.health)
        if chosen is not None:
            self._top.range_button.set_heard(chosen.connection.health.state not in ("disconnected", "stopped"))
        self._status.show_vital(None if chosen is None else chosen.vital)
        if chosen is not None and chosen.vital is not None:
            self._show_findings(chosen, chosen.vital)
            if self.range.paused and self._paused_at is not None:
                self._top.pause_button.show_new(chosen.vital.last_task - self._paused_at)

    def _show_findings(self, vitals: Vitals, vital: Vital) -> None:
        self._overview.show_findings(vital.findings, vital.looked, operates=vitals.connection.operates)
        found = attention.pressing(vitals)
        for name in _TITLES:
            self._sidebar.show_badge(name, attention.badge([one for one in found if attention.page_of(one) == name]))

    def _vitals(self) -> Vitals | None:
        return None if self._chosen is None else self._brokers[self._chosen]

    def _act(self, finding: Finding) -> None:
        """Do what a finding offers."""
        action, name = finding.action, attention.page_of(finding)
        if action is None:
            return
        if action.kind == "events":
            self._ask_events(on=True)
        elif action.kind == "tasks":
            if self.range.live:
                self.range.go_live(attention.span_since(finding.since, self.range.span))
            self._show_tasks(action.target)
        else:
            self.show_page(name)
            cast("TablePage", self.pages[name]).inspect(action.target)

    def _ask_events(self, *, on: bool) -> None:
        vitals = self._vitals()
        if vitals is not None and vitals.connection.operates:
            connection = vitals.connection
            dialog = events_dialog(self, connection.profile.name, on=on)
            dialog.accepted.connect(lambda: connection.switch_events(on))
            dialog.open()

    def _range_changed(self) -> None:
        if not self.range.paused:
            self._paused_at = None
            self._top.pause_button.show_new(0)
        elif self._paused_at is None and self._chosen is not None:
            vital = self._brokers[self._chosen].vital
            self._paused_at = None if vital is None else vital.last_task

    def _show_tasks(self, search: str) -> None:
        self._tasks_page.search_for(search)
        self.show_page("tasks")

    def _show_task(self, uuid: str) -> None:
        self._tasks_page.show_task(uuid)
        self.show_page("tasks")

    def _make_keys(self) -> None:
        for entry in PAGES:
            self._key(entry.key, lambda name=entry.name: self.show_page(name))
        for place in range(9):
            self._key(f"Ctrl+{place + 1}", lambda place=place: self.choose(place))
        self._key(CONNECT_KEY, self.ways.connect_)
        self._key("Space", self._space)
        self._key("Home", self.range.go_live)

    def _key(self, key: str, act: object) -> None:
        QShortcut(QKeySequence(key), self).activated.connect(act)

    def _space(self) -> None:
        """Space presses the button that has the focus, as everywhere; otherwise it freezes the picture."""
        focused = QApplication.focusWidget()
        if isinstance(focused, QAbstractButton) and focused is not self._top.pause_button:
            focused.click()
        else:
            self.range.set_paused(not self.range.paused)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Signs go by what is typed, wherever the keyboard has them; a page's own keys work from anywhere."""
        focused = QApplication.focusWidget()
        match event.text():
            case "[":
                self.range.step_by(-1.0)
            case "]":
                self.range.step_by(1.0)
            case "?":
                self.show_keys()
            case _ if focused is None or not self.page.isAncestorOf(focused):
                self.page.keyPressEvent(event)
            case _:
                super().keyPressEvent(event)

    def _lay_out(self) -> None:
        for page in (self._home, *self.pages.values()):
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

    def _restore_span(self) -> None:
        span = self._settings.value("window/span", 900.0, float)
        self.range.go_live(span if span in RANGES else None)

    def _restore(self) -> None:
        geometry = self._settings.value("window/geometry")
        if not (isinstance(geometry, QByteArray) and self.restoreGeometry(geometry)):
            self.resize(*_SIZE)
        mode = str(self._settings.value("window/theme", self._theme.mode))
        if mode in get_args(Mode):
            self._theme.set_mode(cast("Mode", mode))

    def closeEvent(self, event: QCloseEvent) -> None:
        if self.range.span in RANGES:
            self._settings.setValue("window/span", self.range.span)
        self._settings.setValue("window/page", self._page)
        self._settings.setValue("window/theme", self._theme.mode)
        self._settings.setValue("window/geometry", self.saveGeometry())
        self._settings.sync()
        self._clock.stop()
        for vitals in self._brokers:
            vitals.stop()
        super().closeEvent(event)
        self.closed.emit()
