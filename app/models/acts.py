"""What may be done to a broker and its workers: what is wished, what exactly would be done, and what was done.

A *wish* says what a person wants. A collector makes a *plan* of it: what would be done now, to what, and how many. Only
a plan that somebody confirmed is carried out, and what became of it is its *outcome*.
"""

from typing import Any, Final, Literal

import msgspec

from app.models.profiles import Environment

#: Seconds for which a plan may be confirmed, and the share by which what it is about may have changed meanwhile.
PLAN_LASTS: Final = 60.0
PLAN_DRIFT: Final = 0.10
#: Items of which the number has to be typed to confirm, in any environment; and the most that one plan may have.
TYPED_ABOVE: Final = 100
MOST_ITEMS: Final = 10_000
#: Items that are done in a second, as long as nobody wants it otherwise, and at most.
RATE: Final = 20.0
FASTEST: Final = 200.0
#: The share of failures at which no more is tried, and of how many at least it is a share.
FAILURES: Final = 0.05
FAILURES_OF: Final = 20

Signal = Literal["SIGTERM", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGKILL"]
#: What workers can be told. What `election` does to a lone worker is why this list is closed (PROTOCOL 0).
Steering = Literal[
    "pool_grow", "pool_shrink", "pool_restart", "autoscale", "add_consumer", "cancel_consumer", "rate_limit",
    "time_limit", "enable_events", "disable_events", "shutdown",
]  # fmt: skip


class Revoke(msgspec.Struct, tag=True, frozen=True):
    """Have workers not run tasks: those of ``ids``, or all that a ``search`` finds in a span of time.

    ``terminate`` ends the one task of ``ids`` while it runs, by a ``signal`` to its process. ``take_out`` takes the
    messages of those out that still wait in a queue, where the broker can.
    """

    ids: list[str] = []
    search: str = ""
    since: float | None = None
    until: float | None = None
    terminate: bool = False
    signal: Signal = "SIGTERM"
    take_out: bool = False


class RevokeStamped(msgspec.Struct, tag=True, frozen=True):
    """Have workers not run tasks that carry one of these values in a stamped ``header`` (Celery 5.3 and later)."""

    header: str
    values: list[str]
    terminate: bool = False
    signal: Signal = "SIGTERM"


class Edited(msgspec.Struct, frozen=True):
    """Arguments as a user wants them, as JSON: an array, and an object."""

    args: str
    kwargs: str


class Rerun(msgspec.Struct, tag=True, frozen=True):
    """Send tasks again, with the arguments they really had, under new ids.

    Those of ``ids``, or all that a ``search`` finds in a span of time. ``edited`` are arguments by id that a user
    looked at and takes responsibility for; ``queue`` is another one than theirs.
    """

    ids: list[str] = []
    search: str = ""
    since: float | None = None
    until: float | None = None
    edited: dict[str, Edited] = {}
    queue: str | None = None


class Send(msgspec.Struct, tag=True, frozen=True):
    """Send a new task. Times are seconds since the epoch, limits are seconds; ``args`` and ``kwargs`` are JSON."""

    name: str
    args: str = "[]"
    kwargs: str = "{}"
    queue: str = "celery"
    eta: float | None = None
    expires: float | None = None
    priority: int | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None


class Purge(msgspec.Struct, tag=True, frozen=True):
    """Move all that waits in a queue into a quarantine; ``backup`` is a file to write it to, too.

    The ``quarantine`` is a new one unless it is named, as it is of an act that a crash broke off.
    """

    queue: str
    backup: str = ""
    quarantine: str = ""


class Restore(msgspec.Struct, tag=True, frozen=True):
    """Put messages of a quarantine back where they were, before all that came since: ``count`` of them, or all.

    ``ids`` are single ones, by the ids of their tasks.
    """

    quarantine: str
    count: int | None = None
    ids: list[str] = []


class RestoreFile(msgspec.Struct, tag=True, frozen=True):
    """Put the messages of a file into the queue that they came from, or another ``queue``, behind what waits there.

    Those that are in the broker already are left out, unless wanted ``again``. ``digest`` is of a file that was looked
    at: no other one is taken for it.
    """

    file: str
    queue: str = ""
    again: bool = False
    digest: str = ""


class Discard(msgspec.Struct, tag=True, frozen=True):
    """Really delete a quarantine. There is no way back."""

    quarantine: str


class Delete(msgspec.Struct, tag=True, frozen=True):
    """Move messages of a queue, by the ids of their tasks, into a quarantine: a new one unless it is named."""

    queue: str
    ids: list[str]
    quarantine: str = ""


class Move(msgspec.Struct, tag=True, frozen=True):
    """Move messages of a queue, by the ids of their tasks, to another one; all of them where no id is named.

    Where they can go only by way of a ``quarantine``, that is named before, so that it is known whatever breaks.
    """

    queue: str
    to: str
    ids: list[str] = []
    quarantine: str = ""


class Steer(msgspec.Struct, tag=True, frozen=True):
    """Tell workers, named one by one, to do something. Other fields are the arguments of the commands that take them.

    ``rate`` is a rate limit as Celery writes it, like ``10/m``, and ``0`` is none; ``soft`` and ``hard`` are seconds, 0
    is no limit, and None leaves a limit as it is.
    """

    command: Steering
    workers: list[str]
    number: int = 1
    most: int | None = None
    least: int | None = None
    queue: str = ""
    task: str = ""
    rate: str = ""
    soft: float | None = None
    hard: float | None = None


Wish = Revoke | RevokeStamped | Rerun | Send | Purge | Restore | RestoreFile | Discard | Delete | Move | Steer


class Caution(msgspec.Struct, frozen=True):
    """What somebody should know before he confirms; ``grave`` where it may cost something that can't be undone."""

    text: str
    grave: bool = False


class Sample(msgspec.Struct, frozen=True):
    """One of the things that a plan is about: its ``id`` (a task's id, a worker's name), and what it is."""

    id: str
    text: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What exactly would be done, in words; ``count`` is to how many of ``things``, like "message" or "worker".

    ``title`` says it as a whole, ``verb`` is what the button says. ``facts`` are names with values. ``undo`` says how
    it can be undone, or that it can't. ``rate`` is how many are done in a second, 0 where that is not up to anybody.
    ``typed`` is what has to be typed to confirm, "" where nothing has; it is set by who will carry it out.
    ``needs_edit`` are ids whose arguments are not known well enough to be used as they are.
    """

    title: str
    verb: str
    count: int
    things: str
    facts: list[tuple[str, str]] = []
    samples: list[Sample] = []
    cautions: list[Caution] = []
    undo: str = ""
    rate: float = 0.0
    typed: str = ""
    needs_edit: list[str] = []
    #: Details that have a form of their own, by kind of wish: how arguments are graded, or queues split.
    details: dict[str, Any] = {}


State = Literal["running", "done", "stopped", "aborted", "failed"]


class Item(msgspec.Struct, frozen=True, array_like=True):
    """What became of one of the things that a plan is about.

    ``ok`` is None where nobody knows yet: it was asked for and not refused, and may still be done.
    """

    id: str
    ok: bool | None
    text: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How far a plan was carried out: ``done`` of ``total``, and how many ``failed``.

    It is *running*, *done*, *stopped* by somebody, *aborted* as too much failed, or *failed* as a whole; ``text`` says
    in a sentence what was done, or why not. ``items`` are the last of them while it runs, at most some hundred.
    ``undo`` is a wish that undoes it. ``act`` is its id in the audit log.
    """

    state: State = "running"
    done: int = 0
    failed: int = 0
    total: int = 0
    text: str = ""
    items: list[Item] = []
    undo: Wish | None = None
    act: str = ""


class Standing(msgspec.Struct, tag=True, frozen=True):
    """What may be done now: acting is ``unlocked`` until then (seconds since the epoch), or not (None).

    ``typed`` is what has to be typed to unlock, "" where nothing has; ``error`` is why it was not.
    """

    unlocked: float | None = None
    typed: str = ""
    error: str = ""


def to_be_typed(plan: Plan, environment: Environment) -> Plan:
    """A plan with what has to be typed to confirm it: its number, where that is large, and in production.

    An unknown environment may be production. What has its own word to be typed keeps that.
    """
    needed = plan.count > TYPED_ABOVE or environment in ("production", "unknown")
    return plan if plan.typed or not needed else msgspec.structs.replace(plan, typed=str(plan.count))


def with_text(outcome: Outcome, text: str) -> Outcome:
    """An outcome with another sentence."""
    return msgspec.structs.replace(outcome, text=text)


def is_typed(wanted: str, typed: str) -> bool:
    """Whether that is what has to be typed: numbers may be grouped, names have to be exact."""
    given = typed.strip()
    return given == wanted or (wanted.isdecimal() and given.replace(",", "").replace(" ", "") == wanted)


def drifted(planned: int, now: int) -> bool:
    """Whether reality moved too far since a plan was made."""
    return abs(now - planned) > PLAN_DRIFT * planned


def too_many_failed(failed: int, tried: int, total: int) -> bool:
    """Whether no more should be tried: of few, the first failure is one too many."""
    return failed > FAILURES * max(tried, min(total, FAILURES_OF))
