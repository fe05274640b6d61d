"""Addresses of RabbitMQ, and which kind of broker an address is of."""

from pathlib import Path

import pytest

from app.collectors.amqp import amqp_address
from app.collectors.brokers import broker_at
from app.collectors.errors import BrokerError
from app.collectors.tls import Tls
from app.models.target import target_of
from tests.helpers.tls import certificate


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("amqp://", ("localhost", 5672, "/", "guest", "guest", False)),
        ("amqps://localhost", ("localhost", 5671, "/", "guest", "guest", True)),
        ("amqp://u:p@host:1234/shop", ("host", 1234, "shop", "u", "p", False)),
        ("amqp://host/", ("host", 5672, "/", "guest", "guest", False)),
        ("amqp://host//", ("host", 5672, "/", "guest", "guest", False)),
        ("amqp://host/%2F", ("host", 5672, "/", "guest", "guest", False)),
        ("amqp://host/a%2Fb", ("host", 5672, "a/b", "guest", "guest", False)),
        ("amqp://host/a/b", ("host", 5672, "a/b", "guest", "guest", False)),
        ("amqp://host/%C3%A9%20%25", ("host", 5672, "é %", "guest", "guest", False)),
        ("amqp://us%40er:p%2Fa%3As@host/x", ("host", 5672, "x", "us@er", "p/a:s", False)),
        ("amqp://[::1]:5673/x", ("::1", 5673, "x", "guest", "guest", False)),
        ("pyamqp://host/x", ("host", 5672, "x", "guest", "guest", False)),
    ],
)
def test_an_address_is_read_as_celery_reads_it(url: str, where: tuple[object, ...]) -> None:
    made = amqp_address(url)
    found = (made.host, made.port, made.virtual_host, made.username, made.password.reveal(), made.tls is not None)
    assert found == where


def test_a_password_given_apart_is_the_one_that_counts() -> None:
    assert amqp_address("amqp://u@host/x", "apart").password.reveal() == "apart"


def test_options_come_from_the_address_or_beside_it(tmp_path: Path) -> None:
    trusted = certificate(tmp_path, "h")
    made = amqp_address(f"amqps://h/x?heartbeat=20&ssl_ca_certs={trusted}", None, {"event_exchange": "ev"})
    assert (made.heartbeat, made.tls, made.event_exchange) == (20, Tls(str(trusted)), "ev")
    assert made.control_exchange == "celery"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://u:secret@host/", "host:5672"),
        ("amqp://u:secret@host/a%2Fb", "host:5672/a/b"),
        ("amqp://u:secret@[::1]/x", "[::1]:5672/x"),
        ("amqp://u:secret@host/%0Aevil", r"host:5672/\nevil"),
    ],
)
def test_what_is_shown_has_no_password_and_is_one_line(url: str, shown: str) -> None:
    assert amqp_address(url).shown == shown
    assert "secret" not in repr(amqp_address(url))


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("amqp://u:se/cret@host", "can't be read"),
        ("amqp://u:secret@host:port/", "can't be read"),
        ("amqp://u:secret@[::1/", "can't be read"),
        ("amqp://u:secret@h1;amqp://u:secret@h2", "one RabbitMQ node"),
        ("amqp://u:secret@host/?nonsense=1", "'nonsense' is not known"),
        ("amqp://u:secret@host/?heartbeat=0", "heartbeat"),
        ("amqp://u:secret@host/?heartbeat=soon", "heartbeat"),
        ("amqp://u:secret@host/?heartbeat=99999999999999999999", "heartbeat"),
        ("amqps://u:secret@host/?ssl_ca_certs=nowhere.pem", "no file 'nowhere.pem'"),
        (f"amqp://u:secret@host/{'v' * 256}", "at most 255 bytes"),
        (f"amqp://u:secret@host/?event_exchange={'v' * 256}", "at most 255 bytes"),
    ],
)
def test_a_wrong_address_is_refused_in_a_sentence_without_the_password(url: str, sentence: str) -> None:
    with pytest.raises(BrokerError, match=sentence) as refusal:
        amqp_address(url)
    assert refusal.value.fault == "address"
    said = f"{refusal.value} {refusal.value.__cause__}"
    assert "secret" not in said
    assert "cret" not in said


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://h/0", "RedisBroker"),
        ("rediss://h/0", "RedisBroker"),
        ("redis+socket:///s", "RedisBroker"),
        ("amqp://h", "AmqpBroker"),
        ("amqps://h", "AmqpBroker"),
        ("memory://", "KombuBroker"),
    ],
)
def test_the_scheme_tells_the_kind_of_broker(url: str, kind: str) -> None:
    assert type(broker_at(url)).__name__ == kind


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sentinel://h/0", "master_name=NAME"),
        ("redis+socket://", "path of the socket is missing"),
        ("sqs://key:secret@", "pass each message to one receiver only"),
        ("sqla+sqlite:///x.db", "pass each message to one receiver only"),
        ("confluentkafka://h", "pass each message to one receiver only"),
        ("ftp://u:secret@h", "'ftp' brokers are not supported"),
    ],
)
def test_what_can_not_be_listened_to_is_refused_in_a_sentence(url: str, sentence: str) -> None:
    with pytest.raises(BrokerError, match=sentence) as refusal:
        broker_at(url)
    assert refusal.value.fault == "address"
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "name", "url", "password"),
    [
        ("amqp://", "localhost", "amqp://", None),
        ("amqp://u:p%2Fq@h:5672//", "h:5672", "amqp://u@h:5672//", "p/q"),
        ("amqp://u:secret@h/%2F", "h", "amqp://u@h/%2F", "secret"),
        ("amqp://u:secret@h/a%2Fb", "h/a/b", "amqp://u@h/a%2Fb", "secret"),
    ],
)
def test_a_target_is_named_after_host_and_virtual_host(text: str, name: str, url: str, password: str | None) -> None:
    target = target_of(text)
    assert (target.name, target.url, target.password) == (name, url, password)
    assert "/" not in target.history.name


def test_each_virtual_host_has_a_history_of_its_own() -> None:
    words = ["amqp://h", "amqp://h/a", "amqp://h/b", "amqp://h/a%2Fb", "amqps://h/a", "amqp://u@h/a", "redis://h/0"]
    assert len({target_of(word).history for word in words}) == len(words)


@pytest.mark.parametrize("other", ["amqp://h/", "amqp://h//", "amqp://h/%2F"])
def test_the_virtual_host_that_is_meant_by_none_has_one_history(other: str) -> None:
    assert target_of(other).history == target_of("amqp://h").history
