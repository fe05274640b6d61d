"""The transfer of messages from one queue of RabbitMQ to another, piece by piece; how, is said in `amqp_carrier`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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


def transferred(
    carrier: Carrier,
    ledger: Ledger,
    intake: Intake,
    target: str,
    remade: Remake,
    check: Callable[[list[Carried]], None] | None,
    on_command: Callable[[int], None],
) -> Iterator[list[Carried]]:
    """Pieces that were moved to the ``target``: what comes in, as it is ``remade``.

    On the way into a quarantine, ``check`` looks whether the copies are there, before what they are of goes; and the
    ledger counts them. On the way out of one, it counts them down. Raises `BrokerError`.
    """

    def ready(taken: list[Taken]) -> list[Carried]:
        piece = [carried for each in taken if (carried := remade(each)) is not None]
        intake.keep(len(taken) - len(piece))
        return piece

    following: list[Carried] = []
    while True:
        piece = following
        while not piece and (taken := intake.take()):
            piece = ready(taken)
        if not piece:
            return
        with _under_way(carrier):
            for each in piece:
                carrier.publish(target, each.sent, each.taken.body)
            ledger.write((each.id for each in piece), len(piece) if check else 0)
            carrier.begin_commit()
            following = ready(intake.ahead())
            carrier.end_commit()
            if check:
                check(piece)
            intake.acknowledging(len(piece))
            carrier.acknowledge(each.taken.tag for each in piece)
            ledger.doubtful -= {each.id for each in piece}
            ledger.write((), 0 if check else -len(piece))
            carrier.begin_commit()
        on_command(2 * len(piece) + 4)
        try:
            # What is left of it RabbitMQ does whatever happens here.
            yield piece
        except GeneratorExit:
            # No more is wanted. Where that can't be noted, the ledger says less good than is.
            with suppress(BrokerError, *FAILURES):
                carrier.end_commit()
                ledger.close()
            raise
        with _under_way(carrier):
            carrier.end_commit()


@contextmanager
def _under_way(carrier: Carrier) -> Iterator[None]:
    """Say of what goes wrong what becomes of the messages that are under way."""
    try:
        yield
    except (*FAILURES, BrokerError) as error:
        said = carrier.translate(error)
        raise BrokerError(said.fault, f"{said} {_UNDER_WAY}") from error
