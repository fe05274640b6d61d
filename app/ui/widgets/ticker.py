"""The passing of time, for what shows ages."""

from typing import Final

from PySide6.QtCore import QEvent, QObject, QTimer
from PySide6.QtWidgets import QWidget

_INTERVAL: Final = 1000


class Ticker(QTimer):
    """Times out once a second while a widget is visible."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self.setInterval(_INTERVAL)
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Show:
            self.start()
        elif event.type() == QEvent.Type.Hide:
            self.stop()
        return False
