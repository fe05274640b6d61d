"""What a window asks of a collector to write to a file: all that waits in a queue."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Final

from app.models.wire import Export, Exported, StopExport

_NO_COLLECTOR: Final = "Nothing can be exported: there is no connection to the broker."


class Exports:
    """The exports of one connection; ``say`` tells its collector something, and whether there is one."""

    def __init__(self, say: Callable[[Export | StopExport], bool]) -> None:
        self._say = say
        self._number = 0
        self._running: dict[int, asyncio.Queue[Exported]] = {}

    async def write(self, queue: str, path: Path) -> AsyncGenerator[Exported, None]:
        """Have all messages of a queue written to a new file: how far it is, until a state other than *writing*."""
        self._number += 1
        number = self._number
        answers = self._running[number] = asyncio.Queue[Exported]()
        if not self._say(Export(number, queue, str(path))):
            answers.put_nowait(Exported(number, state="failed", text=_NO_COLLECTOR))
        try:
            while True:
                answer = await answers.get()
                yield answer
                if answer.state != "writing":
                    break
        finally:
            self._running.pop(number, None)

    def stop(self) -> None:
        """Write no more of what is written."""
        for number in self._running:
            self._say(StopExport(number))

    def take(self, message: Exported) -> None:
        """Hear what the collector answers."""
        answers = self._running.get(message.number)
        if answers is not None:
            answers.put_nowait(message)

    def break_off(self, why: str) -> None:
        """Nobody answers any more."""
        for number, answers in self._running.items():
            answers.put_nowait(Exported(number, state="failed", text=why))
