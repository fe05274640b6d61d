"""A collector among brokers that hang, peers that lie and rights that are missing: it says so, and goes on or ends."""

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis

from app.collectors import pollers
from app.collectors.inspector import from_active_queues, from_stats
from app.collectors.queues import Poll
from app.collectors.redis_control import RedisControl, read_reply
from app.collectors.redis_queues import RedisQueues
from app.collectors.transport import BrokerError, Fault, redis_address
from app.models.history.reader import Reader
from app.models.wire import Configure, Health, Notice
from tests.collectors.conftest import command
from tests.helpers.celery_apps import worker
from tests.helpers.collecting import child, collecting, hear
from tests.helpers.events import envelope, raw
from tests.helpers.histories import reading, recording, sql
from tests.helpers.hostile import CASES, good
from tests.helpers.litter import reply_lists, staying
from tests.helpers.servers import HOST, RedisServer
from tests.helpers.waiting import eventually

CHANNEL = "/0.celeryev/task.multi"
#: Two seconds are promised (SAFETY F25); a busy machine gets another two. Without the promise it would be five or more.
SOON = 4.0


def configure(url: str, history: Path, **more: Any) -> Configure:
    return Configure("shop", url, str(history), **more)


def heartbeat(host: str) -> bytes:
    return envelope(raw("worker-heartbeat", hostname=host, uuid=..., freq=2.0, active=0, timestamp=time.time()))


# --- it ends when it is told to --------------------------------------------------------------------------------------


def test_the_child_ends_soon_though_its_broker_hangs(redis_server: RedisServer, tmp_path: Path) -> None:
    with child(configure(redis_server.url, tmp_path / "h")) as process:
        assert any(isinstance(said, Health) and said.state == "live" for said in hear(process))
        redis_server.freeze()
        try:
            # The next look at the queues is under way, which waits five seconds for an answer.
            next(said for said in hear(process) if isinstance(said, Health) and said.commands_per_second > 0)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(SOON) == 0
        finally:
            redis_server.thaw()


def test_the_child_ends_soon_though_nobody_takes_its_connection(tmp_path: Path) -> None:
    with ExitStack() as held:
        listener = held.enter_context(closing(socket.create_server((HOST, 0), backlog=0)))
        address = listener.getsockname()
        for _ in range(3):  # more than it keeps in its queue: who comes later gets no answer at all
            waiting = held.enter_context(closing(socket.socket()))
            waiting.setblocking(False)
            waiting.connect_ex(address)
        with child(configure(f"redis://{HOST}:{address[1]}/0", tmp_path / "h")) as process:
            assert any(isinstance(said, Health) for said in hear(process))
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(SOON) == 0


