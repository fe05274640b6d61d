"""Who is alive, who is another process than before, and what workers did not tell us."""

import pytest

from app.models.records import Event
from tests.helpers.drawing import drawn_worker
from tests.helpers.events import T0, event, stream, worker_event
from tests.helpers.stage import Stage

RUNNING = "1 received\n1 started"
WAITING = "1 received"


def beat(at: float, processed: int = 0, host: str = "w1", pid: int = 100, **fields: object) -> Event:
    return worker_event("heartbeat", at, host, processed=processed, pid=pid, **fields)


def listening(*events: Event, after: float = 0) -> Stage:
    """A stage on which somebody listens, which heard these events."""
    stage = Stage()
    stage.reducer.listen(None, T0 + after)
    return stage.play(events)


def ticking(stage: Stage, start: float, end: float) -> list[str]:
    """The states of ``w1`` from second to second, repetitions left out."""
    states: list[str] = []
    for second in range(int(start), int(end) + 1):
        stage.reducer.tick(T0 + second)
        state = stage.reducer.workers["w1"].state
        if states[-1:] != [state]:
            states.append(state)
    return states


def began(number: int, start: float, pid: int = 100) -> list[Event]:
    """So many tasks that ``w1`` begins, a tenth of a second apart."""
    return [event("started", start + n / 10, uuid=f"{start}-{n}", pid=pid) for n in range(number)]


def figures(stage: Stage, host: str = "w1") -> str:
    """What a worker began, as far as was told, what it did not tell, and whether it tells at all."""
    worker = stage.reducer.workers[host]
    return f"processed {worker.processed}, began {worker.began}, missed {worker.missed}, events {worker.events}"


# --- alive or not ----------------------------------------------------------------------------------------------------


def test_a_worker_falls_silent_is_lost_and_returns() -> None:
    stage = listening(beat(0, active=1), *stream(RUNNING))
    assert ticking(stage, 1, 10) == ["online", "silent", "lost"]
    assert stage.drawn() == "LOST: note Its worker was lost while it ran.\n  #0 received 1, started 1, on w1"
    worker = stage.reducer.workers["w1"]
    assert (worker.since, worker.held, worker.active) == (T0 + 1, 1, None)
    stage.play([beat(11)])
    assert (drawn_worker(worker), worker.held) == ("w1 online since 11", None)
    assert stage.drawn() == "STARTED\n  #0 received 1, started 1, on w1"


def test_its_own_interval_is_what_a_worker_is_measured_by() -> None:
    stage = listening(beat(0, freq=10.0))
    assert ticking(stage, 0, 19) == ["online"]
    assert ticking(stage, 20, 29) == ["silent"]
    assert ticking(stage, 30, 31) == ["lost"]


def test_a_worker_that_was_lost_is_not_brought_back_by_a_gap_of_ours() -> None:
    stage = listening(beat(0), *stream(RUNNING))
    ticking(stage, 1, 10)
    stage.reducer.listen(T0 + 20, T0 + 21)
    assert ticking(stage, 21, 30) == ["lost"]
    assert stage.task().state == "LOST"


def test_a_worker_that_was_lost_before_a_restart_of_ours_stays_lost() -> None:
    stage = listening(beat(0), *stream(RUNNING))
    ticking(stage, 1, 10)
    stage.restart()
    stage.reducer.listen(T0 + 10, T0 + 60)
    assert ticking(stage, 61, 62) == ["lost"]
    assert stage.task().state == "LOST"


def test_who_is_silent_while_we_do_not_listen_has_its_time_from_when_we_do() -> None:
    stage = listening(beat(0))
    stage.reducer.listen(T0 + 1, T0 + 100)
    assert ticking(stage, 100, 103) == ["online"]
    assert ticking(stage, 104, 105) == ["silent"]
    assert ticking(stage, 106, 107) == ["lost"]


@pytest.mark.parametrize(("reachable", "state"), [(True, "busy"), (False, "lost"), (None, "busy")])
def test_a_solo_pool_is_mute_while_it_works_as_long_as_it_is_connected(reachable: bool | None, state: str) -> None:
    stage = listening(beat(0, active=1))
    stage.reducer.fold_inspection("w1", {"pool": "solo"}, T0)
    stage.reducer.tick(T0 + 4)
    assert stage.reducer.mute(T0 + 5) == ["w1"]
    if reachable is not None:
        stage.reducer.fold_reached({"w1": reachable})
    assert ticking(stage, 6, 3600 if reachable else 60) == [state]


def test_a_solo_pool_that_did_nothing_when_last_heard_is_lost_unless_it_is_seen_to_be_there() -> None:
    stage = listening(beat(0, active=0))
    stage.reducer.fold_inspection("w1", {"pool": "solo"}, T0)
    assert ticking(stage, 0, 10) == ["online", "silent", "lost"]
    stage.reducer.fold_reached({"w1": True})
    assert ticking(stage, 11, 12) == ["busy"]


