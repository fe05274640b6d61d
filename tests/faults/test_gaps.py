"""Each fault that makes us deaf leaves a gap in the history that is as long as it lasted; no other does."""

import os
import signal
import time
from pathlib import Path

import pytest
from redis import Redis

from app.models.records import Gap
from app.models.wire import Configure, Health
from tests.collectors.conftest import command
from tests.helpers.collecting import child, collecting, hear
from tests.helpers.histories import reading
from tests.helpers.hostile import good
from tests.helpers.proxy import FaultProxy
from tests.helpers.servers import HOST, RedisServer, free_port
from tests.helpers.waiting import eventually

CHANNEL = "/0.celeryev/task.multi"
EXACT = 0.5


def _two_seconds() -> None:
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began > 2.0, "two seconds")


def length(gap: Gap) -> float:
    assert gap.end is not None
    return gap.end - gap.start


@pytest.mark.parametrize("fault", ["kill", "cut", "reset", "restart"])
def test_a_lost_subscription_is_a_gap_as_long_as_we_were_deaf(
    redis_server: RedisServer, proxy: FaultProxy, url: str, tmp_path: Path, fault: str
) -> None:
    with collecting(url, tmp_path / "h") as collector, reading(tmp_path / "h") as reader:
        with Redis.from_url(redis_server.url) as client:
            # What tells of a reset is silence since the last sign of life, so there is one just before.
            client.publish(CHANNEL, good(1))
            eventually(lambda: reader.task("good-1"), "an event")
            lost = time.time()
            proxy.refuse()
            if fault == "kill":
                command(client, "CLIENT", "KILL", "TYPE", "PUBSUB")
            elif fault == "cut":
                proxy.cut()
            elif fault == "reset":
                proxy.reset()
        if fault == "restart":
            redis_server.kill()
            redis_server.start()
        eventually(lambda: collector.state == "disconnected", "the loss")
        eventually(lambda: time.time() - lost > 1.0, "a second of it")
        proxy.admit()
        eventually(lambda: collector.state == "live", "the return")
        back = max(each.since for each in collector.said if isinstance(each, Health) and each.state == "live")
        (gap,) = eventually(lambda: [each for each in reader.gaps() if each.end is not None], "the gap")
        assert gap.start == pytest.approx(lost, abs=EXACT)
        assert length(gap) == pytest.approx(back - lost, abs=EXACT)
        assert gap.why.startswith("No connection to the broker")


def test_a_short_loss_can_not_be_silent(redis_server: RedisServer, tmp_path: Path) -> None:
    with (
        collecting(redis_server.url, tmp_path / "h") as collector,
        reading(tmp_path / "h") as reader,
        Redis.from_url(redis_server.url) as client,
    ):
        for number in range(1, 6):
            killed = time.time()
            command(client, "CLIENT", "KILL", "TYPE", "PUBSUB")
            gaps = eventually(lambda: [g for g in reader.gaps() if g.end is not None][number - 1 :], "its gap")  # noqa: B023
            assert gaps[0].start == pytest.approx(killed, abs=EXACT)
            eventually(lambda: collector.state == "live", "the return")
            client.publish(CHANNEL, good(number))
            eventually(lambda: reader.task(f"good-{number}"), "what came after")  # noqa: B023
        assert len(reader.gaps()) == 5


def test_a_silence_is_a_gap_since_the_last_sign_of_life(
    redis_server: RedisServer, proxy: FaultProxy, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.collectors.redis_events.PING_AFTER", 0.2)
    with collecting(url, tmp_path / "h") as collector, reading(tmp_path / "h") as reader:
        collector.collector._events._ping_after, collector.collector._events._dead_after = 0.2, 1.0  # type: ignore[attr-defined]
        with Redis.from_url(redis_server.url) as client:
            client.publish(CHANNEL, good(1))
            eventually(lambda: reader.task("good-1"), "an event")
        frozen = time.time()
        proxy.freeze()
        eventually(lambda: collector.state == "disconnected", "the loss")
        proxy.thaw()
        (gap,) = eventually(lambda: [each for each in reader.gaps() if each.end is not None], "the gap")
        assert gap.start == pytest.approx(frozen, abs=EXACT)
        assert length(gap) >= 1.0


def test_a_collector_that_is_killed_leaves_a_gap_from_its_last_commit(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with child(Configure("shop", redis_server.url, str(tmp_path / "h"))) as process:
        assert any(isinstance(said, Health) and said.state == "live" for said in hear(process))
        with reading(tmp_path / "h") as reader:
            eventually(lambda: reader.alive() is not None, "the first commit")
        killed = time.time()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with collecting(redis_server.url, tmp_path / "h"), reading(tmp_path / "h") as reader:
        (gap,) = eventually(lambda: [each for each in reader.gaps() if each.end is not None], "the gap")
        assert gap.start == pytest.approx(killed, abs=1.0 + EXACT), "a commit is made each second at least"
        assert gap.why == "Cloche was not running."


def test_a_collector_that_is_killed_before_it_ever_listened_leaves_a_gap_from_its_start(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    nowhere = f"redis://{HOST}:{free_port()}/0"
    began = time.time()
    with child(Configure("shop", nowhere, str(tmp_path / "h"))) as process:
        assert any(isinstance(said, Health) and said.state == "disconnected" for said in hear(process))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    _two_seconds()
    with collecting(redis_server.url, tmp_path / "h") as collector, reading(tmp_path / "h") as reader:
        (gap,) = eventually(lambda: [each for each in reader.gaps() if each.end is not None], "the gap")
        back = next(each.since for each in collector.said if isinstance(each, Health) and each.state == "live")
        assert began <= gap.start <= back - 2.0, "from when the history was begun"
        assert gap.end == back


def test_a_broker_that_is_not_there_at_first_is_a_gap_from_the_start(tmp_path: Path) -> None:
    with RedisServer() as server:
        server.kill()
        began = time.time()
        with child(Configure("shop", server.url, str(tmp_path / "h"))) as process:
            assert any(isinstance(said, Health) and said.state == "disconnected" for said in hear(process))
            _two_seconds()
            server.start()
            assert any(isinstance(said, Health) and said.state == "live" for said in hear(process))
            with reading(tmp_path / "h") as reader:
                (gap,) = eventually(lambda: [each for each in reader.gaps() if each.end is not None], "the gap")
                assert length(gap) >= 1.0
                assert gap.start >= began


def test_a_new_history_that_is_listened_to_at_once_has_no_gap(redis_server: RedisServer, tmp_path: Path) -> None:
    with collecting(redis_server.url, tmp_path / "h"), reading(tmp_path / "h") as reader:
        eventually(lambda: reader.alive() is not None, "the first commit")
        assert reader.gaps() == []
    with reading(tmp_path / "h") as reader:
        assert reader.gaps() == []
