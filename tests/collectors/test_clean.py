"""What strangers wrote is shown as what it is: nothing hidden, nothing out of order, nothing that breaks a line."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.collectors.clean import MAX_TEXT, clean_text, clean_word
from tests.helpers.hostile_texts import LIES

#: Format characters that are drawn: Arabic, Syriac and Kaithi signs in front of numbers, and hieroglyphs' joints.
_DRAWN = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440)}
_JOINERS = "\u200c\u200d"


def unseen(text: str) -> str:
    """Characters of Unicode's categories that a person would not see, or not where they stand."""
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(each for each in text if unicodedata.category(each) in hidden and ord(each) not in _DRAWN)


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_shown_as_a_word_and_as_a_text_has_to(lie: str) -> None:
    typed, as_word, as_text = LIES[lie]
    assert (clean_word(typed), clean_text(typed)) == (as_word, as_text)


def test_of_all_characters_no_word_keeps_one_that_is_not_seen() -> None:
    everything = "".join(map(chr, range(0x110000)))
    assert unseen(clean_word(everything)) == ""


def test_of_all_characters_a_text_keeps_lines_tabs_and_joined_letters() -> None:
    everything = "".join(map(chr, range(0x110000)))
    kept = clean_text(everything, len(everything) * 10)
    assert set(unseen(kept)) <= {"\n", "\t"}
    assert set(unseen(clean_text("é\u200cé\u200dé"))) == set(_JOINERS)


def test_what_is_seen_stays_as_it_is_in_words_and_texts() -> None:
    shown = "".join(each for each in map(chr, range(0x110000)) if unicodedata.category(each)[0] in "PSN")
    assert clean_text(shown, len(shown)).count("\\") == 1
    letters = "".join(each for each in map(chr, range(0x110000)) if each.isalpha())
    drawn_as_nothing = "\u115f\u1160\u3164\uffa0"
    assert [each for each in letters if clean_word(each) != each] == list(drawn_as_nothing)


def test_lines_of_a_traceback_stay_lines_and_a_word_is_always_one() -> None:
    assert clean_text("a\n\tb\r\n") == "a\n\tb\\r\n"
    assert clean_word("a\n\tb\r\n") == r"a\n\tb\r\n"


def test_a_text_is_cut_and_says_so_also_where_escapes_make_it_longer() -> None:
    assert clean_text("x" * MAX_TEXT) == "x" * MAX_TEXT
    assert clean_text("x" * MAX_TEXT + "y") == "x" * MAX_TEXT + "… (cut, 8,193 characters)"
    assert clean_text("\x00" * 10, 10) == r"\x00\x00\x" + "… (cut, 10 characters)"


@settings(max_examples=500, deadline=None)
@given(st.text(st.characters() | st.sampled_from("a é\u200c\u200d\ufe0f\ud800\u202e\n"), max_size=50))
def test_fuzz_cleaned_text_can_be_stored_shown_and_cleaned_again(text: str) -> None:
    for cleaned, again in ((clean_word(text), clean_word), (clean_text(text), clean_text)):
        cleaned.encode()
        assert again(cleaned) == cleaned
    assert unseen(clean_word(text)) == ""
    assert set(unseen(clean_text(text))) <= {"\n", "\t", *_JOINERS}
