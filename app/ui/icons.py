"""Thin line icons (Lucide) in the colours of the theme, sharp on every screen."""

from typing import Final

from PySide6.QtCore import QByteArray, QRectF, Qt
from PySide6.QtGui import QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from app import paths
from app.ui.theme import Theme

SIZE: Final = 16
_STROKE: Final = "1.75"  # of 24; Lucide's own 2 is heavy beside Inter at 13 px


def icon(name: str, theme: Theme, token: str = "text", *, size: int = SIZE) -> QIcon:  # noqa: S107 - a colour's name
    """The icon `name` (a file in ``resources/icons``) in the colour `token`, with a paler one for disabled buttons."""
    made = QIcon()
    for ratio in (1.0, 2.0):
        made.addPixmap(pixmap(name, theme, token, size=size, ratio=ratio))
        made.addPixmap(pixmap(name, theme, "hint", size=size, ratio=ratio), QIcon.Mode.Disabled)
    return made


def pixmap(name: str, theme: Theme, token: str = "text", *, size: int = SIZE, ratio: float = 1.0) -> QPixmap:  # noqa: S107
    """The same as a picture of `size` logical pixels.

    Raises:
        FileNotFoundError: there is no such icon.
    """
    text = paths.resource(f"icons/{name}.svg").read_text(encoding="utf-8")
    text = text.replace("currentColor", theme.colour(token).name())
    text = text.replace('stroke-width="2"', f'stroke-width="{_STROKE}"')
    drawn = QPixmap(round(size * ratio), round(size * ratio))
    drawn.setDevicePixelRatio(ratio)
    drawn.fill(Qt.GlobalColor.transparent)
    painter = QPainter(drawn)
    QSvgRenderer(QByteArray(text.encode())).render(painter, QRectF(0, 0, size, size))
    painter.end()
    return drawn
