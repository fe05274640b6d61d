"""What many events add up to: tasks, workers, queues, counters over time, and what is handed to the history of them."""

import random
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.models.records import Event, Queue
from app.models.reducer import BUCKET, Batch
from app.models.rollups import percentiles
from tests.helpers.drawing import counters, drawn_worker
from tests.helpers.events import T0, event, stream, worker_event
from tests.helpers.seen import STREAMS
from tests.helpers.stage import Stage

OK = "0 received\n 3 started\n 3.5 succeeded result=4 runtime=0.5"
KO = "0 received\n 3 started\n 3.5 failed exception=KeyError('foo')"


def of(*texts: str, name: str = "add", host: str = "w1") -> list[Event]:
    """Streams of so many tasks, one after the other."""
    made = []
    for number, text in enumerate(texts):
        for each in stream(text, f"{name}-{host}-{number}"):
            each.hostname = host
            each.name = name if each.type in ("task-sent", "task-received") else None
            made.append(each)
    return made


def reception(uuid: str, at: float) -> Event:
    return event("received", at, uuid=uuid)


# --- the cases M and W of CASES 3 ------------------------------------------------------------------------------------


def test_m1_one_good_task_is_counted_at_each_of_its_steps() -> None:
    stage = Stage().play([worker_event("online", 0), worker_event("heartbeat", 0, active=1), *of(OK)])
    assert stage.counted() == "events 5 tasks 1 received 1 started 1 succeeded 1 waits 1 runs 1"
    assert drawn_worker(stage.reducer.workers["w1"]) == "w1 online since 0: active 1, succeeded 1"


def test_m2_run_times_are_counted_and_summed() -> None:
    stage = Stage().play(of(OK, OK))
    (cell,) = [cell for _, name, cell in stage.commit().cells if name == "add"]
    assert sum(cell.run.values()) == 2
    assert cell.busy == 1.0
    assert percentiles(cell.run).p99 == pytest.approx(0.5, rel=0.01)


def test_a_run_time_of_zero_is_observed() -> None:
    stage = Stage().play(of("0 received\n 3 started\n 3 succeeded runtime=0"))
    assert stage.counted("add") == "tasks 1 received 1 started 1 succeeded 1 waits 1 runs 1"


@pytest.mark.parametrize(("text", "wait"), [(OK, 3.0), (KO, 3.0), ("0 received eta=+3\n 3 started", 0.0)])
def test_m3_to_m5_the_wait_in_the_worker_is_from_reception_or_due_time_to_start(text: str, wait: float) -> None:
    assert Stage().play(stream(text)).task().wait == wait


def test_m6_a_worker_that_says_goodbye_is_offline_and_runs_nothing() -> None:
    stage = Stage().play(
        [worker_event("online", 0), worker_event("heartbeat", 2, active=3), worker_event("offline", 4)]
    )
    assert drawn_worker(stage.reducer.workers["w1"]) == "w1 offline since 4"


@pytest.mark.parametrize(
    ("text", "waiting"),
    [
        ("0 received", 1),
        ("0 received\n 1 started", 0),
        ("0 received\n 1 revoked expired=true", 0),
        ("0 received\n 1 rejected", 0),
        ("0 received\n 1 started\n 2 revoked terminated=true signum=9", 0),
        ("0 received\n 1 started\n 2 received", 1),
        ("0 received\n 1 retried", 0),
    ],
)
def test_m7_and_m8_a_task_waits_in_its_worker_from_reception_until_anything_else_happens(
    text: str, waiting: int
) -> None:
    stage = Stage().play(stream(text, "one")).play([reception("other", 0)])
    states = [stage.task(uuid).state for uuid in ("one", "other")]
    assert states.count("RECEIVED") == waiting + 1


def test_m9_a_worker_not_heard_of_for_long_is_lost_and_a_live_one_is_not() -> None:
    stage = Stage().play([worker_event("heartbeat", 0, "dead", active=2), worker_event("heartbeat", 3600, "alive")])
    for _ in range(2):
        stage.reducer.tick(T0 + 3600)
        drawings = [drawn_worker(worker) for worker in stage.reducer.workers.values()]
        assert drawings == ["dead lost since 0", "alive online since 3600"]


def test_w1_each_worker_counts_its_own() -> None:
    ends = [*of(*[OK] * 100, host="A"), *of(*[OK] * 10, *[KO] * 13, host="C")]
    random.Random(5).shuffle(ends)
    ends.sort(key=lambda each: each.timestamp)
    stage = Stage().play([worker_event("online", 0, "B"), *ends])
    counted = {worker.hostname: (worker.succeeded, worker.failed) for worker in stage.reducer.workers.values()}
    assert counted == {"A": (100, 0), "B": (0, 0), "C": (10, 13)}


