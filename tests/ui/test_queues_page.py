import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from app.models.history.charts import Series
from app.models.qt.queues import Column, Flow, QueueRow
from app.models.qt.table import Role
from app.models.records import DeadLetter, Message, Queue, Worker
from app.models.surveys import MARKS, Survey
from app.models.wire import Peeked, Surveyed
from app.ui.live import TimeRange
from app.ui.pages.queue_inspector import condition, consumers, facts
from app.ui.pages.queues import QueuesPage
from app.ui.theme import ThemeManager
from app.ui.widgets.message_row import in_full, remarks
from app.ui.widgets.waiting import PAGE
from tests.models.qt.drawing import drawn
from tests.ui.conftest import Run
from tests.ui.histories import History, Stand, emitted, heartbeat, sent


@pytest.fixture
def now() -> float:
    return time.time()


@pytest.fixture
def history(tmp_path: Path, now: float) -> Iterator[History]:
    """Queue mail drains and w1 consumes it; queue stuck grows and nobody does."""
    made = History(tmp_path / "h.cloche")
    for number in range(40):
        at = now - 200 + number * 5
        made.fold(heartbeat("w1@h", at), sent(f"t{number}", at, queue="mail"), now=at)
        made.reducer.fold_inspection("w1@h", {"queues": ["mail"]}, at)
        made.reducer.fold_queues(
            [
                Queue("mail", at, ready=100 - number, by_priority={"0": 20, "3": 80 - number}, unacked=2, oldest=1.9),
                Queue("stuck", at, ready=10 + number, by_priority={"0": 10 + number}, unacked=0, oldest=90.0),
            ],
            at,
        )
    made.commit(now)
    yield made
    made.close()


@pytest.fixture
def stand(history: History) -> Iterator[Stand]:
    made = Stand(history.path)
    yield made
    made.close()


@pytest.fixture
def page(qtbot: QtBot, theme: ThemeManager, stand: Stand) -> QueuesPage:
    made = QueuesPage(theme, TimeRange())
    qtbot.addWidget(made)
    made.resize(1300, 700)
    made.set_connection(stand)  # type: ignore[arg-type]
    return made


async def opened(page: QueuesPage) -> None:
    page.show()
    await emitted(page.loaded)
    await page.settled()


def test_each_queue_tells_what_waits_and_where_it_goes(page: QueuesPage, run: Run) -> None:
    async def story() -> None:
        await opened(page)
        table = page.table.model()
        assert drawn(table, range(Column.IN)) == (
            "Queue | Ready | By priority | Unacked | Consumers\n"
            "mail  | 61    |             | 2       | 1\n"
            "stuck | 49    |             | 0       | 0"
        )
        assert [table.index(row, Column.DRAINS).data().split()[0] for row in range(2)] == ["5", "growing"]
        assert [table.index(row, Column.OLDEST).data() for row in range(2)] == ["≥ 1.9 s", "≥ 1 m 30 s"]
        assert float(table.index(0, Column.IN).data()) == pytest.approx(12, abs=1)
        assert table.index(1, Column.IN).data() == "—"
        assert [table.index(row, Column.CONSUMERS).data(Role.TONE) for row in range(2)] == ["", "failed"]
        assert isinstance(table.index(0, Column.TREND).data(Role.CELL).detail, Series)

    run(story())


def test_the_inspector_tells_facts_priorities_trend_and_consumers(page: QueuesPage, run: Run) -> None:
    async def story() -> None:
        await opened(page)
        page.table.go_to("mail")
        QTest.keyClick(page.table, Qt.Key.Key_Return)
        await emitted(page.loaded)
        details = page._details
        assert details.state.accessibleName() == "Flowing"
        assert details.subtitle.text() == "61 ready · 2 unacked"
        assert details._bars.accessibleName() == "Ready by priority: Priority 0: 20, Priority 3: 41"
        assert details._consumers.text() == "w1@h: online"
        assert "Drains in: 5 m" in details._facts.text()
        assert set(details.chart._table.names) == {"ready", "unacked"}
        page.table.go_to("stuck")
        await emitted(page.loaded)
        assert details.state.accessibleName() == "Nobody consumes it"
        assert not details._priorities.isVisible()
        assert details._nobody.text().startswith("Nobody.")

    run(story())


