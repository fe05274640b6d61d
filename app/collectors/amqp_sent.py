"""What an act published to RabbitMQ: written down in a queue beside it, in one transaction with each thing that it is.

The *sent ledger* is a durable queue of ours, `SENT` and the act's id. A message and its line in there are published in
one transaction, which RabbitMQ carries out when it has all of it, or forgets. So whoever publishes may die at any
moment: what the ledger says was published, and nothing else was. Three things remain, and are told:

* A message that no queue takes, or that a full one refuses, is told by RabbitMQ only after its line was written, and a
  second line then takes the first back. Of the last message before a crash it may not be known whether it was taken:
  it was not `heard`. Each line names the one before it that was.
* Where RabbitMQ itself ends in the middle, one of both queues may have kept what is of one transaction, and the other
  not. That it was started again is known by a message in the ledger that does not outlive it: then the one message
  that was next may have been sent, though no line says so (`Before.doubtful`).
* A connection that broke may have said more than was answered. It holds an exclusive queue, which RabbitMQ takes away
  when it is done with all that was said. Who comes next waits for that.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Literal

import amqp
import msgspec
from amqp import spec

from app.collectors.access import Grant
from app.collectors.amqp import FAILURES, AmqpAddress, amqp_error
from app.collectors.amqp_guard import LOCK, Allows, Guard, Signature
from app.collectors.amqp_publish import NotTaken, Publication, Transactions
from app.collectors.errors import BrokerError
from app.collectors.publisher import SENT

#: Seconds after which a ledger that nobody used goes by itself, and after which one that is in use is said to be.
_LASTS: Final = 86_400
_USED: Final = 3_600.0
_ARGUMENTS: Final = {"x-queue-type": "classic", "x-expires": _LASTS * 1_000}
#: Seconds to wait for lines that somebody held who died.
_LATE: Final = 2.0
_PAUSE: Final = 0.05

#: The delivery modes of what outlives RabbitMQ, and of what does not.
_PERSISTENT: Final = 2
_TRANSIENT: Final = 1

_BUSY: Final = (
    "This act is carried out by somebody else, or was over a connection that broke, for which RabbitMQ still waits. "
    "Try again in a minute."
)
_STRANGE: Final = "What this act sent before can't be read: somebody else wrote into its ledger, or takes from it."

#: What is known of a message from before: nothing, so that it was not sent; that it was, and whether that was *heard*;
#: or that it *may* have been.
Before = Literal["nothing", "heard", "unheard", "maybe"]


def publishing(act: str, grant: Grant, takes: Callable[[str, str], bool]) -> Guard:
    """Publishing where ``takes`` says, by exchange and routing key, and into the ledger of an act, while it is granted.

    RabbitMQ has to give back what leads nowhere. Nothing is acknowledged; what is made and deleted is the ledger.
    """
    ledger = f"{SENT}{act}"

    def publishes(arguments: Sequence[Any]) -> bool:
        _, exchange, routing_key, mandatory, _ = arguments
        return bool(mandatory) and ((exchange, routing_key) == ("", ledger) or takes(exchange, routing_key))

    def makes(arguments: Sequence[Any]) -> bool:
        _, name, _, durable, exclusive, auto_delete, _, table = arguments
        if exclusive:
            return name == ledger + LOCK and not durable
        return name == ledger and durable and not auto_delete and "x-expires" in table

    def declares(arguments: Sequence[Any]) -> bool:
        return bool(arguments[2]) or grant.over(makes)(arguments)

    allowed: dict[Signature, Allows] = {
        spec.Queue.Declare: declares,
        spec.Queue.Delete: grant.over(lambda arguments: arguments[1] == ledger),
        spec.Basic.Get: grant.over(lambda arguments: arguments[1] == ledger and not arguments[2]),
        spec.Basic.Publish: grant.over(publishes),
        spec.Tx.Select: grant.over(lambda _: True),
        spec.Tx.Commit: grant.over(lambda _: True),
    }
    return Guard(allowed)


class _Line(msgspec.Struct):
    """A line: its number, from 1 on; what it is ``about``; and of which line before it is known how that went.

    Where it is not ``taken``, it takes back the line about the same.
    """

    number: int
    about: str
    heard: str = ""
    taken: bool = True


class SentLedger:
    """One connection that publishes what an act sends; not thread-safe. Raises `BrokerError`."""

    def __init__(self, address: AmqpAddress, act: str, guard: Guard) -> None:
        self.name = f"{SENT}{act}"
        #: What it said before: by what each was about, whether it was heard how that went.
        self.lines: dict[str, bool] = {}
        self._address = address
        self._said = Transactions(address, guard, "cloche-acts")
        self._number = 0
        self._heard = ""
        #: Whether RabbitMQ ended since something was sent, and whether what tells that is in the ledger.
        self._shaken = self._is_marked = False
        self._used = time.monotonic()
        with self._words():
            self._open()

    def before(self, about: str) -> Before:
        """What is known of a thing from before. Where nothing is, it is to be sent."""
        if about in self.lines:
            return "heard" if self.lines[about] else "unheard"
        return "maybe" if self._shaken else "nothing"

    def carry_out(self, about: str, messages: Sequence[Publication]) -> None:
        """Publish messages, and write that down, all at once.

        Raises `NotTaken` where RabbitMQ does not take one of them; others may be taken all the same then.
        """
        with self._words():
            self._use()
            written = self._written(_Line(self._number + 1, about, self._heard))
            try:
                self._said.carry_out([*messages, written, *self._mark()])
            except NotTaken as error:
                if not error.forgotten:
                    self._take_back(about)
                raise
        self._number += 1
        self._heard, self._shaken, self._is_marked = about, False, True

    def there(self, queue: str) -> bool:
        """Whether there is such a queue."""
        with self._words():
            return self._said.length(queue) is not None

    def delete(self) -> None:
        """Forget all of it: the act is done, and that is written down."""
        with self._words():
            self._said.delete(self.name)

    def close(self) -> None:
        """Close the connection."""
        with suppress(*FAILURES):
            self._said.close()

    def _open(self) -> None:
        if not self._said.lock(self.name + LOCK):
            raise BrokerError("busy", _BUSY)
        is_new = self._said.length(self.name) is None
        self._said.declare(self.name, _ARGUMENTS)
        if is_new:
            self._said.carry_out(self._mark())
            self._is_marked = True
        else:
            self._read()

    def _read(self) -> None:
        """Learn what it says, once all of its lines are there: what a broken connection held comes back a little late.

        They are told in the order in which they were written; the message that does not outlive RabbitMQ is empty.
        """
        deadline = time.monotonic() + _LATE
        while True:
            bodies = self._said.look(self.name)
            lines = sorted((_line(body) for body in bodies if body), key=lambda line: line.number)
            if [line.number for line in lines] == [*range(1, len(lines) + 1)]:
                break
            if time.monotonic() > deadline:
                raise BrokerError("protocol", _STRANGE)
            time.sleep(_PAUSE)
        self._is_marked = b"" in bodies
        self._shaken = not self._is_marked
        self._number = len(lines)
        for line in lines:
            if line.taken:
                self.lines[line.about] = False
            else:
                self.lines.pop(line.about, None)
            if line.heard in self.lines:
                self.lines[line.heard] = True

    def _written(self, line: _Line) -> Publication:
        return amqp.Message(msgspec.json.encode(line), delivery_mode=_PERSISTENT), "", self.name

    def _mark(self) -> list[Publication]:
        """What does not outlive RabbitMQ, where there is none in the ledger."""
        return [] if self._is_marked else [(amqp.Message("", delivery_mode=_TRANSIENT), "", self.name)]

    def _take_back(self, about: str) -> None:
        """Say that what was written down was not taken after all."""
        try:
            self._said.carry_out([self._written(_Line(self._number + 2, about, self._heard, taken=False))])
        except NotTaken as error:  # it was the ledger that was not there
            raise BrokerError("protocol", _STRANGE) from error
        self._number += 2

    def _use(self) -> None:
        """Say that the ledger is in use: what is published to it does not count for RabbitMQ."""
        if time.monotonic() - self._used > _USED:
            self._used = time.monotonic()
            self._said.declare(self.name, _ARGUMENTS)

    @contextmanager
    def _words(self) -> Iterator[None]:
        """Failures in words; nothing more can be done over this connection then."""
        try:
            yield
        except (*FAILURES, BrokerError) as error:
            with suppress(*FAILURES):
                self._said.close(broken=True)
            raise amqp_error(error, self._address) from error


def _line(body: bytes) -> _Line:
    try:
        return msgspec.json.decode(body, type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokerError("protocol", _STRANGE) from error
