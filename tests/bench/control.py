"""How soon workers answer what they are told, and what those cost who answer badly."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from app.collectors.control import Control
from app.collectors.orders import EnableEvents
from tests.helpers.acting import telling
from tests.helpers.celery_apps import worker
from tests.helpers.fake_workers import Manners, fake_workers, named
from tests.helpers.servers import RabbitServer, RedisServer
from tests.helpers.waiting import eventually

#: Seconds that a worker which drips leaves between two answers, and the deadline that it should not stretch.
DRIP = 0.05
DEADLINE = 2.0


def measure(workers: int, times: int, forged: int) -> dict[str, Any]:
    """All of it; milliseconds, and bytes."""
    found: dict[str, Any] = {}
    with RedisServer() as redis, RabbitServer() as rabbitmq:
        found["one_worker_on_redis"] = _one(redis.url, times)
        found["one_worker_on_rabbitmq"] = _one(rabbitmq.url, times)
        names = named(workers)
        with fake_workers(redis.url, Manners(names)), telling(redis.url) as control:
            found[f"{workers}_fake_workers"] = _told(control, names, times)
        with fake_workers(redis.url, Manners(names, drip=DRIP)), telling(redis.url) as control:
            began = time.perf_counter()
            told = sum(1 for answer in control.tell(EnableEvents(), names, names, timeout=DEADLINE) if answer.done)
            took = time.perf_counter() - began
            found["dripping"] = {"deadline_s": DEADLINE, "took_s": round(took, 3), "told": told, "of": workers}
        two = named(2)
        with fake_workers(redis.url, Manners(two, forged=forged // 2, again=10)), telling(redis.url) as control:
            control.ask("conf", ["nobody"], timeout=0.05)
            before = psutil.Process().memory_info().rss
            answers = list(control.tell(EnableEvents(), two, two, timeout=60.0))
            grown = psutil.Process().memory_info().rss - before
            accepted = sum(1 for answer in answers if answer.known and answer.host not in two)
            found["forged"] = {"answers": forged, "accepted": accepted, "memory_bytes": grown}
    return found


def _one(url: str, times: int) -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory() as folder,
        telling(url) as control,
        worker(url, "w1", Path(folder) / "w1.log", slots=1) as running,
    ):
        eventually(lambda: control.ask("ping", timeout=1.0), "a worker that answers", within=60)
        return _told(control, [running.hostname], times)


def _told(control: Control, names: list[str], times: int) -> dict[str, float]:
    """Tell these workers something so often: until the last of them has answered."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        answers = list(control.tell(EnableEvents(), names, names, timeout=10.0))
        took.append((time.perf_counter() - began) * 1_000)
        if not all(answer.done for answer in answers):
            raise AssertionError(f"not all answered: {answers}")
    return {"ms_median": round(statistics.median(took), 1), "ms_most": round(max(took), 1), "times": times}
