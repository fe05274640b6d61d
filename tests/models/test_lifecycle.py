"""What is known of one task after its events, in every order that workers were seen to send them in."""

import itertools
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.models.lifecycle import epoch
from app.models.records import Event
from tests.helpers.events import T0, event, moment, stream
from tests.helpers.seen import SEEN, STREAMS
from tests.helpers.stage import Stage


@pytest.mark.parametrize("name", SEEN)
def test_what_is_known_after(name: str) -> None:
    assert Stage().play(STREAMS[name]).drawn() == SEEN[name][1].strip()


@pytest.mark.parametrize("name", SEEN)
def test_each_event_told_twice_changes_nothing(name: str) -> None:
    once, twice = Stage().play(STREAMS[name]), Stage()
    for each in STREAMS[name]:
        twice.play([each, each])
    assert twice.drawn() == once.drawn()
    assert uncounted_events(twice) == uncounted_events(once)


@pytest.mark.parametrize("name", SEEN)
def test_the_whole_stream_told_twice_changes_nothing(name: str) -> None:
    once, twice = Stage().play(STREAMS[name]), Stage().play([*STREAMS[name], *STREAMS[name]])
    assert twice.drawn() == once.drawn()
    assert uncounted_events(twice) == uncounted_events(once)


@pytest.mark.parametrize("name", SEEN)
def test_a_commit_or_a_restart_between_any_two_events_changes_nothing(name: str) -> None:
    events = STREAMS[name]
    whole = Stage(active_limit=0).play(events)
    for cut in range(1, len(events)):
        committed, restarted = Stage(active_limit=0).play(events[:cut]), Stage().play(events[:cut])
        committed.commit()
        restarted.restart()
        for stage in (committed, restarted):
            stage.play(events[cut:])
            assert stage.drawn() == whole.drawn(), f"cut before event {cut}"
            assert stage.loads[0] == ["t1"], "it was not brought back from the history"
            assert stage.counted() == whole.counted(), f"cut before event {cut}"


@pytest.mark.parametrize("name", SEEN)
def test_events_may_come_in_any_order(name: str) -> None:
    # Celery's own `State` is wrong in 48 % of the orders of a retried task (PROTOCOL 1.5).
    expected, dice = SEEN[name][1].strip(), random.Random(1)
    every = len(STREAMS[name]) <= 5
    orders = itertools.permutations(STREAMS[name]) if every else shuffles(STREAMS[name], dice, 500)
    for order in orders:
        assert Stage().play(order).drawn() == expected, [(each.type, each.retries) for each in order]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_is_told_again_later_changes_nothing(data: st.DataObject) -> None:
    events = STREAMS[data.draw(st.sampled_from(sorted(SEEN)))]
    once, again = Stage().play(events), Stage()
    for at, each in enumerate(events):
        again.play([each, *data.draw(st.lists(st.sampled_from(events[: at + 1]), max_size=3))])
    assert again.drawn() == once.drawn()
    assert uncounted_events(again) == uncounted_events(once)


def test_the_real_exception_is_found_at_the_end_of_the_traceback() -> None:
    text = "Traceback (most recent call last):\n  …\nbilliard.exceptions.WorkerLostError: signal 9 (SIGKILL)\n"
    task = Stage().play([event("failed", 1, exception="ExceptionWithTraceback()", traceback=text)]).task()
    assert task.exception == "billiard.exceptions.WorkerLostError: signal 9 (SIGKILL)"
    assert task.traceback == text


def test_an_exception_wrapped_in_nothing_is_kept_as_it_is() -> None:
    task = Stage().play([event("failed", 1, exception="ExceptionWithTraceback()")]).task()
    assert task.exception == "ExceptionWithTraceback()"


def test_a_success_is_never_taken_back() -> None:
    late = (
        "3.6 failed exception=X()\n 3.7 revoked expired=true\n 3.8 rejected\n 3.9 retried\n 4.0 progress\n 4.1 started"
    )
    task = Stage().play([*STREAMS["success"], *stream(late)]).task()
    assert (task.state, task.result, task.finished, task.note) == ("SUCCESS", "4", T0 + 3.5, None)


def test_a_success_overrules_a_failure_as_in_celery() -> None:
    stage = Stage().play(stream("1 started\n 2 failed exception=X() traceback=T\n 3 succeeded result=4 runtime=2"))
    assert stage.drawn() == "SUCCESS: runtime 2, result 4\n  #0 started 1, finished 3, on w1"
    assert stage.task().traceback is None


