"""Whatever is published on the event exchange: what can be read is stored, the rest is counted, nothing breaks."""

import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.collectors import normalise
from app.collectors.normalise import MAX_MESSAGE, MAX_TEXT, MAX_TRACEBACK, OTHER, Normaliser, clean_text, clean_word
from app.models.history.rows import Labels, RowMaker
from app.models.records import Event
from app.models.reducer import Reducer
from tests.helpers.events import T0, envelope, event, raw
from tests.helpers.hostile import ROWS, TEXTS, TIMES, good, message
from tests.helpers.stage import Stage

SEEN = T0 + 9


class Intake:
    """A normaliser and the reducer and row maker behind it, which have to take whatever it lets through."""

    def __init__(self) -> None:
        self.normaliser = Normaliser()
        self.reducer = Reducer(Stage())
        self.rows = RowMaker(Labels(), Labels(), Labels(), Labels())

    def take(self, payload: bytes) -> list[Event]:
        """Events of one message, all the way to the rows of the history."""
        found: list[Event] = []
        before = self.normaliser.received, sum(self.normaliser.rejected.values())
        self.normaliser.redis_message(payload, SEEN, found)
        received = self.normaliser.received - before[0]
        assert received == len(found) + sum(self.normaliser.rejected.values()) - before[1], "the identity"
        self.reducer.fold(found, SEEN)
        for row in self.rows.rows(self.reducer.flush()).tasks:
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


@pytest.mark.parametrize(("payload", "reasons", "events"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_hostile_message_is_counted_and_the_next_good_one_is_stored(
    payload: bytes, reasons: tuple[str, ...], events: int
) -> None:
    intake = Intake()
    assert len(intake.take(payload)) == events
    assert sorted(intake.normaliser.rejected.elements()) == sorted(reasons)
    assert [each.uuid for each in intake.take(good(1))] == ["good-1"]


def test_all_hostile_messages_in_a_row_cost_not_one_good_event() -> None:
    intake, survivors = Intake(), 0
    for number, (_, payload, _, _) in enumerate(ROWS):
        intake.take(payload)
        survivors += len(intake.take(good(number)))
    assert survivors == len(ROWS) >= 80
    expected = sum(len(reasons) for _, _, reasons, _ in ROWS)
    assert sum(intake.normaliser.rejected.values()) == expected


def test_each_row_has_a_name_of_its_own() -> None:
    names = Counter(row[0] for row in ROWS)
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("text", TIMES)
def test_a_time_that_is_none_is_replaced_by_that_of_reception(text: str) -> None:
    body = json.dumps(raw(timestamp=...))[:-1] + f', "timestamp": {text}}}'
    found = Intake().take(envelope(body.encode()))
    assert [each.timestamp for each in found] in ([SEEN], [])
    assert len(found) == (len(text) < 400), "a number beyond all floats is no timestamp at all"


@pytest.mark.parametrize(("text", "shown"), TEXTS.items())
@pytest.mark.parametrize("field", ["uuid", "hostname", "name", "queue", "routing_key", "root_id", "args", "exception"])
def test_text_that_lies_about_itself_is_shown_as_what_it_is(field: str, text: str, shown: str) -> None:
    (found,) = Intake().take(message("task-sent", **{field: text}))
    assert getattr(found, field) == shown


@pytest.mark.parametrize("field", ["sw_ident", "sw_ver", "sw_sys"])
@pytest.mark.parametrize(("text", "shown"), TEXTS.items())
def test_what_a_worker_says_of_itself_is_shown_as_what_it_is(field: str, text: str, shown: str) -> None:
    (found,) = Intake().take(message("worker-online", uuid=..., **{field: text}))
    assert getattr(found, field) == shown


@pytest.mark.parametrize(("text", "shown"), TEXTS.items())
def test_own_fields_of_a_custom_event_are_shown_as_what_they_are(text: str, shown: str) -> None:
    (found,) = Intake().take(message("task-progress", **{f"x{text}": text}, nested={"a": [text]}))
    assert found.payload is not None
    assert found.payload[f"x{shown}"] == shown
    assert json.loads(found.payload["nested"]) == {"a": [text]}, "nested values are text, escaped as JSON"


def test_lines_of_a_traceback_stay_lines_and_a_word_is_always_one() -> None:
    assert clean_text("a\n\tb\r\n") == "a\n\tb\\r\n"
    assert clean_word("a\n\tb\r\n") == r"a\n\tb\r\n"


def test_text_is_cut_and_says_so() -> None:
    (found,) = Intake().take(message("task-failed", exception="e" * 9_000, traceback="t" * 70_000))
    assert found.exception == "e" * MAX_TEXT + "… (cut, 9,000 characters)"
    assert found.traceback == "t" * MAX_TRACEBACK + "… (cut, 70,000 characters)"


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


def test_what_each_field_says_is_what_was_sent() -> None:
    sent = raw(
        "task-received", name="shop.buy", args="(1,)", kwargs="{}", root_id="r", parent_id="p", retries=2,
        eta="2026-11-21T10:57:10+00:00", expires="2026-11-22T10:57:10+00:00", utcoffset=5,
    )  # fmt: skip
    (found,) = Intake().take(envelope(sent))
    known = {key: value for key, value in msgspec.structs.asdict(found).items() if value is not None}
    assert known == {key: value for key, value in sent.items() if key != "utcoffset"} | {"seen": SEEN}


# --- fuzz ------------------------------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_ENDS = (
    "sent",
    "received",
    "started",
    "succeeded",
    "failed",
    "retried",
    "revoked",
    "rejected",
    "cancelled",
    "progress",
)
_OTHERS = ("worker-heartbeat", "worker-online", "worker-offline", "worker-elect", "x")
_KINDS = st.sampled_from([*(f"task-{end}" for end in _ENDS), *_OTHERS])
_FIELD_NAMES = st.sampled_from([*Event.__struct_fields__, "utcoffset", "current"])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_fuzz_any_bytes(payload: bytes) -> None:
    intake = Intake()
    intake.take(payload)
    intake.take(envelope(payload))
    assert len(intake.take(good(1))) == 1


@settings(max_examples=500, deadline=None)
@given(_KINDS, st.dictionaries(_FIELD_NAMES, _JSON | st.just(...), max_size=5))
def test_fuzz_fields_of_any_kind(kind: str, fields: dict[str, Any]) -> None:
    intake = Intake()
    intake.take(envelope([raw(kind, **fields), raw()]))
    assert len(intake.take(good(1))) == 1


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_fuzz_real_messages_with_bytes_changed(data: st.DataObject) -> None:
    payload = bytearray(envelope([raw("task-received", name="a.b", args="(1,)", retries=0), raw("task-started")]))
    inner = bytearray(json.dumps([raw("task-sent", queue="q"), raw("task-progress", current=1)]).encode())
    for target in (payload, inner):
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(target) - 1))
            target[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    intake = Intake()
    intake.take(bytes(payload))
    intake.take(envelope(bytes(inner)))
    assert len(intake.take(good(1))) == 1


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(), max_size=50))
def test_fuzz_cleaned_text_can_be_stored_shown_and_cleaned_again(text: str) -> None:
    for clean in (clean_word, clean_text):
        cleaned = clean(text)
        cleaned.encode()
        assert clean(cleaned) == cleaned
        assert all(letter.isprintable() or letter in "\n\t" or letter >= "\xa0" for letter in cleaned)


def test_an_event_of_the_helpers_is_one_the_normaliser_makes() -> None:
    (found,) = Intake().take(envelope(raw("task-started", pid=..., clock=...)))
    assert msgspec.structs.replace(found, seen=T0) == event("started", 0)