def test_a_busy_solo_pool_that_is_killed_is_lost_with_its_task() -> None:
    stage = listening(beat(0, active=1), *stream(RUNNING))
    stage.reducer.fold_inspection("w1", {"pool": "solo"}, T0)
    stage.reducer.fold_reached({"w1": True})
    assert ticking(stage, 2, 60)[-1] == "busy"
    assert stage.task().state == "STARTED"
    assert stage.reducer.mute(T0 + 60) == ["w1"]
    stage.reducer.fold_reached({"w1": False})
    assert ticking(stage, 61, 61) == ["lost"]
    assert stage.task().state == "LOST"


def test_what_was_known_of_its_connection_is_forgotten_once_a_worker_speaks() -> None:
    stage = listening(beat(0, active=1))
    stage.reducer.fold_inspection("w1", {"pool": "solo"}, T0)
    stage.reducer.fold_reached({"w1": False})
    ticking(stage, 1, 10)
    stage.play([beat(11, active=1)])
    assert ticking(stage, 12, 30)[-1] == "busy"


def test_only_solo_pools_are_asked_after() -> None:
    stage = listening(beat(0), beat(0, host="w2"))
    stage.reducer.fold_inspection("w1", {"pool": "prefork"}, T0)
    stage.reducer.tick(T0 + 5)
    assert stage.reducer.mute(T0 + 5) == []


def test_who_says_goodbye_is_offline_and_never_lost() -> None:
    stage = listening(beat(0), worker_event("offline", 2))
    assert ticking(stage, 3, 60) == ["offline"]


def test_a_worker_that_loses_its_broker_says_goodbye_and_goes_on_with_what_it_runs() -> None:
    # What it could not send then comes when it is connected again: its goodbye, and then its greeting.
    stage = listening(beat(0, 7), *stream(RUNNING), worker_event("offline", 5, processed=8))
    assert stage.task().state == "UNKNOWN"
    stage.play([worker_event("online", 5.1, processed=8)])
    assert stage.drawn() == "STARTED\n  #0 received 1, started 1, on w1"


# --- another process under the same name -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["online", "heartbeat"])
def test_a_worker_that_was_started_anew_has_none_of_the_tasks_of_the_one_before(kind: str) -> None:
    stage = listening(beat(0), *stream(RUNNING), *stream(WAITING, "t2"), worker_event(kind, 3, pid=200))
    assert [stage.task(uuid).note for uuid in ("t1", "t2")] == [
        "Its worker was started anew while it ran.",
        "Its worker was started anew after fetching it.",
    ]
    assert stage.reducer.workers["w1"].state == "online"


def test_that_it_is_another_process_is_noticed_by_the_first_task_that_it_fetches() -> None:
    stage = listening(beat(0), *stream(RUNNING))
    stage.play([event("received", 3, uuid="t2", pid=200), event("started", 3, uuid="t2", pid=200), beat(4, pid=200)])
    assert [stage.task(uuid).state for uuid in ("t1", "t2")] == ["LOST", "STARTED"]


def test_a_process_of_the_pool_is_not_another_worker() -> None:
    stage = listening(beat(0), *stream(RUNNING), event("progress", 2, pid=777, payload={"current": 1}))
    stage.reducer.tick(T0 + 2)
    assert (stage.task().state, stage.reducer.workers["w1"].pid) == ("PROGRESS", 100)


def test_a_lost_worker_that_returns_as_another_process_does_not_bring_its_tasks_back() -> None:
    for first in (beat(12, pid=200), event("received", 12, uuid="t2", pid=200), worker_event("online", 12, pid=200)):
        stage = listening(beat(0), *stream(RUNNING))
        ticking(stage, 1, 10)
        stage.play([first, beat(13, pid=200)])
        assert (stage.reducer.workers["w1"].state, stage.task().state) == ("online", "LOST")


def test_a_worker_in_a_container_is_another_one_where_it_begins_to_count_anew() -> None:
    # The first process of every container has the same pid.
    stage = listening(beat(0, 9, pid=1), *stream(RUNNING), worker_event("online", 3, pid=1, processed=0))
    assert stage.task().note == "Its worker was started anew while it ran."


def test_a_worker_that_was_connected_anew_has_its_tasks_still() -> None:
    stage = listening(beat(0, 9), *stream(RUNNING), worker_event("online", 3, processed=10))
    assert stage.task().state == "STARTED"


