"""What was done to brokers, act by act: folded from the lines of the audit log, for the window and the command line."""

import csv
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Literal, TextIO

import msgspec

from app.models import audit, audit_chain
from app.models.acts import MOST_ITEMS, Delete, Item, Outcome, Plan, Purge, State, Wish
from app.models.audit_chain import Entry
from app.models.export import is_formula
from app.models.formats import count, iso_utc, number_of

#: Acts that are remembered, the latest ones.
MOST: Final = 5_000
#: Quarantines that are known by name.
MOST_FILLED: Final = 200
#: Columns of acts in CSV; times are ISO 8601 in UTC.
COLUMNS: Final = (
    *("act", "at", "ended", "who", "where", "connection", "broker", "environment", "title", "count", "things"),
    *("state", "done", "failed", "text"),
)

#: How an act ended, or that it runs; *broken off* is one whose process died before it ended.
DeedState = Literal[State, "broken off"]
Format = Literal["csv", "jsonl"]


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """One act as its lines tell it, in short; what else they tell is read when it is asked for, see `story`.

    ``at`` and ``ended`` are seconds since the epoch. ``done`` and ``failed`` are of ``count`` things. ``undo`` is
    whether there is a wish that undoes it. ``first`` and ``last`` are the numbers of its lines in the log, and
    ``start`` the offset of the first in bytes.
    """

    act: str
    at: float
    start: int
    first: int
    last: int
    title: str = ""
    count: int = 0
    things: str = ""
    who: str = ""
    where: str = ""
    connection: str = ""
    broker: str = ""
    environment: str = ""
    state: DeedState = "running"
    done: int = 0
    failed: int = 0
    text: str = ""
    ended: float | None = None
    undo: bool = False

    @property
    def unfinished(self) -> bool:
        """Whether something is left of it that can be gone on with."""
        return self.state not in ("done", "running")

    @property
    def came_out(self) -> DeedState:
        """Its state, in a word that is true: of what is *done*, and failed with each thing, nothing was done."""
        return "failed" if self.state == "done" and self.failed and not self.done else self.state

    def is_of(self, connection: str, broker: str) -> bool:
        """Whether it was done to a broker (an address without password), or over a connection of that name."""
        return (bool(broker) and self.broker == broker) or self.connection == connection


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """All that the log tells of one act. ``items`` are at most `MOST_ITEMS`; ``lines`` are the numbers of its lines."""

    wish: Wish | None = None
    plan: Plan | None = None
    outcome: Outcome | None = None
    items: Sequence[Item] = ()
    lines: Sequence[int] = ()


class Activity:
    """The latest acts of a log, read on as it grows. For one thread at a time."""

    def __init__(self, path: Path, most: int = MOST) -> None:
        self.path = path
        self._most = most
        self._deeds: dict[str, Deed] = {}
        #: What was done of acts before they were gone on with.
        self._before: dict[str, int] = {}
        self._at = 0

    @property
    def deeds(self) -> list[Deed]:
        """The acts, those that were begun last first."""
        return list(reversed(self._deeds.values()))

    def find(self, act: str) -> Deed | None:
        """The act of an id, or the only one whose id begins so."""
        if act in self._deeds:
            return self._deeds[act]
        found = [deed for deed in self._deeds.values() if act and deed.act.startswith(act)]
        return found[0] if len(found) == 1 else None

    def read(self, seconds: float = 0.05) -> bool:
        """Read on for so long; whether there is more. Raises `AuditError`."""
        if self._size() < self._at:  # it is another file now
            self._deeds.clear()
            self._before.clear()
            self._at = 0
        until = time.monotonic() + seconds
        for entry, at in audit_chain.read(self.path, self._at):
            self._fold(entry)
            self._at = at
            if time.monotonic() > until:
                return True
        self._look_who_lives()
        return False

    def read_all(self) -> "Activity":
        """Read to the end. Raises `AuditError`."""
        while self.read():
            pass
        return self

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:  # that it can't be read is told by who reads it
            return 0

    def _fold(self, entry: Entry) -> None:
        known = self._deeds.get(entry.act)
        if entry.kind == "intent" and entry.plan is not None:
            self._begin(entry, entry.plan, known)
        elif known is not None and entry.kind == "items":
            failed = sum(item.ok is False for item in entry.items)
            done = known.done + len(entry.items) - failed
            self._put(known, entry, done=done, failed=known.failed + failed)
        elif known is not None and entry.outcome is not None:
            outcome = entry.outcome
            self._put(
                known, entry, state=outcome.state, done=self._before.get(entry.act, 0) + outcome.done,
                failed=outcome.failed, text=outcome.text, ended=entry.at, undo=outcome.undo is not None,
            )  # fmt: skip

    def _begin(self, entry: Entry, plan: Plan, known: Deed | None) -> None:
        if known is not None:
            # What is left of it is gone on with; what failed is tried again.
            self._before[entry.act] = known.done
            self._put(known, entry, state="running", failed=0, text="", ended=None, undo=False)
            return
        self._deeds[entry.act] = Deed(
            act=entry.act, at=entry.at, start=self._at, first=entry.number, last=entry.number, title=plan.title,
            count=plan.count, things=plan.things, who=entry.who, where=entry.where, connection=entry.connection,
            broker=entry.broker, environment=entry.environment,
        )  # fmt: skip
        if len(self._deeds) > self._most:
            oldest = next(iter(self._deeds))
            del self._deeds[oldest]
            self._before.pop(oldest, None)

    def _put(self, known: Deed, entry: Entry, **news: object) -> None:
        self._deeds[known.act] = msgspec.structs.replace(known, last=entry.number, **news)

    def _look_who_lives(self) -> None:
        """An act without outcome runs, or was broken off."""
        for deed in self._deeds.values():
            if deed.ended is None:
                state: DeedState = "running" if audit.under_way(self.path, deed.act) else "broken off"
                if state != deed.state:
                    self._deeds[deed.act] = msgspec.structs.replace(deed, state=state)


