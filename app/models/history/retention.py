"""What leaves a history, and when: old tasks, fine rollups, workers long gone; by age and by size, in small steps.

* **Tasks** leave when they ended longer ago than the age allows, the oldest first. A task that is open stays until it
  has been in doubt for that time, or until nothing was heard of it for that time and `OPEN_FOR`.
* **Rollups and gauges** of the fine levels leave after `SPANS`, when the coarser level has long summed them up; those
  of the coarsest live as long as tasks may. What left is noted (``kept.<level>``), so that a reader takes the coarser
  level, or says that it does not know.
* **Above the size** the oldest ended tasks leave, whatever their age; once there are none, rollups, the oldest first;
  then open tasks too.
* **Workers, queues and gaps** leave by age, but not before every task that may name them.

What all events together were counted as (`accounting`) is never touched. How much left is in ``meta``:
``removed.tasks``, and ``removed.until``, up to when tasks that were first seen are not complete.
"""

import math
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from app.models import states
from app.models.history import schema
from app.models.history.files import within

#: Seconds that rollups of the finer levels are kept at most.
SPANS: Final = {5: 2 * 86_400.0, 60: 14 * 86_400.0, 600: 90 * 86_400.0}
#: Seconds that a task is kept at least after the last word of it while it may still run.
OPEN_FOR: Final = 7 * 86_400.0
#: Under pressure rollups of these levels stay for so long at least, until no ended task is left to go before them.
SPARED: Final = {
    5: 3_600.0,
    60: 6 * 3_600.0,
    600: 86_400.0,
    3_600: 7 * 86_400.0,
    21_600: 14 * 86_400.0,
    86_400: 30 * 86_400.0,
}
#: A step is to take so many seconds, as a commit that comes meanwhile waits for it; what is merely old is then left
#: alone for so many times as long.
BUDGET: Final = 0.01
PATIENCE: Final = 5
#: Share of what is used that may be too much; it is half of what is left free. Above it, a step removes at once what
#: it takes, and commits wait.
URGENT: Final = 1 / 32
#: Rows a step removes or looks at, adapted to the budget.
FEWEST, FIRST, MOST = 50, 200, 4_000
#: Seconds between two rounds by age, and between two looks at the size.
ROUND: Final = 60.0
LOOK: Final = 1.0

#: Bytes that the WAL may have grown to before it is folded into the file.
UNFOLDED: Final = 24 << 20
#: Seconds that `forget_words` may take for each kind.
FORGET_FOR: Final = 0.5

_ENDED: Final = "state IN ({})".format(", ".join(f"'{state}'" for state in sorted(states.FINAL)))
#: A time that is not over yet is a clock that is wrong: it does not keep a task.
_BY_AGE: Final = f"""
    seen < :cutoff AND CASE WHEN {_ENDED}
        THEN finished IS NULL OR finished < :cutoff OR finished > :now
        ELSE COALESCE(doubted < :cutoff, 0)
            OR MAX(seen, COALESCE(sent, 0), COALESCE(received, 0), COALESCE(started, 0), COALESCE(eta, 0)) < :open
    END"""
_REMOVE_TASKS: Final = "DELETE FROM task WHERE id > :after AND id <= :last AND {} RETURNING id, seen"
_FORGET_ARGUMENTS: Final = (
    "DELETE FROM argument WHERE id > ? AND id <= ? AND NOT EXISTS (SELECT 1 FROM task WHERE task.id = argument.id)"
)
_WINDOW: Final = "SELECT MAX(id), MIN(seen) FROM (SELECT id, seen FROM task WHERE id > ? ORDER BY id LIMIT ?)"
#: About how many tasks there are; to count them takes too long.
_TASKS: Final = "SELECT COALESCE(MAX(id), 0) - COALESCE((SELECT MIN(id) FROM task), 0) FROM task"
_FIRST_ENDED: Final = f"SELECT seen FROM task WHERE id > ? AND {_ENDED} ORDER BY id LIMIT 1"  # noqa: S608
_KEYS: Final = {"rollup": "level, bucket, name_id", "gauge": "level, bucket, series_id"}
_REMOVE_BUCKETS: Final = {
    table: f"DELETE FROM {table} WHERE ({keys}) IN "  # noqa: S608 - our own names
    f"(SELECT {keys} FROM {table} WHERE level = ? AND bucket < ? ORDER BY {keys} LIMIT ?)"
    for table, keys in _KEYS.items()
}
_FIRST_BUCKET: Final = "SELECT MIN(bucket) FROM rollup WHERE level = ?"
#: Rollups and gauges of the coarsest level, and those of each finer one that are not summed up in the next yet: there
#: is nothing that they do not name.
_RECENT: Final = " OR ".join(
    (
        f"level = {schema.LEVELS[-1]}",
        *(
            f"(level = {fine} AND bucket >= "  # noqa: S608 - our own names
            f"COALESCE((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'rolled.{coarse}'), 0))"
            for fine, coarse in pairwise(schema.LEVELS)
        ),
    )
)
_REMOVE_WORDS: Final = (
    "DELETE FROM worker WHERE MAX(record ->> 'seen', COALESCE(record ->> 'heartbeat', 0)) < ?",
    "DELETE FROM queue WHERE MAX(record ->> 'seen', COALESCE(record ->> 'sampled', 0)) < ?",
    'DELETE FROM gap WHERE "end" < ?',
)


