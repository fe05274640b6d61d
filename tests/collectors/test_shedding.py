"""What is left out while too much comes: in which order, what never goes, and that what remains can be understood."""

import random
from collections import Counter
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.collectors import shedding
from app.collectors.shedding import HEARTBEATS, STARTS, TASKS, TEXTS, Shedder
from app.models import states
from app.models.records import Event
from tests.helpers.events import event, stream, worker_event
from tests.helpers.stage import Stage

LIFE = "0 sent\n1 received\n2 started\n3 succeeded result=4 runtime=1"
#: Of whole tasks that succeed the first kind stays, and the second goes.
STAYS, GOES = "task-0", "task-1"
NEVER = [
    event("failed", 1, exception="X()", traceback="T"),
    event("retried", 1),
    event("revoked", 1),
    event("rejected", 1),
    event("cancelled", 1),
    event("progress", 1, payload={"current": 1}),
    worker_event("online", 1),
    worker_event("offline", 1),
    worker_event("elect", 1),
]


def kinds(events: Iterable[Event]) -> str:
    return " ".join(each.type.partition("-")[2] for each in events)


def kept(events: Iterable[Event], full: float, shedder: Shedder | None = None, known: Iterable[str] = ()) -> str:
    """What is stored of these, as kinds."""
    return kinds((shedder or Shedder()).keep([msgspec.structs.replace(each) for each in events], full, set(known))[0])


# --- what goes, and what does not ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("full", "stays", "goes"),
    [
        (0.0, "sent received started succeeded", "sent received started succeeded"),
        (STARTS - 0.01, "sent received started succeeded", "sent received started succeeded"),
        (STARTS, "sent received succeeded", "sent received succeeded"),
        (TASKS - 0.01, "sent received succeeded", "sent received succeeded"),
        (TASKS, "sent received succeeded", ""),
        (1.0, "sent received succeeded", ""),
    ],
)
def test_the_fuller_the_ring_the_more_of_a_task_goes(full: float, stays: str, goes: str) -> None:
    assert kept(stream(LIFE, STAYS), full) == stays
    assert kept(stream(LIFE, GOES), full) == goes


@pytest.mark.parametrize(("full", "number"), [(HEARTBEATS - 0.01, 20), (HEARTBEATS, 10), (1.0, 10)])
def test_of_heartbeats_one_per_interval_stays(full: float, number: int) -> None:
    often = [worker_event("heartbeat", second) for second in range(20)]
    assert len(kept(often, full).split()) == number


def test_heartbeats_that_are_on_time_stay_so_that_nobody_seems_to_be_silent() -> None:
    dice = random.Random(1)
    on_time = [worker_event("heartbeat", 2 * n + dice.uniform(-0.2, 0.2)) for n in range(100)]
    assert len(kept(on_time, 1.0).split()) == 100


def test_each_worker_has_its_own_heartbeats_and_interval() -> None:
    often = [
        worker_event("heartbeat", n, host, freq=freq) for n in range(20) for host, freq in (("a", 10.0), ("b", 1.0))
    ]
    stay = Counter(each.hostname for each in Shedder().keep(often, 1.0, set())[0])
    assert stay == {"a": 3, "b": 20}


@pytest.mark.parametrize(("full", "texts"), [(TEXTS - 0.01, True), (TEXTS, False), (1.0, False)])
def test_texts_of_what_was_sent_and_received_go_before_any_task_does(full: float, texts: bool) -> None:
    shedder = Shedder()
    stay, _ = shedder.keep(stream("0 sent\n1 received\n2 succeeded result=4", STAYS), full, set())
    assert [(each.args is not None, each.kwargs is not None) for each in stay[:2]] == [(texts, texts)] * 2
    assert [each.name for each in stay[:2]] == ["add", "add"]
    assert (stay[2].result, shedder.trimmed) == ("4", 0 if texts else 2)


@pytest.mark.parametrize("each", NEVER, ids=lambda each: each.type)
@pytest.mark.parametrize("full", [HEARTBEATS, STARTS, TASKS, 1.0])
def test_what_never_goes(each: Event, full: float) -> None:
    for uuid in (STAYS, GOES):
        made = each if each.uuid is None else msgspec.structs.replace(each, uuid=uuid)
        assert Shedder().keep([made] * 50, full, set()) == ([made] * 50, [])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_stored_and_what_is_left_out_is_what_came(seed: int) -> None:
    dice, shedder = random.Random(seed), Shedder()
    counted: Counter[str] = Counter()
    events = [*[each for n in range(30) for each in stream(LIFE, f"t{n}")], *NEVER] + [
        worker_event("heartbeat", n / 2) for n in range(20)
    ]
    dice.shuffle(events)
    while events:
        some, events = events[: dice.randint(1, 10)], events[10:]
        stay, left = shedder.keep(some, dice.random(), {f"t{n}" for n in range(5)})
        assert sorted(map(id, [*stay, *left])) == sorted(map(id, some))
        assert [each for each in some if any(each is one for one in stay)] == stay, "in order"
        counted.update(each.type for each in left)
    assert shedder.shed == counted


