"""Remote control of workers, whatever the broker: what is asked and told, how it is worded, and which answers count.

A malformed request can kill workers (PROTOCOL 0), so requests are built from types only; see `orders`.
"""

import json
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Self

import msgspec

from app.collectors.access import Grant
from app.collectors.clean import clean_text, clean_word
from app.collectors.orders import QUESTIONS, Command, Forbidden, Order, Shutdown, worded
from app.models.profiles import Mode

__all__ = ["Answer", "Command", "Control", "Forbidden"]

#: Arguments that a question takes; the others take none.
_ARGUMENTS: Final = {
    "active": {"safe"}, "query_task": {"ids"}, "conf": {"with_defaults"}, "registered": {"taskinfoitems"},
}  # fmt: skip
#: Questions whose answers hold what tasks are called with.
EXACT: Final = ("query_task",)
#: Bytes of an answer that are read at most.
MAX_REPLY: Final = 4 << 20
#: Seconds to wait for an answer at a time, so that one who gives up is not kept waiting.
PATIENCE: Final = 0.1
#: Seconds for workers to answer what they are told.
ANSWERED: Final = 2.0
#: Characters of an answer that are shown, and names of strangers that are.
MAX_TOLD: Final = 300
MOST_STRANGERS: Final = 20


class ReplyTo(msgspec.Struct):
    """Where a worker is to answer to."""

    exchange: str
    routing_key: str


class Request(msgspec.Struct, omit_defaults=True):
    """What ``kombu.pidbox`` sends to workers, as its message's body; without a ticket nobody answers."""

    method: str
    arguments: Mapping[str, Any]
    destination: list[str] | None
    pattern: None
    matcher: None
    ticket: str = ""
    reply_to: ReplyTo | None = None

    @classmethod
    def of(
        cls,
        command: str,
        arguments: Mapping[str, Any],
        destination: Sequence[str] | None,
        exchange: str,
        reply_key: str,
    ) -> Self:
        """A request under a new ticket, to be answered by way of an exchange and a routing key."""
        to = None if destination is None else list(destination)
        return cls(command, arguments, to, None, None, str(uuid.uuid4()), ReplyTo(exchange, reply_key))

    def unanswered(self) -> Self:
        """The same, where no answer is wanted."""
        return msgspec.structs.replace(self, ticket="", reply_to=None)

    def headers(self, deadline: float) -> dict[str, Any]:
        """The message's headers, as kombu has them. No worker heeds ``expires``: one that wakes up late acts late."""
        return {"clock": 1, "expires": time.time() + max(1.0, deadline - time.monotonic())}


class Answer(msgspec.Struct, frozen=True):
    """What a worker answered to what it was told.

    ``done`` is None where no answer came: it may still do it. Who is not ``known`` was not expected to answer, and does
    not count.
    """

    host: str
    done: bool | None
    text: str
    known: bool = True


class Hearing:
    """Takes answers to one request: one of each worker counts, in whatever order and however often they come.

    ``expected`` are those whose answers count; None where anybody's do. ``strangers`` are others who answered, some of
    them by name.
    """

    def __init__(self, expected: Collection[str] | None) -> None:
        self.heard: set[str] = set()
        self.strangers: set[str] = set()
        self._expected = None if expected is None else frozenset(expected)

    @property
    def nobody(self) -> bool:
        """Whether no answer is wanted."""
        return self._expected is not None and not self._expected

    @property
    def silent(self) -> list[str]:
        """Who was expected to answer and did not."""
        return sorted((self._expected or frozenset()) - self.heard)

    def complete(self, listening: int | None) -> bool:
        """Whether all answered: those who were expected, and in any case as many as listen, where that is known."""
        everybody = listening is not None and len(self.heard) >= listening
        return everybody or (self._expected is not None and self.heard >= self._expected)

    def take(self, answers: Mapping[str, Any]) -> tuple[str, Any] | None:
        """An answer by its host name, if it counts. A real one is of one worker."""
        if len(answers) != 1:
            return None
        ((host, value),) = answers.items()
        if self._expected is not None and host not in self._expected:
            if len(self.strangers) < MOST_STRANGERS:
                self.strangers.add(host)
            return None
        if host in self.heard or value is None:
            return None  # to nothing that is asked or told here, nothing is an answer
        self.heard.add(host)
        return host, value


