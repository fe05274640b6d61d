"""A03 on RabbitMQ: who purges or restores is killed after anything that he says, and nothing is lost or run twice.

In the suite that is at some points, as many as are wanted otherwise:

    python -m tests.features.test_kill_points_rabbitmq --every 1 --broker-kills 5

kills after each frame, then RabbitMQ itself, and prints what became of the messages.
"""

import argparse
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import amqp
import pytest

from app.collectors.access import Grant
from app.collectors.amqp import amqp_address
from app.collectors.amqp_content import unpacked
from app.collectors.amqp_vault import AmqpVault
from app.collectors.errors import BrokerError
from tests.helpers.amqp_raw import look, numbered, send
from tests.helpers.celery_apps import ROOT
from tests.helpers.rabbits import client
from tests.helpers.servers import RabbitServer
from tests.helpers.waiting import eventually

QUARANTINE: Final = "mail.quarantine.20260101T120000000Z"
#: Messages of a piece here, and all of them: a piece is about 27 frames.
PIECE: Final = 5
MESSAGES: Final = 26
#: Every so many points are tried in the suite.
SOME: Final = 17

#: Purges or restores, and kills itself once it has said so many things.
_ACT: Final = f"""
import os, signal, sys
from app.collectors import amqp, amqp_intake
from app.collectors.access import Grant
from app.collectors.amqp_vault import AmqpVault
url, act, last = sys.argv[1:]
amqp_intake.MOST = {PIECE}
said, write = 0, amqp._OverLine.write
def counted(self, data):
    global said
    at = 0
    while at < len(data):
        stop = at + 8 + int.from_bytes(data[at + 3 : at + 7], "big")
        write(self, data[at:stop])
        said, at = said + 1, stop
        if said == int(last):
            os.kill(os.getpid(), signal.SIGKILL)
amqp._OverLine.write = counted
vault = AmqpVault(amqp.amqp_address(url), "operate", on_command=lambda _: None)
away, back = vault.lock_away("mail", "{QUARANTINE}", Grant()), vault.put_back("{QUARANTINE}", "mail", Grant())
print(sum(away if act == "purge" else back), said)
"""


