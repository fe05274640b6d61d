"""The way in: an address is pasted, tried if one likes, and connected to."""

from typing import Final

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

from app.models.profiles import Profile, ProfileError
from app.models.qt.plain import visible
from app.models.target import Target
from app.models.wire import Examine, Found
from app.ui.examiner import Examiner
from app.ui.kept import Kept
from app.ui.supervisor import Supervisor
from app.ui.theme import ThemeManager
from app.ui.widgets.connect_form import ConnectForm, FormError
from app.ui.widgets.found_list import FoundList
from app.ui.widgets.labels import PlainLabel

_WIDTH: Final = 600
#: The tallest it gets; what does not fit is scrolled to.
_TALLEST: Final = 660
_MARGIN: Final = 20


class ConnectDialog(QDialog):
    """To be opened by `open`, never by `exec`.

    ``chosen`` carries the `Target` of a connection that is not to be kept; one that is kept is opened by `Kept`.
    ``tested`` when a test has ended by itself.
    """

    chosen = Signal(object)
    tested = Signal()

    def __init__(self, parent: QWidget, theme: ThemeManager, supervisor: Supervisor, kept: Kept) -> None:
        super().__init__(parent)
        self.setWindowTitle("Connect to a broker")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setFixedWidth(_WIDTH)
        self._supervisor, self._kept = supervisor, kept
        self._test: Examiner | None = None
        self._check: Examiner | None = None
        self.form = ConnectForm(theme, kept.keyring, "" if kept.usable else kept.said)
        self.found = FoundList(theme)
        self.found.hide()
        self.test, self.cancel, self.connect_ = QPushButton("Test"), QPushButton("Cancel"), QPushButton("Connect")
        self._state = PlainLabel(role="secondary")
        self.others = self._offer_others()
        self._area, self._inside = QScrollArea(), QWidget()
        self._lay_out()
        self.connect_.setProperty("kind", "primary")
        self.connect_.setDefault(True)
        self.connect_.clicked.connect(self._go)
        self.test.setToolTip("Try what can be seen of this broker, without connecting for good")
        self.test.clicked.connect(self._toggle_test)
        self.cancel.clicked.connect(self.reject)
        self.form.changed.connect(self._outdated)
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
        self._check = self._examine(Examine(target.url, None, target.options, target.mode, connect=False))
        self._check.ended.connect(lambda why: self._checked(target, why))
        self._check.start()

    def _checked(self, target: Target, why: str) -> None:
        self._check = None
        self._say("")
        if why:
            self._refuse("address", why)
            return
        profile = self.form.profile(target)
        if profile is None:
            self.chosen.emit(target)
        else:
            remember = self.form.remember.isChecked() and self.form.remember.isEnabled()
            try:
                self._kept.keep(profile, target.password, remember=remember)
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
        self.found.begin()
        self.found.show()
        self.test.setText("Stop")
        self._test = self._examine(Examine(target.url, target.password, target.options, target.mode))
        self._test.found.connect(self._show_found)
        self._test.ended.connect(self._test_ended)
        self._test.start()
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

    def _test_ended(self, why: str) -> None:
        self._test = None
        self.test.setText("Test")
        self.found.finish("")
        if why:
            self.found.hide()
            self._refuse("address", why)
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
                examiner.stop()
        self._test = self._check = None
        self.test.setText("Test")
        self._say("")

    def _offer_others(self) -> QToolButton:
        """Those that are kept are one click away, also from here."""
        button = QToolButton()
        button.setText("Kept connections")
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(button)
        for profile in self._kept.all:
            action = menu.addAction(visible(profile.name).replace("&", "&&"))  # a lone & would underline
            action.triggered.connect(lambda _=False, profile=profile: self._open(profile))
        button.setMenu(menu)
        button.setVisible(bool(self._kept.all))
        return button

    def _open(self, profile: Profile) -> None:
        self._kept.open(profile)
        self.accept()

    def _say(self, text: str) -> None:
        self._state.setText(text)
        self.connect_.setEnabled(not text)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self._inside)
        column.setContentsMargins(_MARGIN, 16, _MARGIN, 12)
        column.setSpacing(12)
        heading = QHBoxLayout()
        heading.addWidget(PlainLabel("Connect to a broker", role="title"))
        heading.addStretch(1)
        heading.addWidget(self.others)
        column.addLayout(heading)
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
        self.setFixedHeight(min(_TALLEST, self._inside.heightForWidth(_WIDTH) + below))
        bar = self._area.verticalScrollBar()
        bar.setValue(bar.maximum() if self.found.isVisible() and not self.form.error() else 0)