def test_w3_a_failure_after_a_retry_is_one_of_each() -> None:
    stage = Stage().play(stream("0 received\n 1 started\n 2 retried exception=X()\n 3 failed exception=X()"))
    assert drawn_worker(stage.reducer.workers["w1"]) == "w1 online since 0: failed 1, retried 1"


# --- workers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passed", "state"),
    [(0, "online"), (3.9, "online"), (4.0, "silent"), (5.9, "silent"), (6.0, "lost"), (9999, "lost")],
)
def test_a_worker_is_silent_after_two_missed_heartbeats_and_lost_after_three(passed: float, state: str) -> None:
    stage = Stage().play([worker_event("heartbeat", 100)])
    stage.reducer.tick(T0 + 100 + passed)
    assert drawn_worker(stage.reducer.workers["w1"]) == f"w1 {state} since 100"


def test_a_worker_with_a_slower_heartbeat_is_given_more_time() -> None:
    stage = Stage().play([worker_event("heartbeat", 0, freq=60.0)])
    stage.reducer.tick(T0 + 119)
    assert stage.reducer.workers["w1"].state == "online"


def test_a_solo_pool_that_works_is_busy_and_never_lost() -> None:
    stage = Stage().play([worker_event("heartbeat", 0, active=1), worker_event("heartbeat", 0, "prefork", active=1)])
    for hostname, pool in (("w1", "solo"), ("prefork", "prefork")):
        stage.reducer.fold_inspection(hostname, {"pool": pool, "slots": 1}, T0)
    stage.reducer.tick(T0 + 3600)
    assert {worker.hostname: worker.state for worker in stage.reducer.workers.values()} == {
        "w1": "busy",
        "prefork": "lost",
    }


def test_our_own_silence_is_not_the_workers() -> None:
    stage = Stage().play([worker_event("heartbeat", 0)])
    stage.reducer.listen(None, T0 + 3600)
    stage.reducer.tick(T0 + 3601)
    assert stage.reducer.workers["w1"].state == "online"
    stage.reducer.tick(T0 + 3604)
    assert stage.reducer.workers["w1"].state == "silent"


def test_work_is_a_sign_of_life_and_a_sent_task_is_not() -> None:
    stage = Stage().play([worker_event("heartbeat", 0)])
    stage.reducer.tick(T0 + 60)
    stage.play([event("sent", 61, "w1")])
    assert stage.reducer.workers["w1"].state == "lost"
    stage.play([event("started", 62)])
    assert drawn_worker(stage.reducer.workers["w1"]) == "w1 online since 62"


def test_a_producer_is_not_a_worker() -> None:
    assert Stage().play([event("sent", 0, "gen1@host")]).reducer.workers == {}


def test_what_is_told_after_a_goodbye_does_not_bring_a_worker_back_but_its_greeting_does() -> None:
    stage = Stage().play([worker_event("online", 0), worker_event("offline", 1), event("succeeded", 2)])
    assert stage.reducer.workers["w1"].state == "offline"
    stage.reducer.tick(T0 + 3600)
    assert drawn_worker(stage.reducer.workers["w1"]) == "w1 offline since 1: succeeded 1"
    stage.play([worker_event("online", 5)])
    assert drawn_worker(stage.reducer.workers["w1"]) == "w1 online since 5: succeeded 1"


def test_the_answer_to_a_heartbeat_command_does_not_replace_the_figures() -> None:
    stage = Stage().play([worker_event("heartbeat", 0, active=3, processed=70, loadavg=[1.0, 2.0, 3.0])])
    stage.play([worker_event("heartbeat", 1, freq=5.0, active=None, processed=None, loadavg=None)])
    worker = stage.reducer.workers["w1"]
    assert (worker.freq, worker.active, worker.processed, worker.load) == (2.0, 3, 70, [1.0, 2.0, 3.0])
    assert worker.heartbeat == T0 + 1


def test_software_and_process_are_taken_from_the_greeting() -> None:
    greeting = worker_event("online", 0, sw_ident="py-celery", sw_ver="5.7.0", sw_sys="Linux", pid=4711)
    worker = Stage().play([greeting]).reducer.workers["w1"]
    assert (worker.software, worker.system, worker.pid) == ("py-celery 5.7.0", "Linux", 4711)