@pytest.mark.parametrize(
    ("queue", "flow", "said"),
    [
        (Queue("q", 0, ready=5, consumers=0), Flow(), "unattended"),
        (Queue("q", 0, ready=0, consumers=0), Flow(net=0, steady=True), "empty"),
        (Queue("q", 0, ready=5, consumers=1), Flow(net=9), "growing"),
        (Queue("q", 0, ready=5, consumers=1), Flow(net=-9), "flowing"),
        (Queue("q", 0, ready=5, consumers=1), Flow(net=1, steady=True), "steady"),
        (Queue("q", 0, ready=5), Flow(), "unknown"),
        (Queue("q", 0), Flow(), "unknown"),
        (Queue("q", 0, ready=5, consumers=0, role="delayed"), Flow(net=9), "delayed"),
        (Queue("q", 0, ready=5, consumers=0, role="dead letter"), Flow(), "dead letter"),
        (Queue("q", 0, ready=5, consumers=0, role="quarantine"), Flow(net=-9), "quarantine"),
        (Queue("q", 0, ready=5, consumers=0, role="dead letter"), Flow(net=9), "growing"),
        (Queue("q", 0, ready=5, consumers=0, role="dead letter", consumed=1), Flow(net=9), "unattended"),
        (Queue("q", 0, ready=5, consumers=2, role="dead letter", consumed=1), Flow(net=-9), "flowing"),
    ],
)
def test_a_queue_is_called_by_what_matters_most(queue: Queue, flow: Flow, said: str) -> None:
    assert condition(QueueRow(queue, None, flow)) == said


def test_what_rabbitmq_tells_of_a_queue_is_among_its_facts() -> None:
    queue = Queue(
        "mail", 0, type="quorum", durable=True, memory=1_234_567, policy="giving-up",
        dead_letter=DeadLetter("dlx", "mail.dead", ["mail.dead"]), dead_letters_of=["a", "b", "c", "d", "e"],
    )  # fmt: skip
    shown = {fact.label: fact for fact in facts(QueueRow(queue), 0)}
    assert shown["Type"].value == "quorum, durable"
    assert shown["Memory"].value == "1.23 MB"
    assert shown["Policy"].value == "giving-up"
    assert shown["Dead letters to"].value == "mail.dead"
    assert shown["Dead letters to"].tip.endswith("goes on by exchange dlx with the key mail.dead")
    assert shown["Dead letters of"].value == "a, b, c and 2 more"
    assert shown["Dead letters of"].tip == "a\nb\nc\nd\ne"
    for to, value, tip in (
        (
            DeadLetter("dlx"),
            "dlx",
            "by exchange dlx with the key they came with, which leads to no queue that is known",
        ),
        (
            DeadLetter(""),
            "(default exchange)",
            "by the default exchange with the key they came with, which leads to no",
        ),
    ):
        queue.dead_letter = to
        shown = {fact.label: fact for fact in facts(QueueRow(queue), 0)}
        assert (shown["Dead letters to"].value, tip in shown["Dead letters to"].tip) == (value, True)
    plain = {fact.label for fact in facts(QueueRow(Queue("mail", 0)), 0)}
    assert plain.isdisjoint({"Type", "Memory", "Policy", "Dead letters to", "Dead letters of"})


def test_workers_that_are_gone_consume_nothing() -> None:
    states = ("online", "silent", "lost", "offline")
    workers = [Worker(state, 0, state=state, queues=["q"]) for state in states] + [Worker("other", 0, queues=["r"])]
    assert [worker.hostname for worker in consumers(Queue("q", 0), workers)] == ["online", "silent"]


def test_without_any_queue_the_page_says_what_to_do(
    qtbot: QtBot, theme: ThemeManager, run: Run, tmp_path: Path, now: float
) -> None:
    history = History(tmp_path / "empty.cloche")
    history.commit(now)
    stand = Stand(history.path)
    page = QueuesPage(theme, TimeRange())
    qtbot.addWidget(page)

    async def story() -> None:
        page.set_connection(stand)  # type: ignore[arg-type]
        await opened(page)
        assert page.table._empty._title.text() == "No queue has been seen"

    run(story())
    stand.close()
    history.close()


def test_a_picture_shows_the_queue_in_trouble_with_its_inspector(page: QueuesPage, run: Run) -> None:
    async def story() -> None:
        await opened(page)
        await page.prepare_shot()
        assert page._details.title.text() == "stuck"

    run(story())


