import pytest

from app.models.records import Attempt, Task
from app.ui.widgets.attempts import Lane, lanes
from app.ui.widgets.timeline import steps


def drawn(lane: Lane) -> str:
    """An attempt as its kinds and lengths in seconds, ``+`` where it still grows."""
    told = [f"{segment.kind} {segment.seconds:g}{'+' if segment.growing else ''}" for segment in lane.segments]
    return f"{lane.retries}: {' '.join(told)} → {lane.state}"


@pytest.mark.parametrize(
    ("task", "lane"),
    [
        (
            Task(1, "a", 0, "SUCCESS", sent=10, received=12, started=13, finished=20),
            "0: queued 2 reserved 1 ran 7 → SUCCESS",
        ),
        (Task(1, "a", 0, "SUCCESS", received=12, started=13, finished=20), "0: reserved 1 ran 7 → SUCCESS"),
        (Task(1, "a", 0, "SUCCESS", sent=10, started=13, finished=20), "0: queued 3 ran 7 → SUCCESS"),
        (Task(1, "a", 0, "STARTED", sent=10, received=12, started=13), "0: queued 2 reserved 1 ran 17+ → STARTED"),
        (Task(1, "a", 0, "RECEIVED", sent=10, received=12), "0: queued 2 reserved 18+ → RECEIVED"),
        (Task(1, "a", 0, "PENDING", sent=10), "0: queued 20+ → PENDING"),
        (Task(1, "a", 0, "PENDING", sent=10, eta=25), "0: held 15 queued 5+ → PENDING"),
        (Task(1, "a", 0, "RECEIVED", sent=10, received=11, eta=99), "0: held 20+ → RECEIVED"),
        (Task(1, "a", 0, "REVOKED", sent=10, received=12, finished=14), "0: queued 2 reserved 2 → REVOKED"),
        (Task(1, "a", 0, "SUCCESS"), "0:  → SUCCESS"),
    ],
)
def test_a_task_is_a_lane_of_what_it_did(task: Task, lane: str) -> None:
    assert [drawn(one) for one in lanes(task, 30.0)] == [lane]


def test_clocks_that_disagree_make_no_step_go_back_in_time() -> None:
    (lane,) = lanes(Task(1, "a", 0, "SUCCESS", sent=15, received=12, started=13, finished=20), 30.0)
    assert drawn(lane) == "0: ran 5 → SUCCESS"


def test_each_attempt_is_a_lane() -> None:
    first = Attempt(
        0, sent=10, received=11, started=12, finished=14, state="RETRY", worker="w1", exception="KeyError('x')"
    )
    task = Task(1, "a", 0, "STARTED", retries=1, received=14, started=20, eta=19, worker="w2", attempts=[first])
    told = lanes(task, 30.0)
    assert [drawn(lane) for lane in told] == [
        "0: queued 1 reserved 1 ran 2 → RETRY",
        "1: held 5 reserved 1 ran 10+ → STARTED",
    ]
    assert [lane.sentence() for lane in told] == [
        "waited 2.00 s, ran 2.00 s, KeyError",
        "held back 5.00 s, waited 1.00 s, ran ≥ 10.0 s",
    ]


def test_steps_tell_the_time_since_the_one_before() -> None:
    task = Task(1, "a", 0, "FAILURE", sent=10, received=12.5, started=12.51, finished=72.51)
    assert [(step.label, step.note) for step in steps(task, 80.0)] == [
        ("Sent", ""),
        ("Received", "+ 2.50 s"),
        ("Started", "+ 10.0 ms"),
        ("Failed", "+ 1 m 00 s"),
    ]
    waiting = Task(1, "a", 0, "RECEIVED", received=12.5)
    assert [(step.label, step.note) for step in steps(waiting, 80.0)] == [("Received", ""), ("Waiting", "+ 1 m 07 s")]
