"""What RabbitMQ is really told, read off the wire, with everything that looks going on at once: H04 and H05 over AMQP.

In the suite it looks for some seconds; for as long as is wanted:

    python -m tests.features.test_harmless_rabbitmq --seconds 120 --mode observe --queues 2000

prints by connection what it was told, the rate of questions, and what its management API was asked.
"""

import argparse
import json
import statistics
import struct
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from unittest.mock import patch

import amqp
import msgspec
import pytest
from amqp import spec
from amqp.serialization import loads

from app.collectors.management import Management
from app.models.acts import Steer
from app.models.profiles import Mode
from tests.helpers import rabbits
from tests.helpers.acting import Actor
from tests.helpers.celery_apps import make_app, worker
from tests.helpers.collecting import Running, collecting
from tests.helpers.proxy import FaultProxy
from tests.helpers.servers import HOST, RabbitServer
from tests.helpers.waiting import eventually

#: The limits that are promised: questions a second, and connections, with one more for the management API.
RATE: Final = 10.0
CONNECTIONS: Final = 4

_NAMES: Final = {
    number: f"{kind.__name__}.{name}".lower()
    for kind in (spec.Connection, spec.Channel, spec.Exchange, spec.Queue, spec.Basic, spec.Confirm, spec.Tx)
    for name, number in vars(kind).items()
    if isinstance(number, tuple)
}
_GREETING: Final = {
    "connection.startok", "connection.tuneok", "connection.open", "connection.close", "connection.closeok",
    "channel.open", "channel.close", "channel.closeok",
}  # fmt: skip
#: As it is published in docs/harmless.md, by the name that the connection gives itself.
LISTENING: Final = {"exchange.declare", "queue.declare", "queue.bind", "basic.consume"}
PUBLISHED: Final[dict[str, set[str]]] = {
    "cloche-events": LISTENING,
    "cloche-queues": {"queue.declare"},
    "cloche-control": LISTENING | {"basic.cancel", "basic.publish"},
}


class Said(NamedTuple):
    """One method, with the arguments that matter here."""

    method: str
    name: str = ""
    passive: bool = False
    ours: bool = False


def spoken(stream: bytes) -> tuple[str, list[Said]]:
    """Who speaks on a connection, by the name that it gives itself, and all methods that it says."""
    assert stream[:8] == b"AMQP\x00\x00\x09\x01"
    who, said = "", list[Said]()
    for payload in _methods(stream[8:]):
        signature = struct.unpack_from(">HH", payload)
        method = _NAMES[signature]
        if method == "connection.startok":
            (properties, *_), _ = loads("FsSs", payload, 4)
            who = properties.get("connection_name", "")
        said.append(_said(method, payload))
    return who, said


def _methods(stream: bytes) -> Iterator[bytes]:
    at = 0
    while at + 8 <= len(stream):
        kind, _, size = struct.unpack_from(">BHI", stream, at)
        assert stream[at + 7 + size] == 0xCE
        if kind == 1:
            yield stream[at + 7 : at + 7 + size]
        at += 8 + size


def _said(method: str, payload: bytes) -> Said:
    if method == "queue.declare":
        (_, name, passive, durable, exclusive, auto_delete, _, table), _ = loads("BsbbbbbF", payload, 4)
        bounded = {"x-expires", "x-max-length", "x-max-length-bytes"} <= table.keys()
        return Said(method, name, passive, ours=exclusive and auto_delete and bounded and not durable)
    if method == "exchange.declare":
        (_, name, _, passive, *_), _ = loads("BssbbbbbF", payload, 4)
        return Said(method, name, passive)
    if method in ("queue.bind", "basic.consume", "basic.publish"):
        (_, name, *_), _ = loads("Bs", payload, 4)
        return Said(method, name)
    return Said(method)


class Seen:
    """What went over the wire while everything looked."""

    def __init__(self, streams: Sequence[bytearray], seconds: float, commands: int, open_at_once: int) -> None:
        self.said: dict[str, list[Said]] = defaultdict(list)
        for stream in streams:
            who, said = spoken(bytes(stream))
            self.said[who] += said
        self.seconds = seconds
        self.rate = commands / seconds
        self.open_at_once = open_at_once

    def methods(self) -> dict[str, Counter[str]]:
        """How often each method was said, by connection."""
        return {who: Counter(each.method for each in said) for who, said in self.said.items()}


def watch(
    held: ExitStack, server: RabbitServer, url: str, folder: Path, mode: Mode, *, seconds: float, queues: int = 3
) -> Seen:
    """Let everything look at a broker with a worker and so many queues, for so long and until all was seen once."""
    with rabbits.client(url) as channel:
        for number in range(queues):
            rabbits.declare(channel, f"queue-{number}")
    app = make_app(url)
    process = held.enter_context(worker(url, "w1", folder / "w1.log", "-E", pool="threads"))
    # Passive mode makes no exchange, but the worker does.
    eventually(lambda: "ready." in process.log.read_text(encoding="utf-8", errors="replace"), "a worker", within=60)
    proxy = held.enter_context(FaultProxy(server.port, keep=True))
    options = {"management_url": f"http://{HOST}:{server.management_port}"}
    through = url.replace(f":{server.port}/", f":{proxy.port}/")
    began = time.monotonic()
    with collecting(through, folder / "h", mode=mode, options=options, queues=["missing"]) as running:
        most = 0
        if mode == "operate":
            Actor(through, folder, folder / "h").do(Steer("enable_events", ["w1@test"]))
        while time.monotonic() - began < seconds or not _saw_all(running, mode):
            app.send_task("truth.add", (1, 1))
            most = max(most, proxy.open)
            time.sleep(0.2)
            assert time.monotonic() - began < seconds + 120, "not all was seen"
        took, commands = time.monotonic() - began, running.collector._commands
    app.close()
    eventually(lambda: not proxy.open, "the end of all connections")
    return Seen(proxy.said, took, commands, most)


