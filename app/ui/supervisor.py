"""Which connections there are, and the collector that runs for each; questions to their histories are answered here."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from PySide6.QtCore import QObject, QTimer, Signal

from app.models.acts import Standing
from app.models.history.errors import HistoryError
from app.models.history.reader import Reader
from app.models.profiles import Profile
from app.models.target import Target
from app.models.wire import (
    Acted,
    Asked,
    Committed,
    Examine,
    Exported,
    Health,
    Keeping,
    Notice,
    Peek,
    Peeked,
    Planned,
    Search,
    StopSearch,
    Surveyed,
)
from app.ui.acting import Acts
from app.ui.examiner import Examiner
from app.ui.exporting import Exports
from app.ui.link import CollectorLink, Ended

T = TypeVar("T")

_RECORDED: Final = "This was recorded. What waits in a queue is seen while Cloche is connected."
_CLOSED: Final = "The connection is closed."
_AWAY: Final = "The collector is not running at this moment, so nothing can be asked."

#: Milliseconds after which a collector that ended unexpectedly is started again, and how often that is done within a
#: minute (SAFETY F23).
RESTART_AFTER: Final = 200
RESTARTS: Final = 5
#: Milliseconds between two looks at a history that another program records.
WATCH: Final = 1_000


class Connection(QObject):
    """One broker with its collector and history, or one history file alone.

    ``committed``: the history grew. ``health_changed``: see `health`. ``noticed`` carries a `Notice` for people.
    ``renewed``: its settings are others now.
    """

    committed = Signal()
    renewed = Signal()
    health_changed = Signal()
    noticed = Signal(object)

    def __init__(self, target: Target, executor: ThreadPoolExecutor, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.target = target
        self.profile = _profile(target)
        self.history: Path = target.history
        self.live = bool(target.url)
        self.health = Health(state="starting" if self.live else "file", since=time.time())
        self._executor = executor
        self._reader: Reader | None = None
        self._link: CollectorLink | None = None
        self._restarts: list[float] = []
        self._closing = False
        #: Whether the collector was ended to be started with other settings.
        self._renewing = False
        self._restart = QTimer(self)
        self._restart.setSingleShot(True)
        self._restart.timeout.connect(self.start)
        #: Whether the collector ended too often to be started again without being asked to.
        self.given_up = False
        #: Looks into queues that are under way, by number, and how many there were.
        self._answers: dict[int, asyncio.Future[Peeked]] = {}
        self._asked = 0
        #: The search in a queue that is under way, by its number, and what it was answered.
        self._searching: tuple[int, asyncio.Queue[Surveyed]] | None = None
        self._watch = QTimer(self)
        self._watch.timeout.connect(self.committed)
        #: What is done to the broker from here.
        self.acts = Acts(self._say, self)
        #: What is written to files from there.
        self.exports = Exports(self._say)

    def start(self) -> None:
        """Start the collector, if there is a broker to collect from."""
        if not self.live or self._closing:
            return
        if self._link is not None:
            self._link.deleteLater()
        target = self.target
        self._keep_in(target.history)
        self._link = CollectorLink(target.configure(target.history, mode=self.profile.mode), self)
        self._link.message.connect(self._hear)
        self._link.ended.connect(self._ended)
        self._link.start()

    def start_again(self) -> None:
        """Start a collector that was given up, with all its attempts before it."""
        self.given_up = False
        self._restarts.clear()
        self._watch.stop()
        self.start()

    def renew(self, target: Target) -> None:
        """Connect anew, with other settings, and go on in the history that they name."""
        self.target = target
        self.profile = _profile(target)
        self._restart.stop()
        self._answer_all("The connection is made anew.")
        self.health = Health(state="starting", since=time.time())
        if self._link is not None and self._link.pid:
            self._renewing = True
            self._link.end()
        else:
            self.start_again()
        self.renewed.emit()
        self.health_changed.emit()

    def _say(self, message: Asked) -> bool:
        """Pass something on to the collector, if one runs: what is said to one that ended nobody answers."""
        if self._link is None or self._unheard:
            return False
        self._link.send(message)
        return True

    @property
    def _unheard(self) -> str:
        """Why nobody would answer what is asked now; "" where somebody will, or all are told that nobody does."""
        if not self.live:
            return _RECORDED
        if self._closing:
            return _CLOSED
        return _AWAY if self._link is None or not self._link.pid or self._renewing else ""

    @property
    def operates(self) -> bool:
        """Whether what the broker's workers do may be changed."""
        return self.live and self.profile.mode == "operate"

    async def peek(self, queue: str, start: int, count: int, *, newest: bool, agreed: bool = False) -> Peeked:
        """Messages that wait in a queue, as the collector sees them now, or a sentence why they can't be seen.

        ``agreed`` is whether the user knows that it marks them, where it does.
        """
        self._asked += 1
        number = self._asked
        if not self._say(Peek(number, queue, start, count, newest, agreed)):
            return Peeked(number, error=self._unheard)
        answer: asyncio.Future[Peeked] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            return await answer
        finally:
            del self._answers[number]

    async def search(self, queue: str, wanted: str = "", *, further: bool = False) -> AsyncGenerator[Surveyed, None]:
        """Look through a queue for a message, or for names: what is found, again and again until it ended.

        See `wire.Search`. It ends any other, and by itself when nobody listens any more.
        """
        self._asked += 1
        if not self._say(Search(self._asked, queue, wanted, further)):
            yield Surveyed(self._asked, error=self._unheard)
            return
        before, self._searching = self._searching, None
        answers = asyncio.Queue[Surveyed]()
        searching = self._searching = self._asked, answers
        if before is not None:
            before[1].put_nowait(Surveyed(before[0]))
        try:
            while True:
                answer = await answers.get()
                if self._searching is not searching:
                    return
                if answer.error or answer.survey.state != "looking":
                    break
                yield answer
        except (asyncio.CancelledError, GeneratorExit):
            if self._searching is searching:
                self.stop_search()
            raise
        finally:
            if self._searching is searching:
                self._searching = None
        yield answer

    def stop_search(self) -> None:
        """Look no further through the queue that is looked through; what was found is still told."""
        if self._searching is not None:
            self._say(StopSearch(self._searching[0]))

    def stop(self) -> None:
        """Ask the collector to end."""
        self._closing = True
        self._answer_all(_CLOSED)
        self._watch.stop()
        self._restart.stop()
        if self._link is not None:
            self._link.stop()

    async def wait(self) -> None:
        """Until the collector is gone and the history closed."""
        if self._link is not None:
            await self._link.wait()
        await asyncio.get_running_loop().run_in_executor(self._executor, self._close_reader)

    @property
    def collector_pid(self) -> int:
        """Process id of the collector; 0 while none runs."""
        return 0 if self._link is None else self._link.pid

    async def work_out(self, function: Callable[[], T]) -> T:
        """What ``function`` returns, from the query thread; it asks no history."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    async def query(self, function: Callable[[Reader], T]) -> T:
        """What ``function`` answers of the history, from the query thread. Raises `HistoryError`."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._answer, function)

    def _answer(self, function: Callable[[Reader], T]) -> T:
        if self._reader is None:
            self._reader = Reader(self.history)
        try:
            return function(self._reader)
        except HistoryError:
            # The file may have been replaced under us: the next question opens it anew.
            self._close_reader()
            raise

    def _keep_in(self, history: Path) -> None:
        """Read this file from now on, even if it has the name of the one before."""
        self.history = history
        if not self._closing:
            self._executor.submit(self._close_reader)

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _hear(self, message: object) -> None:
        if isinstance(message, Committed):
            self.committed.emit()
        elif isinstance(message, Keeping):
            self._keep_in(Path(message.history))
        elif isinstance(message, Health):
            self.health = message
            self.health_changed.emit()
        elif isinstance(message, Notice):
            self.noticed.emit(message)
        elif isinstance(message, Peeked):
            self._take(message)
        elif isinstance(message, Planned | Acted | Standing):
            self.acts.take(message)
        elif isinstance(message, Exported):
            self.exports.take(message)
        elif isinstance(message, Surveyed) and self._searching is not None and self._searching[0] == message.number:
            self._searching[1].put_nowait(message)

    def _take(self, found: Peeked) -> None:
        answer = self._answers.get(found.number)
        if answer is not None and not answer.done():
            answer.set_result(found)

    def _answer_all(self, why: str) -> None:
        """Nobody answers any more what was asked."""
        for number in self._answers:
            self._take(Peeked(number, error=why))
        if self._searching is not None:
            self._searching[1].put_nowait(Surveyed(0, error=why))
        self.acts.break_off(why)
        self.exports.break_off(why)

    def _ended(self, ended: Ended) -> None:
        if self._closing:
            return
        if self._renewing:
            self._renewing = False
            self.start_again()
            return
        self._answer_all("The collector ended before it answered.")
        text = ended.text
        now = time.monotonic()
        self._restarts = [at for at in self._restarts if now - at < 60.0] + [now]
        if ended.again and len(self._restarts) <= RESTARTS:
            text += " It is started again."
            self._restart.start(RESTART_AFTER)
        elif not ended.again and self.history.exists():
            # Somebody else may be recording: what they record is shown, without a collector to say when.
            self._watch.start(WATCH)
            text += " What is recorded there is shown."
        elif ended.again:
            self.given_up = True
            text += f" It ended {RESTARTS + 1} times within a minute. Choose its broker again to start it again."
        self.health = msgspec.structs.replace(
            self.health, state="stopped", text=text, events_per_second=0.0, since=time.time()
        )
        self.health_changed.emit()
        self.noticed.emit(Notice("collector", text, "error"))


