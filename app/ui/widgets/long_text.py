"""Long text from a broker to read and copy: plain, read-only, and of bounded length."""

from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent, QTextOption
from PySide6.QtWidgets import QPlainTextEdit

from app.models import formats
from app.models.qt.plain import visible
from app.ui import fonts

#: Characters that are shown; an editor lays out all it has, on one line if there is only one.
LIMIT: Final = 100_000
#: A block of text stands back from the panel that it is on.
BLOCK: Final = "QPlainTextEdit { background: palette(window); }"
#: Border and padding of the style sheet and the margin of a document, above and below the text; and the pixel that Qt
#: wants to spare, or it offers to scroll.
AROUND: Final = 14 + 8 + 1


def line_count(edit: QPlainTextEdit, most: int) -> int:
    """Lines that a text takes at its present width, at most so many; an editor that is hidden has not counted them."""
    layout, block, lines = edit.document().documentLayout(), edit.document().firstBlock(), 0
    while block.isValid() and lines < most:
        layout.blockBoundingRect(block)  # lays it out
        lines += max(1, block.layout().lineCount())
        block = block.next()
    return min(max(1, lines), most)


class LongText(QPlainTextEdit):
    """Shows a text in the fixed-width face; with ``lines`` it is as high as its text, but at most so many lines."""

    def __init__(self, name: str, *, lines: int | None = None) -> None:
        super().__init__()
        self._lines = lines
        self._text = ""
        self.setAccessibleName(name)
        self.setReadOnly(True)
        self.setUndoRedoEnabled(False)
        self.setFont(fonts.mono_font())
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabChangesFocus(True)
        self.setStyleSheet(BLOCK)

    def show_text(self, text: str) -> None:
        """Show this text; the place that was scrolled to is kept while it stays the same."""
        if text == self._text:
            return
        self._text = text
        left_out = len(text) - LIMIT
        cut = f"{text[:LIMIT]}\n… {formats.count(left_out)} more characters are not shown" if left_out > 0 else text
        self.setPlainText(visible(cut))
        self._fit()

    def whole_text(self) -> str:
        """The text without the limit, for the clipboard."""
        return self._text

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self._lines is None:
            return
        lines = line_count(self, self._lines + 1)
        fits = lines <= self._lines
        policy = Qt.ScrollBarPolicy.ScrollBarAlwaysOff if fits else Qt.ScrollBarPolicy.ScrollBarAsNeeded
        self.setVerticalScrollBarPolicy(policy)
        self.setFixedHeight(min(lines, self._lines) * self.fontMetrics().lineSpacing() + AROUND)
