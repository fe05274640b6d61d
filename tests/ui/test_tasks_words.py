import pytest

from app.models.wire import Health
from app.ui.pages.tasks_read import Nothing
from app.ui.pages.tasks_words import back_text, found_text, new_text, so_far_text, why_nothing


@pytest.mark.parametrize(
    ("nothing", "says"),
    [
        (Nothing(in_span=True, latest=5.0, online=1, heard=5.0), "Clear or change the search."),
        (Nothing(in_span=False, latest=40.0, online=1, heard=5.0), "1 m ago. Choose a longer range."),
        (Nothing(in_span=False, latest=None, online=1, heard=99.0), "1 worker is online."),
        (Nothing(in_span=False, latest=None, online=3, heard=99.0, mute=3), "3 workers answer, but run without -E."),
        (Nothing(in_span=False, latest=None, online=0, heard=40.0), "No worker has been heard of since"),
        (Nothing(in_span=False, latest=None, online=0, heard=None), "No worker was heard either."),
    ],
)
def test_each_reason_for_an_empty_table_has_its_sentence(nothing: Nothing, says: str) -> None:
    assert says in " ".join(why_nothing(nothing, 100.0, Health(state="live"), operates=False))


@pytest.mark.parametrize(
    ("latest", "says"),
    [(None, "No route to host."), (40.0, "Choose a longer range. The broker is not reached: No route to host.")],
)
def test_without_a_broker_an_empty_table_says_so(latest: float | None, says: str) -> None:
    nothing = Nothing(in_span=False, latest=latest, online=0, heard=None)
    health = Health(state="disconnected", text="No route to host.")
    title, text, offer = why_nothing(nothing, 100.0, health, operates=True)
    assert text.endswith(says)
    assert offer == ""
    assert "-E" not in f"{title} {text}"


@pytest.mark.parametrize(
    ("operates", "says", "offer"),
    [
        (True, "Turn events on, or start workers with -E.", "Turn events on …"),
        (False, "change the access mode to operate", ""),
    ],
)
def test_workers_without_events_are_offered_to_be_told_where_that_is_allowed(
    operates: bool, says: str, offer: str
) -> None:
    nothing = Nothing(in_span=False, latest=None, online=1, heard=99.0, mute=1)
    title, text, button = why_nothing(nothing, 100.0, Health(state="live"), operates=operates)
    assert title == "No task events yet"
    assert text.startswith("1 worker answers, but runs without -E. ")
    assert says in text
    assert button == offer


def test_the_number_found_says_what_it_is_of() -> None:
    assert found_text(1, took=0.0094, limit=None) == "1 task · 9 ms"
    assert found_text(1842, took=0.2, limit=20_000) == "1,842 tasks, the newest 20,000 shown · 200 ms"
    assert new_text(0, counted=True) == ""
    assert new_text(1240, counted=True) == "1,240 new"
    assert new_text(501, counted=False) == "501+ new"
    assert so_far_text(1240, 0.126) == "1,240 found, searched 13 % …"
    assert back_text(None, 0.0, 50.0) == "Searched, 0 % of the tasks in this time range."