def test_leader_election_is_of_no_interest() -> None:
    stage = Stage().play([worker_event("elect", 0)])
    assert stage.reducer.workers == {}
    assert stage.counted() == "events 1"


def test_an_answer_fills_in_what_was_learnt_and_keeps_the_rest() -> None:
    stage = Stage().play([worker_event("heartbeat", 0, processed=7)])
    stage.reducer.fold_inspection("w1", {"pool": "prefork", "slots": 8, "queues": ["a"]}, T0 + 9)
    worker = stage.reducer.workers["w1"]
    assert (worker.pool, worker.slots, worker.queues, worker.processed, worker.inspected) == (
        "prefork", 8, ["a"], 7, T0 + 9,
    )  # fmt: skip
    assert [each.hostname for each in stage.commit().workers] == ["w1"]


# --- queues ----------------------------------------------------------------------------------------------------------


def test_a_queue_is_known_from_the_first_task_sent_to_it_and_keeps_that_time() -> None:
    stage = Stage().play([event("sent", 1, queue="mail")])
    assert stage.reducer.queues["mail"].seen == T0 + 1
    stage.reducer.fold_queues([Queue("mail", T0 + 9, ready=5)], T0 + 9)
    queue = stage.reducer.queues["mail"]
    assert (queue.seen, queue.sampled, queue.ready) == (T0 + 1, T0 + 9, 5)


def test_a_queue_named_in_whatever_event_is_in_the_history_with_its_task() -> None:
    # The history numbers the queues it has rows of; a number without a row would be given away again.
    stage = Stage().play([event("sent", 1, queue=None), event("sent", 1, queue="late", retries=1)])
    assert stage.task().queue == "late"
    assert [queue.name for queue in stage.commit().queues] == ["late"]


def test_consumers_are_unknown_until_a_worker_told_its_queues() -> None:
    stage = Stage().play([worker_event("online", 0, name) for name in ("w1", "w2", "w3")])
    polled = [Queue("mail", T0, ready=0), Queue("other", T0, ready=0)]
    stage.reducer.fold_queues(polled, T0)
    assert [stage.reducer.queues[name].consumers for name in ("mail", "other")] == [None, None]
    for hostname, queues in (("w1", ["mail"]), ("w2", ["mail", "other"]), ("w3", ["mail"])):
        stage.reducer.fold_inspection(hostname, {"queues": queues}, T0)
    stage.play([worker_event("offline", 1, "w3")])
    stage.reducer.fold_queues(polled, T0 + 1)
    assert [stage.reducer.queues[name].consumers for name in ("mail", "other")] == [2, 1]


def test_what_waits_is_unknown_while_nobody_can_be_asked() -> None:
    stage = Stage()
    polled = Queue("mail", T0, ready=3, by_priority={"0": 3}, unacked=1, consumers=2, oldest=9.0, scheduled=1)
    stage.reducer.fold_queues([polled], T0)
    stage.commit()
    stage.reducer.forget_depths()
    batch = stage.commit()
    assert batch.queues == [Queue("mail", T0, sampled=T0, consumed=T0)]
    assert batch.gauges == []
    stage.reducer.forget_depths()
    assert stage.commit().queues == [], "nothing is told anew"


def test_what_a_queue_is_stays_known_while_nobody_can_be_asked() -> None:
    stage = Stage()
    told = {"role": "dead letter", "type": "quorum", "durable": True, "policy": "p", "dead_letters_of": ["mail"]}
    stage.reducer.fold_queues([Queue("dead", T0, ready=3, consumers=1, **told)], T0)  # type: ignore[arg-type]
    stage.reducer.forget_depths()
    queue = stage.reducer.queues["dead"]
    assert (queue.ready, queue.consumers, queue.consumed) == (None, None, T0)
    assert {name: getattr(queue, name) for name in told} == told
    assert not queue.rests, "somebody consumed it, and is missed"


def test_what_is_unknown_of_a_queue_is_not_measured_as_zero() -> None:
    stage = Stage()
    stage.reducer.fold_queues([Queue("mail", T0, ready=None, unacked=None, oldest=None)], T0)
    assert stage.commit().gauges == []
    stage.reducer.fold_queues([Queue("mail", T0, ready=0, unacked=3, oldest=1.5)], T0)
    assert gauges(stage.commit()) == {"queue.ready mail": 0, "queue.unacked mail": 3, "queue.oldest mail": 1.5}


def test_rates_that_the_broker_tells_are_measured() -> None:
    stage = Stage()
    stage.reducer.fold_queues([Queue("mail", T0, rate_in=2.5, rate_out=0.0)], T0)
    assert gauges(stage.commit()) == {"queue.rate_in mail": 2.5, "queue.rate_out mail": 0}


