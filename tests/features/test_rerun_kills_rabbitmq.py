"""On RabbitMQ whoever runs tasks again is killed, or cut off, and the act taken up again: none is lost or doubled.

In the suite that is some times, as often as is wanted otherwise:

    python -m tests.features.test_rerun_kills_rabbitmq --kills 100 --every 1

kills at moments that nobody chose, then after each thing that is said to RabbitMQ, and cuts the link there.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import amqp
import msgspec
import pytest

from app.collectors import amqp as over_amqp
from app.collectors.access import Access
from app.collectors.acts.act import Reach
from app.collectors.acts.catalogue import act_of
from app.collectors.acts.engine import prepare, resume
from app.collectors.amqp_content import task_id
from app.collectors.brokers import broker_at
from app.collectors.envelope import Known, for_amqp, made, new_id
from app.collectors.errors import BrokerError
from app.collectors.publisher import SENT
from app.models.acts import FASTEST, Outcome, Rerun
from app.models.audit import AuditLog, Subject
from app.models.audit_chain import read
from tests.helpers.amqp_raw import drained
from tests.helpers.proxy import FaultProxy
from tests.helpers.rabbits import client, declare, host_of, manage
from tests.helpers.servers import HOST, RabbitServer
from tests.helpers.waiting import eventually

ROOT: Final = Path(__file__).parents[2]
QUARANTINE: Final = "waiting.quarantine.20260101T120000000Z"
#: Tasks of which each thing that is said is tried, and every so many of these in the suite.
TASKS: Final = 4
SOME: Final = 9
#: What an item of the audit log says of a message that may have been refused.
UNHEARD: Final = "not heard"
#: The broker is the same by whatever way it is reached.
SUBJECT: Final = Subject("shop", "the broker", "development")


class Figures(msgspec.Struct):
    """What became of so many tasks; ``points`` is how many things are said from the beginning to the end."""

    tasks: int
    kills: int
    lost: int
    doubled: int
    #: Ledgers that are still there; one whose deletion was broken off goes by itself within a day.
    left: int
    points: int = 0


def act(url: str, management: str, log: Path, taken_up: str, ids: list[str]) -> Outcome:
    """Run tasks again, or what is left of that."""
    access = Access("operate", "development")
    access.unlock()
    broker = broker_at(url, None, {"management_url": management})
    make = partial(act_of, reach=Reach(broker, access, None, lambda _: None))
    audit = AuditLog(log, SUBJECT)
    prepared = resume(make, taken_up, audit) if taken_up else prepare(make, Rerun(ids=ids, queue="again"), audit)
    return list(prepared.execute(prepared.plan.typed, FASTEST))[-1]


@contextmanager
def counted(last: int, strike: Any) -> Iterator[list[int]]:
    """Strike once so many things were said; what was said since, in a list of one."""
    said, write = [0], over_amqp._OverLine.write

    def counting(self: Any, data: bytes) -> None:
        write(self, data)
        said[0] += 1
        if said[0] == last:
            strike()

    over_amqp._OverLine.write = counting  # type: ignore[assignment,method-assign]
    try:
        yield said
    finally:
        over_amqp._OverLine.write = write  # type: ignore[method-assign]


class Scene:
    """Tasks in a quarantine, which are run again to a queue while somebody strikes."""

    def __init__(self, server: RabbitServer, url: str, folder: Path, kind: str) -> None:
        self.url = url
        self.management = f"http://{HOST}:{server.management_port}"
        self._server = server
        self._folder = folder
        self._kind = kind
        self.ids: list[str] = []

    def fill(self, number: int, **arguments: Any) -> None:
        """So many tasks, a new queue for them, and a new audit log."""
        self.ids = [f"task-{each}" for each in range(number)]
        self._folder = Path(tempfile.mkdtemp(dir=self._folder))
        with client(self.url) as channel:
            for name in (QUARANTINE, "again"):
                channel.queue_delete(name)
            declare(channel, QUARANTINE)
            declare(channel, "again", x_queue_type=self._kind, **arguments)
            channel.confirm_select()
            for id_ in self.ids:
                message = for_amqp(made(Known(name="shop.bill", args=[id_], kwargs={}, id=id_)))
                channel.basic_publish_confirm(message, "", QUARANTINE)
            eventually(lambda: self.waiting(channel, QUARANTINE) == number, "the messages")

    @property
    def log(self) -> Path:
        """The audit log."""
        return self._folder / "audit.jsonl"

    @property
    def begun(self) -> str:
        """The act that was begun; "" where none was written down."""
        return next((entry.act for entry, _ in read(self.log)), "") if self.log.exists() else ""

    @property
    def is_over(self) -> bool:
        """Whether it is written down that all was done."""
        return bool(self.begun) and AuditLog(self.log, SUBJECT).unfinished(self.begun)[0] is None

    def waiting(self, channel: amqp.Channel, queue: str = "again") -> int:
        """How many messages wait in a queue."""
        return int(channel.queue_declare(queue, passive=True).message_count)

    def child(self, last: int = 0) -> "subprocess.Popen[str]":
        """The same in a process of its own, which kills itself after so many things were said."""
        words = [self.url, self.management, str(self.log), self.begun, str(last)]
        command = [sys.executable, "-m", "tests.features.test_rerun_kills_rabbitmq", "--act", *words]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        process.stdin.write(json.dumps(self.ids))
        process.stdin.close()
        return process

    def ended(self, process: "subprocess.Popen[str]") -> int | None:
        """How many things it said; None where it was killed."""
        assert process.stdout is not None
        with process:
            told = process.stdout.read().split()
        if process.returncode == -signal.SIGKILL:
            return None
        assert told[0] == "done", told
        return int(told[1])

    def taken_up(self, url: str = "") -> Outcome:
        """What is left is done by nobody whom anybody strikes."""
        return act(url or self.url, self.management, self.log, self.begun, self.ids)

    def finish(self) -> None:
        """Have done what is left, if that is not only to forget what was sent: that goes by itself."""
        if not self.is_over:
            assert self.taken_up().state == "done"

    def counts(self, kills: int) -> Figures:
        """What a worker would get; the queue is empty then."""
        begun = self.begun
        found = Counter(task_id(raw.properties) for raw in drained(self.url, "again"))
        wanted = {new_id(begun, id_) for id_ in self.ids}
        assert found.keys() <= wanted
        names = [each["name"] for each in manage(self._server, "GET", f"queues/{host_of(self.url)}")]
        left = names.count(f"{SENT}{begun}")
        return Figures(
            len(self.ids), kills, len(wanted - found.keys()), sum(number - 1 for number in found.values()), left
        )


def at_random(scene: Scene, kills: int, seed: int) -> Figures:
    """Kill at moments that nobody chose, so often in one act."""
    dice, killed = random.Random(seed), 0
    scene.fill(kills * 20)
    with client(scene.url) as channel:
        while True:
            wanted = scene.waiting(channel) + dice.randrange(1, 20)
            process = scene.child()
            if killed < kills:
                try:
                    _wait_until(lambda wanted=wanted: scene.waiting(channel) >= wanted, process)
                    time.sleep(dice.random() * 0.01)
                finally:
                    process.kill()
                    assert scene.ended(process) is None
                killed += 1
                continue
            assert scene.ended(process)
            return scene.counts(killed)


def _wait_until(fact: Any, process: "subprocess.Popen[str]") -> None:
    eventually(lambda: fact() or process.poll() is not None, "the act at work", within=60)
    assert process.poll() is None, "it ended before it was killed"


def at_points(scene: Scene, every: int, first: int = 1) -> Figures:
    """Kill after each thing that is said, each time in an act of its own."""
    scene.fill(TASKS)
    points = scene.ended(scene.child())
    assert points is not None
    total = scene.counts(0)
    total.points = points
    for last in range(first, points, every):
        scene.fill(TASKS)
        assert scene.ended(scene.child(last)) is None
        scene.finish()
        _add(total, scene.counts(1))
    return total


def cut_at_points(scene: Scene, every: int, first: int = 1) -> Figures:
    """Cut the link after each thing that is said."""
    total, last = Figures(0, 0, 0, 0, 0), first
    with FaultProxy(int(scene.url.rpartition(":")[2].partition("/")[0])) as proxy:
        url = scene.url.replace(scene.url.rpartition(":")[2].partition("/")[0], str(proxy.port))
        while True:
            scene.fill(TASKS)
            with counted(last, proxy.reset if last % 2 else proxy.cut) as said:
                try:
                    outcome = act(url, scene.management, scene.log, "", scene.ids)
                except BrokerError:
                    outcome = Outcome(state="failed")
            if said[0] < last:
                total.points = said[0]
                assert outcome.state == "done"
                _add(total, scene.counts(0))
                return total
            last += every
            if outcome.failed:
                # The plan came to be without the messages, so nothing was to be sent, and that is told.
                assert (outcome.failed, scene.counts(1).lost) == (TASKS, TASKS)
                total.kills += 1
                continue
            scene.finish()
            _add(total, scene.counts(1))


def _add(total: Figures, one: Figures) -> None:
    for field in ("tasks", "kills", "lost", "doubled", "left"):
        setattr(total, field, getattr(total, field) + getattr(one, field))


@pytest.fixture
def scene(rabbitmq_server: RabbitServer, rabbitmq_url: str, tmp_path: Path) -> Scene:
    return Scene(rabbitmq_server, rabbitmq_url, tmp_path, "classic")


@pytest.mark.timeout(400)
def test_none_is_lost_or_doubled_however_often_it_is_killed(scene: Scene) -> None:
    assert at_random(scene, kills=3, seed=1) == Figures(tasks=60, kills=3, lost=0, doubled=0, left=0)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_none_is_lost_or_doubled_wherever_it_is_killed(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, tmp_path: Path, kind: str
) -> None:
    figures = at_points(Scene(rabbitmq_server, rabbitmq_url, tmp_path, kind), SOME, first=5)
    assert (figures.lost, figures.doubled) == (0, 0)
    assert figures.left <= 1
    assert figures.kills > 3


@pytest.mark.timeout(400)
def test_none_is_lost_or_doubled_wherever_the_link_is_cut(scene: Scene) -> None:
    figures = cut_at_points(scene, SOME, first=3)
    assert (figures.lost, figures.doubled) == (0, 0)
    assert figures.left <= 1
    assert figures.kills > 3


@pytest.mark.timeout(400)
def test_what_a_full_queue_refuses_is_never_told_to_be_there(scene: Scene) -> None:
    """Killed after any of the last things that are said, which is when messages are refused."""
    for last in range(26, 57, SOME):
        scene.fill(TASKS, x_max_length=2, x_overflow="reject-publish")
        assert scene.ended(scene.child(last)) is None
        if scene.begun:
            scene.taken_up()
        there = {task_id(raw.properties) for raw in drained(scene.url, "again")}
        told = [item for entry, _ in read(scene.log) for item in entry.items]
        sent = {new_id(scene.begun, item.id) for item in told if item.ok}
        unheard = {new_id(scene.begun, item.id) for item in told if UNHEARD in item.text}
        assert there <= sent
        assert sent - unheard <= there
        assert len(there) <= 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--act", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.act:
        url, management, log, taken_up, last = asked.act
        with counted(int(last), partial(os.kill, os.getpid(), signal.SIGKILL)) as said:
            outcome = act(url, management, Path(log), taken_up, json.load(sys.stdin))
        sys.stdout.write(f"{outcome.state} {said[0]}\n")
        return
    wrong = 0
    for kind in ("classic", "quorum"):
        with RabbitServer() as server, tempfile.TemporaryDirectory(prefix="cloche-kills-") as folder:
            scene = Scene(server, server.url, Path(folder), kind)
            for what, measured in (
                *([("at random", partial(at_random, scene, asked.kills, asked.seed))] if asked.kills else []),
                ("at points", partial(at_points, scene, asked.every)),
                ("links cut", partial(cut_at_points, scene, asked.every)),
            ):
                figures = measured()
                wrong += figures.lost + figures.doubled
                sys.stdout.write(f"{kind}, {what}: {msgspec.json.encode(figures).decode()}\n")
                sys.stdout.flush()
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
