"""What workers have that they can be told to change: read from them, changed, and put in words; no act by itself."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from app.collectors import orders
from app.collectors.acts.act import Impossible
from app.collectors.acts.crew import Crew, did_you_mean
from app.collectors.clean import clean_word
from app.collectors.inspector import from_active, from_reserved, from_scheduled, from_stats
from app.collectors.orders import Command, Forbidden, Order, worded
from app.models.acts import Steer, Steering
from app.models.formats import count

#: What is asked before a command, and after it.
ASKS: Final[Mapping[Steering, tuple[Command, ...]]] = {
    "pool_grow": ("stats",), "pool_shrink": ("stats",), "pool_restart": ("stats", "conf"), "autoscale": ("stats",),
    "add_consumer": ("active_queues",), "cancel_consumer": ("active_queues",), "rate_limit": ("registered",),
    "time_limit": ("registered",), "enable_events": (), "disable_events": (),
    "shutdown": ("active", "reserved", "scheduled"),
}  # fmt: skip
_LIMITS: Final = ("rate_limit", "time_limit", "soft_time_limit")
_ARGUMENTS: Final[Mapping[str, dict[str, Any]]] = {
    "active": {"safe": True}, "registered": {"taskinfoitems": list(_LIMITS)}
}  # fmt: skip
#: Pools that can be made larger and smaller while they run.
_GROWING: Final = ("prefork", "gevent", "eventlet")
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


class _Pool(msgspec.Struct):
    processes: list[int] | None = None


class _Scale(msgspec.Struct):
    most: int = msgspec.field(name="max")
    least: int = msgspec.field(name="min")


class _Stats(msgspec.Struct):
    pool: _Pool
    autoscaler: _Scale | None = None


class _Queue(msgspec.Struct):
    name: str


def read(crew: Crew, wish: Steer, names: Sequence[str]) -> dict[str, Settings]:
    """What these workers have of what a wish is about; of who does not answer, nothing is known."""
    told = {command: crew.ask(command, names, **_ARGUMENTS.get(command, {})) for command in ASKS[wish.command]}
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
            fields |= _from_registered(answers["registered"], wish.task)
        if wish.command == "shutdown":
            fields |= _from_tasks(answers)
        found[name] = Settings(**fields)
    return found


def check(wish: Steer) -> None:
    """Raises `Impossible` for what no worker could be told."""
    if wish.command == "rate_limit" and not wish.rate:
        raise Impossible("Say how many: like 10/m, or 0 for no limit.")
    if wish.command == "time_limit" and wish.soft is None and wish.hard is None:
        raise Impossible("Say a soft or a hard time limit, in seconds; 0 is none.")
    if wish.command == "autoscale" and wish.most is None and wish.least is None:
        raise Impossible("Say how many processes there are at most, or at least.")
    if wish.command in ("pool_grow", "pool_shrink") and wish.number < 1:
        raise Impossible("Say by how many processes: 1 or more.")
    trial = Settings(scale=(0, 0), soft=0.0, hard=0.0)
    try:
        worded(order_for(wish, trial), ["worker"])
    except Forbidden as error:
        raise Impossible(_wrong(wish)) from error


def order_for(wish: Steer, now: Settings) -> Order:  # noqa: PLR0911, C901 - one line for each command
    """What a worker with these settings is told. Raises `Impossible` where that depends on what is not known."""
    match wish.command:
        case "pool_grow":
            return orders.PoolGrow(wish.number)
        case "pool_shrink":
            return orders.PoolShrink(wish.number)
        case "pool_restart":
            return orders.PoolRestart()
        case "autoscale":
            most, least = _scale(wish, now)
            return orders.Autoscale(most=most, least=least)
        case "add_consumer":
            return orders.AddConsumer(wish.queue)
        case "cancel_consumer":
            return orders.CancelConsumer(wish.queue)
        case "rate_limit":
            return orders.RateLimit(wish.task, wish.rate)
        case "time_limit":
            soft, hard = _limits(wish, now)
            return orders.TimeLimit(wish.task, hard=hard or None, soft=soft or None)
        case "enable_events":
            return orders.EnableEvents()
        case "disable_events":
            return orders.DisableEvents()
        case "shutdown":
            return orders.Shutdown()


def unable(wish: Steer, now: Settings) -> str:  # noqa: PLR0911 - one line each
    """Why a worker would refuse it, or should not be told; "" where it can do it, as far as is known."""
    grows = wish.command in ("pool_grow", "pool_shrink")
    if grows and now.pool is not None and now.pool not in _GROWING:
        return f"a pool of kind {now.pool} can't be made larger or smaller while it runs"
    if grows and now.scale is not None:
        return "it scales by itself: change the range of that"
    if wish.command == "pool_shrink" and now.processes is not None and wish.number >= now.processes:
        return f"it has {_processes(now.processes)}, so that none would be left"
    if wish.command == "pool_restart" and now.restarts is False:
        return "its pool can't be restarted unless its application sets worker_pool_restarts"
    if wish.command == "autoscale" and now.processes is not None and now.scale is None:
        return "it does not scale by itself: start it with --autoscale"
    if wish.task and now.tasks is not None and wish.task not in now.tasks:
        return f"it has no task {wish.task!r}.{did_you_mean(wish.task, now.tasks)}".removesuffix(".")
    return ""


def changed(wish: Steer, now: Settings) -> Settings:
    """What a worker should have afterwards."""
    change: dict[str, Any] = {}
    if wish.command in ("pool_grow", "pool_shrink") and now.processes is not None:
        change["processes"] = now.processes + (wish.number if wish.command == "pool_grow" else -wish.number)
    elif wish.command == "autoscale" and now.scale is not None:
        change["scale"] = _scale(wish, now)
    elif wish.command == "add_consumer" and now.queues is not None:
        change["queues"] = tuple(sorted({*now.queues, wish.queue}))
    elif wish.command == "cancel_consumer" and now.queues is not None:
        change["queues"] = tuple(queue for queue in now.queues if queue != wish.queue)
    elif wish.command == "rate_limit":
        change["rate"] = rate_of(wish.rate)
    elif wish.command == "time_limit":
        change["soft"], change["hard"] = _limits(wish, now)
    return msgspec.structs.replace(now, **change)


def in_words(wish: Steer, now: Settings) -> str:  # noqa: PLR0911 - one line for each
    """The settings that a wish is about; "" where there are none to be told, or they are not known."""
    match wish.command:
        case "pool_grow" | "pool_shrink" | "pool_restart":
            return "" if now.processes is None else _processes(now.processes)
        case "autoscale":
            return "" if now.scale is None else f"{now.scale[1]} to {now.scale[0]} processes"
        case "add_consumer" | "cancel_consumer":
            return "" if now.queues is None else ", ".join(map(clean_word, now.queues)) or "no queue"
        case "rate_limit":
            return "" if now.rate is None else now.rate or "no limit"
        case "time_limit":
            return f"soft {_seconds(now.soft)}, hard {_seconds(now.hard)}"
        case "shutdown":
            return "" if now.held is None else "{} running, {} fetched, {} waiting for their time".format(*now.held)
        case _:
            return ""


def rate_of(text: str) -> str:
    """A rate limit; "" where it is none."""
    return "" if _NO_RATE.match(text) else text


def _wrong(wish: Steer) -> str:
    match wish.command:
        case "rate_limit" if wish.task:
            return f"{wish.rate!r} is not a rate limit. Write it like 10/m (s, m or h), or 0 for none."
        case "rate_limit" | "time_limit" if not wish.task:
            return "Say which tasks are meant, by their name."
        case "time_limit":
            return "Time limits are seconds above 0; 0 is none."
        case "add_consumer" | "cancel_consumer":
            return "Say which queue is meant, in at most 255 characters."
        case _:
            return "That many processes are none that a pool could have."


def _scale(wish: Steer, now: Settings) -> tuple[int, int]:
    """Most and least, of which a wish may leave one as it is."""
    if now.scale is None and (wish.most is None or wish.least is None):
        raise Impossible("its present range is not known: say both, how many at most and at least")
    most, least = now.scale or (0, 0)
    most, least = most if wish.most is None else wish.most, least if wish.least is None else wish.least
    if least > most and now.scale != (0, 0):
        raise Impossible(f"at least {least} and at most {most} is no range")
    return most, least


def _limits(wish: Steer, now: Settings) -> tuple[float, float]:
    """Soft and hard, of which a wish may leave one as it is; 0 is none."""
    soft, hard = now.soft if wish.soft is None else wish.soft, now.hard if wish.hard is None else wish.hard
    if soft is None or hard is None:
        raise Impossible("its present limits are not known, and it would clear the one that is not named: name both")
    if soft and hard and soft >= hard:
        raise Impossible(f"a soft limit of {_seconds(soft)} has to be below the hard one of {_seconds(hard)}")
    return soft, hard


def _processes(number: int) -> str:
    return f"{count(number)} {'process' if number == 1 else 'processes'}"


def _seconds(limit: float | None) -> str:
    return "unknown" if limit is None else f"{limit:g} s" if limit else "none"


def _from_stats(answer: object) -> dict[str, Any]:
    known = from_stats(answer)
    try:
        stats = msgspec.convert(answer, _Stats)
    except msgspec.ValidationError:
        return {}
    scale = None if stats.autoscaler is None else (stats.autoscaler.most, stats.autoscaler.least)
    processes = known.get("slots") if stats.pool.processes is None else len(stats.pool.processes)
    return {"pool": known.get("pool"), "processes": processes, "scale": scale}


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
