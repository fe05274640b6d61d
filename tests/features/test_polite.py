"""H04: what we cost a broker with 50 queues and 20 workers, idle and busy: little, and never more than is promised.

In the suite what can be counted is judged, over some seconds. For times and processor time, over as long as is wanted:

    python -m tests.features.test_polite --seconds 60 --windows 5

Two of the workers are real, if asked for with --real; the others answer what workers are asked, and give their signs of
life, as workers do.
"""

import argparse
import base64
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import pytest
from redis import Redis

from app.models.wire import Configure, Health
from tests.collectors.conftest import command
from tests.helpers.celery_apps import make_app, worker
from tests.helpers.collecting import child, hear
from tests.helpers.events import envelope, raw
from tests.helpers.proxy import FaultProxy
from tests.helpers.servers import HOST, RedisServer
from tests.helpers.waiting import eventually

QUEUES: Final = 50
WORKERS: Final = 20
BUSY: Final = 1_000
#: The limits that are promised: questions a second (a pipeline is one), connections, bytes that the broker holds for
#: us, microseconds of one command, and the share of a processor.
RATE: Final = 10.0
CONNECTIONS: Final = 4
BUFFER: Final = 8 << 20
SLOW: Final = 1_000
CPU: Final = 0.01

CONTROL: Final = "/0.celery.pidbox"
_ANSWERS: Final[dict[str, object]] = {
    "ping": {"ok": "pong"},
    "stats": {"pool": {"implementation": "celery.concurrency.prefork:TaskPool", "max-concurrency": 4}, "pid": 7},
    "active": [],
    "reserved": [],
    "scheduled": [],
}


class Fleet:
    """Workers that say that they live every two seconds, and answer what they are asked."""

    def __init__(self, url: str, workers: int) -> None:
        self._names = [f"w{number}@fleet" for number in range(workers)]
        self._client = Redis.from_url(url)
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._beat), threading.Thread(target=self._answer)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    def _beat(self) -> None:
        while not self._stopping.wait(2.0 / len(self._names)):
            name = self._names[int(time.monotonic() * len(self._names) / 2.0) % len(self._names)]
            beat = raw("worker-heartbeat", hostname=name, freq=2.0, active=0, timestamp=time.time())
            self._client.publish("/0.celeryev/worker.heartbeat", envelope(beat))

    def _answer(self) -> None:
        heard = self._client.pubsub()  # type: ignore[no-untyped-call]
        heard.subscribe(CONTROL)
        while not self._stopping.is_set():
            message = heard.get_message(timeout=0.1)
            if message is not None and message["type"] == "message":
                self._reply(json.loads(base64.b64decode(json.loads(message["data"])["body"])))
        heard.close()

    def _reply(self, asked: dict[str, Any]) -> None:
        if asked["method"] not in (*_ANSWERS, "active_queues"):
            return  # real workers greet each other
        pipeline = self._client.pipeline(transaction=False)
        for at, name in enumerate(self._names):
            if asked["destination"] is None or name in asked["destination"]:
                queues = [{"name": f"queue-{number}"} for number in range(QUEUES) if number % len(self._names) == at]
                answer = queues if asked["method"] == "active_queues" else _ANSWERS[asked["method"]]
                body = json.dumps({name: answer})
                reply = {"body": body, "headers": {"ticket": asked["ticket"]}, "properties": {}}
                pipeline.lpush(asked["reply_to"]["routing_key"], json.dumps(reply))
        pipeline.execute()


@contextmanager
def load(url: str, rate: int, seconds: float) -> Iterator[None]:
    """So many events a second, from a process of its own."""
    if not rate:
        yield
        return
    words = ["--rate", str(rate), "--seconds", str(seconds), "--in-flight", "100"]
    with subprocess.Popen([sys.executable, "-m", "tests.bench.load", url, *words], stdout=subprocess.PIPE) as process:
        try:
            yield
        finally:
            process.kill()


class Cost:
    """What a broker and its network saw of us within some seconds."""

    def __init__(self, client: Redis, proxy: FaultProxy) -> None:
        self._client, self._proxy = client, proxy
        self.connections = 0
        self.buffers: list[int] = []
        command(client, "CONFIG", "SET", "slowlog-log-slower-than", str(SLOW))
        command(client, "SLOWLOG", "RESET")
        self._asked, self._cpu, self._began = proxy.questions, self._used(), time.monotonic()
        self.rate = self.cpu = 0.0
        self.slow: list[str] = []

    def look(self) -> None:
        """See who is connected now, and what is held for them."""
        ports = self._proxy.ports
        ours = [each for each in self._client.client_list() if int(each["addr"].rpartition(":")[2]) in ports]
        self.connections = max(self.connections, len(ours))
        self.buffers += [int(each["omem"]) for each in ours]
        ours_by_address = {each["addr"] for each in ours}
        for entry in self._client.slowlog_get(100):
            if entry["client_address"].decode() in ours_by_address:
                self.slow.append(f"{entry['duration']} µs: {entry['command'][:60]!r}")
        command(self._client, "SLOWLOG", "RESET")

    def end(self) -> "Cost":
        took = time.monotonic() - self._began
        self.rate = (self._proxy.questions - self._asked) / took
        self.cpu = (self._used() - self._cpu) / took
        return self

    @property
    def buffer(self) -> int:
        """Bytes held for one of us: the 99th of a hundred looks."""
        return sorted(self.buffers)[int(len(self.buffers) * 0.99)] if self.buffers else 0

    def _used(self) -> float:
        found = self._client.info("cpu")
        return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])


