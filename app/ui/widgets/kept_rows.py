"""Rows of connections that are kept: as the home page lists them, and as the sidebar does while they are off."""

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPaintEvent, QPen

from app.models.profiles import Profile
from app.models.qt.plain import plain_tip, visible
from app.models.redact import redact_url
from app.ui import fonts, words
from app.ui.theme import ThemeManager
from app.ui.widgets.side_rows import LEFT, RIGHT, SideRow


class OffRow(SideRow):
    """A connection that is kept, and not connected now: its name beside an empty dot, and its environment."""

    def __init__(self, theme: ThemeManager, profile: Profile) -> None:
        super().__init__(theme, 28)
        self.setCheckable(False)
        self.profile = profile
        self._name = visible(profile.name)
        self._token, tag, self._tag = words.ENVIRONMENTS[profile.environment]
        self.offer_more(self._name, 3)
        self.setAccessibleName(", ".join(filter(None, (self._name, tag.lower(), "off"))))
        self.setToolTip(plain_tip(f"Not connected: click to connect\n{redact_url(profile.url)}"))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, theme = QPainter(self), self._theme.theme
        self._paint_ground(painter)
        painter.setPen(QPen(theme.colour("hint"), 1.5))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(QRectF(15.75, 10.75, 6.5, 6.5))
        right = self.width() - 8 - self.room_for_more
        tag, name = fonts.ui_font(10, QFont.Weight.Bold), fonts.ui_font(13)
        painter.setFont(tag)
        painter.setPen(theme.colour(self._token))
        painter.drawText(QRectF(0, 0, right, self.height()), RIGHT, self._tag)
        room = right - 28 - (QFontMetrics(tag).horizontalAdvance(self._tag) + 8 if self._tag else 0)
        painter.setFont(name)
        painter.setPen(theme.colour("secondary"))
        shown = QFontMetrics(name).elidedText(self._name, Qt.TextElideMode.ElideMiddle, room)
        painter.drawText(QRectF(28, 0, room, self.height()), LEFT, shown)


class ProfileRow(SideRow):
    """A connection that is kept: its colour, name and environment, and below its address."""

    def __init__(self, theme: ThemeManager, profile: Profile) -> None:
        super().__init__(theme, 44)
        self.setCheckable(False)
        self._profile = profile
        self.offer_more(visible(profile.name), 11)
        self._token, self._tag, _ = words.ENVIRONMENTS[profile.environment]
        self._url = visible(redact_url(profile.url))
        tag = f", {self._tag.lower()}" if self._tag else ""
        self.setAccessibleName(f"Connect to {profile.name}{tag}, {self._url}")
        self.setToolTip(plain_tip(f"Connect to {profile.name}\n{self._url}"))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, theme, profile = QPainter(self), self._theme.theme, self._profile
        self._paint_ground(painter)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour(self._token) if profile.colour is None else QColor(profile.colour))
        painter.drawRoundedRect(QRectF(0, 9, 3, self.height() - 18), 1.5, 1.5)
        right = self.width() - 12 - self.room_for_more
        painter.setFont(fonts.ui_font(10, QFont.Weight.Bold))
        painter.setPen(theme.colour(self._token))
        painter.drawText(QRectF(0, 4, right, 18), RIGHT, self._tag)
        for top, token, font, text, room in (
            (4, "text", fonts.ui_font(13, QFont.Weight.Medium), visible(profile.name), right - 120),
            (22, "secondary", fonts.ui_font(12), self._url, right - 14),
        ):
            painter.setFont(font)
            painter.setPen(theme.colour(token))
            shown = QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideMiddle, room)
            painter.drawText(QRectF(14, top, room, 18), LEFT, shown)
