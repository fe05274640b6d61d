"""What workers of each kind of pool really do with what they are told, and whether a plan says so before.

    python -m tests.features.celery_pools [--pools prefork gevent …] [--version 5.6] [--keep DIR]

prints it, line by line. The environment is made with pip as by `celery_versions`, with gevent and eventlet besides.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from redis import Redis

from app.collectors.orders import RevokeIds
from app.models.acts import Revoke, Send, Steer
from tests.features.celery_versions import PATIENCE, ROOT, made
from tests.helpers.acting import Actor, telling
from tests.helpers.collecting import collecting
from tests.helpers.histories import reading
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

POOLS: Final = ("prefork", "threads", "solo", "gevent", "eventlet")
WORKER: Final = "w1@test"
TASK: Final = "pools.wait"
GREEN: Final = ("gevent", "eventlet")
#: Seconds of a time limit, and within which a task has to be over that heeds it.
LIMIT: Final = 1.0
HEEDED: Final = 10.0
#: An application with one task, which runs until there is a mark; patched as ``celery worker`` does it.
_APP: Final = """
import sys, time
from celery import maybe_patch_concurrency
maybe_patch_concurrency(["celery", *sys.argv[3:]])
from celery import Celery
from redis import Redis
broker, marks = sys.argv[1:3]
app = Celery("pools", broker=broker, backend=marks, set_as_current=False)
app.conf.update(worker_pool_restarts=True, broker_connection_retry_on_startup=True, result_extended=True,
                worker_hijack_root_logger=True)
@app.task(name="pools.wait", bind=True)
def wait(task, *args):
    client = Redis.from_url(marks)
    client.set(f"running.{task.request.id}", "1")
    try:
        while not client.exists(f"release.{task.request.id}"):
            time.sleep(0.05)
        if args:
            raise ValueError(*args)
    finally:
        client.set(f"over.{task.request.id}", "1")
app.worker_main(sys.argv[3:])
"""


class Bench:
    """A worker of one kind of pool, and who acts on it."""

    def __init__(self, url: str, pool: str, folder: Path) -> None:
        self.url, self.pool = url, pool
        self.marks = Redis.from_url(_marks(url))
        self.actor = Actor(url, folder, folder / "h")
        self.history = folder / "h"

    def run(self, hard: float | None = None, soft: float | None = None, *, fails: bool = False) -> str:
        """The id of a task that runs now, with these time limits; it may be one that fails in the end."""
        outcome = self.actor.do(Send(TASK, '["fail"]' if fails else "[]", time_limit=hard, soft_time_limit=soft))
        uuid = outcome.items[0].text.split()[-1]
        eventually(lambda: self.marks.exists(f"running.{uuid}"), "a task that runs", within=PATIENCE)
        return uuid

    def over(self, uuid: str, within: float) -> bool:
        """Whether a task is over in so many seconds."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if self.marks.exists(f"over.{uuid}"):
                return True
            time.sleep(0.05)
        return False

    def release(self, uuid: str) -> None:
        self.marks.set(f"release.{uuid}", "1")
        assert self.over(uuid, PATIENCE)

    def told(self, uuid: str) -> list[str]:
        """What its worker told of a task, without what all tasks begin with."""
        with reading(self.history) as reader:
            task = reader.task(uuid)
        facts = [] if task is None else task.facts or []
        return [fact.kind for fact in facts if fact.kind not in ("received", "started")]

    def result(self, uuid: str) -> str:
        """The state that the result backend has of a task."""
        stored = self.marks.get(f"celery-task-meta-{uuid}")
        return str(json.loads(stored)["status"]) if isinstance(stored, bytes) else ""


@contextmanager
def bench(server: RedisServer, python: str, pool: str, *options: str) -> Iterator[Bench]:
    """A worker that is there, on a Redis that knew no other."""
    words = ["worker", "-P", pool, "-c", "2", "-n", WORKER, "-E", "-l", "INFO", *options]
    with tempfile.TemporaryDirectory(prefix="cloche-pools-") as place, Redis.from_url(server.url) as client:
        client.flushall()
        folder = Path(place)
        with collecting(server.url, folder / "h", mode="observe"), (folder / "worker.log").open("wb") as log:
            command = [python, "-c", _APP, server.url, _marks(server.url), *words]
            with subprocess.Popen(command, env={**os.environ, "C_FORCE_ROOT": "1"}, stdout=log, stderr=log) as process:
                one = Bench(server.url, pool, folder)
                try:
                    eventually(lambda: _is_there(one), "a worker", within=PATIENCE)
                    yield one
                finally:
                    process.kill()
                    one.marks.close()


