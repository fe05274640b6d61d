"""What is in a broker's queues now, for somebody who asks once."""

import difflib
import time
from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

from app.collectors.broker import Broker
from app.collectors.clean import clean_word
from app.collectors.errors import BrokerError
from app.collectors.inspector import from_active_queues
from app.collectors.queues import Head
from app.models.profiles import Mode
from app.models.records import Queue

#: Seconds that queues are looked for, and between two looks at the broker.
PATIENCE: Final = 10.0
PAUSE: Final = 0.2
#: Seconds that workers have to answer.
ANSWER: Final = 2.0
#: Names that are offered in place of one that is not there.
NEAR: Final = 3


class Listing(msgspec.Struct):
    """Queues by name, the oldest messages of some, and whether all were found that can be.

    ``asked`` is whether workers answered which queues they consume; ``troubles`` is what the broker refused. ``hint``
    is how to see more than queues that somebody names, where the broker has another interface that tells.
    """

    queues: list[Queue]
    heads: dict[str, list[Head]]
    complete: bool
    asked: bool
    troubles: list[str]
    hint: str = ""


def list_queues(broker: Broker, mode: Mode, names: Iterable[str] = ()) -> Listing:
    """Every queue that can be found, those of ``names`` in any case. Raises `BrokerError`."""
    consumed, troubles = _consumed(broker, mode)
    heads: dict[str, list[Head]] = {}
    found: dict[str, Queue] = {}
    looking = broker.queues([*names, *(consumed or ())], on_command=lambda _number: None)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            poll = looking.poll()
            # Where there are many, not all of them are asked for each time.
            found |= {queue.name: queue for queue in poll.queues}
            heads |= poll.heads or {}
            if poll.complete or time.monotonic() > deadline:
                break
            time.sleep(PAUSE)
    finally:
        looking.close()
    for queue in found.values():
        if queue.consumers is None and consumed is not None:
            queue.consumers = consumed[queue.name]
    troubles += [str(error) for error in poll.troubles.values() if error is not None]
    queues = [queue for _, queue in sorted(found.items()) if not queue.gone]
    hint = "" if "management" in poll.troubles else broker.remedies.describe
    return Listing(queues, heads, poll.complete, consumed is not None, troubles, hint)


def missing(broker: Broker, mode: Mode, name: str) -> BrokerError | None:
    """What to say where there is no such queue: none that can be found has the name. Raises `BrokerError`."""
    found = list_queues(broker, mode)
    names = [queue.name for queue in found.queues]
    if name in names or not found.complete:
        return None
    near = difflib.get_close_matches(name, names, n=NEAR)
    consumed = " and no worker consumes it" if found.asked else ""
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    return BrokerError(
        "absent",
        f"The broker {broker.shown} has no queue {clean_word(name)!r}: nothing waits there, no exchange leads "
        f"to it{consumed}.{meant}",
    )


def _consumed(broker: Broker, mode: Mode) -> tuple[Counter[str] | None, list[str]]:
    """How many workers consume each queue; None where none was asked or answers."""
    control = None if mode == "passive" else broker.control(mode, on_command=lambda _number: None)
    if control is None:
        return None, []
    try:
        answers = control.ask("active_queues", timeout=ANSWER)
    except BrokerError as error:
        return None, [f"Workers could not be asked what they consume: {error}"]
    finally:
        control.close()
    told = [from_active_queues(answer).get("queues") for answer in answers.values()]
    queues = [set(each) for each in told if each is not None]
    return (Counter(name for each in queues for name in each) if queues else None), []