def test_it_is_remembered_when_a_queue_had_a_consumer_last() -> None:
    reducer = Stage().reducer
    seen = []
    for at, consumers in enumerate((0, 2, 1, 0, None)):
        reducer.fold_queues([Queue("mail", T0, consumers=consumers)], T0 + at)
        seen.append(reducer.queues["mail"].consumed)
    assert seen == [None, T0 + 1, T0 + 2, T0 + 2, T0 + 2]


def test_what_a_queue_is_for_is_remembered_while_nobody_tells() -> None:
    reducer = Stage().reducer
    dead = "dead letter"
    told = Queue("q", T0, type="classic", role=dead)
    for polled, role in ((told, dead), (Queue("q", T0), dead), (Queue("q", T0, type="classic"), None)):
        reducer.fold_queues([polled], T0)
        assert reducer.queues["q"].role == role


# --- over time -------------------------------------------------------------------------------------------------------


def test_tasks_in_and_out_of_a_queue_are_counted_once_each() -> None:
    events = stream("0 sent\n 0 sent\n 0.1 received\n 1 started\n 1 started\n 1.1 sent retries=1\n 1.2 started")
    stage = Stage().play([worker_event("heartbeat", 0, active=2), *events])
    totals = {f"{kind} {key}": gauge.total for _, (kind, key), gauge in stage.commit().gauges}
    assert totals == {"worker.active w1": 2, "queue.in celery": 2, "queue.out celery": 2}


def test_a_gauge_keeps_sum_and_number() -> None:
    stage = Stage()
    for at, ready in enumerate((3, 9, 4)):
        stage.reducer.fold_queues([Queue("q", T0, ready=ready)], T0 + at)
    ((_, _, gauge),) = stage.commit().gauges
    assert (gauge.total, gauge.n) == (16, 3)


def test_events_are_counted_in_the_bucket_they_were_received_in() -> None:
    stage = Stage().play([reception("a", 0), reception("b", 4.999), reception("c", 5), reception("d", 12)])
    batch = stage.commit()
    buckets = {at - T0: cell.received for at, name, cell in batch.cells if name is None}
    assert buckets == {0: 2, 5: 1, 10: 1}
    assert batch.closed == T0 + 10


def test_a_bucket_is_closed_by_time_alone() -> None:
    stage = Stage().play([reception("a", 0)])
    assert stage.commit().closed == T0
    stage.reducer.tick(T0 + BUCKET)
    batch = stage.commit()
    assert (batch.closed, batch.cells) == (T0 + BUCKET, [])


def test_a_bucket_that_grows_over_several_commits_is_written_whole_each_time() -> None:
    stage = Stage()
    for at in range(3):
        stage.play([reception(str(at), at)])
        assert counters(stage.commit()) == f"events {at + 1} tasks {at + 1} received {at + 1}"


def test_a_clock_that_was_set_back_counts_on_into_the_present_bucket() -> None:
    stage = Stage().play([reception("a", 100), reception("b", 40)])
    assert {at - T0 for at, _, _ in stage.commit().cells} == {100}
    assert stage.counted() == "events 2 tasks 2 received 2"


def test_names_add_up_to_all() -> None:
    names = ("a", "b", "c")
    stage = Stage().play([each for name in names for each in of(OK, KO, name=name)])
    assert stage.counted() == "events 18 tasks 6 received 6 started 6 succeeded 3 failed 3 waits 6 runs 6"
    per_name = "tasks 2 received 2 started 2 succeeded 1 failed 1 waits 2 runs 2"
    assert [stage.counted(name) for name in names] == [per_name] * 3


def test_a_task_without_a_name_counts_for_all_and_for_its_name_once_it_is_known() -> None:
    stage = Stage().play(stream("1 started\n 2 succeeded runtime=1"))
    assert stage.counted("add") == ""
    stage.play(stream("0 received"))
    assert stage.counted("add") == "tasks 1 received 1"
    assert stage.counted().startswith("events 3 tasks 1 ")


def test_every_start_is_counted_with_its_own_wait_whatever_follows_before_the_commit() -> None:
    text = "0 sent\n 0 received\n 1 started\n 2 sent retries=1\n 2 received retries=1\n 2.1 retried\n 4 started"
    stage = Stage().play(stream(text))
    (cell,) = [cell for _, name, cell in stage.commit().cells if name == "add"]
    assert cell.started == 2
    found = percentiles(cell.wait)
    assert [found.p50, found.p99] == [pytest.approx(1, rel=0.01), pytest.approx(2, rel=0.01)]


