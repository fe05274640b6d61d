"""What RabbitMQ's management API tells of a virtual host, asked for in turns: its queues, alarms, and dead letters.

One question at a time, and none before its turn: a page of queues, what the broker is short of, and where an exchange
for dead letters leads to.
"""

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from operator import itemgetter
from typing import Final

from app.collectors.amqp_guard import LEDGER, is_quarantine
from app.collectors.errors import AUTH_PAUSE, BrokerError
from app.collectors.managed import Binding, DeadLetters, Managed
from app.collectors.management import PAGE, Management
from app.collectors.queues import MAX_QUEUES
from app.models.quarantines import ROLE as QUARANTINE
from app.models.records import DeadLetter, Queue

#: Seconds between two rounds through all queues, whose figures RabbitMQ makes anew that often; between two questions
#: about alarms, less than it takes to call a worker lost; and about an exchange.
QUEUES_PAUSE: Final = 5.0
ALARMS_PAUSE: Final = 5.0
EXCHANGE_PAUSE: Final = 300.0
#: The longest pause after trouble.
TROUBLE_PAUSE: Final = 60.0
#: Exchanges for dead letters that are asked about; and queues that are named at the end of one, or before it.
MAX_EXCHANGES: Final = 20
MAX_NAMED: Final = 20
#: Queues in which Celery has tasks wait until they are due (``kombu.transport.native_delayed_delivery``): each level
#: keeps a message for 2 to the power of its number seconds, and hands it down to the next.
_LEVEL: Final = re.compile(r"(?P<levels>(?:.+_)?celery_delayed_)(?:1?\d|2[0-7])", re.DOTALL)


