"""A plan as it is shown before it is confirmed: to what, how many, which, what to beware of, and how to undo it."""

from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.models import formats
from app.models.acts import Caution, Plan, Sample
from app.models.qt.plain import one_line
from app.ui import icons
from app.ui.theme import ThemeManager
from app.ui.widgets.labels import ElidedLabel, PlainLabel

#: What is shown of each; a plan may have more.
SAMPLES: Final = 10
_FACTS: Final = 24
_CAUTIONS: Final = 12
#: Characters of a sentence.
_SENTENCE: Final = 1000
_NAMES: Final = 200
#: Pixels of an id beside what it stands for.
_IDS: Final = 150


class PlanView(QWidget):
    """The parts of one plan; those of another take their place."""

    def __init__(self, theme: ThemeManager) -> None:
        super().__init__()
        self._theme = theme
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(10)
        self._parts: list[QWidget] = []

    def show_plan(self, plan: Plan) -> None:
        """Show this plan."""
        for part in self._parts:
            self._column.removeWidget(part)
            part.hide()
            part.deleteLater()
        self._parts = [sentence(plan.undo)] if plan.undo else []
        self._parts.append(FactCard(plan))
        self._parts += [CautionRow(self._theme, caution) for caution in plan.cautions[:_CAUTIONS]]
        # Last, as this may have to be scrolled to.
        self._parts += [SampleCard(plan)] if plan.samples else []
        for part in self._parts:
            self._column.addWidget(part)


class FactCard(QFrame):
    """How many, and the facts."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.setProperty("role", "card")
        grid = QGridLayout(self)
        grid.setContentsMargins(12, 9, 12, 9)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(1, 1)
        first = (f"{plan.things[:1].upper()}{plan.things[1:]}s", formats.count(plan.count))
        facts = [fact for fact in plan.facts[:_FACTS] if fact != first]
        for row, (name, value) in enumerate([first, *facts]):
            label = ElidedLabel(one_line(name), role="" if row == 0 else "small", mode=Qt.TextElideMode.ElideMiddle)
            label.setMaximumWidth(_NAMES)
            figure = ElidedLabel(value, role="strong" if row == 0 else "small-text")
            figure.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            grid.addWidget(label, row, 0)
            grid.addWidget(figure, row, 1)


class SampleCard(QFrame):
    """Some of the things that a plan is about."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.setProperty("role", "card")
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 9, 12, 9)
        column.setSpacing(5)
        column.addLayout(_samples(plan.samples))
        left = plan.count - len(plan.samples[:SAMPLES])
        if left > 0:
            column.addWidget(PlainLabel(f"… and {formats.count(left)} more", role="hint"))


class CautionRow(QWidget):
    """What somebody should know before he confirms, with a sign; a grave one is red."""

    def __init__(self, theme: ThemeManager, caution: Caution) -> None:
        super().__init__()
        self._theme = theme
        self._token = "failed" if caution.grave else "retrying"
        self._sign = QLabel()
        text = sentence(caution.text, role="caution" if caution.grave else "small")
        text.setAccessibleName(f"{'Danger' if caution.grave else 'Caution'}: {text.text()}")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self._sign, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(text, 1)
        theme.changed.connect(self._wear)
        self._wear()

    def _wear(self) -> None:
        ratio = self.devicePixelRatio()
        self._sign.setPixmap(icons.pixmap("triangle-alert", self._theme.theme, self._token, size=15, ratio=ratio))


def sentence(text: str, *, role: str = "secondary") -> PlainLabel:
    """A sentence that takes as many lines as it needs, but a bounded number of characters."""
    label = PlainLabel(one_line(text, _SENTENCE), role=role)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _samples(samples: list[Sample]) -> QGridLayout:
    grid = QGridLayout()
    grid.setHorizontalSpacing(12)
    grid.setVerticalSpacing(2)
    grid.setColumnStretch(1, 1)
    for row, sample in enumerate(samples[:SAMPLES]):
        name = ElidedLabel(one_line(sample.id), role="mono", mode=Qt.TextElideMode.ElideMiddle)
        grid.addWidget(name, row, 0)
        if sample.text:
            name.setMaximumWidth(_IDS)
            grid.addWidget(ElidedLabel(one_line(sample.text), role="small"), row, 1)
    return grid