def test_a_container_that_is_started_anew_before_its_first_heartbeat_is_noticed_by_what_it_told() -> None:
    stage = listening(worker_event("online", 0, pid=1, processed=0), *stream(RUNNING))
    stage.play([worker_event("online", 1.5, pid=1, processed=0)])
    assert stage.task().state == "LOST"


def test_an_answer_to_a_question_does_not_hide_that_a_worker_was_started_anew() -> None:
    stage = listening(beat(0), *stream(RUNNING))
    stage.reducer.fold_inspection("w1", {"pool": "prefork", "pid": 200}, T0 + 2)
    stage.play([beat(3, pid=200)])
    assert stage.task().state == "LOST"


def test_an_answer_tells_the_process_of_who_did_not() -> None:
    stage = listening(event("received", 0))
    stage.reducer.fold_inspection("w1", {"pid": 100}, T0 + 1)
    stage.play([event("received", 2, uuid="t2", pid=200)])
    assert stage.task().state == "LOST"


def test_two_workers_under_one_name_do_not_take_each_others_tasks() -> None:
    stage = listening(beat(0, pid=100), *stream(RUNNING))
    for second in range(1, 60):
        stage.play([beat(second, (100 + second, second)[second % 2], pid=(100, 200)[second % 2])])
        stage.reducer.tick(T0 + second)
        if second > 1:
            assert stage.task().state == "STARTED", f"after {second} s"
    stage.play(beat(second, 2 * second, pid=200) for second in range(60, 64))
    assert stage.reducer.workers["w1"].missed == 0


def test_of_two_workers_under_one_name_one_leaves_and_the_other_one_goes_on() -> None:
    stage = listening(*(beat(second, pid=(100, 200)[second % 2]) for second in range(10)), *stream("9 received"))
    stage.play([worker_event("offline", 10, pid=200)])
    assert (stage.reducer.workers["w1"].state, stage.task().state) == ("online", "RECEIVED")
    stage.play([beat(11, pid=100), worker_event("offline", 12, pid=100)])
    assert (stage.reducer.workers["w1"].state, stage.task().state) == ("offline", "PENDING")


def test_when_one_of_two_is_gone_a_restart_of_the_other_one_is_noticed_again() -> None:
    stage = listening(*(beat(second, pid=(100, 200)[second % 2]) for second in range(10)))
    stage.play(beat(second, pid=200) for second in range(10, 20))
    stage.play([*stream("20 received\n20 started"), beat(21, pid=300)])
    assert stage.task().state == "LOST"


def test_the_goodbye_of_the_process_before_is_not_that_of_the_present_one() -> None:
    stage = listening(beat(0, pid=100), worker_event("online", 1, pid=200), *stream("2 received\n2 started"))
    stage.play([worker_event("offline", 3, pid=100)])
    assert (stage.reducer.workers["w1"].state, stage.task().state) == ("online", "STARTED")


# --- what was not told -----------------------------------------------------------------------------------------------


def test_all_that_a_worker_began_was_told() -> None:
    stage = listening(beat(0, 7))
    for second in range(10):
        stage.play([*began(3, second), beat(second + 1, 10 + 3 * second)])
    assert figures(stage) == "processed 37, began 30, missed 0, events True"


def test_what_was_begun_before_we_came_was_not_missed() -> None:
    stage = listening(*(beat(second, 1_000_000) for second in range(6)))
    assert figures(stage) == "processed 1000000, began 0, missed 0, events None"


def test_starts_that_nobody_told_of_are_missed_after_three_heartbeats() -> None:
    stage = listening(beat(0, 0), *began(4, 1), beat(2, 10))
    assert stage.reducer.workers["w1"].missed == 0
    stage.play(beat(second, 10) for second in (4, 6))
    assert figures(stage) == "processed 10, began 4, missed 6, events True"
    stage.play(beat(second, 10) for second in range(8, 40))
    assert stage.reducer.workers["w1"].missed == 6


def test_only_what_lacks_in_each_of_three_heartbeats_is_missed_for_sure() -> None:
    stage = listening(beat(0, 0), *began(1, 1), beat(2, 4), beat(4, 6), beat(6, 9))
    assert stage.reducer.workers["w1"].missed == 3
    stage.play([*began(5, 7), *(beat(second, 9) for second in (8, 10, 12))])
    assert stage.reducer.workers["w1"].missed == 3


def test_a_heartbeat_may_be_ahead_of_what_the_worker_has_still_to_send() -> None:
    stage = listening(beat(0, 0))
    for second in range(0, 60, 2):
        stage.play([beat(second + 1, second + 2), *began(2, second + 1.1)])
    stage.play(beat(second, 60) for second in range(62, 80))
    assert figures(stage) == "processed 60, began 60, missed 0, events True"


