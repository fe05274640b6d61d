"""A way to a server that can be made to fail as networks do: it stalls, delays, trickles, breaks, or is shut.

    with FaultProxy(server.port) as proxy:
        connect(f"redis://127.0.0.1:{proxy.port}/0")
        proxy.freeze()

One thread carries the bytes of all connections. What is set holds for those there are and for those to come.
"""

import selectors
import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Literal, Self

from tests.helpers.servers import HOST, free_port

Direction = Literal["up", "down"]
"""Bytes to the server go up, those to the client down."""

_TICK = 0.005
_CHUNK = 1 << 16
_MOST = 1 << 22
"""Bytes that wait in one direction of one connection before no more are read: a stalled network holds some too."""


class _Talk:
    """A connection: whether the client spoke last."""

    asking = False


class _Way:
    """One direction of a connection: what was read and is to be written, each with the time before which it is not."""

    def __init__(self, name: Direction, source: socket.socket, sink: socket.socket, talk: _Talk) -> None:
        self.name = name
        self.talk = talk
        self.source = source
        self.sink = sink
        self.waiting: deque[tuple[float, bytes]] = deque()
        self.held = 0
        self.carried = 0
        self.ended = False
        #: All that was read, where that is to be kept.
        self.kept: bytearray | None = None


class FaultProxy:
    """Carries connections to a port of this machine; ``port`` is its own.

    Attributes: ``accepted`` counts connections since it began, and ``questions`` how often a client spoke to whom the
    server had spoken last, however much it said at once; ``target`` is where new connections lead; ``said`` is what was
    sent up on each connection, in the order in which they were made, where that is to be kept.
    """

    def __init__(self, target: int, *, keep: bool = False) -> None:
        self.target = target
        self.said: list[bytearray] = []
        self._keep = keep
        self.port = free_port()
        self.accepted = self.questions = 0
        self._lock = threading.RLock()
        self._frozen: set[Direction] = set()
        self._delay = 0.0
        self._rate: float | None = None
        self._limit: int | None = None
        self._ways: list[_Way] = []
        self._listener: socket.socket | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fault proxy")

    def __enter__(self) -> Self:
        self.admit()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self.refuse()
        self.cut()

    @property
    def open(self) -> int:
        """Connections that are carried now."""
        with self._lock:
            return len(self._ways) // 2

    @property
    def ports(self) -> set[int]:
        """Where the connections that are carried now come from, as the server sees them."""
        with self._lock:
            return {way.sink.getsockname()[1] for way in self._ways if way.name == "up"}

    # --- faults ------------------------------------------------------------------------------------------------------

    def freeze(self, *directions: Direction) -> None:
        """Carry nothing (or nothing in one direction) and close nothing: new connections are accepted, and hang."""
        with self._lock:
            self._frozen = set(directions or ("up", "down"))

    def thaw(self) -> None:
        """Carry everything again, also what waited."""
        with self._lock:
            self._frozen = set()

    def delay(self, seconds: float) -> None:
        """Carry everything so much later."""
        with self._lock:
            self._delay = seconds

    def throttle(self, bytes_per_second: float | None) -> None:
        """Carry no more than this in each direction of each connection; None for as much as comes."""
        with self._lock:
            self._rate = bytes_per_second

    def truncate(self, after: int | None) -> None:
        """Cut each new connection when so many bytes went down on it; None for never."""
        with self._lock:
            self._limit = after

    def reset(self) -> None:
        """Break all connections with RST, as a host that forgot them does."""
        with self._lock:
            for way in self._ways:
                with suppress(OSError):
                    way.source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.cut()

    def cut(self) -> None:
        """Close all connections in order, with FIN."""
        with self._lock:
            for way in self._ways:
                way.source.close()
            self._ways.clear()

    def refuse(self) -> None:
        """Take no new connection: nobody listens."""
        with self._lock:
            if self._listener is not None:
                self._listener.close()
                self._listener = None

    def admit(self) -> None:
        """Take new connections again."""
        with self._lock:
            if self._listener is None:
                self._listener = socket.create_server((HOST, self.port))
                self._listener.setblocking(False)

    # --- carrying ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                self._accept()
                moved = [self._carry(way) for way in list(self._ways) if way in self._ways]
                readers = self._readers()
            if not any(moved):
                self._rest(readers)

    def _readers(self) -> list[socket.socket]:
        idle = [way.source for way in self._ways if self._takes(way)]
        return idle if self._listener is None else [self._listener, *idle]

    def _takes(self, way: _Way) -> bool:
        return not way.ended and way.name not in self._frozen and way.held < _MOST and not way.waiting

    @staticmethod
    def _rest(readers: list[socket.socket]) -> None:
        """Until something can be read, or for a moment: what is set by other threads, and time, is looked at then."""
        with selectors.DefaultSelector() as selector, suppress(OSError, ValueError, KeyError):
            for each in readers:
                selector.register(each, selectors.EVENT_READ)
            selector.select(_TICK)

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            client, _ = self._listener.accept()
        except BlockingIOError:
            return
        try:
            server = socket.create_connection((HOST, self.target), 1.0)
        except OSError:
            client.close()
            return
        self.accepted += 1
        for each in (client, server):
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talk = _Talk()
        up = _Way("up", client, server, talk)
        self._ways += [up, _Way("down", server, client, talk)]
        if self._keep:
            up.kept = bytearray()
            self.said.append(up.kept)

    def _carry(self, way: _Way) -> bool:
        """Whether anything moved."""
        if way.name in self._frozen:
            return False
        moved = self._take(way)
        now = time.monotonic()
        while way.waiting and way.waiting[0][0] <= now:
            _, data = way.waiting.popleft()
            if not data:
                self._close(way)
                return True
            sent = self._send(way, data)
            if sent is None:
                return True
            moved = moved or sent > 0
            self._count(way)
            way.held -= sent
            way.carried += sent
            if way.name == "down" and self._limit is not None and way.carried >= self._limit:
                self._close(way)
                return True
            if sent < len(data):
                way.waiting.appendleft((now, data[sent:]))
                break
            if self._rate is not None:
                if way.waiting:
                    way.waiting[0] = (now + sent / self._rate, way.waiting[0][1])
                break
        return moved

    def _count(self, way: _Way) -> None:
        asking = way.name == "up"
        self.questions += asking and not way.talk.asking
        way.talk.asking = asking

    def _take(self, way: _Way) -> bool:
        if way.ended or way.held >= _MOST:
            return False
        size = _CHUNK if self._rate is None else max(1, int(self._rate * _TICK * 2))
        try:
            data = way.source.recv(size)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        way.ended = not data
        if way.kept is not None:
            way.kept += data
        way.held += len(data)
        due = time.monotonic() + self._delay
        if self._rate is not None and not way.waiting:
            due += len(data) / self._rate
        way.waiting.append((due, data))
        return True

    def _send(self, way: _Way, data: bytes) -> int | None:
        """Bytes that were written; None where the connection is gone."""
        if self._limit is not None and way.name == "down":
            data = data[: max(0, self._limit - way.carried)]
        try:
            return way.sink.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._close(way)
            return None

    def _close(self, way: _Way) -> None:
        """Both directions."""
        for each in (way.source, way.sink):
            each.close()
        self._ways = [other for other in self._ways if other.source not in (way.source, way.sink)]