# --- whole tasks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told_before", [1, 2, 3])
def test_a_task_that_is_known_is_told_to_its_end(told_before: int) -> None:
    rest = stream(LIFE, GOES)[told_before:]
    assert kept(rest, 1.0, known={GOES}).endswith("succeeded")
    assert kept(rest, 1.0) == ""


def test_a_task_that_went_goes_on_going_when_the_flood_is_over() -> None:
    sent, *rest = stream(LIFE, GOES)
    shedder = Shedder()
    assert kept([sent], TASKS, shedder) == ""
    assert kept(rest, 0.0, shedder) == ""
    assert kept(stream(LIFE, GOES), 0.0, shedder) == "sent received started succeeded", "it is over, so this is another"


def test_a_task_that_went_and_then_fails_is_known_from_then_on() -> None:
    shedder = Shedder()
    life = stream("0 received\n1 started\n2 retried\n3 received retries=1\n4 started\n5 succeeded", GOES)
    stay, left = shedder.keep(life, TASKS, set())
    assert (kinds(left), kinds(stay)) == ("received started started", "retried received succeeded")
    assert shedder._going == {}


def test_a_task_of_which_a_start_went_is_told_to_its_end() -> None:
    shedder = Shedder()
    assert kept(stream("0 received\n1 started", GOES), STARTS, shedder) == "received"
    assert kept(stream("2 succeeded", GOES), 1.0, shedder, known={GOES}) == "succeeded"


def test_the_awaited_ends_of_tasks_that_went_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shedding, "MOST", 50)
    shedder = Shedder()
    for n in range(1_000):
        shedder.keep([event("received", 0, uuid=f"{n}x")], 1.0, set())
    assert len(shedder._going) == 50
    assert kept([event("succeeded", 1, uuid="999x"), event("succeeded", 1, uuid="0x")], 0.0, shedder) == "succeeded"


def test_nothing_is_remembered_of_a_flood_when_all_its_tasks_have_ended() -> None:
    shedder = Shedder()
    for n in range(100):
        shedder.keep(stream(LIFE, f"{n}x"), 1.0, set())
    shedder.keep([worker_event("heartbeat", 0)], 1.0, set())
    assert kept([worker_event("heartbeat", 0.1)] * 5, 0.0, shedder) == "heartbeat " * 4 + "heartbeat"
    assert (shedder._going, shedder._heartbeats) == ({}, {})


# --- what becomes of the figures -------------------------------------------------------------------------------------


class Flood:
    """A stage behind a shedder, and one that hears all; tasks come one after the other, interleaved."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.shedder = Shedder()
        self.all, self.rest = (Stage().play([worker_event("online", 0)]) for _ in range(2))

    def play(self, texts: Iterable[str]) -> None:
        left = [stream(text, f"{n}-{self.dice.randrange(16):x}") for n, text in enumerate(texts)]
        running: list[list[Event]] = []
        number = 0
        while left or running:
            if left and (len(running) < 20 or not running):
                running.append(left.pop(0))
            events = self.dice.choice(running)
            told = events.pop(0)
            if not events:
                running.remove(events)
            self.all.play([told])
            # It fills, stays full, and is empty in the end.
            number += 1
            full = min(1.0, number / 200) if left else 0.0
            stay, gone = self.shedder.keep([told], full, self.rest.reducer.in_memory)
            self.rest.reducer.count_shed(gone, told.seen)
            self.rest.play(stay)
            if self.dice.random() < 0.05:
                self.rest.commit()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_totals_are_exact_and_no_task_is_half_told(seed: int) -> None:
    flood = Flood(seed)
    ways = (LIFE, LIFE, LIFE, "1 received\n2 started\n3 failed exception=X()",
            "0 received\n1 started\n2 retried\n3 received retries=1\n4 started\n5 succeeded runtime=1")  # fmt: skip
    flood.play(flood.dice.choice(ways) for _ in range(150))
    true, counted = totals(flood.all), totals(flood.rest)
    assert counted == true
    known = {uuid: flood.rest.reducer.task(uuid) for uuid in names(flood.all)}
    assert sum(task is None for task in known.values()) > 20, "a flood that nothing is left out of shows nothing"
    for uuid, task in known.items():
        if task is not None:
            assert task.state in states.FINAL, flood.rest.drawn(uuid)
            assert task.state == flood.all.task(uuid).state
            assert task.redelivered == 0


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32))
def test_workers_are_not_taken_to_have_missed_what_was_left_out(seed: int) -> None:
    flood = Flood(seed)
    flood.play([LIFE] * 100)
    for stage in (flood.all, flood.rest):
        stage.play(worker_event("heartbeat", 10 + n, processed=100) for n in range(9))
    told = [stage.reducer.workers["w1"] for stage in (flood.all, flood.rest)]
    assert [(each.began, each.missed, each.succeeded) for each in told] == [(100, 0, 100)] * 2


def totals(stage: Stage) -> dict[str, int]:
    """What is counted of all tasks, without what is measured of each."""
    words = stage.counted().split()
    return {name: int(n) for name, n in zip(words[::2], words[1::2], strict=True) if name not in ("waits", "runs")}


def names(stage: Stage) -> list[str]:
    return list(stage._stored)
