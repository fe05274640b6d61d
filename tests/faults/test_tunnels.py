"""F34, S03: a tunnel that breaks is made anew, a jump host that may be another is refused, and nothing stays behind."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from redis import Redis

from app.collectors.errors import NAMES, BrokerError
from app.collectors.redis_queues import RedisQueues
from app.collectors.transport import redis_address
from app.models.wire import Configure, Health
from tests.helpers.collecting import Running, child, collecting, hear
from tests.helpers.hearing import subscribed
from tests.helpers.histories import reading
from tests.helpers.hostile import good
from tests.helpers.proxy import FaultProxy
from tests.helpers.servers import HOST, RedisServer
from tests.helpers.sshd import SshServer, is_alive, tunnels
from tests.helpers.waiting import eventually

CHANNEL = "/0.celeryev/task.multi"
SECRET = "canary-password"
#: Nothing is made for S03 but a first call; so much time would be enough for a storm.
A_WHILE = 3.0


@pytest.fixture
def bastion() -> Iterator[SshServer]:
    """A jump host of the test's own."""
    with SshServer() as server:
        yield server


@contextmanager
def running(url: str, history: Path, **config: object) -> Iterator[Running]:
    """A collector that need not be subscribed."""
    made = Running(Configure(name="shop", url=url, history=str(history), **config))  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.stop()


def texts(collector: Running) -> list[str]:
    """Why it was disconnected, each time."""
    return [said.text for said in collector.said if isinstance(said, Health) and said.state == "disconnected"]


# --- S03: the jump host can't prove who it is ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("another", "sentence"),
    [
        (False, "is not known. Connect once in a terminal"),
        (True, "has changed: another machine may stand in its place"),
    ],
)
def test_s03_where_the_jump_host_is_not_known_no_tunnel_is_made_and_it_is_called_once(
    bastion: SshServer, proxy: FaultProxy, url: str, tmp_path: Path, another: bool, sentence: str
) -> None:
    bastion.forget()
    if another:
        bastion.change_key()
        bastion.know()
    with running(url.replace("//", f"//:{SECRET}@"), tmp_path / "h", options=bastion.options) as collector:
        eventually(lambda: collector.notices("queues"), "what the queues say")
        eventually(lambda: texts(collector), "what the events say")
        told = next(said for said in collector.said if isinstance(said, Health) and said.state == "disconnected")
        assert told.fault == NAMES["tunnel"] == "no tunnel"
        assert sentence in told.text
        assert sentence in collector.notices("queues")[0]
        already = len(collector.said)
        eventually(lambda: len(collector.said) >= already + A_WHILE, "three seconds")
    assert proxy.accepted == 0
    assert bastion.sign_ins == 0
    # The test's own look whether it listens is one of these.
    assert bastion.calls == 2
    assert tunnels() == []


# --- F34: a tunnel breaks --------------------------------------------------------------------------------------------