class Looking(Stand):
    """A stand whose broker has messages in its queues, and which looks through them in steps of two answers."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.looks: list[tuple[str, int, int, bool]] = []
        self.searches: list[tuple[str, str, bool]] = []
        self.error = ""
        self.marks = False
        self.last = Survey()
        self.going_on = asyncio.Event()
        self.searching = False

    async def peek(self, queue: str, start: int, count: int, *, newest: bool, agreed: bool = False) -> Peeked:
        self.looks.append((queue, start, count, newest))
        if self.error:
            return Peeked(1, error=self.error)
        if self.marks and not agreed:
            return Peeked(1, error=MARKS, agreed=False)
        numbers = range(44, -1, -1) if newest else range(45)
        found = [
            Message(size=700, id=f"{queue}-{number}", name="shop.buy") for number in numbers[start : start + count]
        ]
        return Peeked(1, found, start, 45, turns=not self.marks)

    async def search(self, queue: str, wanted: str = "", *, further: bool = False) -> AsyncGenerator[Surveyed, None]:
        self.searches.append((queue, wanted, further))
        self.searching = True
        yield Surveyed(1, Survey(total=45, reached=45, looked=20, names=[("shop.buy", 20)]))
        await self.going_on.wait()
        self.searching = False
        yield Surveyed(1, self.last)

    def stop_search(self) -> None:
        if not self.searching:
            return
        self.last = Survey(total=45, reached=45, looked=20, state="stopped", names=[("shop.buy", 20)])
        self.going_on.set()


@pytest.fixture
def looking(qtbot: QtBot, theme: ThemeManager, history: History) -> Iterator[tuple[QueuesPage, Looking]]:
    stand = Looking(history.path)
    made = QueuesPage(theme, TimeRange())
    qtbot.addWidget(made)
    made.resize(1300, 900)
    made.set_connection(stand)  # type: ignore[arg-type]
    yield made, stand
    stand.close()


def shown(page: QueuesPage) -> list[str]:
    """Ids of the messages that are seen."""
    pane = page._details.messages
    return [row._id.text() for row in pane._rows if row.isVisible()]


def test_messages_are_looked_at_when_somebody_wants_to_see_them_and_paged_from_both_ends(
    looking: tuple[QueuesPage, Looking], run: Run
) -> None:
    page, stand = looking

    async def story() -> None:
        await opened(page)
        page.inspect("mail")
        await emitted(page.loaded)
        assert stand.looks == [], "nobody looks before the tab is opened"
        page._details.tabs.setCurrentIndex(1)
        await page.settled()
        pane = page._details.messages
        assert stand.looks == [("mail", 0, PAGE, False)]
        assert shown(page) == [f"mail-{number}" for number in range(20)]
        assert pane.place.text() == "1–20 of 45 messages"
        assert (pane.back.isEnabled(), pane.on.isEnabled()) == (False, True)
        for place in ("21–40 of 45 messages", "41–45 of 45 messages"):
            pane.on.click()
            await page.settled()
            assert pane.place.text() == place
        assert (pane.back.isEnabled(), pane.on.isEnabled()) == (True, False)
        pane.order.click()
        await page.settled()
        assert shown(page)[0] == "mail-44"
        page.inspect("stuck")
        await emitted(page.loaded)
        await page.settled()
        assert shown(page)[0] == "stuck-44", "another queue is looked into at once, in the same order"

    run(story())


def test_what_can_not_be_looked_at_is_said_and_the_broker_is_not_asked_again_by_itself(
    looking: tuple[QueuesPage, Looking], run: Run
) -> None:
    page, stand = looking
    stand.error = "The broker does not permit it."

    async def story() -> None:
        await opened(page)
        page.inspect("mail")
        await emitted(page.loaded)
        page._details.tabs.setCurrentIndex(1)
        await page.settled()
        assert page._details.messages._said.text() == stand.error
        assert shown(page) == []
        page.reload()
        await emitted(page.loaded)
        await page.settled()
        assert len(stand.looks) == 1

    run(story())


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (Message(size=1), ""),
        (Message(size=1, priority=6, retries=2, origin="gen1@web"), "priority 6 · retry 2 · from gen1@web"),
        (Message(size=1, source="header", note="Not read."), "arguments as its sender showed them · Not read."),
        (
            Message(size=1, embed='{"chain": [1], "chord": 5}', redelivered=True),
            "redelivered · followed by chain, chord",
        ),
        (Message(size=1, embed="… (cut)"), "followed by others"),
    ],
)
def test_what_is_unusual_of_a_message_is_said(message: Message, said: str) -> None:
    assert remarks(message) == said


async def looked_into(page: QueuesPage, queue: str) -> None:
    await opened(page)
    page.inspect(queue)
    await emitted(page.loaded)
    page._details.tabs.setCurrentIndex(1)
    await page.settled()


async def turns() -> None:
    """Let what was begun go on as far as it can by itself."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_tasks_of_a_queue_are_counted_when_somebody_wants_it_and_found_by_a_click(
    looking: tuple[QueuesPage, Looking], run: Run
) -> None:
    page, stand = looking

    async def story() -> None:
        await looked_into(page, "mail")
        search = page._details.search
        assert (search.isVisible(), search.bars.isVisible(), stand.searches) == (True, False, [])
        search.names.click()
        await turns()
        assert stand.searches == [("mail", "", False)]
        assert search.said.text() == "20 of 45 messages looked at …"
        assert (search.stop.isVisible(), search.names.isEnabled()) == (True, False)
        names = [("shop.buy", 30), ("shop.pay", 12), ("", 3)]
        stand.last = Survey(total=45, reached=45, looked=45, state="over", names=names)
        stand.going_on.set()
        await page.settled()
        assert search.said.text() == "All of 45 messages."
        told = "shop.buy: 30 · 66.7 %, shop.pay: 12 · 26.7 %, Messages without a task: 3 · 6.7 %"
        assert search.bars.accessibleName() == f"Tasks of this queue: {told}"
        assert (search.stop.isVisible(), search.names.isEnabled()) == (False, True)
        stand.last = Survey(total=45, reached=45, looked=45, state="over", found=[Message(size=9, id="m", place=7)])
        QTest.mouseClick(search.bars, Qt.MouseButton.LeftButton, pos=QPoint(5, 40))
        await page.settled()
        assert stand.searches[1:] == [("mail", "shop.pay", False)]
        assert (search.field.text(), shown(page)) == ("shop.pay", ["m"])
        assert page._details.messages._rows[0]._size.text() == "8 · 9 B"
        QTest.mouseClick(search.bars, Qt.MouseButton.LeftButton, pos=QPoint(5, 70))
        await page.settled()
        assert len(stand.searches) == 2, "messages without a task have no name to be found by"

    run(story())


