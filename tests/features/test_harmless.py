"""Looking changes nothing: H01–H04 of a broker in use, with everything that looks going on at once.

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from celery import Celery
from redis import Redis

from app.collectors.redis_control import RedisControl
from app.collectors.runner import Collector
from app.collectors.transport import redis_address
from app.models.profiles import Mode
from app.models.wire import Peek, Peeked, Search, Surveyed
from tests.collectors.conftest import command
from tests.helpers.collecting import Running, collecting
from tests.helpers.events import envelope, raw
from tests.helpers.hostile import good
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

#: What a user may do who may only look: the rights that the documentation publishes.
READ_ONLY: Final = """
    on resetchannels &/0.celeryev/* &/0.celeryev resetkeys %R~* -@all +psubscribe +ping +llen +hlen +lindex +lrange
    +hvals +memory|usage +scan +sscan +role +select +auth +hello +client|setname +info
"""
#: The limits that are promised: questions a second (a pipeline is one), connections, and bytes held for us.
RATE: Final = 10.0
CONNECTIONS: Final = 4
BUFFER: Final = 8 << 20
#: Unacked for so long that a stock client would put it back into its queue.
OLD: Final = 7_200.0
DEBUG: Final = ("--enable-debug-command", "local")


def fill(url: str, client: Redis, tasks: int = 200) -> None:
    """A broker in use: queues of several priorities, and messages that a worker holds since long."""
    app = Celery("shop", broker=url, set_as_current=False)
    for number in range(tasks):
        app.send_task("shop.buy", [number], queue=f"queue-{number % 10}", priority=number % 10)
    app.close()
    for number in range(20):
        message = {"body": "W10=", "headers": {"id": f"old-{number}"}, "properties": {"body_encoding": "base64"}}
        client.hset("unacked", f"tag-{number}", json.dumps([message, "", "queue-1"]))
        client.zadd("unacked_index", {f"tag-{number}": time.time() - OLD})


@contextmanager
def everything(url: str, folder: Path, mode: Mode) -> Iterator[Running]:
    """A collector with all its looks, and somebody who looks into queues beside it."""
    stopping = threading.Event()

    def look_into_queues(collector: Collector) -> None:
        # As fast as a person turns pages, and one search after the other.
        number = 0
        while not stopping.wait(1.0):
            number += 2
            name = f"queue-{secrets.randbelow(10)}"
            collector.take(Peek(number, name, newest=bool(secrets.randbelow(2))))
            collector.take(Search(number + 1, name, "no-such-id" if secrets.randbelow(2) else ""))

    with collecting(url, folder / "h", queues=["queue-0"], mode=mode) as running:
        looking = threading.Thread(target=look_into_queues, args=(running.collector,))
        looking.start()
        try:
            yield running
        finally:
            stopping.set()
            looking.join()


class Broker:
    """What a broker was asked by others than this client, and what that cost it."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self.connections = self.buffer = 0
        command(client, "CONFIG", "RESETSTAT")
        self.began = time.monotonic()
        #: Kinds of answers to whoever looked into queues.
        self.answered: set[type] = set()
        #: Questions a second, as the collector counts them.
        self.rate = 0.0

    def look(self) -> None:
        """See who is connected now."""
        ours = [each for each in self._client.client_list() if each["name"].startswith("cloche") or each["psub"] != "0"]
        self.connections = max(self.connections, len(ours))
        self.buffer = max(self.buffer, *(int(each["omem"]) for each in ours), 0)

    def asked(self) -> Counter[str]:
        """Commands by name, without this client's own."""
        stats: dict[str, Any] = self._client.info("commandstats")
        own = {"info", "config|resetstat", "client|list", "debug", "publish"}
        counted = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
        return Counter({name: calls for name, calls in counted.items() if name not in own})


def publish(client: Redis, number: int) -> None:
    client.publish("/0.celeryev/task.multi", good(number))
    client.publish(
        "/0.celeryev/worker.heartbeat", envelope(raw("worker-heartbeat", hostname="w@x", freq=2.0, active=0))
    )


def watch(
    server: RedisServer, client: Redis, folder: Path, mode: Mode, *, polls: int = 0, seconds: float = 0.0
) -> Broker:
    """Let everything look for so many looks at queues, or so many seconds."""
    with everything(server.url, folder, mode) as running:
        broker = Broker(client)
        done = time.monotonic() + seconds
        sampled: set[float] = set()
        number = 0
        while time.monotonic() < done or len(sampled) < polls:
            number += 1
            publish(client, number)
            broker.look()
            sampled |= {queue.sampled for queue in running.collector._reducer.queues.values() if queue.sampled}
            time.sleep(0.1)
        broker.answered = {
            type(said) for said in running.said if isinstance(said, Peeked | Surveyed) and not said.error
        }
        broker.rate = running.collector._commands / (time.monotonic() - broker.began)
    return broker


@pytest.mark.parametrize("mode", ["passive", "observe"])
def test_h01_h04_a_broker_in_use_is_the_same_after_we_looked(mode: Mode, tmp_path: Path) -> None:
    with RedisServer(*DEBUG) as server, Redis.from_url(server.url) as client:
        fill(server.url, client)
        before = command(client, "DEBUG", "DIGEST")
        broker = watch(server, client, tmp_path, mode, polls=6)
        assert command(client, "DEBUG", "DIGEST") == before
        assert broker.answered == {Peeked, Surveyed}
        assert broker.connections <= CONNECTIONS
        assert broker.buffer <= BUFFER
        assert broker.rate <= RATE
        if mode == "passive":
            reads = {
                "ping",
                "psubscribe",
                "llen",
                "hlen",
                "lindex",
                "lrange",
                "info",
                "hvals",
                "memory|usage",
                "scan",
                "sscan",
                "role",
            }
            greetings = {"hello", "auth", "select", "client|setname", "client|setinfo"}
            assert set(broker.asked()) <= reads | greetings


def test_h01_passive_mode_works_with_the_published_rights(tmp_path: Path) -> None:
    with RedisServer(*DEBUG) as server, Redis.from_url(server.url) as client:
        fill(server.url, client)
        command(client, "ACL", "SETUSER", "watcher", *READ_ONLY.split(), ">secret")
        url = server.url.replace("redis://", "redis://watcher:secret@")
        with everything(url, tmp_path, "passive") as running:
            publish(client, 1)
            reducer = running.collector._reducer
            eventually(lambda: reducer.task("good-1"), "an event")
            eventually(lambda: len([q for q in reducer.queues.values() if q.ready == 20]) == 10, "all depths")
            eventually(lambda: reducer.queues["queue-1"].unacked == 20, "what is unacked")
            assert [text for key in ("queues", "rights", "role") for text in running.notices(key) if text] == []


def test_h02_no_unacked_message_of_others_goes_back_into_its_queue() -> None:
    with RedisServer() as server, Redis.from_url(server.url) as client:
        fill(server.url, client, tasks=0)
        control = RedisControl(redis_address(server.url), "operate", on_command=lambda _number: None)
        for _ in range(1_000):
            for question in ("stats", "active_queues", "active", "reserved", "scheduled"):
                control.ask(question, timeout=0.01)
        control.close()
        assert (client.hlen("unacked"), client.zcard("unacked_index")) == (20, 20)
        assert client.exists("queue-1") == 0
        assert set(client.keys()) == {b"unacked", b"unacked_index"}, "and nothing of ours is left"


def main(words: Sequence[str] | None = None) -> None:
    """Look for a while, and say what that did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--mode", choices=["passive", "observe"], default="passive")
    given = parser.parse_args(words)
    with RedisServer(*DEBUG) as server, Redis.from_url(server.url) as client, tempfile.TemporaryDirectory() as folder:
        fill(server.url, client)
        before = command(client, "DEBUG", "DIGEST")
        broker = watch(server, client, Path(folder), given.mode, seconds=given.seconds)
        found = {
            "mode": given.mode,
            "seconds": given.seconds,
            "digest_is_the_same": command(client, "DEBUG", "DIGEST") == before,
            "commands": dict(broker.asked()),
            "questions_per_second": round(broker.rate, 1),
            "connections": broker.connections,
            "output_buffer_bytes": broker.buffer,
        }
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")


if __name__ == "__main__":
    main()
