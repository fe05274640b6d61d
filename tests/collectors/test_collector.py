"""A collector as a whole, as the window and `cloche record` run it: on a real Redis, into a real history."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from redis import Redis

from app.collectors import runner
from app.collectors.committer import Committer
from app.collectors.results import Ends
from app.models.history.charts import Span
from app.models.history.keeper import Keeper
from app.models.history.rows import Rows
from app.models.records import Event
from app.models.wire import Committed, Configure, Health, Notice
from tests.bench.load import events
from tests.helpers.collecting import child, collecting, hear
from tests.helpers.events import envelope
from tests.helpers.histories import reading
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually


def publish(client: Redis, tasks: int) -> None:
    for event in events(tasks):
        client.publish("/0.celeryev/task.multi", envelope(event | {"timestamp": time.time()}))


def test_good_and_bad_are_accounted_for_to_the_last(redis_server: RedisServer, client: Redis, tmp_path: Path) -> None:
    history = tmp_path / "h.cloche"
    with collecting(redis_server.url, history) as running, reading(history) as reader:
        publish(client, 100)
        for _ in range(7):
            client.publish("/0.celeryev/task.multi", "poison")
        client.publish(
            "/0.celeryev/task.multi", envelope({"type": "banana", "hostname": "w", "timestamp": time.time()})
        )
        publish(client, 100)
        eventually(lambda: reader.accounting().received == 608, "608 events")
        counted = reader.accounting()
        assert counted.stored == 600
        assert counted.rejected == {"not JSON": 7, "unknown type": 1}
        assert counted.balanced
        assert reader.states() == {"SUCCESS": 196, "FAILURE": 4}
        assert sum(row.count for row in reader.names(Span(0, time.time() + 1)).rows) == 200
        assert any(isinstance(said, Committed) for said in running.said)


def test_the_identity_holds_in_every_commit(redis_server: RedisServer, client: Redis, tmp_path: Path) -> None:
    history = tmp_path / "h.cloche"
    with collecting(redis_server.url, history), reading(history) as reader:
        loader = threading.Thread(target=publish, args=(client, 1_000))
        loader.start()
        seen = 0
        while seen < 3_000:
            counted = reader.accounting()
            assert counted.balanced, counted
            assert counted.received >= seen
            seen = counted.received
        loader.join()


def test_a_lost_connection_is_a_gap_and_what_follows_is_stored(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    history = tmp_path / "h.cloche"
    with collecting(redis_server.url, history) as running, reading(history) as reader:
        publish(client, 10)
        eventually(lambda: reader.accounting().received == 30, "30 events")
        redis_server.kill()
        eventually(lambda: running.state == "disconnected", "the loss")
        eventually(lambda: any(gap.end is None for gap in reader.gaps()), "the open gap")
        redis_server.start()
        eventually(lambda: running.state == "live", "the return")
        with Redis.from_url(redis_server.url) as again:
            publish(again, 10)
        eventually(lambda: reader.accounting().received == 60, "60 events")
        (gap,) = reader.gaps()
        assert gap.end is not None
        assert gap.end >= gap.start
        assert "the broker" in gap.why


def test_the_same_history_goes_on_after_a_restart(redis_server: RedisServer, client: Redis, tmp_path: Path) -> None:
    history = tmp_path / "h.cloche"
    half: list[dict[str, object]] = []
    rest: list[dict[str, object]] = []
    for number, event in enumerate(events(50)):
        (half if number % 3 < 2 else rest).append(event | {"timestamp": time.time()})
    for part in (half, rest):
        with collecting(redis_server.url, history), reading(history) as reader:
            before = reader.accounting().received
            for event in part:
                client.publish("/0.celeryev/task.multi", envelope(event))
            eventually(lambda: reader.accounting().received == before + len(part), "the events")  # noqa: B023
    with reading(history) as reader:
        assert reader.states() == {"SUCCESS": 49, "FAILURE": 1}
        assert reader.accounting().balanced
        assert [gap.why for gap in reader.gaps()] == ["Cloche was not running."]
        totals = reader.totals(Span(0, time.time() + 1))
        assert (totals.tasks, totals.received, totals.started, totals.succeeded, totals.failed) == (50, 50, 50, 49, 1)


def test_queues_are_in_the_history_with_the_age_of_their_oldest_message(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    history = tmp_path / "h.cloche"
    now = time.time()
    with collecting(redis_server.url, history, queues=["mail", "sms"]), reading(history) as reader:
        for queue in ("mail", "sms"):
            client.lpush(queue, f'{{"headers": {{"id": "{queue}-1"}}, "body": ""}}')
        sent = {"type": "task-sent", "hostname": "gen@h", "timestamp": now - 60, "uuid": "mail-1", "queue": "mail"}
        client.publish("/0.celeryev/task.sent", envelope(sent))

        def aged() -> dict[str, tuple[float, bool]]:
            return {q.name: (q.oldest, q.oldest_exact) for q in reader.queues() if q.oldest is not None}

        found = eventually(lambda: found if len(found := aged()) == 2 and found["mail"][1] else None, "both ages")
        assert found is not None
        assert found["mail"][0] >= 60
        assert found["sms"][0] < 60
        assert not found["sms"][1]


def test_passive_mode_writes_nothing_to_the_broker(redis_server: RedisServer, client: Redis, tmp_path: Path) -> None:
    client.lpush("mail", "x")
    heartbeat = {"type": "worker-heartbeat", "hostname": "w@h", "timestamp": time.time(), "freq": 2.0, "active": 0}
    before = client.dbsize(), client.lrange("mail", 0, -1)
    with collecting(redis_server.url, tmp_path / "h.cloche", mode="passive", queues=["mail"]):
        client.publish("/0.celeryev/worker.heartbeat", envelope(heartbeat))
        with reading(tmp_path / "h.cloche") as reader:
            eventually(lambda: any(queue.oldest is not None for queue in reader.queues()), "a whole look at the queues")
            eventually(reader.workers, "the worker")
        sent = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    ours = {"publish", "lpush", "lrange", "dbsize"}
    assert sent - ours <= {"psubscribe", "ping", "llen", "hlen", "scan", "sscan", "memory|usage", "lindex", "hvals",
                           "role", "client|setname", "client|setinfo", "select", "info", "hello", "auth"}  # fmt: skip
    assert (client.dbsize(), client.lrange("mail", 0, -1)) == before


def test_a_disk_that_is_full_loses_nothing_once_there_is_room(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    history = tmp_path / "h.cloche"
    with collecting(redis_server.url, history) as running, reading(history) as reader:
        connection = running.collector._writer._writer._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        publish(client, 2_000)
        eventually(
            lambda: any(isinstance(said, Notice) and "can't be written" in said.text for said in running.said), "notice"
        )
        connection.execute("PRAGMA max_page_count = 1073741823")
        eventually(lambda: reader.accounting().received == 6_000, "all events")
        assert reader.accounting().balanced
        assert reader.task_total() == 2_000


# The child process


def test_the_child_says_how_it_is_and_ends_when_its_pipe_closes(redis_server: RedisServer, tmp_path: Path) -> None:
    with child(Configure("shop", redis_server.url, str(tmp_path / "h.cloche"))) as process:
        said = hear(process)
        assert any(isinstance(message, Health) and message.state == "live" for message in said)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0


def test_the_child_ends_cleanly_on_sigterm(redis_server: RedisServer, tmp_path: Path) -> None:
    with child(Configure("shop", redis_server.url, str(tmp_path / "h.cloche"))) as process:
        assert any(isinstance(message, Health) and message.state == "live" for message in hear(process))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sentinel://x/0", "master_name=NAME"),
        ("redis://h/x", "'x'"),
        ("redis://h:port/0", "can't be read"),
    ],
)
def test_the_child_refuses_what_it_can_not_do_in_a_sentence(url: str, sentence: str, tmp_path: Path) -> None:
    with child(Configure("shop", url, str(tmp_path / "h.cloche"))) as process:
        (notice,) = hear(process)
        assert isinstance(notice, Notice)
        assert sentence in notice.text
        assert process.wait(10) == 1


def test_the_child_refuses_a_wrong_peer() -> None:
    with child(None) as process:
        assert process.stdin is not None
        process.stdin.write(b"GET / HTTP/1.1\r\n\r\n")
        process.stdin.flush()
        (notice,) = hear(process)
        assert isinstance(notice, Notice)
        assert "not a collector of Cloche" in notice.text
        assert process.wait(10) == 1


def test_the_child_without_a_configuration_just_ends() -> None:
    with child(None) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0


def test_the_child_is_gone_soon_after_its_parent_was_killed(redis_server: RedisServer, tmp_path: Path) -> None:
    script = f"""
