"""What waits in a queue on RabbitMQ: fetched, not acknowledged, and given back to where it was.

RabbitMQ has no way to look without that. What is fetched is marked as *redelivered* from then on, and nobody else gets
it until it is given back, a moment later. So this is done only in operate mode, when somebody was told and wants it.

It is given back by closing the channel. Measured on RabbitMQ 3.10: that leaves the order of every kind of queue as it
was, while a quorum queue without a delivery limit puts what is rejected or not acknowledged behind all others. Quorum
queues keep it only where a consumer got the messages: of those that were fetched by ``basic.get`` the ninth and later
ones came back scrambled.

A quorum queue counts deliveries. Where it has a limit, it drops what was delivered more often, and tells how often that
was only with the message, which then can't be given back any more: so such a queue is not looked into.
"""

import re
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import amqp
from amqp.exceptions import AccessRefused, NotFound, PreconditionFailed

from app.collectors.amqp import FAILURES, AmqpAddress, amqp_connection, amqp_error
from app.collectors.amqp_guard import NO_KIND, peeking
from app.collectors.clean import clean_word
from app.collectors.errors import BrokerError
from app.collectors.guard import MOST
from app.collectors.managed import Nature
from app.collectors.messages import Page, read_parts
from app.collectors.redis_messages import MAX_BYTES
from app.models.profiles import Mode
from app.models.records import Message

#: Seconds that messages are kept from others at most, but for the answer that is waited for then.
HELD: Final = 1.0
#: The first RabbitMQ whose quorum queues have a delivery limit by themselves.
LIMITED: Final = 4
#: A queue is asked what kind it is by declaring it of a kind that there is not. That can make no queue, and the refusal
#: names the first argument that differs, with its value.
_DIFFERS: Final = re.compile(
    r"inequivalent arg '(?P<name>[\w-]+)'.* current is (?:the value )?(?:'(?P<value>[^']*)'|none)"
    r"(?: of type '(?P<type>\w+)')?"
)


def peek(address: AmqpAddress, queue: str, mode: Mode, *, count: int = 20) -> Page:
    """The messages that are delivered next, fetched and given back; in operate mode only. Raises `BrokerError`."""
    management = address.management
    connection = amqp_connection(address, "cloche-messages", peeking(mode))
    try:
        total = _length(connection, address, queue)
        nature = nature_of(connection, queue) if management is None else management.nature(queue)
        refuse(nature, connection.server_properties, asked=management is not None)
        most = min(count, MOST, total)
        messages = _fetched(connection, queue, most, quorum=nature is not None and nature.kind == "quorum")
        return Page(messages, 0, total, turns=False)
    except FAILURES as error:
        connection.collect()
        raise amqp_error(error, address) from error
    finally:
        _close(connection)
        if management is not None:
            management.close()


def refuse(nature: Nature | None, server: dict[str, Any], *, asked: bool) -> None:
    """Raise `BrokerError` where a look could cost a message, or where that can't be told."""
    kind = None if nature is None else nature.kind
    if nature is None or (kind == "quorum" and not asked):
        raise BrokerError(
            "permission",
            "A look could cost a message: quorum queues may have a delivery limit, and it can't be told whether this "
            "one has. Give the address of the management API (management_url), which tells.",
        )
    if kind not in ("classic", "quorum"):
        raise BrokerError("protocol", f"A queue of the kind “{kind}” can't be looked into.")
    limit = nature.limit
    major = str(server.get("version", "")).partition(".")[0]
    if kind == "quorum" and limit is None and not (major.isdecimal() and int(major) < LIMITED):
        limit = 20
    if kind == "quorum" and limit is not None:
        raise BrokerError(
            "permission",
            f"This quorum queue drops a message after {limit} deliveries, and a look is one. Cloche does not look "
            "into it, as that could cost messages.",
        )


def _length(connection: amqp.Connection, address: AmqpAddress, queue: str) -> int:
    channel = connection.channel()
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except NotFound:
        raise no_queue(queue, address.shown) from None
    finally:
        channel.close()  # which py-amqp has opened again where it was refused something


def nature_of(connection: amqp.Connection, queue: str) -> Nature | None:
    """What a queue is, but for its delivery limit; None where that can't be told. Nothing is declared by this.

    Each refusal names one thing that differs. The next question has that as it is, until the kind is named.
    """
    flags = {"durable": True, "auto_delete": False}
    arguments: dict[str, Any] = {"x-queue-type": NO_KIND}
    channel = connection.channel()
    try:
        while differs := _difference(channel, queue, flags, arguments):
            name, value = differs["name"], differs["value"]
            if name == "x-queue-type":
                priorities = arguments.get("x-max-priority")
                kind = clean_word(value or "classic")
                return Nature(kind, priorities=priorities, auto_delete=flags["auto_delete"])
            if value is None or name in arguments:
                break
            if name in flags:
                flags[name] = value == "true"
            else:
                arguments[name] = _as_told(value, differs["type"])
        return None
    finally:
        channel.close()


def _as_told(value: str, kind: str | None) -> str | int | bool:
    if kind == "bool":
        return value == "true"
    return int(value) if value.isdecimal() and kind != "longstr" else value


def _difference(
    channel: amqp.Channel, queue: str, flags: dict[str, bool], arguments: dict[str, Any]
) -> re.Match[str] | None:
    """In what a queue differs from a declaration of no kind that there is; None where that is not told."""
    try:
        channel.queue_declare(queue, **flags, arguments=arguments)
    except PreconditionFailed as refused:
        return _DIFFERS.search(str(refused.reply_text))
    except AccessRefused:
        return None
    return None


def _fetched(connection: amqp.Connection, queue: str, count: int, *, quorum: bool) -> list[Message]:
    channel = connection.channel()
    channel.auto_decode = False
    messages: list[Message] = []
    weight, until = 0, time.monotonic() + HELD
    fetch = _consumed(channel, queue, count) if quorum else iter(partial(channel.basic_get, queue), None)
    try:
        while len(messages) < count and weight < MAX_BYTES and time.monotonic() < until:
            got = next(fetch, None)
            if got is None:
                break
            body = got.body if isinstance(got.body, bytes) else str(got.body).encode()
            weight += len(body)
            properties = got.properties
            headers = properties.get("application_headers") or {}
            told = {**headers, "redelivered": got.delivery_info.get("redelivered")}
            messages.append(read_parts(told, body, properties.get("content_type"), properties.get("priority")))
    finally:
        # All of it goes back to where it was.
        channel.close()
    return messages


def _consumed(channel: amqp.Channel, queue: str, count: int) -> Iterator[amqp.Message]:
    """Messages as a worker gets them, no more than so many."""
    came = deque[amqp.Message]()
    channel.basic_qos(0, max(1, count), False)
    channel.basic_consume(queue, callback=came.append)
    while True:
        if came:
            yield came.popleft()
            continue
        try:
            channel.connection.drain_events(timeout=HELD)
        except TimeoutError:
            return


def _close(connection: amqp.Connection) -> None:
    try:
        connection.close()
    except FAILURES:
        connection.collect()


def no_queue(queue: str, where: str) -> BrokerError:
    """What is said of a queue that is not there."""
    return BrokerError("absent", f"The broker {where} has no queue {clean_word(queue)!r}.")