class Manager:
    """Asks the management API, and knows what it told. ``on_command`` counts its questions. Not thread-safe."""

    def __init__(self, api: Management, *, on_command: Callable[[int], None]) -> None:
        self._api = api
        self._on_command = on_command
        #: Why it can't be asked, and what the broker is short of.
        self.trouble: BrokerError | None = None
        self.short_of: list[str] = []
        self._ask_at = 0.0
        self._pause = QUEUES_PAUSE
        self._queues_at = self._alarms_at = 0.0
        self._queues: dict[str, Managed] = {}
        #: The round that is under way: its next page, and what is on those before.
        self._page = 1
        self._round: dict[str, Managed] = {}
        self._rounds = 0
        #: When exchanges for dead letters are asked about, and what they are bound to.
        self._exchanges: dict[str, float] = {}
        self._bindings: dict[str, list[Binding]] = {}
        #: Where dead letters of a queue go to, and where they come from.
        self._to: dict[str, list[str]] = {}
        self._of: dict[str, list[str]] = {}

    @property
    def complete(self) -> bool:
        """Whether each question was asked, or none can be."""
        asked = self._rounds and self._alarms_at and all(self._exchanges.values())
        return bool(asked) or self.trouble is not None

    def look(self) -> list[Queue]:
        """Ask what it is time for, if anything; queues that it told of, but for those of one connection only."""
        now = time.monotonic()
        if now < self._ask_at:
            return []
        try:
            found = self._ask(now)
        except BrokerError as error:
            self._forget()
            self.trouble = error
            self._pause = AUTH_PAUSE if error.fault == "permission" else min(self._pause * 2, TROUBLE_PAUSE)
            self._ask_at = now + self._pause
            return []
        self.trouble, self._pause = None, QUEUES_PAUSE
        seen = time.time()
        lasting = (told for told in found if not told.exclusive)
        return [Queue(told.name, seen, ready=told.ready, consumers=told.consumers) for told in lasting]

    def tells_of(self, name: str) -> bool:
        """Whether it told of a queue's depth lately."""
        told = self._queues.get(name) or self._round.get(name)
        return told is not None and told.ready is not None

    def close(self) -> None:
        """Close its connection; the next question opens another."""
        self._api.close()

    def fill(self, queue: Queue) -> None:
        """Add what is known of a queue to what it was polled as."""
        name = queue.name
        told = self._queues.get(name) or self._round.get(name)
        if told is None:
            return
        queue.unacked = told.unacked
        queue.memory, queue.type, queue.durable, queue.policy = told.memory, told.type, told.durable, told.policy
        if told.dead_letters is not None:
            queue.dead_letter = DeadLetter(
                told.dead_letters.exchange, told.dead_letters.routing_key, self._to.get(name, [])[:MAX_NAMED]
            )
        queue.dead_letters_of = self._of.get(name, [])[:MAX_NAMED]
        queue.role = self._role(told)
        queue.rate_out = told.rate_out
        # RabbitMQ does not count what comes as a dead letter.
        queue.rate_in = None if queue.dead_letters_of or queue.role else told.rate_in

    def delayed(self) -> list[Queue]:
        """What Celery's delayed delivery holds until it is due: all levels as one, by the prefix of their names."""
        levels: dict[str, list[Managed]] = defaultdict(list)
        for told in self._queues.values():
            if level := _LEVEL.fullmatch(told.name):
                levels[level["levels"]].append(told)
        return [_backlog(name, those) for name, those in levels.items()]

    def _ask(self, now: float) -> list[Managed]:
        """Ask what waits longest of what it is time for."""
        questions: list[tuple[float, Callable[[float], list[Managed]]]] = [
            (self._queues_at, self._next_page),
            (self._alarms_at, self._look_for_alarms),
            *((at, partial(self._follow, name)) for name, at in self._exchanges.items()),
        ]
        at, ask = min(questions, key=itemgetter(0))
        if now < at:
            return []
        self._on_command(1)
        return ask(now)

    def _next_page(self, now: float) -> list[Managed]:
        found, pages = self._api.queues(self._page)
        self._round |= {told.name: told for told in found}
        if self._page < min(pages, MAX_QUEUES // PAGE):
            self._page += 1
            return found
        self._queues, self._round, self._page = self._round, {}, 1
        self._rounds += 1
        self._queues_at = now + QUEUES_PAUSE
        sent = (told.dead_letters for told in self._queues.values() if not _LEVEL.fullmatch(told.name))
        named = dict.fromkeys(each.exchange for each in sent if each is not None and each.exchange)
        self._exchanges = {name: self._exchanges.get(name, 0.0) for name in list(named)[:MAX_EXCHANGES]}
        self._trace()
        return found

    def _look_for_alarms(self, now: float) -> list[Managed]:
        self._alarms_at = now + ALARMS_PAUSE
        try:
            self.short_of = self._api.alarms()
        except BrokerError as error:
            if error.fault != "protocol":
                raise
            self.short_of = []  # RabbitMQ before 3.8.10 does not know the question
        return []

    def _follow(self, exchange: str, now: float) -> list[Managed]:
        self._exchanges[exchange] = now + EXCHANGE_PAUSE
        self._bindings[exchange] = self._api.bindings(exchange)
        self._trace()
        return []

    def _forget(self) -> None:
        """What is not told any more is not known."""
        self._queues, self._round, self._page, self._rounds = {}, {}, 1, 0
        self._to, self._of, self._exchanges, self.short_of = {}, {}, {}, []
        self._queues_at = self._alarms_at = 0.0

    def _trace(self) -> None:
        """Follow dead letters from queue to queue."""
        self._to = {
            told.name: self._ends(told.dead_letters)
            for told in self._queues.values()
            if told.dead_letters is not None and not _LEVEL.fullmatch(told.name)
        }
        self._of = {}
        for name, ends in self._to.items():
            for end in ends:
                self._of.setdefault(end, []).append(name)

    def _ends(self, sent: DeadLetters) -> list[str]:
        """Queues where an exchange leads to by a key; all behind it where no binding has just that key."""
        if not sent.exchange:
            return [] if sent.routing_key is None else [sent.routing_key]
        bindings = self._bindings.get(sent.exchange, ())
        by_key = [each.queue for each in bindings if each.routing_key == sent.routing_key]
        return list(dict.fromkeys(by_key or (each.queue for each in bindings)))

    def _role(self, told: Managed) -> str | None:
        """What a queue is for, if not for tasks that wait for a worker.

        Where two queues are each other's, messages wait for another attempt in the one that gives them up after a time.
        """
        if is_quarantine(told.name):
            return QUARANTINE
        ends = self._to.get(told.name, ())
        if _LEVEL.fullmatch(told.name) or (told.expires and any(self._waits_at(end, told.name) for end in ends)):
            return "delayed"
        return "dead letter" if any(source not in ends for source in self._of.get(told.name, ())) else None

    def _waits_at(self, end: str, name: str) -> bool:
        other = self._queues.get(end)
        return other is not None and not other.expires and name in self._to.get(end, ())


def _backlog(name: str, levels: list[Managed]) -> Queue:
    return Queue(
        f"{name}*",
        time.time(),
        ready=_total(level.ready for level in levels),
        unacked=_total(level.unacked for level in levels),
        consumers=0,
        role="delayed",
        memory=_total(level.memory for level in levels),
        type=levels[0].type,
        durable=levels[0].durable,
        policy=levels[0].policy,
    )


def _total(figures: Iterable[int | None]) -> int | None:
    """The sum of those that are known; None where none is."""
    known = [figure for figure in figures if figure is not None]
    return sum(known) if known else None


def is_for_workers(name: str) -> bool:
    """Whether workers may consume a queue: it is for neither events nor remote control, nor are tasks delayed in it.

    A quarantine is listed, and what is noted of it in a queue beside it is not.
    """
    others = name.startswith(("celeryev.", "amq.gen-")) or name.endswith((".pidbox", "celery_delayed_*"))
    noted = name.endswith(LEDGER) and is_quarantine(name.removesuffix(LEDGER))
    return not (others or noted or ".cloche." in name or _LEVEL.fullmatch(name))
