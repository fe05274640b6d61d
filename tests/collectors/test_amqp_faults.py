"""RabbitMQ that dies, hangs, refuses and is short of memory, and a Cloche that stands still or is killed."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import amqp
import pytest

from app.collectors.amqp import amqp_address, amqp_connection
from app.collectors.amqp_control import AmqpControl
from app.collectors.amqp_events import AmqpEvents
from app.collectors.amqp_queues import AmqpQueues
from app.collectors.brokers import broker_at
from app.collectors.doctor import examine
from app.collectors.errors import BrokerError
from app.models.wire import Configure, Examine, Health
from tests.collectors.test_amqp_events import listening, own_queue, subscribed
from tests.helpers import rabbits
from tests.helpers.collecting import child, collecting, hear
from tests.helpers.histories import reading
from tests.helpers.servers import HOST, RabbitServer
from tests.helpers.waiting import eventually


@pytest.fixture(scope="module")
def harmed(_a_run_of_its_own: None) -> Iterator[RabbitServer]:
    """A node that the tests of this file may harm, except that each leaves its processes as they are."""
    with RabbitServer() as server:
        yield server


# --- the broker fails ------------------------------------------------------------------------------------------------


def test_a_broker_that_was_killed_or_stopped_is_found_again() -> None:
    with RabbitServer() as server, subscribed(server.url) as heard:
        server.kill()
        eventually(heard.errors, "the loss")
        assert heard.errors()[0].fault == "network"
        server.start()
        eventually(lambda: heard.linked(2), "the second subscription")
        known = len(heard.errors())
        server.stop()
        eventually(lambda: len(heard.errors()) > known, "the end")
        assert "closed the connection: CONNECTION_FORCED" in str(heard.errors()[known])
        server.start()
        eventually(lambda: heard.linked(3), "the third subscription")
        with rabbits.client(server.url) as channel:
            rabbits.publish(channel, ["after"])
        eventually(lambda: heard.take().bodies == [b"after"], "what came after")


def test_a_frozen_broker_is_noticed_on_the_same_connection(harmed: RabbitServer) -> None:
    with subscribed(harmed.url, ping_after=0.3, dead_after=1.0) as heard:
        harmed.freeze()
        frozen = time.time()
        try:
            eventually(heard.errors, "the silence")
        finally:
            harmed.thaw()
        assert "does not answer" in str(heard.errors()[0])
        assert heard.links[1].at < frozen + 0.5, "lost since it was last heard, not since that was noticed"
        eventually(lambda: heard.linked(2), "the second subscription")


def test_silence_is_noticed_within_fifteen_seconds() -> None:
    stream = AmqpEvents(amqp_address("amqp://h"), lambda: None)
    # Half a second at most goes by between two looks.
    assert stream.every + stream.patience + 0.5 < 15.0


def test_questions_to_a_frozen_broker_end_by_themselves(harmed: RabbitServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.collectors.amqp.ANSWER_TIMEOUT", 0.5)
    address = amqp_address(harmed.url)
    queues = AmqpQueues(address, ["asked for"], on_command=lambda _number: None)
    control = AmqpControl(address, "observe", on_command=lambda _number: None)
    with rabbits.client(harmed.url) as channel:
        channel.queue_declare("asked for", auto_delete=False)
        assert [queue.ready for queue in queues.poll().queues] == [0]
        assert control.ask("ping", timeout=0.1) == {}
        harmed.freeze()
        try:
            for ask in (queues.poll, lambda: control.ask("ping", timeout=0.1)):
                with pytest.raises(BrokerError, match="does not answer"):
                    ask()
        finally:
            harmed.thaw()
        assert [queue.ready for queue in queues.poll().queues] == [0]
        assert control.ask("ping", timeout=0.1) == {}
        channel.queue_delete("asked for")
    queues.close()
    control.close()


def test_a_broker_short_of_memory_is_said_to_block(harmed: RabbitServer) -> None:
    with rabbits.client(harmed.url) as channel:
        channel.exchange_declare("celery.pidbox", "fanout", durable=False, auto_delete=False)
        channel.queue_declare("mute.celery.pidbox", exclusive=True)
        channel.queue_bind("mute.celery.pidbox", "celery.pidbox")
        harmed.control("set_vm_memory_high_watermark", "0.00001")
        control = AmqpControl(amqp_address(harmed.url), "observe", on_command=lambda _number: None)
        try:
            with subscribed(harmed.url) as heard:
                with pytest.raises(BrokerError, match="blocks who publishes") as blocked:
                    control.ask("ping", timeout=20.0)
                assert blocked.value.fault == "busy"
                assert len(heard.take().links) == 1, "who only listens is not blocked"
        finally:
            harmed.control("set_vm_memory_high_watermark", "0.4")
            control.close()


# --- we stand still --------------------------------------------------------------------------------------------------


def test_what_comes_while_we_stand_still_waits_for_us(harmed: RabbitServer) -> None:
    with subscribed(harmed.url, ping_after=0.2, dead_after=5.0) as heard, rabbits.client(harmed.url) as channel:
        heard.running.clear()
        rabbits.publish(channel, ["0"])
        eventually(heard.stream.take, "the thread in the middle of this one")
        still = time.monotonic()
        rabbits.publish(channel, [str(number) for number in range(1, 5_000)])
        eventually(lambda: time.monotonic() - still > 0.5, "time for it to notice that it stood still")
        heard.running.set()
        eventually(lambda: len(heard.take().bodies) == 4_999, "all that came meanwhile")
        asked = heard.stream.heard
        assert asked is not None
        eventually(lambda: (heard.stream.heard or 0.0) > asked + 0.5, "answers")
        assert len(heard.take().links) == 1, "nothing was lost, so nothing is said"


def test_what_the_broker_drops_while_we_stand_still_is_a_gap(harmed: RabbitServer) -> None:
    body = "x" * 2_000
    with (
        subscribed(harmed.url, ping_after=0.2, dead_after=10.0, max_length=200) as heard,
        rabbits.client(harmed.url) as channel,
    ):
        before = heard.stream.heard
        assert before is not None
        heard.running.clear()
        rabbits.publish(channel, [body])
        eventually(heard.stream.take, "the thread in the middle of this one")
        # More than the sockets between us hold, so that the queue is full and stays so until we read.
        rabbits.publish(channel, [body] * 20_000)
        eventually(lambda: own_queue(harmed, harmed.url).get("messages_ready") == 200, "the full queue")
        heard.running.set()
        eventually(lambda: heard.linked(2), "the end of the gap")
        began, ended = heard.links[1:]
        assert began.error is not None
        assert "drops events" in str(began.error)
        assert before <= began.at <= ended.at
        assert len(heard.take().bodies) < 20_000
        with rabbits.client(harmed.url) as other:
            rabbits.publish(other, ["after"])
        eventually(lambda: heard.take().bodies[-1:] == [b"after"], "what came after")


def test_who_was_cut_off_while_standing_still_is_deaf_since_then(harmed: RabbitServer) -> None:
    with subscribed(harmed.url, ping_after=0.2, dead_after=10.0) as heard, rabbits.client(harmed.url) as channel:
        heard.running.clear()
        rabbits.publish(channel, ["0"])
        eventually(heard.stream.take, "the thread in the middle of this one")
        still = time.time()
        rabbits.close_connections(harmed, "cloche-events")
        eventually(lambda: time.time() > still + 2.0, "some time")
        heard.running.set()
        eventually(heard.errors, "the loss")
        assert heard.links[1].at <= still


def test_a_collector_that_was_stopped_for_a_while_loses_nothing(harmed: RabbitServer, tmp_path: Path) -> None:
    with child(Configure("shop", harmed.url, str(tmp_path / "h"))) as process, rabbits.client(harmed.url) as channel:
        said = hear(process)
        assert any(isinstance(each, Health) and each.state == "live" for each in said)
        os.kill(process.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        bodies = [
            f'{{"type":"task-started","hostname":"w","uuid":"t{n}","timestamp":{time.time()}}}' for n in range(3_000)
        ]
        rabbits.publish(channel, bodies)
        eventually(lambda: time.monotonic() - stopped > 7.0, "longer than Celery's queues keep an event")
        os.kill(process.pid, signal.SIGCONT)
        states = set()
        from_here = time.monotonic()
        for each in said:
            if isinstance(each, Health):
                states.add(each.state)
            if time.monotonic() - from_here > 3.0:
                break
        process.terminate()
        assert process.wait(10) == 0
    with reading(tmp_path / "h") as reader:
        assert reader.accounting().stored == 3_000
    assert states == {"live"}


# --- it is refused ---------------------------------------------------------------------------------------------------


def test_a_refused_sign_in_is_told_from_all_else_and_not_repeated(
    rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[None] = []
    connect = amqp.Connection.connect

    def counted(self: amqp.Connection) -> object:
        attempts.append(None)
        return connect(self)

    monkeypatch.setattr(amqp.Connection, "connect", counted)
    address = amqp_address(rabbitmq_url.replace("guest:guest", "guest:kanarienvogel"))
    stream = AmqpEvents(address, lambda: None)
    queues = AmqpQueues(address, on_command=lambda _number: None)
    control = AmqpControl(address, "observe", on_command=lambda _number: None)
    for ask in (stream.listen, queues.poll, lambda: control.ask("ping"), stream.listen):
        with pytest.raises(BrokerError, match="refused the sign-in") as refusal:
            ask()
        assert refusal.value.fault == "auth"
        assert "kanarienvogel" not in str(refusal.value)
    assert len(attempts) == 1, "what one connection learnt, the others know"


@pytest.mark.parametrize(
    ("change", "fault", "sentence"),
    [
        ("/missing", "address", "no virtual host 'missing'"),
        ("/a%2Fmissing", "address", "no virtual host 'a/missing'"),
    ],
)
def test_a_virtual_host_that_is_not_there_is_named(rabbitmq_url: str, change: str, fault: str, sentence: str) -> None:
    with listening(rabbitmq_url.rpartition("/")[0] + change) as heard:
        eventually(heard.errors, "the refusal")
        (error,) = heard.errors()
        assert error.fault == fault
        assert sentence in str(error)


def test_a_user_of_another_virtual_host_is_not_let_in(rabbitmq_server: RabbitServer, rabbitmq_url: str) -> None:
    rabbits.manage(rabbitmq_server, "PUT", "users/elsewhere", {"password": "secret", "tags": ""})
    with listening(rabbitmq_url.replace("guest:guest", "elsewhere:secret")) as heard:
        eventually(heard.errors, "the refusal")
        assert heard.errors()[0].fault == "permission"
        assert "refused for user 'elsewhere'" in str(heard.errors()[0])


@pytest.mark.parametrize(
    ("name", "rights"),
    [("noqueue", ("^$", ".*", ".*")), ("nobind", (".*", "^$", ".*")), ("noread", (".*", ".*", "^$"))],
)
def test_a_right_that_is_missing_is_named(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, name: str, rights: tuple[str, str, str]
) -> None:
    with rabbits.client(rabbitmq_url) as channel:
        channel.exchange_declare("celeryev", "topic", durable=True, auto_delete=False)
    url = rabbits.make_user(rabbitmq_server, rabbitmq_url, name, *rights)
    with listening(url) as heard:
        eventually(heard.errors, "the refusal")
        assert heard.errors()[0].fault == "permission"
        assert "does not permit it: ACCESS_REFUSED" in str(heard.errors()[0])
        assert "secret" not in str(heard.errors()[0])


def test_the_rights_that_the_doctor_prints_are_enough(rabbitmq_server: RabbitServer, rabbitmq_url: str) -> None:
    with rabbits.client(rabbitmq_url) as channel:
        # As workers and their first client leave it.
        channel.exchange_declare("celeryev", "topic", durable=True, auto_delete=False)
        channel.exchange_declare("celery.pidbox", "fanout", durable=False, auto_delete=False)
        channel.queue_declare("celery", durable=True, auto_delete=False)
    told = broker_at(rabbitmq_url).remedies.listen
    rights = [told.partition(f"{word} ")[2].partition("$")[0] + "$" for word in ("configure", "write", "read")]
    url = rabbits.make_user(rabbitmq_server, rabbitmq_url, "least", *rights)
    found = {finding.name: finding for finding in examine(Examine(url), listen=0.5)}
    assert [found[name].ok for name in ("connect", "sign in", "subscribe", "queues")] == [True] * 4
    assert found["workers"].text == "none answers."
    queues = AmqpQueues(amqp_address(url), ["celery"], on_command=lambda _number: None)
    assert [queue.ready for queue in queues.poll().queues] == [0]
    queues.close()


@pytest.mark.parametrize(
    ("url", "fault", "sentence"),
    [
        ("amqp://no.such.host.invalid", "name", "can't be looked up"),
        ("amqp://127.0.0.1:1", "network", "Connection refused"),
    ],
)
def test_a_host_that_is_not_reached_is_told_from_one_that_is_not_known(url: str, fault: str, sentence: str) -> None:
    with pytest.raises(BrokerError, match=sentence) as refusal:
        amqp_connection(amqp_address(url), "test")
    assert refusal.value.fault == fault


@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 400 Bad\r\n\r\n" * 9, b"-ERR unknown command\r\n", b"\x01\x00\x00" * 99]
)
def test_what_is_no_rabbitmq_is_said_not_to_be_one(greeting: bytes) -> None:
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(10)
        port = listener.getsockname()[1]

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(greeting)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(BrokerError) as refusal:
            amqp_connection(amqp_address(f"amqp://{HOST}:{port}"), "test")
        thread.join()
    assert refusal.value.fault in ("protocol", "network")


# --- it is killed ----------------------------------------------------------------------------------------------------


def test_a_killed_collector_leaves_nothing_at_the_broker(harmed: RabbitServer, tmp_path: Path) -> None:
    with child(Configure("shop", harmed.url, str(tmp_path / "h"))) as process:
        assert any(isinstance(said, Health) and said.state == "live" for said in hear(process))
        assert own_queue(harmed, harmed.url)["exclusive"]
        process.kill()
        process.wait()
    eventually(lambda: rabbits.queues(harmed, harmed.url) == {}, "nothing left behind")


def test_the_password_is_nowhere(rabbitmq_server: RabbitServer, rabbitmq_url: str, tmp_path: Path) -> None:
    secret = "kanarienvogel-4711"
    rabbits.manage(rabbitmq_server, "PUT", "users/canary", {"password": secret, "tags": ""})
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    rabbits.manage(rabbitmq_server, "PUT", f"permissions/{rabbits.host_of(rabbitmq_url)}/canary", rights)
    url = rabbitmq_url.replace("guest:guest@", "canary@")
    with collecting(url, tmp_path / "h", password=secret) as running:
        rabbits.manage(rabbitmq_server, "PUT", "users/canary", {"password": "another", "tags": ""})
        rabbits.close_connections(rabbitmq_server, "cloche-events")
        eventually(lambda: "refused the sign-in" in " ".join(str(said) for said in running.said), "the refusal")
    said = "".join(str(message) for message in running.said).encode()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret.encode() not in said + written
    assert b"amqp://canary@" in written, "the address itself is kept"
