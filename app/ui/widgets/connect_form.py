"""What is asked about a broker before it is connected to; its address is enough."""

import uuid
from typing import Final, cast

import msgspec
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLineEdit, QVBoxLayout, QWidget

from app.models.celeryconfig import Settings
from app.models.options import usable
from app.models.profiles import BACKEND, Environment, Key, Lock, Mode, Profile
from app.models.target import Target, TargetError, target_of
from app.models.wire import Offer
from app.ui import words
from app.ui.theme import ThemeManager
from app.ui.widgets import choice
from app.ui.widgets.address_edit import AddressEdit, place_of
from app.ui.widgets.check_box import CheckBox
from app.ui.widgets.form_parts import ErrorLabel, Grid
from app.ui.widgets.history_fields import HistoryFields
from app.ui.widgets.labels import PlainLabel
from app.ui.widgets.option_fields import OptionFields

_ENVIRONMENTS: Final = (
    ("unknown", "Not said"),
    ("production", "Production"),
    ("staging", "Staging"),
    ("development", "Development"),
)
_STAKES: Final = {"unknown": "What is not said is treated like production."}
_NO_KEYRING: Final = "There is no keyring that can be trusted, so no password is kept: it is asked for each time."
_KEEP_FIRST: Final = "A password is kept with its connection only."
_ELSEWHERE: Final = "The password is not sent to another address: enter that of this one."
#: What stands in the field of a password that is not shown.
_PLACES: Final[dict[Key, str]] = {"kept": "Kept in the keyring", "asked": "Asked for each time"}


