"""RabbitMQ's management API on a real node: every queue of the virtual host and of no other, and what is unacked."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote

import amqp
import pytest

from app.collectors import managed, management, manager
from app.collectors.amqp import amqp_address
from app.collectors.amqp_queues import AmqpQueues
from app.collectors.doctor import examine
from app.collectors.errors import BrokerError
from app.collectors.tls import fingerprint
from app.models.records import Queue
from app.models.wire import Examine
from tests.helpers import rabbits
from tests.helpers.managing import answering, serving, telling
from tests.helpers.proxy import FaultProxy
from tests.helpers.servers import HOST, RabbitServer
from tests.helpers.tls import TlsFront, certificate
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
def test_q_own6_all_queues_of_the_virtual_host_are_found_with_what_is_unacked(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(manager, "QUEUES_PAUSE", 0.0)
    with rabbits.client(rabbitmq_url) as channel, rabbits.client(rabbitmq_server.url) as other:
        for name in ("mail", "nobody/consumes me"):
            channel.queue_declare(name, auto_delete=False)
        other.queue_declare("elsewhere", exclusive=True)  # goes with its connection
        for _ in range(3):
            channel.basic_publish(amqp.Message("x"), exchange="", routing_key="mail")
        eventually(lambda: channel.basic_get("mail"), "a message to hold")
        with looking(rabbitmq_url, api_of(rabbitmq_server) + ending) as queues:
            eventually(lambda: found(queues).get("mail", Queue("", 0.0)).unacked == 1, "the sampled figure", within=30)
            seen = found(queues)
        assert {name: (each.ready, each.unacked) for name, each in seen.items()} == {
            "mail": (2, 1), "nobody/consumes me": (0, 0),
        }  # fmt: skip


def test_its_connection_is_kept_and_made_anew_where_it_ended(rabbitmq_server: RabbitServer, rabbitmq_url: str) -> None:
    with FaultProxy(rabbitmq_server.management_port) as proxy:
        made = amqp_address(rabbitmq_url, None, {"management_url": f"http://{HOST}:{proxy.port}"}).management
        assert made is not None
        for _ in range(3):
            made.queues()
        assert (proxy.accepted, proxy.open) == (1, 1)
        proxy.cut()
        made.queues()
        proxy.reset()
        made.queues()
        assert proxy.accepted == 3
        made.close()
        eventually(lambda: proxy.open == 0, "its end")
        made.queues()
        made.close()


def test_q_own5_a_virtual_host_with_a_slash_in_its_name_is_asked_by_that_name(
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


def test_q_own4_the_default_virtual_host_shows_its_own_queues_only(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "QUEUES_PAUSE", 0.0)
    with rabbits.client(rabbitmq_server.url) as default, rabbits.client(rabbitmq_url) as other:
        for channel, number in ((default, 1), (other, 3)):
            rabbits.declare(channel, "mail")
            rabbits.send(channel, "mail", number)
        rabbits.declare(other, "other's own")
        try:
            for url in (rabbitmq_server.url, rabbitmq_server.url.replace("%2F", ""), f"{rabbitmq_server.url[:-3]}/"):
                with looking(url, api_of(rabbitmq_server)) as queues:
                    eventually(lambda: found(queues).get("mail", Queue("", 0.0)).unacked == 0, "the sampled figure")
                    seen = found(queues)
                assert seen["mail"].ready == 1
                assert "other's own" not in seen
        finally:
            default.queue_delete("mail")


@pytest.mark.parametrize("name", ["%2F", "a%2Fb", "é ?#&"])
def test_whatever_a_virtual_host_is_called_it_is_asked_by_that_name(rabbitmq_server: RabbitServer, name: str) -> None:
    rabbitmq_server.make_virtual_host(name)
    try:
        with rabbits.client(rabbitmq_server.url_of(name)) as channel:
            rabbits.declare(channel, "mail")
            with looking(rabbitmq_server.url_of(name), api_of(rabbitmq_server)) as queues:
                eventually(lambda: set(found(queues)) == {"mail"}, "its queue")
    finally:
        rabbitmq_server.remove_virtual_host(name)


def test_q17_over_https_its_certificate_has_to_be_right(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, tmp_path: Path
) -> None:
    pem = certificate(tmp_path, HOST)
    pin = fingerprint(ssl.PEM_cert_to_DER_cert(pem.read_text(encoding="ascii").partition("-----BEGIN PRIVATE")[0]))
    with TlsFront(pem, rabbitmq_server.management_port) as api, rabbits.client(rabbitmq_url) as channel:
        rabbits.declare(channel, "mail")
        at = {"management_url": f"https://{HOST}:{api.port}"}
        for trust in ({"ssl_ca_certs": str(pem)}, {"ssl_fingerprint": pin}):
            asked = amqp_address(rabbitmq_url, None, {**at, **trust}).management
            assert asked is not None
            with closing(asked):
                assert [queue.name for queue in asked.queues()[0]] == ["mail"]
        heard = len(api.heard)
        for trust in ({}, {"ssl_fingerprint": "0" * 64}):
            asked = amqp_address(rabbitmq_url, None, {**at, **trust}).management
            assert asked is not None
            with pytest.raises(BrokerError, match="can't be trusted"):
                asked.queues()
        assert len(api.heard) == heard, "no password for who does not prove who he is"


@pytest.mark.parametrize(
    ("url", "usual"),
    [
        ("amqp://user:pass@host:5672/vhost", "http://host:15672"),
        ("amqp://", "http://localhost:15672"),
        ("amqps://localhost", "https://localhost:15671"),
        ("amqp://[::1]:7", "http://[::1]:15672"),
    ],
)
def test_q14_q15_where_it_usually_is_is_known_and_can_be_given_as_it_is(url: str, usual: str) -> None:
    assert amqp_address(url).usual_management == usual
    asked = amqp_address(url, None, {"management_url": usual}).management
    assert asked is not None
    assert asked.shown == f"{usual}/api"
    assert asked.username == ("user" if "user" in url else "guest")
    assert amqp_address(url).management is None, "it is not asked before somebody says so"


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
def test_q16_an_address_that_makes_no_sense_is_refused_without_a_word_of_it(api: str, sentence: str) -> None:
    with pytest.raises(BrokerError) as refusal:
        amqp_address("amqp://h", None, {"management_url": api})
    assert sentence in str(refusal.value)
    assert SECRET not in str(refusal.value)


def test_the_doctor_says_whether_the_api_answers_and_what_it_says(
    rabbitmq_server: RabbitServer, rabbitmq_url: str
) -> None:
    pages = {"queues": {"items": []}, "health": {"alarms": [{"resource": "memory"}]}}
    with telling(pages, {"health": 503}) as (alarmed, _):
        for api, ok, said in (
            ("", None, "its address is not given"),
            (api_of(rabbitmq_server), True, "tells all queues"),
            (f"http://{HOST}:1", False, "Connection refused"),
            (alarmed, True, "tells all queues"),
        ):
            options = {"management_url": api} if api else {}
            found = {
                each.name: each for each in examine(Examine(rabbitmq_url, options=options, mode="passive"), listen=0.1)
            }
            assert found["management API"].ok is ok
            assert said in found["management API"].text
            assert ("alarms" in found) == (api == alarmed)
            if not api:
                assert f"management_url=http://{HOST}:15672" in found["management API"].remedy
    assert found["alarms"].text.endswith("blocks publishers: it is short of memory.")
    assert "vm_memory_high_watermark" in found["alarms"].remedy


# --- what answers there may be anything -------------------------------------------------------------------------------


def asked_of(api: str, page: int = 1) -> tuple[list[managed.Managed], int]:
    made = amqp_address(f"amqp://u:{SECRET}@h/a%2Fb", None, {"management_url": api}).management
    assert made is not None
    with closing(made):
        return made.queues(page)


@pytest.mark.parametrize(
    ("status", "body", "sentence", "fault"),
    [
        (401, b"", "refused the sign-in. The user needs the tag management", "permission"),
        (
            401,
            b'{"error":"not_authorised","reason":"Not management user"}',
            "sign-in (Not management user)",
            "permission",
        ),
        (403, b'{"reason": 5}', "refused the sign-in. ", "permission"),
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
        {
            "name": "odd", "messages_ready": 1, "memory": -5, "type": "", "policy": "p\n", "arguments": [],
            "effective_policy_definition": {"dead-letter-exchange": 7},
            "message_stats": {"publish": 9, "publish_details": [], "ack": 1, "ack_details": {"rate": "1e999"}},
        },
    ]  # fmt: skip
    with answering(200, json.dumps({"items": items, "page_count": 3}).encode()) as (api, asked):
        odd = managed.Managed("odd", ready=1, policy="p\\n")
        assert asked_of(api, 2) == ([managed.Managed("a\\u202eb"), odd], 3)
    assert asked == [f"/api/queues/{quote('a/b', safe='')}?page=2&page_size=500&columns={managed.QUEUE_COLUMNS}"]


def test_q_own6_a_prefix_of_its_path_is_kept() -> None:
    with answering(200, b'{"items": []}') as (api, asked):
        for ending in ("/rabbit", "/rabbit/", "/rabbit/api"):
            assert asked_of(f"{api}{ending}") == ([], 1)
    assert {path.partition("?")[0] for path in asked} == {f"/rabbit/api/queues/{quote('a/b', safe='')}"}


def test_where_counts_come_without_rates_these_are_unknown() -> None:
    """As with ``rates_mode = none``."""
    item = {"name": "q", "messages_ready": 0, "message_stats": {"publish": 5, "ack": 2}}
    with answering(200, json.dumps({"items": [item]}).encode()) as (api, _):
        (queue,), _ = asked_of(api)
    assert (queue.rate_in, queue.rate_out) == (None, None)


def test_an_answer_that_trickles_in_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(management, "ANSWER_TIMEOUT", 0.5)
    stopping = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while not stopping.wait(0.05):
                    self.wfile.write(b" ")

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as port:
        began = time.monotonic()
        with pytest.raises(BrokerError, match="does not answer"):
            asked_of(f"http://{HOST}:{port}")
        assert time.monotonic() - began < 10.0
        stopping.set()
