"""Five thousand tasks that end in every way a task can, run by real workers, against what the history says of them."""

import math
from collections import Counter
from typing import Any, Final

import msgspec
import pytest

from app.models.history.charts import Totals
from app.models.records import Attempt, Task
from tests.helpers.truth import Run, live_through

pytestmark = pytest.mark.timeout(500)

TASKS: Final = 5_000


@pytest.fixture(scope="module")
def run(_a_run_of_its_own: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One life of everything, for all tests of this file."""
    return live_through(tmp_path_factory.mktemp("truth"), TASKS)


def test_every_event_that_was_published_was_received_and_stored(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    attempts = sum(len(attempts_of(task)) for task in run.history.values())
    figures = f"{TASKS:,} tasks, {attempts:,} attempts, {len(run.heard):,} events in {run.seconds:.1f} s"
    with capsys.disabled():
        print(f"\nground truth: {figures}")  # noqa: T201 - to be quoted
    nothing_lost = {"received": len(run.heard), "stored": len(run.heard), "rejected": 0, "shed": 0}
    assert run.said == {**nothing_lost, "tasks": TASKS}
    assert run.stats["accounting"] == {**nothing_lost, "rejected": {}, "shed": {}}


def test_there_is_a_task_for_each_that_was_sent_and_no_other(run: Run) -> None:
    assert run.history.keys() == run.planned.keys()
    assert len(run.planned) == TASKS
    assert run.stats["tasks"]["total"] == TASKS


def test_each_task_ended_as_planned(run: Run) -> None:
    found = {uuid: (task.name, task.state, task.retries, task.redelivered) for uuid, task in run.history.items()}
    planned = {uuid: (p.name, p.state, p.retries, p.redelivered) for uuid, p in run.planned.items()}
    assert differences(planned, found) == {}


def test_each_task_ended_as_the_result_backend_says(run: Run) -> None:
    # The backend knows nothing of a task that was ignored.
    found = {uuid: task.state for uuid, task in run.history.items() if task.state != "UNKNOWN"}
    assert differences({uuid: meta["status"] for uuid, meta in run.stored.items()}, found) == {}


def test_counts_by_state_are_exact(run: Run) -> None:
    assert run.stats["tasks"]["by_state"] == Counter(planned.state for planned in run.planned.values())


def test_counts_by_name_are_exact(run: Run) -> None:
    planned = {
        name: {
            "count": len(same),
            "failed": sum(each.state == "FAILURE" for each in same),
            "retried": sum(each.retries for each in same),
        }
        for name in {each.name for each in run.planned.values()}
        if (same := [each for each in run.planned.values() if each.name == name])
    }
    found = {
        name: {key: row[key] for key in ("count", "failed", "retried")}
        for name, row in run.stats["tasks"]["by_name"].items()
    }
    assert found == planned


def test_counters_over_time_add_up_to_the_events(run: Run) -> None:
    heard = Counter(event["type"] for event in run.heard)
    hard_limits = len(run.named("overdue"))
    rejected_for_good = len(run.named("reject"))
    assert counted(run.totals) == {
        "events": len(run.heard),
        "tasks": TASKS,
        "received": heard["task-received"],
        "started": heard["task-started"],
        "succeeded": heard["task-succeeded"],
        "failed": heard["task-failed"] - hard_limits,  # a hard limit is reported twice
        "retried": heard["task-retried"],
        "revoked": heard["task-revoked"],
        "rejected": heard["task-rejected"] - rejected_for_good,  # these failed a moment before
    }


def test_every_attempt_is_there_with_the_times_its_workers_gave(run: Run) -> None:
    retried = {uuid for uuid, planned in run.planned.items() if planned.retries}
    assert len(retried) > 400
    for uuid in retried:
        attempts = attempts_of(run.history[uuid])
        numbers = range(run.planned[uuid].retries + 1)
        assert [attempt.retries for attempt in attempts] == list(numbers), uuid
        for kind, field in (("task-sent", "sent"), ("task-received", "received"), ("task-started", "started")):
            assert [getattr(attempt, field) for attempt in attempts] == run.times(uuid, kind), (uuid, kind)
        assert [attempt.finished for attempt in attempts[:-1]] == run.times(uuid, "task-retried"), uuid
        assert {attempt.state for attempt in attempts[:-1]} == {"RETRY"}, uuid
        assert all(attempt.exception for attempt in attempts[:-1]), uuid


def test_each_attempt_was_run_by_the_worker_that_it_is_shown_with(run: Run) -> None:
    found, heard = {}, {}
    for uuid in run.named("flaky"):
        found[uuid] = [attempt.worker for attempt in attempts_of(run.history[uuid])]
        starts = [event for event in run.by_task[uuid] if event["type"] == "task-started"]
        heard[uuid] = [event["hostname"] for event in sorted(starts, key=lambda event: float(event["timestamp"]))]
    assert differences(heard, found) == {}
    assert any(len(set(hosts)) > 1 for hosts in heard.values()), "no task changed its worker, so nothing was proved"


def test_run_times_are_those_the_workers_logged(run: Run) -> None:
    succeeded = {uuid for uuid, planned in run.planned.items() if planned.state == "SUCCESS"}
    assert run.runtimes.keys() == succeeded
    found = {uuid: run.history[uuid].runtime for uuid in succeeded}
    assert differences(run.runtimes, found) == {}


def test_no_run_time_is_shorter_than_the_clock_inside_the_task_says(run: Run) -> None:
    for uuid in run.named("timed"):
        runtime, inside = run.history[uuid].runtime, float(run.stored[uuid]["result"]["ran"])
        assert runtime is not None
        assert runtime >= inside - 1e-4


def test_percentiles_are_within_one_percent_of_the_true_ones(run: Run) -> None:
    true = sorted(run.runtimes[uuid] for uuid in run.named("timed"))
    found = run.stats["tasks"]["by_name"]["truth.timed"]["run"]
    for key, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert found[key] == pytest.approx(true[math.ceil(share * len(true)) - 1], rel=0.0101), key


def test_queue_wait_is_from_sent_or_due_to_started(run: Run) -> None:
    expected, found = {}, {}
    for uuid in run.named("add"):
        task = run.history[uuid]
        if task.state != "SUCCESS":
            continue
        (sent,), (started,) = run.times(uuid, "task-sent"), run.times(uuid, "task-started")
        expected[uuid] = pytest.approx(max(0.0, started - max(sent, task.eta or 0.0)), abs=1e-6)
        found[uuid] = task.wait
    assert differences(expected, found) == {}
    assert sum(run.history[uuid].eta is not None for uuid in found) == 150


def test_what_is_shown_of_failures_and_revocations_is_what_happened(run: Run) -> None:
    noted = {uuid: planned.note for uuid, planned in run.planned.items() if planned.note}
    assert differences(noted, {uuid: run.history[uuid].note for uuid in noted}) == {}
    raised = {uuid: planned.exception for uuid, planned in run.planned.items() if planned.exception}
    assert differences(raised, {uuid: run.history[uuid].exception for uuid in raised}) == {}
    died = [run.history[uuid].exception or "" for uuid in run.named("die")]
    assert all("WorkerLostError" in exception for exception in died), died
    assert all("ValueError: no" in (run.history[uuid].traceback or "") for uuid in run.named("fail"))


def test_arguments_results_and_progress_are_kept(run: Run) -> None:
    for uuid in run.named("flaky"):
        task = run.history[uuid]
        assert task.args is not None
        assert task.args.startswith(f"({task.retries}, ")
        assert task.result == str(task.retries)
    assert {run.history[uuid].progress for uuid in run.named("progress")} == {'{"current":3,"total":3}'}


def test_workflows_keep_their_lineage(run: Run) -> None:
    parents = {
        event["uuid"]: (event["parent_id"], event["root_id"])
        for event in run.heard
        if event["type"] == "task-sent" and event["parent_id"] not in (None, event["uuid"])
    }
    assert len(parents) == 80 * 2 + 40, "two links of each chain, and the body of each chord"
    found = {uuid: (run.history[uuid].parent, run.history[uuid].root) for uuid in parents}
    assert differences(parents, found) == {}


def test_worker_counters_agree_with_the_workers_own(run: Run) -> None:
    workers = run.stats["workers"]
    assert [(worker["hostname"], worker["state"]) for worker in workers] == [
        ("w1@test", "offline"),
        ("w2@test", "offline"),
    ]
    started = Counter(event["hostname"] for event in run.heard if event["type"] == "task-started")
    assert {worker["hostname"]: worker["processed"] for worker in workers} == started
    succeeded = Counter(event["hostname"] for event in run.heard if event["type"] == "task-succeeded")
    assert {worker["hostname"]: worker["succeeded"] for worker in workers} == succeeded
    assert sum(worker["retried"] for worker in workers) == sum(each.retries for each in run.planned.values())
    assert [(worker["pool"], worker["slots"]) for worker in workers] == [("prefork", 4)] * 2


def test_queues_were_found_and_are_empty_in_the_end(run: Run) -> None:
    assert {queue["name"]: queue["ready"] for queue in run.stats["queues"]} == {"celery": 0, "later": 0}


def attempts_of(task: Task) -> list[Attempt]:
    """All attempts of a task, the present one included."""
    last = Attempt(
        task.retries, task.sent, task.received, task.started, task.finished, task.state, task.worker, task.exception
    )
    return [*(task.attempts or ()), last]


def differences(expected: dict[str, Any], found: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The first few keys whose values differ, with both values: pytest's own picture of 5,000 would be too long."""
    wrong = sorted(uuid for uuid in expected.keys() | found.keys() if expected.get(uuid) != found.get(uuid))
    return {uuid: (expected.get(uuid), found.get(uuid)) for uuid in wrong[:5]}


def counted(totals: Totals) -> dict[str, int]:
    """The whole numbers of a span's figures."""
    return {key: value for key, value in msgspec.structs.asdict(totals).items() if isinstance(value, int)}
