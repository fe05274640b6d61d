"""How connections come and go: the dialogs for it, what each row's menu offers, and the passwords that are missing."""

from typing import Final

import msgspec
from PySide6.QtCore import QObject, QPoint, Signal
from PySide6.QtWidgets import QMenu, QWidget

from app.keyrings import Looked
from app.models.profiles import BACKEND, MODES, Lock, Mode, Profile, ProfileError
from app.models.target import Target, history_of
from app.models.wire import SIGN_IN_REFUSED, Notice
from app.ui.kept import Kept
from app.ui.supervisor import Connection, Supervisor
from app.ui.theme import ThemeManager
from app.ui.widgets.confirm_dialog import ConfirmDialog
from app.ui.widgets.connect_dialog import ConnectDialog
from app.ui.widgets.home import HomePage
from app.ui.widgets.mode_dialog import ModeDialog
from app.ui.widgets.notice_bar import NoticeBar, Remedy
from app.ui.widgets.password_dialog import PasswordDialog
from app.ui.widgets.sidebar import Sidebar

_UNKNOWN: Final = "No password is kept for it on this computer."


class WaysIn(QObject):
    """Opens, changes and ends connections of a window; ``chosen`` carries the `Connection` that is to be shown."""

    chosen = Signal(object)

    def __init__(self, window: QWidget, theme: ThemeManager, supervisor: Supervisor, kept: Kept) -> None:
        super().__init__(window)
        self._window = window
        self._theme = theme
        self._supervisor = supervisor
        self.kept = kept
        self._notices: NoticeBar | None = None
        #: Connections whose notice that they are refused stands.
        self._refused: set[Connection] = set()
        kept.opened.connect(self.connect_to)
        kept.edited.connect(self._renew)
        kept.asked.connect(self._ask)

    def serve(self, sidebar: Sidebar, home: HomePage, notices: NoticeBar) -> None:
        """Do what these parts of the window are asked for, and show in them what is kept."""
        self._notices = notices
        kept, supervisor = self.kept, self._supervisor
        sidebar.connect_wanted.connect(self.connect_)
        sidebar.kept_chosen.connect(self.open)
        sidebar.kept_more.connect(self.show_menu)
        sidebar.broker_more.connect(lambda place, at: self.show_connection_menu(supervisor.connections[place], at))
        home.connect_wanted.connect(self.connect_)
        home.profile_chosen.connect(self.open)
        home.profile_more.connect(self.show_menu)

        def show() -> None:
            running = {connection.target.profile for connection in supervisor.connections}
            home.show_profiles(kept.all)
            sidebar.show_kept([profile for profile in kept.all if profile.id not in running])

        for news in (kept.changed, supervisor.added, supervisor.removed):
            news.connect(show)
        supervisor.added.connect(self._watch)
        for connection in supervisor.connections:
            self._watch(connection)
        kept.troubled.connect(lambda text: notices.show_notice(Notice("kept", text)))
        if kept.said:
            notices.show_notice(Notice("profiles", kept.said))
        show()

    def connect_(self) -> None:
        """Ask which broker to connect to."""
        dialog = ConnectDialog(self._window, self._theme, self._supervisor, self.kept)
        dialog.chosen.connect(self.connect_to)
        dialog.opened.connect(self.open)
        dialog.open()

    def open(self, profile: Profile) -> None:
        """Connect to a kept one, or go to it where it is connected to."""
        running = self._running(profile)
        if running is None:
            self.kept.open(profile)
        else:
            self.chosen.emit(running)

    def connect_to(self, target: Target) -> None:
        """Watch one more broker, or go to it where it is watched already, with what is new of it."""
        known = self._supervisor.connections
        running = next((one for one in known if one.target.history == target.history), None)
        if running is None:
            running = self._supervisor.add(target)
        elif target.profile:
            # What was chosen for this session stays.
            self._renew(msgspec.structs.replace(target, mode=running.target.mode))
        self.chosen.emit(running)

    def change_mode(self, connection: Connection, mode: Mode) -> None:
        """Let a connection have another access mode, for this session; where more may be done then, ask first."""
        if MODES.index(mode) <= MODES.index(connection.profile.mode):
            self._change_mode(connection, mode, keep=False)
            return
        kept = self.kept.find(connection.target.profile) is not None
        dialog = ModeDialog(self._window, self._theme, connection, mode, kept=kept)
        dialog.accepted.connect(lambda: self._change_mode(connection, mode, keep=dialog.keep.isChecked()))
        dialog.open()

    def edit(self, profile: Profile) -> None:
        """Have the settings of a kept connection changed."""
        running = self._running(profile)
        target = None if running is None else running.target
        ConnectDialog(self._window, self._theme, self._supervisor, self.kept, profile, target).open()

    def leave(self, connection: Connection) -> None:
        """Take a connection out of the window."""
        self._withdraw(connection)
        self._supervisor.remove(connection)

    def forget(self, profile: Profile) -> None:
        """Ask whether to forget a kept connection, and do it."""
        history = history_of(profile)
        stays = f"What was recorded of it stays in {history}." if history.exists() else "Nothing was recorded of it."
        password = ", and its password in the system's keyring" if "kept" in profile.passwords.values() else ""
        text = f"Its settings are deleted here{password}.\n\n{stays}"
        dialog = ConfirmDialog(self._window, f"Forget {profile.name}?", text, "Forget it")
        dialog.accepted.connect(lambda: self._forget(profile))
        dialog.open()

    def enter_password(self, connection: Connection) -> None:
        """Have a password entered in place of the one that the broker refused."""
        target, profile = connection.target, self.kept.find(connection.target.profile)
        keeps = profile is not None and bool(self.kept.keyring)
        remembers = profile is not None and profile.passwords.get("broker") == "kept"
        dialog = PasswordDialog(
            self._window, self._theme, target.name, {"broker": target.url}, connection.health.text,
            keeps=keeps, remembers=remembers,
        )  # fmt: skip

        def sign_in() -> None:
            known = self.kept.find(connection.target.profile)
            if known is None:
                self._withdraw(connection)
                connection.renew(msgspec.structs.replace(connection.target, password=dialog.passwords.get("broker")))
            else:
                self.kept.sign_in(known, dialog.passwords, remember=dialog.remember)

        dialog.accepted.connect(sign_in)
        dialog.open()

    def show_menu(self, profile: Profile, at: QPoint) -> None:
        """What can be done with a kept connection."""
        menu = self._menu()
        menu.addAction("Connect", lambda: self.open(profile))
        menu.addAction("Edit …", lambda: self.edit(profile))
        menu.addSeparator()
        menu.addAction("Forget …", lambda: self.forget(profile))
        menu.popup(at)

    def show_connection_menu(self, connection: Connection, at: QPoint) -> None:
        """What can be done with a connection, or a history, of the window."""
        menu = self._menu()
        profile = self.kept.find(connection.target.profile)
        if profile is not None:
            menu.addAction("Edit …", lambda: self.edit(profile))
        if connection.live:
            menu.addAction("Enter password …", lambda: self.enter_password(connection))
        menu.addAction("Disconnect" if connection.live else "Close", lambda: self.leave(connection))
        if profile is not None:
            menu.addSeparator()
            menu.addAction("Forget …", lambda: self.forget(profile))
        menu.popup(at)

    def _change_mode(self, connection: Connection, mode: Mode, *, keep: bool) -> None:
        profile = self.kept.find(connection.target.profile)
        if keep and profile is not None:
            try:
                self.kept.keep(msgspec.structs.replace(profile, mode=mode), {}, remember=False)
            except ProfileError as error:
                self.kept.troubled.emit(str(error))
        elif mode != connection.target.mode:
            self._withdraw(connection)
            connection.renew(msgspec.structs.replace(connection.target, mode=mode))

    def _menu(self) -> QMenu:
        menu = QMenu(self._window)
        menu.aboutToHide.connect(menu.deleteLater)
        return menu

    def _forget(self, profile: Profile) -> None:
        try:
            self.kept.forget(profile)
        except ProfileError as error:
            self.kept.troubled.emit(str(error))
            return
        running = self._running(profile)
        if running is not None:
            self.leave(running)

    def _ask(self, profile: Profile, looked: Looked) -> None:
        """Have passwords of a kept connection entered that are not in the keyring."""
        urls: dict[Lock, str] = {"broker": profile.url, "backend": profile.options.get(BACKEND, "")}
        # A keyring that refuses to tell a password would not take one either.
        keeps = bool(self.kept.keyring) and not looked.why
        dialog = PasswordDialog(
            self._window, self._theme, profile.name, {lock: urls[lock] for lock in looked.missing},
            looked.why or _UNKNOWN, keeps=keeps, remembers="kept" in profile.passwords.values(),
        )  # fmt: skip

        def sign_in() -> None:
            known = self.kept.find(profile.id) or profile
            self.kept.sign_in(known, {**looked.found, **dialog.passwords}, remember=dialog.remember)

        dialog.accepted.connect(sign_in)
        dialog.open()

    def _running(self, profile: Profile) -> Connection | None:
        return next((one for one in self._supervisor.connections if one.target.profile == profile.id), None)

    def _renew(self, target: Target) -> None:
        """Connect anew where settings are others now; passwords that were not said again stay those of before."""
        profile = self.kept.find(target.profile)
        running = None if profile is None else self._running(profile)
        if profile is None or running is None:
            return
        now, stay = running.target, profile.passwords
        if target.password is None and "broker" in stay:
            target = msgspec.structs.replace(target, password=now.password)
        if target.backend_password is None and "backend" in stay:
            target = msgspec.structs.replace(target, backend_password=now.backend_password)
        if target != now:
            self._withdraw(running)
            running.renew(target)

    def _withdraw(self, connection: Connection) -> None:
        """What was said of it is over: its collector ends."""
        self._refused.discard(connection)
        if self._notices is not None:
            self._notices.withdraw(connection.profile.name)

    def _watch(self, connection: Connection) -> None:
        connection.health_changed.connect(lambda: self._look(connection))

    def _look(self, connection: Connection) -> None:
        """Offer to enter another password while a broker refuses the one it was given."""
        refused = connection.health.fault == SIGN_IN_REFUSED
        if self._notices is None or refused == (connection in self._refused):
            return
        remedy = Remedy("Enter password …", lambda: self.enter_password(connection))
        self._notices.show_notice(
            Notice("sign-in", connection.health.text if refused else ""), connection.profile.name, remedy,
            named=len(self._supervisor.connections) > 1,
        )  # fmt: skip
        (self._refused.add if refused else self._refused.discard)(connection)
