"""What a look through a queue finds: which tasks wait there, or where one message is; and how far it came, in words."""

from typing import Final, Literal

import msgspec

from app.models.formats import count, number_of
from app.models.profiles import TO_OPERATE
from app.models.records import Message

#: Messages that are found at once; there may be more of them.
MOST_FOUND: Final = 20
#: Names of tasks that are told, those with the most messages.
MOST_NAMES: Final = 200

#: What a look does where a broker shows messages only to who fetches them, and where that is offered.
MARKS: Final = (
    "RabbitMQ shows messages only to who fetches them. Those that are looked at are kept from workers for a moment, "
    "and go back to where they were, marked as redelivered for good: tasks may tell, and a quorum queue counts it."
)
OPERATE_ONLY: Final = f"{MARKS} So they are looked at in operate mode only: {TO_OPERATE}."

State = Literal["looking", "paused", "stopped", "over"]


class Survey(msgspec.Struct):
    """How far a look through a queue came, and what it found so far.

    ``looked`` of the ``total`` messages were looked at, and ``reached`` can be: in a long list of Redis, what is far
    from both ends can't without a stall of the broker. ``names`` are tasks with their messages, most of them first (""
    are messages without a task), and ``other`` the messages of ``others`` more names; of a ``sample`` only, where that
    is set. ``found`` are messages that were wanted, those of this go.

    It is ``paused`` where it looked at as many as it may at a time, and goes on where it is asked to.
    """

    total: int = 0
    reached: int = 0
    looked: int = 0
    state: State = "looking"
    sample: bool = False
    names: list[tuple[str, int]] = []
    others: int = 0
    other: int = 0
    found: list[Message] = []


def progress(survey: Survey) -> str:
    """How far it is: ``12,000 of 10,000,000 messages looked at``."""
    return f"{count(survey.looked)} of {number_of(survey.total, 'message')} looked at"


def of_names(survey: Survey) -> str:
    """What can be said of a queue by the names that were counted."""
    if survey.state == "looking":
        return f"{progress(survey)} …"
    if not survey.total:
        return "Nothing waits here now."
    if survey.state == "stopped":
        return f"Stopped: {progress(survey)}. These are not the shares of all."
    if not survey.sample:
        return f"All of {number_of(survey.looked, 'message')}."
    where = "all of them" if survey.reached >= survey.total else f"the {count(survey.reached)} nearest to both ends"
    said = f"A sample of {count(survey.looked)} of {number_of(survey.total, 'message')}, spread evenly over {where}."
    return f"{said} Shares are estimates, and a task of few messages may be missing.{_beyond(survey)}"


def of_found(survey: Survey, wanted: str) -> str:
    """What can be said of a message that was looked for."""
    if survey.state == "looking":
        return f"{progress(survey)} …"
    said = f"Found {number_of(len(survey.found), 'message')}: " if survey.found else f"“{wanted}” was not found: "
    if survey.found and any(message.id == wanted for message in survey.found):
        return f"Found, with {number_of(survey.found[-1].place or 0, 'message')} before it."
    if survey.state in ("paused", "stopped"):
        more = " Look further to go on." if survey.state == "paused" else ""
        return f"{said}{progress(survey)}.{more}"
    if survey.reached < survey.total:
        return f"{said}{progress(survey)}, those nearest to both ends.{_beyond(survey)}"
    held = "" if survey.found else " A worker that fetched it holds it, or it was never sent here."
    return f"{said}all of {number_of(survey.looked, 'message')} were looked at.{held}"


def _beyond(survey: Survey) -> str:
    beyond = survey.total - survey.reached
    return f" The {count(beyond)} between can't be looked at without a stall of the broker." if beyond > 0 else ""
