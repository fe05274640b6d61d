"""Where a Redis may be: behind TLS, at a socket in the file system, wherever a sentinel says that it is now."""

import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from redis import Redis

from app.collectors.errors import BrokerError
from app.collectors.redis_queues import RedisQueues
from app.collectors.tls import Tls
from app.collectors.transport import redis_address
from tests.helpers.collecting import collecting
from tests.helpers.hearing import listening, subscribed
from tests.helpers.histories import reading
from tests.helpers.hostile import good
from tests.helpers.servers import HOST, RedisServer, SentinelServer
from tests.helpers.tls import TlsFront, certificate, pin
from tests.helpers.waiting import eventually

CHANNEL = "/0.celeryev/task.multi"
SECRET = "canary-password"


@pytest.mark.parametrize(
    ("url", "fields"),
    [
        ("redis://", {"host": "localhost", "port": 6379, "database": 0, "username": None, "password": None}),
        ("redis://user:pass@host:4444/5", {"host": "host", "port": 4444, "database": 5, "username": "user"}),
        ("redis://:pass@host", {"host": "host", "username": None}),
        ("redis://[::1]", {"host": "::1"}),
        ("redis://2001%3Adb8%3A%3A1:6379/3", {"host": "2001:db8::1", "port": 6379, "database": 3}),
        ("redis://h?virtual_host=4", {"database": 4}),
        ("rediss://h", {"tls": Tls()}),
        ("redis://h?ssl_server_name=x.example", {"tls": Tls(server_name="x.example")}),
        ("rediss://h?ssl_cert_reqs=required", {"tls": Tls()}),
        ("rediss://h?ssl_cert_reqs=none&ssl_fingerprint=" + "AB:" * 31 + "ab", {"tls": Tls(fingerprint="ab" * 32)}),
        ("redis+socket:///path/to/socket", {"path": "/path/to/socket", "database": 0, "tls": None}),
        ("redis+socket:///path/to/socket?virtual_host=3", {"path": "/path/to/socket", "database": 3}),
        (
            "sentinel://app:secret@one:26379/7;sentinel://two;three:5?master_name=shop",
            {
                "sentinels": (("one", 26379), ("two", 26379), ("three", 5)), "master_name": "shop", "database": 7,
                "username": "app", "event_channel": "/7.celeryev", "control_channel": "/7.celery.pidbox",
            },
        ),
        ("redis://h/2?fanout_prefix=false", {"event_channel": "celeryev", "control_channel": "celery.pidbox"}),
        ("redis://h/2?fanout_prefix=", {"event_channel": "celeryev"}),
        ("redis://h/2?fanout_prefix=true", {"event_channel": "/2.celeryev"}),
        ("redis://h/2?fanout_prefix=shop{db}-", {"event_channel": "shop2-celeryev"}),
        ("redis://h/2?global_keyprefix=p:&fanout_prefix=x.", {"event_channel": "p:x.celeryev"}),
    ],
)  # fmt: skip
def test_an_address_is_read_as_celery_writes_it(url: str, fields: dict[str, Any]) -> None:
    address = redis_address(url)
    assert {field: getattr(address, field) for field in fields} == fields


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis://localhost:6379/notanint", "'notanint'"),
        ("sentinel://localhost:6379/notanint?master_name=m", "'notanint'"),
        ("redis://u:canary/x@h:port", "check host and port"),
        ("sentinel://h;sentinel://u:canary:x?master_name=m", "check host and port"),
        ("redis://one;redis://two", "no address of a Redis"),
        ("sentinel://one;sentinel://two", "master_name=NAME"),
        ("rediss://h?ssl_cert_reqs=none", "anyone on the way could read the password"),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", "ssl_fingerprint=SHA256"),
        ("rediss://h?ssl_fingerprint=abc", "64 hex digits"),
        ("rediss://h?ssl_ca_certs=/no/such.pem", "no file '/no/such.pem' (ssl_ca_certs)"),
        ("redis+socket:///", "path of the socket is missing"),
    ],
)
def test_an_address_that_makes_no_sense_is_refused_in_a_sentence(url: str, sentence: str) -> None:
    with pytest.raises(BrokerError) as refusal:
        redis_address(url)
    assert sentence in str(refusal.value)
    assert refusal.value.fault == "address"
    assert "canary" not in str(refusal.value)


