"""The seven figures at the head of the overview, in words and with what they were before."""

from typing import Final

from app.models import formats
from app.models.records import Worker
from app.models.signs import ALIVE
from app.ui.pages.overview_read import Overview, coarse, last, number_known, share, total
from app.ui.widgets.tile import Arrow, Figure

LABELS: Final = ("Throughput", "Failure rate", "Waiting", "Queue wait p95", "Run time p95", "Workers", "Slots busy")


def figures(data: Overview, *, present: bool) -> list[Figure]:
    """One figure per label; where the span ends now (`present`), queues and workers are shown as they are."""
    return [
        _throughput(data),
        _failures(data),
        _waiting(data, present=present),
        _latency(data, "wait"),
        _latency(data, "run"),
        _workers(data, present=present),
        _slots(data, present=present),
    ]


def _throughput(data: Overview) -> Figure:
    if not data.seconds:
        return Figure(formats.UNKNOWN, explained="Nothing was recorded in this range.")
    rate = _finished(data.totals.succeeded, data.totals.failed) / data.seconds * 60
    before = data.before
    earlier = (
        _finished(before.totals.succeeded, before.totals.failed) / before.seconds * 60 if _comparable(data) else None
    )
    change, arrow, _ = _ratio(rate, earlier)
    compared = f", {formats.rate(earlier)} in the period before" if earlier is not None else ""
    return Figure(
        formats.rate(rate),
        "tasks/min",
        f"{change} vs before" if arrow else change,
        arrow,
        spark=coarse(total({key: data.outcomes[key] for key in ("succeeded", "failed")}, data.gaps), data.span.end),
        explained=f"Tasks that succeeded or failed per minute, over {_length(data)}{compared}.",
    )


def _failures(data: Overview) -> Figure:
    totals, before = data.totals, data.before.totals
    finished = _finished(totals.succeeded, totals.failed)
    if not finished:
        return Figure(formats.UNKNOWN, change="none finished", explained="No finished tasks in this range.")
    failed = totals.failed / finished
    earlier = _finished(before.succeeded, before.failed)
    change, mood = "no earlier data", "hint"
    arrow: Arrow = ""
    if _comparable(data) and earlier:
        points = (failed - before.failed / earlier) * 100
        change, mood = f"{abs(points):.1f} points", "failed" if points > 0 else "succeeded"
        arrow = "up" if points > 0 else "down"
        if abs(points) < 0.05:
            change, arrow, mood = "no change", "", "secondary"
    text = formats.percent(failed)
    return Figure(
        text.removesuffix(" %"),
        "%",
        change,
        arrow,
        mood,
        spark=coarse(
            share(data.outcomes["failed"], [data.outcomes["succeeded"], data.outcomes["failed"]]), data.span.end
        ),
        spark_colour="failed",
        explained=f"{formats.count(totals.failed)} of {formats.count(finished)} tasks failed, over {_length(data)}.",
    )


def _waiting(data: Overview, *, present: bool) -> Figure:
    if present:
        known = [queue.ready for queue in data.queues if queue.ready is not None]
        waiting = float(sum(known)) if known else None
        heads = [
            (queue.oldest, queue.oldest_exact) for queue in data.queues if queue.oldest is not None and queue.ready
        ]
    else:
        waiting = last(total(data.ready, data.gaps))
        heads = [(value, True) for value in map(last, data.oldest.values()) if value is not None]
    if waiting is None:
        return Figure(formats.UNKNOWN, change="queues not measured", mood="hint")
    oldest, exact = max(heads, default=(None, True), key=lambda head: head[0] or 0.0)
    change = f"oldest {'' if exact else '≥ '}{formats.coarse(oldest)}" if oldest is not None else ""
    mood = "secondary" if oldest is None or oldest < 60 else "retrying" if oldest < 300 else "failed"
    return Figure(
        formats.count(waiting),
        "task" if waiting == 1 else "tasks",
        change or ("nothing waits" if not waiting else "age not known"),
        "",
        mood,
        spark=coarse(total(data.ready, data.gaps)),
        spark_colour="retrying",
        explained="Messages ready in all queues of this broker, and the age of the oldest.",
    )


