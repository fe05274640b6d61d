"""When pages read: never hidden, never paused, never two at once, and no more often than they may."""

import asyncio
import time
from pathlib import Path

import pytest

from app.models.history.errors import HistoryError
from app.models.target import Target
from app.ui.live import RANGES, TimeRange, View
from app.ui.supervisor import Supervisor
from tests.ui.conftest import Run, emitted


class Counting(View):
    """A page that counts its readings."""

    refresh_ms = 50

    def __init__(self, time_range: TimeRange) -> None:
        super().__init__(time_range)
        self.reads = 0
        self.at_once = 0
        self.most_at_once = 0
        self.fault = ""

    async def load(self) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.reads += 1
        self.at_once -= 1
        if self.fault:
            raise HistoryError(self.fault)


@pytest.fixture
def page(supervisor: Supervisor, history: Path) -> Counting:
    made = Counting(TimeRange())
    made.set_connection(supervisor.add(Target("shop", history)))
    return made


def test_a_page_reads_when_it_is_shown_and_not_before(run: Run, page: Counting) -> None:
    async def story() -> None:
        page.touch()
        await asyncio.sleep(0)
        assert page.reads == 0
        page.show()
        await emitted(page.loaded)
        assert page.reads == 1

    run(story())


def test_many_commits_are_one_reading_at_a_time_and_no_more_than_allowed(run: Run, page: Counting) -> None:
    async def story() -> None:
        page.show()
        await emitted(page.loaded)
        began, reads = time.monotonic(), page.reads
        while page.reads < reads + 4:
            page.touch()
            await asyncio.sleep(0)
        # The first of the four may come at once; each of the others waits its turn.
        assert time.monotonic() - began >= 3 * page.refresh_ms / 1e3 * 0.9
        assert page.most_at_once == 1

    run(story())


def test_a_paused_page_stands_still_until_it_goes_on(run: Run, page: Counting) -> None:
    async def story() -> None:
        page.show()
        await emitted(page.loaded)
        page.range.set_paused(True)
        reads = page.reads
        for _ in range(10):
            page.touch()
            await asyncio.sleep(0)
        assert page.reads == reads
        page.range.set_paused(False)
        await emitted(page.loaded)
        assert page.reads == reads + 1

    run(story())


def test_what_can_not_be_read_is_said_and_withdrawn_when_it_can(run: Run, page: Counting) -> None:
    said: list[str] = []
    page.trouble.connect(said.append)

    async def story() -> None:
        page.fault = "The history can't be read: disk I/O error."
        page.show()
        await emitted(page.trouble)
        page.fault = ""
        page.reload()
        await emitted(page.loaded)

    run(story())
    assert said == ["The history can't be read: disk I/O error.", ""]


def test_a_range_steps_back_and_forth_and_past_the_present_it_is_live() -> None:
    shown = TimeRange()
    ends = [shown.end]
    shown.step_by(-1.0)
    ends.append(shown.end)
    span = shown.bounds(None)
    assert span.end - span.start == shown.span
    shown.step_by(1.0)
    ends.append(shown.end)
    assert ends == [None, span.end, None]


def test_a_file_ends_where_its_collector_ended() -> None:
    assert TimeRange().bounds(1_000_000.0).end == 1_000_000.0


@pytest.mark.parametrize("span", [*RANGES, 1_234.0, 50_000.0, 3_000_000.0])
def test_every_range_has_a_chart_of_a_few_hundred_buckets_at_most(span: float) -> None:
    shown = TimeRange()
    shown.look_back(0.0, span)
    assert shown.step() in RANGES.values()
    assert shown.span / shown.step() <= 900
