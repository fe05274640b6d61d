"""The figures of a history as one structure, for `cloche stats` and tests; from the questions the window asks."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from app.models.diagnosis import class_counts, diagnose
from app.models.formats import UNKNOWN, clock_offset, clock_time, count, date_time, duration, number_of, percent, rate
from app.models.history.charts import Span
from app.models.history.reader import Reader
from app.models.rollups import Percentiles
from app.models.signs import look
from app.models.surveys import Survey

PERCENTILES: Final = ("p50", "p95", "p99")
#: Columns that are shown where one of the queues has something to show in them.
_TOLD: Final[tuple[tuple[str, str, Callable[[Any], str]], ...]] = (
    ("in/s", "rate_in", rate),
    ("out/s", "rate_out", rate),
    ("role", "role", lambda role: role or "tasks"),
)
_EVENTS: Final = {True: "on", False: "off", None: UNKNOWN}


def stats(reader: Reader, since: float | None = None) -> dict[str, Any]:
    """Figures of all tasks first seen after ``since`` (of all, if None).

    Seconds are numbers, what is unknown is None, states are in Celery's words.
    """
    span = Span(since or 0.0, max(time.time(), reader.alive() or 0.0) + 1.0)
    states = reader.states(since)
    accounting = reader.accounting()
    return {
        "tasks": {
            "total": sum(states.values()),
            "by_state": states,
            "by_name": {
                row.name: {
                    "count": row.count,
                    "failed": row.failed,
                    "retried": row.retried,
                    "wait": _percentiles(row.wait),
                    "run": _percentiles(row.run),
                }
                for row in reader.names(span).rows
            },
        },
        "workers": [
            {key: value for key, value in msgspec.to_builtins(w).items() if key != "stats"} for w in reader.workers()
        ],
        "queues": [msgspec.to_builtins(queue) for queue in reader.queues()],
        "removed": msgspec.to_builtins(reader.removed()),
        "accounting": msgspec.to_builtins(accounting),
        "gaps": [
            {"from": gap.start, "to": gap.end, "why": gap.why}
            for gap in reader.gaps(None if since is None else Span(since, math.inf))
        ],
        "findings": [
            {key: value for key, value in msgspec.to_builtins(finding).items() if key != "action"}
            for finding in diagnose(look(reader))
        ],
    }


def _percentiles(found: Percentiles) -> dict[str, float | None]:
    return {key: getattr(found, key) for key in PERCENTILES}


def as_text(found: dict[str, Any]) -> str:
    """The same figures as lines for people."""
    tasks, accounting = found["tasks"], found["accounting"]
    states = " · ".join(
        f"{count(n)} {state}" for state, n in sorted(tasks["by_state"].items(), key=lambda item: -item[1])
    )
    lines = [f"{count(tasks['total'])} tasks: {states or 'none'}", ""]
    lines += _attention(found["findings"])
    lines += _table(
        ("task", "count", "failed", "retried", "wait p50", "p95", "p99", "run p50", "p95", "p99"),
        [
            (
                name,
                *(count(row[key]) for key in ("count", "failed", "retried")),
                *(duration(row["wait"][p]) for p in PERCENTILES),
                *(duration(row["run"][p]) for p in PERCENTILES),
            )
            for name, row in tasks["by_name"].items()
        ],
    )
    lines += _table(
        ("worker", "state", "events", "pool", "slots", "processed", "missed", "clock"),
        [
            (
                w["hostname"],
                w["state"],
                _EVENTS[w["events"]],
                w["pool"] or UNKNOWN,
                count(w["slots"]),
                count(w["processed"]),
                count(None if w["processed"] is None else w["missed"]),
                clock_offset(w["clock_offset"]),
            )
            for w in found["workers"]
        ],
    )
    lines += queue_table(found["queues"])
    removed = found["removed"]
    if removed["tasks"]:
        until = date_time(removed["until"])
        lines.append(f"{count(removed['tasks'])} tasks were removed; those first seen after {until} are complete")
    rejected, shed = sum(accounting["rejected"].values()), sum(accounting["shed"].values())
    ended = f"{count(accounting['stored'])} stored + {count(rejected)} rejected + {count(shed)} shed"
    lines.append(f"{count(accounting['received'])} events received = {ended}")
    if shed:
        lines.append(f"Shed: {class_counts(accounting['shed'])}")
    lines += [
        f"Not listening from {clock_time(gap['from'])} to {clock_time(gap['to'])}: {gap['why']}"
        for gap in found["gaps"]
    ]
    return "\n".join(lines)


def _attention(findings: list[dict[str, Any]]) -> list[str]:
    """What needs attention, the worst first, each with its remedy below; an empty line follows."""
    lines = []
    for finding in findings:
        since = "" if finding["since"] is None else f" Since {date_time(finding['since'], milliseconds=False)}."
        evidence = f" {finding['evidence']}." if finding["evidence"] else ""
        lines += [f"{finding['severity']}: {finding['text']}{evidence}{since}", f"    {finding['remedy']}"]
    return ["Needs attention", *lines, ""] if lines else []


def queue_table(queues: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of a table of queues, each as the fields of its record."""
    told = [column for column in _TOLD if any(q[column[1]] is not None for q in queues)]
    return _table(
        ("queue", "ready", "unacked", "scheduled", "consumers", "oldest", *(title for title, _, _ in told)),
        [
            (
                q["name"],
                *(count(q[key]) for key in ("ready", "unacked", "scheduled", "consumers")),
                _oldest(q),
                *(shown(q[key]) for _, key, shown in told),
            )
            for q in queues
        ],
    )


def name_table(survey: Survey) -> list[str]:
    """Lines of a table of the tasks that wait in a queue."""
    rows = [(name or "(no task)", number) for name, number in survey.names]
    if survey.others:
        rows.append((f"({number_of(survey.others, 'more task')})", survey.other))
    return _table(
        ("task", "messages", "share"),
        [(name, count(number), percent(number / survey.looked)) for name, number in rows],
    )


def _oldest(queue: Mapping[str, Any]) -> str:
    known = duration(queue["oldest"])
    return known if queue["oldest"] is None or queue["oldest_exact"] else f"≥ {known}"


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Columns aligned: the first to the left, the others to the right; an empty line follows."""
    if not rows:
        return []
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in (header, *rows)
    ] + [""]
