"""Wishes of each kind, with the plans that a collector would make of them, for pictures."""

from typing import Any, Final

from app.models.acts import Caution, Delete, Discard, Move, Plan, Restore, Revoke, Wish
from app.models.formats import number_of
from tests.ui.acting import PLAN

#: What each kind of wish looks like: its name, the wish, and the plan that a collector would make of it.
WISHES: Final[tuple[tuple[str, Wish, Plan], ...]] = (
    (
        "restore", Restore("pagespeed.quarantine.20261122T020728123Z"),
        Plan(
            title="Restore pagespeed", verb="Put 412 back", count=412, things="message", typed="412",
            facts=[("To", "pagespeed"), ("Purged", "2026-11-22 02:07:28"), ("Size", "1.2 MB")], samples=PLAN.samples,
            undo="They come in front of the 34 that came since.",
        ),
    ),
    (
        "discard", Discard("pagespeed.quarantine.20261122T020728123Z"),
        Plan(
            title="Delete pagespeed.quarantine.20261122T020728123Z for good", verb="Delete 412 for good", count=412,
            things="message", typed="pagespeed.quarantine.20261122T020728123Z", samples=PLAN.samples,
            facts=[("From", "pagespeed"), ("Purged", "2026-11-22 02:07:28")],
            cautions=[Caution("There is no way back.", grave=True)], undo="It can't be undone.",
        ),
    ),
    (
        "move", Move("pagespeed", "slow"),
        Plan(
            title="Move 412 messages of pagespeed to slow", verb="Move 412", count=412, things="message", typed="412",
            facts=[("From", "pagespeed"), ("To", "slow, in which 3 wait")], samples=PLAN.samples,
            cautions=[Caution("Nobody consumes slow.", grave=True)], undo="To undo it, move them back.",
        ),
    ),
    (
        "delete", Delete("pagespeed", ["a", "b"]),
        Plan(
            title="Delete 2 messages of pagespeed", verb="Take 2 out", count=2, things="message", typed="2",
            samples=PLAN.samples[:2], undo="They go into a quarantine, from which they can be restored.",
        ),
    ),
    (
        "revoke", Revoke(search="name:pagespeed.*"),
        Plan(
            title="Revoke 40 tasks", verb="Revoke 40 tasks", count=40, things="task", typed="40", rate=20.0,
            facts=[("Found by", "name:pagespeed.*"), ("Will be told", "w1@crawler-1, w2@crawler-2 and 2 more")],
            samples=PLAN.samples, undo="It can't be taken back while the workers run.",
            cautions=[
                Caution("3 of them run already: a revoke does not stop those.", grave=True),
                Caution("Who listens hears of it at once; who is away, or starts later, does not."),
                Caution("Whether workers keep it over a restart (--statedb) is not known."),
            ],
        ),
    ),
)  # fmt: skip
#: What is known of tasks that are to run again.
EXACT: Final[dict[str, Any]] = {
    "id": "5f0c1a52-7b4e-4f6e-9d0e-1c6a2b8f4d11", "name": "pagespeed.test", "grade": "exact",
    "source": "the message itself, in its queue", "args": '["site-411", "mobile"]', "kwargs": "{}",
    "to": "the queue pagespeed", "kept": ["priority 6", "time limits"], "lost": ["its ETA, which is over"],
}  # fmt: skip
TOLD: Final[dict[str, Any]] = EXACT | {
    "id": "0b7d9f1c-2f35-4a0c-8f51-c1c2f7f0a9d3", "grade": "reconstructed", "source": "the text of its events",
    "lost": ["links and errbacks"], "warnings": ["It succeeded before: its work may be done twice."],
}  # fmt: skip
CUT: Final[dict[str, Any]] = TOLD | {
    "id": "9f2b0c77-55d1-4a7b-b0c5-6b1e1fb3f0aa", "grade": "incomplete", "args": '["site-413", "mob..."]',
    "kwargs": '{"customer": {"name": "Ada Lo...", "id": 7}}', "doubtful": ["args[1]", "kwargs.customer.name"],
}  # fmt: skip


def rerun_plan(*tasks: dict[str, Any]) -> Plan:
    """What would be done to run these again."""
    others = [str(task["id"]) for task in tasks if task["grade"] != "exact"]
    number = len(tasks) - len(others)
    cautions = [
        Caution(f"{number_of(len(others), 'task')} can't be sent as they are: look at the arguments first.", grave=True)
    ]
    return Plan(
        title=f"Run {number_of(number, 'task')} again" if number else "Look at the arguments first", verb="Run again",
        count=number, things="task",
        facts=[("To", "the queue pagespeed")], undo="Revoke it, as long as it waits.", rate=20.0, typed=str(number),
        cautions=cautions if others else [], needs_edit=others, details={"tasks": list(tasks)},
    )  # fmt: skip
