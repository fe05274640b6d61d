"""Fusion dressed in our colours: the palette and the style sheet of a theme."""

from typing import Final

from PySide6.QtGui import QColor, QPalette

from app.ui.tokens import Theme, mixed

# `@token` is replaced by the theme's colour. Widgets ask for a look by a property: labels and frames by `role`, buttons
# by `kind`.
_SHEET: Final = """
QMainWindow, QDialog, QWidget[role="page"] { background: @window; }
QWidget[role="bar"], QFrame[role="bar"] { background: @panel; }
QFrame[role="card"] { background: @panel; border: 1px solid @line; border-radius: 6px; }
QFrame[role="popup"] { background: @field; border: 1px solid @strong_line; }
QFrame[role="notice"] { background: @notice_warning; border: none; border-bottom: 1px solid @line; }
QFrame[role="notice"][severity="info"] { background: @notice_info; }
QFrame[role="notice"][severity="error"] { background: @notice_error; }
QFrame[role="selection"] { background: @selection; border: none; border-top: 1px solid @line; }
QFrame[role="separator"] { background: @line; border: none; }

QLabel { background: transparent; }
QLabel[role="secondary"] { color: @secondary; }
QLabel[role="small"] { color: @secondary; font-size: 12px; }
QLabel[role="hint"] { color: @hint; font-size: 12px; }
QLabel[role="title"] { font-size: 14px; font-weight: 600; }
QLabel[role="strong"] { font-weight: 600; }
QLabel[role="heading"] { font-size: 20px; font-weight: 600; }
QLabel[role="error"] { color: @failed; }
QLabel[role="danger"] { color: @failed; border: 1px solid @failed; border-radius: 5px; padding: 0 8px;
    font-weight: 500; }
QLabel[role="small-text"] { font-size: 12px; }
QLabel[role="caution"] { color: @failed; font-size: 12px; }
QLabel[role="tag"] { color: @secondary; font-size: 11px; font-weight: 600; }
QLabel[role="tag"][environment="production"] { color: @production; }
QLabel[role="tag"][environment="staging"] { color: @staging; }
QLabel[role="tag"][environment="development"] { color: @development; }
QLabel[role="failed"] { color: @failed; font-size: 12px; }
QLabel[role="retrying"] { color: @retrying; font-size: 12px; }
QLabel[role="lost"] { color: @lost; font-size: 12px; }
QLabel[role="mono"] { font-family: "JetBrains Mono"; font-size: 12px; }
QLabel[role="badge"] { background: @failed; color: @on_accent; border-radius: 8px; padding: 0 6px; font-size: 11px;
    font-weight: 600; }
QLabel[role="count"] { background: @line; color: @text; border-radius: 8px; padding: 1px 7px; font-size: 11px; }
QLabel[role="key"] { background: @field; border: 1px solid @line; border-radius: 4px; padding: 1px 6px;
    font-size: 12px; }

QPushButton, QToolButton { background: @field; color: @text; border: 1px solid @line; border-radius: 5px;
    padding: 0 10px; min-height: 26px; }
QPushButton:hover, QToolButton:hover { background: @hover; border-color: @strong_line; }
QPushButton:pressed, QToolButton:pressed { background: @selection; }
QPushButton:focus, QToolButton:focus { border-color: @accent; }
QPushButton:checked, QToolButton:checked { border-color: @accent; color: @accent; background: @selection; }
QPushButton:disabled, QToolButton:disabled { color: @hint; }
QPushButton:default { border: 2px solid @accent; padding: 0 9px; min-height: 24px; }
QPushButton[kind="primary"] { background: @accent; border-color: @accent; color: @on_accent; font-weight: 600; }
QPushButton[kind="primary"]:hover { background: @accent_hover; }
QPushButton[kind="primary"]:disabled { background: @primary_off; border-color: @primary_off; color: @secondary; }
QPushButton[kind="danger"] { background: @failed; border-color: @failed; color: @on_accent; font-weight: 600; }
QPushButton[kind="danger"]:hover { background: @danger_hover; }
QPushButton[kind="danger"]:focus { border-color: @text; }
QPushButton[kind="danger"]:disabled { background: @danger_off; border-color: @danger_off; color: @secondary; }
QPushButton[kind="small"] { padding: 0 8px; min-height: 20px; font-size: 12px; }
QPushButton[kind="flat"], QToolButton[kind="flat"] { background: transparent; border-color: transparent;
    padding: 0 6px; }
QPushButton[kind="flat"]:hover, QToolButton[kind="flat"]:hover { background: @hover; }
QPushButton[kind="flat"]:focus, QToolButton[kind="flat"]:focus { border-color: @accent; }
QToolButton[kind="more"] { background: transparent; border: none; color: @secondary; padding: 0; min-height: 20px;
    font-size: 12px; }
QToolButton[kind="more"]:hover, QToolButton[kind="more"]:focus { color: @accent; }
QPushButton[kind="status"] { background: transparent; border: none; color: @secondary; padding: 1px 4px 0 3px;
    min-height: 18px; font-size: 12px; }
QPushButton[kind="status"]:hover, QPushButton[kind="status"]:focus { color: @text; }
QPushButton[kind="status"][state="lost"] { color: @failed; font-weight: 600; }
QPushButton[kind="link"] { background: transparent; border: none; color: @accent; padding: 0; text-align: left; }
QPushButton[kind="link"]:hover, QPushButton[kind="link"]:focus { text-decoration: underline; }
QToolButton::menu-indicator, QPushButton::menu-indicator { image: none; width: 0; }

QLineEdit, QPlainTextEdit, QTextEdit { background: @field; color: @text; border: 1px solid @line; border-radius: 5px;
    padding: 0 8px; selection-background-color: @text_selection; selection-color: @text; }
QLineEdit { min-height: 28px; }
QSpinBox { background: @field; color: @text; border: 1px solid @line; border-radius: 5px; padding: 0 8px;
    min-height: 26px; selection-background-color: @text_selection; selection-color: @text; }
QSpinBox:focus { border-color: @accent; }
QSpinBox QLineEdit { background: transparent; border: none; padding: 0 2px; min-height: 0; }
QSpinBox::up-button, QSpinBox::down-button { width: 0; border: none; }
QLineEdit:focus, QPlainTextEdit:focus, QTextEdit:focus { border-color: @accent; }
QLineEdit[state="error"] { border-color: @failed; }
QPlainTextEdit, QTextEdit { padding: 6px; }

QTableView, QTreeView, QListView { background: @panel; alternate-background-color: @panel; color: @text; border: none;
    gridline-color: @line; selection-background-color: @selection; selection-color: @text; outline: none; }
QTableView::item, QTreeView::item, QListView::item { border: none; }
QTableView::item:hover, QTreeView::item:hover, QListView::item:hover { background: @hover; }
QTableView::item:selected, QTreeView::item:selected, QListView::item:selected { background: @selection; color: @text; }
QHeaderView { background: @panel; border: none; }
QHeaderView::section { background: @panel; color: @secondary; border: none; border-bottom: 1px solid @line;
    padding: 0 8px; font-size: 12px; font-weight: 500; }
QHeaderView::section:hover { color: @text; }
QHeaderView::up-arrow, QHeaderView::down-arrow { image: none; width: 0; height: 0; }
QTableCornerButton::section { background: @panel; border: none; border-bottom: 1px solid @line; }

QTabWidget::pane { border: none; border-top: 1px solid @line; }
QTabBar { background: transparent; border: none; }
QTabBar::tab { background: transparent; color: @secondary; border: none; border-bottom: 2px solid transparent;
    padding: 6px 0; margin-right: 18px; }
QTabBar::tab:hover { color: @text; }
QTabBar::tab:selected { color: @text; font-weight: 500; border-bottom-color: @accent; }

QMenu { background: @field; color: @text; border: 1px solid @strong_line; padding: 4px; }
QMenu::item { padding: 5px 24px 5px 12px; border-radius: 4px; }
QMenu::item:selected { background: @selection; }
QMenu::item:disabled { color: @hint; }
QMenu::separator { height: 1px; background: @line; margin: 4px 8px; }
QToolTip { background: @field; color: @text; border: 1px solid @strong_line; padding: 4px 6px; }

QScrollArea, QScrollArea > QWidget > QWidget[role="page"] { border: none; }
QScrollBar { background: transparent; border: none; }
QScrollBar:vertical { width: 10px; margin: 0; }
QScrollBar:horizontal { height: 10px; margin: 0; }
QScrollBar::handle { background: @scroll; border: 2px solid transparent; border-radius: 5px; background-clip: padding; }
QScrollBar::handle:vertical { min-height: 32px; }
QScrollBar::handle:horizontal { min-width: 32px; }
QScrollBar::handle:hover { background: @hint; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: none; }
QAbstractScrollArea::corner { background: transparent; }
QSplitter::handle { background: transparent; }
QProgressBar { background: @line; border: none; border-radius: 3px; max-height: 6px; color: transparent; }
QProgressBar::chunk { background: @accent; border-radius: 3px; }
"""


