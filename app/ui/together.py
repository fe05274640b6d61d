"""What several connections are as one, for the frame: the sum of what they do, and the worst of how they are."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from app.models import formats
from app.models.records import Accounting, Gap
from app.models.wire import Health, HealthState
from app.ui.vitals import Vital

#: From the worst to the best.
_WORST: Final[tuple[HealthState, ...]] = ("stopped", "disconnected", "connecting", "starting", "live", "file")


def health_of(healths: Sequence[Health]) -> Health:
    """How they are together: live if all are that can be, else as the worst, with how many of them are not live."""
    worst = min(healths, key=lambda health: _WORST.index(health.state))
    away = [health for health in healths if health.state not in ("live", "file")]
    of = f"{len(away)} of {formats.number_of(len(healths), 'broker')} not live"
    return Health(
        state=worst.state,
        text=" ".join(health.text for health in away if health.text),
        events_per_second=sum(health.events_per_second for health in healths),
        behind=max(health.behind for health in healths),
        commands_per_second=sum(health.commands_per_second for health in healths),
        lost=sum(health.lost for health in healths),
        since=min((health.since for health in away if health.since), default=0.0),
        fault=of if away else "",
        round_trip=max(health.round_trip for health in healths),
    )


def vital_of(vitals: Sequence[Vital]) -> Vital:
    """Their histories as one: every number a sum, unknown only where it is unknown of all; findings one after another.

    ``last_task`` counts tasks over all of them, so that a difference is how many are new.
    """
    missed, waiting = _sum(one.missed for one in vitals), _sum(one.waiting for one in vitals)
    gaps = sorted((gap for one in vitals for gap in one.gaps), key=_start)
    return Vital(
        accounting=_accounts([one.accounting for one in vitals]),
        tasks=sum(one.tasks for one in vitals),
        last_task=sum(one.last_task for one in vitals),
        size=sum(one.size for one in vitals),
        waiting=waiting,
        gaps=tuple(gaps),
        missed=missed,
        missing=tuple(item for one in vitals for item in one.missing),
        findings=tuple(finding for one in vitals for finding in one.findings),
        looked=max((one.looked for one in vitals), default=0.0),
    )


def _accounts(books: Sequence[Accounting]) -> Accounting:
    shed, rejected = Counter[str](), Counter[str]()
    for book in books:
        shed.update(book.shed)
        rejected.update(book.rejected)
    return Accounting(sum(b.received for b in books), sum(b.stored for b in books), dict(shed), dict(rejected))


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _start(gap: Gap) -> float:
    return gap.start
