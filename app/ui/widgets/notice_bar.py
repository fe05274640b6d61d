"""Messages to people: what happened, why, what to do; no boxes to click away before work goes on."""

from collections.abc import Callable
from typing import Final, NamedTuple

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
)

from app.models.wire import Notice
from app.ui import icons
from app.ui.theme import ThemeManager
from app.ui.widgets.labels import PlainLabel

_ICONS: Final = {"info": ("info", "accent"), "warning": ("triangle-alert", "retrying"), "error": ("circle-x", "failed")}
_MOST: Final = 4
#: Pixels of a row that are not for words, without its remedy.
_SIGNS: Final = 130


class Remedy(NamedTuple):
    """What a button of a notice says, and does."""

    text: str
    act: Callable[[], object]


class NoticeBar(QFrame):
    """The notices that stand now, newest first; one with a known key takes its predecessor's place and counts it."""

    def __init__(self, theme: ThemeManager, most: int = _MOST) -> None:
        super().__init__()
        self._theme = theme
        self._most = most
        self._rows: dict[str, _Row] = {}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        self.setProperty("role", "notices")
        self.hide()

    def show_notice(
        self, notice: Notice, origin: str = "", remedy: Remedy | None = None, *, named: bool = True
    ) -> None:
        """Show a notice; an empty text withdraws it.

        `origin` is whose it is, which is said where it is ``named``; `remedy` is what a button of it does.
        """
        key = f"{origin}\0{notice.key}"
        if not notice.text:
            self._drop(key)
            return
        row = self._rows.pop(key, None)
        if row is None:
            row = _Row(self._theme)
            row.dismiss.clicked.connect(lambda: self._drop(key))
        self._rows[key] = row
        row.show_notice(notice, origin if named else "", remedy)
        self._layout.removeWidget(row)
        self._layout.insertWidget(0, row)
        while len(self._rows) > self._most:
            self._drop(next(iter(self._rows)))
        self._fold()

    def withdraw(self, origin: str) -> None:
        """Withdraw all notices of one."""
        for key in [key for key in self._rows if key.startswith(f"{origin}\0")]:
            self._drop(key)

    def texts(self) -> list[str]:
        """The texts that stand now, newest first."""
        return [row.text for row in reversed(self._rows.values()) if not row.isHidden()]

    def _fold(self) -> None:
        """What several say for one reason is read once, where there is something to do about it."""
        read: set[str] = set()
        for row in sorted(self._rows.values(), key=lambda row: not row.has_remedy):
            row.setVisible(row.text not in read)
            read.add(row.text)
        self.setVisible(bool(self._rows))

    def _drop(self, key: str) -> None:
        row = self._rows.pop(key, None)
        if row is not None:
            self._layout.removeWidget(row)
            row.hide()
            row.deleteLater()
        self._fold()


class _Row(QFrame):
    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._theme = theme
        self.text = ""
        self._severity = "warning"
        self._count = 0
        self.setProperty("role", "notice")
        self._icon = QLabel()
        self._what = PlainLabel(role="strong")
        self._why = PlainLabel(role="secondary")
        self._times = PlainLabel(role="count")
        self._times.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        for label in (self._what, self._why):
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._why.setWordWrap(True)
        self._remedy: Remedy | None = None
        self.remedy = QPushButton()
        self.remedy.clicked.connect(self._act)
        self._copy, self.dismiss = QToolButton(), QToolButton()
        self._copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.text))
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 4, 10, 4)
        row.setSpacing(8)
        row.addWidget(self._icon)
        self._words = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._words.addWidget(self._what)
        self._words.addWidget(self._why, 1)
        row.addLayout(self._words, 1)
        row.addWidget(self._times)
        row.addWidget(self.remedy)
        for button, name in ((self._copy, "Copy this message"), (self.dismiss, "Dismiss")):
            button.setProperty("kind", "flat")
            button.setToolTip(name)
            button.setAccessibleName(name)
            row.addWidget(button)
        theme.changed.connect(self._wear)

    def show_notice(self, notice: Notice, origin: str, remedy: Remedy | None) -> None:
        self._count += 1
        self._remedy = remedy
        self.remedy.setText("" if remedy is None else remedy.text)
        self.remedy.setVisible(remedy is not None)
        self.text = f"{origin}: {notice.text}" if origin else notice.text
        self._severity = notice.severity
        what, _, why = self.text.partition(". ")
        self._what.setText(f"{what}." if why else what)
        self._why.setText(why)
        self._times.setText(f"× {self._count}")
        self._times.setToolTip(f"Came {self._count} times")
        self._times.setVisible(self._count > 1)
        self._arrange()
        self._wear()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        """Why it happened stands behind what happened where there is room for both, and else below."""
        room = self.width() - _SIGNS - (self.remedy.sizeHint().width() + 8 if self.has_remedy else 0)
        wanted = sum(label.fontMetrics().horizontalAdvance(label.text()) + 8 for label in (self._what, self._why))
        beside = wanted <= room
        self._words.setDirection(QBoxLayout.Direction.LeftToRight if beside else QBoxLayout.Direction.TopToBottom)
        self._words.setSpacing(8 if beside else 0)
        self._what.setWordWrap(not beside)

    @property
    def has_remedy(self) -> bool:
        """Whether it has a button that does something about it."""
        return self._remedy is not None

    def _act(self) -> None:
        if self._remedy is not None:
            self._remedy.act()

    def _wear(self) -> None:
        theme = self._theme.theme
        name, token = _ICONS[self._severity]
        self.setProperty("severity", self._severity)
        self.style().unpolish(self)
        self.style().polish(self)
        self._icon.setPixmap(icons.pixmap(name, theme, token, ratio=self.devicePixelRatio()))
        self._copy.setIcon(icons.icon("copy", theme, "secondary", size=14))
        self.dismiss.setIcon(icons.icon("x", theme, "secondary", size=14))
