from collections.abc import Iterator

import pytest
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFontInfo, QFontMetricsF, QImage, QPainter
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app import paths
from app.models import states
from app.ui import fonts, icons, style
from app.ui.shapes import paint_shape, state_style
from app.ui.theme import Theme, ThemeManager, theme_for

THEMES = (theme_for(dark=True), theme_for(dark=False))
WORKER_STATES = ("online", "silent", "lost", "offline")


def channel(value: float) -> float:
    return value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4


def luminance(colour: QColor) -> float:
    red, green, blue = (channel(part) for part in (colour.redF(), colour.greenF(), colour.blueF()))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: QColor, other: QColor) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_text_and_state_colour_can_be_read_on_a_panel(theme: Theme) -> None:
    surfaces = ("window", "panel", "field", "line", "selection", "hover", "on_accent")
    tokens = [name for name in theme.__struct_fields__ if name not in (*surfaces, "name", "series")]
    tokens += [f"series.{number}" for number in range(len(theme.series))]
    unreadable = {
        token: round(contrast(theme.colour(token), theme.colour("panel")), 2)
        for token in tokens
        if contrast(theme.colour(token), theme.colour("panel")) < 4.5
    }
    assert not unreadable
    ground = theme.colour("selection")
    assert not [token for token in tokens if contrast(theme.on_selection(token), ground) < 4.5]


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_the_word_on_a_filled_button_can_be_read(theme: Theme) -> None:
    for token in ("accent", "failed"):
        assert contrast(theme.colour("on_accent"), theme.colour(token)) >= 4.5


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_the_style_sheet_leaves_no_token_unreplaced(theme: Theme) -> None:
    assert "@" not in style.sheet(theme)


def test_no_two_task_states_share_a_colour_or_a_shape() -> None:
    styles = [state_style(state) for state in (*states.STATES, states.LOST, states.UNKNOWN)]
    assert len({one.token for one in styles}) == len(styles)
    assert len({one.shape for one in styles}) == len(styles)


def test_a_custom_state_is_shown_by_its_own_word() -> None:
    assert state_style("PROGRESS").word == "PROGRESS"


@pytest.mark.parametrize(("state", "word"), [("LOST", "Lost?"), ("UNKNOWN", "Unknown"), ("busy", "Busy")])
def test_a_doubt_is_called_one(state: str, word: str) -> None:
    assert state_style(state).word == word


def painted(state: str) -> QImage:
    image = QImage(12, 12, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.black)
    painter = QPainter(image)
    paint_shape(painter, QRectF(1, 1, 10, 10), state_style(state).shape, QColor("white"))
    painter.end()
    return image


def test_shapes_differ_without_colour(qapp: QApplication) -> None:
    pictures = [bytes(painted(state).constBits()) for state in (*states.WORDS, states.CANCELLED, "PROGRESS", "busy")]
    assert len(set(pictures)) == len(pictures)


def test_the_bundled_fonts_are_used_and_figures_are_equally_wide(theme: ThemeManager) -> None:
    assert QFontInfo(fonts.ui_font()).family() == "Inter"
    assert QFontInfo(fonts.mono_font()).family() == "JetBrains Mono"
    widths = {figure: QFontMetricsF(fonts.ui_font()).horizontalAdvance(figure * 10) for figure in "0123456789"}
    assert len(set(widths.values())) == 1


def test_fonts_and_icons_come_with_their_licences() -> None:
    for name in ("fonts/Inter-OFL.txt", "fonts/JetBrainsMono-OFL.txt", "icons/LICENSE"):
        assert "Copyright" in paths.resource(name).read_text(encoding="utf-8")


def test_every_icon_can_be_drawn_in_a_colour_of_the_theme(theme: ThemeManager) -> None:
    wanted = theme.theme.colour("failed")
    for path in paths.resource("icons").glob("*.svg"):
        image = icons.pixmap(path.stem, theme.theme, "failed", ratio=2.0).toImage()
        pixels = [image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height())]
        opaque = [pixel for pixel in pixels if pixel.alpha() > 250]
        assert opaque, path.stem
        assert all(abs(pixel.red() - wanted.red()) + abs(pixel.blue() - wanted.blue()) <= 4 for pixel in opaque), (
            path.stem
        )


@pytest.fixture
def light_again(theme: ThemeManager) -> Iterator[ThemeManager]:
    yield theme
    theme.set_mode("dark")


def test_widgets_are_told_when_the_theme_changes(light_again: ThemeManager, qtbot: QtBot) -> None:
    with qtbot.waitSignal(light_again.changed):
        light_again.toggle()
    assert light_again.theme.name == "light"
    assert QApplication.palette().window().color().name() == light_again.theme.window


def test_wearing_the_same_theme_again_tells_nobody(theme: ThemeManager, qtbot: QtBot) -> None:
    with qtbot.assertNotEmitted(theme.changed):
        theme.set_mode("dark")
