"""A search in steps finds what it finds in one go, whatever the steps are."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.models.history import reader as reading_module
from app.models.history import sweep
from app.models.history.reader import Reader
from app.models.history.sweep import Sweep
from app.models.search import parse
from tests.helpers.events import T0, stream
from tests.helpers.histories import reading, recording, sql
from tests.models.test_plans import plans

TASKS = 400
SEARCHES = ("", "needle", "nobody", "state:failed", "name:job_1 needle", "runtime:>1h", "-state:success OR needle")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task a second, of three names; a few are rare, and numbers in the middle are gone."""
    path, dice = tmp_path_factory.mktemp("sweep") / "h.cloche", random.Random(7)
    with recording(path) as made:
        for number in range(TASKS):
            end = dice.choice(("failed exception=no", "succeeded runtime=1", "succeeded runtime=1"))
            events = stream(f"{number} received name=job_{number % 3}\n{number + 0.5} {end}", f"t{number}")
            for event in events:
                event.args = "('needle',)" if number % 61 == 5 else "(1,)"
            made.play(events)
        made.commit(TASKS)
    sql(path, "DELETE FROM task WHERE id BETWEEN 100 AND 180")
    return path


@pytest.fixture(scope="module")
def reader(history: Path) -> Iterator[Reader]:
    with reading(history) as opened:
        yield opened


def steps(reader: Reader, begun: Sweep, limit: int | None) -> Iterator[sweep.Step]:
    """All steps of a search, with so many tasks at most in each."""
    while not begun.done:
        step = sweep.step(reader, begun, limit)
        yield step
        begun = step.rest


@settings(max_examples=150, deadline=None)
@given(
    text=st.sampled_from(SEARCHES),
    stride=st.integers(1, 500),
    limit=st.one_of(st.none(), st.integers(1, 50)),
    ends=st.tuples(st.floats(-9, TASKS + 9), st.floats(-9, TASKS + 9)),
    before=st.one_of(st.none(), st.integers(1, TASKS + 9)),
    after=st.one_of(st.none(), st.integers(-1, TASKS + 9)),
)
def test_all_steps_together_find_what_one_question_finds(
    reader: Reader,
    text: str,
    stride: int,
    limit: int | None,
    ends: tuple[float, float],
    before: int | None,
    after: int | None,
) -> None:
    where = parse(text)
    since, until = sorted(T0 + end for end in ends)
    places: dict[str, Any] = {"since": since, "until": until, "before": before, "after": after}
    whole = reader.tasks(where=where, limit=TASKS, **places)
    begun = sweep.begin(reader, where, **places)
    with pytest.MonkeyPatch.context() as patch:
        # Steps as short as can be, always of the same stride.
        patch.setattr(sweep, "BUDGET", 0.0)
        patch.setattr(sweep, "FEWEST", stride)
        taken = list(steps(reader, Sweep(where, begun.low, begun.high, begun.top, stride), limit))
    assert sum(step.count for step in taken) == len(whole)
    if limit is not None:
        assert [row for step in taken for row in step.rows] == whole
        assert all(len(step.rows) <= limit for step in taken)
    shares = [step.rest.share for step in taken]
    assert shares == sorted(shares)
    assert shares[-1:] in ([], [1.0])


def test_a_step_looks_at_no_more_than_its_stride_once_its_time_is_over(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "BUDGET", 0.0)
    begun = Sweep(parse("nobody"), 1, TASKS + 1, TASKS + 1, 50)
    step = sweep.step(reader, begun, 200)
    assert (step.rest.high, step.rest.low) == (TASKS + 1 - 50, 1)
    assert step.rows == []
    assert step.back == T0 + TASKS - 50
    assert step.rest.share == 50 / TASKS


def test_a_step_goes_on_while_there_is_time(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "BUDGET", 60.0)
    step = sweep.step(reader, Sweep(parse("needle"), 1, TASKS + 1, TASKS + 1, 1), 200)
    assert step.rest.done
    assert step.count == len([number for number in range(5, TASKS, 61) if not 100 <= number + 1 <= 180])


def test_the_stride_fits_the_time_that_the_last_one_took() -> None:
    half = sweep.BUDGET / 2
    assert sweep._stride(10_000, half) == pytest.approx(10_000, abs=1)
    assert sweep._stride(10_000, half * 4) == pytest.approx(2_500, abs=1)
    assert sweep._stride(10_000, half / 3) == pytest.approx(30_000, abs=1)
    assert sweep._stride(10_000, half / 1_000) == 10_000 * sweep.GROWTH
    assert sweep._stride(sweep.FEWEST, 9.0) == sweep.FEWEST


def test_a_search_of_nothing_is_done_at_once(tmp_path: Path) -> None:
    with recording(tmp_path / "h"):
        pass
    with reading(tmp_path / "h") as empty:
        begun = sweep.begin(empty, parse("x"))
        step = sweep.step(empty, begun, 200)
    assert (step.rows, step.count, step.back, step.rest.share) == ([], 0, None, 1.0)


LABELLED = ("name:job_1", "name:*_2", "-name:job_1", "worker:w1", "job_0 needle", "nobody", "NOT needle OR queue:mail")


@pytest.mark.parametrize("text", LABELLED)
def test_where_there_are_very_many_names_the_same_is_found(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    few = reader.tasks(where=parse(text), limit=TASKS)
    number = reader.task_count(where=parse(text))
    monkeypatch.setattr(reading_module, "MANY", 0)
    assert reader.tasks(where=parse(text), limit=TASKS) == few
    assert reader.tasks_between(1, TASKS, where=parse(text)) == few
    assert reader.task_count(where=parse(text)) == number == len(few)


def test_where_there_are_very_many_names_they_are_not_read_first(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "MANY", 0)
    with plans(reader) as found:
        reader.tasks(where=parse("name:job_1"))
    assert "SCAN name" not in found[-1]
    assert "CORRELATED" in found[-1]