import subprocess, sys
from app.models.wire import Configure, frame
from app.paths import self_command
child = subprocess.Popen(self_command("collector"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdin.write(frame(Configure("shop", {redis_server.url!r}, {str(tmp_path / "h.cloche")!r})))
child.stdin.flush()
child.stdout.read(1)
print(child.pid, flush=True)
child.wait()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    eventually(lambda: not psutil.pid_exists(pid), "the child is gone", within=5.0)


def test_large_tasks_wait_for_a_slow_disk_in_the_ring_and_not_as_changes(
    redis_server: RedisServer, client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "HEAVY", 100_000)
    monkeypatch.setattr(runner, "HEAVIEST", 200_000)
    goes_on, waits = threading.Event(), threading.Event()
    commit, wait = Keeper.commit, Committer.wait

    def slowly(self: Keeper, rows: Rows) -> None:
        assert goes_on.wait(60)
        commit(self, rows)

    def waiting(self: Committer) -> None:
        waits.set()
        wait(self)

    monkeypatch.setattr(Keeper, "commit", slowly)
    monkeypatch.setattr(Committer, "wait", waiting)
    with collecting(redis_server.url, tmp_path / "h.cloche") as running, reading(tmp_path / "h.cloche") as reader:
        try:
            sent = 0
            while not waits.is_set():
                at = time.time()
                large = {"uuid": f"t{sent}", "name": "add", "args": "x" * 50_000, "kwargs": "{}"}
                event = {"type": "task-received", "hostname": "celery@w1", "timestamp": at, "pid": 1, **large}
                client.publish("/0.celeryev/task.multi", envelope(event))
                sent += 1
            assert running.collector.received < 100, "what would be too many by their number are thousands"
        finally:
            goes_on.set()
        eventually(lambda: reader.accounting().stored == sent, "all of them")


def test_what_is_not_to_be_kept_of_tasks_reaches_no_file(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    canary = "canary-of-a-customer"
    with (
        collecting(redis_server.url, tmp_path / "h.cloche", keep_arguments=False) as running,
        reading(tmp_path / "h.cloche") as reader,
    ):
        common = {"uuid": "t1", "hostname": "celery@w1", "pid": 1}
        for kind, more in (
            ("sent", {"args": canary, "kwargs": canary, "name": "add"}),
            ("received", {"args": canary, "kwargs": canary, "name": "add"}),
            ("started", {}),
            ("succeeded", {"result": canary, "runtime": 0.1}),
        ):
            event = {"type": f"task-{kind}", "timestamp": time.time(), **common, **more}
            client.publish("/0.celeryev/task.multi", envelope(event))
        ended = Event("task-succeeded", "celery@w1", time.time(), "t2", result=canary, seen=time.time())
        running.collector._put(Ends([ended]))
        eventually(lambda: (task := reader.task("t1")) is not None and task.state == "SUCCESS", "its end")
        task = reader.task("t1")
        assert task is not None
        assert (task.name, task.args, task.kwargs, task.result, task.runtime) == ("add", None, None, None, 0.1)
        eventually(lambda: ended.result is None, "that the backend's word is not kept either")
    assert all(canary.encode() not in path.read_bytes() for path in tmp_path.iterdir())
