"""Looks at messages in queues when somebody wants to see them, in a thread of its own: a broker may take its time."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

from app.collectors.broker import Broker, Surveyor
from app.collectors.errors import BrokerError
from app.models.profiles import Mode
from app.models.surveys import MARKS, OPERATE_ONLY
from app.models.wire import Peek, Peeked, Search, StopSearch, Surveyed

#: Pipelines that a look costs, and a piece of a search.
QUESTIONS: Final = 2
PIECES: Final = 1
#: Seconds between the beginnings of two pieces: beside them the broker is asked for depths, and by workers.
PAUSE: Final = 0.25

Put = Callable[[Peeked | Surveyed], None]


class Peeker(threading.Thread):
    """Answers what it is asked, one after the other; while it looks through a queue, between two pieces."""

    def __init__(self, broker: Broker, mode: Mode, put: Put, *, on_command: Callable[[int], None]) -> None:
        super().__init__(name="messages", daemon=True)
        self._broker = broker
        self._mode = mode
        self._put = put
        self._on_command = on_command
        self._asked: queue.SimpleQueue[Peek | Search | StopSearch | None] = queue.SimpleQueue()
        self._surveyor: Surveyor | None = None
        #: What is looked for now, or was last and is paused.
        self._search: Search | None = None
        self._due = 0.0

    def ask(self, asked: Peek | Search | StopSearch) -> None:
        """Look soon, or look no further; may be called from any thread."""
        self._asked.put(asked)

    def stop(self) -> None:
        """End the thread."""
        self._asked.put(None)

    def run(self) -> None:
        """Look until stopped."""
        while True:
            try:
                asked = self._asked.get(timeout=self._pause())
            except queue.Empty:
                self._look_on()
                continue
            match asked:
                case None:
                    return
                case Peek():
                    self._put(self._peek(asked))
                case Search():
                    self._begin(asked)
                case StopSearch():
                    self._end_search(asked.number)

    def _peek(self, asked: Peek) -> Peeked:
        if self._broker.marks and (self._mode != "operate" or not asked.agreed):
            may = self._mode == "operate"
            return Peeked(asked.number, error=MARKS if may else OPERATE_ONLY, agreed=not may)
        if self._surveyor is not None:
            # One connection is enough to look at messages.
            self._surveyor.rest()
        self._on_command(QUESTIONS)
        try:
            page = self._broker.peek(asked.queue, self._mode, start=asked.start, count=asked.count, newest=asked.newest)
        except BrokerError as error:
            return Peeked(asked.number, error=str(error))
        return Peeked(asked.number, page.messages, page.start, page.total, page.turns)

    def _pause(self) -> float | None:
        """Seconds until the next piece; None where nothing is looked for."""
        surveyor = self._surveyor
        if surveyor is None or surveyor.survey.state != "looking":
            return None
        return max(0.0, self._due - time.monotonic())

    def _begin(self, asked: Search) -> None:
        before, surveyor = self._search, self._surveyor
        goes_on = (
            asked.further
            and before is not None
            and surveyor is not None
            and (before.queue, before.wanted) == (asked.queue, asked.wanted)
        )
        if goes_on and surveyor is not None:
            surveyor.survey.state = "looking"
        else:
            if before is not None:
                self._end_search(before.number)
            try:
                self._surveyor = self._broker.survey(asked.queue, asked.wanted)
            except BrokerError as error:
                self._put(Surveyed(asked.number, error=str(error)))
                return
        self._search = asked

    def _look_on(self) -> None:
        """Look at the next piece, and tell what was found until now."""
        surveyor, asked = self._surveyor, self._search
        if surveyor is None or asked is None:
            return
        self._due = time.monotonic() + PAUSE
        self._on_command(PIECES)
        try:
            surveyor.look()
        except BrokerError as error:
            self._forget()
            self._put(Surveyed(asked.number, error=str(error)))
            return
        told = msgspec.structs.replace(surveyor.survey, found=list(surveyor.survey.found))
        if told.state == "over":
            self._forget()
        elif told.state == "paused":
            surveyor.rest()
        self._put(Surveyed(asked.number, told))

    def _end_search(self, number: int) -> None:
        surveyor, asked = self._surveyor, self._search
        if surveyor is None or asked is None or asked.number != number:
            return
        self._forget()
        if surveyor.survey.state == "looking":  # else its end was told
            self._put(Surveyed(number, msgspec.structs.replace(surveyor.survey, state="stopped")))

    def _forget(self) -> None:
        if self._surveyor is not None:
            self._surveyor.rest()
        self._surveyor = self._search = None