def _saw_all(running: Running, mode: Mode) -> bool:
    reducer = running.collector._reducer
    celery, one = reducer.queues.get("celery"), reducer.queues.get("queue-1")
    process = reducer.workers.get("w1@test")
    looked = celery is not None and one is not None and one.type == "classic" and bool(celery.consumed)
    return looked and process is not None and (mode == "passive" or process.pool is not None)


@pytest.mark.parametrize("mode", ["passive", "observe", "operate"])
def test_h05_what_goes_over_the_wire_is_what_is_published(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, tmp_path: Path, mode: Mode
) -> None:
    with ExitStack() as held:
        seen = watch(held, rabbitmq_server, rabbitmq_url, tmp_path, mode, seconds=8.0)
    assert set(seen.said) == {"cloche-events", "cloche-queues"} | ({"cloche-control"} if mode != "passive" else set())
    for who, said in seen.said.items():
        assert {each.method for each in said} <= _GREETING | PUBLISHED[who]
        for each in said:
            if each.method in ("queue.declare", "exchange.declare") and not each.passive:
                assert each.ours or (each.name == "reply.celery.pidbox" and who == "cloche-control"), each
            elif each.method in ("queue.bind", "basic.consume"):
                assert each.name.startswith("celeryev.cloche.") or each.name.endswith(".reply.celery.pidbox"), each
            elif each.method == "basic.publish":
                assert each.name == "celery.pidbox", each
    assert "basic.publish" in {each.method for said in seen.said.values() for each in said} or mode == "passive"
    assert seen.rate <= RATE
    assert seen.open_at_once < CONNECTIONS, "with one for the management API there are four at most"


def test_h05_the_reader_of_the_wire_would_notice(rabbitmq_server: RabbitServer, rabbitmq_url: str) -> None:
    with FaultProxy(rabbitmq_server.port, keep=True) as proxy:
        with rabbits.client(rabbitmq_url.replace(f":{rabbitmq_server.port}/", f":{proxy.port}/")) as channel:
            channel.queue_declare("mail", auto_delete=False)
            channel.basic_publish(amqp.Message("x" * 300_000), "", "mail")
            channel.queue_purge("mail")
        eventually(lambda: not proxy.open, "its end")
    who, said = spoken(bytes(*proxy.said))
    assert who == ""
    assert [each for each in said if each.method not in _GREETING] == [
        Said("queue.declare", "mail"), Said("basic.publish"), Said("queue.purge"),
    ]  # fmt: skip


# --- for as long as is wanted -----------------------------------------------------------------------------------------


@contextmanager
def measured() -> Iterator[list[tuple[float, int]]]:
    """Milliseconds and bytes of each answer of the management API."""
    answers: list[tuple[float, int]] = []
    get = Management._get

    def timed(api: Management, place: str, also: int) -> bytes:
        began = time.monotonic()
        text = get(api, place, also)
        answers.append(((time.monotonic() - began) * 1_000, len(text)))
        return text

    with patch.object(Management, "_get", timed):
        yield answers


def summed_up(answers: Sequence[tuple[float, int]], seconds: float) -> dict[str, float]:
    """What the management API was asked, and took."""
    took, size = [answer[0] for answer in answers], [answer[1] for answer in answers]
    return {
        "questions": len(answers),
        "per_second": round(len(answers) / seconds, 2),
        "ms_median": round(statistics.median(took), 1),
        "ms_most": round(max(took), 1),
        "bytes_most": max(size),
        "bytes_per_second": round(sum(size) / seconds),
    }


def main(words: Sequence[str] | None = None) -> None:
    """Look for a while, and say what that was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--queues", type=int, default=2_000)
    parser.add_argument("--mode", choices=["passive", "observe", "operate"], default="observe")
    given = parser.parse_args(words)
    with (
        RabbitServer() as server, tempfile.TemporaryDirectory() as folder, measured() as answers, ExitStack() as held,
    ):  # fmt: skip
        seen = watch(held, server, server.url, Path(folder), given.mode, seconds=given.seconds, queues=given.queues)
    found = {
        "mode": given.mode,
        "queues": given.queues,
        "questions_per_second": round(seen.rate, 1),
        "amqp_connections": seen.open_at_once,
        "methods": {who: dict(methods) for who, methods in seen.methods().items()},
        "management": summed_up(answers, seen.seconds),
    }
    sys.stdout.write(json.dumps(msgspec.to_builtins(found), indent=2) + "\n")


if __name__ == "__main__":
    main()
