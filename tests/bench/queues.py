"""What queues cost a Redis, however many and however long they are: 10,000 of them, and one of ten million messages.

Everybody who uses the broker waits for whoever keeps it busy. So beside what Redis says of each command of ours
(SLOWLOG), somebody else asks it for a sign of life all the while, and says how long it took.
"""

import json
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil
from redis import Redis

from app.collectors.peeker import PAUSE
from app.collectors.redis_lists import measure as measure_lists
from app.collectors.redis_messages import peek
from app.collectors.redis_survey import RedisSurvey
from app.collectors.transport import RedisAddress, redis_address
from tests.bench import machine
from tests.bench.machine import Load
from tests.bench.recorder import Recorder

#: The queue that is long.
BIG: Final = "big"
#: Microseconds from which on Redis logs a command, and how many of them.
SLOWER_THAN: Final = 50
LOGGED: Final = 50_000
#: Seconds between two signs of life that are asked for.
PING_PAUSE: Final = 0.002
#: A stall, in microseconds (SAFETY H04).
STALL: Final = 1_000
#: Commands that we send and nobody else does here.
OURS: Final = ("llen", "lrange", "lindex", "memory|usage", "hlen", "hvals", "scan", "sscan", "role")
#: What a message of the long queue looks like; its number makes its id and its task.
_FILL: Final = """
for number = ARGV[1], ARGV[2] - 1 do
    redis.call('lpush', KEYS[1], string.format('{"body":"W1tdLHt9LHt9XQ==","content-type":"application/json",'
        .. '"headers":{"id":"00000000-0000-4000-8000-%012d","task":"shop.tasks.job_%d"},'
        .. '"properties":{"body_encoding":"base64","priority":0}}', number, number % 7))
end
"""
_CHUNK: Final = 100_000
_SEPARATOR: Final = "\x06\x16"


def measure(queues: int, messages: int, rate: float, seconds: float) -> dict[str, Any]:
    """Figures of a collector beside such queues while events come in, and of every look that a user may ask for."""
    options = ("--slowlog-log-slower-than", str(SLOWER_THAN), "--slowlog-max-len", str(LOGGED))
    with machine.redis(*options) as broker, Redis.from_url(broker.url) as client, Pings(broker.url) as pings:
        fill(client, queues, messages)
        address = redis_address(broker.url)
        return {
            "server": machine.server_version(broker),
            "queues": queues,
            "messages": messages,
            "memory_mb_of_redis": client.info("memory")["used_memory"] // 1_000_000,
            "alone": _alone(pings, seconds / 4),
            "collector": _collector(broker.url, pings, client, rate, seconds),
            "looks": _looks(address, pings, client, messages),
        }


def fill(client: Redis, queues: int, messages: int) -> None:
    """Queues as kombu leaves them, with a binding each and a message in every other, and the long one."""
    pipeline = client.pipeline(transaction=False)
    for number in range(queues):
        name = f"queue-{number:05}"
        pipeline.sadd(f"_kombu.binding.{name}", f"{name}{_SEPARATOR}{_SEPARATOR}{name}")
        if number % 2:
            pipeline.lpush(name, f'{{"headers":{{"id":"{name}","task":"shop.tasks.job"}},"body":""}}')
        if number % 1_000 == 999:
            pipeline.execute()
    pipeline.sadd("_kombu.binding.celery", f"{BIG}{_SEPARATOR}{_SEPARATOR}{BIG}")
    pipeline.execute()
    script = client.register_script(_FILL)
    for start in range(0, messages, _CHUNK):
        script(keys=[BIG], args=[start, min(messages, start + _CHUNK)])


