"""The safety lock: what may be done to the broker, and for how long still."""

from functools import partial
from typing import Final

from PySide6.QtCore import QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QContextMenuEvent, QFont, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QMenu

from app.models.profiles import MODES, Mode
from app.models.qt.plain import plain_tip
from app.ui import fonts, icons, words
from app.ui.theme import ThemeManager

_LOCKED: Final = "Acting is locked. Press to unlock it for 15 minutes."
_UNLOCKED: Final = "Acting is unlocked. Press to lock it at once, which also stops what is under way."
_OTHERS: Final = "Its menu changes the access mode."
_SIDE: Final = 10
_SIGN: Final = 14


class ModeBadge(QAbstractButton):
    """Shows the access mode. In *operate* mode it is a lock, in the others it explains the mode and offers others.

    Signals: ``unlock_wanted`` and ``lock_wanted``; ``mode_wanted`` with another access mode.
    """

    unlock_wanted = Signal()
    lock_wanted = Signal()
    mode_wanted = Signal(str)

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._theme = theme
        self._mode: Mode | None = None
        self._left = 0.0
        self._token, self._word, self._meaning = "secondary", "", ""
        self.setFont(fonts.ui_font(13, QFont.Weight.Medium))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.clicked.connect(self._press)
        theme.changed.connect(self.update)
        self.hide()

    def show_mode(self, mode: Mode | None, *, unlocked_for: float = 0.0, hot: bool = False) -> None:
        """Show what may be done; nothing is sent anywhere where there is only a file.

        ``unlocked_for`` are seconds, 0 while acting is locked; ``hot`` is whether it is unlocked in production.
        """
        self._mode, self._left = mode, unlocked_for
        self._token, self._word, self._meaning = (
            words.MODES[mode] if mode else ("secondary", "Read only", "A history file: there is no broker behind it.")
        )
        if mode == "operate":
            minutes, seconds = divmod(int(unlocked_for), 60)
            self._word += f" · {minutes}:{seconds:02}" if unlocked_for else " · locked"
            self._token = "production" if hot else self._token
            self._meaning = f"{self._meaning}\n{_UNLOCKED if unlocked_for else _LOCKED} {_OTHERS}"
        self.setEnabled(mode is not None)
        self.setToolTip(plain_tip(self._meaning))
        self.setAccessibleName(self._word)
        self.setAccessibleDescription(self._meaning)
        self.setFixedSize(self.sizeHint())
        self.show()
        self.update()

    @property
    def word(self) -> str:
        """What is read on it."""
        return self._word

    def menu(self) -> QMenu:
        """What the mode means, and the others that it may be changed to."""
        menu = QMenu(self)
        menu.aboutToHide.connect(menu.deleteLater)
        if self._mode is None:
            return menu
        menu.addAction(words.MODES[self._mode][2]).setEnabled(False)
        menu.addSeparator()
        here = MODES.index(self._mode)
        for place, mode in enumerate(MODES):
            if mode != self._mode:
                # Where more may be done than before, that is asked first.
                asks = " …" if place > here else ""
                menu.addAction(f"Change to {mode}{asks}", partial(self.mode_wanted.emit, mode))
        return menu

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        if self._mode is not None:
            self.menu().popup(event.globalPos())

    def _press(self) -> None:
        if self._mode != "operate":
            menu = self.menu()
            corner = self.mapToGlobal(QPoint(self.width(), self.height() + 4))
            menu.popup(corner - QPoint(menu.sizeHint().width(), 0))
        elif self._left:
            self.lock_wanted.emit()
        else:
            self.unlock_wanted.emit()

    @property
    def _opens(self) -> bool:
        return self._mode in ("passive", "observe")

    def sizeHint(self) -> QSize:
        self.ensurePolished()
        arrow = 18 if self._opens else 0
        return QSize(_SIDE + _SIGN + 7 + self.fontMetrics().horizontalAdvance(self._word) + _SIDE + 3 + arrow, 28)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, painter = self._theme.theme, QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        token = "accent" if self.hasFocus() else self._token
        painter.setPen(QPen(theme.colour(token, 1.0 if self.hasFocus() or self._left else 0.7), 1))
        if self._left:
            painter.setBrush(theme.colour(self._token, 0.14))
        elif self.underMouse() and self.isEnabled():
            painter.setBrush(theme.colour("hover"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 5, 5)
        ratio = self.devicePixelRatio()
        name = "lock-open" if self._left else "lock"
        painter.drawPixmap(_SIDE, 7, icons.pixmap(name, theme, self._token, size=_SIGN, ratio=ratio))
        if self._opens:
            arrow = icons.pixmap("chevron-down", theme, "secondary", size=_SIGN, ratio=ratio)
            painter.drawPixmap(self.width() - _SIDE - _SIGN + 2, 8, arrow)
        painter.setPen(theme.colour("text"))
        words_ = QRectF(_SIDE + _SIGN + 6, 0, self.width(), self.height())
        painter.drawText(words_, Qt.AlignmentFlag.AlignVCenter, self._word)
