"""What is asked about a broker before it is connected to; its address is enough."""

from typing import Final, cast

import msgspec
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QGridLayout,
    QLineEdit,
    QPlainTextEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.models.profiles import Environment, Mode, Profile
from app.models.target import Target, TargetError, target_of
from app.ui import icons, words
from app.ui.theme import ThemeManager
from app.ui.widgets import choice
from app.ui.widgets.address_edit import AddressEdit
from app.ui.widgets.check_box import CheckBox
from app.ui.widgets.labels import PlainLabel

_ENVIRONMENTS: Final = (
    ("unknown", "Not said"),
    ("production", "Production"),
    ("staging", "Staging"),
    ("development", "Development"),
)
_STAKES: Final = {"unknown": "What is not said is treated like production."}
_NO_KEYRING: Final = "There is no keyring that can be trusted, so no password is kept."
_KEEP_FIRST: Final = "A password is kept with its connection only."
_NAMES: Final = 108


class FormError(Exception):
    """What is written in a ``field`` can't be used; the text says why."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class ConnectForm(QWidget):
    """The fields; ``changed`` when something else is written there.

    ``keyring`` is what the system's keyring calls itself, "" where there is none; ``refused`` why no connection can be
    kept, "" where it can.
    """

    changed = Signal()

    def __init__(self, theme: ThemeManager, keyring: str, refused: str) -> None:
        super().__init__()
        self._theme = theme
        self._keyring = keyring
        self.address, self.password, self.name = AddressEdit(), QLineEdit(), QLineEdit()
        self.environment = choice.words("Environment", _ENVIRONMENTS)
        self.mode = choice.words("Access", [(mode, meant[1]) for mode, meant in words.MODES.items()])
        self.keep = CheckBox(theme, "Keep this connection")
        self.remember = CheckBox(theme, "Keep the password in the system's keyring")
        self.options, self.queues = QPlainTextEdit(), QLineEdit()
        self.colour = choice.colours("Colour")
        self.more = QToolButton()
        self._meanings = {"environment": PlainLabel(role="small"), "mode": PlainLabel(role="small")}
        self._why = PlainLabel(role="small")
        self._errors = {field: PlainLabel(role="error") for field in ("address", "name", "options")}
        self._named = False
        self._fill(refused)
        self._lay_out()
        self._connect()
        theme.changed.connect(self._wear)
        self._explain()
        self._wear()

    def target(self) -> Target:
        """What is to be connected to. Raises `FormError`."""
        self.address.split()
        url = self.address.text()
        if not url:
            raise FormError("address", "Paste the address that your Celery app has as broker_url.")
        if "://" not in url:
            raise FormError("address", "An address begins with the kind of broker, as redis:// or amqp:// do.")
        try:
            target = target_of(url, self._options())
        except TargetError as error:
            raise FormError("address", str(error)) from error
        return msgspec.structs.replace(
            target,
            name=self.name.text().strip() or target.name,
            password=self.password.text() or None,
            queues=[queue for part in self.queues.text().split(",") if (queue := part.strip())],
            environment=cast("Environment", self.environment.value),
            mode=cast("Mode", self.mode.value),
            colour=self.colour.value or None,
        )

    def profile(self, target: Target) -> Profile | None:
        """The same as it is to be kept, or None where it is not."""
        if not self.keep.isChecked():
            return None
        return Profile(
            target.name, target.url, target.environment, target.mode, target.colour, target.options, target.queues
        )

    def show_error(self, field: str, text: str) -> None:
        """Say what is wrong with a field, below it."""
        self._errors[field].setText(text)
        self._errors[field].show()
        if field == "options":
            self.more.setChecked(True)
        edit = {"address": self.address, "name": self.name, "options": self.options}[field]
        edit.setFocus(Qt.FocusReason.OtherFocusReason)
        self._mark(self.address, wrong=field == "address")
        self._mark(self.name, wrong=field == "name")

    def clear_errors(self) -> None:
        """What was wrong may be right now."""
        for label in self._errors.values():
            label.clear()
            label.hide()
        for edit in (self.address, self.name):
            self._mark(edit, wrong=False)

    def error(self) -> str:
        """What is said to be wrong."""
        return " ".join(filter(None, (label.text() for label in self._errors.values())))

    def _options(self) -> dict[str, str]:
        pairs = [line.strip().partition("=") for line in self.options.toPlainText().splitlines() if line.strip()]
        wrong = next((key for key, separator, _ in pairs if not separator or not key.strip()), None)
        if wrong is not None:
            raise FormError("options", f"An option is written KEY=VALUE, one on each line, not {wrong!r}.")
        return {key.strip(): value.strip() for key, _, value in pairs}

    def _fill(self, refused: str) -> None:
        self.address.setPlaceholderText("redis://user:password@host:6379/0")
        self.password.setEchoMode(QLineEdit.EchoMode.Password)
        self.password.setPlaceholderText("None")
        self.mode.choose("observe")
        self.keep.setChecked(not refused)
        self.keep.setEnabled(not refused)
        self.remember.setChecked(bool(self._keyring))
        if refused:
            self._errors["name"].setText(refused)
        self.options.setPlaceholderText("global_keyprefix=shop:")
        self.options.setTabChangesFocus(True)
        self.options.setFixedHeight(60)
        self.queues.setPlaceholderText("mail, reports")
        self.more.setText("Options, queues and colour")
        self.more.setProperty("kind", "more")
        self.more.setCheckable(True)
        self.more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        spoken = (
            (self.address, "Broker URL"), (self.password, "Password"), (self.name, "Name"),
            (self.options, "Options, as KEY=VALUE lines"), (self.queues, "Queues always shown"),
        )  # fmt: skip
        for field, name in spoken:
            field.setAccessibleName(name)
        for label in (*self._meanings.values(), self._why, *self._errors.values()):
            label.setWordWrap(True)
        for label in self._errors.values():
            label.setVisible(bool(label.text()))

    def _lay_out(self) -> None:
        basic = _grid(
            ("Broker URL", self.address, self._errors["address"]),
            ("Password", self.password, self.remember, self._why),
            ("Name", self.name, self.keep, self._errors["name"]),
            ("Environment", self.environment, self._meanings["environment"]),
            ("Access", self.mode, self._meanings["mode"]),
        )
        self._rest = QWidget()
        self._rest.setLayout(
            _grid(
                ("Options", self.options, self._errors["options"]),
                ("Queues always shown", self.queues),
                ("Colour", self.colour),
            )
        )
        self._rest.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        column.addLayout(basic)
        column.addWidget(self.more)
        column.addWidget(self._rest)

    def _connect(self) -> None:
        self.address.password.connect(self.password.setText)
        self.address.textChanged.connect(self._propose)
        self.name.textEdited.connect(self._take_name)
        self.more.toggled.connect(self._show_rest)
        for news in (
            self.address.textChanged, self.password.textChanged, self.name.textChanged, self.options.textChanged,
            self.queues.textChanged, self.environment.changed, self.mode.changed, self.keep.toggled,
        ):  # fmt: skip
            news.connect(self._changed)

    def _changed(self) -> None:
        self.clear_errors()
        self._explain()
        self.changed.emit()

    def _propose(self) -> None:
        """Name it by its address, until the user does."""
        if self._named:
            return
        try:
            self.name.setText(target_of(self.address.text()).name if "://" in self.address.text() else "")
        except TargetError:
            self.name.clear()

    def _take_name(self, name: str) -> None:
        self._named = bool(name)

    def _explain(self) -> None:
        stakes = _STAKES.get(self.environment.value, "")
        self._meanings["environment"].setText(stakes)
        self._meanings["environment"].setVisible(bool(stakes))
        self._meanings["mode"].setText(words.MODES[cast("Mode", self.mode.value)][2])
        has, keeps = bool(self.password.text()), self.keep.isChecked()
        self.remember.setEnabled(bool(self._keyring) and has and keeps)
        why = _KEEP_FIRST if has and not keeps else ""
        why = why if self._keyring else _NO_KEYRING
        self._why.setText(why)
        self._why.setVisible(bool(why))

    def _show_rest(self, on: bool) -> None:
        self._rest.setVisible(on)
        self._wear()
        self.changed.emit()

    def _mark(self, edit: QLineEdit, *, wrong: bool) -> None:
        edit.setProperty("state", "error" if wrong else "")
        edit.style().unpolish(edit)
        edit.style().polish(edit)

    def _wear(self) -> None:
        arrow = "chevron-down" if self.more.isChecked() else "chevron-right"
        self.more.setIcon(icons.icon(arrow, self._theme.theme, "secondary", size=14))


def _grid(*rows: tuple[str | QWidget, ...]) -> QGridLayout:
    """Names on the left, and beside each its field with what is said below it."""
    grid = QGridLayout()
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(12)
    grid.setVerticalSpacing(10)
    grid.setColumnMinimumWidth(0, _NAMES)
    grid.setColumnStretch(1, 1)
    for at, (name, *fields) in enumerate(rows):
        label = PlainLabel(str(name), role="secondary")
        label.setWordWrap(True)
        label.setFixedWidth(_NAMES)
        label.setMinimumHeight(28)
        label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        grid.addWidget(label, at, 0, Qt.AlignmentFlag.AlignTop)
        cell = QVBoxLayout()
        cell.setSpacing(4)
        for field in fields:
            cell.addWidget(cast("QWidget", field))
        grid.addLayout(cell, at, 1)
    return grid
