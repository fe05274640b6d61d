"""What the benchmarks rest on: the truth of the load, and that a wrong history is an error and not a figure."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from app.models.history.reader import Reader
from tests.bench import load, machine
from tests.bench import purge as purging
from tests.bench import purge_rabbitmq as purging_rabbitmq
from tests.bench import queues as long_queues
from tests.bench import recorder as recorder_module
from tests.bench.beside_flower import compare
from tests.bench.purge import WrongMessages
from tests.bench.recorder import Recorder, WrongHistory, faults, found_states
from tests.helpers.amqp_raw import Raw
from tests.helpers.messages import key_of


def sent(url: str, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.load", url, *words]
    said: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return said


def test_tasks_in_flight_start_half_a_window_after_they_are_received_and_end_a_window_later() -> None:
    at: dict[object, list[int]] = defaultdict(list)
    position = 0
    for event in load.events(500, in_flight=100):
        position += event["type"] == "task-received"
        at[event["uuid"]].append(position)
    # Counted in tasks received so far: nothing is received any more at the end.
    assert {(started - received, ended - received) for received, started, ended in list(at.values())[:400]} == {
        (50, 100)
    }
    assert [len(steps) for steps in at.values()] == [3] * 500


def test_without_a_window_the_events_of_a_task_follow_each_other() -> None:
    stream = list(load.events(10))
    assert [event["uuid"] for event in stream] == [event["uuid"] for event in stream[::3] for _ in range(3)]


@pytest.mark.parametrize(
    "words",
    [
        ["--tasks=1000"],
        ["--tasks=1000", "--batch=20", "--in-flight=300", "--mixed", "--workers"],
        ["--rate=3000", "--seconds=1", "--in-flight=50", "--batch=7", "--mixed", "--workers"],
        ["--rate=3000", "--seconds=1", "--prepared"],
    ],
)
def test_a_real_collector_finds_what_the_load_says_is_true(tmp_path: Path, words: list[str]) -> None:
    with machine.redis() as broker, Recorder(broker.url, tmp_path / "b.cloche") as recorder:
        told = sent(broker.url, *words)
        assert told["unheard"] == 0
        recorder.until_true(told)
        assert faults(recorder.history, told) == []
        for change in (
            {"events": told["events"] + 1},
            {"states": told["states"] | {"shop.tasks.job_0": {"SUCCESS": 1}}},
        ):
            assert len(faults(recorder.history, told | change)) == 1
        assert machine.cut_offs(broker) == 0


def test_a_steady_load_keeps_its_rate_and_says_so(tmp_path: Path) -> None:
    with machine.redis() as broker:
        told = sent(broker.url, "--rate=2000", "--seconds=2")
    assert told["events"] == 3 * told["tasks"] == 3 * 1333
    assert told["events_per_second"] <= 2_050
    assert told["unheard"] == told["events"]


def test_a_name_that_a_history_does_not_know_is_told_apart(tmp_path: Path) -> None:
    with machine.redis() as broker, Recorder(broker.url, tmp_path / "b.cloche") as recorder:
        told = sent(broker.url, "--tasks=30", "--names=3")
        recorder.until_true(told)
        reader = Reader(recorder.history)
        assert found_states(reader) == told["states"]
        assert sorted(told["states"]) == ["shop.tasks.job_0", "shop.tasks.job_1", "shop.tasks.job_2"]
        reader.close()


def test_more_is_better_of_rates_and_less_of_memory() -> None:
    def figures(rate: int, memory: float) -> dict[str, Any]:
        flood = {"events_per_second": rate, "events_per_cpu_second": 2 * rate}
        return {"flood": flood, "paced": {"events_per_cpu_second": rate, "memory_mb_per_100000_tasks": memory}}

    compared = compare(figures(600, 25.0), figures(100, 500.0))
    assert [row["ratio"] for row in compared] == [6.0, 6.0, 6.0, 20.0]
    assert compare(figures(600, -1.0), figures(100, 500.0))[-1]["ratio"] is None


def test_the_spread_of_values_is_by_nearest_rank() -> None:
    assert machine.spread([value / 1000 for value in range(1, 101)]) == {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert machine.spread([]) == {"p50": None, "p95": None, "p99": None, "max": None}


def test_a_history_that_does_not_become_true_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "STILL", 0.5)
    with machine.redis() as broker, Recorder(broker.url, tmp_path / "b.cloche") as recorder:
        told = sent(broker.url, "--tasks=30")
        with pytest.raises(WrongHistory, match=r"end states differ: sent {'FAILURE': 1, 'SUCCESS': 28}, found "):
            recorder.until_true(
                told | {"states": {"shop.tasks.job_0": {"FAILURE": 1}, "shop.tasks.job_1": {"SUCCESS": 28}}}
            )


def test_what_queues_cost_is_measured_on_a_real_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_queues, "SLOWER_THAN", 0)
    figures = long_queues.measure(queues=40, messages=3_000, rate=200.0, seconds=2.0)
    collector, looks = figures["collector"], figures["looks"]
    assert collector["events"] > 300
    assert collector["commands"]["llen"]["calls"] >= 41 * 4 * 2
    assert collector["slowest_command_ms"] > 0.0
    assert looks["oldest page"]["shown"] == looks["newest page"]["shown"] == 20
    assert (looks["names"]["looked"], looks["names"]["sample"]) == (3_000, False)
    assert (looks["find, deep in the oldest"]["found"], looks["find what is not there"]["found"]) == (1, 0)
    assert looks["find what is not there"]["looked"] == 3_000


def test_a02_what_is_purged_and_restored_while_others_use_the_broker_is_as_it_was() -> None:
    figures = purging.measure(20_000, rate=2_000.0, seconds=0.5)
    for run in (figures["newcomers taken"], figures["newcomers wait"]):
        assert run["purged"] > 15_000
        assert run["sent meanwhile"] > 1_000
        assert run["taken"] > 1_000
        assert run["purge"]["scripts"] == 1
        assert run["restore"]["scripts"] >= 4


def test_a02_a_message_that_is_lost_doubled_changed_or_out_of_order_is_an_error() -> None:
    with machine.redis() as broker, Redis.from_url(broker.url) as client:
        key = key_of(purging.QUEUE, 0)

        def check(*raws: bytes, taken: Sequence[int] = ()) -> str:
            client.delete(key)
            client.lpush(key, *raws)
            try:
                purging._check(client, taken, 9)
            except WrongMessages as error:
                return str(error)
            return ""

        raw, others = purging.raw_of, [1, 2, 3, 5, 6, 7]
        assert check(raw(0), raw(4), raw(8), taken=others) == ""
        assert check(raw(4), raw(8), taken=[*others, 0]) == ""
        assert "1 are lost" in check(raw(0), raw(8), taken=others)
        assert "1 doubled" in check(raw(0), raw(4), raw(8), taken=[*others, 4])
        assert "in its place" in check(raw(4), raw(0), raw(8), taken=others)
        assert "changed" in check(raw(0), raw(4), raw(8).replace(b"mail", b"liam"), taken=others)
        assert "out of their order" in check(raw(8), taken=[4, 0, 7, 3, 2, 1, 5, 6, 4, 0])


@pytest.mark.parametrize(
    ("worked", "left", "wrong"),
    [
        # Two were worked off, eight and twelve came since; four was purged with sixteen, and both are back behind.
        ([0, 1, 2, 3, 8, 12], [20, 4, 16, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19], ""),
        ([0, 1, 2, 3, 8, 12], [20, 16, 4, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19], "4 came after 20 and 16"),
        ([0, 4, 8], [1, 2, 3, 5, 6, 7, -21, 9, -13, -17, 10, 11, 13, 13, 14, 15, 17, 18, 19], "1 doubled"),
        ([0, 4, 8], [1, 2, 3, 5, 6, 7, -21, 9, -13, -17, 10, 11, 13, 14, 15, 17, 18, 19], ""),
        ([0, 4, 8, 12, 16, 20], [1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18], "1 are lost"),
    ],
)
def test_what_is_lost_doubled_or_out_of_its_order_on_rabbitmq_is_an_error(
    worked: list[int], left: list[int], wrong: str
) -> None:
    if wrong:
        with pytest.raises(WrongMessages, match=wrong):
            purging_rabbitmq.check(worked, iter(left), 21)
    else:
        found = sum(number < 0 for number in left)
        assert purging_rabbitmq.check(worked, iter(left), 21) == found


def test_a_message_that_was_changed_is_an_error_and_that_it_was_handed_out_before_is_none() -> None:
    sent = purging_rabbitmq.message(7, 50)
    assert purging_rabbitmq.number_of(sent) == 7
    note = b"\x10x-delivery-count" + b"l" + bytes(7) + b"\x01"
    at = sent.properties.index(b"\x04lang") - 4
    size = int.from_bytes(sent.properties[at : at + 4], "big") + len(note)
    table_end = at + size + 4 - len(note)
    marked = sent.properties[:at] + size.to_bytes(4, "big") + sent.properties[at + 4 : table_end] + note
    marked += sent.properties[table_end:]
    assert purging_rabbitmq.number_of(Raw(marked, sent.body)) == -8
    for changed in (
        Raw(sent.properties.replace(b"shop.buy", b"shop.sell"[:8]), sent.body),
        Raw(marked.replace(b"gen1", b"gen2"), sent.body),
        Raw(sent.properties, sent.body.replace(b"{}", b"[]")),
    ):
        with pytest.raises(WrongMessages, match="7 was changed"):
            purging_rabbitmq.number_of(changed)