class Control(ABC):
    """Asks workers over one connection, and tells them what to do under a ``grant``. Not thread-safe but `give_up`."""

    def __init__(self, mode: Mode, *, on_command: Callable[[int], None], grant: Grant | None = None) -> None:
        if grant is not None and mode != "operate":
            raise Forbidden(f"Nothing is told to workers in the access mode {mode}.")
        self._asks = mode != "passive"
        self._grant = grant
        self._on_command = on_command
        self._stopping = threading.Event()
        #: How many listened to the last request; None where the broker does not say.
        self.listening: int | None = None

    def give_up(self) -> None:
        """Wait for no more answers; may be called from any thread."""
        self._stopping.set()

    @abstractmethod
    def close(self) -> None:
        """Close the connection; the next question opens another."""

    def ask(
        self,
        command: Command,
        destination: Sequence[str] | None = None,
        *,
        arguments: Mapping[str, Any] | None = None,
        timeout: float = 2.0,
    ) -> dict[str, Any]:
        """Answers by host name of the workers named (of all, if None) that came within ``timeout`` seconds.

        Raises `Forbidden` where the access mode does not allow the command, `BrokerError` when the broker can't be
        used.
        """
        arguments = arguments or {}
        self.allow(command)
        if not arguments.keys() <= _ARGUMENTS.get(command, set()):
            raise Forbidden(command)
        if destination is not None and not destination:
            return {}  # to name none is to name all, for kombu
        return dict(self._answers(command, arguments, destination, Hearing(destination), timeout))

    def tell(
        self, order: Order, destination: Sequence[str] | None, expected: Collection[str], *, timeout: float = ANSWERED
    ) -> Iterator[Answer]:
        """Tell the workers named (all, if None) to do something: what each answers, as it comes, and who is silent.

        Those ``expected`` to answer have ``timeout`` seconds for it all together. Raises `Forbidden` for what no worker
        should be told, `BrokerError` when the broker can't be used, or the grant has ended.
        """
        method, arguments = worded(order, destination)
        if self._grant is None:
            raise Forbidden(method)
        hearing = Hearing(() if isinstance(order, Shutdown) else expected)
        for host, value in self._answers(method, arguments, destination, hearing, timeout):
            yield _answer(host, value)
        if not hearing.nobody:
            yield from (Answer(host, None, "no answer yet; it may still do it") for host in hearing.silent)
            yield from (Answer(clean_word(host), None, "", known=False) for host in sorted(hearing.strangers))

    def allow(self, command: Command) -> None:
        """Raises `Forbidden` where the access mode does not allow a command."""
        if not self._asks or command not in QUESTIONS:
            raise Forbidden(command)

    @abstractmethod
    def present(self, hostnames: Sequence[str], timeout: float = 1.0) -> dict[str, bool]:
        """Whether the broker still has a connection of workers that do not speak, by host name; costs a ``ping``.

        Raises `Forbidden` and `BrokerError` as `ask` does.
        """

    @abstractmethod
    def _answers(
        self,
        command: str,
        arguments: Mapping[str, Any],
        destination: Sequence[str] | None,
        hearing: Hearing,
        timeout: float,
    ) -> Iterator[tuple[str, Any]]:
        """Answers that count, as they come in time, which begins when a connection stands. Raises `BrokerError`."""


def reply_exchange(control_exchange: str) -> str:
    """Where workers answer to, as kombu names it."""
    return f"reply.{control_exchange}.pidbox"


def read_answer(body: bytes, headers: Mapping[str, Any], ticket: str, *, exact: bool = False) -> dict[str, Any]:
    """A worker's answer by its host name; empty where a message is not an answer to ``ticket``.

    What is no JSON becomes null, unless it has to be ``exact``: then it stays as it is in Python.
    """
    if len(body) > MAX_REPLY or headers.get("ticket") != ticket:
        return {}
    try:
        try:
            return msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError:
            # Answers to `conf` hold Infinity, and arguments NaN and halves of surrogate pairs.
            answer = json.loads(body)
            if exact:
                return answer if isinstance(answer, dict) else {}
            return msgspec.json.decode(msgspec.json.encode(answer), type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return {}


def _answer(host: str, value: object) -> Answer:
    """What a worker means: it did it, or refuses."""
    fields = value if isinstance(value, Mapping) else {}
    refused = "error" in fields
    said = fields.get("error") if refused else fields.get("ok")
    return Answer(host, not refused, clean_text(said, MAX_TOLD) if isinstance(said, str) else "")
