"""A field for a broker's address, in which no password stays."""

from itertools import takewhile

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLineEdit

from app.models.redact import split_password


class AddressEdit(QLineEdit):
    """What is pasted loses its password at once, what is typed once it is complete.

    ``password`` carries what was split off, or "" where the address of another broker, without one, took the place of
    that which the last one belonged to: nobody wants to send it there.
    """

    password = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._before = ""
        self._place = ""
        self.textChanged.connect(self._changed)
        self.editingFinished.connect(self.split)

    def split(self, *, pasted: bool = False) -> None:
        """Take the password out of what is written here."""
        bare, password = split_password(self.text().strip())
        if bare != self.text():
            self._before = bare
            self.setText(bare)  # it forgets what could be undone, too
        place = place_of(bare)
        if password:
            self._place = place
            self.password.emit(password)
        elif pasted and self._place and place != self._place:
            self._place = ""
            self.password.emit("")

    def _changed(self, text: str) -> None:
        before, self._before = self._before, text
        # Letter by letter an address has many beginnings that look like a whole one.
        if _inserted(before, text) > 1:
            self.split(pasted=True)


def place_of(url: str) -> str:
    """Host and port of an address: what a password is for."""
    return url.partition("://")[2].rpartition("@")[2].partition("/")[0]


def _inserted(before: str, after: str) -> int:
    """How many characters came, in one piece."""
    start = _alike(before, after)
    return len(after) - start - _alike(before[start:][::-1], after[start:][::-1])


def _alike(one: str, other: str) -> int:
    """Characters that both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
