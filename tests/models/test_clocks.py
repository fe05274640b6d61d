"""Clocks of other hosts: which are wrong, by how much, and that waits are right all the same."""

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models import clocks
from app.models.clocks import Clocks
from app.models.records import Event
from tests.helpers.events import T0, event, worker_event
from tests.helpers.stage import Stage

HOUR = 3600.0


def told(made: Event, *, ahead: float = 0.0, late: float = 0.0) -> Event:
    """An event as a host tells it whose clock is ahead, over a way that took so long."""
    made.timestamp += ahead
    made.seen += late
    return made


def beats(start: int, end: int, host: str = "w1@far", **how: float) -> list[Event]:
    return [told(worker_event("heartbeat", second, host), **how) for second in range(start, end, 2)]


def lives(number: int, start: float, *, producer: float = 0.0, worker: float = 0.0, late: float = 0.01) -> list[Event]:
    """Tasks, one a second, that wait for 2 s and run for 1 s, as told by clocks that are ahead by so many seconds."""
    made = []
    for n in range(number):
        uuid, at = f"{start:g}-{n}", start + n
        made += [
            told(event("sent", at, "gen1@here", uuid=uuid), ahead=producer, late=late),
            told(event("received", at + 0.01, "w1@far", uuid=uuid), ahead=worker, late=late),
            told(event("started", at + 2, "w1@far", uuid=uuid), ahead=worker, late=late),
            told(event("succeeded", at + 3, "w1@far", uuid=uuid, runtime=1.0), ahead=worker, late=late),
        ]
    return made


def ordered(*streams: Iterable[Event]) -> list[Event]:
    return sorted((each for stream in streams for each in stream), key=lambda each: each.seen)


def watched(events: Iterable[Event]) -> list[float]:
    """By how much each of these is put right, to a tenth of a second."""
    judge, corrected = Clocks(), []
    for each in events:
        told_at = each.timestamp
        judge.watch(each)
        corrected.append(round(each.timestamp - told_at, 1))
    return corrected


# --- which clocks are wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [0.0, 1.9, -1.9])
def test_a_small_difference_is_left_alone(ahead: float) -> None:
    assert set(watched(beats(0, 60, ahead=ahead))) == {0.0}


def test_a_clock_that_is_ahead_is_known_by_one_message_as_none_comes_from_the_future() -> None:
    assert set(watched(beats(0, 60, ahead=HOUR))) == {-HOUR}


def test_a_clock_that_is_behind_is_known_by_a_few_messages_over_some_time() -> None:
    assert watched(beats(0, 10, ahead=-HOUR)) == [0.0, 0.0, HOUR, HOUR, HOUR]


def test_it_is_known_by_the_fastest_message_how_far_a_clock_is_off() -> None:
    dice = random.Random(1)
    for ahead in (HOUR, -HOUR):
        slow = [told(each, ahead=ahead, late=dice.uniform(0, 1.9)) for each in beats(0, 60)]
        fast = beats(60, 62, ahead=ahead)
        judge = Clocks()
        for each in [*slow, *fast]:
            judge.watch(each)
        assert judge.offset("w1@far") == ahead
        assert judge.correction("w1@far") == pytest.approx(-ahead, abs=clocks.STEP)


def test_messages_that_come_late_for_a_while_are_not_taken_for_a_wrong_clock() -> None:
    late = [told(each, late=12 - (each.seen - T0 - 60)) for each in beats(60, 72)]
    assert set(watched([*beats(0, 60), *late, *beats(72, 90)])) == {0.0}


def test_a_burst_of_late_messages_from_an_unknown_host_is_not_taken_for_a_wrong_clock() -> None:
    late = [told(event("sent", n / 10, "gen1@here"), late=10 - n / 10) for n in range(100)]
    assert set(watched(late)) == {0.0}


def test_a_busy_producers_clock_is_judged_like_any_other() -> None:
    for ahead in (HOUR, -HOUR):
        sent = [told(event("sent", n / 1000, "gen1@here"), ahead=ahead) for n in range(5000)]
        assert watched(sent)[-1] == -ahead


@pytest.mark.parametrize("slow", [0, 9])
def test_of_what_comes_in_one_second_the_fastest_counts(slow: int) -> None:
    sent = [
        told(event("sent", n / 10, "gen1@here"), ahead=-HOUR, late=0.09 if n % 10 == slow else 0.0) for n in range(50)
    ]
    judge = Clocks()
    for each in sent:
        judge.watch(each)
    assert judge.offset("gen1@here") == pytest.approx(-HOUR, abs=0.001)
    assert judge.correction("gen1@here") == pytest.approx(HOUR, abs=0.001)


def test_a_correction_is_not_taken_for_a_clock_that_is_right() -> None:
    for ahead in (HOUR, -HOUR):
        sent = [told(event("sent", n, "gen1@here"), ahead=ahead) for n in range(120)]
        assert set(watched(sent)[3:]) == {-ahead}


@pytest.mark.parametrize(("before", "after"), [(0.0, HOUR), (0.0, -HOUR), (HOUR, 0.0), (-HOUR, 0.0), (HOUR, -HOUR)])
def test_a_clock_that_is_set_is_followed_within_seconds(before: float, after: float) -> None:
    corrected = watched([*beats(0, 60, ahead=before), *beats(60, 120, ahead=after)])
    assert set(corrected[2:30]) == {-before}
    assert set(corrected[32:]) == {-after}
    assert set(corrected[30:32]) <= {0.0, -after}, "nothing is worse than what the host says itself"


