"""What the page of tasks says: how many were found, how many are new, and why there are none."""

from app.models import formats
from app.models.wire import Health
from app.ui import words
from app.ui.pages.tasks_read import MOST_NEW, Nothing


def found_text(total: int, *, took: float, limit: int | None) -> str:
    """How many tasks were found and in what time; ``limit`` is the number of rows where the table holds no more."""
    noun = "task" if total == 1 else "tasks"
    more = "" if limit is None else f", the newest {formats.count(limit)} shown"
    return f"{formats.count(total)} {noun}{more} · {took * 1000:.0f} ms"


def new_text(new: int, *, counted: bool) -> str:
    """How many tasks wait above those shown; empty if none. ``counted`` if the number is not cut at `MOST_NEW`."""
    if not new:
        return ""
    return f"{formats.count(new)} new" if counted or new <= MOST_NEW else f"{formats.count(MOST_NEW)}+ new"


def why_nothing(nothing: Nothing, now: float, health: Health) -> tuple[str, str]:
    """Why the table is empty, and what to do, as a title and a sentence or two."""
    if nothing.in_span:
        return ("No task matches this search", "There are tasks in this time range. Clear or change the search.")
    unreached, why = words.not_reached(health)
    if nothing.latest is not None:
        when = f"{formats.near_time(nothing.latest, now)}, {formats.age(now - nothing.latest)} ago"
        text = f"The latest was first seen at {when}. Choose a longer range."
        return ("No task was seen in this time range", f"{text} {unreached}: {why}" if unreached else text)
    if unreached:
        return (unreached, why)
    title = "No task events yet"
    if nothing.online:
        workers = "1 worker is" if nothing.online == 1 else f"{nothing.online} workers are"
        return (title, f"{workers} online. If tasks run now, they run without events: start the workers with -E.")
    remedy = "Start workers with -E (celery -A your_app worker -E), and run a task."
    if nothing.heard is not None:
        return (title, f"No worker has been heard of since {formats.near_time(nothing.heard, now)}. {remedy}")
    return (title, f"No worker was heard either. {remedy}")
