"""Buttons that acts begin with: each says why it can't be pressed, where it can't."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from PySide6.QtCore import QPoint, QSize, Qt
from PySide6.QtWidgets import QHBoxLayout, QMenu, QPushButton, QWidget

from app.models.qt.plain import one_line, plain_tip
from app.ui.icons import icon
from app.ui.supervisor import Connection
from app.ui.theme import ThemeManager
from app.ui.widgets.beside import Beside
from app.ui.widgets.findings import OPERATE_ONLY
from app.ui.widgets.labels import ElidedLabel

_MARGIN: Final = 14
_ARROW: Final = QSize(18, 16)
_SEVERAL: Final = "Each act is on one broker. Choose that first."
_FILE: Final = (
    "Nothing can be done to a history file: there is no broker behind it. Connect to the broker to act on it."
)


def no_broker(connection: Connection | None) -> str:
    """Why there is nothing to act on, as a sentence; "" where there is a broker. None stands for several brokers."""
    if connection is None:
        return _SEVERAL
    return "" if connection.live else _FILE


def why_not(connection: Connection | None) -> str:
    """Why nothing may be done at a connection, as a sentence; "" where something may, once it is unlocked."""
    return no_broker(connection) or ("" if connection is not None and connection.operates else OPERATE_ONLY)


class Entry(msgspec.Struct, frozen=True):
    """A line of a menu, and what it does; no ``does`` for a line between groups."""

    text: str = ""
    does: Callable[[], None] | None = None
    why_not: str = ""


def fill(menu: QMenu, entries: Sequence[Entry]) -> QMenu:
    """Offer these and nothing else; a broker's names in them are shown as they are."""
    menu.clear()
    menu.setToolTipsVisible(True)
    for entry in entries:
        if entry.does is None:
            menu.addSeparator()
            continue
        action = menu.addAction(one_line(entry.text).replace("&", "&&"), entry.does)
        action.setEnabled(not entry.why_not)
        action.setToolTip(plain_tip(entry.why_not))
    return menu


def pop_up(parent: QWidget, entries: Sequence[Entry], at: QPoint) -> None:
    """Show a menu at a place of the screen."""
    menu = QMenu(parent)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    fill(menu, entries).popup(at)


class ActButton(QPushButton):
    """Begins an act; ``says`` what comes of it."""

    def __init__(self, text: str, says: str = "", *, kind: str = "") -> None:
        super().__init__(text)
        self._says = says
        self.setAutoDefault(False)
        self.setProperty("kind", kind)
        self.allow("")

    def allow(self, why_not: str = "") -> None:
        """Let it be pressed, or say why it can't."""
        self.setEnabled(not why_not)
        self.setToolTip(plain_tip(why_not or self._says))
        self.setAccessibleDescription(why_not or self._says)


class MenuButton(ActButton):
    """Offers several acts; ``entries`` are asked for when it is opened."""

    def __init__(
        self, theme: ThemeManager, text: str, says: str, entries: Callable[[], Sequence[Entry]], *, kind: str = ""
    ) -> None:
        super().__init__(text, says, kind=kind)
        self._theme = theme
        self._menu = QMenu(self)
        self._menu.aboutToShow.connect(lambda: fill(self._menu, entries()))
        # A menu that is set is shown in a loop of its own, in which no coroutine goes on.
        self.clicked.connect(lambda: self._menu.popup(self.mapToGlobal(self.rect().bottomLeft())))
        self.setLayoutDirection(Qt.LayoutDirection.RightToLeft)  # the arrow stands behind the words,
        self.setIconSize(_ARROW)  # with some room around it
        theme.changed.connect(self._wear)
        self._wear()

    def _wear(self) -> None:
        token = "on_accent" if self.property("kind") else "secondary"  # on a ground of its own
        self.setIcon(icon("chevron-down", self._theme.theme, token, size=12))


class Foot(Beside):
    """The lowest line of an inspector: buttons, and right of them why they can't be pressed."""

    def __init__(self, *buttons: QWidget) -> None:
        self._hint = ElidedLabel(role="hint")
        super().__init__(row(*buttons), self._hint, (_MARGIN, 8, _MARGIN, 10))

    def say(self, text: str, tip: str = "") -> None:
        """Say something beside the buttons."""
        self._hint.setText(text)
        self._hint.explain(tip)
        self._hint.setVisible(bool(text))
        self.fit()


def row(*widgets: QWidget) -> QWidget:
    """Widgets beside each other, from the left."""
    made = QWidget()
    line = QHBoxLayout(made)
    line.setContentsMargins(0, 0, 0, 0)
    line.setSpacing(6)
    for widget in widgets:
        line.addWidget(widget)
    line.addStretch(1)
    return made
