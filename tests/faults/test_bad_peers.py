"""F14: whoever does not prove to be the broker gets no byte of a password, over whatever transport, and it is said."""

import selectors
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

import pytest
import redis

from app.collectors.amqp import amqp_address, amqp_connection
from app.collectors.amqp_guard import SIGNING_IN
from app.collectors.errors import BrokerError
from app.collectors.guard import GREETING
from app.collectors.redis_client import redis_client
from app.collectors.redis_errors import broker_error
from app.collectors.transport import redis_address
from tests.collectors.conftest import command
from tests.helpers.hearing import subscribed
from tests.helpers.servers import HOST, RedisServer
from tests.helpers.tls import TlsFront, certificate, pin
from tests.helpers.waiting import eventually

CANARY: Final = "canary-password"


class Peer:
    """A peer that takes connections, with TLS of some kind or none, and keeps every byte that it could read."""

    def __init__(self, context: ssl.SSLContext | None, greeting: bytes = b"", *, hangs_up: bool = False) -> None:
        self.heard = bytearray()
        self._context, self._greeting, self._hangs_up = context, greeting, hangs_up
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._stopping.is_set():
                if selector.select(0.05):
                    connection, _ = self._listener.accept()
                    with suppress(OSError), connection:
                        self._talk(connection)

    def _talk(self, plain: socket.socket) -> None:
        plain.settimeout(0.5)
        if self._hangs_up:
            self.heard += plain.recv(65_536)
            return
        if self._context is None:
            plain.sendall(self._greeting)
            self._listen(plain)
            return
        with self._context.wrap_socket(plain, server_side=True) as secured:
            self._listen(secured)

    def _listen(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while data := connection.recv(65_536):
                self.heard += data


def serving(pem: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def signed_by_nobody(folder: Path) -> tuple[Peer, Path | None]:
    return Peer(serving(certificate(folder, HOST))), None


def signed_by_another(folder: Path) -> tuple[Peer, Path | None]:
    (folder / "other").mkdir()
    return Peer(serving(certificate(folder, HOST))), certificate(folder / "other", HOST)


def of_another_host(folder: Path) -> tuple[Peer, Path | None]:
    pem = certificate(folder, "other.example")
    return Peer(serving(pem)), pem


def expired(folder: Path) -> tuple[Peer, Path | None]:
    pem = certificate(folder, HOST, days=0)
    return Peer(serving(pem)), pem


def of_yesterday(folder: Path) -> tuple[Peer, Path | None]:
    """It speaks no newer protocol than TLS 1.1, which can be broken."""
    pem = certificate(folder, HOST)
    context = serving(pem)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that it is of yesterday is the point
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return Peer(context), pem


def without_tls(folder: Path) -> tuple[Peer, Path | None]:
    return Peer(None, b"-ERR unknown command\r\n"), certificate(folder, HOST)


def that_hangs_up(folder: Path) -> tuple[Peer, Path | None]:
    return Peer(None, hangs_up=True), certificate(folder, HOST)


def that_says_nothing(folder: Path) -> tuple[Peer, Path | None]:
    return Peer(None), certificate(folder, HOST)


BAD: Final = (
    signed_by_nobody, signed_by_another, of_another_host, expired, of_yesterday, without_tls, that_hangs_up,
    that_says_nothing,
)  # fmt: skip


def over_redis(port: int, trusted: str) -> None:
    address = redis_address(f"rediss://user:{CANARY}@{HOST}:{port}/0{trusted}")
    client = redis_client(address, "test", GREETING)
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        raise broker_error(error, address) from error
    finally:
        client.close()


def over_sentinel(port: int, trusted: str) -> None:
    address = redis_address(
        f"sentinel://user:{CANARY}@{HOST}:{port}/0{trusted or '?ssl_cert_reqs=required'}", None, {"master_name": "shop"}
    )
    address.connect(2.0).close()


def over_amqp(port: int, trusted: str) -> None:
    amqp_connection(amqp_address(f"amqps://user:{CANARY}@{HOST}:{port}/{trusted}"), "test", SIGNING_IN).close()


@contextmanager
def peer(kind: Callable[[Path], tuple[Peer, Path | None]], folder: Path) -> Iterator[tuple[Peer, str]]:
    made, trusted = kind(folder)
    with made:
        yield made, "" if trusted is None else f"?ssl_ca_certs={quote(str(trusted))}"


@pytest.mark.parametrize("transport", [over_redis, over_sentinel, over_amqp], ids=["redis", "sentinel", "amqp"])
@pytest.mark.parametrize("kind", BAD, ids=[kind.__name__ for kind in BAD])
def test_f14_a_bad_peer_gets_no_byte_of_a_password(
    kind: Callable[[Path], tuple[Peer, Path | None]],
    transport: Callable[[int, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.collectors.amqp.CONNECT_TIMEOUT", 2.0)
    with peer(kind, tmp_path) as (bad, trusted):
        with pytest.raises(BrokerError) as refusal:
            transport(bad.port, trusted)
        assert refusal.value.fault == "network"
    assert CANARY not in str(refusal.value)
    assert CANARY.encode() not in bytes(bad.heard)
    assert b"AUTH" not in bytes(bad.heard)
    assert b"PLAIN" not in bytes(bad.heard)


@pytest.mark.parametrize("trust", ["signed", "pinned"])
def test_f14_a_certificate_that_changes_between_two_connections_is_not_trusted_for_what_it_was(
    tmp_path: Path, trust: str
) -> None:
    (tmp_path / "other").mkdir()
    pem, other = certificate(tmp_path, HOST), certificate(tmp_path / "other", HOST)
    options = f"ssl_fingerprint={pin(pem)}" if trust == "pinned" else f"ssl_ca_certs={quote(str(pem))}"
    with RedisServer() as server, redis.Redis.from_url(server.url) as client, TlsFront(pem, server.port) as front:
        command(client, "ACL", "SETUSER", "user", "on", f">{CANARY}", "~*", "&*", "+@all")
        with subscribed(f"rediss://user:{CANARY}@{HOST}:{front.port}/0?{options}") as heard:
            front.show(other)
            before = bytes(front.heard)
            assert CANARY.encode() in before, "it had proven who it is"
            command(client, "CLIENT", "KILL", "TYPE", "PUBSUB")
            eventually(lambda: "No password was sent." in str(heard.take().links[-1].error), "the refusal")
        assert bytes(front.heard) == before
