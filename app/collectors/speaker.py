"""What a collector says to its window, without ever waiting for a window that does not listen."""

import os
import threading
from collections.abc import Callable
from typing import Final

from app.models.wire import Acted, Health, Message, Notice, Peeked, Planned, Surveyed, frame

#: Seconds that the last words may take.
LAST_WORDS: Final = 0.5


class Speaker(threading.Thread):
    """Writes messages to a pipe; of those of a kind that wait there, only the newest is worth saying.

    So a window that stands still costs a few messages of memory and no event. ``gone`` is called when nobody holds
    the other end any more.
    """

    def __init__(self, sink: int, gone: Callable[[], None]) -> None:
        super().__init__(name="speaker", daemon=True)
        self._sink = sink
        self._gone = gone
        self._waiting: dict[object, Message] = {}
        self._news = threading.Condition()
        self._ending = False

    def say(self, message: Message) -> None:
        """Say it soon; may be called from any thread."""
        with self._news:
            kind = _kind(message)
            self._waiting.pop(kind, None)
            self._waiting[kind] = message
            self._news.notify()

    def finish(self) -> None:
        """Say what is left, if anybody listens, and end."""
        with self._news:
            self._ending = True
            self._news.notify()
        self.join(LAST_WORDS)

    def run(self) -> None:
        """Speak until finished."""
        while (messages := self._take()) is not None:
            data = b"".join(map(frame, messages))
            try:
                while data:
                    data = data[os.write(self._sink, data) :]
            except BrokenPipeError:
                self._gone()
                return

    def _take(self) -> list[Message] | None:
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._ending)
            messages = list(self._waiting.values())
            self._waiting.clear()
        return messages or None


def _kind(message: Message) -> object:
    match message:
        case Notice():
            return (Notice, message.key)
        case Health():
            return (Health, message.state)
        case Peeked() | Surveyed() | Planned() | Acted():
            # Each is the answer to something else; of one question, only the newest is worth saying.
            return (type(message), message.number)
        case _:
            return type(message)
