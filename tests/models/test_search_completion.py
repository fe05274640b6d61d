import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.search import complete, word_start


@pytest.mark.parametrize(
    ("typed", "offers"),
    [
        ("st", ["state:", "started:"]),
        ("a (-NA", ["name:"]),
        ("A", ["args:", "AND"]),
        ("zz", []),
        ("state:f", ["state:Failed"]),
        (
            "-STATE:failed,re",
            ["STATE:failed,Received", "STATE:failed,Retrying", "STATE:failed,Revoked", "STATE:failed,Rejected"],
        ),
        ("is:s", ["is:slow"]),
        ("has:tr", ["has:traceback"]),
        ("queue:ma", ["queue:mail", 'queue:"mail, urgent"', "queue:email"]),
        ('queue:"mail, u', ['queue:"mail, urgent"']),
        ("worker:a", []),
    ],
)
def test_completion(typed: str, offers: list[str]) -> None:
    assert complete(typed, len(typed), values={"queue": ["email", "mail", "mail, urgent"]}) == offers


def test_completion_offers_all_fields_for_nothing() -> None:
    offers = complete("a  b", 2)

    assert offers[:3] == ["name:", "state:", "worker:"]
    assert offers[-3:] == ["AND", "OR", "NOT"]


def test_completion_replaces_the_word_at_the_cursor() -> None:
    text = 'name:"a b" -(-st other'
    cursor = text.index(" other")

    start = word_start(text, cursor)
    assert text[start:cursor] == "st"
    assert complete(text, cursor) == ["state:", "started:"]


@given(st.text(max_size=60), st.integers(0, 60))
def test_completion_never_fails(text: str, position: int) -> None:
    cursor = min(position, len(text))
    complete(text, cursor)
    assert 0 <= word_start(text, cursor) <= cursor