class FormError(Exception):
    """What is written in a ``field`` can't be used; the text says why."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class ConnectForm(QWidget):
    """The fields; ``changed`` when something else is written there.

    ``keyring`` is what the system's keyring calls itself, "" where there is none; ``refused`` why no connection can be
    kept, "" where it can; ``known`` the connection that is changed here, None for a new one.
    """

    changed = Signal()

    def __init__(self, theme: ThemeManager, keyring: str, refused: str, known: Profile | None = None) -> None:
        super().__init__()
        self._keyring = keyring
        self._known = known
        self.address, self.password, self.name = AddressEdit(), QLineEdit(), QLineEdit()
        self.environment = choice.words("Environment", _ENVIRONMENTS)
        self.mode = choice.words("Access", [(mode, meant[1]) for mode, meant in words.MODES.items()])
        self.keep = CheckBox(theme, "Keep this connection")
        self.remember = CheckBox(theme, "Keep the password in the system's keyring")
        self.options, self.queues, self.history = OptionFields(theme), QLineEdit(), HistoryFields(theme)
        self._meanings = {"environment": PlainLabel(role="small"), "mode": PlainLabel(role="small")}
        self._why = PlainLabel(role="small")
        edits = {"address": self.address, "password": self.password, "name": self.name}
        self._errors = {field: ErrorLabel(edit) for field, edit in edits.items()}
        self._named = known is not None
        self._fill(refused)
        self._lay_out()
        if known is not None:
            self._show(known)
        self._connect()
        self._explain()

    def target(self) -> Target:
        """What is to be connected to, with the passwords that are written here. Raises `FormError`."""
        self.address.split()
        url = self.address.text()
        if not url:
            raise FormError("address", "Paste the address that your Celery app has as broker_url.")
        if "://" not in url:
            raise FormError("address", "An address begins with the kind of broker, as redis:// or amqp:// do.")
        try:
            target = target_of(url, self.options.values())
        except TargetError as error:
            raise FormError("address", str(error)) from error
        except ValueError as error:
            raise FormError("others", str(error)) from error
        backend = self.options.backend_password.text() if target.options.get(BACKEND) else ""
        return msgspec.structs.replace(
            target,
            name=self.name.text().strip() or target.name,
            password=self.password.text() or None,
            backend_password=backend or target.backend_password,
            queues=[queue for part in self.queues.text().split(",") if (queue := part.strip())],
            environment=cast("Environment", self.environment.value),
            mode=cast("Mode", self.mode.value),
            colour=self.history.colour.value or None,
            keep_seconds=self.history.keep_seconds,
            keep_bytes=self.history.keep_bytes,
            keep_arguments=not self.history.arguments.isChecked(),
        )

    def profile(self, target: Target) -> Profile | None:
        """The same as it is to be kept, or None where it is not; it says where the passwords are that stay there."""
        if not self.keep.isChecked():
            return None
        stay = self.staying(target)
        unwanted = self.remember.isEnabled() and not self.remember.isChecked()
        places: dict[Lock, Key] = dict.fromkeys(stay, "asked") if unwanted else stay
        return Profile(
            target.name, target.url, target.environment, target.mode, target.colour, target.options, target.queues,
            target.keep_seconds, target.keep_bytes, target.keep_arguments, places,
            self._known.id if self._known is not None else uuid.uuid4().hex,
        )  # fmt: skip

    def staying(self, target: Target) -> dict[Lock, Key]:
        """Passwords of the known connection that go on as they are, and where they are: none for another address."""
        known, stay = self._known, dict[Lock, Key]()
        if known is None:
            return stay
        addresses: tuple[tuple[Lock, str | None, str, str], ...] = (
            ("broker", target.password, known.url, target.url),
            ("backend", target.backend_password, known.options.get(BACKEND, ""), target.options.get(BACKEND, "")),
        )
        for lock, written, before, now in addresses:
            if written is None and lock in known.passwords and place_of(before) == place_of(now):
                stay[lock] = known.passwords[lock]
        return stay

    @property
    def remembers(self) -> bool:
        """Whether passwords are to be in the keyring."""
        return self.remember.isChecked() and self.remember.isEnabled()

    def take(self, settings: Settings) -> list[str]:
        """Write what an application's settings say; returns the options that a connection has no use for."""
        options = usable(settings.url, settings.options)
        self.address.setText(settings.url)
        self.password.setText(settings.password or "")
        self.options.fill(options)
        self.options.backend_password.setText(settings.backend_password or "" if BACKEND in options else "")
        self.queues.setText(", ".join(settings.queues))
        return sorted(settings.options.keys() - options.keys())

    def take_offer(self, offer: Offer) -> None:
        """Write a setting that a worker has."""
        if offer.option == "queues":
            self.queues.setText(", ".join(filter(None, (self.queues.text().strip().rstrip(","), offer.value))))
            self.options.open()
        else:
            self.options.put(offer.option, offer.value)

    def show_error(self, field: str, text: str) -> None:
        """Say what is wrong with a field, or with an option, beside it."""
        label = self._errors.get(field)
        if label is None:
            self.options.show_error(field, text)
        else:
            label.say(text)
            label.point()

    def clear_errors(self) -> None:
        """What was wrong may be right now."""
        for label in self._errors.values():
            label.say("")
        self.options.clear_errors()

    @property
    def error(self) -> str:
        """What is said to be wrong."""
        return " ".join(filter(None, (*(label.text() for label in self._errors.values()), self.options.error)))

    def _fill(self, refused: str) -> None:
        self.address.setPlaceholderText("redis://user:password@host:6379/0")
        self.password.setEchoMode(QLineEdit.EchoMode.Password)
        self.mode.choose("observe")
        self.keep.setChecked(not refused)
        self.keep.setEnabled(not refused)
        self.remember.setChecked(bool(self._keyring))
        if refused:
            self._errors["name"].say(refused)
        self.queues.setPlaceholderText("mail, reports")
        spoken = (
            (self.address, "Broker URL"), (self.password, "Password"), (self.name, "Name"),
            (self.queues, "Queues always shown"),
        )  # fmt: skip
        for field, name in spoken:
            field.setAccessibleName(name)
        for label in (*self._meanings.values(), self._why):
            label.setWordWrap(True)

    def _show(self, known: Profile) -> None:
        """Fill in a connection that is kept; what is secret of it is not shown."""
        self.address.setText(known.url)
        self.name.setText(known.name)
        self.environment.choose(known.environment)
        self.mode.choose(known.mode)
        self.queues.setText(", ".join(known.queues))
        self.options.fill(known.options)
        kept = known.keep_seconds, known.keep_bytes
        self.history.fill(*kept, arguments=known.keep_arguments, colour=known.colour)
        self.keep.hide()
        self.remember.setChecked(bool(self._keyring) and "asked" not in known.passwords.values())

    def _lay_out(self) -> None:
        grid = Grid()
        grid.add("Broker URL", self.address, self._errors["address"])
        grid.add("Password", self.password, self._errors["password"], self.remember, self._why)
        grid.add("Name", self.name, self.keep, self._errors["name"])
        grid.add("Environment", self.environment, self._meanings["environment"])
        grid.add("Access", self.mode, self._meanings["mode"])
        self.options.general.add("Queues always shown", self.queues)
        self.options.general.add("Other options", *self.options.written)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        column.addLayout(grid)
        column.addWidget(self.options)
        column.addWidget(self.history)

    def _connect(self) -> None:
        self.address.password.connect(self.password.setText)
        self.address.textChanged.connect(self._propose)
        self.name.textEdited.connect(self._take_name)
        for news in (
            self.address.textChanged, self.password.textChanged, self.name.textChanged, self.options.changed,
            self.queues.textChanged, self.environment.changed, self.mode.changed, self.keep.toggled,
            self.history.changed,
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
        url = self.address.text()
        self.options.show_for(url)
        stakes = _STAKES.get(self.environment.value, "")
        self._meanings["environment"].setText(stakes)
        self._meanings["environment"].setVisible(bool(stakes))
        self._meanings["mode"].setText(words.MODES[cast("Mode", self.mode.value)][2])
        place = None if self._known is None else self._known.passwords.get("broker")
        elsewhere = self._known is not None and place_of(url) != place_of(self._known.url)
        self.password.setPlaceholderText("None" if place is None or elsewhere else _PLACES[place])
        of_backend = None if self._known is None else self._known.passwords.get("backend")
        if of_backend is not None:
            self.options.backend_password.setPlaceholderText(_PLACES[of_backend])
        has = bool(self.password.text() or self.options.backend_password.text() or (place and not elsewhere))
        keeps = self.keep.isChecked()
        self.remember.setEnabled(bool(self._keyring) and has and keeps)
        why = _KEEP_FIRST if has and not keeps else _ELSEWHERE if elsewhere and place and not has else ""
        why = why if self._keyring or why == _ELSEWHERE else _NO_KEYRING
        self._why.setText(why)
        self._why.setVisible(bool(why))