def test_files_that_are_no_certificates_are_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing", encoding="ascii")
    pem = certificate(tmp_path, HOST)
    for query in (f"ssl_ca_certs={wrong}", f"ssl_certfile={wrong}", f"ssl_certfile={pem}&ssl_keyfile={wrong}"):
        with pytest.raises(BrokerError, match="certificates for this connection can't be used"):
            redis_address(f"rediss://h?{query}")
    with pytest.raises(BrokerError, match="of no use without its certificate"):
        redis_address(f"rediss://h?ssl_keyfile={pem}")


# --- TLS -------------------------------------------------------------------------------------------------------------


def secured(port: int, **options: object) -> str:
    query = "&".join(f"{key}={quote(str(value))}" for key, value in options.items())
    return f"rediss://:{SECRET}@{HOST}:{port}/0?{query}"


def test_events_queues_and_answers_come_over_tls(tmp_path: Path) -> None:
    pem = certificate(tmp_path, HOST)
    with RedisServer("--requirepass", SECRET) as server, TlsFront(pem, server.port) as front:
        url = secured(front.port, ssl_ca_certs=pem)
        with (
            subscribed(url, ping_after=0.2, dead_after=5.0) as heard,
            Redis(HOST, server.port, password=SECRET) as client,
        ):
            client.lpush("mail", "x")
            # Larger than a record of TLS, and many: nothing of it may be left in the middle of the layers.
            sent = [f"{number:06d}" + "x" * 30_000 for number in range(300)]
            for payload in sent:
                client.publish(CHANNEL, payload)
            eventually(lambda: len(heard.take().payloads) == len(sent), "all messages")
            assert heard.payloads == [payload.encode() for payload in sent]
            began = heard.stream.heard
            assert began is not None
            eventually(lambda: (heard.stream.heard or 0.0) > began + 1.0, "answers while nothing else comes")
            assert len(heard.links) == 1
            queues = RedisQueues(redis_address(url), ["mail"], on_command=lambda _number: None)
            assert [queue.ready for queue in queues.poll().queues if queue.name == "mail"] == [1]
            queues.close()
        assert SECRET.encode() in front.heard


@pytest.mark.parametrize(
    ("name", "trust", "sentence"),
    [
        (HOST, "nothing", "self-signed certificate"),
        ("other.example", "its certificate", "IP address mismatch"),
        (HOST, "another pin", "not the one that was pinned"),
    ],
)
def test_f14_a_peer_that_proves_nothing_gets_no_byte_of_a_password(
    tmp_path: Path, name: str, trust: str, sentence: str
) -> None:
    pem = certificate(tmp_path, name)
    given: dict[str, dict[str, object]] = {
        "nothing": {},
        "its certificate": {"ssl_ca_certs": pem},
        "another pin": {"ssl_fingerprint": "0" * 64, "ssl_cert_reqs": "none"},
    }
    with RedisServer() as server, TlsFront(pem, server.port) as front:
        url = secured(front.port, **given[trust])
        with listening(url) as heard:
            eventually(heard.faults, "the refusal")
            assert heard.faults()[0] == "network"
            assert sentence in str(heard.lost().error)
            assert "No password was sent." in str(heard.lost().error)
        queues = RedisQueues(redis_address(url), on_command=lambda _number: None)
        with pytest.raises(BrokerError, match=sentence):
            queues.poll()
        queues.close()
        assert front.heard == b""


