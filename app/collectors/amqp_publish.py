"""Messages for RabbitMQ that are sent as they were received."""

import amqp


class RawMessage(amqp.Message):  # type: ignore[misc]
    """A message whose properties are bytes as they stand in AMQP: flags, then values, headers included.

    py-amqp reads the numbers of a table without their type, and writes them with another. So what was received, and has
    to stay as it is, is sent by this.
    """

    def __init__(self, properties: bytes, body: bytes) -> None:
        super().__init__(body)
        self._raw = properties

    def _serialize_properties(self) -> bytes:
        return self._raw
