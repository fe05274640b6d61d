"""Celery's events from Redis: a socket of our own that is drained by one thread and decoded by another.

A subscriber that is slow to read is cut off by Redis 32 MB behind, so the draining thread does nothing but copy
bytes; what they mean
is worked out by whoever takes them. Nothing is ever written to the broker.
"""

import random
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import hiredis
import msgspec

from app.collectors.transport import CONNECT_TIMEOUT, BrokerError, RedisAddress, broker_error

#: Bytes taken from the socket and not yet decoded at most; beyond, Redis holds them for us.
RING_LIMIT: Final = 256 << 20
#: Bytes asked for at once.
READ_SIZE: Final = 1 << 20
#: After a read that did not fill the buffer, more is let gather for so long: a tenth of the wake-ups at 3,000 events/s.
GATHER: Final = 0.004
#: A PING goes out when nothing came for so long, and the connection is given up after that long without an answer
#: (SAFETY F04).
PING_AFTER: Final = 5.0
DEAD_AFTER: Final = 15.0
#: Pause between attempts to connect: doubling from the first to the last, with jitter.
BACKOFF: Final = (0.25, 10.0)
#: A connection that held for so long was a good one: the next pause is short again.
HEALTHY_AFTER: Final = 30.0
#: A refused sign-in is tried again this rarely, so that no account gets locked.
AUTH_PAUSE: Final = 30.0


class Chunk(msgspec.Struct, gc=False):
    """Bytes as they came, when they came, and the decoder of the connection they belong to."""

    seen: float
    data: bytes
    reader: hiredis.Reader


class Link(msgspec.Struct):
    """The subscription began (``error`` is None) or was lost, at ``at``."""

    at: float
    error: BrokerError | None = None


class RedisEvents(threading.Thread):
    """Subscribes to the event exchange until stopped, whatever happens to the connection.

    ``wake`` is called from this thread whenever `take` has something new.
    """

    def __init__(
        self,
        address: RedisAddress,
        wake: Callable[[], None],
        *,
        ping_after: float = PING_AFTER,
        dead_after: float = DEAD_AFTER,
    ) -> None:
        super().__init__(name="events", daemon=True)
        self._address = address
        self._ping_after, self._dead_after = ping_after, dead_after
        self._wake = wake
        self._stopping = threading.Event()
        self._ring: deque[Chunk | Link] = deque()
        self._room = threading.Condition()
        self._held = 0
        self._heard: float | None = None
        self._damaged = threading.Event()

    def take(self) -> list[Chunk | Link]:
        """All that came since the last call, in order."""
        taken = []
        ring = self._ring
        while ring:
            taken.append(ring.popleft())
        with self._room:
            self._held -= sum(len(item.data) for item in taken if isinstance(item, Chunk))
            self._room.notify()
        return taken

    def stop(self) -> None:
        """End the thread; it wakes from whatever it waits for."""
        self._stopping.set()
        with self._room:
            self._room.notify()

    def reconnect(self) -> None:
        """Give the present connection up: what came over it made no sense."""
        self._damaged.set()

    def run(self) -> None:
        """Connect, subscribe, drain; again after a pause when that ends."""
        pause = BACKOFF[0]
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._listen()
            except (OSError, hiredis.HiredisError, BrokerError) as error:
                fault = error if isinstance(error, BrokerError) else broker_error(error, self._address)
                # Who fell silent may have been gone since we last heard of him.
                lost = self._heard if isinstance(error, TimeoutError) and self._heard is not None else time.time()
                self._heard = None
                self._put(Link(lost, fault))
                if time.monotonic() - began > HEALTHY_AFTER:
                    pause = BACKOFF[0]
                self._stopping.wait(AUTH_PAUSE if fault.fault == "auth" else pause * random.uniform(0.75, 1.25))  # noqa: S311 - jitter
                pause = min(pause * 2, BACKOFF[1])

    def _listen(self) -> None:
        address = self._address
        with socket.create_connection((address.host, address.port), CONNECT_TIMEOUT) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            reader = hiredis.Reader()
            self._subscribe(connection, reader)
            self._heard = time.time()
            self._put(Link(self._heard))
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
        self._damaged.clear()
        while not self._stopping.is_set():
            if self._damaged.is_set():
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
            self._heard = time.time()
            self._put(Chunk(self._heard, bytes(buffer[:size]), reader))
            if size < READ_SIZE:
                self._stopping.wait(GATHER)

    def _put(self, item: Chunk | Link) -> None:
        if isinstance(item, Chunk):
            with self._room:
                self._room.wait_for(lambda: self._held < RING_LIMIT or self._stopping.is_set())
                self._held += len(item.data)
        self._ring.append(item)
        self._wake()


def _command(*words: str) -> bytes:
    # hiredis' stub knows tuples of one word only.
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    return packed


def glob_escape(text: str) -> str:
    """A channel name as a pattern that matches only itself."""
    return "".join(f"\\{character}" if character in "*?[]^\\" else character for character in text)


def payloads(chunk: Chunk) -> list[bytes]:
    """Messages that are complete with this chunk. Raises ``hiredis.ProtocolError`` where the stream is damaged."""
    reader = chunk.reader
    reader.feed(chunk.data)
    found = []
    while (reply := reader.gets()) is not False:
        if isinstance(reply, list) and len(reply) == 4 and reply[0] == b"pmessage":  # noqa: PLR2004 - kind, pattern, channel, payload
            found.append(reply[3])
    return found
