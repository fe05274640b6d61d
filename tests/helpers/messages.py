"""Messages in the lists of a queue on Redis as kombu leaves them there, and what is in those lists."""

import base64
import json
import secrets
from collections.abc import Iterable

from redis import Redis

from app.collectors.transport import PRIORITY_SEPARATOR, PRIORITY_STEPS

Lists = dict[int, list[bytes]]
"""Messages by step of priority, in the order in which workers take them."""


def message(id_: str, queue: str = "mail", *, priority: int = 0, size: int = 0) -> bytes:
    """A message of Celery's protocol 2, with so many bytes more in its arguments."""
    body = base64.b64encode(json.dumps([["x" * size], {}, {}]).encode()).decode()
    envelope = {
        "body": body,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": "shop.send", "id": id_, "eta": None, "retries": 0, "argsrepr": "()"},
        "properties": {
            "correlation_id": id_,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": priority,
            "body_encoding": "base64",
            "delivery_tag": secrets.token_hex(8),
        },
    }
    return json.dumps(envelope).encode()


def key_of(queue: str, step: int) -> str:
    """The list of a queue for a step of priority, as kombu names it."""
    return f"{queue}{PRIORITY_SEPARATOR}{step}" if step else queue


def fill(client: Redis, queue: str, numbers: Iterable[int], *, name: str = "", size: int = 0) -> list[str]:
    """Send messages with these numbers, by turns at each priority; their ids, which begin with a name."""
    ids = []
    sending = client.pipeline(transaction=False)
    for number in numbers:
        step = PRIORITY_STEPS[number % len(PRIORITY_STEPS)]
        ids.append(f"{name or queue}-{number}")
        sending.lpush(key_of(queue, step), message(ids[-1], queue, priority=step, size=size))
    sending.execute()
    return ids


def lists_of(client: Redis, queue: str) -> Lists:
    """All that is in a queue, but for lists that are not there."""
    found: Lists = {}
    for step in PRIORITY_STEPS:
        raws = [raw for raw in client.lrange(key_of(queue, step), 0, -1)[::-1] if isinstance(raw, bytes)]
        if raws:
            found[step] = raws
    return found


def ids_of(client: Redis, queue: str, step: int = 0) -> list[str]:
    """The ids of the tasks that wait at a priority."""
    return [json.loads(raw)["headers"]["id"] for raw in lists_of(client, queue).get(step, [])]