class Scene:
    """A queue with messages, and what becomes of them while somebody who moves them is killed."""

    def __init__(self, url: str, kind: str = "classic", pieces: int = PIECE) -> None:
        self.url = url
        self._kind = kind
        self._most = 2 * pieces
        self.left = 0

    @property
    def vault(self) -> AmqpVault:
        """One that nobody kills."""
        return AmqpVault(amqp_address(self.url), "operate", on_command=lambda _: None)

    def fill(self, number: int = MESSAGES) -> None:
        """A new queue with so many messages."""
        with client(self.url) as channel:
            channel.queue_delete("mail")
            channel.queue_declare("mail", durable=True, auto_delete=False, arguments={"x-queue-type": self._kind})
            channel.tx_select()
            send(channel, "mail", [numbered(n, _12=b"\x02") for n in range(number)])
            channel.tx_commit()  # returns when all is on disk
            eventually(lambda: length(channel, "mail") == number, "the messages")

    def act(self, what: str, last: int) -> int | None:
        """Purge or restore, killed after so many things were said; how many that were, where it came to its end."""
        command = [sys.executable, "-c", _ACT, self.url, what, str(last)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode == -signal.SIGKILL:
            return None
        assert done.returncode == 0
        moved, said = map(int, done.stdout.split())
        assert moved == MESSAGES
        return said

    def killed(self, what: str, last: int) -> int:
        """Kill, restore all, and count: the messages that are left in the quarantine as they are in the queue as well.

        What a worker would get is each message once; what is left in the quarantine is known there to be double.
        """
        self.fill()
        if what == "restore":
            list(self.vault.lock_away("mail", QUARANTINE, Grant()))
        assert self.act(what, last) is None
        return self.restored(MESSAGES)

    def restored(self, number: int) -> int:
        """Restore what is there, and count as `killed` does."""
        try:
            list(self.vault.put_back(QUARANTINE, "mail", Grant()))
        except BrokerError as error:
            assert error.fault == "absent", error  # noqa: PT017 - it never came to be
        with client(self.url) as channel:
            eventually(lambda: length(channel, "mail") == number, "that what was under way is back")
        assert sorted(int(each.body) for each in look(self.url, "mail")) == [*range(number)]
        return self.doubles()

    def doubles(self) -> int:
        """How many are left in the quarantine, all of which it tells of; it is deleted then."""
        try:
            left = [int(unpacked(each)[1]) for some in self.vault.raw(QUARANTINE) for each in some]
        except BrokerError as error:
            assert error.fault == "absent", error  # noqa: PT017 - it is gone, as it should
            return 0
        told = [each.text for each in self.vault.remarks(QUARANTINE) if each.grave]
        if left:
            assert told[0].startswith(f"{len(left)} message")
        assert len(set(left)) == len(left) <= self._most
        list(self.vault.destroy(QUARANTINE, Grant()))
        return len(left)

    def points(self, what: str) -> int:
        """How many things are said from the beginning to the end."""
        self.fill()
        if what == "restore":
            list(self.vault.lock_away("mail", QUARANTINE, Grant()))
        said = self.act(what, 1_000_000)
        assert said is not None
        self.restored(MESSAGES)
        return said


def length(channel: amqp.Channel, queue: str) -> int:
    """How many messages wait."""
    return int(channel.queue_declare(queue, passive=True).message_count)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
@pytest.mark.parametrize("what", ["purge", "restore"])
def test_a03_whoever_is_killed_loses_nothing_and_nothing_runs_twice(rabbitmq_url: str, what: str, kind: str) -> None:
    scene = Scene(rabbitmq_url, kind)
    left = [scene.killed(what, last) for last in range(7, scene.points(what), SOME)]
    assert len(left) > 4


@pytest.mark.parametrize("what", ["purge", "restore"])
def test_a03_rabbitmq_itself_is_killed_and_nothing_is_lost_or_runs_twice(what: str) -> None:
    with RabbitServer() as server:
        broker_killed(server, what, after=6)


def broker_killed(server: RabbitServer, what: str, after: int) -> dict[str, int]:
    """Kill RabbitMQ while a queue is purged or restored, once so many pieces were moved, and restore what can be.

    A worker would get no message twice, and those that it would not get are in the quarantine. (Classic queues only: a
    quorum queue that was just made does not come back at all when RabbitMQ 3.10 is killed on a single node.)
    """
    scene, number = Scene(server.url, pieces=100), 2_000
    scene.fill(number)
    moving = scene.vault.lock_away("mail", QUARANTINE, Grant())
    if what == "restore":
        list(moving)
        moving = scene.vault.put_back(QUARANTINE, "mail", Grant())
    moved = sum(next(moving) for _ in range(after))
    killer = threading.Thread(target=server.kill)
    killer.start()
    with pytest.raises(BrokerError):
        list(moving)
    killer.join()
    server.start()
    back = 0
    try:
        back = sum(scene.vault.put_back(QUARANTINE, "mail", Grant()))
    except BrokerError as error:
        assert error.fault == "absent" or "RabbitMQ itself ended" in str(error)  # noqa: PT017 - all other is a failure
    found = Counter(int(each.body) for each in look(server.url, "mail"))
    kept: Counter[int] = Counter()
    try:
        told = [each.text for each in scene.vault.remarks(QUARANTINE) if each.grave]
        kept.update(int(unpacked(each)[1]) for some in scene.vault.raw(QUARANTINE) for each in some)
        assert told or not kept
        list(scene.vault.destroy(QUARANTINE, Grant()))
    except BrokerError as error:
        assert error.fault == "absent", error  # noqa: PT017 - it is gone, as it should
    assert (found | kept).keys() == {*range(number)}, "nothing is lost"
    assert max(found.values(), default=1) == 1, "nothing runs twice"
    return {
        "moved before": moved, "lost": 0, "run twice": 0, "put back": back,
        "left in the quarantine": kept.total(), "of these in the queue too": (found & kept).total(),
    }  # fmt: skip


def measure(every: int, broker_kills: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kill at all points, or at every so many; what was found, by what was done."""
    for kind in ("classic", "quorum"):
        with RabbitServer() as server:
            for what in ("purge", "restore"):
                server.make_virtual_host(name := f"{what}-{kind}")
                scene = Scene(server.url_of(name), kind)
                points, began = scene.points(what), time.monotonic()
                left = [scene.killed(what, last) for last in range(1, points, every)]
                yield name, {
                    "points": points, "kills": len(left), "lost": 0, "run twice": 0,
                    "kills with doubles left in the quarantine": sum(map(bool, left)), "most of them": max(left),
                    "seconds": round(time.monotonic() - began, 1),
                }  # fmt: skip
    for after in range(1, broker_kills + 1):
        for what in ("purge", "restore"):
            with RabbitServer() as server:
                yield f"{what}: RabbitMQ killed after {after} pieces", broker_killed(server, what, after)


def main() -> None:
    """Kill, and print; any failure is an error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--broker-kills", type=int, default=5)
    given = parser.parse_args()
    for what, found in measure(given.every, given.broker_kills):
        sys.stdout.write(json.dumps({what: found}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