#: Names and series that no task and no rollup names any more.
_FORGET_NAMES: Final = (
    f"DELETE FROM name WHERE id NOT IN (SELECT name_id FROM rollup WHERE {_RECENT}) "  # noqa: S608
    "AND NOT EXISTS (SELECT 1 FROM task WHERE name_id = name.id)"
)
_FORGET_SERIES: Final = f"DELETE FROM series WHERE id NOT IN (SELECT series_id FROM gauge WHERE {_RECENT})"  # noqa: S608


class Keep(msgspec.Struct, frozen=True):
    """How much of a history is kept: tasks for so many ``seconds``, and ``size`` bytes on disk; None is no limit."""

    seconds: float | None = None
    size: int | None = None


class Removed(msgspec.Struct, frozen=True):
    """How many tasks were removed, and up to when those first seen are therefore not complete; None if all are."""

    tasks: int = 0
    until: float | None = None


class Retention:
    """Removes what is due from a history that is open for writing, one `step` after the other."""

    def __init__(self, connection: sqlite3.Connection, path: Path, keep: Keep) -> None:
        self._connection = connection
        self._wal = path.with_name(path.name + "-wal")
        self._keep = keep
        self._rows = FIRST
        self._by_age = _Walk()
        self._by_size = _Walk()
        #: Whether nothing is spared any more, and whether nothing is left either.
        self._everything = self._spent = False
        self._aged = 0.0
        self._page = int(self._value("PRAGMA page_size"))

    def step(self, now: float, rolled: dict[int, int]) -> float:
        """Remove some of what is due at ``now``; returns the seconds until there may be more to remove.

        ``rolled`` tells up to when each coarser level is complete. Raises `sqlite3.Error`; nothing is then removed.
        """
        began = time.monotonic()
        excess = self._excess()
        if excess > 0:
            self._spent = False
            self._transaction(lambda: self._relieve(now, rolled, excess))
            if self._spent:
                return LOOK
        elif began >= self._aged:
            self._transaction(lambda: self._age(now, rolled))
        else:
            return min(LOOK, self._aged - began)
        took = time.monotonic() - began
        if excess > URGENT:
            return 0.0
        if took > BUDGET:
            self._rows = max(FEWEST, self._rows // 2)
        elif took < BUDGET / 2:
            self._rows = min(MOST, self._rows * 2)
        # Time is left to commits, most of it by what is merely old.
        return took if excess > 0 else took * PATIENCE

    def _transaction(self, work: Callable[[], None]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            work()
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    # By age

    def _age(self, now: float, rolled: dict[int, int]) -> None:
        removed = 0
        for level in schema.LEVELS:
            spans = [span for span in (SPANS.get(level), self._keep.seconds) if span is not None]
            if spans:
                removed += self._remove_buckets(level, now - min(spans), rolled)
        walk = self._by_age
        if self._keep.seconds is None:
            walk.ended = True
        else:
            cutoff = now - self._keep.seconds
            opened = min(cutoff, now - OPEN_FOR)
            removed += self._remove_tasks(walk, _BY_AGE, self._rows, cutoff, now=now, cutoff=cutoff, open=opened)
            if walk.ended:
                self._remove_words(cutoff)
        if walk.ended and not removed:
            self._aged = time.monotonic() + ROUND
            self._by_age = _Walk()

    def _remove_words(self, cutoff: float) -> None:
        """Workers, queues and gaps that nothing kept can be about."""
        oldest = self._value("SELECT seen FROM task ORDER BY id LIMIT 1")
        before = cutoff if oldest is None else min(cutoff, oldest)
        for statement in _REMOVE_WORDS:
            self._connection.execute(statement, (before,))

    # By size

    def _excess(self) -> float:
        """What is used above what is to be kept, as a share of all that is used; not above 0 if nothing is."""
        if self._keep.size is None:
            return 0.0
        pages, free = (int(self._value(f"PRAGMA {what}")) for what in ("page_count", "freelist_count"))
        # The WAL counts, and a sixteenth is left free, into which the next commits are written before the next step.
        room = self._keep.size // 16 + max(UNFOLDED, self._unfolded())
        allowed = max(self._keep.size // 2, self._keep.size - room)
        return 1.0 - allowed / ((pages - free) * self._page)

    def _unfolded(self) -> int:
        try:
            return self._wal.stat().st_size
        except OSError:
            return 0

    def _relieve(self, now: float, rolled: dict[int, int], excess: float) -> None:
        """Remove what can best be spared, and not much more of it than is too much."""
        walk = self._by_size
        for level, span in self._spared(now).items():
            walk.removed += self._remove_buckets(level, now - span, rolled)
        rows = min(int(self._value(_TASKS) * excess) + 1, MOST if excess > URGENT else self._rows)
        self._remove_tasks(walk, "1" if self._everything else _ENDED, rows)
        if walk.ended:
            # Once round without any effect: what was spared goes too, in the next round.
            self._spent = self._everything and walk.removed == 0
            self._everything = walk.removed == 0
            self._by_size = _Walk()

    def _spared(self, now: float) -> dict[int, float]:
        """Seconds of each level to keep: coarse ones reach back further than tasks do, the finest as far."""
        if self._everything:
            # An eighth at a time, and one bucket at least.
            oldest = {level: self._value(_FIRST_BUCKET, level) for level in schema.LEVELS}
            return {
                level: now - first - max((now - first) / 8, _unit(level))
                for level, first in oldest.items()
                if first is not None
            }
        seen = self._value(_FIRST_ENDED, self._by_size.after)
        reach = 0.0 if seen is None else max(0.0, now - seen)
        return {level: max(SPARED[level], reach * level / schema.LEVELS[0]) for level in schema.LEVELS}

    # Steps

    def _remove_tasks(self, walk: "_Walk", condition: str, rows: int, until: float = math.inf, **values: float) -> int:
        """Remove those of the next tasks that a condition finds, unless all of them are newer than ``until``."""
        last, first_seen = self._connection.execute(_WINDOW, (walk.after, rows)).fetchone()
        if last is None or first_seen >= until:
            walk.ended = True
            return 0
        values |= {"after": walk.after, "last": last}
        gone = self._connection.execute(_REMOVE_TASKS.format(condition), values).fetchall()
        walk.after = last
        walk.removed += len(gone)
        if gone:
            self._connection.execute(_FORGET_ARGUMENTS, (values["after"], last))
            self._note("removed.tasks", len(gone), add=True)
            self._note("removed.id", max(number for number, _ in gone))
            self._note("removed.until", max(seen for _, seen in gone))
        return len(gone)

    def note_removed(self, meta: Mapping[str, str]) -> None:
        """Count what was removed from another history, of whose facts it is one, as removed from this."""
        for key in ("removed.tasks", "removed.id", "removed.until"):
            if key in meta:
                self._note(key, float(meta[key]), add=key == "removed.tasks")

    def _remove_buckets(self, level: int, before: float, rolled: dict[int, int]) -> int:
        """Remove rollups and gauges of a level that are older, unless no coarser level has summed them up yet."""
        unit = _unit(level)
        if unit > level:
            before = min(before, rolled.get(unit, 0))
        cutoff = int(before) // unit * unit
        removed = sum(
            self._connection.execute(statement, (level, cutoff, self._rows)).rowcount
            for statement in _REMOVE_BUCKETS.values()
        )
        if removed:
            self._note(f"kept.{level}", cutoff)
        return removed

    def _note(self, key: str, value: float, *, add: bool = False) -> None:
        """Keep a figure in ``meta``: the sum or the highest so far."""
        known = float(self._value("SELECT value FROM meta WHERE key = ?", key) or 0)
        new = known + value if add else max(known, value)
        text = repr(new) if key == "removed.until" else str(int(new))
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, text))

    def _value(self, statement: str, *parameters: object) -> Any:
        row: Sequence[Any] | None = self._connection.execute(statement, parameters).fetchone()
        return None if row is None else row[0]


def forget_words(connection: sqlite3.Connection) -> None:
    """Remove names and series that nothing uses any more; only before their numbers are known to anybody.

    A large history in which that takes long is left as it is.
    """
    if connection.execute("SELECT 1 FROM meta WHERE key = 'removed.tasks'").fetchone():
        for statement in (_FORGET_NAMES, _FORGET_SERIES):
            within(FORGET_FOR, connection, statement)


def _unit(level: int) -> int:
    """Seconds of buckets that leave together: those that one of the next coarser level sums up, or one of the coarsest.

    Where figures of a level begin, a bucket of the coarser one does.
    """
    return next((coarser for coarser in schema.LEVELS if coarser > level), level)


class _Walk:
    """How far a round over all tasks has come."""

    def __init__(self) -> None:
        self.after = 0
        self.removed = 0
        self.ended = False