@contextmanager
def broker(workers: int) -> Iterator[tuple[RedisServer, FaultProxy, Redis]]:
    """A broker with its queues, and workers that answer."""
    with (
        RedisServer() as server,
        Redis.from_url(server.url) as client,
        FaultProxy(server.port) as proxy,
        Fleet(server.url, workers),
    ):
        app = make_app(server.url)
        for number in range(200):
            app.send_task("truth.add", (number, 1), queue=f"queue-{number % QUEUES}", priority=number % 10)
        app.close()
        yield server, proxy, client


@contextmanager
def watching(proxy: FaultProxy, folder: Path) -> Iterator[None]:
    """A collector that listens by way of the proxy, and has found its way about."""
    config = Configure("shop", f"redis://{HOST}:{proxy.port}/0", str(folder / "h"))
    with child(config) as process:
        assert any(isinstance(said, Health) and said.state == "live" for said in hear(process))
        draining = threading.Thread(target=lambda: list(hear(process)))
        draining.start()
        try:
            yield
        finally:
            process.terminate()
            draining.join()


def measure(client: Redis, proxy: FaultProxy, seconds: float) -> Cost:
    cost = Cost(client, proxy)
    done = time.monotonic() + seconds
    while time.monotonic() < done:
        cost.look()
        time.sleep(0.25)
    return cost.end()


@pytest.mark.parametrize("rate", [0, BUSY], ids=["idle", "busy"])
def test_h04_questions_connections_and_buffers_are_within_what_is_promised(tmp_path: Path, rate: int) -> None:
    seconds = 12.0
    with broker(WORKERS) as (server, proxy, client), watching(proxy, tmp_path), load(server.url, rate, 60.0):
        before = client.info("stats")["total_commands_processed"]
        cost = measure(client, proxy, seconds)
        asked = client.info("commandstats")
        lists = asked["cmdstat_llen"]["calls"] / (seconds + 5.0)
        assert client.info("stats")["total_commands_processed"] - before > rate * seconds * 0.5, "the load is one"
        assert lists >= QUEUES, "all queues are looked at"
        assert asked["cmdstat_lpop"]["calls"] >= WORKERS, "all workers were asked"
    assert 0.0 < cost.rate <= RATE
    assert 2 <= cost.connections <= CONNECTIONS
    assert cost.buffer <= BUFFER


def report(costs: Sequence[Cost], without: Sequence[Cost]) -> dict[str, object]:
    """Medians of windows, and what was worst in any."""
    added = [one.cpu - other.cpu for one, other in zip(costs, without, strict=True)]
    return {
        "questions_per_second": round(max(cost.rate for cost in costs), 1),
        "connections": max(cost.connections for cost in costs),
        "output_buffer_bytes_p99": max(cost.buffer for cost in costs),
        "slow_commands": [line for cost in costs for line in cost.slow],
        "cpu_with_us": round(statistics.median(cost.cpu for cost in costs), 4),
        "cpu_without_us": round(statistics.median(cost.cpu for cost in without), 4),
        "cpu_added": round(statistics.median(added), 4),
        "cpu_added_in_windows": [round(each, 4) for each in added],
    }


def main(words: Sequence[str] | None = None) -> None:
    """Measure with and without us in turn, idle and busy, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of one window")
    parser.add_argument("--windows", type=int, default=5, help="windows with us, and as many without us")
    parser.add_argument("--real", type=int, default=0, help="so many of the workers are real ones")
    given = parser.parse_args(words)
    found: dict[str, object] = {"seconds": given.seconds, "windows": given.windows, "real_workers": given.real}
    for name, rate in (("idle", 0), ("busy", BUSY)):
        with ExitStack() as held:
            folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
            server, proxy, client = held.enter_context(broker(WORKERS - given.real))
            for number in range(given.real):
                held.enter_context(worker(server.url, f"real{number}", folder / f"{number}.log", "-E"))
            for number in range(given.real):
                hostname = f"real{number}@test"
                eventually(lambda: "ready." in (folder / f"{number}.log").read_text(), hostname, within=60)  # noqa: B023
            held.enter_context(load(server.url, rate, given.windows * (2 * given.seconds + 30)))
            costs: list[Cost] = []
            without: list[Cost] = []
            for _ in range(given.windows):
                without.append(measure(client, proxy, given.seconds))
                with watching(proxy, folder):
                    time.sleep(3.0)  # it begins with more questions than it goes on with
                    costs.append(measure(client, proxy, given.seconds))
            found[name] = report(costs, without)
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")


if __name__ == "__main__":
    main()