def test_a_custom_event_gives_its_own_state_until_the_end() -> None:
    stage = Stage()
    stage.play([event("started", 1), event("progress", 2, payload={"current": 5, "total": 9})])
    assert stage.drawn() == 'PROGRESS: progress {"current":5,"total":9}\n  #0 started 1, on w1'
    stage.play([event("succeeded", 3, result="4"), event("progress", 2.5, payload={"current": 9})])
    assert stage.drawn() == 'SUCCESS: runtime 2, result 4, progress {"current":9}\n  #0 started 1, finished 3, on w1'


def test_progress_of_an_attempt_that_is_over_does_not_hide_that_it_will_be_retried() -> None:
    stage = Stage().play(stream("1 started\n 3 retried exception=X()"))
    stage.play([event("progress", 2, payload={"current": 1})])
    assert stage.task().state == "RETRY"


def test_what_names_a_task_is_filled_in_once_and_stays() -> None:
    stage = Stage().play([event("started", 1), event("received", 0.5, args="(1,)"), event("sent", 0.1, args="(2,)")])
    task = stage.task()
    assert (task.name, task.args, task.kwargs, task.queue, task.producer) == ("add", "(1,)", "{}", "celery", "producer")


def test_a_task_is_neither_its_own_parent_nor_its_own_root() -> None:
    own = Stage().play(stream("1 received root_id=t1 parent_id=t1")).task()
    assert (own.root, own.parent) == (None, None)
    child = Stage().play(stream("1 received root_id=a parent_id=b")).task()
    assert (child.root, child.parent) == ("a", "b")


def test_the_queue_is_that_of_the_last_attempt_whatever_comes_late() -> None:
    sent = ["0 sent queue=a", "1 sent retries=1 queue=b", "2 sent retries=2 queue=c"]
    task = Stage().play(stream("\n".join([*sent, *reversed(sent)]))).task()
    assert (task.queue, task.retries) == ("c", 2)


def test_an_earlier_attempt_is_completed_by_what_comes_late() -> None:
    text = "5 received retries=1\n 1 sent eta=+2\n 2 received @w9\n 3 started @w9\n 4 retried @w9 exception=X()"
    assert Stage().play(stream(text)).drawn() == (
        "RECEIVED\n"
        "  #0 sent 1, received 2, started 3, finished 4, eta 2, on w9, RETRY, X()\n"
        "  #1 received 5, on w1"
    )  # fmt: skip


def test_an_earlier_attempt_was_run_by_who_tells_of_its_end() -> None:
    assert Stage().play(stream("5 received @w2 retries=1\n 4 retried @w1 exception=X()")).drawn() == (
        "RECEIVED\n"
        "  #0 finished 4, on w1, RETRY, X()\n"
        "  #1 received 5, on w2"
    )  # fmt: skip


def test_a_retry_that_never_got_a_number_is_counted_on_from_the_last() -> None:
    task = Stage().play(stream("1 started\n 2 retried\n 3 started\n 4 retried\n 5 started")).task()
    assert task.retries == 2
    assert [attempt.retries for attempt in task.attempts or ()] == [0, 1]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-21T10:57:10+00:00", 1795258630.0),
        ("2026-11-21T10:57:10", 1795258630.0),
        ("2026-11-21T12:57:10.5+02:00", 1795258630.5),
        ("20261121T105710Z", 1795258630.0),
        (1795258630.25, 1795258630.25),
        ("2026-11-21", 1795219200.0),
        ("soon", None),
        ("", None),
        ("9" * 10_000, None),
        ("\ud800", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("1969-12-31T23:59:59Z", None),
        (1e300, None),
        (-5.0, None),
        (None, None),
    ],
)
def test_a_time_is_read_or_unknown(text: str | float | None, seconds: float | None) -> None:
    assert epoch(text) == seconds


def test_moments_of_the_tests_are_read_back() -> None:
    assert epoch(moment(61.25)) == T0 + 61.25


def shuffles(events: list[Event], dice: random.Random, number: int) -> Iterator[list[Event]]:
    for _ in range(number):
        yield dice.sample(events, len(events))


def uncounted_events(stage: Stage) -> str:
    """All counters but that of events, which counts each that came."""
    return stage.counted().partition(" tasks ")[2]
