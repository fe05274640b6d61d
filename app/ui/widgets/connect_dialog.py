"""The way in: an address is pasted, tried if one likes, and connected to; later its settings are changed here."""

from collections.abc import Collection, Mapping
from typing import Final

import msgspec
from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QDialog,
    QFrame,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.keyrings import Looked
from app.models.celeryconfig import Settings
from app.models.profiles import Lock, Profile, ProfileError
from app.models.qt.plain import visible
from app.models.target import Target
from app.models.wire import Examine, Found
from app.ui.examiner import Examiner
from app.ui.kept import Kept
from app.ui.supervisor import Supervisor
from app.ui.theme import ThemeManager
from app.ui.widgets.connect_form import ConnectForm, FormError
from app.ui.widgets.found_list import FoundList
from app.ui.widgets.import_button import ImportButton, summary
from app.ui.widgets.labels import PlainLabel

_WIDTH: Final = 600
#: The tallest it gets; what does not fit is scrolled to.
_TALLEST: Final = 660
_MARGIN: Final = 20
#: Pixels that a desktop may put around it.
_FRAME: Final = 60
_EDITED: Final = "It is connected now. Saving connects it anew with these settings; its history goes on."


class ConnectDialog(QDialog):
    """To be opened by `open`, never by `exec`.

    ``chosen`` carries the `Target` of a connection that is not to be kept, ``opened`` the `Profile` of another one that
    is; what is kept here is opened, or told to be edited, by `Kept`. ``tested`` when a test has ended by itself.

    ``known`` is the connection whose settings are changed here, None for a new one, and ``running`` what it is
    connected to now.
    """

    chosen = Signal(object)
    opened = Signal(object)
    tested = Signal()

    def __init__(
        self, parent: QWidget, theme: ThemeManager, supervisor: Supervisor, kept: Kept,
        known: Profile | None = None, running: Target | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._known, self._running = known, running
        title = "Connect to a broker" if known is None else f"Edit {visible(known.name)}"
        self.setWindowTitle(title)
        self._title = PlainLabel(title, role="title")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setFixedWidth(_WIDTH)
        self._supervisor, self._kept = supervisor, kept
        self._test: Examiner | None = None
        self._check: Examiner | None = None
        #: What is to be tested once the keyring has answered.
        self._wanted: Target | None = None
        self.form = ConnectForm(theme, kept.keyring, "" if kept.usable else kept.said, known)
        self.note = PlainLabel(_EDITED if running is not None else "", role="small")
        self.found = FoundList(theme)
        self.found.hide()
        does = "Connect" if known is None else "Save" if running is None else "Save and reconnect"
        self.test, self.cancel, self.connect_ = QPushButton("Test"), QPushButton("Cancel"), QPushButton(does)
        self._state = PlainLabel(role="secondary")
        self.others, self.imports = QToolButton(), ImportButton(kept)
        self._offer_others()
        self._area, self._inside = QScrollArea(), QWidget()
        self._lay_out()
        self.connect_.setProperty("kind", "primary")
        self.connect_.setDefault(True)
        self.connect_.clicked.connect(self._go)
        self.test.setToolTip("Try what can be seen of this broker, without connecting for good")
        self.test.clicked.connect(self._toggle_test)
        self.cancel.clicked.connect(self.reject)
        self.form.changed.connect(self._outdated)
        self.found.taken.connect(self.form.take_offer)
        self.imports.found.connect(self._take)
        self.imports.told.connect(lambda text, failed: self._tell(text, failed=failed))
        kept.changed.connect(self._offer_others)
        self.finished.connect(self._stop)
        self.form.address.setFocus()
        self._fit()

    def _go(self) -> None:
        """Connect, if the address can be understood: a child says so, since the window knows no brokers."""
        target = self._target()
        if target is None:
            return
        self._stop()
        self._say("Reading the address …")
        check = self._check = self._examine(target.examine(connect=False))
        check.ended.connect(lambda why: self._checked(target, why, check.option))
        check.start()

    def _checked(self, target: Target, why: str, option: str) -> None:
        self._check = None
        self._say("")
        if why:
            self._refuse(option or "address", why)
            return
        profile = self.form.profile(target)
        if profile is None:
            self.chosen.emit(target)
        else:
            passwords: dict[Lock, str | None] = {"broker": target.password, "backend": target.backend_password}
            written = {lock: password for lock, password in passwords.items() if password is not None}
            try:
                self._kept.keep(profile, written, remember=self.form.remembers)
            except ProfileError as error:
                self._refuse("name", str(error))
                return
        self.accept()

    def _toggle_test(self) -> None:
        if self._test is not None:
            self._stop()
            self.found.finish("The test was stopped.")
            return
        target = self._target()
        if target is None:
            return
        self._stop()
        known, stay = self._known, self.form.staying(target)
        if known is None or not stay:
            self._try(target)
        elif self._running is not None:
            running = self._running
            self._try(_with(target, stay, {"broker": running.password, "backend": running.backend_password}))
        else:
            self._say("Asking the keyring …")
            self._wanted = target
            self._kept.look_up(known, lambda looked: self._looked_up(target, stay, looked))

    def _looked_up(self, target: Target, stay: Collection[Lock], looked: Looked) -> None:
        """What the keyring has; meanwhile something may have been changed, or this closed."""
        if self._wanted is not target:
            return
        self._say("")
        if "broker" in looked.missing and "broker" in stay:
            self._refuse("password", looked.why or "It is kept nowhere: enter it here to test the connection.")
        else:
            self._try(_with(target, stay, looked.found))

    def _try(self, target: Target) -> None:
        self.found.begin()
        self.found.show()
        self.test.setText("Stop")
        test = self._test = self._examine(target.examine())
        test.found.connect(self._show_found)
        test.ended.connect(lambda why: self._test_ended(why, test.option))
        test.start()
        self._fit()

    def _examine(self, asked: Examine) -> Examiner:
        examiner = self._supervisor.examine(asked)
        examiner.gone.connect(lambda: self._forget(examiner))
        return examiner

    def _forget(self, examiner: Examiner) -> None:
        """It is about to be deleted, perhaps because the window closes; this dialog may be gone already."""
        self._test = None if self._test is examiner else self._test
        self._check = None if self._check is examiner else self._check

    def _show_found(self, found: Found) -> None:
        self.found.add(found)
        self._fit()

    def _test_ended(self, why: str, option: str) -> None:
        self._test = None
        self.test.setText("Test")
        self.found.finish("")
        if why:
            self.found.hide()
            self._refuse(option or "address", why)
        self._fit()
        self.tested.emit()

    def _target(self) -> Target | None:
        self.form.clear_errors()
        try:
            return self.form.target()
        except FormError as error:
            self._refuse(error.field, str(error))
            return None

    def _refuse(self, field: str, why: str) -> None:
        self.form.show_error(field, why)
        self._fit()

    def _outdated(self) -> None:
        """Something else is written there: what is being tried is not that any more."""
        if self._test is not None:
            self._stop()
            self.found.finish("The test was stopped, as something was changed.")
        self._stop()
        self._fit()

    def _stop(self) -> None:
        for examiner in (self._test, self._check):
            if examiner is not None:
                examiner.end()
        self._test = self._check = self._wanted = None
        self.test.setText("Test")
        self._say("")

    def _offer_others(self) -> None:
        """Those that are kept are one click away, also from here."""
        menu = QMenu(self.others)
        for profile in self._kept.all:
            action = menu.addAction(visible(profile.name).replace("&", "&&"))  # a lone & would underline
            action.triggered.connect(lambda _=False, profile=profile: self._open(profile))
        self.others.setText("Kept connections")
        self.others.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.others.setMenu(menu)
        self.others.setVisible(bool(self._kept.all) and self._known is None)
        self.imports.setVisible(self._known is None)

    def _open(self, profile: Profile) -> None:
        self.opened.emit(profile)
        self.accept()

    def _take(self, settings: Settings, origin: str) -> None:
        self._tell(summary(settings, self.form.take(settings), origin))

    def _tell(self, text: str, *, failed: bool = False) -> None:
        self.note.set_role("error" if failed else "small")
        self.note.setText(text)
        self.note.show()
        self._fit()

    def _say(self, text: str) -> None:
        self._state.setText(text)
        self.connect_.setEnabled(not text)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self._inside)
        column.setContentsMargins(_MARGIN, 16, _MARGIN, 12)
        column.setSpacing(12)
        heading = QHBoxLayout()
        heading.setSpacing(6)
        heading.addWidget(self._title)
        heading.addStretch(1)
        heading.addWidget(self.others)
        heading.addWidget(self.imports)
        column.addLayout(heading)
        self.note.setWordWrap(True)
        self.note.setVisible(bool(self.note.text()))
        column.addWidget(self.note)
        column.addWidget(self.form)
        column.addWidget(self.found)
        column.addStretch(1)
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._area.setWidget(self._inside)
        self._area.viewport().setAutoFillBackground(False)
        self._inside.setAutoFillBackground(False)
        buttons = QHBoxLayout()
        buttons.setContentsMargins(_MARGIN, 8, _MARGIN, 16)
        buttons.setSpacing(8)
        buttons.addWidget(self.test)
        buttons.addWidget(self._state)
        buttons.addStretch(1)
        buttons.addWidget(self.cancel)
        buttons.addWidget(self.connect_)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(self._area, 1)
        whole.addLayout(buttons)

    def _fit(self) -> None:
        """Be as high as what is in it, once that has been laid out, and show what came last."""
        QTimer.singleShot(0, self, self._resize)

    def _resize(self) -> None:
        below = self.test.sizeHint().height() + 24
        tallest = min(_TALLEST, self.screen().availableGeometry().height() - _FRAME)
        self.setFixedHeight(min(tallest, self._inside.heightForWidth(_WIDTH) + below))
        bar = self._area.verticalScrollBar()
        if not self.form.error:
            bar.setValue(bar.maximum() if self.found.isVisible() else 0)


def _with(target: Target, stay: Collection[Lock], passwords: Mapping[Lock, str | None]) -> Target:
    """A target with the passwords that stay, as far as they are known."""
    return msgspec.structs.replace(
        target,
        password=passwords.get("broker") if "broker" in stay else target.password,
        backend_password=passwords.get("backend") if "backend" in stay else target.backend_password,
    )
