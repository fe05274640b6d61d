import pytest

from app.models import states
from app.models.lifecycle import settle
from app.models.records import Attempt, Fact, Task
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
        (
            Task(1, "a", 0, "LOST", received=12, started=13, doubted=20, worker="w1"),
            "0: reserved 1 ran 7 doubted 10+ → LOST",
        ),
        (Task(1, "a", 0, "UNKNOWN", received=12, doubted=20, worker="w1"), "0: reserved 8 doubted 10+ → UNKNOWN"),
        (Task(1, "a", 0, "PENDING", received=12, doubted=20, worker="w1"), "0: reserved 8 queued 10+ → PENDING"),
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
        "waited 2.00 s, ran 2.00 s on w1, KeyError",
        "held back 5.00 s, waited 1.00 s, ran ≥ 10.0 s on w2",
    ]


@pytest.mark.parametrize(
    ("facts", "now", "told"),
    [
        (
            # Its worker was killed; another one got the message again.
            [Fact("received", 10, "w1", 0), Fact("started", 11, "w1"), Fact("received", 30, "w2", 0)],
            40.0,
            [
                "Attempt 1: waited 1.00 s on w1, lost | reserved 1 doubted 19",
                "again: waited ≥ 10.0 s on w2 | reserved 10+",
            ],
        ),
        (
            [Fact("received", 10, "w1", 0), Fact("received", 30, "w2", 0), Fact("started", 31, "w2")],
            40.0,
            [
                "Attempt 1: on w1, never begun there | doubted 20",
                "again: waited 1.00 s, ran ≥ 9.00 s on w2 | reserved 1 ran 9+",
            ],
        ),
        (
            [Fact("received", 10, "w1", 0), Fact("started", 11, "w1"), Fact("cancelled", 15, "w1")],
            40.0,
            [
                "Attempt 1: waited 1.00 s, ran 4.00 s on w1, given back | reserved 1 ran 4",
                "again: waited ≥ 25.0 s | queued 25+",
            ],
        ),
        (
            [Fact("received", 10, "w1", 0), Fact("started", 11, "w1"), Fact("rejected", 15, "w1", flag=True),
             Fact("received", 16, "w2", 0), Fact("started", 17, "w2"), Fact("succeeded", 20, "w2")],
            40.0,
            [
                "Attempt 1: waited 1.00 s, ran 4.00 s on w1, given back | reserved 1 ran 4",
                "again: waited 1.00 s, ran 3.00 s on w2 | reserved 1 ran 3",
            ],
        ),
    ],
)  # fmt: skip
def test_a_redelivery_is_a_lane_that_says_where_it_was_and_what_became_of_it(
    facts: list[Fact], now: float, told: list[str]
) -> None:
    task = Task(1, "a", 0, facts=facts)
    settle(task)
    shown = [f"{one.title}: {one.sentence()} | {drawn(one).partition(': ')[2]}" for one in lanes(task, now)]
    assert [one.partition(" →")[0] for one in shown] == told


@pytest.mark.parametrize(("state", "said"), [("LOST", "lost"), ("UNKNOWN", "not known how it ended")])
def test_a_doubt_is_the_last_word_of_the_present_delivery(state: str, said: str) -> None:
    task = Task(1, "a", 0, state, received=12, started=13, doubted=20, worker="w1", note="Why.")
    assert lanes(task, 30.0)[-1].sentence() == f"waited 1.00 s, ran 7.00 s on w1, {said}"
    assert [(step.label, step.note) for step in steps(task, 30.0)][-1] == (
        states.WORDS[state],
        "10 s",
    )


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
