"""What workers say of themselves when asked: pool, slots, queues, uptime."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from app.collectors.checks import MAX_INTEGER, MAX_SECONDS, MAX_WORD
from app.collectors.clean import clean_text, clean_word
from app.models.doubts import Held

#: Characters of a worker's statistics that are kept.
MAX_STATS: Final = 65_536
#: Queues of one worker that are kept.
MAX_QUEUES: Final = 1_000


class _Pool(msgspec.Struct):
    implementation: str | None = None
    max_concurrency: int | None = msgspec.field(name="max-concurrency", default=None)
    #: Of prefork, which alone has them; what it was started with stays as it was when it grows.
    processes: Any = None


class _Stats(msgspec.Struct):
    pool: _Pool
    pid: int | None = None
    uptime: float | None = None
    prefetch_count: int | None = None


class _ActiveQueue(msgspec.Struct):
    name: str


class _Running(msgspec.Struct):
    id: str
    time_start: float | None = None


class _Scheduled(msgspec.Struct):
    request: _Running


class _Delivery(msgspec.Struct):
    exchange: str | None = None
    routing_key: str | None = None
    priority: int | None = None


class Called(msgspec.Struct):
    """What a worker says of one task: what it is called with, how it came, and whether it runs (*active*)."""

    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    delivery_info: _Delivery = msgspec.field(default_factory=_Delivery)
    state: str = ""


def from_stats(answer: object) -> Mapping[str, Any]:
    """Fields of `Worker` from an answer to ``stats``; empty where it is not one (an error, another shape)."""
    try:
        stats = msgspec.convert(answer, _Stats)
        told = msgspec.json.encode(answer).decode()
    except (msgspec.ValidationError, UnicodeEncodeError, OverflowError, RecursionError):
        return {}
    implementation = clean_word((stats.pool.implementation or "")[:MAX_WORD])
    processes = stats.pool.processes
    slots = len(processes) if isinstance(processes, list) and processes else _count(stats.pool.max_concurrency)
    return {
        "pool": pool_name(implementation),
        "slots": slots if slots is not None else _slots(implementation),
        "pid": _count(stats.pid),
        "uptime": stats.uptime if stats.uptime is not None and 0.0 <= stats.uptime < MAX_SECONDS else None,
        "prefetch": _count(stats.prefetch_count),
        "stats": clean_text(told, MAX_STATS),
    }


def from_active_queues(answer: object) -> Mapping[str, Any]:
    """Fields of `Worker` from an answer to ``active_queues``; empty where it is not one."""
    try:
        queues = msgspec.convert(answer, list[_ActiveQueue])
    except msgspec.ValidationError:
        return {}
    return {"queues": [clean_word(queue.name) for queue in queues[:MAX_QUEUES] if len(queue.name) <= MAX_WORD]}


def from_active(answer: object) -> dict[str, Held] | None:
    """Tasks that a worker runs, by id, from an answer to ``active``; None where it is not one."""
    return _held(answer)


def from_reserved(answer: object) -> dict[str, Held] | None:
    """Tasks that a worker has fetched, by id, from an answer to ``reserved``; None where it is not one."""
    found = _held(answer)
    return None if found is None else dict.fromkeys(found, Held())


def from_scheduled(answer: object) -> dict[str, Held] | None:
    """Tasks whose time has not come, by id, from an answer to ``scheduled``; None where it is not one."""
    try:
        waiting = msgspec.convert(answer, list[_Scheduled])
    except msgspec.ValidationError:
        return None
    return {clean_word(each.request.id[:MAX_WORD]): Held() for each in waiting}


def _held(answer: object) -> dict[str, Held] | None:
    try:
        running = msgspec.convert(answer, list[_Running])
    except msgspec.ValidationError:
        return None
    return {clean_word(each.id[:MAX_WORD]): Held(each.time_start) for each in running}


def from_query(answer: object) -> dict[str, Called]:
    """What tasks are called with that a worker has, by id, from an answer to ``query_task``; without what is odd."""
    called: dict[str, Called] = {}
    for uuid, told in answer.items() if isinstance(answer, Mapping) else ():
        try:
            state, info = msgspec.convert(told, tuple[str, Called])
        except (msgspec.ValidationError, RecursionError):
            continue
        info.state = state
        called[uuid] = info
    return called


def takes_json_only(answer: object) -> bool | None:
    """Whether a worker takes messages of no other kind than JSON, from an answer to ``conf``; None where not told.

    Then a task's arguments came as JSON, and JSON tells them as they are.
    """
    accepted = answer.get("accept_content") if isinstance(answer, Mapping) else None
    if not isinstance(accepted, list) or not accepted:
        return None
    return all(kind in ("json", "application/json") for kind in accepted)


def pool_name(implementation: str) -> str | None:
    """``prefork``, ``solo``, ``threads`` … from the class a worker names (``celery.concurrency.prefork:TaskPool``)."""
    if not implementation:
        return None
    module = implementation.split(":", 1)[0].rsplit(".", 1)[-1]
    return "threads" if module == "thread" else module


def _count(number: int | None) -> int | None:
    return number if number is not None and 0 <= number <= MAX_INTEGER else None


def _slots(implementation: str) -> int | None:
    # A solo pool does not name its size; it is one by nature.
    return 1 if "solo" in implementation else None
