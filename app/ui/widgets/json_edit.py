"""A field for JSON that says where it is wrong, and marks what somebody should look at."""

from collections.abc import Sequence
from typing import Final

from PySide6.QtCore import QRect, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QTextBlock,
    QTextCharFormat,
    QTextCursor,
    QTextOption,
)
from PySide6.QtWidgets import QPlainTextEdit, QTextEdit, QVBoxLayout, QWidget

from app.models.json_text import Place, Read, read, to_edit
from app.ui import fonts
from app.ui.shapes import Shape, paint_shape
from app.ui.theme import ThemeManager
from app.ui.widgets.form_parts import ErrorLabel
from app.ui.widgets.long_text import AROUND, line_count

#: Pixels of the strip with marks, left of the text.
_GUTTER: Final = 20
_MARK: Final = 9


class JsonEdit(QWidget):
    """Takes an array (``brackets`` are ``[]``) or an object (``{}``); ``changed`` when it is another text.

    Attributes: ``read`` is what the text is. ``doubtful`` are the paths of values that are marked by a ground of their
    own and, for who sees no colours, a sign beside their line.
    """

    changed = Signal()

    def __init__(
        self, theme: ThemeManager, name: str, root: str, brackets: str, *, lines: tuple[int, int] = (3, 12)
    ) -> None:
        super().__init__()
        self._theme = theme
        self._root, self._brackets, self._lines = root, brackets, lines
        self.doubtful: Sequence[str] = ()
        self.read = Read()
        self.paper = _Paper()
        self.paper.setAccessibleName(f"{name}, as JSON")
        self._gutter = _Gutter(theme, self.paper)
        self._error = ErrorLabel(self.paper)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.paper)
        column.addWidget(self._error)
        self.paper.textChanged.connect(self._read)
        theme.changed.connect(self._mark)
        self.set_text(brackets)

    @property
    def text(self) -> str:
        """What is written, exactly."""
        # Qt parts lines by signs of its own; its plain text would also make other spaces of those that don't break.
        return self.paper.document().toRawText().replace("\u2029", "\n").replace("\u2028", "\n")

    @property
    def error(self) -> str:
        """What is wrong with it, as a sentence with the place; "" where nothing is."""
        flaw = self.read.flaw
        if flaw is None:
            return ""
        before = self.text[: flaw.position]
        line, column = before.count("\n") + 1, flaw.position - before.rfind("\n")
        return f"Line {line}, column {column}: {flaw.text}"

    def set_text(self, text: str, doubtful: Sequence[str] = ()) -> None:
        """Show JSON, with these values marked."""
        self.doubtful = doubtful
        self.paper.setPlainText(to_edit(text))

    def point(self) -> None:
        """Lead to what is wrong."""
        if self.read.flaw is not None:
            cursor = self.paper.textCursor()
            cursor.setPosition(_units(self.text, self.read.flaw.position))
            self.paper.setTextCursor(cursor)
        self.paper.setFocus(Qt.FocusReason.OtherFocusReason)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _read(self) -> None:
        self.read = read(self.text, self._root, self._brackets)
        self._error.say(self.error)
        self._mark()
        self._fit()
        self.changed.emit()

    def _mark(self) -> None:
        text, theme = self.text, self._theme.theme
        marks: list[tuple[Place, str]] = [
            (place, "retrying") for path in self.doubtful if (place := self.read.places.get(path)) is not None
        ]
        if self.read.flaw is not None:
            at = self.read.flaw.position
            start = at if text[at : at + 1].strip() else max(0, at - 1)
            marks = [(Place(start, start + 1), "failed")]
        grounds = []
        for place, token in marks:
            ground = QTextEdit.ExtraSelection()
            cursor = QTextCursor(self.paper.document())
            cursor.setPosition(_units(text, place.start))
            cursor.setPosition(_units(text, place.end), QTextCursor.MoveMode.KeepAnchor)
            ground.cursor = cursor
            ground.format = _ground(theme.colour(token, 0.28), theme.colour(token))
            grounds.append(ground)
        self.paper.setExtraSelections(grounds)
        self._gutter.show_marks({(text.count("\n", 0, place.start), token) for place, token in marks})

    def _fit(self) -> None:
        least, most = self._lines
        lines = max(least, line_count(self.paper, most))
        self.paper.setFixedHeight(lines * self.paper.fontMetrics().lineSpacing() + AROUND)


class _Paper(QPlainTextEdit):
    """The text itself, with room for marks on its left."""

    def __init__(self) -> None:
        super().__init__()
        self.setFont(fonts.mono_font())
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setTabChangesFocus(True)
        self.setViewportMargins(_GUTTER, 0, 0, 0)

    def top_of(self, block: QTextBlock) -> QRectF:
        """Where a line stands in what is seen."""
        return self.blockBoundingGeometry(block).translated(self.contentOffset())


class _Gutter(QWidget):
    """The strip left of a text; ``marks`` are lines, from 0 on, each with the token of its colour."""

    def __init__(self, theme: ThemeManager, paper: _Paper) -> None:
        super().__init__(paper)
        self._theme, self._paper = theme, paper
        self.marks: frozenset[tuple[int, str]] = frozenset()
        paper.updateRequest.connect(self._follow)

    def show_marks(self, marks: set[tuple[int, str]]) -> None:
        """Have a sign beside these lines."""
        self.marks = frozenset(marks)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        for line, token in self.marks:
            block = self._paper.document().findBlockByNumber(line)
            if block.isValid():
                shape: Shape = "cross" if token == "failed" else "triangle-up"
                middle = self._paper.top_of(block).top() + self._paper.fontMetrics().lineSpacing() / 2
                box = QRectF((self.width() - _MARK) / 2 + 1, middle - _MARK / 2, _MARK, _MARK)
                paint_shape(painter, box, shape, self._theme.theme.colour(token))

    def _follow(self, _area: QRect, _moved: int) -> None:
        inside = self._paper.viewport().geometry()
        self.setGeometry(inside.left() - _GUTTER, inside.top(), _GUTTER, inside.height())
        self.update()


def _ground(colour: QColor, line: QColor) -> QTextCharFormat:
    made = QTextCharFormat()
    made.setBackground(colour)
    made.setUnderlineColor(line)
    made.setUnderlineStyle(QTextCharFormat.UnderlineStyle.DashUnderline)
    return made


def _units(text: str, position: int) -> int:
    """A place in a text as Qt counts it: in units of UTF-16."""
    return len(text[:position].encode("utf-16-le", "surrogatepass")) // 2
