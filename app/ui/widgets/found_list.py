"""What is found of a broker while it is tried: each capability with a mark, and what to do about what is missing."""

import re
from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app.models.wire import Found, Offer
from app.ui import icons
from app.ui.theme import ThemeManager
from app.ui.widgets.labels import PlainLabel

#: Icon, token and word of what works, what does not, and what could not be told.
_MARKS: Final = {
    True: ("circle-check", "succeeded", "works"),
    False: ("circle-x", "failed", "does not work"),
    None: ("circle-question-mark", "hint", "not known"),
}
_OFFERED: Final = ("info", "accent", "has more")
#: What is tried after each of them, and takes a moment.
_NEXT: Final = {
    "": "Connecting …",
    "connect": "Signing in …",
    "sign in": "Listening to events for five seconds …",
    "subscribe": "Looking at the queues …",
    "queues": "Asking the workers …",
    "management API": "Asking the workers …",
    "result backend": "Asking the workers …",
    "workers": "Asking the workers for their settings …",
    "settings": "Looking through what was heard …",
    "task events": "Looking through what was heard …",
}


#: A plain word at the beginning, which is no host name.
_WORD: Final = re.compile(r"[a-z]+(?:[ ,;]|\.$)")
#: Pixels for the names of what is tried.
_NAMES: Final = 104


class FoundList(QFrame):
    """A card that fills while a broker is tried; ``taken`` carries the `Offer` that its user wants to take."""

    taken = Signal(object)

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.setAccessibleName("What was found")
        self._theme = theme
        self._rows: list[_Row] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(12, 8, 12, 8)
        self._column.setSpacing(6)
        self._end = PlainLabel(role="secondary")
        self._end.setWordWrap(True)
        self._column.addWidget(self._end)

    def begin(self) -> None:
        """Forget what was found before: it is tried anew."""
        for row in self._rows:
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
        self._rows.clear()
        self._end.set_role("secondary")
        self._end.setText(_NEXT[""])
        self._end.show()

    def add(self, found: Found) -> None:
        """List one more, and say what is tried next."""
        row = _Row(self._theme, found)
        row.taken.connect(self.taken)
        self._column.insertWidget(len(self._rows), row)
        self._rows.append(row)
        self._end.setText(_NEXT.get(found.name, ""))

    def finish(self, text: str, *, failed: bool = False) -> None:
        """Say how it ended."""
        self._end.set_role("error" if failed else "secondary")
        self._end.setText(text)
        self._end.setVisible(bool(text))

    @property
    def uses(self) -> list[QPushButton]:
        """The buttons that take something over."""
        return [button for row in self._rows for button in row.uses]

    @property
    def lines(self) -> list[str]:
        """What is shown, a line each."""
        return [*(row.accessibleName() for row in self._rows), *filter(None, [self._end.text()])]


class _Row(QWidget):
    taken = Signal(object)

    def __init__(self, theme: ThemeManager, found: Found) -> None:
        super().__init__()
        self._theme = theme
        self._mark = _OFFERED if found.offers else _MARKS[found.ok]
        remedy = f" {found.remedy}" if found.remedy else ""
        self.setAccessibleName(f"{found.name} {self._mark[2]}: {found.text}{remedy}")
        self._icon = QLabel()
        name = PlainLabel(found.name, role="strong")
        name.setFixedWidth(_NAMES)
        said = QVBoxLayout()
        said.setSpacing(1)
        self.uses: list[QPushButton] = []
        for offer in found.offers:
            said.addLayout(self._offered(offer))
        text = "" if found.offers else _sentence(found.text)
        for shown, role in ((text, ""), (found.remedy, "small")):
            if shown:
                said.addWidget(_told(shown, role))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(name, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(said, 1)
        theme.changed.connect(self._wear)
        self._wear()

    def _offered(self, offer: Offer) -> QHBoxLayout:
        """A setting that a worker has, and the button that takes it over."""
        use = QPushButton("Use it")
        use.setAutoDefault(False)
        use.setProperty("kind", "small")
        use.setAccessibleName(f"Use {offer.option} = {offer.value}")

        def take() -> None:
            use.setEnabled(False)
            use.setText("Used")
            self.taken.emit(offer)

        use.clicked.connect(take)
        self.uses.append(use)
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(_told(f"{offer.worker} has {offer.option} = {offer.value}", ""), 1, Qt.AlignmentFlag.AlignTop)
        line.addWidget(use, 0, Qt.AlignmentFlag.AlignTop)
        return line

    def _wear(self) -> None:
        icon, token, _ = self._mark
        self._icon.setPixmap(icons.pixmap(icon, self._theme.theme, token, ratio=self.devicePixelRatio()))


def _sentence(text: str) -> str:
    """With a capital at its beginning, unless that is the name of something."""
    return text[:1].upper() + text[1:] if _WORD.match(text) else text


def _told(text: str, role: str) -> PlainLabel:
    label = PlainLabel(text, role=role)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
