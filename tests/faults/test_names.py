"""F15: the broker's name can't be looked up, takes long, or changes its address. `Line` is given what looks it up."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis import Redis

from app.collectors.errors import BrokerError
from app.collectors.line import Line
from app.collectors.redis_queues import RedisQueues
from app.collectors.transport import RedisAddress, redis_address
from app.models.wire import Configure
from tests.helpers.collecting import Running
from tests.helpers.hearing import listening, subscribed
from tests.helpers.servers import HOST, RedisServer
from tests.helpers.waiting import eventually

CHANNEL = "/0.celeryev/task.multi"
#: Two seconds are promised (SAFETY F25); a busy machine gets another two. A connection is waited for longer.
SOON = 4.0


class Names:
    """A name server: where the name leads now, how often it was asked, and whether it answers."""

    def __init__(self, *ports: int) -> None:
        self.ports = list(ports)
        self.asked = 0
        self.answering = threading.Event()
        self.answering.set()

    def look_up(self, host: str, _port: int, **_: object) -> list[tuple[Any, ...]]:
        assert host == "broker.example"
        self.asked += 1
        self.answering.wait()
        if not self.ports:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, port)) for port in self.ports]


def named(names: Names) -> RedisAddress:
    return msgspec.structs.replace(redis_address("redis://broker.example:6379/0"), line=Line(names.look_up))


@pytest.fixture
def names() -> Iterator[Names]:
    made = Names()
    yield made
    made.answering.set()


def test_f15_a_name_that_is_unknown_is_said_and_asked_again(redis_server: RedisServer, names: Names) -> None:
    with listening(named(names)) as heard:
        eventually(lambda: len(heard.faults()) >= 2, "two attempts")
        assert set(heard.faults()) == {"name"}
        assert "'broker.example' can't be looked up: Name or service not known." in str(heard.lost().error)
        names.ports = [redis_server.port]
        eventually(heard.linked, "the subscription")
        assert names.asked >= 3


def test_f15_those_who_ask_say_the_same(names: Names) -> None:
    queues = RedisQueues(named(names), on_command=lambda _number: None)
    with pytest.raises(BrokerError, match="can't be looked up") as told:
        queues.poll()
    assert told.value.fault == "name"
    queues.close()


def test_f15_a_changed_address_is_found_at_the_next_connection(redis_server: RedisServer, names: Names) -> None:
    with RedisServer() as other, Redis.from_url(other.url) as client:
        names.ports = [redis_server.port]
        with subscribed(named(names)) as heard:
            names.ports = [other.port]
            redis_server.kill()
            eventually(lambda: heard.linked(2), "the subscription at the new address")
            client.publish(CHANNEL, "there")
            eventually(lambda: heard.take().payloads == [b"there"], "what is published there")


def test_f15_each_address_of_a_name_is_tried(redis_server: RedisServer, names: Names) -> None:
    with closing(socket.create_server((HOST, 0))) as gone:
        shut = gone.getsockname()[1]
    names.ports = [shut, redis_server.port]
    with subscribed(named(names)) as heard:
        assert heard.faults() == []


def test_f15_a_name_server_that_does_not_answer_is_not_waited_for(names: Names, redis_server: RedisServer) -> None:
    names.ports = [redis_server.port]
    names.answering.clear()
    slow = Line(names.look_up)
    with pytest.raises(socket.gaierror, match="the name server does not answer"):
        slow.connect("broker.example", 6379, 0.1)
    with pytest.raises(socket.gaierror):
        slow.connect("broker.example", 6379, 0.1)
    assert names.asked == 1, "one question at a time, however long it takes"
    names.answering.set()
    eventually(lambda: _connects(slow), "a late answer is an answer")


def _connects(slow: Line) -> bool:
    try:
        slow.connect("broker.example", 6379, 0.1).close()
    except socket.gaierror:
        return False
    return True


def test_f15_others_go_on_while_a_name_is_looked_up(names: Names, redis_server: RedisServer) -> None:
    names.answering.clear()
    with ExitStack() as held:
        held.callback(names.answering.set)
        with listening(named(names)) as stuck, subscribed(redis_server.url) as heard:
            eventually(lambda: names.asked, "the question")
            with Redis.from_url(redis_server.url) as client:
                client.publish(CHANNEL, "elsewhere")
            eventually(lambda: heard.take().payloads, "what comes from another broker")
            assert stuck.take().links == []
            names.answering.set()


def test_f15_a_collector_ends_soon_though_its_name_server_does_not_answer(
    names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def look_up(host: str, port: int, **how: Any) -> list[tuple[Any, ...]]:
        return real(host, port, **how) if how.get("flags") else names.look_up(host, port)

    names.answering.clear()
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    collector = Running(Configure("shop", "redis://broker.example/0", str(tmp_path / "h")))
    eventually(lambda: names.asked, "the question")
    told = time.monotonic()
    collector.stop()
    assert time.monotonic() - told < SOON


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..b", "\udce4.example"])
def test_f15_a_name_that_is_none_is_said(host: str) -> None:
    with pytest.raises(socket.gaierror, match="it is not a host name"):
        Line().connect(host, 6379)
