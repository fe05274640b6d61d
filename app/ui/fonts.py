"""The two bundled typefaces: Inter for words and figures, JetBrains Mono for ids, names, arguments and tracebacks."""

from typing import Final

from PySide6.QtGui import QFont, QFontDatabase

from app import paths

UI_SIZE: Final = 13
MONO_SIZE: Final = 12

_FILES: Final = (
    "Inter-Regular.otf",
    "Inter-Medium.otf",
    "Inter-SemiBold.otf",
    "Inter-Bold.otf",
    "JetBrainsMono-Regular.ttf",
    "JetBrainsMono-Bold.ttf",
)


def load() -> None:
    """Make the bundled fonts known to Qt.

    Raises:
        FileNotFoundError: the program's files are incomplete.
    """
    for name in _FILES:
        path = paths.resource(f"fonts/{name}")
        if QFontDatabase.addApplicationFont(str(path)) < 0:
            raise FileNotFoundError(f"The font {path} can't be read. Install the program again.")


def ui_font(size: int = UI_SIZE, weight: QFont.Weight = QFont.Weight.Normal) -> QFont:
    """Inter in `size` pixels with figures of equal width, so that columns align and live values don't tremble."""
    font = QFont("Inter")
    font.setPixelSize(size)
    font.setWeight(weight)
    font.setFeature(QFont.Tag("tnum"), 1)
    return font


def mono_font(size: int = MONO_SIZE, weight: QFont.Weight = QFont.Weight.Normal) -> QFont:
    """JetBrains Mono in `size` pixels, without ligatures: what is shown is what was sent."""
    font = QFont("JetBrains Mono")
    font.setPixelSize(size)
    font.setWeight(weight)
    font.setStyleHint(QFont.StyleHint.Monospace)
    for ligatures in ("liga", "calt"):
        font.setFeature(QFont.Tag(ligatures), 0)
    return font
