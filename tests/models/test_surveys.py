"""What is said of a look through a queue: never more than was looked at."""

from app.models.records import Message
from app.models.surveys import Survey, of_found, of_names

HUGE = Survey(total=10_000_000, reached=840_000, looked=840_000, state="over")
BETWEEN = " The 9,160,000 between can't be looked at without a stall of the broker."
ESTIMATES = " Shares are estimates, and a task of few messages may be missing."


def found(looked: int, state: str, *ids: str) -> str:
    """What is said of a search for abc among 900 messages."""
    messages = [Message(size=1, id=name, place=1_234) for name in ids]
    survey = Survey(total=900, reached=900, looked=looked, found=messages)
    survey.state = state  # type: ignore[assignment]
    return of_found(survey, "abc")


def test_names_are_said_to_be_of_all_or_of_a_part() -> None:
    assert of_names(Survey(state="over")) == "Nothing waits here now."
    assert of_names(Survey(total=900, looked=300)) == "300 of 900 messages looked at …"
    assert of_names(Survey(total=1, reached=1, looked=1, state="over")) == "All of 1 message."
    stopped = of_names(Survey(total=900, looked=300, state="stopped"))
    assert stopped == "Stopped: 300 of 900 messages looked at. These are not the shares of all."


def test_a_sample_says_of_what_it_is_and_what_follows() -> None:
    sample = Survey(total=50_000, reached=50_000, looked=2_000, sample=True, state="over")
    spread = "A sample of 2,000 of 50,000 messages, spread evenly over all of them."
    assert of_names(sample) == spread + ESTIMATES
    sample = Survey(total=10_000_000, reached=840_000, looked=2_000, sample=True, state="over")
    spread = "A sample of 2,000 of 10,000,000 messages, spread evenly over the 840,000 nearest to both ends."
    assert of_names(sample) == spread + ESTIMATES + BETWEEN


def test_what_was_not_found_is_not_said_to_be_absent_unless_all_was_looked_at() -> None:
    assert found(300, "looking") == "300 of 900 messages looked at …"
    nowhere = "“abc” was not found: "
    held = " A worker that fetched it holds it, or it was never sent here."
    assert found(900, "over") == f"{nowhere}all of 900 messages were looked at.{held}"
    assert found(300, "paused") == f"{nowhere}300 of 900 messages looked at. Look further to go on."
    assert found(300, "stopped") == f"{nowhere}300 of 900 messages looked at."
    ends = "840,000 of 10,000,000 messages looked at, those nearest to both ends."
    assert of_found(HUGE, "abc") == f"{nowhere}{ends}{BETWEEN}"


def test_what_was_found_is_said_with_its_place_or_its_number() -> None:
    assert found(300, "over", "abc") == "Found, with 1,234 messages before it."
    assert found(900, "over", "abcd", "abce") == "Found 2 messages: all of 900 messages were looked at."
