"""Whatever is published on the event exchange: what can be read is stored, the rest is counted, nothing breaks."""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from app.collectors import normalise
from app.collectors.checks import EVENT_FIELDS, MAX_DISTINCT_BYTES, OTHER, REASONS
from app.collectors.normalise import MAX_CUSTOM, MAX_MESSAGE, Normaliser
from app.models.history.rows import RowMaker
from app.models.records import Event, Task
from app.models.reducer import Reducer
from tests.helpers.events import T0, envelope, event, raw
from tests.helpers.histories import Recording, reading, recording
from tests.helpers.hostile import CASES, good
from tests.helpers.hostile_case import SEEN, Case, message
from tests.helpers.stage import Stage

#: Where a task keeps what one event said of it, for the events whose word counts at once.
_KEPT: Final = {
    "name": "name", "args": "args", "kwargs": "kwargs", "queue": "queue", "routing_key": "routing_key",
    "result": "result", "exception": "exception", "traceback": "traceback", "root_id": "root", "parent_id": "parent",
}  # fmt: skip


class Nothing:
    """A history that knows no word."""

    def find(self, table: str, words: Sequence[str]) -> list[tuple[str, int]]:
        assert table
        assert words
        return []

    def last(self, table: str) -> int:
        assert table
        return 0


class Intake:
    """A normaliser and the reducer and row maker behind it, which have to take whatever it lets through."""

    def __init__(self) -> None:
        self.normaliser = Normaliser()
        self.reducer = Reducer(Stage())
        self.rows = RowMaker(Nothing())

    def take(self, payload: bytes) -> list[Event]:
        """Events of one message, all the way to the rows of the history."""
        found: list[Event] = []
        before = self.normaliser.received, sum(self.normaliser.rejected.values())
        self.normaliser.redis_message(payload, SEEN, found)
        received = self.normaliser.received - before[0]
        assert received == len(found) + sum(self.normaliser.rejected.values()) - before[1], "the identity"
        self.reducer.fold(found, SEEN)
        rows = self.rows.rows(self.reducer.flush())
        for row in (*rows.tasks, *rows.plain):
            assert storable(row), row
        return found


def storable(row: tuple[Any, ...]) -> bool:
    """Whether SQLite takes each value: text that is UTF-8, and numbers of 64 bits."""
    for value in row:
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            return False
    return True


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_i01_a_hostile_message_becomes_what_it_has_to_and_the_next_good_one_is_stored(case: Case) -> None:
    intake = Intake()
    found = intake.take(case.message)
    assert sorted(intake.normaliser.rejected.elements()) == sorted(case.rejected)
    assert len(found) == len(case.accepted)
    for each, expected in zip(found, case.accepted, strict=True):
        assert {field: getattr(each, field) for field in expected} == expected
    assert [each.uuid for each in intake.take(good(1))] == ["good-1"]


def test_i01_the_corpus_is_large_and_each_case_of_it_is_another_one() -> None:
    assert len(CASES) >= 500
    for values in ([case.name for case in CASES], [case.message for case in CASES]):
        assert [value for value, times in Counter(values).items() if times > 1] == []
    assert {reason for case in CASES for reason in case.rejected} == REASONS - {"broken stream"}


def test_i01_all_hostile_messages_reach_a_history_and_a_reader_and_cost_not_one_good_event(tmp_path: Path) -> None:
    normaliser = Normaliser()
    with recording(tmp_path / "h", active_limit=100) as history:
        for number, case in enumerate(CASES):
            _record(normaliser, history, case.message, f"case-{number}")
            _record(normaliser, history, good(number), "")
            if number % 100 == 0:
                history.commit()
        history.commit(accounting=[("received", "", normaliser.received)])
        with reading(tmp_path / "h") as reader:
            known = {task.uuid: task for task in reader.records()}
    assert all(f"good-{number}" in known for number in range(len(CASES)))
    wrong = [case.name for number, case in enumerate(CASES) if not _is_as_expected(case, known.get(f"case-{number}"))]
    assert wrong == []


def _record(normaliser: Normaliser, history: Recording, payload: bytes, uuid: str) -> None:
    """Fold a message; its events of the usual task are of a task of its own."""
    found: list[Event] = []
    normaliser.redis_message(payload, SEEN, found)
    for each in found:
        if each.uuid == "t1" and uuid:
            each.uuid = uuid
    history.reducer.fold(found, SEEN)