def test_one_absurd_time_disturbs_nothing_for_long() -> None:
    for absurd in (1e9, -1e9):
        corrected = watched([*beats(0, 20), *beats(20, 22, ahead=absurd), *beats(22, 60)])
        assert set(corrected[11:]) == {0.0}


def test_a_clock_that_drifts_is_corrected_in_steps() -> None:
    drifting = [told(each, ahead=5 + (each.seen - T0) / 60) for each in beats(0, 600)]
    corrected = watched(drifting)
    assert len(set(corrected)) <= 12
    assert all(
        abs(by + 5 + second / 60) <= clocks.STEP + 0.6 for by, second in zip(corrected, range(0, 600, 2), strict=True)
    )


def test_processes_of_a_host_share_its_clock_and_other_hosts_have_their_own() -> None:
    judge = Clocks()
    for each in beats(0, 10, "w1@far", ahead=HOUR):
        judge.watch(each)
    other, near = event("received", 1, "w2@far"), event("received", 1, "w1@near")
    for each in (other, near):
        judge.correct(each)
    assert [each.timestamp - T0 for each in (other, near)] == [1 - HOUR, 1]


def test_any_number_of_processes_of_a_host_does_not_make_its_clock_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "HOSTS", 100)
    judge = Clocks()
    for each in beats(0, 10, "w1@far", ahead=HOUR):
        judge.watch(each)
    for n in range(1_000):
        judge.watch(told(event("sent", 20 + n / 1000, f"gen{n}@here")))
        assert len(judge._names) <= 100
    late = event("received", 30, "w1@far")
    judge.correct(late)
    assert late.timestamp == T0 + 30 - HOUR


def test_any_number_of_hosts_takes_no_more_than_so_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "HOSTS", 100)
    judge = Clocks()
    for n in range(1_000):
        judge.watch(event("sent", n, f"gen1@host{n}"))
        assert max(len(judge._names), len(judge._hosts)) <= 100
        assert judge.offset(f"gen1@host{n}") == 0.0


def test_of_a_host_not_heard_of_nothing_is_known() -> None:
    assert Clocks().offset("w1@far") is None


# --- what follows for tasks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("producer", [0.0, HOUR, -HOUR])
@pytest.mark.parametrize("worker", [0.0, HOUR, -HOUR])
@pytest.mark.parametrize("late", [0.01, 0.4])
def test_waits_are_right_to_a_second_whatever_the_clocks(producer: float, worker: float, late: float) -> None:
    known = ordered(
        beats(0, 10, ahead=worker, late=late),
        (told(event("sent", n, "gen1@here", uuid=f"x{n}"), ahead=producer, late=late) for n in range(10)),
    )
    tasks = ordered(lives(20, 20, producer=producer, worker=worker, late=late), beats(20, 40, ahead=worker, late=0.01))
    stage = Stage().play([*known, *tasks])
    for n in range(20):
        task = stage.task(f"20-{n}")
        assert task.wait == pytest.approx(2.0, abs=1.0)
        assert task.state == "SUCCESS"
        assert (task.runtime, task.redelivered, task.attempts) == (1.0, 0, None)
        assert task.finished is not None
        assert abs(task.finished - (T0 + 23 + n)) <= 1.0, "its times are ours"


@given(st.floats(-5000, 5000), st.floats(-5000, 5000), st.floats(0, 3), st.integers(0, 2**32))
def test_nothing_is_ever_negative(producer: float, worker: float, late: float, seed: int) -> None:
    dice = random.Random(seed)
    events = ordered(lives(5, 0, producer=producer, worker=worker), beats(0, 10, ahead=worker))
    for each in events:
        each.seen += dice.uniform(0, late)
    stage = Stage().play(ordered(events))
    for n in range(5):
        task = stage.task(f"0-{n}")
        assert task.wait is None or task.wait >= 0
        assert task.runtime is None or task.runtime >= 0
        assert task.state == "SUCCESS"
    for _, _, cell in stage.commit().cells:
        assert min([*cell.wait.values(), *cell.run.values(), cell.busy, 0]) >= 0


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_what_is_told_twice_is_one_moment_while_the_clock_is_corrected(ahead: float) -> None:
    tasks = lives(10, 20, producer=ahead, worker=ahead)
    once = Stage().play([*beats(0, 20, ahead=ahead), *tasks])
    dice = random.Random(3)
    twice = Stage().play(
        [*beats(0, 20, ahead=ahead), *ordered(tasks, (told(each, late=0) for each in dice.sample(tasks, 20)))]
    )
    for n in range(10):
        assert twice.drawn(f"20-{n}") == once.drawn(f"20-{n}")


def test_a_workers_offset_is_told_of_it() -> None:
    stage = Stage().play(beats(0, 10, ahead=HOUR, late=0.25))
    assert stage.reducer.workers["w1@far"].clock_offset == pytest.approx(HOUR - 0.25)


def test_the_end_that_a_backend_tells_is_put_into_our_time_too() -> None:
    tasks = lives(1, 20, worker=HOUR)[:3]
    for host in ("w1@far", ""):
        stage = Stage().play([*beats(0, 20, ahead=HOUR), *tasks])
        stage.reducer.listen(T0 + 22.5, T0 + 30)
        end = told(event("succeeded", 23, host or "-", uuid="20-0"), ahead=HOUR)
        end.hostname = host
        stage.reducer.fold_results([end], T0 + 30)
        task = stage.task("20-0")
        assert task.state == "SUCCESS"
        assert task.finished == pytest.approx(T0 + 23, abs=0.1)