def test_a_sample_says_what_it_is_of_and_shows_shares_alone(looking: tuple[QueuesPage, Looking], run: Run) -> None:
    page, stand = looking
    stand.going_on.set()
    names = [(f"task-{number}", 150 - number) for number in range(13)]
    stand.last = Survey(
        total=10_000_000, reached=840_000, looked=2_000, state="over", sample=True, names=names, others=4, other=23
    )

    async def story() -> None:
        await looked_into(page, "mail")
        search = page._details.search
        search.names.click()
        await page.settled()
        said = search.said.text()
        assert said.startswith("5 more tasks: 8.1 % of the messages. A sample of 2,000 of 10,000,000 messages")
        assert "spread evenly over the 840,000 nearest to both ends" in said
        assert "The 9,160,000 between can't be looked at without a stall of the broker." in said
        assert search.bars.accessibleName().startswith("Tasks of this queue: task-0: 7.5 %, task-1: 7.4 %")

    run(story())


def test_a_message_is_found_by_its_id_and_an_empty_field_leads_back(
    looking: tuple[QueuesPage, Looking], run: Run
) -> None:
    page, stand = looking
    stand.going_on.set()

    async def story() -> None:
        await looked_into(page, "mail")
        search, pane = page._details.search, page._details.messages
        search.field.setText("  ")
        QTest.keyClick(search.field, Qt.Key.Key_Return)
        assert stand.searches == []
        stand.last = Survey(total=900, reached=900, looked=400, state="paused")
        search.field.setText(" mail-31 ")
        QTest.keyClick(search.field, Qt.Key.Key_Return)
        await page.settled()
        assert stand.searches == [("mail", "mail-31", False)]
        assert search.said.text() == ("“mail-31” was not found: 400 of 900 messages looked at. Look further to go on.")
        assert (search.further.isVisible(), shown(page)) == (True, [])
        stand.last = Survey(total=900, reached=900, looked=500, state="over",
                            found=[Message(size=1, id="mail-31", place=1_234)])  # fmt: skip
        search.further.click()
        await page.settled()
        assert stand.searches[1:] == [("mail", "mail-31", True)]
        assert search.said.text() == "Found, with 1,234 messages before it."
        assert (search.further.isVisible(), shown(page), pane.place.text()) == (False, ["mail-31"], "Found")
        assert (pane.leave.isVisible(), pane.again.isVisible(), pane.on.isVisible()) == (True, False, False)
        pane.leave.click()
        await page.settled()
        assert (shown(page)[0], pane.place.text(), search.said.isVisible()) == ("mail-0", "1–20 of 45 messages", False)
        assert (pane.leave.isVisible(), pane.again.isVisible(), pane.on.isVisible()) == (False, True, True)

    run(story())