def test_f34_a_tunnel_that_breaks_is_a_gap_and_is_made_anew(
    bastion: SshServer, redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    with (
        collecting(redis_server.url, tmp_path / "h", options=bastion.options, queues=["mail"]) as collector,
        reading(tmp_path / "h") as reader,
    ):
        eventually(lambda: client.publish(CHANNEL, good(1)) and reader.task("good-1"), "an event")
        before = bastion.sign_ins
        bastion.cut()
        eventually(lambda: collector.was("disconnected"), "that it is noticed")
        eventually(lambda: collector.state == "live", "the next subscription")
        eventually(lambda: client.publish(CHANNEL, good(2)) and reader.task("good-2"), "an event")
        client.lpush("mail", "x")
        eventually(lambda: [q.ready for q in reader.queues() if q.name == "mail"] == [1], "a depth")
        (gap,) = eventually(reader.gaps, "the gap")
        assert gap.why.startswith("The SSH tunnel through bastion broke off: Connection to 127.0.0.1 closed by remote")
        eventually(lambda: bastion.sign_ins >= before + 2, "the connection for queues")
        assert len(tunnels()) <= 3
    assert tunnels() == []


def test_f34_what_was_under_way_when_a_tunnel_broke_is_in_the_gap(
    bastion: SshServer, redis_server: RedisServer, client: Redis
) -> None:
    with subscribed(redis_server.url, bastion.options, ping_after=60.0, dead_after=120.0) as heard:
        client.publish(CHANNEL, "x")
        eventually(lambda: heard.take().payloads, "an event")
        last = heard.stream.heard
        assert last is not None
        # A broker that ended in order now would have told all until now; ssh may have had more.
        eventually(lambda: (heard.stream._whole or 0.0) > last + 0.1, "that nothing more comes")
        bastion.cut()
        eventually(heard.faults, "the loss")
        assert heard.lost().at == last


def test_f34_a_broker_that_ends_in_order_beyond_the_tunnel_is_no_broken_tunnel(
    bastion: SshServer, redis_server: RedisServer
) -> None:
    with subscribed(redis_server.url, bastion.options) as heard:
        redis_server.stop()
        eventually(heard.faults, "the loss")
        where = f"{HOST}:{redis_server.port}/0 through bastion"
        assert (
            str(heard.lost().error) == f"No connection to the broker {where}: it closed the connection. Is it running?"
        )
        redis_server.start()
        eventually(lambda: heard.linked(2), "the next subscription")


def test_f34_another_key_is_refused_for_good_when_the_tunnel_is_made_anew(
    bastion: SshServer, redis_server: RedisServer, client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.collectors.subscriber.AUTH_PAUSE", 0.5)
    monkeypatch.setattr("app.collectors.ssh.AUTH_PAUSE", 0.5)
    with (
        collecting(redis_server.url, tmp_path / "h", options=bastion.options) as collector,
        reading(tmp_path / "h") as reader,
    ):
        sign_ins = bastion.sign_ins
        bastion.kill()
        bastion.change_key()
        bastion.start()
        eventually(lambda: any("has changed" in text for text in texts(collector)), "the refusal")
        calls = bastion.calls
        eventually(lambda: bastion.calls > calls, "another attempt")
        assert "has changed" in texts(collector)[-1]
        assert bastion.sign_ins == sign_ins
        bastion.know()  # an administrator said that it is right
        eventually(lambda: collector.state == "live", "the subscription")
        eventually(lambda: client.publish(CHANNEL, good(1)) and reader.task("good-1"), "an event")


def test_f34_a_jump_host_that_hangs_is_noticed_like_a_broker_that_does(
    bastion: SshServer, redis_server: RedisServer
) -> None:
    with subscribed(redis_server.url, bastion.options, ping_after=0.2, dead_after=1.0) as heard:
        bastion.freeze()
        eventually(heard.faults, "that it is noticed", within=10)
        assert "through bastion does not answer" in str(heard.lost().error)
        bastion.thaw()
        eventually(lambda: heard.linked(2), "the next subscription")
    assert tunnels() == []


def test_f34_a_jump_host_that_hangs_when_it_is_called_is_given_up(
    bastion: SshServer, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bastion.freeze()
    with pytest.raises(BrokerError, match=r"No SSH connection to the jump host bastion: .*timed out") as given_up:
        redis_address(redis_server.url, None, bastion.options).connect()
    assert given_up.value.fault == "network"
    monkeypatch.setattr("app.collectors.ssh.SIGN_IN_TIMEOUT", 0.5)
    with pytest.raises(BrokerError, match="did not let us in within"):
        redis_address(redis_server.url, None, bastion.options).connect()
    assert tunnels() == []


def test_f34_over_rabbitmq_a_tunnel_that_breaks_is_a_gap_and_is_made_anew(
    bastion: SshServer, rabbitmq_url: str, tmp_path: Path
) -> None:
    with (
        collecting(rabbitmq_url, tmp_path / "h", options=bastion.options) as collector,
        reading(tmp_path / "h") as reader,
    ):
        bastion.cut()
        eventually(lambda: collector.was("disconnected"), "that it is noticed")
        eventually(lambda: collector.state == "live", "the next subscription")
        (gap,) = eventually(reader.gaps, "the gap")
        assert gap.why.startswith("The SSH tunnel through bastion broke off")
    assert tunnels() == []


# --- nothing stays behind --------------------------------------------------------------------------------------------


@contextmanager
def recording(config: Configure) -> Iterator[psutil.Process]:
    """A collector's process with tunnels."""
    with child(config) as process:
        listener = threading.Thread(target=lambda: list(hear(process)))
        listener.start()
        try:
            collector = psutil.Process(process.pid)
            eventually(lambda: len(tunnels(collector)) >= 2, "its tunnels")
            yield collector
        finally:
            process.kill()
            process.wait()
            listener.join()


def test_a_collector_that_is_killed_leaves_no_tunnel(
    bastion: SshServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    config = Configure("shop", redis_server.url, str(tmp_path / "h"), options=bastion.options)
    with recording(config) as collector, Redis.from_url(redis_server.url) as client:
        eventually(client.pubsub_numpat, "the subscription")
        left = tunnels(collector)
        collector.kill()
        eventually(lambda: not any(map(is_alive, left)), "their end")
        eventually(lambda: not bastion.children, "their end at the jump host")


def test_a_collector_that_ends_while_its_broker_hangs_leaves_no_tunnel(
    bastion: SshServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    config = Configure("shop", redis_server.url, str(tmp_path / "h"), options=bastion.options)
    with recording(config) as collector, Redis.from_url(redis_server.url) as client:
        eventually(client.pubsub_numpat, "the subscription")
        redis_server.freeze()
        left = tunnels(collector)
        collector.terminate()
        collector.wait(20)
        eventually(lambda: not any(map(is_alive, left)), "their end")
        redis_server.thaw()


def test_a_broker_that_hangs_gathers_no_tunnels(bastion: SshServer, redis_server: RedisServer) -> None:
    with subscribed(redis_server.url, bastion.options, ping_after=0.1, dead_after=0.3) as heard:
        before = bastion.sign_ins
        redis_server.freeze()
        eventually(lambda: bastion.sign_ins >= before + 2, "further attempts", within=30)
        assert len(tunnels()) <= 1
        redis_server.thaw()
        eventually(lambda: heard.linked(2), "the next subscription")


def test_no_password_is_told_to_ssh_in_any_way(bastion: SshServer, tmp_path: Path) -> None:
    with RedisServer("--requirepass", SECRET) as server:
        config = Configure("shop", server.url, str(tmp_path / "h"), SECRET, options=bastion.options)
        with recording(config) as collector, Redis.from_url(server.url, password=SECRET) as client:
            eventually(client.pubsub_numpat, "the subscription")
            assert all(
                {"BatchMode=yes", "StrictHostKeyChecking=yes"} < {*each.cmdline()} for each in tunnels(collector)
            )
            for each in [collector, *collector.children(recursive=True)]:
                told = " ".join([*each.cmdline(), *each.environ().values()])
                assert SECRET not in told
            assert SECRET not in bastion.log


def test_after_sleep_all_tunnels_are_made_anew(bastion: SshServer, redis_server: RedisServer) -> None:
    address = redis_address(redis_server.url, None, bastion.options)
    queues = RedisQueues(address, on_command=lambda _: None)
    queues.poll()
    (old,) = tunnels()
    address.line.drop()
    assert not is_alive(old)
    queues.poll()
    assert len(tunnels()) == 1
    queues.close()
    assert tunnels() == []