def story(path: Path, deed: Deed) -> Story:
    """All that the log tells of an act. Raises `AuditError`."""
    wish, plan, outcome = None, None, None
    items: list[Item] = []
    again: dict[str, int] = {}
    lines: list[int] = []
    for entry, _ in audit_chain.read(path, deed.start):
        if entry.number > deed.last:
            break
        if entry.act != deed.act:
            continue
        lines.append(entry.number)
        wish, plan, outcome = entry.wish or wish, plan or entry.plan, entry.outcome or outcome
        if entry.kind == "intent":
            # What failed is tried again when it is gone on with.
            again = {item.id: place for place, item in enumerate(items) if item.ok is False}
        for item in entry.items:
            place = again.pop(item.id, None)
            if place is not None:
                items[place] = item
            elif len(items) < MOST_ITEMS:
                items.append(item)
    return Story(wish=wish, plan=plan, outcome=outcome, items=items, lines=lines)


def filled(path: Path, broker: str, most: int = MOST_FILLED) -> list[str]:
    """Quarantines into which messages of a broker (an address without password) went, or were to go: the last ones.

    Raises `AuditError`.
    """
    wishes = (entry.wish for entry, _ in audit_chain.read(path) if entry.broker == broker)
    names = dict.fromkeys(wish.quarantine for wish in wishes if isinstance(wish, Purge | Delete))
    return [name for name in names if name][-most:]


def came_to(deed: Deed) -> str:
    """How far an act came, in a few words: ``408 of 412 messages, 4 failed``."""
    failed = f", {count(deed.failed)} failed" if deed.failed else ""
    return f"{count(deed.done)} of {number_of(deed.count, deed.things)}{failed}"


def runs_of(numbers: Iterable[int]) -> str:
    """Numbers that rise, with neighbours as ranges: ``12–14, 19``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in runs)


def export(path: Path, out: TextIO, *, format: Format, wanted: Callable[[Deed], bool] | None = None) -> int:  # noqa: A002
    """Write the acts that are wanted, or all, oldest first, and return their number. Raises `AuditError`.

    As CSV a row for each; as JSON lines all that the log has of them, and of all acts the log as it is, whose chain can
    be checked. ``out`` should be UTF-8 and opened with ``newline=""``.
    """
    known = Activity(path, most=sys.maxsize).read_all().deeds
    deeds = [deed for deed in reversed(known) if wanted is None or wanted(deed)]
    if format == "csv":
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        writer.writerows([_cell(column, getattr(deed, column)) for column in COLUMNS] for deed in deeds)
    elif wanted is None:
        out.writelines(line.decode(errors="backslashreplace") for line in audit_chain.raw(path))
    else:
        acts = {deed.act for deed in deeds}
        for entry, _ in audit_chain.read(path):
            if entry.act in acts:
                out.write(msgspec.json.encode(entry).decode() + "\n")
    return len(deeds)


def _cell(column: str, value: object) -> object:
    if column in ("at", "ended") and isinstance(value, float):
        return iso_utc(value)
    return f"'{value}" if isinstance(value, str) and is_formula(value) else value
