"""Words the frame uses for states, ranges and environments."""

import time
from datetime import UTC, datetime
from typing import Final

from app.models import formats
from app.models.profiles import Environment, Mode
from app.models.wire import Health, HealthState
from app.ui.live import TimeRange

#: Token of the theme, tag and short tag of each environment; one that nobody named has no tag.
ENVIRONMENTS: Final[dict[Environment, tuple[str, str, str]]] = {
    "production": ("production", "PRODUCTION", "PROD"),
    "staging": ("staging", "STAGING", "STG"),
    "development": ("development", "DEV", "DEV"),
    "unknown": ("unknown", "", ""),
}

#: Token and word of each state of a connection.
HEALTH: Final[dict[HealthState, tuple[str, str]]] = {
    "starting": ("pending", "starting"),
    "connecting": ("retrying", "connecting"),
    "live": ("succeeded", "live"),
    "disconnected": ("failed", "disconnected"),
    "stopped": ("failed", "stopped"),
    "file": ("secondary", "history file"),
}

#: Token, word and meaning of each access mode.
MODES: Final[dict[Mode, tuple[str, str, str]]] = {
    "passive": ("secondary", "Passive", "Passive: nothing at all is sent to the broker or to workers."),
    "observe": ("succeeded", "Observe", "Observe: workers are asked how they are. Nothing is changed."),
    "operate": ("retrying", "Operate", "Operate: tasks, workers and queues can be changed."),
}

#: What a pinned certificate means.
PINNED: Final = (
    "The certificate of this broker is trusted for what it is: nobody else vouches for it, and neither its host name "
    "nor its expiry is checked. Have it signed by an authority to be rid of this."
)

_SPANS: Final = {300.0: "5 min", 900.0: "15 min", 3600.0: "1 h", 21600.0: "6 h", 86400.0: "24 h", 604800.0: "7 d"}


def span_text(seconds: float) -> str:
    """A length of time as the range menu calls it."""
    return _SPANS.get(seconds) or formats.duration(seconds)


def latest_text(seconds: float, *, grows: bool) -> str:
    """The latest part of a history that grows (``Live · 15 min``), or of one that does not (``Last 15 min``)."""
    return f"Live · {span_text(seconds)}" if grows else f"Last {span_text(seconds)}"


def range_text(time_range: TimeRange, *, grows: bool = True) -> str:
    """What span is shown: ``Live · 15 min`` or ``21 Nov 02:50 – 03:05``."""
    if time_range.end is None:
        return latest_text(time_range.span, grows=grows)
    start, end = (_local(moment) for moment in (time_range.end - time_range.span, time_range.end))
    today = _local(time.time()).date()
    clock = "%H:%M:%S" if time_range.span < 600 else "%H:%M"
    first = f"{start:{clock}}" if start.date() == today else f"{start.day} {start:%b} {start:{clock}}"
    return f"{first} – {end:{clock}}" if end.date() == start.date() else f"{first} – {end.day} {end:%b} {end:{clock}}"


def health_text(health: Health, now: float) -> str:
    """A connection's state in a few words, with figures while it is live."""
    word = HEALTH[health.state][1]
    match health.state:
        case "live":
            behind = f" · {behind_text(health.behind)} behind" if health.behind > 0 else ""
            return f"{word} · {rate_text(health.events_per_second)} events/s{behind}"
        case "file" | "starting":
            return word
    since = f" for {formats.age(now - health.since)}" if health.since else ""
    return f"{health.fault or word}{since}"


def not_reached(health: Health) -> tuple[str, str]:
    """Why nothing can be known of a broker now, as a title and a sentence; empty while it is heard, and of a file."""
    match health.state:
        case "live" | "file":
            return ("", "")
        case "stopped":
            title = "The collector does not run"
        case "disconnected":
            title = "The broker is not reached"
        case _:
            title = "Connecting to the broker"
    return (title, health.text or "What it tells is shown here as soon as it is heard.")


def rate_text(per_second: float) -> str:
    """A rate as the frame shows it, whose last digits nobody could read: ``1,243``, ``86``, ``1.1``, ``0``."""
    if per_second >= 10:
        return formats.count(per_second)
    return "0" if per_second == 0 else "< 0.1" if per_second < 0.05 else f"{per_second:.1f}"


def behind_text(seconds: float) -> str:
    """How far the history is behind the broker: ``80 ms``, ``1.2 s``, ``2 m 05 s``."""
    return f"{max(1, round(seconds * 1000))} ms" if seconds < 0.9995 else formats.coarse(seconds)


def _local(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC).astimezone()
