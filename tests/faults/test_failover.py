"""F02, F03: a master dies, or is made a replica and its connections stay: we notice, and go where the address leads."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.collectors import redis_role
from app.collectors.errors import BrokerError
from app.collectors.redis_queues import RedisQueues
from app.collectors.redis_role import RoleWatch
from app.collectors.transport import redis_address
from app.models.history.reader import Reader
from app.models.wire import Health
from tests.collectors.conftest import command
from tests.helpers.collecting import Running, collecting
from tests.helpers.events import envelope, raw
from tests.helpers.histories import reading
from tests.helpers.hostile import good
from tests.helpers.proxy import FaultProxy
from tests.helpers.servers import HOST, RedisServer, SentinelServer
from tests.helpers.waiting import eventually

CHANNEL = "/0.celeryev/task.multi"


# --- Sentinel --------------------------------------------------------------------------------------------------------


class Group(msgspec.Struct):
    """A master and its replica, and three sentinels of which two have to agree."""

    master: RedisServer
    replica: RedisServer
    sentinels: list[SentinelServer]

    @property
    def url(self) -> str:
        """All of its sentinels; where the first of them should be nobody is."""
        return ";".join([f"sentinel://{HOST}:1/0", *(sentinel.url for sentinel in self.sentinels)])


@pytest.fixture
def group() -> Iterator[Group]:
    with (
        RedisServer() as master,
        RedisServer("--replicaof", HOST, str(master.port)) as replica,
        SentinelServer(master, 2) as first,
        SentinelServer(master, 2) as second,
        SentinelServer(master, 2) as third,
        Redis(port=first.port) as watcher,
    ):

        def known(whom: str) -> int:
            return len(command(watcher, "SENTINEL", whom, "shop"))

        eventually(lambda: (known("REPLICAS"), known("SENTINELS")) == (1, 2), "that all know each other", within=60)
        yield Group(master, replica, [first, second, third])


@contextmanager
def watching(group: Group, folder: Path) -> Iterator[tuple[Running, Reader]]:
    """A collector that has heard of the first master."""
    with (
        collecting(group.url, folder / "h", options={"master_name": "shop"}, queues=["mail"]) as running,
        reading(folder / "h") as reader,
        Redis.from_url(group.master.url) as client,
    ):
        client.publish(CHANNEL, good(1))
        eventually(lambda: reader.task("good-1"), "an event of the first master")
        yield running, reader


def follows(group: Group, running: Running, reader: Reader) -> None:
    """It hears of the new master, which is one, and looks there for what waits."""
    # A Redis that is made a master cuts off who is connected to it.
    with Redis.from_url(group.replica.url, retry=Retry(NoBackoff(), 3)) as successor:
        eventually(lambda: command(successor, "ROLE")[0] in (b"master", "master"), "the failover", within=60)
        eventually(
            lambda: successor.publish(CHANNEL, good(2)) and reader.task("good-2"), "an event of the second", within=60
        )
        eventually(lambda: running.state == "live", "that all is well")
        successor.lpush("mail", "x")
        eventually(lambda: [q.ready for q in reader.queues() if q.name == "mail"] == [1], "a depth of the second")
    assert reader.gaps(), "nobody listened in between"


def test_f02_a_master_that_dies_is_left_for_the_one_that_its_sentinels_agree_on(group: Group, tmp_path: Path) -> None:
    with watching(group, tmp_path) as (running, reader):
        group.sentinels[0].kill()  # two are enough
        group.master.kill()
        follows(group, running, reader)


def test_f03_a_master_that_its_sentinels_make_a_replica_is_left_though_it_lives(group: Group, tmp_path: Path) -> None:
    with watching(group, tmp_path) as (running, reader), Redis(port=group.sentinels[0].port) as sentinel:
        command(sentinel, "SENTINEL", "FAILOVER", "shop")
        follows(group, running, reader)
        with Redis.from_url(group.master.url) as old:
            eventually(lambda: old.info("replication")["role"] == "slave", "that it is one now", within=60)
            assert old.pubsub_numpat() == 0, "nobody of ours listens there any more"


# --- a replica that only the address leads away from -----------------------------------------------------------------


def test_f03_the_role_is_asked_for_often_enough() -> None:
    # Then all is connected anew within a second or two: 15 s are promised.
    assert redis_role.ROLE_PAUSE <= 10.0


def test_f03_a_demoted_master_is_left_for_the_new_one(
    redis_server: RedisServer, proxy: FaultProxy, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_role, "ROLE_PAUSE", 1.0)
    with (
        RedisServer() as other,
        Redis.from_url(redis_server.url) as old,
        Redis.from_url(other.url) as new,
        collecting(url, tmp_path / "h", queues=["mail"]) as collector,
        reading(tmp_path / "h") as reader,
    ):
        eventually(lambda: any(each.name == "mail" for each in reader.queues()), "a look at the old one")
        # The address leads to the new master from now on, as a service or a virtual address does; nobody ends
        # the connections to the old one, which is alive and replicates from somewhere that is not heard here.
        proxy.target = other.port
        command(old, "REPLICAOF", HOST, "1")
        new.lpush("mail", "x")
        eventually(lambda: "became a replica of 127.0.0.1:1" in _said(collector.said), "why")
        eventually(lambda: collector.state == "live", "the subscription at the new one")
        eventually(lambda: new.publish(CHANNEL, good(1)) and reader.task("good-1"), "an event of the new one")
        eventually(lambda: [q.ready for q in reader.queues() if q.name == "mail"] == [1], "a depth of the new one")
        (gap,) = reader.gaps()
        assert "All connections are made anew." in gap.why
        eventually(lambda: collector.notices("role")[-1:] == [""], "that all is well")


def test_f03_a_switch_that_comes_later_than_the_demotion_is_found(
    redis_server: RedisServer, proxy: FaultProxy, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_role, "ROLE_PAUSE", 0.3)
    with (
        RedisServer() as other,
        Redis.from_url(redis_server.url) as old,
        Redis.from_url(other.url) as new,
        collecting(url, tmp_path / "h", queues=["mail"]) as collector,
        reading(tmp_path / "h") as reader,
    ):
        eventually(lambda: any(each.name == "mail" for each in reader.queues()), "a look at the old one")
        command(old, "REPLICAOF", HOST, "1")
        eventually(lambda: any("is a replica of" in text for text in collector.notices("role")), "that it is one")
        proxy.target = other.port
        eventually(lambda: new.publish(CHANNEL, good(1)) and reader.task("good-1"), "an event of the new one")
        assert "leads to the new master" in _said(collector.said)


def test_f03_a_replica_that_was_always_one_is_said_and_not_left(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_role, "ROLE_PAUSE", 0.1)
    with RedisServer() as master, Redis.from_url(redis_server.url) as replica, Redis.from_url(master.url) as client:
        command(replica, "REPLICAOF", HOST, str(master.port))
        eventually(lambda: replica.info("replication")["master_link_status"] == "up", "the replication")
        with (
            collecting(redis_server.url, tmp_path / "h", queues=["mail"]) as collector,
            reading(tmp_path / "h") as reader,
        ):
            (told,) = eventually(lambda: collector.notices("role"), "that it is one")
            assert told.endswith("Connect to the master.")
            client.publish(CHANNEL, good(1))
            eventually(lambda: reader.task("good-1"), "an event that the master passed on")
            before = _asked(replica)
            eventually(lambda: _asked(replica) >= before + 5, "five more questions for its role")
            assert collector.notices("role") == [told]
            assert not collector.was("disconnected")


def test_f03_where_the_role_may_not_be_asked_for_a_refused_write_tells(
    redis_server: RedisServer, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.collectors.questions.INSPECT_PAUSE", 0.1)
    monkeypatch.setattr("app.collectors.questions.UNANSWERED_PAUSE", 0.1)
    with RedisServer() as other, Redis.from_url(redis_server.url) as old, Redis.from_url(other.url) as new:
        for each in (old, new):
            command(each, "ACL", "SETUSER", "mon", "reset", "on", "nopass", "allkeys", "allchannels", "+@all", "-role")
        heartbeat = envelope(raw("worker-heartbeat", hostname="w@a", uuid=..., freq=2.0, active=0))
        with collecting(f"redis://mon:any@{HOST}:{proxy.port}/0", tmp_path / "h") as collector:
            old.publish(CHANNEL, heartbeat)
            eventually(lambda: collector.notices("workers"), "that workers can be asked")
            proxy.target = other.port
            command(old, "REPLICAOF", HOST, "1")
            eventually(lambda: "takes no writes" in _said(collector.said), "why")
            eventually(lambda: collector.state == "live" and new.pubsub_numpat(), "the subscription at the new one")


def _said(said: Sequence[object]) -> str:
    return "\n".join(each.text for each in said if isinstance(each, Health))


def _asked(client: Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_role", {"calls": 0})["calls"])


def test_f03_an_answer_that_is_none_tells_nothing() -> None:
    watch = RoleWatch("here")
    for reply in (None, [], [b"sentinel", []], [b"slave"], [b"slave", 5, 5], b"master", 7):
        watch.take(reply)
        assert watch.trouble is None


def test_f03_the_story_of_a_failover_and_back() -> None:
    watch = RoleWatch("here")

    def fault(reply: object) -> str | None:
        watch.take(reply)
        return None if watch.trouble is None else watch.trouble.fault

    master, replica = [b"master", 0, []], [b"slave", b"10.0.0.2", 6379, b"connected", 0]
    assert [fault(each) for each in (master, master, replica, replica, replica, master, master)] == [
        None, None, "moved", "replica", "replica", "moved", None,
    ]  # fmt: skip


def test_f03_who_looks_at_queues_goes_on_when_the_role_is_refused(redis_server: RedisServer) -> None:
    with Redis.from_url(redis_server.url) as client:
        command(client, "ACL", "SETUSER", "mon", "reset", "on", "nopass", "allkeys", "+@all", "-role")
    url = redis_server.url.replace("redis://", "redis://mon:any@")
    queues = RedisQueues(redis_address(url), ["mail"], on_command=lambda _number: None)
    poll = queues.poll()
    assert [each.ready for each in poll.queues] == [0]
    assert poll.troubles["role"] is None
    assert isinstance(poll.troubles["rights"], BrokerError)
    queues.close()
