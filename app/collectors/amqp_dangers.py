"""What may become of messages that are moved in RabbitMQ, and what somebody should know of it before and afterwards."""

from typing import Final

import amqp

from app.collectors.amqp import AmqpAddress
from app.collectors.amqp_guard import is_quarantine
from app.collectors.amqp_ledger import Ledger
from app.collectors.amqp_messages import nature_of
from app.collectors.clean import clean_word
from app.collectors.errors import BrokerError
from app.collectors.managed import Nature
from app.models.acts import Caution
from app.models.formats import number_of
from app.models.quarantines import quarantine_name

#: What of a policy would take messages out of a quarantine. One that bounds its length can't: what is too much is
#: refused there, and stays where it was.
_EATS: Final = ("message-ttl", "expires")
BEHIND: Final = (
    "RabbitMQ can't put messages in front of others: those that are put back go behind what came since, though before "
    "what is of a lower priority, where the queue has priorities. Their time to live, if they have one, begins anew."
)
_UNSEEN: Final = (
    "Whether a policy lets messages of a quarantine expire can't be seen without the management API (management_url)."
)
_UNBOUNDED: Final = (
    "A queue that is bounded (max-length) drops the oldest messages where more are put back than it has room for. "
    "Whether this one is can't be seen without the management API (management_url)."
)
_DOUBTFUL: Final = (
    "{} may also be in the queue: something broke off while they were moved. They stay in the quarantine, and are not "
    "put back. Nothing else is missing there, so it can be deleted then; or move them, to have them all the same."
)
SHAKEN: Final = (
    "RabbitMQ itself ended while messages were moved, and then has some again that it had given away: any of this "
    "quarantine may also be in the queue. So none is put back. Compare the two; then move the quarantine as a whole, "
    "or delete it."
)
_AGED: Final = (
    "RabbitMQ was started again since. If it was killed within moments of the purge, the queue may have messages again "
    "that are in this quarantine."
)


def dangers(address: AmqpAddress, name: str) -> list[Caution]:
    """What a policy would do to a quarantine of a queue, or to one that is named."""
    management = address.management
    if management is None:
        return [Caution(_UNSEEN)]
    quarantine = name if is_quarantine(name) else quarantine_name(name)
    try:
        policies = management.policies(quarantine)
    except BrokerError as error:
        return [Caution(f"{_UNSEEN} {error}")]
    finally:
        management.close()
    return [
        Caution(
            f"The policy {clean_word(policy.name)!r} would have messages expire in the quarantine {quarantine} "
            f"too, by its {bad[0]}. Make its pattern ({clean_word(policy.pattern)}) leave out such names.",
            grave=True,
        )
        for policy in policies
        if (bad := [key for key in _EATS if key in policy.definition])
    ]


def losses(address: AmqpAddress, queue: str, coming: int, waiting: int) -> list[Caution]:
    """What a queue would drop if so many messages are put back behind those that wait, as far as RabbitMQ tells."""
    management = address.management
    if management is None:
        return [Caution(_UNBOUNDED)]
    try:
        most = management.nature(queue).most
    except BrokerError as error:
        return [Caution(f"{_UNBOUNDED} {error}")]
    finally:
        management.close()
    if most is None or coming + waiting <= most:
        return []
    lost = number_of(coming + waiting - most, "message")
    return [
        Caution(
            f"The queue {clean_word(queue)} takes {number_of(most, 'message')}, and drops the oldest of more: put all "
            f"back, and {lost} would be lost. Put fewer back at a time, or raise its bound (max-length).",
            grave=True,
        )
    ]


def doubts(ledger: Ledger) -> list[Caution]:
    """What may be in two places, and what can't be told of it."""
    told = []
    if ledger.shaken:
        told.append(Caution(SHAKEN, grave=True))
    elif ledger.doubtful:
        told.append(Caution(_DOUBTFUL.format(number_of(len(ledger.doubtful), "message")), grave=True))
    if ledger.aged and not ledger.shaken:
        told.append(Caution(_AGED))
    return told


def nature_to_move(address: AmqpAddress, connection: amqp.Connection, queue: str) -> Nature:
    """What the queue is, and its quarantine is to be. Raises `BrokerError` where there can't be one."""
    nature = nature_of(connection, queue)
    if nature is None and (management := address.management) is not None:
        try:
            nature = management.nature(queue)
        finally:
            management.close()
    if nature is None:
        raise BrokerError(
            "permission",
            "It can't be told what kind of queue this is, so no quarantine can be made like it. Give this user the "
            "right to configure the queue, or the address of the management API (management_url).",
        )
    if nature.kind not in ("classic", "quorum"):
        raise BrokerError("protocol", f"What is in a queue of the kind “{nature.kind}” can't be taken out of it.")
    return nature
