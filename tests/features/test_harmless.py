"""Looking changes nothing: H01 and H02, of a broker in use, with everything that looks going on at once.

In the suite it looks for some seconds; for as long as is wanted:

    python -m tests.features.test_harmless --seconds 600

prints what the broker was asked, by command, and whether its data is what it was.
"""

import argparse
import json
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from celery import Celery
from click.testing import CliRunner
from redis import Redis

from app.cli import cli
from app.collectors import orders
from app.collectors.access import Access
from app.collectors.control import Command, Control
from app.collectors.doctor import Examination
from app.collectors.redis_control import RedisControl
from app.collectors.transport import redis_address
from app.models.profiles import Mode
from app.models.wire import Configure, Examine, Peek, Peeked, Search, Surveyed
from tests.collectors.conftest import command
from tests.helpers.collecting import Running, child, collecting
from tests.helpers.events import envelope, raw
from tests.helpers.hostile import good
from tests.helpers.litter import MINUTE
from tests.helpers.servers import HOST, RedisServer
from tests.helpers.waiting import eventually

#: What a user may do who may only look: the rights that the documentation publishes.
READ_ONLY: Final = """
    on resetchannels &/0.celeryev/* &/0.celeryev resetkeys %R~* -@all +psubscribe +ping +llen +hlen +lindex +lrange
    +hvals +memory|usage +scan +sscan +role +select +auth +hello +client|setname +info
"""
#: Unacked for so long that a stock client would put it back into its queue.
OLD: Final = 7_200.0
DEBUG: Final = ("--enable-debug-command", "local")
#: What passive mode may ask at all; ``INFO`` is asked by the doctor alone.
READS: Final = frozenset(
    {"ping", "psubscribe", "llen", "hlen", "lindex", "lrange", "hvals", "memory|usage", "scan", "sscan", "role", "info"}
)
GREETINGS: Final = frozenset({"hello", "auth", "select", "client|setname", "client|setinfo"})
#: What only this test asks.
_NOT_THEIRS: Final = ("config|resetstat", "command", "debug")
QUEUES: Final = 10


def fill(url: str, client: Redis, tasks: int = 200) -> None:
    """A broker in use: queues of several priorities, and messages that a worker holds since long."""
    app = Celery("shop", broker=url, set_as_current=False)
    for number in range(tasks):
        app.send_task("shop.buy", [number], queue=f"queue-{number % QUEUES}", priority=number % 10)
    app.close()
    for number in range(20):
        message = {"body": "W10=", "headers": {"id": f"old-{number}"}, "properties": {"body_encoding": "base64"}}
        client.hset("unacked", f"tag-{number}", json.dumps([message, "", "queue-1"]))
        client.zadd("unacked_index", {f"tag-{number}": time.time() - OLD})


class Looking(threading.Thread):
    """All that looks beside a collector, one after the other: pages of messages in its window, the doctor (and the
    dialog's test, which is the same), and the command line; as fast as a person would. ``done`` counts each."""

    def __init__(self, url: str, mode: Mode, running: Running) -> None:
        super().__init__(name="looking")
        self.done: Counter[str] = Counter()
        self.failed: list[str] = []
        self._url, self._mode, self._running = url, mode, running
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        ways: tuple[tuple[str, Callable[[], object]], ...] = (
            ("pages", self._turn_pages),
            ("searches", self._search),
            ("doctor", self._examine),
            ("queues", lambda: self._say("queues", "--json", "--mode", self._mode)),
            ("messages", lambda: self._say("messages", self._queue, "--limit", "100")),
            ("newest messages", lambda: self._say("messages", self._queue, "--newest", "--start", "2")),
        )
        while not self._stopping.is_set():
            for name, look in ways:
                look()
                self.done[name] += 1
                if self._stopping.wait(0.3):
                    break

    @property
    def _queue(self) -> str:
        return f"queue-{secrets.randbelow(QUEUES)}"

    def _turn_pages(self) -> None:
        for number in range(3):
            asked = Peek(time.monotonic_ns(), self._queue, start=number * 5, count=5, newest=bool(number % 2))
            self._running.collector.take(asked)
            answer = eventually(lambda: self._answer(asked.number), "a page")  # noqa: B023
            assert answer is not None
            self.failed += [answer.error] if answer.error else []

    def _search(self) -> None:
        """Count the names of a queue, and look for what is not there."""
        for wanted in ("", "no-such-id"):
            asked = Search(time.monotonic_ns(), self._queue, wanted)
            self._running.collector.take(asked)
            answer = eventually(lambda: self._answer(asked.number), "a search")  # noqa: B023
            assert answer is not None
            self.failed += [answer.error] if answer.error else []

    def _answer(self, number: int) -> Peeked | Surveyed | None:
        said = list(self._running.said)
        return next((each for each in said if isinstance(each, Peeked | Surveyed) and each.number == number), None)

    def _examine(self) -> None:
        findings = Examination(Examine(self._url, mode=self._mode), listen=0.5).findings()
        self.failed += [finding.text for finding in findings if finding.ok is False]

    def _say(self, name: str, *words: str) -> None:
        done = CliRunner().invoke(cli, [name, self._url, *words])
        self.failed += [done.output] if done.exit_code else []


