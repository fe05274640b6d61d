"""A traceback to read: the exception first, then the frames of one's own code, with those in libraries folded away."""

from typing import Final

from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QFont, QKeyEvent, QMouseEvent, QResizeEvent, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QPlainTextEdit

from app.models.qt.plain import visible
from app.ui import fonts
from app.ui.theme import ThemeManager
from app.ui.widgets import tracebacks
from app.ui.widgets.long_text import AROUND, BLOCK, line_count
from app.ui.widgets.tracebacks import Frame

#: Characters of a message, and of a text that is no traceback, that are shown.
LIMIT: Final = 100_000
#: Lines that are higher than any screen.
_HIGHEST: Final = 400
_FOLD: Final = QTextCharFormat.Property.UserProperty


class TracebackView(QPlainTextEdit):
    """Shows plain text only; a click, or Enter, on a line that stands for library frames unfolds it."""

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._theme = theme
        self._exception = ""
        self._traceback = ""
        self._open: set[int] = set()
        self.setReadOnly(True)
        self.setUndoRedoEnabled(False)
        self.setFont(fonts.mono_font())
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.WidgetWidth)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.viewport().setMouseTracking(True)
        self.setAccessibleName("Traceback")
        self.setStyleSheet(BLOCK)
        theme.changed.connect(self._write)

    def show_failure(self, exception: str, traceback: str) -> None:
        """Show what was raised, and where if that is known."""
        if (exception, traceback) != (self._exception, self._traceback):
            self._exception, self._traceback = exception, traceback
            self._open = set()
            self._write()
            self.moveCursor(QTextCursor.MoveOperation.Start)

    def toggle_fold(self, number: int) -> None:
        """Show or hide the library frames of one fold, counted from 0."""
        self._open ^= {number}
        place = self.verticalScrollBar().value()
        self._write()
        self.verticalScrollBar().setValue(place)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        fold = self._fold_at(event.position().toPoint())
        if fold is None:
            super().mousePressEvent(event)
        else:
            self.toggle_fold(fold)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        over = self._fold_at(event.position().toPoint()) is not None
        shape = Qt.CursorShape.PointingHandCursor if over else Qt.CursorShape.IBeamCursor
        self.viewport().setCursor(shape)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            fold = _fold_of(self.textCursor())
            if fold is not None:
                line = self.textCursor().blockNumber()
                self.toggle_fold(fold)
                self.setTextCursor(QTextCursor(self.document().findBlockByNumber(line)))
                return
        super().keyPressEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.viewport().setCursor(Qt.CursorShape.IBeamCursor)

    def _fold_at(self, point: QPoint) -> int | None:
        cursor = self.cursorForPosition(point)
        beside = self.cursorRect(cursor)
        return _fold_of(cursor) if beside.top() <= point.y() <= beside.bottom() else None

    def _write(self) -> None:
        self.clear()
        cursor = QTextCursor(self.document())
        cursor.beginEditBlock()
        raised = tracebacks.parse(self._traceback)
        if raised:
            folds = 0
            for one in raised:
                if one.link:
                    self._line(cursor, one.link, "hint")
                self._headline(cursor, one.type, one.message)
                folds = self._frames(cursor, one.frames, folds)
        else:
            self._headline(cursor, *tracebacks.exception(self._exception))
            if self._traceback:
                self._line(cursor, self._traceback[:LIMIT], "secondary")
        cursor.endEditBlock()
        self._fit()

    def _fit(self) -> None:
        """Be no higher than the text is."""
        lines = line_count(self, _HIGHEST)
        self.setMaximumHeight(lines * self.fontMetrics().lineSpacing() + AROUND)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _headline(self, cursor: QTextCursor, kind: str, message: str) -> None:
        if kind:
            self._line(cursor, kind, "failed", strong=True)
        if message:
            self._line(cursor, message[:LIMIT])
        self._line(cursor, "")

    def _frames(self, cursor: QTextCursor, frames: tuple[Frame, ...], folds: int) -> int:
        """Write frames; the folds among them are numbered from ``folds``. Returns the next number."""
        for run in tracebacks.runs(frames):
            if not run[0].library:
                self._frame(cursor, run[0], "text")
                continue
            shown = folds in self._open
            noun = "frame in a library" if len(run) == 1 else f"{len(run)} frames in libraries"
            self._line(cursor, f"{'▾' if shown else '▸'} {noun if len(run) > 1 else '1 ' + noun}", "hint", fold=folds)
            if shown:
                for frame in run:
                    self._frame(cursor, frame, "secondary")
            folds += 1
        return folds

    def _frame(self, cursor: QTextCursor, frame: Frame, tone: str) -> None:
        self._line(cursor, tracebacks.short_path(frame.path), "secondary")
        self._put(cursor, f":{frame.line}", tone, strong=tone == "text")
        if frame.function:
            self._put(cursor, f" in {frame.function}", tone, strong=tone == "text")
        for line in frame.source:
            self._line(cursor, f"  {line}", "secondary")

    def _line(
        self, cursor: QTextCursor, text: str, tone: str = "text", *, strong: bool = False, fold: int | None = None
    ) -> None:
        if not self.document().isEmpty():
            cursor.insertBlock()
        self._put(cursor, text, tone, strong=strong, fold=fold)

    def _put(self, cursor: QTextCursor, text: str, tone: str, *, strong: bool = False, fold: int | None = None) -> None:
        look = QTextCharFormat()
        look.setForeground(self._theme.theme.colour(tone))
        look.setFontWeight(QFont.Weight.Bold if strong else QFont.Weight.Normal)
        if fold is not None:
            look.setProperty(_FOLD, fold)
        cursor.insertText(visible(text), look)


def _fold_of(cursor: QTextCursor) -> int | None:
    block = cursor.block()
    start = QTextCursor(block)
    start.movePosition(QTextCursor.MoveOperation.NextCharacter)
    number = start.charFormat().property(_FOLD)
    return number if isinstance(number, int) else None
