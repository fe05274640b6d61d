"""A collector asked to look through a queue: it answers again and again, stops when told to, and stays polite."""

import queue
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from redis import Redis

from app.collectors import peeker as peeking
from app.collectors import redis_broker, redis_survey
from app.collectors.brokers import broker_at
from app.collectors.messages import Page
from app.collectors.peeker import Peeker
from app.collectors.redis_messages import peek
from app.models.profiles import Mode
from app.models.surveys import MARKS, OPERATE_ONLY
from app.models.wire import Peek, Peeked, Search, StopSearch, Surveyed
from tests.collectors.test_redis_survey import put
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually


class Asking:
    """A thread that looks at messages, and what it answers."""

    def __init__(self, url: str, mode: Mode = "passive") -> None:
        self.answers: queue.SimpleQueue[Peeked | Surveyed] = queue.SimpleQueue()
        self.pipelines: list[int] = []
        self.thread = Peeker(broker_at(url), mode, self.answers.put, on_command=self.pipelines.append)
        self.thread.start()

    def ask(self, asked: Peek | Search | StopSearch) -> None:
        self.thread.ask(asked)

    def answer(self) -> Peeked | Surveyed:
        return self.answers.get(timeout=20)

    def ends(self) -> list[Surveyed]:
        """All that is answered until a search ended."""
        said: list[Surveyed] = []
        while not said or (said[-1].survey.state == "looking" and not said[-1].error):
            said.append(cast("Surveyed", self.answer()))
        return said


@pytest.fixture
def asking(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asking]:
    monkeypatch.setattr(redis_survey, "PIECE", 1_000)
    made = Asking(redis_server.url)
    yield made
    made.thread.stop()
    made.thread.join()


def test_a_search_is_answered_piece_by_piece_and_not_faster_than_is_polite(asking: Asking, client: Redis) -> None:
    put(client, "mail", range(60))
    began = time.monotonic()
    asking.ask(Search(7, "mail", "id-000000"))
    said = asking.ends()
    assert {each.number for each in said} == {7}
    assert [each.survey.looked for each in said] == sorted(each.survey.looked for each in said)
    assert [message.id for message in said[-1].survey.found] == ["id-000000"]
    assert len(said) >= 5
    assert time.monotonic() - began >= (len(said) - 1) * peeking.PAUSE
    assert asking.pipelines == [1] * len(said)


def test_a_page_is_answered_between_two_pieces(asking: Asking, client: Redis) -> None:
    put(client, "mail", range(100))
    asking.ask(Search(1, "mail"))
    asking.ask(Peek(2, "mail", count=1))
    answers = [asking.answer() for _ in range(2)]
    page = next(each for each in answers if isinstance(each, Peeked))
    assert (page.number, page.messages[0].id) == (2, "id-000000")
    assert asking.ends()[-1].survey.looked == 100


def test_a_search_is_stopped_and_another_one_takes_its_place(
    asking: Asking, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, "mail", range(2_000))
    asking.ask(Search(1, "mail"))
    asking.answer()
    asking.ask(StopSearch(9))
    assert cast("Surveyed", asking.answer()).survey.state == "looking", "another number is not meant"
    asking.ask(StopSearch(1))
    assert asking.ends()[-1].survey.state == "stopped"
    monkeypatch.setattr(peeking, "PAUSE", 0.0)
    asking.ask(Search(2, "mail"))
    asking.ask(Search(3, "mail", "id-001999"))
    assert (asking.ends()[-1].number, asking.ends()[-1].number) == (2, 3)


def test_a_search_that_is_paused_goes_on_where_it_was_and_any_other_begins_anew(
    asking: Asking, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peeking, "PAUSE", 0.0)
    monkeypatch.setattr(redis_survey, "GO", 100)
    put(client, "mail", range(500))
    looked = []
    for number, further in ((1, False), (2, True), (3, False), (4, True)):
        asking.ask(Search(number, "mail", "nosuch", further))
        last = asking.ends()[-1]
        assert (last.number, last.survey.state) == (number, "paused")
        looked.append(last.survey.looked // 100)
    assert looked == [1, 2, 1, 2]
    asking.ask(Search(5, "mail", "other", further=True))
    assert asking.ends()[-1].survey.looked // 100 == 1


def test_what_goes_wrong_is_said_and_ends_the_search(asking: Asking, client: Redis) -> None:
    client.set("odd", "no list")
    asking.ask(Search(1, "odd"))
    assert "WRONGTYPE" in asking.ends()[-1].error
    put(client, "mail", range(3))
    asking.ask(Search(2, "mail"))
    assert asking.ends()[-1].survey.looked == 3


@pytest.mark.parametrize(
    ("mode", "agreed", "said", "may"),
    [
        ("passive", True, OPERATE_ONLY, False),
        ("observe", True, OPERATE_ONLY, False),
        ("operate", False, MARKS, True),
    ],
)
def test_what_marks_messages_takes_operate_mode_and_somebody_who_agreed(
    mode: Mode, said: str, *, agreed: bool, may: bool
) -> None:
    # Nobody is there: whoever asked this broker would be refused.
    asking = Asking("amqp://127.0.0.1:1//", mode)
    asking.ask(Peek(1, "mail", agreed=agreed))
    answer = cast("Peeked", asking.answer())
    assert (answer.error, answer.agreed) == (said, not may)
    assert asking.pipelines == []
    asking.ask(Search(2, "mail"))
    assert "does not look through whole queues" in asking.ends()[-1].error
    if mode == "operate":
        asking.ask(Peek(3, "mail", agreed=True))
        assert "No connection to the broker" in cast("Peeked", asking.answer()).error
    asking.thread.stop()
    asking.thread.join()


def test_a_page_and_a_search_are_never_connected_both(
    asking: Asking, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, "mail", range(200))
    connected: list[int] = []
    look = peek

    def counted(*where: Any, **what: Any) -> Page:
        eventually(lambda: not ours(), "that the connection of the search is gone")
        connected.append(ours())
        return look(*where, **what)

    def ours() -> int:
        return [each["name"] for each in client.client_list()].count("cloche-messages")

    monkeypatch.setattr(redis_broker, "peek", counted)
    asking.ask(Search(1, "mail"))
    asking.answer()
    assert ours() == 1
    asking.ask(Peek(2, "mail"))
    while not isinstance(asking.answer(), Peeked):
        pass
    assert connected == [0]
