"""What a task tells of itself while it runs: a custom event's payload, and a bar where it says how far it is."""

from typing import Final

import msgspec
from PySide6.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from app.models import formats
from app.ui.widgets.labels import ElidedLabel
from app.ui.widgets.long_text import LongText

#: Names under which tasks tell how much is done, and of how much; the first is what Celery's manual writes.
_DONE: Final = ("current", "done", "completed", "processed", "n")
_WHOLE: Final = ("total", "of", "count")
_PERCENT: Final = ("percent", "percentage")
_MOST: Final = 1e15
#: Steps of the bar.
_STEPS: Final = 1000


class Progress(msgspec.Struct, frozen=True):
    """How far a task is: a share between 0 and 1, and the same in words."""

    share: float
    words: str


def progress(payload: str) -> Progress | None:
    """How far a task is by the JSON text it told, where that says so (``current`` of ``total``, or ``percent``)."""
    try:
        told = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        return None
    if not isinstance(told, dict):
        return None
    done, whole, percent = (_number(told, names) for names in (_DONE, _WHOLE, _PERCENT))
    if done is not None and whole:
        share = min(1.0, max(0.0, done / whole))
        return Progress(share, f"{_figure(done)} of {_figure(whole)} · {formats.percent(share)}")
    if percent is not None:
        share = min(1.0, max(0.0, percent / 100))
        return Progress(share, formats.percent(share))
    return None


class ProgressView(QWidget):
    """The bar with its words, and the payload below."""

    def __init__(self) -> None:
        super().__init__()
        self._words = ElidedLabel()
        self._bar = QProgressBar()
        self._bar.setRange(0, _STEPS)
        self._bar.setTextVisible(False)
        self._bar.setAccessibleName("Progress")
        self._payload = LongText("Progress", lines=8)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        for widget in (self._words, self._bar, self._payload):
            layout.addWidget(widget)

    def show_payload(self, payload: str) -> None:
        """Show what a task told, JSON as a rule."""
        told = progress(payload)
        self._words.setVisible(told is not None)
        self._bar.setVisible(told is not None)
        if told is not None:
            self._words.setText(told.words)
            self._bar.setValue(round(told.share * _STEPS))
            self._bar.setAccessibleDescription(told.words)
        try:
            self._payload.show_text(msgspec.json.format(payload, indent=2))
        except msgspec.DecodeError:
            self._payload.show_text(payload)


def _number(told: dict[str, object], names: tuple[str, ...]) -> float | None:
    found = next((told[name] for name in names if name in told), None)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    # Neither what is not a number nor what no task ever counts to.
    return float(found) if abs(found) < _MOST else None


def _figure(number: float) -> str:
    return formats.count(number) if number == round(number) else formats.rate(number)
