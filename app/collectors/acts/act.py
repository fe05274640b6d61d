"""What every act has in common: it looks first, says what it would do, and then does exactly that, step by step."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from app.collectors.access import Access, Grant
from app.collectors.broker import Broker
from app.collectors.transport import RedisAddress
from app.models.acts import Item, Outcome, Plan, Wish
from app.models.history.errors import HistoryError
from app.models.history.reader import Reader

T = TypeVar("T")
W = TypeVar("W", bound=Wish)


class Impossible(Exception):
    """A wish can't be fulfilled as things are; a sentence why, and what to do."""


class Reach(msgspec.Struct, frozen=True):
    """What an act may use: a broker, the history of its connection where there is one, and what may be done now.

    ``keep_arguments`` is false where what tasks are called with is written nowhere. ``results`` is where results are
    kept, where that is known.
    """

    broker: Broker
    access: Access
    history: Path | None
    on_command: Callable[[int], None]
    keep_arguments: bool = True
    results: RedisAddress | None = None

    @contextmanager
    def reading(self) -> Iterator[Reader | None]:
        """The history, if there is one. Raises `Impossible` where it can't be read."""
        reader = None
        try:
            reader = Reader(self.history) if self.history is not None and self.history.is_file() else None
            yield reader
        except HistoryError as error:
            raise Impossible(str(error)) from error
        finally:
            if reader is not None:
                reader.close()

    def known(self, ask: Callable[[Reader], T]) -> T | None:
        """What the history answers where it only says more; None where there is none, or it can't be read."""
        try:
            with self.reading() as reader:
                return None if reader is None else ask(reader)
        except Impossible:
            return None


class Step(msgspec.Struct, frozen=True):
    """A piece of an act that was done: ``items`` are told one by one, ``others`` were done besides and are counted."""

    items: list[Item] = []
    others: int = 0


class Act(ABC, Generic[W]):
    """One wish on its way to being fulfilled. Used by one thread at a time, but for `give_up`.

    Its plan is what `look` found; `work` does that and nothing else, each step within 100 ms or so, that it can be
    stopped between two of them.
    """

    #: Things that are done in a second where nobody wants it otherwise; None where that is not up to anybody.
    rate: float | None = None
    #: Whether it is what is left of an act that was broken off.
    resumed = False

    def __init__(self, wish: W, reach: Reach) -> None:
        self.wish = wish
        self.reach = reach

    @abstractmethod
    def look(self) -> Plan:
        """What would be done now; nothing is changed by it. Raises `BrokerError` and `Impossible`."""

    @abstractmethod
    def still(self) -> int:
        """How many things there are now to which the plan would be applied. Raises `BrokerError` and `Impossible`."""

    @abstractmethod
    def work(self, act: str, grant: Grant, done: frozenset[str]) -> Iterator[Step]:
        """Do what was planned, but for the things that were ``done`` before a crash.

        ``act`` is the id that this act has in the audit log. Raises `BrokerError` and `Impossible`.
        """

    @property
    def resolved(self) -> Wish:
        """The wish with everything named that it is about, so that it means the same after a crash."""
        return self.wish

    def told(self, outcome: Outcome) -> Outcome:
        """An outcome with a sentence on what was done, and how to undo it."""
        return outcome

    def settle(self) -> None:
        """Forget what was kept for the case of a crash: that all is done is written down. Raises `BrokerError`."""

    def give_up(self) -> None:
        """Wait for nothing any more; may be called from any thread."""

    def close(self) -> None:
        """Close connections."""
