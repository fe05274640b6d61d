import asyncio
import time
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.models.target import Target
from app.ui.live import TimeRange
from app.ui.pages import overview_read
from app.ui.pages.overview import OverviewPage
from app.ui.pages.overview_figures import LABELS
from app.ui.supervisor import Supervisor
from app.ui.theme import ThemeManager
from tests.ui import invented
from tests.ui.conftest import Run, loaded


@pytest.fixture
def page(qtbot: QtBot, theme: ThemeManager) -> OverviewPage:
    made = OverviewPage(theme, TimeRange())
    qtbot.addWidget(made)
    made.resize(1224, 823)
    return made


def tiles(page: OverviewPage) -> dict[str, str]:
    figures = [tile.figure for tile in page._tiles]
    return {label: f"{one.value} {one.unit} | {one.change}" for label, one in zip(LABELS, figures, strict=True)}


def legend(page: OverviewPage, number: int) -> list[str]:
    return [item.entry.name for item in page._charts[number]._legend._items]


def test_it_tells_how_the_last_minutes_went(
    page: OverviewPage, supervisor: Supervisor, history: Path, run: Run
) -> None:
    async def story() -> None:
        page.set_connection(supervisor.add(Target("shop", history)))
        page.show()
        await loaded(page)
        shown = tiles(page)
        assert shown["Failure rate"].startswith(("5.0 %", "4.9 %", "5.1 %"))
        assert shown["Waiting"] == "3 tasks | oldest 1 m 30 s"
        assert shown["Workers"].startswith("1 of 2 online | 1 lost ")
        assert shown["Slots busy"] == "1 of 4 | 25 %"
        value = float(shown["Throughput"].split()[0])
        assert value == pytest.approx(invented.PER_MINUTE, rel=0.05)
        for label, seconds in (("Queue wait p95", invented.WAIT), ("Run time p95", 2.0)):
            figure = dict(zip(LABELS, page._tiles, strict=True))[label].figure
            scale = 1000 if figure.unit == "ms" else 1
            assert float(figure.value) == pytest.approx(seconds * scale, rel=0.02)
        assert [legend(page, number) for number in range(5)] == [
            ["succeeded", "retried", "failed"],
            ["mail"],
            ["p50", "p95", "p99"],
            ["p50", "p95", "p99"],
            ["busy", "slots"],
        ]

    run(story())


def test_names_stand_by_their_share_of_time(
    page: OverviewPage, supervisor: Supervisor, history: Path, run: Run
) -> None:
    async def story() -> None:
        page.set_connection(supervisor.add(Target("shop", history)))
        page.show()
        await loaded(page)
        model = page._table.model()
        rows = [[model.index(row, column).data() for column in range(4)] for row in range(model.rowCount())]
        assert [row[0] for row in rows] == ["shop.charge", "shop.mail"]
        assert float(rows[1][2].removesuffix(" %")) == pytest.approx(11.1, abs=0.3)
        assert rows[1][3] == "0 %"

    run(story())


def test_a_page_of_many_names_shows_the_busiest_and_says_so(
    page: OverviewPage, supervisor: Supervisor, history: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview_read, "NAMES", 1)

    async def story() -> None:
        page.set_connection(supervisor.add(Target("shop", history)))
        page.show()
        await loaded(page)
        assert page._table.key_at(0) == "shop.charge"
        assert page._table.model().rowCount() == 1
        assert page._among.isVisible()
        assert page._among.text() == "1 busiest of 2 names"
        assert page._table.verticalScrollBar().maximum() == 0

    run(story())


def test_a_gap_is_shown_on_every_chart(page: OverviewPage, supervisor: Supervisor, history: Path, run: Run) -> None:
    async def story() -> None:
        page.set_connection(supervisor.add(Target("shop", history)))
        page.show()
        await loaded(page)
        for chart in page._charts:
            (gap,) = chart._gaps
            assert gap.end - gap.start == invented.GAP[0] - invented.GAP[1]

    run(story())


def test_looking_back_shows_the_past_alone(page: OverviewPage, supervisor: Supervisor, history: Path, run: Run) -> None:
    async def story() -> None:
        page.set_connection(supervisor.add(Target("shop", history)))
        page.show()
        await loaded(page)
        end = time.time() - 400
        page._outcomes.range_selected.emit(end - 300, end)
        await loaded(page)
        span = page._outcomes._span
        assert end - 310 <= span.start <= end - 290
        assert end - 10 <= span.end <= end + 10
        assert tiles(page)["Workers"].startswith("2 heard")
        page._outcomes.reset.emit()
        assert page.range.live
        assert page.range.span == 900.0

    run(story())


def test_without_any_event_it_says_what_to_do(
    page: OverviewPage, supervisor: Supervisor, tmp_path: Path, run: Run
) -> None:
    invented.write_nothing(tmp_path / "empty.cloche", time.time())

    async def story() -> None:
        page.set_connection(supervisor.add(Target("empty", tmp_path / "empty.cloche")))
        page.show()
        await loaded(page)
        assert page._nothing.isVisible()
        assert "start the workers with -E" in page._nothing_text.text()

    run(story())


def test_without_a_history_it_says_so(
    page: OverviewPage, supervisor: Supervisor, tmp_path: Path, run: Run, qtbot: QtBot
) -> None:
    async def story() -> None:
        page.set_connection(supervisor.add(Target("gone", tmp_path / "gone.cloche")))
        told = asyncio.get_running_loop().create_future()
        page.trouble.connect(told.set_result)
        page.show()
        assert "gone.cloche" in await told

    run(story())


@pytest.mark.parametrize("size", [(1224, 823), (808, 623), (1704, 1003)])
def test_nothing_overlaps_or_is_cut(
    page: OverviewPage, supervisor: Supervisor, history: Path, run: Run, size: tuple[int, int]
) -> None:
    async def story() -> None:
        page.set_connection(supervisor.add(Target("shop", history)))
        page.resize(*size)
        page.show()
        await loaded(page)
        cards = [*page._tiles, *page._charts, page._card]
        inside = page._scroll.widget()
        assert inside is not None
        boxes = [card.rect().translated(card.mapTo(inside, card.rect().topLeft())) for card in cards]
        overlapping = [(a, b) for at, a in enumerate(boxes) for b in boxes[at + 1 :] if a.intersects(b)]
        assert not overlapping
        assert all(inside.rect().contains(box) for box in boxes)
        assert page._scroll.horizontalScrollBar().maximum() == 0
        assert page._table.verticalScrollBar().maximum() == 0

    run(story())
