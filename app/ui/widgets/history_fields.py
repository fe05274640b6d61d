"""How much of a connection's history is kept, and how the connection is told apart."""

import math
from typing import Final

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from app.models.formats import bytes_, duration
from app.models.profiles import KEEP_BYTES, KEEP_SECONDS
from app.ui.theme import ThemeManager
from app.ui.widgets import choice
from app.ui.widgets.check_box import CheckBox
from app.ui.widgets.form_parts import Grid, Section

_DAY: Final = 86_400.0
_AGES: Final = ((_DAY, "1 day"), (7 * _DAY, "7 days"), (KEEP_SECONDS, "30 days"), (90 * _DAY, "90 days"))
_SIZES: Final = ((10**9, "1 GB"), (KEEP_BYTES, "5 GB"), (20 * 10**9, "20 GB"), (100 * 10**9, "100 GB"))


class HistoryFields(QWidget):
    """Fields in a part that opens; ``changed`` when another thing is chosen there."""

    changed = Signal()

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._ages = choice.words("Keep tasks", [(_key(each), word) for each, word in (*_AGES, (None, "Forever"))])
        self._sizes = choice.words("At most", [(_key(each), word) for each, word in (*_SIZES, (None, "No limit"))])
        self.arguments = CheckBox(theme, "Do not store arguments and results")
        self.colour = choice.colours("Colour")
        grid = Grid()
        grid.add("Keep tasks", self._ages)
        grid.add("At most", self._sizes)
        grid.add("Stored", self.arguments)
        grid.add("Colour", self.colour)
        inside = QWidget()
        inside.setLayout(grid)
        self.section = Section(theme, "History and colour", inside)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.section)
        self.fill(KEEP_SECONDS, KEEP_BYTES, arguments=True, colour=None)
        for news in (self._ages.changed, self._sizes.changed, self.arguments.toggled, self.section.toggled):
            news.connect(self.changed)

    @property
    def keep_seconds(self) -> float | None:
        """For how long tasks are kept; None for ever."""
        return _limit(float(self._ages.value))

    @property
    def keep_bytes(self) -> int | None:
        """How large the history may be; None for any size."""
        limit = _limit(float(self._sizes.value))
        return None if limit is None else round(limit)

    def fill(self, keep_seconds: float | None, keep_bytes: int | None, *, arguments: bool, colour: str | None) -> None:
        """Choose these, also where the command line chose what is not on offer."""
        _choose(self._ages, keep_seconds, "" if keep_seconds is None else duration(keep_seconds))
        _choose(self._sizes, keep_bytes, "" if keep_bytes is None else bytes_(keep_bytes))
        self.arguments.setChecked(not arguments)
        if colour is not None and not self.colour.offers(colour):
            self.colour.add(colour, choice.swatch(colour), colour)
        self.colour.choose(colour or "")


def _choose(among: choice.Choice, value: float | None, word: str) -> None:
    chosen = _key(value)
    if not among.offers(chosen):
        button = QPushButton(word)
        button.setAutoDefault(False)
        among.add(chosen, button, word)
    among.choose(chosen)


def _key(value: float | None) -> str:
    return str(math.inf if value is None else float(value))


def _limit(value: float) -> float | None:
    return None if math.isinf(value) else value
