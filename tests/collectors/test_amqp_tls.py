"""RabbitMQ over TLS: nobody is told the password whose certificate does not prove who he is."""

import socket
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from app.collectors.amqp import amqp_address, amqp_connection
from app.collectors.amqp_guard import SIGNING_IN
from app.collectors.amqp_queues import AmqpQueues
from app.collectors.errors import BrokerError
from tests.collectors.test_amqp_events import subscribed
from tests.helpers import rabbits
from tests.helpers.servers import HOST, RabbitServer
from tests.helpers.tls import TlsFront, certificate
from tests.helpers.waiting import eventually


def secured(url: str, port: int, trusted: Path | None) -> str:
    """The same virtual host over TLS at another port."""
    address = f"amqps://guest:guest@{HOST}:{port}/{url.rpartition('/')[2]}"
    return address if trusted is None else f"{address}?ssl_ca_certs={quote(str(trusted))}"


def test_events_and_queues_come_over_tls(rabbitmq_server: RabbitServer, rabbitmq_url: str, tmp_path: Path) -> None:
    pem = certificate(tmp_path, HOST)
    with TlsFront(pem, rabbitmq_server.port) as front:
        url = secured(rabbitmq_url, front.port, pem)
        with (
            subscribed(url, ping_after=0.2, dead_after=5.0) as heard,
            rabbits.client(rabbitmq_url) as channel,
        ):
            # Larger than a record of TLS, and many: nothing of it may be left in the middle of the layers.
            bodies = [f"{number:06d}" + "x" * 30_000 for number in range(300)]
            rabbits.publish(channel, bodies)
            eventually(lambda: len(heard.take().bodies) == len(bodies), "all messages")
            assert heard.bodies == [body.encode() for body in bodies]
            began = heard.stream.heard
            assert began is not None
            eventually(lambda: (heard.stream.heard or 0.0) > began + 1.0, "answers while nothing else comes")
            assert len(heard.links) == 1
            queues = AmqpQueues(amqp_address(url), on_command=lambda _number: None)
            queues.poll()
            queues.close()
        assert b"guest" in front.heard


@pytest.mark.parametrize(
    ("name", "is_trusted", "sentence"),
    [
        (HOST, False, "self-signed certificate"),
        ("other.example", True, "IP address mismatch"),
    ],
)
def test_a_certificate_that_proves_nothing_is_refused_and_no_password_sent(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, tmp_path: Path, name: str, is_trusted: bool, sentence: str
) -> None:
    pem = certificate(tmp_path, name)
    with TlsFront(pem, rabbitmq_server.port) as front:
        url = secured(rabbitmq_url, front.port, pem if is_trusted else None)
        with pytest.raises(BrokerError, match=sentence) as refusal:
            amqp_connection(amqp_address(url), "test", SIGNING_IN)
        assert refusal.value.fault == "network"
        assert "can't be trusted" in str(refusal.value)
    assert front.heard == b""


def test_a_port_without_tls_is_named_as_such(rabbitmq_server: RabbitServer, rabbitmq_url: str) -> None:
    with pytest.raises(BrokerError, match="Does it speak TLS there"):
        amqp_connection(amqp_address(secured(rabbitmq_url, rabbitmq_server.port, None)), "test", SIGNING_IN)


def test_a_peer_that_never_shakes_hands_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.collectors.amqp.CONNECT_TIMEOUT", 0.5)
    with socket.create_server((HOST, 0)) as listener:
        taken: list[socket.socket] = []
        thread = threading.Thread(target=lambda: taken.append(listener.accept()[0]))
        thread.start()
        began = time.monotonic()
        with pytest.raises(BrokerError, match="does not answer"):
            amqp_connection(amqp_address(f"amqps://{HOST}:{listener.getsockname()[1]}"), "test", SIGNING_IN)
        assert time.monotonic() - began < 10.0
        thread.join()
        for connection in taken:
            connection.close()
