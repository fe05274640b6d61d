"""What queues cost a Redis, however many and however long they are: 10,000 of them, and one of ten million messages.

Everybody who uses the broker waits for whoever keeps it busy. So beside what Redis says of each command of ours
(SLOWLOG), somebody else asks it for a sign of life all the while, and says how long it took.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
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
    with machine.redis(*options) as broker, Redis.from_url(broker.url) as client:
        fill(client, queues, messages)
        address = redis_address(broker.url)
        return {
            "server": machine.server_version(broker),
            "queues": queues,
            "messages": messages,
            "memory_mb_of_redis": client.info("memory")["used_memory"] // 1_000_000,
            "alone": _alone(broker.url, seconds / 4),
            "collector": _collector(broker.url, client, rate, seconds),
            "looks": _looks(address, client, messages),
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


class Pings(threading.Thread):
    """Asks a Redis for a sign of life again and again while its context lasts, as somebody who uses it."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.took: list[float] = []
        self._client = Redis.from_url(url)
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._client.ping()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.join()
        self._client.close()

    def run(self) -> None:
        while not self._over.wait(PING_PAUSE):
            began = time.perf_counter()
            self._client.ping()
            self.took.append(time.perf_counter() - began)


@contextmanager
def _watched(url: str, client: Redis) -> Iterator[dict[str, Any]]:
    """What our commands cost Redis, and others, while the context lasts; the figures are there when it ends."""
    client.execute_command("SLOWLOG", "RESET")  # type: ignore[no-untyped-call]
    figures: dict[str, Any] = {}
    with Pings(url) as pings:
        yield figures
    ours = [entry for entry in client.slowlog_get(LOGGED) if entry["client_name"].startswith(b"cloche")]
    slowest = max(ours, key=lambda entry: int(entry["duration"]), default=None)
    figures["slowest_command_ms"] = 0.0 if slowest is None else slowest["duration"] / 1_000
    figures["slowest_command"] = "" if slowest is None else _said(slowest["command"])
    figures["stalls"] = sum(1 for entry in ours if entry["duration"] >= STALL)
    figures["ping_of_others_ms"] = machine.spread(pings.took)


def _said(words: bytes) -> str:
    return words.decode(errors="replace")[:60]


def _alone(url: str, seconds: float) -> dict[str, Any]:
    """Signs of life while nobody else asks anything."""
    with Pings(url) as pings:
        time.sleep(seconds)
    return {"ping_of_others_ms": machine.spread(pings.took)}


def _collector(url: str, client: Redis, rate: float, seconds: float) -> dict[str, Any]:
    """A collector that looks at all queues while events come in."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _watched(url, client) as figures,
        Recorder(url, Path(folder) / "queues.cloche") as recorder,
    ):
        with Load(url, rate=rate, seconds=seconds) as load:
            load.start()
            sent = load.sent()
        recorder.until_true(sent)
        health = list(recorder.health)
        figures["memory_mb"] = round(machine.rss(recorder.process) / 1e6)
    asked = [each["commands_per_second"] for each in health]
    figures |= {
        "seconds": len(health),
        "events": sent["events"],
        "pipelines_per_second_mean": round(sum(asked) / len(asked), 2),
        "pipelines_per_second_max": max(asked),
        "event_to_commit_ms": machine.spread([each["behind"] for each in health]),
        "poll_ms": machine.spread([each["round_trip"] for each in health]),
    }
    return figures


def _looks(address: RedisAddress, client: Redis, messages: int) -> dict[str, Any]:
    """All that the Messages tab may be asked for, at the pace of a collector."""
    url = f"redis://{address.host}:{address.port}/{address.database}"
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
        with _watched(url, client) as figures:
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
