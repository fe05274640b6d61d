"""Celery's events from Redis: a socket of our own that is drained by one thread and decoded by another.

A subscriber that is slow to read is cut off by Redis 32 MB behind, so the draining thread does nothing but copy
bytes; what they mean is worked out by whoever takes them. Nothing is ever written to the broker.
"""

import select
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import hiredis
import msgspec

from app.collectors.guard import LISTENING
from app.collectors.normalise import Normaliser
from app.collectors.redis_errors import broker_error
from app.collectors.subscriber import (
    DEAD_AFTER,
    GATHER,
    MUCH,
    PING_AFTER,
    READ_SIZE,
    Closed,
    DamagedStream,
    Link,
    Subscriber,
    receive,
)
from app.collectors.transport import RedisAddress
from app.models.records import Event

#: Bytes that its decoder is given at a time: it moves all that it still has with every message that it hands out.
FEED: Final = 16 << 10


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
        reader, data = self.reader, self.data
        found = []
        try:
            for at in range(0, len(data), FEED):
                reader.feed(data, at, min(FEED, len(data) - at))
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
        self._connection: socket.socket | None = None
        self._whole: float | None = None

    def break_off(self) -> None:
        """End the connection; what it already received is still read."""
        connection = self._connection
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def listen(self) -> None:
        """Connect, subscribe, drain."""
        self._whole = None
        try:
            self._listen()
        except (OSError, hiredis.HiredisError) as error:
            known = broker_error(error, self._address)
            # Who closes in order has sent all that we then read; else it may be lost since we last heard of him.
            known.since = self._whole if isinstance(error, Closed) else self.heard
            raise known from error
        finally:
            self._connection = None

    def _listen(self) -> None:
        address = self._address
        with address.connect() as connection:
            self._connection = connection
            reader = hiredis.Reader()
            self._subscribe(connection, reader)
            self.heard = self._whole = time.time()
            self.put(Link(self.heard))
            self._drain(connection, reader)

    def _subscribe(self, connection: socket.socket, reader: hiredis.Reader) -> None:
        address = self._address
        if address.password is not None:
            words = [address.username] if address.username else []
            with address.line.sign_in():
                self._call(connection, reader, "AUTH", *words, address.password.reveal())
        channel, *others = map(glob_escape, address.event_channels)
        self._call(connection, reader, "PSUBSCRIBE", f"{channel}/*")
        # Producers with `fanout_patterns` off publish without a routing key. A strict ACL may refuse these, which does
        # no harm; their replies come among events, so nobody waits for them here.
        for other in (channel, *(f"{other}/*" for other in others)):
            connection.sendall(_command("PSUBSCRIBE", other))

    def _call(self, connection: socket.socket, reader: hiredis.Reader, *words: str) -> None:
        """Send a command and await its reply; only for commands before the first subscription."""
        connection.sendall(_command(*words))
        while (reply := reader.gets()) is False:
            data = connection.recv(READ_SIZE)
            if not data:
                raise Closed
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
            readable = _has_more(connection, 0.0 if self.pressed else 0.5)
            now = time.monotonic()
            if not readable and self.pressed:
                self.pressed = False
                continue
            if not readable:
                self._whole = time.time()
                if now - heard > self._dead_after:
                    raise TimeoutError
                if now - heard > self._ping_after and not pinged:
                    connection.send(_command("PING"))
                    pinged = True
                continue
            size = receive(connection, buffer)
            if not size:
                continue  # a part of a TLS record, or its handshake
            heard, pinged = now, False
            self.heard = time.time()
            self.put(RedisChunk(self.heard, bytes(buffer[:size]), reader))
            self.pressed = size >= MUCH
            if not self.pressed:
                if not _has_more(connection, 0.0):
                    self._whole = self.heard
                self.stopping.wait(GATHER)


def _has_more(connection: socket.socket, wait: float) -> bool:
    """Whether something can be read: bytes, or the connection's end."""
    if isinstance(connection, ssl.SSLSocket) and connection.pending():
        return True
    return bool(select.select([connection], [], [], wait)[0])


def _command(*words: str) -> bytes:
    return b"".join(LISTENING.pack(*words))


def glob_escape(text: str) -> str:
    """A channel name as a pattern that matches only itself."""
    return "".join(f"\\{character}" if character in "*?[]^\\" else character for character in text)
