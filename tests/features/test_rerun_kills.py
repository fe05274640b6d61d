"""Whoever runs tasks again is killed, over and over, and the act taken up again: on Redis none is lost or doubled.

python -m tests.features.test_rerun_kills [--kills 100]
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import pytest
from redis import Redis

from app.collectors.access import Access
from app.collectors.acts.act import Reach
from app.collectors.acts.catalogue import act_of
from app.collectors.acts.engine import prepare, resume
from app.collectors.brokers import broker_at
from app.collectors.envelope import Known, for_redis, made, new_id
from app.collectors.publisher import SENT
from app.models.acts import FASTEST, Rerun
from app.models.audit import AuditLog, Subject
from app.models.audit_chain import read
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

#: Seconds.
DAY: Final = 86_400
ROOT: Final = Path(__file__).parents[2]


class Figures(msgspec.Struct):
    """What became of so many tasks, after so many kills."""

    tasks: int
    kills: int
    lost: int
    doubled: int
    left: list[str]


def act(url: str, log: Path, taken_up: str, ids: list[str]) -> None:
    """In a process of its own, to be killed: run tasks again, or what is left of that."""
    access = Access("operate", "development")
    access.unlock()
    make = partial(act_of, reach=Reach(broker_at(url), access, None, lambda _: None))
    audit = AuditLog(log, Subject("shop", url, "development"))
    prepared = resume(make, taken_up, audit) if taken_up else prepare(make, Rerun(ids=ids, queue="again"), audit)
    for outcome in prepared.execute(prepared.plan.typed, FASTEST):
        sys.stdout.write(f"{outcome.state}\n")
        sys.stdout.flush()


def run(kills: int, seed: int) -> Figures:
    dice = random.Random(seed)
    ids = [f"task-{number}" for number in range(kills * 20)]
    with RedisServer() as server, tempfile.TemporaryDirectory(prefix="cloche-kills-") as folder:
        log, killed = Path(folder) / "audit.jsonl", 0
        with Redis.from_url(server.url) as client:
            for id_ in ids:
                message = made(Known(name="shop.bill", args=[id_], kwargs={}, id=id_))
                client.lpush("waiting", for_redis(message, "", "waiting"))
            client.sadd("_kombu.binding.waiting", "waiting\x06\x16\x06\x16waiting")
            while True:
                taken_up = next((entry.act for entry, _ in read(log)), "") if log.exists() else ""
                command = [
                    sys.executable,
                    "-m",
                    "tests.features.test_rerun_kills",
                    "--act",
                    server.url,
                    str(log),
                    taken_up,
                ]
                wanted = dice.randrange(1, 20)
                with subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                ) as process:
                    assert process.stdin is not None
                    assert process.stdout is not None
                    process.stdin.write(json.dumps(ids))
                    process.stdin.close()
                    if killed < kills:
                        _wait_until(partial(_is_at_work, client, client.llen("again") + wanted), process)
                        time.sleep(dice.random() * 0.01)
                        process.kill()
                        killed += 1
                        (marker,) = client.scan_iter(f"{SENT}*")
                        assert 0 < client.ttl(marker) <= DAY, "it goes by itself where nobody goes on with it"
                        continue
                    assert process.stdout.read().splitlines()[-1] == "done"
                    break
            return _figures(client, ids, taken_up, killed)


def _is_at_work(client: Redis, wanted: int) -> bool:
    return int(client.llen("again")) >= wanted


def _wait_until(fact: partial[bool], process: subprocess.Popen[str]) -> None:
    eventually(lambda: fact() or process.poll() is not None, "the act at work", within=60)
    assert process.poll() is None, "it ended before it was killed"


def _figures(client: Redis, ids: list[str], taken_up: str, killed: int) -> Figures:
    raws: list[bytes] = client.lrange("again", 0, -1)  # type: ignore[assignment]
    found = Counter(json.loads(raw)["headers"]["id"] for raw in raws)
    wanted = {new_id(taken_up, id_) for id_ in ids}
    assert found.keys() <= wanted
    left = [key.decode() for key in client.scan_iter(f"{SENT}*")]
    return Figures(
        len(ids), killed, len(wanted - found.keys()), sum(number - 1 for number in found.values()), left
    )  # fmt: skip


@pytest.mark.timeout(400)
def test_none_is_lost_or_doubled_however_often_it_is_killed() -> None:
    figures = run(kills=10, seed=1)
    assert figures == Figures(tasks=200, kills=10, lost=0, doubled=0, left=[])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--act", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.act:
        url, log, taken_up = asked.act
        act(url, Path(log), taken_up, json.load(sys.stdin))
        return
    figures = run(asked.kills, asked.seed)
    sys.stdout.write(f"{msgspec.json.encode(figures).decode()}\n")
    sys.exit(1 if figures.lost or figures.doubled or figures.left else 0)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
