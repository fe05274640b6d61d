"""RabbitMQ's management API on a real node: every queue of the virtual host and of no other, and what is unacked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import amqp
import pytest

from app.collectors import management, manager
from app.collectors.amqp import amqp_address
from app.collectors.amqp_queues import AmqpQueues
from app.collectors.errors import BrokerError
from app.models.records import Queue
from tests.helpers import rabbits
from tests.helpers.servers import HOST, RabbitServer
from tests.helpers.waiting import eventually

SECRET = "canary-password"


@contextmanager
def looking(url: str, api: str) -> Iterator[AmqpQueues]:
    made = AmqpQueues(amqp_address(url, None, {"management_url": api}), on_command=lambda _number: None)
    try:
        yield made
    finally:
        made.close()


def found(queues: AmqpQueues) -> dict[str, Queue]:
    return {queue.name: queue for queue in queues.poll().queues}


def api_of(server: RabbitServer) -> str:
    return f"http://{HOST}:{server.management_port}"


@pytest.mark.parametrize("ending", ["", "/", "/api", "/api/"])
def test_all_queues_of_the_virtual_host_are_found_with_what_is_unacked(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(manager, "QUEUES_PAUSE", 0.0)
    with rabbits.client(rabbitmq_url) as channel, rabbits.client(rabbitmq_server.url) as other:
        for name in ("mail", "nobody/consumes me"):
            channel.queue_declare(name, auto_delete=False)
        other.queue_declare("elsewhere")
        for _ in range(3):
            channel.basic_publish(amqp.Message("x"), exchange="", routing_key="mail")
        eventually(lambda: channel.basic_get("mail"), "a message to hold")
        with looking(rabbitmq_url, api_of(rabbitmq_server) + ending) as queues:
            eventually(lambda: found(queues).get("mail", Queue("", 0.0)).unacked == 1, "the sampled figure", within=30)
            seen = found(queues)
        assert {name: (each.ready, each.unacked) for name, each in seen.items()} == {
            "mail": (2, 1), "nobody/consumes me": (0, 0),
        }  # fmt: skip


def test_a_virtual_host_with_a_slash_in_its_name_is_asked_by_that_name(
    rabbitmq_server: RabbitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "QUEUES_PAUSE", 0.0)
    rabbitmq_server.make_virtual_host("a/b")
    try:
        with rabbits.client(rabbitmq_server.url_of("a/b")) as channel:
            channel.queue_declare("mail")
            with looking(rabbitmq_server.url_of("a/b"), api_of(rabbitmq_server)) as queues:
                eventually(lambda: set(found(queues)) == {"mail"}, "its queue")
    finally:
        rabbitmq_server.remove_virtual_host("a/b")


def test_without_the_api_all_else_works_and_why_is_said(rabbitmq_url: str) -> None:
    with rabbits.client(rabbitmq_url) as channel, looking(rabbitmq_url, f"http://{HOST}:1") as queues:
        channel.queue_declare("mail")
        queues.add(["mail"])
        poll = queues.poll()
        assert [(queue.name, queue.ready, queue.unacked) for queue in poll.queues] == [("mail", 0, None)]
        assert "Connection refused" in str(poll.troubles["management"])


@pytest.mark.parametrize(
    ("api", "sentence"),
    [
        ("ftp://h", "like http://host:15672"),
        ("http://", "like http://host:15672"),
        ("nonsense", "like http://host:15672"),
        (f"http://u:{SECRET}@h", "leave user and password out"),
        (f"http://u:{SECRET}/x@h:port", "check host and port"),
    ],
)
def test_an_address_that_makes_no_sense_is_refused_without_a_word_of_it(api: str, sentence: str) -> None:
    with pytest.raises(BrokerError) as refusal:
        amqp_address("amqp://h", None, {"management_url": api})
    assert sentence in str(refusal.value)
    assert SECRET not in str(refusal.value)


# --- what answers there may be anything -------------------------------------------------------------------------------


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server that gives every question the same answer, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asked_of(api: str, page: int = 1) -> tuple[list[management.Managed], int]:
    made = amqp_address(f"amqp://u:{SECRET}@h/a%2Fb", None, {"management_url": api}).management
    assert made is not None
    return made.queues(page)


@pytest.mark.parametrize(
    ("status", "body", "sentence", "fault"),
    [
        (401, b"", "refused the sign-in", "permission"),
        (404, b"", "no such virtual host", "protocol"),
        (500, b"", "answered 500", "protocol"),
        (200, b"<html>", "is not RabbitMQ's management API", "protocol"),
        (200, b"[" * 100_000, "is not RabbitMQ's management API", "protocol"),
        (200, b'{"items": [{"name": 5}]}', "is not RabbitMQ's management API", "protocol"),
        (200, b" " * (management.MAX_ANSWER + 1), "too large", "protocol"),
    ],
)
def test_whatever_answers_is_said_in_a_sentence(status: int, body: bytes, sentence: str, fault: str) -> None:
    with answering(status, body) as (api, _), pytest.raises(BrokerError) as refusal:
        asked_of(api)
    assert sentence in str(refusal.value)
    assert refusal.value.fault == fault
    assert SECRET not in str(refusal.value)


def test_odd_figures_are_unknown_and_odd_names_are_clean() -> None:
    items = [
        {"name": "a\u202eb", "messages_ready": -1, "messages_unacknowledged": None, "consumers": 10**30},
        {"name": ""},
        {"name": "x" * 5_000},
    ]
    with answering(200, json.dumps({"items": items, "page_count": 3}).encode()) as (api, asked):
        assert asked_of(api, 2) == ([management.Managed("a\\u202eb")], 3)
    assert asked == [f"/api/queues/{quote('a/b', safe='')}?page=2&page_size=500&columns={management._COLUMNS}"]
