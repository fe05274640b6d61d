"""What the page of tasks says: how many were found, how many are new, and why there are none."""

from typing import Final

from app.models import formats
from app.models.wire import Health
from app.ui import words
from app.ui.pages.tasks_read import Nothing

START: Final = "Start workers with -E (celery -A your_app worker -E)."
_OR_OPERATE: Final = "Or change the access mode to operate (upper right), to turn events on from here."


def found_text(total: int, *, took: float, limit: int | None) -> str:
    """How many tasks were found and in what time; ``limit`` is the number of rows where the table holds no more."""
    noun = "task" if total == 1 else "tasks"
    more = "" if limit is None else f", the newest {formats.count(limit)} shown"
    return f"{formats.count(total)} {noun}{more} · {took * 1000:.0f} ms"


def so_far_text(found: int, share: float) -> str:
    """How many tasks a search that goes on has found, and what share of all it has looked through."""
    return f"{formats.count(found)} found, searched {share * 100:.0f} % …"


def back_text(back: float | None, share: float, now: float) -> str:
    """How far back in time a search that goes on has come."""
    to = "" if back is None else f" back to {formats.near_time(back, now, brief=True)}"
    return f"Searched{to}, {share * 100:.0f} % of the tasks in this time range."


def new_text(new: int, *, counted: bool) -> str:
    """How many tasks wait above those shown; empty if none. ``counted`` unless there may be more."""
    if not new:
        return ""
    return f"{formats.count(new)} new" if counted else f"{formats.count(new)}+ new"


def why_nothing(nothing: Nothing, now: float, health: Health, *, operates: bool) -> tuple[str, str, str]:
    """Why the table is empty, and what to do: a title, a sentence or two, and what a button offers (empty: none).

    ``operates`` if workers may be told something.
    """
    mute = nothing.mute and nothing.latest is None and health.state in ("live", "file")
    return (*_why(nothing, now, health, operates=operates), "Turn events on …" if mute and operates else "")


def _why(nothing: Nothing, now: float, health: Health, *, operates: bool) -> tuple[str, str]:
    if nothing.in_span:
        return ("No task matches this search", "There are tasks in this time range. Clear or change the search.")
    unreached, why = words.not_reached(health)
    if nothing.latest is not None:
        when = f"{formats.near_time(nothing.latest, now)}, {formats.age(now - nothing.latest)} ago"
        text = f"The latest was first seen at {when}. Choose a longer range."
        return ("No task was seen in this time range", f"{text} {unreached}: {why}" if unreached else text)
    if unreached:
        return (unreached, why)
    return ("No task events yet", _no_events(nothing, now, operates=operates))


def _no_events(nothing: Nothing, now: float, *, operates: bool) -> str:
    if nothing.mute:
        mute = "1 worker answers, but runs" if nothing.mute == 1 else f"{nothing.mute} workers answer, but run"
        how = "Turn events on, or start workers with -E." if operates else f"{START} {_OR_OPERATE}"
        return f"{mute} without -E. {how}"
    if nothing.online:
        workers = "1 worker is" if nothing.online == 1 else f"{nothing.online} workers are"
        return f"{workers} online. If tasks run now, they run without events: start the workers with -E."
    remedy = "Start workers with -E (celery -A your_app worker -E), and run a task."
    if nothing.heard is not None:
        return f"No worker has been heard of since {formats.near_time(nothing.heard, now)}. {remedy}"
    return f"No worker was heard either. {remedy}"
