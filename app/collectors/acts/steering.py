"""What workers have that they can be told to change, read from them."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from app.collectors.acts.crew import Crew
from app.collectors.clean import clean_word
from app.collectors.inspector import from_active, from_reserved, from_scheduled, from_stats
from app.collectors.orders import Command

_LIMITS: Final = ("rate_limit", "time_limit", "soft_time_limit")
_ARGUMENTS: Final[Mapping[str, dict[str, Any]]] = {
    "active": {"safe": True}, "registered": {"taskinfoitems": list(_LIMITS)}
}  # fmt: skip
_NO_RATE: Final = re.compile(r"0*(\.0*)?(/[smh])?\Z")


class Settings(msgspec.Struct, frozen=True):
    """What one worker has: None is unknown. ``scale`` is most and least; limits are in seconds, 0 is none.

    ``rate`` is "" where there is no limit. ``tasks`` are names; ``held`` are tasks that run, are fetched, and wait for
    their time.
    """

    pool: str | None = None
    processes: int | None = None
    scale: tuple[int, int] | None = None
    restarts: bool | None = None
    queues: tuple[str, ...] | None = None
    tasks: frozenset[str] | None = None
    rate: str | None = None
    soft: float | None = None
    hard: float | None = None
    held: tuple[int, int, int] | None = None


class _Scale(msgspec.Struct):
    most: int = msgspec.field(name="max")
    least: int = msgspec.field(name="min")


class _Stats(msgspec.Struct):
    autoscaler: _Scale | None = None


class _Queue(msgspec.Struct):
    name: str


def read(crew: Crew, asks: Sequence[Command], names: Sequence[str], task: str = "") -> dict[str, Settings]:
    """What these workers answer to some questions, and of a ``task``; of who does not answer, nothing is known."""
    told = {command: crew.ask(command, names, **_ARGUMENTS.get(command, {})) for command in asks}
    found = {}
    for name in names:
        answers = {command: answers[name] for command, answers in told.items() if name in answers}
        fields: dict[str, Any] = {}
        if "stats" in answers:
            fields |= _from_stats(answers["stats"])
        if "conf" in answers and isinstance(answers["conf"], dict):
            fields["restarts"] = bool(answers["conf"].get("worker_pool_restarts"))
        if "active_queues" in answers:
            fields |= _from_queues(answers["active_queues"])
        if "registered" in answers:
            fields |= _from_registered(answers["registered"], task)
        if "active" in answers:
            fields |= _from_tasks(answers)
        found[name] = Settings(**fields)
    return found


def rate_of(text: str) -> str:
    """A rate limit; "" where it is none."""
    return "" if _NO_RATE.match(text) else text


def _from_stats(answer: object) -> dict[str, Any]:
    known = from_stats(answer)
    try:
        stats = msgspec.convert(answer, _Stats)
    except msgspec.ValidationError:
        return {}
    scale = None if stats.autoscaler is None else (stats.autoscaler.most, stats.autoscaler.least)
    return {"pool": known.get("pool"), "processes": known.get("slots"), "scale": scale}


def _from_queues(answer: object) -> dict[str, Any]:
    try:
        return {"queues": tuple(sorted(queue.name for queue in msgspec.convert(answer, list[_Queue])))}
    except msgspec.ValidationError:
        return {}


def _from_registered(answer: object, task: str) -> dict[str, Any]:
    """Names of tasks, and limits of one: ``name [rate_limit=10/m time_limit=5]``, without those that are None."""
    if not isinstance(answer, list):
        return {}
    named = [(*line.partition(" ["),) for line in answer if isinstance(line, str)]
    fields: dict[str, Any] = {"tasks": frozenset(name for name, _, _ in named)}
    for name, _, told in named:
        if name == task:
            limits = dict(word.partition("=")[::2] for word in told.removesuffix("]").split(" "))
            fields |= {
                "rate": clean_word(rate_of(limits.get("rate_limit", "0"))),
                "soft": _limit(limits.get("soft_time_limit")),
                "hard": _limit(limits.get("time_limit")),
            }
    return fields


def _limit(text: str | None) -> float | None:
    if text is None:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _from_tasks(answers: Mapping[Command, Any]) -> dict[str, Any]:
    active, reserved = from_active(answers.get("active")), from_reserved(answers.get("reserved"))
    scheduled = from_scheduled(answers.get("scheduled"))
    if active is None or reserved is None or scheduled is None:
        return {}
    return {"held": (len(active), len(reserved.keys() - scheduled.keys()), len(scheduled))}
