"""What puts messages of a file into a queue, whatever the broker: each once, even where the program dies meanwhile.

A file has messages as they were in a broker (`models.backups`): on Redis kombu's envelope, which is JSON, and on
RabbitMQ what `amqp_content.packed` makes. So a file is of one kind of broker, and is put back into one of that kind.
"""

from collections.abc import Sequence
from typing import Final, Literal, Protocol

from amqp.exceptions import AMQPError
from amqp.serialization import decode_properties_basic

from app.collectors.amqp import UNREADABLE
from app.collectors.amqp_content import sendable, task_id, unpacked
from app.collectors.messages import id_of, read_message, read_parts
from app.models.records import Message

Product = Literal["Redis", "RabbitMQ"]

#: How each message of RabbitMQ's begins: 60 and 0, see `amqp_content.packed`.
_OF_RABBITMQ: Final = b"\x00\x3c\x00\x00"


class Filler(Protocol):
    """Puts messages of a file into one queue, for one act. Not thread-safe; all raise `BrokerError`."""

    @property
    def at_once(self) -> int:
        """How many messages are put in at a time."""

    def reached(self) -> int:
        """How many messages of the file this act dealt with before it was broken off."""

    def fill(self, first: int, after: int, messages: Sequence[bytes]) -> None:
        """Put messages in behind all that waits, in their order and by their priority.

        They are those from the ``first`` to before the one ``after`` of the file, but for what is left out of these.
        That so many were dealt with is written down in one step with it.
        """

    @property
    def doubt(self) -> str:
        """What nobody can tell of what was done before it was broken off, in a sentence; "" where all is known."""

    def settle(self) -> None:
        """Forget what was written down: the act came to its end, and will never be taken up again."""

    def close(self) -> None:
        """Close the connection."""


def product_of(raw: bytes) -> Product | None:
    """The kind of broker that a message of a file is from; None where it is of none."""
    if raw.startswith(_OF_RABBITMQ):
        return "RabbitMQ"
    return "Redis" if raw.startswith(b"{") else None


def id_in(raw: bytes) -> str:
    """The id of the task of a message as files have it; "" where it has none, or can't be read."""
    try:
        return task_id(unpacked(raw)[0]) if product_of(raw) == "RabbitMQ" else id_of(raw) or ""
    except UNREADABLE:
        return ""


def is_readable(raw: bytes) -> bool:
    """Whether a message of a file can be put back: of RabbitMQ's, the properties have to be read for that."""
    if product_of(raw) != "RabbitMQ":
        return True
    try:
        properties, _ = unpacked(raw)
        task_id(properties)
        sendable(properties, "")
    except UNREADABLE:
        return False
    return True


def message_in(raw: bytes) -> Message:
    """A message of a file, for people."""
    if product_of(raw) != "RabbitMQ":
        return read_message(raw)
    try:
        properties, body = unpacked(raw)
        told, _ = decode_properties_basic(properties, 0)
    except (*UNREADABLE, AMQPError):
        return read_message(raw)
    headers = told.get("application_headers", {})
    return read_parts(headers, body, told.get("content_type"), told.get("priority"))
