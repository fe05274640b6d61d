"""Questions to workers, one after the other in a thread of their own: what they are, what they have, who is mute.

Nothing is asked twice at a time; what is learnt goes into the collector's inbox.
"""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from app.collectors.control import Control
from app.collectors.errors import BrokerError
from app.collectors.inspector import (
    from_active,
    from_active_queues,
    from_query,
    from_reserved,
    from_scheduled,
    from_stats,
    takes_json_only,
)
from app.collectors.pollers import Trouble
from app.models.arguments import to_json
from app.models.doubts import Held

#: Seconds for answers that may be long, and for one that only has to come.
LONG: Final = 5.0
SHORT: Final = 1.0
#: Characters of the arguments of one task that are kept at most.
MAX_ARGUMENTS: Final = 64 << 10


class Inspection(msgspec.Struct):
    """What a worker answered."""

    hostname: str
    learnt: Mapping[str, Any]


class WhoHas(msgspec.Struct):
    """Which tasks each worker has that answered in full, by its host name; asked at ``asked``."""

    asked: float
    held: dict[str, dict[str, Held]]


class Reached(msgspec.Struct):
    """Whether the broker still has a connection of workers that are mute."""

    reachable: dict[str, bool]


class CalledWith(msgspec.Struct):
    """What tasks are called with, exactly, by their ids: an array and an object, as JSON."""

    told: dict[str, tuple[str, str]]


Answer = Inspection | WhoHas | Reached | CalledWith
Put = Callable[[Answer | Trouble], None]


class Inquiry(threading.Thread):
    """Asks workers; each kind of question is under way only once."""

    def __init__(self, control: Control, put: Put) -> None:
        super().__init__(name="inquiry", daemon=True)
        self._control = control
        self._put = put
        self._asked: queue.SimpleQueue[tuple[str, Callable[[], None]] | None] = queue.SimpleQueue()
        self._waiting: set[str] = set()

    def inspect(self, hostnames: Sequence[str]) -> None:
        """Ask these workers for their pool and queues."""
        self._ask("inspect", lambda: self._inspect(hostnames))

    def who_has(self, hostnames: Sequence[str], now: float) -> None:
        """Ask these workers which tasks they have."""
        self._ask("who has", lambda: self._who_has(hostnames, now))

    def called(self, tasks: Mapping[str, Sequence[str]]) -> None:
        """Ask workers, by host name, what these tasks of theirs are called with."""
        self._ask("called", lambda: self._called(tasks))

    def reach(self, hostnames: Sequence[str]) -> None:
        """Ask the broker whether workers that are mute are still connected."""
        self._ask("reach", lambda: self._put(Reached(self._control.present(hostnames, SHORT))))

    @property
    def inspecting(self) -> bool:
        """Whether an inspection is under way."""
        return "inspect" in self._waiting

    def stop(self) -> None:
        """End the thread, even while it waits for answers."""
        self._control.give_up()
        self._asked.put(None)

    def run(self) -> None:
        """Ask until stopped."""
        while (asked := self._asked.get()) is not None:
            kind, question = asked
            trouble: BrokerError | None = None
            try:
                question()
            except BrokerError as error:
                trouble = error
            self._waiting.discard(kind)
            self._put(Trouble("workers", trouble))
        self._control.close()

    def _ask(self, kind: str, question: Callable[[], None]) -> None:
        if kind not in self._waiting:
            self._waiting.add(kind)
            self._asked.put((kind, question))

    def _inspect(self, hostnames: Sequence[str]) -> None:
        learnt: dict[str, dict[str, Any]] = {hostname: {} for hostname in hostnames}
        for hostname, answer in self._control.ask("stats", hostnames).items():
            learnt.get(hostname, {}).update(from_stats(answer))
        for hostname, answer in self._control.ask("active_queues", hostnames).items():
            learnt.get(hostname, {}).update(from_active_queues(answer))
        for hostname, fields in learnt.items():
            self._put(Inspection(hostname, fields))

    def _who_has(self, hostnames: Sequence[str], asked: float) -> None:
        # A task goes from the first of these lists to the last: asked for in this order it is found in one of them.
        scheduled = self._control.ask("scheduled", hostnames, timeout=LONG)
        reserved = self._control.ask("reserved", list(scheduled), timeout=LONG) if scheduled else {}
        arguments = {"safe": True}
        active = self._control.ask("active", list(reserved), arguments=arguments, timeout=LONG) if reserved else {}
        held: dict[str, dict[str, Held]] = {}
        # Whoever answers may name anybody.
        for hostname in scheduled.keys() & reserved.keys() & active.keys():
            told = (
                from_scheduled(scheduled[hostname]), from_reserved(reserved[hostname]), from_active(active[hostname]),
            )  # fmt: skip
            if None not in told:
                held[hostname] = {uuid: each for tasks in told for uuid, each in (tasks or {}).items()}
        self._put(WhoHas(asked, held))

    def _called(self, tasks: Mapping[str, Sequence[str]]) -> None:
        # What came in another form than JSON may be told as something else than it is, or cost the worker an error.
        told = self._control.ask("conf", list(tasks), arguments={"with_defaults": True}, timeout=LONG)
        sure = [hostname for hostname in tasks if takes_json_only(told.get(hostname))]
        ids = [uuid for hostname in sure for uuid in tasks[hostname]]
        answers = self._control.ask("query_task", sure, arguments={"ids": ids}, timeout=LONG) if ids else {}
        known: dict[str, tuple[str, str]] = {}
        for hostname in sure:
            for uuid, each in from_query(answers.get(hostname)).items():
                args, kwargs = to_json(each.args), to_json(each.kwargs)
                if uuid in tasks[hostname] and len(args) + len(kwargs) <= MAX_ARGUMENTS:
                    known[uuid] = (args, kwargs)
        self._put(CalledWith(known))
