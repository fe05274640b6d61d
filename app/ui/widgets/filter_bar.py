"""The field for a search: understood while it is typed, with completion, and with what is wrong said under it."""

from collections.abc import Mapping, Sequence
from typing import Final

from PySide6.QtCore import QModelIndex, QStringListModel, Qt, QTimer, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QCompleter, QLabel, QLineEdit, QListView, QVBoxLayout, QWidget

from app.models.search import Search, SearchError, complete, parse, word_start
from app.ui import fonts
from app.ui.icons import pixmap
from app.ui.theme import ThemeManager
from app.ui.widgets.labels import PlainLabel

#: Milliseconds without a key after which the text is taken for a search.
PAUSE: Final = 200
_ICON: Final = 14
_POPUP: Final = """QListView { border: 1px solid palette(midlight); padding: 4px; }
QListView::item { padding: 3px 6px; border-radius: 4px; }"""
#: Where the text begins: border and padding of the style sheet, and room for the icon.
_TEXT: Final = 9 + _ICON + 8


class FilterBar(QWidget):
    """Signals: ``searched`` when another `search` than before was understood; ``entered`` and ``left`` by the user."""

    searched = Signal()
    entered = Signal()
    left = Signal()

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._theme = theme
        self._search = parse("")
        self._values: Mapping[str, Sequence[str]] = {}
        self._error: SearchError | None = None
        self._edit = _Field()
        self._icon = QLabel(self._edit)
        self._result = PlainLabel(role="small", parent=self._edit)
        self._message = PlainLabel(role="error")
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._understand)
        self._offers = QStringListModel(self)
        self._popup = QListView()
        self._completer = self._completion()
        self._completer.activated.connect(self._insert)
        self._lay_out()
        self._wear()
        theme.changed.connect(self._wear)
        self._edit.textEdited.connect(self._edited)
        self._edit.returnPressed.connect(self._understand)
        self._edit.entered.connect(self.entered)
        self._edit.left.connect(self.left)

    @property
    def search(self) -> Search:
        """The last one that was understood."""
        return self._search

    @property
    def text(self) -> str:
        """What is in the field, understood or not."""
        return self._edit.text()

    def set_text(self, text: str) -> None:
        """Search for this, as if the user had typed it."""
        self._edit.setText(text)
        self._understand()

    def set_result(self, text: str) -> None:
        """Say what was found, inside the field."""
        if text != self._result.text():
            self._result.setText(text)
            self._place()

    def set_values(self, values: Mapping[str, Sequence[str]]) -> None:
        """Offer these values when a field is completed."""
        self._values = values

    def focus(self) -> None:
        """Let the user type."""
        self._edit.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self._edit.selectAll()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()

    def _edited(self) -> None:
        self._timer.start()
        text, position = self._edit.text(), self._edit.cursorPosition()
        start = word_start(text, position)
        offers = complete(text, position, values=self._values) if position > start else []
        offers = [offer for offer in offers if offer != text[start:position]]
        self._offers.setStringList(offers)
        if offers:
            self._completer.complete(self._edit.rect())
            # Enter searches for what is typed, unless another word was chosen by the arrows.
            self._popup.setCurrentIndex(QModelIndex())
        else:
            self._popup.hide()

    def _insert(self, offer: str) -> None:
        text, position = self._edit.text(), self._edit.cursorPosition()
        start = word_start(text, position)
        self._edit.setText(text[:start] + offer + text[position:])
        self._edit.setCursorPosition(start + len(offer))
        self._edited()

    def _understand(self) -> None:
        self._timer.stop()
        try:
            search = parse(self._edit.text())
        except SearchError as error:
            self._show_error(error)
            return
        self._show_error(None, " ".join(search.hints))
        if search != self._search:
            self._search = search
            self.searched.emit()

    def _show_error(self, error: SearchError | None, hint: str = "") -> None:
        self._error = error
        self._message.setText(hint if error is None else f"{error.message}.")
        self._message.set_role("error" if error is not None else "small")
        self._message.setVisible(bool(self._message.text()))
        self._edit.setProperty("state", "error" if error is not None else "")
        self._edit.style().unpolish(self._edit)
        self._edit.style().polish(self._edit)
        self._place()

    def _place(self) -> None:
        """Put the result to the right end of the field, and the message under the character it is about."""
        self._result.adjustSize()
        width = self._result.width() if self._result.text() else 0
        self._result.move(self._edit.width() - width - 10, (self._edit.height() - self._result.height()) // 2)
        self._edit.setTextMargins(_ICON + 6, 0, width + 12, 0)
        self._icon.move(10, (self._edit.height() - _ICON) // 2)
        left = 0
        if self._error is not None:
            before = self._edit.text()[: self._error.position]
            left = _TEXT + self._edit.fontMetrics().horizontalAdvance(before)
            left = max(0, min(left, self.width() - self._message.sizeHint().width()))
        self._message.setContentsMargins(left or 10, 2, 0, 2)

    def _completion(self) -> QCompleter:
        completer = QCompleter(self._offers, self)
        completer.setCompletionMode(QCompleter.CompletionMode.UnfilteredPopupCompletion)
        completer.setWidget(self._edit)
        completer.setPopup(self._popup)
        self._popup.setFont(fonts.mono_font())
        self._popup.setStyleSheet(_POPUP)
        return completer

    def _wear(self) -> None:
        ratio = self.devicePixelRatioF()
        self._icon.setPixmap(pixmap("search", self._theme.theme, "hint", size=_ICON, ratio=ratio))
        self._icon.resize(_ICON, _ICON)

    def _lay_out(self) -> None:
        self._edit.setFont(fonts.mono_font())
        self._edit.setPlaceholderText("Search tasks:  words  state:failed  queue:mail  runtime:>5s  received:>-15m")
        self._edit.setAccessibleName("Search")
        self._message.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._edit)
        layout.addWidget(self._message)


class _Field(QLineEdit):
    """Signals: ``entered`` when the user begins to type here, ``left`` when he is done (Esc, arrow down)."""

    entered = Signal()
    left = Signal()

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        if event.reason() != Qt.FocusReason.PopupFocusReason:
            self.entered.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Escape, Qt.Key.Key_Down):
            self.left.emit()
        else:
            super().keyPressEvent(event)
