"""A child process of the window that speaks our protocol: started with its first frame, heard, and ended."""

import asyncio
from typing import Final

from PySide6.QtCore import QObject, QProcess, QTimer

from app.models.wire import Deframer, Message, WireError, frame
from app.paths import self_command

#: Seconds a child has to end by itself once its pipe is closed.
END_TIMEOUT: Final = 3.0
#: Bytes of what it wrote to its standard error that are kept: the last ones say why it ended.
_ERRORS: Final = 4_000


class Child(QObject):
    """A collector's process.

    What it is told first, with the password, goes through the pipe: never through arguments or the environment.
    Subclasses say what its messages, and its end, mean.
    """

    def __init__(self, first: Message, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._first = first
        self._deframer = Deframer()
        self._errors = bytearray()
        self._process = QProcess(self)
        self._process.readyReadStandardOutput.connect(self._read)
        self._process.readyReadStandardError.connect(self._read_errors)
        self._process.started.connect(self._begin)
        self._process.errorOccurred.connect(self._failed)
        self._process.finished.connect(self._finished)

    def start(self) -> None:
        """Start the child."""
        program, *arguments = self_command("collector")
        self._process.start(program, arguments)

    def stop(self) -> None:
        """Ask it to end: it goes when its pipe closes."""
        self._process.closeWriteChannel()

    def end(self) -> None:
        """Ask it to end, and kill it if it does not: it may be waiting for a broker that is silent."""
        self.stop()
        QTimer.singleShot(round(END_TIMEOUT * 1000), self, self._process.kill)

    async def wait(self) -> None:
        """Until it is gone; one that does not go by itself is killed."""
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

    def _begin(self) -> None:
        """It runs: tell it what to do."""
        self._process.write(frame(self._first))

    def _hear(self, message: Message) -> None:
        """It said something."""
        raise NotImplementedError

    def _broken(self, why: str) -> None:
        """It could not be started, or is not understood; in the latter case it is killed."""
        raise NotImplementedError

    def _over(self, code: int, *, crashed: bool) -> None:
        """It ended, and all that it said was heard."""
        raise NotImplementedError

    def _last_words(self, code: int) -> str:
        """What it wrote last, or else its exit code."""
        last = self._errors.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
        return last or f"exit code {code}"

    def _read(self) -> None:
        try:
            for message in self._deframer.feed(bytes(self._process.readAllStandardOutput().data())):
                self._hear(message)
        except WireError as error:
            self._broken(str(error))
            self._process.kill()

    def _read_errors(self) -> None:
        self._errors += self._process.readAllStandardError().data()
        del self._errors[:-_ERRORS]

    def _failed(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._broken(f"The collector could not be started: {self._process.errorString()}.")

    def _finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read()
        self._over(code, crashed=status == QProcess.ExitStatus.CrashExit)
