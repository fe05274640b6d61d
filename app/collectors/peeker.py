"""Looks at messages in queues when somebody wants to see them, in a thread of its own: a broker may take its time."""

import queue
import threading
from collections.abc import Callable
from typing import Final

from app.collectors.brokers import Broker
from app.collectors.errors import BrokerError
from app.models.wire import Peek, Peeked

#: Pipelines that a look costs.
QUESTIONS: Final = 2


class Peeker(threading.Thread):
    """Answers what it is asked, one after the other."""

    def __init__(self, broker: Broker, put: Callable[[Peeked], None], *, on_command: Callable[[int], None]) -> None:
        super().__init__(name="messages", daemon=True)
        self._broker = broker
        self._put = put
        self._on_command = on_command
        self._asked: queue.SimpleQueue[Peek | None] = queue.SimpleQueue()

    def ask(self, asked: Peek) -> None:
        """Look soon; may be called from any thread."""
        self._asked.put(asked)

    def stop(self) -> None:
        """End the thread."""
        self._asked.put(None)

    def run(self) -> None:
        """Look until stopped."""
        while (asked := self._asked.get()) is not None:
            self._on_command(QUESTIONS)
            try:
                page = self._broker.peek(asked.queue, start=asked.start, count=asked.count, newest=asked.newest)
            except BrokerError as error:
                self._put(Peeked(asked.number, error=str(error)))
            else:
                self._put(Peeked(asked.number, page.messages, page.start, page.total))
