"""Rows that lead somewhere: a broker with its state, a page with its key, the way to one more broker."""

import math
from typing import Final

import msgspec
from PySide6.QtCore import QEvent, QObject, QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QContextMenuEvent, QFont, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from app.models.qt.plain import plain_tip
from app.ui import fonts, icons
from app.ui.theme import ThemeManager

LEFT: Final = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT: Final = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
#: A larger number in a badge would not be read.
_MOST: Final = 99


class Badge(msgspec.Struct, frozen=True):
    """A number in the colour of a token; none where it is 0."""

    n: int = 0
    token: str = "failed"

    def spoken(self, name: str) -> str:
        """A name with what the number says of it."""
        return f"{name}, {self.n} {'needs' if self.n == 1 else 'need'} attention" if self.n else name


class BrokerState(msgspec.Struct, frozen=True):
    """What a broker's row shows; colours are tokens of the theme."""

    name: str
    tag: str
    short_tag: str
    colour: str
    dot: str
    words: str
    tooltip: str = ""
    badge: Badge = Badge()
    #: What its user tells it apart by, as ``#rrggbb``; None for the environment's colour.
    own: str | None = None
    #: Whether its certificate is trusted for what it is, and not for who signed it.
    pinned: bool = False


class SideRow(QAbstractButton):
    """A checkable row with the look of a list's: rounded when chosen or hovered, ringed when it has the focus.

    Signals: ``more_wanted`` with the place on the screen where a menu is to open, of a row that has one.
    """

    more_wanted = Signal(QPoint)

    def __init__(self, theme: ThemeManager, height: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setCheckable(True)
        self.setFixedHeight(height)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self._more: MoreButton | None = None
        theme.changed.connect(self.update)

    def offer_more(self, name: str, top: int) -> None:
        """Have a menu, which a button ``top`` pixels below the row's top opens, besides the usual ways to one."""
        self._more = MoreButton(self._theme, self, name, top)
        self._more.clicked.connect(lambda: self.more_wanted.emit(self.mapToGlobal(self.rect().bottomLeft())))

    @property
    def more(self) -> "MoreButton | None":
        """The button that opens the row's menu."""
        return self._more

    @property
    def room_for_more(self) -> int:
        """Pixels that the button takes at the right end, while it is in sight."""
        return MoreButton.SIZE if self._more is not None and self._more.in_sight else 0

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        if self._more is None:
            super().contextMenuEvent(event)
        else:
            by_mouse = event.reason() == QContextMenuEvent.Reason.Mouse
            self.more_wanted.emit(event.globalPos() if by_mouse else self.mapToGlobal(self.rect().bottomLeft()))

    def sizeHint(self) -> QSize:
        return QSize(200, self.height())

    def _colour(self, token: str) -> QColor:
        """A token's colour on the ground of this row."""
        theme = self._theme.theme
        return theme.on_selection(token) if self.isChecked() else theme.colour(token)

    def _paint_badge(self, painter: QPainter, badge: Badge, room: QRectF) -> int:
        """Paint it at the right end, and say how much room it takes."""
        if not badge.n:
            return 0
        text, font = str(badge.n) if badge.n <= _MOST else f"{_MOST}+", fonts.ui_font(11, QFont.Weight.Bold)
        width = max(room.height() + 4, QFontMetrics(font).horizontalAdvance(text) + 12)
        pill = QRectF(room.right() - width, room.top(), width, room.height())
        theme = self._theme.theme
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour(badge.token))
        painter.drawRoundedRect(pill, pill.height() / 2, pill.height() / 2)
        painter.setPen(theme.colour("on_accent"))
        painter.setFont(font)
        painter.drawText(pill, Qt.AlignmentFlag.AlignCenter, text)
        return math.ceil(width) + 6

    def _paint_ground(self, painter: QPainter) -> None:
        theme = self._theme.theme
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ground = "selection" if self.isChecked() else "hover" if self.underMouse() else None
        painter.setPen(QPen(theme.colour("accent"), 1) if self.hasFocus() else Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour(ground) if ground else Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)


class MoreButton(QAbstractButton):
    """Opens a row's menu: seen while the row, or it, has the mouse or the focus, so that rows stay quiet."""

    SIZE: Final = 22

    def __init__(self, theme: ThemeManager, row: SideRow, name: str, top: int) -> None:
        super().__init__(row)
        self._theme = theme
        self._row = row
        self._top = top
        self.setFixedSize(self.SIZE, self.SIZE)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setToolTip("More")
        self.setAccessibleName(f"More for {name}")
        row.installEventFilter(self)
        self.installEventFilter(self)

    @property
    def in_sight(self) -> bool:
        """Whether it can be seen now."""
        return self._row.underMouse() or self._row.hasFocus() or self.hasFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and watched is self._row:
            self.move(self._row.width() - self.SIZE - 4, self._top)
        elif event.type() in (QEvent.Type.FocusIn, QEvent.Type.FocusOut):
            self._row.update()
        return False

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self.in_sight:
            return
        painter, theme = QPainter(self), self._theme.theme
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(theme.colour("accent"), 1) if self.hasFocus() else Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour("line") if self.underMouse() else Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 5, 5)
        picture = icons.pixmap("ellipsis", theme, "secondary", size=14, ratio=self.devicePixelRatio())
        painter.drawPixmap(4, 4, picture)


