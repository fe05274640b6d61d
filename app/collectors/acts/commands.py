"""What workers can be told to change: for each command all that there is to know of it, in one place."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from app.collectors import orders
from app.collectors.acts.act import Impossible
from app.collectors.acts.crew import did_you_mean
from app.collectors.acts.steering import Settings, rate_of
from app.collectors.clean import clean_word
from app.collectors.orders import Command, Forbidden, Order, worded
from app.models.acts import Caution, Steer, Steering
from app.models.formats import count

#: Pools that can be made larger and smaller while they run.
_GROWING: Final = ("prefork", "gevent", "eventlet")
#: The only one that is restarted. For others Celery answers that it was, and does nothing (``WorkController.reload``).
_RESTARTING: Final = "prefork"
_NOT_SO_MANY: Final = "That many processes are none that a pool could have."
_NO_TASK: Final = "Say which tasks are meant, by their name."
_WHICH_QUEUE: Final = "Say which queue is meant, in at most 255 characters."


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """A command: what it is called, what it needs to know of a worker, and what becomes of it there.

    ``asks`` is asked before, and again after it. ``order`` is what a worker with such settings is told; it raises
    `Impossible` where that depends on what is not known. ``missing`` is what a wish lacks that no worker could be told,
    ``wrong`` what is said where the values are none. ``unable`` is why a worker would refuse it, or should not be told.
    ``changes`` are the settings that a worker should have afterwards, where they are known, and ``words`` those that it
    is about. ``settles`` is whether that can be read back. Undone it is by the ``opposite`` command, or by the same one
    with other fields: those of what was ``before``, None where that is not known.
    """

    title: str
    verb: str
    order: Callable[[Steer, Settings], Order]
    asks: tuple[Command, ...] = ()
    missing: Callable[[Steer], str] = lambda _wish: ""
    wrong: Callable[[Steer], str] = lambda _wish: _NOT_SO_MANY
    unable: Callable[[Steer, Settings], str] = lambda _wish, _now: ""
    changes: Callable[[Steer, Settings], dict[str, Any]] = lambda _wish, _now: {}
    words: Callable[[Settings], str] = lambda _now: ""
    cautions: tuple[Caution, ...] = ()
    settles: bool = True
    opposite: Steering | None = None
    before: Callable[[Settings], dict[str, Any] | None] = lambda _before: None

    def check(self, wish: Steer) -> None:
        """Raises `Impossible` for what no worker could be told."""
        missing = self.missing(wish)
        if missing:
            raise Impossible(missing)
        trial = Settings(scale=(0, 0), soft=0.0, hard=0.0)
        try:
            worded(self.order(wish, trial), ["worker"])
        except Forbidden as error:
            raise Impossible(self.wrong(wish)) from error

    def changed(self, wish: Steer, now: Settings) -> Settings:
        """What a worker should have afterwards."""
        return msgspec.structs.replace(now, **self.changes(wish, now))


# --- pools -----------------------------------------------------------------------------------------------------------


def _no_number(wish: Steer) -> str:
    return "" if wish.number >= 1 else "Say by how many processes: 1 or more."


def _can_t_grow(_wish: Steer, now: Settings) -> str:
    if now.pool is not None and now.pool not in _GROWING:
        return f"a pool of kind {now.pool} can't be made larger or smaller while it runs"
    return "" if now.scale is None else "it scales by itself: change the range of that"


def _can_t_shrink(wish: Steer, now: Settings) -> str:
    if now.processes is not None and wish.number >= now.processes:
        return _can_t_grow(wish, now) or f"it has {_processes(now)}, so that none would be left"
    return _can_t_grow(wish, now)


def _can_t_restart(_wish: Steer, now: Settings) -> str:
    if now.pool not in (None, _RESTARTING):
        return f"a pool of kind {now.pool} can't be restarted, though its worker would say that it was"
    can_t = "its pool can't be restarted unless its application sets worker_pool_restarts"
    return can_t if now.restarts is False else ""


def _can_t_scale(_wish: Steer, now: Settings) -> str:
    scales = now.processes is None or now.scale is not None
    return "" if scales else "it does not scale by itself: start it with --autoscale"


def _more(wish: Steer, now: Settings) -> dict[str, Any]:
    return {} if now.processes is None else {"processes": now.processes + wish.number}


def _fewer(wish: Steer, now: Settings) -> dict[str, Any]:
    return {} if now.processes is None else {"processes": now.processes - wish.number}


def _processes(now: Settings) -> str:
    if now.processes is None:
        return ""
    return f"{count(now.processes)} {'process' if now.processes == 1 else 'processes'}"


def _no_range(wish: Steer) -> str:
    return "Say how many processes there are at most, or at least." if wish.most is None and wish.least is None else ""


def _scale(wish: Steer, now: Settings) -> tuple[int, int]:
    """Most and least, of which a wish may leave one as it is."""
    if now.scale is None and (wish.most is None or wish.least is None):
        raise Impossible("its present range is not known: say both, how many at most and at least")
    most, least = now.scale or (0, 0)
    most, least = most if wish.most is None else wish.most, least if wish.least is None else wish.least
    if least > most and now.scale != (0, 0):
        raise Impossible(f"at least {least} and at most {most} is no range")
    return most, least


def _autoscale(wish: Steer, now: Settings) -> Order:
    most, least = _scale(wish, now)
    return orders.Autoscale(most=most, least=least)


# --- queues ----------------------------------------------------------------------------------------------------------


def _with_queue(wish: Steer, now: Settings) -> dict[str, Any]:
    return {} if now.queues is None else {"queues": tuple(sorted({*now.queues, wish.queue}))}


def _without_queue(wish: Steer, now: Settings) -> dict[str, Any]:
    return {} if now.queues is None else {"queues": tuple(queue for queue in now.queues if queue != wish.queue)}


def _queues(now: Settings) -> str:
    return "" if now.queues is None else ", ".join(map(clean_word, now.queues)) or "no queue"


# --- limits of tasks -------------------------------------------------------------------------------------------------


def _no_such_task(wish: Steer, now: Settings) -> str:
    if not wish.task or now.tasks is None or wish.task in now.tasks:
        return ""
    return f"it has no task {wish.task!r}.{did_you_mean(wish.task, now.tasks)}".removesuffix(".")


def _wrong_rate(wish: Steer) -> str:
    wrong = f"{wish.rate!r} is not a rate limit. Write it like 10/m (s, m or h), or 0 for none."
    return wrong if wish.task else _NO_TASK


def _wrong_limit(wish: Steer) -> str:
    return "A time limit is a number of seconds above 0." if wish.task else _NO_TASK


def _rate(now: Settings) -> str:
    return "" if now.rate is None else now.rate or "no limit"


def _limits(wish: Steer, now: Settings) -> tuple[float, float]:
    """Soft and hard, of which a wish may leave one as it is; 0 is none."""
    soft, hard = now.soft if wish.soft is None else wish.soft, now.hard if wish.hard is None else wish.hard
    if soft is None or hard is None:
        raise Impossible("its present limits are not known, and it would clear the one that is not named: name both")
    if soft and hard and soft >= hard:
        raise Impossible(f"a soft limit of {_seconds(soft)} has to be below the hard one of {_seconds(hard)}")
    return soft, hard


def _time_limit(wish: Steer, now: Settings) -> Order:
    soft, hard = _limits(wish, now)
    return orders.TimeLimit(wish.task, hard=hard or None, soft=soft or None)


def _no_limit(wish: Steer) -> str:
    given = wish.soft is not None or wish.hard is not None
    return "" if given else "Say a soft or a hard time limit."


def _had_limits(before: Settings) -> dict[str, Any] | None:
    known = before.soft is not None and before.hard is not None
    return {"soft": before.soft, "hard": before.hard} if known else None


def _seconds(limit: float | None) -> str:
    return "unknown" if limit is None else f"{limit:g} s" if limit else "none"


# --- all of them -----------------------------------------------------------------------------------------------------


def _held(now: Settings) -> str:
    return "" if now.held is None else "{} running, {} fetched, {} waiting for their time".format(*now.held)


WAYS: Final[Mapping[Steering, Way]] = {
    "pool_grow": Way(
        title="Grow the pool of {workers} by {number}",
        verb="Grow",
        asks=("stats",),
        order=lambda wish, _now: orders.PoolGrow(wish.number),
        missing=_no_number,
        unable=_can_t_grow,
        changes=_more,
        words=_processes,
        opposite="pool_shrink",
    ),
    "pool_shrink": Way(
        title="Shrink the pool of {workers} by {number}",
        verb="Shrink",
        asks=("stats",),
        order=lambda wish, _now: orders.PoolShrink(wish.number),
        missing=_no_number,
        unable=_can_t_shrink,
        changes=_fewer,
        words=_processes,
        cautions=(Caution("Only processes that have nothing to do are ended."),),
        opposite="pool_grow",
    ),
    "pool_restart": Way(
        title="Restart the pool of {workers}",
        verb="Restart pool",
        asks=("stats", "conf"),
        order=lambda _wish, _now: orders.PoolRestart(),
        unable=_can_t_restart,
        words=_processes,
        cautions=(Caution("Each process is replaced once it has done its next task; what runs is finished."),),
        settles=False,
    ),
    "autoscale": Way(
        title="Change the range in which {workers} scale",
        verb="Change range",
        asks=("stats",),
        order=_autoscale,
        missing=_no_range,
        unable=_can_t_scale,
        changes=lambda wish, now: {} if now.scale is None else {"scale": _scale(wish, now)},
        words=lambda now: "" if now.scale is None else f"{now.scale[1]} to {now.scale[0]} processes",
        before=lambda before: before.scale and {"most": before.scale[0], "least": before.scale[1]},
    ),
    "add_consumer": Way(
        title="Have {workers} consume {queue}",
        verb="Consume",
        asks=("active_queues",),
        order=lambda wish, _now: orders.AddConsumer(wish.queue),
        wrong=lambda _wish: _WHICH_QUEUE,
        changes=_with_queue,
        words=_queues,
        cautions=(Caution("The queue is made where there is none of that name."),),
        opposite="cancel_consumer",
    ),
    "cancel_consumer": Way(
        title="Have {workers} consume {queue} no longer",
        verb="Stop consuming",
        asks=("active_queues",),
        order=lambda wish, _now: orders.CancelConsumer(wish.queue),
        wrong=lambda _wish: _WHICH_QUEUE,
        changes=_without_queue,
        words=_queues,
        opposite="add_consumer",
    ),
    "rate_limit": Way(
        title="Limit the rate of {task} on {workers} to {rate}",
        verb="Limit rate",
        asks=("registered",),
        order=lambda wish, _now: orders.RateLimit(wish.task, wish.rate),
        missing=lambda wish: "" if wish.rate else "Say how many: like 10/m, or 0 for no limit.",
        wrong=_wrong_rate,
        unable=_no_such_task,
        changes=lambda wish, _now: {"rate": rate_of(wish.rate)},
        words=_rate,
        before=lambda before: None if before.rate is None else {"rate": before.rate or "0"},
    ),
    "time_limit": Way(
        title="Change the time limits of {task} on {workers}",
        verb="Change time limits",
        asks=("registered",),
        order=_time_limit,
        missing=_no_limit,
        wrong=_wrong_limit,
        unable=_no_such_task,
        changes=lambda wish, now: dict(zip(("soft", "hard"), _limits(wish, now), strict=True)),
        words=lambda now: f"soft {_seconds(now.soft)}, hard {_seconds(now.hard)}",
        cautions=(Caution("Both limits are sent, since workers set both: one that is not named stays."),),
        before=_had_limits,
    ),
    "enable_events": Way(
        title="Turn on events of {workers}",
        verb="Turn events on",
        order=lambda _wish, _now: orders.EnableEvents(),
        cautions=(Caution("Workers that come later are not told. Start workers with -E to have it for good."),),
        settles=False,
        opposite="disable_events",
    ),
    "disable_events": Way(
        title="Turn off events of {workers}",
        verb="Turn events off",
        order=lambda _wish, _now: orders.DisableEvents(),
        cautions=(
            Caution("Workers that were started with -E go on: they can't be told not to."),
            Caution("Of the tasks of the others no monitor hears any more."),
        ),
        settles=False,
        opposite="enable_events",
    ),
    "shutdown": Way(
        title="Shut down {workers}",
        verb="Shut down",
        asks=("active", "reserved", "scheduled"),
        order=lambda _wish, _now: orders.Shutdown(),
        words=_held,
        cautions=(Caution("Tasks that run are finished first, and what was fetched goes back to its queue."),),
        settles=False,
    ),
}
