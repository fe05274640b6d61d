"""The theme that is worn now: applied to the application, handed on by constructor, announced when it changes."""

from typing import Literal

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QApplication

from app.ui import fonts, style
from app.ui.tokens import Theme, theme_for

__all__ = ["Mode", "Theme", "ThemeManager", "theme_for"]

Mode = Literal["system", "dark", "light"]


class ThemeManager(QObject):
    """Applies a theme to the application and tells widgets when it changes; handed on by constructor.

    Attributes: ``theme`` is the one worn now, ``mode`` what the user asked for (*system* follows the desktop).
    Signals: ``changed`` after palette and style sheet were replaced; whoever paints by hand repaints then.
    """

    changed = Signal()

    def __init__(self, application: QApplication, mode: Mode = "system") -> None:
        super().__init__(application)
        self._application = application
        self.mode: Mode = mode
        fonts.load()
        application.setStyle("Fusion")
        application.setFont(fonts.ui_font())
        self.theme = self._wanted()
        self._apply()
        application.styleHints().colorSchemeChanged.connect(self._follow)

    def set_mode(self, mode: Mode) -> None:
        """Wear the dark theme, the light one, or the desktop's."""
        self.mode = mode
        self._follow()

    def toggle(self) -> None:
        """Change to the other theme and stay with it."""
        self.set_mode("light" if self.theme.dark else "dark")

    def _wanted(self) -> Theme:
        if self.mode == "system":
            # A desktop that tells nothing gets the dark one: this window is made for 03:00.
            return theme_for(self._application.styleHints().colorScheme() != Qt.ColorScheme.Light)
        return theme_for(self.mode == "dark")

    def _follow(self) -> None:
        wanted = self._wanted()
        if wanted is not self.theme:
            self.theme = wanted
            self._apply()
            self.changed.emit()

    def _apply(self) -> None:
        self._application.setPalette(style.palette(self.theme))
        self._application.setStyleSheet(style.sheet(self.theme))
