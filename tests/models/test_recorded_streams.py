"""What real workers sent (``tests/data/streams``), as it came and in any other order, twice, and with losses.

python -m tests.models.test_recorded_streams 100000        so many shuffles by hand
"""

import random
import sys
from collections.abc import Iterator

import pytest

from app.models import lifecycle, states
from app.models.records import Event
from tests.helpers.recordings import about, events, streams
from tests.helpers.stage import Stage

SCENES = sorted(about())
#: Shuffles of each recorded task in the test suite.
SHUFFLES = 25


def by_task(scene: str) -> dict[str, list[Event]]:
    """The events of each task of a scene, in order of arrival."""
    tasks: dict[str, list[Event]] = {}
    for event in events(streams()[scene]):
        if event.uuid is not None:
            tasks.setdefault(event.uuid, []).append(event)
    return tasks


@pytest.mark.parametrize("scene", SCENES)
def test_every_task_ends_as_it_was_planned(scene: str) -> None:
    stage = Stage().play(events(streams()[scene]))
    for uuid in about()[scene].ends:
        lifecycle.settle(stage.task(uuid))  # what is doubted because its worker went is known from what was told
    assert {uuid: stage.task(uuid).state for uuid in about()[scene].ends} == about()[scene].ends


@pytest.mark.parametrize("scene", SCENES)
def test_all_is_known_whatever_the_order_and_however_often_it_is_told(scene: str) -> None:
    for uuid, ordered in by_task(scene).items():
        expected = Stage().play(ordered).drawn(uuid)
        for seed in range(SHUFFLES):
            assert Stage().play(shuffled(ordered, seed)).drawn(uuid) == expected, f"{uuid}, seed {seed}"


@pytest.mark.parametrize("scene", SCENES)
def test_with_losses_no_task_ends_in_a_state_that_it_did_not(scene: str) -> None:
    for uuid, ordered in by_task(scene).items():
        ends = true_ends(uuid, ordered)
        for seed in range(SHUFFLES):
            state = Stage().play([ordered[0], *lossy(ordered, seed)]).task(uuid).state
            assert state not in states.FINAL or state in ends, f"{uuid}, seed {seed}: {state} instead of {ends}"


def shuffled(ordered: list[Event], seed: int) -> list[Event]:
    """Every event one to three times, in any order."""
    dice = random.Random(seed)
    told = [event for event in ordered for _ in range(dice.randint(1, 3))]
    dice.shuffle(told)
    return told


def lossy(ordered: list[Event], seed: int) -> list[Event]:
    """The same with each event lost at three in ten."""
    dice = random.Random(seed)
    lost = {id(event) for event in ordered if dice.random() < 0.3}
    return [event for event in shuffled(ordered, seed) if id(event) not in lost]


def true_ends(uuid: str, ordered: list[Event]) -> set[str]:
    """The state a task ended in. Celery 5.7 tells of what was rejected for good twice, once as a failure."""
    rejected = any(event.type == "task-rejected" and not event.requeue for event in ordered)
    return {Stage().play(ordered).task(uuid).state} | ({states.REJECTED} if rejected else set())


def run(number: int) -> Iterator[str]:
    """So many shuffles, half of them with losses; yields what is wrong."""
    tasks = [(scene, uuid, ordered) for scene in SCENES for uuid, ordered in by_task(scene).items()]
    expected = {uuid: Stage().play(ordered).drawn(uuid) for _, uuid, ordered in tasks}
    ends = {uuid: true_ends(uuid, ordered) for _, uuid, ordered in tasks}
    for seed in range(number):
        scene, uuid, ordered = tasks[seed % len(tasks)]
        if seed // len(tasks) % 2:
            state = Stage().play([ordered[0], *lossy(ordered, seed)]).task(uuid).state
            if state in states.FINAL and state not in ends[uuid]:
                yield f"{scene} {uuid} seed {seed}: {state}, with losses"
        elif Stage().play(shuffled(ordered, seed)).drawn(uuid) != expected[uuid]:
            yield f"{scene} {uuid} seed {seed}: another end"


if __name__ == "__main__":
    count = int(sys.argv[1])
    wrong = list(run(count))
    sys.stdout.write("\n".join([*wrong[:20], f"{count:,} shuffles, {len(wrong)} wrong"]) + "\n")
    sys.exit(bool(wrong))