def _is_as_expected(case: Case, task: Task | None) -> bool:
    """Whether a task says what its only event said, in so far as the case is about that."""
    if task is None or len(case.accepted) != 1:
        return True
    fields = case.accepted[0]
    told = {_KEPT[field]: value for field, value in fields.items() if field in _KEPT and value != "t1"}
    return all(getattr(task, field) == value for field, value in told.items())


def test_a_message_of_the_largest_size_is_read() -> None:
    filling = MAX_MESSAGE - len(envelope(raw(), x=""))
    assert len(Intake().take(envelope(raw(), x="x" * filling))) == 1
    assert len(Intake().take(envelope(raw(), x="x" * (filling + 1)))) == 0


def test_good_events_of_a_list_are_read_with_the_bad_ones_between_them_counted() -> None:
    intake = Intake()
    found = intake.take(envelope([raw(uuid="a"), raw(uuid=""), raw(uuid="b"), 5, raw(uuid="c", result="\ud800")]))
    assert [each.uuid for each in found] == ["a", "b", "c"]
    assert intake.normaliser.rejected == {"missing field": 1, "not an event": 1}
    assert intake.normaliser.received == 5


def test_custom_events_of_one_list_keep_each_their_own_fields() -> None:
    progress = [raw("task-progress", current=number, uuid=f"t{number % 2}") for number in range(6)]
    found = Intake().take(envelope([raw(), *progress]))
    assert [each.payload for each in found] == [None, *({"current": number} for number in range(6))]


def test_a_long_list_of_custom_events_is_read_once_not_once_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each was looked up in the whole message anew: one message of 4 MB would have taken a quarter of an hour.
    reads: list[bytes] = []

    def counting(body: bytes) -> Any:
        reads.append(body)
        return json.loads(body)

    monkeypatch.setattr(normalise, "_loads", counting)
    found = Intake().take(envelope([raw("task-progress", current=number) for number in range(2_000)]))
    assert len(reads) == 1
    assert [each.payload for each in found] == [{"current": number} for number in range(2_000)]


def test_own_fields_of_a_custom_event_may_have_any_name() -> None:
    own = {"name": 5, "payload": [1], "seen": "never", "result": "half", "queue": None, "retries": "many"}
    (found,) = Intake().take(message("task-progress", **own))
    assert found.payload == own | {"payload": "[1]"}
    assert (found.name, found.result, found.queue, found.retries) == (None, None, None, None)


def test_own_fields_are_bounded_in_number_and_length() -> None:
    fields = {f"field{number:03}" + "k" * 2_000: "v" * 5_000 for number in range(40)}
    (found,) = Intake().take(message("task-progress", **fields))
    assert found.payload is not None
    assert len(found.payload) == 32
    assert max(map(len, found.payload)) <= 1_024
    assert max(len(value) for value in found.payload.values()) < 1_100


def test_what_is_not_a_task_event_never_makes_a_task() -> None:
    intake = Intake()
    for kind in ("worker-heartbeat", "worker-online", "worker-elect"):
        intake.take(message(kind, uuid="\ud800"))
    assert intake.reducer.flush().tasks == []
    assert intake.reducer.task("\ud800") is None


def test_hosts_names_and_queues_beyond_the_limit_are_counted_together() -> None:
    normaliser, found = Normaliser(max_distinct=3), list[Event]()
    for number in range(5):
        body = raw("task-sent", name=f"n{number}", queue=f"q{number}", hostname="gen1@producer")
        normaliser.redis_message(envelope(body), SEEN, found)
    assert [each.name for each in found] == ["n0", "n1", "n2", OTHER, OTHER]
    assert [each.queue for each in found] == ["q0", "q1", "q2", OTHER, OTHER]
    normaliser.redis_message(envelope(raw("task-sent", name="n1", queue="q2")), SEEN, found)
    assert (found[-1].name, found[-1].queue) == ("n1", "q2"), "those that were known stay known"


def test_many_producers_do_not_use_up_the_room_for_workers() -> None:
    # Every process that sends a task has a name of its own, gen<pid>@host: there is no end of them.
    normaliser, found = Normaliser(max_distinct=10), list[Event]()
    for number in range(50):
        normaliser.redis_message(envelope(raw("task-sent", hostname=f"gen{number}@web")), SEEN, found)
    normaliser.redis_message(envelope(raw("task-started", hostname="new@worker")), SEEN, found)
    assert found[-1].hostname == "new@worker"


