"""Collectors as the window keeps them: started, heard, started again, ended; and never outliving the window."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from PySide6.QtCore import SignalInstance
from redis import Redis

from app.models.acts import Purge
from app.models.target import Target
from app.models.wire import Surveyed
from app.ui.supervisor import RESTARTS, Connection, Supervisor
from tests.bench.load import events
from tests.helpers.events import envelope
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import PATIENCE, eventually
from tests.ui.conftest import Run, emitted


async def until(signal: SignalInstance, fact: Callable[[], bool]) -> None:
    """Until a fact holds that can only come true when a signal is emitted; no emission is missed."""
    heard = asyncio.Event()
    signal.connect(heard.set)
    try:
        while not fact():
            await heard.wait()
            heard.clear()
    finally:
        signal.disconnect(heard.set)


async def live(connection: Connection) -> None:
    await until(connection.health_changed, lambda: connection.health.state == "live")


async def stopped(connection: Connection) -> None:
    await until(connection.health_changed, lambda: connection.health.state == "stopped")


def publish(url: str, tasks: int) -> None:
    client = Redis.from_url(url)
    for event in events(tasks):
        client.publish("/0.celeryev/task.multi", envelope(event | {"timestamp": time.time()}))
    client.close()


def test_what_a_broker_says_is_in_the_history_when_committed_is_heard(
    run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path
) -> None:
    async def story() -> None:
        connection = supervisor.add(Target("shop", tmp_path / "shop.cloche", redis_server.url))
        await live(connection)
        await asyncio.to_thread(publish, redis_server.url, 50)
        while await connection.query(lambda reader: reader.accounting().received) < 150:
            await emitted(connection.committed)
        assert await connection.query(lambda reader: reader.task_total()) == 50
        assert (await connection.query(lambda reader: reader.accounting())).balanced

    run(story())


def test_a_killed_collector_is_started_again_and_goes_on(
    run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path
) -> None:
    said: list[str] = []

    async def story() -> None:
        connection = supervisor.add(Target("shop", tmp_path / "shop.cloche", redis_server.url))
        connection.noticed.connect(lambda notice: said.append(notice.text))
        await live(connection)
        while await connection.query(lambda reader: reader.alive()) is None:
            await emitted(connection.committed)
        first = connection.collector_pid
        os.kill(first, signal.SIGKILL)
        await until(connection.health_changed, lambda: connection.collector_pid not in {0, first})
        await live(connection)
        while not await connection.query(lambda reader: reader.gaps()):
            await emitted(connection.committed)
        assert await connection.query(lambda reader: [gap.why for gap in reader.gaps()]) == ["Cloche was not running."]

    run(story())
    assert any("It is started again." in text for text in said)


def test_a_collector_that_keeps_ending_is_given_up(
    run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path
) -> None:
    async def story() -> None:
        connection = supervisor.add(Target("shop", tmp_path / "shop.cloche", redis_server.url))
        connection._restarts = [time.monotonic()] * RESTARTS
        await live(connection)
        os.kill(connection.collector_pid, signal.SIGKILL)
        await stopped(connection)
        assert "Choose its broker again" in connection.health.text

    run(story())


def test_messages_of_a_queue_are_looked_at_through_the_collector(
    run: Run, supervisor: Supervisor, redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    for number in range(3):
        client.lpush("mail", json.dumps({"headers": {"id": f"t{number}", "task": "buy"}, "body": ""}))

    async def story() -> None:
        connection = supervisor.add(Target("shop", tmp_path / "shop.cloche", redis_server.url, mode="passive"))
        found = await connection.peek("mail", 1, 20, newest=True)
        assert [message.id for message in found.messages] == ["t1", "t0"]
        assert (found.start, found.total, found.error) == (1, 3, "")
        client.set("odd", "no list")
        assert "WRONGTYPE" in (await connection.peek("odd", 0, 20, newest=False)).error
        recorded = supervisor.add(Target("old", tmp_path / "shop.cloche"))
        assert "This was recorded." in (await recorded.peek("mail", 0, 20, newest=False)).error

    run(story())
    assert client.llen("mail") == 3


def test_who_asks_while_a_connection_closes_is_answered(
    run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path
) -> None:
    async def story() -> None:
        connection = supervisor.add(Target("shop", tmp_path / "shop.cloche", redis_server.url))
        await live(connection)
        connection.stop()
        async with asyncio.timeout(PATIENCE):
            assert (await connection.peek("mail", 0, 20, newest=False)).error == "The connection is closed."
            assert [found.error async for found in connection.search("mail")] == ["The connection is closed."]
            assert (await connection.acts.plan(Purge("mail"))).error.startswith("Nothing can be done")

    run(story())


def test_who_asks_while_no_collector_runs_is_answered(
    run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path
) -> None:
    async def ask(connection: Connection) -> None:
        """Ask for all that a collector answers, and wait for the answers."""
        async with asyncio.timeout(PATIENCE):
            assert (await connection.peek("mail", 0, 20, newest=False)).error.startswith("The collector is not running")
            (said,) = await searched(connection, "mail")
            assert said.error.startswith("The collector is not running")
            assert (await connection.acts.plan(Purge("mail"))).error.startswith("Nothing can be done")

    async def story() -> None:
        connection = supervisor.add(Target("shop", tmp_path / "shop.cloche", redis_server.url))
        await live(connection)
        # It crashed, and is about to be started again.
        os.kill(connection.collector_pid, signal.SIGKILL)
        await stopped(connection)
        await ask(connection)
        await live(connection)
        # It is being ended, to be started with other settings.
        connection.renew(connection.target)
        await ask(connection)
        await live(connection)
        # It ended too often.
        connection._restarts = [time.monotonic()] * RESTARTS
        os.kill(connection.collector_pid, signal.SIGKILL)
        await stopped(connection)
        assert connection.given_up
        await ask(connection)

    run(story())


def test_a_collector_that_can_not_begin_says_why_and_is_not_tried_again(
    run: Run, supervisor: Supervisor, tmp_path: Path
) -> None:
    async def story() -> None:
        connection = supervisor.add(Target("shop", tmp_path / "shop.cloche", "rediss://somewhere/0?ssl_cert_reqs=none"))
        await stopped(connection)
        assert connection.health.text.startswith("Without a check of certificates")

    run(story())


def test_a_second_window_shows_what_the_first_records(
    run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path
) -> None:
    async def story() -> None:
        target = Target("shop", tmp_path / "shop.cloche", redis_server.url)
        first = supervisor.add(target)
        await live(first)
        second = supervisor.add(target)
        await stopped(second)
        assert second.health.text.startswith("Another Cloche is recording into")
        await asyncio.to_thread(publish, redis_server.url, 10)
        while await second.query(lambda reader: reader.task_total()) < 10:
            await emitted(second.committed)

    run(story())


def test_a_broker_that_is_down_is_named_and_found_when_it_is_back(
    run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path
) -> None:
    async def story() -> None:
        connection = supervisor.add(Target("shop", tmp_path / "shop.cloche", redis_server.url))
        await live(connection)
        await asyncio.to_thread(redis_server.kill)
        await until(connection.health_changed, lambda: connection.health.state == "disconnected")
        assert "the broker" in connection.health.text
        await asyncio.to_thread(redis_server.start)
        await live(connection)
        assert connection.health.text == ""
        while not await connection.query(lambda reader: any(gap.end for gap in reader.gaps())):
            await emitted(connection.committed)

    run(story())


def test_a_password_is_in_no_argument_environment_or_file(run: Run, supervisor: Supervisor, tmp_path: Path) -> None:
    canary = "canary-1f2e3d4c"

    async def story(port: int) -> None:
        target = Target("shop", tmp_path / "shop.cloche", f"redis://127.0.0.1:{port}/0", canary)
        connection = supervisor.add(target)
        await live(connection)
        collector = psutil.Process(connection.collector_pid)
        assert canary not in " ".join(collector.cmdline())
        assert canary not in repr(collector.environ())
        connection.stop()
        await connection.wait()

    with RedisServer("--requirepass", canary) as server:
        run(story(server.port))
    for path in tmp_path.iterdir():
        assert canary.encode() not in path.read_bytes()


def test_collectors_end_when_their_window_is_killed(redis_server: RedisServer, tmp_path: Path) -> None:
    script = f"""
