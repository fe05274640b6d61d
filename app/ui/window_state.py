"""What a window looked like when it was closed, and looks like again when it opens."""

from typing import Final, cast, get_args

from PySide6.QtCore import QByteArray, QSettings
from PySide6.QtWidgets import QWidget

from app.ui.live import RANGES, TimeRange
from app.ui.theme import Mode, ThemeManager

_SIZE: Final = (1280, 800)


class WindowState:
    """Geometry, page, time range and theme, in the settings of the window."""

    def __init__(self, settings: QSettings, theme: ThemeManager) -> None:
        self._settings, self._theme = settings, theme

    @property
    def page(self) -> str:
        """The name of the page that was shown last."""
        return str(self._settings.value("window/page", "overview"))

    def restore_span(self, time_range: TimeRange) -> None:
        """Show as long a time as before, up to now."""
        span = self._settings.value("window/span", 900.0, float)
        time_range.go_live(span if span in RANGES else None)

    def restore(self, window: QWidget) -> None:
        """Give the window its place and its theme."""
        geometry = self._settings.value("window/geometry")
        if not (isinstance(geometry, QByteArray) and window.restoreGeometry(geometry)):
            window.resize(*_SIZE)
        mode = str(self._settings.value("window/theme", self._theme.mode))
        if mode in get_args(Mode):
            self._theme.set_mode(cast("Mode", mode))

    def keep(self, window: QWidget, page: str, span: float) -> None:
        """Keep how it is now."""
        if span in RANGES:
            self._settings.setValue("window/span", span)
        self._settings.setValue("window/page", page)
        self._settings.setValue("window/theme", self._theme.mode)
        self._settings.setValue("window/geometry", window.saveGeometry())
        self._settings.sync()