@pytest.mark.parametrize(("letter", "length"), [("w", 1_000), ("\u200b", 160), ("\U0001f514", 1_000)])
def test_distinct_words_are_bounded_in_memory_too(letter: str, length: int) -> None:
    normaliser, found = Normaliser(), list[Event]()
    for number in range(20_000):
        body = raw("task-received", name=f"{number:06}".ljust(length, letter))
        normaliser.body(json.dumps(body, ensure_ascii=False).encode(), SEEN, found)
    kept = {each.name for each in found if each.name != OTHER}
    assert sum(len(name or "") for name in kept) <= MAX_DISTINCT_BYTES
    assert found[-1].name == OTHER


def test_types_of_custom_events_beyond_the_limit_are_taken_for_one() -> None:
    normaliser, found = Normaliser(), list[Event]()
    for number in (*range(MAX_CUSTOM + 2), 0):
        normaliser.redis_message(message(f"task-step-{number}", n=number), SEEN, found)
    assert [each.type for each in found[MAX_CUSTOM - 1 :]] == [
        f"task-step-{MAX_CUSTOM - 1}", "task-other", "task-other", "task-step-0",
    ]  # fmt: skip
    assert [each.payload for each in found[-3:]] == [{"n": MAX_CUSTOM}, {"n": MAX_CUSTOM + 1}, {"n": 0}]


_FOREIGN: Final = {
    "freq": 5.0, "active": 1, "loadavg": [0.5], "sw_ver": "5", "clock": 10**40, "queue": "q" * 2_000,
    "name": "n" * 2_000, "parent_id": "p" * 2_000, "routing_key": "r" * 2_000, "retries": -1, "runtime": -1.0,
    "uuid": "u" * 2_000,
}  # fmt: skip


@pytest.mark.parametrize("field", _FOREIGN)
@pytest.mark.parametrize("kind", ["task-received", "task-started", "task-succeeded"])
def test_an_ordinary_event_of_a_known_host_is_looked_at_as_closely_as_any_other(kind: str, field: str) -> None:
    sent = message(kind, **{"name": "add", "uuid": "t2", field: _FOREIGN[field]})
    known, fresh = Intake(), Intake()
    known.take(envelope([raw(kind), raw("task-received", name="add")]))
    assert [each.retries for each in known.take(sent)] == [each.retries for each in fresh.take(sent)]
    assert known.normaliser.rejected == fresh.normaliser.rejected
    assert msgspec.to_builtins(Intake().take(sent)) == msgspec.to_builtins(known.take(sent))


_VALUES: Final[tuple[object, ...]] = (
    None, "", "x", "n" * 1_024, "n" * 1_025, "2026-11-21T10:57:10+00:00", 0, 1, -1, 0.0, 0.5, 1e9, 1e10, 4.1e9, T0,
    2**53, 2**53 - 1, 10**40, True, False, [], [0.5], {}, {"a": 1},
)  # fmt: skip


@pytest.mark.parametrize("kind", ["task-received", "task-started", "task-succeeded"])
def test_what_the_decoder_takes_for_ordinary_is_the_same_when_it_is_looked_at_closely(kind: str) -> None:
    for field, value in product(sorted((EVENT_FIELDS | {"seen", "payload"}) - {"type"}), _VALUES):
        sent = raw(kind, **{"name": "add", field: value})
        quick, closely = Intake(), Intake()
        for intake in (quick, closely):
            intake.take(envelope([raw(kind), raw("task-received", name="add")]))
        # An escape anywhere in a message asks for a closer look at all of it.
        found = [
            [msgspec.structs.asdict(each) for each in intake.take(envelope(told))]
            for intake, told in ((quick, sent), (closely, sent | {"x": "é"}))
        ]
        assert found[0] == found[1], (field, value)
        assert quick.normaliser.rejected == closely.normaliser.rejected, (field, value)


def test_what_each_field_says_is_what_was_sent() -> None:
    sent = raw(
        "task-received", name="shop.buy", args="(1,)", kwargs="{}", root_id="r", parent_id="p", retries=2,
        eta="2026-11-21T10:57:10+00:00", expires="2026-11-22T10:57:10+00:00", utcoffset=5,
    )  # fmt: skip
    (found,) = Intake().take(envelope(sent))
    known = {key: value for key, value in msgspec.structs.asdict(found).items() if value is not None}
    assert known == {key: value for key, value in sent.items() if key != "utcoffset"} | {"seen": SEEN}


def test_an_event_of_the_helpers_is_one_the_normaliser_makes() -> None:
    (found,) = Intake().take(envelope(raw("task-started", pid=..., clock=...)))
    found.seen = T0
    assert msgspec.structs.asdict(found) == msgspec.structs.asdict(event("started", 0))
