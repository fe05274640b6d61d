"""What is found of a broker while it is tried: each capability with a mark, and what to do about what is missing."""

from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.models.wire import Found
from app.ui import icons
from app.ui.theme import ThemeManager
from app.ui.widgets.labels import PlainLabel

#: Icon, token and word of what works, what does not, and what could not be told.
_MARKS: Final = {
    True: ("circle-check", "succeeded", "works"),
    False: ("circle-x", "failed", "does not work"),
    None: ("circle-question-mark", "hint", "not known"),
}
#: What is tried after each of them, and takes a moment.
_NEXT: Final = {
    "": "Connecting …",
    "connect": "Signing in …",
    "sign in": "Listening to events for five seconds …",
    "subscribe": "Looking at the queues …",
    "queues": "Asking the workers …",
    "workers": "Looking through what was heard …",
    "task events": "Looking through what was heard …",
}


class FoundList(QFrame):
    """A card that fills while a broker is tried."""

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
        self._column.insertWidget(len(self._rows), row)
        self._rows.append(row)
        self._end.setText(_NEXT.get(found.name, ""))

    def finish(self, text: str, *, failed: bool = False) -> None:
        """Say how it ended."""
        self._end.set_role("error" if failed else "secondary")
        self._end.setText(text)
        self._end.setVisible(bool(text))

    @property
    def lines(self) -> list[str]:
        """What is shown, a line each."""
        return [*(row.accessibleName() for row in self._rows), *filter(None, [self._end.text()])]


class _Row(QWidget):
    def __init__(self, theme: ThemeManager, found: Found) -> None:
        super().__init__()
        self._theme = theme
        self._mark = _MARKS[found.ok]
        remedy = f" {found.remedy}" if found.remedy else ""
        self.setAccessibleName(f"{found.name} {self._mark[2]}: {found.text}{remedy}")
        self._icon = QLabel()
        name = PlainLabel(found.name, role="strong")
        name.setFixedWidth(88)
        said = QVBoxLayout()
        said.setSpacing(1)
        for text, role in ((found.text[:1].upper() + found.text[1:], ""), (found.remedy, "small")):
            if text:
                label = PlainLabel(text, role=role)
                label.setWordWrap(True)
                label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
                said.addWidget(label)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(name, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(said, 1)
        theme.changed.connect(self._wear)
        self._wear()

    def _wear(self) -> None:
        icon, token, _ = self._mark
        self._icon.setPixmap(icons.pixmap(icon, self._theme.theme, token, ratio=self.devicePixelRatio()))
