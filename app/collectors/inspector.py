"""What workers say of themselves when asked: pool, slots, queues, uptime."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from app.collectors.normalise import MAX_INTEGER, MAX_SECONDS, MAX_WORD, clean_text, clean_word

#: Characters of a worker's statistics that are kept.
MAX_STATS: Final = 65_536
#: Queues of one worker that are kept.
MAX_QUEUES: Final = 1_000


class _Pool(msgspec.Struct):
    implementation: str | None = None
    max_concurrency: int | None = msgspec.field(name="max-concurrency", default=None)


class _Stats(msgspec.Struct):
    pool: _Pool = msgspec.field(default_factory=_Pool)
    pid: int | None = None
    uptime: float | None = None
    prefetch_count: int | None = None


class _ActiveQueue(msgspec.Struct):
    name: str


def from_stats(answer: object) -> Mapping[str, Any]:
    """Fields of `Worker` from an answer to ``stats``; empty where it is not one (an error, another shape)."""
    try:
        stats = msgspec.convert(answer, _Stats)
    except msgspec.ValidationError:
        return {}
    implementation = clean_word((stats.pool.implementation or "")[:MAX_WORD])
    slots = _count(stats.pool.max_concurrency)
    return {
        "pool": pool_name(implementation),
        "slots": slots if slots is not None else _slots(implementation),
        "pid": _count(stats.pid),
        "uptime": stats.uptime if stats.uptime is not None and 0.0 <= stats.uptime < MAX_SECONDS else None,
        "prefetch": _count(stats.prefetch_count),
        "stats": clean_text(msgspec.json.encode(answer).decode(), MAX_STATS),
    }


def from_active_queues(answer: object) -> Mapping[str, Any]:
    """Fields of `Worker` from an answer to ``active_queues``; empty where it is not one."""
    try:
        queues = msgspec.convert(answer, list[_ActiveQueue])
    except msgspec.ValidationError:
        return {}
    return {"queues": [clean_word(queue.name) for queue in queues[:MAX_QUEUES] if len(queue.name) <= MAX_WORD]}


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
