"""What the text of arguments tells of them: never a value that they had not, as if it were known."""

import json
from typing import Any

import pytest
from celery.utils.saferepr import saferepr
from hypothesis import given
from hypothesis import strategies as some

from app.collectors.clean import clean_text
from app.models.arguments import checked, containers, of_text, same, shown, to_json

LEAVES = some.none() | some.booleans() | some.integers() | some.floats() | some.text()
VALUES = some.recursive(
    LEAVES | some.binary() | some.uuids() | some.datetimes() | some.decimals(),
    lambda inside: (
        some.lists(inside) | some.dictionaries(some.text() | some.integers(), inside) | some.lists(inside).map(tuple)
    ),
)
PLAIN = some.recursive(LEAVES, lambda inside: some.lists(inside) | some.dictionaries(some.text(), inside))


def text_of(value: object) -> str:
    """As it comes out of an event, through our own cleaning."""
    return clean_text(saferepr(value, 1024))


def told(args: str, kwargs: str = "{}", *, json_only: bool = True) -> tuple[str, str, str, list[str]]:
    found = of_text(args, kwargs, json_only=json_only)
    return found.grade, found.args, found.kwargs, found.doubtful


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([], {}),
        ([1, -1, 0.1, -0.0, 1e22, True, None, "a"], {"k": [1, {"a": "it's"}]}),
        (["two\nlines", "\t", '"', "żółć 日本語 👩\u200d👩\u200d👧"], {"ü": 10**40}),
    ],
)
def test_what_is_complete_is_read_as_it_was(args: list[Any], kwargs: dict[str, Any]) -> None:
    found = of_text(text_of(tuple(args)), text_of(kwargs), json_only=True)
    assert found.grade == "reconstructed"
    assert same(json.loads(found.args), args)
    assert same(json.loads(found.kwargs), kwargs)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("('" + "x" * 1020 + "',)", ["args"]),
        ("('word...', 1)", ["args[0]"]),
        ("(1, ...)", ["args[1]"]),
        ("([1, [2, [...]]],)", ["args[0][1][1][0]"]),
        ("({'a': {...}},)", ["args[0].a"]),
        ("(b'abc', 1)", ["args[0]"]),
        ("('C:\\new',)", ["args[0]"]),
        ("('\\x07', 'a\\b')", ["args[0]", "args[1]"]),
        ("(1,2)", ["args"]),
        ("(1, 2,)", ["args"]),
        ("({1, 2},)", ["args[0]"]),
        ("(nan, inf, -inf)", ["args[0]", "args[1]", "args[2]"]),
        ("(datetime.date(2020, 1, 1), UUID('x'))", ["args[0]", "args[1]"]),
        ("({1: 2, 'it...': 3, 'b c': b'x'},)", ['args[0]["1"]', "args[0][\"'it...'\"]", 'args[0]["b c"]']),
        ("(1+2, 1_0, 0x1, 1j, f'x', 'a' 'b')", [f"args[{index}]" for index in range(6)]),
        ("(<Order 7>,)", ["args"]),
        ("(1, 2", ["args"]),
        ("{}", ["args"]),
        ("[" * 3000, ["args"]),
        ("5", ["args"]),
        ("", ["args"]),
    ],
)
def test_what_may_be_something_else_is_in_doubt(text: str, paths: list[str]) -> None:
    grade, _, _, doubtful = told(text)
    assert (grade, doubtful) == ("incomplete", paths)


def test_what_is_in_doubt_stands_as_it_was_shown() -> None:
    assert told("('word...', {'a': datetime.date(2020, 1, 1)})", "{'b': b'x'}")[1:3] == (
        '["word...", {"a": "datetime.date(2020, 1, 1)"}]',
        '{"b": "b\'x\'"}',
    )


def test_nothing_is_known_of_no_text() -> None:
    assert of_text(None, None, json_only=True).doubtful == ["args", "kwargs"]


def test_tuples_are_lists_where_tasks_are_sent_as_json_and_in_doubt_elsewhere() -> None:
    assert told("((1, 2), [3])") == ("reconstructed", "[[1, 2], [3]]", "{}", [])
    assert told("((1, 2), [3])", json_only=False)[3] == ["args[0]"]


@given(some.lists(VALUES), some.dictionaries(some.text(), VALUES))
def test_no_text_is_read_as_something_else(args: list[Any], kwargs: dict[str, Any]) -> None:
    found = of_text(text_of(tuple(args)), text_of(kwargs), json_only=False)
    if found.grade == "reconstructed":
        assert same(json.loads(found.args), args)
        assert same(json.loads(found.kwargs), kwargs)


@given(some.text(alphabet="\\'\", ()[]{}:x.\n", max_size=40), some.text(alphabet="\\'\", ()[]x.", max_size=40))
def test_no_quotes_and_backslashes_are_read_as_something_else(one: str, other: str) -> None:
    found = of_text(text_of((one, other)), "{}", json_only=True)
    if found.grade == "reconstructed":
        assert json.loads(found.args) == [one, other]


@given(PLAIN)
def test_values_are_shown_as_celery_shows_them(value: object) -> None:
    assert shown(value) == saferepr(value, None, maxlevels=0)


@pytest.mark.parametrize(
    ("args", "kwargs", "why"),
    [
        ("{}", "{}", "Arguments are a JSON array, not '{}'"),
        ("[]", "[]", "Keyword arguments are a JSON object, not '\\[\\]'"),
        ("[1,", "{}", "Arguments are a JSON array; this is not JSON"),
        ("[" * 100_000, "{}", "nested too deeply"),
    ],
)
def test_what_somebody_wrote_has_to_be_arguments(args: str, kwargs: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        checked(args, kwargs)


def test_json_of_arguments_can_be_stored_and_read_back() -> None:
    for value in (["ż", "\ud800", "\u200b", float("inf")], {"\u2028": -0.0}):
        assert same(json.loads(to_json(value).encode()), value)


def test_values_are_the_same_only_if_python_would_not_tell_them_apart() -> None:
    nan = float("nan")
    assert same([nan, {"a": 0.0}], [nan, {"a": 0.0}])
    for one, other in (
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ([1], [1, 2]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (nan, 1.0),
    ):
        assert not same(one, other)


def test_a_task_can_change_what_holds_other_values() -> None:
    kombu = {"__type__": "uuid", "__value__": {"hex": "00"}}
    assert containers([1, [2], kombu], {"a": {}, "b c": [], "d": "x"}) == ["args[1]", "kwargs.a", 'kwargs["b c"]']
