"""Options of a connection that have fields of their own; the others are written as on the command line."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from app.models.options import SSH, TLS, is_secured, options_for, scheme_of
from app.models.profiles import BACKEND
from app.ui import words
from app.ui.theme import ThemeManager
from app.ui.widgets.address_edit import AddressEdit
from app.ui.widgets.form_parts import ErrorLabel, Grid, Row, Section
from app.ui.widgets.labels import PlainLabel


class OptionField(NamedTuple):
    """An option by its name, what its field is called, and what stands there while it is empty."""

    key: str
    label: str
    placeholder: str
    is_file: bool = False


#: Each is shown for the brokers that understand it.
FIELDS: Final = (
    OptionField("ssh", "SSH jump host", "user@bastion, or a Host of your SSH settings"),
    OptionField(BACKEND, "Result backend", "redis://host:6379/1"),
    OptionField("management_url", "Management API", "http://host:15672"),
    OptionField("global_keyprefix", "Key prefix", "global_keyprefix, such as shop:"),
    OptionField("event_exchange", "Event exchange", "celeryev"),
    OptionField("control_exchange", "Control exchange", "celery"),
)
TLS_FIELDS: Final = (
    OptionField("ssl_ca_certs", "Authorities", "Those that the system trusts", is_file=True),
    OptionField("ssl_certfile", "Client certificate", "None", is_file=True),
    OptionField("ssl_keyfile", "Its key", "In the same file", is_file=True),
    OptionField("ssl_server_name", "Server name", "The host in the URL"),
    OptionField("ssl_fingerprint", "Pinned certificate", "SHA-256; nothing else is checked then"),
)
_SAME: Final = "None, or that of the broker where it is the same server"


def _known(url: str) -> frozenset[str]:
    """Options that make sense for an address; every broker has two exchanges."""
    understood = options_for(url)
    way = SSH if understood and scheme_of(url) != "redis+socket" else ()
    return frozenset((*understood, *way, "event_exchange", "control_exchange"))


class OptionFields(QWidget):
    """Fields of options in two parts that open; ``changed`` when something else is written there.

    Attributes: ``backend_password`` is that of the result backend, split off from its address; ``written`` is where the
    others are, for which, as for what else belongs there, the ``general`` part has room.
    """

    changed = Signal()

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._url = ""
        self._edits: dict[str, QLineEdit] = {}
        self._rows: dict[str, Row] = {}
        self._errors: dict[str, ErrorLabel] = {}
        self.backend_password, self.others = QLineEdit(), QPlainTextEdit()
        self._errors["others"] = ErrorLabel(self.others)
        self.written = (self.others, self._errors["others"])
        self._pinned = PlainLabel(words.PINNED, role="error")
        self.general = Grid()
        self._plain = Section(theme, "Options, queues and results", self._part(self.general, FIELDS))
        self._tls = Section(theme, "Secure connection (TLS)", self._part(Grid(), TLS_FIELDS))
        self._fill()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        for section in (self._plain, self._tls):
            column.addWidget(section)
            section.toggled.connect(self.changed)
        self.show_for("")

    def show_for(self, url: str) -> None:
        """Show the fields that make sense for an address."""
        self._url = url
        known = _known(url)
        for key, row in self._rows.items():
            row.show(on=key in known or key == BACKEND)
        self._backend_row.show(on=bool(self._edits[BACKEND].text()))
        self._tls.setVisible(is_secured(url, self._written()) and "ssl_ca_certs" in known)
        self._pinned.setVisible(bool(self._edits["ssl_fingerprint"].text()))

    def values(self) -> dict[str, str]:
        """Options that are written here and make sense for the address. Raises ``ValueError`` with a line that is none.

        The address of a result backend may still have its password.
        """
        pairs = [line.strip().partition("=") for line in self.others.toPlainText().splitlines() if line.strip()]
        wrong = next((key for key, separator, _ in pairs if not separator or not key.strip()), None)
        if wrong is not None:
            raise ValueError(f"An option is written KEY=VALUE, one on each line, not {wrong!r}.")
        known = {*_known(self._url), BACKEND}
        fields = {key: text for key, text in self._written().items() if text and key in known}
        return fields | {key.strip(): value.strip() for key, _, value in pairs}

    def fill(self, options: Mapping[str, str]) -> None:
        """Show these options and no others."""
        for key, edit in self._edits.items():
            edit.setText(options.get(key, ""))
        self.others.setPlainText("\n".join(f"{key}={options[key]}" for key in options if key not in self._edits))
        self.show_for(self._url)
        if options.keys() - {*TLS}:
            self._plain.open()
        if options.keys() & {*TLS}:
            self._tls.open()

    def put(self, key: str, value: str) -> None:
        """Write one option, wherever it belongs."""
        if key in self._edits:
            self._edits[key].setText(value)
        else:
            lines = [line for line in self.others.toPlainText().splitlines() if line.partition("=")[0].strip() != key]
            self.others.setPlainText("\n".join((*lines, f"{key}={value}")))
        self._part_of(key).open()

    def open(self) -> None:
        """Show the fields that all connections have."""
        self._plain.open()

    def show_error(self, key: str, text: str) -> None:
        """Say beside its field what is wrong with an option."""
        label = self._errors.get(key, self._errors["others"])
        self._part_of(key).open()
        label.say(text)
        label.point()

    def clear_errors(self) -> None:
        """What was wrong may be right now."""
        for label in self._errors.values():
            label.say("")

    @property
    def error(self) -> str:
        """What is said to be wrong."""
        return " ".join(filter(None, (label.text() for label in self._errors.values())))

    def _part_of(self, key: str) -> Section:
        return self._tls if key in TLS and key in self._edits else self._plain

    def _written(self) -> dict[str, str]:
        return {key: edit.text().strip() for key, edit in self._edits.items()}

    def _part(self, grid: Grid, fields: tuple[OptionField, ...]) -> QWidget:
        for field in fields:
            edit = AddressEdit() if field.key == BACKEND else QLineEdit()
            edit.setPlaceholderText(field.placeholder)
            edit.setAccessibleName(field.label)
            edit.textChanged.connect(self._changed)
            error = self._errors[field.key] = ErrorLabel(edit)
            self._edits[field.key] = edit
            below = (error, self._pinned) if field.key == "ssl_fingerprint" else (error,)
            self._rows[field.key] = grid.add(field.label, _chosen(edit) if field.is_file else edit, *below)
            if isinstance(edit, AddressEdit):
                edit.password.connect(self.backend_password.setText)
                self._backend_row = grid.add("Its password", self.backend_password)
        inside = QWidget()
        inside.setLayout(grid)
        return inside

    def _fill(self) -> None:
        self._pinned.setWordWrap(True)
        self.backend_password.setEchoMode(QLineEdit.EchoMode.Password)
        self.backend_password.setPlaceholderText(_SAME)
        self.backend_password.setAccessibleName("Password of the result backend")
        self.backend_password.textChanged.connect(self._changed)
        self.others.setPlaceholderText("priority_steps=0,3,6,9")
        self.others.setAccessibleName("Other options, as KEY=VALUE lines")
        self.others.setTabChangesFocus(True)
        self.others.setFixedHeight(60)
        self.others.textChanged.connect(self._changed)

    def _changed(self) -> None:
        self.show_for(self._url)
        self.changed.emit()


def _chosen(edit: QLineEdit) -> QWidget:
    """A field for a file's name, with a button that looks for one."""
    button = QPushButton("Choose …")
    button.setAutoDefault(False)
    button.setAccessibleName(f"Choose a file: {edit.accessibleName()}")

    def choose() -> None:
        dialog = QFileDialog(edit, edit.accessibleName())
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(edit.setText)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    button.clicked.connect(choose)
    both = QWidget()
    row = QHBoxLayout(both)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(6)
    row.addWidget(edit, 1)
    row.addWidget(button)
    return both