def test_a_pinned_certificate_is_enough_and_a_name_may_be_given(tmp_path: Path) -> None:
    pem = certificate(tmp_path, "other.example")
    with RedisServer() as server, TlsFront(pem, server.port) as front:
        base = f"rediss://{HOST}:{front.port}/0"
        with subscribed(f"{base}?ssl_cert_reqs=none&ssl_fingerprint={pin(pem)}"):
            pass
        with subscribed(f"{base}?ssl_ca_certs={quote(str(pem))}&ssl_server_name=other.example"):
            pass


def test_we_prove_ourselves_with_a_certificate_where_the_broker_asks_for_one(tmp_path: Path) -> None:
    pem, ours = certificate(tmp_path, HOST), certificate(tmp_path, "us.example")
    with RedisServer() as server, TlsFront(pem, server.port, clients=ours) as front:
        base = f"rediss://{HOST}:{front.port}/0?ssl_ca_certs={quote(str(pem))}"
        with subscribed(f"{base}&ssl_certfile={quote(str(ours))}"):
            pass
        with listening(base) as heard:
            eventually(heard.faults, "the refusal")
            assert heard.faults()[0] == "network"


def test_a_port_without_tls_is_named_as_such(redis_server: RedisServer) -> None:
    with listening(f"rediss://{HOST}:{redis_server.port}/0") as heard:
        eventually(heard.faults, "the refusal")
        assert "Does it speak TLS there?" in str(heard.lost().error)


def test_a_peer_that_never_shakes_hands_is_given_up() -> None:
    with socket.create_server((HOST, 0)) as hung:
        address = redis_address(f"rediss://{HOST}:{hung.getsockname()[1]}/0")
        with pytest.raises(ssl.SSLError, match="does not answer"):
            address.connect(0.3)


# --- a socket in the file system -------------------------------------------------------------------------------------


def test_a_socket_in_the_file_system_is_a_broker_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with RedisServer("--unixsocket", str(path)) as server, Redis(HOST, server.port, db=3) as client:
        client.lpush("mail", "x")
        url = f"redis+socket://{path}?virtual_host=3"
        with collecting(url, tmp_path / "h", queues=["mail"]) as running, reading(tmp_path / "h") as reader:
            client.publish("/3.celeryev/task.multi", good(1))
            eventually(lambda: reader.task("good-1"), "an event")
            eventually(lambda: [q.ready for q in reader.queues() if q.name == "mail"] == [1], "a depth")
            assert running.notices("queues") == []


def test_a_socket_that_is_not_there_is_said(tmp_path: Path) -> None:
    with listening(f"redis+socket://{tmp_path}/none.sock") as heard:
        eventually(heard.faults, "the refusal")
        assert f"{tmp_path}/none.sock" in str(heard.lost().error)
        assert "No such file or directory" in str(heard.lost().error)


# --- Sentinel --------------------------------------------------------------------------------------------------------


def test_a_name_that_no_sentinel_knows_is_said(tmp_path: Path) -> None:
    with RedisServer() as master, SentinelServer(master) as sentinel:
        with listening(f"{sentinel.url}/0?master_name=other") as heard:
            eventually(heard.faults, "the refusal")
            assert heard.faults()[0] == "address"
            assert "it knows no master of that name" in str(heard.lost().error)
        sentinel.kill()
        with listening(f"{sentinel.url}/0?master_name=shop") as heard:
            eventually(heard.faults, "the refusal")
            assert heard.faults()[0] == "network"
            assert "No sentinel answers" in str(heard.lost().error)
            assert "Connection refused" in str(heard.lost().error)


def test_events_of_kombu_before_5_4_over_sentinel_are_heard() -> None:
    with (
        RedisServer() as master,
        SentinelServer(master) as sentinel,
        Redis.from_url(master.url) as client,
        subscribed(f"{sentinel.url}/0?master_name=shop") as heard,
    ):
        eventually(lambda: client.publish("/{db}.celeryev/task.multi", "before"), "the second subscription")
        client.publish(CHANNEL, "after")
        eventually(lambda: heard.take().payloads[-2:] == [b"before", b"after"], "both")
