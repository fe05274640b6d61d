"""What the sidebar says of each broker and page: how it is, and how much there needs attention."""

import time
from collections.abc import Sequence

from app.models import formats
from app.models.diagnosis import Finding
from app.ui import words
from app.ui.live import RANGES
from app.ui.together import health_of, vital_of
from app.ui.vitals import Vitals
from app.ui.widgets.side_rows import Badge, BrokerState
from app.ui.widgets.sidebar import ALL_BROKERS, ALL_KEY


def pressing(vitals: Vitals) -> list[Finding]:
    """What needs attention, without what is only a hint."""
    return [] if vitals.vital is None else [finding for finding in vitals.vital.findings if finding.pressing]


def badge(findings: Sequence[Finding]) -> Badge:
    """How many findings there are, in the colour of the worst."""
    worst = any(finding.severity == "error" for finding in findings)
    return Badge(len(findings), "failed" if worst else "retrying")


def page_of(finding: Finding) -> str:
    """The page that a finding is about; the overview tells of all."""
    if finding.action is None:
        return "overview"
    return {"queue": "queues", "worker": "workers", "events": "workers", "tasks": "tasks"}[finding.action.kind]


def span_since(since: float | None, span: float) -> float:
    """The shortest range on offer, but not below ``span``, that shows tasks of which something was found then."""
    if since is None:
        return span
    # They were seen before they were in doubt.
    wanted = max(span, 2 * (time.time() - since))
    return next((seconds for seconds in RANGES if seconds >= wanted), max(RANGES))


def broker_state(vitals: Vitals) -> BrokerState:
    """How a broker is, in a few words, with figures while it is live."""
    connection, health, vital = vitals.connection, vitals.connection.health, vitals.vital
    profile, waiting = connection.profile, None if vital is None else vital.waiting
    colour, tag, short = words.ENVIRONMENTS[profile.environment]
    text = words.health_text(health, time.time())
    if health.state == "live":
        text = f"{words.rate_text(health.events_per_second)} ev/s"
        text += "" if waiting is None else f" · {formats.count(waiting)} waiting"
    found = pressing(vitals)
    lines = (profile.url or str(connection.history), health.text, *(finding.text for finding in found))
    tooltip = "\n".join(line for line in lines if line)
    dot = words.HEALTH[health.state][0]
    return BrokerState(profile.name, tag, short, colour, dot, text, tooltip, badge(found), profile.colour)


def all_state(all_vitals: Sequence[Vitals]) -> BrokerState:
    """How all brokers are together, as the row that stands for them says it."""
    health = health_of([vitals.connection.health for vitals in all_vitals])
    waiting = vital_of([vitals.vital for vitals in all_vitals if vitals.vital is not None]).waiting
    text = health.fault or words.HEALTH[health.state][1]
    if health.state == "live":
        text = f"{words.rate_text(health.events_per_second)} ev/s"
        text += "" if waiting is None else f" · {formats.count(waiting)} waiting"
    found = [finding for vitals in all_vitals for finding in pressing(vitals)]
    lines = (f"{ALL_BROKERS} ({ALL_KEY})", health.text)
    tooltip = "\n".join(line for line in lines if line)
    return BrokerState(ALL_BROKERS, "", "", "unknown", words.HEALTH[health.state][0], text, tooltip, badge(found))
