import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.json_text import DEEPEST, Place, read, to_edit

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=4))
def test_whatever_json_is_it_is_read_and_its_values_are_found_where_they_stand(value: list[object]) -> None:
    text = to_edit(json.dumps(value, ensure_ascii=False))
    found = read(text, "args", "[]")
    assert found.flaw is None
    for number, item in enumerate(value):
        place = found.places[f"args[{number}]"]
        assert json.loads(text[place.start : place.end]) == item


@pytest.mark.parametrize(
    ("text", "brackets", "said", "position"),
    [
        ("", "[]", "This has to be an array, in [ and ].", 0),
        ("{}", "[]", "This has to be an array, in [ and ].", 0),
        ("[]", "{}", "This has to be an object, in { and }.", 0),
        ("[1", "[]", "The text ends too early: ] has to close what is open.", 2),
        ("[1 2]", "[]", "There has to be a comma.", 3),
        ("[1, ]", "[]", "There is a comma too many.", 2),
        ("[1,", "[]", "The text ends too early: a value has to be here.", 3),
        ("[] []", "[]", "There is more after the end.", 3),
        ("['a']", "[]", "Texts stand in double quotes in JSON.", 1),
        ("[None]", "[]", "In JSON this is null.", 1),
        ("[0, True]", "[]", "In JSON this is true.", 4),
        ("[NaN]", "[]", "JSON has no NaN.", 1),
        ("[-Infinity]", "[]", "A value has to be here.", 1),
        ("[1e999]", "[]", "This number is too large.", 1),
        ("[01]", "[]", "There has to be a comma.", 2),
        ('["a\nb"]', "[]", "This text is not closed, or has a line end or a \\ that JSON does not know.", 1),
        ('["\\ud800"]', "[]", "This text has half a character (\\ud800 to \\udfff), which can't be sent.", 1),
        ('{"a": 1, "a": 2}', "{}", "This key is there twice.", 9),
        ("{a: 1}", "{}", "A key in double quotes has to be here.", 1),
        ('{"a" 1}', "{}", "A colon has to be between a key and its value.", 5),
        ("[" * (DEEPEST + 2), "[]", f"No more than {DEEPEST} values may be inside each other.", DEEPEST + 1),
    ],
)
def test_what_is_wrong_is_said_at_its_place(text: str, brackets: str, said: str, position: int) -> None:
    flaw = read(text, "args", brackets).flaw
    assert flaw is not None
    assert (flaw.text, flaw.position) == (said, position)


def test_values_are_called_by_paths_and_odd_keys_in_both_ways() -> None:
    text = '{"customer": {"name": "Ada", "a.b": [true]}, "": 1, "ä": 2}'
    places = read(text, "kwargs", "{}").places
    written = {path: text[place.start : place.end] for path, place in places.items()}
    assert written["kwargs.customer.name"] == '"Ada"'
    assert written["kwargs.customer.a.b[0]"] == written['kwargs.customer["a.b"][0]'] == "true"
    assert written['kwargs[""]'] == "1"
    assert written["kwargs.ä"] == written['kwargs["\\u00e4"]'] == "2"
    assert places["kwargs"] == Place(0, len(text))


@given(st.lists(st.text(), max_size=5))
def test_what_is_shown_to_be_edited_means_the_same_and_hides_nothing(value: list[str]) -> None:
    shown = to_edit(json.dumps(value, ensure_ascii=False))
    assert json.loads(shown) == value
    assert all(sign.isprintable() or sign == "\n" for sign in shown if sign in "\u202e\u00a0\u2028\ufeff\x7f\n")


def test_spaces_that_do_not_break_and_signs_that_turn_text_around_are_written_out() -> None:
    assert to_edit('["a\u00a0b\u202ec"]') == '["a\\u00a0b\\u202ec"]'


def test_no_json_is_left_as_it_is() -> None:
    assert to_edit("('x',) " * 20) == "('x',) " * 20
