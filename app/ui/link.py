"""One collector process as the window sees it: started with its configuration, heard, and ended."""

from typing import Final

import msgspec
from PySide6.QtCore import QObject, QProcess, QTimer, Signal

from app.models.wire import Configure, Message, Notice, frame
from app.ui.child import Child

#: Milliseconds between two looks at whether it says something, which it does once a second.
LISTEN: Final = 1_000
#: Looks in a row that found nothing said until it is taken to hang and killed: at its start, where a large history may
#: have to be read, and later (SAFETY F24: 10 s).
START_LOOKS: Final = 60
LOOKS: Final = 9


class Ended(msgspec.Struct, frozen=True):
    """Why a collector is gone, in a sentence (empty if it was asked to end), and whether to start it again."""

    text: str
    again: bool = False


class CollectorLink(Child):
    """A collector. ``message`` carries what it says; ``ended`` an `Ended`, once.

    Asked to stop, or killed, it leaves a history that can be read.
    """

    message = Signal(object)
    ended = Signal(object)

    def __init__(self, config: Configure, parent: QObject | None = None) -> None:
        super().__init__(config, parent)
        #: What it is told as soon as it runs.
        self._waiting: list[Message] = []
        self._closing = False
        self._told = False
        self._refusal = ""
        self._hung = ""
        self._silent = 0
        self._patience = START_LOOKS
        self._watch = QTimer(self)
        self._watch.timeout.connect(self._look)

    def send(self, message: Message) -> None:
        """Say something to it, now or once it runs."""
        if self._process.state() == QProcess.ProcessState.Running:
            self._process.write(frame(message))
        else:
            self._waiting.append(message)

    def stop(self) -> None:
        self._closing = True
        super().stop()

    def _begin(self) -> None:
        super()._begin()
        for message in self._waiting:
            self._process.write(frame(message))
        self._waiting.clear()
        self._watch.start(LISTEN)

    def _look(self) -> None:
        """Count how long nothing is said: by looks, so that time in which the window itself stood still is none."""
        self._silent += 1
        if self._silent > self._patience:
            self._watch.stop()
            self._hung = f"The collector said nothing for {self._silent * LISTEN // 1000} s and was ended."
            self._process.kill()

    def _read(self) -> None:
        self._silent = 0
        super()._read()

    def _hear(self, message: Message) -> None:
        if isinstance(message, Notice) and message.key == "collector":
            self._refusal = message.text
        else:
            self._patience = LOOKS
            self.message.emit(message)

    def _broken(self, why: str) -> None:
        self._tell(Ended(why))

    def _over(self, code: int, *, crashed: bool) -> None:
        self._watch.stop()
        if self._closing:
            self._tell(Ended(""))
        elif self._hung:
            self._tell(Ended(self._hung, again=True))
        elif self._refusal:
            # It looked at its configuration and could not begin: it would say the same again.
            self._tell(Ended(self._refusal))
        elif crashed or code:
            self._tell(Ended(f"The collector ended unexpectedly ({self._last_words(code)}).", again=True))
        else:
            self._tell(Ended("The collector ended.", again=True))

    def _tell(self, ended: Ended) -> None:
        if not self._told:
            self._told = True
            self.ended.emit(ended)
