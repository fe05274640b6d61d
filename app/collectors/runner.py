"""All that collects from one connection: its threads, the place where what they bring is folded, and the commits."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

from app.collectors.access import Access
from app.collectors.acts.act import Reach
from app.collectors.acts.desk import Desk
from app.collectors.ages import Ages
from app.collectors.bell import Bell
from app.collectors.brokers import broker_of
from app.collectors.clocks import ClockSet, ClockWatch, Slept, Steady
from app.collectors.committer import Committer, Job
from app.collectors.errors import BrokerError
from app.collectors.exporting import Exporter
from app.collectors.inquiry import Answer, Inquiry, Inspection
from app.collectors.normalise import Normaliser
from app.collectors.peeker import Peeker
from app.collectors.pollers import QueuePoller, Trouble
from app.collectors.questions import Questions
from app.collectors.queues import Poll
from app.collectors.results import Ends, Results, results_address
from app.collectors.shedding import Shedder
from app.collectors.standing import Gaps, Meter
from app.collectors.subscriber import Chunk, DamagedStream, Link, Subscriber
from app.models.acts import Restore, Standing
from app.models.audit import AuditLog, Subject
from app.models.history.keeper import Keeper
from app.models.history.retention import Keep
from app.models.records import Event
from app.models.redact import redact_url
from app.models.reducer import Reducer
from app.models.wire import (
    Acted,
    Asked,
    Committed,
    Configure,
    Export,
    Exported,
    Keeping,
    Message,
    Notice,
    Peek,
    Peeked,
    Planned,
    Search,
    StopExport,
    StopSearch,
    Surveyed,
)
from app.paths import audit_file

#: Seconds a change waits for its commit at most while little happens, and while much does.
COMMIT_SOON: Final = 0.05
COMMIT_LATE: Final = 0.10
#: This many changed tasks are much; at the second number they are committed at once.
MANY: Final = 500
TOO_MANY: Final = 5_000
#: Changed tasks that may wait while a commit is under way; beyond, folding waits too.
MOST: Final = 50_000
#: The same of the bytes that changes came in, as tasks may be large: so many are committed at once, so many may wait.
HEAVY: Final = 16 << 20
HEAVIEST: Final = 64 << 20
#: Until the ring is so full decoding waits while the broker presses; it looks again after so many seconds.
PRESSED_FILL: Final = 0.5
PRESSED_PAUSE: Final = 0.001

#: Seconds that threads have to end; with the last commit that is two.
END_PATIENCE: Final = 1.0

Emit = Callable[[Message], None]
#: What goes on to the window as it is.
Told = Peeked | Surveyed | Exported | Planned | Acted | Standing
Item = Poll | Answer | Ends | Trouble | Slept | ClockSet | Told


class Collector:
    """Collects until `stop`. Runs in the thread that calls `run`; ``emit`` is called from that thread.

    Raises `BrokerError` for an address that can't be used and `HistoryError` for a history that can't be opened,
    both on construction.
    """

    def __init__(self, config: Configure, emit: Emit) -> None:
        broker = broker_of(config)
        backend = results_address(config)
        self._emit = emit
        self._wake = Bell()
        self._stopping = threading.Event()
        self._inbox: queue.SimpleQueue[Item] = queue.SimpleQueue()
        keep = Keep(config.keep_seconds, config.keep_bytes)
        self._keep_arguments = config.keep_arguments
        self._writer = Keeper(Path(config.history), keep, temporary=config.temporary)
        self._writer.set_meta(name=config.name, broker=redact_url(config.url))
        self._normaliser = Normaliser()
        self._reducer = Reducer(self._writer, self._writer.known())
        self._events = broker.events(self._wake.ring, config.mode)
        self._commits = Committer(self._writer, self._wake.ring)
        self._queues = QueuePoller(broker.queues(config.queues, on_command=self._count_commands), self._put)
        control = None if config.mode == "passive" else broker.control(config.mode, on_command=self._count_commands)
        inquiry = None if control is None else Inquiry(control, self._put)
        if backend is not None:
            backend = backend.through(broker.jump_host)
        results = None if backend is None else Results(backend, self._put, on_command=self._count_commands)
        self._questions = Questions(self._reducer, inquiry, results, keep_arguments=config.keep_arguments)
        self._peeker = Peeker(broker, config.mode, self._put, on_command=self._count_commands)
        self._exporter = Exporter(
            broker, config.mode, self._put, keep_arguments=config.keep_arguments, on_command=self._count_commands
        )
        self._drop = broker.drop
        self._access = Access(config.mode, config.environment)
        history = Path(config.history)
        reach = Reach(broker, self._access, history, self._count_commands, config.keep_arguments, backend)
        subject = Subject(config.name, redact_url(config.url), config.environment)
        log = AuditLog(Path(config.audit) if config.audit else audit_file(), subject)
        self._desk = Desk(reach, log, self._put)
        #: Whether acting was unlocked when that was told last.
        self._unlocked = False
        self._clocks = ClockWatch(self._put)
        self._steady = Steady()
        self._base = self._writer.accounting()
        self._stored = 0
        self._shedder = Shedder()
        self._shed = self._shedder.shed
        self._gaps = Gaps(self._writer)
        self._ages = Ages(self._reducer.task)
        #: Who says that the broker blocks publishers.
        self._blocking: set[str] = set()
        self._health = Meter()
        self._commands = 0
        self._flushed = 0.0
        #: Bytes that were folded since.
        self._folded = 0
        self._oldest: float | None = None
        self._seq = 0

    @property
    def received(self) -> int:
        """Events received since this collector began."""
        return self._normaliser.received

    def stop(self) -> None:
        """End `run` soon; may be called from any thread, and by a signal's handler."""
        self._stopping.set()
        self._wake.ring()

    def run(self) -> None:
        """Collect until stopped, then commit what is left."""
        self._tell_of_history()
        self._health.turn("connecting", self._now())
        self._put(self._access.standing)
        askers: list[Subscriber | QueuePoller | Peeker | Inquiry | Results | ClockWatch] = [
            self._clocks,
            self._events,
            self._queues,
            self._peeker,
            *self._questions.threads,
        ]
        for thread in (*askers, self._commits):
            thread.start()
        ticked = 0.0
        try:
            while not self._stopping.is_set():
                self._wake.wait(self._pause(ticked))
                self._take_events()
                self._take_polls()
                now = time.monotonic()
                if now - ticked >= 1.0:
                    ticked = now
                    self._tick()
                self._take_commits()
                self._commit_if_due()
        finally:
            self._desk.stop()
            self._exporter.stop()
            for asker in askers:
                asker.stop()
            self._desk.join(END_PATIENCE)
            self._exporter.join(END_PATIENCE)
            self._finish()
            patience = time.monotonic() + END_PATIENCE
            for asker in askers:
                # One that waits for a broker that hangs is left behind: it has nothing that is not written.
                asker.join(max(0.0, patience - time.monotonic()))
            self._writer.close()
            self._tell_of_history()

    def _now(self) -> float:
        return self._steady.at(time.time())

    def take(self, message: Asked) -> None:
        """Do what the window asks; may be called from any thread."""
        if isinstance(message, Peek | Search | StopSearch):
            self._peeker.ask(message)
        elif isinstance(message, Export | StopExport):
            self._exporter.take(message)
        else:
            self._desk.take(message)

    def _put(self, item: Item) -> None:
        self._inbox.put(item)
        self._wake.ring()

    def _count_commands(self, number: int) -> None:
        self._commands += number

    def _pause(self, ticked: float) -> float:
        now = time.monotonic()
        due = ticked + 1.0
        if self._reducer.dirty and not self._commits.busy:
            due = min(due, self._flushed + COMMIT_SOON)
        return max(0.0, due - now)

    def _take_events(self) -> None:
        """Decode and fold what the subscriber drained."""
        while (item := self._events.next()) is not None:
            # One interpreter runs both: while the broker presses, decoding would keep the draining thread waiting.
            while self._events.pressed and self._events.fill < PRESSED_FILL and not self._stopping.is_set():
                time.sleep(PRESSED_PAUSE)
            if isinstance(item, Link):
                self._link(item)
            else:
                self._decode(item)

    def _decode(self, chunk: Chunk) -> None:
        events: list[Event] = []
        try:
            chunk.decode(self._normaliser, events)
        except DamagedStream:
            # What follows can't be trusted either.
            self._normaliser.rejected["broken stream"] += 1
            self._normaliser.received += 1
            self._events.reconnect()
        if not events:
            return
        if self._commits.refused and self._is_full:
            # No place takes what is collected, and memory is no place for all of it.
            self._shed["no room for the history"] += len(events)
            return
        self._forget_values(events)
        known = len(self._reducer.queues)
        seen = self._steady.at(chunk.seen)
        events, left = self._shedder.keep(events, self._events.fill, self._reducer.in_memory)
        if left:
            self._reducer.count_shed(left, seen)
        self._reducer.fold(events, seen)
        self._stored += len(events)
        self._folded += chunk.size
        if self._oldest is None:
            self._oldest = self._steady.at(chunk.seen)
        if len(self._reducer.queues) > known:
            self._queues.add(list(self._reducer.queues))
        if self._is_much:
            self._take_commits()
            self._commit_if_due()

    def _forget_values(self, events: Sequence[Event]) -> None:
        """Leave out what is not to be kept."""
        if not self._keep_arguments:
            for event in events:
                event.args = event.kwargs = event.result = None

    @property
    def _is_much(self) -> bool:
        """Whether so much changed that it is committed at once."""
        return self._reducer.dirty >= TOO_MANY or self._folded >= HEAVY

    @property
    def _is_full(self) -> bool:
        """Whether as much changed as may wait for its commit."""
        return self._reducer.dirty >= MOST or self._folded >= HEAVIEST

    def _link(self, link: Link) -> None:
        if link.error is None:
            at = self._steady.at(link.at)
            self._health.turn("live", at)
            self._reducer.listen(self._gaps.since, at)
            self._questions.listen_again()
            self._gaps.end(at)
        else:
            at = link.at + self._steady.ahead
            self._health.turn("disconnected", at, link.error)
            self._gaps.begin(at, str(link.error))
        self._emit(self._health.message(self._commands, self._normaliser.received))

    def _take_polls(self) -> None:
        while not self._inbox.empty():
            item = self._inbox.get()
            now = self._now()
            if isinstance(item, Poll):
                self._health.round_trip = item.took
                self._ages.tell(item)
                self._reducer.fold_queues(item.queues, self._steady.at(item.at))
            elif isinstance(item, Trouble):
                self._trouble(item)
            elif isinstance(item, Slept):
                self._desk.lock()
                self._connect_anew(BrokerError("asleep", f"Cloche slept for {item.seconds:.0f} s.", item.since))
            elif isinstance(item, ClockSet):
                self._clock_set(item)
                self._emit(self._access.standing)  # until when, by the clock
            elif isinstance(item, Told):
                if isinstance(item, Acted) and isinstance(undo := item.outcome.undo, Restore):
                    # A new one, of which the broker itself may never tell.
                    self._queues.add([undo.quarantine])
                self._emit(item)
            else:
                if isinstance(item, Ends):
                    self._forget_values(item.events)
                self._questions.take(item, now)
                if isinstance(item, Inspection) and item.learnt.get("queues"):
                    self._queues.add(item.learnt["queues"])

    def _trouble(self, trouble: Trouble) -> None:
        error = trouble.error
        blocked = error is not None and error.fault == "blocked"
        (self._blocking.add if blocked else self._blocking.discard)(trouble.key)
        if trouble.key == "workers":
            if error is not None and error.fault == "replica" and self._questions.answered:
                # It took writes and does no longer: the master is elsewhere now (SAFETY F03).
                self._connect_anew(error)
            self._questions.trouble(trouble)
        if trouble.key == "queues" and error is not None:
            self._reducer.forget_depths()
        if error is not None and error.fault == "moved":
            self._connect_anew(error)
        severity: Literal["info", "warning"] = "info" if trouble.key == "rights" else "warning"
        self._emit(Notice(trouble.key, "" if error is None else str(error), severity))

    def _connect_anew(self, reason: BrokerError) -> None:
        """Drop all connections at once."""
        # What was answered until now says nothing of who is asked from here on.
        self._questions.answered = False
        self._events.give_up(reason)
        self._queues.begin_anew(self._drop)

    def _clock_set(self, jump: ClockSet) -> None:
        """What a clock that is set forward skips is a gap; one that is set back is not followed."""
        forward = self._steady.set_by(jump.seconds)
        if forward and self._health.state == "live":
            self._gaps.begin(jump.since, f"The clock of this computer was set forward by {forward:.0f} s.")
            self._gaps.end(jump.since + forward)
            self._reducer.listen(None, self._now())
        text = f"The clock of this computer was set back by {self._steady.ahead:.0f} s. Times go on as before."
        self._emit(Notice("clock", text if self._steady.ahead else ""))

    def _tick(self) -> None:
        now = self._now()
        if self._health.state == "live":
            self._reducer.tick(now, hushed=bool(self._blocking))
            self._questions.tick(now)
        if self._access.unlocked != self._unlocked:
            # Also where nobody locked it, but the time is over.
            self._unlocked = not self._unlocked
            self._emit(self._access.standing)
        self._health.lost = self._shed.total()
        self._emit(self._health.message(self._commands, self._normaliser.received))

    def _commit_if_due(self, *, force: bool = False) -> None:
        if self._commits.busy:
            if (not self._is_full or self._commits.refused) and not force:
                return
            self._commits.wait()
        # Also of one that ended a moment ago: the reducer has to know that it is written before it hands over more.
        self._take_commits()
        now = time.monotonic()
        waited = now - self._flushed
        dirty = self._reducer.dirty
        due = waited >= 1.0 or (dirty and waited >= (COMMIT_LATE if dirty >= MANY else COMMIT_SOON)) or self._is_much
        if not (due or force):
            return
        self._flushed, self._folded = now, 0
        at = self._now()
        batch = self._reducer.flush(now, everything=force)
        rows = self._writer.rows(batch)
        rows.alive = at if self._health.state == "live" else 0.0
        rows.gaps = self._gaps.take()
        rows.accounting = self._accounting()
        self._commits.submit(Job(batch, rows, at, self._oldest))
        self._oldest = None

    def _accounting(self) -> list[tuple[object, ...]]:
        counts = {("received", ""): self._normaliser.received, ("stored", ""): self._stored}
        counts |= {("rejected", reason): n for reason, n in self._normaliser.rejected.items()}
        counts |= {("shed", reason): n for reason, n in self._shed.items()}
        return [(*key, n + self._base.get(key, 0)) for key, n in counts.items()]

    def _take_commits(self) -> None:
        for job in self._commits.take():
            self._reducer.committed(job.batch)
            self._seq += 1
            if job.oldest is not None:
                self._health.behind = max(0.0, self._now() - job.oldest)
            self._emit(Committed(self._seq, job.at))
        self._tell_of_history()

    def _tell_of_history(self) -> None:
        for news in self._writer.take_news():
            if isinstance(news, Keeping) and news.fresh:
                self._reducer.renew()
            self._emit(news)

    def _finish(self) -> None:
        self._take_events()
        self._take_polls()
        self._commits.give_up()
        self._commit_if_due(force=True)
        self._commits.finish()
        self._take_commits()