@contextmanager
def everything(url: str, folder: Path, mode: Mode) -> Iterator[tuple[Running, Looking]]:
    """A collector with all its looks, and all that looks beside it; and another one that is killed in the end."""
    with (
        child(Configure("doomed", url, str(folder / "doomed"), mode=mode, queues=["queue-0"])) as doomed,
        collecting(url, folder / "h", queues=["queue-0"], mode=mode) as running,
    ):
        looking = Looking(url, mode, running)
        looking.start()
        try:
            yield running, looking
        finally:
            doomed.kill()
            looking.stop()


class Asked:
    """What a broker was asked since this began, by others than this client."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        command(client, "CONFIG", "RESETSTAT")
        self._published = 0

    def publish(self, number: int) -> None:
        """An event, and the sign of life of a worker; nobody else may publish anything in passive mode."""
        self._published += 2
        self._client.publish("/0.celeryev/task.multi", good(number))
        self._client.publish(
            "/0.celeryev/worker.heartbeat", envelope(raw("worker-heartbeat", hostname="w@x", freq=2.0, active=0))
        )

    def commands(self) -> Counter[str]:
        """Commands by name."""
        stats: dict[str, Any] = self._client.info("commandstats")
        counted = Counter({name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()})
        own = Counter({"publish": self._published, **{name: counted[name] for name in _NOT_THEIRS}})
        return counted - own

    def writes(self) -> set[str]:
        """Those that Redis itself says can change data, and those that tell others something."""
        known: dict[str, dict[str, Any]] = self._client.command()
        writing = {name for name, about in known.items() if "write" in about["flags"]}
        return set(self.commands()) & (writing | {"publish"})


def watch(
    server: RedisServer, client: Redis, folder: Path, mode: Mode, *, seconds: float = 0.0
) -> tuple[Asked, Looking]:
    """Let everything look for so many seconds, or until everything did."""
    with everything(server.url, folder, mode) as (running, looking):
        asked = Asked(client)
        done = time.monotonic() + seconds
        number = 0

        def polls() -> int:
            return int(client.info("commandstats").get("cmdstat_hvals", {"calls": 0})["calls"])

        while time.monotonic() < done or len(looking.done) < 6 or polls() < 3:
            number += 1
            asked.publish(number)
            time.sleep(0.1)
            assert running.state == "live"
    return asked, looking


@pytest.mark.parametrize("mode", ["passive", "observe"])
def test_h01_a_broker_in_use_is_the_same_after_everything_looked(mode: Mode, tmp_path: Path) -> None:
    with RedisServer(*DEBUG) as server, Redis.from_url(server.url) as client:
        fill(server.url, client)
        before = command(client, "DEBUG", "DIGEST")
        asked, looking = watch(server, client, tmp_path, mode)
        # Who is killed while he asks workers leaves a list that goes by itself, see `test_litter`.
        eventually(lambda: command(client, "DEBUG", "DIGEST") == before, "the same data", within=2 * MINUTE)
        assert looking.failed == []
        if mode == "passive":
            assert asked.writes() == set()
            assert set(asked.commands()) <= READS | GREETINGS


def test_h01_a_write_would_be_seen(redis_server: RedisServer, client: Redis) -> None:
    asked = Asked(client)
    asked.publish(1)
    with Redis.from_url(redis_server.url) as other:
        other.llen("mail")
        assert asked.writes() == set()
        other.lpush("mail", "x")
        other.publish("x", "y")
    assert asked.writes() == {"lpush", "publish"}


def test_h01_passive_mode_works_with_the_published_rights(tmp_path: Path) -> None:
    with RedisServer(*DEBUG) as server, Redis.from_url(server.url) as client:
        fill(server.url, client)
        command(client, "ACL", "SETUSER", "watcher", *READ_ONLY.split(), ">secret")
        url = f"redis://watcher:secret@{HOST}:{server.port}/0"
        with everything(url, tmp_path, "passive") as (running, looking):
            Asked(client).publish(1)
            reducer = running.collector._reducer
            eventually(lambda: reducer.task("good-1"), "an event")
            eventually(lambda: len([q for q in reducer.queues.values() if q.ready == 20]) == QUEUES, "all depths")
            eventually(lambda: reducer.queues["queue-1"].unacked == 20, "what is unacked")
            eventually(lambda: len(looking.done) == 5, "all that looks")
        assert looking.failed == []
        assert [text for key in ("queues", "rights", "role") for text in running.notices(key) if text] == []
        refused = {
            name: each["rejected_calls"] for name, each in client.info("commandstats").items() if each["rejected_calls"]
        }
        assert refused.keys() <= {"cmdstat_client|setinfo"}, "which redis-py says of itself and is not needed"


def test_h01_the_rights_that_are_tested_are_those_that_are_published() -> None:
    text = (Path(__file__).parents[2] / "docs" / "harmless.md").read_text("utf-8")
    recipe = text.partition("ACL SETUSER watcher")[2].partition("```")[0]
    assert set(recipe.split()) - {">password"} == set(READ_ONLY.split())


# --- H02: messages of others -----------------------------------------------------------------------------------------

QUESTIONS: Final[tuple[Command, ...]] = (
    "ping",
    "stats",
    "active_queues",
    "active",
    "reserved",
    "scheduled",
    "query_task",
    "registered",
    "conf",
)
CHANGES: Final[tuple[orders.Order, ...]] = (
    orders.EnableEvents(),
    orders.DisableEvents(),
    orders.PoolGrow(1),
    orders.PoolShrink(1),
    orders.PoolRestart(),
    orders.Autoscale(most=2, least=1),
    orders.AddConsumer("queue-1"),
    orders.CancelConsumer("queue-1"),
    orders.RateLimit("shop.add", "1/m"),
    orders.TimeLimit("shop.add", hard=3.0, soft=2.0),
)


def ask_everything(control: Control, mode: Mode) -> None:
    """Every question that workers are ever asked, and all that they are told in this mode."""
    if mode == "passive":
        return
    for question in QUESTIONS:
        control.ask(question, timeout=0.01)
    control.present(["w@x"], timeout=0.01)
    if mode == "operate":
        for change in CHANGES:
            list(control.tell(change, ["w@x"], ["w@x"], timeout=0.01))
        list(control.tell(orders.RevokeIds(["t1"]), None, ["w@x"], timeout=0.01))
        list(control.tell(orders.Shutdown(), ["w@x"], ["w@x"], timeout=0.01))


def test_h02_in_a_thousand_runs_no_unacked_message_of_others_goes_back_into_its_queue() -> None:
    with RedisServer() as server, Redis.from_url(server.url) as client:
        fill(server.url, client, tasks=0)
        modes: tuple[Mode, ...] = ("passive", "observe", "operate")
        access = Access("operate", "development")
        access.unlock()
        grants = {"operate": (grant := access.grant())}
        controls = {
            mode: RedisControl(redis_address(server.url), mode, on_command=lambda _number: None, grant=grants.get(mode))
            for mode in modes
        }
        for run in range(1_000):
            mode = modes[run % len(modes)]
            ask_everything(controls[mode], mode)
            assert (client.hlen("unacked"), client.zcard("unacked_index")) == (20, 20)
        for control in controls.values():
            control.close()
        grant.end()
        assert client.exists("queue-1") == 0
        assert set(client.keys()) == {b"unacked", b"unacked_index"}, "and nothing of ours is left"


@pytest.mark.parametrize("mode", ["passive", "observe", "operate"])
def test_h02_nor_by_anything_else_that_looks(mode: Mode, tmp_path: Path) -> None:
    with RedisServer() as server, Redis.from_url(server.url) as client:
        fill(server.url, client, tasks=0)
        _, looking = watch(server, client, tmp_path, mode)
        # All that was ever sent is held by a worker: there is no queue, and whoever looks into one is told so.
        assert [text for text in looking.failed if "has no queue" not in text] == []
        assert (client.hlen("unacked"), client.zcard("unacked_index")) == (20, 20)
        assert client.exists("queue-1") == 0


def test_h02_a_stock_client_would_put_them_back() -> None:
    with RedisServer() as server, Redis.from_url(server.url) as client:
        fill(server.url, client, tasks=0)
        app = Celery("shop", broker=server.url, set_as_current=False)
        eventually(lambda: app.control.ping(timeout=0.5) or client.llen("queue-1"), "that they are in their queue")
        app.close()


def main(words: Sequence[str] | None = None) -> None:
    """Look for a while, and say what that did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--mode", choices=["passive", "observe"], default="passive")
    given = parser.parse_args(words)
    with RedisServer(*DEBUG) as server, Redis.from_url(server.url) as client, tempfile.TemporaryDirectory() as folder:
        fill(server.url, client)
        before = command(client, "DEBUG", "DIGEST")
        asked, looking = watch(server, client, Path(folder), given.mode, seconds=given.seconds)
        found = {
            "mode": given.mode,
            "seconds": given.seconds,
            "digest_is_the_same": command(client, "DEBUG", "DIGEST") == before,
            "commands": dict(asked.commands()),
            "writes": sorted(asked.writes()),
            "looks": dict(looking.done),
            "failed": looking.failed,
        }
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")


if __name__ == "__main__":
    main()