def _profile(target: Target) -> Profile:
    return Profile(target.name, target.url, target.environment, target.mode, target.colour)


class Supervisor(QObject):
    """All connections of the window; ``added`` carries each new one, ``removed`` each that goes."""

    added = Signal(object)
    removed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.connections: list[Connection] = []
        self._examiners: set[Examiner] = set()
        #: Connections that were removed, until their collectors are gone and their histories can be written again.
        self._leaving: dict[Connection, asyncio.Task[None]] = {}
        # One thread answers all questions: SQLite is fast enough, and two would only contend for the interpreter.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="query")

    def add(self, target: Target) -> Connection:
        """Open a connection, and start its collector."""
        connection = Connection(target, self._executor, self)
        self.connections.append(connection)
        leaving = [task for one, task in self._leaving.items() if one.target.history == target.history]
        if leaving:
            leaving[0].add_done_callback(lambda _: connection.start())
        else:
            connection.start()
        self.added.emit(connection)
        return connection

    def remove(self, connection: Connection) -> None:
        """Take a connection out of the window; its history stays."""
        self.connections.remove(connection)
        connection.stop()
        self._leaving[connection] = asyncio.get_running_loop().create_task(self._leave(connection))
        self.removed.emit(connection)

    def examine(self, asked: Examine) -> Examiner:
        """Have a broker looked at; the examiner is to be started, and may be stopped at any time."""
        examiner = Examiner(asked, self)
        self._examiners.add(examiner)
        examiner.gone.connect(lambda: self._forget(examiner))
        return examiner

    async def close(self) -> None:
        """End all collectors, all at once, and close their histories."""
        for connection in self.connections:
            connection.stop()
        for examiner in self._examiners:
            examiner.stop()
        for connection in self.connections:
            await connection.wait()
        for connection in tuple(self._leaving):
            await connection.wait()
        for examiner in tuple(self._examiners):
            if examiner in self._examiners:  # it may have ended, and be forgotten, while others were waited for
                await examiner.wait()
        self._executor.shutdown()

    async def _leave(self, connection: Connection) -> None:
        await connection.wait()
        del self._leaving[connection]
        connection.deleteLater()

    def _forget(self, examiner: Examiner) -> None:
        self._examiners.discard(examiner)
        examiner.deleteLater()
