"""The transfer of messages from one queue of RabbitMQ to another, piece by piece; how, is said in `amqp_carrier`."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

import msgspec

from app.collectors.amqp import FAILURES
from app.collectors.amqp_carrier import Carrier
from app.collectors.amqp_inbox import Taken
from app.collectors.amqp_intake import MOST, Intake
from app.collectors.amqp_ledger import Ledger
from app.collectors.errors import BrokerError

_UNDER_WAY: Final = (
    f"Nothing is lost. At most {MOST} messages that were under way may be in both places: which these are is noted in "
    "RabbitMQ, and Cloche does not put them back twice."
)


class Carried(msgspec.Struct):
    """A message on its way: how it was taken, its ``id`` in the quarantine, its own properties, and those to send."""

    taken: Taken
    id: str
    own: bytes
    sent: bytes


#: What becomes of a message that was taken; None to leave it where it is.
Remake = Callable[[Taken], Carried | None]


class Transfer:
    """Moves what comes in to the ``target``, as it is ``remade``.

    A transaction has the copies of a piece, that the piece before goes from where it was, and what the ledger says of
    both: so one piece at most is in two places, and the ledger tells which. On the way into a quarantine, ``check``
    looks whether the copies are there, before what they are of goes; and the ledger counts them. On the way out of one,
    it counts them down.
    """

    def __init__(
        self,
        carrier: Carrier,
        ledger: Ledger,
        intake: Intake,
        target: str,
        remade: Remake,
        check: Callable[[list[Carried]], None] | None,
        on_command: Callable[[int], None],
    ) -> None:
        self._carrier = carrier
        self._ledger = ledger
        self._intake = intake
        self._target = target
        self._remade = remade
        self._check = check
        self._on_command = on_command
        #: A piece whose copies are safe, but which is not acknowledged yet; and the one after it, if it came meanwhile.
        self._copied: list[Carried] = []
        self._following: list[Carried] = []
        #: Whether it is not known what became of a piece.
        self._in_doubt = False

    def pieces(self) -> Iterator[list[Carried]]:
        """Pieces that were moved. Where no more is wanted, the last one is moved as well. Raises `BrokerError`."""
        try:
            while piece := self._next():
                self._carry(piece)
                yield piece
        except GeneratorExit:
            self._finish()
            raise
        except (*FAILURES, BrokerError) as error:
            if self._in_doubt or not self._finish():
                said = self._carrier.translate(error)
                raise BrokerError(said.fault, f"{said} {_UNDER_WAY}") from error
            raise

    def _next(self) -> list[Carried]:
        """The next piece; none where there is none, and nothing is under way any more."""
        if self._copied and not self._following:
            self._carry([])
        piece, self._following = self._following, []
        while not piece and (taken := self._intake.take()):
            piece = self._ready(taken)
        return piece

    def _ready(self, taken: list[Taken]) -> list[Carried]:
        piece = [carried for each in taken if (carried := self._remade(each)) is not None]
        self._intake.keep(len(taken) - len(piece))
        return piece

    def _carry(self, piece: list[Carried], *, moving: bool = True) -> None:
        """A transaction; of an empty piece where none is to follow, or it did not come yet."""
        copied, change = self._copied, len(piece) if self._check else -len(self._copied)
        for each in piece:
            self._carrier.publish(self._target, each.sent, each.taken.body)
        if copied:
            self._intake.acknowledging(len(copied))
            self._carrier.acknowledge(each.taken.tag for each in copied)
            self._ledger.doubtful -= {each.id for each in copied}
        self._ledger.write((each.id for each in piece), change, moving=moving)
        self._carrier.begin_commit()
        self._in_doubt, self._copied = True, []
        self._following = self._ready(self._intake.ahead())
        self._carrier.end_commit()
        self._ledger.count(change)
        if self._check and piece:
            self._check(piece)
        self._in_doubt, self._copied = False, piece
        self._on_command(2 * len(piece) + 4)

    def _finish(self) -> bool:
        """Have the piece whose copies are safe go from where it was; whether nothing is under way any more.

        Where that can't be said, the ledger says less good than is. It is also done where no more may be begun.
        """
        with suppress(BrokerError, *FAILURES):
            if self._copied:
                self._carry([], moving=False)
        return not self._copied and not self._in_doubt
