"""Rights in RabbitMQ: the least that a user needs for each access mode, as the command that grants them."""

import re
import shlex

import msgspec

from app.collectors.amqp import AmqpAddress
from app.collectors.amqp_guard import listener
from app.collectors.clean import clean_word
from app.models.profiles import Mode


class Rights(msgspec.Struct, frozen=True):
    """Patterns of the names of queues and exchanges that a user may configure, write to, and read from."""

    configure: list[str]
    write: list[str]
    read: list[str]


def needed(address: AmqpAddress, mode: Mode) -> Rights:
    """What an access mode needs.

    Depths of queues are told to any user of the virtual host: no right on them is needed before messages are looked at.
    """
    ours = f"^{re.escape(listener(address.event_exchange))}"
    events = f"^{re.escape(address.event_exchange)}$"
    mailboxes = re.escape(f"{address.control_exchange}.pidbox")
    # The exchange that workers answer to, and our queues there.
    answers = rf"(^|\.)reply\.{mailboxes}$"
    if mode == "passive":
        return Rights([ours], [ours], [ours, events])
    # Exchanges that are not there yet are made as Celery makes them.
    read = [ours, events, answers] if mode == "observe" else [".*"]
    return Rights([ours, events, answers], [ours, answers, f"^{mailboxes}$"], read)


def grant(address: AmqpAddress, mode: Mode) -> str:
    """The ``rabbitmqctl`` command that lets the user of an address do what Cloche does in an access mode."""
    rights = needed(address, mode)
    words = ["rabbitmqctl", "set_permissions", "-p", clean_word(address.virtual_host), clean_word(address.username)]
    return shlex.join([*words, *map("|".join, (rights.configure, rights.write, rights.read))])
