"""Cards in rows of equal height, as many in each row as the width allows."""

from collections.abc import Callable, Sequence
from typing import Final

from PySide6.QtCore import QSize
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

#: Pixels between neighbours, and between the edge of a page or a pane and what is in it.
GAP: Final = 10
MARGIN: Final = 14


class Rows(QWidget):
    """Lays widgets out from left to right: `plan` says for a width how many there are in each row, widths share a row.

    A row's outer edges always meet those of the others, whatever the number of its cards. Cards that the plan has no
    place for are hidden.
    """

    def __init__(self, cards: Sequence[QWidget], height: int, plan: Callable[[int], Sequence[int]]) -> None:
        super().__init__()
        self._cards = tuple(cards)
        self._height = height
        self._plan = plan
        for card in self._cards:
            card.setParent(self)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_row_height(self, height: int) -> None:
        """Make every row so high."""
        if height != self._height:
            self._height = height
            self._arrange()

    def rows(self) -> int:
        """Number of rows at the present width."""
        return len(self._plan(self.width()))

    def sizeHint(self) -> QSize:
        rows = self.rows()
        return QSize(400, rows * self._height + (rows - 1) * GAP)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        cards, y = iter(self._cards), 0
        for n in self._plan(self.width()):
            room = self.width() - (n - 1) * GAP
            for column in range(n):
                left, right = round(room * column / n), round(room * (column + 1) / n)
                card = next(cards)
                card.setGeometry(left + column * GAP, y, right - left, self._height)
                card.show()
            y += self._height + GAP
        for card in cards:
            card.hide()
        self.setFixedHeight(y - GAP)
