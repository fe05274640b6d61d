"""The subscriber on a real Redis: it hears what is published, notices when it does not, and comes back."""

import time

from redis import Redis

from app.collectors.redis_events import glob_escape
from tests.collectors.conftest import command
from tests.helpers.hearing import Heard, subscribed
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually


def test_it_hears_every_event_in_order_and_nothing_else(redis_server: RedisServer, client: Redis) -> None:
    with subscribed(redis_server.url) as heard:
        for number in range(500):
            client.publish("/0.celeryev/task.multi", str(number))
            client.publish("/0.celery.pidbox", "not an event")
            client.publish("/1.celeryev/task.multi", "of another database")
        eventually(lambda: len(heard.take().payloads) >= 500, "500 messages")
        assert heard.payloads == [str(number).encode() for number in range(500)]


def test_producers_without_routing_keys_are_heard_too(redis_server: RedisServer, client: Redis) -> None:
    with subscribed(redis_server.url) as heard:
        eventually(lambda: client.publish("/0.celeryev", "x"), "the second pattern")
        eventually(lambda: heard.take().payloads, "the message")


def test_database_and_prefix_tell_applications_apart(redis_server: RedisServer, client: Redis) -> None:
    url = redis_server.url.rsplit("/", 1)[0] + "/3"
    with subscribed(url, {"global_keyprefix": "shop[1]*:"}) as heard:
        client.publish("/3.celeryev/task.sent", "no prefix")
        client.publish("shop1x:/3.celeryev/task.sent", "what the prefix would match as a pattern")
        client.publish("shop[1]*:/3.celeryev/task.sent", "ours")
        eventually(lambda: heard.take().payloads, "the message")
        assert heard.payloads == [b"ours"]


def test_a_burst_waits_in_memory_while_nobody_decodes(redis_server: RedisServer, client: Redis) -> None:
    # 60 MB, nearly twice what Redis keeps for a subscriber before it cuts it off.
    message, number = "x" * 6_000, 10_000
    with subscribed(redis_server.url) as heard:
        for _ in range(number // 100):
            pipeline = client.pipeline(transaction=False)
            for _ in range(100):
                pipeline.publish("/0.celeryev/task.multi", message)
            pipeline.execute()
        eventually(lambda: len(heard.take().payloads) == number, "all messages")
        assert len(heard.links) == 1


def test_the_broker_no_longer_presses_once_all_of_a_burst_is_taken(redis_server: RedisServer, client: Redis) -> None:
    # Decoding waits while it does, and nothing more may come to say that it is over.
    with subscribed(redis_server.url, ping_after=60.0, dead_after=90.0) as heard:
        client.publish("/0.celeryev/task.multi", "x" * (8 << 20))
        eventually(lambda: heard.take().payloads, "the message")
        eventually(lambda: not heard.stream.pressed, "the end of the burst")


def test_a_killed_connection_is_said_and_made_again(redis_server: RedisServer, client: Redis) -> None:
    with subscribed(redis_server.url) as heard:
        command(client, "CLIENT", "KILL", "TYPE", "PUBSUB")
        eventually(lambda: heard.linked(2), "the second subscription")
        assert heard.faults() == ["network"]
        lost, found = heard.links[1], heard.links[2]
        assert found.at >= lost.at
        client.publish("/0.celeryev/task.multi", "after")
        eventually(lambda: heard.take().payloads == [b"after"], "what came after")


def test_a_restarted_broker_is_found_again(redis_server: RedisServer) -> None:
    with subscribed(redis_server.url) as heard:
        redis_server.kill()
        eventually(heard.faults, "the loss")
        redis_server.start()
        eventually(lambda: heard.linked(2), "the second subscription")


def test_a_frozen_broker_is_noticed_on_the_same_socket(redis_server: RedisServer) -> None:
    with subscribed(redis_server.url, ping_after=0.3, dead_after=1.0) as heard:
        redis_server.freeze()
        frozen = time.time()
        eventually(heard.faults, "the silence")
        redis_server.thaw()
        assert "does not answer" in str(heard.links[1].error)
        assert heard.links[1].at < frozen + 0.5, "lost since it was last heard, not since that was noticed"
        eventually(lambda: heard.linked(2), "the second subscription")


def test_an_idle_broker_is_not_taken_for_a_dead_one(redis_server: RedisServer, client: Redis) -> None:
    with subscribed(redis_server.url, ping_after=0.1, dead_after=0.7) as heard:

        def pings() -> int:
            return int(client.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"])

        eventually(lambda: pings() >= 3, "three PINGs")
        assert len(heard.take().links) == 1


def test_a_wrong_password_is_a_refused_sign_in() -> None:
    with RedisServer("--requirepass", "right") as server:
        address = f"redis://:wrong@127.0.0.1:{server.port}/0"
        heard = Heard(address)
        heard.stream.start()
        try:
            assert eventually(heard.faults, "the refusal") == ["auth"]
            assert "wrong" not in str(heard.links[0].error)
        finally:
            heard.stream.stop()
            heard.stream.join()


def test_a_user_who_may_only_listen_is_enough(redis_server: RedisServer, client: Redis) -> None:
    command(
        client, "ACL", "SETUSER", "mon", "reset", "on", ">secret", "resetchannels", "&/0.celeryev/*", "%R~*", "-@all",
        "+psubscribe", "+punsubscribe", "+ping", "+auth",
    )  # fmt: skip
    with subscribed(redis_server.url.replace("redis://", "redis://mon:secret@")) as heard:
        client.publish("/0.celeryev/task.multi", "x")
        eventually(lambda: heard.take().payloads == [b"x"], "the message")


def test_a_user_who_may_not_listen_is_told_so(redis_server: RedisServer, client: Redis) -> None:
    command(client, "ACL", "SETUSER", "deaf", "reset", "on", ">secret", "resetchannels", "+@all", "~*")
    heard = Heard(redis_server.url.replace("redis://", "redis://deaf:secret@"))
    heard.stream.start()
    try:
        assert eventually(heard.faults, "the refusal") == ["permission"]
    finally:
        heard.stream.stop()
        heard.stream.join()


def test_it_sends_nothing_but_the_subscription(redis_server: RedisServer, client: Redis) -> None:
    before = {name: stats["calls"] for name, stats in client.info("commandstats").items()}
    with subscribed(redis_server.url):
        after = {name: stats["calls"] for name, stats in client.info("commandstats").items()}
    sent = {name for name in after if after[name] > before.get(name, 0)}
    assert sent <= {"cmdstat_psubscribe", "cmdstat_info"}


def test_a_channel_as_a_pattern_matches_only_itself() -> None:
    assert glob_escape("a[b]*?^\\c") == "a\\[b\\]\\*\\?\\^\\\\c"
