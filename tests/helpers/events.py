"""Events as tests write them: a line of text each, `Event` records, and messages as kombu publishes them.

    1.0 received
    2.5 started @w2
    4.0 succeeded result=4 runtime=1.5

is a stream of one task: seconds from `T0`, what happened, where (if not at ``w1``), and the event's own fields.
"""

import base64
import json
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from app.models.records import Event

#: Where all times of the tests begin; a multiple of every width of a rollup bucket below a day.
T0: Final = 1_795_230_000.0

_TASK: Final = {"name": "add", "args": "(2, 3)", "kwargs": "{}"}
_OWN: Final[dict[str, dict[str, Any]]] = {
    "sent": {**_TASK, "queue": "celery", "routing_key": "celery", "retries": 0},
    "received": {**_TASK, "retries": 0},
}


def event(kind: str, at: float, host: str | None = None, *, uuid: str | None = "t1", **fields: Any) -> Event:
    """One task event; ``kind`` is without its ``task-``, the time is seconds from `T0`."""
    where = host or ("producer" if kind == "sent" else "w1")
    known = {**_OWN.get(kind, {}), **fields, "type": f"task-{kind}", "hostname": where, "timestamp": T0 + at}
    return msgspec.convert({**known, "uuid": uuid, "seen": T0 + at}, Event)


def worker_event(kind: str, at: float, host: str = "w1", **fields: Any) -> Event:
    """One worker event; ``kind`` is without its ``worker-``."""
    known = {"freq": 2.0, "active": 0, "processed": 0, "pid": 100, **fields}
    return msgspec.convert(
        {**known, "type": f"worker-{kind}", "hostname": host, "timestamp": T0 + at, "seen": T0 + at}, Event
    )


def stream(text: str, uuid: str = "t1") -> list[Event]:
    """The events of one task from their lines."""
    made = []
    for line in text.strip().splitlines():
        at, kind, *words = line.split()
        host = next((word[1:] for word in words if word.startswith("@")), None)
        fields = dict(word.split("=", 1) for word in words if not word.startswith("@"))
        made.append(event(kind, float(at), host, uuid=uuid, **{key: _value(key, text) for key, text in fields.items()}))
    return made


def moment(seconds: float) -> str:
    """A time as Celery writes an ETA or an expiry."""
    return datetime.fromtimestamp(T0 + seconds, UTC).isoformat()


def raw(kind: str = "task-succeeded", /, **fields: Any) -> dict[str, Any]:
    """An event as it is on the wire, a good one if no field says otherwise; a field that is `...` is left out."""
    known: dict[str, Any] = {"hostname": "w1", "utcoffset": 0.0, "pid": 7, "clock": 3, "uuid": "t1", "timestamp": T0}
    return {key: value for key, value in {**known, "type": kind, **fields}.items() if value is not ...}


def envelope(body: object, /, *, routing_key: str = "task.multi", **changes: Any) -> bytes:
    """A message of kombu's Redis transport around a body: bytes as they are, anything else as JSON."""
    inner = body if isinstance(body, bytes) else json.dumps(body).encode()
    message: dict[str, Any] = {
        "body": base64.b64encode(inner).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"hostname": "w1"},
        "properties": {
            "delivery_mode": 1,
            "delivery_info": {"exchange": "celeryev", "routing_key": routing_key},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "e2e8072f-fe1c-45ea-b778-6e6e40b5797f",
        },
    }
    return json.dumps({key: value for key, value in {**message, **changes}.items() if value is not ...}).encode()


def _value(field: str, text: str) -> Any:
    if text.startswith("+"):
        return moment(float(text))
    if field in ("retries", "runtime", "requeue", "terminated", "expired", "signum") and not text.startswith("SIG"):
        return json.loads(text)
    return text
