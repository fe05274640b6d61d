"""The figures of a history as `cloche stats` prints them."""

import json
import time
from pathlib import Path

import msgspec
import pytest

from app.models.history.rows import gap_row
from app.models.records import Gap, Queue
from app.models.report import as_text, queue_table, stats
from tests.helpers.events import T0, event, stream, worker_event
from tests.helpers.histories import reading, recording

OK = "{0} received\n {1} started\n {2} succeeded runtime=0.5"
KO = "{0} received\n {1} started\n {2} failed exception=KeyError('foo')"
SHED = "worker-heartbeat"


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Two minutes of a small shop."""
    path = tmp_path / "shop.cloche"
    with recording(path) as shop:
        shop.play([worker_event("online", 0), worker_event("heartbeat", 0, active=1, processed=1_234)])
        for number in range(20):
            text = (KO if number % 5 == 0 else OK).format(number * 6, number * 6 + 2, number * 6 + 2.5)
            shop.play(stream(text, f"t{number}"))
        shop.play(stream("119 sent queue=mail\n 119 received\n 119.5 started\n 119.6 retried", "again"))
        shop.poll(119, mail=7, nobody=None)
        counts = [("received", "", 70), ("stored", "", 66), ("rejected", "not JSON", 3), ("shed", SHED, 1)]
        shop.commit(120, accounting=counts, gaps=[gap_row(1, Gap(T0 + 30, T0 + 40, "The broker went away."))])
    return path


def test_figures_are_exact(history: Path) -> None:
    with reading(history) as reader:
        found = stats(reader)
    assert found["tasks"]["total"] == 21
    assert found["tasks"]["by_state"] == {"SUCCESS": 16, "FAILURE": 4, "RETRY": 1}
    named = found["tasks"]["by_name"]["add"]
    assert (named["count"], named["failed"], named["retried"]) == (21, 4, 1)
    assert named["run"] == dict.fromkeys(("p50", "p95", "p99"), pytest.approx(0.5, rel=0.0101))
    assert named["wait"]["p50"] == pytest.approx(2, rel=0.0101)
    assert found["accounting"] == {"received": 70, "stored": 66, "shed": {SHED: 1}, "rejected": {"not JSON": 3}}
    assert found["gaps"] == [{"from": T0 + 30, "to": T0 + 40, "why": "The broker went away."}]
    assert [(queue["name"], queue["ready"]) for queue in found["queues"]] == [("mail", 7), ("nobody", None)]
    assert [worker["succeeded"] for worker in found["workers"]] == [16]
    assert [(each["key"], each["severity"]) for each in found["findings"]] == [
        ("shed", "warning"),
        ("rejected", "warning"),
        ("gap", "info"),
    ]
    assert all(each["text"] and each["remedy"] for each in found["findings"])


def test_what_rabbitmq_tells_of_queues_has_columns_where_there_is_something_in_them() -> None:
    plain = Queue("mail", T0, ready=7, consumers=1)
    told = Queue("sms", T0, ready=7, rate_in=2.5, rate_out=0.0)
    dead = Queue("dead", T0, ready=7, role="dead letter")
    for queues, titles, last in (
        ([plain], [], "—"),
        ([plain, told], ["in/s", "out/s"], "0"),
        ([plain, dead], ["role"], "dead letter"),
    ):
        lines = queue_table([msgspec.to_builtins(queue) for queue in queues])
        assert lines[0].split()[6:] == titles
        assert lines[len(queues)].endswith(last)


def test_figures_since_a_time_are_of_the_tasks_first_seen_then(history: Path) -> None:
    with reading(history) as reader:
        found = stats(reader, T0 + 60)
        assert found["tasks"]["by_state"] == {"SUCCESS": 8, "FAILURE": 2, "RETRY": 1}
        assert found["tasks"]["by_name"]["add"]["count"] == 11
        assert found["gaps"] == []
        assert stats(reader, time.time() + 9)["tasks"] == {"total": 0, "by_state": {}, "by_name": {}}


def test_figures_are_plain_json(history: Path) -> None:
    with reading(history) as reader:
        found = stats(reader)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_same_figures_as_text(history: Path) -> None:
    with reading(history) as reader:
        lines = as_text(stats(reader)).splitlines()
    assert lines[0] == "21 tasks: 16 SUCCESS · 4 FAILURE · 1 RETRY"
    assert lines[2:4] == [
        "Needs attention",
        "warning: 1 event had to be dropped: more came than could be taken. 1 heartbeat.",
    ]
    assert "warning: 3 messages could not be understood. 3 not JSON." in lines
    table = lines.index("") + lines[lines.index("") + 1 :].index("") + 2
    assert [line.split() for line in lines[table : table + 2]] == [
        ["task", "count", "failed", "retried", "wait", "p50", "p95", "p99", "run", "p50", "p95", "p99"],
        ["add", "21", "4", "1", "1.99", "s", "1.99", "s", "1.99", "s", "498", "ms", "498", "ms", "498", "ms"],
    ]
    assert ["w1", "online", "on", "—", "—", "1,234", "0", "in", "step"] in [line.split() for line in lines]
    assert any(line.startswith("nobody") and line.count("—") == 5 for line in lines), "unknown is not zero"
    at = lines.index("70 events received = 66 stored + 3 rejected + 1 shed")
    assert lines[at + 1] == "Shed: 1 heartbeat"
    assert lines[-1].startswith("Not listening from ")
    assert lines[-1].endswith(": The broker went away.")


def test_what_a_worker_has_not_told_is_not_a_zero(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        history.play([event("received", 0)]).commit(1)
    with reading(tmp_path / "h") as reader:
        lines = as_text(stats(reader)).splitlines()
    assert ["w1", "online", *"——————"] in [line.split() for line in lines]


def test_columns_are_aligned(history: Path) -> None:
    with reading(history) as reader:
        lines = as_text(stats(reader)).splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("task "))
    header, row = lines[at : at + 2]
    assert len(header) == len(row)
    assert header.index("count") + len("count") == row.index("21") + len("21")


def test_an_empty_history_has_a_report(tmp_path: Path) -> None:
    with recording(tmp_path / "h"):
        pass
    with reading(tmp_path / "h") as reader:
        assert as_text(stats(reader)) == "0 tasks: none\n\n0 events received = 0 stored + 0 rejected + 0 shed"


def test_a_gap_that_lasts_has_no_end(tmp_path: Path) -> None:
    with recording(tmp_path / "h") as history:
        history.play([event("received", 0)]).commit(1, gaps=[gap_row(1, Gap(T0, None, "It hangs."))])
    with reading(tmp_path / "h") as reader:
        found = stats(reader)
    assert found["gaps"] == [{"from": T0, "to": None, "why": "It hangs."}]
    assert as_text(found).splitlines()[-1].endswith(": It hangs.")