def _is_there(one: Bench) -> bool:
    """Whether its worker answers, and the history knows its pool."""
    if one.actor.refusal(Steer("enable_events", [WORKER])):
        return False
    with reading(one.history) as reader:
        return any(worker.pool for worker in reader.workers())


def _marks(url: str) -> str:
    return f"{url.rpartition('/')[0]}/1"


def terminated(bench: Bench) -> str:
    """Terminating a task: why it can't be planned; or what its worker told of it, and whether it is over."""
    uuid = bench.run()
    wish = Revoke([uuid], terminate=True)
    refused = bench.actor.refusal(wish)
    if refused:
        bench.release(uuid)
        return refused
    outcome = bench.actor.do(wish)
    eventually(lambda: "revoked" in bench.told(uuid), "that it was ended", within=PATIENCE)
    over = "over" if bench.over(uuid, HEEDED) else "not over"
    return f"{outcome.items[0].ok}, {over}, told as {' and '.join(bench.told(uuid))}"


def steered(bench: Bench, wish: Steer) -> str:
    """What comes of a command: why it can't be planned, or what the worker answered and what was read back."""
    refused = bench.actor.refusal(wish)
    if refused:
        return refused
    outcome = bench.actor.do(wish)
    return f"{outcome.items[0].ok}, {outcome.items[0].text} {outcome.text}".strip()


def heeded(bench: Bench) -> str:
    """Which time limits end a task."""
    found = []
    for name, hard, soft in (("hard", LIMIT, None), ("soft", None, LIMIT)):
        uuid = bench.run(hard, soft)
        if bench.over(uuid, HEEDED):
            found.append(name)
        bench.release(uuid)
    return " ".join(found)


def revoked(bench: Bench) -> str:
    """What is stored of tasks that succeeded, failed, or run, once their worker hears that they are revoked."""
    done, failed, running = bench.run(), bench.run(fails=True), ""
    for uuid, state in ((done, "SUCCESS"), (failed, "FAILURE")):
        bench.release(uuid)
        eventually(lambda: bench.result(uuid) == state, "its result", within=PATIENCE)  # noqa: B023
    ids = [done, failed]
    if bench.pool != "solo":  # who runs a task there hears of nothing
        running = bench.run()
        ids.append(running)
    with telling(bench.url) as control:
        (answer,) = control.tell(RevokeIds(ids), None, [WORKER])
    assert answer.done
    stored = ", ".join(bench.result(uuid) or "nothing" for uuid in ids)
    if running:
        bench.release(running)
    cautions = " ".join(caution.text for caution in bench.actor.plan(Revoke(["another"])).cautions)
    return f"{stored}; {'said before' if 'REVOKED' in cautions else 'nothing said'}"


def figures(server: RedisServer, python: str, pool: str) -> dict[str, str]:
    """What became of each thing that a pool was told."""
    found = {}
    with bench(server, python, pool) as one:
        found["terminate"] = terminated(one)
        found["grow"] = steered(one, Steer("pool_grow", [WORKER], number=1))
        found["shrink"] = steered(one, Steer("pool_shrink", [WORKER], number=1))
        found["autoscale"] = steered(one, Steer("autoscale", [WORKER], most=4, least=1))
        found["restart"] = steered(one, Steer("pool_restart", [WORKER]))
        limits = Steer("time_limit", [WORKER], task=TASK, soft=300.0, hard=600.0)
        found["limits said"] = " ".join(each.text for each in one.actor.plan(limits).cautions[1:])
        found["limits heeded"] = heeded(one)
        found["stored after a revoke"] = revoked(one)
    with bench(server, python, pool, "--autoscale", "3,1") as one:
        found["grow where it scales"] = steered(one, Steer("pool_grow", [WORKER], number=1))
        found["range"] = steered(one, Steer("autoscale", [WORKER], most=4, least=1))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", nargs="+", default=POOLS)
    parser.add_argument("--version", default="newest")
    parser.add_argument("--keep", type=Path, default=ROOT / "build/celery")
    asked = parser.parse_args()
    python = made(asked.version, asked.keep, *GREEN)
    for pool in asked.pools:
        with RedisServer() as server:
            found = figures(server, python, pool)
        sys.stdout.write("".join(f"{pool:<9} {name:<22} {what}\n" for name, what in found.items()))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
