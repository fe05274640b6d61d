"""Remote control of workers, whatever the broker: what may be asked, how it is worded, and which answers count.

A malformed request can kill workers (PROTOCOL 0), so requests are built from this module's types only.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Self

import msgspec

from app.models.profiles import Mode

#: What may be asked, closed: `election` for one kills a lone worker.
Command = Literal[
    "ping", "stats", "active_queues", "active", "reserved", "scheduled", "query_task", "conf",
    "enable_events", "disable_events",
]  # fmt: skip
_ASKING: Final = frozenset({"ping", "stats", "active_queues", "active", "reserved", "scheduled", "query_task", "conf"})
_CHANGING: Final = frozenset({"enable_events", "disable_events"})
_ALLOWED: Final[dict[Mode, frozenset[str]]] = {
    "passive": frozenset(),
    "observe": _ASKING,
    "operate": _ASKING | _CHANGING,
}
#: Arguments that a command takes; the others take none.
_ARGUMENTS: Final = {"active": {"safe"}, "query_task": {"ids"}, "conf": {"with_defaults"}}
#: Bytes of an answer that are read at most.
MAX_REPLY: Final = 4 << 20
#: Seconds to wait for an answer at a time, so that one who gives up is not kept waiting.
PATIENCE: Final = 0.5


class Forbidden(Exception):
    """The connection's access mode does not allow a command, or the command does not take such arguments."""


class _ReplyTo(msgspec.Struct):
    exchange: str
    routing_key: str


class Request(msgspec.Struct):
    """What ``kombu.pidbox`` sends to workers, as its message's body."""

    method: str
    arguments: Mapping[str, Any]
    destination: list[str] | None
    pattern: None
    matcher: None
    ticket: str
    reply_to: _ReplyTo

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
        return cls(command, arguments, to, None, None, str(uuid.uuid4()), _ReplyTo(exchange, reply_key))

    def headers(self, deadline: float) -> dict[str, Any]:
        """The message's headers; a worker that sees it long after the (monotonic) deadline does not act on it."""
        return {"clock": 1, "expires": time.time() + max(1.0, deadline - time.monotonic())}


class Control:
    """Asks workers over one connection. Not thread-safe, except for `give_up`."""

    def __init__(self, mode: Mode, *, on_command: Callable[[int], None]) -> None:
        self._allowed = _ALLOWED[mode]
        self._on_command = on_command
        self._stopping = threading.Event()

    def give_up(self) -> None:
        """Wait for no more answers; may be called from any thread."""
        self._stopping.set()

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        raise NotImplementedError

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
        return self._ask(command, arguments, destination, timeout)

    def allow(self, command: Command) -> None:
        """Raises `Forbidden` where the access mode does not allow a command."""
        if command not in self._allowed:
            raise Forbidden(command)

    def present(self, hostnames: Sequence[str], timeout: float = 1.0) -> dict[str, bool]:
        """Whether the broker still has a connection of workers that do not speak, by host name; costs a ``ping``.

        Raises `Forbidden` and `BrokerError` as `ask` does.
        """
        raise NotImplementedError

    def _ask(
        self, command: str, arguments: Mapping[str, Any], destination: Sequence[str] | None, timeout: float
    ) -> dict[str, Any]:
        """Answers that came in time, which begins when a connection stands. Raises `BrokerError`."""
        raise NotImplementedError


def reply_exchange(control_exchange: str) -> str:
    """Where workers answer to, as kombu names it."""
    return f"reply.{control_exchange}.pidbox"


def read_answer(body: bytes, headers: Mapping[str, Any], ticket: str) -> dict[str, Any]:
    """A worker's answer by its host name; empty where a message is not an answer to ``ticket``."""
    if len(body) > MAX_REPLY or headers.get("ticket") != ticket:
        return {}
    try:
        try:
            return msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError:
            # Answers to `conf` hold Infinity, and arguments NaN and halves of surrogate pairs, which are no JSON.
            answer = json.loads(body)
            return answer if isinstance(answer, dict) else {}
    except (ValueError, RecursionError):
        return {}
