"""How soon each fault is noticed and over, in seconds: `python -m tests.faults.figures [fault …] [--repeat 5]`.

Prints one JSON object: for each figure its median, its largest value and all of them, in the order they were taken.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psutil
from PySide6.QtCore import QCoreApplication
from redis import Redis

from app.collectors.clocks import ASLEEP_AFTER
from app.models.target import Target
from app.models.wire import Configure, Health
from app.ui.supervisor import Supervisor
from tests.bench.load import Publisher, events, prepare, publish_all
from tests.collectors.conftest import command
from tests.helpers.collecting import child, collecting, hear
from tests.helpers.hearing import subscribed
from tests.helpers.histories import reading
from tests.helpers.hostile import good
from tests.helpers.proxy import FaultProxy
from tests.helpers.servers import HOST, RedisServer
from tests.helpers.waiting import eventually

CHANNEL: Final = "/0.celeryev/task.multi"
Note = Callable[[str, float], None]


def since(moment: float, fact: Callable[[], object]) -> float:
    """Seconds from a moment until a fact is true."""
    eventually(fact, within=120.0)
    return time.monotonic() - moment


def f01(note: Note, held: ExitStack, _folder: Path) -> None:
    """The broker is killed and starts again after two seconds."""
    server = held.enter_context(RedisServer())
    heard = held.enter_context(subscribed(server.url))
    killed = time.monotonic()
    server.kill()
    note("noticed", since(killed, heard.faults))
    time.sleep(2.0)
    server.start()
    note("heard again after it answers", since(time.monotonic(), lambda: heard.linked(2)))


def f03(note: Note, held: ExitStack, folder: Path) -> None:
    """The master is demoted, the address leads elsewhere, nobody ends a connection."""
    server, other = held.enter_context(RedisServer()), held.enter_context(RedisServer())
    proxy = held.enter_context(FaultProxy(server.port))
    old, new = held.enter_context(Redis.from_url(server.url)), held.enter_context(Redis.from_url(other.url))
    held.enter_context(collecting(f"redis://{HOST}:{proxy.port}/0", folder / "h"))
    eventually(lambda: command(old, "INFO", "commandstats") and old.info("commandstats").get("cmdstat_role"))
    demoted = time.monotonic()
    proxy.target = other.port
    command(old, "REPLICAOF", HOST, "1")
    note("subscribed at the new master", since(demoted, new.pubsub_numpat))


def f04(note: Note, held: ExitStack, _folder: Path) -> None:
    """The way freezes, half-open, and is free again when that was noticed."""
    server = held.enter_context(RedisServer())
    proxy = held.enter_context(FaultProxy(server.port))
    heard = held.enter_context(subscribed(f"redis://{HOST}:{proxy.port}/0"))
    frozen = time.monotonic()
    proxy.freeze()
    note("noticed", since(frozen, heard.faults))
    proxy.thaw()
    note("heard again after thaw", since(time.monotonic(), lambda: heard.linked(2)))


def f05(note: Note, held: ExitStack, _folder: Path) -> None:
    """The way is parted for twenty seconds, connections that are tried meanwhile hang; then it heals."""
    server = held.enter_context(RedisServer())
    proxy = held.enter_context(FaultProxy(server.port))
    heard = held.enter_context(subscribed(f"redis://{HOST}:{proxy.port}/0"))
    proxy.freeze()
    time.sleep(20.0)
    proxy.reset()
    proxy.thaw()
    note("heard again after heal", since(time.monotonic(), lambda: heard.linked(2)))


def f07(note: Note, held: ExitStack, _folder: Path) -> None:
    """The broker kills the subscription."""
    server = held.enter_context(RedisServer())
    heard = held.enter_context(subscribed(server.url))
    client = held.enter_context(Redis.from_url(server.url))
    killed = time.monotonic()
    command(client, "CLIENT", "KILL", "TYPE", "PUBSUB")
    note("heard again", since(killed, lambda: heard.linked(2)))
    note("gap", heard.gap())


def f13(note: Note, held: ExitStack, folder: Path) -> None:
    """A collector stands still in a flood until the broker cuts it off, and goes on."""
    server = held.enter_context(RedisServer())
    process = held.enter_context(child(Configure("shop", server.url, str(folder / "h"))))
    _live(process)
    reader = held.enter_context(reading(folder / "h"))
    publisher, messages = Publisher(server.url), prepare(events(10_000), 1)
    os.kill(process.pid, signal.SIGSTOP)
    while "overcoming of output buffer limits" not in server.log:
        publish_all(publisher, messages)
    publisher.close()
    os.kill(process.pid, signal.SIGCONT)
    note("gap ended", since(time.monotonic(), lambda: [gap for gap in reader.gaps() if gap.end]))


def f16(note: Note, held: ExitStack, folder: Path) -> None:
    """A collector and the way to its broker stand still for as long as is taken for sleep, and go on."""
    server = held.enter_context(RedisServer())
    proxy = held.enter_context(FaultProxy(server.port))
    url = f"redis://{HOST}:{proxy.port}/0"
    process = held.enter_context(child(Configure("shop", url, str(folder / "h"))))
    _live(process)
    reader = held.enter_context(reading(folder / "h"))
    os.kill(process.pid, signal.SIGSTOP)
    proxy.freeze()
    time.sleep(ASLEEP_AFTER + 2.0)
    proxy.thaw()
    os.kill(process.pid, signal.SIGCONT)
    note("gap ended", since(time.monotonic(), lambda: [gap for gap in reader.gaps() if gap.end]))


def f23(note: Note, held: ExitStack, folder: Path) -> None:
    """A collector is killed; its window starts another."""
    _of_window(note, held, folder, signal.SIGKILL)


def f24(note: Note, held: ExitStack, folder: Path) -> None:
    """A collector stands still; its window ends it and starts another."""
    _of_window(note, held, folder, signal.SIGSTOP)


def _of_window(note: Note, held: ExitStack, folder: Path, how: signal.Signals) -> None:
    server = held.enter_context(RedisServer())
    application = QCoreApplication.instance() or QCoreApplication([])
    supervisor = Supervisor()
    connection = supervisor.add(Target("shop", folder / "h", server.url))

    def state() -> str:
        application.processEvents()
        return connection.health.state

    eventually(lambda: state() == "live")
    first = connection.collector_pid
    hit = time.monotonic()
    os.kill(first, how)
    note("noticed", since(hit, lambda: state() == "stopped"))
    note("started again", since(hit, lambda: state() and connection.collector_pid not in {0, first}))
    note("live again", since(hit, lambda: state() == "live"))
    connection.stop()
    eventually(lambda: state() and not connection.collector_pid)
    supervisor.deleteLater()


def f25(note: Note, held: ExitStack, folder: Path) -> None:
    """The window of a collector is gone: its pipe ends."""
    server = held.enter_context(RedisServer())
    process = held.enter_context(child(Configure("shop", server.url, str(folder / "h"))))
    _live(process)
    assert process.stdin is not None
    process.stdin.close()
    ended = time.monotonic()
    note("ended", since(ended, lambda: process.poll() is not None or not psutil.pid_exists(process.pid)))


def f27(note: Note, held: ExitStack, folder: Path) -> None:
    """100,002 events at once, one per message, under default limits."""
    server = held.enter_context(RedisServer())
    process = held.enter_context(child(Configure("shop", server.url, str(folder / "h"))))
    _live(process)
    reader = held.enter_context(reading(folder / "h"))
    publisher, messages = Publisher(server.url), prepare(events(33_334), 1)
    took = publish_all(publisher, messages)["seconds"]
    publisher.close()
    note("published per second", len(messages) / took)
    note("all in the history", since(time.monotonic(), lambda: reader.accounting().received == len(messages)))
    note("shed", float(sum(reader.accounting().shed.values())))
    note("cut off by the broker", float("overcoming of output buffer limits" in server.log))


def f33(note: Note, held: ExitStack, folder: Path) -> None:
    """One of eight brokers hangs: from an event at another to its row in the history."""
    servers = [held.enter_context(RedisServer()) for _ in range(8)]
    children = [
        held.enter_context(child(Configure("shop", server.url, str(folder / f"{at}"))))
        for at, server in enumerate(servers)
    ]
    for process in children:
        _live(process)
    servers[0].freeze()
    for at, server in enumerate(servers[1:], 1):
        with Redis.from_url(server.url) as client, reading(folder / f"{at}") as reader:
            published = time.monotonic()
            client.publish(CHANNEL, good(at))
            note("lag of the others", since(published, lambda: reader.task(f"good-{at}")))  # noqa: B023
    servers[0].thaw()


FAULTS: Final = {each.__name__: each for each in (f01, f03, f04, f05, f07, f13, f16, f23, f24, f25, f27, f33)}


def _live(process: subprocess.Popen[bytes]) -> None:
    assert any(isinstance(said, Health) and said.state == "live" for said in hear(process))


def main() -> int:
    """Take the figures and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", choices=[*FAULTS, []], help="of all, if none is named")
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    taken: dict[str, list[float]] = defaultdict(list)
    for name in given.faults or FAULTS:
        for _ in range(given.repeat):
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, ExitStack() as held:
                FAULTS[name](lambda what, value: taken[f"{name} {what}"].append(round(value, 3)), held, Path(folder))  # noqa: B023
    figures = {
        what: {"median": statistics.median(values), "largest": max(values), "all": values}
        for what, values in taken.items()
    }
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
