"""What RabbitMQ says to who carries messages: they are put together as they are, and all else is for py-amqp."""

import struct
from typing import Any, Final

import amqp
import msgspec
from amqp import spec
from amqp.exceptions import UnexpectedFrame

_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_ARGUMENTS_AT: Final = 4
_signature: Final = struct.Struct(">HH").unpack_from
_tag: Final = struct.Struct(">Q").unpack_from
_content: Final = struct.Struct(">HHQ")


class Taken(msgspec.Struct, gc=False):
    """A message that was fetched, and not acknowledged: its delivery tag, and it as bytes."""

    tag: int
    properties: bytes = b""
    body: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of it."""
        return len(self.properties) + len(self.body)


class Inbox:
    """What comes over a connection: messages that were asked for are put together here, all else is for py-amqp.

    It takes the place of py-amqp's frame handler, which decodes what has to stay as it is.
    """

    def __init__(self) -> None:
        self.arrived: list[Taken] = []
        #: Answers that no message is there, and messages that were given back as no queue takes them.
        self.empty = self.returned = 0
        #: Whether the transaction that was sent last was carried out.
        self.committed = True
        self._open: Taken | None = None
        self._left = 0
        self._parts: list[bytes] = []

    def handler(self, connection: amqp.Connection, callback: Any) -> Any:
        """As py-amqp wants it: called with each frame, it tells whether something was complete."""
        del connection

        def on_frame(frame: tuple[int, int, bytes]) -> bool:
            kind, channel, payload = frame
            if kind == _HEADER:
                return self._begin(bytes(payload))
            if kind == _BODY:
                return self._add(payload)
            if kind == _METHOD:
                if not self._concerns_us(payload):
                    callback(channel, _signature(payload), payload, None)
                    return True
                return self._open is None
            if kind != _HEARTBEAT:
                raise UnexpectedFrame(f"a frame of the kind {kind}")
            return False

        return on_frame

    def _concerns_us(self, payload: bytes) -> bool:
        """Take in what announces a message, or is an answer that none is there, or that a transaction was done."""
        signature = _signature(payload)
        if signature == spec.Basic.Deliver:
            # Before the tag stands the consumer's name, with its length.
            self._open = Taken(*_tag(payload, _ARGUMENTS_AT + 1 + payload[_ARGUMENTS_AT]))
        elif signature == spec.Basic.GetOk:
            self._open = Taken(*_tag(payload, _ARGUMENTS_AT))
        elif signature == spec.Basic.Return:
            self.returned += 1
            self._open = Taken(0)
        elif signature == spec.Basic.GetEmpty:
            self.empty += 1
        elif signature == spec.Tx.CommitOk:
            self.committed = True
        else:
            return False
        return True

    def _begin(self, payload: bytes) -> bool:
        if self._open is None or self._left:
            raise UnexpectedFrame("a message begins where it should not")
        _, _, self._left = _content.unpack_from(payload)
        self._open.properties = payload[_content.size :]
        return self._complete() if not self._left else False

    def _add(self, part: bytes) -> bool:
        self._left -= len(part)
        if self._open is None or self._left < 0:
            raise UnexpectedFrame("a message has more bytes than it said")
        self._parts.append(part)
        return self._complete() if not self._left else False

    def _complete(self) -> bool:
        message, self._open = self._open, None
        if message is not None and message.tag:
            message.body = b"".join(self._parts)
            self.arrived.append(message)
        self._parts = []
        return True
