"""What became of tasks whose end nobody told: each way into doubt, and each way out of it."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.models import doubts, states
from app.models.doubts import Held
from app.models.records import Event, Task
from tests.helpers.drawing import drawn
from tests.helpers.events import T0, event, stream, worker_event
from tests.helpers.histories import Recording, recording
from tests.helpers.stage import Stage

RUNNING = "1 received\n1 started"
WAITING = "1 received"
GONE = "  #0 received 1, started 1, on w1"

#: Each way into doubt, and what is said of a task that ran and of one that waited in its worker.
WAYS = {
    "its worker is lost": (
        "LOST: note Its worker was lost while it ran.",
        "LOST: note Its worker was lost after fetching it.",
    ),
    "its worker is started anew": (
        "LOST: note Its worker was started anew while it ran.",
        "LOST: note Its worker was started anew after fetching it.",
    ),
    "its worker leaves": (f"UNKNOWN: note {doubts.LEFT}", f"PENDING: note {doubts.GAVE_BACK}"),
    "nobody listens": (f"UNKNOWN: note {doubts.UNHEARD}", f"UNKNOWN: note {doubts.UNHEARD}"),
    "its worker does not have it": (f"UNKNOWN: note {doubts.UNTOLD}", f"UNKNOWN: note {doubts.UNTOLD}"),
    "it ended while nobody listened": (
        f"UNKNOWN: note {doubts.ENDED_UNHEARD}",
        f"UNKNOWN: note {doubts.ENDED_UNHEARD}",
    ),
}


def go(stage: Stage | Recording, way: str) -> None:
    """Put what ``w1`` has in doubt; the ticks are for what is in the history only."""
    reducer = stage.reducer
    if way == "its worker is lost":
        reducer.tick(T0 + 3)
        reducer.tick(T0 + 60)
    elif way == "its worker is started anew":
        stage.play([worker_event("online", 60, pid=200)])
    elif way == "its worker leaves":
        stage.play([worker_event("offline", 60)])
    elif way == "its worker does not have it":
        answered(stage, {"w1": {}}, 60)
    else:
        reducer.listen(T0 + 50, T0 + 60)
        if way == "it ended while nobody listened":
            while_sweeping(stage)
            answered(stage, {"w1": {}}, 60)
    while_sweeping(stage)


def while_sweeping(stage: Stage | Recording, ticks: int = 5) -> None:
    for _ in range(ticks):
        stage.reducer.doubts.go_on()


def answered(stage: Stage | Recording, held: dict[str, dict[str, Held]], at: float) -> None:
    """Workers answered the question which tasks they have."""
    stage.reducer.fold_held(held, T0 + at)


def told(*texts: str) -> Stage:
    """A stage on which a worker has a task for each stream: ``t1`` and so on."""
    stage = Stage()
    stage.reducer.listen(None, T0)
    stage.play([worker_event("online", 0), worker_event("heartbeat", 0)])
    for number, text in enumerate(texts, 1):
        stage.play(stream(text, f"t{number}"))
    return stage


def first_line(stage: Stage, uuid: str = "t1") -> str:
    return stage.drawn(uuid).partition("\n")[0]


# --- into doubt ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_what_is_said_when(way: str) -> None:
    stage = told(RUNNING, WAITING)
    go(stage, way)
    assert (first_line(stage, "t1"), first_line(stage, "t2")) == WAYS[way]
    assert all(stage.task(uuid).doubted is not None for uuid in ("t1", "t2"))


@pytest.mark.parametrize("way", WAYS)
def test_a_task_that_told_progress_is_doubted_like_one_that_runs(way: str) -> None:
    stage = told("1 received\n1 started\n2 progress")
    assert stage.task().state == "PROGRESS"
    go(stage, way)
    assert first_line(stage) == WAYS[way][0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("end", ["succeeded", "failed", "revoked", "rejected"])
def test_what_has_ended_is_never_doubted(way: str, end: str) -> None:
    stage = told(f"{RUNNING}\n2 {end}")
    before = stage.drawn()
    for _ in range(2):
        go(stage, way)
        assert stage.drawn() == before
        stage.commit()


@pytest.mark.parametrize("way", WAYS)
def test_what_is_in_doubt_is_handed_to_the_history(way: str) -> None:
    stage = told(RUNNING)
    stage.commit()
    go(stage, way)
    assert [task.state for task in stage.commit().tasks] == [stage.task().state]


@pytest.mark.parametrize("way", [way for way in WAYS if "listen" not in way])
def test_tasks_of_other_workers_and_of_none_are_left_alone(way: str) -> None:
    stage = told(RUNNING, "1 received @w2\n1 started @w2", "1 sent", "1 received\n1 started\n2 retried")
    stage.play([worker_event("heartbeat", 59, "w2")])
    go(stage, way)
    assert [stage.task(f"t{n}").doubted is not None for n in (1, 2, 3, 4)] == [True, False, False, False]


def test_when_nobody_listened_every_open_task_is_unknown_since_then() -> None:
    stage = told(RUNNING, "1 received @w2", "1 sent", "1 received\n1 started\n2 retried")
    go(stage, "nobody listens")
    assert {(stage.task(f"t{n}").state, stage.task(f"t{n}").doubted) for n in (1, 2, 3, 4)} == {("UNKNOWN", T0 + 50)}


@pytest.mark.parametrize(("first", "then"), [(a, b) for a, b in itertools.permutations(WAYS, 2) if "it ended" not in b])
def test_what_is_in_doubt_already_keeps_its_first_reason(first: str, then: str) -> None:
    stage = told(RUNNING, WAITING)
    go(stage, first)
    before = (stage.drawn("t1"), stage.drawn("t2"))
    go(stage, then)
    resolved = WAYS["it ended while nobody listened"] if (first, then) == _RESOLVED else None
    assert (first_line(stage, "t1"), first_line(stage, "t2")) == (
        resolved or tuple(x.partition("\n")[0] for x in before)
    )


#: That nobody has what may have ended in a gap settles how it is to be called.
_RESOLVED = ("nobody listens", "its worker does not have it")


@pytest.mark.parametrize("ahead", [0.05, 1.9, -1.9])
def test_a_worker_whose_clock_is_a_little_off_loses_its_last_task_too(ahead: float) -> None:
    stage = told()
    last = [event("received", 5), event("started", 5)]
    for each in last:
        each.timestamp += ahead
    stage.play(last)
    go(stage, "its worker is lost")
    assert stage.task().state == "LOST"


def test_how_many_tasks_a_worker_had_is_known_when_it_is_lost() -> None:
    stage = told(RUNNING, WAITING, f"{RUNNING}\n2 succeeded")
    go(stage, "its worker is lost")
    assert stage.reducer.workers["w1"].held == 2


# --- out of doubt ----------------------------------------------------------------------------------------------------

LATE = {
    "2 succeeded result=4 runtime=1": "SUCCESS",
    "2 failed exception=X()": "FAILURE",
    "2 retried exception=X()": "RETRY",
    "2 revoked terminated=true signum=9": "REVOKED",
    "2 rejected": "REJECTED",
    "2 cancelled": "PENDING",
    "2 progress": "PROGRESS",
    "70 received @w2": "RECEIVED",
    "70 received @w2\n71 started @w2": "STARTED",
    "2 sent retries=1": "PENDING",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("late", LATE)
def test_whatever_is_heard_late_takes_the_doubt_away(way: str, late: str) -> None:
    stage = told(RUNNING)
    go(stage, way)
    stage.play(stream(late))
    task = stage.task()
    assert (task.state, task.doubted) == (LATE[late], None)
    plain = told(RUNNING).play(stream(late))
    assert stage.drawn() == plain.drawn()


@pytest.mark.parametrize("way", [way for way in WAYS if way != "its worker is lost"])
def test_what_is_only_told_again_leaves_the_doubt(way: str) -> None:
    stage = told(RUNNING)
    go(stage, way)
    before = stage.drawn()
    stage.play(stream(RUNNING))
    assert stage.drawn() == before
    assert stage.task().doubted is not None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("host", ["w1", "w2"])
@pytest.mark.parametrize(("held", "state"), [(Held(T0 + 1), "STARTED"), (Held(), "RECEIVED")])
def test_a_worker_that_says_it_has_the_task_takes_the_doubt_away(way: str, host: str, held: Held, state: str) -> None:
    stage = told(RUNNING)
    go(stage, way)
    answered(stage, {"w1": {}, "w2": {}} | {host: {"t1": held}}, 100)
    task = stage.task()
    assert (task.state, task.worker, task.doubted, task.note) == (state, host, None, None)
    assert [each.state for each in stage.commit().tasks] == [state]


@pytest.mark.parametrize("order", [("w1", "w2"), ("w2", "w1")])
def test_of_two_workers_that_have_a_task_the_one_that_runs_it_counts(order: tuple[str, str]) -> None:
    stage = told(RUNNING)
    go(stage, "nobody listens")
    held = {"w1": {"t1": Held()}, "w2": {"t1": Held(T0 + 55)}}
    answered(stage, {host: held[host] for host in order}, 100)
    assert (stage.task().state, stage.task().worker) == ("STARTED", "w2")


def test_what_another_worker_took_over_is_lost_with_that_one() -> None:
    stage = told(RUNNING)
    go(stage, "its worker is lost")
    stage.play([worker_event("heartbeat", 99, "w2")])
    answered(stage, {"w2": {"t1": Held(T0 + 90)}}, 100)
    stage.play([worker_event("heartbeat", 101, "w1")])
    assert stage.task().state == "STARTED"
    stage.reducer.tick(T0 + 104)
    stage.reducer.tick(T0 + 120)
    assert first_line(stage) == "LOST: note Its worker was lost while it ran."
    stage.play(stream("121 succeeded @w2 runtime=31"))
    assert stage.drawn() == (
        "SUCCESS: runtime 31, redelivered 1\n"
        "  #0 received 1, started 1, on w1\n"
        "  #0 finished 121, on w2"
    )  # fmt: skip


def test_a_progress_report_stays_where_its_worker_says_that_the_task_runs() -> None:
    stage = told("1 received\n1 started\n2 progress")
    go(stage, "nobody listens")
    answered(stage, {"w1": {"t1": Held(T0 + 1)}}, 100)
    assert stage.task().state == "PROGRESS"


def test_that_a_task_began_may_be_learnt_from_its_worker() -> None:
    stage = told(WAITING)
    answered(stage, {"w1": {"t1": Held(T0 + 50)}}, 60)
    assert stage.task().state == "STARTED"


def test_an_old_answer_does_not_begin_what_was_fetched_since() -> None:
    stage = told("1 received\n1 started\n55 retried\n61 received retries=1")
    answered(stage, {"w1": {"t1": Held(T0 + 1)}}, 60)
    assert stage.task().state == "RECEIVED"


def test_an_answer_changes_nothing_where_nothing_is_in_doubt() -> None:
    stage = told(RUNNING, WAITING)
    stage.commit()
    answered(stage, {"w1": {"t1": Held(T0 + 1), "t2": Held()}}, 100)
    assert stage.commit().tasks == []


@pytest.mark.parametrize("held", [{}, {"w2": {}}])
def test_a_worker_that_did_not_answer_is_not_taken_to_have_nothing(held: dict[str, dict[str, Held]]) -> None:
    stage = told(RUNNING)
    answered(stage, held, 100)
    assert stage.task().state == "STARTED"
    go(stage, "nobody listens")
    answered(stage, held, 100)
    assert stage.task().note == doubts.UNHEARD


def test_a_worker_may_not_know_yet_what_it_was_just_given() -> None:
    stage = told(WAITING)
    answered(stage, {"w1": {}}, 1 + doubts.GRACE)
    assert stage.task().state == "RECEIVED"
    answered(stage, {"w1": {}}, 1.1 + doubts.GRACE)
    assert stage.task().note == doubts.UNTOLD


def test_of_two_workers_under_one_name_only_one_answer_is_heard() -> None:
    stage = told(RUNNING)
    stage.play(worker_event("heartbeat", second, pid=(100, 200)[second % 2]) for second in range(2, 10))
    answered(stage, {"w1": {}}, 60)
    assert stage.task().state == "STARTED"


def test_a_worker_that_returns_has_again_what_was_only_lost() -> None:
    stage = told(RUNNING, WAITING)
    go(stage, "its worker is lost")
    stage.play([worker_event("heartbeat", 61)])
    assert [stage.task(f"t{n}").state for n in (1, 2)] == ["STARTED", "RECEIVED"]


def test_a_worker_that_returns_says_nothing_of_what_it_did_while_nobody_listened() -> None:
    stage = told(RUNNING)
    go(stage, "nobody listens")
    go(stage, "its worker is lost")
    stage.reducer.tick(T0 + 80)
    stage.play([worker_event("heartbeat", 81)])
    assert stage.task().note == doubts.UNHEARD


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("host", "worker"), [("w1", "w1"), ("", "w1"), ("w2", "w2")])
@pytest.mark.parametrize("kind", ["succeeded", "failed", "revoked"])
def test_the_result_backend_tells_the_end(way: str, host: str, worker: str, kind: str) -> None:
    stage = told("0 sent\n1 received\n1 started")
    go(stage, way)
    stage.reducer.fold_results([ended(kind, 40, host)], T0 + 100)
    task = stage.task()
    assert (task.state, task.doubted, task.finished, task.worker) == (ENDED[kind], None, T0 + 40, worker)
    assert task.redelivered == (worker == "w2")
    # One that only the backend tells of is no worker that is alive, but the task's row needs its name.
    assert stage.reducer.workers[worker].state == ("offline" if worker == "w2" else stage.reducer.workers["w1"].state)
    assert {each.hostname for each in stage.reducer.flush().workers} >= {worker}


def test_who_ran_a_task_may_remain_unknown() -> None:
    stage = told("0 sent")
    go(stage, "nobody listens")
    stage.reducer.fold_results([ended("succeeded", 55, "")], T0 + 100)
    assert stage.drawn() == "SUCCESS: result 4\n  #0 sent 0, finished 55"
    assert stage.task().worker is None


@pytest.mark.parametrize("host", ["w1", ""])
def test_the_result_backend_tells_the_end_of_what_was_to_be_retried(host: str) -> None:
    stage = told("1 received\n1 started\n2 sent retries=1\n2 retried exception=X()")
    go(stage, "nobody listens")
    stage.reducer.fold_results([ended("succeeded", 55, host)], T0 + 100)
    assert stage.drawn().splitlines()[:2] == [
        "SUCCESS: result 4", "  #0 received 1, started 1, finished 2, on w1, RETRY, X()",
    ]  # fmt: skip
    assert stage.task().retries == 1


def test_a_result_says_nothing_new_of_a_task_that_is_not_in_doubt() -> None:
    stage = told(RUNNING, f"{RUNNING}\n2 succeeded result=4 runtime=1")
    before = [stage.drawn("t1"), stage.drawn("t2")]
    stage.reducer.fold_results([ended("succeeded", 40, "w1"), ended("failed", 40, "w1", "t2")], T0 + 100)
    stage.reducer.fold_results([ended("succeeded", 40, "w1", "nobody")], T0 + 100)
    assert [stage.drawn("t1"), stage.drawn("t2")] == before
    assert stage.reducer.task("nobody") is None


def test_an_end_that_the_backend_tells_is_counted_once_even_if_it_is_heard_after_all() -> None:
    stage = told(RUNNING)
    go(stage, "nobody listens")
    stage.reducer.fold_results([ended("succeeded", 40, "w1")], T0 + 60)
    stage.play([event("succeeded", 39.9, result="4", runtime=38.9)])
    assert stage.counted().startswith("events 5 tasks 1 received 1 started 1 succeeded 1 ")
    assert stage.task().redelivered == 0


ENDED = {"succeeded": "SUCCESS", "failed": "FAILURE", "revoked": "REVOKED"}


def ended(kind: str, at: float, host: str, uuid: str = "t1") -> Event:
    end = event(kind, at, host or "-", uuid=uuid, result="4" if kind == "succeeded" else None)
    end.hostname = host
    return end


# --- workers that come and go all the time ---------------------------------------------------------------------------


class Counting(dict[str, Task]):
    """Tasks in memory, and how many of them were looked at by going through all."""

    looks = 0

    def values(self) -> Any:
        self.looks += len(self)
        return super().values()


def flap(stage: Stage, number: int, at: float) -> None:
    """Two workers go and come so many times."""
    for each in range(number):
        stage.play([worker_event("offline" if each % 2 else "online", at + each / 100, f"w{2 + each // 2 % 2}")])


def test_workers_that_flap_have_no_more_tasks_looked_at_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "LOOKS", 1_000)
    stage = told(*[RUNNING] * 100)
    tasks = stage.reducer._tasks.active = Counting(stage.reducer._tasks.active)
    for second in (10, 11, 12):
        tasks.looks = 0
        flap(stage, 200, second)
        assert tasks.looks == 1_000
        stage.reducer.doubts.go_on()
        assert tasks.looks == 1_100


@pytest.mark.parametrize("way", WAYS)
def test_what_is_said_of_a_worker_is_the_same_while_others_flap(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "LOOKS", 10)
    stage = told(RUNNING, WAITING, "1 received @w2\n1 started @w2")
    flap(stage, 20, 58)
    stage.play(stream("59 succeeded @w2 runtime=1", "t3"))
    go(stage, way)
    assert (first_line(stage, "t1"), first_line(stage, "t2"), first_line(stage, "t3")) == (
        *WAYS[way],
        "SUCCESS: runtime 1",
    )


def test_a_worker_that_went_and_came_back_in_one_second_has_its_tasks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "LOOKS", 0)
    stage = told(RUNNING)
    stage.play([worker_event("offline", 60), worker_event("heartbeat", 60.5)])
    stage.reducer.doubts.go_on()
    assert first_line(stage) == "STARTED"
    stage.play([worker_event("offline", 61)])
    assert first_line(stage) == "STARTED"
    while_sweeping(stage)
    assert first_line(stage) == WAYS["its worker leaves"][0]
    assert stage.reducer.doubts.made == 2, "each time it went once"


def test_a_worker_that_went_twice_in_one_second_went_the_first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "LOOKS", 0)
    stage = told(RUNNING)
    stage.play([worker_event("online", 60, pid=200), worker_event("online", 61, pid=300)])
    stage.reducer.doubts.go_on()
    assert first_line(stage) == WAYS["its worker is started anew"][0]
    assert stage.task().doubted == T0 + 1


# --- tasks that are in the history only -------------------------------------------------------------------------------


@contextmanager
def crowded(path: Path, number: int, text: str = RUNNING) -> Iterator[Recording]:
    """A history with so many tasks of ``w1`` that something may still happen to, nearly all of them in it only."""
    with recording(path, active_limit=10) as history:
        history.reducer.listen(None, T0)
        history.play([worker_event("online", 0), worker_event("heartbeat", 0)])
        for n in range(number):
            history.play(stream(text, f"t{n}"))
        history.commit().commit()
        assert len(history.reducer._tasks.active) <= 10
        yield history


def states_of(history: Recording) -> set[tuple[str, str | None]]:
    """States and notes of all tasks of the history."""
    history.commit()
    found = history.writer.open_tasks(0, 100_000)
    return {(task.state, task.note) for task in found}


@pytest.mark.parametrize("way", [way for way in WAYS if "its worker does" not in way and "it ended" not in way])
def test_tasks_of_the_history_are_doubted_page_by_page(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "PAGE", 30)
    with crowded(tmp_path / "h.cloche", 100) as history:
        go(history, way)
        history.commit()
        assert len(history.reducer._tasks.active) <= 10
        (found,) = states_of(history)
        assert f"{found[0]}: note {found[1]}" == WAYS[way][0]


def test_tasks_that_end_while_the_history_is_gone_through_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "PAGE", 30)
    for committed in (True, False):
        with crowded(tmp_path / f"{committed}.cloche", 100) as history:
            history.reducer.listen(T0 + 50, T0 + 60)
            history.reducer.doubts.go_on()
            history.play(event("succeeded", 61, uuid=f"t{n}", runtime=60.0) for n in range(0, 100, 2))
            if committed:
                history.commit()
            while_sweeping(history)
            history.commit()
            found = {n: history.reducer.task(f"t{n}") for n in range(100)}
            assert {task.state for n, task in found.items() if task and n % 2 == 0} == {"SUCCESS"}
            assert {task.state for n, task in found.items() if task and n % 2 == 1} == {"UNKNOWN"}


def test_what_is_told_while_the_history_is_gone_through_is_not_doubted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "PAGE", 30)
    with crowded(tmp_path / "h.cloche", 100, WAITING) as history:
        history.reducer.listen(T0 + 50, T0 + 60)
        history.play(event("started", 61, uuid=f"t{n}") for n in range(50, 100))
        history.commit()
        while_sweeping(history)
        history.commit()
        assert {history.reducer.task(f"t{n}").state for n in range(50)} == {"UNKNOWN"}  # type: ignore[union-attr]
        assert {history.reducer.task(f"t{n}").state for n in range(50, 100)} == {"STARTED"}  # type: ignore[union-attr]


def test_a_worker_that_returns_while_the_history_is_gone_through_has_all_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "PAGE", 30)
    with crowded(tmp_path / "h.cloche", 100) as history:
        history.reducer.tick(T0 + 3)
        history.reducer.tick(T0 + 60)
        history.play([worker_event("heartbeat", 61)])
        while_sweeping(history, 20)
        assert states_of(history) == {("STARTED", None)}


def test_a_second_gap_while_the_history_is_gone_through_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "PAGE", 30)
    with crowded(tmp_path / "h.cloche", 100) as history:
        history.reducer.listen(T0 + 50, T0 + 60)
        history.reducer.doubts.go_on()
        history.reducer.listen(T0 + 70, T0 + 80)
        while_sweeping(history, 20)
        assert states_of(history) == {("UNKNOWN", doubts.UNHEARD)}
        assert {task.doubted for task in history.writer.open_tasks(0, 1000)} == {T0 + 50}


def test_a_thousand_workers_that_are_lost_take_one_walk_through_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with crowded(tmp_path / "h.cloche", 20) as history:
        for n in range(1_000):
            history.play([worker_event("heartbeat", 1, f"w{n}@many")])
        walks: list[int] = []
        open_tasks = history.writer.open_tasks

        def walked(after: int, limit: int) -> Sequence[Task]:
            walks.append(after)
            return open_tasks(after, limit)

        monkeypatch.setattr(history.writer, "open_tasks", walked)
        for n in range(1_000):
            history.play([worker_event("online", 2, f"w{n}@many", pid=200)])
        go(history, "its worker is lost")
        while_sweeping(history, 50)
        assert len(walks) <= 3
        assert states_of(history) == {("LOST", "Its worker was lost while it ran.")}


def test_who_is_lost_while_the_history_is_gone_through_loses_what_was_passed_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "PAGE", 30)
    with crowded(tmp_path / "h.cloche", 100) as history:
        history.play([worker_event("heartbeat", 1, "w2"), worker_event("online", 2, "w2", pid=200)])
        history.reducer.doubts.go_on()
        history.commit().commit()
        go(history, "its worker is lost")
        while_sweeping(history, 20)
        assert states_of(history) == {("LOST", "Its worker was lost while it ran.")}


# --- in the history, and after a restart -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "text", [RUNNING, "0 sent\n1 received @w2\n1 started @w2\n2 rejected @w2 requeue=true\n3 received\n4 started"]
)
def test_a_doubt_is_in_the_history_as_it_is_in_memory(tmp_path: Path, way: str, text: str) -> None:
    path = tmp_path / "h.cloche"
    with recording(path) as history:
        history.reducer.listen(None, T0)
        history.play([worker_event("online", 0), *stream(text)])
        go(history, way)
        known = history.reducer.task("t1")
        assert known is not None
        assert known.doubted is not None
        before, since = drawn(known), known.doubted
        history.commit()
    with recording(path) as history:
        found = history.reducer.task("t1")
        assert found is not None
        assert (drawn(found), found.doubted) == (before, since)
        history.play(stream("200 succeeded runtime=1"))
        task = history.reducer.task("t1")
        assert task is not None
        assert (task.state, task.doubted, task.note) == ("SUCCESS", None, None)


def test_after_a_restart_what_was_open_is_unknown_and_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "h.cloche"
    with recording(path) as history:
        history.play([worker_event("online", 0), *stream(RUNNING), *stream(WAITING, "t2")]).commit(at=5)
    with recording(path) as history:
        history.reducer.listen(T0 + 5, T0 + 60)
        assert history.reducer.doubts.in_doubt() == []
        history.reducer.tick(T0 + 60)
        assert {task.uuid for task in history.reducer.doubts.in_doubt()} == {"t1", "t2"}
        answered(history, {"w1": {"t1": Held(T0 + 1)}}, 61)
        assert {task.uuid: task.note for task in history.reducer.doubts.in_doubt()} == {"t2": doubts.ENDED_UNHEARD}


def test_what_was_in_doubt_before_a_restart_is_asked_about_after_it(tmp_path: Path) -> None:
    path = tmp_path / "h.cloche"
    with recording(path) as history:
        history.reducer.listen(None, T0)
        history.play([worker_event("online", 0), *stream(RUNNING)])
        go(history, "its worker is lost")
        history.commit(at=60)
    with recording(path) as history:
        history.reducer.listen(T0 + 60, T0 + 90)
        history.reducer.tick(T0 + 90)
        assert [(task.uuid, task.state) for task in history.reducer.doubts.in_doubt()] == [("t1", "LOST")]
        answered(history, {"w2": {"t1": Held(T0 + 80)}}, 91)
        assert history.reducer.doubts.in_doubt() == []


# --- nothing stays as it is for ever ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [RUNNING, WAITING, "1 started", "1 received\n1 started\n2 progress"])
def test_a_task_whose_end_nobody_told_is_asked_about_and_then_unknown(text: str) -> None:
    stage = told(text)
    assert not stage.reducer.doubts.stale(T0 + 1)
    assert stage.reducer.doubts.stale(T0 + 2)
    answered(stage, {"w1": {}}, 60)
    assert stage.task().note == doubts.UNTOLD
    assert not stage.reducer.doubts.stale(T0 + 1000)


def test_a_task_that_a_worker_said_it_runs_is_asked_about_again() -> None:
    stage = told(WAITING)
    go(stage, "nobody listens")
    answered(stage, {"w1": {"t1": Held(T0 + 51)}}, 61)
    assert stage.reducer.doubts.stale(T0 + 100)
    answered(stage, {"w1": {}}, 120)
    assert stage.task().note == doubts.UNTOLD


def test_who_is_in_doubt_is_known_without_looking_at_every_task() -> None:
    stage = told(RUNNING, WAITING, "1 received @w2")
    assert stage.reducer.doubts.in_doubt() == []
    stage.play([worker_event("heartbeat", 59, "w2")])
    go(stage, "its worker is lost")
    assert [task.uuid for task in stage.reducer.doubts.in_doubt()] == ["t1", "t2"]
    made = stage.reducer.doubts.made
    stage.play(stream("70 succeeded"))
    assert [task.uuid for task in stage.reducer.doubts.in_doubt()] == ["t2"]
    assert stage.reducer.doubts.made == made


def test_every_open_state_has_a_way_out() -> None:
    held = {"RECEIVED", "STARTED", "PROGRESS"}
    for state in {*states.WORDS, "PROGRESS"} - states.FINAL:
        stage = told(RUNNING)
        task = stage.task()
        task.state = state
        assert doubts._is_with_worker(task) == (state in held), state
