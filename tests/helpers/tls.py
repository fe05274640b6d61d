"""TLS in front of a server that speaks none: certificates of the test's own, and what came through before them."""

import selectors
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from app.collectors.tls import fingerprint
from tests.helpers.servers import HOST


def certificate(folder: Path, name: str, *, days: int = 2) -> Path:
    """A self-signed certificate with its key in one file, for an IP address or a host name, valid for so many days."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl: install it from your system's packages (Debian: openssl)")
    kind = "IP" if name.replace(".", "").isdecimal() else "DNS"
    key, made, both = (folder / f"{name}.{ending}" for ending in ("key", "crt", "pem"))
    subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", str(key), "-out", str(made), "-days", str(max(1, days)), "-subj", "/CN=test",
            "-addext", f"subjectAltName={kind}:{name}",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    if days <= 0:
        # A new certificate has to be valid for a day at least; one that is signed again need not.
        again = [openssl, "x509", "-in", str(made), "-signkey", str(key), "-days", str(days - 1), "-out", str(made)]
        subprocess.run(again, check=True, capture_output=True)
    both.write_text(made.read_text(encoding="ascii") + key.read_text(encoding="ascii"), encoding="ascii")
    return both


def pin(pem: Path) -> str:
    """What a certificate is pinned by."""
    return fingerprint(ssl.PEM_cert_to_DER_cert(pem.read_text("ascii").partition("-----BEGIN PRIVATE KEY")[0]))


class TlsFront:
    """Takes TLS connections and passes what comes over them on to a port of this machine, and back.

    ``heard`` is what clients said over connections that were secured. Clients have to show the certificate ``clients``
    where there is one.
    """

    def __init__(self, pem: Path, port: int, clients: Path | None = None) -> None:
        self.heard = bytearray()
        self._target = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pem)
        if clients is not None:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(clients)
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def show(self, pem: Path) -> None:
        """Show another certificate from now on; connections that there are stay."""
        self._context.load_cert_chain(pem)

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._stopping.is_set():
                plain, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(plain,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, plain: socket.socket) -> None:
        with (
            suppress(OSError),
            self._context.wrap_socket(plain, server_side=True) as outer,
            socket.create_connection((HOST, self._target)) as inner,
        ):
            self._pass_on(outer, inner)
        plain.close()

    def _pass_on(self, outer: ssl.SSLSocket, inner: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(outer, selectors.EVENT_READ, inner)
            selector.register(inner, selectors.EVENT_READ, outer)
            while not self._stopping.is_set():
                for key, _ in selector.select(0.1):
                    source, sink = (outer, inner) if key.fileobj is outer else (inner, outer)
                    data = source.recv(65_536)
                    while isinstance(source, ssl.SSLSocket) and source.pending():
                        data += source.recv(source.pending())
                    if not data:
                        return
                    if source is outer:
                        self.heard += data
                    sink.sendall(data)