class Pings:
    """Somebody else who asks a Redis for a sign of life again and again, in a process of his own."""

    def __init__(self, url: str, pause: float = PING_PAUSE) -> None:
        self._command = [sys.executable, "-m", "tests.bench.queues", url, str(pause)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        machine.pin(psutil.Process(self._process.pid), machine.LOAD)
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def take(self) -> dict[str, float | None]:
        """How long answers took since this was asked last, in milliseconds."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("Nobody asks for signs of life.")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return machine.spread(json.loads(self._process.stdout.readline()))


def ping(url: str, pause: float) -> None:
    """Ask until nobody listens any more; for each line of input, tell how long each answer took, in seconds."""
    client = Redis.from_url(url)
    took: list[float] = []
    while True:
        asked, _, _ = select.select([sys.stdin], [], [], pause)
        if asked and not sys.stdin.readline():
            break
        if asked:
            print(json.dumps(took), flush=True)
            took.clear()
        began = time.perf_counter()
        client.ping()
        took.append(time.perf_counter() - began)
    client.close()


@contextmanager
def _watched(pings: Pings, client: Redis) -> Iterator[dict[str, Any]]:
    """What our commands cost Redis, and others, while the context lasts; the figures are there when it ends.

    Redis takes the time of a command by the clock. On a shared machine some are slow that have nothing to do, such as
    the pings of others: how slow these were stands beside ours, and so does the mean of each command.
    """
    client.config_resetstat()
    client.slowlog_reset()
    figures: dict[str, Any] = {}
    pings.take()
    yield figures
    signs = pings.take()
    logged = client.slowlog_get(LOGGED)
    ours = [entry for entry in logged if entry["client_name"].startswith(b"cloche")]
    slowest = max(ours, key=lambda entry: int(entry["duration"]), default=None)
    figures["slowest_command"] = "" if slowest is None else _said(slowest["command"])
    figures["slowest_command_ms"] = _slowest(ours)
    figures["slowest_ping_command_ms"] = _slowest([entry for entry in logged if entry["command"] == b"PING"])
    figures["commands_over_1_ms"] = sum(1 for entry in ours if entry["duration"] >= STALL)
    stats: dict[str, Any] = client.info("commandstats")
    figures["commands"] = {
        name: {"calls": each["calls"], "mean_us": each["usec_per_call"]}
        for name in OURS
        if (each := stats.get(f"cmdstat_{name}")) is not None
    }
    figures["ping_of_others_ms"] = signs


def _slowest(entries: Sequence[dict[str, Any]]) -> float:
    """Milliseconds."""
    return max((int(entry["duration"]) for entry in entries), default=0) / 1_000


def _said(words: bytes) -> str:
    return words.decode(errors="replace")[:60]


def _alone(pings: Pings, seconds: float) -> dict[str, Any]:
    """Signs of life while nobody else asks anything."""
    pings.take()
    time.sleep(seconds)
    return {"ping_of_others_ms": pings.take()}


def _collector(url: str, pings: Pings, client: Redis, rate: float, seconds: float) -> dict[str, Any]:
    """A collector that looks at all queues while events come in."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _watched(pings, client) as figures,
        Recorder(url, Path(folder) / "queues.cloche") as recorder,
    ):
        with Load(url, rate=rate, seconds=seconds) as load:
            load.start()
            sent = load.sent()
        recorder.until_true(sent)
        health = list(recorder.health)
        figures["memory_mb"] = round(machine.rss(recorder.process) / 1e6)
    asked = [each["commands_per_second"] for each in health]
    later = asked[len(asked) // 2 :]
    figures |= {
        "seconds": len(health),
        "events": sent["events"],
        "pipelines_per_second": round(sum(later) / len(later), 2),
        "pipelines_per_second_at_its_start": round(max(asked), 2),
        "event_to_commit_ms": machine.spread([each["behind"] for each in health]),
        "poll_ms": machine.spread([each["round_trip"] for each in health]),
    }
    return figures


def _looks(address: RedisAddress, pings: Pings, client: Redis, messages: int) -> dict[str, Any]:
    """All that the Messages tab may be asked for, at the pace of a collector."""
    (big, *_) = measure_lists(client, address, BIG)
    last = min(big.reach, messages) - 20
    absent, middle = "no-such-id", f"00000000-0000-4000-8000-{min(last, messages // 2):012}"

    def page(start: int, *, newest: bool) -> Callable[[], dict[str, Any]]:
        return lambda: {"shown": len(peek(address, BIG, start=start, newest=newest).messages)}

    looks: dict[str, Callable[[], dict[str, Any]]] = {
        "oldest page": page(0, newest=False),
        "newest page": page(0, newest=True),
        "deepest page from the oldest": page(last, newest=False),
        "deepest page from the newest": page(last, newest=True),
        "names": lambda: _survey(RedisSurvey(address, BIG)),
        "names of a small queue": lambda: _survey(RedisSurvey(address, "queue-00001")),
        "find, deep in the oldest": lambda: _survey(RedisSurvey(address, BIG, middle)),
        "find what is not there": lambda: _survey(RedisSurvey(address, BIG, absent)),
    }
    found: dict[str, Any] = {}
    process = psutil.Process()
    for name, look in looks.items():
        before, began = process.memory_info().rss, time.monotonic()
        with _watched(pings, client) as figures:
            told = look()
            took = time.monotonic() - began
        grown = max(0, process.memory_info().rss - before)
        found[name] = told | {"seconds": round(took, 2), "memory_mb_more": round(grown / 1e6, 1)} | figures
    return found


def _survey(survey: RedisSurvey) -> dict[str, Any]:
    """Look through a queue to its end, however often that has to be wanted."""
    pieces = goes = 0
    began = time.monotonic()
    while survey.survey.state != "over":
        started = time.monotonic()
        survey.look()
        pieces += 1
        goes += survey.survey.state == "paused"
        if survey.survey.state == "looking":
            time.sleep(max(0.0, started + PAUSE - time.monotonic()))
    survey.rest()
    told = survey.survey
    return {
        "pipelines": pieces,
        "pipelines_per_second": round(pieces / (time.monotonic() - began), 1),
        "goes": goes + 1,
        "looked": told.looked,
        "reached": told.reached,
        "total": told.total,
        "sample": told.sample,
        "found": len(told.found),
        "shares": {name: round(number / told.looked, 3) for name, number in told.names[:3]},
    }


if __name__ == "__main__":
    ping(sys.argv[1], float(sys.argv[2]))
