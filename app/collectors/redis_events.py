"""Celery's events from Redis: a socket of our own that is drained by one thread and decoded by another.

A subscriber that is slow to read is cut off by Redis 32 MB behind, so the draining thread does nothing but copy
bytes; what they mean is worked out by whoever takes them. Nothing is ever written to the broker.
"""

import select
import socket
import time
from collections.abc import Callable
from typing import Final

import hiredis
import msgspec

from app.collectors.normalise import Normaliser
from app.collectors.subscriber import DEAD_AFTER, PING_AFTER, DamagedStream, Link, Subscriber
from app.collectors.transport import CONNECT_TIMEOUT, RedisAddress, broker_error
from app.models.records import Event

#: Bytes asked for at once.
READ_SIZE: Final = 1 << 20
#: After a read that did not fill the buffer, more is let gather for so long: a tenth of the wake-ups at 3,000 events/s.
GATHER: Final = 0.004


class RedisChunk(msgspec.Struct, gc=False):
    """Bytes of the socket, and the decoder of the connection they belong to."""

    seen: float
    data: bytes
    reader: hiredis.Reader

    @property
    def size(self) -> int:
        return len(self.data)

    def messages(self) -> list[bytes]:
        """Messages that are complete with this chunk. Raises `DamagedStream`."""
        reader = self.reader
        reader.feed(self.data)
        found = []
        try:
            while (reply := reader.gets()) is not False:
                if isinstance(reply, list) and len(reply) == 4 and reply[0] == b"pmessage":  # noqa: PLR2004 - kind, pattern, channel, payload
                    found.append(reply[3])
        except hiredis.ProtocolError as error:
            raise DamagedStream(str(error)) from error
        return found

    def decode(self, normaliser: Normaliser, out: list[Event]) -> None:
        for message in self.messages():
            normaliser.redis_message(message, self.seen, out)


class RedisEvents(Subscriber):
    """Celery's events by ``PSUBSCRIBE``, which writes nothing to the broker."""

    def __init__(
        self,
        address: RedisAddress,
        wake: Callable[[], None],
        *,
        ping_after: float = PING_AFTER,
        dead_after: float = DEAD_AFTER,
    ) -> None:
        super().__init__(wake)
        self._address = address
        self._ping_after, self._dead_after = ping_after, dead_after

    def listen(self) -> None:
        """Connect, subscribe, drain."""
        try:
            self._listen()
        except (OSError, hiredis.HiredisError) as error:
            raise broker_error(error, self._address) from error

    def _listen(self) -> None:
        address = self._address
        with socket.create_connection((address.host, address.port), CONNECT_TIMEOUT) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            reader = hiredis.Reader()
            self._subscribe(connection, reader)
            self.heard = time.time()
            self.put(Link(self.heard))
            self._drain(connection, reader)

    def _subscribe(self, connection: socket.socket, reader: hiredis.Reader) -> None:
        address = self._address
        channel = glob_escape(address.event_channel)
        if address.password is not None:
            words = [address.username] if address.username else []
            self._call(connection, reader, "AUTH", *words, address.password.reveal())
        self._call(connection, reader, "PSUBSCRIBE", f"{channel}/*")
        # Producers with `fanout_patterns` off publish without a routing key. A strict ACL may refuse this one, which
        # does no harm; its reply comes among events, so nobody waits for it here.
        connection.sendall(_command("PSUBSCRIBE", channel))

    def _call(self, connection: socket.socket, reader: hiredis.Reader, *words: str) -> None:
        """Send a command and await its reply; only for commands before the first subscription."""
        connection.sendall(_command(*words))
        while (reply := reader.gets()) is False:
            data = connection.recv(READ_SIZE)
            if not data:
                raise ConnectionError("it closed the connection")
            reader.feed(data)
        if isinstance(reply, hiredis.ReplyError):
            raise broker_error(reply, self._address)

    def _drain(self, connection: socket.socket, reader: hiredis.Reader) -> None:
        connection.setblocking(False)
        buffer = memoryview(bytearray(READ_SIZE))
        heard = time.monotonic()
        pinged = False
        while not self.stopping.is_set():
            if self.damaged.is_set():
                raise ConnectionError("what it sent could not be read")
            readable, _, _ = select.select([connection], [], [], 0.5)
            now = time.monotonic()
            if not readable:
                if now - heard > self._dead_after:
                    raise TimeoutError
                if now - heard > self._ping_after and not pinged:
                    connection.send(_command("PING"))
                    pinged = True
                continue
            size = connection.recv_into(buffer)
            if not size:
                raise ConnectionError("it closed the connection")
            heard, pinged = now, False
            self.heard = time.time()
            self.put(RedisChunk(self.heard, bytes(buffer[:size]), reader))
            if size < READ_SIZE:
                self.stopping.wait(GATHER)


def _command(*words: str) -> bytes:
    # hiredis' stub knows tuples of one word only.
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    return packed


def glob_escape(text: str) -> str:
    """A channel name as a pattern that matches only itself."""
    return "".join(f"\\{character}" if character in "*?[]^\\" else character for character in text)
