"""A look at a broker before it is connected to, by a child process of its own."""

from PySide6.QtCore import QObject, Signal

from app.models.wire import Examine, Found, Message, Notice, Refused
from app.ui.child import Child


class Examiner(Child):
    """``found`` carries each `Found` as it comes; ``ended``, once, why there is no more: empty where all was told.

    One that was stopped says nothing more. ``gone`` comes when its process has ended, or never was.
    """

    found = Signal(object)
    ended = Signal(str)
    gone = Signal()

    def __init__(self, asked: Examine, parent: QObject | None = None) -> None:
        super().__init__(asked, parent)
        self._told = False
        self._refusal = ""
        #: Which option can't be used, where it is one; "" for the address.
        self.option = ""

    def stop(self) -> None:
        self._told = True
        super().stop()

    def _hear(self, message: Message) -> None:
        if isinstance(message, Found):
            if not self._told:
                self.found.emit(message)
        elif isinstance(message, Refused):
            self._refusal, self.option = message.text, message.option
        elif isinstance(message, Notice):
            self._refusal = message.text

    def _broken(self, why: str) -> None:
        self._tell(why)
        if not self.pid:
            self.gone.emit()

    def _over(self, code: int, *, crashed: bool) -> None:
        failed = f"The test ended unexpectedly ({self._last_words(code)})." if crashed or code else ""
        self._tell(self._refusal or failed)
        self.gone.emit()

    def _tell(self, why: str) -> None:
        if not self._told:
            self._told = True
            self.ended.emit(why)
