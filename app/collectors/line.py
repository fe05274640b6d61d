"""The line to one broker: what its connections share, so that none asks what another knows to be refused."""

import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from app.collectors.errors import AUTH_PAUSE, BrokerError
from app.collectors.ssh import SIGN_IN_TIMEOUT, JumpHost
from app.collectors.tls import Tls
from app.collectors.tunnel import Tunnel

#: Seconds to wait for a connection, its name included.
CONNECT_TIMEOUT: Final = 5.0

#: What a name server is asked, as `socket.getaddrinfo`: (host, port, type=…) → families and places.
Lookup = Callable[..., list[tuple[Any, ...]]]
_Socket = TypeVar("_Socket", bound=socket.socket)


class Line:
    """Connects to one broker, from any thread.

    Its name is looked up anew for each connection (SAFETY F15), in a thread of its own: nobody can end a lookup, so
    nobody waits for one longer than for a connection. ``lookup`` looks it up; by default, the system does. Where there
    is a ``jump_host``, all goes through that, names included.
    """

    def __init__(self, lookup: Lookup | None = None, jump_host: JumpHost | None = None) -> None:
        self.jump_host = jump_host
        self._lookup = lookup or socket.getaddrinfo
        self._lock = threading.Lock()
        self._looking: Future[list[tuple[Any, ...]]] | None = None
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._signing = threading.Lock()
        self._refused: tuple[float, BrokerError] | None = None

    @property
    def route(self) -> str:
        """What follows an address, for people."""
        return "" if self.jump_host is None else f" through {self.jump_host.shown}"

    @property
    def patience(self) -> float:
        """Seconds that a connection may take longer than its timeout."""
        return 0.0 if self.jump_host is None else SIGN_IN_TIMEOUT

    def connect(
        self, host: str, port: int, timeout: float = CONNECT_TIMEOUT, *, tls: Tls | None = None
    ) -> socket.socket:
        """A connected socket, to the first of the name's addresses that takes it, and secured where that is asked for.

        Signing in at a jump host takes its own time. Raises ``OSError``, or `BrokerError` where there is no tunnel.
        """
        if self.jump_host is not None:
            tunnel = self._keep(self.jump_host.connect(host, port))
            tunnel.settimeout(timeout)
            return tunnel if tls is None else self.secure(tunnel, host, timeout, tls)
        deadline = time.monotonic() + timeout
        failed: OSError = socket.gaierror(socket.EAI_NONAME, "it has no address")
        for family, kind, protocol, _, place in self._places(host, port, timeout):
            made = self._socket(family, kind, protocol)
            try:
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                made.settimeout(max(0.1, deadline - time.monotonic()))
                made.connect(place)
            except OSError as error:
                made.close()
                failed = error
            else:
                return made if tls is None else self.secure(made, host, deadline - time.monotonic(), tls)
        raise failed

    def connect_local(self, path: str, timeout: float = CONNECT_TIMEOUT) -> socket.socket:
        """A socket that is connected to one in the file system. Raises ``OSError``."""
        made = self._socket(socket.AF_UNIX, socket.SOCK_STREAM, 0)
        try:
            made.settimeout(timeout)
            made.connect(path)
        except OSError:
            made.close()
            raise
        return made

    def _socket(self, family: int, kind: int, protocol: int) -> socket.socket:
        return self._keep(socket.socket(family, kind, protocol))

    def _keep(self, made: _Socket) -> _Socket:
        with self._lock:
            self._sockets.add(made)
        return made

    def secure(self, plain: socket.socket, host: str, timeout: float, tls: Tls) -> socket.socket:
        """A secure connection over a plain one. Raises ``OSError``, and then both are closed."""
        plain.settimeout(max(0.1, timeout))
        return self._keep(plain.secured(tls, host) if isinstance(plain, Tunnel) else tls.secure(plain, host))

    def drop(self) -> None:
        """Break all connections at once, whoever waits on them: what was already received can still be read."""
        with self._lock:
            sockets = list(self._sockets)
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def sign_in(self) -> Iterator[None]:
        """Sign in here, one at a time; raises what the last one was told where that was a refusal a short while ago."""
        with self._signing:
            if self._refused is not None and time.monotonic() < self._refused[0]:
                raise self._refused[1]
            self._refused = None
            try:
                yield
            except BrokerError as error:
                if error.fault == "auth":
                    self._refused = (time.monotonic() + AUTH_PAUSE, error)
                raise

    def _places(self, host: str, port: int, timeout: float) -> list[tuple[Any, ...]]:
        with suppress(socket.gaierror, UnicodeError):  # then it is a name
            return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
        with self._lock:
            looking = self._looking
            if looking is None:
                looking = self._looking = Future()
                args = (looking, host, port)
                threading.Thread(target=self._look_up, args=args, name="name lookup", daemon=True).start()
        try:
            return looking.result(timeout)
        except TimeoutError as error:
            raise socket.gaierror(socket.EAI_AGAIN, "the name server does not answer") from error

    def _look_up(self, looking: Future[list[tuple[Any, ...]]], host: str, port: int) -> None:
        try:
            found = self._lookup(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            self._looking = None
            known = error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, "it is not a host name")
            looking.set_exception(known)
        else:
            self._looking = None
            looking.set_result(found)
