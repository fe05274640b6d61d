"""F01, F04–F07: the way to the broker breaks, stalls, slows down, heals; each connection notices and comes back."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from app.collectors.errors import BrokerError
from app.collectors.pollers import QueuePoller, Trouble
from app.collectors.queues import Poll
from app.collectors.redis_control import RedisControl
from app.collectors.redis_queues import RedisQueues
from app.collectors.subscriber import DEAD_AFTER, PING_AFTER
from app.collectors.transport import redis_address
from tests.collectors.conftest import command
from tests.helpers.hearing import Heard, subscribed
from tests.helpers.proxy import FaultProxy
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

CHANNEL = "/0.celeryev/task.multi"
DEAD = 0.8
#: How exactly a gap's length is known.
EXACT = 0.5


def hears(client: Redis, heard: Heard) -> None:
    """What is published now arrives."""
    already = len(heard.take().payloads)
    client.publish(CHANNEL, "after")
    eventually(lambda: len(heard.take().payloads) > already, "what came after")


class Asked:
    """What a queue poller put, in order."""

    def __init__(self) -> None:
        self.items: list[Poll | Trouble] = []

    def put(self, item: object) -> None:
        assert isinstance(item, Poll | Trouble)
        self.items.append(item)

    def polls(self) -> int:
        return sum(isinstance(item, Poll) for item in self.items)

    def troubles(self, key: str) -> list[BrokerError | None]:
        return [item.error for item in self.items if isinstance(item, Trouble) and item.key == key]


@contextmanager
def polling(url: str) -> Iterator[Asked]:
    asked = Asked()
    queues = RedisQueues(redis_address(url), ["mail"], on_command=lambda _number: None)
    poller = QueuePoller(queues, asked.put)
    poller.start()
    try:
        eventually(asked.polls, "the first look")
        yield asked
    finally:
        poller.stop()
        poller.join()


def goes_on(asked: Asked, key: str = "queues") -> None:
    """The trouble is over, and looks follow."""
    eventually(lambda: asked.troubles(key)[-1:] == [None], "the end of the trouble")
    already = asked.polls()
    eventually(lambda: asked.polls() > already, "another look")


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.collectors.transport.ANSWER_TIMEOUT", 0.5)


# --- F01: the broker restarts ----------------------------------------------------------------------------------------


def test_f01_a_broker_that_was_killed_is_heard_again_and_the_gap_is_as_long_as_it_was(
    redis_server: RedisServer,
) -> None:
    with subscribed(redis_server.url) as heard:
        killed = time.time()
        redis_server.kill()
        eventually(heard.faults, "the loss")
        redis_server.start()
        eventually(lambda: heard.linked(2), "the second subscription")
        assert heard.lost().at == pytest.approx(killed, abs=EXACT)
        assert "Is it running?" in str(heard.lost().error)
        with Redis.from_url(redis_server.url) as client:
            hears(client, heard)


def test_f01_queues_are_looked_at_again_when_the_broker_is_back(redis_server: RedisServer) -> None:
    with polling(redis_server.url) as asked:
        redis_server.kill()
        eventually(lambda: asked.troubles("queues"), "the loss")
        redis_server.start()
        goes_on(asked)


# --- F04: half-open ---------------------------------------------------------------------------------------------------


def test_f04_what_is_promised_is_kept_by_the_limits_that_are_used() -> None:
    # The socket is looked at twice a second, so the loss is noticed half a second after the limit at most.
    assert PING_AFTER < DEAD_AFTER
    assert DEAD_AFTER + 0.5 <= 15.0


@pytest.mark.parametrize("direction", ["both", "up", "down"])
def test_f04_a_half_open_connection_is_noticed_on_its_own_socket(
    url: str, proxy: FaultProxy, client: Redis, direction: str
) -> None:
    with subscribed(url, ping_after=0.2, dead_after=DEAD) as heard:
        frozen = time.time()
        if direction == "both":
            proxy.freeze()
        else:
            proxy.freeze("up" if direction == "up" else "down")
        eventually(heard.faults, "the silence", within=DEAD + 5.0)
        assert "does not answer" in str(heard.lost().error)
        assert heard.lost().at <= frozen + EXACT, "lost since it was last heard, not since that was noticed"
        proxy.thaw()
        eventually(lambda: heard.linked(2), "the second subscription")
        hears(client, heard)


@pytest.mark.usefixtures("_impatient")
def test_f04_a_half_open_connection_is_noticed_by_those_who_ask(url: str, proxy: FaultProxy) -> None:
    with polling(url) as asked:
        proxy.freeze()
        (error,) = eventually(lambda: asked.troubles("queues"), "the silence")
        assert "does not answer" in str(error)
        proxy.thaw()
        goes_on(asked)


@pytest.mark.usefixtures("_impatient")
def test_f04_a_half_open_connection_does_not_hold_who_asks_workers(url: str, proxy: FaultProxy) -> None:
    control = RedisControl(redis_address(url), "observe", on_command=lambda _number: None)
    assert control.ask("ping", timeout=0.2) == {}
    proxy.freeze()
    with pytest.raises(BrokerError, match="does not answer"):
        control.ask("ping", timeout=0.2)
    proxy.thaw()
    assert control.ask("ping", timeout=0.2) == {}, "it is usable again"
    control.close()


# --- F05: partition, then heal ---------------------------------------------------------------------------------------


def test_f05_after_a_partition_the_gap_is_from_the_last_sign_of_life_to_the_heal(
    url: str, proxy: FaultProxy, client: Redis
) -> None:
    with subscribed(url, ping_after=0.2, dead_after=DEAD) as heard:
        parted = time.time()
        proxy.freeze()
        eventually(heard.faults, "the loss")
        client.publish(CHANNEL, "into the gap")
        proxy.reset()  # what was on its way never comes
        healed = time.time()
        proxy.thaw()
        eventually(lambda: heard.linked(2), "the second subscription")
        assert heard.gap() == pytest.approx(healed - parted, abs=2.0)
        assert heard.payloads == [], "nobody makes up for what was lost"
        hears(client, heard)


def test_f05_a_partition_that_ends_in_a_reset_is_a_gap_since_the_last_sign_of_life(
    url: str, proxy: FaultProxy, client: Redis
) -> None:
    with subscribed(url) as heard:
        hears(client, heard)
        last = heard.stream.heard
        proxy.freeze()
        client.publish(CHANNEL, "into the gap")
        proxy.reset()
        proxy.thaw()
        eventually(lambda: heard.linked(2), "the second subscription")
        assert heard.lost().at == last


# --- F06: a slow broker -----------------------------------------------------------------------------------------------


def test_f06_a_broker_that_sleeps_for_a_while_is_not_given_up() -> None:
    with (
        RedisServer("--enable-debug-command", "local") as server,
        Redis.from_url(server.url) as client,
        subscribed(server.url, ping_after=0.2, dead_after=5.0) as heard,
    ):
        command(client, "DEBUG", "SLEEP", "1.5")
        hears(client, heard)
        assert len(heard.links) == 1


def test_f06_a_delayed_answer_costs_nothing_and_is_told(url: str, proxy: FaultProxy, client: Redis) -> None:
    with subscribed(url) as heard, polling(url) as asked:
        proxy.delay(1.2)
        for _ in range(3):
            client.publish(CHANNEL, "late")
        eventually(lambda: len(heard.take().payloads) == 3, "all of it")
        slow, *_ = eventually(lambda: [each for each in asked.troubles("slow") if each], "that it is slow")
        assert re.search(r"took \d s to answer", str(slow))
        assert [item.took for item in asked.items if isinstance(item, Poll)][-1] >= 1.0
        proxy.delay(0.0)
        goes_on(asked, "slow")
        assert asked.troubles("queues") == []
        assert len(heard.links) == 1


def test_f06_a_trickle_loses_nothing(url: str, proxy: FaultProxy, client: Redis) -> None:
    with subscribed(url) as heard:
        proxy.throttle(100_000)
        for number in range(200):
            client.publish(CHANNEL, f"{number:01000}")
        eventually(lambda: len(heard.take().payloads) == 200, "all of it")
        assert [int(payload) for payload in heard.payloads] == list(range(200))
        assert len(heard.links) == 1


# --- F07: the broker ends or pauses connections ----------------------------------------------------------------------


def test_f07_a_killed_subscription_is_a_short_gap_and_never_silent(redis_server: RedisServer, client: Redis) -> None:
    with subscribed(redis_server.url) as heard:
        killed = time.time()
        command(client, "CLIENT", "KILL", "TYPE", "PUBSUB")
        eventually(lambda: heard.linked(2), "the second subscription")
        assert [link.error is None for link in heard.links] == [True, False, True]
        assert heard.lost().at == pytest.approx(killed, abs=EXACT)
        assert heard.gap() < 1.0 + EXACT
        hears(client, heard)


def test_f07_a_killed_question_is_asked_again(redis_server: RedisServer, client: Redis) -> None:
    with polling(redis_server.url) as asked:
        mine = command(client, "CLIENT", "ID")
        for each in client.client_list():
            if int(each["id"]) != mine:
                command(client, "CLIENT", "KILL", "ID", str(each["id"]))
        already = asked.polls()
        eventually(lambda: asked.polls() > already, "another look")
        assert asked.troubles("queues") == [], "a connection that was found closed is made anew without a word"


def test_f07_a_pause_of_all_clients_loses_nothing(redis_server: RedisServer, client: Redis) -> None:
    with subscribed(redis_server.url, ping_after=0.2, dead_after=5.0) as heard:
        command(client, "CLIENT", "PAUSE", "1000", "ALL")
        hears(client, heard)
        assert len(heard.links) == 1


@pytest.mark.parametrize("size", [0, 5, 40])
def test_f07_a_greeting_that_is_cut_short_is_a_lost_connection(
    url: str, proxy: FaultProxy, client: Redis, size: int
) -> None:
    with subscribed(url) as heard:
        proxy.truncate(size)
        proxy.cut()
        eventually(lambda: len(heard.faults()) >= 2, "the loss, and a failed attempt")
        proxy.truncate(None)
        eventually(lambda: heard.linked(2), "the second subscription")
        assert set(heard.faults()) == {"network"}
        hears(client, heard)
