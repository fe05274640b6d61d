"""How searches are read: trees, errors with their positions, figures."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.models.search import Search, SearchError, parse, quote
from app.models.search.conditions import Anywhere, Compare
from app.models.search.fields import CONDITIONS
from app.models.search.patterns import Pattern
from app.models.search.values import Clock

NOW = datetime(2026, 11, 21, 3, 4, 58, tzinfo=UTC).timestamp()
BERLIN = timezone(timedelta(hours=1))


def read(text: str, now: float = NOW) -> Search:
    return parse(text, now=lambda: now, zone=BERLIN)


@pytest.mark.parametrize(
    ("search", "same"),
    [
        ("", "  "),
        ("first OR second third", "first OR (second AND third)"),  # S2
        ("(first OR second) third", "(first OR second) AND third"),  # S3
        ("first second", "first AND second"),  # S4
        ("first (first second)", "first second"),  # S7
        ("first OR (second OR first)", "first OR second"),
        ("-first", "NOT first"),
        ("--first", "first"),
        ("NOT NOT NOT first", "-first"),
        ("-(-first)", "first"),
        ("NOT first second", "(NOT first) AND second"),
        ("NOT first OR second", "(NOT first) OR second"),
        ("NAME:x", "name:x"),
        ("state:failed", "STATE:FAILURE"),
        ('"first"', "first"),
        ('fi"rs"t', "first"),
        ('name:"a"', "name:a"),
        ("name:a,b,a", "name:a,b"),
    ],
)
def test_same_meaning(search: str, same: str) -> None:
    assert read(search) == read(same)


@pytest.mark.parametrize(
    ("search", "other"),
    [
        ("a OR b", "a b"),
        ("a -b", "a b"),
        ('"AND"', "and x"),
        ('"name:x"', "name:x"),
        ('"a*b"', "a*b"),
        ('name:"a,b"', "name:a,b"),
        ("(a OR b) c", "a OR b c"),
    ],
)
def test_other_meaning(search: str, other: str) -> None:
    assert read(search) != read(other)


def test_text_and_hints_are_kept() -> None:
    assert read(" a  b ").text == " a  b "
    assert read("").matches_all
    assert not read("a").matches_all


@pytest.mark.parametrize(
    "word", ["and", "or", "not", "stateSTARTED", "http://host:80", "Error:", "12:30:45", "a-b", "a::b", "customer:7"]
)
def test_text_that_only_looks_special_is_text(word: str) -> None:
    assert read(word) == read(quote(word))


@pytest.mark.parametrize(
    ("search", "message", "position"),
    [
        # S23, in Flower's words where they are the same errors
        ("name:", "The field 'name' requires a value", 0),
        ("first AND", "AND must be followed by a search term", 6),
        ("first OR", "OR must be followed by a search term", 6),
        ("()", "Empty group", 0),
        ("(first", "Missing closing parenthesis", 0),
        ('"first', "Unterminated quoted phrase", 0),
        ("first NOT", "NOT must be followed by a search term", 6),
        ("first -", "- must be followed by a search term", 6),
        ("- first", "- must be followed by a search term", 0),
        ("first AND OR second", "AND must be followed by a search term", 6),
        ("OR first", "Expected a search term instead of 'OR'", 0),
        ("first)", "Unexpected ')'", 5),
        ('a ""', "Empty search term", 2),
        ('  name:""', "The field 'name' requires a value", 2),
        # S24
        ("a" * 2049, "The search exceeds 2048 characters", 2048),
        ("((((((a))))))", "The nesting exceeds 5 levels", 5),
        ("(first) " * 43, "The search exceeds 128 tokens", 42 * 8 + 6),
        # ours
        ("a stat:failed", "Unknown field 'stat' (did you mean 'state'? Put it in quotes to find it as text)", 2),
        ("wrker:a", "Unknown field 'wrker' (did you mean 'worker'? Put it in quotes to find it as text)", 0),
        ("status:failed", "Unknown field 'status' (did you mean 'state'? Put it in quotes to find it as text)", 0),
        ("a (id:x)", "Unknown field 'id' (did you mean 'uuid'? Put it in quotes to find it as text)", 3),
        ("priority:>3", "The history does not record priorities (search by queue instead)", 0),
        ("name:a,,b", "The list after 'name' requires a value between commas", 7),
        ("state:a,", "The list after 'state' requires a value between commas", 8),
        ("name:" + ",".join("ab" for _ in range(129)), "The list exceeds 128 values", 5 + 3 * 128),
        ("has:tracebak", "Unknown value 'tracebak' (did you mean 'traceback'?)", 4),
        ("is:failed,runing", "Unknown value 'runing' (did you mean 'running'?)", 10),
        (
            "is:purple",
            f"Unknown value 'purple' (choose from {', '.join(CONDITIONS)})",
            3,
        ),
        ("has:state", "Unknown value 'state' (did you mean 'started'?)", 4),
        ("runtime:5s", "Write a comparison (runtime:>5s)", 8),
        ("runtime:>fast", "'fast' is not a duration (5s, 500ms, 2m, 1h30m)", 9),
        ("runtime:>", "'' is not a duration (5s, 500ms, 2m, 1h30m)", 9),
        ("wait:1m..x", "'x' is not a duration (5s, 500ms, 2m, 1h30m)", 9),
        ("wait:5m..1m", "The range ends before it begins (write 1m..5m)", 5),
        ("wait:..", "A range requires at least one end (1..5, 1.., ..5)", 5),
        ("retries:many", "'many' is not a number (3, >=3, 1..3)", 8),
        ("retries:>-1", "'-1' is not a number (3, >=3, 1..3)", 9),
        ("retries:" + "9" * 400, f"'{'9' * 400}' is not a number (3, >=3, 1..3)", 8),
        ("received:-15m", "Write a comparison (received:>-15m)", 9),
        (
            "received:>soon",
            "'soon' is not a time (-15m, today, 23:00, 2026-11-20, 2026-11-20T23:00)",
            10,
        ),
        ("received:2026-02-30", "'2026-02-30' is not in the calendar", 9),
        ("received:25:00", "'25:00' is not in the calendar", 9),
        ("received:9999-12-31", "'9999-12-31' is not in the calendar", 9),
        ("received:2026-11-21..2026-11-19", "The range ends before it begins (write 2026-11-19..2026-11-21)", 9),
        ("ab\0c", "No task can contain the character U+0000", 2),
        ('"\ud800"', "No task can contain the character U+D800", 1),
    ],
)
def test_errors_say_what_and_where(search: str, message: str, position: int) -> None:
    with pytest.raises(SearchError) as caught:
        read(search)
    assert (caught.value.message, caught.value.position) == (message, position)
    assert str(caught.value) == f"{message} at position {position}."


@pytest.mark.parametrize(
    "search", ["a" * 2048, "(((((a)))))", " ".join(["a"] * 128), f"  {'b' * 2048}  ", "-" * 127 + "a"]
)
def test_limits_are_inclusive(search: str) -> None:
    read(search)


def test_states_that_celery_does_not_know_raise_a_doubt_only() -> None:
    assert read("state:FAIL OR state:FAIL,progress").hints == (
        "'FAIL' is not one of Celery's states: did you mean Failed?",
    )
    assert read("state:failed,Retrying").hints == ()


def bounds(search: str, now: float = NOW) -> tuple[str | None, str | None]:
    """Both ends of a time search in Berlin, the open ones with an ``!``."""
    tree = read(search, now).tree
    assert isinstance(tree, Compare)
    ends = tree.interval.bounds(Clock(now, BERLIN))
    shown = [None if end is None else datetime.fromtimestamp(end, BERLIN).isoformat(sep=" ")[:-6] for end in ends]
    marks = (tree.interval.low_open, tree.interval.high_open)
    low, high = (None if end is None else end + "!" * mark for end, mark in zip(shown, marks, strict=True))
    return low, high


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("seen:2026-11-20", ("2026-11-20 00:00:00", "2026-11-21 00:00:00!")),
        ("seen:>2026-11-20", ("2026-11-21 00:00:00", None)),
        ("seen:>=2026-11-20", ("2026-11-20 00:00:00", None)),
        ("seen:<2026-11-20", (None, "2026-11-20 00:00:00!")),
        ("seen:<=2026-11-20", (None, "2026-11-21 00:00:00!")),
        ("seen:2026-11-20T23:00", ("2026-11-20 23:00:00", "2026-11-20 23:01:00!")),
        ("seen:2026-11-20t23:00:05z", ("2026-11-21 00:00:05", "2026-11-21 00:00:06!")),
        ("seen:>2026-11-20T23:00:05.250", ("2026-11-20 23:00:05.250000!", None)),
        ('seen:>="2026-11-20 23:00-05:00"', ("2026-11-21 05:00:00", None)),
        ("seen:2026-11-20T23:00..2026-11-21", ("2026-11-20 23:00:00", "2026-11-22 00:00:00!")),
        ("seen:2026-11-20..", ("2026-11-20 00:00:00", None)),
        ("seen:..2026-11-20", (None, "2026-11-21 00:00:00!")),
        ("seen:>-15m", ("2026-11-21 03:49:58!", None)),
        ("seen:<=+1h30m", (None, "2026-11-21 05:34:58")),
        ("seen:-1h..now", ("2026-11-21 03:04:58", "2026-11-21 04:04:58")),
        ("seen:today", ("2026-11-21 00:00:00", "2026-11-22 00:00:00!")),
        ("seen:Yesterday", ("2026-11-20 00:00:00", "2026-11-21 00:00:00!")),
        ("seen:>=04:04", ("2026-11-21 04:04:00", None)),
        ("seen:>=04:05", ("2026-11-20 04:05:00", None)),
        ("seen:04:04:58", ("2026-11-21 04:04:58", "2026-11-21 04:04:59!")),
        ("seen:23:00..01:30", ("2026-11-20 23:00:00", "2026-11-21 01:31:00!")),
        ("seen:04:00..06:00", ("2026-11-21 04:00:00", "2026-11-21 06:01:00!")),
        ("seen:2026-11-19..01:30", ("2026-11-19 00:00:00", "2026-11-19 01:31:00!")),
    ],
)
def test_times(search: str, expected: tuple[str | None, str | None]) -> None:
    assert bounds(search) == expected


def test_a_range_of_times_may_still_be_going_on() -> None:
    after_midnight = datetime(2026, 11, 21, 0, 30, tzinfo=BERLIN).timestamp()

    assert bounds("seen:23:00..01:30", after_midnight) == ("2026-11-20 23:00:00", "2026-11-21 01:31:00!")


def test_a_day_has_the_hours_that_the_clocks_gave_it() -> None:
    search = parse("seen:2026-10-25", zone=ZoneInfo("Europe/Berlin"))
    assert isinstance(search.tree, Compare)

    low, high = search.tree.interval.bounds(Clock(0))
    assert low is not None
    assert high is not None
    assert high - low == 25 * 3600


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("5", 5),
        ("0.5", 0.5),
        ("500ms", 0.5),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("250\u03bcs", 0.00025),
        ("1h30m", 5400),
        ("1D", 86400),
        ("2w", 1209600),
        ("1m30.5s", 90.5),
    ],
)
def test_durations(written: str, seconds: float) -> None:
    assert read(f"wait:>{written}") == read(f"wait:>{seconds}")


@given(st.text(max_size=80) | st.text(alphabet='ab:"\\()*,-<>=. 5mzAORND', max_size=60))
@example("seen:>" + "9" * 300 + "w")
@example("seen:" + "\u0661\u0662")
@example("seen:0001-01-01")
@example("seen:0000-00-00")
@example("seen:00:00..0001-01-01T00:00+23:59")
@example("wait:>" + "9" * 309)
def test_only_search_errors_come_out(text: str) -> None:
    for search in (text, f"seen:{text}", f"wait:>{text}", f"state:{text}", f"kwargs:{text}"):
        try:
            found = read(search)
        except SearchError as error:
            assert 0 <= error.position <= len(search)  # noqa: PT017  # an error is as good as a result
        else:
            found.clause()


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_a_quoted_text_is_one_word(text: str) -> None:
    assert read(quote(text)).tree == Anywhere(Pattern((text,)))