import sys
from PySide6.QtCore import QCoreApplication, QTimer
import asyncio, qasync
from pathlib import Path
from app.models.target import Target
from app.ui.supervisor import Supervisor
application = QCoreApplication([])
supervisor = Supervisor()
connection = supervisor.add(Target("shop", Path({str(tmp_path / "shop.cloche")!r}), {redis_server.url!r}))
connection.health_changed.connect(lambda: print(connection.health.state, connection.collector_pid, flush=True))
application.exec()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as window:
        assert window.stdout is not None
        state, pid = "", "0"
        while state != "live":
            state, pid = window.stdout.readline().split()
        window.kill()
    eventually(lambda: not psutil.pid_exists(int(pid)), "the collector is gone", within=5.0)


async def searched(connection: Connection, *words: str, further: bool = False) -> list[Surveyed]:
    return [found async for found in connection.search(*words, further=further)]


def test_a_queue_is_looked_through_by_the_collector_and_another_search_ends_the_first(
    run: Run, supervisor: Supervisor, redis_server: RedisServer, tmp_path: Path
) -> None:
    with Redis.from_url(redis_server.url) as client:
        for number in range(40):
            client.lpush("mail", json.dumps({"headers": {"id": f"id-{number}", "task": "shop.buy"}}))

    async def story() -> None:
        connection = supervisor.add(Target("shop", tmp_path / "shop.cloche", redis_server.url))
        await live(connection)
        said = await searched(connection, "mail")
        assert [found.survey.state for found in said] == ["looking"] * (len(said) - 1) + ["over"]
        assert said[-1].survey.names == [("shop.buy", 40)]
        said = await searched(connection, "mail", "id-7")
        assert [message.place for message in said[-1].survey.found] == [7]
        first = asyncio.ensure_future(searched(connection, "mail"))  # noqa: TID251 - of this test's own
        await asyncio.sleep(0)
        second = await searched(connection, "mail", "id-9")
        assert second[-1].survey.found[0].id == "id-9"
        assert [found for found in await first if found.survey.state != "looking"] == []
        third = asyncio.ensure_future(searched(connection, "mail"))  # noqa: TID251
        await asyncio.sleep(0)
        connection.stop_search()
        assert (await third)[-1].survey.state in ("stopped", "over")
        fourth = asyncio.ensure_future(searched(connection, "mail"))  # noqa: TID251
        await asyncio.sleep(0)
        os.kill(connection.collector_pid, signal.SIGKILL)
        assert "ended before it answered" in (await fourth)[-1].error

    run(story())


def test_what_was_recorded_has_no_queues_to_look_through(run: Run, supervisor: Supervisor, tmp_path: Path) -> None:
    async def story() -> None:
        connection = supervisor.add(Target("file", tmp_path / "h.cloche"))
        (said,) = await searched(connection, "mail")
        assert said.error.startswith("This was recorded.")

    run(story())