def test_a_start_that_is_told_after_the_next_heartbeat_each_time_was_never_missed() -> None:
    stage = listening(beat(0, 0))
    for at in range(0, 40, 4):
        stage.play([beat(at + 1, at // 4 + 1), *began(1, at + 2), beat(at + 3, at // 4 + 1)])
        assert stage.reducer.workers["w1"].missed == 0


def test_what_was_told_after_all_was_not_missed() -> None:
    stage = listening(beat(0, 0), *(beat(second, 5) for second in (2, 4, 6)))
    assert figures(stage) == "processed 5, began 0, missed 5, events False"
    stage.play([*began(5, 7), *(beat(second, 5) for second in (8, 10, 12))])
    assert figures(stage) == "processed 5, began 5, missed 0, events True"


def test_more_starts_than_a_worker_admits_are_nothing_less_than_none_missed() -> None:
    started = began(4, 1)
    stage = listening(beat(0, 0), *started, *started, *(beat(second, 4) for second in range(2, 20)))
    assert stage.reducer.workers["w1"].missed == 0


def test_a_worker_without_events_is_known_by_what_it_counts_and_told_from_one_that_was_switched_on() -> None:
    stage = listening(beat(0, 0), *(beat(second, 5) for second in (2, 4, 6)))
    assert stage.reducer.workers["w1"].events is False
    stage.play([*began(1, 7), beat(8, 6)])
    assert stage.reducer.workers["w1"].events is True


def test_a_worker_that_did_nothing_may_tell_or_not() -> None:
    stage = listening(*(beat(second) for second in range(20)))
    assert stage.reducer.workers["w1"].events is None


def test_a_progress_report_does_not_show_that_a_worker_tells_of_its_tasks() -> None:
    stage = listening(beat(0), event("progress", 1, payload={"current": 1}))
    assert stage.reducer.workers["w1"].events is None


def test_what_a_worker_begins_while_we_do_not_listen_is_missed_at_once_and_says_nothing_of_its_events() -> None:
    stage = listening(beat(0, 0), beat(2, 0))
    stage.reducer.listen(T0 + 3, T0 + 20)
    stage.play([beat(21, 50)])
    assert figures(stage) == "processed 50, began 0, missed 50, events None"
    stage.play(beat(second, 50) for second in range(22, 40))
    assert figures(stage) == "processed 50, began 0, missed 50, events None"


def test_what_was_missed_adds_up_over_processes_of_a_worker() -> None:
    stage = listening(beat(0, 0), *(beat(second, 3) for second in (2, 4, 6)))
    stage.play([worker_event("online", 7, pid=200), *(beat(second, 2, pid=200) for second in (8, 10, 12))])
    assert figures(stage) == "processed 2, began 0, missed 5, events False"


def test_a_counter_that_begins_anew_is_no_loss() -> None:
    stage = listening(beat(0, 100), *(beat(second, 1) for second in (2, 4, 6, 8)))
    assert figures(stage) == "processed 1, began 0, missed 0, events None"


def test_what_was_missed_is_still_known_after_a_restart_of_ours_and_what_came_meanwhile_is_added() -> None:
    stage = listening(beat(0, 0), *(beat(second, 3) for second in (2, 4, 6)))
    stage.play([worker_event("online", 7, pid=200), *(beat(second, 2, pid=200) for second in (8, 10, 12))])
    stage.restart()
    stage.reducer.listen(T0 + 13, T0 + 20)
    stage.play([beat(21, 6, pid=200), *began(2, 22, pid=200), *(beat(second, 8, pid=200) for second in (24, 26, 28))])
    assert figures(stage) == "processed 8, began 2, missed 9, events True"


def test_a_worker_that_was_started_anew_while_we_were_away_is_counted_from_where_it_is() -> None:
    stage = listening(beat(0, 0), *(beat(second, 3) for second in (2, 4, 6)))
    stage.restart()
    stage.reducer.listen(T0 + 13, T0 + 20)
    stage.play(beat(second, 2, pid=200) for second in (21, 23, 25, 27))
    assert figures(stage) == "processed 2, began 0, missed 3, events False"


def test_an_answer_to_a_heartbeat_command_says_nothing_of_what_was_begun() -> None:
    stage = listening(beat(0, 0))
    stage.play(worker_event("heartbeat", second, freq=5.0, active=None, processed=None) for second in (1, 2, 3, 4))
    assert figures(stage) == "processed 0, began 0, missed 0, events None"
    assert stage.reducer.workers["w1"].freq == 2.0


def test_what_is_left_out_in_a_flood_was_told_all_the_same() -> None:
    stage = listening(beat(0, 0))
    stage.reducer.count_shed(began(5, 1), T0 + 1)
    stage.play(beat(second, 5) for second in (2, 4, 6))
    assert figures(stage) == "processed 5, began 5, missed 0, events True"
