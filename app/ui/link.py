"""One collector process as the window sees it: started with its configuration, heard, and ended."""

import asyncio
from typing import Final

import msgspec
from PySide6.QtCore import QObject, QProcess, QTimer, Signal

from app.models.wire import Configure, Deframer, Message, Notice, WireError, frame
from app.paths import self_command

#: Seconds a collector has to end by itself once its pipe is closed.
END_TIMEOUT: Final = 3.0
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


class CollectorLink(QObject):
    """A collector child. ``message`` carries what it says; ``ended`` an `Ended`, once.

    Its configuration, with the password, goes through the pipe: never through arguments or the environment.
    """

    message = Signal(object)
    ended = Signal(object)

    def __init__(self, config: Configure, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._config = config
        #: What it is told as soon as it runs.
        self._waiting: list[Message] = []
        self._deframer = Deframer()
        self._closing = False
        self._told = False
        self._refusal = ""
        self._errors = bytearray()
        self._hung = ""
        self._silent = 0
        self._patience = START_LOOKS
        self._watch = QTimer(self)
        self._watch.timeout.connect(self._look)
        self._process = QProcess(self)
        self._process.readyReadStandardOutput.connect(self._read)
        self._process.readyReadStandardError.connect(self._read_errors)
        self._process.started.connect(self._configure)
        self._process.errorOccurred.connect(self._failed)
        self._process.finished.connect(self._finished)

    def start(self) -> None:
        """Start the child."""
        program, *arguments = self_command("collector")
        self._process.start(program, arguments)

    def send(self, message: Message) -> None:
        """Say something to it, now or once it runs."""
        if self._process.state() == QProcess.ProcessState.Running:
            self._process.write(frame(message))
        else:
            self._waiting.append(message)

    def stop(self) -> None:
        """Ask it to end: it commits what it has and goes when its pipe closes."""
        self._closing = True
        self._process.closeWriteChannel()

    async def wait(self) -> None:
        """Until it is gone; one that does not go by itself is killed. Its history survives that."""
        if self._process.state() == QProcess.ProcessState.NotRunning:
            return
        gone = asyncio.Event()
        self._process.finished.connect(gone.set)
        try:
            await asyncio.wait_for(gone.wait(), END_TIMEOUT)
        except TimeoutError:
            self._process.kill()
            await gone.wait()

    @property
    def pid(self) -> int:
        """Process id; 0 while it does not run."""
        return self._process.processId()

    def _configure(self) -> None:
        for message in (self._config, *self._waiting):
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
        try:
            for message in self._deframer.feed(bytes(self._process.readAllStandardOutput().data())):
                if isinstance(message, Notice) and message.key == "collector":
                    self._refusal = message.text
                else:
                    self._patience = LOOKS
                    self.message.emit(message)
        except WireError as error:
            self._tell(Ended(str(error)))
            self._process.kill()

    def _read_errors(self) -> None:
        self._errors += self._process.readAllStandardError().data()
        del self._errors[:-4_000]

    def _failed(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._tell(Ended(f"The collector could not be started: {self._process.errorString()}."))

    def _finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._watch.stop()
        self._read()
        if self._closing:
            self._tell(Ended(""))
        elif self._hung:
            self._tell(Ended(self._hung, again=True))
        elif self._refusal:
            # It looked at its configuration and could not begin: it would say the same again.
            self._tell(Ended(self._refusal))
        elif status == QProcess.ExitStatus.CrashExit or code:
            last = self._errors.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
            self._tell(Ended(f"The collector ended unexpectedly ({last or f'exit code {code}'}).", again=True))
        else:
            self._tell(Ended("The collector ended.", again=True))

    def _tell(self, ended: Ended) -> None:
        if not self._told:
            self._told = True
            self.ended.emit(ended)