def test_a_search_is_stopped_by_its_button_and_by_looking_at_another_queue(
    looking: tuple[QueuesPage, Looking], run: Run
) -> None:
    page, stand = looking

    async def story() -> None:
        await looked_into(page, "mail")
        search = page._details.search
        search.names.click()
        await turns()
        search.stop.click()
        await page.settled()
        assert search.said.text() == "Stopped: 20 of 45 messages looked at. These are not the shares of all."
        stand.going_on.clear()
        search.names.click()
        await turns()
        assert not stand.going_on.is_set()
        page.inspect("stuck")
        await emitted(page.loaded)
        await page.settled()
        assert stand.going_on.is_set()
        assert (search.said.isVisible(), search.bars.isVisible()) == (False, False)
        assert shown(page)[0] == "stuck-0"
        stand.going_on.clear()
        search.names.click()
        await turns()
        page.close_inspector()
        assert stand.going_on.is_set()

    run(story())


def test_what_marks_messages_is_said_first_and_done_when_it_is_agreed_to(
    looking: tuple[QueuesPage, Looking], run: Run
) -> None:
    page, stand = looking
    stand.marks = True

    async def story() -> None:
        await looked_into(page, "mail")
        pane, search = page._details.messages, page._details.search
        assert (pane._said.text(), shown(page)) == (MARKS, [])
        assert (pane.agree.isVisible(), pane.again.isVisible(), search.isVisible()) == (True, False, False)
        pane.agree.click()
        await page.settled()
        assert len(shown(page)) == 20
        assert [button.isVisible() for button in (pane.on, pane.back, pane.order, pane.agree)] == [False] * 4
        assert not search.isVisible(), "all messages would be marked"
        pane.again.click()
        await page.settled()
        assert len(shown(page)) == 20
        page.inspect("stuck")
        await emitted(page.loaded)
        await page.settled()
        assert (pane._said.text(), shown(page)) == (MARKS, []), "of another queue it is asked again"

    run(story())


def test_messages_of_another_broker_are_not_those_of_a_queue_of_the_same_name(
    looking: tuple[QueuesPage, Looking], run: Run, history: History
) -> None:
    page, _ = looking
    other = Looking(history.path)
    other.error = "There is nothing to see here."

    async def story() -> None:
        await looked_into(page, "mail")
        assert len(shown(page)) == 20
        page.set_connection(other)  # type: ignore[arg-type]
        await emitted(page.loaded)
        page.inspect("mail")
        await emitted(page.loaded)
        await page.settled()
        assert (shown(page), page._details.messages._said.text()) == ([], other.error)

    run(story())
    other.close()


def test_all_of_a_message_is_unfolded_and_folded_with_the_next_page(
    looking: tuple[QueuesPage, Looking], run: Run
) -> None:
    page, _ = looking

    async def story() -> None:
        await looked_into(page, "mail")
        pane = page._details.messages
        row = pane._rows[0]
        row.fold.click()
        assert row._all is not None
        assert row._all.isVisible()
        pane.on.click()
        await page.settled()
        assert not row._all.isVisible()

    run(story())


def test_a_message_in_full_shows_all_that_is_known_of_it() -> None:
    message = Message(size=1, args='[1, {"a": 2}]', headers='{"root_id": "r"}', note="A note.")
    assert in_full(message) == (
        'args\n[\n  1,\n  {\n    "a": 2\n  }\n]\n\nheaders\n{\n  "root_id": "r"\n}\n\nnote\nA note.'
    )
    assert in_full(Message(size=1, args="[1… (cut, 9,000 characters)")) == "args\n[1… (cut, 9,000 characters)"
