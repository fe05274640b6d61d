"""F13, F27: more than anybody can take for a moment, and one who does not read: nothing is lost, or it is told."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from app.models.history.reader import Reader
from app.models.wire import Configure, Health
from tests.bench.load import Publisher, end_of, events, prepare, publish_all
from tests.collectors.conftest import command
from tests.helpers.collecting import child, hear
from tests.helpers.hearing import subscribed
from tests.helpers.histories import reading
from tests.helpers.hostile import good
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

CHANNEL = "/0.celeryev/task.multi"
#: The whole burst is in the history within this on a busy machine; here alone it takes two or three seconds.
PATIENCE = 90.0


@contextmanager
def publishing(server: RedisServer) -> Iterator[Publisher]:
    publisher = Publisher(server.url)
    try:
        yield publisher
    finally:
        publisher.close()


@contextmanager
def recording(server: RedisServer, history: Path) -> Iterator[tuple[int, Reader]]:
    """A collector child that listens (its process id), and its history."""
    with child(Configure("shop", server.url, str(history))) as process:
        assert any(isinstance(said, Health) and said.state == "live" for said in hear(process))
        with reading(history) as reader:
            eventually(lambda: reader.alive() is not None, "the first commit")
            yield process.pid, reader


def cut_off(server: RedisServer) -> bool:
    return "overcoming of output buffer limits" in server.log


@pytest.mark.parametrize("each", [1, 20])
def test_f27_a_burst_of_100_000_events_is_taken_whole(redis_server: RedisServer, tmp_path: Path, each: int) -> None:
    messages = prepare(events(33_334), each)
    with recording(redis_server, tmp_path / "h") as (_, reader), publishing(redis_server) as publisher:
        publish_all(publisher, messages)
        eventually(lambda: reader.accounting().received == 100_002, "all of it", within=PATIENCE)
        assert publisher.unheard == 0
        assert not cut_off(redis_server)
        assert reader.gaps() == []
        counted = reader.accounting()
        assert (counted.stored, counted.shed, counted.rejected) == (100_002, {}, {})
        assert reader.states()["FAILURE"] == sum(end_of(number) == "FAILURE" for number in range(33_334))


def test_f13_who_does_not_read_is_cut_off_counted_as_a_gap_and_right_again_afterwards(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with (
        recording(redis_server, tmp_path / "h") as (pid, reader),
        Redis.from_url(redis_server.url) as client,
        publishing(redis_server) as publisher,
    ):
        stopped = time.time()
        os.kill(pid, signal.SIGSTOP)
        try:
            sent = 0
            messages = prepare(events(10_000), 1)
            while not cut_off(redis_server):  # 32 MB, some 40,000 events, on top of what the sockets hold
                publish_all(publisher, messages)
                sent += len(messages)
                assert sent < 1_000_000
        finally:
            os.kill(pid, signal.SIGCONT)
        went_on = time.time()
        (gap,) = eventually(lambda: [each for each in reader.gaps() if each.end is not None], "the gap")
        assert gap.start == pytest.approx(stopped, abs=1.0), "lost since it stood still, not since it noticed"
        assert (gap.end or 0.0) >= went_on
        received = reader.accounting().received
        assert received < sent
        client.publish(CHANNEL, good(1))
        eventually(lambda: reader.task("good-1"), "what came after")
        counted = reader.accounting()
        assert counted.balanced, "what arrived before the cut is stored, to the last whole message"


def test_f13_nobody_is_cut_off_while_what_was_read_waits_to_be_decoded(redis_server: RedisServer) -> None:
    messages = prepare(events(33_334), 1)
    with subscribed(redis_server.url) as heard, publishing(redis_server) as publisher:
        publish_all(publisher, messages)
        assert publisher.unheard == 0
        eventually(lambda: len(heard.take().payloads) == 100_002, "all of it")
        assert not cut_off(redis_server)
        assert len(heard.links) == 1


def test_f13_the_broker_is_left_at_its_default_limits(redis_server: RedisServer) -> None:
    with Redis.from_url(redis_server.url) as client:
        limits = command(client, "CONFIG", "GET", "client-output-buffer-limit")
    assert b"pubsub 33554432 8388608 60" in str(limits).encode()