def sheet(theme: Theme) -> str:
    """The style sheet of the whole application."""
    tokens = {name: value for name in theme.__struct_fields__ if isinstance(value := getattr(theme, name), str)}
    tokens |= _derived(theme)
    text = _SHEET
    for name in sorted(tokens, key=len, reverse=True):  # `@accent_hover` before `@accent`
        text = text.replace(f"@{name}", tokens[name])
    return text


def palette(theme: Theme) -> QPalette:
    """The palette of the whole application, for all that the style sheet leaves to Fusion."""
    role = QPalette.ColorRole
    colours = {
        role.Window: theme.window,
        role.WindowText: theme.text,
        role.Base: theme.panel,
        role.AlternateBase: theme.panel,
        role.Text: theme.text,
        role.PlaceholderText: theme.hint,
        role.Button: theme.field,
        role.ButtonText: theme.text,
        role.BrightText: theme.failed,
        role.Highlight: theme.accent,
        role.HighlightedText: theme.on_accent,
        role.Accent: theme.accent,
        role.Link: theme.accent,
        role.LinkVisited: theme.revoked,
        role.ToolTipBase: theme.field,
        role.ToolTipText: theme.text,
        role.Light: theme.hover,
        role.Midlight: theme.line,
        role.Mid: theme.line,
        role.Dark: theme.line,
        role.Shadow: theme.window,
    }
    made = QPalette()
    for name, colour in colours.items():
        made.setColor(name, QColor(colour))
    for name in (role.WindowText, role.Text, role.ButtonText):
        made.setColor(QPalette.ColorGroup.Disabled, name, QColor(theme.hint))
    return made


def _derived(theme: Theme) -> dict[str, str]:
    return {
        "strong_line": mixed(theme.line, theme.text, 0.15),
        "accent_hover": mixed(theme.accent, theme.text, 0.12),
        "danger_hover": mixed(theme.failed, theme.text, 0.12),
        "danger_off": mixed(theme.panel, theme.failed, 0.22),
        "primary_off": mixed(theme.panel, theme.accent, 0.22),
        "text_selection": mixed(theme.field, theme.accent, 0.35),
        "notice_info": mixed(theme.panel, theme.accent, 0.08),
        "notice_warning": mixed(theme.panel, theme.retrying, 0.1),
        "notice_error": mixed(theme.panel, theme.failed, 0.12),
        "scroll": mixed(theme.panel, theme.text, 0.18),
    }
