"""One tunnel: an ``ssh`` process, and our end of it, which is a socket like any other."""

import socket
import ssl
import subprocess
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

from app.collectors.clean import clean_word
from app.collectors.errors import BrokerError
from app.collectors.tls import Tls

#: Seconds for an ssh to end that was told to, or whose tunnel broke off.
GRACE: Final = 1.0
#: Lines of what it said that are kept, and bytes of one.
LINES: Final = 40
MAX_LINE: Final = 1_000
_SIGNED_IN: Final = "Authenticated to "

#: Tells from what an ssh said, and whether it was signed in by then, why it failed.
Explain = Callable[[Sequence[str], bool], BrokerError]


class TunnelError(ConnectionError):
    """A tunnel ended otherwise than by the broker's will; ``known`` is what that means."""

    def __init__(self, known: BrokerError) -> None:
        super().__init__(str(known))
        self.known = known


class Ssh:
    """One process from its beginning to its end, and what it said; ``theirs`` is its input and its output.

    Raises `BrokerError` where it can't be started.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], theirs: socket.socket, explain: Explain
    ) -> None:
        self._explain = explain
        self._said: deque[str] = deque(maxlen=LINES)
        self._signed_in = False
        self._news = threading.Event()
        try:
            self._process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.PIPE, env=environment,
                start_new_session=True,  # with no terminal to ask in, nor for others on the way
            )  # fmt: skip
        except OSError as error:
            raise BrokerError("tunnel", f"The program ssh can't be started: {error.strerror}.") from error
        #: Ends it; called too when we end, while somebody waits for it.
        self.end = weakref.finalize(self, _end, self._process)
        self._listener = threading.Thread(target=self._listen, name="ssh", daemon=True)
        self._listener.start()

    def sign_in(self, timeout: float) -> None:
        """Wait until it is signed in. Raises `BrokerError` where that fails, ``TimeoutError`` where it takes longer."""
        if not self._news.wait(timeout):
            raise TimeoutError
        if not self._signed_in:
            raise self._explain(list(self._said), False)

    def failure(self) -> BrokerError | None:
        """Why it ended by itself; None where it did not, or ended because the broker did."""
        try:
            code = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            return None
        if not self.end.alive or code == 0:
            return None
        self._listener.join(GRACE)
        return self._explain(list(self._said), True)

    def _listen(self) -> None:
        stderr = self._process.stderr
        if stderr is not None:
            with stderr:
                while line := stderr.readline(MAX_LINE):
                    self._hear(clean_word(line.decode("utf-8", "replace").strip()))
        self._process.wait()
        self._news.set()

    def _hear(self, line: str) -> None:
        if line.startswith(_SIGNED_IN):
            self._signed_in = True
            self._said.clear()  # such as what everybody is greeted with
            self._news.set()
        elif line:
            self._said.append(line)


class Tunnel(socket.socket):
    """Our end of a tunnel. Closing it ends its ssh; where that failed, reading and writing raise a `TunnelError`."""

    ssh: Ssh | None = None

    def secured(self, tls: Tls, host: str) -> ssl.SSLSocket:
        """The same with TLS to ``host``, the tunnel's own end. Raises ``OSError``, and then both are closed."""
        try:
            with self._explained():
                made = cast("_SecureTunnel", tls.secure(self, host, _SecureTunnel))
        except BaseException:
            if self.ssh is not None:
                self.ssh.end()
            raise
        made.ssh = self.ssh
        return made

    def recv(self, *args: Any) -> bytes:
        with self._explained():
            data = super().recv(*args)
        if not data:
            self._explain()
        return data

    def recv_into(self, *args: Any) -> int:
        with self._explained():
            size = super().recv_into(*args)
        if not size:
            self._explain()
        return size

    def send(self, *args: Any) -> int:
        with self._explained():
            return super().send(*args)

    def sendall(self, *args: Any) -> None:
        with self._explained():
            super().sendall(*args)

    def shutdown(self, how: int) -> None:
        super().shutdown(how)
        if self.ssh is not None:
            self.ssh.end()

    def close(self) -> None:
        was_open = self.fileno() >= 0  # and is not the other's now, which speaks TLS over it
        super().close()
        if was_open and self.fileno() < 0 and self.ssh is not None:
            self.ssh.end()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (ConnectionError, ssl.SSLEOFError):
            self._explain()
            raise

    def _explain(self) -> None:
        """Raises `TunnelError` where it was ssh that ended this connection."""
        known = None if self.ssh is None else self.ssh.failure()
        if known is not None:
            raise TunnelError(known)


class _SecureTunnel(Tunnel, ssl.SSLSocket):
    """A tunnel with TLS inside."""


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
