"""Puts messages of a file back into a queue of RabbitMQ, with all properties that they had; see `amqp_sent`."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

from app.collectors.access import Grant
from app.collectors.amqp import AmqpAddress
from app.collectors.amqp_content import sendable, unpacked
from app.collectors.amqp_publish import NotTaken, RawMessage
from app.collectors.amqp_sent import SentLedger, publishing
from app.collectors.errors import BrokerError
from app.collectors.publisher import Route, unroutable

_MAYBE: Final = (
    "RabbitMQ ended while messages were put back: the first of those that were put back now may be in the queue twice."
)
_UNHEARD: Final = (
    "Whether the queue took the message that was under way when this was broken off was not heard; it was if it is not "
    "full."
)


class AmqpFiller:
    """See `Filler`: one message at a time, since RabbitMQ does not tell which of several a full queue refused."""

    at_once: Final = 1

    def __init__(
        self, address: AmqpAddress, act: str, queue: str, grant: Grant, *, on_command: Callable[[int], None]
    ) -> None:
        self._address = address
        self._act = act
        self._queue = queue
        self._guard = publishing(act, grant, lambda exchange, key: (exchange, key) == ("", queue))
        self._on_command = on_command
        self._is_doubled = False

    def reached(self) -> int:
        return max(map(int, self._ledger.lines), default=0)

    def fill(self, first: int, after: int, messages: Sequence[bytes]) -> None:
        del first
        self._on_command(1)
        self._is_doubled = self._is_doubled or self._ledger.before(str(after)) == "maybe"
        parts = [unpacked(raw) for raw in messages]
        sent = [RawMessage(sendable(properties, self._address.username), body) for properties, body in parts]
        try:
            self._ledger.carry_out(str(after), [(each, "", self._queue) for each in sent])
        except NotTaken as error:
            if error.full:
                raise BrokerError("full", f"{error} Make room there, and go on with this act.") from error
            raise BrokerError("absent", str(unroutable(Route("", self._queue)))) from error

    @property
    def doubt(self) -> str:
        if "_ledger" not in self.__dict__:
            return ""
        lines = self._ledger.lines
        is_unheard = bool(lines) and not lines[str(self.reached())]
        return " ".join(filter(None, (_UNHEARD if is_unheard else "", _MAYBE if self._is_doubled else "")))

    def settle(self) -> None:
        self._on_command(1)
        self._ledger.delete()

    def close(self) -> None:
        if "_ledger" in self.__dict__:
            self._ledger.close()

    @cached_property
    def _ledger(self) -> SentLedger:
        return SentLedger(self._address, self._act, self._guard)