class BrokerRow(SideRow):
    """A broker: its colour, name and environment, and below how it is."""

    def __init__(self, theme: ThemeManager, state: BrokerState) -> None:
        super().__init__(theme, 42)
        self._state = state
        self._fonts = (
            fonts.ui_font(13, QFont.Weight.Medium),
            fonts.ui_font(10, QFont.Weight.Bold),
            fonts.ui_font(12),
        )
        self.show_state(state)

    def show_state(self, state: BrokerState) -> None:
        """Show another state of it."""
        if state != self._state or not self.accessibleName():
            self._state = state
            told = (state.name, state.tag.lower(), "pinned certificate" if state.pinned else "", state.words)
            self.setAccessibleName(state.badge.spoken(", ".join(filter(None, told))))
            self.setToolTip(plain_tip(state.tooltip))
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, theme, state = QPainter(self), self._theme.theme, self._state
        self._paint_ground(painter)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour(state.colour) if state.own is None else QColor(state.own))
        painter.drawRoundedRect(QRectF(0, 9, 3, self.height() - 18), 1.5, 1.5)
        painter.setBrush(theme.colour(state.dot))
        painter.drawEllipse(QRectF(15, 26, 8, 8))
        name, tag, small = self._fonts
        right = self.width() - 8
        if state.pinned:
            picture = icons.pixmap("lock-open", theme, "failed", size=12, ratio=self.devicePixelRatio())
            painter.drawPixmap(15, 7, picture)
        left = 15 + (16 if state.pinned else 0)
        tag_text, room = self._tag_and_room(right - left)
        painter.setFont(tag)
        painter.setPen(self._colour(state.colour))
        painter.drawText(QRectF(0, 3, right, 18), RIGHT, tag_text)
        painter.setFont(name)
        painter.setPen(theme.colour("text"))
        shown = QFontMetrics(name).elidedText(state.name, Qt.TextElideMode.ElideMiddle, room)
        painter.drawText(QRectF(left, 4, room, 18), LEFT, shown)
        right -= self.room_for_more
        right -= self._paint_badge(painter, state.badge, QRectF(0, 22, right, 16))
        painter.setFont(small)
        painter.setPen(self._colour("secondary"))
        words = QFontMetrics(small).elidedText(state.words, Qt.TextElideMode.ElideRight, right - 28)
        painter.drawText(QRectF(28, 21, right - 28, 18), LEFT, words)

    def _tag_and_room(self, width: int) -> tuple[str, int]:
        """The environment's tag, short where the name needs the room, and what is left for the name."""
        name, tag, _ = (QFontMetrics(font) for font in self._fonts)
        for text in (self._state.tag, self._state.short_tag):
            room = width - (tag.horizontalAdvance(text) + 8 if text else 0)
            if name.horizontalAdvance(self._state.name) <= room:
                return text, room
        return self._state.short_tag, room


class PageRow(SideRow):
    """A page: its icon and name, and the key that leads to it."""

    def __init__(self, theme: ThemeManager, title: str, icon: str, key: str) -> None:
        super().__init__(theme, 30)
        self.title = title
        self._icon = icon
        self._key = key
        self._badge = Badge()
        self.setAccessibleName(title)
        self.setToolTip(f"{title} ({key})")

    def show_badge(self, badge: Badge) -> None:
        """Show how many findings the page is about, in place of the key."""
        if badge != self._badge:
            self._badge = badge
            self.setAccessibleName(badge.spoken(self.title))
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, theme = QPainter(self), self._theme.theme
        self._paint_ground(painter)
        token = "text" if self.isChecked() else "secondary"
        picture = icons.pixmap(self._icon, theme, token, ratio=self.devicePixelRatio())
        painter.drawPixmap(10, (self.height() - icons.SIZE) // 2, picture)
        painter.setPen(theme.colour("text"))
        painter.setFont(fonts.ui_font(13, QFont.Weight.Medium if self.isChecked() else QFont.Weight.Normal))
        painter.drawText(QRectF(34, 0, self.width() - 40, self.height()), LEFT, self.title)
        if self._paint_badge(painter, self._badge, QRectF(0, 7, self.width() - 8, 16)):
            return
        painter.setFont(fonts.ui_font(12))
        painter.setPen(self._colour("hint"))
        painter.drawText(QRectF(0, 0, self.width() - 8, self.height()), RIGHT, self._key)


class ConnectRow(SideRow):
    """The way to one more broker, and the key that leads there."""

    def __init__(self, theme: ThemeManager, key: str) -> None:
        super().__init__(theme, 32)
        self._key = key
        self.setCheckable(False)
        self.setAccessibleName("Connect to a broker")
        self.setToolTip(f"Connect to a broker ({key})")

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, theme = QPainter(self), self._theme.theme
        self._paint_ground(painter)
        picture = icons.pixmap("plus", theme, "secondary", size=14, ratio=self.devicePixelRatio())
        painter.drawPixmap(12, (self.height() - 14) // 2, picture)
        painter.setFont(fonts.ui_font(13))
        painter.setPen(theme.colour("secondary"))
        painter.drawText(QRectF(34, 0, self.width() - 40, self.height()), LEFT, "Connect …")
        painter.setFont(fonts.ui_font(12))
        painter.setPen(self._colour("hint"))
        painter.drawText(QRectF(0, 0, self.width() - 8, self.height()), RIGHT, self._key)