def test_it_ends_soon_though_a_worker_does_not_answer_and_leaves_nothing_that_stays(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    silent = client.pubsub()  # type: ignore[no-untyped-call]
    silent.subscribe("/0.celery.pidbox")
    silent.get_message(timeout=5)
    with collecting(redis_server.url, tmp_path / "h"):
        client.publish(CHANNEL, heartbeat("w@solo"))
        eventually(lambda: reply_lists(client), "a question")
    silent.close()
    assert staying(client) == set()


def test_a_child_in_which_a_commit_fails_by_our_own_mistake_ends_as_a_whole_and_says_why(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    with recording(tmp_path / "h"):
        pass
    wrong = "SELECT hostname FROM worker AS one, worker AS other"
    sql(tmp_path / "h", f"CREATE TRIGGER no BEFORE INSERT ON task BEGIN {wrong}; END")
    with child(configure(redis_server.url, tmp_path / "h")) as process:
        assert any(isinstance(said, Health) and said.state == "live" for said in hear(process))
        client.publish(CHANNEL, good(1))
        assert process.wait(20) == 70
        assert process.stderr is not None
        assert b"ambiguous column name" in process.stderr.read()


# --- what others send ------------------------------------------------------------------------------------------------


def test_hostile_messages_on_the_wire_cost_not_one_good_event(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    with collecting(redis_server.url, tmp_path / "h") as running, reading(tmp_path / "h") as reader:
        for number, case in enumerate(CASES):
            client.publish(CHANNEL, case.message)
            client.publish(CHANNEL, good(number))
        stored = sum(len(case.accepted) for case in CASES) + len(CASES)
        rejected = sum(len(case.rejected) for case in CASES)
        eventually(lambda: reader.accounting().received == stored + rejected, "all of it", within=90)
        counted = reader.accounting()
        assert (counted.stored, sum(counted.rejected.values())) == (stored, rejected)
        # In a flood what is open is written up to two seconds later.
        eventually(lambda: all(reader.task(f"good-{number}") for number in range(len(CASES))), "every good one")
        assert reader.task("t9") is None, "a worker's event made a task"
        assert running.state == "live"
        assert running.notices("history") == []


def answer(client: Redis, listening: Any, bodies: list[str | dict[str, Any]]) -> None:
    """Answer requests on the control channel: each with the next body, under the ticket that was asked for."""
    for body in bodies:
        request = next(heard for heard in listening.listen() if heard["type"] == "message")
        asked = json.loads(base64.b64decode(json.loads(request["data"])["body"]))
        # Each worker answers for itself, and in another's name first.
        texts = [body] if isinstance(body, str) else [json.dumps({host: said}) for host, said in reversed(body.items())]
        for text in texts:
            reply = {"body": text, "headers": {"ticket": asked["ticket"]}, "properties": {}}
            client.lpush(asked["reply_to"]["routing_key"], json.dumps(reply))


@contextmanager
def forged(client: Redis, *bodies: str | dict[str, Any]) -> Iterator[None]:
    """Somebody who answers in the name of workers."""
    listening = client.pubsub()  # type: ignore[no-untyped-call]
    listening.subscribe("/0.celery.pidbox")
    listening.get_message(timeout=5)
    thread = threading.Thread(target=answer, args=(client, listening, list(bodies)))
    thread.start()
    yield
    thread.join()
    listening.close()


DEEP = '{"w@a": ' + "[" * 50_000 + "]" * 50_000 + "}"
_STATS: dict[str, Any] = {"pool": {"implementation": "celery.concurrency.solo:TaskPool"}, "pid": 5, "uptime": 7}


def test_forged_answers_teach_nothing_and_break_nothing(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    huge = {
        "pool": {"implementation": "x" * 5_000, "max-concurrency": 10**40},
        "pid": 10**40,
        "prefetch_count": -(10**40),
    }
    stats = {"w@a": huge, "w@b": _STATS, "w@forger": _STATS}
    queues = {"w@a": [{"name": "q" * 5_000}, {"name": "ok\u202e"}], "w@b": {"error": "KeyError()"}, "w@forger": []}
    with (
        forged(client, stats, queues),
        collecting(redis_server.url, tmp_path / "h") as running,
        reading(tmp_path / "h") as reader,
    ):
        pipeline = client.pipeline(transaction=True)
        for host in ("w@a", "w@b"):
            pipeline.publish(CHANNEL, heartbeat(host))
        pipeline.execute()
        eventually(lambda: [each.queues for each in reader.workers()] == [["ok\\u202e"], None], "both answers")
        workers = {each.hostname: each for each in reader.workers()}
        assert workers.keys() == {"w@a", "w@b"}, "an answer in another's name made a worker"
        assert (workers["w@a"].slots, workers["w@a"].pid, workers["w@a"].prefetch) == (None, 7, None)
        assert (workers["w@b"].pool, workers["w@b"].slots) == ("solo", 1)
        assert running.state == "live"


def test_an_answer_that_can_not_be_read_is_waited_past(redis_server: RedisServer, client: Redis) -> None:
    asker = RedisControl(redis_address(redis_server.url), "observe", on_command=lambda _number: None)
    with forged(client, DEEP):
        assert asker.ask("stats", ["w@a"], timeout=0.5) == {}
    asker.close()


def understood(body: str) -> dict[str, Any]:
    reply = json.dumps({"body": body, "headers": {"ticket": "t"}, "properties": {}})
    return read_reply(reply.encode(), "t")


@pytest.mark.parametrize("body", [DEEP, "5", "", "{", "\ud800", '{"w@a": "\\ud800"}', "[Infinity]"])
def test_a_reply_that_can_not_be_read_is_none(body: str) -> None:
    assert understood(body) == {}


@pytest.mark.parametrize("body", ['{"w@a": NaN}', '{"w@a": 1e999}', '{"w@a": -Infinity}'])
def test_what_is_no_number_in_a_reply_is_nothing(body: str) -> None:
    assert understood(body) == {"w@a": None}


@pytest.mark.parametrize("number", [-1, 1 << 60, 10**400])
def test_figures_of_a_worker_that_are_none_are_unknown(number: int) -> None:
    stats = from_stats({"pool": {"max-concurrency": number}, "pid": number, "prefetch_count": number})
    assert (stats.get("slots"), stats.get("pid"), stats.get("prefetch")) == (None, None, None)


@pytest.mark.parametrize(("processes", "slots"), [([7, 8, 9, 10], 4), ([7], 1), ([], 2), ("7", 2), (None, 2)])
def test_a_pool_that_grew_has_as_many_slots_as_processes(processes: object, slots: int) -> None:
    pool = {"implementation": "celery.concurrency.prefork:TaskPool", "max-concurrency": 2, "processes": processes}
    assert from_stats({"pool": pool})["slots"] == slots


@pytest.mark.parametrize("uptime", [-1.0, 1e300, float("inf"), float("nan")])
def test_an_uptime_that_is_none_is_unknown(uptime: float) -> None:
    assert from_stats({"uptime": uptime}).get("uptime") is None


def test_queues_a_worker_names_are_bounded_and_clean() -> None:
    named = from_active_queues([{"name": f"q{number}"} for number in range(5_000)] + [{"name": "\ud800"}])["queues"]
    assert len(named) == 1_000
    assert from_active_queues([{"name": "\ud800a"}]) == {"queues": [r"\ud800a"]}


def test_a_stream_that_makes_no_sense_is_given_up_and_begun_anew(tmp_path: Path) -> None:
    greeting = b"*3\r\n$10\r\npsubscribe\r\n$13\r\n/0.celeryev/*\r\n:1\r\n"
    connections = 0

    def serve(listener: socket.socket) -> None:
        nonlocal connections
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    if b"PSUBSCRIBE" in connection.recv(1_000):
                        connections += 1
                        connection.sendall(greeting)
                        connection.recv(1_000)
                        connection.sendall(b"@nobody speaks like this\r\n")
                        connection.recv(1_000)

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        url = f"redis://{HOST}:{listener.getsockname()[1]}/0"
        with collecting(url, tmp_path / "h", mode="passive") as running, reading(tmp_path / "h") as reader:
            eventually(lambda: connections >= 2, "the second connection")
            eventually(lambda: "could not be read" in str(running.said), "why")
            eventually(lambda: reader.accounting().rejected, "the count")
            assert set(reader.accounting().rejected) == {"broken stream"}
            assert reader.accounting().balanced
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_the_age_of_a_queue_is_exact_only_if_that_of_each_priority_is(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    for key, uuid in (("mail", "known"), ("mail\x06\x169", "unknown"), ("sms", "known")):
        client.lpush(key, json.dumps({"headers": {"id": uuid}}))
    with collecting(redis_server.url, tmp_path / "h", queues=["mail", "sms"]), reading(tmp_path / "h") as reader:
        client.publish(CHANNEL, envelope(raw("task-sent", uuid="known", queue="mail", timestamp=time.time() - 60)))

        def ages() -> dict[str, tuple[bool, bool]]:
            return {each.name: ((each.oldest or 0) >= 60, each.oldest_exact) for each in reader.queues()}

        eventually(lambda: ages() == {"mail": (True, False), "sms": (True, True)}, "both ages")


# --- rights and secrets ----------------------------------------------------------------------------------------------


def test_the_recipe_for_least_rights_is_enough_to_watch(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    # SAFETY 2.6, as it is printed for people.
    command(
        client, "ACL", "SETUSER", "mon", "reset", "on", ">secret", "resetchannels", "&/0.celeryev/*", "%R~*", "-@all",
        "+psubscribe", "+punsubscribe", "+ping", "+hello", "+auth", "+client|setname", "+llen", "+type", "+scan",
        "+zcard", "+hlen", "+role", "+info",
    )  # fmt: skip
    client.sadd("_kombu.binding.mail", "mail\x06\x16\x06\x16mail")
    client.lpush("mail", "x")
    url = redis_server.url.replace("redis://", "redis://mon@")
    with (
        collecting(url, tmp_path / "h", password="secret", queues=["mail"]) as running,
        reading(tmp_path / "h") as reader,
    ):
        client.publish(CHANNEL, heartbeat("w@a"))
        client.publish(CHANNEL, good(1))
        eventually(lambda: reader.task("good-1"), "the task")
        eventually(lambda: {each.name: each.ready for each in reader.queues()}.get("mail") == 1, "the queue")
        (said,) = eventually(lambda: set(running.notices("workers")), "that workers can't be asked")
        assert "does not permit it" in said
        assert running.notices("queues") == []
        assert running.state == "live"


def test_the_password_is_nowhere(redis_server: RedisServer, client: Redis, tmp_path: Path) -> None:
    secret = "kanarienvogel-4711"
    command(client, "CONFIG", "SET", "requirepass", secret)
    with (
        collecting(redis_server.url, tmp_path / "h", password=secret) as running,
        Redis.from_url(redis_server.url, password=secret) as known,
    ):
        known.publish(CHANNEL, good(1))
        command(known, "CONFIG", "SET", "requirepass", "another")
        command(known, "CLIENT", "KILL", "TYPE", "PUBSUB")
        eventually(lambda: "refused the sign-in" in " ".join(str(said) for said in running.said), "the refusal")
    said = "".join(str(message) for message in running.said).encode()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret.encode() not in said + written
    assert b"redis://" in written, "the address itself is kept"


def test_a_refused_sign_in_is_not_tried_again_like_a_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    # One that asks again and again is one that locks an account.
    monkeypatch.setattr(pollers, "QUEUE_PAUSE", 0.01)
    monkeypatch.setattr(pollers, "TROUBLE_PAUSE", 0.01)

    class Failing:
        def __init__(self, fault: Fault) -> None:
            self.fault = fault
            self.polls = 0

        def poll(self) -> Poll:
            self.polls += 1
            raise BrokerError(self.fault, "no")

        def close(self) -> None: ...

    sources = [Failing("auth"), Failing("network")]
    threads = [pollers.QueuePoller(cast("RedisQueues", source), lambda _item: None) for source in sources]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: sources[1].polls >= 20, "twenty attempts")
        assert sources[0].polls == 1
    finally:
        for thread in threads:
            thread.stop()
            thread.join()


def test_a_look_that_we_break_off_ourselves_is_no_trouble_and_the_next_one_is() -> None:
    class Breaking:
        """Waits in its look until that is broken off; fails ever after."""

        def __init__(self) -> None:
            self.looking, self.broken = threading.Event(), threading.Event()
            self.polls = 0

        def poll(self) -> Poll:
            self.polls += 1
            self.looking.set()
            assert self.broken.wait(10)
            raise BrokerError("network", f"look {self.polls}")

        def close(self) -> None: ...

    put: list[object] = []
    source = Breaking()
    poller = pollers.QueuePoller(cast("RedisQueues", source), put.append)
    poller.start()
    try:
        assert source.looking.wait(10)
        poller.begin_anew(source.broken.set)
        eventually(lambda: put, "the trouble")
        assert str(next(item.error for item in put if isinstance(item, pollers.Trouble))) == "look 2"
    finally:
        poller.stop()
        poller.join()


# --- silence ---------------------------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_is_lost_and_comes_back(redis_server: RedisServer, tmp_path: Path) -> None:
    def states(reader: Reader) -> list[str]:
        return [each.state for each in reader.workers()]

    quick = ("-E", "--heartbeat-interval", "1", "--without-mingle")
    with collecting(redis_server.url, tmp_path / "h"), reading(tmp_path / "h") as reader:
        with worker(redis_server.url, "w1", tmp_path / "w1.log", *quick, pool="solo") as running:
            eventually(lambda: [each.freq for each in reader.workers()] == [1.0], "a heartbeat", within=60)
            running.kill()
        eventually(lambda: states(reader) == ["lost"], "the loss", within=30)
        (lost,) = reader.workers()
        assert lost.active is None
        assert lost.since == lost.heartbeat, "lost since we last heard of it, not since we noticed"
        with worker(redis_server.url, "w1", tmp_path / "w1.log", *quick, pool="solo") as again:
            eventually(lambda: states(reader) == ["online"], "its return", within=60)
            again.ask_to_end()
            again.wait()
        eventually(lambda: states(reader) == ["offline"], "the goodbye")


def test_a_history_that_was_set_aside_is_said(redis_server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "h").write_text("not a history " * 100, encoding="utf-8")
    with child(configure(redis_server.url, tmp_path / "h")) as process:
        told = next(said for said in hear(process) if isinstance(said, Notice))
    assert "kept as h.set-aside-" in told.text
