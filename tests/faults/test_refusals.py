"""F08–F12: the broker answers, and refuses: each refusal has a name and a remedy, costs one ability, and no storm."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from app.collectors import line, rights
from app.collectors.errors import AUTH_PAUSE, NAMES, BrokerError, Fault
from app.collectors.redis_control import RedisControl
from app.collectors.redis_queues import RedisQueues
from app.collectors.rights import Rights
from app.collectors.subscriber import Backoff
from app.collectors.transport import redis_address
from app.models.wire import Configure, Health
from tests.collectors.conftest import command
from tests.helpers.collecting import Running, collecting
from tests.helpers.events import envelope, raw
from tests.helpers.hearing import listening, subscribed
from tests.helpers.histories import reading
from tests.helpers.litter import staying
from tests.helpers.servers import HOST, RedisServer
from tests.helpers.waiting import eventually

CHANNEL = "/0.celeryev/task.multi"


@contextmanager
def running(url: str, history: Path, **config: object) -> Iterator[Running]:
    """A collector that need not be subscribed."""
    made = Running(Configure(name="shop", url=url, history=str(history), **config))  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.stop()


def at(server: RedisServer, user: str) -> str:
    return server.url.replace("redis://", f"redis://{user}@")


def calls(client: Redis, name: str, what: str = "calls") -> int:
    return int(client.info("commandstats").get(f"cmdstat_{name}", {what: 0})[what])


def looks(running: Running, client: Redis, more: int = 2) -> None:
    """So many more looks at the queues, as the broker counts them."""
    before = calls(client, "llen")
    eventually(lambda: calls(client, "llen") >= before + more, "more looks")
    assert running.notices("queues") == []


# --- F08: the sign-in is refused -------------------------------------------------------------------------------------


def test_f08_all_connections_together_try_a_refused_password_once(tmp_path: Path) -> None:
    with RedisServer("--requirepass", "right") as server, Redis.from_url(server.url, password="right") as client:
        with running(server.url, tmp_path / "h", password="wrong") as collector:
            eventually(lambda: collector.notices("queues"), "what the queues say")
            eventually(lambda: collector.was("disconnected"), "what the events say")
            told = next(said for said in collector.said if isinstance(said, Health) and said.state == "disconnected")
            assert told.fault == NAMES["auth"] == "sign-in refused"
            assert "Check user and password." in told.text
            already = len(collector.said)
            eventually(lambda: len(collector.said) >= already + 3, "three seconds")
        (failed,) = [int(entry["count"]) for entry in client.acl_log() if entry["reason"] == "auth"]
        assert failed == 1


def test_f08_a_refused_password_is_tried_again_after_half_a_minute() -> None:
    assert Backoff().after(BrokerError("auth", "no"), 0.1) == AUTH_PAUSE >= 30.0


def test_f08_a_password_that_is_right_again_is_used(monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer) -> None:
    monkeypatch.setattr(line, "AUTH_PAUSE", 0.5)
    monkeypatch.setattr("app.collectors.subscriber.AUTH_PAUSE", 0.5)
    with Redis.from_url(redis_server.url) as client:
        command(client, "ACL", "SETUSER", "mon", "reset", "on", ">old", "allchannels", "%R~*", "+@all")
        with subscribed(at(redis_server, "mon:old")) as heard:
            command(client, "ACL", "SETUSER", "mon", "resetpass", ">new")
            command(client, "CLIENT", "KILL", "TYPE", "PUBSUB")
            eventually(lambda: "auth" in heard.faults(), "the refusal")
            command(client, "ACL", "SETUSER", "mon", ">old")
            eventually(lambda: heard.linked(2), "the second subscription")


# --- F09: rights that are missing ------------------------------------------------------------------------------------

_BASE = "reset on nopass resetchannels"
_ALL = "+@all &* ~*"
#: What is granted, and what is then said under which key; an empty text is nothing said.
VARIANTS: dict[str, tuple[str, dict[str, str]]] = {
    "everything": (_ALL, {"events": "", "rights": "", "workers": ""}),
    "no PSUBSCRIBE": (f"{_ALL} -psubscribe", {"events": "does not permit it", "rights": "", "workers": ""}),
    "no channel": ("+@all ~*", {"events": "channels", "rights": ""}),
    "another channel": ("+@all ~* &/1.celeryev/*", {"events": "channels", "rights": ""}),
    "no LLEN": (f"{_ALL} -llen", {"events": "", "rights": "how many messages wait (LLEN)", "workers": ""}),
    "no HLEN": (f"{_ALL} -hlen", {"events": "", "rights": "workers hold (HLEN)", "workers": ""}),
    "no SCAN": (f"{_ALL} -scan", {"events": "", "rights": "which queues there are (SCAN)", "workers": ""}),
    "no SSCAN": (f"{_ALL} -sscan", {"events": "", "rights": "which queues there are (SSCAN)", "workers": ""}),
    "no MEMORY": (f"{_ALL} -memory|usage", {"events": "", "rights": "how long messages wait (MEMORY USAGE)"}),
    "no LINDEX": (f"{_ALL} -lindex", {"events": "", "rights": "how long messages wait (LINDEX)"}),
    "no HVALS": (f"{_ALL} -hvals", {"events": "", "rights": "of which queues the messages are"}),
    "no ROLE": (f"{_ALL} -role", {"events": "", "rights": "whether this is still the master (ROLE)"}),
    "no INFO, CONFIG, EVAL, KEYS": (f"{_ALL} -info -config -eval -keys -client", {"events": "", "rights": ""}),
    "no keys": ("+@all &*", {"events": "", "rights": "%R~", "workers": "keys"}),
    "one queue's keys": ("+@all &* ~mail* ~unacked ~_kombu*", {"events": "", "rights": "under the keys sms"}),
    "no LPUSH": (f"{_ALL} -lpush", {"events": "", "rights": "", "workers": "'lpush'"}),
    "no EXPIRE": (f"{_ALL} -expire", {"events": "", "rights": "", "workers": "'expire'"}),
    "no PUBLISH": (f"{_ALL} -publish", {"events": "", "rights": "", "workers": "'publish'"}),
    "no write": ("+@read +@pubsub +@connection +role &* %R~*", {"events": "", "workers": "does not permit it"}),
}


def refusals(client: Redis) -> dict[str, int]:
    """How often each command was refused to anybody."""
    stats = client.info("commandstats")
    refused = {name.removeprefix("cmdstat_"): each["rejected_calls"] for name, each in stats.items()}
    return {name: times for name, times in refused.items() if times}


@pytest.mark.parametrize("variant", VARIANTS)
def test_f09_what_is_not_permitted_is_off_with_its_reason_and_nothing_else_is(
    redis_server: RedisServer, client: Redis, tmp_path: Path, variant: str
) -> None:
    granted, expected = VARIANTS[variant]
    command(client, "ACL", "SETUSER", "mon", *_BASE.split(), *granted.split())
    client.sadd("_kombu.binding.mail", "mail\x06\x16\x06\x16mail")
    client.lpush("mail", '{"headers": {"id": "x"}}')
    client.hset("unacked", "1", '[{}, "", "mail"]')
    user = redis_server.url.replace("redis://", "redis://mon:any@")
    heartbeat = envelope(raw("worker-heartbeat", hostname="w@a", uuid=..., freq=2.0, active=0, timestamp=time.time()))
    with running(user, tmp_path / "h", queues=["mail", "sms"]) as collector, reading(tmp_path / "h") as reader:
        if expected["events"]:
            eventually(lambda: collector.was("disconnected"), "the refusal")
            said = [each.text for each in collector.said if isinstance(each, Health) and each.state == "disconnected"]
            assert expected["events"] in said[0]
        else:
            eventually(lambda: collector.was("live"), "the subscription")
            client.publish(CHANNEL, heartbeat)
            eventually(reader.workers, "the worker")
        if expected.get("rights"):
            (told,) = eventually(
                lambda: [t for t in collector.notices("rights") if expected["rights"] in t], "the reason"
            )
            assert "All else works." in told
        if expected.get("workers") and not expected["events"]:
            eventually(lambda: any(expected["workers"] in text for text in collector.notices("workers")), "the reason")
        eventually(lambda: {each.name for each in reader.queues()} >= {"mail", "sms"}, "the queues")
        depths = {each.name: each.ready for each in reader.queues()}
        shown = {"no LLEN": None, "no keys": None}.get(variant, 1)
        assert depths["mail"] == shown, "unknown is not zero"
        if expected.get("rights") == "":
            assert collector.notices("rights") == []
        assert collector.notices("queues") == []
        refused = refusals(client)
        already = len(collector.said)
        eventually(lambda: len(collector.said) >= already + 3, "three seconds")
        more = {name: times - refused.get(name, 0) for name, times in refusals(client).items()}
        # Once may be the first time, or that of another connection; three looks would be three times.
        assert all(times <= 1 for times in more.values()), "what was refused is not asked again and again"
    assert staying(client) == {"_kombu.binding.mail", "mail", "unacked"}, "nothing of ours stays"


def test_f09_what_was_refused_is_not_asked_again_and_again(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    granted = "+@all &/1.nothing ~* -role -scan -hlen -lindex -lpush"
    command(client, "ACL", "SETUSER", "mon", *_BASE.split(), *granted.split())
    client.lpush("mail", "x")
    with running(at(redis_server, "mon:any"), tmp_path / "h", queues=["mail"]) as collector:
        eventually(lambda: collector.was("disconnected"), "the refusal")
        looks(collector, client, more=4 * 8)  # eight looks at four lists
    stats = client.info("commandstats")
    rejected = {name.removeprefix("cmdstat_"): each["rejected_calls"] for name, each in stats.items()}
    # The first look searches the keys for two things at once: bindings, and quarantines.
    assert {name: rejected[name] for name in ("psubscribe", "role", "scan", "hlen", "lindex")} == {
        "psubscribe": 1, "role": 1, "scan": 2, "hlen": 1, "lindex": 1,
    }  # fmt: skip


def test_f09_what_was_refused_is_asked_again_after_a_minute() -> None:
    now = 0.0
    known = Rights("here", lambda: now)
    refusal = ResponseError("unknown command 'LLEN'")
    assert known.may("LLEN", "mail")
    assert not known.take("LLEN", refusal, "mail")
    assert not known.may("LLEN", "mail")
    assert not known.may("LLEN", "sms")
    assert known.may("SCAN")
    now = rights.ASK_AGAIN
    assert known.may("LLEN", "mail")
    assert known.take("LLEN", 1, "mail")
    assert known.trouble() is None


# --- F10: rights that change -----------------------------------------------------------------------------------------


def test_f10_a_channel_that_is_taken_away_is_said_and_used_again_when_it_is_granted(
    redis_server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.collectors.subscriber.AUTH_PAUSE", 0.5)
    command(client, "ACL", "SETUSER", "mon", *_BASE.split(), *_ALL.split())
    with subscribed(at(redis_server, "mon:any")) as heard:
        command(client, "ACL", "SETUSER", "mon", "resetchannels")  # Redis ends the subscription at that
        eventually(lambda: "permission" in heard.faults(), "the refusal")
        command(client, "ACL", "SETUSER", "mon", "allchannels")
        eventually(lambda: heard.linked(2), "the second subscription")


def test_f10_a_command_that_is_taken_away_is_off_and_on_again_when_it_is_granted(
    redis_server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "ASK_AGAIN", 0.2)
    command(client, "ACL", "SETUSER", "mon", *_BASE.split(), *_ALL.split())
    client.lpush("mail", "x")
    queues = RedisQueues(redis_address(at(redis_server, "mon:any")), ["mail"], on_command=lambda _number: None)

    def depth() -> int | None:
        return next(each.ready for each in queues.poll().queues if each.name == "mail")

    assert depth() == 1
    command(client, "ACL", "SETUSER", "mon", "-llen")
    assert depth() is None
    command(client, "ACL", "SETUSER", "mon", "+llen")
    eventually(lambda: depth() == 1, "the depth")
    assert queues.poll().troubles["rights"] is None
    queues.close()


def test_f10_a_user_that_is_deleted_is_a_refused_sign_in(redis_server: RedisServer, client: Redis) -> None:
    command(client, "ACL", "SETUSER", "mon", "reset", "on", ">secret", *_ALL.split())
    with subscribed(at(redis_server, "mon:secret")) as heard:
        command(client, "ACL", "DELUSER", "mon")
        eventually(lambda: "auth" in heard.faults(), "the refusal")


# --- F11: states of the broker, by name ------------------------------------------------------------------------------


def named(server: RedisServer) -> BrokerError:
    """What those who look at queues are told."""
    queues = RedisQueues(redis_address(server.url), ["mail"], on_command=lambda _number: None)
    try:
        with pytest.raises(BrokerError) as told:
            queues.poll()
        return told.value
    finally:
        queues.close()


def refused(server: RedisServer) -> BrokerError:
    """What those who ask workers are told."""
    control = RedisControl(redis_address(server.url), "observe", on_command=lambda _number: None)
    try:
        with pytest.raises(BrokerError) as told:
            control.ask("ping", timeout=0.2)
        return told.value
    finally:
        control.close()


def is_said(error: BrokerError, fault: Fault, word: str, remedy: str) -> None:
    assert error.fault == fault
    assert word in str(error)
    assert remedy in str(error)
    assert NAMES[fault]


def test_f11_loading() -> None:
    slowly = ("--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
    with RedisServer("--enable-debug-command", "local", *slowly) as server:
        with Redis.from_url(server.url) as client:
            pipeline = client.pipeline(transaction=False)
            for number in range(10_000):
                pipeline.set(f"key {number}", "x" * 100)
            pipeline.execute()
            command(client, "SAVE")
        with (
            Redis.from_url(server.url, socket_timeout=0.1, retry=Retry(NoBackoff(), 0)) as reloading,
            pytest.raises(RedisTimeoutError),  # its answer comes when all is loaded
        ):
            command(reloading, "DEBUG", "RELOAD", "NOSAVE")
        is_said(named(server), "loading", "LOADING", "just wait")
        with listening(server.url) as heard:
            eventually(heard.linked, "the subscription, which Redis grants while it loads")


def test_f11_readonly(redis_server: RedisServer) -> None:
    with RedisServer() as master, Redis.from_url(redis_server.url) as client:
        command(client, "REPLICAOF", HOST, str(master.port))
        is_said(refused(redis_server), "replica", "READONLY", "Connect to its master")


def test_f11_masterdown(redis_server: RedisServer, client: Redis) -> None:
    command(client, "CONFIG", "SET", "replica-serve-stale-data", "no")
    command(client, "REPLICAOF", HOST, "1")
    is_said(named(redis_server), "replica", "MASTERDOWN", "Check the link between them")


def test_f11_oom(redis_server: RedisServer, client: Redis) -> None:
    command(client, "CONFIG", "SET", "maxmemory", "1mb")
    is_said(refused(redis_server), "memory", "OOM", "raise maxmemory")


def test_f11_misconf() -> None:
    with RedisServer("--dbfilename", "taken") as server, Redis.from_url(server.url) as client:
        (server.folder / "taken").mkdir()
        command(client, "CONFIG", "SET", "save", "1 1")
        client.set("a", "b")
        eventually(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "the failed save")
        is_said(refused(server), "disk", "MISCONF", "the disk is full")


def test_f11_busy_script() -> None:
    with RedisServer("--lua-time-limit", "50") as server:
        with (
            Redis.from_url(server.url, socket_timeout=0.3, retry=Retry(NoBackoff(), 0)) as client,
            pytest.raises(RedisTimeoutError),
        ):
            command(client, "EVAL", "while 1 do end", "0")
        try:
            is_said(named(server), "script", "BUSY", "SCRIPT KILL")
        finally:
            with Redis.from_url(server.url) as client:
                command(client, "SCRIPT", "KILL")


def test_f11_noauth(redis_server: RedisServer, client: Redis) -> None:
    command(client, "CONFIG", "SET", "requirepass", "secret")
    is_said(named(redis_server), "auth", "NOAUTH", "Enter its user and password")
    with listening(redis_server.url) as heard:
        eventually(heard.faults, "the refusal")
        error = heard.lost().error
        assert error is not None
        is_said(error, "auth", "NOAUTH", "Enter its user and password")


def test_f11_clusterdown() -> None:
    with RedisServer("--cluster-enabled", "yes") as server:
        is_said(named(server), "cluster", "CLUSTERDOWN", "Bring its nodes back")


def test_f11_a_broker_that_can_not_be_written_is_watched_all_the_same(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    command(client, "CONFIG", "SET", "maxmemory", "1mb")
    client.publish(CHANNEL, "")
    with collecting(redis_server.url, tmp_path / "h") as collector, reading(tmp_path / "h") as reader:
        client.publish(
            CHANNEL,
            envelope(raw("worker-heartbeat", hostname="w@a", uuid=..., freq=2.0, active=0, timestamp=time.time())),
        )
        eventually(lambda: any("out of memory" in text for text in collector.notices("workers")), "the state")
        eventually(reader.workers, "the worker")
        assert collector.state == "live"


# --- F12: no connection left -----------------------------------------------------------------------------------------


def test_f12_a_broker_that_is_full_is_waited_for(redis_server: RedisServer, client: Redis) -> None:
    client.ping()
    command(client, "CONFIG", "SET", "maxclients", "1")
    with listening(redis_server.url) as heard:
        eventually(lambda: len(heard.faults()) >= 2, "two refusals")
        assert set(heard.faults()) == {"full"}
        assert "maxclients" in str(heard.lost().error)
        error = named(redis_server)
        is_said(error, "full", "maxclients", "close connections of others")
        command(client, "CONFIG", "SET", "maxclients", "100")
        eventually(heard.linked, "the subscription")


def test_f12_never_more_than_four_connections_to_a_broker(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    most = 0
    with collecting(redis_server.url, tmp_path / "h", queues=["mail"]) as collector:
        for _ in range(5):
            client.publish(
                CHANNEL,
                envelope(raw("worker-heartbeat", hostname="w@a", uuid=..., freq=2.0, active=0, timestamp=time.time())),
            )
            command(client, "CLIENT", "KILL", "TYPE", "PUBSUB")
            before = sum(isinstance(said, Health) for said in list(collector.said))
            eventually(
                lambda: sum(isinstance(said, Health) for said in list(collector.said)) > before + 1,  # noqa: B023
                "two signs of life",
            )
            most = max(most, len(client.client_list()) - 1)
    assert 2 <= most <= 4
