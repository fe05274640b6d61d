"""The names of quarantines: what was purged from a queue waits in the broker under them, until it is put back."""

import calendar
import time
from typing import Final

#: What stands between a queue's name and the time in the name of a quarantine.
MARK: Final = ".quarantine."
#: The role of a queue that is a quarantine.
ROLE: Final = "quarantine"


def quarantine_name(queue: str) -> str:
    """The name of a new quarantine for a queue."""
    now = time.time()
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
    return f"{queue}{MARK}{stamp}{int(now * 1000) % 1000:03d}Z"


def origin(name: str) -> tuple[str, float | None] | None:
    """The queue that a quarantine's messages came from, and when (epoch); None for a name that is not one's."""
    queue, mark, stamp = name.rpartition(MARK)
    if not mark or not queue:
        return None
    try:
        parsed = time.strptime(f"{stamp[:15]} +0000", "%Y%m%dT%H%M%S %z")
        return queue, calendar.timegm(parsed) + int(stamp[15:18] or 0) / 1000
    except ValueError:
        return queue, None
