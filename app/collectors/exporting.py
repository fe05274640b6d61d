"""Writes all that waits in a queue to a file, for the command line, and in a thread of its own for the window."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Final

from app.collectors.broker import Broker, OnCommand
from app.collectors.errors import BrokerError
from app.models.backups import About, BackupError, BackupWriter
from app.models.profiles import Mode
from app.models.surveys import OPERATE_ONLY
from app.models.wire import Export, Exported, StopExport

#: Seconds between two words on how far it is.
_SAY_EVERY: Final = 0.2
_KEPT_OUT: Final = "What tasks are called with is not to be kept of this broker, and messages hold it."
_ANOTHER: Final = "Another export is under way. Wait for its end, or stop it."

Put = Callable[[Exported], None]


def export(
    broker: Broker, mode: Mode, queue: str, path: Path, *, keep_arguments: bool, on_command: OnCommand
) -> Generator[int, None, None]:
    """Write the messages of a queue, as they are in the broker, to a new file; how many they are so far.

    The last number comes before the file gets its name: who leaves then, or earlier, leaves no file. Raises
    `BrokerError`, and `BackupError` where there can be no such file.
    """
    if not keep_arguments:
        raise BackupError(_KEPT_OUT)
    if broker.marks and mode != "operate":
        raise BrokerError("permission", OPERATE_ONLY)
    vault = broker.vault(mode, on_command=on_command)
    try:
        with BackupWriter(path, About(broker.shown, queue, time.time())) as file:
            for raws in vault.raw(queue):
                file.write(raws)
                yield file.count
            if not file.count:
                yield 0
            file.finish()
    finally:
        vault.close()


class Exporter:
    """Does what a window asks, one export at a time; what comes of it is ``put``, from a thread of its own."""

    def __init__(self, broker: Broker, mode: Mode, put: Put, *, keep_arguments: bool, on_command: OnCommand) -> None:
        self._broker, self._mode, self._put = broker, mode, put
        self._keep_arguments, self._on_command = keep_arguments, on_command
        self._stopping, self._busy = threading.Event(), threading.Event()
        self._number = 0
        self._thread: threading.Thread | None = None

    def take(self, asked: Export | StopExport) -> None:
        """Begin, or stop, an export."""
        if isinstance(asked, StopExport):
            if asked.number == self._number:
                self.stop()
        elif self._busy.is_set():
            self._put(Exported(asked.number, state="failed", text=_ANOTHER))
        else:
            self._number = asked.number
            self._stopping.clear()
            self._busy.set()
            self._thread = threading.Thread(target=self._write, args=(asked,), name="export", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Write no more; no file is left."""
        self._stopping.set()

    def join(self, timeout: float) -> None:
        """Wait for what is under way."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _write(self, asked: Export) -> None:
        told = self._export(asked)
        self._busy.clear()
        self._put(told)

    def _export(self, asked: Export) -> Exported:
        """What came of it."""
        number, said = 0, time.monotonic()
        written = export(
            self._broker, self._mode, asked.queue, Path(asked.path),
            keep_arguments=self._keep_arguments, on_command=self._on_command,
        )  # fmt: skip
        try:
            with closing(written):
                for number in written:
                    if self._stopping.is_set():
                        return Exported(asked.number, number, "stopped")
                    if time.monotonic() - said > _SAY_EVERY:
                        said = time.monotonic()
                        self._put(Exported(asked.number, number))
        except (BackupError, BrokerError) as error:
            return Exported(asked.number, number, "failed", str(error))
        return Exported(asked.number, number, "done")
