"""F16, F17: the computer sleeps, or we are stopped, or its clock is set: we connect anew, and times keep order."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from app.collectors import clocks
from app.collectors.clocks import ASLEEP_AFTER, ClockSet, ClockWatch, Slept, Steady
from app.collectors.errors import BrokerError
from app.models.history.reader import Reader
from app.models.wire import Configure, Health
from tests.helpers.collecting import child, collecting, hear
from tests.helpers.events import envelope, raw
from tests.helpers.hearing import subscribed
from tests.helpers.histories import reading
from tests.helpers.hostile import good
from tests.helpers.proxy import FaultProxy
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually

CHANNEL = "/0.celeryev/task.multi"
HOUR = 3_600.0


class Time:
    """The clocks of a computer that can be put to sleep and set; all of this process look at them."""

    def __init__(self) -> None:
        self.set_by = 0.0
        self.slept = 0.0
        self._time = time.time
        self._elapsed = clocks.elapsed

    def time(self) -> float:
        return self._time() + self.set_by + self.slept

    def elapsed(self) -> float:
        return self._elapsed() + self.slept


@pytest.fixture
def computer(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(time, "time", made.time)
    monkeypatch.setattr(clocks, "elapsed", made.elapsed)
    return made


@pytest.fixture
def noticed(monkeypatch: pytest.MonkeyPatch, computer: Time) -> Iterator[list[Slept | ClockSet]]:
    """What is noticed of the clocks, by somebody who looks at them all the time."""
    monkeypatch.setattr(clocks, "LOOK", 0.01)
    found: list[Slept | ClockSet] = []
    watch = ClockWatch(found.append)
    watch.start()
    yield found
    watch.stop()
    watch.join()


@contextmanager
def reading_later(history: Path, process: subprocess.Popen[bytes]) -> Iterator[Reader]:
    """The history of a child that listens."""
    assert any(isinstance(said, Health) and said.state == "live" for said in hear(process))
    with reading(history) as reader:
        eventually(lambda: reader.alive() is not None, "its first commit")
        yield reader


# --- F16: sleep ------------------------------------------------------------------------------------------------------


def test_f16_time_that_the_computer_slept_is_noticed(computer: Time, noticed: list[Slept | ClockSet]) -> None:
    before = time.time()
    computer.slept += 120.0
    (slept,) = eventually(lambda: noticed, "the sleep")
    assert isinstance(slept, Slept)
    assert slept.seconds == pytest.approx(120.0, abs=5.0)
    assert slept.since == pytest.approx(before, abs=5.0)


def test_f16_a_moment_in_which_we_did_not_run_is_no_sleep(computer: Time, noticed: list[Slept | ClockSet]) -> None:
    computer.slept += ASLEEP_AFTER - 1.0
    computer.slept += ASLEEP_AFTER + 10.0
    eventually(lambda: noticed, "the sleep")
    assert len(noticed) == 1


def test_f16_after_sleep_all_is_connected_anew_though_the_connections_held(
    redis_server: RedisServer, proxy: FaultProxy, url: str, computer: Time, tmp_path: Path
) -> None:
    with (
        Redis.from_url(redis_server.url) as client,
        collecting(url, tmp_path / "h", queues=["mail"]) as collector,
        reading(tmp_path / "h") as reader,
    ):
        eventually(reader.queues, "a look at the queues")
        before, accepted = time.time(), proxy.accepted
        computer.slept += 120.0
        eventually(lambda: proxy.accepted >= accepted + 2, "new connections for events and queues")
        eventually(lambda: collector.state == "live", "the subscription")
        client.publish(CHANNEL, good(1))
        eventually(lambda: reader.task("good-1"), "what came after")
        (gap,) = eventually(lambda: [each for each in reader.gaps() if each.end is not None], "the gap")
        assert gap.start == pytest.approx(before, abs=1.5), "we looked at the clock within the second before"
        assert (gap.end or 0.0) - gap.start == pytest.approx(120.0, abs=5.0)
        assert re.fullmatch(r"Cloche slept for 12\d s.", gap.why)
        assert collector.notices("queues") == []


def test_f16_what_had_arrived_before_the_sleep_is_not_thrown_away(redis_server: RedisServer) -> None:
    with subscribed(redis_server.url) as heard, Redis.from_url(redis_server.url) as client:
        pipeline = client.pipeline(transaction=False)
        for number in range(20_000):
            pipeline.publish(CHANNEL, str(number))
        pipeline.execute()
        heard.stream.give_up(BrokerError("asleep", "slept"))
        eventually(lambda: heard.linked(2), "the second subscription")
        assert heard.faults() == ["asleep"]
        assert [int(payload) for payload in heard.payloads] == list(range(len(heard.payloads))), (
            "in order, none between"
        )


def test_f16_a_collector_that_was_stopped_is_back_soon_after_it_goes_on(
    redis_server: RedisServer, proxy: FaultProxy, url: str, tmp_path: Path
) -> None:
    with (
        child(Configure("shop", url, str(tmp_path / "h"))) as process,
        reading_later(tmp_path / "h", process) as reader,
        Redis.from_url(redis_server.url) as client,
    ):
        os.kill(process.pid, signal.SIGSTOP)
        proxy.freeze()
        stopped = time.monotonic()
        eventually(lambda: time.monotonic() - stopped > ASLEEP_AFTER + 2.0, "time to pass")
        os.kill(process.pid, signal.SIGCONT)
        proxy.thaw()
        went_on = time.monotonic()
        eventually(lambda: [each for each in reader.gaps() if each.end is not None], "the end of the gap")
        assert time.monotonic() - went_on < 5.0
        client.publish(CHANNEL, good(1))
        eventually(lambda: reader.task("good-1"), "what came after")
        (gap,) = reader.gaps()
        assert "slept" in gap.why


# --- F17: the clock is set -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_f17_a_clock_that_is_set_is_noticed_and_is_no_sleep(
    computer: Time, noticed: list[Slept | ClockSet], by: float
) -> None:
    computer.set_by += by
    (jump,) = eventually(lambda: noticed, "the jump")
    assert isinstance(jump, ClockSet)
    assert jump.seconds == pytest.approx(by, abs=1.0)


def test_f17_a_clock_that_is_corrected_in_passing_is_none_of_our_business(
    computer: Time, noticed: list[Slept | ClockSet]
) -> None:
    computer.set_by += 0.5
    computer.slept += 120.0
    eventually(lambda: noticed, "something else")
    assert [type(each) for each in noticed] == [Slept]


def test_f17_times_never_go_back() -> None:
    steady = Steady()
    assert steady.at(1_000.0) == 1_000.0
    assert steady.at(-2_600.0) == 1_000.0, "set back, and not noticed yet"
    assert steady.set_by(-HOUR) == 0.0
    assert steady.at(-2_590.0) == 1_010.0
    assert steady.set_by(2 * HOUR) == HOUR, "what is set back first goes back"
    assert steady.at(4_620.0) == 4_620.0


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_f17_a_clock_that_is_set_disturbs_nothing(
    redis_server: RedisServer, computer: Time, tmp_path: Path, by: float
) -> None:
    heartbeat = raw("worker-heartbeat", hostname="w@a", uuid=..., freq=2.0, active=0)
    with (
        Redis.from_url(redis_server.url) as client,
        collecting(redis_server.url, tmp_path / "h", queues=["mail"]) as collector,
        reading(tmp_path / "h") as reader,
    ):
        beating = threading.Event()

        def beat() -> None:
            while not beating.wait(0.2):
                client.publish(CHANNEL, envelope(heartbeat | {"timestamp": time.time()}))

        heart = threading.Thread(target=beat)
        heart.start()
        try:
            eventually(reader.workers, "the worker")
            before = time.time()
            computer.set_by += by
            if by > 0:
                (gap,) = eventually(lambda: [each for each in reader.gaps() if each.end is not None], "the gap")
                assert "set forward by 3600 s" in gap.why
                assert gap.start == pytest.approx(before, abs=3.0)
                assert (gap.end or 0.0) - gap.start == pytest.approx(HOUR, abs=3.0)
            else:
                (told,) = eventually(lambda: collector.notices("clock"), "that it was set")
                assert "set back by 3600 s" in told
                assert reader.gaps() == []
            client.publish(CHANNEL, good(1))
            eventually(lambda: reader.task("good-1"), "what comes after")
            said = [each for each in collector.said if isinstance(each, Health)]
            already = len(said)
            eventually(lambda: len(collector.said) > already + 4, "some seconds more")
            assert {each.state for each in said if each.since} <= {"connecting", "live"}, "no connection was lost"
            assert all(each.behind >= 0 and each.since <= before + max(by, 0.0) + 60.0 for each in said)
            beats = [each.state for each in reader.workers() if each.hostname == "w@a"]
            assert beats == ["online"], "nobody is lost because a clock was set"
            alive = reader.alive()
            assert alive is not None
            assert alive >= before, "the history's time goes on"
        finally:
            beating.set()
            heart.join()


def test_f17_what_a_clock_that_is_set_back_does_to_a_lost_connection_is_not_negative(
    redis_server: RedisServer, computer: Time, tmp_path: Path
) -> None:
    with collecting(redis_server.url, tmp_path / "h") as collector, reading(tmp_path / "h") as reader:
        eventually(lambda: reader.alive() is not None, "the first commit")
        redis_server.kill()
        eventually(lambda: collector.state == "disconnected", "the loss")
        computer.set_by -= HOUR
        redis_server.start()
        eventually(lambda: collector.state == "live", "the return")
        (gap,) = eventually(lambda: [each for each in reader.gaps() if each.end is not None], "the gap")
        assert 0.0 <= (gap.end or 0.0) - gap.start < 60.0
