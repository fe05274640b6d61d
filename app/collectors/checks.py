"""What an event may say: the limits on its fields, and the checks that hold them."""

import math
import sys
from typing import Final

from app.collectors.clean import MAX_TEXT, clean_text, clean_word
from app.models.records import Event

#: An id, name, host or queue above this many characters, as typed or as shown, is not one.
MAX_WORD: Final = 1_024
MAX_TRACEBACK: Final = 65_536
#: More distinct names (or hosts, or queues) than this are counted together as `OTHER`, and so are those beyond this
#: many bytes of them.
MAX_DISTINCT: Final = 20_000
MAX_DISTINCT_BYTES: Final = 8 << 20
OTHER: Final = "(other)"
#: Integers that SQLite and Qt can hold.
MAX_INTEGER: Final = (1 << 53) - 1
#: No duration is longer; 30 years.
MAX_SECONDS: Final = 1e9
#: Seconds between two heartbeats: what is outside is no interval to judge a worker's silence by.
FREQUENCIES: Final = (0.1, 86_400.0)
#: A time as text, or a signal's name, above this many characters is none.
MAX_SHORT: Final = 64
#: Timestamps outside 2001–2100 are a broken clock, not a time.
TIMES: Final = (1e9, 4.1e9)

#: Fields of the wire.
EVENT_FIELDS: Final = frozenset(Event.__struct_fields__) - {"seen", "payload"}
#: What only a worker says of itself, and what is only said of a task: in an event of the other kind it is dropped.
WORKER_FIELDS: Final = ("freq", "active", "processed", "loadavg", "sw_ident", "sw_ver", "sw_sys")
TASK_FIELDS: Final = tuple(EVENT_FIELDS.difference(WORKER_FIELDS, ("type", "hostname", "timestamp", "clock", "pid")))
#: Why something is not stored; there is no other reason.
REASONS: Final = frozenset(
    {
        "broken stream", "too large", "not base64", "unknown compression", "not inflatable", "not JSON", "too deep",
        "too many", "not an event", "missing field", "wrong type", "not a number", "out of range", "too long",
        "unknown type",
    }
)  # fmt: skip


class Rejected(Exception):
    """A message or event that is not stored; the text is the reason it is counted under."""


class Words:
    """Distinct words seen, cleaned once each and bounded in number and in memory."""

    __slots__ = ("_number", "_room", "_seen", "known")

    def __init__(self, number: int, room: int) -> None:
        self._number, self._room = number, room
        self._seen: dict[str, str] = {}
        #: What `get` has returned for a word; None where it was never asked.
        self.known = self._seen.get

    def get(self, word: str) -> str:
        known = self._seen.get(word)
        if known is not None:
            return known
        cleaned = checked_word(word)
        size = sys.getsizeof(word) + (0 if cleaned is word else sys.getsizeof(cleaned))
        if len(self._seen) >= self._number or size > self._room:
            return OTHER
        self._room -= size
        self._seen[word] = cleaned
        return cleaned


def checked_word(text: str) -> str:
    """A word, cleaned. Raises `Rejected` where it is too long, as typed or as shown."""
    cleaned = clean_word(text) if len(text) <= MAX_WORD else text
    if len(cleaned) > MAX_WORD:
        raise Rejected("too long")
    return cleaned


def label(text: str) -> str:
    """A word that nothing is found by, which is cut where it is too long."""
    return clean_text(clean_word(text[:MAX_WORD]), MAX_WORD)


def check_task(event: Event) -> None:
    """Check and clean what an event says of a task. Raises `Rejected`."""
    uuid = event.uuid
    if not uuid:
        raise Rejected("missing field")
    # Almost every word and text is short and plain: that is seen here, without a call.
    if not (uuid.isascii() and uuid.isprintable() and len(uuid) <= MAX_WORD):
        event.uuid = checked_word(uuid)
    for field in ("root_id", "parent_id", "exchange", "routing_key"):
        word = getattr(event, field)
        if word and not (word.isascii() and word.isprintable() and len(word) <= MAX_WORD):
            setattr(event, field, checked_word(word))
    for field in ("args", "kwargs", "result", "exception"):
        text = getattr(event, field)
        if text and not (text.isascii() and text.isprintable() and len(text) <= MAX_TEXT):
            setattr(event, field, clean_text(text))
    if event.traceback is not None:
        event.traceback = clean_text(event.traceback, MAX_TRACEBACK)
    _check_figures(event)


def _check_figures(event: Event) -> None:
    if event.retries is not None and not 0 <= event.retries <= MAX_INTEGER:
        raise Rejected("out of range")
    if event.runtime is not None and not 0.0 <= event.runtime < MAX_SECONDS:
        event.runtime = None
    if event.eta is not None:
        event.eta = _time_text(event.eta)
    if event.expires is not None:
        event.expires = _time(event.expires)
    if event.signum is not None:
        event.signum = _signal(event.signum)
    for field in WORKER_FIELDS:
        setattr(event, field, None)


def _time(when: str | float) -> str | float | None:
    if isinstance(when, str):
        return _time_text(when)
    return when if TIMES[0] < when < TIMES[1] else None


def _time_text(when: str) -> str | None:
    return when if len(when) <= MAX_SHORT and when.isascii() and when.isprintable() else None


def _signal(signum: int | str) -> int | str | None:
    if isinstance(signum, str):
        return clean_text(signum, MAX_SHORT)
    return signum if abs(signum) <= MAX_INTEGER else None


def check_worker(event: Event) -> None:
    """Check and clean what an event says of its worker. Raises `Rejected`."""
    for field in ("active", "processed"):
        count = getattr(event, field)
        if count is not None and not 0 <= count <= MAX_INTEGER:
            raise Rejected("out of range")
    if event.freq is not None and not FREQUENCIES[0] <= event.freq <= FREQUENCIES[1]:
        event.freq = None
    if event.loadavg is not None:
        event.loadavg = event.loadavg[:3]
        if not all(0.0 <= load < MAX_INTEGER for load in event.loadavg):
            event.loadavg = None
    for field in ("sw_ident", "sw_ver", "sw_sys"):
        word = getattr(event, field)
        if word is not None:
            setattr(event, field, label(word))


def is_figure(value: object) -> bool:
    """Whether a value is one that everybody can hold as it is: a number in bounds, true, false or nothing."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, bool | None) or (isinstance(value, int) and abs(value) <= MAX_INTEGER)
