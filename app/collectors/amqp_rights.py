"""Rights in RabbitMQ: the least that a user needs for each access mode, as the command that grants them."""

import re
import shlex

from app.collectors.amqp import AmqpAddress
from app.collectors.amqp_guard import listener
from app.collectors.clean import clean_word
from app.models.profiles import Mode


def grant(address: AmqpAddress, mode: Mode) -> str:
    """The ``rabbitmqctl`` command that lets the user of an address do what Cloche does in an access mode.

    Depths of queues are told to any user of the virtual host; no right on them is needed before messages are looked at.
    """
    ours = f"^{re.escape(listener(address.event_exchange))}"
    events = f"^{re.escape(address.event_exchange)}$"
    mailboxes = re.escape(f"{address.control_exchange}.pidbox")
    # The exchange that workers answer to, and our queues there.
    answers = rf"(^|\.)reply\.{mailboxes}$"
    configure, write, read = [ours], [ours], [ours, events]
    if mode != "passive":
        # Exchanges that are not there yet are made as Celery makes them.
        configure += [events, answers]
        write += [answers, f"^{mailboxes}$"]
        read += [answers]
    if mode == "operate":
        read = [".*"]
    words = ["rabbitmqctl", "set_permissions", "-p", clean_word(address.virtual_host), clean_word(address.username)]
    return shlex.join([*words, *("|".join(each) for each in (configure, write, read))])