def test_a_sending_that_is_told_late_makes_the_counted_wait_exact() -> None:
    stage = Stage().play(stream("5 received\n 6 started\n 0 sent"))
    (cell,) = [cell for _, name, cell in stage.commit().cells if name == "add"]
    assert percentiles(cell.wait).p50 == pytest.approx(6, rel=0.01)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_interleaved_tasks_add_up_to_the_same_as_one_after_the_other(seed: int) -> None:
    streams = [_renamed(events, name) for name, events in STREAMS.items()]
    one_by_one = Stage().play(each for events in streams for each in events)
    mixed = Stage(active_limit=3)
    dice = random.Random(seed)
    left = [list(events) for events in streams]
    while left:
        events = dice.choice(left)
        mixed.play([events.pop(0)])
        if not events:
            left.remove(events)
        if dice.random() < 0.1:
            mixed.commit()
    for name in STREAMS:
        assert mixed.drawn(name) == one_by_one.drawn(name)
    assert mixed.counted() == one_by_one.counted()


# --- what is handed to the history, and what stays in memory ---------------------------------------------------------


def test_each_change_is_handed_over_once() -> None:
    stage = Stage().play([worker_event("online", 0), event("sent", 0), event("received", 1)])
    batch = stage.commit()
    assert ([task.uuid for task in batch.tasks], len(batch.workers), len(batch.queues)) == (["t1"], 1, 1)
    assert is_empty(stage.commit())
    stage.play([event("started", 2)])
    assert [task.state for task in stage.commit().tasks] == ["STARTED"]


def test_ids_grow_in_the_order_of_first_sight_and_go_on_after_a_restart() -> None:
    stage = Stage().play([reception("a", 0), reception("b", 1), event("started", 2, uuid="a")])
    stage.restart().play([reception("c", 3), event("started", 4, uuid="b")])
    assert [stage.task(uuid).id for uuid in "abc"] == [1, 2, 3]


def test_a_finished_task_leaves_memory_and_comes_back_for_a_late_word() -> None:
    stage = Stage().play(of(OK))
    stage.commit()
    stage.play(of(KO))
    assert stage.loads == [["add-w1-0"]]
    assert stage.task("add-w1-0").state == "SUCCESS"


def test_a_task_that_changed_while_its_batch_was_written_stays_in_memory() -> None:
    stage = Stage().play(stream("0 received\n 1 started\n 2 succeeded runtime=1"))
    batch = stage.reducer.flush()
    stage.play([event("sent", 0)])
    stage.reducer.committed(batch)
    stage.play([event("progress", 1.5, payload={"current": 1})])
    assert stage.loads == []
    assert [(task.queue, task.progress) for task in stage.commit().tasks] == [("celery", '{"current":1}')]


def test_more_open_tasks_than_the_limit_are_kept_in_the_history_only() -> None:
    stage = Stage(active_limit=10).play(reception(str(number), number) for number in range(100))
    stage.commit()
    stage.play([event("started", 101, uuid="0"), event("started", 102, uuid="99")])
    assert stage.loads == [["0"]]
    assert [stage.task(uuid).state for uuid in ("0", "99")] == ["STARTED", "STARTED"]
    assert stage.counted().startswith("events 102 tasks 100 received 100 started 2")


def test_the_history_is_asked_once_for_all_tasks_of_a_block_of_events() -> None:
    stage = Stage(active_limit=0).play(reception(uuid, 0) for uuid in "abc")
    stage.commit()
    stage.reducer.fold([event("started", 1, uuid=uuid) for uuid in "abcd"], T0 + 1)
    assert stage.loads == [["a", "b", "c", "d"]]


def test_a_new_history_is_never_asked() -> None:
    stage = Stage().play(reception(str(number), number) for number in range(10))
    assert stage.loads == []


def test_a_task_without_an_event_of_its_own_is_not_known() -> None:
    assert Stage().reducer.task("nobody") is None


def is_empty(batch: Batch) -> bool:
    return not (batch.tasks or batch.workers or batch.queues or batch.cells or batch.gauges)


def gauges(batch: Batch) -> dict[str, float]:
    return {f"{kind} {key}": gauge.total / gauge.n for _, (kind, key), gauge in batch.gauges}


def _renamed(events: Iterable[Event], uuid: str) -> list[Event]:
    return [msgspec.structs.replace(each, uuid=uuid) for each in events]