def _latency(data: Overview, which: str) -> Figure:
    now, before = (
        (data.totals.wait, data.before.totals.wait) if which == "wait" else (data.totals.run, data.before.totals.run)
    )
    meaning = (
        "from being sent (or received, where that is all we saw) to being started"
        if which == "wait"
        else "to run, as the workers measured"
    )
    if now.p95 is None:
        return Figure(formats.UNKNOWN, change="none measured", mood="hint")
    change, arrow, mood = _ratio(now.p95, before.p95 if _comparable(data) else None)
    value, unit = split(formats.duration(now.p95))
    return Figure(
        value,
        unit,
        change,
        arrow,
        mood,
        spark=coarse((data.wait if which == "wait" else data.run)["p95"], data.span.end),
        spark_colour="retrying" if which == "wait" else "accent",
        explained=f"95 % of the tasks took no longer {meaning}, over {_length(data)}.",
    )


def _workers(data: Overview, *, present: bool) -> Figure:
    known = [worker for worker in data.workers if worker.state != "offline"]
    heard = number_known(data.active, data.gaps)
    if not data.workers:
        return Figure(formats.UNKNOWN, change="none heard yet", mood="hint")
    if not present:
        count = last(heard)
        if count is None:
            return Figure(formats.UNKNOWN, change="none heard", mood="hint")
        return Figure(formats.count(count), "heard", spark=coarse(heard), spark_colour="succeeded")
    online = sum(1 for worker in known if worker.state in ("online", "busy"))
    change, mood = _missing(known, data.span.end)
    return Figure(
        formats.count(online),
        f"of {len(known)} online",
        change,
        "",
        mood,
        spark=coarse(heard),
        spark_colour="succeeded",
        explained="Workers whose heartbeats arrive, or that work and can't speak, of those that did not say goodbye.",
    )


def _missing(workers: list[Worker], now: float) -> tuple[str, str]:
    """What is wrong with the workers, and the colour to say it in; the worst comes first."""
    for state, mood in (("lost", "lost"), ("silent", "retrying")):
        gone = [worker.since for worker in workers if worker.state == state]
        if gone:
            since = min((moment for moment in gone if moment is not None), default=None)
            when = "" if since is None else f" {formats.age(now - since)}{' ago' if state == 'lost' else ''}"
            return f"{len(gone)} {state}{when}", mood
    return ("all heard" if workers else "all said goodbye"), "secondary"


def _slots(data: Overview, *, present: bool) -> Figure:
    active = total(data.active, data.gaps)
    if present:
        online = [worker for worker in data.workers if worker.state in ALIVE]
        counts = [worker.active for worker in online if worker.active is not None]
        busy = float(sum(counts)) if counts else None
        sizes = [worker.slots for worker in online]
        slots = float(sum(size or 0 for size in sizes)) if sizes and None not in sizes else None
    else:
        busy, slots = last(active), last(total(data.slots, data.gaps))
    if busy is None:
        return Figure(formats.UNKNOWN, change="no worker reports", mood="hint")
    return Figure(
        formats.count(busy),
        f"of {formats.count(slots)}" if slots else "running",
        f"{busy / slots * 100:.0f} %" if slots else "slots not known",
        spark=coarse(active),
        explained="Tasks that run now, and how many can run at the same time.",
    )


def split(text: str) -> tuple[str, str]:
    """A value and its unit, where it has one of each: ``4.56 s``, but not ``2 m 05 s``."""
    value, _, unit = text.rpartition(" ")
    return (value, unit) if value and " " not in value else (text, "")


def _ratio(now: float, before: float | None) -> tuple[str, Arrow, str]:
    """Change in words, its arrow, and the colour for a figure of which more is worse."""
    if before is None or before <= 0:
        return "no earlier data", "", "hint"
    ratio = now / before
    if abs(ratio - 1) < 0.005:
        return "no change", "", "secondary"
    text = f"{ratio:.1f} ×" if ratio >= 2 else f"{abs(ratio - 1) * 100:.0f} %"
    mood = "failed" if ratio >= 1.2 else "succeeded" if ratio < 1 else "secondary"
    return text, "up" if ratio > 1 else "down", mood


def _comparable(data: Overview) -> bool:
    """Whether enough is known of the period before."""
    return data.before.seconds >= 0.5 * (data.before.span.end - data.before.span.start)


def _finished(succeeded: int, failed: int) -> int:
    return succeeded + failed


def _length(data: Overview) -> str:
    return formats.duration(data.seconds)
